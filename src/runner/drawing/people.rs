//! Draws the people of a run over its frames: bodies, skeletons, and boxes labeled with track ids.

use crate::runner::scoring::accuracy::{bbox_of, params_of};
use posebook_core::frame::Frame;
use posebook_core::geometry::{Vec3, add};
use posebook_models::body::Body;
use posebook_models::hmr2::camera::{FOCAL_LENGTH, HMAR_IMAGE_SIZE};
use posebook_notebook::tables::PersonRow;
use posebook_synth::render::Camera;
use posebook_synth::render::overlay::{BodyMesh, OPENPOSE_LIMBS, Overlay, track_color};

/// Color of detections without a track.
const UNCONFIRMED_COLOR: [u8; 3] = [150, 150, 150];
/// Opacity of a body's surface, 0 to 1.
const BODY_OPACITY: f32 = 0.35;

/// Draws `people` over `frame`. Detections that the network rejected are not drawn.
pub fn draw(overlay: &mut Overlay, frame: &Frame, people: &[PersonRow], body: &Body) {
    overlay.begin(frame);
    let people: Vec<&PersonRow> = people.iter().filter(|row| !row.joints_px.is_empty()).collect();
    let colors: Vec<[u8; 3]> = people
        .iter()
        .map(|row| row.track.map_or(UNCONFIRMED_COLOR, |track| track_color(track as u32)))
        .collect();
    let vertices: Vec<Vec<Vec3>> = people.iter().map(|row| vertices_in_camera(row, body)).collect();
    // a row without a body has no vertices
    let bodies = vertices.iter().zip(&colors).filter(|(positions, _)| !positions.is_empty());
    let bodies: Vec<BodyMesh> =
        bodies.map(|(positions, &color)| BodyMesh { positions, faces: &body.faces, color }).collect();
    overlay.draw_bodies(&full_frame_camera(frame.width, frame.height), &bodies, BODY_OPACITY);
    for (row, &color) in people.into_iter().zip(&colors) {
        let joints: Vec<[f32; 2]> = row.joints_px.chunks_exact(2).map(|xy| [xy[0], xy[1]]).collect();
        overlay.draw_skeleton(&joints, &OPENPOSE_LIMBS, color);
        let label = row.track.map_or_else(String::new, |track| track.to_string());
        overlay.draw_box(&bbox_of(row), &label, color);
    }
}

/// PHALP's camera for the full frame: focal length 5000 / 256 times the longer side.
fn full_frame_camera(width: usize, height: usize) -> Camera {
    let side = width.max(height);
    let focal = FOCAL_LENGTH / HMAR_IMAGE_SIZE as f32 * side as f32;
    // padding the frame to a square adds whole pixels
    let middle = |length: usize| side as f32 / 2.0 - ((side - length) / 2) as f32;
    Camera { fx: focal, fy: focal, cx: middle(width), cy: middle(height) }
}

/// The body's vertices in the coordinates of PHALP's camera, meters; none if the row has no body.
fn vertices_in_camera(row: &PersonRow, body: &Body) -> Vec<Vec3> {
    let (Some(params), &[x, y, z]) = (params_of(row), row.translation_m.as_slice()) else {
        return Vec::new();
    };
    body.pose(&params).vertices.into_iter().map(|vertex| add(vertex, [x, y, z])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_core::geometry::project;
    use posebook_core::person::pixel_from_square;

    #[test]
    fn the_camera_projects_as_the_joints_were_projected() {
        let (width, height) = (640, 361);
        let point: Vec3 = [0.3, -0.5, 41.0];
        let focal = FOCAL_LENGTH / HMAR_IMAGE_SIZE as f32;
        let in_square = project(point, [focal; 2], [0.5; 2]);
        let expected = pixel_from_square(in_square, width, height);
        let Camera { fx, fy, cx, cy } = full_frame_camera(width, height);
        let pixel = project(point, [fx, fy], [cx, cy]);
        assert!((pixel[0] - expected[0]).abs() < 1e-3 && (pixel[1] - expected[1]).abs() < 1e-3);
    }
}
