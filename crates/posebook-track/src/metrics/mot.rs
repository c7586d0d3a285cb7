//! Scores of a pair of MOTChallenge files, equal to TrackEval 1.3.0's (`datasets/mot_challenge_2d_box.py`,
//! pedestrians).
//!
//! Frames count from 1. The meaning of the columns depends on the [`Benchmark`], and differs between ground truth
//! and tracks.

use super::tracking::{DuplicateId, PreparedSequence, TrackedBox, TrackingScores};
use crate::assignment::{Costs, crouse};
use crate::motchallenge::{Benchmark, BoxKind, DecodedText, MotError, MotFile, MotRow, Role};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Least IoU at which a track counts as lying on a distractor.
const MATCH_IOU: f64 = 0.5;

/// The boxes of a file by frame, each frame in the order of its lines. Memory depends on the number of boxes, not
/// on the frame numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct MotSequence {
    /// The parsed file.
    pub file: MotFile,
    /// Indices of the file's rows by frame, from 1.
    frames: BTreeMap<u64, Vec<usize>>,
}

impl MotSequence {
    /// Reads a file.
    ///
    /// # Errors
    /// If the file cannot be read, a line has fewer than six columns or an invalid value, or an identity is unknown
    /// or occurs twice in a frame.
    pub fn read(path: &Path) -> Result<MotSequence, MotError> {
        MotSequence::from_file(MotFile::read(path)?)
    }

    fn from_file(file: MotFile) -> Result<MotSequence, MotError> {
        file.check_identities()?;
        let mut frames: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (index, row) in file.rows.iter().enumerate() {
            frames.entry(row.frame).or_default().push(index);
        }
        Ok(MotSequence { file, frames })
    }

    /// The last frame with a box; 0 without boxes.
    pub fn last_frame(&self) -> u64 {
        self.frames.last_key_value().map_or(0, |(frame, _)| *frame)
    }

    fn rows(&self, frame: u64) -> impl Iterator<Item = &MotRow> {
        self.frames.get(&frame).into_iter().flatten().map(|index| &self.file.rows[*index])
    }

    /// The kind of each row, in the rows' order.
    fn kinds(&self, benchmark: Benchmark, role: Role) -> Result<Vec<BoxKind>, MotError> {
        let kind = |row: &MotRow| {
            benchmark.kind(row, role).map_err(|problem| MotError::line(&self.file.path, row.line, problem))
        };
        self.file.rows.iter().map(kind).collect()
    }
}

/// Parses `text`; `path` is for error messages only.
///
/// # Errors
/// As [`MotSequence::read`].
pub fn parse(text: &str, path: &Path) -> Result<MotSequence, MotError> {
    MotSequence::from_file(MotFile::parse(DecodedText::decode(text.as_bytes(), path)?, path)?)
}

/// Scores a pair of files by the benchmark's rules, as TrackEval does with its preprocessing on.
///
/// Ground truth whose flag truncates to 0 is ignored, and so is ground truth of any class but 1; tracks on
/// distractors are removed. In a file without classes all boxes are pedestrians. If no ground truth or no track
/// remains, MOTA is 0, as in TrackEval.
///
/// # Errors
/// If the benchmark does not have a class, or tracks have another class than pedestrian: the line.
pub fn evaluate(
    truth: &MotSequence,
    tracks: &MotSequence,
    benchmark: Benchmark,
) -> Result<TrackingScores, MotError> {
    Ok(TrackingScores::compute(&prepare(truth, tracks, benchmark)?))
}

/// Prepares two files for scoring by the benchmark's rules. [`Benchmark::Mot15`] has no classes and removes no
/// tracks, which equals TrackEval with its preprocessing off.
///
/// # Errors
/// As [`evaluate`].
///
/// # Panics
/// If an identity occurs twice in a frame, which reading the files excludes.
pub fn prepare(
    truth: &MotSequence,
    tracks: &MotSequence,
    benchmark: Benchmark,
) -> Result<PreparedSequence, MotError> {
    let kinds = truth.kinds(benchmark, Role::Truth)?;
    tracks.kinds(benchmark, Role::Tracks)?;
    let frames: BTreeSet<u64> = truth.frames.keys().chain(tracks.frames.keys()).copied().collect();
    let (mut truth_frames, mut track_frames) =
        (Vec::with_capacity(frames.len()), Vec::with_capacity(frames.len()));
    for frame in frames {
        let truth_boxes = truth.frames.get(&frame).into_iter().flatten();
        let truth_boxes: Vec<(TrackedBox, BoxKind)> =
            truth_boxes.map(|index| (tracked(&truth.file.rows[*index]), kinds[*index])).collect();
        let mut track_boxes: Vec<TrackedBox> = tracks.rows(frame).map(tracked).collect();
        remove_distractor_tracks(&truth_boxes, &mut track_boxes);
        truth_frames.push(
            truth_boxes
                .iter()
                .filter(|(_, kind)| *kind == BoxKind::Person)
                .map(|(truth_box, _)| *truth_box)
                .collect(),
        );
        track_frames.push(track_boxes);
    }
    let prepared: Result<PreparedSequence, DuplicateId> = PreparedSequence::new(&truth_frames, &track_frames);
    Ok(prepared.expect("an identity is once in a frame"))
}

fn tracked(row: &MotRow) -> TrackedBox {
    // files with negative identities are rejected when read
    TrackedBox { id: row.id.unsigned_abs(), bbox: row.bbox }
}

/// Removes from one frame's `tracks` those that the best assignment to all of its ground truth boxes puts on a
/// distractor.
pub fn remove_distractor_tracks(truth: &[(TrackedBox, BoxKind)], tracks: &mut Vec<TrackedBox>) {
    if !truth.iter().any(|(_, kind)| matches!(kind, BoxKind::Distractor(_))) {
        return;
    }
    let score = Costs::from_fn(truth.len(), tracks.len(), |row, column| {
        let overlap = truth[row].0.bbox.iou(&tracks[column].bbox);
        if overlap < MATCH_IOU - f64::EPSILON { 0.0 } else { -overlap }
    });
    let mut is_on_distractor = vec![false; tracks.len()];
    for (row, column) in crouse(&score).into_iter().enumerate() {
        if let Some(column) = column.filter(|&column| -score.get(row, column) > f64::EPSILON) {
            is_on_distractor[column] = matches!(truth[row].1, BoxKind::Distractor(_));
        }
    }
    let mut is_on_distractor = is_on_distractor.into_iter();
    tracks.retain(|_| !is_on_distractor.next().unwrap_or(false));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// World positions in columns 8 to 10, some of which look like classes.
    const MOT15: &str = "1,1,10,10,20,40,1,-0.4187,-1.6472,0\n1,2,100,10,20,40,1,8,2.5,0\n\
        2,1,12,10,20,40,1,2.75,-1,0\n2,2,102,10,20,40,1,8.25,2.5,0\n2,3,200,10,20,40,0,1,1,0\n\
        3,1,14,10,20,40,1,0,0,0\n3,2,104,10,20,40,1,19,2,0\n";
    /// Pedestrians, one with a flag of 0, another vehicle (6), a standing person (7), a car (3).
    const MOT20: &str = "1,1,10,10,20,40,1,1,1\n1,2,100,10,20,40,0,6,1\n1,3,200,10,20,40,0,7,0.5\n\
        2,1,12,10,20,40,1,1,1\n2,2,102,10,20,40,0,6,1\n2,3,200,10,20,40,0,7,0.5\n2,4,300,10,20,40,0,1,1\n\
        3,1,14,10,20,40,1,1,1\n3,2,104,10,20,40,1,6,1\n3,5,300,10,20,40,1,3,1\n";
    const TRACKS: &str = "1,5,11,10,20,40,0.9,-1,-1,-1\n1,6,101,11,20,40,0.9,-1,-1,-1\n\
        1,7,201,10,20,40,0.9,-1,-1,-1\n2,5,12,12,20,40,0.9,-1,-1,-1\n2,6,102,10,20,40,0.9,-1,-1,-1\n\
        2,9,300,12,20,40,0.9,-1,-1,-1\n3,6,14,10,20,40,0.9,-1,-1,-1\n3,5,104,10,20,40,0.9,-1,-1,-1\n";

    fn boxes(text: &str) -> MotSequence {
        parse(text, Path::new("gt.txt")).unwrap()
    }

    fn score(truth: &str, tracks: &str, benchmark: Benchmark) -> TrackingScores {
        evaluate(&boxes(truth), &boxes(tracks), benchmark).unwrap()
    }

    /// Compares HOTA, MOTA and IDF1; then the counts of matched, false positive and false negative boxes, and
    /// identity switches.
    fn assert_scores(what: &str, got: &TrackingScores, shares: [f64; 3], counts: [u64; 4]) {
        for (got, expected) in [got.hota, got.mota, got.idf1].into_iter().zip(shares) {
            assert!((got - expected).abs() < 1e-9, "{what}: {got}, not {expected}");
        }
        assert_eq!([got.tp, got.fp, got.fn_, got.idsw], counts, "{what}");
    }

    /// TrackEval 1.3.0's values for the same files.
    #[test]
    fn benchmarks_score_as_trackeval_does() {
        let world_positions = score(MOT15, TRACKS, Benchmark::Mot15);
        assert_scores(
            "mot15",
            &world_positions,
            [0.524551062220635, 1.0 / 3.0, 0.5714285714285714],
            [6, 2, 0, 2],
        );
        let track_boxes = [0.6239290683693561, 1.0 / 3.0, 0.5714285714285714];
        assert_scores("mot20", &score(MOT20, TRACKS, Benchmark::Mot20), track_boxes, [3, 1, 0, 1]);
        for benchmark in [Benchmark::Mot16, Benchmark::Mot17, Benchmark::DanceTrack] {
            let track_boxes = [0.40009364417881116, -2.0 / 3.0, 0.4];
            assert_scores(benchmark.name(), &score(MOT20, TRACKS, benchmark), track_boxes, [3, 4, 0, 1]);
        }
        let raw = score(MOT20, TRACKS, Benchmark::Mot15);
        assert_scores("no classes", &raw, [0.40262436849620825, -0.2, 0.3076923076923077], [4, 4, 1, 1]);
    }

    #[test]
    fn line_ends_and_separators_do_not_matter() {
        let expected = score(MOT20, TRACKS, Benchmark::Mot20);
        for (from, to) in
            [("\n", "\r"), ("\n", "\r\n"), (",", ";"), (",", "\t"), (",", " "), (",", ", "), ("\n", ",\n")]
        {
            let same = |text: &str| format!("\u{feff}{}", text.replace(from, to));
            assert_eq!(score(&same(MOT20), &same(TRACKS), Benchmark::Mot20), expected, "{from:?} as {to:?}");
        }
    }

    /// TrackEval's values for a sequence without ground truth, or without tracks.
    #[test]
    fn sequences_without_truth_or_tracks() {
        let unsure = MOT20.replace(",1,1,1\n", ",0.7,1,1\n");
        for truth in ["", "\n \n", unsure.as_str()] {
            let scores = score(truth, TRACKS, Benchmark::Mot17);
            assert_eq!(
                (scores.hota, scores.mota, scores.truth_boxes, scores.tp, scores.fn_),
                (0.0, 0.0, 0, 0, 0)
            );
            assert_eq!(scores.fp, scores.track_boxes);
        }
        let lost = score(MOT20, "", Benchmark::Mot17);
        assert_eq!((lost.hota, lost.mota, lost.fn_, lost.loca), (0.0, 0.0, 3, 1.0));
    }

    /// Memory depends on boxes: a span of a hundred million frames costs two.
    #[test]
    fn frame_numbers_may_be_far_apart() {
        for frame in [5000, 99_999_999] {
            let truth = format!("1,1,10,10,20,40,1,1,1\n{frame},1,10,10,20,40,1,1,1\n");
            let tracks = format!("1,5000000000,10,10,20,40,1\n{frame},2,11,10,20,40,1\n");
            let scores = score(&truth, &tracks, Benchmark::Mot17);
            assert_scores("far apart", &scores, [0.6913773869379852, 0.5, 0.5], [2, 0, 0, 1]);
            assert_eq!(boxes(&truth).last_frame(), frame);
        }
    }

    #[test]
    fn invalid_classes_are_errors_with_their_line() {
        let refused = |truth: &str, tracks: &str, benchmark| {
            evaluate(&boxes(truth), &boxes(tracks), benchmark).unwrap_err().to_string()
        };
        for class in ["0", "19", "0.5"] {
            let truth = format!("1,1,10,10,20,40,1,1,1\n\n2,1,10,10,20,40,1,{class},1\n");
            let error = refused(&truth, TRACKS, Benchmark::Mot17);
            assert!(error.starts_with(&format!("gt.txt, line 3: class {class} does not exist")), "{error}");
        }
        let error = refused(MOT20, "1,1,0,0,9,9,0.9,3,-1", Benchmark::Mot15);
        assert!(error.starts_with("gt.txt, line 1: class 3 in tracks"), "{error}");
        let error = refused(MOT15, TRACKS, Benchmark::Mot17);
        assert!(
            error.contains("line 1: class -0.4187") && error.contains("the benchmark is mot15"),
            "{error}"
        );
    }
}
