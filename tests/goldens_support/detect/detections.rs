//! Compares lists of detections.

/// Scores closer than this may be in another order, as the goldens' README says.
const TIE: f32 = 2e-4;

/// A detection to compare: box, score and class.
#[derive(Debug, Clone, Copy)]
pub struct Detected {
    /// Left, top, right, bottom, pixels.
    pub corners: [f32; 4],
    /// 0 to 1.
    pub score: f32,
    /// Index of the class.
    pub class: usize,
}

/// Asserts that both lists have the same detections in the same order, except among detections with scores closer than
/// 2e-4. Prints the largest errors. Returns the position in `ours` of each expected detection.
pub fn compare(what: &str, expected: &[Detected], ours: &[Detected], pixels: f64, scores: f64) -> Vec<usize> {
    assert_eq!(ours.len(), expected.len(), "{what}: number of detections");
    let (mut largest_pixels, mut largest_score, mut moved) = (0.0f64, 0.0f64, 0);
    let mut is_used = vec![false; ours.len()];
    let mut positions = Vec::with_capacity(ours.len());
    for (index, detection) in expected.iter().enumerate() {
        let error = |other: &Detected| {
            let sides = other.corners.iter().zip(&detection.corners);
            let pixels =
                sides.map(|(a, b)| f64::from((a - b).abs())).fold(0.0, |a, b| if b > a { b } else { a });
            (pixels, f64::from((other.score - detection.score).abs()))
        };
        let is_tied =
            |position: usize| position == index || (expected[position].score - detection.score).abs() < TIE;
        let found = (0..ours.len()).find(|&position| {
            let (box_error, score_error) = error(&ours[position]);
            is_tied(position)
                && !is_used[position]
                && ours[position].class == detection.class
                && box_error <= pixels
                && score_error <= scores
        });
        let Some(position) = found else {
            panic!("{what}: detection {index} is {:?}, should be {detection:?}", ours[index]);
        };
        is_used[position] = true;
        moved += usize::from(position != index);
        positions.push(position);
        let (box_error, score_error) = error(&ours[position]);
        largest_pixels = largest_pixels.max(box_error);
        largest_score = largest_score.max(score_error);
    }
    println!(
        "{what:<44} {:>8} detections, boxes {largest_pixels:.1e} of {pixels:.0e}, scores {largest_score:.1e} of \
         {scores:.0e}, {moved} in another order",
        ours.len()
    );
    positions
}
