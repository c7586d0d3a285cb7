//! BlazePose GHUM: 33 points of a person in the picture and in space, from a box (Bazarevsky et al. 2020; Grishchenko
//! et al. 2022; Google's networks lite, full and heavy of 2021).
//!
//! The published tflite files are converted once ([`convert`]) to a safetensors file with the graph in it, which
//! [`BlazePose::load`] reads. On the CPU the network runs on our own kernels ([`crate::nn::conv`]), elsewhere on candle.
//!
//! | part | what it does |
//! |---|---|
//! | `convert`, `store`, `graph`, `variant` | from a tflite file to a graph and weights, and to a file and back |
//! | `plan`, `cpu`, `tensors`, `network`, `footprint` | the graph computed, and what that holds |
//! | `region`, `decode`, `observe`, `settings` | from a frame and boxes to landmarks |
//!
//! Must not know who finds boxes, nor what is made of landmarks.

mod convert;
mod cpu;
pub mod decode;
mod error;
mod footprint;
pub mod graph;
mod network;
mod observe;
mod plan;
mod region;
mod settings;
mod store;
mod tensors;
#[cfg(test)]
mod test_network;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_observe;
mod variant;

pub use convert::convert;
pub use cpu::Output;
pub use error::BlazePoseError;
pub use footprint::Footprint;
pub use network::{Network, trace};
pub use observe::{BlazePose, Observation, Target, scaled};
pub use region::Region;
pub use settings::{Precision, Settings};
pub use store::{Converted, Weights};
pub use variant::Variant;
