//! Trains a small HMR2 on synthetic crops that are generated on the fly.
//!
//! A background thread generates crops of synthetic people (`generator`) from a seed and a running number, so the same
//! settings give the same examples. The network of [`posebook_models::hmr2`] trains on them. The state is saved in a checkpoint
//! that training resumes from, and the averaged weights are exported as a model set. Benchmark clips use other seeds, so
//! none of them is seen in training.
//!
//! `appearance` trains a small encoder of textures on the same people.

mod appearance;
mod auxiliary;
mod batch;
mod checkpoint;
mod degrade;
mod error;
mod evaluate;
mod example;
mod generator;
mod loss;
mod manifest;
mod mirror;
mod muon;
mod optimizer;
mod part_map;
mod people;
mod settings;
mod trainer;

pub use appearance::{
    AppearanceProgress, AppearanceSettings, EncoderLearning, HeldOut, Separation, ViewSettings,
    train_appearance,
};
pub use error::TrainError;
pub use evaluate::Evaluation;
use example::Example;
pub use settings::{LearningSettings, LossWeights, Settings, SynthesisSettings, TrainingKind};
pub use trainer::{Progress, run};
