//! EXIF orientation, and rotating images accordingly.

/// Steps from stored pixels to the displayed image, in this order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Orientation {
    /// Rows become columns.
    transpose: bool,
    flip_horizontal: bool,
    flip_vertical: bool,
}

impl Orientation {
    /// From an EXIF orientation, 1 to 8; other values change nothing.
    pub fn from_exif(number: u16) -> Orientation {
        let (transpose, flip_horizontal, flip_vertical) = match number {
            2 => (false, true, false),
            3 => (false, true, true),
            4 => (false, false, true),
            5 => (true, false, false),
            6 => (true, true, false),
            7 => (true, true, true),
            8 => (true, false, true),
            _ => (false, false, false),
        };
        Orientation { transpose, flip_horizontal, flip_vertical }
    }

    /// Rotates and flips stored RGB pixels. Returns width, height and pixels of the displayed image.
    pub fn apply(self, width: usize, height: usize, rgb: Vec<u8>) -> (usize, usize, Vec<u8>) {
        if self == Orientation::default() {
            return (width, height, rgb);
        }
        let pixels = rgb.as_chunks::<3>().0;
        let (width_out, height_out) = if self.transpose { (height, width) } else { (width, height) };
        let mut out = Vec::with_capacity(pixels.len());
        for y in 0..height_out {
            let y = if self.flip_vertical { height_out - 1 - y } else { y };
            for x in 0..width_out {
                let x = if self.flip_horizontal { width_out - 1 - x } else { x };
                out.push(pixels[if self.transpose { x * width + y } else { y * width + x }]);
            }
        }
        (width_out, height_out, out.into_flattened())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exif_orientation_is_applied() {
        // 1 2 3
        // 4 5 6
        let stored: Vec<u8> = (1..=6).flat_map(|shade| [shade; 3]).collect();
        for (number, size, expected) in [
            (1, (3, 2), [1, 2, 3, 4, 5, 6]),
            (2, (3, 2), [3, 2, 1, 6, 5, 4]),
            (3, (3, 2), [6, 5, 4, 3, 2, 1]),
            (4, (3, 2), [4, 5, 6, 1, 2, 3]),
            (5, (2, 3), [1, 4, 2, 5, 3, 6]),
            (6, (2, 3), [4, 1, 5, 2, 6, 3]),
            (7, (2, 3), [6, 3, 5, 2, 4, 1]),
            (8, (2, 3), [3, 6, 2, 5, 1, 4]),
        ] {
            let (width, height, rgb) = Orientation::from_exif(number).apply(3, 2, stored.clone());
            assert_eq!((width, height), size, "{number}");
            let shades: Vec<u8> = rgb.chunks(3).map(|pixel| pixel[0]).collect();
            assert_eq!(shades, expected, "{number}");
        }
    }
}
