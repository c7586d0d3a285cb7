//! Shared types and helpers of Posebook.

pub mod archive;
pub mod children;
pub mod download;
pub mod fetch;
pub mod files;
pub mod frame;
pub mod geometry;
pub mod labels;
pub mod landmarks;
pub mod memory;
pub mod npz;
pub mod person;
pub mod provenance;
pub mod random;
pub mod scratch;
pub mod toml_error;
pub mod truth;

#[cfg(test)]
#[path = "../../../tests/common/skip.rs"]
mod test_skip;
