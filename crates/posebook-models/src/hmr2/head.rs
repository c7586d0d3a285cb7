//! HMR2's head: a transformer decoder with one zero input token that attends to the backbone's tokens (4D-Humans'
//! `smpl_head.py` and `pose_transformer.py`, with one iteration). Out: pose, shape and camera.

use super::backbone::ActivationCallback;
use super::config::{CAMERA_SIZE, Config, NUM_BETAS, POSE_SIZE};
use crate::nn::{
    LayerNorm, Linear, Mlp, ScaledOperand, attend, linear, linear_no_bias, split_heads, split_last_axis,
};
use candle_core::{D, Module, Result, Tensor};
use candle_nn::VarBuilder;

/// Epsilon of the layer norms: PyTorch's default.
const EPS: f64 = 1e-5;
/// Shorter vectors are divided by this instead of their length (`torch.nn.functional.normalize`).
const MIN_LENGTH: f64 = 1e-12;

/// The network's output for a batch of `b` crops.
#[derive(Debug, Clone)]
pub struct Prediction {
    /// `(b, 144)`: 24 rotations of six values, with the mean pose added.
    pub pose6d: Tensor,
    /// `(b, 24, 3, 3)`: rotation matrices; the first is the global orientation.
    pub rotations: Tensor,
    /// `(b, 10)`: shape coefficients.
    pub betas: Tensor,
    /// `(b, 3)`: scale, x, y of a weak-perspective camera in the crop.
    pub camera: Tensor,
}

impl Prediction {
    /// Concatenates the predictions of several batches.
    ///
    /// # Errors
    /// If there are none.
    pub fn cat(predictions: &[Prediction]) -> Result<Prediction> {
        let all = |part: fn(&Prediction) -> &Tensor| {
            Tensor::cat(&predictions.iter().map(part).collect::<Vec<_>>(), 0)
        };
        Ok(Prediction {
            pose6d: all(|one| &one.pose6d)?,
            rotations: all(|one| &one.rotations)?,
            betas: all(|one| &one.betas)?,
            camera: all(|one| &one.camera)?,
        })
    }
}

/// The decoder and its linear layers for pose, shape and camera.
#[derive(Debug, Clone)]
pub struct SmplHead {
    token: Linear,
    position: Tensor,
    layers: Vec<Layer>,
    pose: Linear,
    betas: Linear,
    camera: Linear,
    mean_pose: Tensor,
    mean_betas: Tensor,
    mean_camera: Tensor,
}

impl SmplHead {
    /// Reads the tensors under `smpl_head`.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    pub fn load(config: &Config, vb: VarBuilder) -> Result<SmplHead> {
        let dim = config.head.dim;
        let transformer = vb.pp("transformer");
        let layers = transformer.pp("transformer.layers");
        Ok(SmplHead {
            token: linear(1, dim, transformer.pp("to_token_embedding"))?,
            position: transformer.get((1, 1, dim), "pos_embedding")?,
            layers: (0..config.head.depth)
                .map(|index| Layer::load(config, layers.pp(index)))
                .collect::<Result<_>>()?,
            pose: linear(dim, POSE_SIZE, vb.pp("decpose"))?,
            betas: linear(dim, NUM_BETAS, vb.pp("decshape"))?,
            camera: linear(dim, CAMERA_SIZE, vb.pp("deccam"))?,
            mean_pose: vb.get((1, POSE_SIZE), "init_body_pose")?,
            mean_betas: vb.get((1, NUM_BETAS), "init_betas")?,
            mean_camera: vb.get((1, CAMERA_SIZE), "init_cam")?,
        })
    }

    /// Predicts from the backbone's features; `on_activation` receives the outputs of each sublayer.
    ///
    /// # Shapes
    /// `features` `(b, context, rows, columns)`.
    ///
    /// # Errors
    /// If the shapes differ, or the device fails.
    pub fn forward(&self, features: &Tensor, on_activation: ActivationCallback) -> Result<Prediction> {
        let context = features.flatten_from(2)?.transpose(1, 2)?.contiguous()?; // (b, rows * columns, context)
        let zero = Tensor::zeros((context.dim(0)?, 1, 1), context.dtype(), context.device())?;
        let mut token = self.token.forward(&zero)?.broadcast_add(&self.position)?; // (b, 1, dim)
        for (index, layer) in self.layers.iter().enumerate() {
            token = layer.forward(token, &context, &mut |name, tensor| {
                on_activation(&format!("layer{index}_{name}"), tensor)
            })?;
        }
        on_activation("token_out", &token);
        let token = token.squeeze(1)?; // (b, dim)
        let pose6d = self.pose.forward(&token)?.broadcast_add(&self.mean_pose)?;
        Ok(Prediction {
            rotations: rotations_from_6d(&pose6d.reshape((pose6d.dim(0)?, 24, 6))?)?,
            pose6d,
            betas: self.betas.forward(&token)?.broadcast_add(&self.mean_betas)?,
            camera: self.camera.forward(&token)?.broadcast_add(&self.mean_camera)?,
        })
    }
}

/// Self-attention, cross-attention, perceptron.
#[derive(Debug, Clone)]
struct Layer {
    self_norm: LayerNorm,
    /// Rows `[q | k | v]`. Self-attention over one token has only weights of 1, so only `v` is used.
    to_qkv: Tensor,
    self_out: Linear,
    cross_norm: LayerNorm,
    to_q: Linear,
    to_kv: Linear,
    cross_out: Linear,
    mlp_norm: LayerNorm,
    mlp: Mlp,
    heads: usize,
}

impl Layer {
    fn load(config: &Config, vb: VarBuilder) -> Result<Layer> {
        let head = &config.head;
        let inner = head.heads * head.dim_head;
        Ok(Layer {
            self_norm: LayerNorm::load(head.dim, EPS, vb.pp("0.norm"))?,
            to_qkv: vb.get((3 * inner, head.dim), "0.fn.to_qkv.weight")?,
            self_out: linear(inner, head.dim, vb.pp("0.fn.to_out.0"))?,
            cross_norm: LayerNorm::load(head.dim, EPS, vb.pp("1.norm"))?,
            to_q: linear_no_bias(head.dim, inner, vb.pp("1.fn.to_q"))?,
            to_kv: linear_no_bias(config.backbone.dim, 2 * inner, vb.pp("1.fn.to_kv"))?,
            cross_out: linear(inner, head.dim, vb.pp("1.fn.to_out.0"))?,
            mlp_norm: LayerNorm::load(head.dim, EPS, vb.pp("2.norm"))?,
            mlp: Mlp::load(head.dim, head.mlp_dim, ["net.0", "net.3"], vb.pp("2.fn"))?,
            heads: head.heads,
        })
    }

    /// `token` `(b, 1, dim)`, `context` `(b, m, context)`, to `(b, 1, dim)`.
    fn forward(&self, token: Tensor, context: &Tensor, on_activation: ActivationCallback) -> Result<Tensor> {
        let attended = self.attend_to_self(&self.self_norm.forward(&token)?)?;
        on_activation("sa", &attended);
        let token = (token + attended)?;
        let attended = self.attend_to_context(&self.cross_norm.forward(&token)?, context)?;
        on_activation("ca", &attended);
        let token = (token + attended)?;
        let hidden = self.mlp.forward(&self.mlp_norm.forward(&token)?)?;
        on_activation("ff", &hidden);
        token + hidden
    }

    fn attend_to_self(&self, token: &Tensor) -> Result<Tensor> {
        let inner = self.to_qkv.dim(0)? / 3;
        let to_v = self.to_qkv.narrow(0, 2 * inner, inner)?;
        let value = token.squeeze(1)?.matmul(&to_v.t()?)?.unsqueeze(1)?; // (b, 1, inner)
        self.self_out.forward(&value)
    }

    fn attend_to_context(&self, token: &Tensor, context: &Tensor) -> Result<Tensor> {
        let q = split_heads(&self.to_q.forward(token)?, self.heads)?;
        let (k, v) = split_last_axis(&self.to_kv.forward(context)?)?;
        let (k, v) = (split_heads(&k, self.heads)?, split_heads(&v, self.heads)?);
        self.cross_out.forward(&attend(q, k, v, ScaledOperand::Scores)?)
    }
}

/// Rotation matrices from their 6D representation (Zhou et al. 2019): two columns, orthonormalized by Gram-Schmidt,
/// and their cross product. As in 4D-Humans, the first three values are the first column, a zero column stays zero,
/// and no value becomes NaN.
///
/// # Shapes
/// `(.., 6)` to `(.., 3, 3)`.
///
/// # Errors
/// If the device fails.
pub fn rotations_from_6d(x: &Tensor) -> Result<Tensor> {
    let (first, second) = split_last_axis(x)?;
    let first = normalize(&first)?;
    let projection = (&first * &second)?.sum_keepdim(D::Minus1)?;
    let second = normalize(&(second - first.broadcast_mul(&projection)?)?)?;
    let third = cross(&first, &second)?;
    Tensor::stack(&[first, second, third], D::Minus1)
}

fn normalize(x: &Tensor) -> Result<Tensor> {
    let length = x.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?.maximum(MIN_LENGTH)?;
    x.broadcast_div(&length)
}

fn cross(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let rolled = |x: &Tensor, by: usize| -> Result<Tensor> {
        let (front, back) = (x.narrow(D::Minus1, 0, by)?, x.narrow(D::Minus1, by, 3 - by)?);
        Tensor::cat(&[back, front], D::Minus1)
    };
    (rolled(a, 1)? * rolled(b, 2)?)? - (rolled(a, 2)? * rolled(b, 1)?)?
}
