//! Plans single runs: key, status and estimated time.
//!
//! Input: settings and a clip. Reads the stored runs, model sets and clips; what is looked up once is cached.

use super::frame_count;
use super::run_time::{self, DetectionCost, History, NetworkCost, RunCost};
use crate::experiment::Settings;
use crate::runner::job::clips::{self, Clip};
use crate::runner::job::gpu::{self, DevicePlacement};
use crate::runner::job::phalp_files;
use crate::runner::job::planned::{PlannedRun, RunStatus, mode_name, placeholder_id};
use crate::runner::project::progress::ProgressListener;
use crate::runner::project::time_estimate::TimeEstimate;
use crate::runner::project::weights::{self, DetectorWeights, RunDetectors};
use crate::runner::store::key::RunKey;
use crate::runner::store::{RunStore, StoredRun};
use crate::runner::supervisor::Program;
use crate::runner::{Project, RunnerError};
use posebook_core::person::InputBox;
use posebook_core::provenance::{Machine, SourceVersion, sha256_of_file};
use posebook_models::detect;
use posebook_models::detect::mask_rcnn::preprocess::Geometry;
use posebook_models::hmr2::Attention;
use posebook_models::recovery::{Architecture, BodySource, HMR2_MODEL_SET, ModelSet};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// A cached lookup: errors are cached, too, and shared by all runs that they concern.
type Lookup<T> = Result<T, Arc<RunnerError>>;

/// Plans runs; caches what several runs share.
pub struct Planner<'p> {
    project: &'p Project,
    stored: Vec<StoredRun>,
    models: HashMap<String, Lookup<Model>>,
    /// Weights of detectors, by the settings that choose them.
    detectors: HashMap<String, Lookup<RunDetectors>>,
    /// Hashes of PHALP's imported files, by the settings that choose them.
    phalp: HashMap<String, Lookup<Option<String>>>,
    clips: HashMap<String, Vec<Clip>>,
    placements: HashMap<(String, Attention), DevicePlacement>,
    /// Measured floating point operations per second, by model set and device.
    rates: HashMap<String, Option<f64>>,
    /// Mean number of people per frame, by SHA-256 of the file of boxes.
    people_per_frame: HashMap<String, Option<f64>>,
    program_sha256: String,
    /// Revision of the source.
    pub source: SourceVersion,
    /// This machine.
    pub machine: Machine,
}

#[derive(Clone)]
struct Model {
    file_sha256: String,
    weights_sha256: String,
    body_sha256: Option<String>,
    architecture: Architecture,
}

impl Planner<'_> {
    /// A planner for runs of `program` in `project`.
    ///
    /// # Errors
    /// If the program's file cannot be read.
    pub fn new<'p>(project: &'p Project, program: &Program) -> Result<Planner<'p>, RunnerError> {
        let program_sha256 = sha256_of_file(&program.path).map_err(RunnerError::file(&program.path))?;
        Ok(Planner {
            project,
            stored: RunStore::new(project.runs()).load_all(),
            models: HashMap::new(),
            detectors: HashMap::new(),
            phalp: HashMap::new(),
            clips: HashMap::new(),
            placements: HashMap::new(),
            rates: HashMap::new(),
            people_per_frame: HashMap::new(),
            program_sha256,
            source: SourceVersion::from_checkout(&project.root),
            machine: Machine::current(),
        })
    }

    /// Why runs of these settings are skipped on this machine, as a phrase that follows "runs that would"; `None` if
    /// they can run.
    pub fn skip_reason(&mut self, settings: &Settings) -> Option<&'static str> {
        if settings.model == HMR2_MODEL_SET && !self.project.model(HMR2_MODEL_SET).is_file() {
            return Some("need HMR2's weights, which are not imported here (`posebook model import hmr2`)");
        }
        let is_missing = |model: detect::Model| {
            let is_default = settings.detect.set_name(model) == model.name();
            model.published().is_some() && is_default && !weights::has_published(self.project, model)
        };
        if settings.detect.models().any(is_missing) {
            return Some(
                "need a published detector, which is not imported here (`posebook model import vitdet`, `regnety` or `x101`)",
            );
        }
        gpu::gpu_requirement(settings, &self.placement(settings))
    }

    /// The clips of a dataset; with `make` missing ones are generated.
    ///
    /// # Errors
    /// If the dataset is unknown or invalid.
    pub fn dataset_clips(
        &mut self,
        settings: &Settings,
        make: bool,
        listener: &mut dyn ProgressListener,
    ) -> Result<Vec<Clip>, RunnerError> {
        let choice = format!("{} {}", settings.dataset.name, settings.dataset.changes);
        let is_complete =
            |clips: &&Vec<Clip>| !make || clips.iter().all(|clip| !matches!(clip, Clip::NotGenerated { .. }));
        if let Some(clips) = self.clips.get(&choice).filter(is_complete) {
            return Ok(clips.clone());
        }
        let clips = clips::load_clips(self.project, &settings.dataset, make, listener)?;
        self.clips.insert(choice, clips.clone());
        Ok(clips)
    }

    fn model(&mut self, name: &str) -> Lookup<Model> {
        let path = self.project.model(name);
        let load = || -> Result<Model, RunnerError> {
            let set = ModelSet::load(&path)?;
            set.verify_cached()?;
            let sha256 = |path: &Path| sha256_of_file(path).map_err(RunnerError::file(path));
            let body_sha256 = match &set.body {
                BodySource::BuiltIn => None,
                BodySource::File(path) => Some(sha256(path)?),
            };
            let (file_sha256, weights_sha256) = (sha256(&path)?, set.weights.identity());
            Ok(Model { file_sha256, weights_sha256, body_sha256, architecture: set.architecture })
        };
        self.models.entry(name.to_string()).or_insert_with(|| load().map_err(Arc::new)).clone()
    }

    /// The weights of the detectors of runs with these settings; none where boxes are provided.
    fn detectors(&mut self, settings: &Settings) -> Lookup<RunDetectors> {
        let detect::Settings { model, fallback, weights, .. } = &settings.detect;
        let choice = format!("{model:?} {fallback:?} {weights:?}");
        let project = self.project;
        let find = || weights::find_detectors(project, &settings.detect).map_err(Arc::new);
        self.detectors.entry(choice).or_insert_with(find).clone()
    }

    /// Hash of PHALP's imported files that runs of these settings read; `None` without any.
    fn phalp(&mut self, settings: &Settings) -> Lookup<Option<String>> {
        let Settings { model, phalp, appearance, pose_predictor, .. } = settings;
        let choice = format!("{model} {phalp:?} {appearance:?} {pose_predictor:?} {}", settings.shots.detect);
        let project = self.project;
        let find = || -> Result<Option<String>, RunnerError> {
            // a model set that cannot be loaded blocks the run by itself
            let Ok(body) = ModelSet::load(&project.model(model)).and_then(|set| set.load_body()) else {
                return Ok(None);
            };
            phalp_files::sha256(settings, &project.models(), &body)
        };
        self.phalp.entry(choice).or_insert_with(|| find().map_err(Arc::new)).clone()
    }

    /// Fetches the published weights that runs of these settings need. If that fails there is a note, and the runs
    /// that need them are blocked.
    ///
    /// # Errors
    /// If Ctrl-C is pressed.
    pub fn fetch_weights<'s>(
        &mut self,
        settings: impl IntoIterator<Item = &'s Settings>,
        listener: &mut dyn ProgressListener,
    ) -> Result<(), RunnerError> {
        weights::fetch_for_runs(self.project, settings, listener)
    }

    /// Plans the run of `settings` over `clip`.
    ///
    /// # Errors
    /// If the settings or the key cannot be serialized. Other problems are the run's [`RunStatus`].
    pub fn plan_run(
        &mut self,
        settings: &Settings,
        clip: Clip,
        repeat: u64,
    ) -> Result<PlannedRun, RunnerError> {
        let model = self.model(&settings.model);
        let detectors = self.detectors(settings);
        let phalp = self.phalp(settings);
        let placement = self.placement(settings);
        let settings_json = RunKey::settings_json(settings)?;
        let blocked = |error: &dyn std::fmt::Display| (None, RunStatus::Blocked(error.to_string()));
        let (key, status) = match (&clip, &model, &detectors, &placement.unavailable) {
            (_, _, _, Some(error)) => blocked(error),
            _ if phalp.is_err() => {
                (None, RunStatus::Blocked(phalp.err().map_or_else(String::new, |error| error.to_string())))
            }
            (Clip::Unavailable { message, .. }, _, _, _) => blocked(message),
            (_, Err(error), _, _) | (_, _, Err(error), _) => blocked(error),
            (Clip::NotGenerated { .. }, Ok(_), _, _) => (None, RunStatus::ClipNotGenerated),
            (Clip::Ready(clip), Ok(model), Ok(RunDetectors { main, fallback }), None) => {
                let of_both = |weights: &DetectorWeights| {
                    format!("{} {}", weights.sha256, weights.set_sha256.as_deref().unwrap_or_default())
                };
                let key = RunKey {
                    detector_sha256: main.as_ref().map(|detector| detector.sha256.clone()),
                    detector_set_sha256: main.as_ref().and_then(|detector| detector.set_sha256.clone()),
                    fallback_sha256: fallback.as_ref().map(of_both),
                    phalp_sha256: phalp.ok().flatten(),
                    ..self.key(settings_json.clone(), &placement, repeat, clip, model.clone())
                };
                let status = self.status(&key)?;
                (Some(key), status)
            }
        };
        let run_id = match &key {
            Some(key) => key.run_id()?,
            None => placeholder_id(&settings_json, clip.name(), repeat),
        };
        let label = label(settings, &clip, repeat);
        let time = match (&status, model) {
            (RunStatus::Blocked(_), _) | (_, Err(_)) => TimeEstimate::default(),
            (_, Ok(model)) => self.estimate_time(settings, &placement, &clip, key.as_ref(), &model),
        };
        let detectors = detectors.unwrap_or_default();
        let settings = settings.clone();
        Ok(PlannedRun {
            label,
            run_id,
            settings,
            settings_json,
            placement,
            repeat,
            clip,
            key,
            detectors,
            status,
            time,
        })
    }

    /// Estimated time of a run: that of an equal run on this machine, otherwise computed from its cost.
    fn estimate_time(
        &mut self,
        settings: &Settings,
        placement: &DevicePlacement,
        clip: &Clip,
        key: Option<&RunKey>,
        model: &Model,
    ) -> TimeEstimate {
        let before = key.and_then(|key| {
            let mut same = self.stored.iter().filter(|run| run.is_ok() && run.key.has_same_cost(key));
            same.find_map(|run| run.row.metrics.timing.wall_secs)
        });
        if before.is_some() {
            return before.into();
        }
        // a run whose settings contradict each other is blocked and takes no time
        let Ok(mode) = settings.video.mode() else { return None.into() };
        let cost = RunCost {
            mode: mode.label(),
            frames: clip.frames().and_then(|frames| selected_frames(settings, clip, frames)),
            pixels: clip.size().map_or(0, |size| size.width * size.height),
            people: self.mean_people(clip),
            network: NetworkCost {
                model_sha256: model.file_sha256.clone(),
                weights_sha256: model.weights_sha256.clone(),
                precision: settings.hmr2.precision,
                device: placement.device.clone(),
                gpu: gpu_and_driver(placement),
                flop_per_crop: model.architecture.flop_per_crop() as f64,
                weights: model.architecture.parameter_count(),
            },
            detection: DetectionCost {
                detector: settings.detect.model.name().to_string(),
                sha256: key.and_then(|key| key.detector_sha256.clone()),
                flop_per_frame: flop_per_frame(self.project, &settings.detect, clip),
            },
            limit_secs: settings.limits.wall_secs,
        };
        let rates = &mut self.rates;
        let flop_per_sec = || {
            // the rate of a GPU is known only from its runs
            let is_cpu = cost.network.gpu.is_none();
            let measure =
                || run_time::measure_flop_per_sec(model.architecture.largest_product()?).filter(|_| is_cpu);
            *rates.entry(format!("{} {}", settings.model, placement.device)).or_insert_with(measure)
        };
        run_time::estimate_secs(&cost, &History::new(&self.stored, &self.machine), flop_per_sec).into()
    }

    /// Mean number of people per frame: from the drawn scene, otherwise from the provided boxes; `None` without either.
    fn mean_people(&mut self, clip: &Clip) -> Option<f64> {
        if let Some(scene) = clip.scene() {
            return Some(scene.people as f64);
        }
        let Clip::Ready(ready) = clip else { return None };
        let boxes = ready.input_boxes()?;
        let count = || {
            let (mut frames, mut people) = (0, 0);
            let count_frame = |boxes: Vec<InputBox>| (frames, people) = (frames + 1, people + boxes.len());
            boxes.for_each_frame(count_frame).ok()?;
            // the file ends with the last frame that has a box
            Some(people as f64 / ready.frames.max(frames).max(1) as f64)
        };
        *self.people_per_frame.entry(boxes.sha256().to_string()).or_insert_with(count)
    }

    /// The stored run of the same key, whatever its outcome.
    pub fn find_stored(&self, planned: &PlannedRun) -> Option<&StoredRun> {
        self.stored.iter().find(|run| planned.key.is_some() && run.row.run_id == planned.run_id)
    }

    /// The device that a run of these settings is assigned to. The driver is queried once.
    pub fn placement(&mut self, settings: &Settings) -> DevicePlacement {
        let choice = (settings.device.clone(), settings.hmr2.attention);
        self.placements.entry(choice).or_insert_with(|| DevicePlacement::resolve(settings)).clone()
    }

    fn key(
        &self,
        settings: serde_json::Value,
        placement: &DevicePlacement,
        repeat: u64,
        clip: &clips::ReadyClip,
        model: Model,
    ) -> RunKey {
        RunKey {
            settings,
            repeat,
            clip: clip.name.clone(),
            clip_sha256: clip.sha256.clone(),
            clip_decoded_sha256: clip.decoded_sha256.clone(),
            truth_sha256: clip
                .truth
                .as_ref()
                .map(|truth| truth.sha256.clone())
                .or_else(|| clip.views.as_ref().map(|views| views.sha256.clone())),
            boxes_sha256: clip.boxes.as_ref().map(|boxes| boxes.sha256.clone()),
            model_sha256: model.file_sha256,
            weights_sha256: model.weights_sha256,
            detector_sha256: None,
            detector_set_sha256: None,
            fallback_sha256: None,
            phalp_sha256: None,
            body_sha256: model.body_sha256,
            device: placement.device.clone(),
            gpu: gpu_and_driver(placement),
            program_sha256: self.program_sha256.clone(),
            cpu: self.machine.cpu.clone(),
            cores: self.machine.cores,
            ffmpeg: self.machine.ffmpeg.clone(),
        }
    }

    fn status(&self, key: &RunKey) -> Result<RunStatus, RunnerError> {
        let run_id = key.run_id()?;
        if let Some(stored) = self.stored.iter().find(|stored| stored.row.run_id == run_id) {
            if stored.is_ok() {
                return Ok(RunStatus::Done);
            }
            let error = stored.row.error.clone().unwrap_or_default();
            return Ok(RunStatus::Failed { outcome: stored.row.outcome, error });
        }
        let same_point = self.stored.iter().filter(|stored| stored.key.is_same_point(key));
        let changes = same_point.map(|stored| key.changes_since(&stored.key)).min_by_key(Vec::len);
        Ok(changes.map_or(RunStatus::New, RunStatus::Changed))
    }
}

fn label(settings: &Settings, clip: &Clip, repeat: u64) -> String {
    let size = clip.size().map_or_else(String::new, |size| format!(", {size}"));
    let frames = clip.frames().and_then(|frames| selected_frames(settings, clip, frames));
    let frames = frames.map_or_else(String::new, |frames| format!(", {frames} frames"));
    let repeat = if settings.repeats > 1 { format!(", repeat {repeat}") } else { String::new() };
    format!("{} {}{size}{frames}{repeat}", clip.name(), mode_name(settings))
}

/// Number of frames that the settings select from a clip of `frames`; `None` if it is not known before probing.
fn selected_frames(settings: &Settings, clip: &Clip, frames: usize) -> Option<usize> {
    // frames of drawn clips are evenly spaced, those of a user's file need not be
    frame_count::selected_frames(&settings.video, frames, clip.scene().map(|scene| scene.fps))
}

/// Floating point operations of a published detector for a frame of `clip`; 0 for other detectors, and where the size is not
/// known.
fn flop_per_frame(project: &Project, settings: &detect::Settings, clip: &Clip) -> f64 {
    let model = settings.model;
    let set = model.published().and_then(|_| weights::published_set(project, settings, model).ok());
    let (Some(set), Some(size)) = (set, clip.size()) else { return 0.0 };
    let padded = Geometry::new(&set.config.input, size).padded;
    let cost = set.config.cost(padded.height, padded.width);
    // with provided boxes there are neither proposals nor scores
    let operations = if model.needs_boxes() { cost.backbone + cost.pyramid } else { cost.total(0) };
    operations as f64
}

fn gpu_and_driver(placement: &DevicePlacement) -> Option<String> {
    placement.gpu.as_ref().map(|gpu| format!("{}, driver {}", gpu.name, gpu.driver_description()))
}
