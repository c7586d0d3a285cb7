//! Decodes the network's outputs to landmarks in frame pixels and in meters (MediaPipe's pose landmark graph).

use super::cpu::Output;
use super::region::Region;
use super::variant::{HEATMAP_SHAPE, INPUT_SIDE, POINTS};
use posebook_core::landmarks::{LANDMARKS, Landmarks};
use posebook_core::person::RegionMask;

/// Radius of the heatmap window of the refinement, cells.
const REFINE_RADIUS: i64 = 3;
/// A point is refined only if a cell of its window has at least this probability.
const MIN_PROBABILITY: f64 = 0.5;
/// Auxiliary point: the center of the person's region.
const CENTER_POINT: usize = 33;
/// Auxiliary point on the circle around the person, straight above the center when upright: gives scale and rotation.
const SCALE_POINT: usize = 34;
/// Beyond this logit (absolute) a probability rounds to 0 or 255 of 255.
const SATURATED_LOGIT: f32 = 6.25;

/// Decoded outputs of one crop; points are refined with the heatmap.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodedPose {
    /// x, y (0 to 1 across the crop) and z (in the same unit, smaller is nearer), visibility and presence (0 to 1).
    pub points: [[f64; 5]; POINTS],
    /// The points in pixels of the frame.
    pub pixels: [[f64; 2]; POINTS],
    /// The points in meters relative to the midpoint of the hips, in the frame's axes: x right, y down, z away from the camera.
    pub world: [[f64; 3]; POINTS],
    /// Probability that the crop shows a person, 0 to 1.
    pub presence: f64,
    /// The person's region, to be used as the region in the next frame.
    pub next_region: Region,
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

/// Decodes the network's outputs for the crop of a region.
pub fn decode(output: &Output, region: &Region) -> DecodedPose {
    let mut points = [[0.0; 5]; POINTS];
    for (index, (point, raw)) in points.iter_mut().zip(output.landmarks.as_chunks::<5>().0).enumerate() {
        let [x, y, z, visibility, presence] = raw.map(f64::from);
        let side = INPUT_SIDE as f64;
        let [x, y] = refine([x / side, y / side], index, output.heatmap);
        *point = [x, y, z / side, sigmoid(visibility), sigmoid(presence)];
    }
    let pixels = points.map(|[x, y, ..]| region.frame_from_unit([x, y]));
    let mut world = [[0.0; 3]; POINTS];
    for (point, raw) in world.iter_mut().zip(output.world.as_chunks::<3>().0) {
        let [x, y, z] = raw.map(f64::from);
        let [x, y] = region.rotate_to_frame([x, y]);
        *point = [x, y, z];
    }
    let next_region = Region::from_points(pixels[CENTER_POINT], pixels[SCALE_POINT]);
    DecodedPose { points, pixels, world, presence: f64::from(output.presence), next_region }
}

/// Refines a point: the mean of the heatmap cells around it, weighted by their probabilities. Cell coordinates are the
/// indices, without half a cell added, as in MediaPipe.
fn refine(point: [f64; 2], index: usize, heatmap: &[f32]) -> [f64; 2] {
    let [rows, columns, points] = HEATMAP_SHAPE;
    let [column, row] = [(point[0] * columns as f64) as i64, (point[1] * rows as f64) as i64];
    let inside = (0..columns as i64).contains(&column) && (0..rows as i64).contains(&row);
    if !inside || heatmap.len() != rows * columns * points || !point.iter().all(|x| x.is_finite()) {
        return point;
    }
    let (mut total, mut largest, mut sums) = (0.0, 0.0f64, [0.0; 2]);
    for y in (row - REFINE_RADIUS).max(0)..(row + REFINE_RADIUS + 1).min(rows as i64) {
        for x in (column - REFINE_RADIUS).max(0)..(column + REFINE_RADIUS + 1).min(columns as i64) {
            let logit = heatmap[(y as usize * columns + x as usize) * points + index];
            let weight = sigmoid(logit.into());
            largest = largest.max(weight);
            total += weight;
            sums[0] += weight * x as f64;
            sums[1] += weight * y as f64;
        }
    }
    if largest < MIN_PROBABILITY || total <= 0.0 {
        return point;
    }
    [sums[0] / total / columns as f64, sums[1] / total / rows as f64]
}

impl DecodedPose {
    /// The 33 body landmarks, without the auxiliary points. Presence is 0 if a value is not finite.
    pub fn landmarks(&self) -> Landmarks {
        let pixels: [[f32; 2]; LANDMARKS] = std::array::from_fn(|index| self.pixels[index].map(|x| x as f32));
        let world: [[f32; 3]; LANDMARKS] = std::array::from_fn(|index| self.world[index].map(|x| x as f32));
        let finite = pixels.as_flattened().iter().chain(world.as_flattened()).all(|x| x.is_finite());
        let presence = if finite && self.presence.is_finite() { self.presence as f32 } else { 0.0 };
        let visibility = std::array::from_fn(|index| self.points[index][3] as f32);
        Landmarks { pixels, world, visibility, presence }
    }
}

/// The person's segmentation mask in a region, 8-bit values.
pub fn decode_mask(output: &Output, region: &Region) -> RegionMask {
    let to_u8 = |&logit: &f32| match logit {
        certain if certain > SATURATED_LOGIT => 255,
        absent if absent < -SATURATED_LOGIT => 0,
        logit => (sigmoid(logit.into()) * 255.0).round() as u8,
    };
    RegionMask {
        mask_from_frame: region.crop_from_frame(),
        size: INPUT_SIDE,
        values: output.segmentation.iter().map(to_u8).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heatmap(set: &[(usize, usize, usize, f32)]) -> Vec<f32> {
        let [rows, columns, points] = HEATMAP_SHAPE;
        let mut map = vec![-20.0; rows * columns * points];
        set.iter()
            .for_each(|&(row, column, point, logit)| map[(row * columns + column) * points + point] = logit);
        map
    }

    #[test]
    fn points_are_refined_to_the_mean_of_their_cells() {
        let map = heatmap(&[(10, 21, 4, 20.0), (11, 21, 4, 20.0), (10, 30, 4, 20.0)]);
        let point = [20.9 / 64.0, 9.2 / 64.0];
        let [x, y] = refine(point, 4, &map);
        assert!((x - 21.0 / 64.0).abs() < 1e-6 && (y - 10.5 / 64.0).abs() < 1e-6, "{x}, {y}");
        assert_eq!(refine(point, 5, &map), point);
        let uncertain = heatmap(&[(10, 21, 4, -0.1)]);
        assert_eq!(refine(point, 4, &uncertain), point);
    }

    #[test]
    fn windows_are_clipped_at_the_edge_and_points_outside_are_unchanged() {
        let map = heatmap(&[(0, 63, 0, 20.0)]);
        let [x, y] = refine([0.99, 0.03], 0, &map);
        assert!((x - 63.0 / 64.0).abs() < 1e-6 && y.abs() < 1e-6, "{x}, {y}");
        // truncated towards zero, so that a little outside counts as the first cell
        assert!(refine([0.99, -0.01], 0, &map)[1].abs() < 1e-6);
        assert_eq!(refine([1.0, 0.0], 0, &map), [1.0, 0.0]);
        assert!(refine([f64::NAN, 0.0], 0, &map)[0].is_nan());
    }

    #[test]
    fn world_points_are_rotated_to_the_frame_and_masks_rounded() {
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
        let region = Region { center: [10.0, 10.0], side: 4.0, rotation_rad: std::f64::consts::FRAC_PI_2 };
        let decoded = decode(&output, &region);
        let [x, y, z] = decoded.world[0];
        assert!(x.abs() < 1e-12 && (y - 1.0).abs() < 1e-12 && z == -0.5);
        // the crop's upper left corner is the frame's upper right one
        assert!((decoded.pixels[0][0] - 12.0).abs() < 1e-9 && (decoded.pixels[0][1] - 8.0).abs() < 1e-9);
        assert!(!decoded.next_region.is_usable());
        assert_eq!(decoded.landmarks().presence, 0.75);
        assert_eq!(decode_mask(&output, &region).values, [0, 1, 128, 186, 254, 255]);
    }
}
