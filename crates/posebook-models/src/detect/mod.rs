//! Person detection: boxes in a frame, from a network ([`nanodet`], [`mask_rcnn`]) or provided by the user or the ground
//! truth ([`ProvidedBoxes`], PHALP's `use_gt`), optionally degraded by seeded jitter, misses and false alarms.
//!
//! Input: a frame or its provided boxes. Output: detections. They do not depend on earlier frames: those of a network
//! depend on the pixels, provided ones on the seed, the frame index and the boxes.

pub mod mask_rcnn;
pub mod nanodet;
mod nms;
mod provided_boxes;
mod settings;
mod settings_error;

pub use provided_boxes::{DetectError, FrameDetections, ProvidedBoxes};
pub use settings::{Model, ScoreSource, Settings};
pub use settings_error::SettingsError;
