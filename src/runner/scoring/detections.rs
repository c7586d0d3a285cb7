//! Scores detections against the boxes of the ground truth, by the height of the people.
//!
//! Input: the boxes of each frame. Output: how many people of which height were detected, and how many detections match no
//! person. Unlike the scores of tracks these numbers do not depend on the tracker.

use posebook_core::person::BBox;
use posebook_notebook::tables::metrics::DetectionAccuracy;

/// Least IoU of a detection with the person that it finds, as in COCO's AP50 and the scores of tracks.
const MATCH_IOU: f32 = 0.5;
/// Limits between the classes of heights, pixels.
const HEIGHTS: [f32; 3] = [50.0, 100.0, 200.0];

/// The counts so far.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DetectionCounts {
    classes: [HeightClass; HEIGHTS.len() + 1],
    false_detections: u64,
}

/// People of a class of heights.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct HeightClass {
    people: u64,
    found: u64,
}

impl DetectionCounts {
    /// Adds a frame: the people's boxes, boxes that need not be detected, and the detections with their scores. Detections are
    /// matched in the order of their scores, each with the free person whose box overlaps it most, as COCO does. One that
    /// matches nobody is false, unless it overlaps a box that need not be detected.
    pub fn add_frame(&mut self, people: &[BBox], ignored: &[BBox], detections: &[(BBox, f32)]) {
        let mut order: Vec<usize> = (0..detections.len()).collect();
        order.sort_by(|&a, &b| detections[b].1.total_cmp(&detections[a].1).then(a.cmp(&b)));
        let mut is_found = vec![false; people.len()];
        for index in order {
            let bbox = &detections[index].0;
            let free = (0..people.len()).filter(|&person| !is_found[person]);
            let overlaps = free.map(|person| (person, people[person].iou(bbox)));
            match overlaps.filter(|(_, iou)| *iou >= MATCH_IOU).max_by(|a, b| a.1.total_cmp(&b.1)) {
                Some((person, _)) => is_found[person] = true,
                None if ignored.iter().any(|ignored| ignored.iou(bbox) >= MATCH_IOU) => (),
                None => self.false_detections += 1,
            }
        }
        for (person, is_found) in people.iter().zip(is_found) {
            let class = HEIGHTS.partition_point(|&limit| limit <= person.height());
            self.classes[class].people += 1;
            self.classes[class].found += u64::from(is_found);
        }
    }

    /// The columns.
    pub fn columns(&self) -> DetectionAccuracy {
        let [under_50, to_100, to_200, over_200] = self.classes;
        DetectionAccuracy {
            truth_under_50: Some(under_50.people),
            found_under_50: Some(under_50.found),
            truth_50_to_100: Some(to_100.people),
            found_50_to_100: Some(to_100.found),
            truth_100_to_200: Some(to_200.people),
            found_100_to_200: Some(to_200.found),
            truth_over_200: Some(over_200.people),
            found_over_200: Some(over_200.found),
            false_detections: Some(self.false_detections),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bbox(x: f32, height: f32) -> BBox {
        BBox { x1: x, y1: 0.0, x2: x + 40.0, y2: height }
    }

    #[test]
    fn people_are_counted_by_height_and_each_is_found_once() {
        let people =
            [bbox(0.0, 49.9), bbox(100.0, 50.0), bbox(200.0, 99.0), bbox(300.0, 100.0), bbox(400.0, 200.0)];
        let detections = [
            (bbox(0.0, 49.0), 0.4),
            (bbox(101.0, 52.0), 0.9),
            // the same person again, and one whose IoU is below a half
            (bbox(102.0, 52.0), 0.3),
            (bbox(220.0, 99.0), 0.8),
            (bbox(400.0, 210.0), 0.2),
        ];
        let mut counts = DetectionCounts::default();
        counts.add_frame(&people, &[], &detections);
        let found = DetectionAccuracy {
            truth_under_50: Some(1),
            found_under_50: Some(1),
            truth_50_to_100: Some(2),
            found_50_to_100: Some(1),
            truth_100_to_200: Some(1),
            found_100_to_200: Some(0),
            truth_over_200: Some(1),
            found_over_200: Some(1),
            false_detections: Some(2),
        };
        assert_eq!(counts.columns(), found);
        // two frames count twice; a detection on an ignored box is neither right nor wrong
        counts.add_frame(&people, &[bbox(220.0, 99.0)], &detections);
        assert_eq!(counts.false_detections, 3);
        assert_eq!(counts.classes[1], HeightClass { people: 4, found: 2 });
        counts.add_frame(&[], &[], &[]);
        assert_eq!(counts.false_detections, 3);
    }

    #[test]
    fn the_better_detection_takes_the_person_it_overlaps_most() {
        let people = [bbox(0.0, 100.0), bbox(12.0, 100.0)];
        // both overlap both people; the second has the higher score and is nearer to the second person
        let detections = [(bbox(4.0, 100.0), 0.5), (bbox(10.0, 100.0), 0.6)];
        let mut counts = DetectionCounts::default();
        counts.add_frame(&people, &[], &detections);
        assert_eq!((counts.classes[2].found, counts.false_detections), (2, 0));
    }
}
