//! Results to be exported: tables of a run, or a `.pkl` of PHALP. Frames are read one at a time.

use super::rows::person_of;
use crate::runner::RunnerError;
use posebook_core::frame::FrameSize;
use posebook_core::labels::VideoMode;
use posebook_export::pkl::{self, ReadLimits};
use posebook_export::{ExportError, ExportFrame, VideoInfo};
use posebook_models::hmr2::BoxAspect;
use posebook_notebook::tables::{FrameRow, PersonRow, RunRow, TableError, files};
use posebook_video::{self as video, Probe};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Frames per second where a `.pkl` does not say.
const DEFAULT_FPS: f64 = 30.0;

/// PHALP's default output folder.
const PHALP_FOLDER: &str = "outputs";

/// Results cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// There are none.
    #[error(
        "{path} has no results: give the folder of `posebook track` with runs.parquet, frames.parquet and people.parquet, or a \
         .pkl of PHALP"
    )]
    None {
        /// The path.
        path: PathBuf,
    },
    /// There are several runs.
    #[error("{path} has several runs; name one of them with --run: {runs}")]
    Several {
        /// The folder.
        path: PathBuf,
        /// Their ids.
        runs: String,
    },
    /// The run is not there.
    #[error("{path} has no run `{run}`; its runs are {runs}")]
    NoRun {
        /// The folder.
        path: PathBuf,
        /// The wanted id.
        run: String,
        /// The ids.
        runs: String,
    },
    /// The run did not reach its frames.
    #[error(
        "the run {run} in {path} does not say how large its frames are: it ended with {outcome}; run it again"
    )]
    NoSize {
        /// The folder.
        path: PathBuf,
        /// The run.
        run: String,
        /// Its outcome.
        outcome: String,
    },
    /// A row is incomplete.
    #[error("frame {frame} of {path}, person {person}: {columns} is incomplete; run `posebook track` again")]
    Row {
        /// The folder.
        path: PathBuf,
        /// The frame.
        frame: u64,
        /// The person in the frame.
        person: u64,
        /// The columns.
        columns: &'static str,
    },
    /// Tables would be overwritten.
    #[error("{path} exists already; give another folder, so that nothing is overwritten")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A `.pkl` has no frame, or nobody in it.
    #[error("{path} has no people, so the size of its frames is not known and there is nothing to convert")]
    Nobody {
        /// The file.
        path: PathBuf,
    },
}

/// How to open results.
#[derive(Debug, Clone, Default)]
pub struct PklOrTables {
    /// The run, where the tables have several.
    pub run: Option<String>,
    /// Frames per second of a `.pkl`, which has none; 30 by default.
    pub fps: Option<f64>,
    /// The video, for the timestamps of keys.
    pub source: Option<PathBuf>,
}

/// Results to be exported.
pub struct Results {
    path: PathBuf,
    video: VideoInfo,
    kind: Kind,
    /// The video, for its timestamps.
    probe: Option<Probe>,
    /// PHALP's output folder, where the folder of the results shall not be named.
    shown_folder: Option<String>,
}

enum Kind {
    Pkl(pkl::PklSummary),
    Tables { row: Box<RunRow>, size: FrameSize, box_shape: Option<[f32; 2]>, model: Option<PathBuf> },
}

impl Results {
    /// Opens a `.pkl`, a folder of tables, or the `people.parquet` in it.
    ///
    /// # Errors
    /// If there are no results, or it is not clear which.
    pub fn open(path: &Path, options: &PklOrTables) -> Result<Results, RunnerError> {
        let probe = options.source.as_deref().map(video::probe).transpose()?;
        let mut results =
            if pkl::is_pkl(path) { open_pkl(path, options)? } else { open_tables(path, options)? };
        if let Some(source) = &options.source {
            results.video.source = source.to_string_lossy().into_owned();
        }
        results.probe = probe;
        Ok(results)
    }

    /// Names the video `shown`, and PHALP's default folder instead of that of the results.
    pub(super) fn hide_paths(&mut self, shown: &Path) {
        self.video.source = shown.to_string_lossy().into_owned();
        self.shown_folder = Some(PHALP_FOLDER.into());
    }

    /// What is known of the video.
    pub fn video(&self) -> &VideoInfo {
        &self.video
    }

    /// Number of frames, as far as it is known.
    pub fn frames(&self) -> u64 {
        match &self.kind {
            Kind::Pkl(summary) => summary.frames,
            Kind::Tables { row, .. } => row.frames_done.or(row.frames).unwrap_or(0),
        }
    }

    /// Notes for the user.
    pub fn notes(&self) -> Vec<String> {
        match &self.kind {
            Kind::Pkl(summary) => summary.notes(),
            Kind::Tables { .. } => Vec::new(),
        }
    }

    /// What a `.pkl` holds.
    pub(super) fn pkl_summary(&self) -> Option<&pkl::PklSummary> {
        match &self.kind {
            Kind::Pkl(summary) => Some(summary),
            Kind::Tables { .. } => None,
        }
    }

    /// Whether the run streamed its video.
    pub(super) fn is_streamed(&self) -> bool {
        match &self.kind {
            Kind::Pkl(_) => false,
            Kind::Tables { row, .. } => matches!(
                row.mode,
                Some(VideoMode::StreamSeek | VideoMode::StreamSequential | VideoMode::StreamIndexed)
            ),
        }
    }

    /// File of the model set whose body the run used; `None` for the built-in body.
    pub(super) fn model(&self) -> Option<&Path> {
        match &self.kind {
            Kind::Pkl(_) => None,
            Kind::Tables { model, .. } => model.as_deref(),
        }
    }

    /// The ratio that boxes were widened to.
    pub(super) fn box_shape(&self) -> Option<[f32; 2]> {
        match &self.kind {
            Kind::Pkl(_) => BoxAspect::default().ratio(),
            Kind::Tables { box_shape, .. } => *box_shape,
        }
    }

    /// PHALP's output folder, for keys that are paths.
    pub(super) fn output_dir(&self) -> String {
        if let Some(folder) = &self.shown_folder {
            return folder.clone();
        }
        match &self.kind {
            Kind::Pkl(_) => PHALP_FOLDER.into(),
            Kind::Tables { .. } => self.path.to_string_lossy().trim_end_matches('/').to_string(),
        }
    }

    /// Whether people have embeddings of their appearance: the first one on a track decides.
    pub(super) fn has_appearance(&self) -> Result<bool, RunnerError> {
        let Kind::Tables { row, .. } = &self.kind else {
            return Ok(self.pkl_summary().is_some_and(|summary| summary.frames_with_appearance > 0));
        };
        for person in files::read_rows::<PersonRow>(&self.path)? {
            let person = person?;
            if person.run_id == row.run_id && person.track.is_some() {
                return Ok(!person.appearance.is_empty());
            }
        }
        Ok(false)
    }

    /// Passes all frames to `take`, in order, also those without anybody.
    ///
    /// # Errors
    /// If they cannot be read, or `take` fails.
    pub fn for_each(
        &self,
        take: &mut dyn FnMut(ExportFrame) -> Result<(), RunnerError>,
    ) -> Result<(), RunnerError> {
        let mut with_pts = |mut frame: ExportFrame| {
            let known = self.probe.as_ref().filter(|probe| (frame.index as usize) < probe.frames());
            if let Some(probe) = known {
                frame.pts = Some(probe.pts(frame.index as usize));
            }
            take(frame)
        };
        match &self.kind {
            Kind::Pkl(_) => {
                let take = &mut |read: pkl::PklFrame| with_pts(read.frame);
                pkl::read(&self.path, self.video.fps, ReadLimits::default(), take)?;
                Ok(())
            }
            Kind::Tables { row, size, .. } => read_tables(&self.path, &row.run_id, *size, &mut with_pts),
        }
    }
}

fn open_pkl(path: &Path, options: &PklOrTables) -> Result<Results, RunnerError> {
    let fps = options.fps.unwrap_or(DEFAULT_FPS);
    let mut source = None;
    let mut first = |frame: pkl::PklFrame| {
        if let (None, pkl::FrameKey::Stream(path, _)) = (&source, frame.key) {
            source = Some(path);
        }
        Ok::<(), ExportError>(())
    };
    let summary = pkl::read(path, fps, ReadLimits::default(), &mut first)?;
    let mut video = VideoInfo::new(&pkl::video_name(path), fps);
    video.source = source.unwrap_or(video.source);
    Ok(Results { path: path.to_path_buf(), video, kind: Kind::Pkl(summary), probe: None, shown_folder: None })
}

fn open_tables(path: &Path, options: &PklOrTables) -> Result<Results, RunnerError> {
    let is_table = path.extension().is_some_and(|extension| extension == "parquet");
    let folder = if is_table { path.parent().unwrap_or(Path::new(".")) } else { path };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let path = folder.to_path_buf();
    let tables = ["runs", "frames", "people"].map(|table| folder.join(format!("{table}.parquet")));
    if !tables.iter().all(|table| table.is_file()) {
        return Err(ResultsError::None { path }.into());
    }
    let rows: Vec<RunRow> = files::read_rows::<RunRow>(folder)?.collect::<Result<_, TableError>>()?;
    let ids = || rows.iter().map(|row| row.run_id.as_str()).collect::<Vec<_>>().join(", ");
    let row = match (&options.run, rows.as_slice()) {
        (_, []) => return Err(ResultsError::None { path }.into()),
        (None, [row]) => row,
        (None, _) => return Err(ResultsError::Several { path, runs: ids() }.into()),
        (Some(run), _) => match rows.iter().find(|row| row.run_id == *run) {
            Some(row) => row,
            None => return Err(ResultsError::NoRun { path, run: run.clone(), runs: ids() }.into()),
        },
    };
    let (Some(width), Some(height)) = (row.width, row.height) else {
        let (run, outcome) = (row.run_id.clone(), row.outcome.to_string());
        return Err(ResultsError::NoSize { path, run, outcome }.into());
    };
    let settings: Value = serde_json::from_str(&row.settings).unwrap_or_default();
    let count = |name: &str, default: u32| {
        let value = settings["phalp"][name].as_u64().and_then(|value| u32::try_from(value).ok());
        value.unwrap_or(default)
    };
    let name = if row.clip.is_empty() { "video" } else { &row.clip };
    let defaults = VideoInfo::new(name, options.fps.or(row.fps).unwrap_or(DEFAULT_FPS));
    let video = VideoInfo {
        n_init: count("n_init", defaults.n_init),
        max_age_track: count("max_age_track", defaults.max_age_track),
        ..defaults
    };
    let shape = settings["hmr2"].get("expand_bbox_shape").cloned();
    let shape: Option<BoxAspect> = shape.and_then(|shape| serde_json::from_value(shape).ok());
    let kind = Kind::Tables {
        size: FrameSize::new(width as usize, height as usize),
        box_shape: shape.unwrap_or_default().ratio(),
        model: body_model(row),
        row: Box::new(row.clone()),
    };
    Ok(Results { path, video, kind, probe: None, shown_folder: None })
}

/// File of the model set with the run's body, looked for in the project around the current folder.
fn body_model(row: &RunRow) -> Option<PathBuf> {
    row.body_sha256.as_ref()?;
    let project = crate::runner::Project::find(&std::env::current_dir().ok()?).ok()?;
    Some(project.model(&row.model))
}

/// Passes the frames of a run's tables to `take`, one at a time.
fn read_tables(
    folder: &Path,
    run_id: &str,
    size: FrameSize,
    take: &mut dyn FnMut(ExportFrame) -> Result<(), RunnerError>,
) -> Result<(), RunnerError> {
    let of_run = |row: &Result<PersonRow, TableError>| row.as_ref().map_or(true, |row| row.run_id == run_id);
    let mut people = files::read_rows::<PersonRow>(folder)?.filter(of_run).peekable();
    let mut number = 0;
    for row in files::read_rows::<FrameRow>(folder)? {
        let row = row?;
        if row.run_id != run_id {
            continue;
        }
        let mut frame = ExportFrame {
            number,
            index: row.frame,
            time_secs: row.time_secs,
            pts: None,
            shot: row.shot.unwrap_or(false),
            size,
            people: Vec::new(),
        };
        let is_due = |person: &Result<PersonRow, TableError>| {
            person.as_ref().map_or(true, |person| person.frame <= row.frame)
        };
        while let Some(person) = people.next_if(is_due) {
            let person = person?;
            let made = person_of(&person, size).map_err(|columns| {
                let (frame, person) = (person.frame, person.person);
                ResultsError::Row { path: folder.to_path_buf(), frame, person, columns }
            })?;
            frame.people.extend(made);
        }
        take(frame)?;
        number += 1;
    }
    Ok(())
}
