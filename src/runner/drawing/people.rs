//! Draws the people of a run over its frames: bodies, skeletons, masks, and boxes labeled with track ids.

use crate::runner::RunnerError;
use crate::runner::scoring::accuracy::{bbox_of, params_of};
use posebook_core::frame::Frame;
use posebook_core::geometry::{Vec3, add};
use posebook_models::body::Body;
use posebook_models::hmr2::camera::{FOCAL_LENGTH, HMAR_IMAGE_SIZE};
use posebook_models::hmr2::mask::mask_of_counts;
use posebook_notebook::tables::PersonRow;
use posebook_synth::render::overlay::{BodyMesh, OPENPOSE_LIMBS, Overlay};
use posebook_synth::render::{Camera, Colors};

/// Color of detections without a track.
const UNCONFIRMED_COLOR: [u8; 3] = [150, 150, 150];
/// Opacity of a body's surface, 0 to 1.
const BODY_OPACITY: f32 = 0.35;
/// Opacity of the surface of a lost body.
const LOST_OPACITY: f32 = 0.12;

/// A person to draw.
pub struct Shown<'a> {
    /// The row.
    pub row: &'a PersonRow,
    /// Whether the track is lost, and the row is the last one with it.
    pub is_lost: bool,
    /// Color of the track.
    pub color: [u8; 3],
    /// Vertices in the coordinates of PHALP's camera, meters; none if the row has no body or bodies are not drawn.
    pub vertices: Vec<Vec3>,
}

impl<'a> Shown<'a> {
    /// The person of a row, without a body; `None` for a detection that the network rejected.
    pub fn new(row: &'a PersonRow, is_lost: bool, colors: Colors) -> Option<Shown<'a>> {
        let color = row.track.map_or(UNCONFIRMED_COLOR, |track| colors.of_track(track));
        (!row.joints_px.is_empty()).then_some(Shown { row, is_lost, color, vertices: Vec::new() })
    }

    /// The same with its body.
    pub fn with_body(self, body: &Body) -> Shown<'a> {
        Shown { vertices: vertices_in_camera(self.row, body), ..self }
    }

    /// The track id, and whether it is lost.
    pub fn label(&self) -> String {
        let lost = if self.is_lost { " lost" } else { "" };
        self.row.track.map_or_else(String::new, |track| format!("{track}{lost}"))
    }

    fn mesh<'b>(&'b self, body: &'b Body) -> Option<BodyMesh<'b>> {
        let Shown { vertices, color, .. } = self;
        let mesh = BodyMesh { positions: vertices, faces: &body.faces, color: *color };
        (!vertices.is_empty()).then_some(mesh)
    }
}

/// Draws `people` over `frame`, bodies in posebook's colors. Detections that the network rejected are not drawn.
pub fn draw(overlay: &mut Overlay, frame: &Frame, people: &[PersonRow], body: &Body) {
    overlay.begin(frame);
    let shown = people.iter().filter_map(|row| Shown::new(row, false, Colors::Posebook));
    let shown: Vec<Shown> = shown.map(|shown| shown.with_body(body)).collect();
    draw_meshes(overlay, (frame.width, frame.height), &shown, body);
}

/// Draws bodies with skeletons and boxes over a frame of this width and height; lost ones faintly, behind the others, and
/// without their skeletons.
pub fn draw_meshes(overlay: &mut Overlay, size: (usize, usize), people: &[Shown], body: &Body) {
    draw_bodies(overlay, size, people, body, [LOST_OPACITY, BODY_OPACITY]);
    for shown in people.iter().filter(|shown| shown.is_lost) {
        draw_tag(overlay, size, shown);
    }
    for Shown { row, color, .. } in people.iter().filter(|shown| !shown.is_lost) {
        let joints: Vec<[f32; 2]> = row.joints_px.chunks_exact(2).map(|xy| [xy[0], xy[1]]).collect();
        overlay.draw_skeleton(&joints, &OPENPOSE_LIMBS, *color);
        let label = row.track.map_or_else(String::new, |track| track.to_string());
        overlay.draw_box(&bbox_of(row), &label, *color);
    }
}

/// Draws bodies over a frame of this width and height, first the lost ones with the first opacity.
fn draw_bodies(
    overlay: &mut Overlay,
    size: (usize, usize),
    people: &[Shown],
    body: &Body,
    [lost, seen]: [f32; 2],
) {
    let camera = full_frame_camera(size.0, size.1);
    for (is_lost, opacity) in [(true, lost), (false, seen)] {
        let of_kind = people.iter().filter(|shown| shown.is_lost == is_lost);
        let bodies: Vec<BodyMesh> = of_kind.filter_map(|shown| shown.mesh(body)).collect();
        if !is_lost || !bodies.is_empty() {
            overlay.draw_bodies(&camera, &bodies, opacity);
        }
    }
}

/// Draws bodies as they look from the right of the frame, each at its place, with their track ids.
pub fn draw_side_view(overlay: &mut Overlay, size: (usize, usize), people: &[Shown], body: &Body) {
    let turned: Vec<Shown> = people
        .iter()
        .filter_map(|shown| {
            let &[x, _, z] = shown.row.translation_m.as_slice() else { return None };
            // a quarter turn around the vertical axis through the body's origin
            let turn = |v: &Vec3| [v[2] - z + x, v[1], z - (v[0] - x)];
            Some(Shown { vertices: shown.vertices.iter().map(turn).collect(), ..*shown })
        })
        .collect();
    draw_bodies(overlay, size, &turned, body, [2.0 * LOST_OPACITY, 1.0]);
    turned.iter().for_each(|shown| draw_tag(overlay, size, shown));
}

/// Draws the track id above the body, or above the box if there is no body.
fn draw_tag(overlay: &mut Overlay, size: (usize, usize), shown: &Shown) {
    let label = shown.label();
    if label.is_empty() {
        return;
    }
    let camera = full_frame_camera(size.0, size.1);
    let pixels = shown.vertices.iter().map(|&vertex| camera.project(vertex));
    let highest = pixels.min_by(|a, b| a[1].total_cmp(&b[1]));
    let bbox = bbox_of(shown.row);
    let [x, y] = highest.unwrap_or([(bbox.x1 + bbox.x2) / 2.0, bbox.y1]);
    overlay.draw_tag(&label, [x, y - 0.01 * size.1 as f32], shown.color);
}

/// Draws the mask of each person over a frame of this width and height, the body's silhouette where there is no mask, and
/// a box.
///
/// # Errors
/// If the counts of a mask cannot be read.
pub fn draw_masks(
    overlay: &mut Overlay,
    size: (usize, usize),
    people: &[Shown],
    body: &Body,
) -> Result<(), RunnerError> {
    let camera = full_frame_camera(size.0, size.1);
    for shown in people {
        if let Some(counts) = &shown.row.mask_counts {
            let mask = mask_of_counts(counts, size.0, size.1).map_err(|source| RunnerError::Mask {
                frame: shown.row.frame,
                person: shown.row.person,
                source,
            })?;
            overlay.draw_mask(&mask, size.0, size.1, shown.color);
        } else if let Some(mesh) = shown.mesh(body) {
            overlay.draw_silhouette(&camera, &mesh);
        }
    }
    draw_boxes(overlay, people);
    Ok(())
}

/// Draws a box with the track id around each person.
pub fn draw_boxes(overlay: &mut Overlay, people: &[Shown]) {
    for shown in people {
        overlay.draw_plain_box(&bbox_of(shown.row), &shown.label(), shown.color);
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
