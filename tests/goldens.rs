//! Numbers that the original HMR2, PHALP and TrackEval gave on formula-made weights and inputs, and that
//! Posebook has to give too.
//!
//! `POSEBOOK_GOLDENS=DIR cargo test --test goldens` runs on another folder of the same layout:
//! `DIR/hmr2/<set>` and `DIR/phalp/<set>`; a set's name is its folder's, and hashed names start with it.
//! `cargo test --test goldens -- --nocapture` prints the largest error of every comparison; HMR2's are those of
//! `posebook parity`.

#[path = "goldens_support/hmr2.rs"]
mod hmr2;
#[path = "goldens_support/phalp.rs"]
mod phalp;
#[path = "goldens_support/sets.rs"]
mod sets;

use posebook::parity::formula;
