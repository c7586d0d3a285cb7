//! HMAR's encoding head on the CPU: six 3 x 3 convolutions with ReLU, and 2 x 2 max pooling after the first four.
//!
//! In: a UV map's planes; out: the last convolution's planes, channel by channel. Runs on the crate's own convolutions
//! ([`crate::conv`]), whose sums have a fixed order: an embedding depends neither on the number of threads nor on the other
//! maps of a batch.

use super::weights::{ConvWeights, EncoderWeights};
use crate::conv::{self, Clamp, FeatureMap, Filter, Padding, Shape, Threads};
use posebook_core::appearance::{UV_SIDE, UV_TEXELS, UvMap};

/// Layers that are followed by a max pooling.
const POOLED_LAYERS: usize = 4;
/// One row and column of zeros on each side: a 3 x 3 convolution keeps its input's size.
const BORDER: Padding = Padding { top: 1, left: 1, bottom: 1, right: 1 };

/// Receives the result of each convolution before its ReLU: the layer's name, its shape, and its values, channels innermost.
pub(super) type ConvolutionCallback<'a> = &'a mut dyn FnMut(&'static str, Shape, &[f32]);

/// The network with packed weights.
pub struct HostNetwork {
    layers: Vec<Layer>,
    /// Planes of the map that the first convolution reads.
    input_channels: usize,
}

struct Layer {
    name: &'static str,
    filter: Filter,
    outputs: usize,
}

impl HostNetwork {
    /// Packs weights.
    pub fn new(weights: &EncoderWeights) -> HostNetwork {
        let layers = weights.layers.iter().map(Layer::pack).collect();
        HostNetwork { layers, input_channels: weights.input_channels() }
    }

    /// The embedding of a map.
    pub fn encode(&self, map: &UvMap, threads: Threads) -> Vec<f32> {
        self.run(map, threads, None)
    }

    /// As [`HostNetwork::encode`], and calls `callback` for each convolution.
    pub fn encode_observed(&self, map: &UvMap, callback: ConvolutionCallback) -> Vec<f32> {
        self.run(map, Threads::Pool, Some(callback))
    }

    fn run(&self, map: &UvMap, threads: Threads, mut callback: Option<ConvolutionCallback>) -> Vec<f32> {
        let mut shape = Shape::new(UV_SIDE, UV_SIDE, self.input_channels);
        let mut values = interleave(map.values(), self.input_channels);
        let clamp = if callback.is_some() { Clamp::NONE } else { Clamp::RELU };
        for (index, layer) in self.layers.iter().enumerate() {
            let padded_shape = Shape::new(shape.height + 2, shape.width + 2, shape.channels);
            let mut padded = vec![0.0; padded_shape.len()];
            conv::pad(&values, shape, BORDER, 0, &mut padded);
            shape.channels = layer.outputs;
            values = vec![0.0; shape.len()];
            let input = FeatureMap { values: &padded, shape: padded_shape };
            conv::convolve(input, &layer.filter, [1, 1], None, clamp, &mut values, threads);
            if let Some(callback) = &mut callback {
                callback(layer.name, shape, &values);
                values.iter_mut().for_each(|value| *value = value.max(0.0));
            }
            if index < POOLED_LAYERS {
                let pooled_shape = Shape::new(shape.height / 2, shape.width / 2, shape.channels);
                let mut pooled = vec![0.0; pooled_shape.len()];
                conv::max_pool(&values, shape, &mut pooled);
                (values, shape) = (pooled, pooled_shape);
            }
        }
        // (16, 16, channels) to channel-major
        let pixels = shape.height * shape.width;
        let channel = |channel: usize| values[channel..].iter().step_by(shape.channels).take(pixels).copied();
        (0..shape.channels).flat_map(channel).collect()
    }
}

impl Layer {
    fn pack(weights: &ConvWeights) -> Layer {
        let (outputs, inputs) = (weights.outputs, weights.inputs);
        // (outputs, inputs, 3, 3) to (outputs, 3, 3, inputs)
        let mut reordered = vec![0.0; weights.kernel.len()];
        for (to, from) in reordered.chunks_exact_mut(9 * inputs).zip(weights.kernel.chunks_exact(9 * inputs))
        {
            for (tap, to) in to.chunks_exact_mut(inputs).enumerate() {
                to.iter_mut().enumerate().for_each(|(input, to)| *to = from[input * 9 + tap]);
            }
        }
        let filter = Filter::pack(&reordered, &weights.bias, outputs, [3, 3], inputs);
        Layer { name: weights.name, filter, outputs }
    }
}

/// The first `channels` planes of a map with channels innermost.
fn interleave(planes: &[f32], channels: usize) -> Vec<f32> {
    let mut values = vec![0.0; channels * UV_TEXELS];
    for (texel, pixel) in values.chunks_exact_mut(channels).enumerate() {
        pixel
            .iter_mut()
            .enumerate()
            .for_each(|(channel, value)| *value = planes[channel * UV_TEXELS + texel]);
    }
    values
}
