//! From a network's numbers to landmarks in the frame and in space (MediaPipe's pose landmark graph).
//!
//! Must not know how the numbers were computed.

use super::cpu::Output;
use super::region::Region;
use super::variant::{HEATMAP, POINTS, SIDE};
use crate::landmarks::{LANDMARKS, Landmarks};
use crate::person::RegionMask;

/// Rows and columns on each side of a point's cell that the refinement reads.
const REACH: i64 = 3;
/// The largest probability in the window below which a point stays where it is.
const LEAST_PROBABILITY: f64 = 0.5;
/// The auxiliary points that say where the person's region is: its center, and a point on the circle around it.
const CENTER: usize = 33;
const ABOVE: usize = 34;
/// Logits beyond which a probability rounds to 0 or 255 of 255.
const CERTAIN: f32 = 6.25;

/// A network's points, refined by its heatmap.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// x, y (0 to 1 across the crop) and z (in the same unit, smaller is nearer), visibility and presence (0 to 1).
    pub points: [[f64; 5]; POINTS],
    /// Pixels of the frame.
    pub pixels: [[f64; 2]; POINTS],
    /// Meters about the middle of the hips in the frame's axes: x right, y down, z away from the camera.
    pub world: [[f64; 3]; POINTS],
    /// Whether somebody is there, 0 to 1.
    pub presence: f64,
    /// Where the person is expected next.
    pub next_region: Region,
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

/// Decodes what the network says of a region.
pub fn decode(output: &Output, region: &Region) -> Decoded {
    let mut points = [[0.0; 5]; POINTS];
    for (index, (point, raw)) in points.iter_mut().zip(output.landmarks.as_chunks::<5>().0).enumerate() {
        let [x, y, z, visibility, presence] = raw.map(f64::from);
        let side = SIDE as f64;
        let [x, y] = refined([x / side, y / side], index, output.heatmap);
        *point = [x, y, z / side, sigmoid(visibility), sigmoid(presence)];
    }
    let pixels = points.map(|[x, y, ..]| region.frame_from_unit([x, y]));
    let mut world = [[0.0; 3]; POINTS];
    for (point, raw) in world.iter_mut().zip(output.world.as_chunks::<3>().0) {
        let [x, y, z] = raw.map(f64::from);
        let [x, y] = region.turned([x, y]);
        *point = [x, y, z];
    }
    let next_region = Region::of_points(pixels[CENTER], pixels[ABOVE]);
    Decoded { points, pixels, world, presence: f64::from(output.presence), next_region }
}

/// A point moved to the mean of the heatmap's cells around it, weighted by their probabilities. Columns and rows count
/// from 0: half a cell is not added.
fn refined(point: [f64; 2], index: usize, heatmap: &[f32]) -> [f64; 2] {
    let [rows, columns, points] = HEATMAP;
    let [column, row] = [(point[0] * columns as f64) as i64, (point[1] * rows as f64) as i64];
    let inside = (0..columns as i64).contains(&column) && (0..rows as i64).contains(&row);
    if !inside || heatmap.len() != rows * columns * points || !point.iter().all(|at| at.is_finite()) {
        return point;
    }
    let (mut total, mut largest, mut sums) = (0.0, 0.0f64, [0.0; 2]);
    for y in (row - REACH).max(0)..(row + REACH + 1).min(rows as i64) {
        for x in (column - REACH).max(0)..(column + REACH + 1).min(columns as i64) {
            let logit = heatmap[(y as usize * columns + x as usize) * points + index];
            let weight = sigmoid(logit.into());
            largest = largest.max(weight);
            total += weight;
            sums[0] += weight * x as f64;
            sums[1] += weight * y as f64;
        }
    }
    if largest < LEAST_PROBABILITY || total <= 0.0 {
        return point;
    }
    [sums[0] / total / columns as f64, sums[1] / total / rows as f64]
}

impl Decoded {
    /// The points that people have. Presence is 0 where a number is not finite.
    pub fn landmarks(&self) -> Landmarks {
        let pixels: [[f32; 2]; LANDMARKS] =
            std::array::from_fn(|at| self.pixels[at].map(|number| number as f32));
        let world: [[f32; 3]; LANDMARKS] =
            std::array::from_fn(|at| self.world[at].map(|number| number as f32));
        let finite =
            pixels.as_flattened().iter().chain(world.as_flattened()).all(|number| number.is_finite());
        let presence = if finite && self.presence.is_finite() { self.presence as f32 } else { 0.0 };
        let visibility = std::array::from_fn(|at| self.points[at][3] as f32);
        Landmarks { pixels, world, visibility, presence }
    }
}

/// The person's mask in a region.
pub fn mask(output: &Output, region: &Region) -> RegionMask {
    let level = |&logit: &f32| match logit {
        certain if certain > CERTAIN => 255,
        absent if absent < -CERTAIN => 0,
        logit => (sigmoid(logit.into()) * 255.0).round() as u8,
    };
    RegionMask {
        mask_from_frame: region.crop_from_frame(),
        size: SIDE,
        values: output.segmentation.iter().map(level).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heatmap(set: &[(usize, usize, usize, f32)]) -> Vec<f32> {
        let [rows, columns, points] = HEATMAP;
        let mut map = vec![-20.0; rows * columns * points];
        set.iter()
            .for_each(|&(row, column, point, logit)| map[(row * columns + column) * points + point] = logit);
        map
    }

    #[test]
    fn points_move_to_the_mean_of_their_cells() {
        let map = heatmap(&[(10, 21, 4, 20.0), (11, 21, 4, 20.0), (10, 30, 4, 20.0)]);
        let point = [20.9 / 64.0, 9.2 / 64.0];
        let [x, y] = refined(point, 4, &map);
        assert!((x - 21.0 / 64.0).abs() < 1e-6 && (y - 10.5 / 64.0).abs() < 1e-6, "{x}, {y}");
        assert_eq!(refined(point, 5, &map), point);
        let unsure = heatmap(&[(10, 21, 4, -0.1)]);
        assert_eq!(refined(point, 4, &unsure), point);
    }

    #[test]
    fn windows_are_cut_at_the_edge_and_points_outside_stay() {
        let map = heatmap(&[(0, 63, 0, 20.0)]);
        let [x, y] = refined([0.99, 0.03], 0, &map);
        assert!((x - 63.0 / 64.0).abs() < 1e-6 && y.abs() < 1e-6, "{x}, {y}");
        // truncated towards zero, so that a little outside counts as the first cell
        assert!(refined([0.99, -0.01], 0, &map)[1].abs() < 1e-6);
        assert_eq!(refined([1.0, 0.0], 0, &map), [1.0, 0.0]);
        assert!(refined([f64::NAN, 0.0], 0, &map)[0].is_nan());
    }

    #[test]
    fn world_points_are_turned_back_and_masks_rounded() {
        let mut world = vec![0.0; 3 * POINTS];
        world[..3].copy_from_slice(&[1.0, 0.0, -0.5]);
        let segmentation = [-100.0, -6.0, 0.0, 1.0, 6.0, 100.0];
        let output = Output {
            landmarks: &vec![0.0; 5 * POINTS],
            presence: 0.75,
            segmentation: &segmentation,
            heatmap: &heatmap(&[]),
            world: &world,
        };
        let region = Region { center: [10.0, 10.0], side: 4.0, rotation: std::f64::consts::FRAC_PI_2 };
        let decoded = decode(&output, &region);
        let [x, y, z] = decoded.world[0];
        assert!(x.abs() < 1e-12 && (y - 1.0).abs() < 1e-12 && z == -0.5);
        // the crop's upper left corner is the frame's upper right one
        assert!((decoded.pixels[0][0] - 12.0).abs() < 1e-9 && (decoded.pixels[0][1] - 8.0).abs() < 1e-9);
        assert!(!decoded.next_region.is_usable());
        assert_eq!(decoded.landmarks().presence, 0.75);
        assert_eq!(mask(&output, &region).values, [0, 1, 128, 186, 254, 255]);
    }
}
