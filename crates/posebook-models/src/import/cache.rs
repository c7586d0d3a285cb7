//! Finds the files that 4D-Humans and PHALP download into their caches.

use std::path::{Path, PathBuf};

/// Folders of the two programs below the user's cache.
const FOLDERS: [&str; 2] = ["4DHumans", "phalp"];
const CHECKPOINT: &str = "logs/train/multiruns/hmr2/0/checkpoints/epoch=35-step=1000000.ckpt";
/// Folder of other training checkpoints, and how deep it is searched.
const LOGS: &str = "logs";
const MAX_LOG_DEPTH: usize = 8;
const SMPL: [&str; 4] = [
    "data/smpl/SMPL_NEUTRAL.pkl",
    "3D/models/smpl/SMPL_NEUTRAL.pkl",
    "data/basicModel_neutral_lbs_10_207_0_v1.0.0.pkl",
    "3D/SMPL_NEUTRAL.pkl",
];
const JOINTS: [&str; 2] = ["data/SMPL_to_J19.pkl", "3D/SMPL_to_J19.pkl"];
const MEANS: [&str; 2] = ["data/smpl_mean_params.npz", "3D/smpl_mean_params.npz"];

/// Files found in a cache.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CachedFiles {
    /// HMR2's checkpoint.
    pub checkpoint: Option<PathBuf>,
    /// SMPL's neutral body.
    pub smpl: Option<PathBuf>,
    /// `SMPL_to_J19.pkl`.
    pub joint_regressor: Option<PathBuf>,
    /// `smpl_mean_params.npz`.
    pub mean_params: Option<PathBuf>,
}

/// Searches `cache`: the user's cache folder, or one of the two programs' own. If the published checkpoint is missing
/// and there is exactly one other, that one is returned.
pub fn find_cached_files(cache: &Path) -> CachedFiles {
    let folders: Vec<PathBuf> =
        FOLDERS.iter().map(|name| cache.join(name)).chain([cache.to_path_buf()]).collect();
    let first = |candidates: &[&str]| {
        let all = candidates.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
        all.into_iter().find(|path| path.is_file())
    };
    let other = || {
        let mut all = Vec::new();
        folders.iter().for_each(|folder| collect_checkpoints(&folder.join(LOGS), MAX_LOG_DEPTH, &mut all));
        if all.len() == 1 { all.pop() } else { None }
    };
    CachedFiles {
        checkpoint: first(&[CHECKPOINT]).or_else(other),
        smpl: first(&SMPL),
        joint_regressor: first(&JOINTS),
        mean_params: first(&MEANS),
    }
}

/// Collects every checkpoint below a folder.
fn collect_checkpoints(folder: &Path, deep: usize, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        // links are not followed: they may form a cycle
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) && deep > 0 {
            collect_checkpoints(&path, deep - 1, found);
        } else if path.extension().is_some_and(|extension| extension == "ckpt") && path.is_file() {
            found.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_cache_layouts_are_searched() {
        let cache = tempfile::tempdir().unwrap();
        assert_eq!(find_cached_files(cache.path()), CachedFiles::default());
        let touch = |inside: &str| {
            let path = cache.path().join(inside);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "x").unwrap();
            path
        };
        let smpl = touch("phalp/3D/models/smpl/SMPL_NEUTRAL.pkl");
        let joints = touch("4DHumans/data/SMPL_to_J19.pkl");
        let found = find_cached_files(cache.path());
        assert_eq!((found.smpl, found.joint_regressor), (Some(smpl), Some(joints.clone())));
        let checkpoint = touch("4DHumans/logs/train/mine/checkpoints/last.ckpt");
        assert_eq!(find_cached_files(cache.path()).checkpoint, Some(checkpoint));
        touch("4DHumans/logs/train/mine/checkpoints/first.ckpt");
        assert_eq!(find_cached_files(cache.path()).checkpoint, None, "ambiguous: there are two");
        let checkpoint = touch(&format!("4DHumans/{CHECKPOINT}"));
        assert_eq!(find_cached_files(cache.path()).checkpoint, Some(checkpoint));
        // the folder of one program, given directly
        assert_eq!(find_cached_files(&cache.path().join("4DHumans")).joint_regressor, Some(joints));
    }
}
