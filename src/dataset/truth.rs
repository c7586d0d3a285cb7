//! What is true of a clip: who is where in each frame.
//!
//! Two files say the same. `truth.jsonl` is for programs that go through a clip: line n is frame n of the
//! clip, `{"frame": n, "people": [..]}`, so that one line at a time is held. `truth.parquet` is for
//! questions (`table`), and has the people that hardly anything is seen of as well.
//! Must not know where the truth comes from.

use super::DatasetError;
use crate::geometry::Vec3;
use crate::person::{BBox, SmplParams};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

/// One person in one frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TruthPerson {
    pub id: u32,
    /// Around the whole body, what is hidden or beyond the picture's edge included, pixels.
    pub bbox: BBox,
    /// Around what is seen; `None` where that is nothing or unknown.
    pub visible_bbox: Option<BBox>,
    /// The seen part of the whole body, 0 to 1; `None` where unknown.
    pub visible_share: Option<f32>,
    /// `None` where only boxes are known.
    pub body: Option<TruthBody>,
}

/// A body and the camera that sees it. Camera axes are x right, y down, z away, metres.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TruthBody {
    /// The orientation is in camera axes.
    pub params: SmplParams,
    /// Added to the posed body's vertices and joints to bring them before the camera.
    pub translation_in_camera: Vec3,
    /// HMR2's 44 joints.
    pub joints_in_camera: Vec<Vec3>,
    /// The same joints, pixels.
    pub joints_in_image: Vec<[f32; 2]>,
    pub camera: Intrinsics,
}

/// A pinhole camera, pixels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Intrinsics {
    pub fx: f32,
    pub fy: f32,
    pub cx: f32,
    pub cy: f32,
}

/// A box of the truth that is no person to be found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PassedOver {
    /// Pixels.
    pub bbox: BBox,
    /// Whether a track that lies on it is to be left out of the scores.
    pub distractor: bool,
}

/// A line of `truth.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Line {
    frame: usize,
    people: Vec<TruthPerson>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    passed_over: Vec<PassedOver>,
}

/// The truth of a clip on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TruthFile {
    pub path: PathBuf,
    pub sha256: String,
}

impl TruthFile {
    /// A reader at the first frame.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(&self) -> Result<TruthReader, DatasetError> {
        TruthReader::open(&self.path)
    }

    /// All frames, in order. Not for a process whose memory is measured.
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

    /// What is no person to be found, of all frames, in order.
    ///
    /// # Errors
    /// If the file cannot be read or is damaged.
    pub fn read_passed_over(&self) -> Result<Vec<Vec<PassedOver>>, DatasetError> {
        let mut reader = self.open()?;
        let mut frames = Vec::new();
        while let Some(line) = reader.next_line()? {
            frames.push(line.passed_over);
        }
        Ok(frames)
    }
}

/// Goes through a clip's truth, holding one frame at a time.
pub struct TruthReader {
    path: PathBuf,
    file: BufReader<File>,
    line: String,
    /// The frame that the next line is of.
    next: usize,
}

impl TruthReader {
    /// Opens a `truth.jsonl`.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: &Path) -> Result<TruthReader, DatasetError> {
        let file = File::open(path).map_err(|source| DatasetError::io("read the truth", path, source))?;
        Ok(TruthReader { path: path.to_path_buf(), file: BufReader::new(file), line: String::new(), next: 0 })
    }

    /// The people of the next frame; `None` at the end.
    ///
    /// # Errors
    /// If the file cannot be read or is damaged.
    pub fn next_frame(&mut self) -> Result<Option<Vec<TruthPerson>>, DatasetError> {
        Ok(self.next_line()?.map(|line| line.people))
    }

    fn next_line(&mut self) -> Result<Option<Line>, DatasetError> {
        if !self.read_line()? {
            return Ok(None);
        }
        let number = self.next;
        let damaged = |message: String| DatasetError::wrong(&self.path, number, message);
        let line: Line = serde_json::from_str(&self.line).map_err(|error| damaged(error.to_string()))?;
        if line.frame + 1 != number {
            return Err(damaged(format!("is of frame {}, not of frame {}", line.frame, number - 1)));
        }
        Ok(Some(line))
    }

    /// The people of frame `index`, counted from the clip's start. Frames are asked for in rising order;
    /// those between are passed over unread. Beyond the truth's end there is nobody.
    ///
    /// # Errors
    /// If the frame was passed already, or the file is damaged.
    pub fn frame(&mut self, index: usize) -> Result<Vec<TruthPerson>, DatasetError> {
        if index < self.next {
            let message = format!("frame {index} was asked for after frame {}", self.next - 1);
            return Err(DatasetError::wrong(&self.path, index + 1, message));
        }
        while self.next < index {
            if !self.read_line()? {
                return Ok(Vec::new());
            }
        }
        Ok(self.next_frame()?.unwrap_or_default())
    }

    fn read_line(&mut self) -> Result<bool, DatasetError> {
        self.line.clear();
        let read = self.file.read_line(&mut self.line);
        let read = read.map_err(|source| DatasetError::io("read the truth", &self.path, source))?;
        self.next += usize::from(read > 0);
        Ok(read > 0)
    }
}

/// Writes a `truth.jsonl` frame by frame.
pub struct TruthWriter<W: Write> {
    out: W,
    frames: usize,
}

impl<W: Write> TruthWriter<W> {
    pub fn new(out: W) -> TruthWriter<W> {
        TruthWriter { out, frames: 0 }
    }

    /// Adds the next frame.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn push(&mut self, people: Vec<TruthPerson>) -> std::io::Result<()> {
        self.push_with(people, Vec::new())
    }

    /// Adds the next frame with what is no person to be found in it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn push_with(
        &mut self,
        people: Vec<TruthPerson>,
        passed_over: Vec<PassedOver>,
    ) -> std::io::Result<()> {
        serde_json::to_writer(&mut self.out, &Line { frame: self.frames, people, passed_over })?;
        self.frames += 1;
        self.out.write_all(b"\n")
    }

    /// What was written to, with nothing left in between.
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
    use crate::geometry::IDENTITY;

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
    fn what_is_written_is_read_to_the_bit() {
        let frames = vec![vec![person(1), person(2)], vec![], vec![person(2)]];
        let (_folder, truth) = file(&frames);
        assert_eq!(truth.read_all().unwrap(), frames);
    }

    #[test]
    fn a_range_starts_anywhere_and_goes_forward_only() {
        let (_folder, truth) = file(&[vec![person(0)], vec![person(1)], vec![person(2)], vec![]]);
        let mut reader = truth.open().unwrap();
        assert_eq!(reader.frame(2).unwrap()[0].id, 2);
        assert!(reader.frame(1).unwrap_err().to_string().contains("frame 1 was asked for after frame 2"));
        assert!(reader.frame(3).unwrap().is_empty());
        assert!(reader.frame(9).unwrap().is_empty());
    }

    #[test]
    fn damage_is_named_by_line() {
        let (_folder, truth) = file(&[vec![], vec![]]);
        std::fs::write(&truth.path, "{\"frame\":0,\"people\":[]}\n{\"frame\":1,\"peop").unwrap();
        let error = truth.read_all().unwrap_err().to_string();
        assert!(error.contains("truth.jsonl:2"), "{error}");
    }
}
