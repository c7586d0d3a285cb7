//! PHALP's golden 3: distances and costs. Texture distances are taken as recorded.

use super::{DEPTH_K, Worst, json, matrix, numbers, uniform};
use crate::formula::{fill, fill_f64};
use crate::sets::sets;
use posebook_track::phalp::{
    CostEquation, CostTerms, Cues, Location, Observation, POSE_LENGTH, Pose, Prediction,
};
use serde_json::Value;

/// The tracks and detections of `pdist_inputs`, with the appearance vectors of both.
pub struct Distances {
    tracks: Vec<(Prediction, Vec<f32>)>,
    detections: Vec<(Observation, Vec<f32>)>,
}

fn pose_of(name: &str, index: usize) -> Pose {
    let pose = fill(&format!("{name}/pose"), POSE_LENGTH, &[0.0], 0.06 + 0.02 * index as f64);
    Pose::from(<[f32; POSE_LENGTH]>::try_from(pose).unwrap())
}

impl Distances {
    pub fn of(set: &str) -> Distances {
        let place = |name: &str, x: f64, z: f64| {
            let joints = fill_f64(&format!("{name}/joints"), 90, &[x, 0.5], 0.05);
            let (x, y) = (joints[88], joints[89]);
            let in_camera = [(x - 0.5) * z / DEPTH_K, (y - 0.5) * z / DEPTH_K, z].map(|value| value as f32);
            Location { in_square: [x as f32, y as f32], in_camera }
        };
        let appearance_vector = |name: &str| fill(&format!("{name}/appe"), 4096, &[30.0], 30.0);
        let tracks = (0..3).map(|index| {
            let name = format!("{set}/pdist/t{index}");
            let place = place(&name, 0.3 + 0.2 * index as f64, 25.0 + 5.0 * index as f64);
            let wide = uniform(&format!("{name}/pi"), 3, 0);
            let interval =
                [0.02 + 0.05 * wide[0], 0.02 + 0.05 * wide[1], 1.0 + 0.3 * wide[2]].map(|x| x as f32);
            let pose = pose_of(&name, index);
            let prediction = Prediction { pose, location: place, interval, texture: None, embedding: None };
            (prediction, appearance_vector(&name))
        });
        let detections = (0..4).map(|index| {
            let name = format!("{set}/pdist/d{index}");
            let place = place(&name, 0.28 + 0.16 * index as f64, 24.0 + 4.0 * index as f64);
            let pose = pose_of(&name, index);
            (Observation::at(0, pose, place), appearance_vector(&name))
        });
        Distances { tracks: tracks.collect(), detections: detections.collect() }
    }

    pub fn terms(&self, texture: &dyn Fn(usize, usize) -> f64) -> Vec<Vec<CostTerms>> {
        let row = |track: usize| {
            let columns = self.detections.iter().enumerate();
            let terms = columns.map(|(detection, (observation, _))| CostTerms {
                texture: texture(track, detection),
                ..CostTerms::between(&self.tracks[track].0, observation, Cues::default())
            });
            terms.collect()
        };
        (0..self.tracks.len()).map(row).collect()
    }

    /// Squared distance of the appearance vectors divided by 1000.
    fn appearance(&self, track: usize, detection: usize) -> f64 {
        let pairs = self.tracks[track].1.iter().zip(&self.detections[detection].1);
        pairs.map(|(a, b)| ((f64::from(*a) - f64::from(*b)) / 1000.0).powi(2)).sum()
    }
}

pub fn check_matrix(what: &str, got: &[Vec<f64>], want: &Value, allowed: impl Fn(f64) -> f64) {
    let mut worst = Worst::default();
    for (row, want) in matrix(want).iter().enumerate() {
        for (column, &want) in want.iter().enumerate() {
            worst.check(&format!("{what}[{row}][{column}]"), got[row][column], want, allowed(want));
        }
    }
    worst.report(what);
}

fn costs(terms: &[Vec<CostTerms>], equation: CostEquation, shot: bool) -> Vec<Vec<f64>> {
    terms.iter().map(|row| row.iter().map(|terms| equation.cost(terms, shot)).collect()).collect()
}

#[test]
fn distances_and_costs() {
    for set in sets("phalp") {
        let golden = &json(&set, "g1_6.json")["pdist"];
        let distances = Distances::of(&set.name);
        let texture = matrix(&golden["A0"]);
        let terms = distances.terms(&|track, detection| texture[track][detection]);
        let read = |term: fn(&CostTerms) -> f64| -> Vec<Vec<f64>> {
            terms.iter().map(|row| row.iter().map(term).collect()).collect()
        };
        let name = |what: &str| format!("{}/pdist {what}", set.name);
        check_matrix(&name("pose_distance"), &read(|of| of.pose), &golden["pose_distance"], |_| 5e-5);
        check_matrix(&name("P0"), &read(|of| of.pose), &golden["P0"], |_| 5e-5);
        check_matrix(&name("L0"), &read(|of| of.location), &golden["L0"], |_| 5e-4);
        check_matrix(&name("LC"), &read(|of| of.location_interval), &golden["LC"], |_| 1e-6);
        check_matrix(&name("N0"), &read(|of| of.depth), &golden["N0"], |_| 1e-6);
        check_matrix(&name("NC"), &read(|of| of.depth_interval), &golden["NC"], |_| 1e-6);

        let tolerance = |want: f64| 2e-2 * want;
        let eq_019 = costs(&terms, CostEquation::Eq019, false);
        check_matrix(&name("EQ_019"), &eq_019, &golden["EQ_019"], tolerance);
        check_matrix(&name("EQ_019, 3 rows"), &eq_019, &golden["EQ_019_pdist_3rows"], tolerance);
        check_matrix(
            &name("EQ_019 shot"),
            &costs(&terms, CostEquation::Eq019, true),
            &golden["EQ_019_shot1"],
            tolerance,
        );
        check_matrix(
            &name("EQ_010"),
            &costs(&terms, CostEquation::Eq010, false),
            &golden["EQ_010"],
            tolerance,
        );
        // without texture: the reference's cost divided by its texture factor
        let bare = costs(&distances.terms(&|_, _| 0.0), CostEquation::Eq019, false);
        for (row, want) in matrix(&golden["EQ_019"]).iter().enumerate() {
            for (column, want) in want.iter().enumerate() {
                let want = want / (1.0 + 4.0536 * texture[row][column]);
                assert!((bare[row][column] - want).abs() <= tolerance(want), "{} {row} {column}", set.name);
            }
        }
        let appearance_vector = distances.terms(&|track, detection| distances.appearance(track, detection));
        let eq_010_shot = costs(&appearance_vector, CostEquation::Eq010, true);
        check_matrix(&name("EQ_010 shot"), &eq_010_shot, &golden["EQ_010_shot1"], tolerance);
        check_matrix(
            &name("EQ_019 APL"),
            &costs(&appearance_vector, CostEquation::Eq019, false),
            &golden["EQ_019_predict_APL"],
            tolerance,
        );
        for (column, want) in numbers(&golden["EQ_019_min_over_3_samples"]).into_iter().enumerate() {
            let least = eq_019.iter().map(|row| row[column]).fold(f64::INFINITY, f64::min);
            assert!((least - want).abs() <= tolerance(want));
        }
    }
}

/// A golden's name and the change of its inputs.
type Case = (&'static str, fn(&mut Distances));

#[test]
fn costs_of_nan_and_infinite_inputs() {
    let cases: [Case; 12] = [
        ("track0_depth_negative", |of| of.tracks[0].0.location.in_camera[2] *= -1.0),
        ("track0_depth_nan", |of| of.tracks[0].0.location.in_camera[2] = f32::NAN),
        ("track0_x_interval_nan", |of| of.tracks[0].0.interval[0] = f32::NAN),
        ("track0_x_interval_inf", |of| of.tracks[0].0.interval[0] = f32::INFINITY),
        ("track0_all_intervals_nan", |of| of.tracks[0].0.interval = [f32::NAN; 3]),
        ("track0_depth_interval_zero", |of| of.tracks[0].0.interval[2] = 0.0),
        ("track0_depth_interval_inf", |of| of.tracks[0].0.interval[2] = f32::INFINITY),
        ("track0_depth_interval_one", |of| of.tracks[0].0.interval[2] = 1.0),
        ("detection0_depth_zero", |of| of.detections[0].0.location.in_camera[2] = 0.0),
        ("detection0_depth_negative", |of| of.detections[0].0.location.in_camera[2] *= -1.0),
        ("track0_xy_nan", |of| of.tracks[0].0.location.in_square = [f32::NAN; 2]),
        ("track0_far", |of| of.tracks[0].0.location.in_square[0] += 1000.0),
    ];
    for set in sets("phalp") {
        let golden = &json(&set, "g1_6.json")["pdist"];
        let texture = matrix(&golden["A0"]);
        let wanted = golden["nan_cases_EQ_019"].as_object().unwrap();
        assert_eq!(wanted.len(), cases.len());
        for (case, change) in cases {
            let mut distances = Distances::of(&set.name);
            change(&mut distances);
            let terms = distances.terms(&|track, detection| texture[track][detection]);
            let got = costs(&terms, CostEquation::Eq019, false);
            check_matrix(&format!("{}/pdist {case}", set.name), &got, &wanted[case], |want| 2e-2 * want);
        }
    }
}
