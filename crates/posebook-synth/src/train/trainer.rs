//! The training loop: generate, predict, step, evaluate, save, export.

use super::auxiliary::AuxiliaryHeads;
use super::batch::{Batch, CellTargets, ExampleLoader};
use super::checkpoint::TrainingState;
use super::evaluate::{Evaluation, evaluate, held_out_examples, mean_parameters};
use super::generator::CropGenerator;
use super::loss::loss;
use super::manifest::write_model_set;
use super::{Settings, TrainError};
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use posebook_models::body::BatchedBody;
use posebook_models::body::Body;
use posebook_models::hmr2::Network;
use posebook_models::nn::AttentionPath;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Number of examples for the mean parameters.
const MEAN_EXAMPLES: u64 = 512;
/// Number of held-out examples.
const HELD_OUT_EXAMPLES: usize = 384;

/// Progress after a step.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Steps done.
    pub step: usize,
    /// Steps in all.
    pub steps: usize,
    /// Loss of the step.
    pub loss: f32,
    /// Learning rate of the step.
    pub rate: f64,
    /// Throughput since the start or the resumption.
    pub crops_per_sec: f64,
    /// The evaluation, after steps that had one.
    pub evaluation: Option<Evaluation>,
}

/// Trains until `settings.learning.steps`, or until `stop` is set, resuming from the checkpoint in `folder` if there is
/// one. Every evaluation also exports the model set there, so a valid one always exists. Returns the last evaluation.
///
/// # Errors
/// If the settings are invalid, a file cannot be written, or the loss is not finite.
pub fn run(
    settings: &Settings,
    folder: &Path,
    progress: &mut dyn FnMut(&Progress),
    stop: &AtomicBool,
) -> Result<Evaluation, TrainError> {
    settings.validate()?;
    let body = Arc::new(Body::built_in());
    let checkpoint = folder.join(format!("{}.checkpoint.safetensors", settings.name));
    let mut state = match TrainingState::load(&checkpoint, settings)? {
        Some(state) => state,
        None => TrainingState::initialize(settings, initial_means(&body, settings))?,
    };
    let mut trainer = Trainer {
        network: build_network(&state, settings, false)?,
        auxiliary: state.auxiliary_heads(),
        joints: BatchedBody::joints_only(&body, &Device::Cpu)?,
        examples: held_out_examples(body.clone(), settings, HELD_OUT_EXAMPLES),
        settings,
        folder,
        started: Instant::now(),
    };
    let loader = ExampleLoader::start(body, settings, state.optimizer.step);
    let first = state.optimizer.step;
    while state.optimizer.step < settings.learning.steps && !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let loss = trainer.step(&mut state, &loader)?;
        state.seconds += began.elapsed().as_secs_f64();
        let step = state.optimizer.step;
        let looked = step % settings.learning.look_every == 0;
        let evaluation = looked.then(|| trainer.evaluate_and_export(&state)).transpose()?;
        if step % settings.learning.keep_every == 0 {
            state.save(&checkpoint, settings)?;
        }
        let generated = ((step - first) * settings.learning.batch) as f64;
        progress(&Progress {
            step,
            steps: settings.learning.steps,
            loss,
            rate: settings.learning_rate(step - 1),
            crops_per_sec: generated / trainer.started.elapsed().as_secs_f64(),
            evaluation,
        });
    }
    state.save(&checkpoint, settings)?;
    trainer.evaluate_and_export(&state)
}

struct Trainer<'a> {
    network: Network,
    auxiliary: AuxiliaryHeads,
    joints: BatchedBody,
    examples: Vec<super::Example>,
    settings: &'a Settings,
    folder: &'a Path,
    started: Instant,
}

impl Trainer<'_> {
    /// One step; returns the loss before it.
    fn step(&mut self, state: &mut TrainingState, loader: &ExampleLoader) -> Result<f32, TrainError> {
        let learning = &self.settings.learning;
        let architecture = &self.settings.architecture;
        let examples = loader.next_batch()?;
        let batch = Batch::from_examples(&examples, &Device::Cpu)?;
        let cells = CellTargets::from_examples(&examples, architecture.backbone.patch_size, &Device::Cpu)?;
        let cut = architecture.side_cut();
        let middle = batch.crops.narrow(3, cut, architecture.image_size - 2 * cut)?;
        let features = self.network.backbone().forward(&middle, &mut |_, _| ())?;
        let prediction = self.network.head().forward(&features, &mut |_, _| ())?;
        let of_head = loss(&prediction, &batch, &self.joints, &learning.loss)?;
        let loss = (of_head + self.auxiliary.loss(&features, &batch, &cells, &learning.loss)?)?;
        let value = loss.to_scalar::<f32>()?;
        let step = state.optimizer.step;
        if !value.is_finite() {
            return Err(TrainError::Diverged { step, loss: value });
        }
        let gradients = loss.backward()?;
        state.optimizer.step(&gradients, self.settings.schedule(step), learning)?;
        Ok(value)
    }

    /// Evaluates the averaged weights on the held-out examples and exports them.
    fn evaluate_and_export(&self, state: &TrainingState) -> Result<Evaluation, TrainError> {
        let network = build_network(state, self.settings, true)?;
        let evaluation = evaluate(&network, &self.joints, &state.means, &self.examples)?;
        write_model_set(self.folder, state, self.settings, &evaluation)?;
        Ok(evaluation)
    }
}

fn build_network(state: &TrainingState, settings: &Settings, averaged: bool) -> Result<Network, TrainError> {
    let vb = VarBuilder::from_tensors(state.tensors(averaged)?, DType::F32, &Device::Cpu);
    // averaged weights are evaluated as they are used later; the others are being trained
    let path = if averaged { AttentionPath::Inference } else { AttentionPath::Training };
    Ok(Network::load(&settings.architecture, vb)?.with_attention(path))
}

/// Mean parameters of some training examples.
fn initial_means(body: &Arc<Body>, settings: &Settings) -> super::checkpoint::MeanParameters {
    let side = settings.architecture.image_size;
    let mut generator = CropGenerator::new(body.clone(), &settings.drawing, settings.seed, side);
    let examples: Vec<_> = (0..MEAN_EXAMPLES).map(|number| generator.generate(number * 7)).collect();
    mean_parameters(&examples)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{LearningSettings, SynthesisSettings};
    use posebook_models::hmr2::{BackboneConfig, Config, HeadConfig};

    fn small() -> Settings {
        let backbone = BackboneConfig { patch_size: 16, dim: 48, depth: 2, heads: 2, mlp_ratio: 2 };
        let head = HeadConfig { dim: 48, depth: 1, heads: 2, dim_head: 24, mlp_dim: 64 };
        Settings {
            name: "small".into(),
            seed: 5,
            architecture: Config { image_size: 64, backbone, head },
            learning: LearningSettings {
                steps: 120,
                batch: 4,
                rate: 3e-3,
                warm_up: 10,
                keep_every: 40,
                look_every: 1000,
                ..LearningSettings::default()
            },
            drawing: SynthesisSettings::default(),
        }
    }

    #[test]
    fn one_batch_is_memorized() {
        let settings = small();
        let body = Arc::new(Body::built_in());
        let mut generator = CropGenerator::new(body.clone(), &settings.drawing, 1, 64);
        let examples: Vec<_> = (0..4).map(|number| generator.generate(number)).collect();
        let batch = Batch::from_examples(&examples, &Device::Cpu).unwrap();
        let mut state = TrainingState::initialize(&settings, mean_parameters(&examples)).unwrap();
        let network = build_network(&state, &settings, false).unwrap();
        let joints = BatchedBody::joints_only(&body, &Device::Cpu).unwrap();
        let mut losses = Vec::new();
        for step in 0..settings.learning.steps {
            let prediction = network.forward(&batch.crops).unwrap();
            let loss = loss(&prediction, &batch, &joints, &settings.learning.loss).unwrap();
            losses.push(loss.to_scalar::<f32>().unwrap());
            let gradients = loss.backward().unwrap();
            state.optimizer.step(&gradients, settings.schedule(step), &settings.learning).unwrap();
        }
        assert!(losses[119] < 0.25 * losses[0], "{} to {}", losses[0], losses[119]);
    }
}
