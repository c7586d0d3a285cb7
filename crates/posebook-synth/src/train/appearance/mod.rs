//! Trains a small encoder of textures: HMAR's encoding head with few channels, for people who are told apart by their clothes.
//!
//! In: settings and a seed. Out: a safetensors file with HMAR's keys, and a manifest with the errors on held-out people.
//!
//! | module | in | out |
//! |---|---|---|
//! | `views` | a seed, numbers of a person and a place | the seen texels of crops of this person |
//! | `network` | weights, maps | embeddings, differentiable |
//! | `triplets` | views | a batch of maps to compare: twice the same person, and another one |
//! | `separation` | an encoder, held-out views | how well its distances tell people apart |
//!
//! The same examples judge the encoder without weights, so that both can be compared.

mod manifest;
mod network;
mod separation;
mod settings;
mod trainer;
mod triplets;
mod views;

pub use separation::{HeldOut, Separation};
pub use settings::{AppearanceSettings, EncoderLearning, ViewSettings};
pub use trainer::{AppearanceProgress, train_appearance};
