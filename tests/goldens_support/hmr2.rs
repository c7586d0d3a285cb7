//! HMR2's goldens 03 to 05 (small): backbone, head, the whole network.

use crate::body::{body, params};
use crate::formula::{small, tensor, weights};
use crate::golden::{Golden, Set, sets, values};
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use posebook::geometry::Vec3;
use posebook::hmr2::camera::{FOCAL, point_in_crop, translation_in_crop};
use posebook::hmr2::{Config, Network, Prediction};
use std::collections::HashMap;

fn network(set: &Set, config: &Config) -> Network {
    let weights = weights(&set.name, config, DType::F32, &Device::Cpu).unwrap();
    Network::load(config, VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu)).unwrap()
}

/// Compares every tensor shown on the way that the golden knows under `key(name)`.
fn watching<'a>(
    golden: &'a Golden,
    tolerance: f64,
    key: impl Fn(&str) -> Option<String> + 'a,
    first_only: bool,
) -> impl FnMut(&str, &candle_core::Tensor) + 'a {
    move |name, tensor| {
        if let Some(key) = key(name) {
            let shown = if first_only { tensor.narrow(0, 0, 1).unwrap() } else { tensor.clone() };
            golden.close(&key, &values(&shown), tolerance);
        }
    }
}

#[test]
fn golden_03_the_backbone() {
    for set in sets("hmr2") {
        let golden = set.golden("03_vit_small");
        let pixels = tensor(&set.hashed("input/vit_small.x"), &[2, 3, 256, 192], &[0.0], 2.0).unwrap();
        let network = network(&set, &small());
        let mut watch = watching(&golden, 3e-5, |name| Some(format!("{name}_b0")), true);
        let features = network.backbone().forward(&pixels, &mut watch).unwrap();
        golden.close("out", &values(&features), 3e-5);
    }
}

#[test]
fn golden_04_the_head() {
    for set in sets("hmr2") {
        let golden = set.golden("04_head_small");
        let features = tensor(&set.hashed("input/head_small.x"), &[2, 64, 16, 12], &[0.0], 1.7).unwrap();
        let mut watch = watching(&golden, 2e-5, |name| Some(name.to_string()), false);
        let body = network(&set, &small()).head().forward(&features, &mut watch).unwrap();
        golden.close("pose6d", &values(&body.pose6d), 2e-5);
        golden.close("betas", &values(&body.betas), 2e-5);
        golden.close("cam", &values(&body.camera), 2e-5);
        golden.close("global_orient", &values(&body.rotations.narrow(1, 0, 1).unwrap()), 5e-5);
        golden.close("body_pose", &values(&body.rotations.narrow(1, 1, 23).unwrap()), 5e-5);
    }
}

#[test]
fn golden_05_the_network() {
    for set in sets("hmr2") {
        let golden = set.golden("05_hmr2_small");
        let crops = tensor(&set.hashed("input/hmr2_small.img"), &[2, 3, 256, 256], &[0.0], 2.0).unwrap();
        let prediction = network(&set, &small()).forward(&crops).unwrap();
        golden.close("pred_cam", &values(&prediction.camera), 5e-5);
        golden.close("betas", &values(&prediction.betas), 5e-5);
        golden.close("global_orient", &values(&prediction.rotations.narrow(1, 0, 1).unwrap()), 5e-5);
        golden.close("body_pose", &values(&prediction.rotations.narrow(1, 1, 23).unwrap()), 5e-5);
        bodies(&set, &golden, &prediction);
    }
}

/// What HMR2 makes of a prediction: a body, its place before the crop's camera, points in the crop.
fn bodies(set: &Set, golden: &Golden, prediction: &Prediction) {
    let rotations = |from, count| values(&prediction.rotations.narrow(1, from, count).unwrap());
    let params = params(&values(&prediction.betas), &rotations(0, 1), &rotations(1, 23));
    let cameras = values(&prediction.camera);
    let body = body(&set.name);
    let (mut places, mut vertices, mut joints, mut points) = (vec![], vec![], vec![], vec![]);
    for (params, &camera) in params.iter().zip(cameras.as_chunks().0) {
        let posed = body.pose(params);
        let place: Vec3 = translation_in_crop(camera, 256);
        points.extend(posed.joints44.iter().map(|&joint| point_in_crop(joint, place)));
        places.push(place);
        vertices.extend(posed.vertices);
        joints.extend(posed.joints44);
    }
    golden.close("pred_cam_t", places.as_flattened(), 2e-3);
    golden.close("focal_length", &[FOCAL; 4], 0.0);
    golden.close("pred_vertices", vertices.as_flattened(), 5e-5);
    golden.close("pred_keypoints_3d", joints.as_flattened(), 5e-5);
    golden.close("pred_keypoints_2d", points.as_flattened(), 5e-5);
}

#[test]
fn the_manifest_lists_the_networks_tensors() {
    let path = crate::golden::root().join("hmr2/manifest_small.json");
    let Ok(text) = std::fs::read_to_string(&path) else { return };
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    let entries = manifest["tensors"].as_array().unwrap();
    let shapes: HashMap<&str, Vec<u64>> = entries
        .iter()
        .map(|entry| {
            let shape = entry["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
            (entry["key"].as_str().unwrap(), shape)
        })
        .collect();
    let ours = small().tensors();
    assert_eq!(ours.len(), shapes.len());
    for spec in ours {
        let shape: Vec<u64> = spec.shape.iter().map(|&n| n as u64).collect();
        assert_eq!(shapes.get(spec.key.as_str()), Some(&shape), "{}", spec.key);
    }
}
