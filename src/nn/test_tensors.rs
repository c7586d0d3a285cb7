//! Tensors for the tests of this room, and how far two of them are apart.

use candle_core::{Device, Tensor, Var};

pub fn wavy(shape: &[usize], phase: f64) -> Var {
    let n = shape.iter().product::<usize>();
    let values: Vec<f32> = (0..n).map(|i| (phase + i as f64 * 0.7).sin() as f32).collect();
    Var::from_vec(values, shape, &Device::Cpu).unwrap()
}

pub fn far(a: &Tensor, b: &Tensor) -> f32 {
    let apart = (a - b).unwrap().abs().unwrap().flatten_all().unwrap();
    apart.max(0).unwrap().to_scalar::<f32>().unwrap()
}
