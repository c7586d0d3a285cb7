//! The pose predictor against outputs of PHALP's own network, with weights and inputs by formula; and wrong weights and
//! histories, which are errors.

use candle_core::{DType, Device, Tensor};
use posebook_core::appearance::{POSE_VECTOR_LENGTH, PoseHistory, PosePredictor};
use posebook_models::hmr2::formula::{self, hash};
use posebook_models::pose_predictor::{
    BatchTime, FormulaNetwork, LongSpan, PoseTransformer, Settings, SmoothingWindow,
};
use std::borrow::Borrow;
use std::collections::HashMap;
use std::path::PathBuf;

type Pose = [f32; POSE_VECTOR_LENGTH];

/// Tolerance of predicted poses (the goldens' README); measured between the reference in `f32` and `f64`: 2e-6.
const TOLERANCE: f32 = 2e-5;

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/phalp/a").join(name)
}

fn golden_tensors(name: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(golden(name), &Device::Cpu).unwrap()
}

fn golden_json(name: &str) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(golden(name)).unwrap()).unwrap()
}

/// A number in [0, 1) of the goldens' formula.
fn unit(name: &str, index: u64) -> f64 {
    hash(name, index) as f64 * 2f64.powi(-53)
}

/// The pose vector of a track's formula at a time.
fn pose_row(name: &str, time: usize) -> Pose {
    let (pose, phase) = (format!("{name}/pose"), format!("{name}/posephase"));
    let centered = |index: usize| 2.0 * unit(&pose, index as u64) - 1.0;
    let time = time as f64;
    std::array::from_fn(|index| {
        let value = match index {
            0..216 => {
                let identity = f64::from(u8::from(index % 9 % 4 == 0));
                let angle = 2.0 * std::f64::consts::PI * (0.03 * time + unit(&phase, index as u64));
                identity + 0.05 * centered(index) + 0.03 * angle.sin()
            }
            216..226 => 0.1 * centered(index),
            226 => 0.3 * centered(index) + 0.01 * time,
            227 => 0.2 * centered(index),
            _ => (30.0 + 5.0 * centered(index)) / 200.0,
        };
        value as f32
    })
}

/// One track's poses, frames, and frames since the last match.
struct Track {
    poses: Vec<Pose>,
    frames: Vec<usize>,
    frames_since_match: usize,
}

impl Track {
    fn history(&self) -> PoseHistory<'_> {
        PoseHistory {
            poses: self.poses.iter().collect(),
            frames: self.frames.clone(),
            frames_since_match: self.frames_since_match,
        }
    }
}

/// The tracks of a golden case.
fn case_tracks(case: &str, golden: &serde_json::Value) -> Vec<Track> {
    let (times, ahead) = (golden["times"].as_array().unwrap(), golden["ahead"].as_array().unwrap());
    let tracks = times.iter().zip(ahead).enumerate().map(|(index, (times, ahead))| {
        let times = times.as_array().unwrap().iter();
        let frames: Vec<usize> = times.map(|time| time.as_u64().unwrap() as usize).collect();
        let name = format!("a/pp/{case}/t{index}");
        let poses = frames.iter().map(|&frame| pose_row(&name, frame)).collect();
        Track { poses, frames, frames_since_match: ahead.as_u64().unwrap() as usize }
    });
    tracks.collect()
}

fn settings(batch_time: BatchTime, long_span: LongSpan) -> Settings {
    Settings { batch_time, long_span, ..Settings::default() }
}

fn predictor(network: FormulaNetwork, batch_time: BatchTime) -> PoseTransformer {
    PoseTransformer::from_formula("a", network, &settings(batch_time, LongSpan::Error)).unwrap()
}

fn max_difference(found: &Tensor, expected: &Tensor) -> f32 {
    assert_eq!(found.dims(), expected.dims());
    let difference = (found - expected).unwrap().abs().unwrap();
    difference.flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
}

fn rows<P: Borrow<Pose>>(poses: &[P]) -> Tensor {
    let values: Vec<f32> = poses.iter().flat_map(|pose| *pose.borrow()).collect();
    Tensor::from_vec(values, (poses.len(), POSE_VECTOR_LENGTH), &Device::Cpu).unwrap()
}

/// Predicts every golden case but `span_too_long`.
fn check_predictions(network: FormulaNetwork) {
    let name = network.name();
    let (expected, cases) = (
        golden_tensors(&format!("g5_{name}.safetensors")),
        golden_json("g1_6.json")["pose_predictor"].take(),
    );
    let by_first = predictor(network, BatchTime::FirstTrack);
    let by_each = predictor(network, BatchTime::EachTrack);
    let mut checked = 0;
    for (key, golden) in cases.as_object().unwrap() {
        let Some(case) = key.strip_prefix(&format!("{name}/predict/")) else { continue };
        let tracks = case_tracks(case, golden);
        let histories: Vec<PoseHistory<'_>> = tracks.iter().map(Track::history).collect();
        if case == "span_too_long" {
            let message = by_first.predict(&histories).unwrap_err().message;
            assert!(message.contains("spans 131 frames") && message.contains("125 positions"), "{message}");
            continue;
        }
        let positions = |predictor: &PoseTransformer| predictor.sequences(&histories).unwrap().1;
        let token = golden["token_used_for_every_track"].as_u64().unwrap() as usize;
        assert_eq!(positions(&by_first), vec![token; tracks.len()], "{case}");
        assert_eq!(serde_json::json!(positions(&by_each)), golden["token_per_track_if_fixed"], "{case}");
        for (predictor, out) in [(&by_first, "out"), (&by_each, "out_per_track_time")] {
            let found = rows(&predictor.predict(&histories).unwrap());
            let worst = max_difference(&found, &expected[&format!("{key}/{out}")]);
            assert!(worst < TOLERANCE, "{key}/{out}: {worst}");
        }
        checked += 1;
    }
    assert_eq!(checked, 7);
}

#[test]
fn small_network_predicts_the_references_poses() {
    check_predictions(FormulaNetwork::Pp64);
}

#[test]
fn large_network_predicts_the_references_poses() {
    check_predictions(FormulaNetwork::Pp256);
}

/// Activations of a batch, and what the heads read from every token of the first track.
fn check_activations(network: FormulaNetwork, tolerance: f32) {
    let name = network.name();
    let expected = golden_tensors(&format!("g5_{name}.safetensors"));
    let key = format!("{name}/predict/batch3_mixed");
    let golden = golden_json("g1_6.json")["pose_predictor"][&key].take();
    let predictor = predictor(network, BatchTime::FirstTrack);
    let tracks = case_tracks("batch3_mixed", &golden);
    let histories: Vec<PoseHistory<'_>> = tracks.iter().map(Track::history).collect();
    let (sequences, _) = predictor.sequences(&histories).unwrap();
    let mut seen = Vec::new();
    let mut compare = |activation: &str, tensor: &Tensor| {
        let track = tensor.get(0).unwrap().narrow(1, 0, 8).unwrap();
        let worst = max_difference(&track, &expected[&format!("{key}/{activation}_track0_first8")]);
        assert!(worst < tolerance, "{name}: {activation} {worst}");
        let l2 = tensor.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
        let wanted = golden["intermediates"][activation]["l2"].as_f64().unwrap() as f32;
        assert!((l2 - wanted).abs() < 1e-4 * wanted, "{name}: {activation} {l2} {wanted}");
        seen.push(activation.to_string());
    };
    let tokens = predictor.network().forward(&sequences, &mut compare).unwrap();
    assert_eq!(seen.len(), 5);
    let read = predictor.network().heads().read(&tokens.get(0).unwrap()).unwrap();
    let actions = read.actions.unwrap().narrow(1, 0, 8).unwrap();
    assert!(max_difference(&actions, &expected[&format!("{key}/ava_track0_first8")]) < tolerance);
    let location = read.poses.narrow(1, 226, 3).unwrap();
    assert!(max_difference(&location, &expected[&format!("{key}/camera_track0")]) < tolerance);
    if let Some(poses) = expected.get(&format!("{key}/pose_camera_all_tokens_track0")) {
        assert!(max_difference(&read.poses, poses) < TOLERANCE);
    }
}

#[test]
fn activations_are_the_references() {
    check_activations(FormulaNetwork::Pp64, TOLERANCE);
    check_activations(FormulaNetwork::Pp256, 5.0 * TOLERANCE);
}

#[test]
fn the_regressor_gives_the_references_iterations() {
    let expected = golden_tensors("g5_smplhead.safetensors");
    let predictor = predictor(FormulaNetwork::Pp64, BatchTime::FirstTrack);
    let tokens = formula::tensor("a/smplhead/x", &[5, 64], &[0.0], 1.0).unwrap();
    let iterations = predictor.network().heads().regressor().iterate(&tokens).unwrap();
    let joined = |part: fn(&posebook_models::pose_predictor::Regressed) -> &Tensor| {
        Tensor::cat(&iterations.iter().map(part).collect::<Vec<_>>(), 0).unwrap()
    };
    assert!(max_difference(&joined(|one| &one.betas), &expected["iters_betas"]) < TOLERANCE);
    assert!(max_difference(&joined(|one| &one.camera), &expected["iters_cam"]) < TOLERANCE);
    let last = iterations.last().unwrap();
    let rotations = last.rotations().unwrap();
    assert!(max_difference(&rotations.narrow(1, 0, 1).unwrap(), &expected["global_orient"]) < TOLERANCE);
    assert!(max_difference(&rotations.narrow(1, 1, 23).unwrap(), &expected["body_pose"]) < TOLERANCE);
    assert!(max_difference(&last.betas, &expected["betas"]) < TOLERANCE);
    assert!(max_difference(&last.camera, &expected["cam"]) < TOLERANCE);
}

/// Smooths the golden tracks whose names `choose` accepts.
fn check_smoothing(network: FormulaNetwork, tolerance: f32, choose: &[&str]) {
    let name = network.name();
    let expected = golden_tensors(&format!("g5_{name}.safetensors"));
    let cases = golden_json("g1_6.json")["pose_predictor"].take();
    let predictor = predictor(network, BatchTime::FirstTrack);
    for case in choose {
        let key = format!("{name}/smooth/{case}");
        let golden = &cases[&key];
        let number = |value: &serde_json::Value| value.as_u64().unwrap() as usize;
        let missing = golden["missing"].as_array().unwrap();
        let is_missing = |frame: usize| {
            missing.iter().any(|range| (number(&range[0])..=number(&range[1])).contains(&frame))
        };
        let poses: Vec<Option<Pose>> = (0..number(&golden["frames"]))
            .map(|frame| (!is_missing(frame)).then(|| pose_row(&format!("a/smooth/{case}"), frame)))
            .collect();
        let window = SmoothingWindow { step: number(&golden["step"]), window: number(&golden["window"]) };
        let poses: Vec<Option<&Pose>> = poses.iter().map(Option::as_ref).collect();
        let smoothed = predictor.smooth(&poses, window).unwrap();
        let found = rows(&smoothed.poses);
        let actions = Tensor::new(smoothed.actions, &Device::Cpu).unwrap();
        let mut compared = 0;
        for (part, found) in [
            ("pose_shape", found.clone()),
            ("pose_shape_first16", found.narrow(1, 0, 16).unwrap()),
            ("camera", found.narrow(1, 226, 3).unwrap()),
            ("ava_action", actions.clone()),
            ("ava_first8", actions.narrow(1, 0, 8).unwrap()),
        ] {
            if let Some(expected) = expected.get(&format!("{key}/{part}")) {
                let worst = max_difference(&found, expected);
                assert!(worst < tolerance, "{key}/{part}: {worst}");
                compared += 1;
            }
        }
        assert_eq!(compared, 3, "{key}");
    }
}

#[test]
fn tracks_are_smoothed_as_by_the_reference() {
    check_smoothing(FormulaNetwork::Pp64, TOLERANCE, &["long150", "short40", "exact32", "step1_30"]);
    check_smoothing(FormulaNetwork::Pp256, 5.0 * TOLERANCE, &["short40", "exact32"]);
}

#[test]
fn formula_weights_are_the_manifests() {
    let manifest = golden_json("manifest.json");
    let all = manifest["tensors"].as_array().unwrap();
    for network in [FormulaNetwork::Pp64, FormulaNetwork::Pp256] {
        let tensors = network.tensors("a").unwrap();
        let prefix = format!("a/{}/", network.name());
        let named =
            |row: &serde_json::Value| row["name"].as_str().unwrap().strip_prefix(&prefix).map(str::to_string);
        let rows: Vec<_> = all.iter().filter_map(|row| Some((named(row)?, row))).collect();
        // the manifest also has the class token, which never influences an output
        assert_eq!(rows.len(), tensors.len() + 1);
        for (key, row) in rows.iter().filter(|(key, _)| key != "encoder.class_token") {
            let values = tensors[key].flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let sum: f64 = values.iter().map(|value| f64::from(*value)).sum();
            assert!((sum - row["sum"].as_f64().unwrap()).abs() < 1e-6, "{key}: {sum}");
            assert_eq!(values[0], row["first"][0].as_f64().unwrap() as f32, "{key}");
            assert_eq!(serde_json::json!(tensors[key].dims()), row["shape"], "{key}");
        }
    }
}

#[test]
fn a_prediction_does_not_depend_on_other_tracks() {
    let predictor = predictor(FormulaNetwork::Pp64, BatchTime::EachTrack);
    let track = |index: usize| Track {
        poses: (0..7).map(|frame| pose_row(&format!("other/t{index}"), frame)).collect(),
        frames: (0..7).map(|frame| frame * (1 + index % 5)).collect(),
        frames_since_match: index % 3,
    };
    // more than one batch
    let tracks: Vec<Track> = (0..40).map(track).collect();
    let histories: Vec<PoseHistory<'_>> = tracks.iter().map(Track::history).collect();
    let together = predictor.predict(&histories).unwrap();
    for index in [0, 1, 31, 32, 39] {
        let alone = predictor.predict(&histories[index..=index]).unwrap();
        assert!(max_difference(&rows(&alone), &rows(&together[index..=index])) < 1e-5, "{index}");
    }
    assert_eq!(predictor.predict(&[]).unwrap(), []);
}

#[test]
fn a_long_history_is_shortened_and_counted() {
    let settings = settings(BatchTime::FirstTrack, LongSpan::Shorten);
    let predictor = PoseTransformer::from_formula("a", FormulaNetwork::Pp64, &settings).unwrap();
    let frames = vec![0, 20, 40, 60, 80, 100, 130];
    let poses: Vec<Pose> = frames.iter().map(|&frame| pose_row("long", frame)).collect();
    let long = Track { poses, frames, frames_since_match: 0 };
    let found = predictor.predict(&[long.history()]).unwrap();
    assert_eq!(predictor.shortened_histories(), 1);
    let mut rest = long;
    (rest.poses, rest.frames) = (rest.poses[1..].to_vec(), rest.frames[1..].to_vec());
    assert_eq!(found, predictor.predict(&[rest.history()]).unwrap(), "the oldest pose is left out");
    assert_eq!(predictor.shortened_histories(), 1);
}

#[test]
fn invalid_histories_are_errors() {
    let predictor = predictor(FormulaNetwork::Pp64, BatchTime::FirstTrack);
    let good = || Track { poses: vec![pose_row("x", 0); 2], frames: vec![4, 5], frames_since_match: 0 };
    let message = |change: &dyn Fn(&mut Track)| {
        let mut bad = good();
        change(&mut bad);
        let first = good();
        predictor.predict(&[first.history(), bad.history()]).unwrap_err().message
    };
    let said = message(&|track| track.poses[1][17] = f32::NAN);
    assert_eq!(said, "the history of track 1 of 2: value 17 of the pose of frame 5 is NaN");
    assert!(message(&|track| track.frames = vec![5, 4]).contains("[5, 4] are not in order"));
    assert!(message(&|track| track.frames = vec![5]).contains("2 poses and 1 frames"));
    assert!(message(&|track| (track.frames, track.poses) = (vec![], vec![])).contains("is empty"));
    let far = Track { frames_since_match: usize::MAX, ..good() };
    assert_eq!(predictor.sequences(&[far.history()]).unwrap().1, [124]);
    let pose = pose_row("x", 0);
    for (step, window) in [(0, 4), (1, 62), (usize::MAX, usize::MAX)] {
        let error =
            predictor.smooth(&[Some(&pose)], SmoothingWindow { step, window }).unwrap_err().to_string();
        assert!(error.contains("network allows 124"), "{error}");
    }
    // a window without any pose is predicted from the positions alone
    let gaps = predictor.smooth(&[None; 9], SmoothingWindow::default()).unwrap();
    assert_eq!((gaps.poses.len(), gaps.actions[0].len()), (9, 60));
    assert!(predictor.smooth(&[], SmoothingWindow::default()).unwrap().poses.is_empty());
}

/// The message for changed weights of the small network.
fn refused(change: &dyn Fn(&mut HashMap<String, Tensor>)) -> String {
    let mut tensors = FormulaNetwork::Pp64.tensors("a").unwrap();
    change(&mut tensors);
    let structure = FormulaNetwork::Pp64.sizes().structure;
    let loaded =
        PoseTransformer::from_tensors(&tensors, structure, "x.pth", &Settings::default(), &Device::Cpu);
    loaded.err().expect("these weights are not valid").to_string()
}

#[test]
fn wrong_weights_are_errors_that_name_the_tensor() {
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    for key in ["encoder.mask_token", "encoder.conv_de.bias", "encoder.smpl_head.0.fc2.weight", "mean", "std"]
    {
        let said = refused(&|tensors| drop(tensors.remove(key)));
        assert!(said.contains(&format!("no tensor `{key}`")) && said.contains("x.pth"), "{said}");
        let said = refused(&|tensors| drop(tensors.insert(key.into(), zeros(&[3, 2, 1]))));
        assert!(said.contains(&format!("`{key}` has shape [3, 2, 1]")), "{said}");
    }
    let said = refused(&|tensors| {
        let mut values = vec![0.0; 64];
        values[9] = f32::INFINITY;
        tensors.insert("encoder.mask_token".into(), Tensor::new(values, &Device::Cpu).unwrap());
    });
    assert!(said.contains("value 9 of `encoder.mask_token` is inf"), "{said}");
    let said = refused(&|tensors| drop(tensors.insert("std".into(), (zeros(&[1, 226]) - 1.0).unwrap())));
    assert!(said.contains("value 0 of `std` is -1"), "{said}");
    let said = refused(&|tensors| {
        tensors.insert("mean".into(), zeros(&[1, 300]));
    });
    assert!(said.contains("`mean` has 300 columns"), "{said}");
}

#[test]
fn a_structure_that_does_not_fit_is_an_error() {
    let tensors = FormulaNetwork::Pp64.tensors("a").unwrap();
    let message = |change: &dyn Fn(&mut posebook_models::pose_predictor::Structure)| {
        let mut structure = FormulaNetwork::Pp64.sizes().structure;
        change(&mut structure);
        let loaded =
            PoseTransformer::from_tensors(&tensors, structure, "x", &Settings::default(), &Device::Cpu);
        loaded.err().expect("this structure is not valid").to_string()
    };
    assert!(message(&|structure| structure.heads = 8).contains("8 heads of 16 values need 384"));
    assert!(message(&|structure| structure.pad = 2).contains("a kernel of 7, but stride 5 and pad 2 need 9"));
    assert!(message(&|structure| (structure.stride, structure.pad) = (3, 2)).contains("does not divide"));
    assert!(message(&|structure| structure.stride = 0).contains("between 1 and"));
}
