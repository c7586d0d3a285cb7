//! HMR2's golden 02: SMPL's forward pass, on plain numbers and on tensors.

use crate::body::{body, params};
use crate::golden::{Golden, sets, values};
use candle_core::{Device, Tensor};
use posebook::body::tensor::TensorBody;
use posebook::body::update_hips;
use posebook::geometry::{IDENTITY, Vec3};
use posebook::person::SmplParams;

/// Metres.
const TOLERANCE: f64 = 5e-6;

fn asked(golden: &Golden) -> Vec<SmplParams> {
    params(&golden.f32("betas"), &golden.f32("global_orient"), &golden.f32("body_pose"))
}

#[test]
fn golden_02_smpl() {
    for set in sets("hmr2") {
        let golden = set.golden("02_smpl");
        let body = body(&set.name);
        let posed: Vec<_> = asked(&golden).iter().map(|params| body.pose(params)).collect();
        let vertices: Vec<Vec3> = posed.iter().flat_map(|one| one.vertices.clone()).collect();
        golden.close("vertices", vertices.as_flattened(), TOLERANCE);
        let joints: Vec<Vec3> = posed.iter().flat_map(|one| one.joints44.clone()).collect();
        golden.close("joints", joints.as_flattened(), TOLERANCE);
        let picked = golden.json["extra_joints_idxs"].as_array().unwrap();
        let picked: Vec<usize> = picked.iter().map(|index| index.as_u64().unwrap() as usize).collect();
        let of_smplx = posed.iter().flat_map(|one| {
            one.joints24.iter().copied().chain(picked.iter().map(|&vertex| one.vertices[vertex]))
        });
        golden.close("joints45_smplx", of_smplx.collect::<Vec<_>>().as_flattened(), TOLERANCE);
        let mut moved = joints;
        moved.chunks_exact_mut(44).for_each(update_hips);
        golden.close("joints_update_hips", moved.as_flattened(), TOLERANCE);
    }
}

#[test]
fn golden_02_smpl_at_rest() {
    for set in sets("hmr2") {
        let golden = set.golden("02_smpl");
        let rest = SmplParams { betas: [0.0; 10], global_orient: IDENTITY, body_pose: [IDENTITY; 23] };
        let posed = body(&set.name).pose(&rest);
        golden.close("rest_joints", posed.joints44.as_flattened(), TOLERANCE);
        let stride = golden.json["vertex_stride_rest"].as_u64().unwrap() as usize;
        let sample: Vec<Vec3> = posed.vertices.iter().copied().step_by(stride).collect();
        golden.close("rest_vertices_sample", sample.as_flattened(), TOLERANCE);
    }
}

#[test]
fn golden_02_smpl_as_tensors() {
    for set in sets("hmr2") {
        let golden = set.golden("02_smpl");
        let body = TensorBody::new(&body(&set.name), &Device::Cpu).unwrap();
        let turns = golden.tensor("global_orient").clone();
        let rotations = Tensor::cat(&[turns, golden.tensor("body_pose").clone()], 1).unwrap();
        let posed = body.forward(golden.tensor("betas"), &rotations).unwrap();
        golden.close("vertices", &values(&posed.vertices), TOLERANCE);
        golden.close("joints", &values(&posed.joints44), TOLERANCE);
    }
}
