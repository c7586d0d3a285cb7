//! Boxes by their corners, decoded from a network's deltas.
//!
//! In: boxes and deltas in `f32`, whatever the network's precision is. Out: boxes in pixels of the network's input. The
//! operations are those of detectron2 in its order, so that the last bits agree (but for the exponential function).

/// A box: left, top, right, bottom, pixels of the network's input.
pub type Corners = [f32; 4];

/// Height and width of an image in the network's input, without its padding, pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkSize {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// `log(1000 / 16)`: a box grows at most as from 16 to 1000 pixels.
const LARGEST_GROWTH: f32 = 4.135_166_6;

/// The box that `deltas` (dx, dy, dw, dh) make of `from`. `weights` divide the deltas; dw and dh are limited to
/// `log(1000 / 16)` from above. A value that is not finite gives a box that is not finite.
pub fn decode(from: Corners, deltas: [f32; 4], weights: [f32; 4]) -> Corners {
    let (x1, x2) = decode_side([from[0], from[2]], [deltas[0] / weights[0], deltas[2] / weights[2]]);
    let (y1, y2) = decode_side([from[1], from[3]], [deltas[1] / weights[1], deltas[3] / weights[3]]);
    [x1, y1, x2, y2]
}

/// One axis of [`decode`]: start and end, shift and growth.
fn decode_side([start, end]: [f32; 2], [shift, growth]: [f32; 2]) -> (f32, f32) {
    let length = end - start;
    let center = start + 0.5 * length;
    // not `f32::min`, which would replace NaN by the limit
    let growth = if growth > LARGEST_GROWTH { LARGEST_GROWTH } else { growth };
    let (center, length) = (shift * length + center, growth.exp() * length);
    (center - 0.5 * length, center + 0.5 * length)
}

/// The box inside an image. NaN stays NaN.
pub fn clip(corners: Corners, size: NetworkSize) -> Corners {
    let (width, height) = (size.width as f32, size.height as f32);
    let [x1, y1, x2, y2] = corners;
    [x1.clamp(0.0, width), y1.clamp(0.0, height), x2.clamp(0.0, width), y2.clamp(0.0, height)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONES: [f32; 4] = [1.0; 4];

    #[test]
    fn no_deltas_keep_a_box() {
        let from = [3.0, 5.0, 10.0, 25.0];
        assert_eq!(decode(from, [0.0; 4], [10.0, 10.0, 5.0, 5.0]), from);
        assert_eq!(decode(from, [10.0, -20.0, 0.0, 0.0], [10.0, 10.0, 5.0, 5.0]), [10.0, -35.0, 17.0, -15.0]);
    }

    #[test]
    fn growth_is_limited_from_above_only() {
        let [x1, y1, x2, y2] = decode([0.0, 0.0, 16.0, 16.0], [0.0, 0.0, 50.0, -50.0], ONES);
        assert!((x2 - x1 - 1000.0).abs() < 1e-3, "{x1} {x2}");
        assert!((y1 - 8.0).abs() < 1e-6 && (y2 - 8.0).abs() < 1e-6, "{y1} {y2}");
    }

    #[test]
    fn values_that_are_not_finite_are_not_hidden() {
        for at in 0..4 {
            let mut deltas = [0.0; 4];
            deltas[at] = f32::NAN;
            let decoded = decode([0.0, 0.0, 4.0, 4.0], deltas, ONES);
            let clipped = clip(decoded, NetworkSize { height: 9, width: 9 });
            assert!(clipped.iter().any(|side| side.is_nan()), "{at}: {clipped:?}");
        }
        let decoded = decode([0.0, 0.0, 4.0, 4.0], [f32::INFINITY, 0.0, 0.0, 0.0], ONES);
        assert!(decoded.iter().any(|side| !side.is_finite()));
    }

    #[test]
    fn a_clipped_box_is_inside_its_image() {
        let size = NetworkSize { height: 20, width: 30 };
        assert_eq!(clip([-1.0, -2.0, 31.0, 21.0], size), [0.0, 0.0, 30.0, 20.0]);
        assert_eq!(clip([40.0, 3.0, 50.0, 4.0], size), [30.0, 3.0, 30.0, 4.0]);
    }
}
