//! The request of `posebook track`: video, boxes, settings, and the defaults for what is left open.

use super::super::{Project, RunnerError};
use super::cues::{self, OpenCues};
use super::detection::{self, OpenDetection};
use crate::dataset::{Dataset, DatasetError, ImageList, coco};
use crate::experiment::phalp_settings::{ChosenByPreset, CommandLine, Preset, TrackOptions};
use crate::experiment::{Override, Settings};
use crate::runner::project::defaults;
use crate::runner::project::progress::{ProgressEvent, ProgressListener};
use posebook_models::detect::{self, Model};
use posebook_models::recovery::PhalpSetError;
use posebook_track::motchallenge::{Benchmark, MotFile};
use posebook_track::phalp::TextureCue;
use posebook_video::sources;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use toml::{Table, Value};

/// Minimum interval between two notes about the progress of a fetch.
const FETCH_NOTE_INTERVAL: Duration = Duration::from_secs(3);

/// Characters of a YouTube address that identify the video.
const YOUTUBE_ID_CHARS: usize = 11;

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
    /// `detect.model=x101` without any boxes.
    #[error(
        "detect.model=x101 computes masks of given boxes, and there are none: add boxes=FILE (MOTChallenge text, or what \
         `posebook detect` writes), or let detect.model=vitdet, regnety or nanodet find the people"
    )]
    NoBoxesForMasks,
    /// `phalp.use_gt` without boxes.
    #[error(
        "use_gt pairs people by the identities of given boxes, and there are none: add boxes=FILE or truth=FILE with \
         identities (MOTChallenge text), or give a .pkl with gt_track_id as the source; or leave use_gt out"
    )]
    NoIdentities,
    /// The cue P without an imported pose predictor.
    #[error("{0}; or leave P out: phalp.predict=TL")]
    Predictor(PhalpSetError),
}

/// A video to track, and the settings.
#[derive(Debug, Clone)]
pub struct TrackRequest {
    /// A video file, a folder of images, or a web address.
    pub source: PathBuf,
    /// Frames per second of a folder of images.
    pub fps: Option<f64>,
    /// Boxes to start from: MOTChallenge text, or what `posebook detect` writes.
    pub boxes: Option<PathBuf>,
    /// Ground truth in MOTChallenge text: boxes and identities to score against.
    pub truth: Option<PathBuf>,
    /// The benchmark whose rules apply to ground truth and boxes; `None` detects it from their paths or columns.
    pub benchmark: Option<Benchmark>,
    /// Folder for the results; `None` is `reports/track`.
    pub out: Option<PathBuf>,
    /// Folder of the results itself, where no new one shall be made in `out`.
    pub folder: Option<PathBuf>,
    /// File name by which results name the source, where that is not its own.
    pub shown: Option<String>,
    /// Settings of the run.
    pub settings: Settings,
    /// Which settings the user did not give; [`crate::runner::track()`] and [`crate::runner::estimate_resources()`] choose them.
    pub open: OpenChoices,
    /// Whose defaults were asked for.
    pub preset: Option<Preset>,
    /// Names of the results, and other options in PHALP's terms.
    pub options: TrackOptions,
    /// Settings that the preset chose and that are changed where they do not fit.
    pub chosen_by_preset: ChosenByPreset,
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
    /// `phalp.cues.texture` was not given.
    pub texture: bool,
    /// `appearance.encoder` was not given.
    pub encoder: bool,
    /// `detect.score` was not given.
    pub score: bool,
    /// `detect.least_score` was not given, neither by the user nor by a preset.
    pub least_score: bool,
    /// `detect.fallback` was not given.
    pub fallback: bool,
    /// `detect.scores` was not given.
    pub scores: bool,
}

impl TrackRequest {
    /// Reads the command line's `[SOURCE] key=value...`, with PHALP's spelling already translated. `video.source=` is an
    /// alias of the source; `boxes=`, `truth=` and `out=` are paths, `benchmark=` selects the rules of boxes and truth,
    /// `fps=` is for folders of images, everything else is a setting.
    ///
    /// # Errors
    /// If there is no source or two, or a setting is invalid.
    pub fn parse(source: Option<&Path>, line: &CommandLine) -> Result<TrackRequest, RunnerError> {
        let mut paths: BTreeMap<&str, PathBuf> = BTreeMap::new();
        let mut table = Table::from_iter([("dataset".to_string(), Value::String("one video".into()))]);
        let mut notes = line.notes.clone();
        let (mut fps, mut benchmark) = (None, None);
        for Override { key, value, .. } in &line.overrides {
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
        let is_open = |group: &str, key: &str| table.get(group).and_then(|group| group.get(key)).is_none();
        let open = OpenChoices {
            model: !table.contains_key("model"),
            detector: is_open("detect", "model"),
            texture: table.get("phalp").is_none_or(|phalp| phalp.get("cues").is_none()),
            encoder: is_open("appearance", "encoder"),
            score: is_open("detect", "score"),
            least_score: is_open("detect", "least_score"),
            fallback: is_open("detect", "fallback"),
            scores: is_open("detect", "scores"),
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
            folder: None,
            shown: None,
            settings,
            open,
            preset: line.preset,
            options: line.options.clone(),
            chosen_by_preset: line.chosen_by_preset,
            notes,
        })
    }

    /// The video's name in the names of results. Under a preset it is PHALP's: of a file the part before the first dot, of
    /// an address the last 11 characters, the name of a folder.
    pub fn video_name(&self) -> String {
        let source = &self.source;
        let shown = self.shown.as_ref().map(Path::new);
        if self.preset.is_none() || source.is_dir() {
            return sources::display_name(shown.unwrap_or(source));
        }
        let text = source.to_string_lossy();
        if sources::is_address(source) {
            let skipped = text.chars().count().saturating_sub(YOUTUBE_ID_CHARS);
            return text
                .chars()
                .skip(skipped)
                .map(|c| if matches!(c, '/' | '\\') { '_' } else { c })
                .collect();
        }
        let name = shown.unwrap_or(source).file_name().unwrap_or_default().to_string_lossy();
        let first = name.split('.').next().unwrap_or_default();
        if first.is_empty() { sources::display_name(shown.unwrap_or(source)) } else { first.to_string() }
    }

    /// The source as results name it.
    pub(super) fn shown_source(&self) -> &Path {
        self.shown.as_ref().map_or(&self.source, Path::new)
    }

    /// Name of the .pkl, `<track_dataset>_<video>.pkl`.
    pub fn pkl_name(&self) -> String {
        format!("{}_{}.pkl", self.options.track_dataset, self.video_name())
    }

    /// Name of the rendered video in PHALP's terms, `<base_tracker>_<video>.mp4`.
    pub fn rendered_name(&self) -> String {
        format!("{}_{}.mp4", self.options.base_tracker, self.video_name())
    }

    /// The .pkl of an earlier run in the folder of the results, or of its newest report, if it is there and
    /// `overwrite=False`: there is nothing to do then.
    pub fn finished_result(&self, project: &Project) -> Option<PathBuf> {
        let default = || project.reports("track").join(self.video_name());
        let out = self.out.clone().unwrap_or_else(default);
        let results = [out.join("results"), out.join("latest").join("results")];
        let mut paths = results.iter().map(|folder| folder.join(self.pkl_name()));
        paths.find(|path| !self.options.overwrite && path.is_file())
    }

    /// The video as a dataset of one clip.
    pub(in crate::runner) fn dataset(&self) -> Dataset {
        let (truth, boxes) = (self.truth.as_deref(), self.boxes.as_deref());
        let dataset =
            Dataset::from_video(&self.source, self.fps, truth, boxes).with_benchmark(self.benchmark);
        match &self.shown {
            Some(shown) => dataset.with_clip_name(&sources::display_name(Path::new(shown))),
            None => dataset,
        }
    }

    /// The request with defaults for what was left open, each reported in a note: HMR2 if it is imported, otherwise
    /// BlazePose; NanoDet if no boxes are provided; the cues that can be computed here.
    ///
    /// # Errors
    /// If the pose predictor was asked for and is not imported.
    pub(in crate::runner) fn with_defaults(
        &self,
        project: &Project,
        listener: &mut dyn ProgressListener,
    ) -> Result<TrackRequest, RunnerError> {
        let mut request = self.clone();
        if self.open.model {
            let (model, note) = defaults::default_model(project);
            request.settings.model = model;
            note.iter().for_each(|note| listener.on_event(ProgressEvent::Note(note)));
        }
        request.settings.detect = self.choose_detector(project, listener)?;
        request.open = OpenChoices::default();
        request.chosen_by_preset = ChosenByPreset::default();
        let open_cues = OpenCues {
            has_preset: self.preset.is_some(),
            by_preset: self.chosen_by_preset.cues,
            texture: self.open.texture,
            encoder: self.open.encoder,
        };
        cues::choose(&mut request.settings, open_cues, project, listener)
            .map_err(TrackRequestError::Predictor)?;
        // PHALP's .pkl has the embeddings if it renders
        let computes_appearance = request.settings.phalp.cues.texture != TextureCue::Off;
        if self.preset.is_some() && self.options.render && computes_appearance {
            request.settings.appearance.results = true;
        }
        Ok(request)
    }

    /// The detection with defaults for what was left open, see [`detection::choose`].
    ///
    /// # Errors
    /// If the description of a file of detections cannot be read.
    pub(in crate::runner) fn choose_detector(
        &self,
        project: &Project,
        listener: &mut dyn ProgressListener,
    ) -> Result<detect::Settings, RunnerError> {
        let open = OpenDetection {
            preset: self.preset,
            open: self.open,
            least_score_by_preset: self.chosen_by_preset.least_score,
            boxes: self.boxes.as_deref(),
            has_boxes: self.has_boxes(),
            is_pickle: is_pickle(&self.source),
        };
        detection::choose(&self.settings.detect, &open, project, listener)
    }

    /// As [`TrackRequest::choose_detector`] for a file of detections: the people are found by a network, and none is removed by
    /// its score unless the user or a preset asks for it.
    ///
    /// # Errors
    /// As [`TrackRequest::choose_detector`].
    pub(in crate::runner) fn choose_network(
        &self,
        project: &Project,
        listener: &mut dyn ProgressListener,
    ) -> Result<detect::Settings, RunnerError> {
        let open = OpenDetection {
            preset: self.preset,
            open: OpenChoices { least_score: false, ..self.open },
            least_score_by_preset: self.chosen_by_preset.least_score,
            boxes: None,
            has_boxes: false,
            is_pickle: false,
        };
        detection::choose(&self.settings.detect, &open, project, listener)
    }

    fn has_boxes(&self) -> bool {
        self.boxes.is_some() || self.truth.is_some() || is_pickle(&self.source)
    }

    /// Checks that there are boxes if `detect.model` or `phalp.use_gt` needs them.
    ///
    /// # Errors
    /// If there are none, or boxes for `phalp.use_gt` have no identities: boxes are numbered then, and these numbers would pair
    /// different people.
    pub(super) fn check_boxes(&self) -> Result<(), RunnerError> {
        if self.settings.phalp.use_gt {
            if !self.has_boxes() {
                return Err(TrackRequestError::NoIdentities.into());
            }
            if let (Some(boxes), None) = (&self.boxes, &self.truth) {
                if coco::is_results(boxes)? {
                    return Err(TrackRequestError::NoIdentities.into());
                }
                let file = MotFile::read(boxes).map_err(DatasetError::from)?;
                file.check_identities().map_err(DatasetError::from)?;
            }
        }
        match self.settings.detect.model {
            _ if self.has_boxes() => Ok(()),
            Model::Provided => Err(TrackRequestError::NoBoxes.into()),
            Model::X101 => Err(TrackRequestError::NoBoxesForMasks.into()),
            _ => Ok(()),
        }
    }

    /// The request with a video or a folder of images as its source: a web address is fetched, PHALP's .pkl of frames and
    /// boxes is read, and under a preset the images of a folder are those that PHALP reads, in its order.
    ///
    /// # Errors
    /// If the address cannot be fetched, or the .pkl or its images cannot be read.
    pub(in crate::runner) fn with_local_source(
        &self,
        project: &Project,
        listener: &mut dyn ProgressListener,
    ) -> Result<TrackRequest, RunnerError> {
        let list = match &self.source {
            source if is_pickle(source) => {
                let base_path = self.options.base_path.as_deref();
                let detect = &self.settings.detect;
                let detects = !detect.model.needs_boxes() || detect.fallback.is_some();
                Some(ImageList::from_pickle(source, base_path, detects, &project.downloads())?)
            }
            folder if self.preset.is_some() && folder.is_dir() => {
                Some(ImageList::from_folder(folder, &project.downloads())?)
            }
            _ => None,
        };
        if let Some(ImageList { folder, boxes, has_identities, notes }) = list {
            if self.settings.phalp.use_gt && self.boxes.is_none() && self.truth.is_none() && !has_identities {
                return Err(TrackRequestError::NoIdentities.into());
            }
            notes.iter().for_each(|note| listener.on_event(ProgressEvent::Note(note)));
            let boxes = self.boxes.clone().or(boxes);
            return Ok(TrackRequest { source: folder, boxes, ..self.clone() });
        }
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

/// Whether a source is PHALP's .pkl of frames and boxes, by its name.
fn is_pickle(source: &Path) -> bool {
    source.extension().is_some_and(|extension| extension == "pkl") && source.is_file()
}
