//! Texture maps of tracks: mixing a new texture into a track's (`deep_sort_/track.py`), and the distance of two textures
//! (`PHALP.get_uv_distance`).
//!
//! A distance needs two encodings of 1 MiB maps, which is what the texture cue costs. Callers leave out pairs that cannot
//! be matched; [`uv_distances`] encodes in batches, and encodes a map only once where the other map hides none of it.

use super::features::squared_distance;
use posebook_core::appearance::{EMBEDDING_LENGTH, NetworkError, TextureEncoder, UV_TEXELS, UvMap};
use std::collections::HashMap;

/// Maps that are encoded at once, 1 MiB each.
const BATCH: usize = 8;
/// Encodings are divided by 1000, and the squared distance is multiplied by 100.
const DISTANCE_SCALE: f64 = 100.0 / (1000.0 * 1000.0);

/// A track's texture `old` after a match with the texture `new` of a detection of `score`.
///
/// Where both are visible, the new color has the share `alpha * score^2`; where one is, its color is taken as it is. A
/// texel is visible if either map shows it. The share is computed in f32, as in the reference. Maps are f32, the
/// reference's f64 from the second match on: a difference of at most one rounding per match.
pub fn mix(old: &UvMap, new: &UvMap, alpha: f64, score: f32) -> UvMap {
    let share = alpha as f32 * (score * score);
    let (new_share, old_share) = (f64::from(share), f64::from(1.0 - share));
    let mut mixed = UvMap::empty();
    let (colors, mask) = mixed.values_mut().split_at_mut(3 * UV_TEXELS);
    let planes = old.values().chunks_exact(UV_TEXELS).zip(new.values().chunks_exact(UV_TEXELS));
    for (colors, (old_colors, new_colors)) in colors.chunks_exact_mut(UV_TEXELS).zip(planes) {
        let masks = old.mask().iter().zip(new.mask());
        let texels = old_colors.iter().zip(new_colors).zip(masks);
        for (color, ((&old, &new), (&old_mask, &new_mask))) in colors.iter_mut().zip(texels) {
            let both = (old_share * f64::from(old) + new_share * f64::from(new)) as f32;
            *color = match (old_mask == 1.0, new_mask == 1.0) {
                (true, true) => both,
                (true, false) => old,
                (false, true) => new,
                (false, false) => 0.0,
            };
        }
    }
    for (mask, (&old, &new)) in mask.iter_mut().zip(old.mask().iter().zip(new.mask())) {
        *mask = if old == 1.0 || new == 1.0 { 1.0 } else { -1.0 };
    }
    mixed
}

/// The visible texels of a map, a bit each.
struct Visible {
    bits: Box<[u64]>,
    count: u32,
}

impl Visible {
    fn new(bits: Box<[u64]>) -> Visible {
        let count = bits.iter().map(|word| word.count_ones()).sum();
        Visible { bits, count }
    }

    /// Texels whose mask is above one half. Mixing asks for exactly 1 instead; both are the reference's.
    fn of(map: &UvMap) -> Visible {
        let word = |mask: &[f32]| {
            mask.iter().enumerate().fold(0, |word, (bit, &mask)| word | u64::from(mask > 0.5) << bit)
        };
        Visible::new(map.mask().chunks_exact(64).map(word).collect())
    }

    fn intersection(&self, other: &Visible) -> Visible {
        Visible::new(self.bits.iter().zip(&other.bits).map(|(a, b)| a & b).collect())
    }

    /// `map` with all four planes 0 where it is not visible.
    fn cut(&self, map: &UvMap) -> UvMap {
        let mut cut = map.clone();
        for plane in cut.values_mut().chunks_exact_mut(UV_TEXELS) {
            for (texels, word) in plane.chunks_exact_mut(64).zip(&self.bits) {
                match *word {
                    u64::MAX => {}
                    0 => texels.fill(0.0),
                    word => {
                        for (bit, texel) in texels.iter_mut().enumerate() {
                            *texel = if word >> bit & 1 == 1 { *texel } else { 0.0 };
                        }
                    }
                }
            }
        }
        cut
    }
}

/// One encoding that a distance needs.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Encoding {
    /// A map of which the other hides nothing: the same for all such pairs.
    Whole(Side, usize),
    /// A map cut for one pair.
    Cut(Side, usize),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Side {
    Track,
    Person,
}

/// Distances of pairs of textures: 100 times the squared distance of the encodings divided by 1000, of both maps cut to
/// where both are visible. 0, the best distance, where no texel is visible in both: as in the reference, in which two
/// maps of zeros are compared then.
///
/// `pairs` are indices into `tracks` and `persons`.
///
/// # Errors
/// If the network fails or returns something else than one finite embedding per map.
pub fn uv_distances(
    encoder: &dyn TextureEncoder,
    tracks: &[&UvMap],
    persons: &[&UvMap],
    pairs: &[(usize, usize)],
) -> Result<Vec<f64>, NetworkError> {
    let mut visible: [HashMap<usize, Visible>; 2] = [HashMap::new(), HashMap::new()];
    for &(track, person) in pairs {
        visible[0].entry(track).or_insert_with(|| Visible::of(tracks[track]));
        visible[1].entry(person).or_insert_with(|| Visible::of(persons[person]));
    }
    let mut distances = vec![0.0; pairs.len()];
    let mut whole: HashMap<Encoding, Vec<f32>> = HashMap::new();
    let mut waiting = Vec::new();
    let mut batch = Batch::default();
    for (at, &(track, person)) in pairs.iter().enumerate() {
        let sides = [(Side::Track, track, tracks[track]), (Side::Person, person, persons[person])];
        let own = [&visible[0][&track], &visible[1][&person]];
        let both = own[0].intersection(own[1]);
        if both.count == 0 {
            continue;
        }
        let mut needed = [Encoding::Whole(Side::Track, track), Encoding::Whole(Side::Person, person)];
        for ((needed, (side, _, map)), own) in needed.iter_mut().zip(sides).zip(own) {
            if both.count != own.count {
                *needed = Encoding::Cut(side, at);
            }
            if !whole.contains_key(needed) && !batch.encodings.contains(needed) {
                batch.encodings.push(*needed);
                batch.maps.push(both.cut(map));
            }
        }
        waiting.push((at, needed));
        if batch.maps.len() + 1 >= BATCH {
            batch.finish(encoder, &mut whole, &mut waiting, &mut distances)?;
        }
    }
    batch.finish(encoder, &mut whole, &mut waiting, &mut distances)?;
    Ok(distances)
}

/// Maps that are encoded together.
#[derive(Default)]
struct Batch {
    encodings: Vec<Encoding>,
    maps: Vec<UvMap>,
}

impl Batch {
    /// Encodes the maps, computes the distances of the `waiting` pairs, and keeps the encodings of whole maps.
    fn finish(
        &mut self,
        encoder: &dyn TextureEncoder,
        whole: &mut HashMap<Encoding, Vec<f32>>,
        waiting: &mut Vec<(usize, [Encoding; 2])>,
        distances: &mut [f64],
    ) -> Result<(), NetworkError> {
        if !self.maps.is_empty() {
            let encoded = checked(encoder.encode(&self.maps)?, self.maps.len())?;
            self.maps.clear();
            whole.extend(self.encodings.drain(..).zip(encoded));
        }
        for (at, [track, person]) in waiting.drain(..) {
            distances[at] = DISTANCE_SCALE * squared_distance(&whole[&track], &whole[&person]);
        }
        whole.retain(|encoding, _| matches!(encoding, Encoding::Whole(..)));
        Ok(())
    }
}

/// The encodings, if there are `count` with finite values and of the right length.
fn checked(encoded: Vec<Vec<f32>>, count: usize) -> Result<Vec<Vec<f32>>, NetworkError> {
    let is_right =
        |values: &Vec<f32>| values.len() == EMBEDDING_LENGTH && values.iter().all(|value| value.is_finite());
    if encoded.len() == count && encoded.iter().all(is_right) {
        return Ok(encoded);
    }
    Err(NetworkError {
        message: format!(
            "the texture encoder returned something else than {count} vectors of {EMBEDDING_LENGTH} finite numbers; \
             check its weights"
        ),
        is_out_of_memory: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phalp::testing::{CountingEncoder, uv_map};

    /// Each pair alone, both maps cut.
    fn one_by_one(encoder: &CountingEncoder, track: &UvMap, person: &UvMap) -> f64 {
        let both = Visible::of(track).intersection(&Visible::of(person));
        let encoded = encoder.encode(&[both.cut(track), both.cut(person)]).unwrap();
        DISTANCE_SCALE * squared_distance(&encoded[0], &encoded[1])
    }

    #[test]
    fn batches_give_what_single_pairs_give() {
        // nested masks, so that whole maps recur, and disjoint ones
        let tracks: Vec<UvMap> = (0..5).map(|at| uv_map(at, 0..(1 + at as usize) * 9_000)).collect();
        let persons: Vec<UvMap> =
            (0..6).map(|at| uv_map(10 + at, at as usize * 8_000..20_000 + at as usize * 9_000)).collect();
        let pairs: Vec<(usize, usize)> = (0..5).flat_map(|t| (0..6).map(move |p| (t, p))).collect();
        let (track_refs, person_refs): (Vec<&UvMap>, Vec<&UvMap>) =
            (tracks.iter().collect(), persons.iter().collect());
        let encoder = CountingEncoder::default();
        let distances = uv_distances(&encoder, &track_refs, &person_refs, &pairs).unwrap();
        let encoded = encoder.maps();
        for (&(track, person), distance) in pairs.iter().zip(&distances) {
            assert_eq!(*distance, one_by_one(&encoder, &tracks[track], &persons[person]), "{track} {person}");
        }
        assert!(distances.iter().any(|&distance| distance > 0.0));
        assert!(encoded < 2 * pairs.len() && encoder.largest_batch() <= BATCH, "{encoded}");
        // the last person starts where the first tracks end
        assert_eq!(distances[5], 0.0);
    }

    #[test]
    fn mixing_keeps_what_only_one_map_shows() {
        let (old, new) = (uv_map(1, 0..3_000), uv_map(2, 2_000..5_000));
        let mixed = mix(&old, &new, 0.1, 1.0);
        assert_eq!(mixed.seen_texels(), 5_000);
        assert_eq!(mixed.values()[..2_000], old.values()[..2_000]);
        assert_eq!(mixed.values()[3_000..5_000], new.values()[3_000..5_000]);
        let share = 0.9 * old.values()[2_500] + 0.1 * new.values()[2_500];
        assert!((mixed.values()[2_500] - share).abs() < 1e-7);
        assert_eq!(mixed.values()[6_000], 0.0);
        assert_eq!(mix(&old, &new, 0.0, 1.0).values()[2_500], old.values()[2_500]);
    }

    #[test]
    fn a_broken_encoder_is_an_error() {
        struct Broken(Vec<Vec<f32>>);
        impl TextureEncoder for Broken {
            fn encode(&self, _: &[UvMap]) -> Result<Vec<Vec<f32>>, NetworkError> {
                Ok(self.0.clone())
            }
        }
        let (a, b) = (uv_map(1, 0..9), uv_map(2, 3..30));
        for output in [vec![], vec![vec![0.0; EMBEDDING_LENGTH]], vec![vec![f32::NAN; EMBEDDING_LENGTH]; 2]] {
            assert!(uv_distances(&Broken(output), &[&a], &[&b], &[(0, 0)]).is_err());
        }
    }
}
