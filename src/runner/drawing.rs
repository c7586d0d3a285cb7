//! A run's people drawn over its frames: boxes with identities, skeletons, bodies' outlines.

use super::accuracy::{bbox_of, params_of};
use crate::body::Body;
use crate::frame::Frame;
use crate::geometry::{Vec3, add};
use crate::hmr2::camera::{FOCAL, SQUARE};
use crate::render::Camera;
use crate::render::overlay::{OPENPOSE_LIMBS, Overlay, Shown, color_of_track};
use crate::tables::PersonRow;

/// Of people that the tracker does not vouch for.
const NOBODY: [u8; 3] = [150, 150, 150];
/// How much of a body's surface is seen over the frame.
const OPACITY: f32 = 0.35;

/// Draws `people` over `frame`. A detection in which the network recognized nobody is not drawn.
pub fn draw(overlay: &mut Overlay, frame: &Frame, people: &[PersonRow], body: &Body) {
    overlay.begin(frame);
    let people: Vec<&PersonRow> = people.iter().filter(|row| !row.joints_px.is_empty()).collect();
    let colors: Vec<[u8; 3]> =
        people.iter().map(|row| row.track.map_or(NOBODY, |track| color_of_track(track as u32))).collect();
    let vertices: Vec<Vec<Vec3>> = people.iter().map(|row| vertices(row, body)).collect();
    let shown = vertices.iter().zip(&colors);
    let shown: Vec<Shown> =
        shown.map(|(positions, &color)| Shown { positions, faces: &body.faces, color }).collect();
    let (seen, unseen): (Vec<Shown>, Vec<Shown>) =
        shown.into_iter().partition(|body| !body.positions.is_empty());
    drop(unseen);
    overlay.bodies(&camera_of(frame.width, frame.height), &seen, OPACITY);
    for (row, &color) in people.into_iter().zip(&colors) {
        let joints: Vec<[f32; 2]> = row.joints_px.chunks_exact(2).map(|at| [at[0], at[1]]).collect();
        overlay.skeleton(&joints, &OPENPOSE_LIMBS, color);
        let label = row.track.map_or_else(String::new, |track| track.to_string());
        overlay.labelled_box(&bbox_of(row), &label, color);
    }
}

/// PHALP's camera for the full frame: focal length 5000 where the square around the frame has 256 pixels.
fn camera_of(width: usize, height: usize) -> Camera {
    let side = width.max(height);
    let focal = FOCAL / SQUARE as f32 * side as f32;
    // the borders that the square adds are whole pixels
    let middle = |length: usize| side as f32 / 2.0 - ((side - length) / 2) as f32;
    Camera { fx: focal, fy: focal, cx: middle(width), cy: middle(height) }
}

/// The body's vertices before PHALP's camera; none if the row has no body.
fn vertices(row: &PersonRow, body: &Body) -> Vec<Vec3> {
    let (Some(params), &[x, y, z]) = (params_of(row), row.translation_m.as_slice()) else {
        return Vec::new();
    };
    body.pose(&params).vertices.into_iter().map(|vertex| add(vertex, [x, y, z])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::project;
    use crate::person::pixel_from_square;

    #[test]
    fn the_camera_is_the_one_that_joints_were_projected_with() {
        let (width, height) = (640, 361);
        let point: Vec3 = [0.3, -0.5, 41.0];
        let focal = FOCAL / SQUARE as f32;
        let in_square = project(point, [focal; 2], [0.5; 2]);
        let expected = pixel_from_square(in_square, width, height);
        let Camera { fx, fy, cx, cy } = camera_of(width, height);
        let pixel = project(point, [fx, fy], [cx, cy]);
        assert!((pixel[0] - expected[0]).abs() < 1e-3 && (pixel[1] - expected[1]).abs() < 1e-3);
    }
}
