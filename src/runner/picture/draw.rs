//! What was found, drawn: bodies over the whole picture, and each person's crop, body and body from the side.
//!
//! The views are those of 4D-Humans' demo; light and outlines are our own.

use super::found::{CROP, Found, camera_of};
use crate::body::Body;
use crate::frame::Frame;
use crate::geometry::{Vec3, add, apply};
use crate::hmr2::camera::FOCAL;
use crate::hmr2::crop;
use crate::render::overlay::{Overlay, Shown, color_of_track};
use crate::render::{Camera, Picture};
use crate::warp::Part;

/// The longest side that can be drawn upon, pixels; where people fill more of a picture it is made smaller.
const LARGEST: usize = 8192;
/// How much of a body's surface hides the picture behind it.
const OPACITY: f32 = 0.9;
/// How near anything is drawn, metres, and how far outlines reach beyond a body, pixels.
const NEAREST: f32 = 0.1;
const MARGIN: f32 = 8.0;
/// A quarter of a turn about the body's upright axis.
const FROM_THE_SIDE: [[f32; 3]; 3] = [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]];
const PAPER: u8 = 255;

/// All bodies over the whole picture.
pub fn whole(frame: &Frame, people: &[Found], body: &Body) -> Picture {
    let camera = camera_of(frame.width, frame.height);
    let vertices: Vec<Vec<Vec3>> = people.iter().map(Found::vertices_in_camera).collect();
    let shown: Vec<Shown> =
        vertices.iter().enumerate().map(|(at, positions)| shown(positions, body, at)).collect();
    let picture = Picture::of_frame(frame);
    let Some(part) = part_of(&vertices, &camera, frame) else { return picture };
    if part.columns.len().max(part.rows.len()) > LARGEST {
        return shrunk(frame, &camera, &shown);
    }
    // of a photograph only a part is drawn upon: the rest need not be held three times
    let (columns, rows) = (part.columns, part.rows);
    let row = |y: usize| &frame.rgb()[(y * frame.width + columns.start) * 3..][..columns.len() * 3];
    let ground = rows.clone().flat_map(row).copied().collect();
    let ground = Frame::new(0, 0.0, columns.len(), rows.len(), ground);
    let (cx, cy) = (camera.cx - columns.start as f32, camera.cy - rows.start as f32);
    let mut canvas = Overlay::new(LARGEST);
    canvas.begin(&ground);
    canvas.bodies(&Camera { cx, cy, ..camera }, &shown, OPACITY);
    let mut picture = picture;
    picture.paste(canvas.picture(), columns.start, rows.start);
    picture
}

/// The part of a picture that bodies are seen in, with room for their outlines; none if they are not in it.
fn part_of(bodies: &[Vec<Vec3>], camera: &Camera, frame: &Frame) -> Option<Part> {
    let (width, height) = (frame.width, frame.height);
    let before = |vertex: &&Vec3| vertex[2] > NEAREST;
    let seen: Vec<[f32; 2]> =
        bodies.iter().flatten().filter(before).map(|&vertex| camera.project(vertex)).collect();
    if seen.is_empty() {
        return None;
    }
    if seen.len() < bodies.iter().map(Vec::len).sum() {
        // a body that reaches behind the camera may be seen anywhere
        return Some(Part { columns: 0..width, rows: 0..height });
    }
    let span = |axis: usize, end: usize| {
        let ends = seen.iter().fold((f32::MAX, f32::MIN), |(a, b), at| (a.min(at[axis]), b.max(at[axis])));
        // a conversion from f32 saturates
        let (first, last) = ((ends.0 - MARGIN).max(0.0) as usize, (ends.1 + MARGIN).max(0.0) as usize);
        first.min(end)..last.min(end)
    };
    let part = Part { columns: span(0, width), rows: span(1, height) };
    (!part.columns.is_empty() && !part.rows.is_empty()).then_some(part)
}

/// The bodies over a picture that is larger than can be drawn upon: it comes out smaller.
fn shrunk(frame: &Frame, camera: &Camera, shown: &[Shown]) -> Picture {
    let (width, height) = (frame.width, frame.height);
    let widest = if height > width { (LARGEST * width / height).max(1) } else { LARGEST };
    let mut canvas = Overlay::new(widest);
    canvas.begin(frame);
    canvas.bodies(camera, shown, OPACITY);
    canvas.picture().clone()
}

fn shown<'a>(positions: &'a [Vec3], body: &'a Body, person: usize) -> Shown<'a> {
    Shown { positions, faces: &body.faces, color: color_of_track(person as u32) }
}

/// Side by side: what the network saw of a person, the body over it, the body from the side.
pub fn views(frame: &Frame, person: &Found, number: usize, body: &Body) -> Picture {
    let mut planes = vec![0.0; 3 * CROP * CROP];
    crop::demo(frame, &person.person.detection.bbox, CROP, &mut planes);
    let seen = Frame::new(0, 0.0, CROP, CROP, crop::levels_of(&planes));
    let paper = Frame::new(0, 0.0, CROP, CROP, vec![PAPER; 3 * CROP * CROP]);
    let at = person.translation_in_crop;
    let front: Vec<Vec3> = person.vertices.iter().map(|&vertex| add(vertex, at)).collect();
    let side: Vec<Vec3> =
        person.vertices.iter().map(|&vertex| add(apply(&FROM_THE_SIDE, vertex), at)).collect();
    let half = CROP as f32 / 2.0;
    let camera = Camera { fx: FOCAL, fy: FOCAL, cx: half, cy: half };
    let mut strip = Picture::filled(3 * CROP, CROP, [PAPER; 3]);
    strip.paste(&Picture::of_frame(&seen), 0, 0);
    let mut canvas = Overlay::new(CROP);
    for (place, (ground, positions)) in [(seen, front), (paper, side)].iter().enumerate() {
        canvas.begin(ground);
        canvas.bodies(&camera, &[shown(positions, body, number)], OPACITY);
        strip.paste(canvas.picture(), (place + 1) * CROP, 0);
    }
    strip
}

#[cfg(test)]
mod tests {
    use super::super::found::tests::somebody;
    use super::*;
    use crate::person::{BBox, JOINTS};

    fn grey(width: usize, height: usize) -> Frame {
        Frame::new(0, 0.0, width, height, vec![120; width * height * 3])
    }

    /// Whether something is drawn within two pixels of a place in a grey picture.
    fn drawn(picture: &Picture, [x, y]: [f32; 2]) -> bool {
        let near = |at: f32, end: usize| (at as usize).saturating_sub(2)..(at as usize + 3).min(end);
        near(y, picture.height).any(|y| {
            near(x, picture.width).any(|x| picture.rgb[(y * picture.width + x) * 3..][..3] != [120; 3])
        })
    }

    #[test]
    fn joints_lie_in_the_body_that_is_drawn() {
        let (body, frame) = (Body::stand_in(), grey(640, 360));
        let bbox = BBox { x1: 420.0, y1: 40.0, x2: 560.0, y2: 300.0 };
        let found = Found::new(somebody(&body, bbox, [0.95, 0.02, 0.12]), &body, 640, 360);
        let picture = whole(&frame, std::slice::from_ref(&found), &body);
        assert_eq!((picture.width, picture.height), (640, 360));
        assert_eq!(found.joints_in_picture.len(), JOINTS);
        for (joint, &at) in found.joints_in_picture.iter().enumerate() {
            assert!(drawn(&picture, at), "joint {joint} at {at:?}");
        }
        // the silhouette is as large as the camera says, and nothing is anywhere else
        let columns: Vec<usize> = (0..640).filter(|&x| (0..360).any(|y| drawn_at(&picture, x, y))).collect();
        let projected: Vec<f32> =
            found.vertices_in_camera().iter().map(|&vertex| camera_of(640, 360).project(vertex)[0]).collect();
        let (left, right) = projected.iter().fold((f32::MAX, f32::MIN), |(a, b), &x| (a.min(x), b.max(x)));
        assert!((columns[0] as f32 - left).abs() < 3.0, "{} {left}", columns[0]);
        assert!((columns[columns.len() - 1] as f32 - right).abs() < 3.0, "{right}");
    }

    fn drawn_at(picture: &Picture, x: usize, y: usize) -> bool {
        picture.rgb[(y * picture.width + x) * 3..][..3] != [120; 3]
    }

    #[test]
    fn views_stand_side_by_side() {
        let (body, frame) = (Body::stand_in(), grey(300, 300));
        let bbox = BBox { x1: 0.0, y1: 0.0, x2: 300.0, y2: 300.0 };
        let found = Found::new(somebody(&body, bbox, [0.9, 0.0, 0.15]), &body, 300, 300);
        let strip = views(&frame, &found, 0, &body);
        assert_eq!((strip.width, strip.height), (3 * CROP, CROP));
        let panel = |place: usize| {
            let mut panel = Picture::filled(CROP, CROP, [0; 3]);
            for y in 0..CROP {
                let from = (y * strip.width + place * CROP) * 3;
                panel.rgb[y * CROP * 3..(y + 1) * CROP * 3]
                    .copy_from_slice(&strip.rgb[from..from + CROP * 3]);
            }
            panel
        };
        assert!(panel(0).rgb[(128 * CROP + 128) * 3..][..3] == [120; 3], "the crop itself bears no drawing");
        for &[x, y] in &found.joints_in_crop {
            assert!(drawn(&panel(1), [(x + 0.5) * CROP as f32, (y + 0.5) * CROP as f32]));
        }
        let width = |picture: Picture, ground: u8| {
            let covered = |x: usize| (0..CROP).any(|y| picture.rgb[(y * CROP + x) * 3..][..3] != [ground; 3]);
            (0..CROP).filter(|&x| covered(x)).count()
        };
        let (front, side) = (width(panel(1), 120), width(panel(2), 255));
        assert!(side * 2 < front, "arms that are spread are not seen from the side: {front} {side}");
    }

    #[test]
    fn large_pictures_are_drawn_smaller_and_nobody_is_nothing() {
        let body = Body::stand_in();
        assert_eq!(whole(&grey(20, 10), &[], &body).rgb, vec![120; 600]);
        let nowhere = BBox { x1: 0.0, y1: 0.0, x2: 10.0, y2: 10.0 };
        let behind = Found::new(somebody(&body, nowhere, [-0.5, 0.0, 0.0]), &body, 20, 10);
        assert_eq!(whole(&grey(20, 10), &[behind], &body).rgb, vec![120; 600], "behind the camera");
        let (width, height) = (40, 9000);
        let all = BBox { x1: 0.0, y1: 0.0, x2: width as f32, y2: height as f32 };
        let tall = Found::new(somebody(&body, all, [1.3, 0.0, 0.1]), &body, width, height);
        let picture = whole(&grey(width, height), &[tall], &body);
        assert!(picture.height <= LARGEST && picture.width <= width, "{}x{}", picture.width, picture.height);
        let small = BBox { x1: 0.0, y1: 4000.0, x2: width as f32, y2: 4080.0 };
        let small = Found::new(somebody(&body, small, [1.0, 0.0, 0.1]), &body, width, height);
        let picture = whole(&grey(width, height), std::slice::from_ref(&small), &body);
        assert_eq!((picture.width, picture.height), (width, height));
        assert!(
            drawn(&picture, small.joints_in_picture[39]),
            "a part of a large picture is drawn upon as it is"
        );
    }
}
