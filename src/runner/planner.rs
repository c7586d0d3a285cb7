//! The planner: one run's key, status and rough time, from what is kept and what lies on the disk.

use super::RunnerError;
use super::card::{self, Place};
use super::clips::{self, Clip};
use super::finish::precision_of;
use super::frame_count;
use super::guess::{self, Job, Network, Past, RoughTime};
use super::key::Key;
use super::plan::{Planned, Status};
use super::progress::Listener;
use super::project::Project;
use super::store::{Kept, Store};
use super::watch::Program;
use super::weights::{self, Detector};
use crate::detect;
use crate::experiment::Settings;
use crate::hmr2::Attention;
use crate::provenance::{Machine, Source, sha256_of_file};
use crate::recovery::{Architecture, BodySource, ModelSet, PUBLISHED};
use std::collections::HashMap;
use std::path::Path;

/// What planning needs, looked up once.
pub(super) struct Planner<'p> {
    project: &'p Project,
    kept: Vec<Kept>,
    models: HashMap<String, Result<Model, String>>,
    detector: Option<Result<Detector, String>>,
    clips: HashMap<String, Vec<Clip>>,
    places: HashMap<(String, Attention), Place>,
    /// Operations a second for each model set, measured when first asked for.
    rates: HashMap<String, Option<f64>>,
    /// Mean number of people per frame, by the path of the file of boxes.
    crowds: HashMap<String, Option<f64>>,
    program_sha256: String,
    pub source: Source,
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
    pub fn new<'p>(project: &'p Project, program: &Program) -> Result<Planner<'p>, RunnerError> {
        let program_sha256 = sha256_of_file(&program.path).map_err(RunnerError::file(&program.path))?;
        Ok(Planner {
            project,
            kept: Store::of(project.runs()).all(),
            models: HashMap::new(),
            detector: None,
            clips: HashMap::new(),
            places: HashMap::new(),
            rates: HashMap::new(),
            crowds: HashMap::new(),
            program_sha256,
            source: Source::of(&project.root),
            machine: Machine::this(),
        })
    }

    /// Why runs of these settings are left out here, as what follows "which"; `None` where they can run.
    pub fn left_out(&mut self, settings: &Settings) -> Option<&'static str> {
        if settings.model == PUBLISHED && !self.project.model(PUBLISHED).is_file() {
            return Some("need HMR2's weights, which are not imported here (`posebook model import hmr2`)");
        }
        card::left_out(settings, &self.place(settings))
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
            let (file_sha256, weights_sha256) = (sha256(&path)?, set.weights.identity());
            Ok(Model { file_sha256, weights_sha256, body_sha256, architecture: set.architecture })
        };
        self.models.entry(name.to_string()).or_insert_with(load).clone()
    }

    /// The detector's weights, where they are fetched; `None` where boxes are given.
    fn detector(&mut self, settings: &Settings) -> Result<Option<Detector>, String> {
        if settings.detect.model == detect::Model::Given {
            return Ok(None);
        }
        let find = || weights::detector(self.project).map_err(|error| error.to_string());
        self.detector.get_or_insert_with(find).clone().map(Some)
    }

    /// Fetches the weights that runs of these settings need and that others publish. What cannot be fetched is a
    /// note; its runs then say that it is missing.
    ///
    /// # Errors
    /// If Ctrl-C is pressed.
    pub fn fetch_weights<'s>(
        &mut self,
        settings: impl IntoIterator<Item = &'s Settings>,
        listener: &mut dyn Listener,
    ) -> Result<(), RunnerError> {
        weights::fetch_for(self.project, settings, listener)
    }

    /// The run of `settings` over `clip`.
    pub fn planned(&mut self, settings: &Settings, clip: Clip, repeat: u64) -> Planned {
        let model = self.model(&settings.model);
        let detector = self.detector(settings);
        let place = self.place(settings);
        let detector_sha256 = detector.as_ref().ok().and_then(|found| Some(found.as_ref()?.sha256.clone()));
        let (key, status) = match (&clip, model.clone(), &place.refused) {
            (_, _, Some(refused)) => (None, Status::Broken(refused.to_string())),
            (Clip::Broken { message, .. }, _, _) => (None, Status::Broken(message.clone())),
            (_, Err(message), _) => (None, Status::Broken(message)),
            _ if detector.is_err() => (None, Status::Broken(detector.clone().err().unwrap_or_default())),
            (Clip::NotMade { .. }, Ok(_), _) => (None, Status::ClipNotMade),
            (Clip::Ready(ready), Ok(model), None) => {
                let key = Key { detector_sha256, ..self.key(settings, &place, repeat, ready, model) };
                let status = self.status(&key);
                (Some(key), status)
            }
        };
        let label = label(settings, &clip, repeat);
        let rough = match (&status, model) {
            // what cannot run takes no time
            (Status::Broken(_), _) | (_, Err(_)) => RoughTime::default(),
            (_, Ok(model)) => self.rough(settings, &place, &clip, key.as_ref(), &model),
        };
        let detector = detector.ok().flatten().map(|detector| detector.path);
        Planned { label, settings: settings.clone(), place, repeat, clip, key, detector, status, rough }
    }

    /// How long a run may take: as long as it took on this machine before, else a guess.
    fn rough(
        &mut self,
        settings: &Settings,
        place: &Place,
        clip: &Clip,
        key: Option<&Key>,
        model: &Model,
    ) -> RoughTime {
        let before = key.and_then(|key| {
            let mut alike = self.kept.iter().filter(|kept| kept.is_ok() && kept.key.costs_the_same(key));
            alike.find_map(|kept| kept.row.wall_secs)
        });
        if before.is_some() {
            return before.into();
        }
        let job = Job {
            mode: mode_of(settings),
            frames: clip.frames().and_then(|frames| given_out(settings, clip, frames)),
            pixels: clip.size().map_or(0, |(width, height)| width * height),
            people: self.people(clip),
            network: Network {
                model_sha256: model.file_sha256.clone(),
                weights_sha256: model.weights_sha256.clone(),
                precision: precision_of(settings),
                device: place.device.clone(),
                card: card_of(place),
                flop_per_crop: model.architecture.flop_per_crop() as f64,
                weights: model.architecture.parameters(),
            },
            limit_secs: settings.limits.wall_secs,
        };
        let rates = &mut self.rates;
        let flop_per_sec = || {
            // a card's rate is known from its runs alone
            let on_processors = job.network.card.is_none();
            let measure = || {
                guess::measured_flop_per_sec(model.architecture.largest_product()?).filter(|_| on_processors)
            };
            *rates.entry(format!("{} {}", settings.model, place.device)).or_insert_with(measure)
        };
        guess::guess(&job, &Past::of(&self.kept, &self.machine), flop_per_sec).into()
    }

    /// People in a frame, the mean: those of the drawn scene, else the boxes given; `None` without any.
    fn people(&mut self, clip: &Clip) -> Option<f64> {
        if let Some(drawn) = clip.drawn() {
            return Some(drawn.people as f64);
        }
        let Clip::Ready(ready) = clip else { return None };
        let given = ready.given()?;
        let count = || {
            let mut reader = given.open().ok()?;
            let (mut frames, mut people) = (0, 0);
            while let Some(here) = reader.next_frame().ok()? {
                (frames, people) = (frames + 1, people + here.len());
            }
            // frames after the last with a box have none
            Some(people as f64 / ready.frames.max(frames).max(1) as f64)
        };
        *self.crowds.entry(given.sha256.clone()).or_insert_with(count)
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
            body_sha256: model.body_sha256,
            device: place.device.clone(),
            card: card_of(place),
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
    let size = clip.size().map_or_else(String::new, |(width, height)| format!(", {width}x{height}"));
    let frames = clip.frames().and_then(|frames| given_out(settings, clip, frames));
    let frames = frames.map_or_else(String::new, |frames| format!(", {frames} frames"));
    let repeat = if settings.repeats > 1 { format!(", repeat {repeat}") } else { String::new() };
    format!("{} {}{size}{frames}{repeat}", clip.name(), mode_of(settings))
}

/// Frames that are given out of a clip of `frames`, where that is known before its video is probed.
fn given_out(settings: &Settings, clip: &Clip, frames: usize) -> Option<usize> {
    // drawn frames are evenly spaced, those of a user's file need not be
    frame_count::given_out(&settings.video, frames, clip.drawn().map(|drawn| drawn.fps))
}

fn card_of(place: &Place) -> Option<String> {
    place.card.as_ref().map(|card| format!("{}, driver {}", card.name, card.driver_in_words()))
}
