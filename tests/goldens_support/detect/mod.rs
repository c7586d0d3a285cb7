//! The goldens of the published detectors, one module per stage with `run(set, folder)`.
//!
//! `crates/posebook-models/tests/mask_rcnn.rs` runs them for a single crate, `tests/goldens.rs` with all others. They use the
//! public API of `posebook-models` alone. Maps of ours are `(b, h, w, c)`, those of the goldens `(b, c, h, w)`.

#![allow(dead_code, reason = "each stage uses its part of the helpers")]

pub mod detections;
pub mod golden;
pub mod inputs;

pub mod box_standard;
pub mod boxes;
pub mod cascade;
pub mod end_to_end;
pub mod given_boxes;
pub mod mask;
pub mod preprocess;
pub mod regnety;
pub mod roi_align;
pub mod rpn;
pub mod tensors;
pub mod vit;
pub mod x101;

use std::path::Path;

/// Compares a stage with the goldens of a set: its name, which is the prefix of all hashed names, and its folder.
pub type Stage = fn(set: &str, folder: &Path);

/// All stages by name.
pub const STAGES: [(&str, Stage); 13] = [
    ("box_standard", box_standard::run),
    ("boxes", boxes::run),
    ("cascade", cascade::run),
    ("end_to_end", end_to_end::run),
    ("given_boxes", given_boxes::run),
    ("mask", mask::run),
    ("preprocess", preprocess::run),
    ("regnety", regnety::run),
    ("roi_align", roi_align::run),
    ("rpn", rpn::run),
    ("tensors", tensors::run),
    ("vit", vit::run),
    ("x101", x101::run),
];
