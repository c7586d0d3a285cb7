//! The request of `posebook track`: video, boxes, settings, and the defaults for what is left open.

use super::super::{Project, RunnerError};
use crate::dataset::Dataset;
use crate::experiment::{Override, Settings};
use crate::runner::project::defaults;
use crate::runner::project::progress::{ProgressEvent, ProgressListener};
use posebook_models::detect;
use posebook_track::motchallenge::Benchmark;
use posebook_video::sources;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use toml::{Table, Value};

/// Minimum interval between two notes about the progress of a fetch.
const FETCH_NOTE_INTERVAL: Duration = Duration::from_secs(3);

/// The command line of `posebook track` or `posebook plan` is invalid.
#[derive(Debug, thiserror::Error)]
pub enum TrackRequestError {
    /// No video is named.
    #[error("no video is given; `posebook track my.mp4`")]
    NoVideo,
    /// Both the argument and `video.source` name a video.
    #[error("two videos are given; leave `video.source` out")]
    TwoVideos,
    /// `fps` is not a number.
    #[error("fps={value}: give a number of frames a second")]
    Fps {
        /// The value as written.
        value: String,
    },
    /// The benchmark is unknown.
    #[error("benchmark={name}: {problem}")]
    Benchmark {
        /// The name as written.
        name: String,
        /// Why it was refused.
        problem: String,
    },
    /// `detect.model=given` without any boxes.
    #[error(
        "detect.model=given finds people by given boxes, and there are none: add boxes=FILE with lines of MOTChallenge \
         text, `frame,identity,left,top,width,height` (identity -1 where unknown), or detect.model=nanodet"
    )]
    NoBoxes,
}

/// A video to track, and the settings.
#[derive(Debug, Clone)]
pub struct TrackRequest {
    /// A video file, a folder of images, or a web address.
    pub source: PathBuf,
    /// Frames per second of a folder of images.
    pub fps: Option<f64>,
    /// Boxes in MOTChallenge text to start from.
    pub boxes: Option<PathBuf>,
    /// Ground truth in MOTChallenge text: boxes and identities to score against.
    pub truth: Option<PathBuf>,
    /// The benchmark whose rules apply to ground truth and boxes; `None` detects it from their paths or columns.
    pub benchmark: Option<Benchmark>,
    /// Folder for the results; `None` is `reports/track`.
    pub out: Option<PathBuf>,
    /// Settings of the run.
    pub settings: Settings,
    /// Which settings the user did not give; [`crate::runner::track()`] and [`crate::runner::estimate_resources()`] choose them.
    pub open: OpenChoices,
    /// Notes for the user about translated settings.
    pub notes: Vec<String>,
}

/// Settings that the user did not give.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenChoices {
    /// `model` was not given.
    pub model: bool,
    /// `detect.model` was not given.
    pub detector: bool,
}

impl TrackRequest {
    /// Parses the command line's `[SOURCE] key=value...`. PHALP's `video.source=` is an alias of the source; `boxes=`,
    /// `truth=` and `out=` are paths, `benchmark=` selects the rules of boxes and truth, `fps=` is for folders of images,
    /// everything else is a setting.
    ///
    /// # Errors
    /// If there is no source or two, or a setting is invalid.
    pub fn parse(source: Option<&Path>, given: &[Override]) -> Result<TrackRequest, RunnerError> {
        let mut paths: BTreeMap<&str, PathBuf> = BTreeMap::new();
        let mut table = Table::from_iter([("dataset".to_string(), Value::String("one video".into()))]);
        let mut notes = Vec::new();
        let (mut fps, mut benchmark) = (None, None);
        for Override { key, value, translation } in given {
            notes.extend(translation.clone());
            let text = || value.as_str().map_or_else(|| value.to_string(), str::to_string);
            match key.as_str() {
                "video.source" | "boxes" | "truth" | "out" => {
                    paths.insert(key, PathBuf::from(text()));
                }
                "benchmark" => {
                    let parsed: Result<Benchmark, _> = text().parse();
                    benchmark = Some(parsed.map_err(|error| TrackRequestError::Benchmark {
                        name: text(),
                        problem: error.to_string(),
                    })?);
                }
                "fps" | "video.fps" => {
                    let number = value.as_float().or(value.as_integer().map(|whole| whole as f64));
                    fps = Some(number.ok_or_else(|| TrackRequestError::Fps { value: value.to_string() })?);
                }
                _ => crate::experiment::overrides::set(&mut table, key, value.clone()),
            }
        }
        let alias = paths.remove("video.source");
        if let Some(path) = &alias {
            notes.push(format!("video.source={} became the video to track", path.display()));
        }
        let source = match (source, alias) {
            (Some(_), Some(_)) => return Err(TrackRequestError::TwoVideos.into()),
            (None, None) => return Err(TrackRequestError::NoVideo.into()),
            (Some(path), None) => path.to_path_buf(),
            (None, Some(path)) => path,
        };
        let open = OpenChoices {
            model: !table.contains_key("model"),
            detector: table.get("detect").and_then(|detect| detect.get("model")).is_none(),
        };
        let settings = Settings::from_table(table)?;
        let mut take = |key: &str| paths.remove(key);
        Ok(TrackRequest {
            source,
            fps,
            boxes: take("boxes"),
            truth: take("truth"),
            benchmark,
            out: take("out"),
            settings,
            open,
            notes,
        })
    }

    /// The video as a dataset of one clip.
    pub(in crate::runner) fn dataset(&self) -> Dataset {
        Dataset::from_video(&self.source, self.fps, self.truth.as_deref(), self.boxes.as_deref())
            .with_benchmark(self.benchmark)
    }

    /// The request with defaults for what was left open, each reported in a note: HMR2 if it is imported, otherwise
    /// BlazePose; NanoDet if no boxes are provided.
    pub(in crate::runner) fn with_defaults(
        &self,
        project: &Project,
        listener: &mut dyn ProgressListener,
    ) -> TrackRequest {
        let mut request = self.clone();
        if self.open.model {
            let (model, note) = defaults::default_model(project);
            request.settings.model = model;
            note.iter().for_each(|note| listener.on_event(ProgressEvent::Note(note)));
        }
        let needs_boxes = self.settings.detect.model == detect::Model::Provided;
        if !self.has_boxes() && needs_boxes && self.open.detector {
            request.settings.detect.model = detect::Model::Nanodet;
            let note = "detect.model=nanodet: no boxes are given, so NanoDet finds the people";
            listener.on_event(ProgressEvent::Note(note));
        }
        request.open = OpenChoices::default();
        request
    }

    fn has_boxes(&self) -> bool {
        self.boxes.is_some() || self.truth.is_some()
    }

    /// Checks that there are boxes if `detect.model` needs them.
    pub(super) fn check_boxes(&self) -> Result<(), TrackRequestError> {
        let needs_boxes = self.settings.detect.model == detect::Model::Provided;
        if needs_boxes && !self.has_boxes() { Err(TrackRequestError::NoBoxes) } else { Ok(()) }
    }

    /// The request with a local path as its source: a web address is fetched.
    ///
    /// # Errors
    /// If it cannot be fetched.
    pub(in crate::runner) fn with_local_source(
        &self,
        project: &Project,
        listener: &mut dyn ProgressListener,
    ) -> Result<TrackRequest, RunnerError> {
        let mut last_note = Instant::now();
        let mut on_bytes = |bytes: u64| {
            if last_note.elapsed() >= FETCH_NOTE_INTERVAL {
                last_note = Instant::now();
                let source = self.source.display();
                let mib = bytes as f64 / (1024.0 * 1024.0);
                listener.on_event(ProgressEvent::Note(&format!("fetching {source}: {mib:.1} MiB so far")));
            }
        };
        let source = sources::resolve(&self.source, self.fps, &project.downloads(), &mut on_bytes)?;
        Ok(TrackRequest { source, ..self.clone() })
    }
}
