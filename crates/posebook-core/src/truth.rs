//! Ground truth of the people in a frame: boxes, and body parameters with the camera where they are known.
//!
//! Datasets make it (drawn scenes, MOTChallenge files), scoring reads it.

use crate::geometry::Vec3;
use crate::person::{BBox, SmplParams};
use serde::{Deserialize, Serialize};

/// Ground truth of one person in one frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TruthPerson {
    /// Identity: the same in all frames of a clip.
    pub id: u32,
    /// Box of the whole body, including hidden parts and those outside the image, pixels.
    pub bbox: BBox,
    /// Box of the visible part; `None` if nothing is visible or it is unknown.
    pub visible_bbox: Option<BBox>,
    /// Visible share of the body, 0 to 1; `None` if unknown.
    pub visible_share: Option<f32>,
    /// Body parameters and joints; `None` if only boxes are known.
    pub body: Option<TruthBody>,
}

/// A body and its camera. Camera axes are x right, y down, z away, meters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TruthBody {
    /// SMPL parameters; the orientation is in camera axes.
    pub params: SmplParams,
    /// Added to the posed body's vertices and joints to get camera coordinates, meters.
    pub translation_in_camera: Vec3,
    /// HMR2's 44 joints, meters.
    pub joints_in_camera: Vec<Vec3>,
    /// The same joints in the image, pixels.
    pub joints_in_image: Vec<[f32; 2]>,
    /// The camera.
    pub camera: Intrinsics,
}

/// A pinhole camera without distortion; all values in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Intrinsics {
    /// Focal length along x.
    pub fx: f32,
    /// Focal length along y.
    pub fy: f32,
    /// Principal point, x.
    pub cx: f32,
    /// Principal point, y.
    pub cy: f32,
}
