//! The network's sizes, read from the shapes of its tensors.
//!
//! Shapes do not determine everything: how `heads * dim_head` is split, and stride and padding of the two convolutions, are in
//! the configuration file of the published weights ([`Structure`]).

use super::PosePredictorError;
use crate::nn::TensorSpec;
use posebook_core::appearance::POSE_VECTOR_LENGTH;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Largest accepted width, number of frames or layers: guards against a damaged file.
const MAX_SIZE: usize = 1 << 14;
/// Values of the pose in the regressor: 24 rotations in 6D.
pub const POSE_SIZE: usize = 144;
/// Shape coefficients.
pub const BETAS: usize = 10;
/// Values of the regressor's camera.
pub const CAMERA: usize = 3;

/// Sizes that the shapes of tensors do not determine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Structure {
    /// Attention heads (`transformer.heads`).
    pub heads: usize,
    /// Values of a query or key of one head (`transformer.dim_head`); scores are divided by its square root.
    pub dim_head: usize,
    /// Stride of the convolutions over time (`transformer.conv.stride`).
    pub stride: usize,
    /// Padding of the convolutions over time (`transformer.conv.pad`).
    pub pad: usize,
}

/// All sizes of the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sizes {
    /// Heads and convolutions.
    pub structure: Structure,
    /// Values of a token (`in_feat`).
    pub width: usize,
    /// Positions: the longest span of frames (`frame_length`).
    pub frames: usize,
    /// Layers of the first transformer; the second has one.
    pub depth: usize,
    /// Hidden values of a layer's perceptron (`mlp_dim`).
    pub mlp_dim: usize,
    /// Hidden values of the encoder of poses (`mid_dim`).
    pub pose_hidden: usize,
    /// Hidden values of the regressor.
    pub regressor_hidden: usize,
    /// Action classes; 0 if the weights have no action head.
    pub actions: usize,
    /// Columns of `mean` and `std`; the rest of a pose vector is not normalized.
    pub normalized: usize,
}

impl Sizes {
    /// Reads the sizes from the shapes of all tensors by key.
    ///
    /// # Errors
    /// If a tensor that determines a size is missing or has another rank, or the sizes contradict each other.
    pub fn from_shapes(
        shapes: &HashMap<String, Vec<usize>>,
        structure: Structure,
        origin: &str,
    ) -> Result<Sizes, PosePredictorError> {
        let problem = |message: String| PosePredictorError::Weights { origin: origin.to_string(), message };
        let side = |key: &str, rank: usize, axis: usize| {
            let shape = shapes.get(key).ok_or_else(|| problem(format!("there is no tensor `{key}`")))?;
            match shape.get(axis) {
                Some(&size) if shape.len() == rank && (1..=MAX_SIZE).contains(&size) => Ok(size),
                _ => Err(problem(format!(
                    "`{key}` has shape {shape:?}, but {rank} axes of 1 to {MAX_SIZE} are needed"
                ))),
            }
        };
        let layer = |index: usize| format!("encoder.transformer1.layers.{index}.0.norm.weight");
        let kernel = side("encoder.conv_en.weight", 3, 2)?;
        let sizes = Sizes {
            structure,
            width: side("encoder.mask_token", 1, 0)?,
            frames: side("encoder.pos_embedding_learned1", 3, 1)?,
            depth: (0..MAX_SIZE).take_while(|&index| shapes.contains_key(&layer(index))).count(),
            mlp_dim: side("encoder.transformer2.layers.0.1.fn.net.0.weight", 2, 0)?,
            pose_hidden: side("encoder.pose_shape_encoder.0.weight", 2, 0)?,
            regressor_hidden: side("encoder.smpl_head.0.fc1.weight", 2, 0)?,
            actions: match shapes.contains_key(ACTION_WEIGHT) {
                true => side(ACTION_WEIGHT, 2, 0)?,
                false => 0,
            },
            normalized: side("mean", 2, 1)?,
        };
        if sizes.depth == 0 {
            return Err(problem(format!("there is no tensor `{}`", layer(0))));
        }
        sizes
            .check(kernel, side("encoder.transformer2.layers.0.0.fn.to_qkv.weight", 2, 0)?)
            .map_err(problem)?;
        Ok(sizes)
    }

    fn check(&self, kernel: usize, packed: usize) -> Result<(), String> {
        let Structure { heads, dim_head, stride, pad } = self.structure;
        let is_in_range = |size: usize| (1..=MAX_SIZE).contains(&size);
        if !is_in_range(heads) || !is_in_range(dim_head) || !is_in_range(stride) || pad > MAX_SIZE {
            return Err(format!(
                "heads {heads}, dim_head {dim_head}, stride {stride} and pad {pad} have to be between 1 and {MAX_SIZE}"
            ));
        }
        if packed != 3 * heads * dim_head {
            return Err(format!(
                "`encoder.transformer2.layers.0.0.fn.to_qkv.weight` has {packed} rows, but {heads} heads of {dim_head} values \
                 need {}; correct `heads` or `dim_head`",
                3 * heads * dim_head
            ));
        }
        if kernel != stride + 2 * pad {
            return Err(format!(
                "`encoder.conv_en.weight` has a kernel of {kernel}, but stride {stride} and pad {pad} need {}; correct \
                 `stride` or `pad`",
                stride + 2 * pad
            ));
        }
        if !self.frames.is_multiple_of(stride) {
            return Err(format!(
                "a stride of {stride} does not divide `encoder.pos_embedding_learned1`'s {} frames, so that the second \
                 convolution cannot restore them; correct `stride` and `pad`",
                self.frames
            ));
        }
        if self.normalized > POSE_VECTOR_LENGTH {
            return Err(format!(
                "`mean` has {} columns, but a pose vector has {POSE_VECTOR_LENGTH}",
                self.normalized
            ));
        }
        Ok(())
    }

    /// Values of all heads' queries.
    pub fn inner(&self) -> usize {
        self.structure.heads * self.structure.dim_head
    }

    /// Width of the convolutions' kernels, frames.
    pub fn kernel(&self) -> usize {
        self.structure.stride + 2 * self.structure.pad
    }

    /// Tokens between the two convolutions.
    pub fn strided_tokens(&self) -> usize {
        self.frames / self.structure.stride
    }

    /// Whether attention has an output projection: the reference leaves it out for one head as wide as a token.
    pub fn has_projection(&self) -> bool {
        self.structure.heads != 1 || self.structure.dim_head != self.width
    }

    /// Every tensor that the network reads.
    pub fn tensors(&self) -> Vec<TensorSpec> {
        let (width, inner, hidden) = (self.width, self.inner(), self.regressor_hidden);
        let mut specs = Specs(Vec::new());
        specs.add("encoder.mask_token", &[width]);
        for table in ["encoder.pos_embedding_learned1", "encoder.pos_embedding_learned2"] {
            specs.add(table, &[1, self.frames, width]);
        }
        for (name, depth) in [("transformer1", self.depth), ("transformer2", 1)] {
            for layer in 0..depth {
                let at = format!("encoder.{name}.layers.{layer}");
                specs.add_vectors(&format!("{at}.0.norm"), width);
                specs.add(&format!("{at}.0.fn.to_qkv.weight"), &[3 * inner, width]);
                if self.has_projection() {
                    specs.add_linear(&format!("{at}.0.fn.to_out.0"), inner, width);
                }
                specs.add_vectors(&format!("{at}.1.norm"), width);
                specs.add_linear(&format!("{at}.1.fn.net.0"), width, self.mlp_dim);
                specs.add_linear(&format!("{at}.1.fn.net.3"), self.mlp_dim, width);
            }
        }
        for convolution in ["conv_en", "conv_de"] {
            specs.add(&format!("encoder.{convolution}.weight"), &[width, width, self.kernel()]);
            specs.add(&format!("encoder.{convolution}.bias"), &[width]);
        }
        specs.add_linear("encoder.pose_shape_encoder.0", POSE_VECTOR_LENGTH, self.pose_hidden);
        specs.add_linear("encoder.pose_shape_encoder.2", self.pose_hidden, width);
        let head = "encoder.smpl_head.0";
        for (name, size) in [("init_body_pose", POSE_SIZE), ("init_betas", BETAS), ("init_cam", CAMERA)] {
            specs.add(&format!("{head}.{name}"), &[1, size]);
        }
        specs.add_linear(&format!("{head}.fc1"), width + POSE_SIZE + BETAS + CAMERA, hidden);
        specs.add_linear(&format!("{head}.fc2"), hidden, hidden);
        for (name, size) in [("decpose", POSE_SIZE), ("decshape", BETAS), ("deccam", CAMERA)] {
            specs.add_linear(&format!("{head}.{name}"), hidden, size);
        }
        for (layer, size) in [(0, width), (2, width), (4, CAMERA)] {
            specs.add_linear(&format!("encoder.loca_head.0.{layer}"), width, size);
        }
        if self.actions > 0 {
            specs.add_linear("encoder.action_head_ava.0.0", width, self.actions);
        }
        for row in ["mean", "std"] {
            specs.add(row, &[1, self.normalized]);
        }
        specs.0
    }
}

const ACTION_WEIGHT: &str = "encoder.action_head_ava.0.0.weight";

struct Specs(Vec<TensorSpec>);

impl Specs {
    fn add(&mut self, key: &str, shape: &[usize]) {
        self.0.push(TensorSpec { key: key.to_string(), shape: shape.to_vec() });
    }

    fn add_vectors(&mut self, key: &str, size: usize) {
        self.add(&format!("{key}.weight"), &[size]);
        self.add(&format!("{key}.bias"), &[size]);
    }

    fn add_linear(&mut self, key: &str, inputs: usize, outputs: usize) {
        self.add(&format!("{key}.weight"), &[outputs, inputs]);
        self.add(&format!("{key}.bias"), &[outputs]);
    }
}
