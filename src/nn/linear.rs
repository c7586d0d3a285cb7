//! The linear layer as one operator: on the CPU in `f32` its bias is added where the product stands, as is
//! what follows it where nobody asks for a gradient; and its gradients are three products, without candle's
//! transposed and zeroed copies between them.
//!
//! Must not know which network it serves.

use super::ops::{self, has_kernels, in_f32, is_half_on_cpu, rounded, values};
use super::products::{self, Then};
use candle_core::{
    CpuStorage, CustomOp2, CustomOp3, Device, Layout, Module, Result, Shape, Storage, Tensor, bail,
};
use candle_nn::{Init, VarBuilder};

/// `x w^T + b`.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

/// Reads `weight` `(to, from)` and `bias` `(to)`.
///
/// # Errors
/// If a tensor is missing or misshapen.
pub fn linear(from: usize, to: usize, vb: VarBuilder) -> Result<Linear> {
    let bias = vb.get_with_hints(to, "bias", Init::Const(0.0))?;
    Ok(Linear { bias: Some(bias), ..linear_no_bias(from, to, vb)? })
}

/// Reads `weight` `(to, from)`.
///
/// # Errors
/// If the tensor is missing or misshapen.
pub fn linear_no_bias(from: usize, to: usize, vb: VarBuilder) -> Result<Linear> {
    let weight = vb.get_with_hints((to, from), "weight", candle_nn::init::DEFAULT_KAIMING_NORMAL)?;
    Ok(Linear { weight, bias: None })
}

impl Module for Linear {
    /// # Shapes
    /// `(.., from)` to `(.., to)`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if is_half_on_cpu(x) {
            return rounded(x, |x| self.wide()?.forward(&x));
        }
        if !has_kernels(x) {
            return candle_nn::Linear::new(self.weight.clone(), self.bias.clone()).forward(x);
        }
        let x = x.contiguous()?;
        match &self.bias {
            Some(bias) => x.apply_op3(&self.weight, bias, Product),
            None => x.apply_op2(&self.weight, Product),
        }
    }
}

impl Linear {
    /// The exact GELU of what [`Module::forward`] gives, in one pass where no gradient is asked for.
    ///
    /// # Shapes
    /// `(.., from)` to `(.., to)`.
    ///
    /// # Errors
    /// If `x` does not fit the layer.
    pub fn forward_gelu(&self, x: &Tensor) -> Result<Tensor> {
        if is_half_on_cpu(x) {
            return rounded(x, |x| self.wide()?.forward_gelu(&x));
        }
        if self.is_plain(x) { self.plain(x, None) } else { ops::gelu(&self.forward(x)?) }
    }

    /// The shortcut and what [`Module::forward`] gives, added up, in one pass where no gradient is asked for.
    ///
    /// # Shapes
    /// `x` `(.., from)`, `shortcut` and the result `(.., to)`.
    ///
    /// # Errors
    /// If `x` does not fit the layer, or the shortcut not its result.
    pub fn forward_onto(&self, x: &Tensor, shortcut: &Tensor) -> Result<Tensor> {
        if is_half_on_cpu(x) {
            let shortcut = in_f32(shortcut)?;
            return rounded(x, |x| self.wide()?.forward_onto(&x, &shortcut));
        }
        let plain = self.is_plain(x) && has_kernels(shortcut) && !shortcut.track_op();
        if plain { self.plain(x, Some(shortcut)) } else { shortcut + self.forward(x)? }
    }

    /// The layer in `f32`, for as long as one product takes.
    fn wide(&self) -> Result<Linear> {
        let bias = self.bias.as_ref().map(in_f32).transpose()?;
        Ok(Linear { weight: in_f32(&self.weight)?, bias })
    }

    fn is_plain(&self, x: &Tensor) -> bool {
        let learns = |tensor: &Tensor| tensor.track_op();
        has_kernels(x) && !learns(x) && !learns(&self.weight) && !self.bias.as_ref().is_some_and(learns)
    }

    /// With the shortcut where there is one, with the GELU where there is none.
    fn plain(&self, x: &Tensor, shortcut: Option<&Tensor>) -> Result<Tensor> {
        let x = x.contiguous()?;
        let shape = shape_after(x.layout(), self.weight.layout())?;
        let shortcut = shortcut.map(Tensor::contiguous).transpose()?;
        if let Some(shortcut) = shortcut.as_ref().filter(|shortcut| *shortcut.shape() != shape) {
            bail!("linear: a shortcut of {:?} cannot join {shape:?}", shortcut.dims());
        }
        let (to, from) = self.weight.dims2()?;
        let (x, weight) = (x.storage_and_layout(), self.weight.storage_and_layout());
        let bias = self.bias.as_ref().map(Tensor::storage_and_layout);
        let bias = bias.as_ref().map(|(storage, layout)| on_cpu(storage, layout)).transpose()?;
        let shortcut = shortcut.as_ref().map(Tensor::storage_and_layout);
        let then = match &shortcut {
            Some((storage, layout)) => Then::Add(on_cpu(storage, layout)?),
            None => Then::Gelu,
        };
        let (x, weight) = (on_cpu(&x.0, x.1)?, on_cpu(&weight.0, weight.1)?);
        Tensor::from_vec(products::linear(x, weight, bias, from, to, then), shape, &Device::Cpu)
    }
}

/// The values of an operand, which has to be contiguous.
fn on_cpu<'a>(storage: &'a Storage, layout: &Layout) -> Result<&'a [f32]> {
    match storage {
        Storage::Cpu(storage) => values(storage, layout, "linear"),
        _ => bail!("linear: the operand has to be on the CPU"),
    }
}

/// What becomes of an operand's shape.
fn shape_after(x: &Layout, weight: &Layout) -> Result<Shape> {
    let (to, from) = weight.shape().dims2()?;
    let mut dims = x.dims().to_vec();
    match dims.last_mut() {
        Some(last) if *last == from => *last = to,
        _ => bail!("linear: {:?} does not end with the layer's {from}", x.dims()),
    }
    Ok(Shape::from(dims))
}

struct Product;

impl Product {
    fn of(
        x: (&CpuStorage, &Layout),
        weight: (&CpuStorage, &Layout),
        bias: Option<&[f32]>,
    ) -> Result<(CpuStorage, Shape)> {
        let shape = shape_after(x.1, weight.1)?;
        let (to, from) = weight.1.shape().dims2()?;
        let (x, weight) = (values(x.0, x.1, "linear")?, values(weight.0, weight.1, "linear")?);
        Ok((CpuStorage::F32(products::linear(x, weight, bias, from, to, Then::Nothing)), shape))
    }

    /// Gradients of the operand and of the weight, and the rows of the result's gradient.
    fn gradients(x: &Tensor, weight: &Tensor, gradient: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        let (to, from) = weight.dims2()?;
        let rows = gradient.contiguous()?.reshape(((), to))?;
        let to_x = rows.matmul(&weight.detach())?.reshape(x.shape())?;
        let to_weight = rows.t()?.matmul(&x.detach().reshape(((), from))?)?;
        Ok((to_x, to_weight, rows))
    }
}

impl CustomOp2 for Product {
    fn name(&self) -> &'static str {
        "linear-no-bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Product::of((x, x_layout), (weight, weight_layout), None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (to_x, to_weight, _) = Product::gradients(x, weight, gradient)?;
        Ok((Some(to_x), Some(to_weight)))
    }
}

impl CustomOp3 for Product {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let bias = values(bias, bias_layout, "linear")?;
        Product::of((x, x_layout), (weight, weight_layout), Some(bias))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (to_x, to_weight, rows) = Product::gradients(x, weight, gradient)?;
        // candle sums columns one stride at a time; a product with ones reads them in a row
        let ones = Tensor::ones((1, rows.dim(0)?), rows.dtype(), rows.device())?;
        Ok((Some(to_x), Some(to_weight), Some(ones.matmul(&rows)?.squeeze(0)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::test_tensors::{far, wavy};
    use candle_core::{DType, Var};

    #[test]
    fn what_follows_a_layer_is_the_same_in_one_pass() {
        let still = |var: Var| var.as_tensor().detach();
        let (x, weight, bias) =
            (still(wavy(&[2, 5, 7], 0.1)), still(wavy(&[3, 7], 0.2)), still(wavy(&[3], 0.3)));
        let layer = Linear { weight, bias: Some(bias) };
        let (plain, shortcut) = (layer.forward(&x).unwrap(), still(wavy(&[2, 5, 3], 0.5)));
        let bits = |tensor: Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let joined = layer.forward_onto(&x, &shortcut).unwrap();
        assert_eq!(bits(joined), bits((&shortcut + &plain).unwrap()));
        assert_eq!(bits(layer.forward_gelu(&x).unwrap()), bits(ops::gelu(&plain).unwrap()));
        assert!(layer.forward_onto(&x, &plain.narrow(1, 0, 4).unwrap()).is_err());
        assert!(layer.forward_gelu(&shortcut).is_err());
    }

    #[test]
    fn half_precision_rounds_what_it_hands_on_and_nothing_else() {
        for dtype in [DType::BF16, DType::F16] {
            half_of(dtype);
        }
    }

    fn half_of(dtype: DType) {
        let half = |var: Var| var.as_tensor().detach().to_dtype(dtype).unwrap();
        let (x, weight, bias) =
            (half(wavy(&[2, 5, 7], 0.1)), half(wavy(&[3, 7], 0.2)), half(wavy(&[3], 0.3)));
        let shortcut = half(wavy(&[2, 5, 3], 0.4));
        let layer = Linear { weight, bias: Some(bias) };
        let wide = layer.wide().unwrap();
        let in_f32 = |x: &Tensor| x.to_dtype(DType::F32).unwrap();
        for (halves, wanted) in [
            (layer.forward(&x), wide.forward(&in_f32(&x))),
            (layer.forward_gelu(&x), wide.forward_gelu(&in_f32(&x))),
            (layer.forward_onto(&x, &shortcut), wide.forward_onto(&in_f32(&x), &in_f32(&shortcut))),
        ] {
            let (halves, wanted) = (halves.unwrap(), wanted.unwrap().to_dtype(dtype).unwrap());
            assert_eq!(halves.dtype(), dtype);
            assert_eq!(far(&in_f32(&halves), &in_f32(&wanted)), 0.0);
        }
    }

    #[test]
    fn a_layer_and_its_gradients_are_candles() {
        let (x, weight, bias) = (wavy(&[2, 5, 7], 0.1), wavy(&[3, 7], 0.2), wavy(&[3], 0.3));
        let layer = Linear { weight: weight.as_tensor().clone(), bias: Some(bias.as_tensor().clone()) };
        let ours = layer.forward(&x).unwrap();
        let theirs = candle_nn::Linear::new(weight.as_tensor().clone(), Some(bias.as_tensor().clone()));
        let theirs = theirs.forward(&x).unwrap();
        assert!(far(&ours, &theirs) < 1e-5);
        let uneven = wavy(&[2, 5, 3], 2.0);
        let gradients = |y: &Tensor| (y * uneven.as_tensor()).unwrap().sum_all().unwrap().backward().unwrap();
        let (a, b) = (gradients(&ours), gradients(&theirs));
        for var in [&x, &weight, &bias] {
            assert!(far(a.get(var).unwrap(), b.get(var).unwrap()) < 1e-4);
        }
    }
}
