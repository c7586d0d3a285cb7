//! A person in a frame: the words that detection, mesh recovery and tracking share.
//!
//! Must not know how a person was found or followed.

use crate::geometry::{Mat3, Vec3};
use serde::{Deserialize, Serialize};

/// Joints that HMR2 gives: 25 in OpenPose's order, then 19 of its own (`SMPL_to_J19`).
pub const JOINTS: usize = 44;
/// The pelvis among the [`JOINTS`]: what 3D errors are aligned at.
pub const PELVIS: usize = 39;
/// The 14 common joints that MPJPE is computed on (LSP's; 4D-Humans' evaluation).
pub const COMMON_JOINTS: [usize; 14] = [25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 43];

/// A box in pixels of the full frame, corners included as real numbers; `x2 >= x1`, `y2 >= y1`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BBox {
    pub x1: f32,
    pub y1: f32,
    pub x2: f32,
    pub y2: f32,
}

impl BBox {
    pub fn width(&self) -> f32 {
        self.x2 - self.x1
    }

    pub fn height(&self) -> f32 {
        self.y2 - self.y1
    }

    pub fn area(&self) -> f32 {
        self.width().max(0.0) * self.height().max(0.0)
    }

    pub fn center(&self) -> [f32; 2] {
        [(self.x1 + self.x2) / 2.0, (self.y1 + self.y2) / 2.0]
    }

    /// Intersection over union, 0 when either box is empty.
    pub fn iou(&self, other: &BBox) -> f32 {
        let width = self.x2.min(other.x2) - self.x1.max(other.x1);
        let height = self.y2.min(other.y2) - self.y1.max(other.y1);
        let both = width.max(0.0) * height.max(0.0);
        let either = self.area() + other.area() - both;
        if either > 0.0 { both / either } else { 0.0 }
    }

    /// The part inside a picture of `width` x `height`, or `None` when nothing is.
    pub fn inside(&self, width: usize, height: usize) -> Option<BBox> {
        let clipped = BBox {
            x1: self.x1.clamp(0.0, width as f32),
            y1: self.y1.clamp(0.0, height as f32),
            x2: self.x2.clamp(0.0, width as f32),
            y2: self.y2.clamp(0.0, height as f32),
        };
        (clipped.area() > 0.0).then_some(clipped)
    }
}

/// A person found in one frame, before anything is known but where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    pub bbox: BBox,
    /// Confidence, 0 to 1.
    pub score: f32,
    /// The identity in the truth, where the box was given; never used for tracking.
    pub truth_id: Option<u32>,
}

/// SMPL's parameters, rotations as matrices (Loper et al. 2015).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SmplParams {
    pub betas: [f32; 10],
    pub global_orient: Mat3,
    pub body_pose: [Mat3; 23],
}

/// A person with a recovered body. What HMR2 gives and PHALP takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Person {
    pub detection: Detection,
    pub params: SmplParams,
    /// HMR2's weak-perspective camera in the crop: scale, x, y.
    pub crop_camera: [f32; 3],
    /// Where the body stands before PHALP's camera (focal length 5000 on a picture padded to a square
    /// and scaled to 256 pixels), metres: HMAR's `cam_t`.
    pub translation: Vec3,
    /// The 44 joints relative to the body's origin, in camera axes (x right, y down, z away), metres.
    pub joints: Vec<Vec3>,
    /// 45 points in the picture padded to a square, in units of the square's side (0 to 1): the
    /// 44 joints, then the body's origin.
    pub joints_in_square: Vec<[f32; 2]>,
    /// How sure a landmark network and the fit are; `None` of HMR2, which says nothing of it.
    pub confidence: Option<LandmarkConfidence>,
    /// The pixels that the person covers, where the network says.
    pub mask: Option<FrameMask>,
}

/// How sure a landmark network is of a person, and the fit of the person's joints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LandmarkConfidence {
    /// Whether there is a person at all, 0 to 1.
    pub presence: f32,
    /// Standard deviation of the 12 joints that filmed truth is scored on (shoulders, elbows, wrists, hips, knees, ankles, left before right), millimeters.
    pub joints_sd_mm: [f32; 12],
}

/// The pixels of a frame that a person covers, as COCO stores them: lengths of runs down the columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameMask {
    pub width: usize,
    pub height: usize,
    /// pycocotools' `counts`.
    pub counts: String,
}

/// A person's mask in a turned square of the frame, as the network gives it.
#[derive(Debug, Clone, PartialEq)]
pub struct RegionMask {
    /// Row-major 2 x 3: pixels of the frame to pixels of the mask.
    pub mask_from_frame: [[f64; 3]; 2],
    /// Side of the mask, pixels.
    pub size: usize,
    /// `size * size`, rows top to bottom: probability that the person covers the pixel, 255 being 1.
    pub values: Vec<u8>,
}

/// Pixels of the frame from units of the square that PHALP pads it to: the longer side gives the
/// scale, the shorter one is centred with a whole-pixel border.
pub fn pixel_from_square(point: [f32; 2], width: usize, height: usize) -> [f32; 2] {
    let side = width.max(height);
    let (left, top) = ((side - width) / 2, (side - height) / 2);
    [point[0] * side as f32 - left as f32, point[1] * side as f32 - top as f32]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap_of_boxes() {
        let a = BBox { x1: 0.0, y1: 0.0, x2: 10.0, y2: 10.0 };
        let b = BBox { x1: 5.0, y1: 0.0, x2: 15.0, y2: 10.0 };
        assert!((a.iou(&b) - 1.0 / 3.0).abs() < 1e-6);
        assert_eq!(a.iou(&BBox { x1: 3.0, y1: 3.0, x2: 3.0, y2: 9.0 }), 0.0);
        assert_eq!(b.inside(12, 6).unwrap(), BBox { x1: 5.0, y1: 0.0, x2: 12.0, y2: 6.0 });
        assert!(b.inside(4, 4).is_none());
    }

    #[test]
    fn the_square_is_centred() {
        assert_eq!(pixel_from_square([0.5, 0.5], 640, 360), [320.0, 180.0]);
        assert_eq!(pixel_from_square([0.0, 0.0], 100, 201), [-50.0, 0.0]);
    }
}
