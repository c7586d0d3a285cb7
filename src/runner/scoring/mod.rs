//! Compares the rows of a run with ground truth or with another run, and smooths bodies along tracks.
//!
//! In: rows of the table `people` in the order of frames. Out: columns of these rows and of the run's row: errors against
//! drawn or labeled people ([`accuracy`], [`detections`]) or calibrated views ([`views`]), differences from a reference run
//! ([`agreement`]), [`jitter`], and smoothed bodies ([`smoothing`]). The metrics themselves are in
//! [`posebook_track::metrics`].

pub mod accuracy;
pub mod agreement;
pub mod detections;
pub mod jitter;
pub mod smoothing;
pub mod views;
