//! BlazePose GHUM: detects 33 landmarks of a person in image and world coordinates, given a box (Bazarevsky et al. 2020;
//! Grishchenko et al. 2022; Google's networks lite, full and heavy of 2021).
//!
//! The published tflite files are converted once ([`convert()`]) to a safetensors file that contains the graph, which
//! [`BlazePose::load`] reads. On the CPU the network runs on the crate's own kernels (`crate::conv`), elsewhere on candle.
//!
//! Input: a frame and boxes (optionally the regions of the previous frame). Output: one [`PoseObservation`] per box.
//!
//! | part | what it does |
//! |---|---|
//! | `convert`, `store`, `graph`, `variant` | converts a tflite file to a graph and weights; stores and loads them |
//! | `plan`, `cpu`, `candle_network`, `network`, `footprint` | executes the graph; computes its memory use |
//! | `region`, `decode`, `observe`, `settings` | crops regions of a frame and decodes the outputs to landmarks |
//!
//! Does not depend on the source of the boxes or on the use of the landmarks.

mod candle_network;
mod convert;
mod cpu;
mod decode;
mod error;
mod footprint;
mod graph;
mod network;
mod observe;
#[cfg(test)]
mod observe_tests;
mod plan;
mod region;
mod settings;
mod store;
#[cfg(test)]
mod test_network;
#[cfg(test)]
mod tests;
mod variant;

pub use convert::convert;
pub use cpu::Output;
pub use decode::{DecodedPose, decode};
pub use error::BlazePoseError;
pub use footprint::Footprint;
pub use graph::{Activation, Graph, Node, Op, Outputs, Window};
pub use network::{Network, trace};
pub use observe::{BlazePose, PoseObservation, Target, normalize_pixels};
pub use region::Region;
pub use settings::Settings;
pub use store::{ConvertedNetwork, WeightTensor};
pub use variant::Variant;
