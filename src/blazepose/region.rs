//! The turned square of a frame that the network sees, and the way between its pixels and the frame's.
//!
//! Pixels are counted by their centers (the upper left one lies at 0, 0), as MediaPipe and OpenCV do it here: the
//! square's corners go to 0 and 256 of the crop, without half a pixel. Must not know networks.

use super::variant::SIDE;
use crate::person::BBox;
use crate::warp::{Affine, Picture, warp_u8};

/// How many times the distance between a person's center and the point on the circle around them a region is wide,
/// halved: MediaPipe's scale of the region for these weights.
const SCALE: f64 = 1.25;
/// Sides of a region beyond which there is nothing to see, pixels.
const SIDES: [f64; 2] = [1.0, 1e6];
/// Farthest center of a region, pixels.
const FARTHEST: f64 = 1e6;

/// A square of a frame, turned about its center.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region {
    /// Pixels of the frame.
    pub center: [f64; 2],
    /// Pixels of the frame.
    pub side: f64,
    /// Radians; positive turns the square's x axis towards y, clockwise in the picture.
    pub rotation: f64,
}

impl Region {
    /// The upright square around a box: `scale` times its longer side.
    pub fn of_box(bbox: &BBox, scale: f64) -> Region {
        let [x1, y1, x2, y2] = [bbox.x1, bbox.y1, bbox.x2, bbox.y2].map(f64::from);
        let side = (x2 - x1).max(y2 - y1) * scale;
        Region { center: [(x1 + x2) / 2.0, (y1 + y2) / 2.0], side, rotation: 0.0 }
    }

    /// The region of a person whose center and a point straight above it on the circle around them are known, in
    /// pixels of the frame: where the person is upright.
    pub fn of_points(center: [f64; 2], above: [f64; 2]) -> Region {
        let [x, y] = [above[0] - center[0], above[1] - center[1]];
        let turned = std::f64::consts::FRAC_PI_2 - libm::atan2(-y, x);
        let tau = std::f64::consts::TAU;
        // into [-pi, pi)
        let rotation = turned - tau * ((turned + std::f64::consts::PI) / tau).floor();
        Region { center, side: 2.0 * libm::hypot(x, y) * SCALE, rotation }
    }

    /// Whether a crop of it can show anything: finite numbers, a side of 1 to a million pixels.
    pub fn is_usable(&self) -> bool {
        let [least, most] = SIDES;
        self.center.iter().all(|at| at.abs() <= FARTHEST)
            && (least..=most).contains(&self.side)
            && self.rotation.is_finite()
    }

    /// The map from pixels of the frame to pixels of the crop, row-major 2 x 3.
    pub fn crop_from_frame(&self) -> Affine {
        self.square_from_frame(SIDE as f64)
    }

    /// The map from pixels of the frame to pixels of a crop of `side` pixels.
    fn square_from_frame(&self, side: f64) -> Affine {
        let scale = side / self.side;
        let (sin, cos) = (libm::sin(self.rotation) * scale, libm::cos(self.rotation) * scale);
        let [x, y] = self.center;
        let middle = side / 2.0;
        [[cos, sin, middle - (cos * x + sin * y)], [-sin, cos, middle - (-sin * x + cos * y)]]
    }

    /// Pixels of the frame from a point of the crop whose corners are 0 and 1.
    pub fn frame_from_unit(&self, point: [f64; 2]) -> [f64; 2] {
        let [x, y] = point.map(|at| (at - 0.5) * self.side);
        let [x, y] = self.turned([x, y]);
        [self.center[0] + x, self.center[1] + y]
    }

    /// A vector of the crop's axes in the frame's axes.
    pub fn turned(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let (sin, cos) = (libm::sin(self.rotation), libm::cos(self.rotation));
        [cos * x - sin * y, sin * x + cos * y]
    }

    /// The crop: RGB, `256 * 256 * 3` bytes, interpolated as OpenCV's `warpAffine` does it; outside of the frame its
    /// edge is repeated.
    ///
    /// # Panics
    /// If `rgb` is not `width * height * 3` bytes long.
    pub fn cut(&self, rgb: &[u8], width: usize, height: usize) -> Vec<u8> {
        let picture = Picture::<_, 3>::new(rgb, width, height).with_edges_repeated();
        warp_u8(picture, &self.crop_from_frame(), SIDE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Crops that OpenCV 4.10 gives (`warpAffine`, `INTER_LINEAR`, `BORDER_REPLICATE`) of a picture of 11 x 9.
    #[test]
    fn turned_crops_are_those_of_opencv() {
        let (width, height) = (11, 9);
        let level = |x: usize, y: usize, c: usize| (x * 23 + y * 41 + c * 67 + (x * y) % 7 * 9) as u8;
        let rgb: Vec<u8> = (0..height)
            .flat_map(|y| (0..width).flat_map(move |x| (0..3).map(move |c| level(x, y, c))))
            .collect();
        let expected: [(Region, &[u8]); 2] = [
            (
                Region { center: [4.25, 5.5], side: 8.75, rotation: 0.4 },
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
                Region { center: [-1.0, 8.5], side: 13.0, rotation: -2.1 },
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
        for (region, levels) in expected {
            let picture = Picture::<_, 3>::new(&rgb, width, height).with_edges_repeated();
            assert_eq!(warp_u8(picture, &region.square_from_frame(6.0), 6), levels, "{region:?}");
        }
    }

    #[test]
    fn a_region_is_found_again_from_its_own_points() {
        for rotation in [0.0, 0.7, -3.0, 3.1, 1.5] {
            let region = Region { center: [310.5, 200.25], side: 180.0, rotation };
            let center = region.frame_from_unit([0.5, 0.5]);
            let above = region.frame_from_unit([0.5, 0.5 - 0.5 / SCALE]);
            let again = Region::of_points(center, above);
            assert!(
                (again.side - 180.0).abs() < 1e-9 && (again.rotation - rotation).abs() < 1e-9,
                "{again:?}"
            );
            assert!((again.center[0] - 310.5).abs() < 1e-9);
            let [[a, b, c], [d, e, f]] = region.crop_from_frame();
            let corner = region.frame_from_unit([1.0, 0.0]);
            let [x, y] = [a * corner[0] + b * corner[1] + c, d * corner[0] + e * corner[1] + f];
            assert!((x - 256.0).abs() < 1e-9 && y.abs() < 1e-9, "{x}, {y}");
        }
        // half a turn is -pi
        assert_eq!(Region::of_points([0.0, 0.0], [0.0, 2.0]).rotation, -std::f64::consts::PI);
    }

    #[test]
    fn regions_that_show_nothing_are_known() {
        let bbox = BBox { x1: 10.0, y1: 20.0, x2: 30.0, y2: 80.0 };
        let region = Region::of_box(&bbox, 1.5);
        assert_eq!(region, Region { center: [20.0, 50.0], side: 90.0, rotation: 0.0 });
        assert!(region.is_usable());
        for wrong in
            [BBox { x2: f32::NAN, ..bbox }, BBox { x2: 10.0, y2: 20.0, ..bbox }, BBox { x2: 1e30, ..bbox }]
        {
            assert!(!Region::of_box(&wrong, 1.5).is_usable(), "{wrong:?}");
        }
        assert!(!Region { rotation: f64::NAN, ..region }.is_usable());
    }

    #[test]
    fn any_frame_can_be_cut_from() {
        let region = Region { center: [0.0, 0.0], side: 20.0, rotation: 1.0 };
        assert_eq!(region.cut(&[7, 8, 9], 1, 1)[..6], [7, 8, 9, 7, 8, 9]);
        let far = Region { center: [1e6, -1e6], side: 1e6, rotation: -2.0 };
        assert!(far.is_usable());
        assert!(far.cut(&[5; 12], 2, 2).iter().all(|&level| level == 5));
    }
}
