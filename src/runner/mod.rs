//! The runner: an experiment's sweep to runs, a process for each, and the stages joined.
//!
//! [`plan()`] says which runs there are, which are done and why the others are not. [`execute()`] makes
//! what is missing, one run at a time in a process of its own ([`watch`]), and lays the rows down in a
//! report folder. Where an experiment searches for a limit, [`search`] chooses the next value by what became of
//! those before ([`bisect`]). [`worker`] is what that process does: the only place where video, detection, mesh
//! recovery and tracking meet. [`track()`] takes one video of the user's own the same way; [`picture`] takes single
//! pictures, in this process.
//!
//! Must not know charts.

mod accuracy;
mod agreement;
mod bisect;
mod card;
mod carry;
mod clips;
pub mod death;
mod defaults;
mod detections;
mod drawing;
mod execute;
mod finish;
mod folder;
mod foresee;
mod frame_count;
mod guess;
pub mod interrupt;
mod jitter;
mod key;
pub mod order;
pub mod picture;
mod pipeline;
mod plan;
mod planner;
pub mod progress;
mod project;
mod results;
mod search;
mod smoothing;
mod stages;
mod store;
mod strips;
mod track;
mod views;
pub mod watch;
pub mod weights;
mod work;
pub mod worker;

pub use death::Outcome;
pub use execute::{Finished, Options, execute};
pub use foresee::{Foreseen, Foresight, foresee};
pub use guess::RoughTime;
pub use plan::{Estimator, LeftOut, Plan, Planned, Rough, Status, plan};
pub use progress::{Event, Listener};
pub use project::Project;
pub use search::Sought;
pub use track::{TrackRequest, Tracked, track};
pub use watch::Program;

use crate::dataset::DatasetError;
use crate::experiment::ExperimentError;
use crate::recovery::RecoveryError;
use crate::report::ReportError;
use crate::tables::TableError;
use crate::video::VideoError;
use std::path::{Path, PathBuf};

/// Why an experiment could not be run at all. A run that fails is a row and not an error.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    #[error("no folder `experiments` here or above {start}; run this inside a checkout of posebook")]
    NoProject { start: PathBuf },
    #[error("cannot read or write {path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error(
        "results cannot be written to the folder {}: {source}; give another one, such as out=results",
        folder.display()
    )]
    Output { folder: PathBuf, source: std::io::Error },
    #[error("cannot start {program}: {source}")]
    Start { program: PathBuf, source: std::io::Error },
    #[error("the process of the run in {folder} could not be watched")]
    Watch { folder: PathBuf },
    #[error(
        "{program} changed while the experiment ran, so that its runs could not be compared; run it again"
    )]
    ProgramChanged { program: PathBuf },
    #[error("the order in {path} cannot be read: {message}")]
    Order { path: PathBuf, message: String },
    #[error("{0}")]
    NoVideo(String),
    #[error("{0}")]
    NoPicture(String),
    #[error(transparent)]
    Drawing(#[from] crate::render::picture::EncodeError),
    #[error("the thread that writes results died; this is a bug of posebook")]
    WriterDied,
    #[error("nothing can be run here: {left_out}")]
    NothingToRun { left_out: String },
    #[error("interrupted; nothing of this run is kept")]
    Interrupted,
    #[error("out of memory on {device}{held}: lower hmr2.batch, or allow more ({said})")]
    CardFull { device: String, held: String, said: String },
    #[error(
        "{device} is lost to this process: it fell off, or a kernel broke its context ({said}); the system's log has \
         the driver's reason (`dmesg | grep Xid`)"
    )]
    CardLost { device: String, said: String },
    #[error(transparent)]
    Device(#[from] crate::device::DeviceError),
    #[error(transparent)]
    Experiment(#[from] ExperimentError),
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    #[error(transparent)]
    Model(#[from] RecoveryError),
    #[error("detect.model = \"nanodet\" is asked for and no weights are named; this is a bug of posebook")]
    NoDetector,
    #[error(transparent)]
    NanoDet(#[from] crate::detect::nanodet::NanoDetError),
    #[error(transparent)]
    Views(#[from] crate::metrics::views::ViewsError),
    #[error(transparent)]
    Fetch(#[from] crate::fetch::FetchError),
    #[error(transparent)]
    Import(#[from] crate::import::ImportError),
    #[error(transparent)]
    DetectSettings(#[from] crate::detect::SettingsError),
    #[error(transparent)]
    Detect(#[from] crate::detect::DetectError),
    #[error(transparent)]
    TrackSettings(#[from] crate::phalp::SettingsError),
    #[error(transparent)]
    Track(#[from] crate::phalp::TrackError),
    #[error(transparent)]
    Video(#[from] VideoError),
    #[error(transparent)]
    Source(#[from] crate::sources::SourceError),
    #[error(transparent)]
    Table(#[from] TableError),
    #[error(transparent)]
    Report(#[from] ReportError),
}

impl RunnerError {
    /// Whether memory was wanting: the host's, as far as it is known, or the card's.
    pub(crate) fn is_out_of_memory(&self) -> bool {
        match self {
            RunnerError::CardFull { .. } => true,
            RunnerError::Device(error) => error.is_out_of_memory(),
            RunnerError::Video(error) => error.is_out_of_memory(),
            _ => false,
        }
    }

    pub(crate) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> RunnerError + '_ {
        |source| RunnerError::File { path: path.to_path_buf(), source }
    }
}
