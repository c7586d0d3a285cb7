//! Training a small HMR2 on pictures drawn on the fly.
//!
//! A thread of its own draws crops of synthetic people ([`draw`]) from a seed and a running number, so
//! that the same settings see the same pictures; the network of [`crate::hmr2`] learns from them; what
//! has been learnt is kept in a checkpoint from which training goes on, and given out as a model set.
//! No picture of a benchmark's clip is seen: those draw from other seeds.
//!
//! Must not know experiments, runs or tables.

mod batch;
mod chart;
mod checkpoint;
mod degrade;
pub mod draw;
mod error;
mod evaluate;
mod example;
mod helper;
mod loss;
mod manifest;
mod mirror;
mod muon;
mod optimizer;
mod people;
mod settings;
mod teach;

pub use error::TrainError;
pub use evaluate::{Evaluation, evaluate, held_out};
pub use example::Example;
pub use settings::{Drawing, Learning, LossWeights, Settings};
pub use teach::{Progress, run};
