//! How a camera was held, by EXIF, and pictures turned upright accordingly.
//!
//! Must not know picture files.

/// What is done to stored pixels, in this order, to see them upright.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Orientation {
    /// Rows become columns.
    transposed: bool,
    mirrored: bool,
    upside_down: bool,
}

impl Orientation {
    /// EXIF's numbers 1 to 8; anything else changes nothing.
    pub fn of_number(number: u16) -> Orientation {
        let (transposed, mirrored, upside_down) = match number {
            2 => (false, true, false),
            3 => (false, true, true),
            4 => (false, false, true),
            5 => (true, false, false),
            6 => (true, true, false),
            7 => (true, true, true),
            8 => (true, false, true),
            _ => (false, false, false),
        };
        Orientation { transposed, mirrored, upside_down }
    }

    /// Stored pixels, RGB, and their size, as they are seen.
    pub fn upright(self, width: usize, height: usize, rgb: Vec<u8>) -> (usize, usize, Vec<u8>) {
        if self == Orientation::default() {
            return (width, height, rgb);
        }
        let pixels = rgb.as_chunks::<3>().0;
        let (across, down) = if self.transposed { (height, width) } else { (width, height) };
        let mut out = Vec::with_capacity(pixels.len());
        for y in 0..down {
            let y = if self.upside_down { down - 1 - y } else { y };
            for x in 0..across {
                let x = if self.mirrored { across - 1 - x } else { x };
                out.push(pixels[if self.transposed { x * width + y } else { y * width + x }]);
            }
        }
        (across, down, out.into_flattened())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_holding_a_camera() {
        // 1 2 3
        // 4 5 6
        let stored: Vec<u8> = (1..=6).flat_map(|shade| [shade; 3]).collect();
        for (number, size, seen) in [
            (1, (3, 2), [1, 2, 3, 4, 5, 6]),
            (2, (3, 2), [3, 2, 1, 6, 5, 4]),
            (3, (3, 2), [6, 5, 4, 3, 2, 1]),
            (4, (3, 2), [4, 5, 6, 1, 2, 3]),
            (5, (2, 3), [1, 4, 2, 5, 3, 6]),
            (6, (2, 3), [4, 1, 5, 2, 6, 3]),
            (7, (2, 3), [6, 3, 5, 2, 4, 1]),
            (8, (2, 3), [3, 6, 2, 5, 1, 4]),
        ] {
            let (width, height, rgb) = Orientation::of_number(number).upright(3, 2, stored.clone());
            assert_eq!((width, height), size, "{number}");
            let shades: Vec<u8> = rgb.chunks(3).map(|pixel| pixel[0]).collect();
            assert_eq!(shades, seen, "{number}");
        }
    }
}
