//! A detector from frames to people.

use super::backbone::BackboneNetwork;
use super::boxes::Corners;
use super::config::Config;
use super::error::MaskRcnnError;
use super::heads::{BoxHeads, Found, MaskHead, Thresholds};
use super::layers::Loader;
use super::options::Options;
use super::paste::to_frame_masks;
use super::preprocess::{self, Geometry};
use super::rpn::{Proposal, Rpn};
use super::weights;
use crate::device::copy_to_host;
use crate::nn;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use posebook_core::frame::Frame;
use posebook_core::person::{BBox, Detection};
use std::collections::HashMap;

/// Largest number of detections of a frame, of all classes.
pub(super) const MOST_DETECTIONS: usize = 100;
/// Index of the class of people.
const PERSON: usize = 0;
/// Given boxes are cut off this many image sides outside of the image: the number of samples of a region grows with its size.
const FARTHEST: f32 = 8.0;

/// A published detector, loaded.
#[derive(Debug)]
pub struct MaskRcnn {
    config: Config,
    options: Options,
    device: Device,
    backbone: BackboneNetwork,
    rpn: Rpn,
    box_heads: BoxHeads,
    mask_head: MaskHead,
}

/// What a detector computes on the way to the detections of a frame: for comparisons with the original.
#[derive(Debug)]
pub struct FrameOutputs {
    /// Sizes of the frame.
    pub geometry: Geometry,
    /// The maps p2 to p6, `(1, h, w, c)`.
    pub pyramid: Vec<Tensor>,
    /// Boxes that may contain something, best first.
    pub proposals: Vec<Proposal>,
    /// A row for each proposal: probabilities of the classes, that of the background last.
    pub scores: Vec<f32>,
    /// Detections of all classes, best first.
    pub objects: Vec<DetectedObject>,
}

/// A detection of any class.
#[derive(Debug, Clone, PartialEq)]
pub struct DetectedObject {
    /// Index of the class; 0 is the person.
    pub class: usize,
    /// The box in pixels of the network's input.
    pub corners: Corners,
    /// The box in pixels of the frame, score and mask.
    pub detection: Detection,
}

/// The feature maps of frames of one size.
struct Features {
    geometry: Geometry,
    /// `(b, h, w, c)`, p2 to p6.
    pyramid: Vec<Tensor>,
}

impl MaskRcnn {
    /// Builds a detector of weights ([`Config::tensors`]; `f32`, or the precision of `options`) on a device. Tensors that the
    /// detector does not have are ignored.
    ///
    /// # Errors
    /// If sizes do not fit each other, a tensor is missing, has another shape or a value that is not finite, or the device fails.
    pub fn load(
        config: &Config,
        weights: HashMap<String, Tensor>,
        device: &Device,
        options: Options,
    ) -> Result<MaskRcnn, MaskRcnnError> {
        config.validate().map_err(MaskRcnnError::Config)?;
        if let Some(problem) = weights::problem(config, &weights)? {
            return Err(MaskRcnnError::Weights(problem));
        }
        let variables = VarBuilder::from_tensors(weights, DType::F32, device);
        let loader = Loader::new(variables, nn::dtype(options.precision), options.operators);
        let (channels, classes) = (config.channels, config.classes);
        let (head, heads) = (loader.pp("proposal_generator").pp("rpn_head"), loader.pp("roi_heads"));
        Ok(MaskRcnn {
            backbone: BackboneNetwork::load(&config.backbone, channels, &loader.pp("backbone"))?,
            rpn: Rpn::load(&config.rpn, channels, &head)?,
            box_heads: BoxHeads::load(&config.box_head, channels, classes, &heads)?,
            mask_head: MaskHead::load(&config.mask_head, channels, classes, &heads)?,
            config: config.clone(),
            options,
            device: device.clone(),
        })
    }

    /// The people of each frame (class 0) with masks, best first. Boxes are clipped to the frame; `input_id` is `None`.
    ///
    /// Successive frames of one size are computed together, up to `Options.batch` of them; the result is the same.
    ///
    /// # Errors
    /// If a frame has no pixels, the device fails, or the network's output is not finite.
    pub fn detect(&self, frames: &[&Frame]) -> Result<Vec<Vec<Detection>>, MaskRcnnError> {
        frames.iter().try_for_each(|frame| require_pixels(frame))?;
        let mut detections = Vec::with_capacity(frames.len());
        for same_size in frames.chunk_by(|a, b| a.size() == b.size()) {
            for batch in same_size.chunks(self.options.batch.max(1)) {
                let features = self.features(batch)?;
                let proposals = self.propose(&features, batch.len())?;
                for (image, (frame, proposals)) in batch.iter().zip(proposals).enumerate() {
                    let found = self.find(&features, image, frame, &proposals)?;
                    let people = found.into_iter().filter(|found| found.class == PERSON).collect();
                    let people = self.with_masks(&features, image, frame, people)?;
                    detections.push(people.into_iter().map(|object| object.detection).collect());
                }
            }
        }
        Ok(detections)
    }

    /// A detection with a mask for each given box, as PHALP's `predict_with_bbox`: score 1; the box went through the scale of
    /// the network and back in single precision, and is clipped to the frame.
    ///
    /// `None` where nothing of the box is inside the frame, or a side is not finite. The original leaves such boxes out of its
    /// result, but not their identities out of its lists, so that the following boxes get the wrong identities. Here each box
    /// keeps its place. A box that reaches more than eight image sides beyond the image is cut off there.
    ///
    /// # Errors
    /// As [`MaskRcnn::detect`].
    pub fn detect_in_boxes(
        &self,
        frame: &Frame,
        boxes: &[BBox],
    ) -> Result<Vec<Option<Detection>>, MaskRcnnError> {
        require_pixels(frame)?;
        let geometry = Geometry::new(&self.config.input, frame.size());
        let is_inside = |corners: &Corners| geometry.to_frame(*corners).is_some();
        let used: Vec<Option<Corners>> =
            boxes.iter().map(|&bbox| network_box(&geometry, bbox).filter(is_inside)).collect();
        let found: Vec<Found> =
            used.iter().flatten().map(|&corners| Found { corners, score: 1.0, class: PERSON }).collect();
        if found.is_empty() {
            return Ok(vec![None; boxes.len()]);
        }
        let features = self.features(&[frame])?;
        let mut people = self.with_masks(&features, 0, frame, found)?.into_iter();
        Ok(used
            .into_iter()
            .map(|corners| corners.and_then(|_| people.next()).map(|object| object.detection))
            .collect())
    }

    /// The 28 x 28 probabilities of each box's class, boxes in pixels of the network's input: for comparisons.
    ///
    /// # Errors
    /// As [`MaskRcnn::detect`].
    pub fn probabilities_in_boxes(
        &self,
        frame: &Frame,
        boxes: &[Corners],
        classes: &[usize],
    ) -> Result<Vec<Vec<f32>>, MaskRcnnError> {
        require_pixels(frame)?;
        let features = self.features(&[frame])?;
        let masks = self.mask_head.probabilities(&features.pyramid, 0, boxes, classes, self.options.budget);
        masks.map_err(|error| MaskRcnnError::of_head(error, frame.index))
    }

    /// Everything that is computed for a frame, and its detections of all classes: for comparisons.
    ///
    /// # Errors
    /// As [`MaskRcnn::detect`].
    pub fn outputs(&self, frame: &Frame) -> Result<FrameOutputs, MaskRcnnError> {
        require_pixels(frame)?;
        let features = self.features(&[frame])?;
        let proposals = self.propose(&features, 1)?.swap_remove(0);
        let corners: Vec<Corners> = proposals.iter().map(|proposal| proposal.corners).collect();
        let (size, budget) = (features.geometry.network, self.options.budget);
        let refined = self.box_heads.refine(&features.pyramid, 0, &corners, size, budget, &mut |_, _| {})?;
        let found = self.box_heads.select(&refined, size, self.thresholds());
        let found = found.map_err(|error| MaskRcnnError::of_head(error, frame.index))?;
        let objects = self.with_masks(&features, 0, frame, found)?;
        let Features { geometry, pyramid } = features;
        Ok(FrameOutputs { geometry, pyramid, proposals, scores: refined.scores, objects })
    }

    /// Device of the network.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Sizes of the network.
    pub fn config(&self) -> &Config {
        &self.config
    }

    fn thresholds(&self) -> Thresholds {
        Thresholds { score: self.options.score, overlap: self.config.box_head.overlap, most: MOST_DETECTIONS }
    }

    /// The feature maps of frames of one size.
    fn features(&self, frames: &[&Frame]) -> Result<Features, MaskRcnnError> {
        let input = &self.config.input;
        let geometry = Geometry::new(input, frames[0].size());
        let (height, width) = (geometry.padded.height, geometry.padded.width);
        let mut values = vec![0.0; frames.len() * height * width * 3];
        for (frame, values) in frames.iter().zip(values.chunks_exact_mut(height * width * 3)) {
            preprocess::fill(input, &geometry, &copy_to_host(frame)?, values);
        }
        let pixels = Tensor::from_vec(values, (frames.len(), height, width, 3), &Device::Cpu)?
            .to_device(&self.device)?
            .to_dtype(nn::dtype(self.options.precision))?;
        let pyramid = self.backbone.forward(&pixels, self.options.budget)?;
        // the proposals leave out what is not finite, so that a network that overflows would find nothing
        for (image, frame) in frames.iter().enumerate() {
            for map in &pyramid {
                if !weights::is_finite(&map.narrow(0, image, 1)?)? {
                    return Err(MaskRcnnError::NotFinite { frame: frame.index });
                }
            }
        }
        Ok(Features { geometry, pyramid })
    }

    fn propose(&self, features: &Features, images: usize) -> Result<Vec<Vec<Proposal>>, MaskRcnnError> {
        Ok(self.rpn.propose(&features.pyramid, &vec![features.geometry.network; images])?)
    }

    /// Detections of all classes of one image of a batch.
    fn find(
        &self,
        features: &Features,
        image: usize,
        frame: &Frame,
        proposals: &[Proposal],
    ) -> Result<Vec<Found>, MaskRcnnError> {
        let corners: Vec<Corners> = proposals.iter().map(|proposal| proposal.corners).collect();
        let size = features.geometry.network;
        let budget = self.options.budget;
        let found =
            self.box_heads.detect(&features.pyramid, image, &corners, size, self.thresholds(), budget);
        found.map_err(|error| MaskRcnnError::of_head(error, frame.index))
    }

    /// Detections in pixels of the frame, with masks. Those of which nothing is inside the frame are left out.
    fn with_masks(
        &self,
        features: &Features,
        image: usize,
        frame: &Frame,
        found: Vec<Found>,
    ) -> Result<Vec<DetectedObject>, MaskRcnnError> {
        let in_frame = |found: Found| Some((found, features.geometry.to_frame(found.corners)?));
        let (found, boxes): (Vec<Found>, Vec<BBox>) = found.into_iter().filter_map(in_frame).unzip();
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let corners: Vec<Corners> = found.iter().map(|found| found.corners).collect();
        let classes: Vec<usize> = found.iter().map(|found| found.class).collect();
        let budget = self.options.budget;
        let probabilities =
            self.mask_head.probabilities(&features.pyramid, image, &corners, &classes, budget);
        let probabilities = probabilities.map_err(|error| MaskRcnnError::of_head(error, frame.index))?;
        let masks = to_frame_masks(&probabilities, &boxes, frame.width, frame.height);
        let object = |((found, bbox), mask): ((Found, BBox), _)| DetectedObject {
            class: found.class,
            corners: found.corners,
            detection: Detection { bbox, score: found.score, input_id: None, mask: Some(mask) },
        };
        Ok(found.into_iter().zip(boxes).zip(masks).map(object).collect())
    }
}

fn require_pixels(frame: &Frame) -> Result<(), MaskRcnnError> {
    let (width, height) = (frame.width, frame.height);
    match width == 0 || height == 0 {
        true => Err(MaskRcnnError::NoPixels { frame: frame.index, width, height }),
        false => Ok(()),
    }
}

/// A given box in pixels of the network, cut off far outside of the image; `None` if a side is not finite.
fn network_box(geometry: &Geometry, bbox: BBox) -> Option<Corners> {
    let corners = geometry.to_network(bbox);
    let farthest = FARTHEST * geometry.network.height.max(geometry.network.width) as f32;
    let is_finite = corners.iter().all(|side| side.is_finite());
    is_finite.then(|| corners.map(|side| side.clamp(-farthest, farthest)))
}
