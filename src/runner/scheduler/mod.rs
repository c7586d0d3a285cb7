//! TODO-DOC scheduler

pub mod bisect;
pub mod contact_sheets;
pub mod execute;
pub mod plan;
pub mod planner;
pub mod search;
