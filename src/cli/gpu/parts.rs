//! The parts of a GPU report.

use super::super::experiment::project;
use super::super::parity::line;
use super::Args;
use crate::experiment::{Experiment, Override};
use crate::gpu_report::ExperimentSummary;
use crate::parity::{self, Check, GoldenSet, NetworkSize, formula};
use crate::runner::interrupt;
use crate::runner::progress::stderr_listener;
use crate::runner::{self, ExecuteOptions};
use crate::speed::{self, SpeedReport, SpeedRequest, SpeedRow};
use anyhow::{Context, Result, anyhow, bail};
use candle_core::Device;
use posebook_models::hmr2::Config;
use std::path::Path;

/// Number of timed passes per measurement of speed.
const PASSES: usize = 7;
/// No measurement of speed starts after this time, so that all parts together take at most ten minutes.
const SPEED_SECS: f64 = 120.0;

/// Compares both network sizes with the original in every precision.
pub fn parity(args: &Args, device: &Device) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    let sizes =
        if args.small { vec![NetworkSize::Small] } else { vec![NetworkSize::Small, NetworkSize::Full] };
    let mut on_result = |check: &Check| println!("{}", line(check));
    for set in GoldenSet::find_all(&args.goldens)? {
        checks.extend(parity::check_components(&set, device, &mut on_result)?);
        for &size in &sizes {
            for &precision in &args.precision {
                checks.extend(parity::check_network(&set, size, device, precision, &mut on_result)?.0);
            }
        }
    }
    Ok(checks)
}

/// Measures crops per second.
pub fn speed(args: &Args, device: &Device, name: &str) -> Result<SpeedReport> {
    let request = SpeedRequest {
        network: if args.small { "small" } else { "vit-h" }.to_string(),
        config: if args.small { formula::small_config() } else { Config::hmr2() },
        precisions: args.precision.clone(),
        batches: args.batches.clone(),
        passes: PASSES,
        deadline_secs: SPEED_SECS,
    };
    let mut on_result = |row: &SpeedRow| {
        let what = format!("{} {} batch {}", row.precision, row.mode, row.batch);
        match (row.crops_per_sec, &row.error) {
            (Some(rate), _) => println!("{what}: {rate:.1} crops/s"),
            (None, error) => println!("{what}: {}", error.as_deref().unwrap_or("no number")),
        }
    };
    Ok(speed::measure(&request, device, name, &mut on_result)?)
}

/// Measures PyTorch on the same GPU.
pub fn torch(args: &Args) -> Result<SpeedReport> {
    let names: Vec<&str> = args.precision.iter().map(|precision| precision.name()).collect();
    let batches: Vec<String> = args.batches.iter().map(usize::to_string).collect();
    let mut arguments = vec!["--quick".to_string(), "--device".into(), args.device.clone()];
    arguments.extend(["--precisions".to_string(), names.join(","), "--batches".into(), batches.join(",")]);
    if args.small {
        arguments.extend(["--network".to_string(), "tiny".into()]);
    }
    speed::torch::run_script(&args.torch, &arguments).map_err(|error| anyhow!(error))
}

/// Runs an experiment on the GPU and copies its report into the GPU report.
pub fn experiment(name: &str, args: &Args, folder: &Path) -> Result<ExperimentSummary> {
    if args.device == "cpu" {
        bail!("{name} needs a GPU");
    }
    let project = project()?;
    let device = Override::parse_all(&[format!("device={}", args.device)])?;
    // this experiment sweeps the device
    let device = if name == "gpu-agreement" { Vec::new() } else { device };
    let experiment =
        Experiment::load(&project.experiment(name), &device).with_context(|| name.to_string())?;
    let mut listener = stderr_listener();
    let options = ExecuteOptions::this_program()?;
    let finished = runner::execute(&project, &experiment, &options, interrupt::install(), listener.as_mut());
    let finished = finished.with_context(|| name.to_string())?;
    drop(listener);
    let page = finished.page.as_ref().with_context(|| format!("{name} was interrupted"))?;
    copy(&finished.folder, &folder.join(name))?;
    let verdicts = page.claims.iter().map(|judged| {
        let number = judged.number.map_or("no number".to_string(), |number| format!("{number}"));
        format!(
            "{}: {} ({number}; expected {})",
            judged.verdict_name(),
            judged.claim.statement,
            judged.claim.holds.describe()
        )
    });
    Ok(ExperimentSummary {
        name: name.to_string(),
        question: experiment.question.clone(),
        runs: finished.rows.len(),
        failed: finished.failed(),
        verdicts: verdicts.collect(),
        as_expected: page.is_as_expected(),
    })
}

/// Copies the Markdown page, the figures and the table of runs of a report.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let failed = || format!("cannot copy the report into {}", to.display());
    std::fs::create_dir_all(to.join("figures")).with_context(failed)?;
    for name in ["report.md", "runs.csv", "experiment.toml"] {
        std::fs::copy(from.join(name), to.join(name)).with_context(failed)?;
    }
    for figure in std::fs::read_dir(from.join("figures")).with_context(failed)? {
        let figure = figure.with_context(failed)?;
        std::fs::copy(figure.path(), to.join("figures").join(figure.file_name())).with_context(failed)?;
    }
    Ok(())
}
