//! Golden 02: SMPL's forward pass, on plain numbers and on tensors.

use super::body::{made_up_body, params};
use super::check::{Bound, Ledger};
use super::golden::{Set, values};
use super::{ParityError, Stage};
use crate::body::tensor::TensorBody;
use crate::body::update_hips;
use crate::geometry::{IDENTITY, Vec3};
use crate::person::{JOINTS, SmplParams};
use candle_core::{Device, Tensor};

const METRES: Bound = Bound::Absolute(5e-6);

pub fn posed(set: &Set, ledger: &mut Ledger) -> Result<(), ParityError> {
    let golden = set.golden(Stage::Smpl, "02_smpl")?;
    let body = made_up_body(set)?;
    let asked = params(&golden.f32("betas")?, &golden.f32("global_orient")?, &golden.f32("body_pose")?);
    let posed: Vec<_> = asked.iter().map(|params| body.pose(params)).collect();
    let vertices: Vec<Vec3> = posed.iter().flat_map(|one| one.vertices.iter().copied()).collect();
    ledger.close(&golden, "vertices", vertices.as_flattened(), METRES, "m")?;
    let mut joints: Vec<Vec3> = posed.iter().flat_map(|one| one.joints44.iter().copied()).collect();
    ledger.close(&golden, "joints", joints.as_flattened(), METRES, "m")?;
    let picked = golden.numbers("/extra_joints_idxs")?;
    let of_smplx: Vec<Vec3> = posed
        .iter()
        .flat_map(|one| {
            let picked = picked.iter().map(|&vertex| one.vertices[vertex as usize]);
            one.joints24.iter().copied().chain(picked)
        })
        .collect();
    ledger.close(&golden, "joints45_smplx", of_smplx.as_flattened(), METRES, "m")?;
    joints.chunks_exact_mut(JOINTS).for_each(update_hips);
    ledger.close(&golden, "joints_update_hips", joints.as_flattened(), METRES, "m")
}

pub fn at_rest(set: &Set, ledger: &mut Ledger) -> Result<(), ParityError> {
    let golden = set.golden(Stage::Smpl, "02_smpl")?;
    let rest = SmplParams { betas: [0.0; 10], global_orient: IDENTITY, body_pose: [IDENTITY; 23] };
    let posed = made_up_body(set)?.pose(&rest);
    ledger.close(&golden, "rest_joints", posed.joints44.as_flattened(), METRES, "m")?;
    let stride = golden.number("/vertex_stride_rest")?.max(1.0) as usize;
    let sample: Vec<Vec3> = posed.vertices.iter().copied().step_by(stride).collect();
    ledger.close(&golden, "rest_vertices_sample", sample.as_flattened(), METRES, "m")
}

pub fn as_tensors(set: &Set, device: &Device, ledger: &mut Ledger) -> Result<(), ParityError> {
    let golden = set.golden(Stage::Smpl, "02_smpl")?;
    let body = TensorBody::new(&made_up_body(set)?, device)?;
    let turns = golden.tensor("global_orient")?.clone();
    let rotations = Tensor::cat(&[turns, golden.tensor("body_pose")?.clone()], 1)?.to_device(device)?;
    let posed = body.forward(&golden.tensor("betas")?.to_device(device)?, &rotations)?;
    for (key, got) in [("vertices", &posed.vertices), ("joints", &posed.joints44)] {
        let got: Vec<f64> = values(got)?.into_iter().map(f64::from).collect();
        let what = format!("{key}, as tensors");
        ledger.numbers(&golden, &what, &got, &golden.f64(key)?, METRES, "m")?;
    }
    Ok(())
}
