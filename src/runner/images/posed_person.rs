//! A person of an image with everything that is written to files: body, cameras, joints.
//!
//! The network's weak-perspective camera of the crop is converted to a perspective camera of the whole image as in
//! 4D-Humans' demo: focal length 5000 / 256 times the image's longer side, principal point at the center.

use posebook_core::geometry::{Vec3, add, project, translation_from_crop_camera};
use posebook_core::person::Person;
use posebook_models::body::Body;
use posebook_models::hmr2::camera::{FOCAL_LENGTH, HMAR_IMAGE_SIZE, project_to_crop, translation_in_crop};
use posebook_models::hmr2::crop::Square;
use posebook_synth::render::Camera;

/// Side of the crop that crop cameras refer to, pixels: that of the published network.
pub const CROP: usize = HMAR_IMAGE_SIZE as usize;

/// A person with posed body and camera translations.
#[derive(Debug, Clone)]
pub struct PosedPerson {
    /// The network's output.
    pub person: Person,
    /// The square that was cropped.
    pub square: Square,
    /// Vertices (V) relative to the body's origin, camera axes (x right, y down, z forward), meters.
    pub vertices: Vec<Vec3>,
    /// Position of the body in the camera of the crop (`pred_cam_t`), meters.
    pub translation_in_crop: Vec3,
    /// Position of the body in the camera of the whole image (`pred_cam_t_full`), meters.
    pub translation: Vec3,
    /// The 44 joints relative to the crop's center, in units of its side (`pred_keypoints_2d`).
    pub joints_in_crop: Vec<[f32; 2]>,
    /// The 44 joints in pixels of the image.
    pub joints_in_image: Vec<[f32; 2]>,
}

/// The camera of a whole image of `width` by `height` pixels.
pub fn image_camera(width: usize, height: usize) -> Camera {
    let focal = FOCAL_LENGTH / HMAR_IMAGE_SIZE as f32 * width.max(height) as f32;
    Camera { fx: focal, fy: focal, cx: width as f32 / 2.0, cy: height as f32 / 2.0 }
}

impl PosedPerson {
    /// Poses a person of an image of `width` by `height` pixels.
    pub fn new(person: Person, body: &Body, width: usize, height: usize) -> PosedPerson {
        let camera = image_camera(width, height);
        let square = Square::demo(&person.detection.bbox);
        let size = [width as f32, height as f32];
        let translation =
            translation_from_crop_camera(person.crop_camera, square.center, square.side, size, camera.fx);
        let translation_in_crop = translation_in_crop(person.crop_camera, CROP);
        let in_crop = |joint: &Vec3| project_to_crop(*joint, translation_in_crop);
        let in_image =
            |joint: &Vec3| project(add(*joint, translation), [camera.fx, camera.fy], [camera.cx, camera.cy]);
        PosedPerson {
            joints_in_crop: person.joints.iter().map(in_crop).collect(),
            joints_in_image: person.joints.iter().map(in_image).collect(),
            vertices: body.pose(&person.params).vertices,
            square,
            translation_in_crop,
            translation,
            person,
        }
    }

    /// The vertices in the camera of the whole image, meters.
    pub fn vertices_in_camera(&self) -> Vec<Vec3> {
        self.vertices.iter().map(|&vertex| add(vertex, self.translation)).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use posebook_core::geometry::IDENTITY;
    use posebook_core::person::{BBox, Detection, SmplParams};

    /// A person upright with spread arms, facing the crop's camera.
    pub fn person_in_t_pose(body: &Body, bbox: BBox, crop_camera: [f32; 3]) -> Person {
        // y up becomes y down: rotation by 180 degrees about x
        let upright = [[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]];
        let params = SmplParams { betas: [0.0; 10], global_orient: upright, body_pose: [IDENTITY; 23] };
        Person {
            detection: Detection { bbox, score: 1.0, input_id: None, mask: None },
            joints: body.pose(&params).joints44,
            params,
            crop_camera,
            translation: [0.0; 3],
            joints_in_square: Vec::new(),
            confidence: None,
            mask: None,
            appearance: None,
        }
    }

    #[test]
    fn image_and_crop_cameras_project_joints_to_the_same_pixels() {
        let body = Body::built_in();
        let bbox = BBox { x1: 500.0, y1: 80.0, x2: 580.0, y2: 300.0 };
        let person = PosedPerson::new(person_in_t_pose(&body, bbox, [0.9, 0.1, -0.05]), &body, 640, 360);
        let Square { center, side } = person.square;
        for (pixel, crop) in person.joints_in_image.iter().zip(&person.joints_in_crop) {
            for axis in 0..2 {
                let by_crop = center[axis] + side * crop[axis];
                // perspective and weak perspective differ by the body's depth over its distance
                assert!((pixel[axis] - by_crop).abs() < 0.004 * side, "{pixel:?} {crop:?}");
            }
        }
        assert!(person.joints_in_image.iter().all(|at| (400.0..640.0).contains(&at[0])));
    }
}
