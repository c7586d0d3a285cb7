//! Entries of lost tracks, and the order of people, as PHALP's recording leaves them.

use crate::frames::{ExportFrame, ExportPerson};

/// Adds to each frame the confirmed tracks that were not seen in it: their last seen entry, with the number of frames
/// since, until they are deleted. Holds one entry per living track.
///
/// The order is PHALP's: confirmed tracks by birth, then those that a later frame confirmed (they are written back, and
/// appended).
pub struct Ghosts {
    n_init: u32,
    max_age_track: u32,
    /// By birth; of one frame by id.
    tracks: Vec<Track>,
}

struct Track {
    last: ExportPerson,
    hits: u32,
    frames_since: u32,
}

impl Ghosts {
    /// For a tracker that confirms after `n_init` matches and deletes after more than `max_age_track` frames without one.
    pub fn new(n_init: u32, max_age_track: u32) -> Ghosts {
        Ghosts { n_init, max_age_track, tracks: Vec::new() }
    }

    /// The frame with its lost tracks, in PHALP's order. Frames come in order; people of `frame` that were not seen in it are
    /// dropped first.
    pub fn fill(&mut self, mut frame: ExportFrame) -> ExportFrame {
        let mut seen = std::mem::take(&mut frame.people);
        seen.retain(|person| person.tracked_time == 0);
        seen.sort_by_key(|person| person.id);
        for track in &mut self.tracks {
            track.frames_since += 1;
        }
        for person in seen {
            match self.tracks.iter_mut().find(|track| track.last.id == person.id) {
                Some(track) => {
                    *track = Track { last: person, hits: track.hits.saturating_add(1), frames_since: 0 }
                }
                None => self.tracks.push(Track { last: person, hits: 1, frames_since: 0 }),
            }
        }
        self.tracks.retain(|track| track.frames_since <= self.max_age_track);
        let is_confirmed = |track: &&Track| track.hits >= self.n_init || track.frames_since > 0;
        let entry =
            |track: &Track| ExportPerson { tracked_time: track.frames_since.into(), ..track.last.clone() };
        frame.people.extend(self.tracks.iter().filter(is_confirmed).map(entry));
        frame.people.extend(self.tracks.iter().filter(|track| !is_confirmed(track)).map(entry));
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::tests::frame;

    /// Ids and ages of each frame, given the ids that were seen.
    fn filled(n_init: u32, max_age: u32, seen: &[&[u64]]) -> Vec<Vec<(u64, i64)>> {
        let mut ghosts = Ghosts::new(n_init, max_age);
        let frames = seen.iter().enumerate().map(|(number, ids)| frame(number as u64, ids));
        let people =
            |frame: ExportFrame| frame.people.iter().map(|person| (person.id, person.tracked_time)).collect();
        frames.map(|frame| people(ghosts.fill(frame))).collect()
    }

    /// The original's run `4d_default`: two tracks, the second is not seen from frame 9 on.
    #[test]
    fn a_lost_track_repeats_its_last_entry() {
        let seen: Vec<&[u64]> = (0..16).map(|number| if number < 9 { &[1, 2][..] } else { &[1] }).collect();
        let frames = filled(5, 24, &seen);
        for (number, people) in frames.iter().enumerate() {
            assert_eq!(people[..], [(1, 0), (2, (number as i64 - 8).max(0))]);
        }
    }

    #[test]
    fn a_lost_track_ends_after_its_maximum_age_and_may_be_seen_before() {
        let frames = filled(1, 2, &[&[1], &[], &[1], &[], &[], &[], &[]]);
        let ages: Vec<Vec<i64>> =
            frames.iter().map(|people| people.iter().map(|person| person.1).collect()).collect();
        assert_eq!(ages, [vec![0], vec![1], vec![0], vec![1], vec![2], vec![], vec![]]);
    }

    /// Track 3 is older than track 2 and confirmed later than 1: in its first frames it was appended.
    #[test]
    fn tracks_confirmed_later_are_appended() {
        let frames = filled(3, 9, &[&[5], &[5, 7], &[5, 7], &[5, 7, 8], &[7, 8], &[8, 7]]);
        let ids: Vec<Vec<u64>> =
            frames.iter().map(|people| people.iter().map(|person| person.0).collect()).collect();
        assert_eq!(ids, [vec![5], vec![5, 7], vec![5, 7], vec![5, 7, 8], vec![5, 7, 8], vec![5, 7, 8]]);
        // frame 4: 5 is a ghost and confirmed, 7 confirmed, 8 not yet
        assert_eq!(frames[4], [(5, 1), (7, 0), (8, 0)]);
    }
}
