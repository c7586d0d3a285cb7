//! How alike two ways through the same clip are: boxes, joints and identities, person by person.

use crate::assignment::{Costs, crouse};
use crate::geometry::Vec3;
use crate::person::BBox;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A person that one of the two ways found in a frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Sighting {
    pub bbox: BBox,
    /// `None` where it belongs to no confirmed track.
    pub track_id: Option<u32>,
    /// Joints in the camera, metres; both ways have the same number.
    pub joints: Vec<Vec3>,
}

/// How alike two ways through the same clip are. Differences are `None` where no person was found by both.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Persons that both found.
    pub persons: u64,
    /// Persons that only one of the two found.
    pub persons_only_in_first: u64,
    pub persons_only_in_second: u64,
    /// Differences of a box's four sides, pixels.
    pub box_largest_px: Option<f64>,
    pub box_mean_px: Option<f64>,
    /// Distances of joints, millimetres.
    pub joint_largest_mm: Option<f64>,
    pub joint_mean_mm: Option<f64>,
    /// Of the persons that both found: the share whose two tracks belong together under the best
    /// one-to-one matching of all tracks (no track on either side counts as alike).
    pub identities_alike: Option<f64>,
}

/// Differences as they come in.
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
        // keeps a NaN, which f64::max would lose
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

/// Compares two ways frame by frame; what it holds grows with the number of tracks, not of frames.
#[derive(Debug, Clone, Default)]
pub struct Comparison {
    agreement: Agreement,
    boxes: Differences,
    joints: Differences,
    /// How often a pair of tracks was the same person.
    together: BTreeMap<(u32, u32), u64>,
    both_untracked: u64,
}

impl Comparison {
    /// Adds a frame. Persons of the two sides are paired by the largest total overlap of their boxes.
    pub fn add(&mut self, first: &[Sighting], second: &[Sighting]) {
        let costs = Costs::from_fn(first.len(), second.len(), |row, column| {
            -f64::from(first[row].bbox.iou(&second[column].bbox))
        });
        let mut found = 0;
        for (row, column) in crouse(&costs).into_iter().enumerate() {
            let Some(column) = column.filter(|&column| costs.at(row, column) < 0.0) else { continue };
            found += 1;
            self.pair(&first[row], &second[column]);
        }
        self.agreement.persons += found;
        self.agreement.persons_only_in_first += first.len() as u64 - found;
        self.agreement.persons_only_in_second += second.len() as u64 - found;
    }

    fn pair(&mut self, first: &Sighting, second: &Sighting) {
        let sides = |of: &BBox| [of.x1, of.y1, of.x2, of.y2].map(f64::from);
        for (a, b) in sides(&first.bbox).into_iter().zip(sides(&second.bbox)) {
            self.boxes.add((a - b).abs());
        }
        for (a, b) in first.joints.iter().zip(&second.joints) {
            let squares = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
            self.joints.add(1000.0 * squares.sum::<f64>().sqrt());
        }
        match (first.track_id, second.track_id) {
            (Some(a), Some(b)) => *self.together.entry((a, b)).or_default() += 1,
            (None, None) => self.both_untracked += 1,
            _ => {}
        }
    }

    pub fn finish(self) -> Agreement {
        let persons = self.agreement.persons;
        let alike = self.both_untracked + most_together(&self.together);
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

/// Sightings that agree under the best one-to-one matching of tracks.
fn most_together(together: &BTreeMap<(u32, u32), u64>) -> u64 {
    let sorted = |mut ids: Vec<u32>| {
        ids.sort_unstable();
        ids.dedup();
        ids
    };
    let rows = sorted(together.keys().map(|pair| pair.0).collect());
    let columns = sorted(together.keys().map(|pair| pair.1).collect());
    let count = |row: usize, column: usize| together.get(&(rows[row], columns[column])).copied().unwrap_or(0);
    let costs = Costs::from_fn(rows.len(), columns.len(), |row, column| -(count(row, column) as f64));
    let pairs = crouse(&costs).into_iter().enumerate();
    pairs.filter_map(|(row, column)| Some(count(row, column?))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(x: f32, track_id: Option<u32>) -> Sighting {
        let bbox = BBox { x1: x, y1: 0.0, x2: x + 40.0, y2: 100.0 };
        Sighting { bbox, track_id, joints: vec![[x / 100.0, 0.0, 3.0]; 2] }
    }

    #[test]
    fn the_same_twice_agrees_in_all() {
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
    fn names_do_not_matter_but_switches_do() {
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
    fn who_was_found_by_one_only_is_counted() {
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
