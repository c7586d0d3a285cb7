//! Embeds the patches of an image as tokens. Does not depend on any network.

use candle_core::{Result, Tensor};

/// A convolution whose stride is its kernel size, computed as one matrix product.
#[derive(Debug, Clone)]
pub struct PatchEmbedding {
    weight: Tensor,
    bias: Tensor,
}

impl PatchEmbedding {
    /// `weight` `(dim, channels, side, side)` and `bias` `(dim)`.
    pub fn new(weight: Tensor, bias: Tensor) -> PatchEmbedding {
        PatchEmbedding { weight, bias }
    }

    /// `pixels` `(b, channels, h, w)` to tokens `(b, rows * columns, dim)`, row by row. Pixels beyond the last whole patch of
    /// a row or column are not used.
    ///
    /// # Errors
    /// If the image is smaller than a patch or has other channels, or the device fails.
    pub fn forward(&self, pixels: &Tensor) -> Result<Tensor> {
        let (b, channels, height, width) = pixels.dims4()?;
        let (dim, _, side, _) = self.weight.dims4()?;
        let (rows, columns) = (height / side, width / side);
        let patches = pixels
            .narrow(2, 0, rows * side)?
            .narrow(3, 0, columns * side)?
            .reshape((b, channels, rows, side, columns * side))? // (b, c, rows, y, x)
            .reshape(&[b, channels, rows, side, columns, side])?
            .permute([0, 2, 4, 1, 3, 5])? // (b, rows, columns, c, y, x)
            .reshape((b * rows * columns, channels * side * side))?;
        let weight = self.weight.reshape((dim, channels * side * side))?;
        let tokens = patches.matmul(&weight.t()?)?.broadcast_add(&self.bias)?;
        tokens.reshape((b, rows * columns, dim))
    }
}
