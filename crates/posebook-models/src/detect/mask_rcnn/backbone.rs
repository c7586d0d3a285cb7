//! The backbone that a configuration has.

use super::budget::Budget;
use super::config;
use super::layers::Loader;
use super::regnet::RegNetBackbone;
use super::resnext::ResNeXtBackbone;
use super::vit::VitBackbone;
use candle_core::{Result, Tensor};

/// One of the backbones.
#[derive(Debug)]
pub(super) enum BackboneNetwork {
    Vit(Box<VitBackbone>),
    Regnety(Box<RegNetBackbone>),
    Resnext(Box<ResNeXtBackbone>),
}

impl BackboneNetwork {
    /// Reads it from a loader of `backbone`.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    pub(super) fn load(
        sizes: &config::Backbone,
        channels: usize,
        loader: &Loader,
    ) -> Result<BackboneNetwork> {
        Ok(match sizes {
            config::Backbone::Vit(sizes) => {
                BackboneNetwork::Vit(Box::new(VitBackbone::load(sizes, channels, loader)?))
            }
            config::Backbone::Regnety(sizes) => {
                BackboneNetwork::Regnety(Box::new(RegNetBackbone::load(sizes, channels, loader)?))
            }
            config::Backbone::Resnext(sizes) => {
                BackboneNetwork::Resnext(Box::new(ResNeXtBackbone::load(sizes, channels, loader)?))
            }
        })
    }

    /// The maps p2 to p6 of images.
    ///
    /// # Shapes
    /// `pixels` `(b, h, w, 3)`, normalized and padded; each map `(b, h', w', channels)`.
    ///
    /// # Errors
    /// If the device fails.
    pub(super) fn forward(&self, pixels: &Tensor, budget: Budget) -> Result<Vec<Tensor>> {
        match self {
            BackboneNetwork::Vit(network) => network.forward(pixels, budget, &mut |_, _| {}),
            BackboneNetwork::Regnety(network) => network.forward(pixels, budget, &mut |_, _| {}),
            BackboneNetwork::Resnext(network) => network.forward(pixels, budget, &mut |_, _| {}),
        }
    }
}
