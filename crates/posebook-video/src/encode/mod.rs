//! TODO-DOC encode

pub mod audio;
pub mod encoder;
pub mod ivf;
