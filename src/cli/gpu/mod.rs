//! `posebook gpu`: tests parity, pipeline, memory and speed on a GPU and writes a report.
//!
//! Parts run one after the other. A part that fails is reported as missing with its reason, and the next one starts.

mod parts;

use crate::gpu_report::{GpuReport, Section, folder_name};
use anyhow::{Context, Result, ensure};
use posebook_core::provenance::{Machine, SourceVersion};
use posebook_models::device;
use posebook_models::device::kernels::KernelGroup;
use posebook_models::device::memory::open;
use posebook_models::hmr2::Precision;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use time::OffsetDateTime;
use time::macros::format_description;

#[derive(clap::Args)]
pub struct Args {
    /// The GPU; `cpu` tests the command without one
    #[arg(long, default_value = "cuda:0")]
    device: String,
    /// Parts, separated by commas: parity, pipeline, memory, speed, torch; all by default
    #[arg(long, value_delimiter = ',', value_parser = ["parity", "pipeline", "memory", "speed", "torch"])]
    only: Vec<String>,
    /// Precisions to measure, separated by commas
    #[arg(long, value_delimiter = ',', value_parser = super::parity::precision, default_value = "f32,bf16,f16")]
    precision: Vec<Precision>,
    /// Batch sizes for the measurement of speed
    #[arg(long, value_delimiter = ',', default_value = "1,8,64,256")]
    batches: Vec<usize>,
    /// Measure the small test network instead of ViT-H
    #[arg(long)]
    small: bool,
    /// Folder of the recorded outputs, with `hmr2/<set>`
    #[arg(long, default_value = "tests/goldens")]
    goldens: PathBuf,
    /// The script that measures PyTorch
    #[arg(long, default_value = "tools/bench_torch.py")]
    torch: PathBuf,
    /// Folder of the reports
    #[arg(long, default_value = "reports/gpu")]
    out: PathBuf,
}

impl Args {
    fn includes(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == part)
    }
}

pub fn run(args: Args) -> Result<ExitCode> {
    let started = Instant::now();
    ensure!(args.batches.iter().all(|batch| *batch > 0), "--batches holds a 0; give 1 or more");
    let (choice, gpu) = device::resolve(&args.device)?;
    let opened = open(&choice, gpu.as_ref())?;
    let name = gpu.as_ref().map_or_else(|| choice.to_string(), |gpu| gpu.name.clone());
    let today = OffsetDateTime::now_utc();
    let date = today.format(format_description!("[year]-[month]-[day]"))?;
    let folder = args.out.join(folder_name(&name)).join(&date);
    println!("{name}, into {}", folder.display());
    if let Some(others) = &opened.other_processes {
        eprintln!("note: {others}");
    }

    let parity = part(args.includes("parity"), "parity", || parts::parity(&args, &opened.device));
    let speed = part(args.includes("speed"), "speed", || parts::speed(&args, &opened.device, &name));
    // free the memory of this process before the experiments and PyTorch
    let context_bytes = opened.context_bytes;
    drop(opened);
    let torch = part(args.includes("torch"), "PyTorch", || parts::torch(&args));
    let mut experiments = Vec::new();
    let names = [
        ("gpu-agreement", "pipeline"),
        ("gpu-memory", "memory"),
        ("gpu-budget", "memory"),
        ("published-claims", "memory"),
    ];
    for (name, part_name) in names {
        experiments.push(part(args.includes(part_name), name, || parts::experiment(name, &args, &folder)));
    }

    let report = GpuReport {
        date,
        device: name,
        gpu,
        context_bytes,
        machine: Machine::current(),
        source: SourceVersion::from_checkout(Path::new(".")),
        kernels: KernelGroup::ALL
            .iter()
            .map(|kernels| (kernels.name().to_string(), kernels.is_built()))
            .collect(),
        parity,
        experiments,
        speed,
        torch,
        secs: started.elapsed().as_secs_f64(),
    };
    report.write(&folder).with_context(|| format!("cannot write the report into {}", folder.display()))?;
    println!("report: {} ({:.0} s)", folder.join("report.md").display(), report.secs);
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs a part if it is requested; an error is printed and becomes part of the report.
fn part<T>(is_requested: bool, name: &str, work: impl FnOnce() -> Result<T>) -> Section<T> {
    if !is_requested {
        return Section::Missing(format!("{name} was not requested"));
    }
    println!("== {name}");
    let start = Instant::now();
    match work() {
        Ok(done) => {
            println!("   {name}: {:.0} s", start.elapsed().as_secs_f64());
            Section::Done(done)
        }
        Err(error) => {
            eprintln!("{name} could not be measured: {error:#}");
            Section::Missing(format!("{error:#}"))
        }
    }
}
