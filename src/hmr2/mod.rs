//! HMR2: from a crop of a person to SMPL's parameters and a camera (Goel et al. 2023, 4D-Humans).
//!
//! [`config`] has the sizes, [`network`] the arithmetic, [`crop`] the pictures as PHALP cuts them out,
//! [`camera`] the way back into the frame, and [`Hmr2`] joins them. Must not know tracks, nor where frames,
//! boxes and weights come from.

pub mod backbone;
pub mod camera;
pub mod config;
pub mod cost;
pub mod crop;
mod error;
pub mod footprint;
pub mod formula;
pub mod head;
pub mod mask;
pub mod network;
mod recover;
mod settings;
mod sight;

pub use config::Config;
pub use error::Hmr2Error;
pub use head::Prediction;
pub use network::Network;
pub use recover::{Hmr2, placed};
pub use settings::{Attention, Precision, Settings};
pub use sight::Sight;
