//! A person's appearance: a texture map of what a frame shows of them, and its embedding.
//!
//! | module | in | out |
//! |---|---|---|
//! | [`maps`] | a body's atlas, or maps from a file | for each texel its face and the weights of the face's corners |
//! | [`sampler`] | a posed body, its camera, and a crop | a UV map: colors of the texels that the crop shows (4D-Humans' `HMR2023TextureSampler`) |
//! | [`encoder`] | UV maps | embeddings (HMAR's encoding head) |
//!
//! [`AppearanceStage`] runs all of them for the people of a frame.
//!
//! Does not depend on the network that recovered the body, nor on tracking.

pub mod encoder;
mod error;
pub mod maps;
pub mod sampler;
mod settings;
mod stage;

pub use error::AppearanceError;
pub use settings::{EncodeType, EncoderSource, RAW_ENCODER, Settings, Sources, TINY_ENCODER};
pub use stage::{AppearanceStage, Crop, Observed, View};
