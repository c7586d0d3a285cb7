//! The planner: one run's key, status and rough time, from what is kept and what lies on the disk.

use super::RunnerError;
use super::card::Place;
use super::clips::{self, Clip};
use super::key::Key;
use super::plan::{Planned, Status};
use super::progress::Listener;
use super::project::Project;
use super::store::{Kept, Store};
use super::watch::Program;
use crate::experiment::Settings;
use crate::hmr2::{Attention, BodySource, ModelSet};
use crate::provenance::{Machine, Source, sha256_of_file};
use std::collections::HashMap;
use std::path::Path;

/// Frames a second of a clip that is not there yet.
const FPS: f64 = 30.0;

/// What planning needs, looked up once.
pub(super) struct Planner<'p> {
    project: &'p Project,
    kept: Vec<Kept>,
    models: HashMap<String, Result<Model, String>>,
    clips: HashMap<String, Vec<Clip>>,
    places: HashMap<(String, Attention), Place>,
    program_sha256: String,
    pub source: Source,
    pub machine: Machine,
}

#[derive(Clone)]
struct Model {
    file_sha256: String,
    weights_sha256: String,
    body_sha256: Option<String>,
}

impl Planner<'_> {
    pub fn new<'p>(project: &'p Project, program: &Program) -> Result<Planner<'p>, RunnerError> {
        let program_sha256 = sha256_of_file(&program.path).map_err(RunnerError::file(&program.path))?;
        Ok(Planner {
            project,
            kept: Store::of(project.runs()).all(),
            models: HashMap::new(),
            clips: HashMap::new(),
            places: HashMap::new(),
            program_sha256,
            source: Source::of(&project.root),
            machine: Machine::this(),
        })
    }

    /// The clips of a dataset; with `make` those that are missing are made.
    ///
    /// # Errors
    /// If the dataset is unknown or wrong.
    pub fn clips_of(
        &mut self,
        settings: &Settings,
        make: bool,
        listener: &mut dyn Listener,
    ) -> Result<Vec<Clip>, RunnerError> {
        let choice = format!("{} {}", settings.dataset.name, settings.dataset.changes);
        let whole =
            |clips: &&Vec<Clip>| !make || clips.iter().all(|clip| !matches!(clip, Clip::NotMade { .. }));
        if let Some(clips) = self.clips.get(&choice).filter(whole) {
            return Ok(clips.clone());
        }
        let clips = clips::of(self.project, &settings.dataset, make, listener)?;
        self.clips.insert(choice, clips.clone());
        Ok(clips)
    }

    fn model(&mut self, name: &str) -> Result<Model, String> {
        let path = self.project.model(name);
        let load = || {
            let set = ModelSet::load(&path).map_err(|error| error.to_string())?;
            set.verify_once().map_err(|error| error.to_string())?;
            let sha256 = |path: &Path| {
                sha256_of_file(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
            };
            let body_sha256 = match &set.body {
                BodySource::StandIn => None,
                BodySource::File(path) => Some(sha256(path)?),
            };
            Ok(Model { file_sha256: sha256(&path)?, weights_sha256: set.weights.identity(), body_sha256 })
        };
        self.models.entry(name.to_string()).or_insert_with(load).clone()
    }

    /// The run of `settings` over `clip`.
    pub fn planned(&mut self, settings: &Settings, clip: Clip, repeat: u64) -> Planned {
        let model = self.model(&settings.model);
        let place = self.place(settings);
        let (key, status) = match (&clip, model, &place.refused) {
            (_, _, Some(refused)) => (None, Status::Broken(refused.to_string())),
            (Clip::Broken { message, .. }, _, _) => (None, Status::Broken(message.clone())),
            (_, Err(message), _) => (None, Status::Broken(message)),
            (Clip::NotMade { .. }, Ok(_), _) => (None, Status::ClipNotMade),
            (Clip::Ready(ready), Ok(model), None) => {
                let key = self.key(settings, &place, repeat, ready, model);
                let status = self.status(&key);
                (Some(key), status)
            }
        };
        let label = label(settings, &clip, repeat);
        let before = key.as_ref().and_then(|key| {
            let alike = self.kept.iter().find(|kept| kept.key.is_same_point(key))?;
            alike.row.wall_secs.filter(|_| alike.is_ok())
        });
        let rough_secs = before.unwrap_or_else(|| guess_secs(settings, &clip));
        Planned { label, settings: settings.clone(), place, repeat, clip, key, status, rough_secs }
    }

    /// The run of that key that was made before, whatever became of it.
    pub fn kept(&self, planned: &Planned) -> Option<&Kept> {
        let run_id = planned.key.as_ref()?.run_id();
        self.kept.iter().find(|kept| kept.row.run_id == run_id)
    }

    /// Where a run takes place; asked of the driver once.
    pub fn place(&mut self, settings: &Settings) -> Place {
        let asked = (settings.device.clone(), settings.hmr2.attention);
        self.places.entry(asked).or_insert_with(|| Place::of(settings)).clone()
    }

    fn key(&self, settings: &Settings, place: &Place, repeat: u64, clip: &clips::Ready, model: Model) -> Key {
        Key {
            settings: Key::settings_of(settings),
            repeat,
            clip: clip.name.clone(),
            clip_sha256: clip.sha256.clone(),
            truth_sha256: clip.truth.as_ref().map(|truth| truth.sha256.clone()),
            boxes_sha256: clip.boxes.as_ref().map(|boxes| boxes.sha256.clone()),
            model_sha256: model.file_sha256,
            weights_sha256: model.weights_sha256,
            body_sha256: model.body_sha256,
            device: place.device.clone(),
            card: place.card.as_ref().map(|card| format!("{}, driver {}", card.name, card.driver_in_words())),
            program_sha256: self.program_sha256.clone(),
            cpu: self.machine.cpu.clone(),
            cores: self.machine.cores,
            ffmpeg: self.machine.ffmpeg.clone(),
        }
    }

    fn status(&self, key: &Key) -> Status {
        let run_id = key.run_id();
        if let Some(kept) = self.kept.iter().find(|kept| kept.row.run_id == run_id) {
            if kept.is_ok() {
                return Status::Done;
            }
            let error = kept.row.error.clone().unwrap_or_default();
            return Status::Failed { outcome: kept.row.outcome.clone(), error };
        }
        let alike = self.kept.iter().filter(|kept| kept.key.is_same_point(key));
        let changes = alike.map(|kept| key.changes_since(&kept.key)).min_by_key(Vec::len);
        changes.map_or(Status::New, Status::Changed)
    }
}

/// The mode's name, or what stands for it where the settings contradict each other.
pub(super) fn mode_of(settings: &Settings) -> String {
    settings.video.mode().map_or_else(|_| "unknown".to_string(), |mode| mode.name().to_string())
}

fn label(settings: &Settings, clip: &Clip, repeat: u64) -> String {
    let (size, frames, fps) = match clip {
        Clip::Ready(ready) => (Some((ready.width, ready.height)), Some(ready.frames), ready.fps),
        Clip::NotMade { size, frames, .. } => (*size, *frames, FPS),
        Clip::Broken { .. } => (None, None, FPS),
    };
    let size = size.map_or_else(String::new, |(width, height)| format!(", {width}x{height}"));
    let frames = frames
        .map_or_else(String::new, |frames| format!(", {} frames", settings.video.frames_of(frames, fps)));
    let repeat = if settings.repeats > 1 { format!(", repeat {repeat}") } else { String::new() };
    format!("{} {}{size}{frames}{repeat}", clip.name(), mode_of(settings))
}

/// A guess where nothing like it was run before: two cores, the tiny model, a few people a frame.
fn guess_secs(settings: &Settings, clip: &Clip) -> f64 {
    let (frames, fps, pixels) = match clip {
        Clip::Ready(ready) => (ready.frames, ready.fps, ready.width * ready.height),
        Clip::NotMade { frames, size, .. } => {
            (frames.unwrap_or(120), FPS, size.map_or(640 * 360, |(w, h)| w * h))
        }
        Clip::Broken { .. } => return 0.0,
    };
    let frames = settings.video.frames_of(frames, fps);
    let megapixels = pixels as f64 / 1e6;
    let per_frame = 0.06
        + match mode_of(settings).as_str() {
            "stream-seek" => 0.12 + 0.2 * megapixels,
            "extract-jpeg" | "extract-png" => 0.15 * megapixels,
            _ => 0.02 * megapixels,
        };
    0.5 + frames as f64 * per_frame
}
