//! ResNeXt with bottleneck blocks and a feature pyramid: the backbone of the detector `x101`.
//!
//! In: normalized images `(b, h, w, 3)`. Out: p2 to p6. A block is a 1 x 1, a grouped 3 x 3 and a 1 x 1 convolution with a
//! shortcut around all; where a stage halves the map, the 3 x 3 convolution and the shortcut do. Sources: Xie et al. 2017 and
//! detectron2's `ResNet` (`STRIDE_IN_1X1` is false).

use super::budget::Budget;
use super::config::{Norm, ResNeXt};
use super::fpn::{self, Fpn};
use super::layers::{Activation, Conv2d, ConvSpec, Loader, max_pool};
use candle_core::{Result, Tensor};

/// A ResNeXt with its pyramid.
#[derive(Debug)]
pub struct ResNeXtBackbone {
    stem: Conv2d,
    /// Blocks of each stage.
    stages: Vec<Vec<Block>>,
    fpn: Fpn,
    values_per_pixel: usize,
}

impl ResNeXtBackbone {
    /// Reads `bottom_up` and the convolutions of the pyramid below `loader`.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape, or there are not four stages.
    pub fn load(sizes: &ResNeXt, out_channels: usize, loader: &Loader) -> Result<ResNeXtBackbone> {
        let bottom_up = loader.pp("bottom_up");
        let stem = ConvSpec { inputs: 3, outputs: sizes.stem, kernel: 7, stride: 2, padding: 3, groups: 1 };
        let mut inputs = sizes.stem;
        let (mut stages, mut widths) = (Vec::new(), Vec::new());
        for (stage, &depth) in sizes.blocks.iter().enumerate() {
            let outputs = sizes.first_width << stage;
            let middle = (sizes.groups * sizes.group_width) << stage;
            let mut blocks = Vec::with_capacity(depth);
            for block in 0..depth {
                // the pooling after the stem halves the map of the first stage
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                let loader = bottom_up.pp(format!("res{}.{block}", stage + 2));
                blocks.push(Block::load([inputs, middle, outputs], sizes.groups, stride, &loader)?);
                inputs = outputs;
            }
            stages.push(blocks);
            widths.push(outputs);
        }
        Ok(ResNeXtBackbone {
            stem: conv(&bottom_up.pp("stem.conv1"), stem, Activation::Relu)?,
            stages,
            fpn: Fpn::load(&widths, out_channels, Norm::None, loader)?,
            values_per_pixel: values_per_pixel(sizes),
        })
    }

    /// p2 to p6, each `(b, h, w, out_channels)`, of normalized and padded images `(b, h, w, 3)`. `on_activation` gets the maps
    /// `stem` (after its pooling), `res2.0` (after each block) and `p2` to `p6`, and of each block `res2.0.conv1` and
    /// `res2.0.conv2` after their activations. `budget` limits how many images are computed together.
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
            let mut x = max_pool(&self.stem.forward(pixels)?, 3, 2, 1)?;
            on_activation("stem", &x);
            let mut maps = Vec::with_capacity(self.stages.len());
            for (stage, blocks) in self.stages.iter().enumerate() {
                for (index, block) in blocks.iter().enumerate() {
                    let name = format!("res{}.{index}", stage + 2);
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

/// Values that the largest buffers of a pass hold for each pixel of an image: the four maps of a block of the first stage, at
/// a quarter of the image's sides.
pub(super) fn values_per_pixel(sizes: &ResNeXt) -> usize {
    (2 * sizes.groups * sizes.group_width + 2 * sizes.first_width).div_ceil(16)
}

/// A residual block.
#[derive(Debug)]
struct Block {
    /// Changes the channels and the size of the shortcut, where the block does.
    projection: Option<Conv2d>,
    narrow: Conv2d,
    grouped: Conv2d,
    widen: Conv2d,
}

impl Block {
    fn load(
        [inputs, middle, outputs]: [usize; 3],
        groups: usize,
        stride: usize,
        loader: &Loader,
    ) -> Result<Block> {
        let narrow = ConvSpec { inputs, outputs: middle, kernel: 1, stride: 1, padding: 0, groups: 1 };
        let grouped = ConvSpec { inputs: middle, outputs: middle, kernel: 3, stride, padding: 1, groups };
        let shortcut = ConvSpec { outputs, stride, ..narrow };
        let projection =
            (inputs != outputs).then(|| conv(&loader.pp("shortcut"), shortcut, Activation::None));
        Ok(Block {
            projection: projection.transpose()?,
            narrow: conv(&loader.pp("conv1"), narrow, Activation::Relu)?,
            grouped: conv(&loader.pp("conv2"), grouped, Activation::Relu)?,
            // its activation follows the sum with the shortcut
            widen: conv(
                &loader.pp("conv3"),
                ConvSpec { inputs: middle, outputs, ..narrow },
                Activation::Relu,
            )?,
        })
    }

    fn forward(&self, x: Tensor, name: &str, on_activation: &mut dyn FnMut(&str, &Tensor)) -> Result<Tensor> {
        let map = self.narrow.forward(&x)?;
        on_activation(&format!("{name}.conv1"), &map);
        let map = self.grouped.forward(&map)?;
        on_activation(&format!("{name}.conv2"), &map);
        let shortcut = match &self.projection {
            Some(projection) => projection.forward(&x)?,
            None => x,
        };
        self.widen.forward_add(&map, &shortcut)
    }
}

/// Reads a convolution and folds its frozen batch norm into the weights.
fn conv(loader: &Loader, spec: ConvSpec, activation: Activation) -> Result<Conv2d> {
    loader.conv_batch_norm(&loader.pp("norm"), spec, activation)
}
