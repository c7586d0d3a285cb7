//! HMR2: from a crop of a person to SMPL's parameters and a camera (Goel et al. 2023, 4D-Humans).
//!
//! [`config`] has the sizes, [`network`] the arithmetic, [`crop`] the pictures as PHALP cuts them out,
//! [`camera`] the way back into the frame, [`ModelSet`] the file that names weights, and [`Hmr2`]
//! joins them. Must not know tracks, nor where frames and boxes come from.

pub mod backbone;
pub mod camera;
pub mod config;
pub mod cost;
pub mod crop;
mod error;
pub mod footprint;
pub mod formula;
pub mod head;
mod imported;
pub mod mask;
mod model_set;
pub mod network;
mod recover;
mod settings;
mod sight;
mod stamp;
pub mod warp;

pub use config::Config;
pub use error::Hmr2Error;
pub use head::Prediction;
pub use imported::{Imported, SourceFile};
pub use model_set::{BodySource, ModelSet, PUBLISHED, Weights};
pub use network::Network;
pub use recover::Hmr2;
pub use settings::{Attention, Precision, Settings};
pub use sight::Sight;
