//! `posebook model import vitdet | regnety | x101`: makes the set of a published person detector from detectron2's checkpoint.

use super::{Progress, print_cost, project, warn_unless_ignored};
use crate::runner::interrupt;
use anyhow::{Context, Result, ensure};
use posebook_core::fetch;
use posebook_models::detect::mask_rcnn::{Architecture, Config};
use posebook_models::import::{self, DetectorRequest, DetectorSummary};
use posebook_models::recovery::DetectorSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

#[derive(clap::Args)]
#[command(after_help = "\
Examples: posebook model import vitdet --from-cache
          posebook model import regnety --checkpoint model_final_ef3a80.pkl
Without a folder, `--from-cache` searches $FVCORE_CACHE, ~/.torch/iopath_cache, and what `posebook model fetch` got.
Code in these files is never executed. Weights have their own licence: do not commit the set.")]
pub struct Args {
    /// Weights: detectron2's .pkl or .pth, or .safetensors
    #[arg(long, value_name = "FILE", conflicts_with = "from_cache")]
    checkpoint: Option<PathBuf>,
    /// Search the published checkpoint in the cache of detectron2, which 4D-Humans and PHALP use
    #[arg(long, value_name = "FOLDER", num_args = 0..=1)]
    from_cache: Option<Option<PathBuf>>,
    /// The set's name in `models/` [default: that of the detector]
    #[arg(long)]
    name: Option<String>,
    /// Number of classes of a checkpoint that was not trained on COCO's 80; class 0 has to be the person
    #[arg(long, value_name = "NUMBER")]
    classes: Option<usize>,
    /// A detector in `models/` with the dimensions of the checkpoint; the published ones by default
    #[arg(long, value_name = "DETECTOR")]
    like: Option<String>,
}

/// Imports a detector.
///
/// # Errors
/// If there is no checkpoint, or it cannot be imported.
pub fn run(architecture: Architecture, args: Args) -> Result<()> {
    let start = Instant::now();
    let folder = project()?.root.join("models");
    let config = match &args.like {
        None => Config::published(architecture),
        Some(name) => {
            let set = DetectorSet::find(&folder, name)?;
            let (found, wanted) = (set.architecture.name(), architecture.name());
            ensure!(
                found == wanted,
                "{name} is the detector {found}; an import of {wanted} needs one like it"
            );
            set.config
        }
    };
    let found = match &args.from_cache {
        Some(folder) if args.checkpoint.is_none() => from_cache(architecture, folder.as_deref())?,
        _ => None,
    };
    let checkpoint = args.checkpoint.or(found).with_context(|| {
        let name = architecture.name();
        format!(
            "no checkpoint: give it by `--checkpoint FILE`, use `--from-cache` where 4D-Humans or PHALP has run, or fetch \
             it (`posebook model fetch {name}`)"
        )
    })?;
    let name = args.name.unwrap_or_else(|| architecture.name().to_string());
    let request = DetectorRequest { name, folder, config, classes: args.classes, checkpoint };
    let stop = interrupt::install();
    let mut progress = Progress::new(&request.name)?;
    let imported = import::import_detector(&request, &mut |done, total| progress.update(done, total), stop);
    progress.finish();
    print_outcome(&imported?, &request, start);
    Ok(())
}

fn print_outcome(imported: &DetectorSummary, request: &DetectorRequest, start: Instant) {
    let DetectorSummary { manifest, weights_sha256, tensors_used, classes, .. } = imported;
    println!("{}: {tensors_used} tensors, {classes} classes", manifest.display());
    println!("    from {}", request.checkpoint.display());
    if let Some(author) = &imported.author {
        println!("    its author is `{author}`");
    }
    for kind in &imported.left_out {
        println!("    left out, as inference does not use them: {} {}", kind.tensors, kind.what);
    }
    println!("    SHA-256 of the weights {weights_sha256}");
    for note in &imported.notes {
        eprintln!("note: {note}");
    }
    print_cost(start, &request.name);
    warn_unless_ignored(manifest);
}

/// Finds the published checkpoint in `folder`, else in the usual ones, and prints where.
fn from_cache(architecture: Architecture, folder: Option<&Path>) -> Result<Option<PathBuf>> {
    let folders = match folder {
        Some(folder) => vec![super::cache_folder(Some(folder))?],
        None => {
            let fetched = fetch::model_folder(architecture.name()).ok();
            import::detector_cache_folders().into_iter().chain(fetched).collect()
        }
    };
    let found = folders.iter().find_map(|folder| import::find_detector_checkpoint(folder, architecture));
    match &found {
        Some(path) => println!("checkpoint: {}", path.display()),
        None => {
            let names: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
            println!("checkpoint: not in {}", names.join(", "));
        }
    }
    Ok(found)
}
