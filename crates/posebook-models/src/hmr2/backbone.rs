//! HMR2's backbone: a vision transformer (4D-Humans' `vit.py`). In: the middle columns of a crop; out: a feature map.

use super::config::{Config, PATCH_PADDING};
use crate::nn::{AttentionPath, Block, LayerNorm, PatchEmbedding, SelfAttention};
use candle_core::{Module, Result, Tensor};
use candle_nn::VarBuilder;

/// Epsilon of the backbone's layer norms; the head uses PyTorch's default, 1e-5.
const EPS: f64 = 1e-6;

/// Callback that receives (layer name, activation) during a forward pass, for tests and auxiliary losses.
pub type ActivationCallback<'a> = &'a mut dyn FnMut(&str, &Tensor);

/// The vision transformer, from pixels to a map of tokens.
#[derive(Debug, Clone)]
pub struct Backbone {
    patches: PatchEmbedding,
    positions: Tensor,
    blocks: Vec<Block<SelfAttention>>,
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
        let hidden = sizes.dim * sizes.mlp_ratio;
        let blocks = (0..sizes.depth)
            .map(|index| Block::load(sizes.dim, sizes.heads, hidden, EPS, vb.pp("blocks").pp(index)))
            .collect::<Result<_>>()?;
        let weight = vb.get(patch, "patch_embed.proj.weight")?;
        Ok(Backbone {
            patches: PatchEmbedding::new(weight, vb.get(sizes.dim, "patch_embed.proj.bias")?),
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

    /// Pads the image and embeds its patches as tokens.
    fn embed(&self, pixels: &Tensor) -> Result<Tensor> {
        let ((rows, columns), patch) = (self.grid, self.patch_size);
        let padded = pixels.pad_with_zeros(2, PATCH_PADDING, PATCH_PADDING)?;
        let padded = padded.pad_with_zeros(3, PATCH_PADDING, PATCH_PADDING)?;
        self.patches.forward(&padded.narrow(2, 0, rows * patch)?.narrow(3, 0, columns * patch)?)
    }
}
