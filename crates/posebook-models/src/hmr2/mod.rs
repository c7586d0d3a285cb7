//! HMR2 (Goel et al. 2023, 4D-Humans): recovers SMPL parameters and a camera from a crop of a person.
//!
//! In: frames with detections; out: people with SMPL parameters, joints and translations. [`Config`] has the sizes,
//! [`Network`] is the network, [`crop`] has the crops of PHALP and of the demo, [`camera`] the conversion to the frame,
//! and [`Hmr2`] runs all of them. Does not depend on tracking, nor on where frames, boxes and weights come from.

mod backbone;
pub mod camera;
mod config;
mod cost;
pub mod crop;
mod error;
mod footprint;
pub mod formula;
mod frame_crops;
mod head;
pub mod mask;
mod network;
mod recover;
mod settings;

pub use backbone::{ActivationCallback, Backbone};
pub use config::{BackboneConfig, CAMERA_SIZE, Config, HeadConfig, NUM_BETAS, POSE_SIZE};
pub use cost::MatrixProduct;
pub use error::Hmr2Error;
pub use footprint::{Footprint, Phase};
pub use frame_crops::FrameCrops;
pub use head::{Prediction, SmplHead, rotations_from_6d};
pub use network::Network;
pub use posebook_core::labels::Precision;
pub use recover::{Hmr2, person_from_params};
pub use settings::{Attention, BoxAspect, Settings, Unchanged};
