//! Input boxes of a clip: detections that a run is provided with instead of detecting people itself.
//!
//! `boxes.jsonl` has one line per frame of the clip, `{"frame": n, "boxes": [..]}`, so that a run has one frame's boxes
//! in memory at a time. It is made from the user's MOTChallenge text ([`super::mot::read_boxes`]) or detections
//! ([`super::coco`]), or from the clip's ground truth ([`BoxSource::GroundTruth`]). Does not depend on detectors.

use super::DatasetError;
use super::frame_lines::{FrameLine, FrameLineReader};
use super::truth::TruthFile;
use posebook_core::person::InputBox;
use posebook_core::truth::TruthPerson;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// A line of `boxes.jsonl`. Caches of earlier versions call the boxes `people`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct BoxLine {
    frame: usize,
    #[serde(alias = "people")]
    boxes: Vec<InputBox>,
}

impl FrameLine for BoxLine {
    const ACTION: &'static str = "read the boxes";

    fn frame(&self) -> usize {
        self.frame
    }
}

/// A clip's input boxes on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BoxFile {
    /// The `boxes.jsonl`.
    pub path: PathBuf,
    /// SHA-256 of the file.
    pub sha256: String,
}

/// Where a run's input boxes come from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum BoxSource<'a> {
    /// The boxes that the user provides.
    Provided(&'a BoxFile),
    /// The boxes of the clip's ground truth.
    GroundTruth(&'a TruthFile),
}

impl BoxSource<'_> {
    /// SHA-256 of the file that the boxes come from.
    pub fn sha256(&self) -> &str {
        match self {
            BoxSource::Provided(file) => &file.sha256,
            BoxSource::GroundTruth(file) => &file.sha256,
        }
    }

    /// Calls `visit` with the boxes of each frame, in order.
    ///
    /// # Errors
    /// If the file cannot be read or is damaged.
    pub fn for_each_frame(&self, mut visit: impl FnMut(Vec<InputBox>)) -> Result<(), DatasetError> {
        match self {
            BoxSource::Provided(file) => {
                let mut reader = BoxReader::open(&file.path)?;
                while let Some(boxes) = reader.next_frame()? {
                    visit(boxes);
                }
            }
            BoxSource::GroundTruth(file) => {
                let mut reader = file.open()?;
                while let Some(people) = reader.next_frame()? {
                    visit(boxes_from_truth(&people));
                }
            }
        }
        Ok(())
    }

    /// Path of a `boxes.jsonl` with the boxes: the provided file, or `converted`, to which ground truth is converted.
    ///
    /// # Errors
    /// If the ground truth cannot be read or is damaged, or `converted` cannot be written.
    pub fn to_box_file(&self, converted: PathBuf) -> Result<PathBuf, DatasetError> {
        let file = match self {
            BoxSource::Provided(file) => return Ok(file.path.clone()),
            BoxSource::GroundTruth(file) => file,
        };
        let write_error = |source| DatasetError::io("write", &converted, source);
        let mut writer = BoxWriter::create(&converted).map_err(write_error)?;
        let mut reader = file.open()?;
        while let Some(people) = reader.next_frame()? {
            writer.push(boxes_from_truth(&people)).map_err(write_error)?;
        }
        writer.finish().map_err(write_error)?;
        Ok(converted)
    }
}

/// Boxes of a frame's ground truth as input boxes. Their ids are the identities of the ground truth.
fn boxes_from_truth(people: &[TruthPerson]) -> Vec<InputBox> {
    people
        .iter()
        .map(|person| InputBox { id: person.id, bbox: person.bbox, score: None, mask: None })
        .collect()
}

/// Reads input boxes, one frame at a time.
pub struct BoxReader {
    lines: FrameLineReader<BoxLine>,
}

impl BoxReader {
    /// Opens a `boxes.jsonl` at the first frame.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: &Path) -> Result<BoxReader, DatasetError> {
        Ok(BoxReader { lines: FrameLineReader::open(path)? })
    }

    /// The boxes of the next frame; `None` at the end.
    ///
    /// # Errors
    /// If the file cannot be read or is damaged.
    pub fn next_frame(&mut self) -> Result<Option<Vec<InputBox>>, DatasetError> {
        Ok(self.lines.next_line()?.map(|line| line.boxes))
    }

    /// The boxes of frame `index`, counted from the clip's start; none after the end. Ascending order is fast; an
    /// index that was passed already starts the file again.
    ///
    /// # Errors
    /// If the file cannot be read or is damaged.
    pub fn read_frame(&mut self, index: usize) -> Result<Vec<InputBox>, DatasetError> {
        if index < self.lines.next_index() {
            self.lines.rewind()?;
        }
        Ok(self.lines.line(index)?.map(|line| line.boxes).unwrap_or_default())
    }
}

/// Writes a `boxes.jsonl` frame by frame.
pub struct BoxWriter {
    out: BufWriter<File>,
    frames: usize,
}

impl BoxWriter {
    /// Creates the file; the writer is at the first frame.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub fn create(path: &Path) -> std::io::Result<BoxWriter> {
        Ok(BoxWriter { out: BufWriter::new(File::create(path)?), frames: 0 })
    }

    /// Adds the next frame.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn push(&mut self, boxes: Vec<InputBox>) -> std::io::Result<()> {
        serde_json::to_writer(&mut self.out, &BoxLine { frame: self.frames, boxes })?;
        self.frames += 1;
        self.out.write_all(b"\n")
    }

    /// Flushes the file.
    ///
    /// # Errors
    /// If the last bytes cannot be written.
    pub fn finish(mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::super::truth::TruthWriter;
    use super::*;
    use posebook_core::person::BBox;

    fn input_box(id: u32, score: Option<f32>) -> InputBox {
        InputBox { id, bbox: BBox { x1: -3.25, y1: 1.0 / 3.0, x2: 20.1, y2: 77.7 }, score, mask: None }
    }

    fn write(path: &Path, frames: &[Vec<InputBox>]) {
        let mut writer = BoxWriter::create(path).unwrap();
        frames.iter().for_each(|boxes| writer.push(boxes.clone()).unwrap());
        writer.finish().unwrap();
    }

    fn read_all(source: BoxSource) -> Vec<Vec<InputBox>> {
        let mut frames = Vec::new();
        source.for_each_frame(|boxes| frames.push(boxes)).unwrap();
        frames
    }

    #[test]
    fn boxes_are_read_back_exactly() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("boxes.jsonl");
        let frames =
            vec![vec![input_box(1, Some(0.9)), input_box(2, None)], vec![], vec![input_box(2, None)]];
        write(&path, &frames);
        let file = BoxFile { path: path.clone(), sha256: "abc".into() };
        let source = BoxSource::Provided(&file);
        assert_eq!((read_all(source), source.sha256()), (frames, "abc"));
        let unused = folder.path().join("converted.jsonl");
        assert_eq!(source.to_box_file(unused.clone()).unwrap(), path);
        assert!(!unused.exists());
    }

    #[test]
    fn a_passed_frame_starts_the_file_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("boxes.jsonl");
        write(&path, &[0, 1, 2].map(|id| vec![input_box(id, None)]));
        let mut reader = BoxReader::open(&path).unwrap();
        let mut ids = |index| reader.read_frame(index).unwrap().iter().map(|of| of.id).collect::<Vec<_>>();
        assert_eq!([ids(0), ids(2), ids(9), ids(1), ids(1)], [vec![0], vec![2], vec![], vec![1], vec![1]]);
    }

    #[test]
    fn ground_truth_becomes_boxes_with_its_identities() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("truth.jsonl");
        let InputBox { bbox, .. } = input_box(0, None);
        let person = |id| TruthPerson { id, bbox, visible_bbox: None, visible_share: Some(0.5), body: None };
        let mut writer = TruthWriter::new(File::create(&path).unwrap());
        for people in [vec![person(7), person(3)], vec![], vec![person(3)]] {
            writer.push(people).unwrap();
        }
        writer.finish().unwrap();
        let truth = TruthFile { path, sha256: "abc".into() };
        let source = BoxSource::GroundTruth(&truth);
        let expected = vec![vec![input_box(7, None), input_box(3, None)], vec![], vec![input_box(3, None)]];
        assert_eq!((read_all(source), source.sha256()), (expected.clone(), "abc"));
        let converted = source.to_box_file(folder.path().join("boxes.jsonl")).unwrap();
        let file = BoxFile { path: converted, sha256: String::new() };
        assert_eq!(read_all(BoxSource::Provided(&file)), expected);
    }

    #[test]
    fn boxes_in_caches_of_earlier_versions_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("boxes.jsonl");
        let line = "{\"frame\":0,\"people\":[{\"id\":4,\"bbox\":{\"x1\":1.0,\"y1\":2.0,\"x2\":3.0,\"y2\":4.0},\
                    \"visible_bbox\":null,\"visible_share\":0.5,\"body\":null}],\"passed_over\":[]}\n";
        std::fs::write(&path, line).unwrap();
        let boxes = BoxReader::open(&path).unwrap().read_frame(0).unwrap();
        let bbox = BBox { x1: 1.0, y1: 2.0, x2: 3.0, y2: 4.0 };
        assert_eq!(boxes, [InputBox { id: 4, bbox, score: None, mask: None }]);
    }

    #[test]
    fn damage_is_an_error_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("boxes.jsonl");
        std::fs::write(&path, "{\"frame\":0,\"boxes\":[]}\n{\"frame\":2,\"boxes\":[]}\n").unwrap();
        let error = BoxReader::open(&path).unwrap().read_frame(1).unwrap_err().to_string();
        assert!(error.contains("boxes.jsonl:2: is frame 2, but frame 1 was expected"), "{error}");
        let error = BoxReader::open(&folder.path().join("none")).err().unwrap().to_string();
        assert!(error.contains("cannot read the boxes"), "{error}");
    }
}
