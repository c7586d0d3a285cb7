//! `posebook model import hmr2`: makes a model set from 4D-Humans' checkpoint and SMPL's body.

use super::{Progress, cache_folder, print_cost, project, warn_unless_ignored};
use crate::runner::interrupt;
use anyhow::{Context, Result};
use posebook_models::hmr2::Config;
use posebook_models::import::{self, CachedFiles, ImportRequest};
use posebook_models::recovery::ModelSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

#[derive(clap::Args)]
#[command(after_help = "\
Example: posebook model import hmr2 --checkpoint 'epoch=35-step=1000000.ckpt' --smpl SMPL_NEUTRAL.pkl
Code in these files is never executed. Files under a license agreement must not be published, nor must the model set \
made from them: do not commit it.")]
pub struct Args {
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

pub fn run(args: Args) -> Result<()> {
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
    let mut progress = Progress::new(&request.name)?;
    let imported = import::import_hmr2(&request, &mut |done, total| progress.update(done, total), stop);
    progress.finish();
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
    print_cost(start, &request.name);
    warn_unless_ignored(manifest);
}

/// Finds the files of 4D-Humans and PHALP, and prints which exist.
fn from_cache(folder: Option<&Path>) -> Result<CachedFiles> {
    let folder = cache_folder(folder)?;
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
