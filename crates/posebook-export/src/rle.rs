//! COCO's run-length encoding of masks: column by column, runs of 0 and 1 in turn, as text.

use posebook_core::frame::FrameSize;
use posebook_core::person::{BBox, FrameMask};

/// The pixels of a box as a mask: the format demands one, and this is the smallest that is true of a box. Edges are rounded
/// to whole pixels.
pub fn mask_of_box(bbox: &BBox, size: FrameSize) -> FrameMask {
    let FrameSize { width, height } = size;
    let pixel = |value: f32, most: usize| (value.round().max(0.0) as usize).min(most);
    let (left, right) = (pixel(bbox.x1, width), pixel(bbox.x2, width));
    let (top, bottom) = (pixel(bbox.y1, height), pixel(bbox.y2, height));
    let mut runs = Runs::default();
    if left < right && top < bottom {
        runs.add(false, left * height);
        for _ in left..right {
            runs.add(false, top);
            runs.add(true, bottom - top);
            runs.add(false, height - bottom);
        }
        runs.add(false, (width - right) * height);
    } else {
        runs.add(false, width * height);
    }
    FrameMask { width, height, counts: compress(&runs.lengths) }
}

/// Lengths of runs, beginning with zeros.
#[derive(Default)]
struct Runs {
    lengths: Vec<usize>,
}

impl Runs {
    /// Appends `count` pixels of `value`.
    fn add(&mut self, value: bool, count: usize) {
        if count == 0 {
            return;
        }
        let is_one = self.lengths.len().is_multiple_of(2) && !self.lengths.is_empty();
        match self.lengths.last_mut() {
            Some(last) if is_one == value => *last += count,
            Some(_) => self.lengths.push(count),
            None if value => self.lengths.extend([0, count]),
            None => self.lengths.push(count),
        }
    }
}

/// COCO's text: from the fourth run on the difference to the run two before, in groups of five bits, lowest first, with
/// a sixth bit where more follow, as characters from `0`.
fn compress(lengths: &[usize]) -> String {
    let mut text = String::new();
    for (index, &length) in lengths.iter().enumerate() {
        let mut rest = length as i64 - if index > 2 { lengths[index - 2] as i64 } else { 0 };
        loop {
            let group = (rest & 31) as u8;
            rest >>= 5;
            let more = rest != if group & 16 == 0 { 0 } else { -1 };
            text.push(char::from(48 + group + if more { 32 } else { 0 }));
            if !more {
                break;
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts of pycocotools 2.0 (`mask.encode` of the same arrays in Fortran order).
    #[test]
    fn boxes_have_the_counts_of_pycocotools() {
        let mask = |x1, y1, x2, y2, size| mask_of_box(&BBox { x1, y1, x2, y2 }, size).counts;
        let size = FrameSize::new(9, 6);
        for (counts, expected) in [
            (mask(2.0, 1.0, 5.0, 4.0, size), "=33000g0"),
            (mask(0.0, 0.0, 9.0, 6.0, size), "0f1"),
            (mask(3.0, 0.0, 5.0, 6.0, size), "b0<h0"),
            (mask(20.0, 1.0, 30.0, 4.0, size), "f1"),
            (
                mask(100.4, 50.6, 333.2, 700.0, FrameSize::new(640, 360)),
                "cVS1e9c10000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000Ul[3",
            ),
        ] {
            assert_eq!(counts, expected);
        }
    }
}
