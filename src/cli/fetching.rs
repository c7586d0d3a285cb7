//! What fetching reports, as lines and a progress bar. Must not know what is fetched.

use crate::fetch::{self, Event, FetchError, Manifest};
use crate::runner::interrupt;
use crate::sources::Patience;
use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::{Path, PathBuf};
use std::time::Duration;

const SIZED: &str = "{msg}  {bar:24.cyan/dim} {bytes}/{total_bytes}, {bytes_per_sec}, {elapsed}, {eta} left";
const UNSIZED: &str = "{spinner} {msg}  {bytes}, {bytes_per_sec}, {elapsed}";

/// Shows the events of one source: lines on the standard output, and a bar where there is a terminal.
pub struct ProgressLines {
    bar: ProgressBar,
}

impl ProgressLines {
    pub fn new() -> ProgressLines {
        ProgressLines { bar: ProgressBar::new(0) }
    }

    /// Shows an event.
    pub fn show(&self, event: &Event) {
        match event {
            Event::Grew { bytes, .. } => self.bar.set_position(*bytes),
            Event::Began { file } => {
                self.bar.set_position(0);
                self.bar.set_length(file.bytes.unwrap_or(0));
                let template = if file.bytes.is_some() { SIZED } else { UNSIZED };
                if let Ok(style) = ProgressStyle::with_template(template) {
                    self.bar.set_style(style);
                }
                self.bar.set_message(file.name.clone());
                self.bar.enable_steady_tick(Duration::from_millis(250));
            }
            _ => {}
        }
        if let Some(line) = event.line() {
            if self.bar.is_hidden() { println!("{line}") } else { self.bar.println(line) }
        }
    }
}

impl Drop for ProgressLines {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// What a person asks of a fetch.
pub struct FetchOptions<'a> {
    /// An archive or file that the user has, instead of a download.
    pub from: Option<&'a Path>,
    pub accept_licence: bool,
    pub stall_secs: u32,
}

/// Fetches a manifest's files into `folder`, or takes them out of the user's file; says licence and place.
///
/// # Errors
/// If the licence has to be agreed to, or a file cannot be had.
pub fn run(manifest: &Manifest, folder: &Path, options: &FetchOptions) -> Result<()> {
    println!("{}: {}", manifest.name, manifest.description);
    println!("licence: {}", manifest.licence);
    if let Some(terms) = &manifest.terms {
        println!("    {terms}");
    }
    if manifest.agreement && !options.accept_licence {
        bail!(
            "the licence of `{}` wants your agreement: read it, and give `--accept-licence` if you agree",
            manifest.name
        );
    }
    if options.from.is_none() && fetch::is_complete(manifest, folder)? {
        println!("all files are there already, nothing is fetched");
    } else {
        let shown = ProgressLines::new();
        let mut tell = |event: Event| shown.show(&event);
        let patience = Patience { stall_secs: options.stall_secs.max(1), ..Patience::default() };
        let stop = interrupt::listen();
        match options.from {
            Some(given) => fetch::take(manifest, given, folder, &mut tell, stop)?,
            None => fetch::fetch(manifest, folder, patience, &mut tell, stop).map_err(FetchError::Several)?,
        }
    }
    println!("the files are in {}", folder.display());
    if !fetch::is_complete(manifest, folder)? {
        println!("not all files of `{}` are there yet", manifest.name);
    }
    println!("next: {}", manifest.next.replace("FOLDER", &folder.display().to_string()));
    Ok(())
}

/// The manifest `name` in `folder`.
///
/// # Errors
/// If there is none: which there are.
pub fn find(folder: &Path, name: &str) -> Result<Manifest> {
    let path: PathBuf = folder.join(format!("{name}.toml"));
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
