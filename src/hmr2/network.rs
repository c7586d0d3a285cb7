//! HMR2's network, from a normalised crop to a body and a camera (Goel et al. 2023).
//!
//! Built from any `VarBuilder`: of tensors read from a file to infer, of a `VarMap` to train; every
//! operator has a gradient.

use super::backbone::{Backbone, Watch};
use super::config::Config;
use super::head::{Prediction, SmplHead};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

/// Backbone and head.
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
    /// If a tensor is missing or misshapen.
    pub fn load(config: &Config, vb: VarBuilder) -> Result<Network> {
        Ok(Network {
            backbone: Backbone::load(config, vb.pp("backbone"))?,
            head: SmplHead::load(config, vb.pp("smpl_head"))?,
            image_size: config.image_size,
            side_cut: config.side_cut(),
        })
    }

    /// A body for every crop. On the CPU, and without a gradient, a crop's body does not depend on the
    /// others in the batch to the last bit, where the backbone's tokens have more than 64 numbers.
    ///
    /// # Shapes
    /// `crops` `(b, 3, image_size, image_size)`, normalised RGB.
    ///
    /// # Errors
    /// If the crops have another size.
    pub fn forward(&self, crops: &Tensor) -> Result<Prediction> {
        self.forward_watched(crops, &mut |_, _| ())
    }

    /// As [`Network::forward`], showing what is computed on the way.
    ///
    /// # Errors
    /// If the crops have another size.
    pub fn forward_watched(&self, crops: &Tensor, watch: Watch) -> Result<Prediction> {
        let middle = crops.narrow(3, self.side_cut, self.image_size - 2 * self.side_cut)?;
        let features = self.backbone.forward(&middle, watch)?;
        drop(middle);
        let b = features.dim(0)?;
        if b <= 1 || features.track_op() || !features.device().is_cpu() {
            return self.head.forward(&features, watch);
        }
        // The head has one row per crop, and candle's CPU products sum in an order that depends on the
        // number of rows. One crop at a time costs next to nothing and makes a batch equal its singles.
        let singles = (0..b).map(|crop| self.head.forward(&features.narrow(0, crop, 1)?, watch));
        Prediction::cat(&singles.collect::<Result<Vec<_>>>()?)
    }

    /// The same network with attention in one kernel, or not; see [`crate::nn::SelfAttention::fused`].
    pub fn with_fused_attention(mut self, fused: bool) -> Network {
        self.backbone.fuse_attention(fused);
        self
    }

    pub fn backbone(&self) -> &Backbone {
        &self.backbone
    }

    pub fn head(&self) -> &SmplHead {
        &self.head
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;
    use candle_core::{DType, Device, Var};
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

    /// A number that every output has a part in.
    fn loss(weights: &HashMap<String, Tensor>, crops: &Tensor) -> Tensor {
        let vb = VarBuilder::from_tensors(weights.clone(), DType::F32, &Device::Cpu);
        let out = Network::load(&config(), vb).unwrap().forward(crops).unwrap();
        let parts = [out.rotations.flatten_from(1).unwrap(), out.betas, out.camera];
        let all = Tensor::cat(&parts, 1).unwrap();
        (all.sqr().unwrap() * draws("loss", all.dims())).unwrap().sum_all().unwrap()
    }

    #[test]
    fn every_weight_is_reached_by_a_true_gradient() {
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
            // along a random direction the loss changes as the gradient says
            let direction = draws(&format!("direction {key}"), variable.dims());
            let moved = |by: f64| {
                let shift = |other: &str, variable: &Var| {
                    let at = variable.as_tensor().detach();
                    if other == key { (at + (&direction * by).unwrap()).unwrap() } else { at }
                };
                f64::from(loss(&weights(&shift), &crops).to_scalar::<f32>().unwrap())
            };
            let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            let told = (gradient * &direction).unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
            let error = (slope - f64::from(told)).abs();
            assert!(error < 0.02 * slope.abs() + 0.02, "{key}: slope {slope}, gradient {told}");
        }
    }
}
