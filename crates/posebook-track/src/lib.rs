//! Tracking and its metrics.

pub mod assignment;
pub mod metrics;
pub mod motchallenge;
pub mod phalp;
