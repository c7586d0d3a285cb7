//! `posebook device`: shows the kernels of this build, the GPUs of this machine and the memory of their contexts.

use anyhow::Result;
use posebook_models::device::kernels::KernelGroup;
use posebook_models::device::memory::open;
use posebook_models::device::{self, DeviceChoice, DeviceError, Gpu};
use std::io::Write;

#[derive(clap::Args)]
#[command(after_help = "\
The fixed memory of a GPU is that of its context, before any tensor. It is measured by opening each GPU once, and left \
out if the driver does not report it.")]
pub struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The devices for networks.
#[derive(serde::Serialize)]
struct DeviceReport {
    /// The device that `device = "auto"` selects.
    auto: String,
    /// Compute capability of the build's kernels; `None` without kernels.
    kernels_for: Option<String>,
    kernels: Vec<KernelEntry>,
    #[serde(rename = "cards")]
    gpus: Vec<GpuEntry>,
    /// Why there are no GPUs.
    none: Option<String>,
}

/// A group of kernels.
#[derive(serde::Serialize)]
struct KernelEntry {
    name: &'static str,
    built: bool,
    about: &'static str,
}

/// A GPU, and whether a run could use it.
#[derive(serde::Serialize)]
struct GpuEntry {
    device: String,
    usable: bool,
    /// Why a run could not use it.
    error: Option<String>,
    #[serde(rename = "card")]
    gpu: Option<Gpu>,
    free_bytes: Option<u64>,
    /// Memory of its context.
    context_bytes: Option<u64>,
    /// Other processes with memory on it.
    others: Option<String>,
}

pub fn run(args: &Args) -> Result<()> {
    let report = device_report()?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        write!(out, "{}", text(&report))?;
    }
    Ok(())
}

fn device_report() -> Result<DeviceReport> {
    let (auto, _) = device::resolve("auto")?;
    let kernels = KernelGroup::ALL.map(|group| KernelEntry {
        name: group.name(),
        built: group.is_built(),
        about: group.description(),
    });
    let (gpus, none) = match device::list_gpus() {
        Ok(gpus) if gpus.is_empty() => {
            (Vec::new(), Some(DeviceError::NoGpu { index: 0, count: 0 }.to_string()))
        }
        Ok(gpus) => (gpus.into_iter().enumerate().map(|(index, gpu)| inspect(index, gpu)).collect(), None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    let kernels_for = device::target().map(|target| target.to_string());
    Ok(DeviceReport { auto: auto.to_string(), kernels_for, kernels: kernels.into(), gpus, none })
}

/// Opens a usable GPU to measure the memory of its context.
fn inspect(index: usize, gpu: Result<Gpu, DeviceError>) -> GpuEntry {
    let choice = DeviceChoice::Cuda(index);
    let unknown = GpuEntry {
        device: choice.to_string(),
        usable: false,
        error: None,
        gpu: gpu.as_ref().ok().cloned(),
        free_bytes: None,
        context_bytes: None,
        others: None,
    };
    match gpu.and_then(|gpu| open(&choice, Some(&gpu))) {
        Err(error) => GpuEntry { error: Some(error.to_string()), ..unknown },
        Ok(opened) => GpuEntry {
            usable: true,
            free_bytes: opened.handle.and_then(|handle| handle.memory()).map(|memory| memory.free_bytes),
            context_bytes: opened.context_bytes,
            others: opened.other_processes,
            ..unknown
        },
    }
}

fn text(report: &DeviceReport) -> String {
    let mut lines = vec![format!("auto selects {}", report.auto)];
    if let Some(capability) = &report.kernels_for {
        lines.push(format!("kernels are for GPUs of compute capability {capability}"));
    }
    for (built, title) in [(true, "in this build:"), (false, "not in this build:")] {
        let groups = report.kernels.iter().filter(|group| group.built == built);
        let named: Vec<String> = groups.map(|group| format!("    {}: {}", group.name, group.about)).collect();
        if !named.is_empty() {
            lines.push(format!("kernels {title}"));
            lines.extend(named);
        }
    }
    lines.extend(report.none.iter().map(|reason| format!("no GPU: {reason}")));
    for entry in &report.gpus {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        if let Some(gpu) = &entry.gpu {
            let (name, capability, driver) = (&gpu.name, gpu.capability, gpu.driver_description());
            let total = mib(gpu.total_bytes);
            let line = format!("{}: {name}, compute capability {capability}, {total} MiB", entry.device);
            lines.push(format!("{line}, driver {driver}"));
        }
        if let Some(error) = &entry.error {
            lines.push(format!("    cannot be used: {error}"));
            continue;
        }
        if let Some(free) = entry.free_bytes {
            lines.push(format!("    {} MiB free after opening it", mib(free)));
        }
        lines.push(match entry.context_bytes {
            Some(bytes) => format!("    its context takes {} MiB", mib(bytes)),
            None => "    the driver does not report the memory of its context".to_string(),
        });
        lines.extend(entry.others.iter().map(|others| format!("    {others}")));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_models::device::{ComputeCapability, CudaVersion};

    #[test]
    fn usable_and_unusable_gpus_are_reported() {
        let gpu = Gpu {
            index: 0,
            name: "NVIDIA H100 80GB HBM3".into(),
            uuid: "GPU-0".into(),
            capability: ComputeCapability { major: 9, minor: 0 },
            total_bytes: 81_559 << 20,
            driver: Some("580.65.06".into()),
            cuda: CudaVersion { major: 13, minor: 0 },
        };
        let usable = GpuEntry {
            device: "cuda:0".into(),
            usable: true,
            error: None,
            gpu: Some(gpu),
            free_bytes: Some(80_000 << 20),
            context_bytes: Some(520 << 20),
            others: None,
        };
        let unusable = inspect(1, Err(DeviceError::NoGpu { index: 1, count: 1 }));
        let group = KernelEntry { name: "basic", built: true, about: "candle's own" };
        let report = DeviceReport {
            auto: "cuda:0".into(),
            kernels_for: Some("9.0 only (sm_90a)".into()),
            kernels: vec![group],
            gpus: vec![usable, unusable],
            none: None,
        };
        insta::assert_snapshot!(text(&report), @r"
        auto selects cuda:0
        kernels are for GPUs of compute capability 9.0 only (sm_90a)
        kernels in this build:
            basic: candle's own
        cuda:0: NVIDIA H100 80GB HBM3, compute capability 9.0, 81559 MiB, driver 580.65.06, CUDA 13.0
            80000 MiB free after opening it
            its context takes 520 MiB
            cannot be used: there is no GPU cuda:1: the driver finds one, cuda:0
        ");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["cards"][0]["card"]["cuda"]["major"], 13);
        assert_eq!(json["cards"][1]["context_bytes"], serde_json::Value::Null);
    }
}
