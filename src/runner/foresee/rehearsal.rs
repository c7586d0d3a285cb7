//! A rehearsal: a mode over a few frames, by the process that carries out runs, watched as a run is.
//!
//! Must not know what follows from it.

use super::super::card::Place;
use super::super::death::Outcome;
use super::super::order::Order;
use super::super::progress::Silence;
use super::super::watch::{Program, Seen};
use super::super::work::Work;
use super::super::{Project, RunnerError, carry};
use super::crowd::Crowd;
use crate::experiment::{Limits, Settings};
use crate::video::{self, Mode, Probe};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use toml::{Table, Value};

/// What all rehearsals share.
pub struct Stage<'a> {
    pub project: &'a Project,
    pub settings: &'a Settings,
    pub place: &'a Place,
    pub probe: &'a Probe,
    /// The first frame of the range.
    pub first: usize,
    /// Every which frame is given out.
    pub every: usize,
    pub crowd: &'a Crowd,
    pub program: &'a Program,
    /// The detector's weights; `None` where boxes are given.
    pub detector: Option<&'a Path>,
    pub interrupt: &'a AtomicBool,
}

/// What was seen of one.
pub struct Rehearsal {
    pub seen: Seen,
    /// Why it says nothing.
    pub problem: Option<String>,
}

impl Stage<'_> {
    /// The settings of a run in `mode`; with a number of `frames` over so many of the range's first alone.
    ///
    /// # Errors
    /// If they do not go together.
    pub fn settings_of(&self, mode: Mode, frames: Option<usize>) -> Result<Settings, RunnerError> {
        let mut settings = self.settings.clone();
        let Some(frames) = frames else {
            if settings.video.preset.is_none() {
                settings.video.mode = Some(mode);
            }
            return Ok(settings);
        };
        let mut table = Table::try_from(&settings.video).unwrap_or_default();
        for bound in ["preset", "start_time", "end_time", "loops"] {
            table.remove(bound);
        }
        let end = (self.first + frames * self.every).min(self.probe.frames());
        table.insert("start_frame".into(), Value::Integer(self.first as i64));
        table.insert("end_frame".into(), Value::Integer(end as i64));
        let video: Result<video::Settings, toml::de::Error> = Value::Table(table).try_into();
        settings.video = video.map_err(|error| RunnerError::NoVideo(error.to_string()))?;
        settings.video.mode = Some(mode);
        // a rehearsal is to show what is wanted, not to die of it
        settings.limits = Limits::default();
        Ok(settings)
    }

    /// Rehearses `mode`.
    ///
    /// # Errors
    /// If it cannot be started, or Ctrl-C is pressed. That it fails is [`Rehearsal::problem`].
    pub fn rehearse(&self, mode: Mode, work: &Work) -> Result<Rehearsal, RunnerError> {
        let own = Work::create(&work.folder, mode.name())?;
        let boxes = own.folder.join("boxes.jsonl");
        self.crowd.write(&boxes, self.first, self.every)?;
        let order = Order {
            run_id: format!("plan-{}", mode.name()),
            settings: self.settings_of(mode, Some(self.crowd.rehearsed()))?.spelled_out(),
            device: self.place.device.clone(),
            card_uuid: self.place.card.as_ref().map(|card| card.uuid.clone()),
            video: self.probe.path.clone(),
            fps: self.probe.fps,
            boxes: Some(boxes),
            model: self.project.model(&self.settings.model),
            detector: self.detector.map(Path::to_path_buf),
            scratch: own.scratch(),
        };
        let seen = carry::watched(&order, &own, self.program, self.interrupt, &mut Silence)?;
        let seen = seen.ok_or(RunnerError::Interrupted)?;
        let failed = seen.outcome != Outcome::Ok;
        let problem = failed.then(|| seen.error.clone().unwrap_or_else(|| seen.outcome.name().to_string()));
        Ok(Rehearsal { seen, problem })
    }
}
