//! The sizes of HMR2's network, and the keys and shapes of its tensors.

use super::Hmr2Error;
use crate::nn::TensorSpec;
use serde::{Deserialize, Serialize};

/// Zero padding of the patch embedding, pixels (4D-Humans' `PatchEmbed`: 2 for every patch size). Patches start at
/// -2, and the last rows and columns of the image are not used.
pub const PATCH_PADDING: usize = 2;
/// Values of a pose: 24 rotations of six values.
pub const POSE_SIZE: usize = 24 * 6;
/// Shape coefficients.
pub const NUM_BETAS: usize = 10;
/// Values of a camera: scale, x, y.
pub const CAMERA_SIZE: usize = 3;

/// Sizes of the network. [`Config::hmr2`] is the published one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Side of the square crop, pixels; a multiple of 32. The backbone uses the middle three quarters of its width
    /// (256: columns 32 to 224).
    pub image_size: usize,
    /// The vision transformer.
    pub backbone: BackboneConfig,
    /// The transformer decoder.
    pub head: HeadConfig,
}

/// The vision transformer (Dosovitskiy et al. 2021).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackboneConfig {
    /// Side of a patch, pixels.
    pub patch_size: usize,
    /// Values of a token.
    pub dim: usize,
    /// Blocks.
    pub depth: usize,
    /// Attention heads.
    pub heads: usize,
    /// Hidden size of a block's MLP, as a multiple of `dim`.
    pub mlp_ratio: usize,
}

/// The transformer decoder that predicts pose, shape and camera from the backbone's tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadConfig {
    /// Values of its token.
    pub dim: usize,
    /// Layers.
    pub depth: usize,
    /// Attention heads.
    pub heads: usize,
    /// Values of a head.
    pub dim_head: usize,
    /// Hidden size of the MLP.
    pub mlp_dim: usize,
}

impl Config {
    /// The published network: ViT-H and a decoder of six layers.
    pub fn hmr2() -> Config {
        Config {
            image_size: 256,
            backbone: BackboneConfig { patch_size: 16, dim: 1280, depth: 32, heads: 16, mlp_ratio: 4 },
            head: HeadConfig { dim: 1024, depth: 6, heads: 8, dim_head: 64, mlp_dim: 1024 },
        }
    }

    /// Columns that are cropped at the left and at the right before the backbone.
    pub fn side_cut(&self) -> usize {
        self.image_size / 8
    }

    /// Rows and columns of patches.
    pub fn token_grid(&self) -> (usize, usize) {
        let patch = self.backbone.patch_size;
        let along = |pixels: usize| (pixels + 2 * PATCH_PADDING - patch) / patch + 1;
        (along(self.image_size), along(self.image_size - 2 * self.side_cut()))
    }

    /// Checks that the sizes make a network.
    ///
    /// # Errors
    /// Names the first size that does not.
    pub fn validate(&self) -> Result<(), Hmr2Error> {
        let Config { image_size, backbone, head } = self;
        let patch = backbone.patch_size;
        let invalid = |what: String| Err(Hmr2Error::Config { what });
        let sizes = [backbone.dim, backbone.heads, backbone.mlp_ratio, head.dim, head.heads, head.dim_head];
        if sizes.contains(&0) || head.mlp_dim == 0 {
            return invalid("a size is 0; every size but a depth has to be positive".into());
        }
        if *image_size == 0 || image_size % 32 != 0 {
            return invalid(format!("image_size is {image_size}; it has to be a multiple of 32"));
        }
        if patch <= 2 * PATCH_PADDING || patch > image_size / 2 {
            return invalid(format!("patch_size is {patch}; it has to lie between 5 and half of image_size"));
        }
        if !backbone.dim.is_multiple_of(backbone.heads) {
            return invalid(format!(
                "backbone.dim {} is not a multiple of its heads {}",
                backbone.dim, backbone.heads
            ));
        }
        Ok(())
    }

    /// Every tensor of the network, keyed as in the public checkpoint's state dict.
    pub fn tensors(&self) -> Vec<TensorSpec> {
        let mut tensors = Tensors::default();
        self.backbone_tensors(&mut tensors);
        self.head_tensors(&mut tensors);
        tensors.0
    }

    /// Number of weights, including the mean parameters.
    pub fn parameters(&self) -> usize {
        self.tensors().iter().map(|tensor| tensor.shape.iter().product::<usize>()).sum()
    }

    fn backbone_tensors(&self, tensors: &mut Tensors) {
        let BackboneConfig { patch_size, dim, depth, mlp_ratio, .. } = self.backbone;
        let (rows, columns) = self.token_grid();
        tensors.add("backbone.pos_embed", &[1, rows * columns + 1, dim]);
        tensors.add("backbone.patch_embed.proj.weight", &[dim, 3, patch_size, patch_size]);
        tensors.add("backbone.patch_embed.proj.bias", &[dim]);
        for block in 0..depth {
            let prefix = format!("backbone.blocks.{block}");
            tensors.norm(&format!("{prefix}.norm1"), dim);
            tensors.linear(&format!("{prefix}.attn.qkv"), dim, 3 * dim);
            tensors.linear(&format!("{prefix}.attn.proj"), dim, dim);
            tensors.norm(&format!("{prefix}.norm2"), dim);
            tensors.linear(&format!("{prefix}.mlp.fc1"), dim, mlp_ratio * dim);
            tensors.linear(&format!("{prefix}.mlp.fc2"), mlp_ratio * dim, dim);
        }
        tensors.norm("backbone.last_norm", dim);
    }

    fn head_tensors(&self, tensors: &mut Tensors) {
        let HeadConfig { dim, depth, heads, dim_head, mlp_dim } = self.head;
        let (inner, context) = (heads * dim_head, self.backbone.dim);
        tensors.add("smpl_head.init_body_pose", &[1, POSE_SIZE]);
        tensors.add("smpl_head.init_betas", &[1, NUM_BETAS]);
        tensors.add("smpl_head.init_cam", &[1, CAMERA_SIZE]);
        tensors.add("smpl_head.transformer.pos_embedding", &[1, 1, dim]);
        tensors.linear("smpl_head.transformer.to_token_embedding", 1, dim);
        for layer in 0..depth {
            let prefix = format!("smpl_head.transformer.transformer.layers.{layer}");
            tensors.norm(&format!("{prefix}.0.norm"), dim);
            tensors.add(&format!("{prefix}.0.fn.to_qkv.weight"), &[3 * inner, dim]);
            tensors.linear(&format!("{prefix}.0.fn.to_out.0"), inner, dim);
            tensors.norm(&format!("{prefix}.1.norm"), dim);
            tensors.add(&format!("{prefix}.1.fn.to_kv.weight"), &[2 * inner, context]);
            tensors.add(&format!("{prefix}.1.fn.to_q.weight"), &[inner, dim]);
            tensors.linear(&format!("{prefix}.1.fn.to_out.0"), inner, dim);
            tensors.norm(&format!("{prefix}.2.norm"), dim);
            tensors.linear(&format!("{prefix}.2.fn.net.0"), dim, mlp_dim);
            tensors.linear(&format!("{prefix}.2.fn.net.3"), mlp_dim, dim);
        }
        tensors.linear("smpl_head.decpose", dim, POSE_SIZE);
        tensors.linear("smpl_head.decshape", dim, NUM_BETAS);
        tensors.linear("smpl_head.deccam", dim, CAMERA_SIZE);
    }
}

#[derive(Default)]
struct Tensors(Vec<TensorSpec>);

impl Tensors {
    fn add(&mut self, key: &str, shape: &[usize]) {
        self.0.push(TensorSpec { key: key.to_string(), shape: shape.to_vec() });
    }

    fn linear(&mut self, prefix: &str, inputs: usize, outputs: usize) {
        self.add(&format!("{prefix}.weight"), &[outputs, inputs]);
        self.add(&format!("{prefix}.bias"), &[outputs]);
    }

    fn norm(&mut self, prefix: &str, size: usize) {
        self.add(&format!("{prefix}.weight"), &[size]);
        self.add(&format!("{prefix}.bias"), &[size]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_network_has_its_published_sizes() {
        let config = Config::hmr2();
        config.validate().unwrap();
        assert_eq!(config.token_grid(), (16, 12));
        assert_eq!(config.parameters(), 670_459_194);
    }

    #[test]
    fn other_image_and_patch_sizes_give_their_token_grid() {
        for (image_size, patch_size, grid) in
            [(128, 16, (8, 6)), (160, 16, (10, 7)), (192, 16, (12, 9)), (128, 8, (16, 12))]
        {
            let mut config = Config::hmr2();
            (config.image_size, config.backbone.patch_size) = (image_size, patch_size);
            config.validate().unwrap();
            assert_eq!(config.token_grid(), grid, "{image_size}");
        }
    }

    #[test]
    fn invalid_sizes_are_named() {
        let mut config = Config::hmr2();
        config.backbone.heads = 7;
        assert!(config.validate().unwrap_err().to_string().contains("not a multiple of its heads 7"));
        config.image_size = 200;
        assert!(config.validate().unwrap_err().to_string().contains("image_size is 200"));
    }
}
