//! Layers with weights: layer norm and the two-layer perceptron (MLP). Does not depend on any network.

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
    /// If a tensor is missing or has another shape.
    pub fn load(size: usize, eps: f64, vb: VarBuilder) -> Result<LayerNorm> {
        let weight = vb.get_with_hints(size, "weight", Init::Const(1.0))?;
        let bias = vb.get_with_hints(size, "bias", Init::Const(0.0))?;
        Ok(LayerNorm::new(weight, bias, eps))
    }

    /// A norm of its tensors, each `(size)`.
    pub fn new(weight: Tensor, bias: Tensor, eps: f64) -> LayerNorm {
        LayerNorm { weight, bias, eps }
    }
}

impl Module for LayerNorm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::layer_norm(x, &self.weight, &self.bias, self.eps)
    }
}

/// Two linear layers with the exact GELU between them.
#[derive(Debug, Clone)]
pub struct Mlp {
    fc1: Linear,
    fc2: Linear,
}

impl Mlp {
    /// Reads the two layers under the names that the checkpoint gives them, such as `["fc1", "fc2"]`.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    pub fn load(size: usize, hidden: usize, names: [&str; 2], vb: VarBuilder) -> Result<Mlp> {
        let fc1 = linear(size, hidden, vb.pp(names[0]))?;
        Ok(Mlp { fc1, fc2: linear(hidden, size, vb.pp(names[1]))? })
    }

    /// An MLP of its layers.
    pub fn new(fc1: Linear, fc2: Linear) -> Mlp {
        Mlp { fc1, fc2 }
    }

    /// `residual + forward(x)`, the addition fused into the last product where no gradient is needed.
    ///
    /// # Shapes
    /// All `(b, n, size)`.
    ///
    /// # Errors
    /// If the shapes differ, or the device fails.
    pub fn forward_residual(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        self.fc2.forward_residual(&self.fc1.forward_gelu(x)?, residual)
    }
}

impl Module for Mlp {
    /// # Shapes
    /// `(b, n, size)` to `(b, n, size)`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.fc2.forward(&self.fc1.forward_gelu(x)?)
    }
}
