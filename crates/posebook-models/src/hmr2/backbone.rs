//! HMR2's backbone: a vision transformer (4D-Humans' `vit.py`). In: the middle columns of a crop; out: a feature map.

use super::config::{Config, PATCH_PADDING};
use crate::nn::{AttentionPath, LayerNorm, Mlp, SelfAttention};
use candle_core::{Module, Result, Tensor};
use candle_nn::VarBuilder;

/// Epsilon of the backbone's layer norms; the head uses PyTorch's default, 1e-5.
const EPS: f64 = 1e-6;

/// Callback that receives (layer name, activation) during a forward pass, for tests and auxiliary losses.
pub type ActivationCallback<'a> = &'a mut dyn FnMut(&str, &Tensor);

/// The vision transformer, from pixels to a map of tokens.
#[derive(Debug, Clone)]
pub struct Backbone {
    patch_weight: Tensor,
    patch_bias: Tensor,
    positions: Tensor,
    blocks: Vec<Block>,
    last_norm: LayerNorm,
    grid: (usize, usize),
    patch_size: usize,
}

impl Backbone {
    /// Reads the tensors under `backbone`.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    pub fn load(config: &Config, vb: VarBuilder) -> Result<Backbone> {
        let sizes = &config.backbone;
        let (rows, columns) = config.token_grid();
        let patch = (sizes.dim, 3, sizes.patch_size, sizes.patch_size);
        let blocks = (0..sizes.depth)
            .map(|index| Block::load(sizes.dim, sizes.heads, sizes.mlp_ratio, vb.pp("blocks").pp(index)))
            .collect::<Result<_>>()?;
        Ok(Backbone {
            patch_weight: vb.get(patch, "patch_embed.proj.weight")?,
            patch_bias: vb.get(sizes.dim, "patch_embed.proj.bias")?,
            positions: vb.get((1, rows * columns + 1, sizes.dim), "pos_embed")?,
            blocks,
            last_norm: LayerNorm::load(sizes.dim, EPS, vb.pp("last_norm"))?,
            grid: (rows, columns),
            patch_size: sizes.patch_size,
        })
    }

    /// Chooses how the attention of every block is computed.
    pub fn set_attention(&mut self, path: AttentionPath) {
        self.blocks.iter_mut().for_each(|block| block.attention.path = path);
    }

    /// Computes the features; `on_activation` receives the patch tokens and the output of each block.
    ///
    /// # Shapes
    /// `pixels` `(b, 3, h, w)`, normalized, `w` three quarters of `h`; the result is `(b, dim, rows, columns)`.
    ///
    /// # Errors
    /// If the shape is another, or the device fails.
    pub fn forward(&self, pixels: &Tensor, on_activation: ActivationCallback) -> Result<Tensor> {
        let mut tokens = self.embed(pixels)?;
        on_activation("patch_tokens", &tokens);
        let patches = self.positions.narrow(1, 1, self.grid.0 * self.grid.1)?;
        let class = self.positions.narrow(1, 0, 1)?;
        // there is no class token, but its position embedding is added to every token
        tokens = tokens.broadcast_add(&patches.broadcast_add(&class)?)?;
        for (index, block) in self.blocks.iter().enumerate() {
            tokens = block.forward(tokens)?;
            on_activation(&format!("block{index}"), &tokens);
        }
        let tokens = self.last_norm.forward(&tokens)?;
        let (b, _, dim) = tokens.dims3()?;
        tokens.transpose(1, 2)?.reshape((b, dim, self.grid.0, self.grid.1))
    }

    /// Embeds patches as tokens: a convolution whose stride is its kernel size is one matrix product.
    fn embed(&self, pixels: &Tensor) -> Result<Tensor> {
        let (b, _, height, width) = pixels.dims4()?;
        let ((rows, columns), patch) = (self.grid, self.patch_size);
        let padded = pixels.pad_with_zeros(2, PATCH_PADDING, PATCH_PADDING)?;
        let padded = padded.pad_with_zeros(3, PATCH_PADDING, PATCH_PADDING)?;
        debug_assert!(
            rows * patch <= height + 2 * PATCH_PADDING && columns * patch <= width + 2 * PATCH_PADDING
        );
        let patches = padded
            .narrow(2, 0, rows * patch)?
            .narrow(3, 0, columns * patch)?
            .reshape((b, 3, rows, patch, columns * patch))? // (b, c, rows, y, x)
            .reshape(&[b, 3, rows, patch, columns, patch])?
            .permute([0, 2, 4, 1, 3, 5])? // (b, rows, columns, c, y, x)
            .reshape((b * rows * columns, 3 * patch * patch))?;
        let dim = self.patch_bias.dims1()?;
        let weight = self.patch_weight.reshape((dim, 3 * patch * patch))?;
        let tokens = patches.matmul(&weight.t()?)?.broadcast_add(&self.patch_bias)?;
        tokens.reshape((b, rows * columns, dim))
    }
}

/// A pre-norm transformer block: attention and an MLP, each after a norm and with a residual connection.
#[derive(Debug, Clone)]
struct Block {
    norm1: LayerNorm,
    attention: SelfAttention,
    norm2: LayerNorm,
    mlp: Mlp,
}

impl Block {
    fn load(dim: usize, heads: usize, mlp_ratio: usize, vb: VarBuilder) -> Result<Block> {
        Ok(Block {
            norm1: LayerNorm::load(dim, EPS, vb.pp("norm1"))?,
            attention: SelfAttention::load(dim, heads, vb.pp("attn"))?,
            norm2: LayerNorm::load(dim, EPS, vb.pp("norm2"))?,
            mlp: Mlp::load(dim, dim * mlp_ratio, ["fc1", "fc2"], vb.pp("mlp"))?,
        })
    }

    /// `(b, n, dim)` to `(b, n, dim)`.
    fn forward(&self, x: Tensor) -> Result<Tensor> {
        let x = self.attention.forward_residual(&self.norm1.forward(&x)?, &x)?;
        self.mlp.forward_residual(&self.norm2.forward(&x)?, &x)
    }
}
