//! The parts of a survey.

use super::super::experiment::project;
use super::super::parity::line;
use super::Args;
use crate::experiment::{Experiment, Override};
use crate::hmr2::Config;
use crate::parity::{self, Check, Set, Size, formula};
use crate::runner::progress::for_stderr;
use crate::runner::{self, Options, interrupt};
use crate::speed::{self, Document, Row, Wish};
use crate::survey::Notebook;
use anyhow::{Context, Result, anyhow, bail};
use candle_core::Device;
use std::path::Path;

/// Timed passes of each measurement of speed.
const PASSES: usize = 7;
/// No measurement of speed is begun after so long: the whole survey has to end inside ten minutes.
const SPEED_SECS: f64 = 120.0;

/// Both sizes in every precision, against the original.
pub fn parity(args: &Args, device: &Device) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    let sizes = if args.small { vec![Size::Small] } else { vec![Size::Small, Size::Full] };
    let mut heard = |check: &Check| println!("{}", line(check));
    for set in Set::all(&args.goldens)? {
        checks.extend(parity::surroundings(&set, device, &mut heard)?);
        for &size in &sizes {
            for &precision in &args.precision {
                checks.extend(parity::network(&set, size, device, precision, &mut heard)?.0);
            }
        }
    }
    Ok(checks)
}

/// Crops a second.
pub fn speed(args: &Args, device: &Device, name: &str) -> Result<Document> {
    let wish = Wish {
        network: if args.small { "small" } else { "vit-h" }.to_string(),
        config: if args.small { formula::small() } else { Config::hmr2() },
        precisions: args.precision.clone(),
        batches: args.batches.clone(),
        passes: PASSES,
        deadline_secs: SPEED_SECS,
    };
    let mut heard = |row: &Row| {
        let what = format!("{} {} batch {}", row.precision, row.mode, row.batch);
        match (row.crops_per_sec, &row.error) {
            (Some(rate), _) => println!("{what}: {rate:.1} crops/s"),
            (None, error) => println!("{what}: {}", error.as_deref().unwrap_or("no number")),
        }
    };
    Ok(speed::measure(&wish, device, name, &mut heard)?)
}

/// PyTorch on the same card.
pub fn torch(args: &Args) -> Result<Document> {
    let names: Vec<&str> = args.precision.iter().map(|precision| precision.name()).collect();
    let batches: Vec<String> = args.batches.iter().map(usize::to_string).collect();
    let mut arguments = vec!["--quick".to_string(), "--device".into(), args.device.clone()];
    arguments.extend(["--precisions".to_string(), names.join(","), "--batches".into(), batches.join(",")]);
    if args.small {
        arguments.extend(["--network".to_string(), "tiny".into()]);
    }
    speed::torch::measure(&args.torch, &arguments).map_err(|why| anyhow!(why))
}

/// An experiment on the card; its page is copied beside the survey.
pub fn notebook(name: &str, args: &Args, folder: &Path) -> Result<Notebook> {
    if args.device == "cpu" {
        bail!("{name} is about a graphics card");
    }
    let project = project()?;
    let device = Override::parse_all(&[format!("device={}", args.device)])?;
    // the agreement sweeps the device itself
    let device = if name == "gpu-agreement" { Vec::new() } else { device };
    let experiment =
        Experiment::load(&project.experiment(name), &device).with_context(|| name.to_string())?;
    let mut listener = for_stderr();
    let options = Options::this_program()?;
    let finished = runner::execute(&project, &experiment, &options, interrupt::listen(), listener.as_mut());
    let finished = finished.with_context(|| name.to_string())?;
    drop(listener);
    let page = finished.page.as_ref().with_context(|| format!("{name} was interrupted"))?;
    copy(&finished.folder, &folder.join(name))?;
    let verdicts = page.claims.iter().map(|judged| {
        let number = judged.number.map_or("no number".to_string(), |number| format!("{number}"));
        format!(
            "{}: {} ({number}; wanted {})",
            judged.verdict_word(),
            judged.claim.statement,
            judged.claim.holds.in_words()
        )
    });
    Ok(Notebook {
        name: name.to_string(),
        question: experiment.question.clone(),
        runs: finished.rows.len(),
        failed: finished.failed(),
        verdicts: verdicts.collect(),
        as_expected: page.is_as_expected(),
    })
}

/// Copies what a visitor reads of a report: the page in Markdown, its figures, the runs.
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
