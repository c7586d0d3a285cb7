//! How a camera was held, by EXIF, and pictures turned upright accordingly.
//!
//! Must not know picture files.

/// EXIF's tag of the orientation, and the type of its value.
const TAG: u16 = 0x0112;
const SHORT: u16 = 3;

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

    /// The orientation in an EXIF block that begins with its TIFF header; nothing is done where there is none, or
    /// where it is damaged.
    pub fn of_exif(exif: Option<&[u8]>) -> Orientation {
        exif.and_then(number).map_or(Orientation::default(), Orientation::of_number)
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

/// The number in the first directory of a TIFF block.
fn number(exif: &[u8]) -> Option<u16> {
    let little = match exif.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let short = |at: usize| -> Option<u16> {
        let bytes = exif.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let long = |at: usize| -> Option<usize> {
        let bytes = exif.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) } as usize)
    };
    let directory = long(4)?;
    let entries = usize::from(short(directory)?);
    let mut places = (0..entries).map(|entry| directory + 2 + entry * 12);
    let place = places.find(|&at| short(at) == Some(TAG) && short(at + 2) == Some(SHORT))?;
    short(place + 8)
}

/// An EXIF block with nothing but an orientation.
#[cfg(test)]
pub fn exif(number: u16, little: bool) -> Vec<u8> {
    let short = |value: u16| if little { value.to_le_bytes() } else { value.to_be_bytes() };
    let long = |value: u32| if little { value.to_le_bytes() } else { value.to_be_bytes() };
    let mut block = if little { b"II*\0".to_vec() } else { b"MM\0*".to_vec() };
    block.extend(long(8));
    block.extend(short(1));
    block.extend([short(TAG), short(SHORT)].concat());
    block.extend(long(1));
    block.extend([short(number), [0; 2]].concat());
    block.extend(long(0));
    block
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
            for little in [true, false] {
                let orientation = Orientation::of_exif(Some(&exif(number, little)));
                let (width, height, rgb) = orientation.upright(3, 2, stored.clone());
                assert_eq!((width, height), size, "{number}");
                let shades: Vec<u8> = rgb.chunks(3).map(|pixel| pixel[0]).collect();
                assert_eq!(shades, seen, "{number}");
            }
        }
    }

    #[test]
    fn damaged_blocks_change_nothing() {
        let whole = exif(6, true);
        for length in 0..whole.len() - 5 {
            let cut = Orientation::of_exif(Some(&whole[..length]));
            assert!(cut == Orientation::default() || length >= 20, "{length} bytes");
        }
        assert_eq!(Orientation::of_exif(Some(&exif(9, true))), Orientation::default());
        assert_eq!(Orientation::of_exif(None), Orientation::default());
        let mut wild = whole;
        wild[4..8].fill(0xff);
        assert_eq!(Orientation::of_exif(Some(&wild)), Orientation::default());
    }
}
