//! RegNetY with a feature pyramid: the backbone of the detector `regnety`.
//!
//! In: normalized images `(b, h, w, 3)`. Out: p2 to p6. A block is a 1 x 1, a grouped 3 x 3 and a 1 x 1 convolution with a
//! squeeze-excite gate before the last one, and a shortcut around all. Sources: Radosavovic et al. 2020 and detectron2's
//! `RegNet`.

use super::budget::Budget;
use super::config::{Norm, RegNetY};
use super::fpn::{self, Fpn};
use super::layers::{Activation, Conv2d, ConvSpec, Loader};
use super::squeeze_excite::SqueezeExcite;
use candle_core::{Result, Tensor};

/// A RegNetY with its pyramid.
#[derive(Debug)]
pub struct RegNetBackbone {
    stem: Conv2d,
    /// Blocks of each stage.
    stages: Vec<Vec<Block>>,
    fpn: Fpn,
    values_per_pixel: usize,
}

impl RegNetBackbone {
    /// Reads `bottom_up` and the convolutions of the pyramid below `loader`.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape, or there are not four stages.
    pub fn load(sizes: &RegNetY, out_channels: usize, loader: &Loader) -> Result<RegNetBackbone> {
        let bottom_up = loader.pp("bottom_up");
        let stem = bottom_up.pp("stem");
        let stem_spec =
            ConvSpec { inputs: 3, outputs: sizes.stem, kernel: 3, stride: 2, padding: 1, groups: 1 };
        let mut inputs = sizes.stem;
        let mut stages = Vec::with_capacity(sizes.widths.len());
        for (stage, (&outputs, &depth)) in sizes.widths.iter().zip(&sizes.depths).enumerate() {
            let mut blocks = Vec::with_capacity(depth);
            for block in 0..depth {
                // the first block of a stage halves the map
                let stride = if block == 0 { 2 } else { 1 };
                let loader = bottom_up.pp(format!("s{}.b{}", stage + 1, block + 1));
                blocks.push(Block::load(sizes, [inputs, outputs], stride, &loader)?);
                inputs = outputs;
            }
            stages.push(blocks);
        }
        Ok(RegNetBackbone {
            stem: stem.pp("conv").conv_batch_norm(&stem.pp("bn"), stem_spec, Activation::Relu)?,
            stages,
            fpn: Fpn::load(&sizes.widths, out_channels, Norm::Batch, loader)?,
            values_per_pixel: values_per_pixel(sizes),
        })
    }

    /// p2 to p6, each `(b, h, w, out_channels)`, of normalized and padded images `(b, h, w, 3)`. `on_activation` gets the maps
    /// `stem`, `s1.b1` (after each block) and `p2` to `p6`, and of each block its gate `s1.b1.gate` `(b, 1, 1, c)` and the map
    /// `s1.b1.gated` before the last convolution. `budget` limits how many images are computed together.
    ///
    /// # Errors
    /// If the sides are not multiples of 32, or the device fails.
    pub fn forward(
        &self,
        pixels: &Tensor,
        budget: Budget,
        on_activation: &mut dyn FnMut(&str, &Tensor),
    ) -> Result<Vec<Tensor>> {
        fpn::in_chunks(pixels, budget, self.values_per_pixel, |pixels| {
            let mut x = self.stem.forward(pixels)?;
            on_activation("stem", &x);
            let mut maps = Vec::with_capacity(self.stages.len());
            for (stage, blocks) in self.stages.iter().enumerate() {
                for (index, block) in blocks.iter().enumerate() {
                    let name = format!("s{}.b{}", stage + 1, index + 1);
                    x = block.forward(x, &name, on_activation)?;
                    on_activation(&name, &x);
                }
                maps.push(x.clone());
            }
            drop(x);
            self.fpn.forward(maps, on_activation)
        })
    }
}

/// Values that the largest buffers of a pass hold for each pixel of an image: the stem's map, and the first block's widened
/// one before it is halved, both at half of the image's sides.
pub(super) fn values_per_pixel(sizes: &RegNetY) -> usize {
    (sizes.stem + 2 * sizes.widths.first().copied().unwrap_or(0)).div_ceil(4)
}

/// A residual block.
#[derive(Debug)]
struct Block {
    /// Changes the channels and the size of the shortcut, where the block does.
    projection: Option<Conv2d>,
    widen: Conv2d,
    grouped: Conv2d,
    gate: SqueezeExcite,
    narrow: Conv2d,
}

impl Block {
    fn load(sizes: &RegNetY, [inputs, outputs]: [usize; 2], stride: usize, loader: &Loader) -> Result<Block> {
        let pointwise = ConvSpec { inputs, outputs, kernel: 1, stride: 1, padding: 0, groups: 1 };
        let grouped = ConvSpec {
            inputs: outputs,
            kernel: 3,
            stride,
            padding: 1,
            groups: outputs / sizes.group_width.max(1),
            ..pointwise
        };
        let conv = |name: &str, spec, activation| {
            let norm = loader.pp(format!("f.{name}_bn"));
            loader.pp("f").pp(name).conv_batch_norm(&norm, spec, activation)
        };
        let projection = (inputs != outputs || stride != 1).then(|| {
            let spec = ConvSpec { stride, ..pointwise };
            loader.pp("proj").conv_batch_norm(&loader.pp("bn"), spec, Activation::None)
        });
        // of the block's input, not of the map that the gate is computed of
        let squeezed = sizes.squeezed(inputs);
        Ok(Block {
            projection: projection.transpose()?,
            widen: conv("a", pointwise, Activation::Relu)?,
            grouped: conv("b", grouped, Activation::Relu)?,
            gate: SqueezeExcite::load(outputs, squeezed, &loader.pp("f.se.f_ex"))?,
            // its activation follows the sum with the shortcut
            narrow: conv("c", ConvSpec { inputs: outputs, ..pointwise }, Activation::Relu)?,
        })
    }

    fn forward(&self, x: Tensor, name: &str, on_activation: &mut dyn FnMut(&str, &Tensor)) -> Result<Tensor> {
        let map = self.grouped.forward(&self.widen.forward(&x)?)?;
        let gate = self.gate.gate(&map)?;
        on_activation(&format!("{name}.gate"), &gate);
        let map = self.gate.apply(map, &gate)?;
        on_activation(&format!("{name}.gated"), &map);
        let shortcut = match &self.projection {
            Some(projection) => projection.forward(&x)?,
            None => x,
        };
        self.narrow.forward_add(&map, &shortcut)
    }
}
