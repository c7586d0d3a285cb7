//! Rates of matrix products alone: one large product, and the network's own shapes.

use super::{Ceiling, ProductRate, median, time_passes};
use candle_core::{DType, Device, Result, Tensor};
use posebook_models::hmr2::Config;

/// Side of the large square product on a GPU, and on a CPU.
const SIDES: [usize; 2] = [8192, 512];

/// Rate of one large square product.
pub fn measure_ceiling(dtype: DType, device: &Device, passes: usize) -> Result<Ceiling> {
    let side = if device.is_cpu() { SIDES[1] } else { SIDES[0] };
    let (a, b) = (random(dtype, device, side, side)?, random(dtype, device, side, side)?);
    let seconds = time_passes(passes, || {
        a.matmul(&b)?;
        device.synchronize()
    })?;
    Ok(Ceiling { side, tflops: 2.0 * (side as f64).powi(3) / median(&seconds) / 1e12 })
}

/// Rate of the matrix products of one transformer block over a batch.
pub fn measure_block(
    config: &Config,
    dtype: DType,
    device: &Device,
    batch: usize,
    passes: usize,
) -> Result<ProductRate> {
    let products = config.block_products();
    let pairs = products.iter().map(|product| {
        let rows = batch * product.rows;
        Ok((
            random(dtype, device, rows, product.inputs)?,
            random(dtype, device, product.outputs, product.inputs)?,
        ))
    });
    let pairs: Vec<(Tensor, Tensor)> = pairs.collect::<Result<_>>()?;
    let seconds = time_passes(passes, || {
        for (rows, weight) in &pairs {
            rows.matmul(&weight.t()?)?;
        }
        device.synchronize()
    })?;
    let flop: u64 = products.iter().map(|product| product.flop() * batch as u64).sum();
    Ok(ProductRate { batch, tflops: flop as f64 / median(&seconds) / 1e12 })
}

/// Random values: products of zeros run faster than real ones.
fn random(dtype: DType, device: &Device, rows: usize, columns: usize) -> Result<Tensor> {
    Tensor::randn(0f32, 1.0, (rows, columns), device)?.to_dtype(dtype)
}
