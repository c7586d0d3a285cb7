//! The 3 x 3 convolutions that the heads begin with, each followed by its norm and a ReLU.

use super::relu::relu;
use crate::detect::mask_rcnn::config::Norm;
use crate::detect::mask_rcnn::layers::{Activation, Conv2d, ConvSpec, Loader};
use crate::nn::LayerNorm;
use candle_core::{Module, Result, Tensor};

/// Convolutions that keep size and channels of a map.
#[derive(Debug)]
pub struct Convolutions {
    layers: Vec<(Conv2d, Option<LayerNorm>)>,
}

impl Convolutions {
    /// Reads `count` convolutions `name1`, `name2`, ... below `loader`.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    pub fn load(
        count: usize,
        norm: Norm,
        channels: usize,
        name: &str,
        loader: &Loader,
    ) -> Result<Convolutions> {
        let spec =
            ConvSpec { inputs: channels, outputs: channels, kernel: 3, stride: 1, padding: 1, groups: 1 };
        let load = |index: usize| {
            let loader = loader.pp(format!("{name}{index}"));
            let norm_loader = loader.pp("norm");
            Ok(match norm {
                Norm::None => (loader.conv(spec, Activation::Relu)?, None),
                Norm::Batch => (loader.conv_batch_norm(&norm_loader, spec, Activation::Relu)?, None),
                Norm::Layer => {
                    (loader.conv_no_bias(spec, Activation::None)?, Some(norm_loader.layer_norm(channels)?))
                }
            })
        };
        Ok(Convolutions { layers: (1..=count).map(load).collect::<Result<_>>()? })
    }

    /// Applies all layers, one after another.
    ///
    /// # Shapes
    /// `(n, side, side, channels)` to the same.
    ///
    /// # Errors
    /// If the device fails.
    pub fn forward(&self, mut x: Tensor) -> Result<Tensor> {
        for (convolution, norm) in &self.layers {
            x = convolution.forward(&x)?;
            if let Some(norm) = norm {
                x = relu(norm.forward(&x)?)?;
            }
        }
        Ok(x)
    }
}
