//! Draws detections over their frame: boxes with labels, skeletons, bodies.
//!
//! Coordinates are those of the full frame even if the image is smaller, so lines and letters keep their thickness on a
//! contact sheet.

mod masks;

use super::pen::{contrasting_color, shorten, text_height, text_width};
use super::raster::{Camera, DrawCall, Mesh, Raster, Shader, Surface};
use super::rgb_image::RgbImage;
use super::{color, vertex_normals};
use posebook_core::frame::Frame;
use posebook_core::geometry::{Vec3, dot, norm};
use posebook_core::person::BBox;

/// Limbs of OpenPose's 25 joints (BODY_25), which are the first of HMR2's 44: pairs of joints.
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

/// Twelve colors that are distinguishable with any color vision, in particular neighbors in the list (after Okabe and Ito
/// 2008 and Tol 2021).
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

/// Color of a track. After twelve tracks the colors repeat, paler and then darker; boxes show the number as well.
pub fn track_color(track: u32) -> [u8; 3] {
    let [r, g, b] = PALETTE[track as usize % PALETTE.len()];
    match track as usize / PALETTE.len() % 3 {
        0 => [r, g, b],
        1 => [r, g, b].map(|channel| (channel as u32 + (255 - channel as u32) * 45 / 100) as u8),
        _ => [r, g, b].map(|channel| (channel as u32 * 60 / 100) as u8),
    }
}

/// A body mesh to draw over a frame.
pub struct BodyMesh<'a> {
    /// Vertices in camera axes, meters.
    pub positions: &'a [Vec3],
    /// Indices of the corners of each triangle.
    pub faces: &'a [[u32; 3]],
    /// sRGB color.
    pub color: [u8; 3],
}

/// The size of the images that are drawn.
#[derive(Clone, Copy)]
enum ImageSize {
    /// That of the frame, shrunk to at most this width.
    MaxWidth(usize),
    /// This width and height.
    Exact(usize, usize),
}

/// Line width of plain boxes, pixels of the image.
const PLAIN_LINE: f32 = 2.0;

/// Draws over one frame after the other; buffers are reused.
pub struct Overlay {
    size: ImageSize,
    scale: f32,
    image: RgbImage,
    raster: Option<Raster>,
    normals: Vec<Vec<Vec3>>,
}

impl Overlay {
    /// An overlay for images of at most `max_width` pixels; wider frames are shrunk to that.
    pub fn new(max_width: usize) -> Overlay {
        Overlay::with_size(ImageSize::MaxWidth(max_width.max(1)))
    }

    /// An overlay for images of exactly `width` by `height` pixels, to which frames are shrunk or enlarged. Coordinates are
    /// scaled by the widths' quotient, so the frame's aspect ratio has to be the same up to rounding.
    pub fn sized(width: usize, height: usize) -> Overlay {
        Overlay::with_size(ImageSize::Exact(width.max(1), height.max(1)))
    }

    fn with_size(size: ImageSize) -> Overlay {
        let image = RgbImage::filled(1, 1, [0; 3]);
        Overlay { size, scale: 1.0, image, raster: None, normals: Vec::new() }
    }

    /// Starts a new frame.
    pub fn begin(&mut self, frame: &Frame) {
        let same = (frame.width, frame.height) == (self.image.width, self.image.height);
        match self.size {
            ImageSize::MaxWidth(width) if frame.width > width => {
                self.image = RgbImage::from_frame(frame).fit_within(width, usize::MAX);
            }
            ImageSize::Exact(width, height) if (frame.width, frame.height) != (width, height) => {
                self.image = RgbImage::from_frame(frame).resized(width, height);
            }
            _ if same => self.image.rgb.copy_from_slice(frame.rgb()),
            _ => self.image = RgbImage::from_frame(frame),
        }
        self.scale = self.image.width as f32 / frame.width as f32;
    }

    /// Starts an image of one color with the size and the coordinates of `other`.
    pub fn begin_beside(&mut self, other: &Overlay, color: [u8; 3]) {
        self.image = RgbImage::filled(other.image.width, other.image.height, color);
        self.scale = other.scale;
    }

    /// The current image.
    pub fn image(&self) -> &RgbImage {
        &self.image
    }

    /// Pixels per dot of the font: at least two on images from 160 pixels, since one is not legible.
    fn font_scale(&self) -> usize {
        let width = self.image.width.min(self.image.height * 16 / 9);
        ((width + 160) / 400).max(if width < 160 { 1 } else { 2 })
    }

    /// Line width, pixels.
    fn line_width(&self) -> f32 {
        (self.image.width as f32 / 400.0).clamp(1.2, 4.0)
    }

    /// A box with a label at its upper edge; an empty label is not drawn.
    pub fn draw_box(&mut self, bbox: &BBox, label: &str, color: [u8; 3]) {
        let [x1, y1, x2, y2] = [bbox.x1, bbox.y1, bbox.x2, bbox.y2].map(|value| value * self.scale);
        if ![x1, y1, x2, y2].iter().all(|value| value.is_finite()) {
            return;
        }
        let line_width = self.line_width();
        let corners = [[x1, y1], [x2, y1], [x2, y2], [x1, y2]];
        // a dark rim separates the color from any background
        for (thickness, color, opacity) in [(line_width + 1.6, [0, 0, 0], 0.45), (line_width, color, 1.0)] {
            for i in 0..4 {
                self.image.draw_line(corners[i], corners[(i + 1) % 4], thickness, color, opacity);
            }
        }
        if !label.is_empty() {
            self.draw_label(label, [x1 - line_width / 2.0, y1 - line_width / 2.0], color);
        }
    }

    /// A box of two pixels without a rim, with a label at its upper edge; an empty label is not drawn.
    pub fn draw_plain_box(&mut self, bbox: &BBox, label: &str, color: [u8; 3]) {
        let [x1, y1, x2, y2] = [bbox.x1, bbox.y1, bbox.x2, bbox.y2].map(|value| value * self.scale);
        if ![x1, y1, x2, y2].iter().all(|value| value.is_finite()) {
            return;
        }
        let corners = [[x1, y1], [x2, y1], [x2, y2], [x1, y2]];
        for i in 0..4 {
            self.image.draw_line(corners[i], corners[(i + 1) % 4], PLAIN_LINE, color, 1.0);
        }
        if !label.is_empty() {
            self.draw_label(label, [x1 - PLAIN_LINE / 2.0, y1 - PLAIN_LINE / 2.0], color);
        }
    }

    /// A label whose lower edge is centered at a point of the frame, moved inside the image.
    pub fn draw_tag(&mut self, text: &str, point: [f32; 2], color: [u8; 3]) {
        let [x, y] = point.map(|value| value * self.scale);
        if x.is_finite() && y.is_finite() {
            let font_scale = self.font_scale();
            let width = (text_width(text, font_scale) + 4 * font_scale) as f32;
            self.draw_label(text, [x - width / 2.0, y], color);
        }
    }

    /// A frame of `thickness` pixels along the image's edges.
    pub fn draw_border(&mut self, thickness: usize, color: [u8; 3]) {
        let (width, height, line) = (self.image.width as f32, self.image.height as f32, thickness as f32);
        let below = line.min(height);
        for (from, to) in [
            ([0.0, 0.0], [width, below]),
            ([0.0, (height - line).max(below)], [width, height]),
            ([0.0, below], [line, height - line]),
            ([(width - line).max(line), below], [width, height - line]),
        ] {
            self.image.fill_rectangle(from, to, color, 1.0);
        }
    }

    /// Text on a plate whose lower left corner is at `corner` (image pixels), moved inside the image.
    fn draw_label(&mut self, text: &str, corner: [f32; 2], color: [u8; 3]) {
        let font_scale = self.font_scale();
        let pad = 2 * font_scale as i32;
        let text = shorten(text, font_scale, self.image.width.saturating_sub(2 * pad as usize));
        let width = text_width(&text, font_scale) as i32 + 2 * pad;
        // plates are as high as capitals and digits; descenders reach into the padding
        let height = text_height(font_scale) as i32 - 2 * font_scale as i32 + 2 * pad;
        let left = (corner[0].round() as i32).min(self.image.width as i32 - width).max(0);
        let top = (corner[1].round() as i32 - height).min(self.image.height as i32 - height).max(0);
        let (from, to) = ([left as f32, top as f32], [(left + width) as f32, (top + height) as f32]);
        self.image.fill_rectangle(from, to, color, 0.92);
        self.image.draw_text(&text, left + pad, top + pad, font_scale, contrasting_color(color));
    }

    /// Joints and the limbs between them; limbs with a joint that is not finite are not drawn. HMR2's 44 joints go with
    /// [`OPENPOSE_LIMBS`]; joints without a limb are not drawn.
    pub fn draw_skeleton(&mut self, joints_in_image: &[[f32; 2]], limbs: &[(usize, usize)], color: [u8; 3]) {
        let joints: Vec<[f32; 2]> =
            joints_in_image.iter().map(|joint| joint.map(|value| value * self.scale)).collect();
        let limbs: Vec<_> = limbs.iter().filter(|(a, b)| *a < joints.len() && *b < joints.len()).collect();
        let line_width = self.line_width();
        for (thickness, color, opacity) in [(line_width * 1.8, [0, 0, 0], 0.45), (line_width, color, 1.0)] {
            for (a, b) in &limbs {
                self.image.draw_line(joints[*a], joints[*b], thickness, color, opacity);
            }
        }
        let pale = color.map(|channel| channel / 3 + 170);
        let mut drawn = vec![false; joints.len()];
        for joint in limbs.iter().flat_map(|(a, b)| [*a, *b]) {
            if !std::mem::replace(&mut drawn[joint], true) {
                self.image.fill_disc(joints[joint], line_width * 0.62, pale, 1.0);
            }
        }
    }

    /// Bodies as shaded surfaces of `opacity` 0 to 1 in depth order, each with its outline; `opacity` 0 draws only outlines.
    /// `camera` is that of the full frame.
    pub fn draw_bodies(&mut self, camera: &Camera, bodies: &[BodyMesh], opacity: f32) {
        let raster = self.render_bodies(camera, bodies);
        if opacity > 0.0 {
            self.blend_surfaces(&raster, opacity);
        }
        self.outline(&raster, bodies);
        self.raster = Some(raster);
    }

    /// Renders bodies over black; body `i` is object `i`. The raster is kept by the caller for the next call.
    fn render_bodies(&mut self, camera: &Camera, bodies: &[BodyMesh]) -> Raster {
        let (width, height) = (self.image.width, self.image.height);
        let fits = |raster: &Raster| (raster.width(), raster.height()) == (width, height);
        let mut raster = self.raster.take().filter(fits).unwrap_or_else(|| Raster::new(width, height));
        self.normals.resize_with(bodies.len().max(self.normals.len()), Vec::new);
        for (body, normals) in bodies.iter().zip(&mut self.normals) {
            vertex_normals(body.positions, body.faces, normals);
        }
        let shades: Vec<Box<Shader>> = bodies.iter().map(|body| headlight(body.color)).collect();
        let draws: Vec<DrawCall> = bodies
            .iter()
            .enumerate()
            .map(|(i, body)| DrawCall {
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
        raster
    }

    fn blend_surfaces(&mut self, raster: &Raster, opacity: f32) {
        let width = self.image.width;
        for (i, &covered) in raster.coverage().iter().enumerate().filter(|(_, covered)| **covered > 0) {
            // the raster blended with black where the pixel is partly covered: undo that
            let share = covered as f32 / 4.0;
            let linear = color::from_srgb([0, 1, 2].map(|c| raster.rgb()[i * 3 + c]));
            let color = color::to_srgb(color::dim(linear, 1.0 / share));
            self.image.blend((i % width) as i32, (i / width) as i32, color, share * opacity);
        }
    }

    /// An anti-aliased line along every border between two bodies, or a body and the background.
    fn outline(&mut self, raster: &Raster, bodies: &[BodyMesh]) {
        let (width, height) = (self.image.width, self.image.height);
        let reach = self.line_width() / 2.0 + 0.5;
        let mut strength: Vec<(f32, u32)> = vec![(0.0, Raster::NO_OBJECT); width * height];
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
            let neighbors = [(x + 1 < width, i + 1, [1.0, 0.5]), (y + 1 < height, i + width, [0.5, 1.0])];
            for (_, j, [right, down]) in neighbors.into_iter().filter(|(inside, ..)| *inside) {
                if objects[j] != object {
                    let first =
                        object != Raster::NO_OBJECT && (objects[j] == Raster::NO_OBJECT || here <= depth[j]);
                    let owner = if first { object } else { objects[j] };
                    stamp(x as f32 + right, y as f32 + down, owner);
                }
            }
        }
        for (i, (cover, owner)) in strength.into_iter().enumerate().filter(|(_, (cover, _))| *cover > 0.0) {
            self.image.blend((i % width) as i32, (i / width) as i32, bodies[owner as usize].color, cover);
        }
    }
}

/// Shading by a light at the camera.
fn headlight(color: [u8; 3]) -> Box<Shader<'static>> {
    let albedo = color::from_srgb(color);
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
    fn the_first_36_tracks_have_distinct_colors() {
        for a in 0..36u32 {
            for b in 0..a {
                let (one, other) = (track_color(a), track_color(b));
                let apart: i32 = (0..3).map(|c| (one[c] as i32 - other[c] as i32).abs()).sum();
                assert!(apart >= 40, "{a} and {b}: {one:?} {other:?}");
            }
        }
        assert_eq!(track_color(5), track_color(5 + 36));
    }

    #[test]
    fn a_box_is_drawn_at_its_position_at_any_scale() {
        let bbox = BBox { x1: 200.0, y1: 100.0, x2: 400.0, y2: 300.0 };
        for (max_width, scale) in [(640, 1.0), (320, 0.5)] {
            let mut overlay = Overlay::new(max_width);
            overlay.begin(&frame(640, 360));
            overlay.draw_box(&bbox, "", [255, 0, 0]);
            let image = overlay.image();
            assert_eq!(image.width, max_width);
            let red = |x: f32, y: f32| {
                let index = (y * scale) as usize * image.width + (x * scale) as usize;
                image.rgb[index * 3] > 150 && image.rgb[index * 3 + 1] < 90
            };
            assert!(red(200.0, 200.0) && red(300.0, 100.0) && red(400.0, 200.0) && !red(300.0, 200.0));
        }
    }

    #[test]
    fn images_have_the_size_that_is_asked_for() {
        let bbox = BBox { x1: 10.0, y1: 10.0, x2: 50.0, y2: 30.0 };
        for (width, height) in [(64, 36), (66, 36), (200, 112), (20, 10), (2, 2)] {
            let mut overlay = Overlay::sized(width, height);
            overlay.begin(&frame(65, 37));
            overlay.draw_plain_box(&bbox, "3", [255, 0, 0]);
            overlay.draw_tag("12", [30.0, 2.0], [0, 255, 0]);
            overlay.draw_border(4, [0, 0, 255]);
            let image = overlay.image();
            assert_eq!((image.width, image.height, image.rgb.len()), (width, height, width * height * 3));
            assert_eq!((&image.rgb[..3], image.rgb.last()), ([0, 0, 255].as_slice(), Some(&255)));
            let mut beside = Overlay::sized(width, height);
            beside.begin_beside(&overlay, [7; 3]);
            assert_eq!(beside.image().rgb, vec![7; width * height * 3]);
        }
    }

    #[test]
    fn labels_stay_inside_and_values_out_of_range_are_ignored() {
        let mut overlay = Overlay::new(640);
        overlay.begin(&frame(64, 36));
        overlay.draw_box(&BBox { x1: 50.0, y1: -40.0, x2: 400.0, y2: 20.0 }, "a long label", [9, 9, 250]);
        overlay.draw_box(&BBox { x1: f32::NAN, y1: 0.0, x2: 1.0, y2: 1.0 }, "x", [0; 3]);
        overlay.draw_skeleton(&[[3.0, 3.0], [f32::INFINITY, 2.0]], &[(0, 1), (0, 7)], [0, 255, 0]);
        assert_eq!(overlay.image().rgb.len(), 64 * 36 * 3);
    }

    #[test]
    fn bodies_are_filled_and_outlined() {
        let (positions, faces) = sphere([0.0, 0.0, 4.0], 1.0, 24);
        let camera = Camera { fx: 200.0, fy: 200.0, cx: 100.0, cy: 60.0 };
        let shown = BodyMesh { positions: &positions, faces: &faces, color: [0, 200, 0] };
        let mut overlay = Overlay::new(640);
        overlay.begin(&frame(200, 120));
        overlay.draw_bodies(&camera, &[shown], 0.0);
        let green = |overlay: &Overlay, x: usize| {
            let rgb = &overlay.image().rgb[(60 * 200 + x) * 3..];
            rgb[1] as i32 - rgb[0] as i32
        };
        // the outline is at 100 + 200 * tan(asin(1 / 4)) = 151.6
        assert_eq!((green(&overlay, 100), green(&overlay, 160)), (0, 0));
        assert!(green(&overlay, 151) > 60);
        let shown = BodyMesh { positions: &positions, faces: &faces, color: [0, 200, 0] };
        overlay.draw_bodies(&camera, &[shown], 0.6);
        assert!(green(&overlay, 100) > 60 && green(&overlay, 165) == 0);
    }
}
