//! Ground truth of a clip: the people in each frame.
//!
//! It is written as two files. `truth.jsonl` is for sequential readers: line n is frame n of the clip, `{"frame":
//! n, "people": [..]}`, so that one line at a time is in memory. `truth.parquet` is for queries (`table`), and also
//! has people who are almost completely hidden. Does not depend on where the ground truth comes from.

use super::DatasetError;
use super::frame_lines::{FrameLine, FrameLineReader};
use posebook_core::person::BBox;
use posebook_core::truth::TruthPerson;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A box of the ground truth that is not a person to be detected.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct IgnoredBox {
    /// Pixels.
    pub bbox: BBox,
    /// Whether a track on it is removed before scoring.
    pub distractor: bool,
}

/// A line of `truth.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct TruthLine {
    frame: usize,
    people: Vec<TruthPerson>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(rename = "passed_over")]
    ignored: Vec<IgnoredBox>,
}

impl FrameLine for TruthLine {
    const ACTION: &'static str = "read the truth";

    fn frame(&self) -> usize {
        self.frame
    }
}

/// A clip's ground truth on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TruthFile {
    /// The `truth.jsonl`.
    pub path: PathBuf,
    /// SHA-256 of the file.
    pub sha256: String,
}

impl TruthFile {
    /// Opens a reader at the first frame.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(&self) -> Result<TruthReader, DatasetError> {
        TruthReader::open(&self.path)
    }

    /// Reads all frames. Not for a process whose memory is measured.
    ///
    /// # Errors
    /// If the file cannot be read or is damaged.
    pub fn read_all(&self) -> Result<Vec<Vec<TruthPerson>>, DatasetError> {
        let mut reader = self.open()?;
        let mut frames = Vec::new();
        while let Some(people) = reader.next_frame()? {
            frames.push(people);
        }
        Ok(frames)
    }

    /// Reads the boxes to ignore of all frames.
    ///
    /// # Errors
    /// If the file cannot be read or is damaged.
    pub fn read_ignored_boxes(&self) -> Result<Vec<Vec<IgnoredBox>>, DatasetError> {
        let mut reader = self.open()?;
        let mut frames = Vec::new();
        while let Some(line) = reader.lines.next_line()? {
            frames.push(line.ignored);
        }
        Ok(frames)
    }
}

/// Reads a clip's ground truth, one frame at a time.
pub struct TruthReader {
    lines: FrameLineReader<TruthLine>,
}

impl TruthReader {
    /// Opens a `truth.jsonl`.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: &Path) -> Result<TruthReader, DatasetError> {
        Ok(TruthReader { lines: FrameLineReader::open(path)? })
    }

    /// The people of the next frame; `None` at the end.
    ///
    /// # Errors
    /// If the file cannot be read or is damaged.
    pub fn next_frame(&mut self) -> Result<Option<Vec<TruthPerson>>, DatasetError> {
        Ok(self.lines.next_line()?.map(|line| line.people))
    }

    /// The people of frame `index`, counted from the clip's start. Frames have to be requested in ascending order;
    /// those between are skipped without parsing. After the end there are no people.
    ///
    /// # Errors
    /// If the frame was passed already, or the file is damaged.
    pub fn read_frame(&mut self, index: usize) -> Result<Vec<TruthPerson>, DatasetError> {
        Ok(self.lines.line(index)?.map(|line| line.people).unwrap_or_default())
    }
}

/// Writes a `truth.jsonl` frame by frame.
pub struct TruthWriter<W: Write> {
    out: W,
    frames: usize,
}

impl<W: Write> TruthWriter<W> {
    /// A writer at the first frame.
    pub fn new(out: W) -> TruthWriter<W> {
        TruthWriter { out, frames: 0 }
    }

    /// Adds the next frame.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn push(&mut self, people: Vec<TruthPerson>) -> std::io::Result<()> {
        self.push_with_ignored(people, Vec::new())
    }

    /// Adds the next frame with its boxes to ignore.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn push_with_ignored(
        &mut self,
        people: Vec<TruthPerson>,
        ignored: Vec<IgnoredBox>,
    ) -> std::io::Result<()> {
        serde_json::to_writer(&mut self.out, &TruthLine { frame: self.frames, people, ignored })?;
        self.frames += 1;
        self.out.write_all(b"\n")
    }

    /// Flushes and returns the output.
    ///
    /// # Errors
    /// If the last bytes cannot be written.
    pub fn finish(mut self) -> std::io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_core::geometry::IDENTITY;
    use posebook_core::person::SmplParams;
    use posebook_core::truth::{Intrinsics, TruthBody};
    use std::fs::File;

    fn person(id: u32) -> TruthPerson {
        let third = 1.0 / 3.0;
        TruthPerson {
            id,
            bbox: BBox { x1: -3.25, y1: third, x2: 20.1, y2: 77.7 },
            visible_bbox: None,
            visible_share: Some(third),
            body: Some(TruthBody {
                params: SmplParams { betas: [third; 10], global_orient: IDENTITY, body_pose: [IDENTITY; 23] },
                translation_in_camera: [1e-7, -2.5, 6.02e4],
                joints_in_camera: vec![[third; 3]; 44],
                joints_in_image: vec![[third; 2]; 44],
                camera: Intrinsics { fx: 600.1, fy: 600.1, cx: 320.0, cy: 180.0 },
            }),
        }
    }

    fn file(frames: &[Vec<TruthPerson>]) -> (tempfile::TempDir, TruthFile) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("truth.jsonl");
        let mut writer = TruthWriter::new(File::create(&path).unwrap());
        frames.iter().for_each(|people| writer.push(people.clone()).unwrap());
        writer.finish().unwrap();
        (folder, TruthFile { path, sha256: String::new() })
    }

    #[test]
    fn ground_truth_is_read_back_exactly() {
        let frames = vec![vec![person(1), person(2)], vec![], vec![person(2)]];
        let (_folder, truth) = file(&frames);
        assert_eq!(truth.read_all().unwrap(), frames);
    }

    #[test]
    fn frames_are_read_in_ascending_order_from_any_start() {
        let (_folder, truth) = file(&[vec![person(0)], vec![person(1)], vec![person(2)], vec![]]);
        let mut reader = truth.open().unwrap();
        assert_eq!(reader.read_frame(2).unwrap()[0].id, 2);
        assert!(
            reader.read_frame(1).unwrap_err().to_string().contains("frame 1 was requested after frame 2")
        );
        assert!(reader.read_frame(3).unwrap().is_empty());
        assert!(reader.read_frame(9).unwrap().is_empty());
    }

    #[test]
    fn damage_is_an_error_with_its_line() {
        let (_folder, truth) = file(&[vec![], vec![]]);
        std::fs::write(&truth.path, "{\"frame\":0,\"people\":[]}\n{\"frame\":1,\"peop").unwrap();
        let error = truth.read_all().unwrap_err().to_string();
        assert!(error.contains("truth.jsonl:2"), "{error}");
    }
}
