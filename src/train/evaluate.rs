//! How good a network is on people it has not seen.

use super::batch::Batch;
use super::checkpoint::Means;
use super::draw::Artist;
use super::{Drawing, Example, Settings, TrainError};
use crate::body::Body;
use crate::body::tensor::TensorBody;
use crate::dataset::TRAINING_SEEDS;
use crate::geometry::Vec3;
use crate::hmr2::Network;
use crate::hmr2::head::rotations_from_6d;
use crate::metrics::pose::joint_errors;
use candle_core::{Device, Tensor};
use serde::Serialize;
use std::sync::Arc;

/// Crops looked at together.
const TOGETHER: usize = 32;

/// Errors over held-out pictures: the mean over people of the mean over the 14 common joints.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Evaluation {
    pub mpjpe_mm: f64,
    pub pa_mpjpe_mm: f64,
    /// The same for a network that always says the mean pose and shape.
    pub mean_pose_mpjpe_mm: f64,
    pub mean_pose_pa_mpjpe_mm: f64,
    pub people: usize,
}

/// Pictures of people, places and ways that training does not see: the benchmark's kind of motion, boxes
/// a little off, nobody bent further.
pub fn held_out(body: Arc<Body>, settings: &Settings, count: usize) -> Vec<Example> {
    let plain = Drawing {
        bent: 0.0,
        jitter: 0.02,
        turned_everywhere_after: 0,
        turned_at_first: std::f64::consts::PI,
        pictures_per_walk: 4,
        ..settings.drawing.clone()
    };
    // training's seeds lie in the lower half of those left to it, these in the upper
    let seed = settings.seed + TRAINING_SEEDS.end / 2;
    let mut artist = Artist::new(body, &plain, seed, settings.architecture.image_size);
    (0..count as u64).map(|number| artist.draw(number)).collect()
}

/// The errors of `network` on `examples`, beside those of the mean.
///
/// # Errors
/// If the network does not fit the pictures.
pub fn evaluate(
    network: &Network,
    body: &TensorBody,
    means: &Means,
    examples: &[Example],
) -> Result<Evaluation, TrainError> {
    let mean = mean_joints(body, means)?;
    let mut sums = [0f64; 4];
    for some in examples.chunks(TOGETHER) {
        let batch = Batch::of(some, &Device::Cpu)?;
        let prediction = network.forward(&batch.crops)?;
        let posed = body.forward(&prediction.betas, &prediction.rotations)?;
        let joints = posed.joints44.to_vec3::<f32>()?;
        for (predicted, example) in joints.iter().zip(some) {
            for (at, predicted) in [(0, points(predicted)), (2, mean.clone())] {
                let errors = joint_errors(&predicted, &example.joints);
                sums[at] += errors.mpjpe_mm;
                sums[at + 1] += errors.pa_mpjpe_mm.unwrap_or(f64::NAN);
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

fn points(rows: &[Vec<f32>]) -> Vec<Vec3> {
    rows.iter().map(|row| [row[0], row[1], row[2]]).collect()
}

/// The 44 joints of the mean pose and shape.
fn mean_joints(body: &TensorBody, means: &Means) -> Result<Vec<Vec3>, TrainError> {
    let cpu = &Device::Cpu;
    let rotations = rotations_from_6d(&Tensor::from_slice(&means.pose, (1, 24, 6), cpu)?)?;
    let posed = body.forward(&Tensor::from_slice(&means.betas, (1, 10), cpu)?, &rotations)?;
    Ok(points(&posed.joints44.to_vec3::<f32>()?[0]))
}

/// The means over pictures: rotations by their first two columns, each brought to length 1; shapes, cameras.
///
/// People face everywhere, so that the first column of the mean orientation all but vanishes, and with it
/// the length that every gradient through the rotation is divided by: the body faces the camera instead,
/// upright, as 4D-Humans' mean does.
pub fn means_of(examples: &[Example]) -> Means {
    const FACING_CAMERA: [f32; 6] = [1.0, 0.0, 0.0, 0.0, -1.0, 0.0];
    let n = examples.len().max(1) as f32;
    let mut means = Means { pose: vec![0.0; 144], betas: vec![0.0; 10], camera: vec![0.0; 3] };
    for example in examples {
        let all = std::iter::once(&example.params.global_orient).chain(&example.params.body_pose);
        for (six, rotation) in means.pose.chunks_exact_mut(6).zip(all) {
            for (at, value) in six.iter_mut().enumerate() {
                *value += rotation[at % 3][at / 3] / n;
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
    use crate::geometry::IDENTITY;
    use crate::person::SmplParams;

    #[test]
    fn means_are_columns() {
        let params = SmplParams { betas: [2.0; 10], global_orient: IDENTITY, body_pose: [IDENTITY; 23] };
        let example = Example {
            rgb: Vec::new(),
            side: 0,
            params,
            joints: Vec::new(),
            projected: Vec::new(),
            camera: [0.9, 0.0, 0.1],
            chart: super::super::chart::Chart::new(0),
        };
        let means = means_of(&[example.clone(), example]);
        assert_eq!(&means.pose[..6], &[1.0, 0.0, 0.0, 0.0, -1.0, 0.0]);
        assert_eq!(&means.pose[6..12], &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        assert_eq!((means.betas[3], means.camera[2]), (2.0, 0.1));
    }
}
