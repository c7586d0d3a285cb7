//! The content value of a frame: how much it differs from the previous one.
//!
//! In: RGB frames of one size. Out: for each frame, the mean absolute difference of hue, saturation and value (HSV) from the
//! previous frame, computed on frames resized to a width of about 256 pixels. Resizing
//! and conversion give the bytes of OpenCV's `resize` (`INTER_LINEAR`) and `cvtColor` (`COLOR_BGR2HSV`) for 8-bit images,
//! because both round to bytes, and a sum of small differences is sensitive to rounding.

use posebook_core::frame::FrameSize;

/// Fractional bits of the weights of bilinear interpolation in OpenCV.
const WEIGHT_BITS: u32 = 11;
/// Fractional bits of the reciprocals of the conversion to HSV in OpenCV.
const HSV_BITS: u32 = 12;

/// Compares each frame with the previous one.
#[derive(Debug)]
pub struct ContentMeter {
    size: FrameSize,
    shrink: Shrink,
    hsv: HsvTables,
    /// HSV of the previous frame and of the current one, three bytes per pixel; empty before the first frame.
    previous: Vec<u8>,
    current: Vec<u8>,
}

impl ContentMeter {
    /// Compares frames of `size`, shrunk to `compared`.
    pub fn new(size: FrameSize, compared: FrameSize) -> ContentMeter {
        ContentMeter {
            size,
            shrink: Shrink::new(size, compared),
            hsv: HsvTables::new(),
            previous: Vec::new(),
            current: Vec::new(),
        }
    }

    /// The content value of the next frame, 0 to 255; 0 for the first.
    ///
    /// # Panics
    /// If `rgb` is not `height * width * 3` bytes long.
    pub fn measure(&mut self, rgb: &[u8]) -> f64 {
        assert_eq!(
            rgb.len(),
            self.size.width * self.size.height * 3,
            "a frame's bytes do not match its size"
        );
        self.shrink.apply(rgb, &mut self.current);
        for pixel in self.current.chunks_exact_mut(3) {
            pixel.copy_from_slice(&self.hsv.convert([pixel[0], pixel[1], pixel[2]]));
        }
        let mut sums = [0u64; 3];
        for (old, new) in self.previous.chunks_exact(3).zip(self.current.chunks_exact(3)) {
            for (sum, (&old, &new)) in sums.iter_mut().zip(old.iter().zip(new)) {
                *sum += u64::from(old.abs_diff(new));
            }
        }
        std::mem::swap(&mut self.previous, &mut self.current);
        let pixels = (self.previous.len() / 3) as f64;
        sums.iter().map(|&sum| sum as f64 / pixels).sum::<f64>() / 3.0
    }
}

/// OpenCV's `resize` with `INTER_LINEAR`.
#[derive(Debug)]
struct Shrink {
    from: FrameSize,
    columns: Vec<Tap>,
    rows: Vec<Tap>,
}

/// The two source positions of an output position and their weights, which sum to 2048.
#[derive(Debug, Clone, Copy)]
struct Tap {
    first: usize,
    second: usize,
    weights: [u32; 2],
}

impl Shrink {
    fn new(from: FrameSize, to: FrameSize) -> Shrink {
        Shrink { from, columns: taps(from.width, to.width, true), rows: taps(from.height, to.height, false) }
    }

    /// Writes the shrunk image to `out`.
    fn apply(&self, rgb: &[u8], out: &mut Vec<u8>) {
        let FrameSize { width, height } = self.from;
        out.clear();
        if (self.columns.len(), self.rows.len()) == (width, height) {
            out.extend_from_slice(rgb);
        } else if (self.columns.len() * 2, self.rows.len() * 2) == (width, height) {
            // OpenCV takes the mean of 2 x 2 pixels at this scale
            for (top, bottom) in rgb.chunks_exact(width * 6).map(|rows| rows.split_at(width * 3)) {
                for (top, bottom) in top.chunks_exact(6).zip(bottom.chunks_exact(6)) {
                    let sum = |c: usize| [top[c], top[c + 3], bottom[c], bottom[c + 3]].map(u32::from);
                    out.extend([0, 1, 2].map(|c| ((sum(c).iter().sum::<u32>() + 2) >> 2) as u8));
                }
            }
        } else {
            for row in &self.rows {
                let lines = [row.first, row.second].map(|y| &rgb[y * width * 3..(y + 1) * width * 3]);
                for column in &self.columns {
                    out.extend([0, 1, 2].map(|c| interpolate(lines, column, row, c)));
                }
            }
        }
    }
}

/// Channel `c` between two pixels of two lines. OpenCV drops bits between the two directions, and so does this.
#[inline]
fn interpolate(lines: [&[u8]; 2], column: &Tap, row: &Tap, c: usize) -> u8 {
    let [top, bottom] = lines.map(|line| {
        let [first, second] = [column.first, column.second].map(|x| u32::from(line[x * 3 + c]));
        first * column.weights[0] + second * column.weights[1]
    });
    let part = |sum: u32, weight: u32| (weight * (sum >> 4)) >> 16;
    ((part(top, row.weights[0]) + part(bottom, row.weights[1]) + 2) >> 2) as u8
}

/// The taps of all output positions. Pixel centers are at half positions. Beyond the edge, OpenCV gives all weight to
/// the outermost column (`snap`), but keeps the weights of rows and reads the outermost row twice.
fn taps(from: usize, to: usize, snap: bool) -> Vec<Tap> {
    // OpenCV inverts the inverse
    let step = 1.0 / (to as f64 / from as f64);
    let last = from - 1;
    let tap = |i: usize| {
        let position = ((i as f64 + 0.5) * step - 0.5) as f32;
        let floor = position.floor();
        let mut fraction = position - floor;
        if snap && (floor < 0.0 || floor as usize >= last) {
            fraction = 0.0;
        }
        let scale = (1 << WEIGHT_BITS) as f32;
        let weights = [1.0 - fraction, fraction].map(|weight| (weight * scale).round_ties_even() as u32);
        let inside = |position: f32| (position.max(0.0) as usize).min(last);
        Tap { first: inside(floor), second: inside(floor + 1.0), weights }
    };
    (0..to).map(tap).collect()
}

/// Reciprocals of OpenCV's conversion from 8-bit RGB to HSV.
#[derive(Debug)]
struct HsvTables {
    /// 255 / value.
    saturation: [i32; 256],
    /// 180 / (6 * difference): hue has 180 steps of 2 degrees.
    hue: [i32; 256],
}

impl HsvTables {
    fn new() -> HsvTables {
        let reciprocal = |numerator: i32, factor: f64| {
            std::array::from_fn(|i| match i {
                0 => 0,
                i => (f64::from(numerator << HSV_BITS) / (factor * i as f64)).round_ties_even() as i32,
            })
        };
        HsvTables { saturation: reciprocal(255, 1.0), hue: reciprocal(180, 6.0) }
    }

    /// Hue 0 to 179, saturation 0 to 255, value 0 to 255.
    #[inline]
    fn convert(&self, rgb: [u8; 3]) -> [u8; 3] {
        let [r, g, b] = rgb.map(i32::from);
        let value = r.max(g).max(b);
        let difference = value - r.min(g).min(b);
        let rounded = |scaled: i32| (scaled + (1 << (HSV_BITS - 1))) >> HSV_BITS;
        let saturation = rounded(difference * self.saturation[value as usize]);
        let sector = if value == r {
            g - b
        } else if value == g {
            b - r + 2 * difference
        } else {
            r - g + 4 * difference
        };
        let hue = rounded(sector * self.hue[difference as usize]);
        [if hue < 0 { hue + 180 } else { hue }, saturation, value].map(|channel| channel as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_core::provenance::sha256_of_bytes;

    fn golden() -> serde_json::Value {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/goldens/opencv/shots.json");
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    /// Every third value of every channel.
    #[test]
    fn hsv_has_the_bytes_of_opencv() {
        let tables = HsvTables::new();
        let values = || (0..=255u8).step_by(3);
        let colors = values().flat_map(|r| values().flat_map(move |g| values().map(move |b| [r, g, b])));
        let bytes: Vec<u8> = colors.flat_map(|rgb| tables.convert(rgb)).collect();
        assert_eq!(sha256_of_bytes(&bytes), golden()["hsv_sha256"]);
    }

    #[test]
    fn shrunk_images_have_the_bytes_of_opencv() {
        for case in golden()["resize"].as_array().unwrap() {
            let size = |key: &str| {
                let [width, height] = [0, 1].map(|i| case[key][i].as_u64().unwrap() as usize);
                FrameSize::new(width, height)
            };
            let (from, to) = (size("from"), size("to"));
            // the noise of `make_shots.py`
            let mut state = 1u32;
            let noise: Vec<u8> = (0..from.width * from.height * 3)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8
                })
                .collect();
            let mut shrunk = Vec::new();
            Shrink::new(from, to).apply(&noise, &mut shrunk);
            assert_eq!(shrunk.len(), to.width * to.height * 3);
            assert_eq!(sha256_of_bytes(&shrunk), case["sha256"], "{from} to {to}");
        }
    }
}
