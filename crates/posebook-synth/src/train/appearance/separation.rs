//! How well the distances of an encoder tell people apart who are not in the training.
//!
//! In: an encoder of textures, views of held-out people; out: quantiles of the distances, the area under the ROC curve, and how
//! often the nearest of five people is the right one. The distance is the tracker's: both maps are cut to the texels seen in
//! both, and 100 times the squared distance of the embeddings divided by 1000.

use super::AppearanceSettings;
use super::views::{Subject, View, sample_views, subjects};
use crate::train::TrainError;
use posebook_core::appearance::{NetworkError, TextureEncoder, UV_TEXELS, UvMap};
use serde::Serialize;

/// Added to the training's seed.
const HELD_OUT_SEED: u64 = 5000;
/// Pairs per call of the encoder: 64 MiB of maps.
const PAIRS_AT_ONCE: usize = 32;

/// Held-out people.
pub struct HeldOut {
    people: Vec<Vec<View>>,
    /// The neighbors of each person, in the clothes of the person: one view each.
    dressed_alike: Vec<View>,
    per_place: usize,
}

/// How well distances tell people apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Separation {
    /// Held-out people.
    pub people: usize,
    /// Pairs of views of one person.
    pub same_pairs: usize,
    /// Pairs of views of two people of a place.
    pub different_pairs: usize,
    /// Share of all pairs of a pair of one person and a pair of two people in which the distance of the latter is larger.
    pub auc: f64,
    /// Share of views of a person that are nearer to another view of this person than to a view of each other person of the place.
    pub first_rank: f64,
    /// Median distance of two views of one person.
    pub same_median: f64,
    /// Distance that 95% of the pairs of one person do not exceed.
    pub same_95: f64,
    /// Distance that 5% of the pairs of two people do not exceed.
    pub different_5: f64,
    /// Median distance of two people.
    pub different_median: f64,
    /// As `auc`, for two people in the same clothes.
    pub alike_auc: f64,
    /// Median distance of two people in the same clothes.
    pub alike_median: f64,
}

impl HeldOut {
    /// Samples the views of held-out people; `on_done` is called for each person.
    ///
    /// # Errors
    /// If a person cannot be seen.
    pub fn sample(settings: &AppearanceSettings, on_done: &(dyn Fn() + Sync)) -> Result<HeldOut, TrainError> {
        let views = &settings.views;
        let seed = settings.seed + HELD_OUT_SEED;
        let subjects = subjects(views, views.held_out);
        let per_place = views.people_per_place;
        let alike: Vec<Subject> = subjects
            .iter()
            .map(|subject| {
                let place = subject.place * per_place as u64;
                let neighbor = place + (subject.person - place + 1) % per_place as u64;
                Subject { person: neighbor, dressed_as: Some(subject.person), ..*subject }
            })
            .collect();
        let people = sample_views(settings, seed, &subjects, views.views, on_done)?;
        let alike = sample_views(settings, seed, &alike, 1, on_done)?;
        Ok(HeldOut { people, dressed_alike: alike.into_iter().flatten().collect(), per_place })
    }

    /// Compares the distances of an encoder.
    ///
    /// # Errors
    /// If the encoder fails.
    pub fn separation(&self, encoder: &dyn TextureEncoder) -> Result<Separation, NetworkError> {
        let (mut same, mut different, mut alike) = (Vec::new(), Vec::new(), Vec::new());
        for (person, views) in self.people.iter().enumerate() {
            for first in 0..views.len() {
                let second = (first + 1) % views.len();
                same.push((&views[first], &views[second]));
                alike.push((&views[first], &self.dressed_alike[person]));
                for other in self.others(person) {
                    different.push((&views[first], &self.people[other][second]));
                }
            }
        }
        let [same, different, alike] =
            [distances(encoder, &same)?, distances(encoder, &different)?, distances(encoder, &alike)?];
        let firsts = self.first_ranks(&same, &different);
        let first_rank =
            firsts.iter().filter(|&&is_first| is_first).count() as f64 / firsts.len().max(1) as f64;
        Ok(Separation {
            people: self.people.len(),
            same_pairs: same.len(),
            different_pairs: different.len(),
            auc: area_under_curve(&same, &different),
            first_rank,
            same_median: quantile(&same, 0.5),
            same_95: quantile(&same, 0.95),
            different_5: quantile(&different, 0.05),
            different_median: quantile(&different, 0.5),
            alike_auc: area_under_curve(&same, &alike),
            alike_median: quantile(&alike, 0.5),
        })
    }

    /// The other people of a person's place.
    fn others(&self, person: usize) -> impl Iterator<Item = usize> + use<> {
        let place = person / self.per_place * self.per_place;
        (place..(place + self.per_place).min(self.people.len())).filter(move |&other| other != person)
    }

    /// For each distance of one person, whether those to the others are larger; both are in the order of
    /// [`HeldOut::separation`].
    fn first_ranks(&self, same: &[f64], different: &[f64]) -> Vec<bool> {
        let (mut ranks, mut next) = (Vec::with_capacity(same.len()), 0);
        let per_view = self.people.iter().enumerate().flat_map(|(person, views)| {
            let others = self.others(person).count();
            views.iter().map(move |_| others)
        });
        for (&distance, others) in same.iter().zip(per_view) {
            ranks.push(different[next..next + others].iter().all(|&other| distance < other));
            next += others;
        }
        ranks
    }
}

/// The distances of pairs.
fn distances(encoder: &dyn TextureEncoder, pairs: &[(&View, &View)]) -> Result<Vec<f64>, NetworkError> {
    let mut distances = Vec::with_capacity(pairs.len());
    for pairs in pairs.chunks(PAIRS_AT_ONCE) {
        let maps: Vec<UvMap> = pairs.iter().flat_map(|(a, b)| common_maps(a, b)).collect();
        let embeddings = encoder.encode(&maps)?;
        distances.extend(embeddings.as_chunks::<2>().0.iter().map(|[a, b]| distance(a, b)));
    }
    Ok(distances)
}

/// 100 times the squared distance of embeddings divided by 1000 (PHALP's texture distance).
fn distance(a: &[f32], b: &[f32]) -> f64 {
    let square: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    100.0 * square / 1e6
}

/// Two views as maps, cut to the texels of both; the others are 0 in all planes.
fn common_maps(a: &View, b: &View) -> [UvMap; 2] {
    let mut maps = [UvMap::empty(), UvMap::empty()];
    maps.iter_mut().for_each(|map| map.values_mut().fill(0.0));
    for (texel, in_a, in_b) in a.common(b) {
        for (map, color) in maps.iter_mut().zip([a.colors[in_a], b.colors[in_b]]) {
            let values = map.values_mut();
            (0..3).for_each(|plane| values[plane * UV_TEXELS + texel] = color[plane]);
            values[3 * UV_TEXELS + texel] = 1.0;
        }
    }
    maps
}

/// The share of pairs of a value of `low` and one of `high` in which the latter is larger; equal ones count half.
fn area_under_curve(low: &[f64], high: &[f64]) -> f64 {
    let mut sorted = low.to_vec();
    sorted.sort_by(f64::total_cmp);
    let below: f64 = high
        .iter()
        .map(|value| {
            let smaller = sorted.partition_point(|other| other < value);
            let up_to = sorted.partition_point(|other| other <= value);
            0.5 * (smaller + up_to) as f64
        })
        .sum();
    below / (low.len() * high.len()).max(1) as f64
}

/// The value that `share` of the values do not exceed.
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted.get((share * last as f64).round() as usize).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_counts_pairs() {
        assert_eq!(area_under_curve(&[1.0, 2.0], &[3.0, 4.0]), 1.0);
        assert_eq!(area_under_curve(&[3.0, 4.0], &[1.0, 2.0]), 0.0);
        assert_eq!(area_under_curve(&[1.0, 3.0], &[1.0, 2.0]), 0.375);
        assert_eq!((quantile(&[3.0, 1.0, 2.0], 0.5), quantile(&[3.0, 1.0, 2.0], 0.95)), (2.0, 3.0));
    }

    /// Reads the mean of the red plane.
    struct MeanRed;

    impl TextureEncoder for MeanRed {
        fn encode(&self, maps: &[UvMap]) -> Result<Vec<Vec<f32>>, NetworkError> {
            let red = |map: &UvMap| map.values()[..UV_TEXELS].iter().sum::<f32>();
            Ok(maps.iter().map(|map| vec![red(map)]).collect())
        }
    }

    #[test]
    fn people_of_one_color_each_are_told_apart() {
        let view = |red: f32| View { texels: vec![5, 6], colors: vec![[red, 0.0, 0.0]; 2] };
        let person = |red: f32| vec![view(red), view(red + 0.01)];
        let held_out = HeldOut {
            people: vec![person(1.0), person(2.0), person(3.0), person(5.0)],
            dressed_alike: vec![view(1.0), view(2.0), view(3.0), view(5.0)],
            per_place: 2,
        };
        let found = held_out.separation(&MeanRed).unwrap();
        assert_eq!((found.people, found.same_pairs, found.different_pairs), (4, 8, 8));
        assert_eq!((found.auc, found.first_rank), (1.0, 1.0));
        assert!(
            found.different_median > 100.0 * found.same_median && found.alike_median <= found.same_median
        );
    }
}
