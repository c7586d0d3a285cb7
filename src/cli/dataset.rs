//! `posebook dataset`: make, fetch, list, verify.

use super::experiment::project;
use super::fetching::{self, FetchOptions, ProgressLines};
use crate::dataset::{ClipSpec, Dataset, DrawnLock, FootageSource, MadeClip, Recorded, walkers};
use crate::fetch;
use crate::runner::Project;
use crate::runner::interrupt;
use crate::runner::progress::{Event, for_stderr};
use crate::sources::Patience;
use anyhow::{Context, Result, bail, ensure};
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Make the clips that are not made yet, and fetch the footage that they need
    Make(Make),
    /// Fetch the footage of a dataset, by the manifests in `datasets/sources/`
    Fetch(Fetch),
    /// List datasets and their clips
    List,
    /// Put the decoded frames' SHA-256 of all drawn clips in the cache on record, in `datasets/drawn.lock`
    Record(RecordArgs),
    /// Read made clips again and compare their SHA-256
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
    /// A file that you have, instead of a download: the manifest's archive, or a file out of it
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
}

#[derive(clap::Args)]
struct RecordArgs {
    /// Replace hashes that are on record and differ
    #[arg(long)]
    replace: bool,
}

#[derive(clap::Args)]
struct Names {
    /// Names in `datasets/`; all where none is given
    names: Vec<String>,
}

pub fn run(args: Args) -> Result<()> {
    let project = project()?;
    match args.command {
        Command::Make(args) => {
            ensure!(args.all || !args.names.is_empty(), "name the datasets to make, or say --all");
            make(&project, &datasets(&project, &args.names)?)
        }
        Command::Fetch(args) => fetch_source(&project, &args),
        Command::List => list(&project, &datasets(&project, &[])?),
        Command::Record(args) => record(&project, args.replace),
        Command::Verify(args) => verify(&project, &datasets(&project, &args.names)?),
    }
}

/// The datasets called `names`, or all that there are.
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
    let stall_secs = Patience::default().stall_secs;
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
            let shown = ProgressLines::new();
            // footage that cannot be had does not keep other datasets from being made
            if let Err(error) = source.fetch(&mut |event| shown.show(&event), interrupt::listen()) {
                errors.push(format!("{}: {error}", dataset.name));
                continue;
            }
        }
        let mut listener = for_stderr();
        for clip in dataset.clips() {
            let mut show = |done, of| listener.hear(Event::Clip { name: &clip.name, done, of });
            let made = clip.make(&project.clips(), &mut show)?;
            made.notes.iter().for_each(|note| listener.hear(Event::Note(note)));
        }
    }
    ensure!(errors.is_empty(), "{}", errors.join("\n"));
    Ok(())
}

fn list(project: &Project, datasets: &[Dataset]) -> Result<()> {
    for dataset in datasets {
        println!("{}: {}", dataset.name, dataset.about);
        if let Some(source) = &dataset.footage {
            println!("    {}", in_words(source)?);
        }
        for clip in dataset.clips() {
            println!("    {}", line(project, clip)?);
        }
    }
    Ok(())
}

/// Where footage comes from, in one line: licence, size, and whether it was fetched.
fn in_words(source: &FootageSource) -> Result<String> {
    let FootageSource { manifest, folder, .. } = source;
    let place = match (source.is_fetched()?, manifest.bytes()) {
        (true, _) => format!("fetched to {}", folder.display()),
        (false, Some(bytes)) => format!("not fetched yet, {}", fetch::size_in_words(bytes)),
        (false, None) => "not fetched yet".to_string(),
    };
    let truth = source.views.as_ref().map(|plan| {
        let made = if plan.is_made() { "made" } else { "not made yet" };
        format!("; truth in space: {}, {made}", plan.origin)
    });
    Ok(format!("licence: {}; {place}{}", manifest.licence, truth.unwrap_or_default()))
}

/// A clip in one line: name, size, length, and where it lies if it is made.
fn line(project: &Project, clip: &ClipSpec) -> Result<String> {
    let size = clip.size().map(|(width, height)| format!(", {width}x{height}")).unwrap_or_default();
    let frames = clip.frames().map(|frames| format!(", {frames} frames")).unwrap_or_default();
    let place = match clip.ready(&project.clips()) {
        Ok(Some(ready)) => format!("made: {}", ready.path.display()),
        Ok(None) => "not made yet".to_string(),
        Err(error) => format!("cannot be had: {error}"),
    };
    Ok(format!("{}{size}{frames}; {place}", clip.name))
}

fn record(project: &Project, replace: bool) -> Result<()> {
    let datasets = project.root.join("datasets");
    let version = walkers::version();
    let mut lock = DrawnLock::load(&datasets, &version)?;
    let (mut added, mut same, mut differing) = (0, 0, 0);
    for clip in MadeClip::drawn(&project.clips(), &version)? {
        match lock.record(&clip.key, clip.description.clone(), &clip.decoded_sha256, replace) {
            Recorded::Added => added += 1,
            Recorded::Same => same += 1,
            Recorded::Differs(recorded) => {
                differing += 1;
                let done = if replace { "replaced" } else { "kept; --replace replaces it" };
                eprintln!(
                    "{}: the decoded frames' SHA-256 is {}, and {recorded} is on record ({done})",
                    clip.description, clip.decoded_sha256
                );
            }
        }
    }
    lock.save(&datasets)?;
    println!("{added} clips added, {same} as on record, {differing} different");
    ensure!(differing == 0 || replace, "{differing} clips have other decoded frames than those on record");
    Ok(())
}

fn verify(project: &Project, datasets: &[Dataset]) -> Result<()> {
    let mut wrong = 0;
    for clip in datasets.iter().flat_map(Dataset::clips) {
        match clip.verify(&project.clips()) {
            Ok(Some(_)) => println!("{}: as it was made", clip.name),
            Ok(None) => println!("{}: not made yet", clip.name),
            Err(error) => {
                wrong += 1;
                eprintln!("{}: {error}", clip.name);
            }
        }
    }
    if wrong > 0 {
        bail!("{wrong} clips are not as they were made");
    }
    Ok(())
}
