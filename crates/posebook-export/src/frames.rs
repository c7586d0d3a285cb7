//! The common input of all formats: frames with tracked people, one at a time.

use crate::ExportError;
use posebook_core::frame::FrameSize;
use posebook_core::geometry::{Mat3, Vec3};
use posebook_core::person::{BBox, FrameMask, JOINTS, SmplParams};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

/// What is known of the video before its first frame.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoInfo {
    /// Name of the video, without folder and extension (PHALP's `video_seq`).
    pub name: String,
    /// Path or address of the video, as the user gave it.
    pub source: String,
    /// Frames per second.
    pub fps: f64,
    /// Matches after which a track is confirmed (PHALP's `n_init`).
    pub n_init: u32,
    /// Frames after which a lost track ends (PHALP's `max_age_track`).
    pub max_age_track: u32,
}

impl VideoInfo {
    /// A video called `name`, with PHALP's default settings.
    pub fn new(name: &str, fps: f64) -> VideoInfo {
        VideoInfo { name: name.into(), source: name.into(), fps, n_init: 5, max_age_track: 50 }
    }
}

/// One frame with its tracked people.
#[derive(Debug, Clone, PartialEq)]
pub struct ExportFrame {
    /// Position among the frames that were read, from 0 (PHALP's `time`).
    pub number: u64,
    /// Position in presentation order, from the video's start.
    pub index: u64,
    /// Presentation time, seconds.
    pub time_secs: f64,
    /// Presentation timestamp in units of the video's time base, where it is known.
    pub pts: Option<i64>,
    /// Whether a shot starts with this frame.
    pub shot: bool,
    /// Size of the frame, pixels.
    pub size: FrameSize,
    /// The people on tracks, at most one for each track.
    pub people: Vec<ExportPerson>,
}

/// A person on a track.
#[derive(Debug, Clone, PartialEq)]
pub struct ExportPerson {
    /// The track.
    pub id: u64,
    /// Frames since the track was seen: 0 is a person of this frame, more is the repeated last entry of a lost track, which
    /// only a `.pkl` has. Negative in files of LART, for smoothed entries.
    pub tracked_time: i64,
    /// Number of the detection in its frame.
    pub detection: u64,
    /// Box, pixels of the frame.
    pub bbox: BBox,
    /// Confidence of the detection, 0 to 1.
    pub score: f32,
    /// Shape and pose; the orientation is in camera axes (x right, y down, z away).
    pub params: SmplParams,
    /// HMR2's camera in the crop: scale, x, y.
    pub crop_camera: [f32; 3],
    /// Translation of the body in the axes of PHALP's camera (focal length 5000 for the padded image at 256 pixels), meters.
    pub translation: Vec3,
    /// The 44 joints relative to the body's origin, camera axes, meters.
    pub joints: Vec<Vec3>,
    /// The 44 joints and the body's origin in the image padded to a square, in units of its side.
    pub joints_in_square: Vec<[f32; 2]>,
    /// Pixels that the person covers.
    pub mask: Option<FrameMask>,
    /// Embedding of the appearance, 4096 values.
    pub embedding: Option<Arc<[f32]>>,
    /// Keypoints x, y, confidence that another program stored as the detection's extra data; usually none.
    pub keypoints: Vec<[f32; 3]>,
}

impl ExportPerson {
    /// The 24 rotations: the root's, then those of joints 1 to 23.
    pub fn rotations(&self) -> impl Iterator<Item = &Mat3> {
        std::iter::once(&self.params.global_orient).chain(&self.params.body_pose)
    }

    /// The part of the person that has values which are not finite, or another number of values than it should.
    fn invalid_part(&self) -> Option<&'static str> {
        let BBox { x1, y1, x2, y2 } = self.bbox;
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        let pose = self.rotations().all(|rotation| finite(rotation.as_flattened()));
        let parts = [
            ("box", finite(&[x1, y1, x2, y2, self.score])),
            ("shape", finite(&self.params.betas)),
            ("pose", pose),
            ("camera", finite(&self.crop_camera) && finite(&self.translation)),
            ("list of 44 joints", self.joints.len() == JOINTS && finite(self.joints.as_flattened())),
            (
                "list of 45 points in the image",
                self.joints_in_square.len() == JOINTS + 1 && finite(self.joints_in_square.as_flattened()),
            ),
            ("embedding", self.embedding.as_deref().is_none_or(finite)),
        ];
        parts.into_iter().find(|(_, is_sound)| !is_sound).map(|(name, _)| name)
    }
}

impl ExportFrame {
    /// Checks that every track occurs once, and that all values are finite and complete.
    ///
    /// # Errors
    /// If that is not so; the message names frame and track.
    pub fn check(&self) -> Result<(), ExportError> {
        let mut ids = BTreeSet::new();
        for person in &self.people {
            let problem = if !ids.insert(person.id) {
                "the track occurs twice in the frame; give results of a single run, with one person for each track"
                    .to_string()
            } else if let Some(part) = person.invalid_part() {
                format!(
                    "the {part} is incomplete or has values that are not finite; the results are damaged, or of a network that \
                     failed: run `posebook track` again, or leave the track out"
                )
            } else {
                continue;
            };
            return Err(ExportError::Person { frame: self.index, track: person.id, problem });
        }
        Ok(())
    }
}

/// What was written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Exported {
    /// The files.
    pub files: Vec<PathBuf>,
    /// Frames read.
    pub frames: u64,
    /// People written, repeated entries not counted.
    pub people: u64,
    /// Tracks written.
    pub tracks: usize,
    /// Notes for the user.
    pub notes: Vec<String>,
}

impl Exported {
    /// Counts a frame and its people.
    pub(crate) fn count(&mut self, people: usize) {
        self.frames += 1;
        self.people += people as u64;
    }
}

/// Writes frames in one format. The file appears under its name in [`FrameSink::finish`]; a sink that is dropped before
/// leaves nothing behind.
pub trait FrameSink {
    /// Writes the next frame.
    ///
    /// # Errors
    /// If the frame is invalid, or the file cannot be written.
    fn push(&mut self, frame: ExportFrame) -> Result<(), ExportError>;

    /// Completes the file.
    ///
    /// # Errors
    /// If there is nobody to write, or the file cannot be written; then there is no file.
    fn finish(self: Box<Self>) -> Result<Exported, ExportError>;
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use posebook_core::geometry::{IDENTITY, multiply, rotation_from_axis_angle};

    /// A person with values by formula: the root turns by 5 degrees a frame, elbows and knees swing.
    pub fn person(number: u64, id: u64) -> ExportPerson {
        let (t, k) = (number as f32, id as f32);
        // y up becomes y down: a half turn about x
        let upright = [[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]];
        let mut body_pose = [IDENTITY; 23];
        for (joint, axis) in [(3, 0), (4, 0), (17, 1), (18, 1), (15, 2), (16, 2)] {
            let mut turn = [0.0; 3];
            turn[axis] = 0.6 * (0.2 * t + joint as f32 + k).sin();
            body_pose[joint] = rotation_from_axis_angle(turn);
        }
        let turn = rotation_from_axis_angle([0.0, 5f32.to_radians() * t, 0.0]);
        let joints = (0..JOINTS).map(|j| [0.01 * j as f32 - 0.2, 0.02 * j as f32, 0.001 * t]).collect();
        ExportPerson {
            id,
            tracked_time: 0,
            detection: id,
            bbox: BBox { x1: 40.0 * k, y1: 20.0, x2: 40.0 * k + 60.5, y2: 190.25 },
            score: 0.75,
            params: SmplParams {
                betas: std::array::from_fn(|index| 0.1 * index as f32 - 0.3 + 0.01 * k),
                global_orient: multiply(&upright, &turn),
                body_pose,
            },
            crop_camera: [0.9, 0.01 * t, -0.02],
            translation: [0.4 * k + 0.01 * t * t, 0.1, 40.0 + 0.1 * t],
            joints,
            joints_in_square: (0..=JOINTS).map(|j| [0.3 + 0.002 * j as f32, 0.2 + 0.01 * j as f32]).collect(),
            mask: None,
            embedding: None,
            keypoints: Vec::new(),
        }
    }

    /// A frame of 25 per second with these people.
    pub fn frame(number: u64, ids: &[u64]) -> ExportFrame {
        ExportFrame {
            number,
            index: number,
            time_secs: number as f64 / 25.0,
            pts: Some(512 * number.cast_signed()),
            shot: false,
            size: FrameSize::new(320, 200),
            people: ids.iter().map(|&id| person(number, id)).collect(),
        }
    }

    #[test]
    fn incomplete_people_are_named() {
        let mut short = frame(3, &[2]);
        short.people[0].joints.pop();
        let message = short.check().unwrap_err().to_string();
        assert!(message.contains("frame 3, track 2: the list of 44 joints is incomplete"), "{message}");
        assert!(frame(3, &[2, 1]).check().is_ok());
    }
}
