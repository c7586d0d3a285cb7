//! Settings of a training.

use super::TrainError;
use crate::TRAINING_SEEDS;
use posebook_models::hmr2::Config;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A training: architecture, synthesis of examples, optimization.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Name of the resulting model set and of its files.
    pub name: String,
    /// Seed of examples and initial weights, below 5,000. Held-out examples use this plus 5,000, benchmark clips 10,000 and
    /// above.
    pub seed: u64,
    /// Sizes of the network.
    pub architecture: Config,
    /// Optimization.
    #[serde(default)]
    pub learning: LearningSettings,
    /// Synthesis of examples.
    #[serde(default)]
    pub drawing: SynthesisSettings,
}

/// Settings of the optimization.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LearningSettings {
    /// Number of steps.
    pub steps: usize,
    /// Crops per step.
    pub batch: usize,
    /// Maximum learning rate of AdamW.
    pub rate: f64,
    /// Maximum learning rate of the backbone's matrices, trained by Muon, on AdamW's scale.
    pub matrix_rate: f64,
    /// Steps of linear warm-up.
    pub warm_up: usize,
    /// Fraction of the steps, at the end, over which the rate falls to a hundredth (cosine).
    pub cool_down: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Maximum norm of the gradient.
    pub clip: f64,
    /// Decay of the running average of the weights, which is what is exported.
    pub average: f64,
    /// Steps between checkpoints.
    pub keep_every: usize,
    /// Steps between evaluations.
    pub look_every: usize,
    /// Weights of the loss terms.
    pub loss: LossWeights,
}

/// Weights of the loss terms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossWeights {
    /// Mean absolute error of the 44 joints relative to the pelvis, meters.
    pub joints: f64,
    /// Mean absolute error of the 44 projected joints, in crop sides.
    pub projected: f64,
    /// Mean squared error of the global orientation's matrix.
    pub orientation: f64,
    /// Mean squared error of the other 23 rotation matrices.
    pub pose: f64,
    /// Mean squared error of the shape.
    pub shape: f64,
    /// Mean absolute error of the three camera parameters.
    pub camera: f64,
    /// Locations of the joints predicted by tokens (cross entropy).
    pub located: f64,
    /// Depths of the joints predicted by tokens, meters.
    pub depth: f64,
    /// All joints predicted by every token, meters and crop sides.
    pub whole: f64,
    /// Body part of each cell of 4 x 4 pixels (cross entropy).
    pub parts: f64,
    /// Depth of each cell and its point on the body at rest, meters.
    pub surface: f64,
}

/// Settings of the synthetic crops. Probabilities are between 0 and 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SynthesisSettings {
    /// Probability of a randomly perturbed pose.
    pub bent: f64,
    /// Size of the perturbation, radians.
    pub bend: f64,
    /// Probability of another person in front.
    pub occluded: f64,
    /// Probability of another person behind.
    pub accompanied: f64,
    /// Probability of an occluding rectangle.
    pub hidden: f64,
    /// Probability of JPEG compression.
    pub compressed: f64,
    /// Probability that the crop was smaller in the frame than the network's input.
    pub enlarged: f64,
    /// Deviation of the box's sides, relative to the box.
    pub jitter: f64,
    /// Maximum angle between a person's facing direction and the camera at first, radians.
    pub turned_at_first: f64,
    /// Number of crops after which people face all directions; the maximum angle grows linearly until then.
    pub turned_everywhere_after: u64,
    /// Crops generated from one walk.
    pub pictures_per_walk: usize,
}

/// What a settings file trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrainingKind {
    /// HMR2: [`Settings`].
    Hmr2,
    /// The encoder of textures, in a file with `kind = "appearance"`: [`super::AppearanceSettings`].
    Appearance,
}

impl TrainingKind {
    /// The kind of a settings file. Other keys are not checked.
    ///
    /// # Errors
    /// If the file cannot be read, is not TOML, or has an unknown `kind`.
    pub fn of_file(path: &Path) -> Result<TrainingKind, TrainError> {
        let bad = |reason: String| TrainError::Settings { path: path.to_path_buf(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
        let table: toml::Table = toml::from_str(&text).map_err(|error| bad(error.to_string()))?;
        match table.get("kind").map(toml::Value::as_str) {
            None => Ok(TrainingKind::Hmr2),
            Some(Some("appearance")) => Ok(TrainingKind::Appearance),
            Some(_) => Err(bad("`kind` must be \"appearance\", or missing for HMR2".into())),
        }
    }
}

impl Default for LearningSettings {
    fn default() -> LearningSettings {
        LearningSettings {
            steps: 6000,
            batch: 32,
            rate: 3e-4,
            matrix_rate: 1e-3,
            warm_up: 300,
            cool_down: 0.4,
            weight_decay: 0.02,
            clip: 1.0,
            average: 0.998,
            keep_every: 250,
            look_every: 250,
            loss: LossWeights::default(),
        }
    }
}

impl Default for LossWeights {
    fn default() -> LossWeights {
        LossWeights {
            joints: 8.0,
            projected: 6.0,
            orientation: 0.6,
            pose: 2.0,
            shape: 0.02,
            camera: 0.5,
            located: 0.5,
            depth: 4.0,
            whole: 8.0,
            parts: 1.0,
            surface: 1.0,
        }
    }
}

impl Default for SynthesisSettings {
    fn default() -> SynthesisSettings {
        SynthesisSettings {
            bent: 0.3,
            bend: 0.2,
            occluded: 0.15,
            accompanied: 0.15,
            hidden: 0.15,
            compressed: 0.25,
            enlarged: 0.6,
            jitter: 0.03,
            turned_at_first: 0.8,
            turned_everywhere_after: 40_000,
            pictures_per_walk: 4,
        }
    }
}

impl SynthesisSettings {
    /// Maximum angle between the facing direction and the camera for crop `number`, radians.
    pub fn max_facing_angle(&self, number: u64) -> f64 {
        let share = number as f64 / self.turned_everywhere_after.max(1) as f64;
        let half_turn = std::f64::consts::PI;
        (self.turned_at_first + (half_turn - self.turned_at_first) * share.min(1.0)).min(half_turn)
    }
}

impl Settings {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// If it cannot be read, has an unknown key, or is invalid.
    pub fn load(path: &Path) -> Result<Settings, TrainError> {
        let bad = |reason: String| TrainError::Settings { path: path.to_path_buf(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
        let settings: Settings = toml::from_str(&text).map_err(|error| bad(error.to_string()))?;
        settings.validate()?;
        Ok(settings)
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// Names the invalid setting.
    pub fn validate(&self) -> Result<(), TrainError> {
        self.architecture.validate()?;
        let invalid = |what: &str| Err(TrainError::InvalidSettings { what: what.to_string() });
        let learning = &self.learning;
        if self.seed >= TRAINING_SEEDS.end / 2 {
            return invalid("a seed of held-out examples or benchmark clips; use one below 5000");
        }
        if learning.batch == 0 || learning.steps == 0 {
            return invalid("learning.steps and learning.batch must be positive");
        }
        if learning.keep_every == 0 || learning.look_every == 0 || self.drawing.pictures_per_walk == 0 {
            return invalid("keep_every, look_every and pictures_per_walk must be positive");
        }
        if !(0.0..1.0).contains(&learning.average) || !(0.0..=1.0).contains(&learning.cool_down) {
            return invalid("average or cool_down is outside 0 to 1");
        }
        let rates = [learning.rate, learning.matrix_rate, learning.clip];
        if rates.iter().any(|rate| !rate.is_finite() || *rate <= 0.0) {
            return invalid("rate, matrix_rate and clip must be above 0");
        }
        Ok(())
    }

    /// The learning rate at a step, counted from 0.
    pub fn learning_rate(&self, step: usize) -> f64 {
        self.learning.rate * self.schedule(step)
    }

    /// The factor on the maximum rates at a step, counted from 0.
    pub fn schedule(&self, step: usize) -> f64 {
        let learning = &self.learning;
        let warm = ((step + 1) as f64 / learning.warm_up.max(1) as f64).min(1.0);
        let cooling = learning.cool_down * learning.steps as f64;
        let left = learning.steps.saturating_sub(step) as f64;
        let cool =
            if left >= cooling { 1.0 } else { 0.5 - 0.5 * (std::f64::consts::PI * left / cooling).cos() };
        warm * (0.01 + 0.99 * cool)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            name: "tiny".into(),
            seed: 1,
            architecture: Config::hmr2(),
            learning: LearningSettings::default(),
            drawing: SynthesisSettings::default(),
        }
    }

    #[test]
    fn the_rate_warms_up_and_cools_down() {
        let settings = settings();
        assert!(settings.learning_rate(0) < 0.01 * settings.learning.rate);
        assert!((settings.learning_rate(2000) - settings.learning.rate).abs() < 1e-12);
        assert!(settings.learning_rate(5999) < 0.02 * settings.learning.rate);
        let falls = (3700..5999).all(|step| settings.learning_rate(step + 1) <= settings.learning_rate(step));
        assert!(falls);
    }

    #[test]
    fn all_training_settings_in_the_repository_are_valid() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/training");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let trainings = files.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
        let mut kinds = Vec::new();
        for path in trainings {
            let kind = TrainingKind::of_file(&path).unwrap();
            match kind {
                TrainingKind::Hmr2 => drop(Settings::load(&path).unwrap()),
                TrainingKind::Appearance => drop(crate::train::AppearanceSettings::load(&path).unwrap()),
            }
            kinds.push(kind);
        }
        assert!(kinds.contains(&TrainingKind::Hmr2) && kinds.contains(&TrainingKind::Appearance));
    }

    #[test]
    fn invalid_settings_are_named() {
        let mut settings = settings();
        settings.seed = 20_240;
        assert!(settings.validate().unwrap_err().to_string().contains("benchmark"));
        settings.seed = 1;
        settings.learning.batch = 0;
        assert!(settings.validate().unwrap_err().to_string().contains("learning.batch"));
    }
}
