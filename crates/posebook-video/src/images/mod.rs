//! TODO-DOC images

pub(crate) mod format;
pub(crate) mod jpeg;
pub mod still;
