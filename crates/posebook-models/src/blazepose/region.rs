//! The rotated square of a frame that is cropped for the network, and the transforms between crop and frame coordinates.
//!
//! Pixel coordinates refer to pixel centers (the upper left pixel is at 0, 0), as in MediaPipe and OpenCV: the square's
//! corners map to 0 and 256 of the crop, without a half-pixel offset.

use super::variant::INPUT_SIDE;
use crate::warp::{Affine, ImageView, warp_u8};
use posebook_core::person::BBox;

/// MediaPipe's region scale for these weights: half the side divided by the distance between the center point and the
/// scale point.
const SCALE: f64 = 1.25;
/// Range of usable sides, pixels.
const SIDE_RANGE: [f64; 2] = [1.0, 1e6];
/// Maximum coordinate of a usable center, pixels.
const MAX_CENTER: f64 = 1e6;

/// A square of a frame, rotated about its center.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region {
    /// Center, pixels of the frame.
    pub center: [f64; 2],
    /// Side, pixels of the frame.
    pub side: f64,
    /// Radians; positive rotates the square's x axis towards y, clockwise in the image.
    pub rotation_rad: f64,
}

impl Region {
    /// The upright square around a box: `scale` times its longer side.
    pub fn from_box(bbox: &BBox, scale: f64) -> Region {
        let [x1, y1, x2, y2] = [bbox.x1, bbox.y1, bbox.x2, bbox.y2].map(f64::from);
        let side = (x2 - x1).max(y2 - y1) * scale;
        Region { center: [(x1 + x2) / 2.0, (y1 + y2) / 2.0], side, rotation_rad: 0.0 }
    }

    /// The region in which a person is upright, from the two auxiliary points in pixels of the frame: the person's center,
    /// and the point above it on the circle around the person.
    pub fn from_points(center: [f64; 2], above: [f64; 2]) -> Region {
        let [x, y] = [above[0] - center[0], above[1] - center[1]];
        let angle = std::f64::consts::FRAC_PI_2 - libm::atan2(-y, x);
        let tau = std::f64::consts::TAU;
        // into [-pi, pi)
        let rotation = angle - tau * ((angle + std::f64::consts::PI) / tau).floor();
        Region { center, side: 2.0 * libm::hypot(x, y) * SCALE, rotation_rad: rotation }
    }

    /// Whether it can be cropped: finite values, a side of 1 to a million pixels.
    pub fn is_usable(&self) -> bool {
        let [min, max] = SIDE_RANGE;
        self.center.iter().all(|x| x.abs() <= MAX_CENTER)
            && (min..=max).contains(&self.side)
            && self.rotation_rad.is_finite()
    }

    /// The affine transform from pixels of the frame to pixels of the crop, row-major 2 x 3.
    pub fn crop_from_frame(&self) -> Affine {
        self.affine_to_square(INPUT_SIDE as f64)
    }

    /// The affine transform from pixels of the frame to pixels of a crop of `side` pixels.
    fn affine_to_square(&self, side: f64) -> Affine {
        let scale = side / self.side;
        let (sin, cos) = (libm::sin(self.rotation_rad) * scale, libm::cos(self.rotation_rad) * scale);
        let [x, y] = self.center;
        let middle = side / 2.0;
        [[cos, sin, middle - (cos * x + sin * y)], [-sin, cos, middle - (-sin * x + cos * y)]]
    }

    /// Converts a point in units of the crop (0 to 1) to pixels of the frame.
    pub fn frame_from_unit(&self, point: [f64; 2]) -> [f64; 2] {
        let [x, y] = point.map(|x| (x - 0.5) * self.side);
        let [x, y] = self.rotate_to_frame([x, y]);
        [self.center[0] + x, self.center[1] + y]
    }

    /// Rotates a vector from the crop's axes to the frame's axes.
    pub fn rotate_to_frame(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let (sin, cos) = (libm::sin(self.rotation_rad), libm::cos(self.rotation_rad));
        [cos * x - sin * y, sin * x + cos * y]
    }

    /// Extracts the crop: RGB, `256 * 256 * 3` bytes, bilinear as OpenCV's `warpAffine`; the frame's edge pixels are
    /// repeated outside.
    ///
    /// # Panics
    /// If `rgb` is not `width * height * 3` bytes long.
    pub fn extract_crop(&self, rgb: &[u8], width: usize, height: usize) -> Vec<u8> {
        let image = ImageView::<_, 3>::new(rgb, width, height).with_replicated_edges();
        warp_u8(image, &self.crop_from_frame(), INPUT_SIDE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Crops of an image of 11 x 9 pixels computed by OpenCV 4.10 (`warpAffine`, `INTER_LINEAR`, `BORDER_REPLICATE`).
    #[test]
    fn rotated_crops_equal_those_of_opencv() {
        let (width, height) = (11, 9);
        let value = |x: usize, y: usize, c: usize| (x * 23 + y * 41 + c * 67 + (x * y) % 7 * 9) as u8;
        let rgb: Vec<u8> = (0..height)
            .flat_map(|y| (0..width).flat_map(move |x| (0..3).map(move |c| value(x, y, c))))
            .collect();
        let expected: [(Region, &[u8]); 2] = [
            (
                Region { center: [4.25, 5.5], side: 8.75, rotation_rad: 0.4 },
                &[
                    45, 112, 179, 100, 167, 146, 181, 103, 83, 131, 58, 125, 172, 68, 135, 87, 154, 126, 91,
                    158, 193, 172, 118, 75, 141, 200, 81, 165, 72, 139, 46, 113, 180, 125, 192, 18, 137, 204,
                    44, 221, 33, 100, 58, 70, 137, 71, 138, 205, 96, 163, 230, 157, 188, 127, 168, 191, 46,
                    145, 52, 119, 27, 93, 160, 104, 171, 206, 133, 200, 11, 175, 92, 53, 210, 21, 88, 53,
                    120, 187, 86, 153, 220, 114, 181, 100, 179, 145, 60, 95, 66, 128, 145, 76, 143, 44, 111,
                    178, 108, 175, 117, 172, 207, 50, 215, 26, 93, 50, 69, 136,
                ],
            ),
            (
                Region { center: [-1.0, 8.5], side: 13.0, rotation_rad: -2.1 },
                &[
                    72, 139, 206, 72, 139, 206, 72, 139, 206, 72, 139, 206, 72, 139, 206, 72, 139, 206, 72,
                    139, 206, 72, 139, 206, 72, 139, 206, 72, 139, 206, 72, 139, 206, 44, 95, 162, 85, 152,
                    219, 72, 139, 206, 72, 139, 206, 72, 139, 206, 60, 127, 194, 240, 51, 118, 145, 212, 23,
                    110, 177, 196, 75, 142, 209, 72, 139, 206, 112, 83, 150, 195, 70, 73, 205, 16, 83, 170,
                    221, 48, 135, 202, 21, 71, 138, 205, 227, 38, 105, 150, 217, 28, 15, 74, 141, 230, 41,
                    108, 195, 46, 73, 92, 159, 226, 133, 56, 123, 131, 198, 58,
                ],
            ),
        ];
        for (region, values) in expected {
            let image = ImageView::<_, 3>::new(&rgb, width, height).with_replicated_edges();
            assert_eq!(warp_u8(image, &region.affine_to_square(6.0), 6), values, "{region:?}");
        }
    }

    #[test]
    fn a_region_is_recovered_from_its_own_points() {
        for rotation in [0.0, 0.7, -3.0, 3.1, 1.5] {
            let region = Region { center: [310.5, 200.25], side: 180.0, rotation_rad: rotation };
            let center = region.frame_from_unit([0.5, 0.5]);
            let above = region.frame_from_unit([0.5, 0.5 - 0.5 / SCALE]);
            let again = Region::from_points(center, above);
            assert!(
                (again.side - 180.0).abs() < 1e-9 && (again.rotation_rad - rotation).abs() < 1e-9,
                "{again:?}"
            );
            assert!((again.center[0] - 310.5).abs() < 1e-9);
            let [[a, b, c], [d, e, f]] = region.crop_from_frame();
            let corner = region.frame_from_unit([1.0, 0.0]);
            let [x, y] = [a * corner[0] + b * corner[1] + c, d * corner[0] + e * corner[1] + f];
            assert!((x - 256.0).abs() < 1e-9 && y.abs() < 1e-9, "{x}, {y}");
        }
        // a rotation of 180 degrees is -pi
        assert_eq!(Region::from_points([0.0, 0.0], [0.0, 2.0]).rotation_rad, -std::f64::consts::PI);
    }

    #[test]
    fn unusable_regions_are_detected() {
        let bbox = BBox { x1: 10.0, y1: 20.0, x2: 30.0, y2: 80.0 };
        let region = Region::from_box(&bbox, 1.5);
        assert_eq!(region, Region { center: [20.0, 50.0], side: 90.0, rotation_rad: 0.0 });
        assert!(region.is_usable());
        for wrong in
            [BBox { x2: f32::NAN, ..bbox }, BBox { x2: 10.0, y2: 20.0, ..bbox }, BBox { x2: 1e30, ..bbox }]
        {
            assert!(!Region::from_box(&wrong, 1.5).is_usable(), "{wrong:?}");
        }
        assert!(!Region { rotation_rad: f64::NAN, ..region }.is_usable());
    }

    #[test]
    fn crops_of_very_small_frames_and_distant_regions_are_extracted() {
        let region = Region { center: [0.0, 0.0], side: 20.0, rotation_rad: 1.0 };
        assert_eq!(region.extract_crop(&[7, 8, 9], 1, 1)[..6], [7, 8, 9, 7, 8, 9]);
        let far = Region { center: [1e6, -1e6], side: 1e6, rotation_rad: -2.0 };
        assert!(far.is_usable());
        assert!(far.extract_crop(&[5; 12], 2, 2).iter().all(|&value| value == 5));
    }
}
