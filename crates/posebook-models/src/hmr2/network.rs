//! HMR2's network, from a normalized crop to SMPL parameters and a camera (Goel et al. 2023).
//!
//! Built from any `VarBuilder`: of tensors from a file for inference, or of variables for training. Every operator
//! has a gradient.

use super::backbone::{ActivationCallback, Backbone};
use super::config::Config;
use super::head::{Prediction, SmplHead};
use crate::nn::AttentionPath;
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

/// HMR2's network: backbone and head.
#[derive(Debug, Clone)]
pub struct Network {
    backbone: Backbone,
    head: SmplHead,
    image_size: usize,
    side_cut: usize,
}

impl Network {
    /// Reads the tensors `backbone.*` and `smpl_head.*`.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    pub fn load(config: &Config, vb: VarBuilder) -> Result<Network> {
        Ok(Network {
            backbone: Backbone::load(config, vb.pp("backbone"))?,
            head: SmplHead::load(config, vb.pp("smpl_head"))?,
            image_size: config.image_size,
            side_cut: config.side_cut(),
        })
    }

    /// Predicts a body for every crop. On the CPU without gradients, the prediction for a crop does not depend on the
    /// rest of the batch, bit for bit, if the backbone's tokens have more than 64 values.
    ///
    /// # Shapes
    /// `crops` `(b, 3, image_size, image_size)`, normalized RGB.
    ///
    /// # Errors
    /// If the crops have another size.
    pub fn forward(&self, crops: &Tensor) -> Result<Prediction> {
        self.forward_with_activations(crops, &mut |_, _| ())
    }

    /// As [`Network::forward`]; the callback receives the activations of the layers.
    ///
    /// # Errors
    /// If the crops have another size.
    pub fn forward_with_activations(
        &self,
        crops: &Tensor,
        on_activation: ActivationCallback,
    ) -> Result<Prediction> {
        let middle = crops.narrow(3, self.side_cut, self.image_size - 2 * self.side_cut)?;
        let features = self.backbone.forward(&middle, on_activation)?;
        drop(middle);
        let b = features.dim(0)?;
        if b <= 1 || features.track_op() || !features.device().is_cpu() {
            return self.head.forward(&features, on_activation);
        }
        // The head has one row per crop, and candle's CPU products sum in an order that depends on the number of
        // rows. One crop at a time costs almost nothing and makes results independent of the batch.
        let singles = (0..b).map(|crop| self.head.forward(&features.narrow(0, crop, 1)?, on_activation));
        Prediction::cat(&singles.collect::<Result<Vec<_>>>()?)
    }

    /// The same network with another way to compute the backbone's attention. To train, choose
    /// [`AttentionPath::Training`].
    pub fn with_attention(mut self, path: AttentionPath) -> Network {
        self.backbone.set_attention(path);
        self
    }

    /// The vision transformer.
    pub fn backbone(&self) -> &Backbone {
        &self.backbone
    }

    /// The decoder.
    pub fn head(&self) -> &SmplHead {
        &self.head
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device, Var};
    use posebook_core::random::stream;
    use std::collections::HashMap;

    fn config() -> Config {
        let mut config = Config::hmr2();
        config.image_size = 64;
        (config.backbone.dim, config.backbone.depth, config.backbone.heads) = (16, 2, 2);
        let head = &mut config.head;
        (head.dim, head.depth, head.heads, head.dim_head, head.mlp_dim) = (16, 2, 2, 8, 32);
        config
    }

    fn draws(name: &str, shape: &[usize]) -> Tensor {
        let mut draws = stream(3, name, &[]);
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| (draws.normal() * 0.3) as f32).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    /// A scalar that depends on every output.
    fn loss(weights: &HashMap<String, Tensor>, crops: &Tensor) -> Tensor {
        let vb = VarBuilder::from_tensors(weights.clone(), DType::F32, &Device::Cpu);
        let out = Network::load(&config(), vb).unwrap().forward(crops).unwrap();
        let parts = [out.rotations.flatten_from(1).unwrap(), out.betas, out.camera];
        let all = Tensor::cat(&parts, 1).unwrap();
        (all.sqr().unwrap() * draws("loss", all.dims())).unwrap().sum_all().unwrap()
    }

    #[test]
    fn every_weight_has_a_gradient_that_matches_finite_differences() {
        let crops = draws("crops", &[2, 3, 64, 64]);
        let variables: Vec<(String, Var)> = config()
            .tensors()
            .into_iter()
            .map(|spec| (spec.key.clone(), Var::from_tensor(&draws(&spec.key, &spec.shape)).unwrap()))
            .collect();
        let weights = |shift: &dyn Fn(&str, &Var) -> Tensor| -> HashMap<String, Tensor> {
            variables.iter().map(|(key, variable)| (key.clone(), shift(key, variable))).collect()
        };
        let here = loss(&weights(&|_, variable| variable.as_tensor().clone()), &crops);
        let gradients = here.backward().unwrap();
        for (key, variable) in &variables {
            let gradient = gradients.get(variable).unwrap_or_else(|| panic!("{key} has no gradient"));
            // central difference along a random direction
            let direction = draws(&format!("direction {key}"), variable.dims());
            let moved = |by: f64| {
                let shift = |other: &str, variable: &Var| {
                    let value = variable.as_tensor().detach();
                    if other == key { (value + (&direction * by).unwrap()).unwrap() } else { value }
                };
                f64::from(loss(&weights(&shift), &crops).to_scalar::<f32>().unwrap())
            };
            let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            let expected = (gradient * &direction).unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
            let error = (slope - f64::from(expected)).abs();
            assert!(error < 0.02 * slope.abs() + 0.02, "{key}: slope {slope}, gradient {expected}");
        }
    }
}
