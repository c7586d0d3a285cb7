//! Draws bodies over the whole image, and for each person the crop, the body over it, and the body from the side.
//!
//! The views are those of 4D-Humans' demo; light and outlines are our own.

use super::posed_person::{CROP, PosedPerson, image_camera};
use posebook_core::frame::Frame;
use posebook_core::geometry::{Vec3, add, apply};
use posebook_models::body::Body;
use posebook_models::hmr2::camera::FOCAL_LENGTH;
use posebook_models::hmr2::crop;
use posebook_models::warp::ImageRegion;
use posebook_synth::render::overlay::{BodyMesh, Overlay, track_color};
use posebook_synth::render::{Camera, RgbImage};

/// Longest side of a drawing, pixels; where people cover a larger part of an image, the result is scaled down.
const MAX_SIDE: usize = 8192;
/// Opacity of a body's surface, 0 to 1.
const OPACITY: f32 = 0.9;
/// Distance of the near plane, meters.
const NEAR: f32 = 0.1;
/// Width of outlines beyond a body, pixels.
const MARGIN: f32 = 8.0;
/// Rotation by 90 degrees about the body's vertical axis.
const SIDE_VIEW: [[f32; 3]; 3] = [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]];
/// Gray value of the background.
const BACKGROUND: u8 = 255;

/// Draws all bodies over the whole image.
pub fn draw_bodies(frame: &Frame, people: &[PosedPerson], body: &Body) -> RgbImage {
    let camera = image_camera(frame.width, frame.height);
    let vertices: Vec<Vec<Vec3>> = people.iter().map(PosedPerson::vertices_in_camera).collect();
    let meshes: Vec<BodyMesh> =
        vertices.iter().enumerate().map(|(index, positions)| body_mesh(positions, body, index)).collect();
    let mut image = RgbImage::from_frame(frame);
    let Some(region) = covered_region(&vertices, &camera, frame) else { return image };
    if region.columns.len().max(region.rows.len()) > MAX_SIDE {
        return draw_scaled_down(frame, &camera, &meshes);
    }
    // only the covered part is drawn, to avoid copies of a large image
    let (columns, rows) = (region.columns, region.rows);
    let row = |y: usize| &frame.rgb()[(y * frame.width + columns.start) * 3..][..columns.len() * 3];
    let covered = rows.clone().flat_map(row).copied().collect();
    let covered = Frame::new(0, 0.0, columns.len(), rows.len(), covered);
    let (cx, cy) = (camera.cx - columns.start as f32, camera.cy - rows.start as f32);
    let mut canvas = Overlay::new(MAX_SIDE);
    canvas.begin(&covered);
    canvas.draw_bodies(&Camera { cx, cy, ..camera }, &meshes, OPACITY);
    image.paste(canvas.image(), columns.start, rows.start);
    image
}

/// The part of an image that bodies cover, with a margin for outlines; `None` if they are outside.
fn covered_region(bodies: &[Vec<Vec3>], camera: &Camera, frame: &Frame) -> Option<ImageRegion> {
    let (width, height) = (frame.width, frame.height);
    let is_in_front = |vertex: &&Vec3| vertex[2] > NEAR;
    let visible: Vec<[f32; 2]> =
        bodies.iter().flatten().filter(is_in_front).map(|&vertex| camera.project(vertex)).collect();
    if visible.is_empty() {
        return None;
    }
    if visible.len() < bodies.iter().map(Vec::len).sum() {
        // a body that extends behind the camera may be visible anywhere
        return Some(ImageRegion { columns: 0..width, rows: 0..height });
    }
    let interval = |axis: usize, end: usize| {
        let ends = visible.iter().fold((f32::MAX, f32::MIN), |(a, b), xy| (a.min(xy[axis]), b.max(xy[axis])));
        // a conversion from f32 saturates
        let (first, last) = ((ends.0 - MARGIN).max(0.0) as usize, (ends.1 + MARGIN).max(0.0) as usize);
        first.min(end)..last.min(end)
    };
    let region = ImageRegion { columns: interval(0, width), rows: interval(1, height) };
    (!region.columns.is_empty() && !region.rows.is_empty()).then_some(region)
}

/// Draws bodies over an image that is too large; the result is scaled down.
fn draw_scaled_down(frame: &Frame, camera: &Camera, meshes: &[BodyMesh]) -> RgbImage {
    let (width, height) = (frame.width, frame.height);
    let widest = if height > width { (MAX_SIDE * width / height).max(1) } else { MAX_SIDE };
    let mut canvas = Overlay::new(widest);
    canvas.begin(frame);
    canvas.draw_bodies(camera, meshes, OPACITY);
    canvas.image().clone()
}

fn body_mesh<'a>(positions: &'a [Vec3], body: &'a Body, person: usize) -> BodyMesh<'a> {
    BodyMesh { positions, faces: &body.faces, color: track_color(person as u32) }
}

/// Draws side by side: the network's crop of a person, the body over it, the body from the side.
pub fn draw_views(frame: &Frame, person: &PosedPerson, number: usize, body: &Body) -> RgbImage {
    let mut planes = vec![0.0; 3 * CROP * CROP];
    crop::demo_crop(frame, &person.person.detection.bbox, CROP, &mut planes);
    let crop = Frame::new(0, 0.0, CROP, CROP, crop::denormalize(&planes));
    let background = Frame::new(0, 0.0, CROP, CROP, vec![BACKGROUND; 3 * CROP * CROP]);
    let translation = person.translation_in_crop;
    let front: Vec<Vec3> = person.vertices.iter().map(|&vertex| add(vertex, translation)).collect();
    let side: Vec<Vec3> =
        person.vertices.iter().map(|&vertex| add(apply(&SIDE_VIEW, vertex), translation)).collect();
    let half = CROP as f32 / 2.0;
    let camera = Camera { fx: FOCAL_LENGTH, fy: FOCAL_LENGTH, cx: half, cy: half };
    let mut panels = RgbImage::filled(3 * CROP, CROP, [BACKGROUND; 3]);
    panels.paste(&RgbImage::from_frame(&crop), 0, 0);
    let mut canvas = Overlay::new(CROP);
    for (panel, (ground, positions)) in [(crop, front), (background, side)].iter().enumerate() {
        canvas.begin(ground);
        canvas.draw_bodies(&camera, &[body_mesh(positions, body, number)], OPACITY);
        panels.paste(canvas.image(), (panel + 1) * CROP, 0);
    }
    panels
}

#[cfg(test)]
mod tests {
    use super::super::posed_person::tests::person_in_t_pose;
    use super::*;
    use posebook_core::person::{BBox, JOINTS};

    fn gray_frame(width: usize, height: usize) -> Frame {
        Frame::new(0, 0.0, width, height, vec![120; width * height * 3])
    }

    /// Whether something is drawn within two pixels of a point in a gray image.
    fn is_drawn_near(image: &RgbImage, [x, y]: [f32; 2]) -> bool {
        let near = |at: f32, end: usize| (at as usize).saturating_sub(2)..(at as usize + 3).min(end);
        near(y, image.height)
            .any(|y| near(x, image.width).any(|x| image.rgb[(y * image.width + x) * 3..][..3] != [120; 3]))
    }

    #[test]
    fn joints_are_inside_the_drawn_body() {
        let (body, frame) = (Body::built_in(), gray_frame(640, 360));
        let bbox = BBox { x1: 420.0, y1: 40.0, x2: 560.0, y2: 300.0 };
        let person = PosedPerson::new(person_in_t_pose(&body, bbox, [0.95, 0.02, 0.12]), &body, 640, 360);
        let image = draw_bodies(&frame, std::slice::from_ref(&person), &body);
        assert_eq!((image.width, image.height), (640, 360));
        assert_eq!(person.joints_in_image.len(), JOINTS);
        for (joint, &at) in person.joints_in_image.iter().enumerate() {
            assert!(is_drawn_near(&image, at), "joint {joint} at {at:?}");
        }
        // the silhouette has the size that the camera predicts, and nothing else is drawn
        let columns: Vec<usize> = (0..640).filter(|&x| (0..360).any(|y| is_drawn_at(&image, x, y))).collect();
        let projected: Vec<f32> = person
            .vertices_in_camera()
            .iter()
            .map(|&vertex| image_camera(640, 360).project(vertex)[0])
            .collect();
        let (left, right) = projected.iter().fold((f32::MAX, f32::MIN), |(a, b), &x| (a.min(x), b.max(x)));
        assert!((columns[0] as f32 - left).abs() < 3.0, "{} {left}", columns[0]);
        assert!((columns[columns.len() - 1] as f32 - right).abs() < 3.0, "{right}");
    }

    fn is_drawn_at(image: &RgbImage, x: usize, y: usize) -> bool {
        image.rgb[(y * image.width + x) * 3..][..3] != [120; 3]
    }

    #[test]
    fn views_are_side_by_side() {
        let (body, frame) = (Body::built_in(), gray_frame(300, 300));
        let bbox = BBox { x1: 0.0, y1: 0.0, x2: 300.0, y2: 300.0 };
        let person = PosedPerson::new(person_in_t_pose(&body, bbox, [0.9, 0.0, 0.15]), &body, 300, 300);
        let panels = draw_views(&frame, &person, 0, &body);
        assert_eq!((panels.width, panels.height), (3 * CROP, CROP));
        let panel = |index: usize| {
            let mut panel = RgbImage::filled(CROP, CROP, [0; 3]);
            for y in 0..CROP {
                let from = (y * panels.width + index * CROP) * 3;
                panel.rgb[y * CROP * 3..(y + 1) * CROP * 3]
                    .copy_from_slice(&panels.rgb[from..from + CROP * 3]);
            }
            panel
        };
        assert!(panel(0).rgb[(128 * CROP + 128) * 3..][..3] == [120; 3], "nothing is drawn over the crop");
        for &[x, y] in &person.joints_in_crop {
            assert!(is_drawn_near(&panel(1), [(x + 0.5) * CROP as f32, (y + 0.5) * CROP as f32]));
        }
        let width = |image: RgbImage, ground: u8| {
            let covered = |x: usize| (0..CROP).any(|y| image.rgb[(y * CROP + x) * 3..][..3] != [ground; 3]);
            (0..CROP).filter(|&x| covered(x)).count()
        };
        let (front, side) = (width(panel(1), 120), width(panel(2), 255));
        assert!(side * 2 < front, "spread arms are narrow from the side: {front} {side}");
    }

    #[test]
    fn large_images_are_scaled_down_and_without_people_nothing_is_drawn() {
        let body = Body::built_in();
        assert_eq!(draw_bodies(&gray_frame(20, 10), &[], &body).rgb, vec![120; 600]);
        let nowhere = BBox { x1: 0.0, y1: 0.0, x2: 10.0, y2: 10.0 };
        let behind = PosedPerson::new(person_in_t_pose(&body, nowhere, [-0.5, 0.0, 0.0]), &body, 20, 10);
        assert_eq!(
            draw_bodies(&gray_frame(20, 10), &[behind], &body).rgb,
            vec![120; 600],
            "behind the camera"
        );
        let (width, height) = (40, 9000);
        let all = BBox { x1: 0.0, y1: 0.0, x2: width as f32, y2: height as f32 };
        let tall = PosedPerson::new(person_in_t_pose(&body, all, [1.3, 0.0, 0.1]), &body, width, height);
        let image = draw_bodies(&gray_frame(width, height), &[tall], &body);
        assert!(image.height <= MAX_SIDE && image.width <= width, "{}x{}", image.width, image.height);
        let small = BBox { x1: 0.0, y1: 4000.0, x2: width as f32, y2: 4080.0 };
        let small = PosedPerson::new(person_in_t_pose(&body, small, [1.0, 0.0, 0.1]), &body, width, height);
        let image = draw_bodies(&gray_frame(width, height), std::slice::from_ref(&small), &body);
        assert_eq!((image.width, image.height), (width, height));
        assert!(
            is_drawn_near(&image, small.joints_in_image[39]),
            "a small part of a large image is not scaled"
        );
    }
}
