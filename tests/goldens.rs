//! Numbers that the original HMR2, PHALP and TrackEval gave on formula-made weights and inputs, and that
//! Posebook has to give too.
//!
//! `POSEBOOK_GOLDENS=DIR cargo test --test goldens` runs on another folder of the same layout:
//! `DIR/hmr2/<set>` and `DIR/phalp/<set>`; a set's name is its folder's, and hashed names start with it.
//! `cargo test --test goldens -- --nocapture` prints the largest error of every comparison.

#[path = "goldens_support/body.rs"]
mod body;
#[path = "goldens_support/crops.rs"]
mod crops;
#[path = "goldens_support/geometry.rs"]
mod geometry;
#[path = "goldens_support/golden.rs"]
mod golden;
#[path = "goldens_support/hmr2.rs"]
mod hmr2;
#[path = "goldens_support/metrics.rs"]
mod metrics;
#[path = "goldens_support/phalp.rs"]
mod phalp;
#[path = "goldens_support/smpl.rs"]
mod smpl;

use posebook::parity::formula;
