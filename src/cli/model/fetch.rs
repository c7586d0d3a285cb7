//! `posebook model fetch`: files that others publish, by the manifests in `models/sources/`.

use super::super::experiment::project;
use crate::fetch::{self, Event, Manifest};
use crate::runner::interrupt;
use crate::sources::Patience;
use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
#[command(after_help = "\
Packages come by `npm` and `pip`, other files by `curl`: mirrors and proxies are those that these are set up with.
A download that broke off is gone on with when the command is given again.")]
pub struct Args {
    /// The manifest's name in `models/sources/`
    name: String,
    /// Agree to the licence, where it wants that
    #[arg(long)]
    accept_licence: bool,
    /// Where the files go [default: .posebook/downloads/NAME]
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
    /// Seconds without a byte after which a line is dead
    #[arg(long, value_name = "SECONDS", default_value_t = Patience::default().stall_secs)]
    stall_secs: u32,
}

pub fn run(args: &Args) -> Result<()> {
    let project = project()?;
    let manifest = find(&project.root.join("models/sources"), &args.name)?;
    println!("{}: {}", args.name, manifest.description);
    println!("licence: {}", manifest.licence);
    if let Some(terms) = &manifest.terms {
        println!("    {terms}");
    }
    if manifest.agreement && !args.accept_licence {
        bail!(
            "the licence of `{}` wants your agreement: read it, and give `--accept-licence` if you agree",
            args.name
        );
    }
    let folder = args.to.clone().unwrap_or_else(|| project.downloads().join(&args.name));
    let patience = Patience { stall_secs: args.stall_secs.max(1), ..Patience::default() };
    let bar = ProgressBar::new(0);
    let mut tell = |event: Event| say(&bar, event);
    let fetched = fetch::fetch(&manifest, &folder, patience, &mut tell, interrupt::listen());
    bar.finish_and_clear();
    match fetched {
        Ok(()) => {
            println!("the files are in {}", folder.display());
            println!("next: {}", manifest.next.replace("FOLDER", &folder.display().to_string()));
            Ok(())
        }
        Err(errors) => {
            let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
            bail!("{}", told.join("\n"))
        }
    }
}

fn find(folder: &Path, name: &str) -> Result<Manifest> {
    let path = folder.join(format!("{name}.toml"));
    if path.is_file() && !name.contains(['/', '\\']) {
        return Ok(Manifest::load(&path)?);
    }
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".toml")?.to_string()))
        .collect();
    names.sort();
    bail!("there is no manifest `{name}` in {}; there are: {}", folder.display(), names.join(", "))
}

fn say(bar: &ProgressBar, event: Event) {
    let line = match event {
        Event::Grew { bytes, .. } => {
            bar.set_position(bytes);
            return;
        }
        Event::Began { file } => {
            bar.set_position(0);
            bar.set_length(file.bytes.unwrap_or(0));
            let template = match file.bytes {
                Some(_) => "{msg}  {bar:24.cyan/dim} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left",
                None => "{msg}  {bytes}, {bytes_per_sec}",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_message(file.name.clone());
            format!("{}: fetching", file.name)
        }
        Event::There { file } => format!("{}: there already", file.name),
        Event::Came { file, sha256, is_known: true } => {
            format!("{}: came, SHA-256 {sha256} as it should be", file.name)
        }
        Event::Came { file, sha256, is_known: false } => {
            format!(
                "{}: came, SHA-256 {sha256}, which the manifest does not know: compare it with others'",
                file.name
            )
        }
        Event::Unpacked { file, files } => format!("{}: {files} files unpacked", file.name),
    };
    if bar.is_hidden() { println!("{line}") } else { bar.println(line) }
}
