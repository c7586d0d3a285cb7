//! What was found, drawn over the frame it was found in: boxes with labels, skeletons, bodies.
//!
//! Coordinates are those of the full frame even where the picture is a smaller one, so that lines and
//! letters keep their thickness in a film strip. Must not know who found it.

use super::pen::{ink_on, shortened, text_height, text_width};
use super::picture::Picture;
use super::raster::{Camera, Draw, Mesh, Raster, Shade, Surface};
use super::{color, vertex_normals};
use crate::frame::Frame;
use crate::geometry::{Vec3, dot, norm};
use crate::person::BBox;

/// The limbs of OpenPose's 25 joints, the first of HMR2's 44 (BODY_25).
pub const OPENPOSE_LIMBS: [(usize, usize); 24] = [
    (1, 8),
    (1, 2),
    (2, 3),
    (3, 4),
    (1, 5),
    (5, 6),
    (6, 7),
    (8, 9),
    (9, 10),
    (10, 11),
    (8, 12),
    (12, 13),
    (13, 14),
    (1, 0),
    (0, 15),
    (15, 17),
    (0, 16),
    (16, 18),
    (14, 19),
    (19, 20),
    (14, 21),
    (11, 22),
    (22, 23),
    (11, 24),
];

/// Twelve colours told apart with any colour vision, neighbours in the list most of all (after Okabe and
/// Ito 2008 and Tol 2021).
const PALETTE: [[u8; 3]; 12] = [
    [0, 158, 235],
    [240, 140, 0],
    [0, 178, 125],
    [225, 95, 175],
    [245, 225, 65],
    [130, 95, 225],
    [215, 70, 40],
    [60, 225, 210],
    [150, 185, 40],
    [255, 175, 155],
    [35, 110, 180],
    [175, 125, 75],
];

/// The colour of an identity, the same wherever it is drawn. After twelve they come again, paler and
/// then darker; boxes carry the number as well.
pub fn color_of_track(track: u32) -> [u8; 3] {
    let [r, g, b] = PALETTE[track as usize % PALETTE.len()];
    match track as usize / PALETTE.len() % 3 {
        0 => [r, g, b],
        1 => [r, g, b].map(|channel| (channel as u32 + (255 - channel as u32) * 45 / 100) as u8),
        _ => [r, g, b].map(|channel| (channel as u32 * 60 / 100) as u8),
    }
}

/// A body to be drawn over the frame.
pub struct Shown<'a> {
    /// In camera axes, metres.
    pub positions: &'a [Vec3],
    pub faces: &'a [[u32; 3]],
    pub color: [u8; 3],
}

/// A frame being drawn upon; its buffers are kept for the next one.
pub struct Overlay {
    max_width: usize,
    scale: f32,
    picture: Picture,
    raster: Option<Raster>,
    normals: Vec<Vec<Vec3>>,
}

impl Overlay {
    /// For pictures of at most `max_width` pixels; larger frames are shrunk to that.
    pub fn new(max_width: usize) -> Overlay {
        let picture = Picture::filled(1, 1, [0; 3]);
        Overlay { max_width: max_width.max(1), scale: 1.0, picture, raster: None, normals: Vec::new() }
    }

    /// Starts over with a frame.
    pub fn begin(&mut self, frame: &Frame) {
        let same = (frame.width, frame.height) == (self.picture.width, self.picture.height);
        if frame.width > self.max_width {
            self.picture = Picture::of_frame(frame).fitted(self.max_width, usize::MAX);
        } else if same {
            self.picture.rgb.copy_from_slice(frame.rgb());
        } else {
            self.picture = Picture::of_frame(frame);
        }
        self.scale = self.picture.width as f32 / frame.width as f32;
    }

    /// What has been drawn so far.
    pub fn picture(&self) -> &Picture {
        &self.picture
    }

    /// How large the letters are: their dots in pixels. At one pixel a dot nobody could read them.
    fn letters(&self) -> usize {
        let width = self.picture.width.min(self.picture.height * 16 / 9);
        ((width + 160) / 400).max(if width < 160 { 1 } else { 2 })
    }

    /// How thick lines are, pixels.
    fn stroke(&self) -> f32 {
        (self.picture.width as f32 / 400.0).clamp(1.2, 4.0)
    }

    /// A box with a label on its upper edge; an empty label is left away.
    pub fn labelled_box(&mut self, bbox: &BBox, label: &str, color: [u8; 3]) {
        let [x1, y1, x2, y2] = [bbox.x1, bbox.y1, bbox.x2, bbox.y2].map(|value| value * self.scale);
        if ![x1, y1, x2, y2].iter().all(|value| value.is_finite()) {
            return;
        }
        let stroke = self.stroke();
        let corners = [[x1, y1], [x2, y1], [x2, y2], [x1, y2]];
        // a dark rim keeps the colour apart from any background
        for (thickness, ink, opacity) in [(stroke + 1.6, [0, 0, 0], 0.45), (stroke, color, 1.0)] {
            for i in 0..4 {
                self.picture.line(corners[i], corners[(i + 1) % 4], thickness, ink, opacity);
            }
        }
        if !label.is_empty() {
            self.label(label, [x1 - stroke / 2.0, y1 - stroke / 2.0], color);
        }
    }

    /// Text on a plate whose lower left corner is at `corner` (pixels of the picture), kept within it.
    fn label(&mut self, text: &str, corner: [f32; 2], color: [u8; 3]) {
        let letters = self.letters();
        let pad = 2 * letters as i32;
        let text = shortened(text, letters, self.picture.width.saturating_sub(2 * pad as usize));
        let width = text_width(&text, letters) as i32 + 2 * pad;
        // plates are as high as capitals and digits; descenders reach into the margin
        let height = text_height(letters) as i32 - 2 * letters as i32 + 2 * pad;
        let left = (corner[0].round() as i32).min(self.picture.width as i32 - width).max(0);
        let top = (corner[1].round() as i32 - height).min(self.picture.height as i32 - height).max(0);
        let (from, to) = ([left as f32, top as f32], [(left + width) as f32, (top + height) as f32]);
        self.picture.rectangle(from, to, color, 0.92);
        self.picture.text(&text, left + pad, top + pad, letters, ink_on(color));
    }

    /// Text in the picture's upper left corner, for what concerns the frame as a whole.
    pub fn caption(&mut self, text: &str) {
        let plate = (text_height(self.letters()) + 2 * self.letters()) as f32;
        self.label(text, [0.0, plate], [24, 24, 28]);
    }

    /// Joints and the limbs between them; joints that are not finite are left out. HMR2's 44 joints go with
    /// [`OPENPOSE_LIMBS`]; only joints that a limb names are drawn.
    pub fn skeleton(&mut self, joints_in_image: &[[f32; 2]], limbs: &[(usize, usize)], color: [u8; 3]) {
        let joints: Vec<[f32; 2]> =
            joints_in_image.iter().map(|joint| joint.map(|value| value * self.scale)).collect();
        let limbs: Vec<_> = limbs.iter().filter(|(a, b)| *a < joints.len() && *b < joints.len()).collect();
        let stroke = self.stroke();
        for (thickness, ink, opacity) in [(stroke * 1.8, [0, 0, 0], 0.45), (stroke, color, 1.0)] {
            for (a, b) in &limbs {
                self.picture.line(joints[*a], joints[*b], thickness, ink, opacity);
            }
        }
        let pale = color.map(|channel| channel / 3 + 170);
        let mut drawn = vec![false; joints.len()];
        for joint in limbs.iter().flat_map(|(a, b)| [*a, *b]) {
            if !std::mem::replace(&mut drawn[joint], true) {
                self.picture.disc(joints[joint], stroke * 0.62, pale, 1.0);
            }
        }
    }

    /// Bodies as shaded surfaces of `opacity` 0 to 1, the nearer before the farther, each with its outline;
    /// `opacity` 0 draws outlines alone. `camera` is that of the full frame.
    pub fn bodies(&mut self, camera: &Camera, bodies: &[Shown], opacity: f32) {
        let (width, height) = (self.picture.width, self.picture.height);
        let fits = |raster: &Raster| (raster.width(), raster.height()) == (width, height);
        let mut raster = self.raster.take().filter(fits).unwrap_or_else(|| Raster::new(width, height));
        self.normals.resize_with(bodies.len().max(self.normals.len()), Vec::new);
        for (body, normals) in bodies.iter().zip(&mut self.normals) {
            vertex_normals(body.positions, body.faces, normals);
        }
        let shades: Vec<Box<Shade>> = bodies.iter().map(|body| headlight(body.color)).collect();
        let draws: Vec<Draw> = bodies
            .iter()
            .enumerate()
            .map(|(i, body)| Draw {
                mesh: Mesh { positions: body.positions, faces: body.faces, normals: Some(&self.normals[i]) },
                object: Some(i as u32),
                two_sided: false,
                shade: &*shades[i],
            })
            .collect();
        let scaled = Camera {
            fx: camera.fx * self.scale,
            fy: camera.fy * self.scale,
            cx: camera.cx * self.scale,
            cy: camera.cy * self.scale,
        };
        raster.render(&scaled, &draws, &|_| [0.0; 3]);
        if opacity > 0.0 {
            self.blend_surfaces(&raster, opacity);
        }
        self.outline(&raster, bodies);
        self.raster = Some(raster);
    }

    fn blend_surfaces(&mut self, raster: &Raster, opacity: f32) {
        let width = self.picture.width;
        for (i, &covered) in raster.coverage().iter().enumerate().filter(|(_, covered)| **covered > 0) {
            // the raster mixed in black where it is not covered: take that out again
            let share = covered as f32 / 4.0;
            let linear = color::from_srgb([0, 1, 2].map(|c| raster.rgb()[i * 3 + c]));
            let ink = color::to_srgb(color::dim(linear, 1.0 / share));
            self.picture.blend((i % width) as i32, (i / width) as i32, ink, share * opacity);
        }
    }

    /// A soft line along every border between two bodies or a body and the rest.
    fn outline(&mut self, raster: &Raster, bodies: &[Shown]) {
        let (width, height) = (self.picture.width, self.picture.height);
        let reach = self.stroke() / 2.0 + 0.5;
        let mut strength: Vec<(f32, u32)> = vec![(0.0, Raster::NOBODY); width * height];
        let mut stamp = |x: f32, y: f32, owner: u32| {
            let radius = reach.ceil() as i32;
            let (column, row) = (x as i32, y as i32);
            for py in (row - radius).max(0)..=(row + radius).min(height as i32 - 1) {
                for px in (column - radius).max(0)..=(column + radius).min(width as i32 - 1) {
                    let (dx, dy) = (px as f32 + 0.5 - x, py as f32 + 0.5 - y);
                    let cover = (reach - (dx * dx + dy * dy).sqrt()).clamp(0.0, 1.0);
                    let old = &mut strength[py as usize * width + px as usize];
                    if cover > old.0 {
                        *old = (cover, owner);
                    }
                }
            }
        };
        let (objects, depth) = (raster.objects(), raster.depth());
        for (i, (&object, &here)) in objects.iter().zip(depth).enumerate() {
            let (x, y) = (i % width, i / width);
            let neighbours = [(x + 1 < width, i + 1, [1.0, 0.5]), (y + 1 < height, i + width, [0.5, 1.0])];
            for (_, j, [right, down]) in neighbours.into_iter().filter(|(inside, ..)| *inside) {
                if objects[j] != object {
                    let first =
                        object != Raster::NOBODY && (objects[j] == Raster::NOBODY || here <= depth[j]);
                    let owner = if first { object } else { objects[j] };
                    stamp(x as f32 + right, y as f32 + down, owner);
                }
            }
        }
        for (i, (cover, owner)) in strength.into_iter().enumerate().filter(|(_, (cover, _))| *cover > 0.0) {
            self.picture.blend((i % width) as i32, (i / width) as i32, bodies[owner as usize].color, cover);
        }
    }
}

/// A surface lit from the camera: bright where it faces it, in the colour of its identity.
fn headlight(ink: [u8; 3]) -> Box<Shade<'static>> {
    let albedo = color::from_srgb(ink);
    Box::new(move |s: &Surface| {
        let facing = (-dot(s.normal, s.position) / norm(s.position).max(1e-6)).max(0.0);
        color::dim(color::mix(albedo, [1.0; 3], 0.12), 0.12 + 0.95 * facing * facing)
    })
}

#[cfg(test)]
mod tests {
    use super::super::raster::test_shapes::sphere;
    use super::*;

    fn frame(width: usize, height: usize) -> Frame {
        Frame::new(0, 0.0, width, height, vec![90; width * height * 3])
    }

    #[test]
    fn the_first_tracks_have_colours_of_their_own() {
        for a in 0..36u32 {
            for b in 0..a {
                let (one, other) = (color_of_track(a), color_of_track(b));
                let apart: i32 = (0..3).map(|c| (one[c] as i32 - other[c] as i32).abs()).sum();
                assert!(apart >= 40, "{a} and {b}: {one:?} {other:?}");
            }
        }
        assert_eq!(color_of_track(5), color_of_track(5 + 36));
    }

    #[test]
    fn a_box_is_drawn_where_it_lies_at_any_scale() {
        let bbox = BBox { x1: 200.0, y1: 100.0, x2: 400.0, y2: 300.0 };
        for (max_width, scale) in [(640, 1.0), (320, 0.5)] {
            let mut overlay = Overlay::new(max_width);
            overlay.begin(&frame(640, 360));
            overlay.labelled_box(&bbox, "", [255, 0, 0]);
            let picture = overlay.picture();
            assert_eq!(picture.width, max_width);
            let red = |x: f32, y: f32| {
                let at = (y * scale) as usize * picture.width + (x * scale) as usize;
                picture.rgb[at * 3] > 150 && picture.rgb[at * 3 + 1] < 90
            };
            assert!(red(200.0, 200.0) && red(300.0, 100.0) && red(400.0, 200.0) && !red(300.0, 200.0));
        }
    }

    #[test]
    fn labels_stay_inside_and_nothing_wild_is_drawn() {
        let mut overlay = Overlay::new(640);
        overlay.begin(&frame(64, 36));
        overlay.labelled_box(&BBox { x1: 50.0, y1: -40.0, x2: 400.0, y2: 20.0 }, "a long label", [9, 9, 250]);
        overlay.labelled_box(&BBox { x1: f32::NAN, y1: 0.0, x2: 1.0, y2: 1.0 }, "x", [0; 3]);
        overlay.skeleton(&[[3.0, 3.0], [f32::INFINITY, 2.0]], &[(0, 1), (0, 7)], [0, 255, 0]);
        overlay.caption("frame 3");
        assert_eq!(overlay.picture().rgb.len(), 64 * 36 * 3);
    }

    #[test]
    fn bodies_are_filled_and_outlined() {
        let (positions, faces) = sphere([0.0, 0.0, 4.0], 1.0, 24);
        let camera = Camera { fx: 200.0, fy: 200.0, cx: 100.0, cy: 60.0 };
        let shown = Shown { positions: &positions, faces: &faces, color: [0, 200, 0] };
        let mut overlay = Overlay::new(640);
        overlay.begin(&frame(200, 120));
        overlay.bodies(&camera, &[shown], 0.0);
        let green = |overlay: &Overlay, x: usize| {
            let rgb = &overlay.picture().rgb[(60 * 200 + x) * 3..];
            rgb[1] as i32 - rgb[0] as i32
        };
        // the outline is at 100 + 200 * tan(asin(1 / 4)) = 151.6
        assert_eq!((green(&overlay, 100), green(&overlay, 160)), (0, 0));
        assert!(green(&overlay, 151) > 60);
        let shown = Shown { positions: &positions, faces: &faces, color: [0, 200, 0] };
        overlay.bodies(&camera, &[shown], 0.6);
        assert!(green(&overlay, 100) > 60 && green(&overlay, 165) == 0);
    }
}
