//! Settings of the training of an encoder of textures.

use crate::TRAINING_SEEDS;
use crate::train::{SynthesisSettings, TrainError};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A training of an encoder of textures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppearanceSettings {
    /// `appearance`, which tells this file from a training of HMR2.
    pub kind: Kind,
    /// Name of the resulting files.
    pub name: String,
    /// Seed of examples and initial weights, below 5,000. Held-out people use this plus 5,000.
    pub seed: u64,
    /// Channels of the first five convolutions; the sixth has 16.
    pub channels: [usize; 5],
    /// Optimization.
    #[serde(default)]
    pub learning: EncoderLearning,
    /// Views of people.
    #[serde(default)]
    pub views: ViewSettings,
    /// Synthesis of crops.
    #[serde(default)]
    pub drawing: SynthesisSettings,
}

/// The kind of training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An encoder of textures.
    Appearance,
}

/// Settings of the optimization.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EncoderLearning {
    /// Number of steps at most.
    pub steps: usize,
    /// Triplets per step.
    pub triplets: usize,
    /// Side of the part of a map that a triplet compares, texels; a multiple of 16.
    pub patch: usize,
    /// Share of triplets whose maps are cut to the texels seen in both, as the tracker's texture cue compares them. The others
    /// are compared whole.
    pub cut: f64,
    /// Largest learning rate.
    pub rate: f64,
    /// Steps of linear warm-up.
    pub warm_up: usize,
    /// Share of the steps, at the end, over which the rate falls to a hundredth.
    pub cool_down: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Largest norm of the gradient.
    pub clip: f64,
    /// Decay of the running average of the weights.
    pub average: f64,
    /// Steps between evaluations on held-out people.
    pub look_every: usize,
    /// Median distance of two people to which the finished encoder is scaled.
    pub target_distance: f64,
}

/// Settings of the views of people that are compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ViewSettings {
    /// People of the training.
    pub people: usize,
    /// Views of each.
    pub views: usize,
    /// People who share a place and its light.
    pub people_per_place: usize,
    /// Held-out people.
    pub held_out: usize,
    /// Largest relative change of brightness between views of a place.
    pub light: f64,
    /// Size of the perturbation of poses, radians: a recovered body is not exact.
    pub bend: f64,
    /// Deviation of each perturbed shape coefficient.
    pub shape: f64,
    /// Deviation of the perturbed camera: of the scale, relative, and of the shift, meters.
    pub camera: f64,
}

impl Default for EncoderLearning {
    fn default() -> EncoderLearning {
        EncoderLearning {
            steps: 600,
            triplets: 8,
            patch: 128,
            cut: 0.75,
            rate: 2e-3,
            warm_up: 30,
            cool_down: 0.5,
            weight_decay: 0.01,
            clip: 1.0,
            average: 0.98,
            look_every: 100,
            target_distance: 0.4,
        }
    }
}

impl Default for ViewSettings {
    fn default() -> ViewSettings {
        ViewSettings {
            people: 320,
            views: 4,
            people_per_place: 4,
            held_out: 96,
            light: 0.1,
            bend: 0.12,
            shape: 0.5,
            camera: 0.02,
        }
    }
}

impl AppearanceSettings {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// If it cannot be read, has an unknown key, or is invalid.
    pub fn load(path: &Path) -> Result<AppearanceSettings, TrainError> {
        let bad = |reason: String| TrainError::Settings { path: path.to_path_buf(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
        let settings: AppearanceSettings = toml::from_str(&text).map_err(|error| bad(error.to_string()))?;
        settings.validate()?;
        Ok(settings)
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// Names the invalid setting.
    pub fn validate(&self) -> Result<(), TrainError> {
        let invalid = |what: &str| Err(TrainError::InvalidSettings { what: what.to_string() });
        let (learning, views) = (&self.learning, &self.views);
        let is_file_name = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if self.name.is_empty() || !self.name.chars().all(is_file_name) {
            return invalid("name must consist of letters, digits, - and _: it names the files");
        }
        if self.seed >= TRAINING_SEEDS.end / 2 {
            return invalid("a seed of held-out examples or benchmark clips; use one below 5000");
        }
        if self.channels.iter().any(|channels| !(1..=512).contains(channels)) {
            return invalid("channels must be 1 to 512");
        }
        if learning.steps == 0 || learning.triplets == 0 || learning.look_every == 0 {
            return invalid("learning.steps, triplets and look_every must be positive");
        }
        if !(16..=256).contains(&learning.patch) || !learning.patch.is_multiple_of(16) {
            return invalid("learning.patch must be a multiple of 16 up to 256");
        }
        let shares = [learning.cut, learning.cool_down, learning.average];
        if shares.iter().any(|share| !(0.0..=1.0).contains(share)) {
            return invalid("learning.cut, cool_down and average must be 0 to 1");
        }
        let positive = [learning.rate, learning.clip, learning.target_distance];
        if positive.iter().any(|value| !value.is_finite() || *value <= 0.0) {
            return invalid("learning.rate, clip and target_distance must be above 0");
        }
        if views.people_per_place < 2 || views.people < 2 * views.people_per_place || views.views < 2 {
            return invalid(
                "views: two views or more of two people or more in each of two places or more are needed",
            );
        }
        if views.held_out < views.people_per_place {
            return invalid("views.held_out must be people_per_place or more");
        }
        let noises = [views.light, views.bend, views.shape, views.camera];
        if noises.iter().any(|noise| !(0.0..=2.0).contains(noise)) {
            return invalid("views.light, bend, shape and camera must be 0 to 2");
        }
        Ok(())
    }

    /// Channels of all six convolutions: inputs and outputs.
    pub(super) fn sizes(&self) -> [(usize, usize); 6] {
        let [first, second, third, fourth, fifth] = self.channels;
        let last = super::network::LAST_CHANNELS;
        [(4, first), (first, second), (second, third), (third, fourth), (fourth, fifth), (fifth, last)]
    }

    /// Factor of the learning rate at a step, counted from 0.
    pub(super) fn schedule(&self, step: usize) -> f64 {
        let learning = &self.learning;
        let warm = ((step + 1) as f64 / learning.warm_up.max(1) as f64).min(1.0);
        let cooling = learning.cool_down * learning.steps as f64;
        let left = learning.steps.saturating_sub(step) as f64;
        let cool =
            if left >= cooling { 1.0 } else { 0.5 - 0.5 * libm::cos(std::f64::consts::PI * left / cooling) };
        warm * (0.01 + 0.99 * cool)
    }
}
