//! Compares each stage of the published detectors with the outputs (goldens) of the original.
//!
//! `tests/goldens/detect/README.md` of the repository says how they were made. `POSEBOOK_GOLDENS=DIR` uses the sets of
//! `DIR/detect`. `-- --nocapture` prints the largest error of every comparison.

#[path = "../../../tests/goldens_support/detect/mod.rs"]
mod detect;

use std::path::PathBuf;

/// Calls `run(set, folder)` for each folder of goldens.
fn each_set(run: fn(&str, &std::path::Path)) {
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens");
    let folder = std::env::var_os("POSEBOOK_GOLDENS").map_or_else(default, PathBuf::from).join("detect");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut sets: Vec<PathBuf> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    sets.sort();
    assert!(!sets.is_empty(), "{} has no set of goldens", folder.display());
    for set in sets {
        run(set.file_name().unwrap().to_str().unwrap(), &set);
    }
}

/// One test for each stage: `detect::STAGE::run`.
macro_rules! stages {
    ($($stage:ident),* $(,)?) => { $(
        #[test]
        fn $stage() {
            each_set(detect::$stage::run);
        }
    )* };
}

stages! {
    end_to_end,
    given_boxes,
    tensors,
    preprocess,
    boxes,
    x101,
    regnety,
    roi_align,
    rpn,
    vit,
    cascade,
    box_standard,
    mask,
}
