//! The loop: pictures, prediction, loss, step; keep, look, give out.

use super::batch::{Batch, Cells, Supply};
use super::checkpoint::State;
use super::draw::Artist;
use super::evaluate::{Evaluation, evaluate, held_out, means_of};
use super::helper::Helper;
use super::loss::loss;
use super::manifest::give_out;
use super::{Settings, TrainError};
use crate::body::Body;
use crate::body::tensor::TensorBody;
use crate::hmr2::Network;
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Pictures that the mean parameters are taken from.
const FOR_MEANS: u64 = 512;
/// Held-out pictures.
const HELD_OUT: usize = 384;

/// How training stands, told after every step.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Steps done, of how many.
    pub step: usize,
    pub steps: usize,
    pub loss: f32,
    pub rate: f64,
    pub crops_per_sec: f64,
    /// Told at the steps at which the held-out pictures were looked at.
    pub evaluation: Option<Evaluation>,
}

/// Trains until `settings.learning.steps`, or until `stop` is set; goes on from the checkpoint in
/// `folder` if there is one. The model set is given out there at every look at the held-out pictures, so
/// that it is always whole; the last evaluation is returned.
///
/// # Errors
/// If the settings are impossible, a file cannot be written, or the loss is no number any more.
pub fn run(
    settings: &Settings,
    folder: &Path,
    progress: &mut dyn FnMut(&Progress),
    stop: &AtomicBool,
) -> Result<Evaluation, TrainError> {
    settings.validate()?;
    let body = Arc::new(Body::stand_in());
    let checkpoint = folder.join(format!("{}.checkpoint.safetensors", settings.name));
    let mut state = match State::take_up(&checkpoint, settings)? {
        Some(state) => state,
        None => State::fresh(settings, means(&body, settings))?,
    };
    let mut teacher = Teacher {
        network: network_of(&state, settings, false)?,
        helper: state.helper(),
        joints: TensorBody::joints_only(&body, &Device::Cpu)?,
        examples: held_out(body.clone(), settings, HELD_OUT),
        settings,
        folder,
        started: Instant::now(),
    };
    let supply = Supply::start(body, settings, state.optimizer.step);
    let first = state.optimizer.step;
    while state.optimizer.step < settings.learning.steps && !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let loss = teacher.step(&mut state, &supply)?;
        state.seconds += began.elapsed().as_secs_f64();
        let step = state.optimizer.step;
        let looked = step % settings.learning.look_every == 0;
        let evaluation = looked.then(|| teacher.look(&state)).transpose()?;
        if step % settings.learning.keep_every == 0 {
            state.keep(&checkpoint, settings)?;
        }
        let drawn = ((step - first) * settings.learning.batch) as f64;
        progress(&Progress {
            step,
            steps: settings.learning.steps,
            loss,
            rate: settings.rate_at(step - 1),
            crops_per_sec: drawn / teacher.started.elapsed().as_secs_f64(),
            evaluation,
        });
    }
    state.keep(&checkpoint, settings)?;
    teacher.look(&state)
}

struct Teacher<'a> {
    network: Network,
    helper: Helper,
    joints: TensorBody,
    examples: Vec<super::Example>,
    settings: &'a Settings,
    folder: &'a Path,
    started: Instant,
}

impl Teacher<'_> {
    /// One step; gives the loss before it.
    fn step(&mut self, state: &mut State, supply: &Supply) -> Result<f32, TrainError> {
        let learning = &self.settings.learning;
        let architecture = &self.settings.architecture;
        let examples = supply.next()?;
        let batch = Batch::of(&examples, &Device::Cpu)?;
        let cells = Cells::of(&examples, architecture.backbone.patch_size, &Device::Cpu)?;
        let cut = architecture.side_cut();
        let middle = batch.crops.narrow(3, cut, architecture.image_size - 2 * cut)?;
        let features = self.network.backbone().forward(&middle, &mut |_, _| ())?;
        let prediction = self.network.head().forward(&features, &mut |_, _| ())?;
        let of_head = loss(&prediction, &batch, &self.joints, &learning.loss)?;
        let loss = (of_head + self.helper.loss(&features, &batch, &cells, &learning.loss)?)?;
        let value = loss.to_scalar::<f32>()?;
        let step = state.optimizer.step;
        if !value.is_finite() {
            return Err(TrainError::Diverged { step, loss: value });
        }
        let gradients = loss.backward()?;
        state.optimizer.step(&gradients, self.settings.schedule(step), learning)?;
        Ok(value)
    }

    /// Looks at the held-out pictures with the averaged weights and gives these out.
    fn look(&self, state: &State) -> Result<Evaluation, TrainError> {
        let network = network_of(state, self.settings, true)?;
        let evaluation = evaluate(&network, &self.joints, &state.means, &self.examples)?;
        give_out(self.folder, state, self.settings, &evaluation)?;
        Ok(evaluation)
    }
}

fn network_of(state: &State, settings: &Settings, averaged: bool) -> Result<Network, TrainError> {
    let vb = VarBuilder::from_tensors(state.tensors(averaged)?, DType::F32, &Device::Cpu);
    Ok(Network::load(&settings.architecture, vb)?)
}

/// The means over some of training's own pictures.
fn means(body: &Arc<Body>, settings: &Settings) -> super::checkpoint::Means {
    let side = settings.architecture.image_size;
    let mut artist = Artist::new(body.clone(), &settings.drawing, settings.seed, side);
    let examples: Vec<_> = (0..FOR_MEANS).map(|number| artist.draw(number * 7)).collect();
    means_of(&examples)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hmr2::Config;
    use crate::hmr2::config;
    use crate::train::{Drawing, Learning};

    fn small() -> Settings {
        let backbone = config::Backbone { patch_size: 16, dim: 48, depth: 2, heads: 2, mlp_ratio: 2 };
        let head = config::Head { dim: 48, depth: 1, heads: 2, dim_head: 24, mlp_dim: 64 };
        Settings {
            name: "small".into(),
            seed: 5,
            architecture: Config { image_size: 64, backbone, head },
            learning: Learning {
                steps: 120,
                batch: 4,
                rate: 3e-3,
                warm_up: 10,
                keep_every: 40,
                look_every: 1000,
                ..Learning::default()
            },
            drawing: Drawing::default(),
        }
    }

    #[test]
    fn one_batch_is_learnt_by_heart() {
        let settings = small();
        let body = Arc::new(Body::stand_in());
        let mut artist = Artist::new(body.clone(), &settings.drawing, 1, 64);
        let examples: Vec<_> = (0..4).map(|number| artist.draw(number)).collect();
        let batch = Batch::of(&examples, &Device::Cpu).unwrap();
        let mut state = State::fresh(&settings, means_of(&examples)).unwrap();
        let network = network_of(&state, &settings, false).unwrap();
        let joints = TensorBody::joints_only(&body, &Device::Cpu).unwrap();
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
