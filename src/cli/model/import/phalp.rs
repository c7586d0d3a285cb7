//! `posebook model import phalp`: makes a set of PHALP's files: appearance encoder, UV maps, pose predictor.

use super::{Progress, cache_folder, print_cost, project, warn_unless_ignored};
use crate::runner::interrupt;
use anyhow::Result;
use posebook_models::import::{self, PhalpFile, PhalpRequest, PhalpSummary};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

#[derive(clap::Args)]
#[command(after_help = "\
Example: posebook model import phalp --from-cache
Files that are missing are listed with what they are for; the others are imported. The body is imported with hmr2.
Code in these files is never executed. Files under a license agreement must not be published, nor must the set made from \
them: do not commit it.")]
pub struct Args {
    /// HMAR's weights, hmar_v2_weights.pth: the appearance encoder
    #[arg(long, value_name = "FILE")]
    hmar: Option<PathBuf>,
    /// Weights of the corners of each texel's face, bmap_256.npy
    #[arg(long, value_name = "FILE")]
    bmap: Option<PathBuf>,
    /// The face of each texel, fmap_256.npy
    #[arg(long, value_name = "FILE")]
    fmap: Option<PathBuf>,
    /// The pose predictor's checkpoint, pose_predictor.pth (pose_predictor_40006.ckpt)
    #[arg(long, value_name = "FILE")]
    pose_predictor: Option<PathBuf>,
    /// Its configuration, pose_predictor.yaml (config_40006.yaml)
    #[arg(long, value_name = "FILE")]
    pose_predictor_config: Option<PathBuf>,
    /// Mean and deviation of pose vectors, mean_std.npy
    #[arg(long, value_name = "FILE")]
    mean_std: Option<PathBuf>,
    /// Initial pose, shape and camera, smpl_mean_params.npz; those of the checkpoint have priority
    #[arg(long, value_name = "FILE")]
    smpl_mean_params: Option<PathBuf>,
    /// Faces and texture coordinates of SMPL, texture.npz
    #[arg(long, value_name = "FILE")]
    texture: Option<PathBuf>,
    /// Faces of head and upper body, head_faces.npy
    #[arg(long, value_name = "FILE")]
    head_faces: Option<PathBuf>,
    /// Search files that are not given in the cache of PHALP and 4D-Humans [default: ~/.cache]
    #[arg(long, value_name = "FOLDER", num_args = 0..=1)]
    from_cache: Option<Option<PathBuf>>,
    /// The set's name in `models/`
    #[arg(long, default_value = "phalp")]
    name: String,
}

impl Args {
    fn given(&self) -> impl Iterator<Item = (PhalpFile, PathBuf)> {
        let all = [
            (PhalpFile::Hmar, &self.hmar),
            (PhalpFile::Bmap, &self.bmap),
            (PhalpFile::Fmap, &self.fmap),
            (PhalpFile::PosePredictor, &self.pose_predictor),
            (PhalpFile::PosePredictorConfig, &self.pose_predictor_config),
            (PhalpFile::MeanStd, &self.mean_std),
            (PhalpFile::SmplMeanParams, &self.smpl_mean_params),
            (PhalpFile::Texture, &self.texture),
            (PhalpFile::HeadFaces, &self.head_faces),
        ];
        all.into_iter().filter_map(|(file, path)| Some((file, path.clone()?)))
    }
}

pub fn run(args: Args) -> Result<()> {
    let start = Instant::now();
    let mut files = match &args.from_cache {
        Some(cache) => import::find_phalp_files(&cache_folder(cache.as_deref())?),
        None => BTreeMap::new(),
    };
    files.extend(args.given());
    let request = PhalpRequest { name: args.name, folder: project()?.root.join("models"), files };
    let stop = interrupt::install();
    let mut progress = Progress::new(&request.name)?;
    let imported = import::import_phalp(&request, &mut |done, total| progress.update(done, total), stop);
    progress.finish();
    print_outcome(&imported?, &request, start);
    Ok(())
}

fn print_outcome(imported: &PhalpSummary, request: &PhalpRequest, start: Instant) {
    println!("{}", imported.manifest.display());
    for part in &imported.parts {
        println!("    {}: {}, {} tensors", part.what, part.path.display(), part.tensors);
        println!("        SHA-256 {}", part.sha256);
    }
    for (file, path) in &request.files {
        println!("    {} from {}", file.file_name(), path.display());
    }
    for missing in &imported.missing {
        println!("    {}: missing; {}", missing.file.file_name(), missing.file.without_it());
        if !missing.unused.is_empty() {
            let unused: Vec<&str> = missing.unused.iter().map(|file| file.file_name()).collect();
            println!("        {} cannot be used without it", unused.join(", "));
        }
    }
    print_cost(start, &request.name);
    warn_unless_ignored(&imported.manifest);
}
