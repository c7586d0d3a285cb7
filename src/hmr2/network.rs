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

    pub fn backbone(&self) -> &Backbone {
        &self.backbone
    }

    pub fn head(&self) -> &SmplHead {
        &self.head
    }
}
