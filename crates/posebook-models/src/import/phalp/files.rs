//! PHALP's files: their roles, where its cache has them, and what each is for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Folder of PHALP below the user's cache, and of 4D-Humans, which has some of the same files.
const FOLDERS: [&str; 2] = ["phalp", "4DHumans"];

/// One of PHALP's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PhalpFile {
    /// `hmar_v2_weights.pth`: HMAR, of which the encoding head is read.
    Hmar,
    /// `bmap_256.npy`: weights of the corners of each texel's face.
    Bmap,
    /// `fmap_256.npy`: the face of each texel.
    Fmap,
    /// `pose_predictor.pth`: a training checkpoint.
    PosePredictor,
    /// `pose_predictor.yaml`: its configuration.
    PosePredictorConfig,
    /// `mean_std.npy`: mean and deviation of pose vectors.
    MeanStd,
    /// `smpl_mean_params.npz`: initial pose, shape and camera.
    SmplMeanParams,
    /// `texture.npz`: faces and texture coordinates of SMPL.
    Texture,
    /// `head_faces.npy`: faces of head and upper body.
    HeadFaces,
}

impl PhalpFile {
    /// All of them.
    pub const ALL: [PhalpFile; 9] = [
        PhalpFile::Hmar,
        PhalpFile::Bmap,
        PhalpFile::Fmap,
        PhalpFile::PosePredictor,
        PhalpFile::PosePredictorConfig,
        PhalpFile::MeanStd,
        PhalpFile::SmplMeanParams,
        PhalpFile::Texture,
        PhalpFile::HeadFaces,
    ];

    /// The role in manifests.
    pub fn role(self) -> &'static str {
        match self {
            PhalpFile::Hmar => "hmar",
            PhalpFile::Bmap => "bmap",
            PhalpFile::Fmap => "fmap",
            PhalpFile::PosePredictor => "pose_predictor",
            PhalpFile::PosePredictorConfig => "pose_predictor_config",
            PhalpFile::MeanStd => "mean_std",
            PhalpFile::SmplMeanParams => "smpl_mean_params",
            PhalpFile::Texture => "texture",
            PhalpFile::HeadFaces => "head_faces",
        }
    }

    /// The name in PHALP's cache.
    pub fn file_name(self) -> &'static str {
        let place = self.places()[0];
        place.rsplit('/').next().unwrap_or(place)
    }

    /// Paths below PHALP's or 4D-Humans' folder, PHALP's own first.
    fn places(self) -> &'static [&'static str] {
        match self {
            PhalpFile::Hmar => &["weights/hmar_v2_weights.pth"],
            PhalpFile::Bmap => &["3D/bmap_256.npy"],
            PhalpFile::Fmap => &["3D/fmap_256.npy"],
            PhalpFile::PosePredictor => &[
                "weights/pose_predictor.pth",
                "weights/pose_predictor_40006.ckpt",
                "pose_predictor_40006.ckpt",
            ],
            PhalpFile::PosePredictorConfig => {
                &["weights/pose_predictor.yaml", "weights/config_40006.yaml", "config_40006.yaml"]
            }
            PhalpFile::MeanStd => &["3D/mean_std.npy"],
            PhalpFile::SmplMeanParams => &["3D/smpl_mean_params.npz", "data/smpl_mean_params.npz"],
            PhalpFile::Texture => &["3D/texture.npz"],
            PhalpFile::HeadFaces => &["3D/head_faces.npy"],
        }
    }

    /// What is missing without the file.
    pub fn without_it(self) -> &'static str {
        match self {
            PhalpFile::Hmar => "without it appearance uses the built-in encoder",
            PhalpFile::Bmap | PhalpFile::Fmap => "without it the texture of SMPL's body cannot be sampled",
            PhalpFile::PosePredictor | PhalpFile::PosePredictorConfig | PhalpFile::MeanStd => {
                "without it the cue `pose = \"predictor\"` cannot be used"
            }
            PhalpFile::SmplMeanParams => {
                "it is needed only if the predictor's checkpoint lacks its initial pose, shape and camera"
            }
            PhalpFile::Texture => "without it SMPL's texture coordinates are not available",
            PhalpFile::HeadFaces => "without it the rendering of the head alone is not available",
        }
    }
}

/// Searches `cache`, the user's cache folder or PHALP's own, for PHALP's files.
pub fn find_phalp_files(cache: &Path) -> BTreeMap<PhalpFile, PathBuf> {
    let folders: Vec<PathBuf> =
        FOLDERS.iter().map(|name| cache.join(name)).chain([cache.to_path_buf()]).collect();
    let find = |file: PhalpFile| {
        let candidates =
            file.places().iter().flat_map(|place| folders.iter().map(move |folder| folder.join(place)));
        candidates.into_iter().find(|path| path.is_file())
    };
    PhalpFile::ALL.into_iter().filter_map(|file| Some((file, find(file)?))).collect()
}
