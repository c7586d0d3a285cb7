//! Anchors: the boxes that the region proposal network refines, three at every position of every level.
//!
//! In: a level and a position. Out: a box around the position. The side of a square anchor is 32 pixels on p2 and twice as long on
//! each further level; the other two have the same area and half or twice the ratio of height to width. Their center is the
//! corner of the cell `(x * stride, y * stride)`, without half a pixel. Source: detectron2's `DefaultAnchorGenerator` with
//! offset 0.

use super::super::boxes::Corners;

/// Anchors at a position.
pub const PER_POSITION: usize = 3;
/// Height divided by width, in the order of the network's channels.
const RATIOS: [f64; PER_POSITION] = [0.5, 1.0, 2.0];
/// Square root of the area of p2's anchors, pixels.
const FINEST_SIDE: f64 = 32.0;
/// Stride of p2, pixels.
const FINEST_STRIDE: usize = 4;

/// The anchors of a level (0 is p2) at the position (0, 0).
pub fn at_origin(level: usize) -> [Corners; PER_POSITION] {
    let side = FINEST_SIDE * f64::from(1u32 << level);
    RATIOS.map(|ratio| {
        // in double precision, rounded once, as the original computes them
        let width = (side * side / ratio).sqrt();
        let height = ratio * width;
        [-width / 2.0, -height / 2.0, width / 2.0, height / 2.0].map(|side| side as f32)
    })
}

/// The anchors of one level, by their index in the network's output: rows, columns, anchors of a position.
#[derive(Debug, Clone, Copy)]
pub struct LevelAnchors {
    at_origin: [Corners; PER_POSITION],
    stride: usize,
    columns: usize,
}

impl LevelAnchors {
    /// Anchors of a level (0 is p2) whose map has this many columns.
    pub fn new(level: usize, columns: usize) -> LevelAnchors {
        LevelAnchors { at_origin: at_origin(level), stride: FINEST_STRIDE << level, columns }
    }

    /// The anchor with this index.
    pub fn get(&self, index: usize) -> Corners {
        let (position, anchor) = (index / PER_POSITION, index % PER_POSITION);
        let x = (position % self.columns * self.stride) as f32;
        let y = (position / self.columns * self.stride) as f32;
        let [x1, y1, x2, y2] = self.at_origin[anchor];
        [x + x1, y + y1, x + x2, y + y2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_of_a_level_have_one_area() {
        for level in 0..5 {
            for [x1, y1, x2, y2] in at_origin(level) {
                let side = 32.0 * f32::from(1u8 << level);
                assert!(((x2 - x1) * (y2 - y1) - side * side).abs() < 1e-6 * side * side);
                assert_eq!((x1, y1), (-x2, -y2));
            }
        }
        let [wide, square, tall] = at_origin(1);
        assert_eq!(square, [-32.0, -32.0, 32.0, 32.0]);
        assert!(wide[2] > wide[3] && tall[3] > tall[2]);
    }

    #[test]
    fn indices_run_over_anchors_then_columns_then_rows() {
        let anchors = LevelAnchors::new(1, 5);
        assert_eq!(anchors.get(1), [-32.0, -32.0, 32.0, 32.0]);
        assert_eq!(anchors.get(4), [-24.0, -32.0, 40.0, 32.0]);
        assert_eq!(anchors.get(16), [-32.0, -24.0, 32.0, 40.0]);
    }
}
