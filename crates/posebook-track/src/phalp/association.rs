//! Assigns a frame's people to tracks: by costs (`deep_sort_/linear_assignment.py`) or by the identities of the ground truth
//! (`use_gt` in `deep_sort_/tracker.py`).

use crate::assignment::{Costs, jonker_volgenant};
use posebook_core::person::TrackId;

/// Costs above the threshold are set to the threshold plus this value.
const ABOVE_THRESHOLD: f64 = 1e-5;

/// The assignment of one frame's people to tracks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Association {
    /// Matched tracks with the index of their person, ascending by track. With `use_gt` a track or a person may be in
    /// several matches.
    pub matches: Vec<(TrackId, usize)>,
    /// Tracks without a person.
    pub unmatched_tracks: Vec<TrackId>,
    /// People without a track, in the order in which new tracks are created for them.
    pub unmatched_persons: Vec<usize>,
    /// Tracks deleted in this frame.
    pub deleted: Vec<TrackId>,
}

/// How one frame was associated: what the reference writes into `<video>_<start frame>_distance.pkl` with `use_gt`.
///
/// Tracks are indices into [`AssociationRecord::track_ids`], people indices into the frame's people.
#[derive(Debug, Clone, PartialEq)]
pub struct AssociationRecord {
    /// The frame.
    pub frame_index: usize,
    /// Tracks (rows) x people (columns); those above `hungarian_th` are set to `hungarian_th + 1e-5`. `None` if there was no
    /// track or no person, for which the reference writes 0.
    pub costs: Option<Costs>,
    /// Matched tracks and their people.
    pub matches: Vec<(usize, usize)>,
    /// Tracks without a person.
    pub unmatched_tracks: Vec<usize>,
    /// People without a track.
    pub unmatched_persons: Vec<usize>,
    /// Identity of each track's last match in the ground truth.
    pub track_identities: Vec<Option<u32>>,
    /// Identity of each person in the ground truth.
    pub person_identities: Vec<Option<u32>>,
    /// The tracks before this frame.
    pub track_ids: Vec<TrackId>,
}

/// Tracks and people by index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pairing {
    /// Track and person, ascending by track.
    pub matches: Vec<(usize, usize)>,
    /// Tracks without a person.
    pub free_tracks: Vec<usize>,
    /// People without a track. New tracks are numbered in this order.
    pub free_persons: Vec<usize>,
}

/// `costs` with those above `threshold` made equal.
pub fn clip(costs: &Costs, threshold: f64) -> Costs {
    Costs::from_fn(costs.rows(), costs.columns(), |track, person| {
        let cost = costs.get(track, person);
        if cost > threshold { threshold + ABOVE_THRESHOLD } else { cost }
    })
}

/// Assignment of least total cost; assignments above `threshold` are undone. `clipped` is the result of [`clip`].
///
/// Free people are first those left over by the assignment, then those whose assignment costs more than the threshold, in
/// the order of the tracks.
pub fn pair_by_costs(clipped: &Costs, threshold: f64) -> Pairing {
    let person_of_track = jonker_volgenant(clipped);
    let mut is_left_over = vec![true; clipped.columns()];
    person_of_track.iter().flatten().for_each(|&person| is_left_over[person] = false);
    let mut pairing = Pairing {
        free_persons: (0..clipped.columns()).filter(|&person| is_left_over[person]).collect(),
        ..Pairing::default()
    };
    for (track, person) in person_of_track.into_iter().enumerate() {
        match person {
            Some(person) if clipped.get(track, person) > threshold => pairing.free_persons.push(person),
            Some(person) => pairing.matches.push((track, person)),
            None => {}
        }
    }
    pairing.free_tracks = set_difference(clipped.rows(), &pairing.matches);
    pairing
}

/// Pairs every track with every person of the same identity: all of them, not one to one. No identity equals no identity.
pub fn pair_by_identity(tracks: &[Option<u32>], persons: &[Option<u32>]) -> Pairing {
    let columns = |track: usize| (0..persons.len()).filter(move |&person| persons[person] == tracks[track]);
    Pairing {
        matches: (0..tracks.len())
            .flat_map(|track| columns(track).map(move |person| (track, person)))
            .collect(),
        free_tracks: (0..tracks.len()).filter(|&track| !persons.contains(&tracks[track])).collect(),
        free_persons: (0..persons.len()).filter(|&person| !tracks.contains(&persons[person])).collect(),
    }
}

/// The tracks of `0..count` that are not matched, in the order of CPython's `list(set(range(count)) - matched)`.
///
/// The reference computes them like this, and predicts the poses of all unmatched tracks in one batch at the times of its
/// first track: the order changes predicted poses where there are more than seven tracks. CPython's sets of small integers
/// are hash tables of 8, 32, 128, ... slots in which a number's slot is its remainder (`Objects/setobject.c`, 3.7 and later).
fn set_difference(count: usize, matches: &[(usize, usize)]) -> Vec<usize> {
    let mut is_matched = vec![false; count];
    matches.iter().for_each(|&(track, _)| is_matched[track] = true);
    let rest = (0..count).filter(|&track| !is_matched[track]);
    // where there are few matches CPython copies the whole set, whose table is larger than `count`, and removes them
    if count / 4 > matches.len() {
        return rest.collect();
    }
    let mut table: Vec<Option<usize>> = vec![None; SMALLEST_TABLE];
    for (used, track) in rest.enumerate() {
        insert(&mut table, track);
        let used = used + 1;
        if used * 5 >= (table.len() - 1) * 3 {
            let mut grown = vec![None; (4 * used + 1).next_power_of_two()];
            table.iter().flatten().for_each(|&track| insert(&mut grown, track));
            table = grown;
        }
    }
    table.into_iter().flatten().collect()
}

/// Slots of CPython's smallest set.
const SMALLEST_TABLE: usize = 8;
/// Slots after the first that are tried before the next jump.
const LINEAR_PROBES: usize = 9;
/// Bits by which the hash is shifted at each jump.
const PERTURB_SHIFT: u32 = 5;

/// Puts `number`, which is its own hash, into the slot that CPython chooses.
fn insert(table: &mut [Option<usize>], number: usize) {
    let mask = table.len() - 1;
    let (mut perturb, mut slot) = (number, number & mask);
    loop {
        let last = if slot + LINEAR_PROBES <= mask { slot + LINEAR_PROBES } else { slot };
        if let Some(free) = table[slot..=last].iter_mut().find(|slot| slot.is_none()) {
            *free = Some(number);
            return;
        }
        perturb >>= PERTURB_SHIFT;
        slot = (slot * 5 + 1 + perturb) & mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unmatched_tracks_come_in_pythons_order() {
        let unmatched = |count: usize, rest: &[usize]| {
            let matched = (0..count).filter(|track| !rest.contains(track));
            set_difference(count, &matched.map(|track| (track, 0)).collect::<Vec<_>>())
        };
        assert_eq!(unmatched(5, &[1, 3]), [1, 3]);
        assert_eq!(unmatched(9, &[1, 8]), [8, 1]);
        assert_eq!(unmatched(20, &[0, 8, 16]), [0, 8, 16]);
        assert_eq!(unmatched(12, &[2, 3, 9, 10, 11]), [2, 3, 9, 10, 11]);
        assert_eq!(unmatched(50, &[7, 15, 23, 31, 39]), [39, 7, 15, 23, 31]);
        assert_eq!(unmatched(40, &[1, 33]), [1, 33]);
        let many = [15, 21, 68, 137, 154, 187, 198, 202, 218, 227, 242, 295];
        assert_eq!(unmatched(300, &many), [227, 68, 198, 295, 137, 202, 218, 15, 242, 21, 154, 187]);
    }

    #[test]
    fn equal_identities_are_paired() {
        let pairing = pair_by_identity(&[Some(4), None, Some(9), Some(4)], &[Some(4), Some(7), None, None]);
        assert_eq!(pairing.matches, [(0, 0), (1, 2), (1, 3), (3, 0)]);
        assert_eq!((pairing.free_tracks, pairing.free_persons), (vec![2], vec![1]));
    }
}
