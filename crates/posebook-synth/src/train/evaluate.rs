//! Evaluates a network on held-out examples.

use super::batch::Batch;
use super::checkpoint::MeanParameters;
use super::generator::CropGenerator;
use super::{Example, Settings, SynthesisSettings, TrainError};
use crate::TRAINING_SEEDS;
use candle_core::{Device, Tensor};
use posebook_core::geometry::Vec3;
use posebook_models::body::BatchedBody;
use posebook_models::body::Body;
use posebook_models::hmr2::Network;
use posebook_models::hmr2::rotations_from_6d;
use posebook_track::metrics::pose::joint_errors;
use serde::Serialize;
use std::sync::Arc;

/// Batch size.
const BATCH: usize = 32;

/// Errors on held-out examples: the mean over people of the mean over the 14 common joints, millimeters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Evaluation {
    /// MPJPE of the network, pelvis-aligned.
    pub mpjpe_mm: f64,
    /// MPJPE after Procrustes alignment.
    pub pa_mpjpe_mm: f64,
    /// MPJPE of a predictor that always returns the mean pose and shape.
    pub mean_pose_mpjpe_mm: f64,
    /// Its MPJPE after Procrustes alignment.
    pub mean_pose_pa_mpjpe_mm: f64,
    /// Number of examples.
    pub people: usize,
}

/// Examples of people, sceneries and walks not used in training: benchmark-like motion without extra bending, and
/// little noise of the boxes.
pub fn held_out_examples(body: Arc<Body>, settings: &Settings, count: usize) -> Vec<Example> {
    let plain = SynthesisSettings {
        bent: 0.0,
        jitter: 0.02,
        turned_everywhere_after: 0,
        turned_at_first: std::f64::consts::PI,
        pictures_per_walk: 4,
        ..settings.drawing.clone()
    };
    // training uses the lower half of its seeds, these the upper half
    let seed = settings.seed + TRAINING_SEEDS.end / 2;
    let mut generator = CropGenerator::new(body, &plain, seed, settings.architecture.image_size);
    (0..count as u64).map(|number| generator.generate(number)).collect()
}

/// Evaluates `network` on `examples`, and the mean pose for comparison.
///
/// # Errors
/// If the network does not fit the examples.
pub fn evaluate(
    network: &Network,
    body: &BatchedBody,
    means: &MeanParameters,
    examples: &[Example],
) -> Result<Evaluation, TrainError> {
    let mean = mean_pose_joints(body, means)?;
    let mut sums = [0f64; 4];
    for some in examples.chunks(BATCH) {
        let batch = Batch::from_examples(some, &Device::Cpu)?;
        let prediction = network.forward(&batch.crops)?;
        let posed = body.forward(&prediction.betas, &prediction.rotations)?;
        let joints = posed.joints44.to_vec3::<f32>()?;
        for (predicted, example) in joints.iter().zip(some) {
            for (index, predicted) in [(0, to_points(predicted)), (2, mean.clone())] {
                let errors = joint_errors(&predicted, &example.joints);
                sums[index] += errors.mpjpe_mm;
                sums[index + 1] += errors.pa_mpjpe_mm.unwrap_or(f64::NAN);
            }
        }
    }
    let [mpjpe, pa, mean_mpjpe, mean_pa] = sums.map(|sum| sum / examples.len().max(1) as f64);
    Ok(Evaluation {
        mpjpe_mm: mpjpe,
        pa_mpjpe_mm: pa,
        mean_pose_mpjpe_mm: mean_mpjpe,
        mean_pose_pa_mpjpe_mm: mean_pa,
        people: examples.len(),
    })
}

fn to_points(rows: &[Vec<f32>]) -> Vec<Vec3> {
    rows.iter().map(|row| [row[0], row[1], row[2]]).collect()
}

/// The 44 joints of the mean pose and shape.
fn mean_pose_joints(body: &BatchedBody, means: &MeanParameters) -> Result<Vec<Vec3>, TrainError> {
    let cpu = &Device::Cpu;
    let rotations = rotations_from_6d(&Tensor::from_slice(&means.pose, (1, 24, 6), cpu)?)?;
    let posed = body.forward(&Tensor::from_slice(&means.betas, (1, 10), cpu)?, &rotations)?;
    Ok(to_points(&posed.joints44.to_vec3::<f32>()?[0]))
}

/// Means over examples: of the first two columns of each rotation (each normalized), shapes and cameras.
///
/// People face all directions, so the first column of the mean orientation is close to zero, and the gradient through its
/// normalization would explode. The mean orientation is therefore replaced: upright and facing the camera, as 4D-Humans'
/// mean does.
pub fn mean_parameters(examples: &[Example]) -> MeanParameters {
    const FACING_CAMERA: [f32; 6] = [1.0, 0.0, 0.0, 0.0, -1.0, 0.0];
    let n = examples.len().max(1) as f32;
    let mut means = MeanParameters { pose: vec![0.0; 144], betas: vec![0.0; 10], camera: vec![0.0; 3] };
    for example in examples {
        let all = std::iter::once(&example.params.global_orient).chain(&example.params.body_pose);
        for (six, rotation) in means.pose.chunks_exact_mut(6).zip(all) {
            for (index, value) in six.iter_mut().enumerate() {
                *value += rotation[index % 3][index / 3] / n;
            }
        }
        means.betas.iter_mut().zip(example.params.betas).for_each(|(mean, beta)| *mean += beta / n);
        means.camera.iter_mut().zip(example.camera).for_each(|(mean, value)| *mean += value / n);
    }
    means.pose[..6].copy_from_slice(&FACING_CAMERA);
    for column in means.pose.chunks_exact_mut(3) {
        let length = column.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-6);
        column.iter_mut().for_each(|x| *x /= length);
    }
    means
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_core::geometry::IDENTITY;
    use posebook_core::person::SmplParams;

    #[test]
    fn mean_rotations_are_stored_by_columns() {
        let params = SmplParams { betas: [2.0; 10], global_orient: IDENTITY, body_pose: [IDENTITY; 23] };
        let example = Example {
            rgb: Vec::new(),
            side: 0,
            params,
            joints: Vec::new(),
            projected: Vec::new(),
            camera: [0.9, 0.0, 0.1],
            part_map: super::super::part_map::PartMap::new(0),
        };
        let means = mean_parameters(&[example.clone(), example]);
        assert_eq!(&means.pose[..6], &[1.0, 0.0, 0.0, 0.0, -1.0, 0.0]);
        assert_eq!(&means.pose[6..12], &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        assert_eq!((means.betas[3], means.camera[2]), (2.0, 0.1));
    }
}
