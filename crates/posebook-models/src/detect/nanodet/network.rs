//! The network with candle's operators, for any device; the reference for [`super::cpu`].
//!
//! Tensors are `(images, channels, height, width)`.

use super::NanoDetError;
use super::architecture::{self as nanodet, Layer, STAGES, STRIDES};
use super::kernel::LEAKY_SLOPE;
use candle_core::{Result, Tensor};

/// Result of loading.
type LoadResult<T> = std::result::Result<T, NanoDetError>;

/// A convolution with bias and activation.
#[derive(Debug)]
struct Convolution {
    layer: Layer,
    weight: Tensor,
    /// `(1, outputs, 1, 1)`.
    bias: Tensor,
}

impl Convolution {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = x.conv2d(&self.weight, self.layer.side / 2, self.layer.stride, 1, 1)?;
        let x = x.broadcast_add(&self.bias)?;
        if self.layer.leaky { x.maximum(&(&x * f64::from(LEAKY_SLOPE))?) } else { Ok(x) }
    }
}

/// A stage's convolutions.
#[derive(Debug)]
struct Stage {
    in_conv: Convolution,
    blocks: Vec<(Convolution, Convolution)>,
    out_conv: Convolution,
}

/// Weights on one device.
#[derive(Debug)]
pub(super) struct Network {
    stem: Convolution,
    stages: Vec<Stage>,
    laterals: Vec<Convolution>,
    heads: Vec<(Convolution, Convolution)>,
}

impl Network {
    /// `tensors` returns a layer's weight and bias.
    pub(super) fn load(tensors: impl Fn(&Layer) -> LoadResult<(Tensor, Tensor)>) -> LoadResult<Network> {
        let layer = |layer: Layer| -> LoadResult<Convolution> {
            let (weight, bias) = tensors(&layer)?;
            let bias = bias.reshape((1, layer.outputs, 1, 1))?;
            Ok(Convolution { layer, weight, bias })
        };
        let stage = |stage: nanodet::Stage| -> LoadResult<Stage> {
            let block = |block| Ok((layer(stage.block_in(block))?, layer(stage.block_mid(block))?));
            Ok(Stage {
                in_conv: layer(stage.in_conv())?,
                blocks: (0..stage.blocks).map(block).collect::<LoadResult<_>>()?,
                out_conv: layer(stage.out_conv())?,
            })
        };
        let head = |level| Ok((layer(nanodet::head_conv(level))?, layer(nanodet::head_out(level))?));
        let levels = 0..STRIDES.len();
        Ok(Network {
            stem: layer(nanodet::stem())?,
            stages: STAGES.into_iter().map(stage).collect::<LoadResult<_>>()?,
            laterals: levels
                .clone()
                .map(|level| layer(nanodet::lateral(level)))
                .collect::<LoadResult<_>>()?,
            heads: levels.map(head).collect::<LoadResult<_>>()?,
        })
    }

    /// The heads' outputs, finest level first: `(images, HEAD, height / stride, width / stride)` of an input
    /// `(images, 3, height, width)` with sides that are multiples of 32.
    pub(super) fn forward(&self, input: &Tensor) -> Result<Vec<Tensor>> {
        let x = self.stem.forward(input)?;
        // padding with repeated edges does not change the maximum, unlike zeros
        let x = x.pad_with_same(2, 1, 0)?.pad_with_same(3, 1, 0)?.max_pool2d_with_stride(3, 2)?;
        let mut outputs = Vec::new();
        let mut x = x;
        for stage in &self.stages {
            let first = stage.in_conv.forward(&x)?;
            let mut inner = first.clone();
            for (in_conv, mid_conv) in &stage.blocks {
                let half = in_conv.forward(&inner)?;
                inner = Tensor::cat(&[&mid_conv.forward(&half)?, &half], 1)?;
            }
            x = Tensor::cat(&[&stage.out_conv.forward(&inner)?, &first], 1)?;
            outputs.push(x.clone());
        }
        let lateral = |(lateral, output): (&Convolution, &Tensor)| lateral.forward(output);
        let neck: Vec<Tensor> =
            self.laterals.iter().zip(&outputs[1..]).map(lateral).collect::<Result<_>>()?;
        let middle = (&neck[1] + upsample(&neck[2])?)?;
        let fine = (&neck[0] + upsample(&middle)?)?;
        let middle = (middle + fine.avg_pool2d(2)?)?;
        let coarse = (&neck[2] + middle.avg_pool2d(2)?)?;
        let sums = [fine, middle, coarse];
        self.heads.iter().zip(&sums).map(|((conv, out), sum)| out.forward(&conv.forward(sum)?)).collect()
    }
}

fn upsample(x: &Tensor) -> Result<Tensor> {
    let (_, _, height, width) = x.dims4()?;
    x.upsample_bilinear2d(2 * height, 2 * width, false)
}
