//! The backbone of ViTDet (Li et al. 2022): a plain vision transformer and a simple feature pyramid.
//!
//! In: images, normalized and padded; out: the feature maps p2 to p6. Most blocks attend within windows, some globally; all add
//! decomposed relative positions to their scores. Images are computed one after another, because a large one keeps every
//! core (or a GPU) busy, so that a batch equals its images alone. A [`Budget`] divides blocks into strips of rows.

mod positions;
mod strips;

pub use crate::nn::{RelativePositions, window_partition};
pub use positions::{absolute_positions, relative_positions};

use super::Budget;
use super::config::Vit;
use super::layers::{Loader, Operators};
use super::simple_pyramid::SimplePyramid;
use crate::nn::{Block, GridAttention, Mlp, PatchEmbedding, Reach, SelfAttention};
use candle_core::{Result, Tensor, bail};
use strips::{strips, write_strips};

/// The vision transformer and its pyramid.
#[derive(Debug, Clone)]
pub struct VitBackbone {
    patches: PatchEmbedding,
    /// Of the images that the network was trained on, `(1, 1 + n * n, dim)`.
    positions: Tensor,
    /// Resized to the images that the network is made for, `(n, n, dim)`.
    resized_positions: Tensor,
    blocks: Vec<TokenBlock>,
    pyramid: SimplePyramid,
    sizes: Vit,
}

/// A block and the tables of its relative positions, which other image sizes need resized.
#[derive(Debug, Clone)]
struct TokenBlock {
    block: Block<GridAttention>,
    tables: [Tensor; 2],
}

impl VitBackbone {
    /// Reads the tensors under `net` and `simfp_2` to `simfp_5`.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape, or the sizes do not fit each other.
    pub fn load(sizes: &Vit, out_channels: usize, loader: &Loader) -> Result<VitBackbone> {
        let Vit { dim, depth, heads, window, patch, .. } = *sizes;
        let side = |pixels: usize| pixels.checked_div(patch).unwrap_or(0);
        let (trained, grid) = (side(sizes.pretrain_side), side(sizes.image_side));
        if heads == 0 || dim == 0 || dim % (4 * heads) != 0 || window == 0 || trained == 0 || grid == 0 {
            bail!(
                "a vision transformer of {dim} values, {heads} heads, windows of {window} tokens and patches of {patch} \
                 pixels: values have to be a multiple of four times the heads, and images larger than a patch"
            );
        }
        let net = loader.pp("net");
        let proj = net.pp("patch_embed").pp("proj");
        let weight = proj.tensor((dim, 3, patch, patch), "weight")?;
        let block = |index: usize| {
            let reach =
                if sizes.global_blocks.contains(&index) { Reach::Global } else { Reach::Window(window) };
            TokenBlock::load(sizes, reach, grid, &net.pp("blocks").pp(index))
        };
        let positions = net.tensor((1, trained * trained + 1, dim), "pos_embed")?;
        Ok(VitBackbone {
            patches: PatchEmbedding::new(weight, proj.tensor(dim, "bias")?),
            resized_positions: absolute_positions(&positions, grid, grid)?,
            positions,
            blocks: (0..depth).map(block).collect::<Result<_>>()?,
            pyramid: SimplePyramid::load(dim, out_channels, loader)?,
            sizes: sizes.clone(),
        })
    }

    /// The feature maps p2 to p6, strides 4 to 64. `on_activation` receives for each image `patch` (tokens before their positions),
    /// `block0` and so on, `(1, rows, columns, dim)`, and `p2` to `p6`.
    ///
    /// # Shapes
    /// `pixels` `(b, h, w, 3)`, normalized, sides a multiple of the patch; maps `(b, h / stride, w / stride, out_channels)`.
    ///
    /// # Errors
    /// If the shape is another, or the device fails.
    pub fn forward(
        &self,
        pixels: &Tensor,
        budget: Budget,
        on_activation: &mut dyn FnMut(&str, &Tensor),
    ) -> Result<Vec<Tensor>> {
        let (images, ..) = pixels.dims4()?;
        let mut maps: Vec<Vec<Tensor>> = Vec::with_capacity(images);
        for image in 0..images {
            let tokens = self.tokens(&pixels.narrow(0, image, 1)?, budget, on_activation)?;
            let levels = self.pyramid.forward(&tokens, budget)?;
            for (level, map) in (2..).zip(&levels) {
                on_activation(&format!("p{level}"), map);
            }
            maps.push(levels);
        }
        match maps.len() {
            0 => bail!("no image"),
            1 => Ok(maps.remove(0)),
            _ => {
                let levels = maps[0].len();
                (0..levels)
                    .map(|level| Tensor::cat(&maps.iter().map(|maps| &maps[level]).collect::<Vec<_>>(), 0))
                    .collect()
            }
        }
    }

    /// Tokens with their absolute positions: the input of the first block.
    ///
    /// # Shapes
    /// `(1, rows, columns, dim)`, as the result.
    ///
    /// # Errors
    /// If the shape is another, or the device fails.
    pub fn add_positions(&self, tokens: &Tensor) -> Result<Tensor> {
        let (_, rows, columns, dim) = tokens.dims4()?;
        if self.resized_positions.dims() == [rows, columns, dim] {
            return tokens.broadcast_add(&self.resized_positions);
        }
        tokens.broadcast_add(&absolute_positions(&self.positions, rows, columns)?)
    }

    /// The attention of a block, before it is added to its input: for tests. Windows are joined, and their padding dropped.
    ///
    /// # Shapes
    /// `tokens` `(1, rows, columns, dim)`, as the result.
    ///
    /// # Errors
    /// If there is no such block, the shape is another, or the device fails.
    pub fn attention(&self, index: usize, tokens: &Tensor, budget: Budget) -> Result<Tensor> {
        let Some(block) = self.blocks.get(index) else {
            bail!("block {index} of {}", self.blocks.len());
        };
        let tokens = tokens.squeeze(0)?;
        let (rows, columns, _) = tokens.dims3()?;
        let block = block.for_grid(rows, columns, self.sizes.image_side / self.sizes.patch)?;
        block.attention.forward(&block.normed(&tokens)?, most_bytes(budget))?.unsqueeze(0)
    }

    /// The tokens of one image after the last block, `(rows, columns, dim)`. No norm follows.
    fn tokens(
        &self,
        pixels: &Tensor,
        budget: Budget,
        on_activation: &mut dyn FnMut(&str, &Tensor),
    ) -> Result<Tensor> {
        let (_, height, width, _) = pixels.dims4()?;
        let patch = self.sizes.patch;
        let (rows, columns) = (height / patch, width / patch);
        if rows == 0 || columns == 0 || height % patch != 0 || width % patch != 0 {
            bail!("an image of {width}x{height} pixels cannot be divided into patches of {patch}");
        }
        let tokens = self.patches.forward(&pixels.permute((0, 3, 1, 2))?)?;
        let tokens = tokens.reshape((1, rows, columns, self.sizes.dim))?;
        on_activation("patch", &tokens);
        let mut tokens = self.add_positions(&tokens)?.squeeze(0)?;
        for (index, block) in self.blocks.iter().enumerate() {
            let block = block.for_grid(rows, columns, self.sizes.image_side / patch)?;
            tokens = self.forward_block(&block, tokens, budget)?;
            on_activation(&format!("block{index}"), &tokens.unsqueeze(0)?);
        }
        Ok(tokens)
    }

    /// `(rows, columns, dim)` to the same. A block with windows is computed in strips of windows, of a global one the MLP in
    /// strips of rows.
    fn forward_block(&self, block: &Block<GridAttention>, x: Tensor, budget: Budget) -> Result<Tensor> {
        let (rows, columns, dim) = x.dims3()?;
        // norm, hidden layer and result of the MLP: as much as norm, queries, keys, values and result of attention
        let row_bytes = columns * dim * (2 + self.sizes.mlp_ratio.max(3)) * size_of::<f32>();
        let attend = |x: &Tensor| block.attention.forward_residual(&block.normed(x)?, x, most_bytes(budget));
        let mlp = |x: &Tensor| block.forward_mlp(x);
        if let Reach::Window(side) = block.attention.reach() {
            let strips = strips(rows, columns, side, budget, row_bytes);
            if strips.len() > 1 {
                return write_strips(&strips, &x, |x| mlp(&attend(x)?));
            }
        }
        let attended = attend(&x)?;
        drop(x);
        write_strips(&strips(rows, columns, 1, budget, row_bytes), &attended, mlp)
    }
}

/// The limit of the scores of an attention that candle's operators compute.
fn most_bytes(budget: Budget) -> u64 {
    budget.bytes.unwrap_or(u64::MAX)
}

impl TokenBlock {
    /// `grid` is the side of the images that the tables of a global block are for, tokens.
    fn load(sizes: &Vit, reach: Reach, grid: usize, loader: &Loader) -> Result<TokenBlock> {
        let Vit { dim, heads, mlp_ratio, .. } = *sizes;
        let (attn, mlp) = (loader.pp("attn"), loader.pp("mlp"));
        let side = match reach {
            Reach::Global => grid,
            Reach::Window(side) => side,
        };
        let table = |name: &str| attn.tensor((2 * side - 1, dim / heads), name);
        let tables = [table("rel_pos_h")?, table("rel_pos_w")?];
        let projections = SelfAttention::new(
            attn.pp("qkv").linear(dim, 3 * dim)?,
            attn.pp("proj").linear(dim, dim)?,
            heads,
        );
        let positions = RelativePositions::new(&tables[0], &tables[1])?;
        let use_operators = loader.operators() == Operators::Candle;
        let attention = GridAttention::new(projections, positions, reach, use_operators);
        let norms = [loader.pp("norm1").layer_norm(dim)?, loader.pp("norm2").layer_norm(dim)?];
        let hidden = dim * mlp_ratio;
        let mlp = Mlp::new(mlp.pp("fc1").linear(dim, hidden)?, mlp.pp("fc2").linear(hidden, dim)?);
        Ok(TokenBlock { block: Block::new(norms, attention, mlp), tables })
    }

    /// The block for an image of `rows` and `columns` tokens, where a global one was made for `side`.
    fn for_grid(&self, rows: usize, columns: usize, side: usize) -> Result<Block<GridAttention>> {
        let mut block = self.block.clone();
        if block.attention.reach() == Reach::Global && (rows, columns) != (side, side) {
            let [of_rows, of_columns] = &self.tables;
            block.attention.positions = RelativePositions::new(
                &relative_positions(of_rows, rows)?,
                &relative_positions(of_columns, columns)?,
            )?;
        }
        Ok(block)
    }
}
