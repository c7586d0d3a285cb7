//! Results in other programs' formats: exports tracks, converts between `.pkl` files of PHALP and tables.
//!
//! In: the folder of results of `track` or an experiment, or a `.pkl`. Out: a file in a format of `posebook_export`, or a
//! folder of tables. Frames are read one at a time.

mod results;
mod rows;
mod summary;
mod tables;

pub use results::{PklOrTables, Results, ResultsError};
pub use summary::summarize;
pub use tables::{convert_to_tables, pkl_boxes_as_mot, pkl_people_for_views};

use super::RunnerError;
use crate::runner::project::progress::{ProgressEvent, ProgressListener};
use crate::runner::project::time_estimate::TimeEstimate;
use posebook_export::pkl::{KeyKind, PklSettings};
use posebook_export::{ExportFrame, Exported, Format, Options};
use posebook_models::body::Body;
use posebook_models::recovery::ModelSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Frames between two events of progress.
const PROGRESS_FRAMES: u64 = 32;

/// What to export.
#[derive(Debug, Clone)]
pub struct ExportRequest {
    /// The format.
    pub format: Format,
    /// Export this track only.
    pub track: Option<u64>,
    /// Kind of keys of a `.pkl`.
    pub keys: KeyKind,
    /// The model set with the body, by its file; `None` is the run's own body.
    pub model: Option<std::path::PathBuf>,
}

/// Exports `results` to the file or folder `out`.
///
/// # Errors
/// If the results cannot be read, hold nobody, or do not fit the format, or the file cannot be written. Ctrl-C is
/// [`RunnerError::Interrupted`]; then there is no file.
pub fn export(
    results: &Results,
    out: &Path,
    request: &ExportRequest,
    interrupt: &AtomicBool,
    listener: &mut dyn ProgressListener,
) -> Result<Exported, RunnerError> {
    let body = match (&request.model, results.model()) {
        (Some(model), _) => ModelSet::load(model)?.load_body()?,
        (None, Some(model)) if request.format.needs_body() => ModelSet::load(model)?.load_body()?,
        _ => Body::built_in(),
    };
    let pkl = PklSettings {
        keys: request.keys,
        output_dir: results.output_dir(),
        appearance: request.format == Format::Pkl && results.has_appearance()?,
        box_shape: results.box_shape(),
    };
    let options = Options { video: results.video().clone(), body, track: request.track, pkl };
    let mut sink = request.format.open(out, options)?;
    let mut progress = Progress::start("export", results.frames(), interrupt, listener);
    results.for_each(&mut |frame| {
        progress.advance(&frame)?;
        Ok(sink.push(frame)?)
    })?;
    Ok(sink.finish()?)
}

/// Writes the results of `track` in `folder` as PHALP's .pkl `name` into its folder `results`. `source` is the video, and `shown`
/// its name in the .pkl, where that is not its path. The keys are those of the run's mode: paths where frames were extracted,
/// timestamps where they were streamed.
///
/// # Errors
/// As [`export`].
pub fn write_phalp_pkl(
    folder: &Path,
    source: &Path,
    shown: Option<&Path>,
    name: &str,
    interrupt: &AtomicBool,
    listener: &mut dyn ProgressListener,
) -> Result<Exported, RunnerError> {
    let options = PklOrTables { source: Some(source.to_path_buf()), ..PklOrTables::default() };
    let mut results = Results::open(folder, &options)?;
    if let Some(shown) = shown {
        results.hide_paths(shown);
    }
    let keys = if results.is_streamed() { KeyKind::Pts } else { KeyKind::Path };
    let request = ExportRequest { format: Format::Pkl, track: None, keys, model: None };
    let out = folder.join("results").join(name);
    export(&results, &out, &request, interrupt, listener)
}

/// Shows progress and checks for Ctrl-C.
struct Progress<'a> {
    total: u64,
    done: u64,
    interrupt: &'a AtomicBool,
    listener: &'a mut dyn ProgressListener,
}

impl<'a> Progress<'a> {
    fn start(
        label: &str,
        total: u64,
        interrupt: &'a AtomicBool,
        listener: &'a mut dyn ProgressListener,
    ) -> Progress<'a> {
        let time_left = TimeEstimate::from(None);
        listener.on_event(ProgressEvent::RunStarted { number: 1, total: 1, label, time_left });
        Progress { total, done: 0, interrupt, listener }
    }

    fn advance(&mut self, frame: &ExportFrame) -> Result<(), RunnerError> {
        if self.interrupt.load(Ordering::SeqCst) {
            return Err(RunnerError::Interrupted);
        }
        self.done += 1;
        if self.done % PROGRESS_FRAMES == 1 {
            let (number, total) = (self.done, self.total.max(self.done));
            self.listener.on_event(ProgressEvent::Frame { frame: frame.index, number, total });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
