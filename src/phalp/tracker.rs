//! The tracker: frame by frame, persons are paired with tracks (`deep_sort_/tracker.py`,
//! `deep_sort_/linear_assignment.py`, `PHALP.track`).

use super::cost::Terms;
use super::features::Observation;
use super::pending::{FrameIdentities, Identity, Pending};
use super::settings::{Settings, SettingsError};
use super::track::{State, Track};
use crate::assignment::{Costs, jonker_volgenant};
use crate::person::{BBox, Person, pixel_from_square};

/// What a clipped cost exceeds the threshold by.
const ABOVE_THRESHOLD: f64 = 1e-5;

/// A frame that cannot be tracked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrackError {
    #[error("frame {frame_index} comes after frame {last}; give the tracker frames in rising order")]
    Order { frame_index: usize, last: usize },
    #[error(
        "frame {frame_index}: person {person_index} has a pose or place that is missing or not finite; \
         leave the person out"
    )]
    Person { frame_index: usize, person_index: usize },
}

/// What happened in one frame.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Update {
    /// Track ids with the persons they were paired with, by rising track.
    pub matches: Vec<(u32, usize)>,
    pub unmatched_tracks: Vec<u32>,
    /// Persons paired with no track, in the order in which new tracks are born of them.
    pub unmatched_persons: Vec<usize>,
    /// Tracks that ended.
    pub deleted: Vec<u32>,
}

/// Gives persons identities, frame by frame.
#[derive(Debug, Clone)]
pub struct Tracker {
    settings: Settings,
    tracks: Vec<Member>,
    next_id: u32,
    last_frame: Option<usize>,
    shot: bool,
    pending: Pending,
}

/// A live track, and the box and person that stand for it in what is handed out.
#[derive(Debug, Clone)]
struct Member {
    track: Track,
    bbox: BBox,
    person_index: usize,
}

impl Tracker {
    /// # Errors
    /// If a setting is outside of what the tracker can work with.
    pub fn new(settings: Settings) -> Result<Tracker, SettingsError> {
        settings.check()?;
        let (tracks, pending) = (Vec::new(), Pending::default());
        Ok(Tracker { settings, tracks, next_id: 1, last_frame: None, shot: false, pending })
    }

    /// Says that the next frame begins a new shot.
    pub fn begin_shot(&mut self) {
        self.shot = true;
    }

    /// Tracks through one frame of `width` x `height` pixels.
    ///
    /// Returns the frames that became final, oldest first, each once and also when nobody is in it:
    /// mostly this one, and at the latest `n_init - 1` frames on.
    ///
    /// # Errors
    /// If frames come out of order, or a person's numbers are missing or not finite.
    pub fn step(
        &mut self,
        frame_index: usize,
        width: usize,
        height: usize,
        persons: &[Person],
    ) -> Result<Vec<FrameIdentities>, TrackError> {
        let arrivals = persons.iter().enumerate().map(|(person_index, person)| {
            let seen = Observation::of(frame_index, person);
            let seen = seen.ok_or(TrackError::Person { frame_index, person_index })?;
            Ok((seen, person.detection.bbox))
        });
        let arrivals = arrivals.collect::<Result<Vec<_>, TrackError>>()?;
        let costs = self.costs(arrivals.iter().map(|(seen, _)| seen));
        self.advance(frame_index, [width, height], arrivals, &costs)?;
        Ok(self.take_decided())
    }

    /// Ends the video: the frames that still waited. Tracks that are tentative still are nobody.
    pub fn finish(&mut self) -> Vec<FrameIdentities> {
        self.pending.take_all()
    }

    /// The live tracks, by rising id.
    pub fn tracks(&self) -> impl ExactSizeIterator<Item = &Track> {
        self.tracks.iter().map(|member| &member.track)
    }

    /// Frames whose identities are not final yet.
    pub fn waiting_frames(&self) -> usize {
        self.pending.len()
    }

    /// Which person of the last frame that it was seen in the track `id` is.
    pub fn person_of(&self, id: u32) -> Option<usize> {
        self.tracks.iter().find(|member| member.track.id() == id).map(|member| member.person_index)
    }

    /// The cost of each track (rows, by rising id) for each person (columns), before the threshold.
    pub fn costs<'a>(&self, seen: impl Iterator<Item = &'a Observation>) -> Costs {
        let seen: Vec<&Observation> = seen.collect();
        let Settings { cues, distance_type, .. } = self.settings;
        Costs::from_fn(self.tracks.len(), seen.len(), |track, person| {
            let terms = Terms::between(self.tracks[track].track.expected(), seen[person], cues);
            distance_type.cost(&terms, self.shot)
        })
    }

    /// Tracks through one frame with costs that were computed elsewhere: [`Tracker::step`] in two halves.
    ///
    /// # Errors
    /// If frames come out of order.
    ///
    /// # Panics
    /// If the costs' size is not tracks x arrivals.
    pub fn advance(
        &mut self,
        frame_index: usize,
        size: [usize; 2],
        arrivals: Vec<(Observation, BBox)>,
        costs: &Costs,
    ) -> Result<Update, TrackError> {
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
        let pairing = pair(costs, self.settings.hungarian_th);
        let mut update = Update { unmatched_persons: pairing.free_persons.clone(), ..Update::default() };

        for (member, person) in self.tracks.iter_mut().zip(&pairing.person_of_track) {
            member.track.grow_older();
            let arrival = person.and_then(|person| Some((person, arrivals[person].take()?)));
            if let Some((person_index, (seen, bbox))) = arrival {
                update.matches.push((member.track.id(), person_index));
                member.track.hit(seen, shot, &self.settings);
                (member.bbox, member.person_index) = (bbox, person_index);
            } else {
                update.unmatched_tracks.push(member.track.id());
                member.track.miss(&self.settings);
            }
            member.track.look_ahead(&self.settings);
        }
        for person_index in pairing.free_persons {
            if let Some((seen, bbox)) = arrivals[person_index].take() {
                let track = Track::new(self.next_id, seen, &self.settings);
                self.tracks.push(Member { track, bbox, person_index });
                self.next_id += 1;
            }
        }
        self.record(frame_index, size, &mut update);
        Ok(update)
    }

    /// The frames that became final since this was last asked.
    pub fn take_decided(&mut self) -> Vec<FrameIdentities> {
        self.pending.take_decided()
    }

    /// Notes who is where in this frame, and drops the tracks that ended.
    fn record(&mut self, frame_index: usize, [width, height]: [usize; 2], update: &mut Update) {
        self.pending.open(frame_index);
        for Member { track, bbox, person_index } in &self.tracks {
            if track.state() == State::Deleted {
                self.pending.forget(track.id());
                update.deleted.push(track.id());
                continue;
            }
            let confirmed = track.state() == State::Confirmed;
            let identity = Identity {
                track_id: track.id(),
                person_index: (track.misses() == 0).then_some(*person_index),
                missed_frames: track.misses(),
                bbox: *bbox,
                expected_in_image: pixel_from_square(track.expected().place.in_square, width, height),
            };
            self.pending.note(identity, confirmed);
            if confirmed {
                self.pending.confirm(track.id());
            }
        }
        self.tracks.retain(|member| member.track.state() != State::Deleted);
    }
}

/// Who belongs to whom in a frame.
struct Pairing {
    person_of_track: Vec<Option<usize>>,
    /// Persons without a track: first those that the assignment left over, then those whose pairing
    /// is above the threshold, in the order of the tracks. New tracks are numbered in this order.
    free_persons: Vec<usize>,
}

/// The least total cost, after costs above `threshold` are made equal; such pairings are undone.
fn pair(costs: &Costs, threshold: f64) -> Pairing {
    let clipped = Costs::from_fn(costs.rows(), costs.columns(), |track, person| {
        let cost = costs.at(track, person);
        if cost > threshold { threshold + ABOVE_THRESHOLD } else { cost }
    });
    let mut person_of_track = jonker_volgenant(&clipped);
    let mut left_over = vec![true; costs.columns()];
    person_of_track.iter().flatten().for_each(|&person| left_over[person] = false);
    let mut free_persons: Vec<usize> = (0..costs.columns()).filter(|&person| left_over[person]).collect();
    for (track, slot) in person_of_track.iter_mut().enumerate() {
        if let Some(person) = slot.take_if(|person| clipped.at(track, *person) > threshold) {
            free_persons.push(person);
        }
    }
    Pairing { person_of_track, free_persons }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::IDENTITY;
    use crate::person::{Detection, SmplParams};
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    /// Somebody in the middle of the picture at `x`, 30 m before PHALP's camera.
    fn person(x: f32) -> Person {
        let params = SmplParams { betas: [0.0; 10], global_orient: IDENTITY, body_pose: [IDENTITY; 23] };
        let bbox = BBox { x1: 640.0 * x - 20.0, y1: 100.0, x2: 640.0 * x + 20.0, y2: 200.0 };
        Person {
            detection: Detection { bbox, score: 1.0, truth_id: None },
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
    fn an_identity_is_given_to_the_first_frames_too() {
        let mut tracker = tracker();
        for frame in 0..4 {
            assert!(tracker.step(frame, 640, 480, &[person(0.5)]).unwrap().is_empty());
        }
        let decided = tracker.step(4, 640, 480, &[person(0.5)]).unwrap();
        assert_eq!(decided.iter().map(|of| of.frame_index).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert!(
            decided.iter().all(|of| of.identities.len() == 1 && of.identities[0].person_index == Some(0))
        );
        let ghost = &tracker.step(5, 640, 480, &[]).unwrap()[0].identities[0];
        assert!(ghost.is_ghost());
        assert_eq!((ghost.missed_frames, ghost.bbox), (1, person(0.5).detection.bbox));
        assert!((ghost.expected_in_image[0] - 320.0).abs() < 1.0);
    }

    #[test]
    fn who_is_seen_too_few_times_is_nobody() {
        let mut tracker = tracker();
        for frame in 0..3 {
            tracker.step(frame, 640, 480, &[person(0.5)]).unwrap();
        }
        let decided = tracker.step(3, 640, 480, &[]).unwrap();
        assert_eq!(decided.len(), 4);
        assert!(decided.iter().all(|of| of.identities.is_empty()));
        tracker.step(4, 640, 480, &[person(0.5)]).unwrap();
        assert_eq!(tracker.finish(), [FrameIdentities { frame_index: 4, identities: Vec::new() }]);
    }

    #[test]
    fn a_ghost_is_given_up() {
        let mut tracker = tracker();
        for frame in 0..10 {
            tracker.step(frame, 640, 480, &[person(0.5)]).unwrap();
        }
        let ghosts =
            (10..100).filter(|&frame| !tracker.step(frame, 640, 480, &[]).unwrap()[0].identities.is_empty());
        assert_eq!(ghosts.count(), 50);
    }

    #[test]
    fn what_cannot_be_tracked_is_named() {
        let mut tracker = tracker();
        tracker.step(3, 640, 480, &[]).unwrap();
        let again = tracker.step(3, 640, 480, &[]).unwrap_err();
        assert_eq!(again.to_string(), "frame 3 comes after frame 3; give the tracker frames in rising order");
        let mut broken = person(0.5);
        broken.translation[2] = f32::NAN;
        let error = tracker.step(4, 640, 480, &[person(0.2), broken]).unwrap_err();
        assert_eq!(error, TrackError::Person { frame_index: 4, person_index: 1 });
    }

    /// Three people on their ways, each seen in most frames: per frame who is seen (0, 1, 2) and where.
    fn walk(seen: &[[bool; 3]], speeds: [f32; 3]) -> Vec<Vec<(usize, f32)>> {
        let place = |who: usize, frame: usize| 0.2 + 0.3 * who as f32 + speeds[who] * frame as f32;
        let frame = |(frame, seen): (usize, &[bool; 3])| {
            (0..3).filter(|&who| seen[who]).map(|who| (who, place(who, frame))).collect()
        };
        seen.iter().enumerate().map(frame).collect()
    }

    /// Tracks through `frames`; per frame the pairs of who and identity.
    fn identities(frames: &[Vec<(usize, f32)>]) -> Vec<BTreeSet<(usize, u32)>> {
        let mut tracker = tracker();
        let mut decided = Vec::new();
        for (frame, people) in frames.iter().enumerate() {
            let persons: Vec<Person> = people.iter().map(|&(_, x)| person(x)).collect();
            decided.extend(tracker.step(frame, 640, 480, &persons).unwrap());
            assert!(tracker.waiting_frames() <= 4);
        }
        decided.extend(tracker.finish());
        assert_eq!(decided.len(), frames.len());
        let row = |(people, of): (&Vec<(usize, f32)>, FrameIdentities)| {
            let ids: BTreeSet<u32> = of.identities.iter().map(|of| of.track_id).collect();
            assert_eq!(ids.len(), of.identities.len(), "an identity twice in frame {}", of.frame_index);
            let persons: BTreeSet<usize> = of.identities.iter().filter_map(|of| of.person_index).collect();
            assert_eq!(persons.len(), of.identities.iter().filter(|of| !of.is_ghost()).count());
            of.identities.iter().filter_map(|of| Some((people[of.person_index?].0, of.track_id))).collect()
        };
        frames.iter().zip(decided).map(row).collect()
    }

    proptest! {
        #[test]
        fn the_order_of_persons_changes_names_alone(
            seen in prop::collection::vec(prop::array::uniform3(prop::bool::weighted(0.9)), 1..40),
            speeds in prop::array::uniform3(-0.004f32..0.004),
            turns in prop::collection::vec(0usize..3, 40),
        ) {
            let frames = walk(&seen, speeds);
            let mut turned = frames.clone();
            for (people, turn) in turned.iter_mut().zip(turns) {
                let by = turn % people.len().max(1);
                people.rotate_left(by);
            }
            let (plain, turned) = (identities(&frames), identities(&turned));
            let mut name_of = BTreeMap::new();
            for (plain, turned) in plain.iter().zip(&turned) {
                prop_assert_eq!(plain.len(), turned.len());
                for ((who, plain), (same, turned)) in plain.iter().zip(turned) {
                    prop_assert_eq!(who, same);
                    prop_assert_eq!(*name_of.entry(*plain).or_insert(*turned), *turned);
                }
            }
        }
    }

    #[test]
    fn what_is_held_does_not_grow_with_the_video() {
        let mut tracker = tracker();
        for frame in 0..2000 {
            let flicker = if frame % 3 == 0 { vec![person(0.2)] } else { vec![person(0.2), person(0.8)] };
            tracker.step(frame, 640, 480, &flicker).unwrap();
            assert!(tracker.tracks().len() <= 3 && tracker.waiting_frames() <= 4);
            assert!(tracker.tracks().all(|track| track.history().len() == 7));
        }
    }
}
