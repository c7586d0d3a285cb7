//! AdamW (Loshchilov and Hutter 2019), Muon for the backbone's matrices, and a running average of the weights. The state is
//! accessible, so that it can be saved and restored.

use super::LearningSettings;
use super::muon::orthogonalize;
use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};

const BETA1: f32 = 0.9;
const BETA2: f32 = 0.98;
const EPS: f32 = 1e-8;
/// Muon's momentum (Nesterov).
const MOMENTUM: f32 = 0.95;

/// A weight with its optimizer state.
pub struct Weight {
    /// Its key in a checkpoint.
    pub name: String,
    /// The variable that the network uses.
    pub var: Var,
    /// Current values, C order.
    pub value: Vec<f32>,
    /// Running mean of the gradient.
    pub first_moment: Vec<f32>,
    /// Running mean of the squared gradient (AdamW only).
    pub second_moment: Vec<f32>,
    /// Running average of the values.
    pub average: Vec<f32>,
    /// Whether weight decay applies: to matrices, not to biases, norms and position embeddings.
    decays: bool,
    /// For weights trained by Muon: rows of each matrix in it.
    rows: Option<usize>,
}

impl Weight {
    /// Starts from the variable's values.
    ///
    /// # Errors
    /// If the variable cannot be read.
    pub fn new(name: String, var: Var) -> Result<Weight> {
        let value = var.as_tensor().flatten_all()?.to_vec1::<f32>()?;
        let decays = name.ends_with(".weight") && var.rank() > 1;
        // queries, keys and values are three matrices in one tensor
        let dims = var.dims();
        let rows = (name.contains("blocks.") && decays).then(|| match name.contains("qkv") {
            true => dims[0] / 3,
            false => dims[0],
        });
        let zeros = vec![0.0; value.len()];
        Ok(Weight {
            name,
            var,
            first_moment: zeros.clone(),
            second_moment: zeros,
            average: value.clone(),
            value,
            decays,
            rows,
        })
    }
}

impl Weight {
    /// One step of Muon, scaled to the size of an AdamW step at the same rate (Liu et al. 2025).
    fn muon_step(&mut self, gradient: &[f32], rows: usize, rate: f64, decay: f64, keep: f32) -> Result<()> {
        let columns = self.var.dim(1)?;
        let ahead = self.first_moment.iter_mut().zip(gradient).map(|(momentum, g)| {
            *momentum = MOMENTUM * *momentum + (1.0 - MOMENTUM) * g;
            MOMENTUM * *momentum + (1.0 - MOMENTUM) * g
        });
        let ahead: Vec<f32> = ahead.collect();
        let size = rate * 0.2 * (rows.max(columns) as f64).sqrt();
        let matrices = ahead.chunks_exact(rows * columns).zip(self.value.chunks_exact_mut(rows * columns));
        for (direction, values) in matrices {
            let direction = Tensor::from_slice(direction, (rows, columns), self.var.device())?;
            let direction = orthogonalize(&direction)?.flatten_all()?.to_vec1::<f32>()?;
            for (value, direction) in values.iter_mut().zip(direction) {
                *value = *value * (1.0 - rate * decay) as f32 - size as f32 * direction;
            }
        }
        for (average, value) in self.average.iter_mut().zip(&self.value) {
            *average = keep * *average + (1.0 - keep) * value;
        }
        self.var.set(&Tensor::from_slice(&self.value, self.var.shape(), self.var.device())?)
    }
}

/// All trained weights.
pub struct Optimizer {
    pub weights: Vec<Weight>,
    /// Steps taken.
    pub step: usize,
}

impl Optimizer {
    /// One step; `schedule` scales the rates. Returns the norm of the gradient before clipping.
    ///
    /// # Errors
    /// If a gradient cannot be read.
    pub fn step(&mut self, gradients: &GradStore, schedule: f64, learning: &LearningSettings) -> Result<f64> {
        let rate = learning.rate * schedule;
        let read = |weight: &Weight| -> Result<Option<Vec<f32>>> {
            let gradient = gradients.get(weight.var.as_tensor());
            gradient.map(|gradient| gradient.flatten_all()?.to_vec1::<f32>()).transpose()
        };
        let all: Vec<Option<Vec<f32>>> = self.weights.iter().map(read).collect::<Result<_>>()?;
        let square: f64 = all.iter().flatten().map(|g| g.iter().map(|x| x * x).sum::<f32>() as f64).sum();
        let length = square.sqrt();
        let cut = (learning.clip / length.max(1e-12)).min(1.0) as f32;
        self.step += 1;
        let t = self.step as i32;
        let bias1 = 1.0 - BETA1.powi(t);
        let bias2 = (1.0 - BETA2.powi(t)).sqrt();
        let step_size = rate as f32 / bias1;
        // a short average at first, so that the initial weights are soon forgotten
        let keep = learning.average.min((1.0 + self.step as f64) / (10.0 + self.step as f64)) as f32;
        for (weight, gradient) in self.weights.iter_mut().zip(&all) {
            let Some(gradient) = gradient else { continue };
            if let Some(rows) = weight.rows {
                weight.muon_step(
                    gradient,
                    rows,
                    learning.matrix_rate * schedule,
                    learning.weight_decay,
                    keep,
                )?;
                continue;
            }
            let decay = if weight.decays { 1.0 - (rate * learning.weight_decay) as f32 } else { 1.0 };
            let moments = weight.first_moment.iter_mut().zip(&mut weight.second_moment);
            let values = weight.value.iter_mut().zip(&mut weight.average);
            for (((m, v), (value, average)), g) in moments.zip(values).zip(gradient) {
                let g = g * cut;
                *m = BETA1 * *m + (1.0 - BETA1) * g;
                *v = BETA2 * *v + (1.0 - BETA2) * g * g;
                *value = *value * decay - step_size * *m / (v.sqrt() / bias2 + EPS);
                *average = keep * *average + (1.0 - keep) * *value;
            }
            let shape = weight.var.shape().clone();
            weight.var.set(&Tensor::from_slice(&weight.value, shape, weight.var.device())?)?;
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn a_quadratic_is_minimized() {
        let var = Var::from_vec(vec![3.0f32, -2.0], 2, &Device::Cpu).unwrap();
        let weight = Weight::new("x".into(), var.clone()).unwrap();
        let mut optimizer = Optimizer { weights: vec![weight], step: 0 };
        let learning = LearningSettings { rate: 0.05, ..LearningSettings::default() };
        for _ in 0..400 {
            let loss = (var.as_tensor() - 1.0).unwrap().sqr().unwrap().sum_all().unwrap();
            optimizer.step(&loss.backward().unwrap(), 1.0, &learning).unwrap();
        }
        let values = var.as_tensor().to_vec1::<f32>().unwrap();
        assert!(values.iter().all(|x| (x - 1.0).abs() < 0.02), "{values:?}");
        assert!(optimizer.weights[0].average.iter().all(|x| (x - 1.0).abs() < 0.3));
    }
}
