//! The stages of one frame, in order: given boxes, bodies, identities.
//!
//! Must not know how frames come, nor where rows go.

use super::RunnerError;
use super::order::Order;
use crate::body::Body;
use crate::dataset::TruthReader;
use crate::detect::Given;
use crate::frame::Frame;
use crate::hmr2::{Hmr2, ModelSet, Sight};
use crate::person::{BBox, Person};
use crate::phalp::{FrameIdentities, Tracker};
use candle_core::Device;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The stages, loaded.
pub struct Stages {
    boxes: Option<Boxes>,
    given: Given,
    hmr2: Hmr2,
    body: Body,
    tracker: Tracker,
}

/// What the stages know of a frame whose bodies are not recovered yet; the frame itself is not needed any more.
pub struct Seen {
    pub sight: Sight,
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
        Ok(Stages {
            boxes: order.boxes.as_deref().map(Boxes::open).transpose()?,
            given: Given::new(settings.detect.clone(), settings.seed)?,
            hmr2: Hmr2::load(&set, device, &settings.hmr2)?,
            body: set.load_body()?,
            tracker: Tracker::new(settings.phalp.clone())?,
        })
    }

    /// Where the network runs.
    pub fn device(&self) -> &Device {
        self.hmr2.device()
    }

    /// Finds the people of a frame and cuts them out. In its file the frame is number `in_file`: a file that is
    /// read more than once shows the same people every time.
    ///
    /// # Errors
    /// If the frame's truth is damaged, a box is none, or the device fails.
    pub fn see(&mut self, frame: &Frame, in_file: usize) -> Result<Seen, RunnerError> {
        let started = Instant::now();
        let boxes = self.boxes.as_mut().map_or_else(|| Ok(Vec::new()), |boxes| boxes.frame(in_file))?;
        let detected = self.given.detect(frame.index, frame.width, frame.height, &boxes)?;
        let detect_secs = started.elapsed().as_secs_f64();
        let started = Instant::now();
        let sight = self.hmr2.see(frame, &detected.detections)?;
        Ok(Seen { sight, detect_secs, crop_secs: started.elapsed().as_secs_f64() })
    }

    /// The bodies of all people seen in some frames, frame by frame.
    ///
    /// # Errors
    /// If the network fails or the device has no room.
    pub fn recover(&self, sights: &[Sight]) -> Result<Vec<Vec<Person>>, RunnerError> {
        Ok(self.hmr2.recover(sights, &self.body)?)
    }

    /// Follows the people of a frame; gives the frames whose identities became final: this one, or some
    /// before it, or none.
    ///
    /// # Errors
    /// If a person cannot be followed.
    pub fn follow(&mut self, sight: &Sight, persons: &[Person]) -> Result<Vec<FrameIdentities>, RunnerError> {
        Ok(self.tracker.step(sight.frame_index, sight.frame_width, sight.frame_height, persons)?)
    }

    /// Lets the tracker decide what is still open.
    pub fn finish(&mut self) -> Vec<FrameIdentities> {
        self.tracker.finish()
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
