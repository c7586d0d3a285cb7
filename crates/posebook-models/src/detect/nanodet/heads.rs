//! The outputs of the three heads for a batch of images.

use super::architecture::{HEAD, STRIDES};
use super::decode::Level;
use super::network;
use candle_core::{Result as CandleResult, Tensor};

/// The heads' output for a batch, in host memory.
pub(super) struct Heads {
    /// Height and width of the input, pixels.
    pub(super) height: usize,
    pub(super) width: usize,
    /// For each level `(images, cells, HEAD)`.
    pub(super) values: [Vec<f32>; 3],
}

impl Heads {
    /// Runs candle's network; `input` is `(images, 3, height, width)`.
    pub(super) fn run(network: &network::Network, input: &Tensor) -> CandleResult<Heads> {
        let (_, _, height, width) = input.dims4()?;
        let mut values: [Vec<f32>; 3] = Default::default();
        for (values, head) in values.iter_mut().zip(network.forward(input)?) {
            *values = head.permute((0, 2, 3, 1))?.contiguous()?.flatten_all()?.to_vec1()?;
        }
        Ok(Heads { height, width, values })
    }

    /// The levels of one image.
    pub(super) fn levels(&self, image: usize) -> [Level<'_>; 3] {
        let mut levels = [Level { height: 0, width: 0, step: HEAD, values: &[] }; 3];
        for ((level, stride), values) in levels.iter_mut().zip(STRIDES).zip(&self.values) {
            let (height, width) = (self.height / stride, self.width / stride);
            let len = height * width * HEAD;
            let values = values.get(image * len..(image + 1) * len).unwrap_or_default();
            *level = Level { height, width, step: HEAD, values };
        }
        levels
    }
}
