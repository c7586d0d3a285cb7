//! Samples people from MakeHuman's macro blend shapes (sex, age, muscle, weight, height, proportions).

use super::super::BodyError;
use super::source::{AnnyData, BlendShape};
use posebook_core::geometry::Vec3;
use posebook_core::random::RandomStream;
use std::collections::HashMap;

const SEXES: [&str; 2] = ["female", "male"];
const AGES: [&str; 2] = ["young", "old"];
const MUSCLES: [&str; 3] = ["minmuscle", "averagemuscle", "maxmuscle"];
const WEIGHTS: [&str; 3] = ["minweight", "averageweight", "maxweight"];
const HEIGHTS: [&str; 2] = ["minheight", "maxheight"];
const PROPORTIONS: [&str; 2] = ["uncommonproportions", "idealproportions"];
/// MakeHuman's names of its three ethnic blend shapes.
const ETHNICITIES: [&str; 3] = ["african", "asian", "caucasian"];

/// The parameters of a person, 0 to 1 each; height and proportions -1 to 1 around the average.
#[derive(Debug, Clone, Copy)]
pub struct Phenotype {
    /// 0 female, 1 male.
    pub sex: f32,
    /// 0 young (about 25), 1 old.
    pub age: f32,
    /// 0 little, 1 much.
    pub muscle: f32,
    /// 0 light, 1 heavy.
    pub weight: f32,
    /// -1 short, 1 tall.
    pub height: f32,
    /// -1 uncommon, 1 ideal.
    pub proportions: f32,
}

impl Phenotype {
    /// Average in everything.
    pub const NEUTRAL: Phenotype =
        Phenotype { sex: 0.5, age: 0.0, muscle: 0.5, weight: 0.5, height: 0.0, proportions: 0.0 };

    /// A random adult: either sex, mostly young, heights within a few percent of the sex's mean.
    pub fn sample(stream: &mut RandomStream) -> Phenotype {
        let mut normal = |mean: f64, deviation: f64, low: f64, high: f64| {
            (mean + deviation * stream.normal()).clamp(low, high) as f32
        };
        let deviation_of_sex = normal(0.0, 0.12, -0.35, 0.35).abs();
        let age = normal(0.15, 0.25, 0.0, 1.0);
        let muscle = normal(0.5, 0.18, 0.05, 0.95);
        let weight = normal(0.52, 0.2, 0.05, 0.98);
        let height = normal(0.0, 0.16, -0.45, 0.45);
        let proportions = normal(0.2, 0.4, -1.0, 1.0);
        let sex = if stream.bernoulli(0.5) { deviation_of_sex } else { 1.0 - deviation_of_sex };
        Phenotype { sex, age, muscle, weight, height, proportions }
    }
}

/// All macro blend shapes of adults, by name.
pub struct MacroTargets(HashMap<String, BlendShape>);

impl MacroTargets {
    /// Reads those that exist.
    ///
    /// # Errors
    /// If a blend shape is damaged.
    pub fn load(data: &AnnyData) -> Result<MacroTargets, BodyError> {
        let mut names = Vec::new();
        for (sex, age) in SEXES.iter().flat_map(|sex| AGES.iter().map(move |age| (sex, age))) {
            names.extend(ETHNICITIES.map(|ethnicity| format!("{ethnicity}-{sex}-{age}")));
            for (muscle, weight) in MUSCLES.iter().flat_map(|m| WEIGHTS.iter().map(move |w| (m, w))) {
                let body = format!("{sex}-{age}-{muscle}-{weight}");
                names.extend(HEIGHTS.map(|height| format!("height/{body}-{height}")));
                names.extend(PROPORTIONS.map(|shape| format!("proportions/{body}-{shape}")));
                names.push(format!("universal-{body}"));
            }
        }
        let mut targets = HashMap::new();
        for name in names {
            if let Some(target) = data.blend_shape(&format!("macrodetails/{name}"))? {
                targets.insert(name, target);
            }
        }
        Ok(MacroTargets(targets))
    }

    /// All vertices of a person, including helper geometry.
    pub fn person(&self, base: &[Vec3], phenotype: &Phenotype) -> Vec<Vec3> {
        let mut vertices = base.to_vec();
        let mut blend = |name: String, weight: f32| {
            if let Some(target) = self.0.get(&name).filter(|_| weight != 0.0) {
                for (vertex, displacement) in target {
                    let position = &mut vertices[*vertex as usize];
                    (0..3).for_each(|axis| position[axis] += weight * displacement[axis]);
                }
            }
        };
        let (muscles, weights) = (min_average_max(phenotype.muscle), min_average_max(phenotype.weight));
        for (sex, of_sex) in SEXES.iter().zip([1.0 - phenotype.sex, phenotype.sex]) {
            for (age, of_age) in AGES.iter().zip([1.0 - phenotype.age, phenotype.age]) {
                let share = of_sex * of_age;
                for ethnicity in ETHNICITIES {
                    blend(format!("{ethnicity}-{sex}-{age}"), share / 3.0);
                }
                for (muscle, of_muscle) in MUSCLES.iter().zip(muscles) {
                    for (weight, of_weight) in WEIGHTS.iter().zip(weights) {
                        let share = share * of_muscle * of_weight;
                        let body = format!("{sex}-{age}-{muscle}-{weight}");
                        let height = HEIGHTS[usize::from(phenotype.height > 0.0)];
                        let shape = PROPORTIONS[usize::from(phenotype.proportions > 0.0)];
                        blend(format!("height/{body}-{height}"), share * phenotype.height.abs());
                        blend(format!("proportions/{body}-{shape}"), share * phenotype.proportions.abs());
                        blend(format!("universal-{body}"), share);
                    }
                }
            }
        }
        vertices
    }
}

/// Linear interpolation weights of minimum, average and maximum at `value`, 0 to 1.
fn min_average_max(value: f32) -> [f32; 3] {
    let from_middle = 2.0 * value - 1.0;
    [(-from_middle).max(0.0), 1.0 - from_middle.abs(), from_middle.max(0.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpolation_weights_sum_to_one() {
        assert_eq!(min_average_max(0.5), [0.0, 1.0, 0.0]);
        assert_eq!(min_average_max(0.25), [0.5, 0.5, 0.0]);
        assert_eq!(min_average_max(1.0), [0.0, 0.0, 1.0]);
    }
}
