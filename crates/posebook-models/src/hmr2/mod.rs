//! HMR2 (Goel et al. 2023, 4D-Humans): recovers SMPL parameters and a camera from a crop of a person.
//!
//! In: frames with detections; out: people with SMPL parameters, joints and translations. [`config`] has the sizes,
//! [`network`] the network, [`crop`] the crops of PHALP and of the demo, [`camera`] the conversion to the frame, and
//! [`Hmr2`] runs all of them. Does not depend on tracking, nor on where frames, boxes and weights come from.

pub mod backbone;
pub mod camera;
pub mod config;
pub mod cost;
pub mod crop;
mod error;
pub mod footprint;
pub mod formula;
mod frame_crops;
pub mod head;
pub mod mask;
pub mod network;
mod recover;
mod settings;

pub use config::Config;
pub use error::Hmr2Error;
pub use frame_crops::FrameCrops;
pub use head::Prediction;
pub use network::Network;
pub use posebook_core::labels::Precision;
pub use recover::{Hmr2, person_from_params};
pub use settings::{Attention, Settings};
