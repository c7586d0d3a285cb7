//! PHALP's pose predictor: a masked transformer over time (Rajasegaran et al. 2022 and 2023, PHALP and LART).
//!
//! In: the last pose vectors of tracks with their frames; out: the pose vector of each track in the next frame
//! ([`PosePredictor`](posebook_core::appearance::PosePredictor)), or a smoothed track ([`PoseTransformer::smooth`]).
//!
//! A pose vector has 24 rotation matrices, 10 shape coefficients and 3 values of the location. It is normalized, encoded and
//! placed at its frame; positions without a pose have the mask token. Two transformers with a pair of convolutions over time
//! between them give a token per position, from which heads read a pose vector. Does not depend on the tracker.

mod attention;
mod convolution;
mod error;
mod formula;
mod head;
mod layer;
mod network;
mod normalize;
mod predictor;
mod settings;
mod sizes;
mod smooth;

pub use error::PosePredictorError;
pub use formula::FormulaNetwork;
pub use head::{Heads, Readout, Regressed, Regressor};
pub use network::{ActivationCallback, Network, Sequences};
pub use normalize::Normalizer;
pub use predictor::PoseTransformer;
pub use settings::{BatchTime, DEFAULT_MODEL, LongSpan, Settings};
pub use sizes::{Sizes, Structure};
pub use smooth::{SmoothedTrack, SmoothingWindow};
