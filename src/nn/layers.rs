//! Layers with weights: layer norm and the two-layer perceptron. Must not know which network it serves.

use super::linear::{Linear, linear};
use super::ops;
use candle_core::{Module, Result, Tensor};
use candle_nn::{Init, VarBuilder};

/// Layer norm over the last axis, differentiable (see [`ops::layer_norm`]).
#[derive(Debug, Clone)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    /// Reads `weight` and `bias`, each `(size)`.
    ///
    /// # Errors
    /// If a tensor is missing or misshapen.
    pub fn load(size: usize, eps: f64, vb: VarBuilder) -> Result<LayerNorm> {
        let weight = vb.get_with_hints(size, "weight", Init::Const(1.0))?;
        let bias = vb.get_with_hints(size, "bias", Init::Const(0.0))?;
        Ok(LayerNorm { weight, bias, eps })
    }
}

impl Module for LayerNorm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::layer_norm(x, &self.weight, &self.bias, self.eps)
    }
}

/// Linear, exact GELU, linear.
#[derive(Debug, Clone)]
pub struct Mlp {
    widen: Linear,
    narrow: Linear,
}

impl Mlp {
    /// Reads the two layers under the names the checkpoint gives them (`"fc1"` and `"fc2"`, say).
    ///
    /// # Errors
    /// If a tensor is missing or misshapen.
    pub fn load(size: usize, hidden: usize, names: [&str; 2], vb: VarBuilder) -> Result<Mlp> {
        let widen = linear(size, hidden, vb.pp(names[0]))?;
        Ok(Mlp { widen, narrow: linear(hidden, size, vb.pp(names[1]))? })
    }
}

impl Mlp {
    /// The shortcut and what [`Module::forward`] gives for `x`, added up.
    ///
    /// # Shapes
    /// All `(b, n, size)`.
    ///
    /// # Errors
    /// If the shapes are others, or the device fails.
    pub fn forward_onto(&self, x: &Tensor, shortcut: &Tensor) -> Result<Tensor> {
        self.narrow.forward_onto(&self.widen.forward_gelu(x)?, shortcut)
    }
}

impl Module for Mlp {
    /// # Shapes
    /// `(b, n, size)` to `(b, n, size)`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.narrow.forward(&self.widen.forward_gelu(x)?)
    }
}
