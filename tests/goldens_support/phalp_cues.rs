//! PHALP's goldens with textures and learned poses: 2 (distance of textures), 3 (texture costs), 6 (mixing) and 7 (whole
//! clips). The networks have weights from the formula.

use super::clips::{CLIPS, SIZE, Scenario, check_association, check_tracks, settings};
use super::costs::{Distances, check_matrix};
use super::{Worst, integers, json, matrix, number, numbers, uniform};
use crate::formula::fill;
use crate::sets::{Set, sets};
use posebook_core::appearance::{Appearance, TextureEncoder, UV_SIDE, UV_TEXELS, UvMap};
use posebook_core::person::{BBox, TrackId};
use posebook_models::appearance::encoder::Encoder;
use posebook_models::pose_predictor::{self, FormulaNetwork, PoseTransformer};
use posebook_track::assignment::Costs;
use posebook_track::phalp::{
    Association, CostEquation, CostTerms, Cues, Networks, Observation, Settings, Track, Tracker, mix,
    uv_distances,
};
use serde_json::Value;
use std::f64::consts::TAU;
use std::sync::Arc;

/// The value of each texel's cell in a lattice of `grid` x `grid` cells.
fn of_cells<T: Copy>(lattice: &[T], grid: usize) -> impl Iterator<Item = T> {
    let side = UV_SIDE / grid;
    (0..UV_TEXELS).map(move |texel| lattice[texel / UV_SIDE / side * grid + texel % UV_SIDE / side])
}

/// A map with the colors `rgb` where `mask` is above 0, else 0.
fn uv_map(rgb: impl Iterator<Item = f32>, mask: &[f32]) -> UvMap {
    let colors = rgb.enumerate().map(|(at, color)| if mask[at % UV_TEXELS] > 0.0 { color } else { 0.0 });
    UvMap::from_values(colors.chain(mask.iter().copied()).collect()).unwrap()
}

/// `uv_static` of `make_inputs.py`: noise, visible in a random lattice.
fn uv_static(name: &str, grid: usize, keep: f64) -> UvMap {
    let visible = uniform(&format!("{name}/mask"), grid * grid, 0);
    let mask: Vec<f32> = of_cells(&visible, grid).map(|u| if u < keep { 1.0 } else { -1.0 }).collect();
    uv_map(fill(&format!("{name}/rgb"), 3 * UV_TEXELS, &[0.0], 0.5).into_iter(), &mask)
}

/// `uv_person` of `make_inputs.py`: a person's texture at frame `t`.
fn uv_person(name: &str, t: usize) -> UvMap {
    const GRID: usize = 16;
    let cells = GRID * GRID;
    let (base, phase) =
        (uniform(&format!("{name}/uvrgb"), 3 * cells, 0), uniform(&format!("{name}/uvphase"), 3 * cells, 0));
    let swing = |phase: f64, period: f64| (TAU * (t as f64 / period + phase)).sin();
    let colors: Vec<f32> = base
        .iter()
        .zip(&phase)
        .map(|(base, &phase)| (0.45 * (2.0 * base - 1.0) + 0.05 * swing(phase, 40.0)) as f32)
        .collect();
    let visible = uniform(&format!("{name}/uvmask"), cells, 0);
    let visible: Vec<f32> =
        visible.into_iter().map(|phase| if swing(phase, 60.0) > -0.2 { 1.0 } else { -1.0 }).collect();
    let mask: Vec<f32> = of_cells(&visible, GRID).collect();
    uv_map(colors.chunks(cells).flat_map(|plane| of_cells(plane, GRID)), &mask)
}

fn encoder(set: &Set) -> Encoder {
    Encoder::from_formula(&set.name).unwrap()
}

/// The track's and the detection's map of each case of `uv_distance_inputs`.
fn uv_distance_cases(set: &str) -> Vec<(&'static str, UvMap, UvMap)> {
    let texture = |side: &str| uv_static(&format!("{set}/uvd/{side}"), 32, 0.6);
    let hide = |map: &UvMap, hidden: fn(usize) -> bool| {
        let mut half = map.clone();
        for (at, value) in half.values_mut().iter_mut().enumerate().filter(|(at, _)| hidden(at % UV_SIDE)) {
            *value = if at < 3 * UV_TEXELS { 0.0 } else { -1.0 };
        }
        half
    };
    let (track, person) = (texture("t"), texture("d"));
    let mut fractions = track.clone();
    for (at, mask) in fractions.values_mut()[3 * UV_TEXELS..].iter_mut().enumerate() {
        if *mask > 0.0 {
            *mask = if at % UV_SIDE < 128 { 0.4 } else { 0.6 };
        }
    }
    let scaled = track.values().iter().map(|&value| (f64::from(value) * 0.9999) as f32).collect();
    vec![
        ("none", hide(&track, |column| column >= 128), hide(&person, |column| column < 128)),
        ("same", track.clone(), track.clone()),
        ("frac", fractions, person.clone()),
        ("f64", UvMap::from_values(scaled).unwrap(), person.clone()),
        ("partial", track, person),
    ]
}

#[test]
fn texture_distances() {
    for set in sets("phalp") {
        let golden = &json(&set, "g1_6.json")["uv_distance"];
        let encoder = encoder(&set);
        let cases = uv_distance_cases(&set.name);
        assert_eq!(golden.as_object().unwrap().len(), cases.len());
        let (tracks, persons): (Vec<&UvMap>, Vec<&UvMap>) =
            cases.iter().map(|(_, track, person)| (track, person)).unzip();
        let pairs: Vec<(usize, usize)> = (0..cases.len()).map(|at| (at, at)).collect();
        let distances = uv_distances(&encoder, &tracks, &persons, &pairs).unwrap();
        let mut worst = Worst::default();
        for ((case, ..), distance) in cases.iter().zip(distances) {
            let what = format!("{}/uv_distance {case}", set.name);
            // encodings divided by 1000 are within 1e-7 of values up to 0.017
            worst.check(&what, distance, number(&golden[case]["texture_distance"]), 1e-5);
        }
        worst.report(&format!("{}/uv_distance", set.name));
    }
}

#[test]
fn mixed_textures() {
    for set in sets("phalp") {
        let tensors = candle_core::safetensors::load(
            set.folder.join("g6_mixing.safetensors"),
            &candle_core::Device::Cpu,
        )
        .unwrap();
        let samples: Vec<i64> = tensors["mix/idx"].to_vec1().unwrap();
        let name = format!("{}/mix", set.name);
        let texture = |k: usize| uv_static(&format!("{name}/{k}"), 32, 0.5 + 0.1 * k as f64);
        let mut mixed = texture(0);
        let mut worst = Worst::default();
        for entry in json(&set, "g1_6.json")["track"]["mixing"].as_array().unwrap() {
            let k = number(&entry["update"]) as usize;
            let score = (0.8 + 0.19 * uniform(&format!("{name}/conf"), 1, k)[0]) as f32;
            assert_eq!(score, number(&entry["conf"]) as f32);
            mixed = mix(&mixed, &texture(k), Settings::default().alpha, score);
            assert_eq!(mixed.seen_texels(), number(&entry["visible"]) as usize);
            let expected: Vec<f64> = tensors[&format!("mix/after{k}")].to_vec1().unwrap();
            for (&at, want) in samples.iter().zip(expected) {
                // colors up to 0.5: half of the last place of an f32 there, beside the relative 1e-6
                let allowed = 1e-6 * want.abs() + f64::from(f32::EPSILON) / 4.0;
                worst.check(
                    &format!("{name} after {k} [{at}]"),
                    mixed.values()[at as usize].into(),
                    want,
                    allowed,
                );
            }
        }
        worst.report(&name);
    }
}

#[test]
fn texture_costs() {
    for set in sets("phalp") {
        let golden = &json(&set, "g1_6.json")["pdist"];
        let distances = Distances::of(&set.name);
        let textures = |side: &str, count: usize| -> Vec<UvMap> {
            (0..count).map(|at| uv_static(&format!("{}/pdist/{side}{at}/uv", set.name), 32, 0.6)).collect()
        };
        let (tracks, persons) = (textures("t", 3), textures("d", 4));
        let pairs: Vec<(usize, usize)> = (0..3).flat_map(|t| (0..4).map(move |p| (t, p))).collect();
        let (tracks, persons): (Vec<&UvMap>, Vec<&UvMap>) =
            (tracks.iter().collect(), persons.iter().collect());
        let texture = uv_distances(&encoder(&set), &tracks, &persons, &pairs).unwrap();
        let terms = distances.terms(&|track, person| texture[4 * track + person]);
        let costs = |equation: CostEquation| -> Vec<Vec<f64>> {
            let row = |row: &Vec<CostTerms>| row.iter().map(|terms| equation.cost(terms, false)).collect();
            terms.iter().map(row).collect()
        };
        let name = |what: &str| format!("{}/pdist TPL {what}", set.name);
        let relative = |want: f64| 2e-2 * want;
        check_matrix(&name("A0"), &costs(CostEquation::A0), &golden["A0"], |_| 1e-5);
        check_matrix(&name("P0"), &costs(CostEquation::P0), &golden["P0"], |_| 5e-5);
        check_matrix(&name("L0"), &costs(CostEquation::L0), &golden["L0"], |_| 5e-4);
        check_matrix(&name("LC"), &costs(CostEquation::Lc), &golden["LC"], |_| 1e-6);
        check_matrix(&name("N0"), &costs(CostEquation::N0), &golden["N0"], |_| 1e-6);
        check_matrix(&name("NC"), &costs(CostEquation::Nc), &golden["NC"], |_| 1e-6);
        check_matrix(&name("EQ_010"), &costs(CostEquation::Eq010), &golden["EQ_010"], relative);
        check_matrix(&name("EQ_019"), &costs(CostEquation::Eq019), &golden["EQ_019"], relative);
    }
}

/// A detection of a golden clip with its texture and score. Embeddings are computed if `embed`.
fn detection(clip: &Scenario, p: usize, t: usize, encoder: &Encoder, embed: bool) -> (Observation, BBox) {
    let (observation, bbox) = clip.detection(p, t);
    let name = format!("{}/p{p}", clip.name());
    let uv = uv_person(&name, t);
    let embedding = match embed {
        true => encoder.encode(std::slice::from_ref(&uv)).unwrap().remove(0),
        false => vec![0.0; 4096],
    };
    let score = (0.85 + 0.14 * uniform(&format!("{name}/conf"), 1, t)[0]) as f32;
    let appearance = Some(Appearance { uv: Arc::new(uv), embedding: embedding.into() });
    (Observation { appearance, score, ..observation }, bbox)
}

/// Compares costs up to the gate; above it the tracker leaves out textures.
fn check_costs(what: &str, ours: &Costs, golden: &Value, gate: f64, worst: &mut Worst) {
    for (track, row) in matrix(golden).iter().enumerate() {
        for (person, &want) in row.iter().enumerate() {
            let (got, allowed) = (ours.get(track, person), 2e-2 * want);
            if want - allowed > gate {
                assert!(got > gate, "{what} [{track}][{person}]: {got}, not {want}");
            } else {
                worst.check(&format!("{what} [{track}][{person}]"), got, want, allowed);
            }
        }
    }
}

/// Compares a track's predicted pose and its texture map.
fn check_appearance(what: &str, track: &Track, want: &Value, [poses, textures]: &mut [Worst; 2]) {
    let prediction = track.prediction();
    let pose = prediction.pose.values();
    for (at, want) in numbers(&want["pred_pose_first3"]).into_iter().enumerate() {
        poses.check(&format!("{what} pose[{at}]"), pose[at].into(), want, 2e-5);
    }
    let length = pose.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
    poses.check(&format!("{what} length of the pose"), length, number(&want["pred_pose_l2"]), 2e-5 * 15.2);
    let map = prediction.texture.as_ref().unwrap();
    assert_eq!(map.seen_texels(), number(&want["uv_visible"]) as usize, "{what}");
    let colors = || map.values()[..3 * UV_TEXELS].iter().map(|&color| f64::from(color));
    let all = number(&want["uv_rgb_abs"]);
    let sums = [("uv_rgb_sum", colors().sum::<f64>()), ("uv_rgb_abs", colors().map(f64::abs).sum())];
    for (key, sum) in sums {
        textures.check(&format!("{what} {key}"), sum, number(&want[key]), 1e-6 * all);
    }
}

/// Whole clips with the cues T, P and L: the tracker's own costs, as it computes them in a run.
fn clip_with_all_cues(clip: &str) {
    for set in sets("phalp") {
        let golden = json(&set, &format!("g7_e2e_{clip}.json"));
        let config = &golden["config"];
        let cues = Cues::from_letters(config["predict"].as_str().unwrap()).unwrap();
        let settings = Settings { cues, ..settings(config) };
        let gate = settings.hungarian_th;
        let pose_settings = pose_predictor::Settings::default();
        let pose = PoseTransformer::from_formula(&set.name, FormulaNetwork::Pp64, &pose_settings).unwrap();
        let encoder = Arc::new(encoder(&set));
        let networks = Networks { texture: Some(encoder.clone()), pose: Some(Arc::new(pose)) };
        let mut tracker = Tracker::with_networks(settings, networks).unwrap();
        let scenario = Scenario(&golden["scenario"]);
        let frames = golden["frames"].as_array().unwrap();
        // embeddings are only compared at a shot, with those of each track's last match
        let shot = frames.iter().position(|frame| number(&frame["shot"]) == 1.0);
        let (mut costs_worst, mut places_worst, mut appearances_worst) =
            (Worst::default(), Worst::default(), [Worst::default(), Worst::default()]);
        for frame in frames {
            let t = number(&frame["t"]) as usize;
            let what = format!("{}/{clip} TPL frame {t}", set.name);
            let embed = clip == "shot_EQ_010" && shot.is_some_and(|shot| (shot - 1..=shot).contains(&t));
            let persons = integers(&frame["det_person"]).into_iter();
            let arrivals: Vec<_> = persons.map(|p| detection(&scenario, p, t, &encoder, embed)).collect();
            if number(&frame["shot"]) == 1.0 {
                tracker.begin_shot();
            }
            let observations = || arrivals.iter().map(|(observation, _)| observation);
            let costs = tracker.costs(observations()).unwrap();
            check_costs(&what, &costs, &frame["cost"], gate, &mut costs_worst);
            if (1..3).contains(&t) {
                let all = tracker.unpruned_costs(observations()).unwrap();
                check_costs(&what, &all, &frame["cost"], f64::INFINITY, &mut costs_worst);
            }
            let update: Association = tracker.update_with_costs(t, SIZE, arrivals, &costs).unwrap();
            check_association(&what, frame, &update);
            check_tracks(&what, frame, &tracker, &mut places_worst);
            for (track, want) in tracker.tracks().zip(frame["tracks"].as_array().unwrap()) {
                assert_eq!(track.id(), TrackId(number(&want["id"]) as u32));
                check_appearance(&format!("{what} {}", track.id()), track, want, &mut appearances_worst);
            }
        }
        costs_worst.report(&format!("{}/{clip} TPL costs", set.name));
        appearances_worst[0].report(&format!("{}/{clip} TPL predicted poses", set.name));
        appearances_worst[1].report(&format!("{}/{clip} TPL texture maps", set.name));
    }
}

/// A test per clip, so that they run in parallel.
macro_rules! clips_with_all_cues {
    ($($name:ident: $clip:literal)*) => {
        $(#[test]
        fn $name() {
            assert!(CLIPS.contains(&$clip));
            clip_with_all_cues($clip);
        })*
    };
}

clips_with_all_cues! {
    walk3_with_all_cues: "walk3"
    cross_with_all_cues: "cross"
    leave_with_all_cues: "leave"
    shot_with_all_cues: "shot"
    shot_eq_010_with_all_cues: "shot_EQ_010"
    annot_with_all_cues: "annot"
}
