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

/// A person on its way into the tracker.
#[derive(Debug, Clone)]
struct Arrival {
    seen: Observation,
    bbox: BBox,
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
        let mut arrivals: Vec<Option<Arrival>> =
            arrivals.into_iter().map(|(seen, bbox)| Some(Arrival { seen, bbox })).collect();
        let pairing = pair(costs, self.settings.hungarian_th);
        let mut update = Update { unmatched_persons: pairing.free_persons.clone(), ..Update::default() };

        for (member, person) in self.tracks.iter_mut().zip(&pairing.person_of_track) {
            member.track.grow_older();
            let arrival = person.and_then(|person| Some((person, arrivals[person].take()?)));
            if let Some((person_index, Arrival { seen, bbox })) = arrival {
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
            if let Some(Arrival { seen, bbox }) = arrivals[person_index].take() {
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
