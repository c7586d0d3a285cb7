//! `posebook model import`: makes model sets from files of other projects. Each project's files are in a submodule.

mod detector;
mod hmr2;
mod phalp;

use super::super::experiment::project;
use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use posebook_core::memory::heap;
use posebook_models::detect::mask_rcnn::Architecture;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    source: Source,
}

#[derive(clap::Subcommand)]
enum Source {
    /// A model set from 4D-Humans' checkpoint and SMPL's body
    Hmr2(Box<hmr2::Args>),
    /// PHALP's appearance encoder, UV maps and pose predictor, as far as there are files
    Phalp(Box<phalp::Args>),
    /// ViTDet-H, the default detector of 4D-Humans and PHALP, from detectron2's checkpoint
    Vitdet(Box<detector::Args>),
    /// RegNetY-4GF Mask R-CNN, PHALP's `detector=maskrcnn`, from detectron2's checkpoint
    Regnety(Box<detector::Args>),
    /// ResNeXt-101 Mask R-CNN, PHALP's masks of provided boxes, from detectron2's checkpoint
    X101(Box<detector::Args>),
}

pub fn run(args: Args) -> Result<()> {
    match args.source {
        Source::Hmr2(args) => hmr2::run(*args),
        Source::Phalp(args) => phalp::run(*args),
        Source::Vitdet(args) => detector::run(Architecture::Vitdet, *args),
        Source::Regnety(args) => detector::run(Architecture::Regnety, *args),
        Source::X101(args) => detector::run(Architecture::X101, *args),
    }
}

/// A progress bar, or a line for each quarter without a terminal.
struct Progress {
    bar: ProgressBar,
    name: String,
    quarters: u64,
}

impl Progress {
    fn new(name: &str) -> Result<Progress> {
        let bar = ProgressBar::new(0);
        bar.set_style(ProgressStyle::with_template("{bar:24.cyan/dim} {bytes}/{total_bytes}, {eta} left")?);
        Ok(Progress { bar, name: name.to_string(), quarters: 0 })
    }

    fn update(&mut self, written_bytes: u64, whole_bytes: u64) {
        self.bar.set_length(whole_bytes);
        self.bar.set_position(written_bytes);
        let quarter = 4 * written_bytes / whole_bytes.max(1);
        if self.bar.is_hidden() && quarter > self.quarters {
            eprintln!("{}: {} % of the weights are written", self.name, 25 * quarter);
        }
        // a smaller one belongs to the next file
        self.quarters = quarter;
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn print_cost(start: Instant, name: &str) {
    let (secs, heap_mib) = (start.elapsed().as_secs_f64(), heap::peak_bytes() as f64 / f64::from(1 << 20));
    println!("    imported in {secs:.1} s with a heap peak of {heap_mib:.0} MiB");
    println!("    `posebook model verify {name}` verifies it by its manifest");
}

fn warn_unless_ignored(manifest: &Path) {
    if !is_ignored(manifest) {
        eprintln!("git does not ignore {}: do not commit the imported files", manifest.display());
    }
}

/// Whether git ignores a file; true outside of a checkout and without git.
fn is_ignored(path: &Path) -> bool {
    let mut git = Command::new("git");
    git.arg("-C").arg(path.parent().unwrap_or(Path::new("."))).args(["check-ignore", "--quiet"]).arg(path);
    git.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    git.status().map_or(true, |status| status.code() != Some(1))
}

/// The folder to search for cached files: the given one, else `~/.cache`.
fn cache_folder(folder: Option<&Path>) -> Result<PathBuf> {
    let folder = match folder {
        Some(folder) => folder.to_path_buf(),
        None => {
            PathBuf::from(std::env::var_os("HOME").context("HOME is not set: use `--from-cache FOLDER`")?)
                .join(".cache")
        }
    };
    if !folder.is_dir() {
        bail!("{} is not a folder: give the folder of the files by `--from-cache FOLDER`", folder.display());
    }
    Ok(folder)
}
