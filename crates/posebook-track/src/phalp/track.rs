//! One track: its history, its predictions, and its state from tentative through confirmed to deleted
//! (`deep_sort_/track.py`).

use super::cues::LocationCue;
use super::features::{Observation, POSE_LENGTH, Pose, Prediction};
use super::ridge;
use super::settings::{AppearanceNeeded, EMBEDDING_BYTES, POSE_BYTES, Settings, TEXTURE_BYTES};
use super::texture;
use posebook_core::appearance::{Appearance, PoseHistory, UvMap};
use posebook_core::person::TrackId;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

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
///
/// The reference also stores the last `n_init + 1` predictions and every texture of the history. Of the predictions it reads
/// the last alone, of the textures the newest when it is matched, so that only those are stored here.
#[derive(Debug, Clone)]
pub struct Track {
    id: TrackId,
    state: TrackState,
    hits: usize,
    age: usize,
    time_since_update: usize,
    /// Without appearance.
    history: VecDeque<Observation>,
    /// Texture map mixed from all matches, if the texture cue compares texture maps.
    texture: Option<Arc<UvMap>>,
    embedding: Option<Arc<[f32]>>,
    /// The predictions made at the end of the last `past_lookback` frames, oldest first.
    predictions: VecDeque<Prediction>,
}

impl Track {
    /// A new track from one observation, which fills the whole history. It is tentative even if `n_init` is 1, as in the
    /// reference, unless it is annotated.
    pub fn new(id: TrackId, mut observation: Observation, settings: &Settings) -> Track {
        let state = if observation.annotated { TrackState::Confirmed } else { TrackState::Tentative };
        let (uv, embedding) = needed(observation.appearance.take(), settings);
        let prediction = Prediction {
            texture: uv.clone(),
            embedding: embedding.clone(),
            ..Prediction::stationary(&observation)
        };
        Track {
            id,
            state,
            hits: 1,
            age: 1,
            time_since_update: 0,
            history: vec![observation; settings.track_history].into(),
            texture: uv,
            embedding,
            predictions: [prediction].into(),
        }
    }

    /// Identity.
    pub fn id(&self) -> TrackId {
        self.id
    }

    /// Current state.
    pub fn state(&self) -> TrackState {
        self.state
    }

    /// Number of matches. With `use_gt` there may be several in a frame.
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

    /// The last observations, oldest first, without appearance.
    pub fn history(&self) -> &VecDeque<Observation> {
        &self.history
    }

    /// The last observation.
    pub fn last(&self) -> &Observation {
        &self.history[self.history.len() - 1]
    }

    /// Prediction for the next frame.
    pub fn prediction(&self) -> &Prediction {
        &self.predictions[self.predictions.len() - 1]
    }

    /// The predictions that people are compared with, oldest first: those made at the end of the last `past_lookback` frames.
    pub fn predictions(&self) -> &VecDeque<Prediction> {
        &self.predictions
    }

    /// Bytes that the track stores, allocations alone; at most [`Settings::bytes_per_track`].
    pub fn state_bytes(&self) -> usize {
        let textures = self.predictions.iter().filter_map(|of| of.texture.as_ref()).chain(&self.texture);
        let textures: HashSet<*const UvMap> = textures.map(Arc::as_ptr).collect();
        let embeddings =
            self.predictions.iter().filter_map(|of| of.embedding.as_ref()).chain(&self.embedding);
        let embeddings: HashSet<*const u8> = embeddings.map(|of| Arc::as_ptr(of).cast()).collect();
        let poses = self.history.len() + self.predictions.len();
        poses * POSE_BYTES + embeddings.len() * EMBEDDING_BYTES + textures.len() * TEXTURE_BYTES
    }

    /// Starts a new frame.
    pub fn increment_time_since_update(&mut self) {
        self.age += 1;
        self.time_since_update += 1;
    }

    /// Records a match in this frame. At a shot change (`shot`) the location of the whole history is replaced by
    /// the new one: locations before a cut do not predict those after it.
    pub fn update(&mut self, mut observation: Observation, shot: bool, settings: &Settings) {
        let Observation { location, annotated, score, .. } = observation;
        let (new, embedding) = needed(observation.appearance.take(), settings);
        self.texture = match (self.texture.take(), new) {
            (Some(old), Some(new)) => Some(Arc::new(texture::mix(&old, &new, settings.alpha, score))),
            (old, new) => old.or(new),
        };
        self.embedding = embedding;
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

    /// The input of the pose predictor; `None` if the history holds joints.
    pub(super) fn pose_history(&self) -> Option<PoseHistory<'_>> {
        let poses = self.history.iter().map(|observation| match &observation.pose {
            Pose::Smpl(vector) => Some(&**vector),
            Pose::Joints(_) => None,
        });
        Some(PoseHistory {
            poses: poses.collect::<Option<Vec<&[f32; POSE_LENGTH]>>>()?,
            frames: self.history.iter().map(|observation| observation.frame_index).collect(),
            frames_since_match: self.time_since_update,
        })
    }

    /// Computes the prediction for the next frame. `pose` is the predicted pose; without it the last one is taken.
    pub fn predict(&mut self, settings: &Settings, pose: Option<Pose>) {
        let mut prediction = match settings.cues.location {
            LocationCue::Ridge => ridge::predict(self.history.iter(), self.time_since_update),
            LocationCue::Off | LocationCue::Last => Prediction::stationary(self.last()),
        };
        if let Some(pose) = pose {
            prediction.pose = pose;
        }
        prediction.texture.clone_from(&self.texture);
        prediction.embedding.clone_from(&self.embedding);
        if self.predictions.len() >= settings.past_lookback {
            self.predictions.pop_front();
        }
        self.predictions.push_back(prediction);
    }
}

/// The texture, if the cues compare textures, and the embedding. The embedding is stored wherever people have one, because
/// any frame may turn out to begin a shot.
fn needed(appearance: Option<Appearance>, settings: &Settings) -> (Option<Arc<UvMap>>, Option<Arc<[f32]>>) {
    let Some(Appearance { uv, embedding }) = appearance else { return (None, None) };
    match settings.appearance_needed(true) {
        AppearanceNeeded::Nothing => (None, None),
        AppearanceNeeded::Embedding => (None, Some(embedding)),
        AppearanceNeeded::Texture => (Some(uv), Some(embedding)),
    }
}
