//! Reads OpenPose's points (`BODY_25B`, a JSON file per view and frame) in BlazePose's order, and selects the
//! person that is visible in all views.
//!
//! BODY_25B begins like COCO: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles, left before right;
//! then neck, top of the head, and big toe, small toe and heel of both feet.

use super::{ViewPoints, triangulate};
use crate::dataset::DatasetError;
use posebook_core::landmarks::LANDMARKS;
use posebook_track::metrics::views::Camera;
use serde::Deserialize;
use std::path::Path;

/// BlazePose's and BODY_25B's indices of the points that both have.
const SHARED_POINTS: [(usize, usize); 21] = [
    (0, 0),
    (2, 1),
    (5, 2),
    (7, 3),
    (8, 4),
    (11, 5),
    (12, 6),
    (13, 7),
    (14, 8),
    (15, 9),
    (16, 10),
    (23, 11),
    (24, 12),
    (25, 13),
    (26, 14),
    (27, 15),
    (28, 16),
    (29, 21),
    (30, 24),
    (31, 19),
    (32, 22),
];
/// Values per person: x, y and confidence of 25 points.
const VALUES_PER_PERSON: usize = 75;
/// Points of lower confidence count as not detected.
const MIN_CONFIDENCE: f64 = 0.3;
/// People per view that are considered; their combinations over the views are tried.
const MAX_PEOPLE: usize = 8;
/// Largest number of combinations of people.
const MAX_COMBINATIONS: usize = 4096;

#[derive(Deserialize)]
struct Frame {
    people: Vec<Person>,
}

#[derive(Deserialize)]
struct Person {
    pose_keypoints_2d: Vec<f64>,
}

/// The people of one view in one frame, each as BlazePose's 33 points in pixels; at most eight.
///
/// # Errors
/// If the file cannot be read, has another form, or a person has another number of points.
pub fn read_people(path: &Path) -> Result<Vec<ViewPoints>, DatasetError> {
    let bytes = std::fs::read(path).map_err(|source| DatasetError::io("read the points", path, source))?;
    let frame: Frame = serde_json::from_slice(&bytes)
        .map_err(|error| DatasetError::at_line(path, error.line(), error.to_string()))?;
    let points = |person: &Person| {
        let numbers = &person.pose_keypoints_2d;
        if numbers.len() != VALUES_PER_PERSON {
            let message =
                format!("a person has {} values, but BODY_25B has {VALUES_PER_PERSON}", numbers.len());
            return Err(DatasetError::invalid(path, message));
        }
        let mut points: ViewPoints = vec![None; LANDMARKS];
        for (to, from) in SHARED_POINTS {
            if let Some(&[x, y, confidence]) = numbers.get(3 * from..3 * from + 3) {
                points[to] = Some(([x, y], confidence)).filter(|_| confidence >= MIN_CONFIDENCE);
            }
        }
        Ok(points)
    };
    frame.people.iter().take(MAX_PEOPLE).map(points).collect()
}

/// Selects one person per view such that all views show the same person: the combination with the least
/// reprojection error after triangulation. `people[view][person]`; a view without people gives a person without
/// points.
pub fn choose_people(
    cameras: &[Camera],
    people: &[Vec<ViewPoints>],
    max_residual_px: f64,
) -> Vec<ViewPoints> {
    let counts: Vec<usize> = people.iter().map(|view| view.len().max(1)).collect();
    let combinations = counts.iter().product::<usize>().min(MAX_COMBINATIONS);
    let combination = |number: usize| -> Vec<ViewPoints> {
        let mut rest = number;
        let person = |(view, count): (&Vec<ViewPoints>, &usize)| {
            let index = rest % count;
            rest /= count;
            view.get(index).cloned().unwrap_or_default()
        };
        people.iter().zip(&counts).map(person).collect()
    };
    let cost = |number: &usize| -> f64 {
        let points = triangulate(cameras, &combination(*number), max_residual_px);
        // a view that did not detect a point, or contradicts it, costs as much as the limit
        let of_view =
            |residual: &Option<f64>| residual.map_or(max_residual_px, |px| px.min(max_residual_px)).powi(2);
        let of_point = |index: usize| match points.get(index) {
            Some(Some(point)) => point.residual_px.iter().map(of_view).sum(),
            _ => max_residual_px.powi(2) * people.len() as f64,
        };
        SHARED_POINTS.iter().map(|(index, _)| of_point(*index)).sum()
    };
    let costs = (0..combinations).map(|number| (number, cost(&number)));
    let best = costs.min_by(|a, b| a.1.total_cmp(&b.1));
    combination(best.map_or(0, |(number, _)| number))
}

#[cfg(test)]
mod tests {
    use super::super::MAX_RESIDUAL_PX;
    use super::super::test_cameras::camera_around;
    use super::*;

    #[test]
    fn points_are_reordered_and_uncertain_ones_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let mut numbers: Vec<f64> =
            (0..25).flat_map(|index| [f64::from(index), f64::from(index) + 0.5, 0.7]).collect();
        numbers[3 * 5 + 2] = 0.1;
        let text =
            |numbers: &[f64]| serde_json::json!({ "people": [{ "pose_keypoints_2d": numbers }] }).to_string();
        std::fs::write(&path, text(&numbers)).unwrap();
        let people = read_people(&path).unwrap();
        let [person] = people.as_slice() else { panic!("{people:?}") };
        assert_eq!((person.len(), person[11], person[1]), (33, None, None));
        assert_eq!((person[28], person[32]), (Some(([16.0, 16.5], 0.7)), Some(([22.0, 22.5], 0.7))));
        std::fs::write(&path, text(&numbers[..54])).unwrap();
        assert!(read_people(&path).unwrap_err().to_string().contains("has 54 values"));
        std::fs::write(&path, "{\"people\": [{}]}").unwrap();
        assert!(read_people(&path).is_err() && read_people(&folder.path().join("none")).is_err());
    }

    #[test]
    fn the_person_visible_in_all_views_is_selected() {
        let cameras: Vec<Camera> = [0.1, 1.7, 3.3].map(|angle| camera_around(angle, 4.0)).into();
        let person = |camera: &Camera, offset: f64| -> ViewPoints {
            let at = |index: usize| [0.02 * index as f64 + offset, 0.3, 0.04 * index as f64];
            (0..LANDMARKS).map(|index| Some((camera.project(at(index))?, 0.9))).collect()
        };
        let mut people: Vec<Vec<ViewPoints>> =
            cameras.iter().map(|camera| vec![person(camera, 0.0)]).collect();
        people[0].insert(0, person(&cameras[0], 0.5));
        people[1].push(person(&cameras[1], 1.0));
        let chosen = choose_people(&cameras, &people, MAX_RESIDUAL_PX);
        let right: Vec<ViewPoints> = cameras.iter().map(|camera| person(camera, 0.0)).collect();
        assert_eq!(chosen, right);
        people[2].clear();
        let chosen = choose_people(&cameras, &people, MAX_RESIDUAL_PX);
        assert!(chosen[2].is_empty() && chosen[0] == right[0] && chosen[1] == right[1]);
    }
}
