//! What matrix products alone reach: the ceiling of a device, and the network's own shapes.

use super::{Ceiling, Rate, median, seconds};
use crate::hmr2::Config;
use candle_core::{DType, Device, Result, Tensor};

/// Side of the large square product on a card, and on a CPU.
const SIDES: [usize; 2] = [8192, 512];

/// Teraflops of one large square product.
pub fn ceiling(dtype: DType, device: &Device, passes: usize) -> Result<Ceiling> {
    let side = if device.is_cpu() { SIDES[1] } else { SIDES[0] };
    let (a, b) = (random(dtype, device, side, side)?, random(dtype, device, side, side)?);
    let seconds = seconds(passes, || {
        a.matmul(&b)?;
        device.synchronize()
    })?;
    Ok(Ceiling { side, tflops: 2.0 * (side as f64).powi(3) / median(&seconds) / 1e12 })
}

/// Teraflops of the products of one block with its weights, over a batch, and nothing between them.
pub fn of_block(config: &Config, dtype: DType, device: &Device, batch: usize, passes: usize) -> Result<Rate> {
    let products = config.block_products();
    let pairs = products.iter().map(|product| {
        let rows = batch * product.rows;
        Ok((random(dtype, device, rows, product.from)?, random(dtype, device, product.to, product.from)?))
    });
    let pairs: Vec<(Tensor, Tensor)> = pairs.collect::<Result<_>>()?;
    let seconds = seconds(passes, || {
        for (rows, weight) in &pairs {
            rows.matmul(&weight.t()?)?;
        }
        device.synchronize()
    })?;
    let flop: u64 = products.iter().map(|product| product.flop() * batch as u64).sum();
    Ok(Rate { batch, tflops: flop as f64 / median(&seconds) / 1e12 })
}

/// Numbers that no multiplier has an easy time with; zeros run faster than anything real.
fn random(dtype: DType, device: &Device, rows: usize, columns: usize) -> Result<Tensor> {
    Tensor::randn(0f32, 1.0, (rows, columns), device)?.to_dtype(dtype)
}
