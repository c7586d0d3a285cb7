//! `posebook dataset`: makes, fetches, lists and verifies clips.

use super::experiment::project;
use super::fetching::{self, FetchOptions, ProgressLines};
use crate::dataset::{CachedClip, ClipSpec, Dataset, DrawnLock, FootageSource, RecordOutcome};
use crate::runner::Project;
use crate::runner::interrupt;
use crate::runner::progress::{ProgressEvent, stderr_listener};
use anyhow::{Context, Result, bail, ensure};
use posebook_core::download::DownloadLimits;
use posebook_core::fetch;
use posebook_synth::walkers;
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Make missing clips, and fetch the footage that they need
    Make(Make),
    /// Fetch the footage of a dataset, as described in `datasets/sources/`
    Fetch(Fetch),
    /// List datasets and their clips
    List,
    /// Record the SHA-256 of the decoded frames of all drawn clips in the cache, in `datasets/drawn.lock`
    Record(RecordArgs),
    /// Verify the SHA-256 of the cached clips
    Verify(Names),
}

#[derive(clap::Args)]
struct Make {
    /// Names in `datasets/`, or paths of TOML files
    names: Vec<String>,
    /// All datasets in `datasets/`
    #[arg(long)]
    all: bool,
}

#[derive(clap::Args)]
struct Fetch {
    /// The manifest's name in `datasets/sources/`
    name: String,
    /// A local file instead of a download: the manifest's archive, or a file from it
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
}

#[derive(clap::Args)]
struct RecordArgs {
    /// Replace recorded hashes that differ
    #[arg(long)]
    replace: bool,
}

#[derive(clap::Args)]
struct Names {
    /// Names in `datasets/`; without any, all
    names: Vec<String>,
}

pub fn run(args: Args) -> Result<()> {
    let project = project()?;
    match args.command {
        Command::Make(args) => {
            ensure!(args.all || !args.names.is_empty(), "name the datasets to make, or use --all");
            make(&project, &datasets(&project, &args.names)?)
        }
        Command::Fetch(args) => fetch_source(&project, &args),
        Command::List => list(&project, &datasets(&project, &[])?),
        Command::Record(args) => record(&project, args.replace),
        Command::Verify(args) => verify(&project, &datasets(&project, &args.names)?),
    }
}

/// The datasets called `names`, or all datasets.
fn datasets(project: &Project, names: &[String]) -> Result<Vec<Dataset>> {
    let paths: Vec<PathBuf> = if names.is_empty() {
        let folder = project.root.join("datasets");
        let entries =
            std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        paths.sort();
        paths
    } else {
        names.iter().map(|name| project.dataset(name)).collect()
    };
    paths.iter().map(|path| Ok(Dataset::load(path, &toml::Table::new())?)).collect()
}

fn fetch_source(project: &Project, args: &Fetch) -> Result<()> {
    let manifest = fetching::find(&project.root.join("datasets/sources"), &args.name)?;
    let folder = fetch::footage_folder(&args.name)?;
    let stall_secs = DownloadLimits::default().stall_secs;
    fetching::run(
        &manifest,
        &folder,
        &FetchOptions { from: args.from.as_deref(), accept_licence: false, stall_secs },
    )
}

fn make(project: &Project, datasets: &[Dataset]) -> Result<()> {
    let mut errors = Vec::new();
    for dataset in datasets {
        if let Some(source) = &dataset.footage {
            let progress = ProgressLines::new();
            // datasets whose footage cannot be fetched do not prevent others from being made
            if let Err(error) = source.fetch(&mut |event| progress.show(&event), interrupt::install()) {
                errors.push(format!("{}: {error}", dataset.name));
                continue;
            }
        }
        let mut listener = stderr_listener();
        for clip in dataset.clips() {
            let mut show =
                |done, total| listener.on_event(ProgressEvent::Clip { name: &clip.name, done, total });
            let made = clip.prepare(&project.clips(), &mut show)?;
            made.notes.iter().for_each(|note| listener.on_event(ProgressEvent::Note(note)));
        }
    }
    ensure!(errors.is_empty(), "{}", errors.join("\n"));
    Ok(())
}

fn list(project: &Project, datasets: &[Dataset]) -> Result<()> {
    for dataset in datasets {
        println!("{}: {}", dataset.name, dataset.about);
        if let Some(source) = &dataset.footage {
            println!("    {}", describe_footage(source)?);
        }
        for clip in dataset.clips() {
            println!("    {}", describe_clip(project, clip)?);
        }
    }
    Ok(())
}

/// License, size and location of footage in one line.
fn describe_footage(source: &FootageSource) -> Result<String> {
    let FootageSource { manifest, folder, .. } = source;
    let location = match (source.is_fetched()?, manifest.bytes()) {
        (true, _) => format!("fetched to {}", folder.display()),
        (false, Some(bytes)) => format!("not fetched yet, {}", fetch::format_size(bytes)),
        (false, None) => "not fetched yet".to_string(),
    };
    let truth = source.views.as_ref().map(|plan| {
        let made = if plan.truth_exists() { "made" } else { "not made yet" };
        format!("; 3D ground truth: {}, {made}", plan.origin)
    });
    Ok(format!("licence: {}; {location}{}", manifest.licence, truth.unwrap_or_default()))
}

/// Name, size, length and location of a clip in one line.
fn describe_clip(project: &Project, clip: &ClipSpec) -> Result<String> {
    let size = clip.frame_size().map(|size| format!(", {size}")).unwrap_or_default();
    let frames = clip.frame_count().map(|frames| format!(", {frames} frames")).unwrap_or_default();
    let location = match clip.find_cached(&project.clips()) {
        Ok(Some(ready)) => format!("made: {}", ready.path.display()),
        Ok(None) => "not made yet".to_string(),
        Err(error) => format!("not available: {error}"),
    };
    Ok(format!("{}{size}{frames}; {location}", clip.name))
}

fn record(project: &Project, replace: bool) -> Result<()> {
    let datasets = project.root.join("datasets");
    let version = walkers::version();
    let mut lock = DrawnLock::load(&datasets, &version)?;
    let (mut added, mut same, mut differing) = (0, 0, 0);
    for clip in CachedClip::list_drawn(&project.clips(), &version)? {
        match lock.record(&clip.key, clip.description.clone(), &clip.decoded_sha256, replace) {
            RecordOutcome::Added => added += 1,
            RecordOutcome::Same => same += 1,
            RecordOutcome::Differs(recorded) => {
                differing += 1;
                let done = if replace { "replaced" } else { "not replaced; use --replace" };
                eprintln!(
                    "{}: the SHA-256 of the decoded frames is {}, but {recorded} is recorded ({done})",
                    clip.description, clip.decoded_sha256
                );
            }
        }
    }
    lock.save(&datasets)?;
    println!("{added} clips added, {same} unchanged, {differing} different");
    ensure!(differing == 0 || replace, "the decoded frames of {differing} clips differ from the record");
    Ok(())
}

fn verify(project: &Project, datasets: &[Dataset]) -> Result<()> {
    let mut changed = 0;
    for clip in datasets.iter().flat_map(Dataset::clips) {
        match clip.verify(&project.clips()) {
            Ok(Some(_)) => println!("{}: unchanged", clip.name),
            Ok(None) => println!("{}: not made yet", clip.name),
            Err(error) => {
                changed += 1;
                eprintln!("{}: {error}", clip.name);
            }
        }
    }
    if changed > 0 {
        bail!("{changed} clips have changed");
    }
    Ok(())
}
