//! Where the people of a picture are, by what is given.

use crate::dataset::DatasetError;
use crate::dataset::mot::{self, Bounds, Use};
use crate::motchallenge::{Benchmark, MotError, Text};
use crate::person::BBox;
use crate::runner::RunnerError;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A box may be larger than its picture (people at its edge are), but not by more than this.
const LARGEST: f32 = 10.0;

/// What was given.
#[derive(Debug, Clone, PartialEq)]
pub enum Given {
    /// On the command line, for one picture.
    Inline(Vec<BBox>),
    /// In one file, by the number of the picture from 0.
    File(BTreeMap<usize, Vec<BBox>>),
    /// In a file beside each picture, if at all.
    Beside,
}

/// Who says where the people of a picture are.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The setting `boxes`.
    Setting,
    /// A file beside the picture.
    Beside(#[serde(serialize_with = "super::lossy")] PathBuf),
    /// NanoDet, since no boxes are given.
    Detector,
    /// Nobody: the whole picture is one person's box.
    WholePicture,
}

/// The boxes of one picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Boxes {
    pub boxes: Vec<BBox>,
    pub origin: Origin,
    /// What a person should know about how they were read.
    pub notes: Vec<String>,
}

/// Boxes of a file, by the number of the picture from 0, and notes about them.
type ByPicture = (BTreeMap<usize, Vec<BBox>>, Vec<String>);

impl Given {
    /// Reads the setting `boxes`: a file in MOTChallenge text in which frame n is the n-th picture, or
    /// `left,top,width,height;...` for a single picture. What should be known of a file is added to `notes`.
    ///
    /// # Errors
    /// If the file cannot be read, or it is neither.
    pub fn parse(
        text: &str,
        pictures: usize,
        benchmark: Option<Benchmark>,
        notes: &mut Vec<String>,
    ) -> Result<Given, RunnerError> {
        let path = Path::new(text);
        if path.is_file() {
            let bounds = Bounds { size: None, frames: pictures };
            let (boxes, said) = in_motchallenge(Text::read(path), path, bounds, benchmark)?;
            notes.extend(said);
            return Ok(Given::File(boxes));
        }
        if !text.contains(',') {
            let message =
                format!("boxes={text}: there is no such file; give one, or left,top,width,height;...");
            return Err(RunnerError::NoPicture(message));
        }
        if pictures != 1 {
            let message = format!(
                "boxes={text} are for one picture, and there are {pictures}; give a file of MOTChallenge text in \
                 which frame n is the n-th picture, or PICTURE.boxes.txt beside each"
            );
            return Err(RunnerError::NoPicture(message));
        }
        let boxes = text.split(';').filter(|one| !one.trim().is_empty()).map(plain);
        let boxes: Result<_, String> = boxes.collect();
        Ok(Given::Inline(boxes.map_err(|what| RunnerError::NoPicture(format!("boxes={text}: {what}")))?))
    }

    /// The boxes of the picture `number` from 0, of `width` by `height` pixels.
    ///
    /// # Errors
    /// If a file beside the picture cannot be read, or a box is none, absurdly large, or typed for this picture and
    /// outside of it: what is wrong, without the picture's path. Boxes of a file that lie outside are passed over.
    pub fn of(&self, number: usize, picture: &Path, width: usize, height: usize) -> Result<Boxes, String> {
        let mut notes = Vec::new();
        let (mut boxes, origin) = match self {
            Given::Inline(boxes) => (boxes.clone(), Origin::Setting),
            Given::File(all) => (all.get(&number).cloned().unwrap_or_default(), Origin::Setting),
            Given::Beside => match beside(picture) {
                Some(path) => {
                    let (boxes, said) = read_beside(&path).map_err(|error| error.to_string())?;
                    notes = said;
                    (boxes, Origin::Beside(path))
                }
                None => {
                    let whole = BBox { x1: 0.0, y1: 0.0, x2: width as f32, y2: height as f32 };
                    (vec![whole], Origin::WholePicture)
                }
            },
        };
        if !matches!(self, Given::Inline(_)) {
            let all = boxes.len();
            boxes.retain(|bbox| bbox.area() <= 0.0 || bbox.inside(width, height).is_some());
            let outside = all - boxes.len();
            if outside > 0 {
                notes.push(format!(
                    "{}: {outside} of {all} boxes passed over that lie wholly outside of its {width}x{height} pixels",
                    picture.display()
                ));
            }
        }
        boxes.iter().try_for_each(|bbox| check(bbox, width, height))?;
        Ok(Boxes { boxes, origin, notes })
    }
}

/// Whether there is a file of boxes beside a picture.
pub fn has_boxes_beside(picture: &Path) -> bool {
    beside(picture).is_some()
}

/// The file of boxes beside a picture, if there is one: `PICTURE.boxes.txt`, its ending left away or not.
fn beside(picture: &Path) -> Option<PathBuf> {
    let mut whole = picture.as_os_str().to_os_string();
    whole.push(".boxes.txt");
    let of_stem = picture.with_extension("boxes.txt");
    [PathBuf::from(whole), of_stem].into_iter().find(|path| path.is_file())
}

/// The boxes of a file beside a picture: lines of `left,top,width,height`, or MOTChallenge's with frame 1.
fn read_beside(path: &Path) -> Result<(Vec<BBox>, Vec<String>), RunnerError> {
    let text = Text::read(path).map_err(DatasetError::from)?;
    let columns = |line: &str| line.split([',', ';', '\t', ' ']).filter(|column| !column.is_empty()).count();
    if text.lines().any(|(_, line)| columns(line) > 4) {
        let bounds = Bounds { size: None, frames: 1 };
        let (mut frames, notes) = in_motchallenge(Ok(text), path, bounds, None)?;
        return Ok((frames.remove(&0).unwrap_or_default(), notes));
    }
    let plain = |(number, line): (usize, &str)| {
        let wrong = |what| RunnerError::NoPicture(format!("{}:{number}: {what}", path.display()));
        plain(line).map_err(wrong)
    };
    let boxes: Result<Vec<BBox>, RunnerError> = text.lines().map(plain).collect();
    Ok((boxes?, text.notes.clone()))
}

fn in_motchallenge(
    text: Result<Text, MotError>,
    path: &Path,
    bounds: Bounds,
    benchmark: Option<Benchmark>,
) -> Result<ByPicture, RunnerError> {
    let text = text.map_err(DatasetError::from)?;
    let read = mot::parse(text, path, bounds, Use::Boxes, benchmark)?;
    let boxes = read
        .people
        .into_iter()
        .map(|(frame, people)| (frame, people.into_iter().map(|person| person.bbox).collect()));
    Ok((boxes.collect(), read.notes))
}

/// `left,top,width,height` in pixels.
fn plain(text: &str) -> Result<BBox, String> {
    let text = text.trim();
    let parts = text.trim_end_matches([',', ';']).split([',', ';', '\t', ' ']);
    let fields: Vec<&str> =
        parts.map(|field| field.trim_matches(['"', '\''])).filter(|field| !field.is_empty()).collect();
    let &[left, top, width, height] = fields.as_slice() else {
        return Err(format!("`{text}` has {} numbers; a box has four: left,top,width,height", fields.len()));
    };
    let number = |field: &str| -> Result<f32, String> {
        let value: f32 = field.parse().map_err(|_| format!("`{field}` in `{text}` is not a number"))?;
        if value.is_finite() { Ok(value) } else { Err(format!("`{text}` is no box: {field} in it")) }
    };
    let [left, top, width, height] = [number(left)?, number(top)?, number(width)?, number(height)?];
    if width <= 0.0 || height <= 0.0 {
        return Err(format!("`{text}` is no box: {width} x {height} pixels (left,top,width,height)"));
    }
    Ok(BBox { x1: left, y1: top, x2: left + width, y2: top + height })
}

/// Whether a person can be seen in a box.
fn check(bbox: &BBox, width: usize, height: usize) -> Result<(), String> {
    let BBox { x1, y1, .. } = *bbox;
    let told = format!("the box {x1},{y1},{},{}", bbox.width(), bbox.height());
    // a sum of large numbers may have lost the smaller one
    if !(bbox.width() > 0.0 && bbox.height() > 0.0 && bbox.area().is_finite()) {
        return Err(format!("{told} has no area that can be calculated with"));
    }
    if bbox.inside(width, height).is_none() {
        return Err(format!("{told} lies outside of the picture of {width}x{height}"));
    }
    let largest = LARGEST * width.max(height) as f32;
    if bbox.width().max(bbox.height()) > largest {
        return Err(format!(
            "{told} is more than {LARGEST} times as large as the picture of {width}x{height}; nobody can be seen in it"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bbox(x1: f32, y1: f32, x2: f32, y2: f32) -> BBox {
        BBox { x1, y1, x2, y2 }
    }

    fn parse(text: &str, pictures: usize) -> Result<Given, RunnerError> {
        Given::parse(text, pictures, None, &mut Vec::new())
    }

    fn inline(text: &str) -> Result<Given, String> {
        parse(text, 1).map_err(|error| error.to_string())
    }

    #[test]
    fn boxes_on_the_command_line() {
        let boxes = vec![bbox(1.0, 2.0, 4.0, 6.0), bbox(-5.5, 0.0, 4.5, 20.0)];
        assert_eq!(inline("1,2,3,4; -5.5,0,10,20;").unwrap(), Given::Inline(boxes));
        for (text, message) in [
            ("1,2,3", "has 3 numbers"),
            ("1,2,3,4,5", "has 5 numbers"),
            ("1,2,x,4", "`x` in `1,2,x,4` is not a number"),
            ("1,2,nan,4", "is no box: nan"),
            ("inf,2,3,4", "is no box: inf"),
            ("1,2,0,4", "is no box: 0 x 4 pixels"),
            ("1,2,3,-4", "is no box: 3 x -4 pixels"),
            ("nowhere.txt", "there is no such file"),
        ] {
            let error = inline(text).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
        let message = parse("1,2,3,4", 2).unwrap_err().to_string();
        assert!(message.contains("are for one picture, and there are 2"), "{message}");
    }

    #[test]
    fn boxes_are_held_against_the_picture() {
        let of = |x: f32, y: f32, width: f32, height: f32| {
            let given = Given::Inline(vec![bbox(x, y, x + width, y + height)]);
            given.of(0, Path::new("a.png"), 640, 360).map(|boxes| boxes.boxes[0])
        };
        assert!(of(-20.0, -20.0, 100.0, 500.0).is_ok(), "people at the edge reach beyond it");
        assert!(of(600.0, 0.0, 6000.0, 10.0).is_ok());
        assert!(of(700.0, 0.0, 50.0, 50.0).unwrap_err().contains("outside of the picture of 640x360"));
        assert!(of(640.0, 0.0, 50.0, 50.0).unwrap_err().contains("outside"));
        assert!(of(0.0, 0.0, 6401.0, 50.0).unwrap_err().contains("more than 10 times"));
        assert!(of(1e30, 0.0, 5.0, 50.0).unwrap_err().contains("no area"));
        assert!(of(-1e30, -1e30, 3e30, 3e30).unwrap_err().contains("no area"));
    }

    #[test]
    fn boxes_in_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let all = file("all.txt", "1,-1,10,10,20,40\n3,-1,1,2,3,4\n3,-1,5,6,7,8,0.9\n");
        let given = parse(all.to_str().unwrap(), 3).unwrap();
        let count = |number| given.of(number, Path::new("a.png"), 99, 99).unwrap().boxes.len();
        assert_eq!([count(0), count(1), count(2)], [1, 0, 2]);
        let message = parse(all.to_str().unwrap(), 2).unwrap_err().to_string();
        assert!(message.contains("all.txt:2") && message.contains("frame 3"), "{message}");
        let outside = given.of(0, Path::new("a.png"), 9, 9).unwrap();
        assert!(
            outside.boxes.is_empty() && outside.notes[0].contains("1 of 1 boxes passed over"),
            "{outside:?}"
        );

        let picture = folder.path().join("a.png");
        let whole = Given::Beside.of(0, &picture, 30, 20).unwrap();
        assert_eq!(
            whole,
            Boxes { boxes: vec![bbox(0.0, 0.0, 30.0, 20.0)], origin: Origin::WholePicture, notes: vec![] }
        );
        file("a.boxes.txt", "1,2,3,4\n\n5,6,7,8\n");
        assert_eq!(Given::Beside.of(7, &picture, 30, 20).unwrap().boxes.len(), 2);
        let nearer = file("a.png.boxes.txt", "1,-1,1,2,3,4\n");
        let boxes = Given::Beside.of(0, &picture, 30, 20).unwrap();
        assert_eq!(
            boxes,
            Boxes {
                boxes: vec![bbox(1.0, 2.0, 4.0, 6.0)],
                origin: Origin::Beside(nearer.clone()),
                notes: vec![]
            }
        );
        std::fs::write(&nearer, "1,2,3,4\n1,2,3\n").unwrap();
        let message = Given::Beside.of(0, &picture, 30, 20).unwrap_err();
        assert!(message.contains("a.png.boxes.txt:2") && message.contains("has 3 numbers"), "{message}");
        std::fs::write(&nearer, "\u{feff}1;2;3;4\r1 2 3 4,\r\"1\"\t2\t3\t4\r90,2,3,4").unwrap();
        let boxes = Given::Beside.of(0, &picture, 30, 20).unwrap();
        assert_eq!(boxes.boxes, [bbox(1.0, 2.0, 4.0, 6.0); 3]);
        assert!(boxes.notes[0].contains("1 of 4 boxes passed over"), "{:?}", boxes.notes);
        std::fs::write(&nearer, "").unwrap();
        assert!(Given::Beside.of(0, &picture, 30, 20).unwrap().boxes.is_empty(), "nobody is there");
    }
}
