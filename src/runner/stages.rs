//! The stages of one frame, in order: given boxes, bodies, identities.
//!
//! Must not know how frames come, nor where rows go.

use super::RunnerError;
use super::order::Order;
use crate::body::Body;
use crate::dataset::TruthReader;
use crate::detect::Given;
use crate::frame::Frame;
use crate::hmr2::{Hmr2, ModelSet};
use crate::person::{BBox, Person};
use crate::phalp::{FrameIdentities, Tracker};
use candle_core::Device;
use std::time::Instant;

/// The stages, loaded.
pub struct Stages {
    boxes: Option<TruthReader>,
    given: Given,
    hmr2: Hmr2,
    body: Body,
    tracker: Tracker,
}

/// What the stages made of one frame.
pub struct Done {
    pub persons: Vec<Person>,
    /// Frames whose identities became final: this one, or some before it, or none.
    pub identities: Vec<FrameIdentities>,
    pub detect_secs: f64,
    pub recover_secs: f64,
    pub track_secs: f64,
}

impl Stages {
    /// Loads what the order asks for; the network goes to `device`.
    ///
    /// # Errors
    /// If weights or truth are missing or damaged, or the device has no room for them.
    pub fn load(order: &Order, device: &Device) -> Result<Stages, RunnerError> {
        let settings = &order.settings;
        let set = ModelSet::load(&order.model)?;
        Ok(Stages {
            boxes: order.boxes.as_deref().map(TruthReader::open).transpose()?,
            given: Given::new(settings.detect.clone(), settings.seed)?,
            hmr2: Hmr2::load(&set, device, &settings.hmr2)?,
            body: set.load_body()?,
            tracker: Tracker::new(settings.phalp.clone())?,
        })
    }

    /// Takes one frame through all stages.
    ///
    /// # Errors
    /// If the frame's truth is damaged, the network fails, or a person cannot be followed.
    pub fn step(&mut self, frame: &Frame) -> Result<Done, RunnerError> {
        let started = Instant::now();
        let boxes = self.boxes(frame.index)?;
        let detected = self.given.detect(frame.index, frame.width, frame.height, &boxes)?;
        let detect_secs = started.elapsed().as_secs_f64();

        let started = Instant::now();
        let persons = self.hmr2.recover(frame, &detected.detections, &self.body)?.people;
        let recover_secs = started.elapsed().as_secs_f64();

        let started = Instant::now();
        let identities = self.tracker.step(frame.index, frame.width, frame.height, &persons)?;
        let track_secs = started.elapsed().as_secs_f64();
        Ok(Done { persons, identities, detect_secs, recover_secs, track_secs })
    }

    /// Lets the tracker decide what is still open.
    pub fn finish(&mut self) -> Vec<FrameIdentities> {
        self.tracker.finish()
    }

    /// Who is where in frame `index` of the clip, by what is given. Frames are asked for in rising order.
    fn boxes(&mut self, index: usize) -> Result<Vec<(u32, BBox)>, RunnerError> {
        let Some(boxes) = &mut self.boxes else { return Ok(Vec::new()) };
        let people = boxes.frame(index)?;
        Ok(people.iter().map(|person| (person.id, person.bbox)).collect())
    }
}
