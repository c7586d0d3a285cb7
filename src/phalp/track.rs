//! One identity through time: what it remembers, what it expects, and its way from tentative to
//! confirmed to dropped (`deep_sort_/track.py`).

use super::features::{Expected, Observation};
use super::ridge;
use super::settings::{LocationCue, Settings};
use std::collections::VecDeque;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Seen too few times to be believed; one miss ends it.
    Tentative,
    Confirmed,
    /// Gone, and dropped at the end of the frame.
    Deleted,
}

/// One identity through time.
#[derive(Debug, Clone)]
pub struct Track {
    id: u32,
    state: State,
    hits: usize,
    age: usize,
    misses: usize,
    history: VecDeque<Observation>,
    expected: Expected,
}

impl Track {
    /// A track born of one observation, which fills the whole history.
    pub fn new(id: u32, seen: Observation, settings: &Settings) -> Track {
        let state = if seen.annotated || settings.n_init <= 1 { State::Confirmed } else { State::Tentative };
        let expected = Expected::again(&seen);
        let history = vec![seen; settings.track_history].into();
        Track { id, state, hits: 1, age: 1, misses: 0, history, expected }
    }

    pub fn id(&self) -> u32 {
        self.id
    }

    pub fn state(&self) -> State {
        self.state
    }

    /// Frames in which it was seen.
    pub fn hits(&self) -> usize {
        self.hits
    }

    /// Frames since it was born, that one included.
    pub fn age(&self) -> usize {
        self.age
    }

    /// Frames since it was last seen; 0 when it was seen in this one.
    pub fn misses(&self) -> usize {
        self.misses
    }

    /// The last observations, oldest first.
    pub fn history(&self) -> &VecDeque<Observation> {
        &self.history
    }

    /// What it expects to see in the next frame.
    pub fn expected(&self) -> &Expected {
        &self.expected
    }

    /// Enters a new frame.
    pub fn grow_older(&mut self) {
        self.age += 1;
        self.misses += 1;
    }

    /// Was seen in this frame. At a new shot (`shot`) the whole history moves to the new place,
    /// for where a person stood before a cut says nothing of where it stands after.
    pub fn hit(&mut self, seen: Observation, shot: bool, settings: &Settings) {
        let (place, annotated) = (seen.place, seen.annotated);
        self.history.pop_front();
        self.history.push_back(seen);
        if shot {
            self.history.iter_mut().for_each(|past| past.place = place);
        }
        self.hits += 1;
        self.misses = 0;
        if annotated || (self.state == State::Tentative && self.hits >= settings.n_init) {
            self.state = State::Confirmed;
        }
    }

    /// Was not seen in this frame.
    pub fn miss(&mut self, settings: &Settings) {
        if self.state == State::Tentative || self.misses > settings.max_age_track {
            self.state = State::Deleted;
        }
    }

    /// Makes up its mind about the next frame.
    pub fn look_ahead(&mut self, settings: &Settings) {
        let last = &self.history[self.history.len() - 1];
        self.expected = match settings.cues.location {
            LocationCue::Ridge => ridge::foretell(self.history.iter(), self.misses),
            LocationCue::Off | LocationCue::Last => Expected::again(last),
        };
    }
}
