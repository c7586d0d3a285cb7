//! The stages of one frame, in order: detections, bodies, identities.
//!
//! Must not know how frames come, nor where rows go.

use super::RunnerError;
use super::order::Order;
use crate::body::Body;
use crate::dataset::TruthReader;
use crate::detect::nanodet::NanoDet;
use crate::detect::{Given, Model};
use crate::frame::Frame;
use crate::person::{BBox, Detection, Person};
use crate::phalp::{FrameIdentities, Tracker};
use crate::recovery::{self, BodyNetwork, FrameCrops, FramePeople, ModelSet};
use candle_core::Device;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The stages, loaded.
pub struct Stages {
    detector: Detector,
    network: BodyNetwork,
    body: Body,
    tracker: Tracker,
}

/// What finds the people of a frame.
enum Detector {
    /// Boxes that are given, made worse on purpose where the settings say so.
    Given(Box<(Option<Boxes>, Given)>),
    NanoDet(Box<NanoDet>),
}

/// A frame whose people are detected and whose bodies are not recovered yet.
pub struct Detected {
    pub crops: FrameCrops,
    pub detect_secs: f64,
    pub crop_secs: f64,
}

impl Stages {
    /// Loads what the order asks for; the network goes to `device`.
    ///
    /// # Errors
    /// If weights or truth are missing or damaged, or the device has no room for them.
    pub fn load(order: &Order, device: &Device) -> Result<Stages, RunnerError> {
        let settings = &order.settings;
        let set = ModelSet::load(&order.model)?;
        let networks =
            recovery::Settings { hmr2: &settings.hmr2, blazepose: &settings.blazepose, fit: &settings.fit };
        Ok(Stages {
            detector: Detector::load(order, device)?,
            network: BodyNetwork::load(&set, device, networks)?,
            body: set.load_body()?,
            tracker: Tracker::new(settings.phalp.clone())?,
        })
    }

    /// Where the network runs.
    pub fn device(&self) -> &Device {
        self.network.device()
    }

    /// Finds the people of a frame and cuts them out. In its file the frame is number `in_file`: a file that is
    /// read more than once shows the same people every time.
    ///
    /// # Errors
    /// If the frame's truth is damaged, a box is none, or the device fails.
    pub fn detect(&mut self, frame: Frame, in_file: usize) -> Result<Detected, RunnerError> {
        let started = Instant::now();
        let mut detections = self.detector.detect(&frame, in_file)?;
        if let Detector::NanoDet(_) = self.detector {
            detections = self.network.without_uncertain(detections);
        }
        let detect_secs = started.elapsed().as_secs_f64();
        let started = Instant::now();
        let crops = self.network.extract_crops(frame, detections)?;
        Ok(Detected { crops, detect_secs, crop_secs: started.elapsed().as_secs_f64() })
    }

    /// The bodies of all people detected in some frames, frame by frame.
    ///
    /// # Errors
    /// If the network fails or the device has no room.
    pub fn recover(&mut self, frames: Vec<FrameCrops>) -> Result<Vec<FramePeople>, RunnerError> {
        Ok(self.network.recover(frames, &self.body)?)
    }

    /// Tracks the persons of frame `index` of `width` by `height` pixels; gives the frames whose identities became
    /// final: this one, or some before it, or none.
    ///
    /// # Errors
    /// If a person cannot be tracked.
    pub fn track(
        &mut self,
        index: usize,
        (width, height): (usize, usize),
        persons: &[Person],
    ) -> Result<Vec<FrameIdentities>, RunnerError> {
        Ok(self.tracker.step(index, width, height, persons)?)
    }

    /// See [`BodyNetwork::forget_previous_frame`].
    pub fn forget_previous_frame(&mut self) {
        self.network.forget_previous_frame();
    }

    /// Lets the tracker decide what is still open.
    pub fn finish(&mut self) -> Vec<FrameIdentities> {
        self.tracker.finish()
    }
}

impl Detector {
    fn load(order: &Order, device: &Device) -> Result<Detector, RunnerError> {
        let settings = &order.settings;
        match (settings.detect.model, &order.detector) {
            (Model::Given, _) => {
                let boxes = order.boxes.as_deref().map(Boxes::open).transpose()?;
                Ok(Detector::Given(Box::new((boxes, Given::new(settings.detect.clone(), settings.seed)?))))
            }
            (Model::Nanodet, Some(weights)) => {
                let network = recovery::detector(weights, device, &settings.detect.nanodet)?;
                Ok(Detector::NanoDet(Box::new(network)))
            }
            (Model::Nanodet, None) => Err(RunnerError::NoDetector),
        }
    }

    fn detect(&mut self, frame: &Frame, in_file: usize) -> Result<Vec<Detection>, RunnerError> {
        match self {
            Detector::Given(given) => {
                let (boxes, given) = given.as_mut();
                let boxes = boxes.as_mut().map_or_else(|| Ok(Vec::new()), |boxes| boxes.frame(in_file))?;
                Ok(given.detect(frame.index, frame.width, frame.height, &boxes)?.detections)
            }
            Detector::NanoDet(network) => Ok(network.detect(&[frame])?.pop().unwrap_or_default()),
        }
    }
}

/// Who is where, by what is given.
struct Boxes {
    path: PathBuf,
    reader: TruthReader,
    last: usize,
}

impl Boxes {
    fn open(path: &Path) -> Result<Boxes, RunnerError> {
        Ok(Boxes { path: path.to_path_buf(), reader: TruthReader::open(path)?, last: 0 })
    }

    /// In frame `index` of the file. Frames are asked for in rising order, or from the start again.
    fn frame(&mut self, index: usize) -> Result<Vec<(u32, BBox)>, RunnerError> {
        if index < self.last {
            self.reader = TruthReader::open(&self.path)?;
        }
        self.last = index;
        let people = self.reader.frame(index)?;
        Ok(people.iter().map(|person| (person.id, person.bbox)).collect())
    }
}
