//! BlazePose's and NanoDet's goldens, which need the published weights.

use crate::{blazepose, nanodet, sets};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// Fetches the files of a source in `models/sources/`. Without a network connection and without a copy in the user's
/// cache the test prints that it is skipped; if the variable `CI` is set, it fails.
fn fetch_weights(name: &str) -> Option<PathBuf> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/sources");
    match posebook_core::fetch::ensure_model(&sources, name, &mut |_| (), &AtomicBool::new(false)) {
        Ok(folder) => Some(folder),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "CI needs the weights of {name}: {error}");
            println!("skipped: cannot fetch the weights of {name}: {error}");
            None
        }
    }
}

/// The folder of the photographs with people, which cannot be redistributed: `POSEBOOK_MEDIA`, or `media` next to the
/// goldens. Without it those comparisons print that they are skipped.
fn media() -> Option<PathBuf> {
    let default = sets::root().join("../media");
    let folder = std::env::var_os("POSEBOOK_MEDIA").map_or(default, PathBuf::from);
    folder.join("skates.png").is_file().then_some(folder)
}

#[test]
fn blazepose_matches_the_published_network() {
    let Some(weights) = fetch_weights("blazepose") else { return };
    for set in sets::sets("blazepose") {
        blazepose::run(&set.name, &set.folder, &weights, media().as_deref());
    }
}

#[test]
fn nanodet_matches_the_published_network() {
    let Some(weights) = fetch_weights("nanodet") else { return };
    for set in sets::sets("blazepose") {
        let file = |name: &str| weights.join(name);
        nanodet::run(&set.name, &set.folder, &file("nanodet.json"), &file("nanodet.bin"), media().as_deref());
    }
}
