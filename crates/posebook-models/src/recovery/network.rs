//! The pipeline stage: input frames with detections, output people with bodies, independent of the network.

use super::frame_people::FramePeople;
use super::landmark_bodies::{LandmarkBodies, UNCERTAIN_SCORE};
use super::mask;
use super::settings::Settings;
use super::{Architecture, ModelSet, RecoveryError, Weights, models_folder};
use crate::appearance::encoder::Encoder;
use crate::appearance::sampler::CROP_SIDE;
use crate::appearance::{AppearanceStage, Crop, View};
use crate::blazepose::BlazePose;
use crate::body::Body;
use crate::hmr2::{self, Hmr2};
use candle_core::Device;
use posebook_core::frame::Frame;
use posebook_core::person::{Detection, FrameMask, Person, RegionMask};
use rayon::prelude::*;
use std::sync::Arc;

/// A loaded network that recovers bodies, and computes the appearance of people if the settings ask for it.
pub struct BodyNetwork {
    network: Network,
    appearance: Option<AppearanceStage>,
}

enum Network {
    /// HMR2.
    Hmr2(Box<Hmr2>),
    /// BlazePose and a fit.
    BlazePose(Box<LandmarkBodies>),
}

/// The network's input for one frame.
pub struct FrameCrops {
    /// Index of the frame.
    pub frame_index: usize,
    /// Width of the frame, pixels.
    pub frame_width: usize,
    /// Height of the frame, pixels.
    pub frame_height: usize,
    pixels: Pixels,
}

enum Pixels {
    /// HMR2 needs one crop per person; the frame is dropped.
    Crops {
        crops: hmr2::FrameCrops,
        /// Crops of 256 pixels for the appearance, if the network's are of another size or normalized.
        textures: Option<hmr2::FrameCrops>,
    },
    /// BlazePose's second crop depends on its first result, so that the frame itself is needed.
    Frame { frame: Frame, detections: Vec<Detection> },
}

impl FrameCrops {
    /// Number of detections.
    pub fn len(&self) -> usize {
        match &self.pixels {
            Pixels::Crops { crops, .. } => crops.len(),
            Pixels::Frame { detections, .. } => detections.len(),
        }
    }

    /// Whether there are no detections.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl BodyNetwork {
    /// Verifies a model set's weights and loads them to a device.
    ///
    /// # Errors
    /// If the weights are missing, do not match the set, or have another hash; or if the device has too little memory.
    pub fn load(set: &ModelSet, device: &Device, settings: Settings) -> Result<BodyNetwork, RecoveryError> {
        set.verify_cached()?;
        let network = match (&set.architecture, &set.weights) {
            (Architecture::BlazePose(_), Weights::Fetched(fetched)) => {
                let weights = fetched.converted_path(&models_folder()?);
                let network = BlazePose::load(&weights, settings.blazepose.clone(), device)?;
                let bodies = LandmarkBodies::new(network, device, &set.load_body()?, settings)?;
                Network::BlazePose(Box::new(bodies))
            }
            _ => {
                let weights = set.load_weights(settings.hmr2.precision, device)?;
                let config = set.hmr2_config("its transformer")?;
                Network::Hmr2(Box::new(Hmr2::new(config, weights, settings.hmr2)?))
            }
        };
        let load = |sources| -> Result<AppearanceStage, RecoveryError> {
            Ok(AppearanceStage::load(sources, &set.load_body()?, device)?)
        };
        Ok(BodyNetwork { network, appearance: settings.appearance.map(load).transpose()? })
    }

    /// The encoder of textures; `None` if no appearance is computed.
    pub fn texture_encoder(&self) -> Option<Arc<Encoder>> {
        self.appearance.as_ref().map(AppearanceStage::encoder)
    }

    /// Removes detections with low scores if this network cannot reject them: BlazePose confirms or rejects uncertain
    /// detections by the presence of a person, HMR2 predicts a body for every box.
    pub fn remove_uncertain(&self, mut detections: Vec<Detection>) -> Vec<Detection> {
        if matches!(self.network, Network::Hmr2(_)) {
            detections.retain(|detection| detection.score >= UNCERTAIN_SCORE);
        }
        detections
    }

    /// The device that the network runs on.
    pub fn device(&self) -> &Device {
        match &self.network {
            Network::Hmr2(hmr2) => hmr2.device(),
            Network::BlazePose(bodies) => bodies.device(),
        }
    }

    /// Extracts the crops of a frame as PHALP does, or keeps the frame for a network that extracts crops itself.
    ///
    /// # Errors
    /// If a box is empty or not finite, or the device fails.
    pub fn extract_crops(
        &self,
        frame: Frame,
        detections: Vec<Detection>,
    ) -> Result<FrameCrops, RecoveryError> {
        let (frame_index, frame_width, frame_height) = (frame.index, frame.width, frame.height);
        let pixels = match &self.network {
            Network::Hmr2(hmr2) => {
                let crops = hmr2.extract_crops(&frame, &detections)?;
                let textures = match self.appearance.is_some() && hmr2.image_size() != CROP_SIDE {
                    true => Some(hmr2.extract_crops_of_size(&frame, &detections, CROP_SIDE)?),
                    false => None,
                };
                Pixels::Crops { crops, textures }
            }
            Network::BlazePose(_) => Pixels::Frame { frame, detections },
        };
        Ok(FrameCrops { frame_index, frame_width, frame_height, pixels })
    }

    /// As [`BodyNetwork::extract_crops`], but HMR2's crops are those of 4D-Humans' demo for single images. The frame is
    /// copied for a network that needs it.
    ///
    /// # Errors
    /// As [`BodyNetwork::extract_crops`], and if the frame is on a device.
    pub fn extract_demo_crops(
        &self,
        frame: &Frame,
        detections: Vec<Detection>,
    ) -> Result<FrameCrops, RecoveryError> {
        let Frame { index: frame_index, width: frame_width, height: frame_height, .. } = *frame;
        let pixels = match &self.network {
            Network::Hmr2(hmr2) => {
                let crops = hmr2.extract_crops_demo(frame, &detections)?;
                let extract = |_: &AppearanceStage| {
                    hmr2::FrameCrops::extract(frame, &detections, CROP_SIDE, hmr2::BoxAspect::default())
                };
                Pixels::Crops { crops, textures: self.appearance.as_ref().map(extract).transpose()? }
            }
            Network::BlazePose(_) => {
                let rgb = frame.rgb().to_vec();
                let frame = Frame::new(frame_index, frame.time_secs, frame_width, frame_height, rgb);
                Pixels::Frame { frame, detections }
            }
        };
        Ok(FrameCrops { frame_index, frame_width, frame_height, pixels })
    }

    /// Recovers the people of frames; frames have to be in video order.
    ///
    /// # Errors
    /// If the network fails or the device has too little memory.
    pub fn recover(
        &mut self,
        frames: Vec<FrameCrops>,
        body: &Body,
    ) -> Result<Vec<FramePeople>, RecoveryError> {
        match &mut self.network {
            Network::Hmr2(hmr2) => {
                let (mut crops, mut textures) = (Vec::new(), Vec::new());
                for frame in frames {
                    if let Pixels::Crops { crops: of_network, textures: of_textures } = frame.pixels {
                        crops.push(of_network);
                        textures.push(of_textures);
                    }
                }
                let mut people = hmr2.recover(&crops, body)?;
                if let Some(appearance) = &self.appearance {
                    let textures = crops
                        .iter()
                        .zip(&textures)
                        .map(|(crops, textures)| textures.as_ref().unwrap_or(crops));
                    add_appearance(appearance, textures, &mut people, body)?;
                }
                let people = people.into_iter();
                Ok(people.map(|persons| FramePeople { persons, without_body: Vec::new() }).collect())
            }
            Network::BlazePose(bodies) => {
                let frames = frames.into_iter().filter_map(|frame| match frame.pixels {
                    Pixels::Frame { frame, detections } => Some((frame, detections)),
                    Pixels::Crops { .. } => None,
                });
                let appearance = self.appearance.as_ref();
                frames
                    .map(|(frame, detections)| bodies.recover(&frame, detections, body, appearance))
                    .collect()
            }
        }
    }

    /// As [`BodyNetwork::recover`] for independent images.
    ///
    /// # Errors
    /// As [`BodyNetwork::recover`].
    pub fn recover_images(
        &mut self,
        images: Vec<FrameCrops>,
        body: &Body,
    ) -> Result<Vec<FramePeople>, RecoveryError> {
        if matches!(self.network, Network::Hmr2(_)) {
            return self.recover(images, body);
        }
        let mut people = Vec::with_capacity(images.len());
        for image in images {
            self.reset_previous_frame();
            people.extend(self.recover(vec![image], body)?);
        }
        Ok(people)
    }

    /// Discards the people of the previous frame, whose regions BlazePose starts from: the next frame is independent.
    pub fn reset_previous_frame(&mut self) {
        if let Network::BlazePose(bodies) = &mut self.network {
            bodies.reset_previous_frame();
        }
    }
}

/// Computes the appearance of HMR2's people from the crops of their frames. If the detector found a mask, textures are limited
/// to it, and it stays the person's. Else every pixel of a crop counts as the person's, and the person's mask is the
/// silhouette of the body.
fn add_appearance<'a>(
    appearance: &AppearanceStage,
    crops: impl Iterator<Item = &'a hmr2::FrameCrops>,
    people: &mut [Vec<Person>],
    body: &Body,
) -> Result<(), RecoveryError> {
    let (mut views, mut crop_of_view) = (Vec::new(), Vec::new());
    for (crops, persons) in crops.zip(people.iter()) {
        for (index, person) in persons.iter().enumerate() {
            let rgb = crops.copy_rgb(index)?.unwrap_or_default();
            let mask = crops.copy_mask(index, CROP_SIDE)?;
            let (params, crop_camera) = (&person.params, person.crop_camera);
            views.push(View { params, crop_camera, crop: Crop { rgb, mask } });
            crop_of_view.push((crops, index));
        }
    }
    let found = appearance.observe(&views, body)?;
    let masks: Vec<Option<FrameMask>> = crop_of_view
        .par_iter()
        .zip(&found)
        .map(|((crops, index), observed)| {
            if crops.detections[*index].mask.is_some() {
                return None;
            }
            let values = observed.silhouette.clone();
            let mask_from_frame = crops.affine(*index, CROP_SIDE);
            let mask = RegionMask { mask_from_frame, size: CROP_SIDE, values };
            Some(mask::to_frame_mask(&mask, crops.frame_width, crops.frame_height))
        })
        .collect();
    for ((person, observed), silhouette) in people.iter_mut().flatten().zip(found).zip(masks) {
        person.appearance = Some(observed.appearance);
        person.mask = person.mask.take().or(silhouette);
    }
    Ok(())
}
