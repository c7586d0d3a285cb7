//! Metrics on plain slices: errors of bodies, tracking scores, agreement of two runs.
//!
//! [`pose`] computes body errors (MPJPE, PA-MPJPE, PVE, PCK, jitter), [`tracking`] HOTA, CLEAR and identity scores
//! (equal to TrackEval's), [`agreement`] compares two runs on the same clip; [`mot`] scores MOTChallenge files;
//! [`views`] scores bodies against ground truth from calibrated cameras. An undefined value is `None`, never zero.

pub mod agreement;
pub mod mot;
pub mod pose;
mod rigid;
pub mod tracking;
pub mod views;

pub use agreement::{Agreement, TrackedPerson};
pub use tracking::{TrackedBox, TrackingScores};
