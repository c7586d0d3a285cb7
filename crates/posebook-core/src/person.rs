//! Types shared by detection, mesh recovery and tracking: boxes, detections, recovered persons, masks.
//!
//! Does not depend on how a person was detected or tracked.

use crate::appearance::Appearance;
use crate::geometry::{Mat3, Vec3};
use serde::{Deserialize, Serialize};

/// Joints of a recovered body, as HMR2 outputs them: 25 in OpenPose's order, then 19 of its own (`SMPL_to_J19`).
pub const JOINTS: usize = 44;
/// Index of the pelvis among the [`JOINTS`], the root that 3D errors are aligned at.
pub const PELVIS: usize = 39;
/// The 14 common joints that MPJPE is computed on (LSP's; 4D-Humans' evaluation).
pub const COMMON_JOINTS: [usize; 14] = [25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 43];

/// A box by its corners (xyxy), pixels of the full frame; `x2 >= x1`, `y2 >= y1`. For left, top, width and height
/// see [`LtwhBox`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BBox {
    /// Left.
    pub x1: f32,
    /// Top.
    pub y1: f32,
    /// Right.
    pub x2: f32,
    /// Bottom.
    pub y2: f32,
}

impl BBox {
    /// Pixels.
    #[inline]
    pub fn width(&self) -> f32 {
        self.x2 - self.x1
    }

    /// Pixels.
    #[inline]
    pub fn height(&self) -> f32 {
        self.y2 - self.y1
    }

    /// Square pixels; 0 for an empty box.
    #[inline]
    pub fn area(&self) -> f32 {
        self.width().max(0.0) * self.height().max(0.0)
    }

    /// Center as (x, y), pixels.
    #[inline]
    pub fn center(&self) -> [f32; 2] {
        [(self.x1 + self.x2) / 2.0, (self.y1 + self.y2) / 2.0]
    }

    /// Intersection over union, 0 when either box is empty.
    #[inline]
    pub fn iou(&self, other: &BBox) -> f32 {
        let width = self.x2.min(other.x2) - self.x1.max(other.x1);
        let height = self.y2.min(other.y2) - self.y1.max(other.y1);
        let intersection = width.max(0.0) * height.max(0.0);
        let union = self.area() + other.area() - intersection;
        if union > 0.0 { intersection / union } else { 0.0 }
    }

    /// The part inside an image of `width` x `height` pixels; `None` if that is empty.
    #[inline]
    pub fn clipped_to(&self, width: usize, height: usize) -> Option<BBox> {
        let clipped = BBox {
            x1: self.x1.clamp(0.0, width as f32),
            y1: self.y1.clamp(0.0, height as f32),
            x2: self.x2.clamp(0.0, width as f32),
            y2: self.y2.clamp(0.0, height as f32),
        };
        (clipped.area() > 0.0).then_some(clipped)
    }
}

/// A box as MOTChallenge files write it: left, top, width and height, pixels of the full frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LtwhBox {
    /// Left edge.
    pub left: f64,
    /// Top edge.
    pub top: f64,
    /// 0 or more.
    pub width: f64,
    /// 0 or more.
    pub height: f64,
}

impl LtwhBox {
    /// The box by its corners, in single precision.
    #[inline]
    pub fn to_bbox(self) -> BBox {
        let LtwhBox { left, top, width, height } = self;
        BBox { x1: left as f32, y1: top as f32, x2: (left + width) as f32, y2: (top + height) as f32 }
    }

    /// Intersection over union, 0 when either box is empty.
    #[inline]
    pub fn iou(&self, other: &LtwhBox) -> f64 {
        let corners = |b: &LtwhBox| [b.left, b.top, b.left + b.width, b.top + b.height];
        let area = |[x1, y1, x2, y2]: [f64; 4]| (x2 - x1) * (y2 - y1);
        let (a, b) = (corners(self), corners(other));
        let width = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0);
        let height = (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
        let intersection = width * height;
        let union = area(a) + area(b) - intersection;
        let empty = area(a) <= f64::EPSILON || area(b) <= f64::EPSILON || union <= f64::EPSILON;
        if empty { 0.0 } else { intersection / union }
    }
}

impl From<BBox> for LtwhBox {
    #[inline]
    fn from(bbox: BBox) -> LtwhBox {
        let [left, top, right, bottom] = [bbox.x1, bbox.y1, bbox.x2, bbox.y2].map(f64::from);
        LtwhBox { left, top, width: right - left, height: bottom - top }
    }
}

/// The identity that the tracker gives to a person, counted from 1. Tables store it as `u64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackId(pub u32);

impl From<TrackId> for u64 {
    #[inline]
    fn from(id: TrackId) -> u64 {
        id.0.into()
    }
}

impl std::fmt::Display for TrackId {
    fn fmt(&self, out: &mut std::fmt::Formatter) -> std::fmt::Result {
        self.0.fmt(out)
    }
}

/// A detected person: box, score, and the mask of a detector that has one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// Pixels of the frame.
    pub bbox: BBox,
    /// Confidence, 0 to 1.
    pub score: f32,
    /// Id of the input box ([`InputBox::id`]), if the box was provided; used for tracking only with `phalp.use_gt`.
    pub input_id: Option<u32>,
    /// Pixels that the person covers, if the detector finds them or the input provides them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<FrameMask>,
}

/// A box of a person that a run is provided with instead of detecting it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputBox {
    /// Identity in the file of boxes or in the ground truth; the box's number within its frame if there is none.
    pub id: u32,
    /// Pixels of the frame; may extend beyond it.
    pub bbox: BBox,
    /// Confidence in the file of boxes; `None` if there is none. Detections from provided boxes have score 1, as in
    /// PHALP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f32>,
    /// Pixels that the person covers, if the input has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<FrameMask>,
}

/// SMPL's parameters, rotations as matrices (Loper et al. 2015).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SmplParams {
    /// Shape coefficients, in standard deviations.
    pub betas: [f32; 10],
    /// Rotation of the body's root.
    pub global_orient: Mat3,
    /// Rotations of joints 1 to 23, each relative to its parent.
    pub body_pose: [Mat3; 23],
}

/// A person with a recovered body: output of mesh recovery, input of the tracker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Person {
    /// The detection that the body was recovered from.
    pub detection: Detection,
    /// Shape and pose; the orientation is in camera axes.
    pub params: SmplParams,
    /// HMR2's weak-perspective camera in the crop: scale, x, y.
    pub crop_camera: [f32; 3],
    /// Translation of the body in the axes of PHALP's camera (focal length 5000 for an image padded to a square and
    /// scaled to 256 pixels), meters: HMAR's `cam_t`.
    pub translation: Vec3,
    /// The 44 joints relative to the body's origin, in camera axes (x right, y down, z away), meters.
    pub joints: Vec<Vec3>,
    /// 45 points in the image padded to a square, in units of the square's side (0 to 1): the 44 joints, then the
    /// body's origin.
    pub joints_in_square: Vec<[f32; 2]>,
    /// Confidence of a landmark network and of the body fit; `None` for HMR2, which reports none.
    pub confidence: Option<LandmarkConfidence>,
    /// Pixels that the person covers: the detector's mask (moved here from [`Detection::mask`]), else the body network's, else
    /// the body's silhouette where HMR2's appearance is computed.
    pub mask: Option<FrameMask>,
    /// Texture and embedding; `None` unless the settings ask for appearance.
    #[serde(skip)]
    pub appearance: Option<Appearance>,
}

/// Confidence of a landmark network in a person, and of the fitted joints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LandmarkConfidence {
    /// Probability that there is a person, 0 to 1.
    pub presence: f32,
    /// Standard deviations of the 12 joints that filmed ground truth is scored on (shoulders, elbows, wrists, hips,
    /// knees, ankles, left before right), millimeters.
    pub joints_sd_mm: [f32; 12],
}

/// Pixels of a frame that a person covers, in COCO's run-length encoding (column-major).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameMask {
    /// Frame width, pixels.
    pub width: usize,
    /// Frame height, pixels.
    pub height: usize,
    /// pycocotools' `counts`.
    pub counts: String,
}

/// A person's mask in a rotated square of the frame, as the network outputs it.
#[derive(Debug, Clone, PartialEq)]
pub struct RegionMask {
    /// Row-major 2 x 3: pixels of the frame to pixels of the mask.
    pub mask_from_frame: [[f64; 3]; 2],
    /// Side of the mask, pixels.
    pub size: usize,
    /// `size * size`, rows top to bottom: probability that the person covers the pixel, 255 being 1.
    pub values: Vec<u8>,
}

/// Converts units of PHALP's padded square to pixels of the frame: the longer side gives the scale, the shorter one
/// is centered with a border of whole pixels.
#[inline]
pub fn pixel_from_square(point: [f32; 2], width: usize, height: usize) -> [f32; 2] {
    let side = width.max(height);
    let (left, top) = ((side - width) / 2, (side - height) / 2);
    [point[0] * side as f32 - left as f32, point[1] * side as f32 - top as f32]
}

/// Inverse of [`pixel_from_square`]: converts pixels of the frame to units of PHALP's padded square.
#[inline]
pub fn square_from_pixel(pixel: [f32; 2], width: usize, height: usize) -> [f32; 2] {
    let side = width.max(height);
    let (left, top) = ((side - width) / 2, (side - height) / 2);
    [(pixel[0] + left as f32) / side as f32, (pixel[1] + top as f32) / side as f32]
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
        assert_eq!(b.clipped_to(12, 6).unwrap(), BBox { x1: 5.0, y1: 0.0, x2: 12.0, y2: 6.0 });
        assert!(b.clipped_to(4, 4).is_none());
    }

    #[test]
    fn the_square_is_centered() {
        assert_eq!(pixel_from_square([0.5, 0.5], 640, 360), [320.0, 180.0]);
        assert_eq!(pixel_from_square([0.0, 0.0], 100, 201), [-50.0, 0.0]);
        assert_eq!(square_from_pixel([320.0, 180.0], 640, 360), [0.5, 0.5]);
        assert_eq!(square_from_pixel([-50.0, 0.0], 100, 201), [0.0, 0.0]);
    }
}
