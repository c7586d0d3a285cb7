//! `posebook model import`: makes a model set from checkpoints and bodies of other projects.

use super::super::experiment::project;
use crate::runner::interrupt;
use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use posebook_core::memory::heap;
use posebook_models::hmr2::Config;
use posebook_models::import::{self, CachedFiles, ImportRequest};
use posebook_models::recovery::ModelSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

#[derive(clap::Args)]
#[command(after_help = "\
Example: posebook model import hmr2 --checkpoint 'epoch=35-step=1000000.ckpt' --smpl SMPL_NEUTRAL.pkl
Code in these files is never executed. Files under a license agreement must not be published, nor must the model set \
made from them: do not commit it.")]
pub struct Args {
    /// The network
    network: Network,
    /// Weights: PyTorch's .ckpt or .pth, or .safetensors
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// SMPL's neutral body: .pkl of Python 2 or 3, or .npz
    #[arg(long, value_name = "FILE")]
    smpl: Option<PathBuf>,
    /// 4D-Humans' 19 joints, SMPL_to_J19.pkl; not needed if the checkpoint has them
    #[arg(long, value_name = "FILE")]
    joint_regressor: Option<PathBuf>,
    /// Initial pose, shape and camera, smpl_mean_params.npz; those of the checkpoint have priority
    #[arg(long, value_name = "FILE")]
    mean_params: Option<PathBuf>,
    /// Search files that are not given in the cache of 4D-Humans and PHALP [default: ~/.cache]
    #[arg(long, value_name = "FOLDER", num_args = 0..=1)]
    from_cache: Option<Option<PathBuf>>,
    /// The model set's name in `models/`
    #[arg(long, default_value = "hmr2")]
    name: String,
    /// A model set with the dimensions of the checkpoint; the published ones by default
    #[arg(long, value_name = "MODELSET")]
    like: Option<String>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Network {
    Hmr2,
}

pub fn run(args: Args) -> Result<()> {
    let Network::Hmr2 = args.network;
    let start = Instant::now();
    let folder = project()?.root.join("models");
    let architecture = match &args.like {
        Some(name) => ModelSet::find(&folder, name)?.hmr2_config("an import")?.clone(),
        None => Config::hmr2(),
    };
    let found = match &args.from_cache {
        Some(cache) => from_cache(cache.as_deref())?,
        None => CachedFiles::default(),
    };
    let need = |given: Option<PathBuf>, found: Option<PathBuf>, option: &str, what: &str| {
        given.or(found).with_context(|| {
            format!("no {what}: give it by `{option} FILE`, or use `--from-cache` if 4D-Humans is installed")
        })
    };
    let request = ImportRequest {
        name: args.name,
        folder,
        architecture,
        checkpoint: need(args.checkpoint, found.checkpoint, "--checkpoint", "checkpoint")?,
        smpl: need(args.smpl, found.smpl, "--smpl", "SMPL body (register at smpl.is.tue.mpg.de for it)")?,
        joint_regressor: args.joint_regressor.or(found.joint_regressor),
        mean_params: args.mean_params.or(found.mean_params),
    };
    let stop = interrupt::install();
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template("{bar:24.cyan/dim} {bytes}/{total_bytes}, {eta} left")?);
    let mut quarters = 0;
    let mut on_progress = |written_bytes: u64, whole_bytes: u64| {
        bar.set_length(whole_bytes);
        bar.set_position(written_bytes);
        // without a terminal: a line for each quarter
        let quarter = 4 * written_bytes / whole_bytes.max(1);
        if bar.is_hidden() && quarter > quarters {
            quarters = quarter;
            eprintln!("{}: {} % of the weights are written", request.name, 25 * quarter);
        }
    };
    let imported = import::import_hmr2(&request, &mut on_progress, stop);
    bar.finish_and_clear();
    print_outcome(&imported?, &request, start);
    Ok(())
}

fn print_outcome(imported: &import::ImportSummary, request: &ImportRequest, start: Instant) {
    let import::ImportSummary { manifest, tensors_used, tensors_unused, vertices, .. } = imported;
    println!("{}: {tensors_used} tensors, and a body of {vertices} vertices", manifest.display());
    println!("    {tensors_unused} tensors that inference does not use are left out");
    println!("    SHA-256 of the weights {}", imported.weights_sha256);
    if request.mean_params.is_some() && !imported.mean_params_used {
        println!("    the checkpoint's own initial pose, shape and camera are used, as in 4D-Humans");
    }
    let (secs, heap_mib) = (start.elapsed().as_secs_f64(), heap::peak_bytes() as f64 / f64::from(1 << 20));
    println!("    imported in {secs:.1} s with a heap peak of {heap_mib:.0} MiB");
    println!("    `posebook model verify {}` verifies it by its manifest", request.name);
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

/// Finds the files of 4D-Humans and PHALP, and prints which exist.
fn from_cache(folder: Option<&Path>) -> Result<CachedFiles> {
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
    let found = import::find_cached_files(&folder);
    let files = [
        ("checkpoint", &found.checkpoint),
        ("SMPL body", &found.smpl),
        ("joint regressor", &found.joint_regressor),
        ("mean parameters", &found.mean_params),
    ];
    for (what, path) in files {
        match path {
            Some(path) => println!("{what}: {}", path.display()),
            None => println!("{what}: not in {}", folder.display()),
        }
    }
    Ok(found)
}
