//! Golden 02: SMPL's forward pass, for one body and for a batch of tensors.

use super::body::{params, synthetic_body};
use super::check::{CheckRecorder, Tolerance};
use super::golden::{GoldenSet, values};
use super::{ParityError, Stage};
use candle_core::{Device, Tensor};
use posebook_core::geometry::{IDENTITY, Vec3};
use posebook_core::person::{JOINTS, SmplParams};
use posebook_models::body::BatchedBody;
use posebook_models::body::update_hips;

const METERS: Tolerance = Tolerance::Absolute(5e-6);

/// Compares posed bodies.
pub fn posed(set: &GoldenSet, checks: &mut CheckRecorder) -> Result<(), ParityError> {
    let golden = set.golden(Stage::Smpl, "02_smpl")?;
    let body = synthetic_body(set)?;
    let params = params(&golden.f32("betas")?, &golden.f32("global_orient")?, &golden.f32("body_pose")?);
    let posed: Vec<_> = params.iter().map(|params| body.pose(params)).collect();
    let vertices: Vec<Vec3> = posed.iter().flat_map(|one| one.vertices.iter().copied()).collect();
    checks.compare_tensor(&golden, "vertices", vertices.as_flattened(), METERS, "m")?;
    let mut joints: Vec<Vec3> = posed.iter().flat_map(|one| one.joints44.iter().copied()).collect();
    checks.compare_tensor(&golden, "joints", joints.as_flattened(), METERS, "m")?;
    let extra_vertices = golden.metadata_numbers("/extra_joints_idxs")?;
    let of_smplx: Vec<Vec3> = posed
        .iter()
        .flat_map(|one| {
            let extra = extra_vertices.iter().map(|&vertex| one.vertices[vertex as usize]);
            one.joints24.iter().copied().chain(extra)
        })
        .collect();
    checks.compare_tensor(&golden, "joints45_smplx", of_smplx.as_flattened(), METERS, "m")?;
    joints.chunks_exact_mut(JOINTS).for_each(update_hips);
    checks.compare_tensor(&golden, "joints_update_hips", joints.as_flattened(), METERS, "m")
}

/// Compares the rest pose.
pub fn at_rest(set: &GoldenSet, checks: &mut CheckRecorder) -> Result<(), ParityError> {
    let golden = set.golden(Stage::Smpl, "02_smpl")?;
    let rest = SmplParams { betas: [0.0; 10], global_orient: IDENTITY, body_pose: [IDENTITY; 23] };
    let posed = synthetic_body(set)?.pose(&rest);
    checks.compare_tensor(&golden, "rest_joints", posed.joints44.as_flattened(), METERS, "m")?;
    let stride = golden.metadata_number("/vertex_stride_rest")?.max(1.0) as usize;
    let sample: Vec<Vec3> = posed.vertices.iter().copied().step_by(stride).collect();
    checks.compare_tensor(&golden, "rest_vertices_sample", sample.as_flattened(), METERS, "m")
}

/// Compares the batched forward pass.
pub fn as_tensors(set: &GoldenSet, device: &Device, checks: &mut CheckRecorder) -> Result<(), ParityError> {
    let golden = set.golden(Stage::Smpl, "02_smpl")?;
    let body = BatchedBody::new(&synthetic_body(set)?, device)?;
    let orients = golden.tensor("global_orient")?.clone();
    let rotations = Tensor::cat(&[orients, golden.tensor("body_pose")?.clone()], 1)?.to_device(device)?;
    let posed = body.forward(&golden.tensor("betas")?.to_device(device)?, &rotations)?;
    for (key, got) in [("vertices", &posed.vertices), ("joints", &posed.joints44)] {
        let got: Vec<f64> = values(got)?.into_iter().map(f64::from).collect();
        let what = format!("{key}, as tensors");
        checks.compare(&golden, &what, &got, &golden.f64(key)?, METERS, "m")?;
    }
    Ok(())
}
