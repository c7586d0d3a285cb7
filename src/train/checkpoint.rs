//! A training as it stands, in one file: weights, their averages, the optimizer's moments, the step.

use super::helper::{self, Helper};
use super::optimizer::{Optimizer, Weight};
use super::{Settings, TrainError};
use crate::files::write_whole;
use crate::hmr2::Config;
use crate::hmr2::config::{BETAS, CAMERA, POSE};
use crate::random::stream;
use candle_core::{Device, Tensor, Var};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::collections::HashMap;
use std::path::Path;

/// The mean parameters, which do not learn.
const MEANS: [&str; 3] = ["smpl_head.init_body_pose", "smpl_head.init_betas", "smpl_head.init_cam"];

/// The mean pose (24 rotations of six), shape and camera of the pictures.
#[derive(Debug, Clone, PartialEq)]
pub struct Means {
    pub pose: Vec<f32>,
    pub betas: Vec<f32>,
    pub camera: Vec<f32>,
}

/// Everything that training changes, and the means.
pub struct State {
    pub optimizer: Optimizer,
    pub means: Means,
    /// Time spent so far, over all sittings.
    pub seconds: f64,
}

impl State {
    /// First weights, drawn from the settings' seed.
    ///
    /// # Errors
    /// If there is no memory for them.
    pub fn fresh(settings: &Settings, means: Means) -> Result<State, TrainError> {
        let mut weights = Vec::new();
        for spec in settings.architecture.tensors() {
            if MEANS.contains(&spec.key.as_str()) {
                continue;
            }
            let values = first_values(&spec.key, &spec.shape, settings);
            let var = Var::from_vec(values, spec.shape.as_slice(), &Device::Cpu)?;
            weights.push(Weight::new(spec.key, var)?);
        }
        let shapes = Helper::shapes(&settings.architecture.backbone);
        for (name, shape) in helper::NAMES.into_iter().zip(shapes) {
            let var = Var::from_vec(first_values(name, &shape, settings), shape.as_slice(), &Device::Cpu)?;
            weights.push(Weight::new(name.into(), var)?);
        }
        Ok(State { optimizer: Optimizer { weights, step: 0 }, means, seconds: 0.0 })
    }

    /// The helper that learns beside the network.
    pub fn helper(&self) -> Helper {
        Helper::new(helper::NAMES.map(|name| {
            let weight = self.optimizer.weights.iter().find(|weight| weight.name == name);
            weight.expect("every state has a helper").var.as_tensor().clone()
        }))
    }

    /// The tensors that the network is built from: those that learn, or their averages.
    ///
    /// # Errors
    /// If there is no memory for them.
    pub fn tensors(&self, averaged: bool) -> Result<HashMap<String, Tensor>, TrainError> {
        let mut tensors = HashMap::new();
        let given = |weight: &&Weight| !helper::NAMES.contains(&weight.name.as_str());
        for weight in self.optimizer.weights.iter().filter(given) {
            let tensor = if averaged {
                Tensor::from_slice(&weight.average, weight.var.shape(), &Device::Cpu)?
            } else {
                weight.var.as_tensor().clone()
            };
            tensors.insert(weight.name.clone(), tensor);
        }
        let means = [(&self.means.pose, POSE), (&self.means.betas, BETAS), (&self.means.camera, CAMERA)];
        for (name, (values, size)) in MEANS.into_iter().zip(means) {
            tensors.insert(name.to_string(), Tensor::from_slice(values, (1, size), &Device::Cpu)?);
        }
        Ok(tensors)
    }

    /// Keeps the state, whole or not at all.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn keep(&self, path: &Path, settings: &Settings) -> Result<(), TrainError> {
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
            ("recipe".to_string(), recipe(settings)),
        ]);
        let whole =
            safetensors::serialize(views, Some(about)).map_err(|e| write(std::io::Error::other(e)))?;
        write_whole(path, &whole).map_err(write)
    }

    /// Takes a kept state up again; none where there is no file.
    ///
    /// # Errors
    /// If the file is damaged, or was kept by a training of another seed, network or kind of pictures.
    pub fn take_up(path: &Path, settings: &Settings) -> Result<Option<State>, TrainError> {
        if !path.is_file() {
            return Ok(None);
        }
        let bad = |reason: String| TrainError::Checkpoint { path: path.to_path_buf(), reason };
        let bytes = std::fs::read(path).map_err(|e| bad(format!("cannot be read ({e})")))?;
        let damaged = |error: &dyn std::fmt::Display| bad(format!("is damaged ({error})"));
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| damaged(&e))?;
        let about = header.metadata().as_ref().ok_or_else(|| damaged(&"it says nothing about itself"))?;
        if about.get("recipe") != Some(&recipe(settings)) {
            return Err(bad("belongs to a training of another seed, network or batch".into()));
        }
        let seconds = about.get("seconds").and_then(|seconds| seconds.parse().ok()).unwrap_or(0.0);
        let step = about.get("step").and_then(|step| step.parse().ok()).ok_or_else(|| damaged(&"no step"))?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|e| damaged(&e))?;
        let array = |name: &str| -> Result<Vec<f32>, TrainError> {
            let view = tensors.tensor(name).map_err(|e| damaged(&e))?;
            Ok(view.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
        };
        let means =
            Means { pose: array("mean.pose")?, betas: array("mean.betas")?, camera: array("mean.camera")? };
        let mut state = State::fresh(settings, means)?;
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

/// What must stay the same for a training to go on; schedule and pictures may be changed on the way.
fn recipe(settings: &Settings) -> String {
    let Config { image_size, backbone, head } = &settings.architecture;
    format!("seed {} {image_size} {backbone:?} {head:?} batch {}", settings.seed, settings.learning.batch)
}

/// Small normal numbers, ones for norms, zeros for biases. What closes a residual branch starts smaller
/// with the depth, what reads the pose out nearly at the mean.
fn first_values(key: &str, shape: &[usize], settings: &Settings) -> Vec<f32> {
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
