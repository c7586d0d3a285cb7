//! Scores of a pair of MOTChallenge files, as TrackEval 1.3.0 gives them
//! (`datasets/mot_challenge_2d_box.py`, pedestrians).
//!
//! Frames count from 1. What the columns mean is the benchmark's ([`Benchmark`]), and differs between truth and
//! tracks.

use super::tracking::{DuplicateId, Prepared, TrackedBox, TrackingScores};
use crate::assignment::{Costs, crouse};
use crate::motchallenge::{Benchmark, File, Kind, MotError, Role, Row, Text};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// From this overlap on a track lies on a distractor.
const MATCH_IOU: f64 = 0.5;

/// The boxes of a file, by frame, each frame in the order of its lines: as many as there are, however far the
/// frames' numbers go.
#[derive(Debug, Clone, PartialEq)]
pub struct Boxes {
    pub file: File,
    /// Rows of the file by frame, from 1.
    frames: BTreeMap<u64, Vec<usize>>,
}

impl Boxes {
    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, a line has fewer than six columns or one that is not the number it should be, or an
    /// identity is unknown or stands twice in a frame.
    pub fn read(path: &Path) -> Result<Boxes, MotError> {
        Boxes::of(File::read(path)?)
    }

    fn of(file: File) -> Result<Boxes, MotError> {
        file.check_identities()?;
        let mut frames: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (at, row) in file.rows.iter().enumerate() {
            frames.entry(row.frame).or_default().push(at);
        }
        Ok(Boxes { file, frames })
    }

    /// The last frame with a box; 0 of none.
    pub fn last_frame(&self) -> u64 {
        self.frames.last_key_value().map_or(0, |(frame, _)| *frame)
    }

    fn rows(&self, frame: u64) -> impl Iterator<Item = &Row> {
        self.frames.get(&frame).into_iter().flatten().map(|at| &self.file.rows[*at])
    }

    /// What each row is, in the rows' order.
    fn kinds(&self, benchmark: Benchmark, role: Role) -> Result<Vec<Kind>, MotError> {
        let kind = |row: &Row| {
            benchmark.kind(row, role).map_err(|problem| MotError::line(&self.file.path, row.line, problem))
        };
        self.file.rows.iter().map(kind).collect()
    }
}

/// Reads `text`; `path` is for the errors alone.
///
/// # Errors
/// As [`Boxes::read`].
pub fn parse(text: &str, path: &Path) -> Result<Boxes, MotError> {
    Boxes::of(File::parse(Text::decode(text.as_bytes(), path)?, path)?)
}

/// Scores a pair of files by the benchmark's rules, as TrackEval does with its preprocessing on.
///
/// Truth whose flag is 0 (cut off to a whole number) is left out, and so is truth of any class but 1; tracks that
/// lie on a distractor are left out. A file without classes is all pedestrians. Where no truth or no track is
/// left, MOTA is 0, as TrackEval has it.
///
/// # Errors
/// If a class is none that the benchmark has, or tracks are of another class than people: the line.
pub fn evaluate(truth: &Boxes, tracks: &Boxes, benchmark: Benchmark) -> Result<TrackingScores, MotError> {
    Ok(TrackingScores::of(&prepare(truth, tracks, benchmark)?))
}

/// The two files made ready for scoring by the benchmark's rules; [`Benchmark::Mot15`] knows no classes and
/// leaves no tracks out, which is TrackEval with its preprocessing off.
///
/// # Errors
/// As [`evaluate`].
///
/// # Panics
/// If an identity stands twice in a frame, which [`Boxes`] do not let through.
pub fn prepare(truth: &Boxes, tracks: &Boxes, benchmark: Benchmark) -> Result<Prepared, MotError> {
    let kinds = truth.kinds(benchmark, Role::Truth)?;
    tracks.kinds(benchmark, Role::Tracks)?;
    let frames: BTreeSet<u64> = truth.frames.keys().chain(tracks.frames.keys()).copied().collect();
    let (mut kept_truth, mut kept_tracks) =
        (Vec::with_capacity(frames.len()), Vec::with_capacity(frames.len()));
    for frame in frames {
        let there = truth.frames.get(&frame).into_iter().flatten();
        let there: Vec<(TrackedBox, Kind)> =
            there.map(|at| (tracked(&truth.file.rows[*at]), kinds[*at])).collect();
        let mut found: Vec<TrackedBox> = tracks.rows(frame).map(tracked).collect();
        leave_out_distracted(&there, &mut found);
        kept_truth.push(there.iter().filter(|(_, kind)| *kind == Kind::Person).map(|(of, _)| *of).collect());
        kept_tracks.push(found);
    }
    let prepared: Result<Prepared, DuplicateId> = Prepared::new(&kept_truth, &kept_tracks);
    Ok(prepared.expect("an identity is once in a frame"))
}

fn tracked(row: &Row) -> TrackedBox {
    let &Row { id, left, top, width, height, .. } = row;
    // files with identities below 0 are not let through
    TrackedBox { id: id.unsigned_abs(), left, top, width, height }
}

/// Takes out of one frame's `tracks` what the best assignment to all of its truth puts on a distractor.
pub fn leave_out_distracted(truth: &[(TrackedBox, Kind)], tracks: &mut Vec<TrackedBox>) {
    if !truth.iter().any(|(_, kind)| matches!(kind, Kind::Distractor(_))) {
        return;
    }
    let score = Costs::from_fn(truth.len(), tracks.len(), |row, column| {
        let overlap = truth[row].0.iou(&tracks[column]);
        if overlap < MATCH_IOU - f64::EPSILON { 0.0 } else { -overlap }
    });
    let mut distracted = vec![false; tracks.len()];
    for (row, column) in crouse(&score).into_iter().enumerate() {
        if let Some(column) = column.filter(|&column| -score.at(row, column) > f64::EPSILON) {
            distracted[column] = matches!(truth[row].1, Kind::Distractor(_));
        }
    }
    let mut distracted = distracted.into_iter();
    tracks.retain(|_| !distracted.next().unwrap_or(false));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places in the world in columns 8 to 10, some of which look like classes.
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

    fn boxes(text: &str) -> Boxes {
        parse(text, Path::new("gt.txt")).unwrap()
    }

    fn score(truth: &str, tracks: &str, benchmark: Benchmark) -> TrackingScores {
        evaluate(&boxes(truth), &boxes(tracks), benchmark).unwrap()
    }

    /// HOTA, MOTA and IDF1; boxes matched, too many and missed; switches.
    fn hold(what: &str, got: &TrackingScores, shares: [f64; 3], counts: [u64; 4]) {
        for (got, want) in [got.hota, got.mota, got.idf1].into_iter().zip(shares) {
            assert!((got - want).abs() < 1e-9, "{what}: {got}, not {want}");
        }
        assert_eq!([got.tp, got.fp, got.fn_, got.idsw], counts, "{what}");
    }

    /// TrackEval 1.3.0's numbers for the same files.
    #[test]
    fn benchmarks_score_as_trackeval_does() {
        let places = score(MOT15, TRACKS, Benchmark::Mot15);
        hold("mot15", &places, [0.524551062220635, 1.0 / 3.0, 0.5714285714285714], [6, 2, 0, 2]);
        let found = [0.6239290683693561, 1.0 / 3.0, 0.5714285714285714];
        hold("mot20", &score(MOT20, TRACKS, Benchmark::Mot20), found, [3, 1, 0, 1]);
        for benchmark in [Benchmark::Mot16, Benchmark::Mot17, Benchmark::DanceTrack] {
            let found = [0.40009364417881116, -2.0 / 3.0, 0.4];
            hold(benchmark.name(), &score(MOT20, TRACKS, benchmark), found, [3, 4, 0, 1]);
        }
        let raw = score(MOT20, TRACKS, Benchmark::Mot15);
        hold("no classes", &raw, [0.40262436849620825, -0.2, 0.3076923076923077], [4, 4, 1, 1]);
    }

    #[test]
    fn line_ends_and_separators_do_not_matter() {
        let want = score(MOT20, TRACKS, Benchmark::Mot20);
        for (from, to) in
            [("\n", "\r"), ("\n", "\r\n"), (",", ";"), (",", "\t"), (",", " "), (",", ", "), ("\n", ",\n")]
        {
            let same = |text: &str| format!("\u{feff}{}", text.replace(from, to));
            assert_eq!(score(&same(MOT20), &same(TRACKS), Benchmark::Mot20), want, "{from:?} as {to:?}");
        }
    }

    /// TrackEval's values of a sequence without truth, or without tracks.
    #[test]
    fn nothing_to_score() {
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

    /// Memory goes by boxes: a hundred million frames are two.
    #[test]
    fn frames_may_be_far_apart() {
        for frame in [5000, 99_999_999] {
            let truth = format!("1,1,10,10,20,40,1,1,1\n{frame},1,10,10,20,40,1,1,1\n");
            let tracks = format!("1,5000000000,10,10,20,40,1\n{frame},2,11,10,20,40,1\n");
            let scores = score(&truth, &tracks, Benchmark::Mot17);
            hold("far apart", &scores, [0.6913773869379852, 0.5, 0.5], [2, 0, 0, 1]);
            assert_eq!(boxes(&truth).last_frame(), frame);
        }
    }

    #[test]
    fn classes_that_cannot_be_are_refused_with_their_line() {
        let refused = |truth: &str, tracks: &str, benchmark| {
            evaluate(&boxes(truth), &boxes(tracks), benchmark).unwrap_err().to_string()
        };
        for class in ["0", "19", "0.5"] {
            let truth = format!("1,1,10,10,20,40,1,1,1\n\n2,1,10,10,20,40,1,{class},1\n");
            let error = refused(&truth, TRACKS, Benchmark::Mot17);
            assert!(error.starts_with(&format!("gt.txt, line 3: class {class}, and there are 1")), "{error}");
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
