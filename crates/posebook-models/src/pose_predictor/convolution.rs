//! The two convolutions over time between the transformers: one that shortens the sequence, and its transposed counterpart that
//! restores the length.
//!
//! Both are one matrix product, and a gather of tokens before or after it: candle's transposed convolution in one dimension is a
//! scalar loop for these sizes.

use super::Sizes;
use crate::nn::Linear;
use candle_core::{Device, Module, Result, Tensor};
use candle_nn::VarBuilder;

/// `conv_en` and `conv_de`.
#[derive(Debug, Clone)]
pub struct TimeConvolutions {
    /// Weights `(width, kernel * width)`.
    shorten: Linear,
    /// Token of each kernel element of each output; `frames` for padding.
    windows: Tensor,
    /// Weights `(kernel * width, width)`, without bias.
    restore: Linear,
    restore_bias: Tensor,
    /// Per term of the sum: the product's row for each frame; `strided_tokens * kernel` for none.
    terms: Vec<Tensor>,
    strided_tokens: usize,
    kernel: usize,
    width: usize,
}

impl TimeConvolutions {
    /// Reads the tensors `conv_en` and `conv_de`.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    pub fn load(sizes: &Sizes, vb: VarBuilder) -> Result<TimeConvolutions> {
        let (width, kernel, device) = (sizes.width, sizes.kernel(), vb.device().clone());
        let weight = vb.get((width, width, kernel), "conv_en.weight")?; // (out, in, kernel)
        let shorten = weight.permute((0, 2, 1))?.reshape((width, kernel * width))?;
        let shorten = Linear::new(&shorten, Some(vb.get(width, "conv_en.bias")?))?;
        let weight = vb.get((width, width, kernel), "conv_de.weight")?; // (in, out, kernel)
        let restore = weight.permute((2, 1, 0))?.reshape((kernel * width, width))?;
        Ok(TimeConvolutions {
            shorten,
            windows: windows(sizes, &device)?,
            restore: Linear::new(&restore, None)?,
            restore_bias: vb.get(width, "conv_de.bias")?,
            terms: terms(sizes, &device)?,
            strided_tokens: sizes.strided_tokens(),
            kernel,
            width,
        })
    }

    /// The shortened sequence.
    ///
    /// # Shapes
    /// `(b, frames, width)` to `(b, strided_tokens, width)`.
    ///
    /// # Errors
    /// If the shapes differ, or the device fails.
    pub fn shorten(&self, tokens: &Tensor) -> Result<Tensor> {
        let b = tokens.dim(0)?;
        let windows = with_zero_row(tokens)?.index_select(&self.windows, 1)?;
        self.shorten.forward(&windows.reshape((b, self.strided_tokens, self.kernel * self.width))?)
    }

    /// The sequence in its first length.
    ///
    /// # Shapes
    /// `(b, strided_tokens, width)` to `(b, frames, width)`.
    ///
    /// # Errors
    /// If the shapes differ, or the device fails.
    pub fn restore(&self, tokens: &Tensor) -> Result<Tensor> {
        let b = tokens.dim(0)?;
        let product =
            self.restore.forward(tokens)?.reshape((b, self.strided_tokens * self.kernel, self.width))?;
        let product = with_zero_row(&product)?;
        let mut sum = None;
        for term in &self.terms {
            let rows = product.index_select(term, 1)?;
            sum = Some(match sum {
                Some(sum) => (sum + rows)?,
                None => rows,
            });
        }
        sum.map_or_else(|| product.narrow(1, 0, 0), |sum| sum.broadcast_add(&self.restore_bias))
    }
}

/// Appends a zero row to each sequence.
fn with_zero_row(tokens: &Tensor) -> Result<Tensor> {
    tokens.pad_with_zeros(1, 0, 1)
}

fn windows(sizes: &Sizes, device: &Device) -> Result<Tensor> {
    let (stride, pad) = (sizes.structure.stride, sizes.structure.pad);
    let mut rows = Vec::with_capacity(sizes.strided_tokens() * sizes.kernel());
    for output in 0..sizes.strided_tokens() {
        for element in 0..sizes.kernel() {
            let frame = (output * stride + element).checked_sub(pad).filter(|&frame| frame < sizes.frames);
            rows.push(frame.unwrap_or(sizes.frames) as u32);
        }
    }
    let count = rows.len();
    Tensor::from_vec(rows, count, device)
}

/// Frame `t` is the sum of kernel elements `t + pad - stride * token` of each token for which that is an element.
fn terms(sizes: &Sizes, device: &Device) -> Result<Vec<Tensor>> {
    let (stride, pad, kernel) = (sizes.structure.stride, sizes.structure.pad, sizes.kernel());
    let none = (sizes.strided_tokens() * kernel) as u32;
    let term = |back: usize| {
        let row = |frame: usize| {
            let token = ((frame + pad) / stride).checked_sub(back)?;
            let element = frame + pad - stride * token;
            (token < sizes.strided_tokens() && element < kernel).then_some((token * kernel + element) as u32)
        };
        let rows: Vec<u32> = (0..sizes.frames).map(|frame| row(frame).unwrap_or(none)).collect();
        Tensor::from_vec(rows, sizes.frames, device)
    };
    (0..kernel.div_ceil(stride)).map(term).collect()
}
