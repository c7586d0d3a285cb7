//! Boxes and identities as MOTChallenge writes them, for videos and pictures of the user's own.
//!
//! The lines are read by `motchallenge`, whatever is scored or tracked. Here they are held against the video, and
//! rows that are no people to be found are left out, with a word ([`Read::notes`]): other classes than pedestrians,
//! truth whose flag is 0, boxes without an area or wholly outside the picture. Single pictures are frames as well,
//! each of a size of its own. Must not know videos.

use super::DatasetError;
use super::truth::{PassedOver, TruthPerson};
use crate::motchallenge::{Benchmark, File, Kind, MotError, Role, Row, Taken, Text};
use crate::person::BBox;
use std::collections::BTreeMap;
use std::path::Path;

/// What is known of the video that the boxes belong to.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Width and height of every frame, pixels; `None` where each is a picture of its own size: then whoever
    /// reads the boxes holds them against it.
    pub size: Option<(usize, usize)>,
    pub frames: usize,
}

/// What the boxes are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Identities are needed, each once a frame.
    Truth,
    /// Only where people are: an identity of -1 is a number within its frame, and column 7 is a score.
    Boxes,
}

/// What a file says, frames counted from 0.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Read {
    /// The people of each frame with any.
    pub people: BTreeMap<usize, Vec<TruthPerson>>,
    /// What is no person to be found, of each frame with any: tracks that lie on a distractor do no harm.
    pub passed_over: BTreeMap<usize, Vec<PassedOver>>,
    /// What a person should know about how it was read.
    pub notes: Vec<String>,
}

/// Reads the file at `path`, by the rules of `benchmark` or those of the benchmark that path or columns tell.
///
/// # Errors
/// If the file cannot be read, or at the first line that cannot be right: the file, the line and what is wrong.
pub fn read(
    path: &Path,
    bounds: Bounds,
    purpose: Use,
    benchmark: Option<Benchmark>,
) -> Result<Read, DatasetError> {
    sort_out(&File::read(path)?, bounds, purpose, benchmark)
}

/// [`read`] of a text that is there already; `path` is for errors and notes.
///
/// # Errors
/// As [`read`].
pub fn parse(
    text: Text,
    path: &Path,
    bounds: Bounds,
    purpose: Use,
    benchmark: Option<Benchmark>,
) -> Result<Read, DatasetError> {
    sort_out(&File::parse(text, path)?, bounds, purpose, benchmark)
}

impl From<MotError> for DatasetError {
    fn from(error: MotError) -> DatasetError {
        match error {
            MotError::Io { path, source } => DatasetError::Io { what: "read", path, source },
            MotError::File { path, problem } => DatasetError::Invalid { path, message: problem },
            MotError::Line { path, line, problem } => DatasetError::wrong(&path, line, problem),
            MotError::Twice { path, line, first, frame, id } => {
                let message = format!("identity {id} is in frame {frame} already, by line {first}");
                DatasetError::wrong(&path, line, message)
            }
        }
    }
}

fn sort_out(
    file: &File,
    bounds: Bounds,
    purpose: Use,
    benchmark: Option<Benchmark>,
) -> Result<Read, DatasetError> {
    if purpose == Use::Truth {
        file.check_identities()?;
    }
    if file.is_in_shares() {
        let message =
            "all boxes lie between 0 and 1: shares of the picture; give pixels (times its width and height)";
        return Err(DatasetError::wrong(&file.path, file.rows[0].line, message));
    }
    let taken = Taken::of(benchmark, file);
    // a truth that serves as boxes is still marked as a truth is
    let role = if purpose == Use::Truth || file.has_flags() { Role::Truth } else { Role::Boxes };
    let mut left_out = LeftOut { zero_scores_kept: role == Role::Boxes, ..LeftOut::default() };
    let mut read = Read { notes: file.notes.clone(), ..Read::default() };
    for row in &file.rows {
        let wrong = |message: String| DatasetError::wrong(&file.path, row.line, message);
        let at = frame(row, bounds).map_err(wrong)?;
        let kind = taken.benchmark.kind(row, role).map_err(wrong)?;
        let bbox = bbox(row);
        if left_out.counts(row, kind, &bbox, bounds) {
            let people = read.people.entry(at).or_default();
            let id = id(row, purpose, people.len()).map_err(wrong)?;
            let visible_share = visible_share(row, taken.benchmark);
            people.push(TruthPerson { id, bbox, visible_bbox: None, visible_share, body: None });
        } else if kind != Kind::Person {
            let distractor = matches!(kind, Kind::Distractor(_));
            read.passed_over.entry(at).or_default().push(PassedOver { bbox, distractor });
        }
    }
    if file.has_classes() {
        read.notes.extend(taken.note(&file.path, "benchmark=NAME"));
    }
    read.notes.extend(left_out.notes(file, bounds));
    Ok(read)
}

/// The frame of a row, from 0.
fn frame(row: &Row, bounds: Bounds) -> Result<usize, String> {
    let frame = row.frame;
    if frame > bounds.frames as u64 {
        let of = if bounds.size.is_some() { "in the video" } else { "a picture that is given" };
        return Err(format!("frame {frame} is not {of}: frames count from 1 to {}", bounds.frames));
    }
    Ok(frame as usize - 1)
}

/// The identity of a person that is the frame's `number`-th.
fn id(row: &Row, purpose: Use, number: usize) -> Result<u32, String> {
    match (u32::try_from(row.id), purpose) {
        (Ok(id), _) => Ok(id),
        (Err(_), Use::Boxes) => Ok(number as u32),
        (Err(_), Use::Truth) => Err(format!(
            "identity {} is beyond {}, the largest here; number the people anew",
            row.id,
            u32::MAX
        )),
    }
}

fn bbox(row: &Row) -> BBox {
    let &Row { left, top, width, height, .. } = row;
    BBox { x1: left as f32, y1: top as f32, x2: (left + width) as f32, y2: (top + height) as f32 }
}

/// Column 9 is no share in MOT15, and -1 where it is unknown.
fn visible_share(row: &Row, benchmark: Benchmark) -> Option<f32> {
    let share = row.visibility.filter(|share| benchmark != Benchmark::Mot15 && *share >= 0.0);
    share.map(|share| share as f32)
}

/// How many rows are no people to be found, and why.
#[derive(Default)]
struct LeftOut {
    classes: BTreeMap<i64, usize>,
    flagged: usize,
    /// Rows of confidence 0 that are kept.
    zero_scores: usize,
    zero_scores_kept: bool,
    /// Each with the first line.
    empty: Option<(usize, usize)>,
    outside: Option<(usize, usize)>,
    kept: usize,
}

impl LeftOut {
    /// Whether the row is a person to be found; if not, it is counted.
    fn counts(&mut self, row: &Row, kind: Kind, bbox: &BBox, bounds: Bounds) -> bool {
        let one_more = |of: &mut Option<(usize, usize)>| {
            let (count, _) = of.get_or_insert((0, row.line));
            *count += 1;
            false
        };
        match kind {
            Kind::Flagged => {
                self.flagged += 1;
                return false;
            }
            Kind::Distractor(class) | Kind::Other(class) => {
                *self.classes.entry(class).or_default() += 1;
                return false;
            }
            Kind::Person => {}
        }
        // of a box far away single precision may have lost the width
        if bbox.area() <= 0.0 {
            return one_more(&mut self.empty);
        }
        if bounds.size.is_some_and(|(width, height)| bbox.inside(width, height).is_none()) {
            return one_more(&mut self.outside);
        }
        self.zero_scores += usize::from(self.zero_scores_kept && row.confidence == Some(0.0));
        self.kept += 1;
        true
    }

    fn notes(&self, file: &File, bounds: Bounds) -> Vec<String> {
        let mut notes = Vec::new();
        let (path, kept) = (file.path.display(), self.kept);
        if !self.classes.is_empty() {
            let classes: Vec<String> = self
                .classes
                .iter()
                .map(|(class, rows)| format!("class {class} ({})", counted(*rows, "row")))
                .collect();
            let classes = classes.join(", ");
            notes.push(format!(
                "{path}: {classes} left out; class 1 and rows without a class are people ({} kept)",
                counted(kept, "row")
            ));
        }
        if self.flagged > 0 {
            let rows = counted(self.flagged, "row");
            notes.push(format!(
                "{path}: {rows} left out whose confidence is 0: in a truth that is a mark to ignore them"
            ));
        }
        if self.zero_scores > 0 {
            let rows = counted(self.zero_scores, "row");
            notes.push(format!("{path}: {rows} of confidence 0 kept: in detections that is a score"));
        }
        if let Some((count, line)) = self.empty {
            let boxes = counted(count, "box");
            notes.push(format!(
                "{path}: {boxes} without width or height passed over (the first in line {line})"
            ));
        }
        if let (Some((count, line)), Some((width, height))) = (self.outside, bounds.size) {
            let boxes = counted(count, "box");
            notes.push(format!(
                "{path}: {boxes} wholly outside the picture of {width}x{height} passed over (the first in line {line})"
            ));
        }
        if kept == 0 && !file.rows.is_empty() {
            notes.push(format!("{path}: nobody is left of {}", counted(file.rows.len(), "row")));
        }
        notes
    }
}

/// `1 box`, `2 boxes`.
fn counted(count: usize, what: &str) -> String {
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

    const BOUNDS: Bounds = Bounds { size: Some((640, 360)), frames: 10 };

    fn read_as(text: &str, purpose: Use, benchmark: Option<Benchmark>) -> Result<Read, String> {
        let path = Path::new("/videos/gt.txt");
        let text = Text::decode(text.as_bytes(), path).map_err(|error| error.to_string())?;
        parse(text, path, BOUNDS, purpose, benchmark).map_err(|error| error.to_string())
    }

    fn read(text: &str, purpose: Use) -> Result<Read, String> {
        read_as(text, purpose, None)
    }

    fn counts(read: &Read) -> Vec<(usize, usize)> {
        read.people.iter().map(|(frame, people)| (*frame, people.len())).collect()
    }

    #[test]
    fn rows_of_every_length_are_read() {
        let text = "1,7,10,20,30,40\n\n1,8,-5,0,50.5,60,1,1,0.25\n3,7,1,1,2,2,0,1,1\n3,9,1,1,2,2,1,3,1\n4,7,0,0,9,9,1,-1,-1,-1,7\n";
        let read = read(text, Use::Truth).unwrap();
        assert_eq!(counts(&read), [(0, 2), (3, 1)]);
        assert_eq!(read.people[&0][0].bbox, BBox { x1: 10.0, y1: 20.0, x2: 40.0, y2: 60.0 });
        assert_eq!(read.people[&0][1].visible_share, Some(0.25));
        let said = read.notes.join("\n");
        assert!(said.contains("line 6: 11 columns"), "{said}");
        assert!(said.contains("class 3 (1 row) left out") && said.contains("3 rows kept"), "{said}");
        assert!(said.contains("1 row left out whose confidence is 0"), "{said}");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
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
                "gt.txt:3: identity 1 is in frame 1 already, by line 1",
            ),
            ("1,1,1,1,-3,2", "the width is -3, below 0"),
            ("1,1,1e300,1,2,2", "no picture reaches there"),
            ("1,-1,1,1,2,2", "an identity must be 0 or more"),
            ("1,5000000000,1,1,2,2", "identity 5000000000 is beyond 4294967295"),
            ("1,1,1,1,2,2,1,19,1", "class 19, and there are 1 (pedestrians) to 13"),
            ("1,1,0.1,0.2,0.5,0.5\n1,2,0.3,0.2,0.5,0.5", "gt.txt:1: all boxes lie between 0 and 1"),
        ] {
            let error = read(text, Use::Truth).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn boxes_need_no_identity() {
        let read = read("1,-1,1,1,2,2,0.9\n1,-1,5,5,2,2,0\n1,-1,5,5,2,2,-0.5\n", Use::Boxes).unwrap();
        assert_eq!(read.people[&0].iter().map(|person| person.id).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(read.notes, ["/videos/gt.txt: 1 row of confidence 0 kept: in detections that is a score"]);
    }

    #[test]
    fn one_bad_box_does_not_refuse_the_others() {
        let text = "1,1,10,10,20,20\n1,2,700,1,20,20\n2,1,-100,1,20,20\n2,2,630,1,20,20\n3,1,1,1,0,9\n";
        for purpose in [Use::Truth, Use::Boxes] {
            let read = read(text, purpose).unwrap();
            assert_eq!(counts(&read), [(0, 1), (1, 1)]);
            let outside = "2 boxes wholly outside the picture of 640x360 passed over (the first in line 2)";
            assert!(read.notes.iter().any(|note| note.contains(outside)), "{:?}", read.notes);
            let empty = "1 box without width or height passed over (the first in line 5)";
            assert!(read.notes.iter().any(|note| note.contains(empty)), "{:?}", read.notes);
        }
    }

    #[test]
    fn classes_that_are_left_out_are_named() {
        let read = read("1,-1,1,1,9,9,0.9,2\n1,-1,5,5,9,9,0.8,2\n2,-1,5,5,9,9,0.8,3\n", Use::Boxes).unwrap();
        assert!(read.people.is_empty());
        let said = read.notes.join("\n");
        assert!(said.contains("class 2 (2 rows), class 3 (1 row) left out; class 1"), "{said}");
        assert!(said.contains("nobody is left of 3 rows"), "{said}");
    }

    #[test]
    fn benchmarks_differ_in_what_columns_mean() {
        // places in the world, which look like classes here and there
        let places = "1,1,10,10,20,40,1,-0.42,-1.6,0\n1,2,100,10,20,40,1,8,2.5,0\n1,3,200,10,20,40,0,1,1,0\n";
        let read = read_as(places, Use::Truth, Some(Benchmark::Mot15)).unwrap();
        assert_eq!((counts(&read), read.people[&0][1].visible_share), (vec![(0, 2)], None));
        let by_columns = read_as(places, Use::Truth, None).unwrap();
        assert_eq!(counts(&by_columns), [(0, 2)]);
        assert!(
            by_columns.notes[0].contains("is taken for mot15's: it has ten columns"),
            "{:?}",
            by_columns.notes
        );
        // as boxes the flags still hold
        assert_eq!(counts(&read_as(places, Use::Boxes, None).unwrap()), [(0, 2)]);
        let crowd =
            "1,1,10,10,20,40,1,1,1\n1,2,100,10,20,40,0,6,1\n1,3,200,10,20,40,0,7,1\n1,4,300,10,20,40,0,3,1\n";
        for (benchmark, distractors) in [(Benchmark::Mot17, 1), (Benchmark::Mot20, 2)] {
            let read = read_as(crowd, Use::Truth, Some(benchmark)).unwrap();
            assert_eq!((counts(&read), read.passed_over[&0].len()), (vec![(0, 1)], 3));
            assert_eq!(read.passed_over[&0].iter().filter(|of| of.distractor).count(), distractors);
        }
    }

    #[test]
    fn pictures_have_sizes_of_their_own() {
        let bounds = Bounds { size: None, frames: 2 };
        let read = |text: &str| {
            let path = Path::new("boxes.txt");
            parse(Text::decode(text.as_bytes(), path).unwrap(), path, bounds, Use::Boxes, None)
        };
        assert_eq!(read("2,-1,9000,1,20,20").unwrap().people[&1][0].bbox.x2, 9020.0);
        let message = read("3,-1,1,1,2,2").unwrap_err().to_string();
        assert!(message.contains("frame 3 is not a picture that is given"), "{message}");
    }
}
