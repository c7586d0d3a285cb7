//! Position tables of a vision transformer, resized to another grid.
//!
//! In: the tables of a checkpoint; out: tables for a grid of tokens. Computed once, in `f32` on the CPU, as PyTorch's
//! `interpolate` does it: pixel centers are at half pixels (`align_corners=False`), and nothing is smoothed before
//! shrinking (no antialiasing).

use candle_core::{DType, Device, Result, Tensor, bail};

/// PyTorch's coefficient of the bicubic kernel (Keys 1981); others use -0.5.
const CUBIC: f64 = -0.75;

/// Absolute positions for a grid. The table's first entry belongs to a class token, which the network does not have.
///
/// # Shapes
/// `table` `(1, 1 + side * side, c)` to `(height, width, c)`.
///
/// # Errors
/// If the positions are not those of a square, or the device fails.
pub fn absolute_positions(table: &Tensor, height: usize, width: usize) -> Result<Tensor> {
    let (_, count, channels) = table.dims3()?;
    let side = count.saturating_sub(1).isqrt();
    if side == 0 || side * side + 1 != count {
        bail!("{count} position embeddings are not those of a class token and a square grid");
    }
    let values = table.narrow(1, 1, side * side)?.to_dtype(DType::F32)?.to_device(&Device::Cpu)?;
    let values = values.flatten_all()?.to_vec1::<f32>()?;
    // columns first, then rows
    let values = resample(&values, [side, side, channels], &cubic_taps(side, width));
    let values = resample(&values, [1, side, width * channels], &cubic_taps(side, height));
    let resized = Tensor::from_vec(values, (height, width, channels), &Device::Cpu)?;
    resized.to_dtype(table.dtype())?.to_device(table.device())
}

/// A table of relative positions for a grid of `side` tokens, interpolated linearly where it was made for another. The published
/// detector never needs it: its images are padded to the size that the tables were trained for.
///
/// # Shapes
/// `table` `(length, d)` to `(2 * side - 1, d)`.
///
/// # Errors
/// If the table is empty, or the device fails.
pub fn relative_positions(table: &Tensor, side: usize) -> Result<Tensor> {
    let (length, d) = table.dims2()?;
    let wanted = (2 * side).saturating_sub(1);
    if length == wanted {
        return Ok(table.clone());
    }
    if length == 0 || wanted == 0 {
        bail!("{length} relative positions cannot be resized to {wanted}");
    }
    let values = table.to_dtype(DType::F32)?.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
    let values = resample(&values, [1, length, d], &linear_taps(length, wanted));
    Tensor::from_vec(values, (wanted, d), &Device::Cpu)?.to_dtype(table.dtype())?.to_device(table.device())
}

/// The entries and weights that an output is the sum of.
type Taps = Vec<(usize, f32)>;

/// Where the center of an output entry is among the input's entries.
fn source(index: usize, from: usize, to: usize) -> f64 {
    (index as f64 + 0.5) * from as f64 / to as f64 - 0.5
}

fn cubic_taps(from: usize, to: usize) -> Vec<Taps> {
    let near = |t: f64| ((CUBIC + 2.0) * t - (CUBIC + 3.0)) * t * t + 1.0;
    let far = |t: f64| ((CUBIC * t - 5.0 * CUBIC) * t + 8.0 * CUBIC) * t - 4.0 * CUBIC;
    let taps = |index: usize| {
        let position = source(index, from, to);
        let (first, t) = (position.floor() as i64 - 1, position - position.floor());
        let weights = [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)];
        let entry = |tap: i64| (first + tap).clamp(0, from as i64 - 1) as usize; // the edge is repeated
        (0..).zip(weights).map(|(tap, weight)| (entry(tap), weight as f32)).collect()
    };
    (0..to).map(taps).collect()
}

fn linear_taps(from: usize, to: usize) -> Vec<Taps> {
    let taps = |index: usize| {
        let position = source(index, from, to).max(0.0);
        let first = (position as usize).min(from - 1);
        let t = (position - first as f64) as f32;
        vec![(first, 1.0 - t), ((first + 1).min(from - 1), t)]
    };
    (0..to).map(taps).collect()
}

/// Resamples the middle axis of `(outer, n, inner)` values.
fn resample(values: &[f32], [outer, n, inner]: [usize; 3], taps: &[Taps]) -> Vec<f32> {
    let mut out = vec![0.0; outer * taps.len() * inner];
    for (values, out) in values.chunks_exact(n * inner).zip(out.chunks_exact_mut(taps.len() * inner)) {
        for (taps, out) in taps.iter().zip(out.chunks_exact_mut(inner)) {
            for &(entry, weight) in taps {
                let values = &values[entry * inner..][..inner];
                out.iter_mut().zip(values).for_each(|(out, value)| *out += weight * value);
            }
        }
    }
    out
}
