//! Pooling and resampling of maps `(b, h, w, c)`.

use super::values::with_values;
use candle_core::{DType, Device, Result, Tensor, bail};
use rayon::prelude::*;

/// Whether our kernels compute with a tensor.
fn uses_kernels(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32
}

/// The largest value of each window, `(b, h, w, c)`; padding counts as minus infinity, and NaN as the largest.
///
/// # Errors
/// If the window does not fit into the padded map, the padding is more than half of the window, or the device fails.
pub fn max_pool(x: &Tensor, kernel: usize, stride: usize, padding: usize) -> Result<Tensor> {
    let (b, h, w, c) = x.dims4()?;
    let length = |input: usize| Some((input + 2 * padding).checked_sub(kernel)?.checked_div(stride)? + 1);
    let (Some(rows), Some(columns)) = (length(h), length(w)) else {
        bail!("max pool: a window of {kernel} pixels, {stride} apart, does not fit into a map of {h} x {w}");
    };
    if kernel == 0 || 2 * padding > kernel {
        bail!("max pool: a padding of {padding} pixels for a window of {kernel}");
    }
    if !uses_kernels(x) {
        return max_pool_by_candle(x, kernel, stride, padding);
    }
    let out = with_values(x, |x| {
        let mut out = vec![f32::NEG_INFINITY; b * rows * columns * c];
        let row_length = (columns * c).max(1);
        out.par_chunks_mut(row_length).enumerate().for_each(|(index, out)| {
            let (image, row) = (index / rows, index % rows);
            for ky in 0..kernel {
                let Some(from) = (row * stride + ky).checked_sub(padding).filter(|&from| from < h) else {
                    continue;
                };
                let from = &x[(image * h + from) * w * c..][..w * c];
                for (column, out) in out.chunks_exact_mut(c.max(1)).enumerate() {
                    let left = (column * stride).saturating_sub(padding);
                    let right = (column * stride + kernel).saturating_sub(padding).min(w);
                    for pixel in from[left * c..right * c].chunks_exact(c) {
                        for (out, &value) in out.iter_mut().zip(pixel) {
                            // nothing is larger than NaN, so that it stays
                            let is_larger = value > *out || value.is_nan();
                            *out = if is_larger { value } else { *out };
                        }
                    }
                }
            }
        });
        Ok(out)
    })?;
    Tensor::from_vec(out, (b, rows, columns, c), &Device::Cpu)
}

/// [`max_pool`] by candle's operators.
fn max_pool_by_candle(x: &Tensor, kernel: usize, stride: usize, padding: usize) -> Result<Tensor> {
    let pool = |x: &Tensor, outside: f64| {
        let padded = pad(&x.permute((0, 3, 1, 2))?.contiguous()?, padding, outside)?;
        padded.max_pool2d_with_stride(kernel, stride)?.permute((0, 2, 3, 1))?.contiguous()
    };
    let largest = pool(x, f64::NEG_INFINITY)?;
    // candle's maximum skips NaN
    let is_nan = pool(&x.ne(x)?.to_dtype(x.dtype())?, 0.0)?.gt(0.0)?;
    is_nan.where_cond(&(largest.ones_like()? * f64::NAN)?, &largest)
}

/// A constant around the last two axes.
fn pad(x: &Tensor, padding: usize, value: f64) -> Result<Tensor> {
    if padding == 0 {
        return Ok(x.clone());
    }
    let mut x = x.clone();
    for axis in [2, 3] {
        let mut border = x.dims().to_vec();
        border[axis] = padding;
        let border = Tensor::full(value as f32, border, x.device())?.to_dtype(x.dtype())?;
        x = Tensor::cat(&[&border, &x, &border], axis)?;
    }
    Ok(x)
}

/// Each pixel four times: `(b, h, w, c)` to `(b, 2 h, 2 w, c)`.
///
/// # Errors
/// If the device fails.
pub fn upsample_2x(x: &Tensor) -> Result<Tensor> {
    let (b, h, w, c) = x.dims4()?;
    if !uses_kernels(x) || x.elem_count() == 0 {
        let doubled = x.contiguous()?.reshape((b * h, 1, w, 1, c))?.broadcast_as((b * h, 2, w, 2, c))?;
        return doubled.contiguous()?.reshape((b, 2 * h, 2 * w, c));
    }
    let out = with_values(x, |x| {
        let mut out = vec![0.0; 4 * x.len()];
        let rows = out.par_chunks_mut(4 * w * c).zip(x.par_chunks(w * c));
        rows.for_each(|(out, x)| {
            let (upper, lower) = out.split_at_mut(2 * w * c);
            for (out, pixel) in upper.chunks_exact_mut(2 * c).zip(x.chunks_exact(c)) {
                out[..c].copy_from_slice(pixel);
                out[c..].copy_from_slice(pixel);
            }
            lower.copy_from_slice(upper);
        });
        Ok(out)
    })?;
    Tensor::from_vec(out, (b, 2 * h, 2 * w, c), &Device::Cpu)
}

/// Every second pixel of every second row: what a max pool of one pixel with stride 2 gives (p6 of the pyramids).
///
/// # Errors
/// If the device fails.
pub fn subsample_2x(x: &Tensor) -> Result<Tensor> {
    let (_, h, w, _) = x.dims4()?;
    let even = |length: usize| Tensor::from_iter((0..length as u32).step_by(2), x.device());
    x.contiguous()?.index_select(&even(h)?, 1)?.index_select(&even(w)?, 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wavy(shape: &[usize]) -> Tensor {
        let count = shape.iter().product::<usize>();
        let values: Vec<f32> = (0..count).map(|index| (index as f32 * 0.7).sin() - 0.3).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn bits(x: &Tensor) -> Vec<u32> {
        let values = x.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        values.iter().map(|value| if value.is_nan() { u32::MAX } else { value.to_bits() }).collect()
    }

    #[test]
    fn pooling_is_that_of_candle_with_a_border_and_keeps_nan() {
        let mut values = wavy(&[2, 7, 8, 5]).flatten_all().unwrap().to_vec1::<f32>().unwrap();
        (values[3], values[200]) = (f32::NAN, f32::INFINITY);
        let x = Tensor::from_vec(values, (2, 7, 8, 5), &Device::Cpu).unwrap();
        for (kernel, stride, padding) in [(3, 2, 1), (2, 2, 0), (1, 2, 0), (3, 1, 1)] {
            let ours = max_pool(&x, kernel, stride, padding).unwrap();
            let theirs = max_pool_by_candle(&x, kernel, stride, padding).unwrap();
            assert_eq!(ours.dims(), theirs.dims());
            assert_eq!(bits(&ours), bits(&theirs), "{kernel} {stride} {padding}");
            assert!(bits(&ours).contains(&u32::MAX));
        }
        // the whole map is negative: padding is not zero
        let negative = max_pool(&wavy(&[1, 3, 3, 2]).affine(0.1, -5.0).unwrap(), 3, 2, 1).unwrap();
        assert!(negative.max_all().unwrap().to_scalar::<f32>().unwrap() < 0.0);
        assert!(max_pool(&x, 9, 2, 0).is_err() && max_pool(&x, 2, 0, 0).is_err());
        assert!(max_pool(&x, 3, 2, 2).is_err() && max_pool(&x, 0, 1, 0).is_err());
    }

    #[test]
    fn resampling_moves_pixels() {
        let x = wavy(&[2, 3, 5, 4]);
        for dtype in [DType::F32, DType::BF16, DType::F16] {
            let x = x.to_dtype(dtype).unwrap();
            let up = upsample_2x(&x).unwrap();
            assert_eq!((up.dims(), up.dtype()), (&[2, 6, 10, 4][..], dtype));
            let pixel = |x: &Tensor, y: usize, column: usize| {
                bits(&x.get(1).unwrap().get(y).unwrap().get(column).unwrap())
            };
            for (y, column) in [(0, 0), (5, 9), (2, 3), (3, 2)] {
                assert_eq!(pixel(&up, y, column), pixel(&x, y / 2, column / 2));
            }
            assert_eq!(bits(&subsample_2x(&up).unwrap()), bits(&x));
            let odd = subsample_2x(&x).unwrap();
            assert_eq!(odd.dims(), [2, 2, 3, 4]);
            assert_eq!(pixel(&odd, 1, 2), pixel(&x, 2, 4));
            assert_eq!(bits(&odd), bits(&max_pool(&x, 1, 2, 0).unwrap()));
        }
    }
}
