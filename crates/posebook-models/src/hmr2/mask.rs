//! COCO's run-length encoding (RLE) of masks, the format of PHALP's results: writes and reads it, whole or within a region of
//! the frame.

use crate::warp::ImageRegion;
use std::ops::Range;
use thiserror::Error;

/// The counts of a mask cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MaskError {
    /// A character that the encoding does not have.
    #[error("character {position} of the mask's counts is {character:?}, which is not one of COCO's")]
    Character {
        /// Position, from 0.
        position: usize,
        /// The character.
        character: char,
    },
    /// The counts end within a number.
    #[error("the mask's counts end within a number")]
    Truncated,
    /// The runs do not fit the frame.
    #[error("the mask's runs do not add up to the {width}x{height} pixels of its frame")]
    Size {
        /// Pixels per row.
        width: usize,
        /// Rows.
        height: usize,
    },
}

/// The compressed RLE counts of a mask (pycocotools' `rleToString`): runs of equal pixels in column-major order, the
/// first one of background.
///
/// `mask` has `height * width` values; all but 0 are foreground.
pub fn rle_counts(mask: &[u8], width: usize, height: usize) -> String {
    let mut runs = Runs::default();
    for x in 0..width {
        for y in 0..height {
            runs.push(mask[y * width + x] != 0, 1);
        }
    }
    runs.counts()
}

/// Collects the run lengths of a mask, pixel by pixel or many at once, in column-major order.
#[derive(Debug, Clone)]
pub struct Runs {
    lengths: Vec<i64>,
    is_foreground: bool,
}

impl Default for Runs {
    /// No pixels; the first run is of background and may stay empty.
    fn default() -> Runs {
        Runs { lengths: vec![0], is_foreground: false }
    }
}

impl Runs {
    /// Appends `count` pixels of foreground or background. No pixels of the other kind make an empty run.
    pub fn push(&mut self, is_foreground: bool, count: usize) {
        if is_foreground != self.is_foreground {
            self.is_foreground = is_foreground;
            self.lengths.push(0);
        }
        if let Some(length) = self.lengths.last_mut() {
            *length += count as i64;
        }
    }

    /// The compressed text of the runs.
    pub fn counts(&self) -> String {
        encode_runs(&self.lengths)
    }
}

/// The compressed text of run lengths, the first one of background: each run minus the one two before it, five bits
/// per character.
fn encode_runs(runs: &[i64]) -> String {
    let mut text = String::new();
    for (index, &run) in runs.iter().enumerate() {
        let previous = if index > 2 { runs[index - 2] } else { 0 };
        push_number(&mut text, run - previous);
    }
    text
}

/// A signed number, lowest five bits first, each group with a sixth bit that says whether more follow.
fn push_number(text: &mut String, mut number: i64) {
    loop {
        let bits = (number & 0x1f) as u8;
        number >>= 5;
        let is_last = if bits & 0x10 == 0 { number == 0 } else { number == -1 };
        text.push(char::from(48 + bits + if is_last { 0 } else { 0x20 }));
        if is_last {
            return;
        }
    }
}

/// The mask that `counts` stand for: `height * width` values, row by row, 1 for the foreground.
///
/// # Errors
/// If `counts` is not COCO's compressed text, or has more or fewer pixels than the frame.
pub fn mask_of_counts(counts: &str, width: usize, height: usize) -> Result<Vec<u8>, MaskError> {
    let runs = foreground(counts, width, height)?;
    let mut mask = vec![0u8; width * height];
    // runs go down the columns
    runs.into_iter().flatten().for_each(|i| mask[i % height * width + i / height] = 1);
    Ok(mask)
}

/// The part of a mask within `region` of its frame: row by row, 255 for the foreground, else 0. No other part is held in
/// memory.
///
/// # Errors
/// As [`mask_of_counts`].
pub fn region_of_counts(
    counts: &str,
    width: usize,
    height: usize,
    region: &ImageRegion,
) -> Result<Vec<u8>, MaskError> {
    let (columns, rows) = (&region.columns, &region.rows);
    let mut mask = vec![0u8; columns.len() * rows.len()];
    for run in foreground(counts, width, height)? {
        // each column that the run touches
        for x in (run.start / height).max(columns.start)..run.end.div_ceil(height).min(columns.end) {
            let first = run.start.saturating_sub(x * height).max(rows.start);
            let end = (run.end - x * height).min(rows.end);
            (first..end).for_each(|y| mask[(y - rows.start) * columns.len() + x - columns.start] = 255);
        }
    }
    Ok(mask)
}

/// Checks that `counts` stand for a mask of a frame of `width` by `height` pixels.
///
/// # Errors
/// As [`mask_of_counts`].
pub fn check_counts(counts: &str, width: usize, height: usize) -> Result<(), MaskError> {
    foreground(counts, width, height).map(|_| ())
}

/// The runs of foreground, as indices of pixels counted down the columns.
fn foreground(counts: &str, width: usize, height: usize) -> Result<Vec<Range<usize>>, MaskError> {
    let wrong_size = MaskError::Size { width, height };
    let pixels = width.checked_mul(height).ok_or(wrong_size.clone())?;
    let mut found = Vec::new();
    let (mut start, mut inside) = (0usize, false);
    for run in decode_runs(counts)? {
        let end = usize::try_from(run).ok().and_then(|run| start.checked_add(run));
        let end = end.filter(|&end| end <= pixels).ok_or(wrong_size.clone())?;
        if inside && end > start {
            found.push(start..end);
        }
        (start, inside) = (end, !inside);
    }
    if start == pixels { Ok(found) } else { Err(wrong_size) }
}

/// The run lengths that `counts` stand for; the inverse of [`encode_runs`] for lengths within 0 to 2^50.
///
/// # Errors
/// If a character is not one of COCO's, or the last number is incomplete.
fn decode_runs(counts: &str) -> Result<Vec<i64>, MaskError> {
    let mut runs: Vec<i64> = Vec::new();
    let (mut number, mut shift) = (0i64, 0u32);
    for (position, character) in counts.chars().enumerate() {
        let wrong = MaskError::Character { position, character };
        let group = u32::from(character).checked_sub(48).filter(|group| *group < 64);
        let group = i64::from(group.ok_or(wrong.clone())?);
        // no mask has runs of more bits
        if shift > 50 {
            return Err(wrong);
        }
        number |= (group & 0x1f) << shift;
        shift += 5;
        if group & 0x20 != 0 {
            continue;
        }
        if group & 0x10 != 0 {
            number |= -1 << shift;
        }
        let previous = if runs.len() > 2 { runs[runs.len() - 2] } else { 0 };
        runs.push(number.saturating_add(previous));
        (number, shift) = (0, 0);
    }
    if shift == 0 { Ok(runs) } else { Err(MaskError::Truncated) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_column_major() {
        // columns 0 0 1 | 1 1 0: runs 2, 3, 1
        assert_eq!(rle_counts(&[0, 1, 0, 1, 1, 0], 2, 3), "231");
        assert_eq!(rle_counts(&[1, 1], 2, 1), "02");
    }

    #[test]
    fn masks_survive_the_round_trip() {
        let disc = |width: usize, height: usize| -> Vec<u8> {
            let inside = |x: usize, y: usize| {
                let (dx, dy) = (x as f32 - width as f32 / 2.0, y as f32 - height as f32 / 3.0);
                dx * dx + dy * dy < (height * height) as f32 / 9.0
            };
            (0..width * height).map(|i| u8::from(inside(i % width, i / width))).collect()
        };
        for (width, height) in [(1, 1), (7, 5), (320, 180), (181, 321), (1, 900)] {
            let scattered: Vec<u8> = (0..width * height).map(|i| u8::from(i * i % 7 < 3)).collect();
            for mask in [disc(width, height), scattered, vec![1; width * height], vec![0; width * height]] {
                let counts = rle_counts(&mask, width, height);
                assert_eq!(check_counts(&counts, width, height), Ok(()));
                assert_eq!(mask_of_counts(&counts, width, height).as_ref(), Ok(&mask), "{width}x{height}");
                for (columns, rows) in
                    [(0..width, 0..height), (width / 3..width, height / 4..height / 2), (0..0, 0..height)]
                {
                    let region = ImageRegion { columns: columns.clone(), rows: rows.clone() };
                    let part: Vec<u8> = rows
                        .flat_map(|y| columns.clone().map(move |x| (x, y)))
                        .map(|(x, y)| 255 * mask[y * width + x])
                        .collect();
                    assert_eq!(region_of_counts(&counts, width, height, &region), Ok(part), "{region:?}");
                }
            }
        }
    }

    #[test]
    fn wrong_counts_are_errors() {
        let wrong_size = Err(MaskError::Size { width: 2, height: 3 });
        assert_eq!(mask_of_counts("231", 2, 3), Ok(vec![0, 1, 0, 1, 1, 0]));
        // too few, too many, a negative run
        for counts in ["", "23", "232", "2O5", "ooooooo0"] {
            assert_eq!(mask_of_counts(counts, 2, 3), wrong_size, "{counts}");
        }
        assert_eq!(mask_of_counts("2 1", 2, 3), Err(MaskError::Character { position: 1, character: ' ' }));
        assert_eq!(mask_of_counts("23p", 2, 3), Err(MaskError::Character { position: 2, character: 'p' }));
        assert_eq!(mask_of_counts("23o", 2, 3), Err(MaskError::Truncated));
        let endless = "o".repeat(40) + "0";
        assert!(matches!(mask_of_counts(&endless, 2, 3), Err(MaskError::Character { .. })));
        assert!(mask_of_counts("1", usize::MAX, 2).is_err());
        assert!(check_counts("23", 2, 3).is_err() && check_counts("0", 0, 0).is_ok());
    }
}
