//! What a training asks for.

use super::TrainError;
use crate::dataset::TRAINING_SEEDS;
use crate::hmr2::Config;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A training: which network, which pictures, how it learns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The name of the model set that comes out, and of its files.
    pub name: String,
    /// Pictures and first weights follow from it; below 5,000. Held-out pictures draw from it plus 5,000,
    /// benchmark clips from 10,000 on.
    pub seed: u64,
    pub architecture: Config,
    #[serde(default)]
    pub learning: Learning,
    #[serde(default)]
    pub drawing: Drawing,
}

/// How the network learns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Learning {
    pub steps: usize,
    /// Crops a step.
    pub batch: usize,
    /// The highest learning rate (AdamW).
    pub rate: f64,
    /// That of the backbone's matrices, which learn by Muon; in AdamW's measure.
    pub matrix_rate: f64,
    /// Steps over which the rate climbs from zero.
    pub warm_up: usize,
    /// Share of the steps, the last ones, over which the rate falls to a hundredth (half a cosine).
    pub cool_down: f64,
    pub weight_decay: f64,
    /// The gradient's length is cut to this.
    pub clip: f64,
    /// How slowly the averaged weights follow the learnt ones; the averaged ones are given out.
    pub average: f64,
    /// Steps between checkpoints.
    pub keep_every: usize,
    /// Steps between looks at the held-out pictures.
    pub look_every: usize,
    pub loss: LossWeights,
}

/// What counts how much.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossWeights {
    /// Mean distance along an axis of the 44 joints from the pelvis, metres.
    pub joints: f64,
    /// Mean distance along an axis of the 44 projected joints, in sides of the crop.
    pub projected: f64,
    /// Mean square of the rotation matrices' difference, the body's orientation.
    pub orientation: f64,
    /// The same of the other 23 rotations.
    pub pose: f64,
    /// Mean square of the shape's difference.
    pub shape: f64,
    /// Mean distance of the camera's three numbers.
    pub camera: f64,
    /// Where the backbone's tokens say that the joints lie (cross entropy).
    pub located: f64,
    /// How deep they say that the joints lie, metres.
    pub depth: f64,
    /// Where each of them says that all joints are, metres and sides of the crop.
    pub whole: f64,
    /// Which part of the body each cell of four pixels shows (cross entropy).
    pub parts: f64,
    /// How deep what it shows lies and where on the resting body, metres.
    pub surface: f64,
}

/// What the pictures show. Shares are probabilities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Drawing {
    /// People whose joints are bent further, at random.
    pub bent: f64,
    /// How far, radians.
    pub bend: f64,
    /// Crops with somebody else before the person.
    pub occluded: f64,
    /// Crops with somebody else behind.
    pub accompanied: f64,
    /// Crops with a thing before the person.
    pub hidden: f64,
    /// Crops compressed as JPEG.
    pub compressed: f64,
    /// Crops that were smaller in the frame than the network's input.
    pub enlarged: f64,
    /// How far boxes are off, in sides of the box (deviation).
    pub jitter: f64,
    /// How far the first people are turned from facing the camera at most, radians.
    pub turned_at_first: f64,
    /// Crops after which people face everywhere; the most that they are turned grows evenly until then.
    pub turned_everywhere_after: u64,
    /// Pictures drawn from one person on one way.
    pub pictures_per_walk: usize,
}

impl Default for Learning {
    fn default() -> Learning {
        Learning {
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

impl Default for Drawing {
    fn default() -> Drawing {
        Drawing {
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

impl Drawing {
    /// How far the person of crop `number` is turned from facing the camera at most, radians.
    pub fn most_turned(&self, number: u64) -> f64 {
        let share = number as f64 / self.turned_everywhere_after.max(1) as f64;
        let half_turn = std::f64::consts::PI;
        (self.turned_at_first + (half_turn - self.turned_at_first) * share.min(1.0)).min(half_turn)
    }
}

impl Settings {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// If it cannot be read, has an unknown key, or asks for the impossible.
    pub fn load(path: &Path) -> Result<Settings, TrainError> {
        let bad = |reason: String| TrainError::Settings { path: path.to_path_buf(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
        let settings: Settings = toml::from_str(&text).map_err(|error| bad(error.to_string()))?;
        settings.validate()?;
        Ok(settings)
    }

    /// # Errors
    /// Names what cannot be.
    pub fn validate(&self) -> Result<(), TrainError> {
        self.architecture.validate()?;
        let impossible = |what: &str| Err(TrainError::Impossible { what: what.to_string() });
        let learning = &self.learning;
        if self.seed >= TRAINING_SEEDS.end / 2 {
            return impossible(
                "a seed that held-out pictures or benchmark clips draw from; take one below 5000",
            );
        }
        if learning.batch == 0 || learning.steps == 0 {
            return impossible("no step or no crop; learning.steps and learning.batch have to be positive");
        }
        if learning.keep_every == 0 || learning.look_every == 0 || self.drawing.pictures_per_walk == 0 {
            return impossible(
                "an interval of 0; keep_every, look_every, pictures_per_walk have to be positive",
            );
        }
        if !(0.0..1.0).contains(&learning.average) || !(0.0..=1.0).contains(&learning.cool_down) {
            return impossible("an average or cool_down outside 0 to 1");
        }
        let rates = [learning.rate, learning.matrix_rate, learning.clip];
        if rates.iter().any(|rate| !rate.is_finite() || *rate <= 0.0) {
            return impossible("a rate or clip that is not above 0");
        }
        Ok(())
    }

    /// The learning rate at a step, counted from 0.
    pub fn rate_at(&self, step: usize) -> f64 {
        self.learning.rate * self.schedule(step)
    }

    /// The share of the highest rates at a step, counted from 0.
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
            learning: Learning::default(),
            drawing: Drawing::default(),
        }
    }

    #[test]
    fn the_rate_climbs_stays_and_falls() {
        let settings = settings();
        assert!(settings.rate_at(0) < 0.01 * settings.learning.rate);
        assert!((settings.rate_at(2000) - settings.learning.rate).abs() < 1e-12);
        assert!(settings.rate_at(5999) < 0.02 * settings.learning.rate);
        let falls = (3700..5999).all(|step| settings.rate_at(step + 1) <= settings.rate_at(step));
        assert!(falls);
    }

    #[test]
    fn every_training_in_the_tree_is_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/training");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let trainings = files.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
        let read: Vec<Settings> = trainings.map(|path| Settings::load(&path).unwrap()).collect();
        assert!(!read.is_empty());
    }

    #[test]
    fn impossible_wishes_are_named() {
        let mut settings = settings();
        settings.seed = 20_240;
        assert!(settings.validate().unwrap_err().to_string().contains("benchmark"));
        settings.seed = 1;
        settings.learning.batch = 0;
        assert!(settings.validate().unwrap_err().to_string().contains("learning.batch"));
    }
}
