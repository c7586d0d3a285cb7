//! One track: its history, its prediction, and its state from tentative through confirmed to deleted
//! (`deep_sort_/track.py`).

use super::cues::LocationCue;
use super::features::{Observation, Prediction};
use super::ridge;
use super::settings::Settings;
use posebook_core::person::TrackId;
use std::collections::VecDeque;

/// State of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrackState {
    /// Matched too few times yet; deleted at the first miss.
    Tentative,
    /// Matched `n_init` times, or annotated.
    Confirmed,
    /// Removed at the end of the frame.
    Deleted,
}

/// One track.
#[derive(Debug, Clone)]
pub struct Track {
    id: TrackId,
    state: TrackState,
    hits: usize,
    age: usize,
    time_since_update: usize,
    history: VecDeque<Observation>,
    prediction: Prediction,
}

impl Track {
    /// A new track from one observation, which fills the whole history.
    pub fn new(id: TrackId, observation: Observation, settings: &Settings) -> Track {
        let state = if observation.annotated || settings.n_init <= 1 {
            TrackState::Confirmed
        } else {
            TrackState::Tentative
        };
        let prediction = Prediction::stationary(&observation);
        let history = vec![observation; settings.track_history].into();
        Track { id, state, hits: 1, age: 1, time_since_update: 0, history, prediction }
    }

    /// Identity.
    pub fn id(&self) -> TrackId {
        self.id
    }

    /// Current state.
    pub fn state(&self) -> TrackState {
        self.state
    }

    /// Frames in which the track was matched.
    pub fn hits(&self) -> usize {
        self.hits
    }

    /// Frames since the track was created, that one included.
    pub fn age(&self) -> usize {
        self.age
    }

    /// Frames since the last match; 0 when matched in this frame.
    pub fn time_since_update(&self) -> usize {
        self.time_since_update
    }

    /// The last observations, oldest first.
    pub fn history(&self) -> &VecDeque<Observation> {
        &self.history
    }

    /// Prediction for the next frame.
    pub fn prediction(&self) -> &Prediction {
        &self.prediction
    }

    /// Starts a new frame.
    pub fn increment_time_since_update(&mut self) {
        self.age += 1;
        self.time_since_update += 1;
    }

    /// Records a match in this frame. At a shot change (`shot`) the location of the whole history is replaced by
    /// the new one: locations before a cut do not predict those after it.
    pub fn update(&mut self, observation: Observation, shot: bool, settings: &Settings) {
        let (location, annotated) = (observation.location, observation.annotated);
        self.history.pop_front();
        self.history.push_back(observation);
        if shot {
            self.history.iter_mut().for_each(|past| past.location = location);
        }
        self.hits += 1;
        self.time_since_update = 0;
        if annotated || (self.state == TrackState::Tentative && self.hits >= settings.n_init) {
            self.state = TrackState::Confirmed;
        }
    }

    /// Records that the track was not matched in this frame.
    pub fn mark_missed(&mut self, settings: &Settings) {
        if self.state == TrackState::Tentative || self.time_since_update > settings.max_age_track {
            self.state = TrackState::Deleted;
        }
    }

    /// Computes the prediction for the next frame.
    pub fn predict(&mut self, settings: &Settings) {
        let last = &self.history[self.history.len() - 1];
        self.prediction = match settings.cues.location {
            LocationCue::Ridge => ridge::predict(self.history.iter(), self.time_since_update),
            LocationCue::Off | LocationCue::Last => Prediction::stationary(last),
        };
    }
}
