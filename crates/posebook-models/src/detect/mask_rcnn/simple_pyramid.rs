//! The simple feature pyramid of ViTDet (Li et al. 2022): every level is computed from the last map of the transformer.
//!
//! In: tokens `(rows, columns, dim)` of one image, stride 16; out: p2 to p6, strides 4 to 64, `(1, h, w, channels)`. No level
//! depends on another but p6, which is every second pixel of p5. No activation follows the convolutions. The two largest
//! levels are computed in strips of rows within a [`Budget`].

use super::Budget;
use super::layers::{Activation, Conv2d, ConvSpec, Deconv2x2, Loader, max_pool, subsample_2x};
use crate::nn::{LayerNorm, gelu};
use candle_core::{Module, Result, Tensor};

/// The pyramid.
#[derive(Debug, Clone)]
pub struct SimplePyramid {
    p2: Level,
    p3: Level,
    p4: Level,
    p5: Level,
    dim: usize,
    channels: usize,
}

/// One level: a change of scale, a convolution of single pixels and one of 3 x 3, each with a norm over the channels.
#[derive(Debug, Clone)]
struct Level {
    scale: Scale,
    lateral: (Conv2d, LayerNorm),
    output: (Conv2d, LayerNorm),
}

#[derive(Debug, Clone)]
enum Scale {
    Quadruple {
        first: Deconv2x2,
        norm: LayerNorm,
        second: Deconv2x2,
    },
    Double(Deconv2x2),
    Same,
    /// The largest value of 2 x 2.
    Half,
}

impl SimplePyramid {
    /// Reads `simfp_2` to `simfp_5`, whose layers are numbered.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    pub fn load(dim: usize, channels: usize, loader: &Loader) -> Result<SimplePyramid> {
        let at = |level: usize| loader.pp(format!("simfp_{level}"));
        let none = Activation::None;
        let quadruple = Scale::Quadruple {
            first: at(2).pp(0).deconv(dim, dim / 2, none)?,
            norm: at(2).pp(1).layer_norm(dim / 2)?,
            second: at(2).pp(3).deconv(dim / 2, dim / 4, none)?,
        };
        let double = Scale::Double(at(3).pp(0).deconv(dim, dim / 2, none)?);
        Ok(SimplePyramid {
            p2: Level::load(quadruple, [4, 5], dim / 4, channels, &at(2))?,
            p3: Level::load(double, [1, 2], dim / 2, channels, &at(3))?,
            p4: Level::load(Scale::Same, [0, 1], dim, channels, &at(4))?,
            // layer 0 is the pooling, which has no weights
            p5: Level::load(Scale::Half, [1, 2], dim, channels, &at(5))?,
            dim,
            channels,
        })
    }

    /// p2 to p6 of the tokens `(rows, columns, dim)` of one image, each `(1, h, w, channels)`.
    ///
    /// # Errors
    /// If the shape is another, or the device fails.
    pub fn forward(&self, tokens: &Tensor, budget: Budget) -> Result<Vec<Tensor>> {
        let (_, columns, _) = tokens.dims3()?;
        let tokens = tokens.unsqueeze(0)?;
        // bytes of a row of tokens: the maps before and after each convolution
        let row_bytes = |factor: usize, inputs: usize| {
            columns * factor * factor * (inputs + 2 * self.channels) * size_of::<f32>()
        };
        let p2 = self.p2.forward_in_strips(&tokens, 4, budget, row_bytes(4, self.dim / 4))?;
        let p3 = self.p3.forward_in_strips(&tokens, 2, budget, row_bytes(2, self.dim / 2))?;
        let (p4, p5) = (self.p4.forward(&tokens)?, self.p5.forward(&tokens)?);
        let p6 = subsample_2x(&p5)?;
        Ok(vec![p2, p3, p4, p5, p6])
    }
}

impl Level {
    /// `layers` are the numbers of the two convolutions; `inputs` the channels after the change of scale.
    fn load(
        scale: Scale,
        layers: [usize; 2],
        inputs: usize,
        outputs: usize,
        loader: &Loader,
    ) -> Result<Level> {
        let layer = |number: usize, inputs: usize, kernel: usize| -> Result<(Conv2d, LayerNorm)> {
            let loader = loader.pp(number);
            let spec = ConvSpec { inputs, outputs, kernel, stride: 1, padding: kernel / 2, groups: 1 };
            Ok((loader.conv_no_bias(spec, Activation::None)?, loader.pp("norm").layer_norm(outputs)?))
        };
        Ok(Level { scale, lateral: layer(layers[0], inputs, 1)?, output: layer(layers[1], outputs, 3)? })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let lateral = self.lateral.0.forward(&self.scale.apply(x)?)?;
        let lateral = self.lateral.1.forward(&lateral)?;
        let output = self.output.0.forward(&lateral)?;
        drop(lateral);
        self.output.1.forward(&output)
    }

    /// As [`Level::forward`], some rows at a time. `factor` is the change of scale, `row_bytes` what a row of `x` needs.
    fn forward_in_strips(
        &self,
        x: &Tensor,
        factor: usize,
        budget: Budget,
        row_bytes: usize,
    ) -> Result<Tensor> {
        let (_, rows, columns, _) = x.dims4()?;
        let step = budget.chunk(rows, row_bytes);
        if step == rows {
            return self.forward(x);
        }
        let mut out = None;
        for first in (0..rows).step_by(step) {
            let count = step.min(rows - first);
            // the 3 x 3 convolution reads one pixel of the neighboring rows
            let (from, to) = (first.saturating_sub(1), (first + count + 1).min(rows));
            let strip = self.forward(&x.narrow(1, from, to - from)?)?;
            let strip = strip.narrow(1, (first - from) * factor, count * factor)?.contiguous()?;
            let whole = match out.take() {
                Some(whole) => whole,
                None => Tensor::zeros(
                    (1, rows * factor, columns * factor, strip.dim(3)?),
                    strip.dtype(),
                    strip.device(),
                )?,
            };
            whole.slice_set(&strip, 1, first * factor)?;
            out = Some(whole);
        }
        out.map_or_else(|| self.forward(x), Ok)
    }
}

impl Scale {
    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Scale::Quadruple { first, norm, second } => {
                second.forward(&gelu(&norm.forward(&first.forward(x)?)?)?)
            }
            Scale::Double(deconv) => deconv.forward(x),
            Scale::Same => Ok(x.clone()),
            Scale::Half => max_pool(x, 2, 2, 0),
        }
    }
}
