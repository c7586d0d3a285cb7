//! `posebook model train`: trains a model set's weights on generated crops.

use crate::runner::interrupt;
use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use posebook_core::files::check_writable_folder;
use posebook_synth::train::{self, Evaluation, Settings};
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Args {
    /// Settings of the training, a TOML file such as models/training/tiny.toml
    settings: PathBuf,
    /// Folder for checkpoints and the finished model set
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

pub fn run(args: &Args) -> Result<()> {
    let settings = Settings::load(&args.settings)?;
    check_writable_folder(&args.out)
        .with_context(|| format!("cannot write results to the folder {}", args.out.display()))?;
    let stop = interrupt::install();
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template("{bar:24.cyan/dim} {pos}/{len} steps, {eta} left  {msg}")?);
    let mut on_progress = |progress: &train::Progress| {
        bar.set_length(progress.steps as u64);
        bar.set_position(progress.step as u64);
        bar.set_message(format!("loss {:.4}, {:.0} crops/s", progress.loss, progress.crops_per_sec));
        if let Some(held_out) = &progress.evaluation {
            let line = format!("step {}: {}", progress.step, errors(held_out));
            if bar.is_hidden() { eprintln!("{line}") } else { bar.println(line) }
        }
    };
    let last = train::run(&settings, &args.out, &mut on_progress, stop)?;
    bar.finish_and_clear();
    println!("{}", errors(&last));
    println!("model set: {}", args.out.join(format!("{}.toml", settings.name)).display());
    Ok(())
}

/// The errors on held-out people as text.
fn errors(held_out: &Evaluation) -> String {
    format!(
        "MPJPE {:.1} mm, PA-MPJPE {:.1} mm on {} held-out people (the mean pose: {:.1} and {:.1})",
        held_out.mpjpe_mm,
        held_out.pa_mpjpe_mm,
        held_out.people,
        held_out.mean_pose_mpjpe_mm,
        held_out.mean_pose_pa_mpjpe_mm
    )
}
