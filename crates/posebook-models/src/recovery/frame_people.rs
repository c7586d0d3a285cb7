//! The result of the recovery stage.

use posebook_core::person::{Detection, Person};

/// The stage's result for one frame.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FramePeople {
    /// People with bodies, in the order of their detections.
    pub persons: Vec<Person>,
    /// Detections without a body: the network recognized no person, the person is that of a better detection, or no body can
    /// be fitted to the landmarks. They are included in the results as detections, but not tracked.
    pub without_body: Vec<Detection>,
}
