//! The motion of each track: rotations, translations and times of the frames in which it was seen.
//!
//! For formats that demand all keys of a joint at once (glTF) or their number before the first (npz, BVH). Holds 404 bytes
//! per person and frame, and 4 bytes per frame; no vertices and no pictures.

use crate::ExportError;
use crate::frames::{ExportFrame, VideoInfo};
use crate::rotation::{Quaternion, between, dot, quaternion_from_matrix};
use posebook_core::geometry::Vec3;
use posebook_models::body::{Body, NUM_BETAS, NUM_JOINTS, PARENTS};
use std::collections::BTreeMap;

/// One track.
#[derive(Debug, Clone, PartialEq)]
pub struct Motion {
    /// The track.
    pub id: u64,
    /// For each key its frame, counted over the frames that were read.
    pub numbers: Vec<u32>,
    /// Rotations of the 24 joints, each relative to its parent, the root's in camera axes: x, y, z, w. Neighboring keys are
    /// in the same half-space.
    pub rotations: Vec<[[f32; 4]; NUM_JOINTS]>,
    /// Translation of the body in camera axes, meters.
    pub translations: Vec<Vec3>,
    betas_sum: [f64; NUM_BETAS],
}

/// A pose of one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Pose {
    /// Rotations of the 24 joints.
    pub rotations: [Quaternion; NUM_JOINTS],
    /// Translation of the body, meters.
    pub translation: [f64; 3],
    /// Whether the track was seen in this frame; if not, the pose is interpolated.
    pub seen: bool,
}

/// All tracks of a video.
#[derive(Debug, Clone)]
pub struct Motions {
    only: Option<u64>,
    tracks: BTreeMap<u64, Motion>,
    /// Presentation time of every frame, seconds from the first.
    times: Vec<f32>,
    first_secs: f64,
    people: u64,
}

impl Motion {
    fn new(id: u64) -> Motion {
        let (numbers, rotations, translations) = (Vec::new(), Vec::new(), Vec::new());
        Motion { id, numbers, rotations, translations, betas_sum: [0.0; NUM_BETAS] }
    }

    /// The mean shape of the track. A shape that changed from frame to frame would change the length of bones.
    pub fn betas(&self) -> [f32; NUM_BETAS] {
        self.betas_sum.map(|sum| (sum / self.numbers.len().max(1) as f64) as f32)
    }

    /// First and last frame in which the track was seen.
    pub fn span(&self) -> (u32, u32) {
        (self.numbers.first().copied().unwrap_or(0), self.numbers.last().copied().unwrap_or(0))
    }

    /// Frames between the first and the last in which the track was not seen.
    pub fn missing(&self) -> usize {
        let (first, last) = self.span();
        (last - first) as usize + 1 - self.numbers.len()
    }

    /// One pose for every frame from the first to the last in which the track was seen; between two keys that are not
    /// neighbors rotations turn evenly and translations move evenly.
    pub fn poses(&self) -> impl Iterator<Item = Pose> {
        let (first, last) = self.span();
        let mut next = 0;
        (first..=last).map(move |number| {
            while self.numbers[next] < number {
                next += 1;
            }
            let pose = |index: usize| Pose {
                rotations: self.rotations[index].map(|rotation| rotation.map(f64::from)),
                translation: self.translations[index].map(f64::from),
                seen: true,
            };
            let to = pose(next);
            if self.numbers[next] == number {
                return to;
            }
            let (before, from) = (self.numbers[next - 1], pose(next - 1));
            let part = f64::from(number - before) / f64::from(self.numbers[next] - before);
            let mix =
                |axis: usize| from.translation[axis] + part * (to.translation[axis] - from.translation[axis]);
            Pose {
                rotations: std::array::from_fn(|joint| {
                    between(&from.rotations[joint], &to.rotations[joint], part)
                }),
                translation: std::array::from_fn(mix),
                seen: false,
            }
        })
    }

    fn push(&mut self, number: u32, person: &crate::ExportPerson) {
        let previous = self.rotations.last();
        let mut rotations = [[0.0; 4]; NUM_JOINTS];
        for (joint, matrix) in person.rotations().enumerate() {
            let quaternion = quaternion_from_matrix(matrix);
            let is_opposite = previous.is_some_and(|all| dot(&all[joint].map(f64::from), &quaternion) < 0.0);
            let sign = if is_opposite { -1.0 } else { 1.0 };
            rotations[joint] = quaternion.map(|value| (sign * value) as f32);
        }
        self.numbers.push(number);
        self.rotations.push(rotations);
        self.translations.push(person.translation);
        for (sum, beta) in self.betas_sum.iter_mut().zip(person.params.betas) {
            *sum += f64::from(beta);
        }
    }
}

impl Motions {
    /// Collects all tracks, or track `only`.
    pub fn new(only: Option<u64>) -> Motions {
        Motions { only, tracks: BTreeMap::new(), times: Vec::new(), first_secs: 0.0, people: 0 }
    }

    /// Adds the people of the next frame who were seen in it.
    ///
    /// # Errors
    /// If the frame is invalid, or not later than the one before.
    pub fn push(&mut self, frame: &ExportFrame) -> Result<(), ExportError> {
        frame.check()?;
        if self.times.is_empty() {
            self.first_secs = frame.time_secs;
        }
        let (number, secs) = (self.times.len() as u32, (frame.time_secs - self.first_secs) as f32);
        if !secs.is_finite() || self.times.last().is_some_and(|last| *last >= secs) {
            return Err(ExportError::Tracks(format!(
                "frame {} is at {} s, which is not later than the frame before: give results of one run, whose frames are in \
                 order",
                frame.index, frame.time_secs
            )));
        }
        self.times.push(secs);
        let only = self.only;
        let wanted = |id: u64| only.is_none_or(|only| only == id);
        for person in frame.people.iter().filter(|person| person.tracked_time == 0 && wanted(person.id)) {
            self.tracks.entry(person.id).or_insert_with(|| Motion::new(person.id)).push(number, person);
            self.people += 1;
        }
        Ok(())
    }

    /// The tracks, by id.
    ///
    /// # Errors
    /// If there is none.
    pub fn tracks(&self) -> Result<Vec<&Motion>, ExportError> {
        if !self.tracks.is_empty() {
            return Ok(self.tracks.values().collect());
        }
        let frames = self.times.len();
        Err(ExportError::Tracks(match self.only {
            Some(id) => format!(
                "no track {id} in {frames} frames; posebook export ... --as csv lists the tracks that there are"
            ),
            None => format!(
                "no track in {frames} frames, so there is nothing to export: tracks are confirmed after phalp.n_init frames; use a \
                 longer video, or a lower phalp.n_init"
            ),
        }))
    }

    /// Presentation time of every frame, seconds from the first.
    pub fn times(&self) -> &[f32] {
        &self.times
    }

    /// People in all tracks.
    pub fn people(&self) -> u64 {
        self.people
    }

    /// A note if frames do not follow each other at an even rate, for formats that have only a rate.
    pub fn uneven_note(&self, video: &VideoInfo) -> Option<String> {
        let off = |(number, secs): (usize, &f32)| (f64::from(*secs) * video.fps - number as f64).abs();
        let most = self.times.iter().enumerate().map(off).fold(0.0, f64::max);
        (most > 0.5).then(|| {
            format!(
                "the video's frames are not evenly spaced (up to {most:.1} frames off {} per second), and the format has only \
                 one rate",
                video.fps
            )
        })
    }
}

/// Checks that a body has SMPL's skeleton, which the names of bones stand for.
///
/// # Errors
/// If it has another.
pub fn check_skeleton(body: &Body, format: &'static str) -> Result<(), ExportError> {
    let mut joints = body.parents.iter().zip(PARENTS).enumerate();
    match joints.find(|(_, (found, wanted))| **found != *wanted) {
        Some((joint, (&found, wanted))) => Err(ExportError::Skeleton { joint, found, wanted, format }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::tests::frame;

    fn collected(seen: &[&[u64]]) -> Motions {
        let mut motions = Motions::new(None);
        seen.iter().enumerate().for_each(|(number, ids)| motions.push(&frame(number as u64, ids)).unwrap());
        motions
    }

    #[test]
    fn gaps_are_filled_evenly() {
        let motions = collected(&[&[], &[1], &[1], &[], &[], &[], &[1, 2]]);
        let tracks = motions.tracks().unwrap();
        let first = tracks[0];
        assert_eq!((first.span(), first.missing(), first.numbers.len()), ((1, 6), 3, 3));
        let poses: Vec<Pose> = first.poses().collect();
        let seen: Vec<bool> = poses.iter().map(|pose| pose.seen).collect();
        assert_eq!(seen, [true, true, false, false, false, true]);
        let x: Vec<f64> = poses.iter().map(|pose| pose.translation[0]).collect();
        // from frame 2 to frame 6
        assert!((x[3] - 0.5 * (x[1] + x[5])).abs() < 1e-6 && x[5] != x[1], "{x:?}");
        assert_eq!(tracks[1].poses().count(), 1);
    }

    #[test]
    fn neighboring_rotations_are_in_one_half_space() {
        let motions = collected(&[&[1][..]; 90]);
        let track = motions.tracks().unwrap()[0].clone();
        for pair in track.rotations.windows(2) {
            for (a, b) in pair[0].iter().zip(&pair[1]) {
                assert!(dot(&a.map(f64::from), &b.map(f64::from)) > 0.0);
            }
        }
        // the root turned once around, so that it came back as its negative
        let (first, last) = (track.rotations[0][0], track.rotations[72][0]);
        assert!(dot(&first.map(f64::from), &last.map(f64::from)) < -0.9);
    }

    #[test]
    fn wrong_input_is_an_error_that_says_what_to_do() {
        let message = |motions: &Motions| motions.tracks().unwrap_err().to_string();
        assert!(message(&collected(&[&[], &[]])).contains("lower phalp.n_init"));
        let mut other = Motions::new(Some(7));
        other.push(&frame(0, &[1])).unwrap();
        assert!(message(&other).contains("no track 7"));
        let twice = other.push(&frame(1, &[3, 3])).unwrap_err().to_string();
        assert!(twice.contains("frame 1, track 3: the track occurs twice"), "{twice}");
        assert!(other.push(&frame(0, &[1])).unwrap_err().to_string().contains("not later"));
        let mut broken = frame(5, &[1]);
        broken.people[0].params.body_pose[4][1][1] = f32::NAN;
        let error = other.push(&broken).unwrap_err().to_string();
        assert!(error.contains("frame 5, track 1: the pose"), "{error}");
        let mut body = Body::built_in();
        assert!(check_skeleton(&body, "BVH").is_ok());
        body.parents[5] = Some(1);
        assert!(check_skeleton(&body, "BVH").unwrap_err().to_string().contains("joint 5"));
    }
}
