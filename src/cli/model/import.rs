//! `posebook model import`: a model set of the files that people have.

use super::super::experiment::project;
use crate::hmr2::Config;
use crate::import::{self, Found, Request};
use crate::memory::heap;
use crate::recovery::ModelSet;
use crate::runner::interrupt;
use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

#[derive(clap::Args)]
#[command(after_help = "\
Example: posebook model import hmr2 --checkpoint 'epoch=35-step=1000000.ckpt' --smpl SMPL_NEUTRAL.pkl
No code in these files is ever run. Files that need agreement stay yours: what is made of them is not for git.")]
pub struct Args {
    /// The network whose files these are
    network: Network,
    /// Its weights: PyTorch's .ckpt or .pth, or .safetensors
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// SMPL's neutral body: .pkl of Python 2 or 3, or .npz
    #[arg(long, value_name = "FILE")]
    smpl: Option<PathBuf>,
    /// 4D-Humans' 19 joints, SMPL_to_J19.pkl; not needed where the checkpoint has them
    #[arg(long, value_name = "FILE")]
    joint_regressor: Option<PathBuf>,
    /// The initial pose, shape and camera, smpl_mean_params.npz; those of the checkpoint win
    #[arg(long, value_name = "FILE")]
    mean_params: Option<PathBuf>,
    /// Look for files that are not given where 4D-Humans and PHALP keep theirs [default: ~/.cache]
    #[arg(long, value_name = "FOLDER", num_args = 0..=1)]
    from_cache: Option<Option<PathBuf>>,
    /// The model set's name in `models/`
    #[arg(long, default_value = "hmr2")]
    name: String,
    /// A model set whose sizes the checkpoint has; the published ones where none is given
    #[arg(long, value_name = "MODELSET")]
    like: Option<String>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Network {
    Hmr2,
}

pub fn run(args: Args) -> Result<()> {
    let Network::Hmr2 = args.network;
    let began = Instant::now();
    let folder = project()?.root.join("models");
    let architecture = match &args.like {
        Some(name) => ModelSet::find(&folder, name)?.hmr2("an import")?.clone(),
        None => Config::hmr2(),
    };
    let found = match &args.from_cache {
        Some(cache) => from_cache(cache.as_deref())?,
        None => Found::default(),
    };
    let need = |given: Option<PathBuf>, found: Option<PathBuf>, option: &str, what: &str| {
        given.or(found).with_context(|| {
            format!("no {what}: give it by `{option} FILE`, or `--from-cache` where 4D-Humans is installed")
        })
    };
    let request = Request {
        name: args.name,
        folder,
        architecture,
        checkpoint: need(args.checkpoint, found.checkpoint, "--checkpoint", "checkpoint")?,
        smpl: need(args.smpl, found.smpl, "--smpl", "SMPL body (register at smpl.is.tue.mpg.de for it)")?,
        joint_regressor: args.joint_regressor.or(found.joint_regressor),
        mean_params: args.mean_params.or(found.mean_params),
    };
    let stop = interrupt::listen();
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template("{bar:24.cyan/dim} {bytes}/{total_bytes}, {eta} left")?);
    let mut quarters = 0;
    let mut tell = |written_bytes: u64, whole_bytes: u64| {
        bar.set_length(whole_bytes);
        bar.set_position(written_bytes);
        // where there is no terminal: a line for each quarter
        let quarter = 4 * written_bytes / whole_bytes.max(1);
        if bar.is_hidden() && quarter > quarters {
            quarters = quarter;
            eprintln!("{}: {} % of the weights are written", request.name, 25 * quarter);
        }
    };
    let imported = import::hmr2(&request, &mut tell, stop);
    bar.finish_and_clear();
    say(&imported?, &request, began);
    Ok(())
}

fn say(imported: &import::Outcome, request: &Request, began: Instant) {
    let import::Outcome { manifest, used, left_out, vertices, .. } = imported;
    println!("{}: {used} tensors, and a body of {vertices} vertices", manifest.display());
    println!("    {left_out} tensors of the checkpoint, which inference does not use, are left out");
    println!("    weights' SHA-256 {}", imported.weights_sha256);
    if request.mean_params.is_some() && !imported.mean_params_used {
        println!(
            "    the checkpoint has its own initial pose, shape and camera: as in 4D-Humans, those are used"
        );
    }
    let (secs, heap_mib) = (began.elapsed().as_secs_f64(), heap::peak_bytes() as f64 / f64::from(1 << 20));
    println!("    imported in {secs:.1} s with {heap_mib:.0} MiB of heap at most");
    println!("    `posebook model verify {}` holds it against its manifest", request.name);
    if !is_ignored(manifest) {
        eprintln!("git does not ignore {}: do not commit what was imported", manifest.display());
    }
}

/// Whether git leaves a file alone. Outside of a checkout, or without git, it does.
fn is_ignored(path: &Path) -> bool {
    let mut git = Command::new("git");
    git.arg("-C").arg(path.parent().unwrap_or(Path::new("."))).args(["check-ignore", "--quiet"]).arg(path);
    git.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    git.status().map_or(true, |status| status.code() != Some(1))
}

/// The files of 4D-Humans and PHALP; says which there are.
fn from_cache(folder: Option<&Path>) -> Result<Found> {
    let folder = match folder {
        Some(folder) => folder.to_path_buf(),
        None => {
            PathBuf::from(std::env::var_os("HOME").context("there is no HOME: say `--from-cache FOLDER`")?)
                .join(".cache")
        }
    };
    if !folder.is_dir() {
        bail!("{} is no folder: say where the files are by `--from-cache FOLDER`", folder.display());
    }
    let found = import::find(&folder);
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
