//! A person of a picture with all that is written down of them: body, cameras, joints.
//!
//! The network's camera is weak and of the crop. Here it becomes that of the whole picture as in 4D-Humans'
//! demo: a focal length of 5000 / 256 times the picture's longer side, the axis through its middle.

use crate::body::Body;
use crate::geometry::{Vec3, add, project, translation_from_crop_camera};
use crate::hmr2::camera::{FOCAL, SQUARE, point_in_crop, translation_in_crop};
use crate::hmr2::crop::Square;
use crate::person::Person;
use crate::render::Camera;

/// The size of a crop that cameras in it are told for, pixels: the published network's.
pub const CROP: usize = SQUARE as usize;

/// A person, posed and placed.
#[derive(Debug, Clone)]
pub struct Found {
    pub person: Person,
    /// What was cut out of the picture.
    pub square: Square,
    /// Relative to the body's origin, camera axes (x right, y down, z away), metres (V).
    pub vertices: Vec<Vec3>,
    /// Where the body stands before the camera of the crop (`pred_cam_t`), metres.
    pub translation_in_crop: Vec3,
    /// Where it stands before the camera of the whole picture (`pred_cam_t_full`), metres.
    pub translation: Vec3,
    /// The 44 joints in units of the crop's side from its middle (`pred_keypoints_2d`).
    pub joints_in_crop: Vec<[f32; 2]>,
    /// The 44 joints in pixels of the picture.
    pub joints_in_picture: Vec<[f32; 2]>,
}

/// The camera of a whole picture, pixels.
pub fn camera_of(width: usize, height: usize) -> Camera {
    let focal = FOCAL / SQUARE as f32 * width.max(height) as f32;
    Camera { fx: focal, fy: focal, cx: width as f32 / 2.0, cy: height as f32 / 2.0 }
}

impl Found {
    /// The person in a picture of `width` by `height` pixels.
    pub fn new(person: Person, body: &Body, width: usize, height: usize) -> Found {
        let camera = camera_of(width, height);
        let square = Square::of_demo(&person.detection.bbox);
        let size = [width as f32, height as f32];
        let translation =
            translation_from_crop_camera(person.crop_camera, square.center, square.side, size, camera.fx);
        let translation_in_crop = translation_in_crop(person.crop_camera, CROP);
        let in_crop = |joint: &Vec3| point_in_crop(*joint, translation_in_crop);
        let in_picture =
            |joint: &Vec3| project(add(*joint, translation), [camera.fx, camera.fy], [camera.cx, camera.cy]);
        Found {
            joints_in_crop: person.joints.iter().map(in_crop).collect(),
            joints_in_picture: person.joints.iter().map(in_picture).collect(),
            vertices: body.pose(&person.params).vertices,
            square,
            translation_in_crop,
            translation,
            person,
        }
    }

    /// The vertices before the camera of the whole picture.
    pub fn vertices_in_camera(&self) -> Vec<Vec3> {
        self.vertices.iter().map(|&vertex| add(vertex, self.translation)).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::geometry::IDENTITY;
    use crate::person::{BBox, Detection, SmplParams};

    /// Somebody upright with the arms spread, seen from the front by a crop's camera.
    pub fn somebody(body: &Body, bbox: BBox, crop_camera: [f32; 3]) -> Person {
        // y up becomes y down: half a turn about x
        let upright = [[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]];
        let params = SmplParams { betas: [0.0; 10], global_orient: upright, body_pose: [IDENTITY; 23] };
        Person {
            detection: Detection { bbox, score: 1.0, truth_id: None },
            joints: body.pose(&params).joints44,
            params,
            crop_camera,
            translation: [0.0; 3],
            joints_in_square: Vec::new(),
            confidence: None,
            mask: None,
        }
    }

    #[test]
    fn the_picture_sees_a_joint_where_the_crop_does() {
        let body = Body::stand_in();
        let bbox = BBox { x1: 500.0, y1: 80.0, x2: 580.0, y2: 300.0 };
        let found = Found::new(somebody(&body, bbox, [0.9, 0.1, -0.05]), &body, 640, 360);
        let Square { center, side } = found.square;
        for (picture, crop) in found.joints_in_picture.iter().zip(&found.joints_in_crop) {
            for axis in 0..2 {
                let by_crop = center[axis] + side * crop[axis];
                // a strong camera and a weak one differ by the body's depth over its distance
                assert!((picture[axis] - by_crop).abs() < 0.004 * side, "{picture:?} {crop:?}");
            }
        }
        assert!(found.joints_in_picture.iter().all(|at| (400.0..640.0).contains(&at[0])));
    }
}
