//! The detection of a run: a network, provided boxes, or provided boxes with masks of a network and a network for frames
//! without boxes.
//!
//! Input: frames of one video, in order. Output: the detections that are kept, frame by frame. A published detector computes
//! several frames together; the result of a frame does not depend on it.

use crate::dataset::BoxReader;
use crate::runner::RunnerError;
use crate::runner::job::JobSpec;
use crate::runner::project::detector::PeopleDetector;
use crate::runner::project::weights::DetectorWeights;
use candle_core::Device;
use posebook_core::frame::Frame;
use posebook_core::person::{Detection, InputBox};
use posebook_models::detect::{Model, ProvidedBoxes, ScoreSource, Settings};
use posebook_models::recovery::BodyNetwork;

/// The detector of one run, loaded.
pub struct DetectionStage {
    source: Source,
    settings: Settings,
}

/// Source of a frame's detections.
enum Source {
    /// Provided boxes, degraded if the settings ask for it.
    Provided(Box<Provided>),
    Network(PeopleDetector),
}

/// Provided boxes, and the networks that complete them.
struct Provided {
    /// Without a reader there are no boxes.
    reader: Option<BoxReader>,
    boxes: ProvidedBoxes,
    /// Computes masks of the boxes.
    masks: Option<PeopleDetector>,
    /// Finds people in frames without boxes, and whether it is NanoDet.
    fallback: Option<(PeopleDetector, bool)>,
}

/// A frame's detections, and whether uncertain ones are removed where the body network cannot reject them.
struct Found {
    detections: Vec<Detection>,
    are_nanodets: bool,
}

impl DetectionStage {
    /// Loads the detectors of `job` onto `device`.
    ///
    /// # Errors
    /// If weights or boxes are missing or damaged, or the device has too little memory.
    pub fn load(job: &JobSpec, device: &Device) -> Result<DetectionStage, RunnerError> {
        let settings = job.settings.detect.clone();
        let load = |model: Model, weights: &Option<DetectorWeights>| {
            let weights = weights.as_ref().ok_or(RunnerError::NoDetector)?;
            Ok::<_, RunnerError>(PeopleDetector::load(model, weights, &settings, device)?)
        };
        let source = if settings.model.needs_boxes() {
            let has_masks = settings.model == Model::X101;
            let fallback =
                |model| Ok::<_, RunnerError>((load(model, &job.fallback)?, model == Model::Nanodet));
            Source::Provided(Box::new(Provided {
                reader: job.boxes.as_deref().map(BoxReader::open).transpose()?,
                boxes: ProvidedBoxes::new(settings.clone(), job.settings.seed)?,
                masks: has_masks.then(|| load(Model::X101, &job.detector)).transpose()?,
                fallback: settings.fallback.map(fallback).transpose()?,
            }))
        } else {
            Source::Network(load(settings.model, &job.detector)?)
        };
        Ok(DetectionStage { source, settings })
    }

    /// How many frames are detected together.
    pub fn frames_per_batch(&self) -> usize {
        match &self.source {
            Source::Network(PeopleDetector::Published(_)) => self.settings.batch,
            _ => 1,
        }
    }

    /// The people of `frames`, each with its number in its file, which differs from the frame's index where the file is read more
    /// than once (`video.loops`). `network` recovers their bodies.
    ///
    /// # Errors
    /// If the file of boxes is damaged, a box is invalid, or the device fails.
    pub fn detect(
        &mut self,
        frames: &[(&Frame, usize)],
        network: &BodyNetwork,
    ) -> Result<Vec<Vec<Detection>>, RunnerError> {
        let scores = self.settings.scores;
        let found: Vec<Found> = match &mut self.source {
            Source::Provided(provided) => frames
                .iter()
                .map(|(frame, file_frame)| provided.detect(frame, *file_frame, scores))
                .collect::<Result<_, _>>()?,
            Source::Network(detector) => {
                let frames: Vec<&Frame> = frames.iter().map(|(frame, _)| *frame).collect();
                let are_nanodets = matches!(detector, PeopleDetector::NanoDet(_));
                let found = detector.detect(&frames)?.into_iter();
                found.map(|detections| Found { detections, are_nanodets }).collect()
            }
        };
        let kept = found.into_iter().map(|Found { mut detections, are_nanodets }| {
            if are_nanodets {
                detections = network.remove_uncertain(detections);
            }
            detections.retain(|detection| self.settings.keeps(detection));
            detections
        });
        Ok(kept.collect())
    }
}

impl Provided {
    fn detect(
        &mut self,
        frame: &Frame,
        file_frame: usize,
        scores: ScoreSource,
    ) -> Result<Found, RunnerError> {
        let input: Vec<InputBox> = match &mut self.reader {
            Some(reader) => reader.read_frame(file_frame)?,
            None => Vec::new(),
        };
        if input.is_empty()
            && let Some((detector, are_nanodets)) = &self.fallback
        {
            let detections = detector.detect(&[frame])?.pop().unwrap_or_default();
            return Ok(Found { detections, are_nanodets: *are_nanodets });
        }
        let (index, width, height) = (frame.index, frame.width, frame.height);
        let detections = match &self.masks {
            // the network clips boxes to the frame after it scaled them
            Some(detector) => {
                let boxes = self.boxes.detect_unclipped(index, width, height, &input)?;
                detector.add_masks(frame, boxes)?
            }
            None => self.boxes.detect(index, width, height, &input)?.detections,
        };
        Ok(Found { detections, are_nanodets: scores == ScoreSource::Nanodet })
    }
}
