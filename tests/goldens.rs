//! Compares Posebook with outputs (goldens) of the original HMR2, PHALP, TrackEval, BlazePose, NanoDet and detectron2's
//! detectors.
//!
//! Inputs, and for HMR2, PHALP and detectron2 also weights, come from a formula; the READMEs in `tests/goldens` say how the
//! outputs were made. `POSEBOOK_GOLDENS=DIR cargo test --test goldens` uses another folder of the same layout:
//! `DIR/hmr2/<set>`, `DIR/phalp/<set>`, `DIR/blazepose/<set>` and `DIR/detect/<set>`. The name of a set is its folder's, and the prefix
//! of all names that the formula hashes. BlazePose and NanoDet need the published weights, which are fetched when
//! they are first used. `cargo test --test goldens -- --nocapture` prints the largest error of every comparison;
//! HMR2's are those of `posebook parity`.

#[path = "goldens_support/blazepose.rs"]
mod blazepose;
#[path = "goldens_support/detect/mod.rs"]
mod detect;
#[path = "goldens_support/hmr2.rs"]
mod hmr2;
#[path = "goldens_support/nanodet.rs"]
mod nanodet;
#[path = "goldens_support/phalp.rs"]
mod phalp;
#[path = "goldens_support/published.rs"]
mod published;
#[path = "goldens_support/sets.rs"]
mod sets;

use posebook_models::hmr2::formula;

#[test]
fn published_detectors_match_the_original() {
    for set in sets::sets("detect") {
        for (stage, run) in detect::STAGES {
            println!("{}: {stage}", set.name);
            run(&set.name, &set.folder);
        }
    }
}
