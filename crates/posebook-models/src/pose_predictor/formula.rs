//! Weights of the golden sets by formula: an untrained network of any size with the same bits everywhere.

use super::sizes::{Sizes, Structure};
use super::{PosePredictorError, PoseTransformer, Settings};
use crate::hmr2::formula;
use candle_core::{Device, Result, Tensor};
use std::collections::HashMap;

/// Offsets of 6D rotations: the identity.
const IDENTITY_6D: [f64; 6] = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0];
/// Columns of `mean` and `std`, as in the published file: poses and shape, not the location.
const NORMALIZED: usize = 226;

/// The two configurations of the goldens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormulaNetwork {
    /// Reduced: 64 values, two layers.
    Pp64,
    /// As large as the published one by what is known of it: 256 values, 16 layers of 16 heads.
    Pp256,
}

impl FormulaNetwork {
    /// The name in the goldens.
    pub fn name(self) -> &'static str {
        match self {
            FormulaNetwork::Pp64 => "pp64",
            FormulaNetwork::Pp256 => "pp256",
        }
    }

    /// The sizes.
    pub fn sizes(self) -> Sizes {
        let (width, depth, heads, dim_head, mlp_dim) = match self {
            FormulaNetwork::Pp64 => (64, 2, 4, 16, 128),
            FormulaNetwork::Pp256 => (256, 16, 16, 64, 512),
        };
        Sizes {
            structure: Structure { heads, dim_head, stride: 5, pad: 1 },
            width,
            frames: 125,
            depth,
            mlp_dim,
            pose_hidden: 229,
            regressor_hidden: 1024,
            actions: 60,
            normalized: NORMALIZED,
        }
    }

    /// The tensors of the golden set `set`, keyed as [`PoseTransformer::from_tensors`] takes them.
    ///
    /// # Errors
    /// If there is not enough memory.
    pub fn tensors(self, set: &str) -> Result<HashMap<String, Tensor>> {
        let sizes = self.sizes();
        let identity9 = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        let mean: Vec<f64> =
            (0..NORMALIZED).map(|at| if at < 216 { identity9[at % 9] } else { 0.0 }).collect();
        let filled = |key: String, shape: Vec<usize>| {
            let (offsets, scale): (&[f64], f64) = match key.as_str() {
                "mean" => (&mean, 0.02),
                "std" => (&[0.1], 0.03),
                key => rule(key, &shape, &sizes),
            };
            let tensor = formula::tensor(&format!("{set}/{}/{key}", self.name()), &shape, offsets, scale)?;
            Ok((key, tensor))
        };
        sizes.tensors().into_iter().map(|spec| filled(spec.key, spec.shape)).collect()
    }
}

impl PoseTransformer {
    /// The predictor of the golden set `set` on the CPU.
    ///
    /// # Errors
    /// If there is not enough memory.
    pub fn from_formula(
        set: &str,
        network: FormulaNetwork,
        settings: &Settings,
    ) -> std::result::Result<PoseTransformer, PosePredictorError> {
        let (tensors, structure) = (network.tensors(set)?, network.sizes().structure);
        PoseTransformer::from_tensors(&tensors, structure, "the formula", settings, &Device::Cpu)
    }
}

/// Offsets and scale of a tensor of `encoder.*`.
fn rule(key: &str, shape: &[usize], sizes: &Sizes) -> (&'static [f64], f64) {
    let ends = |endings: &[&str]| endings.iter().any(|ending| key.ends_with(ending));
    let has = |part: &str| key.contains(part);
    // six significant digits, as the goldens' manifest states scales
    let fan = |gain: f64, inputs: f64| rounded(gain * (3.0 / inputs).sqrt());
    let width = sizes.width as f64;
    if ends(&["mask_token", "pos_embedding_learned1", "pos_embedding_learned2"]) {
        (&[0.0], 0.5)
    } else if ends(&["norm.weight"]) {
        (&[1.0], 0.1)
    } else if ends(&["norm.bias"]) {
        (&[0.0], 0.1)
    } else if ends(&["init_body_pose"]) {
        (&IDENTITY_6D, 0.02)
    } else if ends(&["init_cam"]) {
        (&[0.9, 0.0, 0.0], 0.05)
    } else if ends(&["decpose.weight", "decshape.weight", "deccam.weight"]) {
        (&[0.0], 0.0015)
    } else if ends(&["decpose.bias", "decshape.bias", "deccam.bias"]) {
        (&[0.0], 0.005)
    } else if ends(&["init_betas", ".bias"]) {
        (&[0.0], 0.05)
    } else if ends(&["conv_en.weight"]) {
        (&[0.0], fan(1.0, width * sizes.kernel() as f64))
    } else if ends(&["conv_de.weight"]) {
        (&[0.0], fan(1.0, width * 1.4))
    } else {
        let gain = match () {
            () if has("to_qkv") => 1.2,
            () if has("to_out") || has("net.3") => 0.5,
            () if has("pose_shape_encoder") || has(".fc1") || has(".fc2") => 1.4,
            () if has("loca_head.0.0") || has("loca_head.0.2") => 1.4,
            () => 1.0,
        };
        (&[0.0], fan(gain, shape[1] as f64))
    }
}

fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}
