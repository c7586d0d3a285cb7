//! Plans and executes experiments.
//!
//! In: an experiment. Out: a [`Plan`](plan::Plan) with one planned run per point of the sweep, clip and repeat
//! ([`plan`](mod@plan), [`planner`]), its expected time ([`run_time`], [`frame_count`]), and after [`execute`](mod@execute)
//! a report folder. [`search`] and [`bisect`] find the largest value of a setting with which a run still finishes.

pub mod bisect;
pub mod execute;
pub mod frame_count;
pub mod plan;
pub mod planner;
pub mod run_time;
pub mod search;
