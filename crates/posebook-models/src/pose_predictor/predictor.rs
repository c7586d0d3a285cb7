//! The predictor of tracks' poses: histories become sequences, and tokens become pose vectors.

use super::PosePredictorError;
use super::network::{Network, Sequences};
use super::normalize::Normalizer;
use super::settings::{BatchTime, LongSpan, Settings};
use super::sizes::{Sizes, Structure};
use crate::nn::checkpoint;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use posebook_core::appearance::{NetworkError, POSE_VECTOR_LENGTH, PoseHistory, PosePredictor};
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Tracks per forward pass: bounds memory. 125 positions of 512 values in 32 tracks take 8 MiB per activation.
const BATCH: usize = 32;

/// PHALP's pose predictor.
pub struct PoseTransformer {
    pub(super) network: Network,
    pub(super) normalizer: Normalizer,
    batch_time: BatchTime,
    long_span: LongSpan,
    shortened: AtomicU64,
}

impl PoseTransformer {
    /// Reads weights from a safetensors file with the keys of [`PoseTransformer::from_tensors`].
    ///
    /// # Errors
    /// If the file cannot be read, a tensor is missing, has another shape or a value that is not finite; or if the device
    /// fails.
    pub fn load(
        path: &Path,
        structure: Structure,
        settings: &Settings,
        device: &Device,
    ) -> Result<PoseTransformer, PosePredictorError> {
        let origin = path.display().to_string();
        let sizes = Sizes::from_shapes(&checkpoint::read_shapes(path)?, structure, &origin)?;
        let tensors = checkpoint::read(path, &sizes.tensors(), DType::F32, device)?;
        PoseTransformer::new(&sizes, tensors, &origin, settings, device)
    }

    /// A predictor from tensors by key: `encoder.*` as in the reference's state dict, and the rows `mean` and `std`
    /// `(1, columns)` of its `mean_std.npy`. Further tensors are ignored; `origin` is named in errors.
    ///
    /// # Errors
    /// If a tensor is missing, has another shape or a value that is not finite; or if the device fails.
    pub fn from_tensors(
        tensors: &HashMap<String, Tensor>,
        structure: Structure,
        origin: &str,
        settings: &Settings,
        device: &Device,
    ) -> Result<PoseTransformer, PosePredictorError> {
        let problem = |message: String| PosePredictorError::Weights { origin: origin.to_string(), message };
        let shapes = tensors.iter().map(|(key, tensor)| (key.clone(), tensor.dims().to_vec())).collect();
        let sizes = Sizes::from_shapes(&shapes, structure, origin)?;
        let mut used = HashMap::new();
        for spec in sizes.tensors() {
            let key = spec.key;
            let tensor = tensors.get(&key).ok_or_else(|| problem(format!("there is no tensor `{key}`")))?;
            if tensor.dims() != spec.shape {
                let (found, wanted) = (tensor.dims(), spec.shape);
                return Err(problem(format!("`{key}` has shape {found:?}, but {wanted:?} is needed")));
            }
            let tensor = tensor.to_dtype(DType::F32)?;
            let values = tensor.flatten_all()?.to_device(&Device::Cpu)?.to_vec1::<f32>()?;
            if let Some(index) = values.iter().position(|value| !value.is_finite()) {
                return Err(problem(format!("value {index} of `{key}` is {}", values[index])));
            }
            used.insert(key, tensor.to_device(device)?);
        }
        PoseTransformer::new(&sizes, used, origin, settings, device)
    }

    fn new(
        sizes: &Sizes,
        tensors: HashMap<String, Tensor>,
        origin: &str,
        settings: &Settings,
        device: &Device,
    ) -> Result<PoseTransformer, PosePredictorError> {
        let row = |key: &str| tensors[key].flatten_all()?.to_device(&Device::Cpu)?.to_vec1::<f32>();
        let normalizer = Normalizer::new(&row("mean")?, &row("std")?)
            .map_err(|message| PosePredictorError::Weights { origin: origin.to_string(), message })?;
        let network = Network::load(sizes, VarBuilder::from_tensors(tensors, DType::F32, device))?;
        Ok(PoseTransformer {
            network,
            normalizer,
            batch_time: settings.batch_time,
            long_span: settings.long_span,
            shortened: AtomicU64::new(0),
        })
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Number of histories so far whose oldest observations were left out ([`LongSpan::Shorten`]).
    pub fn shortened_histories(&self) -> u64 {
        self.shortened.load(Ordering::Relaxed)
    }

    /// The network's input for tracks, and the position that is predicted for each.
    ///
    /// A pose is placed at its frame minus the first frame; of several at one frame the last counts. The position to predict
    /// is one after the last pose and the frames missed since, at most the last position.
    ///
    /// # Errors
    /// If a history is empty, its frames are not ascending, a value is not finite, or it spans too many frames and the settings
    /// do not shorten it ([`LongSpan::Error`]).
    pub fn sequences(
        &self,
        tracks: &[PoseHistory<'_>],
    ) -> Result<(Sequences, Vec<usize>), PosePredictorError> {
        let mut sequences = Sequences::default();
        let mut targets = Vec::with_capacity(tracks.len());
        for (index, track) in tracks.iter().enumerate() {
            let problem = |message: String| {
                PosePredictorError::Input(format!(
                    "the history of track {index} of {}: {message}",
                    tracks.len()
                ))
            };
            targets.push(self.place(track, &mut sequences).map_err(problem)?);
        }
        if let (BatchTime::FirstTrack, Some(&first)) = (self.batch_time, targets.first()) {
            targets.fill(first);
        }
        Ok((sequences, targets))
    }

    /// Appends a track; returns its own position to predict.
    fn place(&self, track: &PoseHistory<'_>, sequences: &mut Sequences) -> Result<usize, String> {
        let positions = self.network.sizes().frames;
        let (Some(&first), Some(&last)) = (track.frames.first(), track.frames.last()) else {
            return Err("it is empty".into());
        };
        if track.frames.len() != track.poses.len() {
            return Err(format!("it has {} poses and {} frames", track.poses.len(), track.frames.len()));
        }
        if !track.frames.is_sorted() {
            return Err(format!("its frames {:?} are not in order", track.frames));
        }
        let mut start = first;
        if last - first >= positions {
            if self.long_span == LongSpan::Error {
                return Err(format!(
                    "it spans {} frames, but the network has {positions} positions; set `pose_predictor.long_span = \
                     \"shorten\"` to leave out the oldest",
                    last - first + 1
                ));
            }
            self.shortened.fetch_add(1, Ordering::Relaxed);
            start = track.frames.iter().copied().find(|frame| last - frame < positions).unwrap_or(last);
        }
        let mut placed = vec![None; positions];
        for (pose, &frame) in track.poses.iter().zip(&track.frames) {
            if let Some(index) = pose.iter().position(|value| !value.is_finite()) {
                return Err(format!("value {index} of the pose of frame {frame} is {}", pose[index]));
            }
            if frame >= start {
                placed[frame - start] = Some((sequences.poses.len() / POSE_VECTOR_LENGTH) as u32);
                self.normalizer.push(pose, &mut sequences.poses);
            }
        }
        sequences.positions.push(placed);
        Ok((last - start).saturating_add(track.frames_since_match).saturating_add(1).min(positions - 1))
    }

    fn predict_batch(
        &self,
        sequences: &Sequences,
        targets: &[usize],
    ) -> Result<Vec<[f32; POSE_VECTOR_LENGTH]>, PosePredictorError> {
        let tokens = self.network.forward_at(sequences, targets)?;
        pose_vectors(&self.network.heads().read(&tokens)?.poses)
    }
}

impl PosePredictor for PoseTransformer {
    /// # Errors
    /// If a history is empty, has unsorted frames or values that are not finite, or spans more frames than the network has
    /// positions and [`LongSpan::Error`] is set; or if the device fails.
    fn predict(
        &self,
        tracks: &[PoseHistory<'_>],
    ) -> Result<Vec<Box<[f32; POSE_VECTOR_LENGTH]>>, NetworkError> {
        let (sequences, targets) = self.sequences(tracks)?;
        let mut predicted = Vec::with_capacity(tracks.len());
        for (positions, targets) in sequences.positions.chunks(BATCH).zip(targets.chunks(BATCH)) {
            predicted
                .extend(self.predict_batch(&sequences.part(positions), targets)?.into_iter().map(Box::new));
        }
        Ok(predicted)
    }
}

/// The rows of a tensor `(n, 229)`.
///
/// # Errors
/// If a value is not finite.
pub(super) fn pose_vectors(poses: &Tensor) -> Result<Vec<[f32; POSE_VECTOR_LENGTH]>, PosePredictorError> {
    let values = poses.flatten_all()?.to_vec1::<f32>()?;
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        return Err(PosePredictorError::Input(format!(
            "the pose predictor gives {} for value {} of pose {}; its weights do not fit these poses",
            values[index],
            index % POSE_VECTOR_LENGTH,
            index / POSE_VECTOR_LENGTH
        )));
    }
    Ok(values.as_chunks::<POSE_VECTOR_LENGTH>().0.to_vec())
}
