//! Finds the checkpoint of a detector where detectron2 stores what it downloads.
//!
//! Its cache (iopath's `HTTPURLHandler`) is $FVCORE_CACHE or `~/.torch/iopath_cache`, with the path of the address below it; if
//! that folder cannot be written, `iopath_cache` in the folder of temporary files.

use crate::detect::mask_rcnn::Architecture;
use std::path::{Path, PathBuf};

/// Where detectron2 may have stored its downloads, in the order of search.
pub fn detector_cache_folders() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let named = std::env::var_os("FVCORE_CACHE").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    // detectron2 expands `~` itself
    let named = named.map(|folder| match (folder.strip_prefix("~"), &home) {
        (Ok(inside), Some(home)) => home.join(inside),
        _ => folder,
    });
    // the second is that of versions before 2021
    let at_home = home
        .iter()
        .flat_map(|home| ["iopath_cache", "fvcore_cache"].map(|name| home.join(".torch").join(name)));
    named.into_iter().chain(at_home).chain([std::env::temp_dir().join("iopath_cache")]).collect()
}

/// The published checkpoint of a detector in a folder: below it as in detectron2's cache, or in it. The folder may also be
/// `~/.torch`, or the folder `detectron2` of the cache.
pub fn find_detector_checkpoint(folder: &Path, architecture: Architecture) -> Option<PathBuf> {
    let path = published_path(architecture);
    let inside = path.strip_prefix("detectron2").unwrap_or(path);
    let candidates = [
        folder.join(path),
        folder.join("iopath_cache").join(path),
        folder.join(".torch/iopath_cache").join(path),
        folder.join(inside),
        folder.join(path.file_name()?),
    ];
    candidates.into_iter().find(|path| path.is_file())
}

/// Address of a detector's checkpoint below <https://dl.fbaipublicfiles.com>, and so its path in detectron2's cache.
fn published_path(architecture: Architecture) -> &'static Path {
    Path::new(match architecture {
        Architecture::Vitdet => {
            "detectron2/ViTDet/COCO/cascade_mask_rcnn_vitdet_h/f328730692/model_final_f05665.pkl"
        }
        Architecture::Regnety => {
            "detectron2/new_baselines/mask_rcnn_regnety_4gf_dds_FPN_400ep_LSJ/42045954/model_final_ef3a80.pkl"
        }
        Architecture::X101 => {
            "detectron2/COCO-InstanceSegmentation/mask_rcnn_X_101_32x8d_FPN_3x/139653917/model_final_2d9806.pkl"
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_found_in_every_folder_that_leads_to_it() {
        let home = tempfile::tempdir().unwrap();
        let cache = home.path().join(".torch/iopath_cache");
        for architecture in Architecture::ALL {
            let path = cache.join(published_path(architecture));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "x").unwrap();
            for folder in [home.path(), &home.path().join(".torch"), &cache, &cache.join("detectron2")] {
                assert_eq!(find_detector_checkpoint(folder, architecture), Some(path.clone()), "{folder:?}");
            }
            assert_eq!(find_detector_checkpoint(path.parent().unwrap(), architecture), Some(path.clone()));
        }
        assert_eq!(find_detector_checkpoint(&home.path().join("none"), Architecture::X101), None);
    }
}
