//! Remembers the people of lost tracks, which PHALP calls ghosts.
//!
//! In: the rows of one frame after the other. Out: for each frame the rows with which lost tracks were seen last. A track is
//! lost from the first frame without it until the tracker deletes it, `phalp.max_age_track` frames later. Memory is bounded
//! by the tracks of that many frames.

use posebook_notebook::tables::PersonRow;
use std::collections::BTreeMap;

/// The last seen row of each track.
pub struct LostTracks {
    max_age: u64,
    frames: u64,
    /// The row and the number of the frame in which the track was seen.
    seen: BTreeMap<u64, (PersonRow, u64)>,
}

impl LostTracks {
    /// No tracks. Tracks are forgotten after `max_age` frames without them.
    pub fn new(max_age: usize) -> LostTracks {
        LostTracks { max_age: max_age as u64, frames: 0, seen: BTreeMap::new() }
    }

    /// Takes the rows of the next frame.
    pub fn push(&mut self, people: &[PersonRow]) {
        self.frames += 1;
        for row in people {
            if let Some(track) = row.track {
                // an embedding is larger than the rest of the row and is not drawn
                let row = PersonRow { appearance: Vec::new(), ..row.clone() };
                self.seen.insert(track, (row, self.frames));
            }
        }
        let (frames, max_age) = (self.frames, self.max_age);
        self.seen.retain(|_, (_, seen)| frames - *seen <= max_age);
    }

    /// The rows of the tracks that are not in the last frame, by track id.
    pub fn rows(&self) -> impl Iterator<Item = &PersonRow> {
        self.seen.values().filter(|(_, seen)| *seen < self.frames).map(|(row, _)| row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(track: u64, frame: u64) -> PersonRow {
        PersonRow { track: Some(track), frame, appearance: vec![0.5; 8], ..PersonRow::default() }
    }

    #[test]
    fn a_lost_track_is_kept_for_its_greatest_age() {
        let mut lost = LostTracks::new(3);
        let ids = |lost: &LostTracks| lost.rows().map(|row| row.track.unwrap_or(99)).collect::<Vec<_>>();
        lost.push(&[row(4, 0), row(2, 0), PersonRow::default()]);
        assert_eq!(ids(&lost), [0; 0]);
        for _ in 0..3 {
            lost.push(&[row(2, 1)]);
            assert_eq!(ids(&lost), [4]);
        }
        lost.push(&[row(2, 4)]);
        assert_eq!((ids(&lost), lost.seen.len()), (vec![], 1));
        // it is drawn where it was seen last
        lost.push(&[]);
        assert_eq!(lost.rows().map(|row| (row.frame, row.appearance.len())).collect::<Vec<_>>(), [(4, 0)]);
        lost.push(&[row(2, 6)]);
        assert_eq!(ids(&lost), [0; 0]);
    }

    #[test]
    fn memory_is_bounded_by_the_greatest_age() {
        let mut lost = LostTracks::new(10);
        for frame in 0..1000 {
            lost.push(&[row(frame, frame), row(frame + 5000, frame)]);
            assert!(lost.seen.len() <= 22);
        }
        let mut none = LostTracks::new(0);
        none.push(&[row(1, 0)]);
        none.push(&[]);
        assert_eq!(none.rows().count(), 0);
    }
}
