//! NanoDet-g's layers: names, sizes and order (`nanodet/model` of the authors' repository).
//!
//! A custom CSP backbone with four stages, a path aggregation neck without convolutions, and a head for each of three
//! levels. Shared by both implementations and the converter.

use crate::nn::TensorSpec;

/// Number of COCO classes; 0 is a person.
pub(super) const CLASSES: usize = 80;
/// Bins of the distribution of one side's distance: 0 to 10 strides.
pub(super) const BINS: usize = 11;
/// Channels of a head's output: class logits, then the bins of the left, top, right and bottom side.
pub(super) const HEAD: usize = CLASSES + 4 * BINS;
/// Distance of two cells of each level, pixels of the input.
pub(super) const STRIDES: [usize; 3] = [8, 16, 32];
/// Channels of the neck.
pub(super) const NECK: usize = 128;
/// Channels of the stem.
pub(super) const STEM: usize = 32;
/// Height and width of the input are multiples of this.
pub(super) const SIZE_MULTIPLE: usize = 32;

/// One stage of the backbone; its output has `2 * channels` channels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stage {
    pub(super) name: &'static str,
    pub(super) inputs: usize,
    pub(super) channels: usize,
    pub(super) blocks: usize,
    pub(super) stride: usize,
}

/// The stages; the outputs of the last three are the neck's inputs.
pub(super) const STAGES: [Stage; 4] = [
    Stage { name: "backbone.stage1", inputs: STEM, channels: 32, blocks: 1, stride: 1 },
    Stage { name: "backbone.stage2", inputs: 64, channels: 64, blocks: 2, stride: 2 },
    Stage { name: "backbone.stage3", inputs: 128, channels: 128, blocks: 2, stride: 2 },
    Stage { name: "backbone.stage4", inputs: 256, channels: 256, blocks: 3, stride: 2 },
];

/// A convolution with bias and SAME padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layer {
    pub(super) name: String,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    /// Side of the filter.
    pub(super) side: usize,
    pub(super) stride: usize,
    /// Whether a leaky ReLU follows.
    pub(super) leaky: bool,
}

impl Layer {
    fn new(name: String, (inputs, outputs): (usize, usize), side: usize) -> Layer {
        Layer { name, inputs, outputs, side, stride: 1, leaky: true }
    }

    /// Tensor name of the weight.
    pub(super) fn weight(&self) -> String {
        format!("{}.weight", self.name)
    }

    /// Tensor name of the bias.
    pub(super) fn bias(&self) -> String {
        format!("{}.bias", self.name)
    }

    /// `(outputs, inputs, side, side)`.
    pub(super) fn weight_shape(&self) -> [usize; 4] {
        [self.outputs, self.inputs, self.side, self.side]
    }
}

pub(super) fn stem() -> Layer {
    Layer { stride: 2, ..Layer::new("backbone.stem".into(), (3, STEM), 3) }
}

impl Stage {
    /// The stage's first convolution, whose output is also its second half.
    pub(super) fn in_conv(&self) -> Layer {
        let layer = Layer::new(format!("{}.in_conv", self.name), (self.inputs, self.channels), 3);
        Layer { stride: self.stride, ..layer }
    }

    /// The first convolution of a block, whose output is also the second half of the block's.
    pub(super) fn block_in(&self, block: usize) -> Layer {
        let name = format!("{}.blocks.{block}.in_conv", self.name);
        Layer::new(name, (self.channels, self.channels / 2), 3)
    }

    /// The second convolution of a block, whose output is the first half of the block's.
    pub(super) fn block_mid(&self, block: usize) -> Layer {
        let name = format!("{}.blocks.{block}.mid_conv", self.name);
        Layer::new(name, (self.channels / 2, self.channels / 2), 3)
    }

    /// The stage's last convolution, whose output is its first half.
    pub(super) fn out_conv(&self) -> Layer {
        Layer::new(format!("{}.out_conv", self.name), (self.channels, self.channels), 3)
    }
}

/// The convolution that reduces the output of stage `level + 2` to the neck's channels.
pub(super) fn lateral(level: usize) -> Layer {
    let inputs = STAGES.get(level + 1).map_or(0, |stage| 2 * stage.channels);
    Layer { leaky: false, ..Layer::new(format!("neck.lateral.{level}"), (inputs, NECK), 1) }
}

/// The hidden layer of a level's head.
pub(super) fn head_conv(level: usize) -> Layer {
    Layer::new(format!("head.{level}.conv"), (NECK, NECK), 3)
}

/// The last layer of a level's head.
pub(super) fn head_out(level: usize) -> Layer {
    Layer { leaky: false, ..Layer::new(format!("head.{level}.out"), (NECK, HEAD), 1) }
}

/// All layers in execution order.
pub(super) fn layers() -> Vec<Layer> {
    let mut layers = vec![stem()];
    for stage in STAGES {
        layers.push(stage.in_conv());
        for block in 0..stage.blocks {
            layers.extend([stage.block_in(block), stage.block_mid(block)]);
        }
        layers.push(stage.out_conv());
    }
    let levels = 0..STRIDES.len();
    layers.extend(levels.clone().map(lateral));
    layers.extend(levels.flat_map(|level| [head_conv(level), head_out(level)]));
    layers
}

/// The tensors of NanoDet-g's safetensors file: for each of its 34 convolutions a weight `(outputs, inputs, side, side)`
/// and a bias `(outputs)`, all f32.
pub fn tensor_specs() -> Vec<TensorSpec> {
    let specs = |layer: Layer| {
        let weight = TensorSpec { key: layer.weight(), shape: layer.weight_shape().to_vec() };
        [weight, TensorSpec { key: layer.bias(), shape: vec![layer.outputs] }]
    };
    layers().into_iter().flat_map(specs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layers_have_the_size_of_the_published_file() {
        let layers = layers();
        assert_eq!(layers.len(), 34);
        let values: usize = tensor_specs().iter().map(|spec| spec.shape.iter().product::<usize>()).sum();
        // nanodet.bin has these in f16, a border value in f16 and 605 integers of 4 bytes
        assert_eq!(2 * values + 2 + 4 * 605, 7_574_558);
    }
}
