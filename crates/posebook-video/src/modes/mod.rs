//! TODO-DOC modes

pub mod extract;
pub mod indexed;
pub mod prefetch;
pub mod preloaded;
pub mod reader;
pub mod seek;
pub mod sequential;
pub mod synchronous;
