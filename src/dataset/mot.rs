//! Converts MOTChallenge files to ground truth and boxes of the user's videos and images.
//!
//! The text is parsed by `motchallenge`. Here rows are checked against the video, and rows that are not people to
//! be detected are skipped with a note ([`MotTruth::notes`]): other classes than pedestrian, ground truth with the
//! flag 0, boxes without an area or outside the image. Single images are frames as well, each with its own size.

use super::DatasetError;
use super::truth::IgnoredBox;
use posebook_core::frame::FrameSize;
use posebook_core::person::{BBox, InputBox};
use posebook_core::truth::TruthPerson;
use posebook_track::motchallenge::{
    Benchmark, BenchmarkChoice, BoxKind, DecodedText, MotError, MotFile, MotRow, Role,
};
use std::collections::BTreeMap;
use std::path::Path;

/// Size and length of the video that the boxes belong to.
#[derive(Debug, Clone, Copy)]
pub struct VideoExtent {
    /// Size of every frame; `None` for images of different sizes, which the caller checks.
    pub size: Option<FrameSize>,
    /// Number of frames.
    pub frames: usize,
}

/// Ground truth of a file, frames counted from 0.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MotTruth {
    /// People of each frame that has any.
    pub people: BTreeMap<usize, Vec<TruthPerson>>,
    /// Boxes that are not people to be detected, by frame; tracks on a distractor count neither way.
    pub ignored: BTreeMap<usize, Vec<IgnoredBox>>,
    /// Notes for the user on how the file was read.
    pub notes: Vec<String>,
}

/// Input boxes of a file, frames counted from 0.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MotBoxes {
    /// Boxes of each frame that has any.
    pub boxes: BTreeMap<usize, Vec<InputBox>>,
    /// Notes for the user on how the file was read.
    pub notes: Vec<String>,
}

/// Reads the file at `path` as ground truth, by the rules of `benchmark` or of the benchmark that its path or columns
/// indicate. Identities are required, each once per frame.
///
/// # Errors
/// If the file cannot be read, or a line is invalid: the file, the first such line and what is wrong.
pub fn read_truth(
    path: &Path,
    extent: VideoExtent,
    benchmark: Option<Benchmark>,
) -> Result<MotTruth, DatasetError> {
    to_truth(&MotFile::read(path)?, extent, benchmark)
}

/// Reads the file at `path` as input boxes, by the rules of `benchmark` or of the benchmark that its path or columns
/// indicate. An identity of -1 becomes the box's number within its frame, and column 7 is a score.
///
/// # Errors
/// As [`read_truth`].
pub fn read_boxes(
    path: &Path,
    extent: VideoExtent,
    benchmark: Option<Benchmark>,
) -> Result<MotBoxes, DatasetError> {
    to_boxes(&MotFile::read(path)?, extent, benchmark)
}

/// [`read_boxes`] for text in memory; `path` is for messages.
///
/// # Errors
/// As [`read_truth`].
pub fn parse_boxes(
    text: DecodedText,
    path: &Path,
    extent: VideoExtent,
    benchmark: Option<Benchmark>,
) -> Result<MotBoxes, DatasetError> {
    to_boxes(&MotFile::parse(text, path)?, extent, benchmark)
}

impl From<MotError> for DatasetError {
    fn from(error: MotError) -> DatasetError {
        match error {
            MotError::Io { path, source } => DatasetError::Io { what: "read", path, source },
            MotError::File { path, problem } => DatasetError::Invalid { path, message: problem },
            MotError::Line { path, line, problem } => DatasetError::at_line(&path, line, problem),
            MotError::DuplicateIdentity { path, line, first, frame, id } => {
                let message = format!("identity {id} is in frame {frame} already, in line {first}");
                DatasetError::at_line(&path, line, message)
            }
        }
    }
}

fn to_truth(
    file: &MotFile,
    extent: VideoExtent,
    benchmark: Option<Benchmark>,
) -> Result<MotTruth, DatasetError> {
    file.check_identities()?;
    let (mut people, mut ignored) = (BTreeMap::<_, Vec<_>>::new(), BTreeMap::<_, Vec<_>>::new());
    let notes = visit_rows(file, extent, benchmark, Role::Truth, |checked| {
        let CheckedRow { row, frame, bbox, kind, benchmark } = checked;
        if kind == BoxKind::Person {
            let id = u32::try_from(row.id).map_err(|_| {
                let (id, max) = (row.id, u32::MAX);
                format!("identity {id} exceeds {max}, the largest supported; renumber the identities")
            })?;
            let visible_share = visible_share(row, benchmark);
            let person = TruthPerson { id, bbox, visible_bbox: None, visible_share, body: None };
            people.entry(frame).or_default().push(person);
        } else {
            let distractor = matches!(kind, BoxKind::Distractor(_));
            ignored.entry(frame).or_default().push(IgnoredBox { bbox, distractor });
        }
        Ok(())
    })?;
    Ok(MotTruth { people, ignored, notes })
}

fn to_boxes(
    file: &MotFile,
    extent: VideoExtent,
    benchmark: Option<Benchmark>,
) -> Result<MotBoxes, DatasetError> {
    // ground truth that serves as boxes keeps the meaning of its flags
    let role = if file.has_flags() { Role::Truth } else { Role::Boxes };
    let mut boxes = BTreeMap::<_, Vec<_>>::new();
    let notes =
        visit_rows(file, extent, benchmark, role, |CheckedRow { row, frame, bbox, kind, .. }| {
            if kind == BoxKind::Person {
                let boxes = boxes.entry(frame).or_default();
                let id = u32::try_from(row.id).unwrap_or(boxes.len() as u32);
                let score = row.confidence.filter(|_| role == Role::Boxes).map(|score| score as f32);
                boxes.push(InputBox { id, bbox, score, mask: None });
            }
            Ok(())
        })?;
    Ok(MotBoxes { boxes, notes })
}

/// A row whose frame exists: a person inside the image, or a box that is not a person to be detected.
struct CheckedRow<'a> {
    row: &'a MotRow,
    frame: usize,
    bbox: BBox,
    kind: BoxKind,
    benchmark: Benchmark,
}

/// Calls `visit` with the rows that are not skipped, in the file's order. Returns notes on how the file was read.
fn visit_rows(
    file: &MotFile,
    extent: VideoExtent,
    benchmark: Option<Benchmark>,
    role: Role,
    mut visit: impl FnMut(CheckedRow) -> Result<(), String>,
) -> Result<Vec<String>, DatasetError> {
    if file.is_normalized() {
        let message = "all boxes are between 0 and 1 (normalized coordinates); multiply them by the image's width and height";
        return Err(DatasetError::at_line(&file.path, file.rows[0].line, message));
    }
    let choice = BenchmarkChoice::detect(benchmark, file);
    let benchmark = choice.benchmark;
    let mut skipped = SkippedRows { uses_zero_scores: role == Role::Boxes, ..SkippedRows::default() };
    for row in &file.rows {
        let at_line = |message: String| DatasetError::at_line(&file.path, row.line, message);
        let frame = frame(row, extent).map_err(at_line)?;
        let kind = benchmark.kind(row, role).map_err(at_line)?;
        let bbox = row.bbox.to_bbox();
        if skipped.accept(row, kind, &bbox, extent) || kind != BoxKind::Person {
            visit(CheckedRow { row, frame, bbox, kind, benchmark }).map_err(at_line)?;
        }
    }
    let mut notes = file.notes.clone();
    if file.has_classes() {
        notes.extend(choice.note(&file.path, "benchmark=NAME"));
    }
    notes.extend(skipped.notes(file, extent));
    Ok(notes)
}

/// Frame index of a row, from 0.
fn frame(row: &MotRow, extent: VideoExtent) -> Result<usize, String> {
    let frame = row.frame;
    if frame > extent.frames as u64 {
        let of = if extent.size.is_some() { "in the video" } else { "one of the given images" };
        return Err(format!("frame {frame} is not {of}: frames count from 1 to {}", extent.frames));
    }
    Ok(frame as usize - 1)
}

/// The visible share in column 9; `None` in MOT15, where it is a position, and where it is negative (unknown).
fn visible_share(row: &MotRow, benchmark: Benchmark) -> Option<f32> {
    let share = row.visibility.filter(|share| benchmark != Benchmark::Mot15 && *share >= 0.0);
    share.map(|share| share as f32)
}

/// Counts of skipped rows by reason.
#[derive(Default)]
struct SkippedRows {
    classes: BTreeMap<i64, usize>,
    flagged: usize,
    /// Rows of confidence 0 that are used.
    zero_scores: usize,
    uses_zero_scores: bool,
    /// Count and first line of boxes without an area, and of those outside the image.
    empty: Option<(usize, usize)>,
    outside: Option<(usize, usize)>,
    used: usize,
}

impl SkippedRows {
    /// Whether the row is a person to be detected; if not, it is counted.
    fn accept(&mut self, row: &MotRow, kind: BoxKind, bbox: &BBox, extent: VideoExtent) -> bool {
        let count_box = |of: &mut Option<(usize, usize)>| {
            let (count, _) = of.get_or_insert((0, row.line));
            *count += 1;
            false
        };
        match kind {
            BoxKind::Flagged => {
                self.flagged += 1;
                return false;
            }
            BoxKind::Distractor(class) | BoxKind::Other(class) => {
                *self.classes.entry(class).or_default() += 1;
                return false;
            }
            BoxKind::Person => {}
        }
        // for a distant box, single precision may have lost the width
        if bbox.area() <= 0.0 {
            return count_box(&mut self.empty);
        }
        if extent.size.is_some_and(|size| bbox.clipped_to(size.width, size.height).is_none()) {
            return count_box(&mut self.outside);
        }
        self.zero_scores += usize::from(self.uses_zero_scores && row.confidence == Some(0.0));
        self.used += 1;
        true
    }

    fn notes(&self, file: &MotFile, extent: VideoExtent) -> Vec<String> {
        let mut notes = Vec::new();
        let (path, used) = (file.path.display(), self.used);
        if !self.classes.is_empty() {
            let classes: Vec<String> = self
                .classes
                .iter()
                .map(|(class, rows)| format!("class {class} ({})", pluralize(*rows, "row")))
                .collect();
            let classes = classes.join(", ");
            notes.push(format!(
                "{path}: {classes} skipped; class 1 and rows without a class are people ({} used)",
                pluralize(used, "row")
            ));
        }
        if self.flagged > 0 {
            let rows = pluralize(self.flagged, "row");
            notes.push(format!(
                "{path}: {rows} skipped whose confidence is 0, which marks ignored boxes in ground truth"
            ));
        }
        if self.zero_scores > 0 {
            let rows = pluralize(self.zero_scores, "row");
            notes.push(format!("{path}: {rows} of confidence 0 used: in detections it is a score"));
        }
        if let Some((count, line)) = self.empty {
            let boxes = pluralize(count, "box");
            notes.push(format!("{path}: {boxes} without width or height skipped (the first in line {line})"));
        }
        if let (Some((count, line)), Some(size)) = (self.outside, extent.size) {
            let boxes = pluralize(count, "box");
            notes.push(format!(
                "{path}: {boxes} outside the image of {size} skipped (the first in line {line})"
            ));
        }
        if used == 0 && !file.rows.is_empty() {
            notes.push(format!("{path}: no people are left of {}", pluralize(file.rows.len(), "row")));
        }
        notes
    }
}

/// Count and noun: `1 box`, `2 boxes`.
fn pluralize(count: usize, what: &str) -> String {
    let ending = match (count, what.ends_with('x')) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{count} {what}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXTENT: VideoExtent = VideoExtent { size: Some(FrameSize::new(640, 360)), frames: 10 };

    fn file(text: &str) -> MotFile {
        let path = Path::new("/videos/gt.txt");
        MotFile::parse(DecodedText::decode(text.as_bytes(), path).unwrap(), path).unwrap()
    }

    fn truth(text: &str, benchmark: Option<Benchmark>) -> MotTruth {
        to_truth(&file(text), EXTENT, benchmark).unwrap()
    }

    fn boxes(text: &str) -> MotBoxes {
        to_boxes(&file(text), EXTENT, None).unwrap()
    }

    /// Frames and their numbers of people or boxes.
    fn counts<T>(by_frame: &BTreeMap<usize, Vec<T>>) -> Vec<(usize, usize)> {
        by_frame.iter().map(|(frame, all)| (*frame, all.len())).collect()
    }

    #[test]
    fn rows_of_every_length_are_read() {
        let text = "1,7,10,20,30,40\n\n1,8,-5,0,50.5,60,1,1,0.25\n3,7,1,1,2,2,0,1,1\n3,9,1,1,2,2,1,3,1\n4,7,0,0,9,9,1,-1,-1,-1,7\n";
        let read = truth(text, None);
        assert_eq!(counts(&read.people), [(0, 2), (3, 1)]);
        assert_eq!(read.people[&0][0].bbox, BBox { x1: 10.0, y1: 20.0, x2: 40.0, y2: 60.0 });
        assert_eq!(read.people[&0][1].visible_share, Some(0.25));
        let notes = read.notes.join("\n");
        assert!(notes.contains("line 6: 11 columns"), "{notes}");
        assert!(notes.contains("class 3 (1 row) skipped") && notes.contains("3 rows used"), "{notes}");
        assert!(notes.contains("1 row skipped whose confidence is 0"), "{notes}");
    }

    #[test]
    fn invalid_lines_are_errors_with_their_line() {
        for (text, message) in [
            ("1,1,1,1,2\n", "gt.txt:1: 5 columns"),
            ("1,1,1,1,2,2\n1,2,NaN,1,2,2", "gt.txt:2: the left edge is NaN"),
            ("1,1,one,1,2,2", "the left edge `one` is not a number"),
            ("0,1,1,1,2,2", "the frame is 0 and not a whole number from 1 on"),
            ("11,1,1,1,2,2", "frame 11 is not in the video: frames count from 1 to 10"),
            ("99999999,1,1,1,2,2", "frame 99999999 is not in the video"),
            ("1.5,1,1,1,2,2", "the frame is 1.5 and not a whole number"),
            (
                "1,1,1,1,2,2\r2,1,1,1,2,2\r1,1,5,5,2,2",
                "gt.txt:3: identity 1 is in frame 1 already, in line 1",
            ),
            ("1,1,1,1,-3,2", "the width is -3, below 0"),
            ("1,1,1e300,1,2,2", "larger than any image"),
            ("1,-1,1,1,2,2", "need identities of 0 or more"),
            ("1,5000000000,1,1,2,2", "identity 5000000000 exceeds 4294967295"),
            ("1,1,1,1,2,2,1,19,1", "class 19 does not exist; classes are 1 (pedestrian) to 13"),
            ("1,1,0.1,0.2,0.5,0.5\n1,2,0.3,0.2,0.5,0.5", "gt.txt:1: all boxes are between 0 and 1"),
        ] {
            let path = Path::new("/videos/gt.txt");
            let text = DecodedText::decode(text.as_bytes(), path).unwrap();
            let read = MotFile::parse(text, path).map_err(DatasetError::from);
            let read = read.and_then(|file| to_truth(&file, EXTENT, None));
            let error = read.unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn boxes_need_no_identity() {
        let read = boxes("1,-1,1,1,2,2,0.9\n1,-1,5,5,2,2,0\n1,7,5,5,2,2,-0.5\n1,-1,5,5,2,2\n");
        let ids_and_scores: Vec<_> = read.boxes[&0].iter().map(|of| (of.id, of.score)).collect();
        assert_eq!(ids_and_scores, [(0, Some(0.9)), (1, Some(0.0)), (7, Some(-0.5)), (3, None)]);
        assert_eq!(read.notes, ["/videos/gt.txt: 1 row of confidence 0 used: in detections it is a score"]);
    }

    #[test]
    fn one_invalid_box_does_not_reject_the_others() {
        let text = "1,1,10,10,20,20\n1,2,700,1,20,20\n2,1,-100,1,20,20\n2,2,630,1,20,20\n3,1,1,1,0,9\n";
        let (truth, boxes) = (truth(text, None), boxes(text));
        assert_eq!(counts(&truth.people), [(0, 1), (1, 1)]);
        assert_eq!(counts(&boxes.boxes), [(0, 1), (1, 1)]);
        for notes in [truth.notes, boxes.notes] {
            let outside = "2 boxes outside the image of 640x360 skipped (the first in line 2)";
            assert!(notes.iter().any(|note| note.contains(outside)), "{notes:?}");
            let empty = "1 box without width or height skipped (the first in line 5)";
            assert!(notes.iter().any(|note| note.contains(empty)), "{notes:?}");
        }
    }

    #[test]
    fn skipped_classes_are_named() {
        let read = boxes("1,-1,1,1,9,9,0.9,2\n1,-1,5,5,9,9,0.8,2\n2,-1,5,5,9,9,0.8,3\n");
        assert!(read.boxes.is_empty());
        let notes = read.notes.join("\n");
        assert!(notes.contains("class 2 (2 rows), class 3 (1 row) skipped; class 1"), "{notes}");
        assert!(notes.contains("no people are left of 3 rows"), "{notes}");
    }

    #[test]
    fn benchmarks_differ_in_what_columns_mean() {
        // world positions, some of which look like classes
        let places = "1,1,10,10,20,40,1,-0.42,-1.6,0\n1,2,100,10,20,40,1,8,2.5,0\n1,3,200,10,20,40,0,1,1,0\n";
        let read = truth(places, Some(Benchmark::Mot15));
        assert_eq!((counts(&read.people), read.people[&0][1].visible_share), (vec![(0, 2)], None));
        let by_columns = truth(places, None);
        assert_eq!(counts(&by_columns.people), [(0, 2)]);
        assert!(
            by_columns.notes[0].contains("is read by mot15's rules: it has ten columns"),
            "{:?}",
            by_columns.notes
        );
        // as boxes the flags still apply, and are not scores
        let as_boxes = boxes(places);
        assert_eq!((counts(&as_boxes.boxes), as_boxes.boxes[&0][0].score), (vec![(0, 2)], None));
        let crowd =
            "1,1,10,10,20,40,1,1,1\n1,2,100,10,20,40,0,6,1\n1,3,200,10,20,40,0,7,1\n1,4,300,10,20,40,0,3,1\n";
        for (benchmark, distractors) in [(Benchmark::Mot17, 1), (Benchmark::Mot20, 2)] {
            let read = truth(crowd, Some(benchmark));
            assert_eq!((counts(&read.people), read.ignored[&0].len()), (vec![(0, 1)], 3));
            assert_eq!(read.ignored[&0].iter().filter(|of| of.distractor).count(), distractors);
        }
    }

    #[test]
    fn images_have_individual_sizes() {
        let extent = VideoExtent { size: None, frames: 2 };
        let read = |text: &str| {
            let path = Path::new("boxes.txt");
            parse_boxes(DecodedText::decode(text.as_bytes(), path).unwrap(), path, extent, None)
        };
        assert_eq!(read("2,-1,9000,1,20,20").unwrap().boxes[&1][0].bbox.x2, 9020.0);
        let message = read("3,-1,1,1,2,2").unwrap_err().to_string();
        assert!(message.contains("frame 3 is not one of the given images"), "{message}");
    }
}
