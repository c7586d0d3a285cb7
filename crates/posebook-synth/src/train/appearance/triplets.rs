//! Triplets: two views of one person and one view of another person of the same place.
//!
//! In: views; out: for each triplet four maps, `(4T, 4, S, S)`: the first view against the second, the second against the first,
//! the first against the other person, the other person against the first. Maps that are compared are cut to the texels seen in
//! both, as PHALP's texture distance cuts them (colors and mask become 0), or they are whole (mask -1 where nothing was seen).
//! A part of the map is enough, because the network is convolutional.

use super::AppearanceSettings;
use super::views::View;
use candle_core::{Device, Result, Tensor};
use posebook_core::appearance::UV_SIDE;
use posebook_core::random::RandomStream;

/// Fewest texels that both comparisons of a triplet have in its part of the map, per 128 x 128 texels.
const LEAST_COMMON: usize = 500;
/// Attempts to find a part with enough texels.
const ATTEMPTS: usize = 40;

/// A part of the map.
#[derive(Debug, Clone, Copy)]
struct Patch {
    row: usize,
    column: usize,
    side: usize,
}

impl Patch {
    /// Position of a texel in the patch.
    fn position(&self, texel: usize) -> Option<usize> {
        let (row, column) =
            ((texel / UV_SIDE).checked_sub(self.row)?, (texel % UV_SIDE).checked_sub(self.column)?);
        (row < self.side && column < self.side).then_some(row * self.side + column)
    }

    fn common_texels(&self, a: &View, b: &View) -> usize {
        a.common(b).filter(|(texel, ..)| self.position(*texel).is_some()).count()
    }
}

/// Chooses triplets and gathers their maps; `people` are the views of each person, those of a place in a row.
///
/// # Errors
/// If memory cannot be allocated.
pub fn sample_triplets(
    settings: &AppearanceSettings,
    people: &[Vec<View>],
    draws: &mut RandomStream,
) -> Result<Tensor> {
    let learning = &settings.learning;
    let side = learning.patch;
    let map_length = 4 * side * side;
    let mut maps = vec![0.0f32; 4 * learning.triplets * map_length];
    for maps in maps.chunks_exact_mut(4 * map_length) {
        let (views, patch) = sample_triplet(settings, people, draws);
        let is_cut = draws.bernoulli(learning.cut);
        let order = random_order(draws);
        let [first, second, other] = views;
        let (same, different) = maps.split_at_mut(2 * map_length);
        for (maps, other) in [(same, second), (different, other)] {
            let (mine, theirs) = maps.split_at_mut(map_length);
            match is_cut {
                true => write_common(mine, theirs, first, other, patch, order),
                false => {
                    write_whole(mine, first, patch, order);
                    write_whole(theirs, other, patch, order);
                }
            }
        }
    }
    Tensor::from_vec(maps, (4 * learning.triplets, 4, side, side), &Device::Cpu)
}

/// Two views of one person, one of another person of the same place, and a part of the map that they share.
fn sample_triplet<'a>(
    settings: &AppearanceSettings,
    people: &'a [Vec<View>],
    draws: &mut RandomStream,
) -> ([&'a View; 3], Patch) {
    let side = settings.learning.patch;
    let least = LEAST_COMMON * side * side / (128 * 128);
    let per_place = settings.views.people_per_place;
    let mut attempt = 0;
    loop {
        attempt += 1;
        let person = draws.below(people.len());
        let place = person / per_place * per_place;
        let in_place = per_place.min(people.len() - place);
        // one of the others
        let other = place + (person - place + 1 + draws.below((in_place - 1).max(1))) % in_place;
        let views = &people[person];
        let first = draws.below(views.len());
        let second = (first + 1 + draws.below(views.len() - 1)) % views.len();
        let chosen = [&views[first], &views[second], &people[other][draws.below(people[other].len())]];
        let steps = (UV_SIDE - side) / 16 + 1;
        let patch = Patch { row: 16 * draws.below(steps), column: 16 * draws.below(steps), side };
        let [a, b, c] = chosen;
        let is_enough =
            other != person && patch.common_texels(a, b) >= least && patch.common_texels(a, c) >= least;
        if is_enough || attempt == ATTEMPTS {
            return (chosen, patch);
        }
    }
}

/// A random permutation of the color channels. Permuting the channels of a drawn person gives clothes of other hues, which
/// augments the training data.
fn random_order(draws: &mut RandomStream) -> [usize; 3] {
    let mut order = [0, 1, 2];
    order.swap(0, draws.below(3));
    order.swap(1, 1 + draws.below(2));
    order
}

/// Writes two views, cut to the texels of both. Other texels stay 0.
fn write_common(mine: &mut [f32], theirs: &mut [f32], a: &View, b: &View, patch: Patch, order: [usize; 3]) {
    let plane = patch.side * patch.side;
    for (texel, in_a, in_b) in a.common(b) {
        let Some(position) = patch.position(texel) else { continue };
        for (map, color) in [(&mut *mine, a.colors[in_a]), (&mut *theirs, b.colors[in_b])] {
            order.iter().enumerate().for_each(|(to, &from)| map[to * plane + position] = color[from]);
            map[3 * plane + position] = 1.0;
        }
    }
}

/// Writes a whole view.
fn write_whole(map: &mut [f32], view: &View, patch: Patch, order: [usize; 3]) {
    let plane = patch.side * patch.side;
    map[3 * plane..].fill(-1.0);
    for (&texel, color) in view.texels.iter().zip(&view.colors) {
        let Some(position) = patch.position(usize::from(texel)) else { continue };
        order.iter().enumerate().for_each(|(to, &from)| map[to * plane + position] = color[from]);
        map[3 * plane + position] = 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compared_maps_have_the_same_mask() {
        let view = |texels: &[u16], value: f32| View {
            texels: texels.to_vec(),
            colors: vec![[value, 0.0, -value]; texels.len()],
        };
        let patch = Patch { row: 0, column: 16, side: 16 };
        let (mut mine, mut theirs) = (vec![0.0; 1024], vec![0.0; 1024]);
        let (a, b) = (view(&[3, 17, 18, 300], 0.5), view(&[3, 18, 19], 0.25));
        write_common(&mut mine, &mut theirs, &a, &b, patch, [2, 1, 0]);
        let ones = |map: &[f32]| map.iter().filter(|&&value| value != 0.0).count();
        assert_eq!((ones(&mine), ones(&theirs)), (3, 3));
        assert_eq!((mine[2], mine[512 + 2], mine[768 + 2]), (-0.5, 0.5, 1.0));
        assert_eq!((theirs[2], theirs[512 + 2], theirs[768 + 2]), (-0.25, 0.25, 1.0));
        let mut whole = vec![0.0; 1024];
        write_whole(&mut whole, &a, patch, [0, 1, 2]);
        assert_eq!(whole[768..].iter().filter(|&&mask| mask == 1.0).count(), 2);
        assert_eq!(whole[768..].iter().filter(|&&mask| mask == -1.0).count(), 254);
    }

    #[test]
    fn an_order_is_a_permutation() {
        let mut draws = posebook_core::random::stream(1, "test", &[]);
        let mut found = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let mut order = random_order(&mut draws);
            found.insert(order);
            order.sort_unstable();
            assert_eq!(order, [0, 1, 2]);
        }
        assert_eq!(found.len(), 6);
    }
}
