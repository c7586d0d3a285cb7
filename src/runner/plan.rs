//! The plan: which runs an experiment asks for, which are done, and why the others are not.

use super::card::Place;
use super::clips::{self, Clip};
use super::key::Key;
use super::progress::Listener;
use super::store::{Kept, Store};
use super::watch::Program;
use super::{Project, RunnerError};
use crate::experiment::{Experiment, Settings};
use crate::hmr2::{Attention, BodySource, ModelSet};
use crate::provenance::{Machine, Source, sha256_of_bytes, sha256_of_file};
use std::collections::HashMap;
use std::fmt;
use std::path::Path;

/// All runs of an experiment, in the order in which they are made: every point once, then again for
/// the second repeat, so that a machine that slows down slows all points alike.
#[derive(Debug, Clone)]
pub struct Plan {
    pub runs: Vec<Planned>,
    pub source: Source,
    pub machine: Machine,
}

/// One run.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The run in words: clip, mode, size, length, repeat.
    pub label: String,
    pub settings: Settings,
    pub place: Place,
    pub repeat: u64,
    pub clip: Clip,
    /// `None` while the clip is not made, so that its hash is not known.
    pub key: Option<Key>,
    pub status: Status,
    /// A rough guess at how long it takes.
    pub rough_secs: f64,
}

/// Whether a run is done, or why not.
#[derive(Debug, Clone, PartialEq)]
pub enum Status {
    Done,
    /// Nothing like it was ever run.
    New,
    /// It ran, but these have changed since.
    Changed(Vec<&'static str>),
    /// It ran and failed; failures are tried again.
    Failed {
        outcome: String,
        error: String,
    },
    /// Its clip is not made yet.
    ClipNotMade,
    /// Its clip, its model set or its device cannot be had: it will be a failed row.
    Broken(String),
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Status::Done => write!(f, "done"),
            Status::New => write!(f, "to do: never run"),
            Status::Changed(what) => write!(f, "to do: {} changed since it ran", what.join(", ")),
            Status::Failed { outcome, error } => write!(f, "to do: failed before ({outcome}: {error})"),
            Status::ClipNotMade => write!(f, "to do: its clip is not made yet"),
            Status::Broken(message) => write!(f, "cannot run: {message}"),
        }
    }
}

impl Planned {
    /// An id for a run that has no key: it cannot run, and is told apart from the others that cannot.
    pub(super) fn stand_in_id(&self) -> String {
        let what = format!("{} {} {}", Key::settings_of(&self.settings), self.clip.name(), self.repeat);
        format!("x{}", &sha256_of_bytes(what.as_bytes())[..14])
    }
}

impl Plan {
    /// Rough seconds until all are done.
    pub fn rough_secs(&self) -> f64 {
        self.runs.iter().filter(|run| run.status != Status::Done).map(|run| run.rough_secs).sum()
    }

    /// How many runs are done.
    pub fn done(&self) -> usize {
        self.runs.iter().filter(|run| run.status == Status::Done).count()
    }
}

/// Refuses an experiment none of whose runs has a device to run on.
///
/// # Errors
/// If so, why the first has none. Where others have one, theirs are run and the rest are failed rows.
pub(super) fn refuse_without_device(experiment: &Experiment) -> Result<(), RunnerError> {
    let mut refused = None;
    for point in experiment.points()? {
        match Place::of(&point.settings).refused {
            None => return Ok(()),
            Some(error) => refused = refused.or(Some(error)),
        }
    }
    refused.map_or(Ok(()), |error| Err(error.into()))
}

/// Plans the runs of `experiment`.
///
/// With `make_clips` the clips that are missing are made first; without, nothing is written.
///
/// # Errors
/// If a dataset is unknown or wrong. What concerns one run alone is that run's [`Status`].
pub fn plan(
    project: &Project,
    experiment: &Experiment,
    program: &Program,
    make_clips: bool,
    listener: &mut dyn Listener,
) -> Result<Plan, RunnerError> {
    let mut planner = Planner::new(project, program)?;
    let points = experiment.points()?;
    let repeats = points.iter().map(|point| point.settings.repeats).max().unwrap_or(0);
    let mut runs = Vec::new();
    for repeat in 1..=repeats {
        for point in points.iter().filter(|point| point.settings.repeats >= repeat) {
            for clip in planner.clips_of(&point.settings, make_clips, listener)? {
                runs.push(planner.planned(&point.settings, clip, repeat));
            }
        }
    }
    Ok(Plan { runs, source: planner.source, machine: planner.machine })
}

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

    fn clips_of(
        &mut self,
        settings: &Settings,
        make: bool,
        listener: &mut dyn Listener,
    ) -> Result<Vec<Clip>, RunnerError> {
        let choice = format!("{} {}", settings.dataset.name, settings.dataset.changes);
        if let Some(clips) = self.clips.get(&choice) {
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
            set.verify().map_err(|error| error.to_string())?;
            let sha256 = |path: &Path| {
                sha256_of_file(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
            };
            let body_sha256 = match &set.body {
                BodySource::StandIn => None,
                BodySource::File(path) => Some(sha256(path)?),
            };
            Ok(Model { file_sha256: sha256(&path)?, weights_sha256: set.sha256, body_sha256 })
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

    /// Where a run takes place; asked of the driver once.
    fn place(&mut self, settings: &Settings) -> Place {
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
    let (size, frames) = match clip {
        Clip::Ready(ready) => (Some((ready.width, ready.height)), Some(ready.frames)),
        Clip::NotMade { size, frames, .. } => (*size, *frames),
        Clip::Broken { .. } => (None, None),
    };
    let size = size.map_or_else(String::new, |(width, height)| format!(", {width}x{height}"));
    let frames = frames.map_or_else(String::new, |frames| format!(", {frames} frames"));
    let repeat = if settings.repeats > 1 { format!(", repeat {repeat}") } else { String::new() };
    format!("{} {}{size}{frames}{repeat}", clip.name(), mode_of(settings))
}

/// A guess where nothing like it was run before: two cores, the tiny model, a few people a frame.
fn guess_secs(settings: &Settings, clip: &Clip) -> f64 {
    let (frames, pixels) = match clip {
        Clip::Ready(ready) => (ready.frames, ready.width * ready.height),
        Clip::NotMade { frames, size, .. } => (frames.unwrap_or(120), size.map_or(640 * 360, |(w, h)| w * h)),
        Clip::Broken { .. } => return 0.0,
    };
    let megapixels = pixels as f64 / 1e6;
    let per_frame = 0.06
        + match mode_of(settings).as_str() {
            "stream-seek" => 0.12 + 0.2 * megapixels,
            "extract-jpeg" | "extract-png" => 0.15 * megapixels,
            _ => 0.02 * megapixels,
        };
    0.5 + frames as f64 * per_frame
}

/// Rough seconds of a whole experiment, and its number of runs, without making anything.
///
/// # Errors
/// As [`plan`].
pub fn rough_secs(
    project: &Project,
    experiment: &Experiment,
    program: &Program,
) -> Result<(usize, f64), RunnerError> {
    let plan = plan(project, experiment, program, false, &mut super::progress::Silence)?;
    Ok((plan.runs.len(), plan.runs.iter().map(|run| run.rough_secs).sum()))
}
