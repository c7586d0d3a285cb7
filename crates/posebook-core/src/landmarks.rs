//! Landmarks of one person: 33 named points in image and world coordinates, with their visibility.
//!
//! The points are those of BlazePose (Bazarevsky et al. 2020; Grishchenko et al. 2022).

use crate::geometry::Vec3;
use crate::person::BBox;

/// Number of landmarks of a person.
pub const LANDMARKS: usize = 33;

/// Indices of the landmarks in BlazePose's order; left and right are the person's own.
pub mod point {
    /// Nose.
    pub const NOSE: usize = 0;
    /// Left eye.
    pub const LEFT_EYE: usize = 2;
    /// Right eye.
    pub const RIGHT_EYE: usize = 5;
    /// Left ear.
    pub const LEFT_EAR: usize = 7;
    /// Right ear.
    pub const RIGHT_EAR: usize = 8;
    /// Left shoulder.
    pub const LEFT_SHOULDER: usize = 11;
    /// Right shoulder.
    pub const RIGHT_SHOULDER: usize = 12;
    /// Left elbow.
    pub const LEFT_ELBOW: usize = 13;
    /// Right elbow.
    pub const RIGHT_ELBOW: usize = 14;
    /// Left wrist.
    pub const LEFT_WRIST: usize = 15;
    /// Right wrist.
    pub const RIGHT_WRIST: usize = 16;
    /// Left little finger.
    pub const LEFT_LITTLE_FINGER: usize = 17;
    /// Right little finger.
    pub const RIGHT_LITTLE_FINGER: usize = 18;
    /// Left index finger.
    pub const LEFT_INDEX_FINGER: usize = 19;
    /// Right index finger.
    pub const RIGHT_INDEX_FINGER: usize = 20;
    /// Left thumb.
    pub const LEFT_THUMB: usize = 21;
    /// Right thumb.
    pub const RIGHT_THUMB: usize = 22;
    /// Left hip.
    pub const LEFT_HIP: usize = 23;
    /// Right hip.
    pub const RIGHT_HIP: usize = 24;
    /// Left knee.
    pub const LEFT_KNEE: usize = 25;
    /// Right knee.
    pub const RIGHT_KNEE: usize = 26;
    /// Left ankle.
    pub const LEFT_ANKLE: usize = 27;
    /// Right ankle.
    pub const RIGHT_ANKLE: usize = 28;
    /// Left heel.
    pub const LEFT_HEEL: usize = 29;
    /// Right heel.
    pub const RIGHT_HEEL: usize = 30;
    /// Left toe.
    pub const LEFT_TOE: usize = 31;
    /// Right toe.
    pub const RIGHT_TOE: usize = 32;
}

/// Indices of the 12 joints that are evaluated with multi-view ground truth: shoulders, elbows, wrists, hips, knees, ankles.
pub const SCORED_LANDMARKS: [usize; 12] = [11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28];

/// The landmarks of one person in one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Landmarks {
    /// Image coordinates, pixels of the frame; pixel centers are at integers.
    pub pixels: [[f32; 2]; LANDMARKS],
    /// World coordinates, meters relative to the midpoint of the hips, in camera axes: x right, y down, z away from the camera.
    pub world: [Vec3; LANDMARKS],
    /// Probability that a point is inside the frame and not occluded, 0 to 1.
    pub visibility: [f32; LANDMARKS],
    /// Probability that there is a person, 0 to 1.
    pub presence: f32,
}

impl Landmarks {
    /// The smallest box around the points, in pixels of the frame.
    pub fn bounds(&self) -> BBox {
        let [x1, y1] = self.pixels.iter().fold([f32::MAX; 2], |low, [x, y]| [low[0].min(*x), low[1].min(*y)]);
        let [x2, y2] =
            self.pixels.iter().fold([f32::MIN; 2], |high, [x, y]| [high[0].max(*x), high[1].max(*y)]);
        BBox { x1, y1, x2, y2 }
    }
}
