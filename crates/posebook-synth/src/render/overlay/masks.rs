//! Draws masks over a frame as PHALP does: a fill at half opacity, and a contour of two pixels in half the color.

use super::{BodyMesh, Overlay};
use crate::render::raster::Camera;

/// Opacity of the fill.
const FILL_OPACITY: f32 = 0.5;
/// Opacity of the contour.
const CONTOUR_OPACITY: f32 = 0.8;
/// Width of the contour in pixels of the image.
const CONTOUR_WIDTH: f32 = 2.0;

/// The share of each pixel that a mask covers, 0 to 1, within a rectangle of the image.
struct Cover {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
    shares: Vec<f32>,
}

impl Overlay {
    /// A mask in the pixels of a frame: `height` rows of `width` values, all but 0 are foreground. A mask without a pixel is
    /// not drawn; nor is one whose length is not `width * height`.
    pub fn draw_mask(&mut self, mask: &[u8], width: usize, height: usize, color: [u8; 3]) {
        if let Some(cover) = self.cover_of_mask(mask, width, height) {
            self.draw_cover(&cover, color);
        }
    }

    /// The silhouette of a body, drawn as a mask. `camera` is that of the full frame.
    pub fn draw_silhouette(&mut self, camera: &Camera, body: &BodyMesh) {
        let raster = self.render_bodies(camera, std::slice::from_ref(body));
        let (width, height) = (raster.width(), raster.height());
        let shares = raster.coverage().iter().map(|&samples| samples as f32 / 4.0).collect();
        self.draw_cover(&Cover { left: 0, top: 0, width, height, shares }, body.color);
        self.raster = Some(raster);
    }

    /// The share of each pixel of the image that the mask covers, in the rectangle around it.
    fn cover_of_mask(&self, mask: &[u8], width: usize, height: usize) -> Option<Cover> {
        if mask.len() != width * height {
            return None;
        }
        let has_row = |y: &usize| mask[y * width..(y + 1) * width].iter().any(|&value| value != 0);
        let (first_row, last_row) = ((0..height).find(has_row)?, (0..height).rev().find(has_row)?);
        let has_column = |x: &usize| (first_row..=last_row).any(|y| mask[y * width + x] != 0);
        let (first_column, last_column) = ((0..width).find(has_column)?, (0..width).rev().find(has_column)?);
        let scale = self.scale;
        // the contour is outside by half its width
        let range = |first: usize, last: usize, limit: usize| {
            let from = (first as f32 * scale - 3.0).max(0.0) as usize;
            (from.min(limit), (((last + 1) as f32 * scale + 3.0) as usize).min(limit))
        };
        let (left, right) = range(first_column, last_column, self.image.width);
        let (top, bottom) = range(first_row, last_row, self.image.height);
        let inside = |x: i32, y: i32| {
            // beyond the frame's edge the mask goes on
            let (x, y) = (x.clamp(0, width as i32 - 1) as usize, y.clamp(0, height as i32 - 1) as usize);
            if mask[y * width + x] != 0 { 1.0 } else { 0.0 }
        };
        // enlarged pixels would be stairs: each is averaged with its neighbors
        let reach = if scale > 1.5 { 1 } else { 0 };
        let (origin_x, origin_y) = (first_column as i32 - 4, first_row as i32 - 4);
        let columns = last_column as i32 + 6 - origin_x;
        let rows = last_row as i32 + 6 - origin_y;
        let smooth: Vec<f32> = (0..rows)
            .flat_map(|y| (0..columns).map(move |x| (origin_x + x, origin_y + y)))
            .map(|(x, y)| {
                let around = (-reach..=reach).flat_map(|dy| (-reach..=reach).map(move |dx| (x + dx, y + dy)));
                around.map(|(x, y)| inside(x, y)).sum::<f32>() / ((2 * reach + 1) * (2 * reach + 1)) as f32
            })
            .collect();
        let value = |x: i32, y: i32| {
            let (x, y) = (x - origin_x, y - origin_y);
            let is_near = (0..columns).contains(&x) && (0..rows).contains(&y);
            if is_near { smooth[(y * columns + x) as usize] } else { 0.0 }
        };
        let mut shares = Vec::with_capacity((right - left) * (bottom - top));
        for y in top..bottom {
            // centers of pixels are at 0.5
            let v = ((y as f32 + 0.5) / scale - 0.5).clamp(0.0, height as f32 - 1.0);
            for x in left..right {
                let u = ((x as f32 + 0.5) / scale - 0.5).clamp(0.0, width as f32 - 1.0);
                let (column, row) = (u.floor(), v.floor());
                let (du, dv) = (u - column, v - row);
                let (column, row) = (column as i32, row as i32);
                let upper = value(column, row) * (1.0 - du) + value(column + 1, row) * du;
                let lower = value(column, row + 1) * (1.0 - du) + value(column + 1, row + 1) * du;
                let mean = upper * (1.0 - dv) + lower * dv;
                // the edge is blurred over pixels of the frame; it is to be one pixel of the image wide
                let sharpness = scale.max(1.0) * (2 * reach + 1) as f32;
                shares.push(((mean - 0.5) * sharpness + 0.5).clamp(0.0, 1.0));
            }
        }
        Some(Cover { left, top, width: right - left, height: bottom - top, shares })
    }

    fn draw_cover(&mut self, cover: &Cover, color: [u8; 3]) {
        let Cover { left, top, width, height, ref shares } = *cover;
        for (i, &share) in shares.iter().enumerate().filter(|(_, share)| **share > 0.0) {
            let (x, y) = (left + i % width, top + i / width);
            self.image.blend(x as i32, y as i32, color, share * FILL_OPACITY);
        }
        let reach = CONTOUR_WIDTH / 2.0 + 0.5;
        let mut contour = vec![0.0f32; width * height];
        let inside = |i: usize| shares[i] >= 0.5;
        for i in 0..width * height {
            let (x, y) = (i % width, i / width);
            if x + 1 < width && inside(i) != inside(i + 1) {
                stamp(&mut contour, width, [x as f32 + 1.0, y as f32 + 0.5], reach);
            }
            if y + 1 < height && inside(i) != inside(i + width) {
                stamp(&mut contour, width, [x as f32 + 0.5, y as f32 + 1.0], reach);
            }
        }
        let dark = color.map(|channel| channel / 2);
        for (i, share) in contour.into_iter().enumerate().filter(|(_, share)| *share > 0.0) {
            let (x, y) = (left + i % width, top + i / width);
            self.image.blend(x as i32, y as i32, dark, share * CONTOUR_OPACITY);
        }
    }
}

/// Raises the values of rows of `width` pixels to a disc around `center`.
fn stamp(values: &mut [f32], width: usize, center: [f32; 2], reach: f32) {
    let height = values.len() / width;
    let range = |middle: f32, length: usize| {
        let first = (middle - reach - 1.0).max(0.0) as usize;
        first..((middle + reach + 1.0) as usize).min(length)
    };
    for y in range(center[1], height) {
        for x in range(center[0], width) {
            let (dx, dy) = (x as f32 + 0.5 - center[0], y as f32 + 0.5 - center[1]);
            let value = &mut values[y * width + x];
            *value = value.max((reach - (dx * dx + dy * dy).sqrt()).clamp(0.0, 1.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::raster::test_shapes::sphere;
    use posebook_core::frame::Frame;

    /// A disc of radius 40 in the middle of a frame of 160 by 120 pixels.
    fn disc() -> Vec<u8> {
        let inside = |x: i32, y: i32| (x - 80).pow(2) + (y - 60).pow(2) < 1600;
        (0..160 * 120).map(|i| u8::from(inside(i % 160, i / 160))).collect()
    }

    fn drawn(overlay: &mut Overlay) -> impl Fn(usize, usize) -> [u8; 3] {
        let image = overlay.image().clone();
        move |x, y| {
            let rgb = &image.rgb[(y * image.width + x) * 3..];
            [rgb[0], rgb[1], rgb[2]]
        }
    }

    #[test]
    fn masks_are_filled_at_half_opacity_with_a_dark_contour() {
        for (size, scale) in [((160, 120), 1.0), ((480, 360), 3.0), ((80, 60), 0.5)] {
            let mut overlay = Overlay::sized(size.0, size.1);
            overlay.begin(&Frame::new(0, 0.0, 160, 120, vec![100; 160 * 120 * 3]));
            overlay.draw_mask(&disc(), 160, 120, [200, 40, 0]);
            let at = drawn(&mut overlay);
            let pixel = |x: f32, y: f32| at((x * scale) as usize, (y * scale) as usize);
            assert_eq!(pixel(80.0, 60.0), [150, 70, 50]);
            assert_eq!(pixel(30.0, 60.0), [100; 3]);
            assert_eq!(pixel(2.0, 2.0), [100; 3]);
            // 80% of half the color over the fill or the frame
            let [_, g, b] = pixel(119.8, 60.0);
            assert!(g < 45 && b < 30, "{scale}: {g} {b}");
        }
    }

    #[test]
    fn silhouettes_are_drawn_like_masks_and_wrong_masks_are_not_drawn() {
        let (positions, faces) = sphere([0.0, 0.0, 4.0], 1.0, 24);
        let camera = Camera { fx: 200.0, fy: 200.0, cx: 100.0, cy: 60.0 };
        let mut overlay = Overlay::new(640);
        let frame = Frame::new(0, 0.0, 200, 120, vec![100; 200 * 120 * 3]);
        overlay.begin(&frame);
        overlay.draw_mask(&[1, 1], 200, 120, [200, 40, 0]);
        overlay.draw_mask(&vec![0; 200 * 120], 200, 120, [200, 40, 0]);
        assert_eq!(overlay.image().rgb, frame.rgb());
        let body = BodyMesh { positions: &positions, faces: &faces, color: [200, 40, 0] };
        overlay.draw_silhouette(&camera, &body);
        let at = drawn(&mut overlay);
        assert_eq!((at(100, 60), at(180, 60)), ([150, 70, 50], [100; 3]));
        // the outline is at 151.6
        assert!(at(151, 60)[1] < 40, "{:?}", at(151, 60));
    }

    #[test]
    fn masks_reach_the_edges_of_the_image() {
        let mut overlay = Overlay::sized(62, 34);
        overlay.begin(&Frame::new(0, 0.0, 31, 17, vec![100; 31 * 17 * 3]));
        overlay.draw_mask(&[1; 31 * 17], 31, 17, [200, 40, 0]);
        let at = drawn(&mut overlay);
        for (x, y) in [(0, 0), (61, 0), (0, 33), (61, 33), (30, 20)] {
            assert_eq!(at(x, y), [150, 70, 50]);
        }
    }
}
