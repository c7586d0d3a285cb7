//! Tables and notebooks.

pub mod cell;
pub mod format;
pub mod report;
pub mod tables;
