//! Agreement of two runs on the same clip: differences of boxes, joints and identities, person by person.

use crate::assignment::{Costs, crouse};
use posebook_core::geometry::Vec3;
use posebook_core::person::BBox;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A person detected by one of the two runs in a frame.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackedPerson {
    /// Pixels.
    pub bbox: BBox,
    /// `None` if the person belongs to no confirmed track.
    pub track_id: Option<u64>,
    /// Joints in camera axes, meters; both runs have the same number.
    pub joints: Vec<Vec3>,
}

/// Agreement of two runs on the same clip. Differences are `None` where no person was detected by both.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// People matched between both runs.
    pub persons: u64,
    /// People of the first run without a match in the second.
    pub persons_only_in_first: u64,
    /// People of the second run without a match in the first.
    pub persons_only_in_second: u64,
    /// Largest difference of a box edge, pixels.
    pub box_largest_px: Option<f64>,
    /// Mean difference of a box edge, pixels.
    pub box_mean_px: Option<f64>,
    /// Largest distance of a joint, millimeters.
    pub joint_largest_mm: Option<f64>,
    /// Mean distance of a joint, millimeters.
    pub joint_mean_mm: Option<f64>,
    /// Of the matched people: the share whose two tracks correspond under the best one-to-one assignment of all
    /// tracks (two people without tracks count as corresponding).
    pub identities_alike: Option<f64>,
}

/// Running statistics of differences.
#[derive(Debug, Clone, Default)]
struct Differences {
    count: u64,
    sum: f64,
    largest: f64,
}

impl Differences {
    fn add(&mut self, difference: f64) {
        self.count += 1;
        self.sum += difference;
        // keep a NaN, which f64::max would discard
        if difference > self.largest || difference.is_nan() {
            self.largest = difference;
        }
    }

    fn largest(&self) -> Option<f64> {
        (self.count > 0).then_some(self.largest)
    }

    fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

/// Compares two runs frame by frame; memory grows with the number of tracks, not of frames.
#[derive(Debug, Clone, Default)]
pub struct Comparison {
    agreement: Agreement,
    boxes: Differences,
    joints: Differences,
    /// How many matched people each pair of tracks has in common.
    common: BTreeMap<(u64, u64), u64>,
    both_untracked: u64,
}

impl Comparison {
    /// Adds a frame. People of the two runs are matched by the largest total IoU of their boxes.
    pub fn add(&mut self, first: &[TrackedPerson], second: &[TrackedPerson]) {
        let costs = Costs::from_fn(first.len(), second.len(), |row, column| {
            -f64::from(first[row].bbox.iou(&second[column].bbox))
        });
        let mut matched = 0;
        for (row, column) in crouse(&costs).into_iter().enumerate() {
            let Some(column) = column.filter(|&column| costs.get(row, column) < 0.0) else { continue };
            matched += 1;
            self.pair(&first[row], &second[column]);
        }
        self.agreement.persons += matched;
        self.agreement.persons_only_in_first += first.len() as u64 - matched;
        self.agreement.persons_only_in_second += second.len() as u64 - matched;
    }

    fn pair(&mut self, first: &TrackedPerson, second: &TrackedPerson) {
        let sides = |of: &BBox| [of.x1, of.y1, of.x2, of.y2].map(f64::from);
        for (a, b) in sides(&first.bbox).into_iter().zip(sides(&second.bbox)) {
            self.boxes.add((a - b).abs());
        }
        for (a, b) in first.joints.iter().zip(&second.joints) {
            let squares = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
            self.joints.add(1000.0 * squares.sum::<f64>().sqrt());
        }
        match (first.track_id, second.track_id) {
            (Some(a), Some(b)) => *self.common.entry((a, b)).or_default() += 1,
            (None, None) => self.both_untracked += 1,
            _ => {}
        }
    }

    /// The agreement over all frames.
    pub fn finish(self) -> Agreement {
        let persons = self.agreement.persons;
        let alike = self.both_untracked + corresponding(&self.common);
        Agreement {
            box_largest_px: self.boxes.largest(),
            box_mean_px: self.boxes.mean(),
            joint_largest_mm: self.joints.largest(),
            joint_mean_mm: self.joints.mean(),
            identities_alike: (persons > 0).then(|| alike as f64 / persons as f64),
            ..self.agreement
        }
    }
}

/// Matched people whose tracks correspond under the best one-to-one assignment of tracks.
fn corresponding(common: &BTreeMap<(u64, u64), u64>) -> u64 {
    let sorted = |mut ids: Vec<u64>| {
        ids.sort_unstable();
        ids.dedup();
        ids
    };
    let rows = sorted(common.keys().map(|pair| pair.0).collect());
    let columns = sorted(common.keys().map(|pair| pair.1).collect());
    let count = |row: usize, column: usize| common.get(&(rows[row], columns[column])).copied().unwrap_or(0);
    let costs = Costs::from_fn(rows.len(), columns.len(), |row, column| -(count(row, column) as f64));
    let pairs = crouse(&costs).into_iter().enumerate();
    pairs.filter_map(|(row, column)| Some(count(row, column?))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(x: f32, track_id: Option<u64>) -> TrackedPerson {
        let bbox = BBox { x1: x, y1: 0.0, x2: x + 40.0, y2: 100.0 };
        TrackedPerson { bbox, track_id, joints: vec![[x / 100.0, 0.0, 3.0]; 2] }
    }

    #[test]
    fn a_run_agrees_with_itself_completely() {
        let mut comparison = Comparison::default();
        for frame in 0..3 {
            let here = [person(frame as f32, Some(1)), person(200.0, Some(2)), person(400.0, None)];
            comparison.add(&here, &here);
        }
        let agreement = comparison.finish();
        assert_eq!(
            (agreement.persons, agreement.box_largest_px, agreement.joint_largest_mm),
            (9, Some(0.0), Some(0.0))
        );
        assert_eq!(agreement.identities_alike, Some(1.0));
    }

    #[test]
    fn track_numbers_do_not_matter_but_switches_do() {
        let mut comparison = Comparison::default();
        for frame in 0..4 {
            let first = [person(0.0, Some(1)), person(200.0, Some(2))];
            let other = if frame < 3 { (9, 5) } else { (5, 9) };
            let second = [person(201.0, Some(other.0)), person(0.0, Some(other.1))];
            comparison.add(&first, &second);
        }
        let agreement = comparison.finish();
        assert_eq!(agreement.identities_alike, Some(0.75));
        assert_eq!((agreement.box_largest_px, agreement.box_mean_px), (Some(1.0), Some(0.25)));
        assert!((agreement.joint_largest_mm.unwrap() - 10.0).abs() < 1e-3);
    }

    #[test]
    fn unmatched_people_are_counted() {
        let mut comparison = Comparison::default();
        comparison.add(&[person(0.0, None)], &[person(500.0, None), person(900.0, None)]);
        let agreement = comparison.finish();
        assert_eq!(
            (agreement.persons, agreement.persons_only_in_first, agreement.persons_only_in_second),
            (0, 1, 2)
        );
        assert_eq!((agreement.box_mean_px, agreement.identities_alike), (None, None));
    }
}
