//! How right, and how alike: numbers from plain slices.
//!
//! [`pose`] measures bodies, [`tracking`] identities (equal to TrackEval), [`agreement`] how alike two
//! ways through the same clip are; [`mot`] reads MOTChallenge text; [`views`] scores bodies against the truth of
//! calibrated cameras. What is undefined is `None` and
//! never zero. Must not know files, tensors, nor who asks.

pub mod agreement;
pub mod mot;
pub mod pose;
mod rigid;
pub mod tracking;
pub mod views;

pub use agreement::{Agreement, Sighting};
pub use tracking::{TrackedBox, TrackingScores};
