//! Normalization of pose vectors by the mean and deviation of each value.

use posebook_core::appearance::POSE_VECTOR_LENGTH;

/// Added to the deviations, as in the reference.
const EPS: f32 = 1e-10;

/// Mean and deviation of each value of a pose vector.
#[derive(Debug, Clone)]
pub struct Normalizer {
    mean: [f32; POSE_VECTOR_LENGTH],
    deviation: [f32; POSE_VECTOR_LENGTH],
}

impl Normalizer {
    /// From the first values' means and deviations; the other values keep mean 0 and deviation 1.
    ///
    /// # Errors
    /// If there are more than a pose vector has, or a deviation is not positive.
    pub fn new(mean: &[f32], deviation: &[f32]) -> Result<Normalizer, String> {
        if mean.len() != deviation.len() || mean.len() > POSE_VECTOR_LENGTH {
            let (means, deviations) = (mean.len(), deviation.len());
            return Err(format!(
                "`mean` has {means} and `std` {deviations} columns; both need the same number, at most {POSE_VECTOR_LENGTH}"
            ));
        }
        if let Some(index) = deviation.iter().position(|value| *value < 0.0 || value.is_nan()) {
            return Err(format!(
                "value {index} of `std` is {}, but a deviation is not negative",
                deviation[index]
            ));
        }
        let mut normalizer =
            Normalizer { mean: [0.0; POSE_VECTOR_LENGTH], deviation: [1.0; POSE_VECTOR_LENGTH] };
        normalizer.mean[..mean.len()].copy_from_slice(mean);
        normalizer.deviation[..mean.len()].copy_from_slice(deviation);
        Ok(normalizer)
    }

    /// Appends a normalized pose vector.
    pub fn push(&self, pose: &[f32; POSE_VECTOR_LENGTH], out: &mut Vec<f32>) {
        let rows = self.mean.iter().zip(&self.deviation);
        out.extend(
            pose.iter().zip(rows).map(|(value, (mean, deviation))| (value - mean) / (deviation + EPS)),
        );
    }
}
