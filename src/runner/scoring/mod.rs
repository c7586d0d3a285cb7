//! TODO-DOC scoring

pub mod accuracy;
pub mod agreement;
pub mod drawing;
pub mod ended;
pub mod jitter;
pub mod smoothing;
pub mod views;
