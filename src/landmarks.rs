//! Landmarks of one person: named points in the picture and in space, with their visibility.
//!
//! The 33 points are BlazePose's (Bazarevsky et al. 2020; Grishchenko et al. 2022). Must not know which
//! network found them, nor what is made of them.

use crate::geometry::Vec3;
use crate::person::BBox;

/// Points of a person, in BlazePose's order.
pub const LANDMARKS: usize = 33;

/// Indices of the points, in BlazePose's order; left and right are the person's own.
pub mod point {
    pub const NOSE: usize = 0;
    pub const LEFT_EYE: usize = 2;
    pub const RIGHT_EYE: usize = 5;
    pub const LEFT_EAR: usize = 7;
    pub const RIGHT_EAR: usize = 8;
    pub const LEFT_SHOULDER: usize = 11;
    pub const RIGHT_SHOULDER: usize = 12;
    pub const LEFT_ELBOW: usize = 13;
    pub const RIGHT_ELBOW: usize = 14;
    pub const LEFT_WRIST: usize = 15;
    pub const RIGHT_WRIST: usize = 16;
    pub const LEFT_LITTLE_FINGER: usize = 17;
    pub const RIGHT_LITTLE_FINGER: usize = 18;
    pub const LEFT_INDEX_FINGER: usize = 19;
    pub const RIGHT_INDEX_FINGER: usize = 20;
    pub const LEFT_THUMB: usize = 21;
    pub const RIGHT_THUMB: usize = 22;
    pub const LEFT_HIP: usize = 23;
    pub const RIGHT_HIP: usize = 24;
    pub const LEFT_KNEE: usize = 25;
    pub const RIGHT_KNEE: usize = 26;
    pub const LEFT_ANKLE: usize = 27;
    pub const RIGHT_ANKLE: usize = 28;
    pub const LEFT_HEEL: usize = 29;
    pub const RIGHT_HEEL: usize = 30;
    pub const LEFT_TOE: usize = 31;
    pub const RIGHT_TOE: usize = 32;
}

/// The 12 joints that filmed truth is scored on: shoulders, elbows, wrists, hips, knees, ankles.
pub const SCORED: [usize; 12] = [11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28];

/// What a landmark network says of one person in one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Landmarks {
    /// Pixels of the frame, integer pixel centers.
    pub pixels: [[f32; 2]; LANDMARKS],
    /// Meters about the middle of the hips, in camera axes: x right, y down, z away from the camera.
    pub world: [Vec3; LANDMARKS],
    /// Whether a point is in the picture and not hidden, 0 to 1.
    pub visibility: [f32; LANDMARKS],
    /// Whether there is a person at all, 0 to 1.
    pub presence: f32,
}

impl Landmarks {
    /// The smallest box around the points, in pixels of the frame.
    pub fn bounds(&self) -> BBox {
        let [x1, y1] =
            self.pixels.iter().fold([f32::MAX; 2], |low, at| [low[0].min(at[0]), low[1].min(at[1])]);
        let [x2, y2] =
            self.pixels.iter().fold([f32::MIN; 2], |high, at| [high[0].max(at[0]), high[1].max(at[1])]);
        BBox { x1, y1, x2, y2 }
    }
}
