//! The training loop of the encoder.

use super::manifest::write_encoder;
use super::network::{averaged_tensors, forward, initial_weights};
use super::separation::{HeldOut, Separation};
use super::triplets::sample_triplets;
use super::views::{sample_views, subjects};
use super::{AppearanceSettings, EncoderLearning};
use crate::train::optimizer::Optimizer;
use crate::train::people::random_stream;
use crate::train::{LearningSettings, TrainError};
use candle_core::{D, Device, Tensor};
use posebook_models::appearance::encoder::Encoder;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

/// Keeps the logarithm of a distance finite.
const LEAST_DISTANCE: f64 = 1e-6;
/// Weight of the term that keeps the scale of distances near 1.
const SCALE_WEIGHT: f64 = 0.01;

/// Progress of a training.
#[derive(Debug, Clone, Copy)]
pub enum AppearanceProgress {
    /// Views of this many people are sampled.
    People {
        /// People done.
        done: usize,
        /// People in all.
        all: usize,
    },
    /// A step is done.
    Step {
        /// Steps done.
        step: usize,
        /// Steps in all.
        steps: usize,
        /// Loss of the step.
        loss: f32,
        /// After steps that had an evaluation: that of the averaged weights.
        separation: Option<Separation>,
    },
}

/// Trains an encoder, and writes it and its manifest to `folder` at the end, or when `stop` is set. Returns how well it and the
/// encoder without weights tell held-out people apart.
///
/// # Errors
/// If the settings are invalid, a file cannot be written, or the loss is not finite.
pub fn train_appearance(
    settings: &AppearanceSettings,
    folder: &Path,
    progress: &mut (dyn FnMut(AppearanceProgress) + Send),
    stop: &AtomicBool,
) -> Result<[Separation; 2], TrainError> {
    settings.validate()?;
    let started = Instant::now();
    let progress = Mutex::new(progress);
    let show = |event| {
        if let Ok(mut progress) = progress.lock() {
            progress(event);
        }
    };
    let all = settings.views.people + 2 * settings.views.held_out;
    let done = AtomicUsize::new(0);
    let on_person =
        || show(AppearanceProgress::People { done: done.fetch_add(1, Ordering::Relaxed) + 1, all });
    let subjects = subjects(&settings.views, settings.views.people);
    let people = sample_views(settings, settings.seed, &subjects, settings.views.views, &on_person)?;
    let held_out = HeldOut::sample(settings, &on_person)?;
    let mut optimizer = initial_weights(settings)?;
    let learning = &settings.learning;
    while optimizer.step < learning.steps && !stop.load(Ordering::Relaxed) {
        let mut draws = random_stream(settings.seed, "appearance/triplets", optimizer.step as u64);
        let maps = sample_triplets(settings, &people, &mut draws)?;
        let loss = train_step(&mut optimizer, &maps, settings)?;
        let is_looked = optimizer.step.is_multiple_of(learning.look_every);
        let separation = is_looked.then(|| separation(&optimizer, 1.0, &held_out)).transpose()?;
        show(AppearanceProgress::Step { step: optimizer.step, steps: learning.steps, loss, separation });
    }
    // distances are proportional to the square of the gain
    let unscaled = separation(&optimizer, 1.0, &held_out)?;
    let gain = (learning.target_distance / unscaled.different_median.max(1e-9)).sqrt() as f32;
    let found = separation(&optimizer, gain, &held_out)?;
    let raw = held_out.separation(&Encoder::raw())?;
    let secs = started.elapsed().as_secs_f64();
    write_encoder(
        folder,
        settings,
        &averaged_tensors(&optimizer, gain)?,
        optimizer.step,
        secs,
        [found, raw],
    )?;
    Ok([found, raw])
}

/// How well the averaged weights tell held-out people apart, in the encoder of a run.
fn separation(optimizer: &Optimizer, gain: f32, held_out: &HeldOut) -> Result<Separation, TrainError> {
    let tensors = averaged_tensors(optimizer, gain)?;
    let encoder = Encoder::from_tensors(&tensors, None, "of the training", &Device::Cpu)?;
    Ok(held_out.separation(&encoder)?)
}

/// One step on the maps of triplets; returns the loss before it.
fn train_step(
    optimizer: &mut Optimizer,
    maps: &Tensor,
    settings: &AppearanceSettings,
) -> Result<f32, TrainError> {
    let loss = triplet_loss(&forward(optimizer, maps)?)?;
    let value = loss.to_scalar::<f32>()?;
    if !value.is_finite() {
        return Err(TrainError::Diverged { step: optimizer.step, loss: value });
    }
    let schedule = settings.schedule(optimizer.step);
    optimizer.step(&loss.backward()?, schedule, &adamw(&settings.learning))?;
    Ok(value)
}

/// The loss of embeddings in the order of [`sample_triplets`]: the logistic loss of the logarithms of both distances, which does
/// not depend on their scale, and a small term that fixes the scale.
fn triplet_loss(embeddings: &Tensor) -> candle_core::Result<Tensor> {
    let triplets = embeddings.dim(0)? / 4;
    let embeddings = embeddings.flatten_from(1)?.reshape((triplets, 2, 2, ()))?;
    let difference = (embeddings.narrow(2, 0, 1)? - embeddings.narrow(2, 1, 1)?)?.squeeze(2)?;
    let logarithms = (difference.sqr()?.sum(D::Minus1)? + LEAST_DISTANCE)?.log()?;
    let (same, different) = (logarithms.narrow(1, 0, 1)?, logarithms.narrow(1, 1, 1)?);
    let ranking = ((same - &different)?.exp()? + 1.0)?.log()?.mean_all()?;
    let scale = (different.sqr()?.mean_all()? * SCALE_WEIGHT)?;
    ranking + scale
}

/// The settings of the optimizer, which is that of the training of HMR2.
fn adamw(learning: &EncoderLearning) -> LearningSettings {
    LearningSettings {
        rate: learning.rate,
        weight_decay: learning.weight_decay,
        clip: learning.clip,
        average: learning.average,
        ..LearningSettings::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::appearance::views::View;

    fn small() -> AppearanceSettings {
        let text = "kind = 'appearance'\nname = 'small'\nseed = 3\nchannels = [4, 4, 8, 8, 8]\n\
                    [learning]\ntriplets = 4\npatch = 32\nrate = 1e-2\nwarm_up = 1\n[views]\npeople_per_place = 2";
        toml::from_str(text).unwrap()
    }

    /// Two people: one has stripes of twelve texels, the other is plain; the mean color is the same.
    fn person(is_striped: bool) -> Vec<View> {
        let texels: Vec<u16> = (0..=u16::MAX).collect();
        let value = |texel: &u16| match is_striped {
            true if (texel % 256 / 6).is_multiple_of(2) => [0.4; 3],
            true => [-0.4; 3],
            false => [0.0; 3],
        };
        let view = View { colors: texels.iter().map(value).collect(), texels };
        vec![view.clone(), view]
    }

    #[test]
    fn a_pattern_is_learned() {
        let settings = small();
        let mut optimizer = initial_weights(&settings).unwrap();
        // noise, so that views of one person differ
        let people: Vec<Vec<View>> = [true, false]
            .into_iter()
            .map(|is_striped| {
                let mut views = person(is_striped);
                for (number, view) in views.iter_mut().enumerate() {
                    let mut draws = random_stream(1, "test", number as u64 + 2 * u64::from(is_striped));
                    let shift = draws.range(-0.3, 0.3) as f32;
                    view.colors.iter_mut().flatten().for_each(|color| *color += shift);
                }
                views
            })
            .collect();
        let mut losses = Vec::new();
        for step in 0..40 {
            let mut draws = random_stream(2, "test", step);
            let maps = sample_triplets(&settings, &people, &mut draws).unwrap();
            losses.push(train_step(&mut optimizer, &maps, &settings).unwrap());
        }
        let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
        assert!(mean(&losses[30..]) < 0.5 * mean(&losses[..5]), "{losses:?}");
    }

    #[test]
    fn the_network_is_the_encoder_of_a_run() {
        let settings = small();
        let optimizer = initial_weights(&settings).unwrap();
        let mut map = posebook_core::appearance::UvMap::empty();
        let mut draws = random_stream(3, "test", 0);
        map.values_mut().iter_mut().for_each(|value| *value = draws.range(-1.0, 1.0) as f32);
        let tensor = Tensor::from_slice(map.values(), (1, 4, 256, 256), &Device::Cpu).unwrap();
        let trained = forward(&optimizer, &tensor).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let tensors = averaged_tensors(&optimizer, 3.0).unwrap();
        let encoder = Encoder::from_tensors(&tensors, None, "test", &Device::Cpu).unwrap();
        let used = encoder.encode_refs(&[&map]).unwrap().remove(0);
        assert_eq!(trained.len(), used.len());
        for (trained, used) in trained.iter().zip(&used) {
            assert!((3.0 * trained - used).abs() < 1e-3, "{trained} {used}");
        }
        assert!(used.iter().any(|value| *value > 0.1));
    }
}
