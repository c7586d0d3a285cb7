//! Fetches the files of a manifest for a command, with lines of progress and a progress bar.

use crate::runner::interrupt;
use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use posebook_core::download::DownloadLimits;
use posebook_core::fetch::{self, Event, FetchError, Manifest};
use std::path::{Path, PathBuf};
use std::time::Duration;

const SIZED: &str = "{msg}  {bar:24.cyan/dim} {bytes}/{total_bytes}, {bytes_per_sec}, {elapsed}, {eta} left";
const UNSIZED: &str = "{spinner} {msg}  {bytes}, {bytes_per_sec}, {elapsed}";

/// Prints the events of one source: lines on standard output, and a bar on a terminal.
pub struct ProgressLines {
    bar: ProgressBar,
}

impl ProgressLines {
    pub fn new() -> ProgressLines {
        ProgressLines { bar: ProgressBar::new(0) }
    }

    /// Prints an event.
    pub fn show(&self, event: &Event) {
        match event {
            Event::Progress { bytes, .. } => self.bar.set_position(*bytes),
            Event::Started { file } => {
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
        if let Some(line) = event.message() {
            if self.bar.is_hidden() { println!("{line}") } else { self.bar.println(line) }
        }
    }
}

impl Drop for ProgressLines {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Options of a fetch from the command line.
pub struct FetchOptions<'a> {
    /// A local archive or file instead of a download.
    pub from: Option<&'a Path>,
    pub accept_licence: bool,
    pub stall_secs: u32,
}

/// Fetches a manifest's files into `folder`, or takes them from a local file. Prints license and folder.
///
/// # Errors
/// If the license needs agreement, or a file cannot be fetched.
pub fn run(manifest: &Manifest, folder: &Path, options: &FetchOptions) -> Result<()> {
    println!("{}: {}", manifest.name, manifest.description);
    println!("licence: {}", manifest.licence);
    if let Some(terms) = &manifest.terms {
        println!("    {terms}");
    }
    if manifest.agreement && !options.accept_licence {
        bail!(
            "the licence of `{}` requires your agreement: read it, and give `--accept-licence` if you agree",
            manifest.name
        );
    }
    if options.from.is_none() && fetch::is_complete(manifest, folder)? {
        println!("all files exist already, nothing is fetched");
    } else {
        let progress = ProgressLines::new();
        let mut on_event = |event: Event| progress.show(&event);
        let limits = DownloadLimits { stall_secs: options.stall_secs.max(1), ..DownloadLimits::default() };
        let stop = interrupt::install();
        match options.from {
            Some(given) => fetch::import_file(manifest, given, folder, &mut on_event, stop)?,
            None => {
                fetch::fetch(manifest, folder, limits, &mut on_event, stop).map_err(FetchError::Multiple)?
            }
        }
    }
    println!("the files are in {}", folder.display());
    if !fetch::is_complete(manifest, folder)? {
        println!("some files of `{}` are still missing", manifest.name);
    }
    println!("next: {}", manifest.next.replace("FOLDER", &folder.display().to_string()));
    Ok(())
}

/// Finds the manifest `name` in `folder`.
///
/// # Errors
/// If there is none. The message lists the existing ones.
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
    bail!("no manifest `{name}` in {} (known: {})", folder.display(), names.join(", "))
}
