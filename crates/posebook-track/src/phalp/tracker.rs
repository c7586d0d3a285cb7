//! The tracker: assigns the people of each frame to tracks (`deep_sort_/tracker.py`,
//! `deep_sort_/linear_assignment.py`, `PHALP.track`).

use super::cost::CostTerms;
use super::features::Observation;
use super::pending::{FrameTrack, FrameTracks, PendingFrames};
use super::settings::{Settings, SettingsError};
use super::track::{Track, TrackState};
use crate::assignment::{Costs, jonker_volgenant};
use posebook_core::frame::FrameSize;
use posebook_core::person::{BBox, Person, TrackId, pixel_from_square};

/// Costs above the threshold are set to the threshold plus this value.
const ABOVE_THRESHOLD: f64 = 1e-5;

/// A frame that cannot be tracked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrackError {
    /// Frames have to be given in ascending order.
    #[error("frame {frame_index} comes after frame {last}; give the tracker frames in ascending order")]
    Order {
        /// The frame.
        frame_index: usize,
        /// The previous frame.
        last: usize,
    },
    /// A person cannot be tracked.
    #[error(
        "frame {frame_index}: person {person_index} has a pose or location that is missing or not finite; \
         leave the person out"
    )]
    Person {
        /// The frame.
        frame_index: usize,
        /// Index of the person in the frame.
        person_index: usize,
    },
    /// A box cannot be tracked.
    #[error("frame {frame_index}: box {box_index} is empty or not finite; leave the box out")]
    Box {
        /// The frame.
        frame_index: usize,
        /// Index of the box in the frame.
        box_index: usize,
    },
}

/// The assignment of one frame's people to tracks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Association {
    /// Matched tracks with the index of their person, ascending by track.
    pub matches: Vec<(TrackId, usize)>,
    /// Tracks without a person.
    pub unmatched_tracks: Vec<TrackId>,
    /// People without a track, in the order in which new tracks are created for them.
    pub unmatched_persons: Vec<usize>,
    /// Tracks deleted in this frame.
    pub deleted: Vec<TrackId>,
}

/// Assigns identities to people, frame by frame.
#[derive(Debug, Clone)]
pub struct Tracker {
    settings: Settings,
    tracks: Vec<LiveTrack>,
    next_id: u32,
    last_frame: Option<usize>,
    shot: bool,
    pending: PendingFrames,
}

/// A live track with the box and person index of its last match.
#[derive(Debug, Clone)]
struct LiveTrack {
    track: Track,
    bbox: BBox,
    person_index: usize,
}

impl Tracker {
    /// A tracker without tracks.
    ///
    /// # Errors
    /// If a setting is outside the tracker's limits.
    pub fn new(settings: Settings) -> Result<Tracker, SettingsError> {
        settings.check()?;
        let (tracks, pending) = (Vec::new(), PendingFrames::default());
        Ok(Tracker { settings, tracks, next_id: 1, last_frame: None, shot: false, pending })
    }

    /// Marks the next frame as the first of a new shot. Only tests call this, because there is no
    /// shot detection yet.
    pub fn begin_shot(&mut self) {
        self.shot = true;
    }

    /// Tracks the people of one frame of `size`.
    ///
    /// Returns the frames that became final, oldest first, each once, also those without tracks: usually this
    /// frame, at the latest `n_init - 1` frames later.
    ///
    /// # Errors
    /// If frames are out of order, or a person's values are missing or not finite.
    pub fn update(
        &mut self,
        frame_index: usize,
        size: FrameSize,
        persons: &[Person],
    ) -> Result<Vec<FrameTracks>, TrackError> {
        let arrivals = persons.iter().enumerate().map(|(person_index, person)| {
            let observation = Observation::from_person(frame_index, person);
            let observation = observation.ok_or(TrackError::Person { frame_index, person_index })?;
            Ok((observation, person.detection.bbox))
        });
        self.update_with_arrivals(frame_index, size, arrivals.collect::<Result<_, TrackError>>()?)
    }

    /// As [`Tracker::update`], for people of whom only the boxes are known, in pixels of the frame: see
    /// [`Observation::from_box`]. The pose cue then has no effect.
    ///
    /// # Errors
    /// If frames are out of order, or a box is empty or not finite.
    pub fn update_boxes(
        &mut self,
        frame_index: usize,
        size: FrameSize,
        boxes: &[BBox],
    ) -> Result<Vec<FrameTracks>, TrackError> {
        let arrivals = boxes.iter().enumerate().map(|(box_index, bbox)| {
            let observation = Observation::from_box(frame_index, size, bbox);
            Ok((observation.ok_or(TrackError::Box { frame_index, box_index })?, *bbox))
        });
        self.update_with_arrivals(frame_index, size, arrivals.collect::<Result<_, TrackError>>()?)
    }

    fn update_with_arrivals(
        &mut self,
        frame_index: usize,
        size: FrameSize,
        arrivals: Vec<(Observation, BBox)>,
    ) -> Result<Vec<FrameTracks>, TrackError> {
        let costs = self.costs(arrivals.iter().map(|(observation, _)| observation));
        self.update_with_costs(frame_index, size, arrivals, &costs)?;
        Ok(self.take_final())
    }

    /// Ends the video and returns the remaining frames. Tracks that are still tentative are dropped.
    pub fn finish(&mut self) -> Vec<FrameTracks> {
        self.pending.take_all()
    }

    /// The live tracks, ascending by id.
    pub fn tracks(&self) -> impl ExactSizeIterator<Item = &Track> {
        self.tracks.iter().map(|member| &member.track)
    }

    /// Frames whose tracks are not final yet.
    pub fn pending_frames(&self) -> usize {
        self.pending.len()
    }

    /// Index of the person that track `id` last matched, in the frame of that match.
    pub fn person_index(&self, id: TrackId) -> Option<usize> {
        self.tracks.iter().find(|member| member.track.id() == id).map(|member| member.person_index)
    }

    /// Cost matrix of tracks (rows, ascending by id) and people (columns), before gating.
    pub fn costs<'a>(&self, observations: impl Iterator<Item = &'a Observation>) -> Costs {
        let observations: Vec<&Observation> = observations.collect();
        let Settings { cues, distance_type, .. } = self.settings;
        Costs::from_fn(self.tracks.len(), observations.len(), |track, person| {
            let terms = CostTerms::between(self.tracks[track].track.prediction(), observations[person], cues);
            distance_type.cost(&terms, self.shot)
        })
    }

    /// Tracks one frame with given costs: the second half of [`Tracker::update`].
    ///
    /// # Errors
    /// If frames are out of order.
    ///
    /// # Panics
    /// If the cost matrix is not tracks x arrivals.
    pub fn update_with_costs(
        &mut self,
        frame_index: usize,
        size: FrameSize,
        arrivals: Vec<(Observation, BBox)>,
        costs: &Costs,
    ) -> Result<Association, TrackError> {
        if let Some(last) = self.last_frame.filter(|&last| last >= frame_index) {
            return Err(TrackError::Order { frame_index, last });
        }
        assert_eq!(
            (costs.rows(), costs.columns()),
            (self.tracks.len(), arrivals.len()),
            "costs of another frame"
        );
        self.last_frame = Some(frame_index);
        let shot = std::mem::take(&mut self.shot);
        let mut arrivals: Vec<Option<(Observation, BBox)>> = arrivals.into_iter().map(Some).collect();
        let pairing = associate(costs, self.settings.hungarian_th);
        let mut update =
            Association { unmatched_persons: pairing.free_persons.clone(), ..Association::default() };

        for (member, person) in self.tracks.iter_mut().zip(&pairing.person_of_track) {
            member.track.increment_time_since_update();
            let arrival = person.and_then(|person| Some((person, arrivals[person].take()?)));
            if let Some((person_index, (observation, bbox))) = arrival {
                update.matches.push((member.track.id(), person_index));
                member.track.update(observation, shot, &self.settings);
                (member.bbox, member.person_index) = (bbox, person_index);
            } else {
                update.unmatched_tracks.push(member.track.id());
                member.track.mark_missed(&self.settings);
            }
            member.track.predict(&self.settings);
        }
        for person_index in pairing.free_persons {
            if let Some((observation, bbox)) = arrivals[person_index].take() {
                let track = Track::new(TrackId(self.next_id), observation, &self.settings);
                self.tracks.push(LiveTrack { track, bbox, person_index });
                self.next_id += 1;
            }
        }
        self.record(frame_index, size, &mut update);
        Ok(update)
    }

    /// Removes and returns the frames that became final since the last call.
    pub fn take_final(&mut self) -> Vec<FrameTracks> {
        self.pending.take_final()
    }

    /// Records the tracks of this frame, and removes deleted tracks.
    fn record(&mut self, frame_index: usize, size: FrameSize, update: &mut Association) {
        self.pending.begin_frame(frame_index);
        for LiveTrack { track, bbox, person_index } in &self.tracks {
            if track.state() == TrackState::Deleted {
                self.pending.discard(track.id());
                update.deleted.push(track.id());
                continue;
            }
            let confirmed = track.state() == TrackState::Confirmed;
            let identity = FrameTrack {
                track_id: track.id(),
                person_index: (track.time_since_update() == 0).then_some(*person_index),
                time_since_update: track.time_since_update(),
                bbox: *bbox,
                predicted_in_image: pixel_from_square(
                    track.prediction().location.in_square,
                    size.width,
                    size.height,
                ),
            };
            self.pending.add(identity, confirmed);
            if confirmed {
                self.pending.confirm(track.id());
            }
        }
        self.tracks.retain(|member| member.track.state() != TrackState::Deleted);
    }
}

/// The assignment of one frame.
struct Pairs {
    person_of_track: Vec<Option<usize>>,
    /// People without a track: first those left over by the assignment, then those whose assignment costs more than
    /// the threshold, in the order of the tracks. New tracks are numbered in this order.
    free_persons: Vec<usize>,
}

/// Assignment of least total cost, after costs above `threshold` are made equal; assignments above it are undone.
fn associate(costs: &Costs, threshold: f64) -> Pairs {
    let clipped = Costs::from_fn(costs.rows(), costs.columns(), |track, person| {
        let cost = costs.get(track, person);
        if cost > threshold { threshold + ABOVE_THRESHOLD } else { cost }
    });
    let mut person_of_track = jonker_volgenant(&clipped);
    let mut left_over = vec![true; costs.columns()];
    person_of_track.iter().flatten().for_each(|&person| left_over[person] = false);
    let mut free_persons: Vec<usize> = (0..costs.columns()).filter(|&person| left_over[person]).collect();
    for (track, slot) in person_of_track.iter_mut().enumerate() {
        if let Some(person) = slot.take_if(|person| clipped.get(track, *person) > threshold) {
            free_persons.push(person);
        }
    }
    Pairs { person_of_track, free_persons }
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_core::geometry::IDENTITY;
    use posebook_core::person::{Detection, SmplParams};
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    const SIZE: FrameSize = FrameSize::new(640, 480);

    /// A person at column `x` (0 to 1) of the image, 30 m from PHALP's camera.
    fn person(x: f32) -> Person {
        let params = SmplParams { betas: [0.0; 10], global_orient: IDENTITY, body_pose: [IDENTITY; 23] };
        let bbox = BBox { x1: 640.0 * x - 20.0, y1: 100.0, x2: 640.0 * x + 20.0, y2: 200.0 };
        Person {
            detection: Detection { bbox, score: 1.0, input_id: None },
            params,
            crop_camera: [0.9, 0.0, 0.0],
            translation: [(x - 0.5) * 30.0 * 256.0 / 5000.0, 0.0, 30.0],
            joints: vec![[0.0; 3]; 44],
            joints_in_square: vec![[x, 0.5]; 45],
            confidence: None,
            mask: None,
        }
    }

    fn tracker() -> Tracker {
        Tracker::new(Settings::default()).unwrap()
    }

    #[test]
    fn a_confirmed_track_covers_its_tentative_frames() {
        let mut tracker = tracker();
        for frame in 0..4 {
            assert!(tracker.update(frame, SIZE, &[person(0.5)]).unwrap().is_empty());
        }
        let final_frames = tracker.update(4, SIZE, &[person(0.5)]).unwrap();
        assert_eq!(final_frames.iter().map(|of| of.frame_index).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert!(final_frames.iter().all(|of| of.tracks.len() == 1 && of.tracks[0].person_index == Some(0)));
        let lost = &tracker.update(5, SIZE, &[]).unwrap()[0].tracks[0];
        assert!(lost.is_lost());
        assert_eq!((lost.time_since_update, lost.bbox), (1, person(0.5).detection.bbox));
        assert!((lost.predicted_in_image[0] - 320.0).abs() < 1.0);
    }

    #[test]
    fn a_tentative_track_that_is_missed_is_dropped() {
        let mut tracker = tracker();
        for frame in 0..3 {
            tracker.update(frame, SIZE, &[person(0.5)]).unwrap();
        }
        let final_frames = tracker.update(3, SIZE, &[]).unwrap();
        assert_eq!(final_frames.len(), 4);
        assert!(final_frames.iter().all(|of| of.tracks.is_empty()));
        tracker.update(4, SIZE, &[person(0.5)]).unwrap();
        assert_eq!(tracker.finish(), [FrameTracks { frame_index: 4, tracks: Vec::new() }]);
    }

    #[test]
    fn a_lost_track_is_deleted_after_its_maximum_age() {
        let mut tracker = tracker();
        for frame in 0..10 {
            tracker.update(frame, SIZE, &[person(0.5)]).unwrap();
        }
        let lost_frames =
            (10..100).filter(|&frame| !tracker.update(frame, SIZE, &[]).unwrap()[0].tracks.is_empty());
        assert_eq!(lost_frames.count(), 50);
    }

    #[test]
    fn untrackable_input_is_an_error() {
        let mut tracker = tracker();
        tracker.update(3, SIZE, &[]).unwrap();
        let again = tracker.update(3, SIZE, &[]).unwrap_err();
        assert_eq!(
            again.to_string(),
            "frame 3 comes after frame 3; give the tracker frames in ascending order"
        );
        let mut broken = person(0.5);
        broken.translation[2] = f32::NAN;
        let error = tracker.update(4, SIZE, &[person(0.2), broken]).unwrap_err();
        assert_eq!(error, TrackError::Person { frame_index: 4, person_index: 1 });
        let boxes = [person(0.2).detection.bbox, BBox { x1: 9.0, y1: 9.0, x2: 9.0, y2: 20.0 }];
        let error = tracker.update_boxes(4, SIZE, &boxes).unwrap_err();
        assert_eq!(error.to_string(), "frame 4: box 1 is empty or not finite; leave the box out");
    }

    /// Three walking people: per frame those detected (0, 1, 2) and their column.
    fn walk(detected: &[[bool; 3]], speeds: [f32; 3]) -> Vec<Vec<(usize, f32)>> {
        let column = |index: usize, frame: usize| 0.2 + 0.3 * index as f32 + speeds[index] * frame as f32;
        let frame = |(frame, detected): (usize, &[bool; 3])| {
            (0..3).filter(|&index| detected[index]).map(|index| (index, column(index, frame))).collect()
        };
        detected.iter().enumerate().map(frame).collect()
    }

    /// Tracks `frames`; per frame the pairs of person and track.
    fn identities(frames: &[Vec<(usize, f32)>]) -> Vec<BTreeSet<(usize, TrackId)>> {
        let mut tracker = tracker();
        let mut final_frames = Vec::new();
        for (frame, people) in frames.iter().enumerate() {
            let persons: Vec<Person> = people.iter().map(|&(_, x)| person(x)).collect();
            final_frames.extend(tracker.update(frame, SIZE, &persons).unwrap());
            assert!(tracker.pending_frames() <= 4);
        }
        final_frames.extend(tracker.finish());
        assert_eq!(final_frames.len(), frames.len());
        let row = |(people, of): (&Vec<(usize, f32)>, FrameTracks)| {
            let ids: BTreeSet<TrackId> = of.tracks.iter().map(|of| of.track_id).collect();
            assert_eq!(ids.len(), of.tracks.len(), "an identity twice in frame {}", of.frame_index);
            let persons: BTreeSet<usize> = of.tracks.iter().filter_map(|of| of.person_index).collect();
            assert_eq!(persons.len(), of.tracks.iter().filter(|of| !of.is_lost()).count());
            of.tracks.iter().filter_map(|of| Some((people[of.person_index?].0, of.track_id))).collect()
        };
        frames.iter().zip(final_frames).map(row).collect()
    }

    proptest! {
        #[test]
        fn the_order_of_people_changes_track_numbers_only(
            detected in prop::collection::vec(prop::array::uniform3(prop::bool::weighted(0.9)), 1..40),
            speeds in prop::array::uniform3(-0.004f32..0.004),
            rotations in prop::collection::vec(0usize..3, 40),
        ) {
            let frames = walk(&detected, speeds);
            let mut reordered = frames.clone();
            for (people, rotation) in reordered.iter_mut().zip(rotations) {
                let by = rotation % people.len().max(1);
                people.rotate_left(by);
            }
            let (original, reordered) = (identities(&frames), identities(&reordered));
            let mut renumbered = BTreeMap::new();
            for (original, reordered) in original.iter().zip(&reordered) {
                prop_assert_eq!(original.len(), reordered.len());
                for ((index, original), (same, reordered)) in original.iter().zip(reordered) {
                    prop_assert_eq!(index, same);
                    prop_assert_eq!(*renumbered.entry(*original).or_insert(*reordered), *reordered);
                }
            }
        }
    }

    #[test]
    fn memory_does_not_grow_with_the_video() {
        let mut tracker = tracker();
        for frame in 0..2000 {
            let flicker = if frame % 3 == 0 { vec![person(0.2)] } else { vec![person(0.2), person(0.8)] };
            tracker.update(frame, SIZE, &flicker).unwrap();
            assert!(tracker.tracks().len() <= 3 && tracker.pending_frames() <= 4);
            assert!(tracker.tracks().all(|track| track.history().len() == 7));
        }
    }
}
