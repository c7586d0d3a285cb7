//! The stage: frames with detections in, persons out, whichever network recovers them.

use super::landmark_bodies::{LandmarkBodies, UNCERTAIN_SCORE};
use super::{Architecture, ModelSet, RecoveryError, Weights, models_folder};
use crate::blazepose::{self, BlazePose};
use crate::body::Body;
use crate::fit;
use crate::frame::Frame;
use crate::hmr2::{self, Hmr2, Sight};
use crate::person::{Detection, Person};
use candle_core::Device;

/// What each network of the stage is told.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    pub hmr2: &'a hmr2::Settings,
    pub blazepose: &'a blazepose::Settings,
    pub fit: &'a fit::Settings,
}

/// A network that recovers bodies, with its weights.
pub enum BodyNetwork {
    Hmr2(Box<Hmr2>),
    BlazePose(Box<LandmarkBodies>),
}

/// The people of one frame, ready for the network.
pub struct FrameCrops {
    pub frame_index: usize,
    pub frame_width: usize,
    pub frame_height: usize,
    pixels: Pixels,
}

enum Pixels {
    /// HMR2 takes one crop a person; the frame is not needed any more.
    Crops(Sight),
    /// BlazePose chooses its second crop by the first, so that the frame itself is kept.
    Frame { frame: Frame, detections: Vec<Detection> },
}

impl FrameCrops {
    /// How many people there are.
    pub fn len(&self) -> usize {
        match &self.pixels {
            Pixels::Crops(crops) => crops.len(),
            Pixels::Frame { detections, .. } => detections.len(),
        }
    }

    /// Whether nobody is there.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What the stage gives for one frame.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FramePeople {
    /// Persons with bodies, in the order of their detections.
    pub persons: Vec<Person>,
    /// Detections in which the network recognized no person, or one whom a better detection shows already, or one whose
    /// landmarks no body can be fitted to. They have no body. They are kept in the results as detected, and are not tracked.
    pub without_body: Vec<Detection>,
}

impl BodyNetwork {
    /// Reads a model set's weights onto a device, after comparing them with the set.
    ///
    /// # Errors
    /// If the weights are missing, do not fit, or hash to something else; or if the device has no room.
    pub fn load(set: &ModelSet, device: &Device, settings: Settings) -> Result<BodyNetwork, RecoveryError> {
        set.verify_once()?;
        match (&set.architecture, &set.weights) {
            (Architecture::BlazePose(_), Weights::Fetched(fetched)) => {
                let weights = fetched.converted(&models_folder()?);
                let network = BlazePose::load(&weights, settings.blazepose.clone(), device)?;
                let bodies = LandmarkBodies::new(network, device, &set.load_body()?, settings)?;
                Ok(BodyNetwork::BlazePose(Box::new(bodies)))
            }
            _ => {
                let weights = set.load_weights(settings.hmr2.precision, device)?;
                let config = set.hmr2("its transformer")?;
                Ok(BodyNetwork::Hmr2(Box::new(Hmr2::new(config, weights, settings.hmr2)?)))
            }
        }
    }

    /// What a detector found, less what this network cannot judge: BlazePose confirms or rejects uncertain detections
    /// by the person's presence, HMR2 gives every box a body.
    pub fn without_uncertain(&self, mut detections: Vec<Detection>) -> Vec<Detection> {
        if matches!(self, BodyNetwork::Hmr2(_)) {
            detections.retain(|detection| detection.score >= UNCERTAIN_SCORE);
        }
        detections
    }

    /// Where the network runs.
    pub fn device(&self) -> &Device {
        match self {
            BodyNetwork::Hmr2(hmr2) => hmr2.device(),
            BodyNetwork::BlazePose(bodies) => bodies.device(),
        }
    }

    /// Cuts out the people of a frame as PHALP does, or keeps the frame for a network that does it itself.
    ///
    /// # Errors
    /// If a box is empty or no number, or the device fails.
    pub fn extract_crops(
        &self,
        frame: Frame,
        detections: Vec<Detection>,
    ) -> Result<FrameCrops, RecoveryError> {
        let (frame_index, frame_width, frame_height) = (frame.index, frame.width, frame.height);
        let pixels = match self {
            BodyNetwork::Hmr2(hmr2) => Pixels::Crops(hmr2.see(&frame, &detections)?),
            BodyNetwork::BlazePose(_) => Pixels::Frame { frame, detections },
        };
        Ok(FrameCrops { frame_index, frame_width, frame_height, pixels })
    }

    /// As [`BodyNetwork::extract_crops`], with HMR2's crops cut as 4D-Humans' demo cuts those of single pictures. The
    /// frame is copied for a network that needs it.
    ///
    /// # Errors
    /// As [`BodyNetwork::extract_crops`], and if the frame is on a device.
    pub fn extract_demo_crops(
        &self,
        frame: &Frame,
        detections: Vec<Detection>,
    ) -> Result<FrameCrops, RecoveryError> {
        let Frame { index: frame_index, width: frame_width, height: frame_height, .. } = *frame;
        let pixels = match self {
            BodyNetwork::Hmr2(hmr2) => Pixels::Crops(hmr2.see_as_demo(frame, &detections)?),
            BodyNetwork::BlazePose(_) => {
                let rgb = frame.rgb().to_vec();
                let frame = Frame::new(frame_index, frame.time_secs, frame_width, frame_height, rgb);
                Pixels::Frame { frame, detections }
            }
        };
        Ok(FrameCrops { frame_index, frame_width, frame_height, pixels })
    }

    /// The people of some frames, frame by frame; frames come in the order of the video.
    ///
    /// # Errors
    /// If the network fails or the device has no room.
    pub fn recover(
        &mut self,
        frames: Vec<FrameCrops>,
        body: &Body,
    ) -> Result<Vec<FramePeople>, RecoveryError> {
        match self {
            BodyNetwork::Hmr2(hmr2) => {
                let crops: Vec<Sight> = frames
                    .into_iter()
                    .filter_map(|frame| match frame.pixels {
                        Pixels::Crops(crops) => Some(crops),
                        Pixels::Frame { .. } => None,
                    })
                    .collect();
                let people = hmr2.recover(&crops, body)?.into_iter();
                Ok(people.map(|persons| FramePeople { persons, without_body: Vec::new() }).collect())
            }
            BodyNetwork::BlazePose(bodies) => {
                let frames = frames.into_iter().filter_map(|frame| match frame.pixels {
                    Pixels::Frame { frame, detections } => Some((frame, detections)),
                    Pixels::Crops(_) => None,
                });
                frames.map(|(frame, detections)| bodies.recover(&frame, detections, body)).collect()
            }
        }
    }

    /// As [`BodyNetwork::recover`] for pictures that have nothing to do with each other.
    ///
    /// # Errors
    /// As [`BodyNetwork::recover`].
    pub fn recover_pictures(
        &mut self,
        pictures: Vec<FrameCrops>,
        body: &Body,
    ) -> Result<Vec<FramePeople>, RecoveryError> {
        if matches!(self, BodyNetwork::Hmr2(_)) {
            return self.recover(pictures, body);
        }
        let mut everybody = Vec::with_capacity(pictures.len());
        for picture in pictures {
            self.forget_previous_frame();
            everybody.extend(self.recover(vec![picture], body)?);
        }
        Ok(everybody)
    }

    /// Forgets the people of the frame before, whose regions BlazePose starts from: the next frame follows on
    /// none.
    pub fn forget_previous_frame(&mut self) {
        if let BodyNetwork::BlazePose(bodies) = self {
            bodies.forget_previous_frame();
        }
    }
}
