//! Where 4D-Humans and PHALP keep the files that they download.

use std::path::{Path, PathBuf};

/// Folders below the user's cache, as the two programs lay them out.
const FOLDERS: [&str; 2] = ["4DHumans", "phalp"];
const CHECKPOINT: &str = "logs/train/multiruns/hmr2/0/checkpoints/epoch=35-step=1000000.ckpt";
/// Where other checkpoints of the program lie, some folders deep.
const LOGS: &str = "logs";
const LOGS_DEEP: usize = 8;
const SMPL: [&str; 4] = [
    "data/smpl/SMPL_NEUTRAL.pkl",
    "3D/models/smpl/SMPL_NEUTRAL.pkl",
    "data/basicModel_neutral_lbs_10_207_0_v1.0.0.pkl",
    "3D/SMPL_NEUTRAL.pkl",
];
const JOINTS: [&str; 2] = ["data/SMPL_to_J19.pkl", "3D/SMPL_to_J19.pkl"];
const MEANS: [&str; 2] = ["data/smpl_mean_params.npz", "3D/smpl_mean_params.npz"];

/// The files that were found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    pub checkpoint: Option<PathBuf>,
    pub smpl: Option<PathBuf>,
    pub joint_regressor: Option<PathBuf>,
    pub mean_params: Option<PathBuf>,
}

/// Looks for the files in `cache`: the user's cache folder, or one of the two programs' own. Where the published
/// checkpoint is not there but one other is, it is that one.
pub fn find(cache: &Path) -> Found {
    let folders: Vec<PathBuf> =
        FOLDERS.iter().map(|name| cache.join(name)).chain([cache.to_path_buf()]).collect();
    let first = |places: &[&str]| {
        let all = places.iter().flat_map(|place| folders.iter().map(move |folder| folder.join(place)));
        all.into_iter().find(|path| path.is_file())
    };
    let other = || {
        let mut all = Vec::new();
        folders.iter().for_each(|folder| checkpoints(&folder.join(LOGS), LOGS_DEEP, &mut all));
        if all.len() == 1 { all.pop() } else { None }
    };
    Found {
        checkpoint: first(&[CHECKPOINT]).or_else(other),
        smpl: first(&SMPL),
        joint_regressor: first(&JOINTS),
        mean_params: first(&MEANS),
    }
}

/// Every checkpoint below a folder.
fn checkpoints(folder: &Path, deep: usize, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        // a link to a folder may lead in circles
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) && deep > 0 {
            checkpoints(&path, deep - 1, found);
        } else if path.extension().is_some_and(|extension| extension == "ckpt") && path.is_file() {
            found.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_layouts_are_known() {
        let cache = tempfile::tempdir().unwrap();
        assert_eq!(find(cache.path()), Found::default());
        let touch = |inside: &str| {
            let path = cache.path().join(inside);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "x").unwrap();
            path
        };
        let smpl = touch("phalp/3D/models/smpl/SMPL_NEUTRAL.pkl");
        let joints = touch("4DHumans/data/SMPL_to_J19.pkl");
        let found = find(cache.path());
        assert_eq!((found.smpl, found.joint_regressor), (Some(smpl), Some(joints.clone())));
        let checkpoint = touch("4DHumans/logs/train/mine/checkpoints/last.ckpt");
        assert_eq!(find(cache.path()).checkpoint, Some(checkpoint));
        touch("4DHumans/logs/train/mine/checkpoints/first.ckpt");
        assert_eq!(find(cache.path()).checkpoint, None, "which of two is not for us to say");
        let checkpoint = touch(&format!("4DHumans/{CHECKPOINT}"));
        assert_eq!(find(cache.path()).checkpoint, Some(checkpoint));
        // the program's own folder, named itself
        assert_eq!(find(&cache.path().join("4DHumans")).joint_regressor, Some(joints));
    }
}
