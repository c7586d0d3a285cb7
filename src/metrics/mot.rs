//! MOTChallenge text: `frame, identity, left, top, width, height[, confidence[, class[, visibility]]]`.
//!
//! Read as TrackEval 1.3.0 reads it (`datasets/mot_challenge_2d_box.py`, pedestrians). Frames count
//! from 1. What the columns after the sixth mean differs between truth and tracks, see [`evaluate`].

use super::tracking::{self, DuplicateId, Prepared, TrackedBox, TrackingScores};
use crate::assignment::{Costs, crouse};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Classes whose boxes do no harm: a track that lies on one is left out and counts neither way.
const DISTRACTORS: [i64; 4] = [2, 7, 8, 12];
const PEDESTRIAN: i64 = 1;
/// From this overlap on a track lies on a distractor.
const MATCH_IOU: f64 = 0.5;

/// A line of a file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    pub tracked: TrackedBox,
    /// Column 7: in the truth 0 marks a box to be left out. 1 where there is no such column.
    pub confidence: f64,
    /// Column 8, `None` where it is missing or below 0 (files without classes have -1 there).
    pub class: Option<i64>,
}

/// The boxes of a file, by frame, each frame in the order of its lines.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Boxes {
    pub frames: Vec<Vec<Row>>,
}

/// A file that is not MOTChallenge text, or says what cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MotError {
    #[error("{}, line {line}: {problem}; a line is `frame,identity,left,top,width,height,...`", path.display())]
    Line { path: PathBuf, line: usize, problem: String },
    #[error(
        "{}, line {line}: identity {id} was in frame {frame} before, in line {first}; \
         an identity can be in one place only", path.display()
    )]
    Twice { path: PathBuf, line: usize, first: usize, frame: usize, id: u32 },
}

/// Reads `text`; `path` is for the errors alone.
///
/// # Errors
/// If a line has fewer than six columns or a column is not the number it should be, or an identity
/// stands twice in a frame. Empty lines are skipped.
pub fn parse(text: &str, path: &Path) -> Result<Boxes, MotError> {
    let mut boxes = Boxes::default();
    let mut lines = HashMap::new();
    for (at, content) in text.lines().enumerate().filter(|(_, content)| !content.trim().is_empty()) {
        let line = at + 1;
        let in_line = |problem| MotError::Line { path: path.to_path_buf(), line, problem };
        let (frame, row) = parse_line(content).map_err(in_line)?;
        let id = row.tracked.id;
        if let Some(first) = lines.insert((frame, id), line) {
            return Err(MotError::Twice { path: path.to_path_buf(), line, first, frame, id });
        }
        if boxes.frames.len() < frame {
            boxes.frames.resize(frame, Vec::new());
        }
        boxes.frames[frame - 1].push(row);
    }
    Ok(boxes)
}

/// The largest frame number believed: above it a file is more likely broken than long.
const LAST_FRAME: usize = 100_000_000;

fn parse_line(content: &str) -> Result<(usize, Row), String> {
    let separators: &[char] = if content.contains(',') { &[','] } else { &[' ', '\t'] };
    let columns: Vec<&str> = content.split(separators).map(str::trim).collect();
    let columns: Vec<&str> = if content.contains(',') {
        columns
    } else {
        columns.into_iter().filter(|text| !text.is_empty()).collect()
    };
    if columns.len() < 6 {
        return Err(format!("{} columns instead of at least 6", columns.len()));
    }
    let number = |at: usize, name: &str| -> Result<f64, String> {
        let value: f64 =
            columns[at].parse().map_err(|_| format!("the {name} `{}` is not a number", columns[at]))?;
        if value.is_finite() { Ok(value) } else { Err(format!("the {name} is {value}")) }
    };
    let whole = |at: usize, name: &str, least: f64, most: f64| -> Result<f64, String> {
        let value = number(at, name)?;
        let good = value.fract() == 0.0 && (least..=most).contains(&value);
        if good {
            Ok(value)
        } else {
            Err(format!("the {name} is {value} and not a whole number from {least} on"))
        }
    };
    let size = |at: usize, name: &str| -> Result<f64, String> {
        let value = number(at, name)?;
        if value >= 0.0 { Ok(value) } else { Err(format!("the {name} is {value}, below 0")) }
    };
    let tracked = TrackedBox {
        id: whole(1, "identity", 0.0, f64::from(u32::MAX))? as u32,
        left: number(2, "left edge")?,
        top: number(3, "top edge")?,
        width: size(4, "width")?,
        height: size(5, "height")?,
    };
    let confidence = if columns.len() > 6 { number(6, "confidence")? } else { 1.0 };
    let class =
        if columns.len() > 7 { Some(number(7, "class")? as i64).filter(|&class| class >= 0) } else { None };
    Ok((whole(0, "frame", 1.0, LAST_FRAME as f64)? as usize, Row { tracked, confidence, class }))
}

/// Scores a pair of files as TrackEval does with its preprocessing on.
///
/// Truth whose confidence is 0 (cut off to a whole number) is left out, and so is truth of any class
/// but 1; tracks that lie on a distractor (classes 2, 7, 8, 12) are left out. A file without classes
/// is all pedestrians.
pub fn evaluate(truth: &Boxes, tracks: &Boxes) -> TrackingScores {
    TrackingScores::of(&prepare(truth, tracks, true))
}

/// The two files made ready for scoring; `clean` leaves out other classes and what lies on distractors.
///
/// # Panics
/// If an identity stands twice in a frame, which [`parse`] does not let through.
pub fn prepare(truth: &Boxes, tracks: &Boxes, clean: bool) -> Prepared {
    let frames = truth.frames.len().max(tracks.frames.len());
    let (mut kept_truth, mut kept_tracks) = (Vec::with_capacity(frames), Vec::with_capacity(frames));
    for frame in 0..frames {
        let of = |side: &Boxes| side.frames.get(frame).cloned().unwrap_or_default();
        let (truth, mut tracks) = (of(truth), of(tracks));
        if clean {
            leave_out_distracted(&truth, &mut tracks);
        }
        let counts = |row: &Row| row.confidence.trunc() != 0.0 && (!clean || class_of(row) == PEDESTRIAN);
        kept_truth.push(truth.iter().filter(|row| counts(row)).map(|row| row.tracked).collect());
        kept_tracks.push(tracks.iter().map(|row| row.tracked).collect());
    }
    let prepared: Result<Prepared, DuplicateId> = tracking::Prepared::new(&kept_truth, &kept_tracks);
    prepared.expect("parsed files hold an identity once a frame")
}

fn class_of(row: &Row) -> i64 {
    row.class.unwrap_or(PEDESTRIAN)
}

/// Takes out of `tracks` what the best assignment puts on a distractor.
fn leave_out_distracted(truth: &[Row], tracks: &mut Vec<Row>) {
    let score = Costs::from_fn(truth.len(), tracks.len(), |row, column| {
        let overlap = truth[row].tracked.iou(&tracks[column].tracked);
        if overlap < MATCH_IOU - f64::EPSILON { 0.0 } else { -overlap }
    });
    let mut distracted = vec![false; tracks.len()];
    for (row, column) in crouse(&score).into_iter().enumerate() {
        if let Some(column) = column.filter(|&column| -score.at(row, column) > f64::EPSILON) {
            distracted[column] = DISTRACTORS.contains(&class_of(&truth[row]));
        }
    }
    let mut at = 0;
    tracks.retain(|_| {
        at += 1;
        !distracted[at - 1]
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        parse(text, Path::new("gt.txt")).unwrap_err().to_string()
    }

    #[test]
    fn columns_are_read() {
        let boxes = parse("2,7,10.5,20,30,40,0.9,-1,-1,-1\n\n1 3 1 2 3 4\n", Path::new("p.txt")).unwrap();
        assert_eq!(boxes.frames.len(), 2);
        assert_eq!(boxes.frames[0][0].tracked.id, 3);
        let row = boxes.frames[1][0];
        assert_eq!((row.tracked.left, row.confidence, row.class), (10.5, 0.9, None));
        assert_eq!(parse("1,2,3,4,5,6,1,8", Path::new("p")).unwrap().frames[0][0].class, Some(8));
    }

    #[test]
    fn errors_name_path_and_line() {
        let tail = "; a line is `frame,identity,left,top,width,height,...`";
        assert_eq!(
            refused("1,1,0,0,5,5\n1,2,x,0,5,5"),
            format!("gt.txt, line 2: the left edge `x` is not a number{tail}")
        );
        assert_eq!(refused("1,1,0,0,5"), format!("gt.txt, line 1: 5 columns instead of at least 6{tail}"));
        assert_eq!(
            refused("0,1,0,0,5,5"),
            format!("gt.txt, line 1: the frame is 0 and not a whole number from 1 on{tail}")
        );
        assert_eq!(
            refused("1,1.5,0,0,5,5"),
            format!("gt.txt, line 1: the identity is 1.5 and not a whole number from 0 on{tail}")
        );
        assert_eq!(refused("1,1,0,NaN,5,5"), format!("gt.txt, line 1: the top edge is NaN{tail}"));
        assert_eq!(refused("1,1,0,0,-5,5"), format!("gt.txt, line 1: the width is -5, below 0{tail}"));
        assert_eq!(
            refused("1,4,0,0,5,5\n\n1,4,9,9,5,5"),
            "gt.txt, line 3: identity 4 was in frame 1 before, in line 1; an identity can be in one place only"
        );
    }

    #[test]
    fn distractors_do_no_harm() {
        let truth =
            parse("1,1,0,0,10,10,1,1\n1,2,50,0,10,10,1,8\n1,3,90,0,10,10,0,1\n", Path::new("t")).unwrap();
        let tracks = parse("1,1,0,0,10,10,1\n1,2,50,0,10,10,1\n", Path::new("p")).unwrap();
        let scores = evaluate(&truth, &tracks);
        assert_eq!((scores.tp, scores.fp, scores.fn_, scores.hota), (1, 0, 0, 1.0));
        let raw = TrackingScores::of(&prepare(&truth, &tracks, false));
        assert_eq!((raw.tp, raw.fp, raw.fn_), (2, 0, 0));
    }
}
