//! The stages that a frame passes, in order: detection, body recovery, tracking.
//!
//! Input: decoded frames. Output: people with bodies, and their tracks. Does not depend on how frames are read or how
//! rows are written.

use super::detection::DetectionStage;
use crate::runner::RunnerError;
use crate::runner::job::{JobSpec, phalp_files};
use candle_core::Device;
use posebook_core::appearance::{PosePredictor, TextureEncoder};
use posebook_core::frame::{Frame, FrameSize};
use posebook_core::person::{Detection, Person};
use posebook_models::body::Body;
use posebook_models::pose_predictor::PoseTransformer;
use posebook_models::recovery::{self, BodyNetwork, FrameCrops, FramePeople, ModelSet};
use posebook_track::phalp::{FrameTracks, Networks, Tracker};
use std::sync::Arc;
use std::time::Instant;

/// Detector, body network, body model and tracker of one run, loaded.
pub struct Stages {
    detection: DetectionStage,
    network: BodyNetwork,
    body: Body,
    tracker: Tracker,
    writes_embeddings: bool,
    predictor: Option<Arc<PoseTransformer>>,
}

/// A frame after detection, before body recovery.
pub struct DetectedFrame {
    /// The crops of the detected people.
    pub crops: FrameCrops,
    /// Time spent detecting.
    pub detect_secs: f64,
    /// Time spent cropping.
    pub crop_secs: f64,
}

impl Stages {
    /// Loads the networks of `job` onto `device`.
    ///
    /// # Errors
    /// If weights or boxes are missing or damaged, or the device has too little memory.
    pub fn load(job: &JobSpec, device: &Device) -> Result<Stages, RunnerError> {
        let settings = &job.settings;
        let set = ModelSet::load(&job.model)?;
        let body = set.load_body()?;
        let appearance = phalp_files::appearance(settings, &job.models, &body)?;
        let networks = recovery::Settings {
            hmr2: &settings.hmr2,
            blazepose: &settings.blazepose,
            fit: &settings.fit,
            appearance: appearance.as_ref(),
        };
        let network = BodyNetwork::load(&set, device, networks)?;
        let predictor = phalp_files::pose_predictor(settings, &job.models, device)?;
        let predictor = predictor.map(Arc::new);
        let of_tracker = Networks {
            texture: network.texture_encoder().map(|encoder| encoder as Arc<dyn TextureEncoder>),
            pose: predictor.clone().map(|predictor| predictor as Arc<dyn PosePredictor>),
        };
        Ok(Stages {
            detection: DetectionStage::load(job, device)?,
            network,
            body,
            tracker: Tracker::with_networks(settings.phalp.clone(), of_tracker)?,
            writes_embeddings: settings.appearance.results,
            predictor,
        })
    }

    /// Device of the network.
    pub fn device(&self) -> &Device {
        self.network.device()
    }

    /// How many frames are detected together.
    pub fn frames_per_detection(&self) -> usize {
        self.detection.frames_per_batch()
    }

    /// Detects the people of `frames` and crops them. Each frame comes with its number in its file, which differs from
    /// `frame.index` where the file is read more than once (`video.loops`).
    ///
    /// # Errors
    /// If the file of boxes is damaged, a box is invalid, or the device fails.
    pub fn detect(&mut self, frames: Vec<(Frame, usize)>) -> Result<Vec<DetectedFrame>, RunnerError> {
        let started = Instant::now();
        let numbered: Vec<(&Frame, usize)> = frames.iter().map(|(frame, number)| (frame, *number)).collect();
        let detections = self.detection.detect(&numbered, &self.network)?;
        // the frames' shares of the pass are equal
        let detect_secs = started.elapsed().as_secs_f64() / frames.len().max(1) as f64;
        let crop = |((frame, _), detections): ((Frame, usize), Vec<Detection>)| {
            let started = Instant::now();
            let crops = self.network.extract_crops(frame, detections)?;
            Ok(DetectedFrame { crops, detect_secs, crop_secs: started.elapsed().as_secs_f64() })
        };
        frames.into_iter().zip(detections).map(crop).collect()
    }

    /// Recovers the bodies of all people of `frames`, frame by frame, in batches across frames.
    ///
    /// # Errors
    /// If the network fails or the device has too little memory.
    pub fn recover(&mut self, frames: Vec<FrameCrops>) -> Result<Vec<FramePeople>, RunnerError> {
        Ok(self.network.recover(frames, &self.body)?)
    }

    /// Tracks the persons of frame `index`. Returns the frames whose tracks became final: this one, earlier ones, or
    /// none.
    ///
    /// # Errors
    /// If a person cannot be tracked.
    pub fn track(
        &mut self,
        index: usize,
        size: FrameSize,
        persons: &[Person],
    ) -> Result<Vec<FrameTracks>, RunnerError> {
        Ok(self.tracker.update(index, size, persons)?)
    }

    /// Bytes that the tracker stores, if it stores appearances: they are allocated before tracking, so that a measurement of
    /// the heap around tracking misses them.
    pub fn appearance_state_bytes(&self) -> Option<u64> {
        self.network.texture_encoder()?;
        Some(self.tracker.tracks().map(|track| track.state_bytes() as u64).sum())
    }

    /// A remark about the pose predictor at the end of a run; `None` if there is nothing to say.
    pub fn predictor_remark(&self) -> Option<String> {
        let shortened = self.predictor.as_ref()?.shortened_histories();
        (shortened > 0).then(|| {
            format!(
                "{shortened} predictions of poses left out the oldest observations, because the track's history spans more \
                 frames than the predictor has positions (pose_predictor.long_span)"
            )
        })
    }

    /// Marks the next frame that is tracked as the first of a shot.
    pub fn begin_shot(&mut self) {
        self.tracker.begin_shot();
    }

    /// Whether the embeddings of people's appearance are written to the results.
    pub fn writes_embeddings(&self) -> bool {
        self.writes_embeddings
    }

    /// See [`BodyNetwork::reset_previous_frame`].
    pub fn reset_previous_frame(&mut self) {
        self.network.reset_previous_frame();
    }

    /// The tracks of the frames that are still pending at the end of the video.
    pub fn finish(&mut self) -> Vec<FrameTracks> {
        self.tracker.finish()
    }
}
