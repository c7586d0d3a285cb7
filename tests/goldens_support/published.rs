//! BlazePose's and NanoDet's goldens, run where the published weights are.

use crate::{blazepose, nanodet, sets};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// The files of a source in `models/sources/`, fetched at first need. Without a network, and without a copy in the
/// user's cache, the test says that it is skipped; where the variable `CI` is set it fails.
fn fetched(name: &str) -> Option<PathBuf> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/sources");
    match posebook::fetch::ensure_model(&sources, name, &mut |_| (), &AtomicBool::new(false)) {
        Ok(folder) => Some(folder),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "the weights of {name} have to be there: {error}");
            println!("skipped: the weights of {name} are not here: {error}");
            None
        }
    }
}

/// The pictures with people, which are not ours to ship: `POSEBOOK_MEDIA`, or `media` beside the goldens.
fn media() -> Option<PathBuf> {
    let beside = sets::root().join("../media");
    let folder = std::env::var_os("POSEBOOK_MEDIA").map_or(beside, PathBuf::from);
    folder.join("skates.png").is_file().then_some(folder)
}

#[test]
fn blazepose_gives_what_the_published_network_gives() {
    let Some(weights) = fetched("blazepose") else { return };
    for set in sets::sets("blazepose") {
        blazepose::run(&set.name, &set.folder, &weights, media().as_deref());
    }
}

#[test]
fn nanodet_gives_what_the_published_network_gives() {
    let Some(weights) = fetched("nanodet") else { return };
    for set in sets::sets("blazepose") {
        let file = |name: &str| weights.join(name);
        nanodet::run(&set.name, &set.folder, &file("nanodet.json"), &file("nanodet.bin"), media().as_deref());
    }
}
