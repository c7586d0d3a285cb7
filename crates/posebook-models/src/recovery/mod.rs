//! Human mesh recovery: from a frame with detections to people with SMPL bodies, with one of two networks.
//!
//! HMR2 predicts SMPL parameters from a crop; BlazePose detects landmarks, to which a body is fitted. Both return the same
//! [`Person`](posebook_core::person::Person), so that later stages do not depend on the network. [`ModelSet`] is a file in
//! `models/` that specifies network, weights and body; [`BodyNetwork`] is the pipeline stage. [`DetectorSet`] is such a file for
//! a published person detector, [`PhalpSet`] for PHALP's other files.

mod appearance_sources;
mod architecture;
mod detector;
mod detector_set;
mod error;
mod fetched;
mod frame_people;
mod imported;
mod landmark_bodies;
mod mask;
mod model_set;
mod model_set_file;
mod network;
mod phalp_set;
mod set_file;
mod settings;
mod stamp;
mod weights;
mod weights_entry;

pub use appearance_sources::appearance_sources;
pub use architecture::Architecture;
pub use detector::load_detector;
pub use detector_set::{DetectorImport, DetectorSet, DetectorSetError, DetectorSetFile};
pub use error::RecoveryError;
pub use fetched::{FetchedWeights, models_folder};
pub use frame_people::FramePeople;
pub use imported::{ImportRecord, SourceFile};
pub use model_set::{BodySource, HMR2_MODEL_SET, ModelSet};
pub use network::{BodyNetwork, FrameCrops};
pub use phalp_set::{PhalpPart, PhalpSet, PhalpSetError, PhalpSetFile};
pub use settings::Settings;
pub use weights::Weights;
