//! Tensors for the tests of this module, and the largest difference of two.

use candle_core::{Device, Tensor, Var};

/// A tensor of sines, different for every phase.
pub fn wavy(shape: &[usize], phase: f64) -> Var {
    let n = shape.iter().product::<usize>();
    let values: Vec<f32> = (0..n).map(|i| (phase + i as f64 * 0.7).sin() as f32).collect();
    Var::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// The largest absolute difference of two tensors of the same shape.
pub fn max_difference(a: &Tensor, b: &Tensor) -> f32 {
    let differences = (a - b).unwrap().abs().unwrap().flatten_all().unwrap();
    differences.max(0).unwrap().to_scalar::<f32>().unwrap()
}
