//! Runs experiments, single videos and single images.
//!
//! [`plan()`] lists the runs of an experiment, which of them are done and why others cannot run. [`execute()`] makes the
//! missing ones, one at a time, each in a process of its own that is sampled and limited, and writes a report folder.
//! [`track()`] processes one video in the same way. [`detections`] only finds its people, and writes them.
//! [`estimate_resources()`] predicts memory, disk and time of a run from short trial runs. [`images`] reconstructs single images
//! in this process.
//!
//! Groups of files, from the lowest to the highest. A group uses groups above it in this table, never below it.
//!
//! | group | in | out |
//! |---|---|---|
//! | `project` | a folder, signals, events | paths of a project, published weights, the interrupt flag, displayed progress |
//! | `store` | rows, tables and the key of an ended run | folders of stored runs and of reports |
//! | `scoring` | rows of people, ground truth, reference runs | accuracy, agreement and jitter columns; smoothed bodies |
//! | `job` | settings, a dataset, this machine | what one run is: its clip, device, key and status; the files that the runner and the run's process exchange |
//! | `drawing` | frames and rows of people | overlay videos and contact sheets |
//! | `worker` | a job file | row logs and a report: the code of a run's process, the only place where video, detection, body recovery and tracking meet |
//! | `supervisor` | a planned run | its process, started, sampled, limited and classified; its row and tables |
//! | `scheduler` | an experiment | its plan; its executed runs and its report folder |
//! | `track` | a request for one video | a folder with tables, overlay and summary |
//! | [`detections`] | a request for one video | a file of boxes, scores and masks; uses `project`, `supervisor` and `track` only |
//! | `estimate` | a request for one video | memory, disk and time of every video mode |
//! | [`export`] | tables of a run or a `.pkl` of PHALP | glTF, npz, BVH, CSV, MOTChallenge text, `.pkl`; tables; uses `project` and `scoring` only |
//! | [`images`] | a request for images | renderings, meshes and parameters; uses `project` and `store` only |
//!
//! Does not depend on the drawing of charts.

pub mod detections;
mod drawing;
mod error;
mod estimate;
pub mod export;
pub mod images;
mod job;
mod project;
mod scheduler;
mod scoring;
mod store;
mod supervisor;
mod track;
mod worker;

pub use error::RunnerError;
pub use estimate::{ModeEstimate, ResourceBudget, ResourceEstimate, disk_bound, estimate_resources};
pub use job::planned::{PlannedRun, RunStatus};
pub use posebook_core::labels::Outcome;
pub use project::time_estimate::{TimeEstimate, format_duration};
pub use project::{Project, interrupt, progress};
pub use scheduler::execute::{ExecuteOptions, ExperimentResult, execute};
pub use scheduler::plan::{Plan, PlanSize, SizeEstimator, SkippedRuns, plan};
pub use scheduler::search::LimitSearch;
pub use store::key::KeyError;
pub use supervisor::Program;
pub use track::{OpenChoices, TrackRequest, TrackRequestError, TrackResult, track};
pub use worker::run_worker;
