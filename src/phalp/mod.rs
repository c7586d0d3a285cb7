//! Persons of a frame -> identities: PHALP's tracker (Rajasegaran et al., CVPR 2022;
//! `brjathu/PHALP`: `phalp/trackers/PHALP.py`, `phalp/external/deep_sort_/`).
//!
//! Each track foretells where its person will be and how the body will be posed; the persons of the
//! next frame are paired with the foretellings at the least total cost. A track is tentative until
//! it was seen [`Settings::n_init`] times in a row, confirmed from then on, and lives on as a ghost
//! for up to [`Settings::max_age_track`] frames in which nobody is paired with it.
//!
//! [`Tracker::step`] gives an identity away only when it is final: at most `n_init - 1` frames late.
//! What the tracker holds is bounded by the persons of a frame and never by the length of a video.
//!
//! Must not know how persons were found, nor what a frame looks like.

mod cost;
mod features;
mod pending;
mod ridge;
mod settings;
mod track;
mod tracker;

pub use cost::{Equation, Terms};
pub use features::{
    Expected, Observation, PLACE_LENGTH, POSE_LENGTH, Place, params_from_pose_vector, place_vector,
    pose_vector,
};
pub use pending::{FrameIdentities, Identity};
pub use ridge::foretell;
pub use settings::{Cues, LocationCue, PoseCue, Settings, SettingsError, TextureCue};
pub use track::{State, Track};
pub use tracker::{TrackError, Tracker, Update};
