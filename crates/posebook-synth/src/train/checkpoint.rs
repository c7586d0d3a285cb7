//! State of a training run and its checkpoint file: weights, averages, optimizer moments, step.

use super::auxiliary::{self, AuxiliaryHeads};
use super::optimizer::{Optimizer, Weight};
use super::{Settings, TrainError};
use candle_core::{Device, Tensor, Var};
use posebook_core::files::write_atomically;
use posebook_core::random::stream;
use posebook_models::hmr2::Config;
use posebook_models::hmr2::{CAMERA_SIZE, NUM_BETAS, POSE_SIZE};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::collections::HashMap;
use std::path::Path;

/// Keys of the mean parameters, which are not trained.
const MEAN_KEYS: [&str; 3] = ["smpl_head.init_body_pose", "smpl_head.init_betas", "smpl_head.init_cam"];

/// Mean pose (24 rotations of six values), shape and camera of the training crops.
#[derive(Debug, Clone, PartialEq)]
pub struct MeanParameters {
    /// 24 rotations as their first two columns, 144 values.
    pub pose: Vec<f32>,
    /// 10 shape coefficients.
    pub betas: Vec<f32>,
    /// Scale, x, y.
    pub camera: Vec<f32>,
}

/// Everything that training changes, and the mean parameters.
pub struct TrainingState {
    /// Weights, moments and averages.
    pub optimizer: Optimizer,
    /// The mean parameters, fixed at the start.
    pub means: MeanParameters,
    /// Training time so far, over all sessions.
    pub seconds: f64,
}

impl TrainingState {
    /// Initial weights, drawn from the settings' seed.
    ///
    /// # Errors
    /// If memory cannot be allocated.
    pub fn initialize(settings: &Settings, means: MeanParameters) -> Result<TrainingState, TrainError> {
        let mut weights = Vec::new();
        for spec in settings.architecture.tensors() {
            if MEAN_KEYS.contains(&spec.key.as_str()) {
                continue;
            }
            let values = initial_values(&spec.key, &spec.shape, settings);
            let var = Var::from_vec(values, spec.shape.as_slice(), &Device::Cpu)?;
            weights.push(Weight::new(spec.key, var)?);
        }
        let shapes = AuxiliaryHeads::shapes(&settings.architecture.backbone);
        for (name, shape) in auxiliary::WEIGHT_NAMES.into_iter().zip(shapes) {
            let var = Var::from_vec(initial_values(name, &shape, settings), shape.as_slice(), &Device::Cpu)?;
            weights.push(Weight::new(name.into(), var)?);
        }
        Ok(TrainingState { optimizer: Optimizer { weights, step: 0 }, means, seconds: 0.0 })
    }

    /// The auxiliary heads trained with the network.
    pub fn auxiliary_heads(&self) -> AuxiliaryHeads {
        AuxiliaryHeads::new(auxiliary::WEIGHT_NAMES.map(|name| {
            let weight = self.optimizer.weights.iter().find(|weight| weight.name == name);
            weight.expect("every state has a helper").var.as_tensor().clone()
        }))
    }

    /// The network's tensors: the trained values, or their averages.
    ///
    /// # Errors
    /// If memory cannot be allocated.
    pub fn tensors(&self, averaged: bool) -> Result<HashMap<String, Tensor>, TrainError> {
        let mut tensors = HashMap::new();
        let given = |weight: &&Weight| !auxiliary::WEIGHT_NAMES.contains(&weight.name.as_str());
        for weight in self.optimizer.weights.iter().filter(given) {
            let tensor = if averaged {
                Tensor::from_slice(&weight.average, weight.var.shape(), &Device::Cpu)?
            } else {
                weight.var.as_tensor().clone()
            };
            tensors.insert(weight.name.clone(), tensor);
        }
        let means = [
            (&self.means.pose, POSE_SIZE),
            (&self.means.betas, NUM_BETAS),
            (&self.means.camera, CAMERA_SIZE),
        ];
        for (name, (values, size)) in MEAN_KEYS.into_iter().zip(means) {
            tensors.insert(name.to_string(), Tensor::from_slice(values, (1, size), &Device::Cpu)?);
        }
        Ok(tensors)
    }

    /// Writes the checkpoint atomically.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path, settings: &Settings) -> Result<(), TrainError> {
        let mut arrays: Vec<(String, &[f32])> = vec![
            ("mean.pose".into(), &self.means.pose),
            ("mean.betas".into(), &self.means.betas),
            ("mean.camera".into(), &self.means.camera),
        ];
        for weight in &self.optimizer.weights {
            arrays.push((format!("value.{}", weight.name), &weight.value));
            arrays.push((format!("first.{}", weight.name), &weight.first_moment));
            arrays.push((format!("second.{}", weight.name), &weight.second_moment));
            arrays.push((format!("average.{}", weight.name), &weight.average));
        }
        let write = |source| TrainError::Write { path: path.to_path_buf(), source };
        let bytes: Vec<(String, Vec<u8>)> = arrays
            .into_iter()
            .map(|(name, values)| (name, values.iter().flat_map(|value| value.to_le_bytes()).collect()))
            .collect();
        let mut views = Vec::new();
        for (name, bytes) in &bytes {
            let view = TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes);
            views.push((name.clone(), view.map_err(|e| write(std::io::Error::other(e)))?));
        }
        let about = HashMap::from([
            ("step".to_string(), self.optimizer.step.to_string()),
            ("seconds".to_string(), self.seconds.to_string()),
            ("recipe".to_string(), fingerprint(settings)),
        ]);
        let whole =
            safetensors::serialize(views, Some(about)).map_err(|e| write(std::io::Error::other(e)))?;
        write_atomically(path, &whole).map_err(write)
    }

    /// Reads a checkpoint; `None` if there is no file.
    ///
    /// # Errors
    /// If the file is damaged, or belongs to a training with another seed, architecture or batch size.
    pub fn load(path: &Path, settings: &Settings) -> Result<Option<TrainingState>, TrainError> {
        if !path.is_file() {
            return Ok(None);
        }
        let bad = |reason: String| TrainError::Checkpoint { path: path.to_path_buf(), reason };
        let bytes = std::fs::read(path).map_err(|e| bad(format!("cannot be read ({e})")))?;
        let damaged = |error: &dyn std::fmt::Display| bad(format!("is damaged ({error})"));
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| damaged(&e))?;
        let about = header.metadata().as_ref().ok_or_else(|| damaged(&"it says nothing about itself"))?;
        if about.get("recipe") != Some(&fingerprint(settings)) {
            return Err(bad("belongs to a training of another seed, network or batch".into()));
        }
        let seconds = about.get("seconds").and_then(|seconds| seconds.parse().ok()).unwrap_or(0.0);
        let step = about.get("step").and_then(|step| step.parse().ok()).ok_or_else(|| damaged(&"no step"))?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|e| damaged(&e))?;
        let array = |name: &str| -> Result<Vec<f32>, TrainError> {
            let view = tensors.tensor(name).map_err(|e| damaged(&e))?;
            Ok(view.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
        };
        let means = MeanParameters {
            pose: array("mean.pose")?,
            betas: array("mean.betas")?,
            camera: array("mean.camera")?,
        };
        let mut state = TrainingState::initialize(settings, means)?;
        state.optimizer.step = step;
        state.seconds = seconds;
        for weight in &mut state.optimizer.weights {
            let length = weight.value.len();
            let arrays =
                ["value", "first", "second", "average"].map(|kind| array(&format!("{kind}.{}", weight.name)));
            for (into, from) in
                [&mut weight.value, &mut weight.first_moment, &mut weight.second_moment, &mut weight.average]
                    .into_iter()
                    .zip(arrays)
            {
                *into = from?;
                if into.len() != length {
                    return Err(damaged(&format!("{} has another length", weight.name)));
                }
            }
            weight.var.set(&Tensor::from_slice(&weight.value, weight.var.shape(), &Device::Cpu)?)?;
        }
        Ok(Some(state))
    }
}

/// What must stay the same to resume a training; schedule and synthesis settings may change.
fn fingerprint(settings: &Settings) -> String {
    let Config { image_size, backbone, head } = &settings.architecture;
    format!("seed {} {image_size} {backbone:?} {head:?} batch {}", settings.seed, settings.learning.batch)
}

/// Initial values: normal weights, ones for norms, zeros for biases. Weights that end a residual branch are scaled down with
/// the depth; the read-out of the pose starts close to the mean.
fn initial_values(key: &str, shape: &[usize], settings: &Settings) -> Vec<f32> {
    let count = shape.iter().product();
    let is_norm = key.contains("norm") && !key.contains("to_");
    if key.ends_with(".bias") {
        return vec![0.0; count];
    }
    if is_norm {
        return vec![1.0; count];
    }
    let fan_in: usize = shape[1..].iter().product();
    let closes = [".attn.proj.", ".mlp.fc2.", ".to_out.0.", ".net.3."].iter().any(|part| key.contains(part));
    let reads_out = key.contains(".dec");
    let depth = settings.architecture.backbone.depth.max(1) as f64;
    let deviation = match () {
        () if key.contains("pos_embed") => 0.2,
        () if reads_out => 0.1 / (fan_in as f64).sqrt(),
        () if closes => 0.7 / (fan_in as f64 * 2.0 * depth).sqrt(),
        () => 0.7 / (fan_in as f64).sqrt(),
    };
    let mut draws = stream(settings.seed, &format!("train/first/{key}"), &[]);
    (0..count).map(|_| (deviation * draws.normal()) as f32).collect()
}
