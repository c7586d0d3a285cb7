//! Boxes and identities as MOTChallenge writes them, for videos of the user's own.
//!
//! A line is `frame,id,x,y,width,height[,confidence[,class[,visibility[,..]]]]`: frames count from 1, pixels
//! as they are written. Rows of confidence 0 and of classes other than 1 (pedestrians) are not people to be
//! found and are passed over, as TrackEval does. Single pictures are frames as well, each of a size of its own.
//! Must not know videos.

use super::DatasetError;
use super::truth::TruthPerson;
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
    /// Only where people are: an identity of -1 is a number within its frame.
    Boxes,
}

/// The people of each frame with any, frames counted from 0.
///
/// # Errors
/// At the first line that cannot be right: the file, the line and what is wrong.
pub fn parse(
    text: &str,
    path: &Path,
    bounds: Bounds,
    purpose: Use,
) -> Result<BTreeMap<usize, Vec<TruthPerson>>, DatasetError> {
    let mut frames: BTreeMap<usize, Vec<TruthPerson>> = BTreeMap::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |message: String| DatasetError::wrong(path, index + 1, message);
        let Some(row) = row(line, bounds).map_err(wrong)? else { continue };
        let people = frames.entry(row.frame).or_default();
        let id = match (row.id, purpose) {
            (Some(id), _) => id,
            (None, Use::Boxes) => people.len() as u32,
            (None, Use::Truth) => {
                return Err(wrong("an identity must be 0 or more; -1 will do for `boxes` only".into()));
            }
        };
        if purpose == Use::Truth && people.iter().any(|person| person.id == id) {
            return Err(wrong(format!("identity {id} is in frame {} already", row.frame + 1)));
        }
        people.push(TruthPerson {
            id,
            bbox: row.bbox,
            visible_bbox: None,
            visible_share: row.visibility,
            body: None,
        });
    }
    Ok(frames)
}

struct Row {
    frame: usize,
    id: Option<u32>,
    bbox: BBox,
    visibility: Option<f32>,
}

/// One line; `None` for one that is to be passed over.
fn row(line: &str, bounds: Bounds) -> Result<Option<Row>, String> {
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    if !(6..=10).contains(&fields.len()) {
        return Err(format!(
            "{} columns; MOTChallenge has 6 to 10: frame,id,x,y,width,height,confidence,class,visibility",
            fields.len()
        ));
    }
    let number = |column: usize, name: &str| -> Result<f64, String> {
        let value: f64 =
            fields[column].parse().map_err(|_| format!("{name} is not a number: `{}`", fields[column]))?;
        if value.is_finite() { Ok(value) } else { Err(format!("{name} is {value}")) }
    };
    let whole = |column: usize, name: &str| -> Result<i64, String> {
        let value = number(column, name)?;
        let fits = value == libm::trunc(value) && value.abs() < 4e9;
        if fits { Ok(value as i64) } else { Err(format!("{name} is not a whole number: {value}")) }
    };
    let frame = whole(0, "the frame")?;
    if frame < 1 || frame > bounds.frames as i64 {
        let of = if bounds.size.is_some() { "in the video" } else { "a picture that is given" };
        return Err(format!("frame {frame} is not {of}: frames count from 1 to {}", bounds.frames));
    }
    let id = u32::try_from(whole(1, "the identity")?).ok();
    let [x, y, width, height] = [number(2, "x")?, number(3, "y")?, number(4, "width")?, number(5, "height")?];
    if width <= 0.0 || height <= 0.0 {
        return Err(format!("a box of {width} x {height} pixels"));
    }
    let optional = |column: usize, name: &str| -> Result<Option<f64>, String> {
        if column < fields.len() { number(column, name).map(Some) } else { Ok(None) }
    };
    let (confidence, class) = (optional(6, "the confidence")?, optional(7, "the class")?);
    // detections have -1 in the columns that are unknown
    let visibility = optional(8, "the visibility")?.filter(|share| *share >= 0.0);
    if confidence == Some(0.0) || class.is_some_and(|class| class > 0.0 && class != 1.0) {
        return Ok(None);
    }
    let bbox = BBox { x1: x as f32, y1: y as f32, x2: (x + width) as f32, y2: (y + height) as f32 };
    if let Some((across, down)) = bounds.size.filter(|&(across, down)| bbox.inside(across, down).is_none()) {
        return Err(format!("the box {x},{y},{width},{height} is outside the picture of {across}x{down}"));
    }
    Ok(Some(Row { frame: frame as usize - 1, id, bbox, visibility: visibility.map(|share| share as f32) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { size: Some((640, 360)), frames: 10 };

    fn read(text: &str, purpose: Use) -> Result<BTreeMap<usize, Vec<TruthPerson>>, String> {
        parse(text, Path::new("gt.txt"), BOUNDS, purpose).map_err(|error| error.to_string())
    }

    #[test]
    fn rows_of_every_length_are_read() {
        let text = "1,7,10,20,30,40\n\n1,8,-5,0,50.5,60,1,1,0.25\n3,7,1,1,2,2,0,1,1\n3,9,1,1,2,2,1,3,1\n4,7,0,0,9,9,0.5,-1,-1,-1\n";
        let frames = read(text, Use::Truth).unwrap();
        assert_eq!(frames.keys().copied().collect::<Vec<_>>(), [0, 3]);
        assert_eq!(frames[&0][0].bbox, BBox { x1: 10.0, y1: 20.0, x2: 40.0, y2: 60.0 });
        assert_eq!(frames[&0][1].visible_share, Some(0.25));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, message) in [
            ("1,1,1,1,2\n", "gt.txt:1: 5 columns"),
            ("1,1,1,1,2,2\n1,2,NaN,1,2,2", "gt.txt:2: x is NaN"),
            ("1,1,one,1,2,2", "x is not a number: `one`"),
            ("0,1,1,1,2,2", "frame 0 is not in the video: frames count from 1 to 10"),
            ("11,1,1,1,2,2", "frame 11 is not in the video"),
            ("1.5,1,1,1,2,2", "the frame is not a whole number"),
            ("1,1,1,1,2,2\n2,1,1,1,2,2\n1,1,5,5,2,2", "gt.txt:3: identity 1 is in frame 1 already"),
            ("1,1,700,1,2,2", "outside the picture of 640x360"),
            ("1,1,1,1,0,2", "a box of 0 x 2 pixels"),
            ("1,-1,1,1,2,2", "an identity must be 0 or more"),
        ] {
            let error = read(text, Use::Truth).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn boxes_need_no_identity() {
        let frames = read("1,-1,1,1,2,2,0.9\n1,-1,5,5,2,2,0.8\n", Use::Boxes).unwrap();
        assert_eq!(frames[&0].iter().map(|person| person.id).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn pictures_have_sizes_of_their_own() {
        let bounds = Bounds { size: None, frames: 2 };
        let read = |text| parse(text, Path::new("boxes.txt"), bounds, Use::Boxes);
        assert_eq!(read("2,-1,9000,1,20,20").unwrap()[&1][0].bbox.x2, 9020.0);
        let message = read("3,-1,1,1,2,2").unwrap_err().to_string();
        assert!(message.contains("frame 3 is not a picture that is given"), "{message}");
    }
}
