//! People sampled from MakeHuman's macro blend shapes: sex, age, muscle, weight, height, proportions.

use super::super::BodyError;
use super::source::{Folder, Target};
use crate::geometry::Vec3;
use crate::random::Stream;
use std::collections::HashMap;

const SEXES: [&str; 2] = ["female", "male"];
const AGES: [&str; 2] = ["young", "old"];
const MUSCLES: [&str; 3] = ["minmuscle", "averagemuscle", "maxmuscle"];
const WEIGHTS: [&str; 3] = ["minweight", "averageweight", "maxweight"];
const HEIGHTS: [&str; 2] = ["minheight", "maxheight"];
const PROPORTIONS: [&str; 2] = ["uncommonproportions", "idealproportions"];
const PARTS_OF_THE_WORLD: [&str; 3] = ["african", "asian", "caucasian"];

/// What a person looks like, each 0 to 1; height and proportions -1 to 1 about the average.
#[derive(Debug, Clone, Copy)]
pub struct Phenotype {
    /// 0 female, 1 male.
    pub sex: f32,
    /// 0 young (about 25), 1 old.
    pub age: f32,
    pub muscle: f32,
    pub weight: f32,
    pub height: f32,
    pub proportions: f32,
}

impl Phenotype {
    /// The middle of everything.
    pub const NEUTRAL: Phenotype =
        Phenotype { sex: 0.5, age: 0.0, muscle: 0.5, weight: 0.5, height: 0.0, proportions: 0.0 };

    /// An adult as one meets them: either sex, seldom old, heights a few per cent about the sex's mean.
    pub fn sample(stream: &mut Stream) -> Phenotype {
        let mut around = |mean: f64, deviation: f64, low: f64, high: f64| {
            (mean + deviation * stream.normal()).clamp(low, high) as f32
        };
        let leaning = around(0.0, 0.12, -0.35, 0.35).abs();
        let age = around(0.15, 0.25, 0.0, 1.0);
        let muscle = around(0.5, 0.18, 0.05, 0.95);
        let weight = around(0.52, 0.2, 0.05, 0.98);
        let height = around(0.0, 0.16, -0.45, 0.45);
        let proportions = around(0.2, 0.4, -1.0, 1.0);
        let sex = if stream.chance(0.5) { leaning } else { 1.0 - leaning };
        Phenotype { sex, age, muscle, weight, height, proportions }
    }
}

/// All macro blend shapes of adults.
pub struct Macros(HashMap<String, Target>);

impl Macros {
    /// # Errors
    /// If a blend shape is damaged, or none is there at all.
    pub fn load(folder: &Folder) -> Result<Macros, BodyError> {
        let mut names = Vec::new();
        for (sex, age) in SEXES.iter().flat_map(|sex| AGES.iter().map(move |age| (sex, age))) {
            names.extend(PARTS_OF_THE_WORLD.map(|part| format!("{part}-{sex}-{age}")));
            for (muscle, weight) in MUSCLES.iter().flat_map(|m| WEIGHTS.iter().map(move |w| (m, w))) {
                let body = format!("{sex}-{age}-{muscle}-{weight}");
                names.extend(HEIGHTS.map(|height| format!("height/{body}-{height}")));
                names.extend(PROPORTIONS.map(|shape| format!("proportions/{body}-{shape}")));
                names.push(format!("universal-{body}"));
            }
        }
        let mut targets = HashMap::new();
        for name in names {
            if let Some(target) = folder.target(&format!("macrodetails/{name}"))? {
                targets.insert(name, target);
            }
        }
        Ok(Macros(targets))
    }

    /// All vertices of a person, helpers too.
    pub fn person(&self, base: &[Vec3], who: &Phenotype) -> Vec<Vec3> {
        let mut vertices = base.to_vec();
        let mut blend = |name: String, share: f32| {
            if let Some(target) = self.0.get(&name).filter(|_| share != 0.0) {
                for (vertex, displacement) in target {
                    let at = &mut vertices[*vertex as usize];
                    (0..3).for_each(|axis| at[axis] += share * displacement[axis]);
                }
            }
        };
        let (muscles, weights) = (halves(who.muscle), halves(who.weight));
        for (sex, of_sex) in SEXES.iter().zip([1.0 - who.sex, who.sex]) {
            for (age, of_age) in AGES.iter().zip([1.0 - who.age, who.age]) {
                let share = of_sex * of_age;
                for part in PARTS_OF_THE_WORLD {
                    blend(format!("{part}-{sex}-{age}"), share / 3.0);
                }
                for (muscle, of_muscle) in MUSCLES.iter().zip(muscles) {
                    for (weight, of_weight) in WEIGHTS.iter().zip(weights) {
                        let share = share * of_muscle * of_weight;
                        let body = format!("{sex}-{age}-{muscle}-{weight}");
                        let height = HEIGHTS[usize::from(who.height > 0.0)];
                        let shape = PROPORTIONS[usize::from(who.proportions > 0.0)];
                        blend(format!("height/{body}-{height}"), share * who.height.abs());
                        blend(format!("proportions/{body}-{shape}"), share * who.proportions.abs());
                        blend(format!("universal-{body}"), share);
                    }
                }
            }
        }
        vertices
    }
}

/// Shares of minimum, average and maximum at `value` of 0 to 1.
fn halves(value: f32) -> [f32; 3] {
    let from_middle = 2.0 * value - 1.0;
    [(-from_middle).max(0.0), 1.0 - from_middle.abs(), from_middle.max(0.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_sum_to_one() {
        assert_eq!(halves(0.5), [0.0, 1.0, 0.0]);
        assert_eq!(halves(0.25), [0.5, 0.5, 0.0]);
        assert_eq!(halves(1.0), [0.0, 0.0, 1.0]);
    }
}
