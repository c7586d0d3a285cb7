//! COCO's run-length encoding (RLE) of masks, the format of PHALP's results.

/// The compressed RLE counts of a mask (pycocotools' `rleToString`): runs of equal pixels in column-major order, the
/// first one of background.
///
/// `mask` has `height * width` values; all but 0 are foreground.
pub fn rle_counts(mask: &[u8], width: usize, height: usize) -> String {
    let mut runs = vec![0i64];
    let mut inside = false;
    for x in 0..width {
        for y in 0..height {
            if (mask[y * width + x] != 0) != inside {
                inside = !inside;
                runs.push(0);
            }
            if let Some(run) = runs.last_mut() {
                *run += 1;
            }
        }
    }
    encode_runs(&runs)
}

/// The compressed text of run lengths, the first one of background: each run minus the one two before it, five bits
/// per character.
pub fn encode_runs(runs: &[i64]) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_column_major() {
        // columns 0 0 1 | 1 1 0: runs 2, 3, 1
        assert_eq!(rle_counts(&[0, 1, 0, 1, 1, 0], 2, 3), "231");
        assert_eq!(rle_counts(&[1, 1], 2, 1), "02");
    }
}
