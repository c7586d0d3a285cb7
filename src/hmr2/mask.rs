//! COCO's run lengths of a mask: how PHALP's results store who covers which pixels.

/// The runs of equal pixels down the columns, the first one outside the person, in COCO's text: each run
/// less the one two before it, five bits a character (pycocotools' `rleToString`).
///
/// `mask` is `height * width`, anything but 0 being the person.
pub fn run_lengths(mask: &[u8], width: usize, height: usize) -> String {
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
    text_of_runs(&runs)
}

/// COCO's text of runs of pixels, the first one outside the person.
pub fn text_of_runs(runs: &[i64]) -> String {
    let mut text = String::new();
    for (index, &run) in runs.iter().enumerate() {
        let before = if index > 2 { runs[index - 2] } else { 0 };
        push_number(&mut text, run - before);
    }
    text
}

/// A signed number, its lowest five bits first, each with a sixth that says whether more follow.
fn push_number(text: &mut String, mut number: i64) {
    loop {
        let bits = (number & 0x1f) as u8;
        number >>= 5;
        let sign_is_shown = if bits & 0x10 == 0 { number == 0 } else { number == -1 };
        text.push(char::from(48 + bits + if sign_is_shown { 0 } else { 0x20 }));
        if sign_is_shown {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_go_down_the_columns() {
        // columns 0 0 1 | 1 1 0: runs 2, 3, 1
        assert_eq!(run_lengths(&[0, 1, 0, 1, 1, 0], 2, 3), "231");
        assert_eq!(run_lengths(&[1, 1], 2, 1), "02");
    }
}
