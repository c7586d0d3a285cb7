//! The input boxes of an image: from the command line, from a file, or the whole image.

use crate::dataset::DatasetError;
use crate::dataset::coco;
use crate::dataset::mot::{self, VideoExtent};
use posebook_core::frame::FrameSize;
use posebook_core::person::{BBox, InputBox};
use posebook_track::motchallenge::{Benchmark, DecodedText, MotError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Largest side of a box as a multiple of the image's longer side. Boxes of people at the edge may exceed the image.
const MAX_RELATIVE_SIZE: f32 = 10.0;

/// Boxes are missing, malformed or do not fit the image.
#[derive(Debug, thiserror::Error)]
pub enum BoxesError {
    /// The value of `boxes` is neither a file nor boxes.
    #[error("boxes={text}: there is no such file; give one, or left,top,width,height;...")]
    NoFile {
        /// The value as written.
        text: String,
    },
    /// Boxes on the command line belong to one image.
    #[error(
        "boxes={text} are for one image, and there are {images}; give a file of MOTChallenge text in which frame n is \
         the n-th image, or IMAGE.boxes.txt next to each"
    )]
    SeveralImages {
        /// The value as written.
        text: String,
        /// Number of images.
        images: usize,
    },
    /// A box on the command line is malformed.
    #[error("boxes={text}: {problem}")]
    Inline {
        /// The value as written.
        text: String,
        /// What is wrong.
        problem: String,
    },
    /// A line of a file of boxes is malformed.
    #[error("{}:{line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// A file has detections of a video.
    #[error(
        "{path} has COCO's results, which are read for videos; for images give MOTChallenge text (`posebook detect FOLDER --as mot`)"
    )]
    Results {
        /// The file.
        path: PathBuf,
    },
    /// A box has no finite, positive area.
    #[error("the box {bbox} has no finite area")]
    NoArea {
        /// left,top,width,height.
        bbox: String,
    },
    /// A box is outside of the image.
    #[error("the box {bbox} is outside of the image of {image}")]
    Outside {
        /// left,top,width,height.
        bbox: String,
        /// Size of the image.
        image: FrameSize,
    },
    /// A box is much larger than the image.
    #[error("the box {bbox} is more than {MAX_RELATIVE_SIZE} times as large as the image of {image}")]
    TooLarge {
        /// left,top,width,height.
        bbox: String,
        /// Size of the image.
        image: FrameSize,
    },
    /// A file in MOTChallenge format is invalid.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
}

/// Boxes that the user provided.
#[derive(Debug, Clone, PartialEq)]
pub enum ProvidedBoxes {
    /// On the command line, for one image.
    Inline(Vec<BBox>),
    /// In one file for all images, by index of the image.
    File(BTreeMap<usize, Vec<BBox>>),
    /// In a file next to each image, where there is one.
    PerImage,
}

/// Origin of an image's boxes.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BoxOrigin {
    /// The setting `boxes`.
    Setting,
    /// A file next to the image.
    #[serde(rename = "beside")]
    PerImage(#[serde(serialize_with = "super::serialize::serialize_path")] PathBuf),
    /// The detector, because no boxes are provided.
    Detector,
    /// No boxes and no detector: the whole image is one person's box.
    #[serde(rename = "whole_picture")]
    WholeImage,
}

/// The boxes of one image.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageBoxes {
    /// The boxes, pixels.
    pub boxes: Vec<BBox>,
    /// Where they come from.
    pub origin: BoxOrigin,
    /// Notes for the user about how they were read.
    pub notes: Vec<String>,
}

/// Boxes of a file by index of the image, and notes about them.
type BoxesByImage = (BTreeMap<usize, Vec<BBox>>, Vec<String>);

impl ProvidedBoxes {
    /// Parses the setting `boxes`: a file in MOTChallenge format in which frame n is the n-th image, or
    /// `left,top,width,height;...` for a single image. Notes about the file are added to `notes`.
    ///
    /// # Errors
    /// If the file cannot be read, or it is neither.
    pub fn parse(
        text: &str,
        images: usize,
        benchmark: Option<Benchmark>,
        notes: &mut Vec<String>,
    ) -> Result<ProvidedBoxes, BoxesError> {
        let path = Path::new(text);
        if path.is_file() {
            if coco::is_results(path)? {
                return Err(BoxesError::Results { path: path.to_path_buf() });
            }
            let bounds = VideoExtent { size: None, frames: images };
            let (boxes, file_notes) = parse_motchallenge(DecodedText::read(path), path, bounds, benchmark)?;
            notes.extend(file_notes);
            return Ok(ProvidedBoxes::File(boxes));
        }
        if !text.contains(',') {
            return Err(BoxesError::NoFile { text: text.to_string() });
        }
        if images != 1 {
            return Err(BoxesError::SeveralImages { text: text.to_string(), images });
        }
        let boxes = text.split(';').filter(|part| !part.trim().is_empty()).map(parse_box);
        let boxes: Result<_, String> = boxes.collect();
        let boxes = boxes.map_err(|problem| BoxesError::Inline { text: text.to_string(), problem })?;
        Ok(ProvidedBoxes::Inline(boxes))
    }

    /// The boxes of the image with this index and path. Boxes of a file that lie outside of the image are skipped, with a
    /// note.
    ///
    /// # Errors
    /// If a file next to the image cannot be read, or a box is empty, much too large, or given on the command line and
    /// outside of the image.
    pub fn for_image(&self, index: usize, image: &Path, size: FrameSize) -> Result<ImageBoxes, BoxesError> {
        let mut notes = Vec::new();
        let (mut boxes, origin) = match self {
            ProvidedBoxes::Inline(boxes) => (boxes.clone(), BoxOrigin::Setting),
            ProvidedBoxes::File(all) => (all.get(&index).cloned().unwrap_or_default(), BoxOrigin::Setting),
            ProvidedBoxes::PerImage => match find_boxes_file(image) {
                Some(path) => {
                    let (boxes, file_notes) = read_boxes_file(&path)?;
                    notes = file_notes;
                    (boxes, BoxOrigin::PerImage(path))
                }
                None => {
                    let whole = BBox { x1: 0.0, y1: 0.0, x2: size.width as f32, y2: size.height as f32 };
                    (vec![whole], BoxOrigin::WholeImage)
                }
            },
        };
        if !matches!(self, ProvidedBoxes::Inline(_)) {
            let all = boxes.len();
            boxes.retain(|bbox| bbox.area() <= 0.0 || bbox.clipped_to(size.width, size.height).is_some());
            let outside = all - boxes.len();
            if outside > 0 {
                notes.push(format!(
                    "{}: {outside} of {all} boxes skipped that are wholly outside of its {size} pixels",
                    image.display()
                ));
            }
        }
        boxes.iter().try_for_each(|bbox| check_box(bbox, size))?;
        Ok(ImageBoxes { boxes, origin, notes })
    }
}

/// Whether there is a file of boxes next to an image.
pub fn has_boxes_file(image: &Path) -> bool {
    find_boxes_file(image).is_some()
}

/// The file of boxes next to an image: `IMAGE.boxes.txt`, with or without the image's extension.
fn find_boxes_file(image: &Path) -> Option<PathBuf> {
    let mut full_name = image.as_os_str().to_os_string();
    full_name.push(".boxes.txt");
    let without_extension = image.with_extension("boxes.txt");
    [PathBuf::from(full_name), without_extension].into_iter().find(|path| path.is_file())
}

/// Reads a file of boxes of one image: lines of `left,top,width,height`, or MOTChallenge lines with frame 1.
fn read_boxes_file(path: &Path) -> Result<(Vec<BBox>, Vec<String>), BoxesError> {
    let text = DecodedText::read(path).map_err(DatasetError::from)?;
    let columns = |line: &str| line.split([',', ';', '\t', ' ']).filter(|column| !column.is_empty()).count();
    if text.lines().any(|(_, line)| columns(line) > 4) {
        let bounds = VideoExtent { size: None, frames: 1 };
        let (mut frames, notes) = parse_motchallenge(Ok(text), path, bounds, None)?;
        return Ok((frames.remove(&0).unwrap_or_default(), notes));
    }
    let parse = |(line, text): (usize, &str)| {
        parse_box(text).map_err(|problem| BoxesError::Line { path: path.to_path_buf(), line, problem })
    };
    let boxes: Result<Vec<BBox>, BoxesError> = text.lines().map(parse).collect();
    Ok((boxes?, text.notes.clone()))
}

fn parse_motchallenge(
    text: Result<DecodedText, MotError>,
    path: &Path,
    bounds: VideoExtent,
    benchmark: Option<Benchmark>,
) -> Result<BoxesByImage, BoxesError> {
    let text = text.map_err(DatasetError::from)?;
    let read = mot::parse_boxes(text, path, bounds, benchmark)?;
    let to_bboxes = |(frame, boxes): (usize, Vec<InputBox>)| {
        (frame, boxes.into_iter().map(|input_box| input_box.bbox).collect())
    };
    Ok((read.boxes.into_iter().map(to_bboxes).collect(), read.notes))
}

/// Parses `left,top,width,height` in pixels.
fn parse_box(text: &str) -> Result<BBox, String> {
    let text = text.trim();
    let parts = text.trim_end_matches([',', ';']).split([',', ';', '\t', ' ']);
    let fields: Vec<&str> =
        parts.map(|field| field.trim_matches(['"', '\''])).filter(|field| !field.is_empty()).collect();
    let &[left, top, width, height] = fields.as_slice() else {
        return Err(format!("`{text}` has {} numbers; a box has four: left,top,width,height", fields.len()));
    };
    let number = |field: &str| -> Result<f32, String> {
        let value: f32 = field.parse().map_err(|_| format!("`{field}` in `{text}` is not a number"))?;
        if value.is_finite() { Ok(value) } else { Err(format!("`{text}` is not a box: {field} in it")) }
    };
    let [left, top, width, height] = [number(left)?, number(top)?, number(width)?, number(height)?];
    if width <= 0.0 || height <= 0.0 {
        return Err(format!("`{text}` is not a box: {width} x {height} pixels (left,top,width,height)"));
    }
    Ok(BBox { x1: left, y1: top, x2: left + width, y2: top + height })
}

/// Checks that a box can contain a person of the image.
fn check_box(bbox: &BBox, image: FrameSize) -> Result<(), BoxesError> {
    let text = || format!("{},{},{},{}", bbox.x1, bbox.y1, bbox.width(), bbox.height());
    // adding large and small numbers may have lost the small one
    if !(bbox.width() > 0.0 && bbox.height() > 0.0 && bbox.area().is_finite()) {
        return Err(BoxesError::NoArea { bbox: text() });
    }
    if bbox.clipped_to(image.width, image.height).is_none() {
        return Err(BoxesError::Outside { bbox: text(), image });
    }
    if bbox.width().max(bbox.height()) > MAX_RELATIVE_SIZE * image.longer_side() as f32 {
        return Err(BoxesError::TooLarge { bbox: text(), image });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bbox(x1: f32, y1: f32, x2: f32, y2: f32) -> BBox {
        BBox { x1, y1, x2, y2 }
    }

    fn parse(text: &str, images: usize) -> Result<ProvidedBoxes, BoxesError> {
        ProvidedBoxes::parse(text, images, None, &mut Vec::new())
    }

    fn inline(text: &str) -> Result<ProvidedBoxes, String> {
        parse(text, 1).map_err(|error| error.to_string())
    }

    #[test]
    fn boxes_on_the_command_line() {
        let boxes = vec![bbox(1.0, 2.0, 4.0, 6.0), bbox(-5.5, 0.0, 4.5, 20.0)];
        assert_eq!(inline("1,2,3,4; -5.5,0,10,20;").unwrap(), ProvidedBoxes::Inline(boxes));
        for (text, message) in [
            ("1,2,3", "has 3 numbers"),
            ("1,2,3,4,5", "has 5 numbers"),
            ("1,2,x,4", "`x` in `1,2,x,4` is not a number"),
            ("1,2,nan,4", "is not a box: nan"),
            ("inf,2,3,4", "is not a box: inf"),
            ("1,2,0,4", "is not a box: 0 x 4 pixels"),
            ("1,2,3,-4", "is not a box: 3 x -4 pixels"),
            ("nowhere.txt", "there is no such file"),
        ] {
            let error = inline(text).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
        let message = parse("1,2,3,4", 2).unwrap_err().to_string();
        assert!(message.contains("are for one image, and there are 2"), "{message}");
    }

    #[test]
    fn boxes_are_checked_against_the_image() {
        let check = |x: f32, y: f32, width: f32, height: f32| {
            let provided = ProvidedBoxes::Inline(vec![bbox(x, y, x + width, y + height)]);
            let boxes = provided.for_image(0, Path::new("a.png"), FrameSize::new(640, 360));
            boxes.map(|boxes| boxes.boxes[0]).map_err(|error| error.to_string())
        };
        assert!(check(-20.0, -20.0, 100.0, 500.0).is_ok(), "people at the edge reach beyond it");
        assert!(check(600.0, 0.0, 6000.0, 10.0).is_ok());
        assert!(check(700.0, 0.0, 50.0, 50.0).unwrap_err().contains("outside of the image of 640x360"));
        assert!(check(640.0, 0.0, 50.0, 50.0).unwrap_err().contains("outside"));
        assert!(check(0.0, 0.0, 6401.0, 50.0).unwrap_err().contains("more than 10 times"));
        assert!(check(1e30, 0.0, 5.0, 50.0).unwrap_err().contains("no finite area"));
        assert!(check(-1e30, -1e30, 3e30, 3e30).unwrap_err().contains("no finite area"));
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
        let provided = parse(all.to_str().unwrap(), 3).unwrap();
        let count = |number| {
            provided.for_image(number, Path::new("a.png"), FrameSize::new(99, 99)).unwrap().boxes.len()
        };
        assert_eq!([count(0), count(1), count(2)], [1, 0, 2]);
        let message = parse(all.to_str().unwrap(), 2).unwrap_err().to_string();
        assert!(message.contains("all.txt:2") && message.contains("frame 3"), "{message}");
        let outside = provided.for_image(0, Path::new("a.png"), FrameSize::new(9, 9)).unwrap();
        assert!(outside.boxes.is_empty() && outside.notes[0].contains("1 of 1 boxes skipped"), "{outside:?}");

        let image = folder.path().join("a.png");
        let whole = ProvidedBoxes::PerImage.for_image(0, &image, FrameSize::new(30, 20)).unwrap();
        assert_eq!(
            whole,
            ImageBoxes {
                boxes: vec![bbox(0.0, 0.0, 30.0, 20.0)],
                origin: BoxOrigin::WholeImage,
                notes: vec![]
            }
        );
        file("a.boxes.txt", "1,2,3,4\n\n5,6,7,8\n");
        assert_eq!(
            ProvidedBoxes::PerImage.for_image(7, &image, FrameSize::new(30, 20)).unwrap().boxes.len(),
            2
        );
        let nearer = file("a.png.boxes.txt", "1,-1,1,2,3,4\n");
        let boxes = ProvidedBoxes::PerImage.for_image(0, &image, FrameSize::new(30, 20)).unwrap();
        assert_eq!(
            boxes,
            ImageBoxes {
                boxes: vec![bbox(1.0, 2.0, 4.0, 6.0)],
                origin: BoxOrigin::PerImage(nearer.clone()),
                notes: vec![]
            }
        );
        std::fs::write(&nearer, "1,2,3,4\n1,2,3\n").unwrap();
        let message =
            ProvidedBoxes::PerImage.for_image(0, &image, FrameSize::new(30, 20)).unwrap_err().to_string();
        assert!(message.contains("a.png.boxes.txt:2") && message.contains("has 3 numbers"), "{message}");
        std::fs::write(&nearer, "\u{feff}1;2;3;4\r1 2 3 4,\r\"1\"\t2\t3\t4\r90,2,3,4").unwrap();
        let boxes = ProvidedBoxes::PerImage.for_image(0, &image, FrameSize::new(30, 20)).unwrap();
        assert_eq!(boxes.boxes, [bbox(1.0, 2.0, 4.0, 6.0); 3]);
        assert!(boxes.notes[0].contains("1 of 4 boxes skipped"), "{:?}", boxes.notes);
        std::fs::write(&nearer, "").unwrap();
        assert!(
            ProvidedBoxes::PerImage.for_image(0, &image, FrameSize::new(30, 20)).unwrap().boxes.is_empty(),
            "an empty file means no people"
        );
    }
}
