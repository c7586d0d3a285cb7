//! PHALP's tracker (Rajasegaran et al., CVPR 2022; `brjathu/PHALP`: `phalp/trackers/PHALP.py`,
//! `phalp/external/deep_sort_/`): assigns identities to the detected people of each frame.
//!
//! Each track predicts the location and pose of its person in the next frame; the people of that frame are assigned
//! to the tracks at the least total cost, with costs above a threshold excluded (gating). A track is tentative
//! until it was matched [`Settings::n_init`] times in a row, then confirmed; when unmatched it is lost, and deleted
//! after more than [`Settings::max_age_track`] frames.
//!
//! [`Tracker::update`] returns the tracks of a frame once they are final: at most `n_init - 1` frames later. Memory
//! is bounded by the number of people in a frame, not by the length of the video.
//!
//! Appearance and learned poses come from networks behind traits: [`Networks`].
//!
//! Input: the [`Person`](posebook_core::person::Person)s of each frame, or only their boxes
//! ([`Tracker::update_boxes`]), frame by frame in order. Output: [`FrameTracks`]. Does not depend on detectors or pixels.

mod association;
mod cost;
mod cues;
mod error;
mod features;
mod networks;
mod pending;
mod ridge;
mod settings;
#[cfg(test)]
mod testing;
mod texture;
mod track;
mod tracker;

pub use association::{Association, AssociationRecord};
pub use cost::{CostEquation, CostTerms};
pub use cues::{CueLettersError, Cues, LocationCue, PoseCue, PoseDistance, TextureCue};
pub use error::TrackError;
pub use features::{
    JOINTS_LENGTH, LOCATION_LENGTH, Location, Observation, POSE_LENGTH, Pose, Prediction, location_vector,
    params_from_pose_vector, pose_vector,
};
pub use networks::Networks;
pub use pending::{FrameTrack, FrameTracks};
pub use ridge::predict;
pub use settings::{AppearanceNeeded, Settings, SettingsError};
pub use texture::{mix, uv_distances};
pub use track::{Track, TrackState};
pub use tracker::Tracker;
