//! `posebook model train`: trains a network's weights on generated crops.
//!
//! The settings file says what is trained: HMR2, or with `kind = "appearance"` the encoder of textures.

use crate::runner::interrupt;
use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use posebook_core::files::check_writable_folder;
use posebook_synth::train::{
    self, AppearanceProgress, AppearanceSettings, Evaluation, Separation, Settings, TrainingKind,
};
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
    let kind = TrainingKind::of_file(&args.settings)?;
    check_writable_folder(&args.out)
        .with_context(|| format!("cannot write results to the folder {}", args.out.display()))?;
    match kind {
        TrainingKind::Hmr2 => train_hmr2(args),
        TrainingKind::Appearance => train_encoder(args),
    }
}

fn progress_bar(unit: &str) -> Result<ProgressBar> {
    let bar = ProgressBar::new(0);
    let template = format!("{{bar:24.cyan/dim}} {{pos}}/{{len}} {unit}, {{eta}} left  {{msg}}");
    bar.set_style(ProgressStyle::with_template(&template)?);
    Ok(bar)
}

/// Prints a line above the progress bar, or to standard error if the bar is hidden (no terminal).
fn print_above(bar: &ProgressBar, line: String) {
    if bar.is_hidden() { eprintln!("{line}") } else { bar.println(line) }
}

fn train_hmr2(args: &Args) -> Result<()> {
    let settings = Settings::load(&args.settings)?;
    let stop = interrupt::install();
    let bar = progress_bar("steps")?;
    let mut on_progress = |progress: &train::Progress| {
        bar.set_length(progress.steps as u64);
        bar.set_position(progress.step as u64);
        bar.set_message(format!("loss {:.4}, {:.0} crops/s", progress.loss, progress.crops_per_sec));
        if let Some(held_out) = &progress.evaluation {
            print_above(&bar, format!("step {}: {}", progress.step, errors(held_out)));
        }
    };
    let last = train::run(&settings, &args.out, &mut on_progress, stop)?;
    bar.finish_and_clear();
    println!("{}", errors(&last));
    println!("model set: {}", args.out.join(format!("{}.toml", settings.name)).display());
    Ok(())
}

fn train_encoder(args: &Args) -> Result<()> {
    let settings = AppearanceSettings::load(&args.settings)?;
    let stop = interrupt::install();
    let (people, steps) = (progress_bar("people")?, progress_bar("steps")?);
    let mut on_progress = |progress: AppearanceProgress| match progress {
        AppearanceProgress::People { done, all } => {
            people.set_length(all as u64);
            people.set_position(people.position().max(done as u64));
        }
        AppearanceProgress::Step { step, steps: all, loss, separation } => {
            people.finish_and_clear();
            steps.set_length(all as u64);
            steps.set_position(step as u64);
            steps.set_message(format!("loss {loss:.4}"));
            if let Some(found) = &separation {
                print_above(&steps, format!("step {step}: {}", separation_line(found)));
            }
        }
    };
    let [trained, raw] = train::train_appearance(&settings, &args.out, &mut on_progress, stop)?;
    steps.finish_and_clear();
    println!("encoder: {}", separation_line(&trained));
    println!("without weights: {}", separation_line(&raw));
    println!("manifest: {}", args.out.join(format!("{}.toml", settings.name)).display());
    Ok(())
}

/// How well people are told apart, as text.
fn separation_line(found: &Separation) -> String {
    format!(
        "AUC {:.3}, {:.1}% nearest to themselves, median distance {:.4} of one person and {:.4} of two ({} held-out people)",
        found.auc,
        100.0 * found.first_rank,
        found.same_median,
        found.different_median,
        found.people
    )
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
