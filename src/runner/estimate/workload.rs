//! The people in the frames of a trial run: those around the frame with the most people, or an assumed number.

use super::super::RunnerError;
use crate::dataset::BoxWriter;
use posebook_core::person::{BBox, InputBox};
use std::ops::Range;
use std::path::Path;

/// Number of people in a video, and the boxes for its trial runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// Mean number of people per frame of the video.
    pub mean: f64,
    /// Largest number of people in a frame.
    pub most: usize,
    /// Whether the number is assumed.
    pub assumed: bool,
    /// Boxes by frame of the trial run.
    frames: Vec<Vec<InputBox>>,
}

/// Height of an assumed person as a share of the frame's height.
const HEIGHT: f32 = 0.6;
/// Width of an assumed person as a share of the person's height.
const WIDTH: f32 = 0.4;

impl Workload {
    /// The workload of provided `boxes` in `range`; the trial run gets `trial_frames` consecutive frames that include the
    /// one with the most people.
    pub fn from_boxes(boxes: &[Vec<InputBox>], range: Range<usize>, trial_frames: usize) -> Workload {
        let no_people = Vec::new();
        let within: Vec<&Vec<InputBox>> = range.map(|frame| boxes.get(frame).unwrap_or(&no_people)).collect();
        let all: usize = within.iter().map(|people| people.len()).sum();
        let fullest = (0..within.len()).rev().max_by_key(|&frame| within[frame].len()).unwrap_or(0);
        let first = fullest.min(within.len().saturating_sub(trial_frames));
        let frames = within.iter().skip(first).take(trial_frames).map(|people| (*people).clone()).collect();
        Workload {
            mean: all as f64 / within.len().max(1) as f64,
            most: within.get(fullest).map_or(0, |people| people.len()),
            assumed: false,
            frames,
        }
    }

    /// A workload of `people` in every frame, side by side.
    pub fn assumed(people: usize, trial_frames: usize, width: usize, height: usize) -> Workload {
        let (width, height) = (width as f32, height as f32);
        let person_height = height * HEIGHT;
        let person = |id: usize| {
            let middle = width * (id as f32 + 0.5) / people as f32;
            let top = (height - person_height) / 2.0;
            let bbox = BBox {
                x1: middle - person_height * WIDTH / 2.0,
                y1: top,
                x2: middle + person_height * WIDTH / 2.0,
                y2: top + person_height,
            };
            InputBox { id: id as u32, bbox, score: None, mask: None }
        };
        let all: Vec<InputBox> = (0..people).map(person).collect();
        let frames = vec![all; trial_frames];
        Workload { mean: people as f64, most: people, assumed: true, frames }
    }

    /// Number of frames of the trial run.
    pub fn trial_frames(&self) -> usize {
        self.frames.len()
    }

    /// Mean number of people per frame of the trial run.
    pub fn trial_mean(&self) -> f64 {
        let all: usize = self.frames.iter().map(Vec::len).sum();
        all as f64 / self.frames.len().max(1) as f64
    }

    /// Writes the boxes of the trial run for the frames `first`, `first + every` and so on.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path, first: usize, every: usize) -> Result<(), RunnerError> {
        let write = || -> std::io::Result<()> {
            let mut writer = BoxWriter::create(path)?;
            let end = first + self.frames.len() * every;
            for frame in 0..end {
                let offset = frame.checked_sub(first).filter(|offset| offset % every == 0);
                let boxes = offset.and_then(|offset| self.frames.get(offset / every));
                writer.push(boxes.cloned().unwrap_or_default())?;
            }
            writer.finish()
        };
        write().map_err(RunnerError::file(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::BoxReader;

    #[test]
    fn the_trial_run_includes_the_fullest_frame() {
        let people = |count: usize| Workload::assumed(count, 1, 640, 360).frames.remove(0);
        let boxes: Vec<_> = [1, 0, 5, 1, 1, 1].map(people).into();
        let workload = Workload::from_boxes(&boxes, 1..8, 3);
        assert_eq!((workload.most, workload.trial_frames(), workload.assumed), (5, 3, false));
        assert!((workload.mean - 8.0 / 7.0).abs() < 1e-9, "{}", workload.mean);
        assert!(workload.frames.iter().any(|people| people.len() == 5));

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("boxes.jsonl");
        workload.write(&path, 4, 2).unwrap();
        let mut reader = BoxReader::open(&path).unwrap();
        assert_eq!(reader.read_frame(3).unwrap().len(), 0);
        assert_eq!(reader.read_frame(4).unwrap().len(), workload.frames[0].len());
        assert_eq!(reader.read_frame(8).unwrap(), workload.frames[2]);
    }

    #[test]
    fn assumed_people_are_inside_the_frame() {
        let workload = Workload::assumed(3, 2, 640, 360);
        assert_eq!((workload.most, workload.mean, workload.trial_mean()), (3, 3.0, 3.0));
        for person in &workload.frames[1] {
            let bbox = person.bbox;
            assert!(bbox.x1 >= 0.0 && bbox.x2 <= 640.0 && bbox.y1 >= 0.0 && bbox.y2 <= 360.0, "{bbox:?}");
        }
        assert_eq!(Workload::assumed(0, 2, 640, 360).most, 0);
    }
}
