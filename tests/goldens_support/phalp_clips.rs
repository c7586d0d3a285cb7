//! PHALP's golden 7: whole clips. The reference's costs include its texture and pose networks, so they are taken as
//! recorded; everything after them is computed by the tracker.

use super::{DEPTH_K, Worst, integers, json, matrix, number, numbers, uniform};
use crate::sets::sets;
use posebook_core::frame::FrameSize;
use posebook_core::person::{BBox, TrackId};
use posebook_track::assignment::Costs;
use posebook_track::phalp::{
    Association, CostEquation, FrameTracks, Location, Observation, POSE_LENGTH, Pose, Settings, TrackState,
    Tracker,
};
use serde_json::Value;
use std::f64::consts::TAU;

pub const CLIPS: [&str; 6] = ["walk3", "cross", "leave", "shot", "shot_EQ_010", "annot"];
pub const SIZE: FrameSize = FrameSize::new(1280, 720);
const SIDE: f64 = 1280.0;
const TOP: f64 = 280.0;

/// A scenario of the goldens: people on trajectories given by formulas.
pub struct Scenario<'a>(pub &'a Value);

impl Scenario<'_> {
    pub fn name(&self) -> &str {
        self.0["name"].as_str().unwrap()
    }

    /// Position in the padded square and depth of person `p` at frame `t`.
    fn state(&self, p: usize, t: usize) -> [f64; 3] {
        let person = &self.0["persons"][p];
        let of = |key: &str| number(&person[key]);
        let time = t as f64;
        let mut place = ["x", "y", "z"].map(|axis| {
            let [from, speed, swing, period, phase] = [
                format!("{axis}0"),
                format!("v{axis}"),
                format!("a{axis}"),
                format!("t{axis}"),
                format!("p{axis}"),
            ]
            .map(|key| of(&key));
            from + speed * time + swing * (TAU * (time / period + phase)).sin()
        });
        let shots = integers(&self.0["shots"]);
        if shots.first().is_some_and(|&shot| t >= shot) {
            place = [place[0] + of("shot_dx"), place[1] + of("shot_dy"), place[2] * of("shot_fz")];
        }
        let noise = uniform(&format!("{}/p{p}/noise", self.name()), 2, 2 * t);
        [place[0] + 0.002 * (2.0 * noise[0] - 1.0), place[1] + 0.002 * (2.0 * noise[1] - 1.0), place[2]]
    }

    pub fn detection(&self, p: usize, t: usize) -> (Observation, BBox) {
        let [x, y, z] = self.state(p, t);
        let name = format!("{}/p{p}", self.name());
        let in_camera = [(x - 0.5) * z / DEPTH_K, (y - 0.5) * z / DEPTH_K, z].map(|value| value as f32);
        let (shape, phase) =
            (uniform(&format!("{name}/pose"), 226, 0), uniform(&format!("{name}/posephase"), 216, 0));
        let pose: [f32; POSE_LENGTH] = std::array::from_fn(|at| match at {
            0..216 => {
                let identity = if at % 9 % 4 == 0 { 1.0 } else { 0.0 };
                let swing = 0.03 * (TAU * (0.03 * t as f64 + phase[at])).sin();
                (identity + 0.05 * (2.0 * shape[at] - 1.0) + swing) as f32
            }
            216..226 => (0.1 * (2.0 * shape[at] - 1.0)) as f32,
            228 => in_camera[2] / 200.0,
            _ => in_camera[at - 226],
        });
        let annotated = self.0["persons"][p]["annotations"].as_array().is_some_and(|of| !of.is_empty());
        let place = Location { in_square: [x as f32, y as f32], in_camera };
        let observation = Observation { annotated, ..Observation::at(t, Pose::from(pose), place) };
        let (height, left, top) = (9000.0 / z, x * SIDE, y * SIDE - TOP);
        let width = 0.45 * height;
        let corners = [left - width / 2.0, top - height / 2.0, left + width / 2.0, top + height / 2.0];
        let [x1, y1, x2, y2] = corners.map(|value| value as f32);
        (observation, BBox { x1, y1, x2, y2 })
    }
}

pub fn settings(config: &Value) -> Settings {
    let equation = match config["distance_type"].as_str().unwrap() {
        "EQ_010" => CostEquation::Eq010,
        "EQ_019" => CostEquation::Eq019,
        other => panic!("the equation {other}"),
    };
    Settings {
        track_history: number(&config["track_history"]) as usize,
        n_init: number(&config["n_init"]) as usize,
        max_age_track: number(&config["max_age_track"]) as usize,
        hungarian_th: number(&config["hungarian_th"]),
        distance_type: equation,
        alpha: number(&config["alpha"]),
        past_lookback: number(&config["past_lookback"]) as usize,
        ..Settings::default()
    }
}

#[test]
fn clips_with_recorded_costs() {
    for set in sets("phalp") {
        for clip in CLIPS {
            let golden = json(&set, &format!("g7_e2e_{clip}.json"));
            let settings = settings(&golden["config"]);
            let delay = settings.n_init - 1;
            let mut tracker = Tracker::new(settings).unwrap();
            let mut final_frames = Vec::new();
            let mut worst = Worst::default();
            for frame in golden["frames"].as_array().unwrap() {
                let (t, update) = advance(&mut tracker, &golden, frame, |_, _, recorded| recorded);
                check_association(&format!("{}/{clip} frame {t}", set.name), frame, &update);
                check_tracks(&format!("{}/{clip} frame {t}", set.name), frame, &tracker, &mut worst);
                final_frames.extend(tracker.take_final());
                assert!(
                    tracker.pending_frames() <= delay && final_frames.len() + delay > t,
                    "{clip} frame {t}"
                );
            }
            final_frames.extend(tracker.finish());
            check_final_tracks(&format!("{}/{clip}", set.name), &golden["final_visuals"], &final_frames);
            worst.report(&format!("{}/{clip} predictions", set.name));
        }
    }
}

/// Replays one recorded frame; `choose` is given the recorded costs and returns those to use.
fn advance(
    tracker: &mut Tracker,
    golden: &Value,
    frame: &Value,
    choose: impl Fn(&Tracker, &[(Observation, BBox)], Costs) -> Costs,
) -> (usize, Association) {
    let t = number(&frame["t"]) as usize;
    let scenario = Scenario(&golden["scenario"]);
    let arrivals: Vec<_> =
        integers(&frame["det_person"]).into_iter().map(|p| scenario.detection(p, t)).collect();
    if number(&frame["shot"]) == 1.0 {
        tracker.begin_shot();
    }
    let cost = matrix(&frame["cost"]);
    let recorded = Costs::from_fn(tracker.tracks().len(), arrivals.len(), |row, column| cost[row][column]);
    let costs = choose(tracker, &arrivals, recorded);
    (t, tracker.update_with_costs(t, SIZE, arrivals, &costs).unwrap())
}

pub fn check_association(what: &str, frame: &Value, update: &Association) {
    let ids = |ids: &[TrackId]| ids.iter().map(|id| id.0 as usize).collect::<Vec<_>>();
    let matches: Vec<(u32, usize)> = update.matches.iter().map(|(id, person)| (id.0, *person)).collect();
    assert_eq!(serde_json::to_value(matches).unwrap(), frame["matches"], "{what}");
    assert_eq!(ids(&update.unmatched_tracks), integers(&frame["unmatched_tracks"]), "{what}");
    assert_eq!(update.unmatched_persons, integers(&frame["unmatched_detections"]), "{what}");
    assert_eq!(ids(&update.deleted), integers(&frame["deleted"]), "{what}");
}

pub fn check_tracks(what: &str, frame: &Value, tracker: &Tracker, worst: &mut Worst) {
    let want = frame["tracks"].as_array().unwrap();
    assert_eq!(tracker.tracks().len(), want.len(), "{what}");
    for (track, want) in tracker.tracks().zip(want) {
        let state = if track.state() == TrackState::Confirmed { "C" } else { "T" };
        let ours = [track.id().0 as usize, track.hits(), track.age(), track.time_since_update()];
        assert_eq!(ours, ["id", "hits", "age", "tsu"].map(|key| number(&want[key]) as usize), "{what}");
        assert_eq!(state, want["state"], "{what}");
        let person = if track.time_since_update() == 0 {
            tracker.person_index(track.id()).unwrap() as f64
        } else {
            -1.0
        };
        assert_eq!(person, number(&want["det"]), "{what}");
        let expected = track.prediction();
        let ours =
            [&expected.location.in_square[..], &expected.location.in_camera, &expected.interval].concat();
        let last = numbers(&want["pred_last9"]);
        let theirs = [&[number(&want["pred_x"]), number(&want["pred_y"])], &last[..6]].concat();
        for (at, (ours, theirs)) in ours.into_iter().zip(theirs).enumerate() {
            let allowed = 1e-5 * theirs.abs().max(1e-2);
            worst.check(&format!("{what} track {} [{at}]", track.id()), f64::from(ours), theirs, allowed);
        }
    }
    let confirmed: Vec<usize> = tracker
        .tracks()
        .filter(|track| track.state() == TrackState::Confirmed)
        .map(|track| track.id().0 as usize)
        .collect();
    assert_eq!(confirmed, integers(&frame["confirmed"]), "{what}");
}

/// Compares the returned tracks with the reference's output, of which only a track's first row in a frame counts:
/// when a track confirmed by an annotation reaches five hits, the reference writes it a second time into the four
/// frames before, whether it was matched in them or not.
fn check_final_tracks(what: &str, golden: &Value, final_frames: &[FrameTracks]) {
    let golden = golden.as_array().unwrap();
    assert_eq!(final_frames.len(), golden.len(), "{what}");
    for (frame, want) in final_frames.iter().zip(golden) {
        let ids = integers(&want["tid"]);
        let mut sorted = ids.clone();
        sorted.sort_unstable();
        sorted.dedup();
        let ours: Vec<usize> = frame.tracks.iter().map(|of| of.track_id.0 as usize).collect();
        assert_eq!(ours, sorted, "{what} frame {}", frame.frame_index);
        let (missed, left) = (integers(&want["tracked_time"]), numbers(&want["bbox_x"]));
        for identity in &frame.tracks {
            let at = ids.iter().position(|&id| id == identity.track_id.0 as usize).unwrap();
            assert_eq!(identity.time_since_update, missed[at], "{what} frame {}", frame.frame_index);
            assert_eq!(identity.is_lost(), missed[at] > 0);
            assert!(
                (f64::from(identity.bbox.x1) - left[at]).abs() < 1e-3,
                "{what} frame {}",
                frame.frame_index
            );
        }
    }
}

/// With location and the last pose alone the reference's identities are reproduced, too, unless a cut or an
/// annotation needs more.
#[test]
fn clips_with_the_trackers_own_costs() {
    for set in sets("phalp") {
        for clip in ["walk3", "cross", "leave"] {
            let golden = json(&set, &format!("g7_e2e_{clip}.json"));
            let mut tracker = Tracker::new(settings(&golden["config"])).unwrap();
            for frame in golden["frames"].as_array().unwrap() {
                let own = |tracker: &Tracker, arrivals: &[(Observation, BBox)], _| {
                    tracker.costs(arrivals.iter().map(|(observation, _)| observation)).unwrap()
                };
                let (t, update) = advance(&mut tracker, &golden, frame, own);
                check_association(&format!("{}/{clip} frame {t}", set.name), frame, &update);
            }
        }
    }
}
