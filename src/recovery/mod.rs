//! Bodies of the people in frames: one stage, two networks.
//!
//! HMR2 predicts SMPL's parameters from a crop; BlazePose finds landmarks, to which a body is fitted. Both take a
//! frame with detections and give the same [`Person`](crate::person::Person), so that no later stage depends on
//! which network it was. [`ModelSet`] is the file in `models/` that names network, weights and body;
//! [`BodyNetwork`] is the stage.
//!
//! Must not know tracks, nor where frames and detections come from.

mod architecture;
mod detector;
mod error;
mod fetched;
mod imported;
mod landmark_bodies;
mod mask;
mod model_set;
mod network;
mod stamp;

pub use architecture::Architecture;
pub use detector::detector;
pub use error::RecoveryError;
pub use fetched::{Fetched, models_folder};
pub use imported::{Imported, SourceFile};
pub use model_set::{BodySource, ModelSet, PUBLISHED, Weights};
pub use network::{BodyNetwork, FrameCrops, FramePeople, Settings};
