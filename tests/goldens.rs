//! Numbers that the original HMR2, PHALP and TrackEval gave on formula-made weights and inputs, and that
//! Posebook has to give too.
//!
//! `POSEBOOK_GOLDENS=DIR cargo test --test goldens` runs on another folder of the same layout:
//! `DIR/hmr2/<set>`, `DIR/phalp/<set>` and `DIR/blazepose/<set>`; a set's name is its folder's, and hashed names start
//! with it. BlazePose and NanoDet need the published weights, which are fetched at first need.
//! `cargo test --test goldens -- --nocapture` prints the largest error of every comparison; HMR2's are those of
//! `posebook parity`.

#[path = "goldens_support/blazepose.rs"]
mod blazepose;
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

use posebook::parity::formula;
