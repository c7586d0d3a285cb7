//! Who a rehearsal looks at: the people of the frames with the most of them, or as many as are assumed.
//!
//! Must not know what they cost.

use super::super::RunnerError;
use crate::dataset::{TruthPerson, TruthWriter};
use crate::person::BBox;
use std::fs::File;
use std::io::BufWriter;
use std::ops::Range;
use std::path::Path;

/// People of a video, and of its rehearsal.
#[derive(Debug, Clone, PartialEq)]
pub struct Crowd {
    /// In a frame of the whole video, in the mean.
    pub mean: f64,
    /// In one frame, at most.
    pub most: usize,
    /// Whether nobody knows.
    pub assumed: bool,
    /// By frame of the rehearsal.
    frames: Vec<Vec<TruthPerson>>,
}

/// An assumed person's height as a share of the picture's, and width as a share of the height.
const HEIGHT: f32 = 0.6;
const WIDTH: f32 = 0.4;

impl Crowd {
    /// The people that `boxes` name in `range`; the rehearsal has those of the `rehearsed` frames around the
    /// one with the most.
    pub fn of_boxes(boxes: &[Vec<TruthPerson>], range: Range<usize>, rehearsed: usize) -> Crowd {
        let nobody = Vec::new();
        let within: Vec<&Vec<TruthPerson>> = range.map(|frame| boxes.get(frame).unwrap_or(&nobody)).collect();
        let all: usize = within.iter().map(|people| people.len()).sum();
        let fullest = (0..within.len()).rev().max_by_key(|&frame| within[frame].len()).unwrap_or(0);
        let first = fullest.min(within.len().saturating_sub(rehearsed));
        let frames = within.iter().skip(first).take(rehearsed).map(|people| (*people).clone()).collect();
        Crowd {
            mean: all as f64 / within.len().max(1) as f64,
            most: within.get(fullest).map_or(0, |people| people.len()),
            assumed: false,
            frames,
        }
    }

    /// `people` in every frame, side by side.
    pub fn assumed(people: usize, rehearsed: usize, width: usize, height: usize) -> Crowd {
        let (width, height) = (width as f32, height as f32);
        let tall = height * HEIGHT;
        let one = |id: usize| {
            let middle = width * (id as f32 + 0.5) / people as f32;
            let top = (height - tall) / 2.0;
            let bbox = BBox {
                x1: middle - tall * WIDTH / 2.0,
                y1: top,
                x2: middle + tall * WIDTH / 2.0,
                y2: top + tall,
            };
            TruthPerson { id: id as u32, bbox, visible_bbox: None, visible_share: None, body: None }
        };
        let everybody: Vec<TruthPerson> = (0..people).map(one).collect();
        let frames = vec![everybody; rehearsed];
        Crowd { mean: people as f64, most: people, assumed: true, frames }
    }

    /// Frames of the rehearsal.
    pub fn rehearsed(&self) -> usize {
        self.frames.len()
    }

    /// People in a frame of the rehearsal, in the mean.
    pub fn rehearsed_mean(&self) -> f64 {
        let all: usize = self.frames.iter().map(Vec::len).sum();
        all as f64 / self.frames.len().max(1) as f64
    }

    /// Writes the rehearsal's people for the frames `first`, `first + every` and so on.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write(&self, path: &Path, first: usize, every: usize) -> Result<(), RunnerError> {
        let refused = RunnerError::file(path);
        let written = || -> std::io::Result<()> {
            let mut writer = TruthWriter::new(BufWriter::new(File::create(path)?));
            let end = first + self.frames.len() * every;
            for frame in 0..end {
                let here = frame.checked_sub(first).filter(|past| past % every == 0);
                let people = here.and_then(|past| self.frames.get(past / every));
                writer.push(people.cloned().unwrap_or_default())?;
            }
            writer.finish().map(drop)
        };
        written().map_err(refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::TruthReader;

    #[test]
    fn the_rehearsal_has_the_fullest_frame() {
        let people = |count: usize| Crowd::assumed(count, 1, 640, 360).frames.remove(0);
        let boxes: Vec<_> = [1, 0, 5, 1, 1, 1].map(people).into();
        let crowd = Crowd::of_boxes(&boxes, 1..8, 3);
        assert_eq!((crowd.most, crowd.rehearsed(), crowd.assumed), (5, 3, false));
        assert!((crowd.mean - 8.0 / 7.0).abs() < 1e-9, "{}", crowd.mean);
        assert!(crowd.frames.iter().any(|people| people.len() == 5));

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("boxes.jsonl");
        crowd.write(&path, 4, 2).unwrap();
        let mut reader = TruthReader::open(&path).unwrap();
        assert_eq!(reader.frame(3).unwrap().len(), 0);
        assert_eq!(reader.frame(4).unwrap().len(), crowd.frames[0].len());
        assert_eq!(reader.frame(8).unwrap(), crowd.frames[2]);
    }

    #[test]
    fn assumed_people_stand_within_the_picture() {
        let crowd = Crowd::assumed(3, 2, 640, 360);
        assert_eq!((crowd.most, crowd.mean, crowd.rehearsed_mean()), (3, 3.0, 3.0));
        for person in &crowd.frames[1] {
            let bbox = person.bbox;
            assert!(bbox.x1 >= 0.0 && bbox.x2 <= 640.0 && bbox.y1 >= 0.0 && bbox.y2 <= 360.0, "{bbox:?}");
        }
        assert_eq!(Crowd::assumed(0, 2, 640, 360).most, 0);
    }
}
