//! A loaded network that finds people in frames: NanoDet, or one of the published detectors.
//!
//! In: the settings and the files of weights that [`super::weights`] found. Out: detections. Runs, single images and `posebook
//! detect` use the same.

use super::weights::DetectorWeights;
use candle_core::Device;
use posebook_core::frame::{Frame, Pixels};
use posebook_core::person::{BBox, Detection};
use posebook_models::detect::mask_rcnn::{MaskRcnn, MaskRcnnError};
use posebook_models::detect::nanodet::{NanoDet, NanoDetError};
use posebook_models::detect::{Model, Settings};
use posebook_models::recovery::{self, DetectorSet, DetectorSetError, RecoveryError};

/// A detector cannot be loaded, or fails.
#[derive(Debug, thiserror::Error)]
pub enum DetectorError {
    /// NanoDet cannot be loaded.
    #[error(transparent)]
    LoadNanoDet(#[from] RecoveryError),
    /// A published detector cannot be loaded.
    #[error(transparent)]
    LoadPublished(#[from] DetectorSetError),
    /// NanoDet fails.
    #[error(transparent)]
    NanoDet(#[from] NanoDetError),
    /// A published detector fails.
    #[error(transparent)]
    Published(#[from] MaskRcnnError),
    /// The detector computes no masks.
    #[error("{model} computes no masks of provided boxes; this is a bug of posebook")]
    NoMasks {
        /// The detector.
        model: &'static str,
    },
}

/// Copies a frame's pixels out of the buffer of its source. A source has few buffers, so that a frame that waits for others of its
/// batch must not hold one. A frame on a device holds none and is returned as it is.
pub fn detach(frame: Frame) -> Frame {
    let Pixels::Host(rgb) = frame.pixels() else { return frame };
    Frame::new(frame.index, frame.time_secs, frame.width, frame.height, rgb.to_vec())
}

/// A network that finds people.
#[derive(Debug)]
pub enum PeopleDetector {
    /// NanoDet-g.
    NanoDet(Box<NanoDet>),
    /// A published detector.
    Published(Box<MaskRcnn>),
}

impl PeopleDetector {
    /// Loads the detector `model` onto a device.
    ///
    /// # Errors
    /// If its weights are missing or damaged, or the device has too little memory.
    pub fn load(
        model: Model,
        weights: &DetectorWeights,
        settings: &Settings,
        device: &Device,
    ) -> Result<PeopleDetector, DetectorError> {
        if model.published().is_none() {
            let network = recovery::load_detector(&weights.path, device, &settings.nanodet)?;
            return Ok(PeopleDetector::NanoDet(Box::new(network)));
        }
        let set = DetectorSet::load(&weights.path)?;
        Ok(PeopleDetector::Published(Box::new(set.load_detector(device, settings.options(model))?)))
    }

    /// The people of each frame, best first.
    ///
    /// # Errors
    /// If a frame has no pixels, the device fails, or the network's output is not finite.
    pub fn detect(&self, frames: &[&Frame]) -> Result<Vec<Vec<Detection>>, DetectorError> {
        match self {
            PeopleDetector::NanoDet(network) => Ok(network.detect(frames)?),
            PeopleDetector::Published(network) => Ok(network.detect(frames)?),
        }
    }

    /// The provided boxes with masks, as far as they are inside the frame. Score and id stay.
    ///
    /// # Errors
    /// As [`PeopleDetector::detect`], and if it is NanoDet.
    pub fn add_masks(
        &self,
        frame: &Frame,
        provided: Vec<Detection>,
    ) -> Result<Vec<Detection>, DetectorError> {
        let PeopleDetector::Published(network) = self else {
            return Err(DetectorError::NoMasks { model: Model::Nanodet.name() });
        };
        let boxes: Vec<BBox> = provided.iter().map(|detection| detection.bbox).collect();
        let found = network.detect_in_boxes(frame, &boxes)?;
        let with_mask = provided.into_iter().zip(found).filter_map(|(detection, found)| {
            let Detection { bbox, mask, .. } = found?;
            Some(Detection { bbox, mask, ..detection })
        });
        Ok(with_mask.collect())
    }
}
