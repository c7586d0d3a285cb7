//! Loops over plain `f32` slices that the compiler turns into vector code.
//!
//! Each kernel is compiled twice, for any processor and for x86-64 with AVX2 and FMA, and dispatched when it is
//! called. Sums have a fixed order, so that results do not depend on the number of threads. Does not depend on
//! tensors.

use rayon::prelude::*;

/// Values that one thread takes at a time; fewer cost more than a second thread saves.
const CHUNK: usize = 1 << 15;
/// Partial sums of a row: a whole number of vector registers.
const LANES: usize = 16;

/// `a * b + c`, rounded once or twice.
trait MultiplyAdd {
    fn mul_add(a: f32, b: f32, c: f32) -> f32;
}

/// Rounded once; fast only where the processor has the instruction.
#[cfg(target_arch = "x86_64")]
struct Fused;
/// Rounded twice; fast everywhere.
struct Separate;

#[cfg(target_arch = "x86_64")]
impl MultiplyAdd for Fused {
    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}

impl MultiplyAdd for Separate {
    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
}

/// Defines a function over slices, generic in [`MultiplyAdd`], compiled for both kinds of processor.
macro_rules! kernel {
    ($(#[$doc:meta])* $visible:vis fn $name:ident<$m:ident>($($arg:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$doc])*
        $visible fn $name($($arg: $type),*) {
            #[inline(always)]
            fn body<$m: MultiplyAdd>($($arg: $type),*) $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn with_avx2($($arg: $type),*) {
                    body::<Fused>($($arg),*)
                }
                #[expect(unsafe_code, reason = "calls code compiled for AVX2 and FMA after checking the processor")]
                fn dispatch($($arg: $type),*) {
                    // SAFETY: called only where both features were detected
                    unsafe { with_avx2($($arg),*) }
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    return dispatch($($arg),*);
                }
            }
            body::<Separate>($($arg),*)
        }
    };
}

/// Evaluates a polynomial (Horner); the coefficient of the highest power comes first.
#[inline(always)]
fn polynomial<M: MultiplyAdd>(x: f32, coefficients: &[f32]) -> f32 {
    coefficients.iter().fold(0.0, |sum, &c| M::mul_add(sum, x, c))
}

/// The error function within 4e-7: an odd rational function, fitted by iteratively reweighted least squares on
/// `|x| <= 3.92`, beyond which it is 1 in `f32`.
#[inline(always)]
fn erf<M: MultiplyAdd>(x: f32) -> f32 {
    const NUMERATOR: [f32; 6] = [
        2.050_074_3e-6,
        2.848_832_2e-4,
        3.765_657e-3,
        5.274_884_4e-2,
        0.190_407_45,
        std::f32::consts::FRAC_2_SQRT_PI,
    ];
    const DENOMINATOR: [f32; 6] =
        [3.809_160_6e-5, 1.162_544_5e-3, 1.496_929_7e-2, 0.114_109_52, 0.502_077, 1.0];
    let x = x.clamp(-3.92, 3.92);
    let t = x * x;
    x * polynomial::<M>(t, &NUMERATOR) / polynomial::<M>(t, &DENOMINATOR)
}

/// The exponential function within two units in the last place for `-87 <= x <= 88`, clamped outside:
/// a power of two times a polynomial on half a binade (Cephes' `expf`).
#[inline(always)]
fn exp<M: MultiplyAdd>(x: f32) -> f32 {
    const POLYNOMIAL: [f32; 6] =
        [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5];
    /// Adding it rounds to an integer, which is then in the low bits of the sum.
    const ROUNDER: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let rounded = M::mul_add(x, std::f32::consts::LOG2_E, ROUNDER);
    let integer = rounded - ROUNDER;
    let rest = M::mul_add(integer, 2.121_944_4e-4, M::mul_add(integer, -0.693_359_4, x));
    let value = M::mul_add(polynomial::<M>(rest, &POLYNOMIAL), rest * rest, rest) + 1.0;
    let exponent = (rounded.to_bits() as i32).wrapping_sub(ROUNDER.to_bits() as i32);
    value * f32::from_bits(((exponent + 127) << 23) as u32)
}

/// The sum of `term(index, value)` over a row, in a fixed order that vectorizes.
#[inline(always)]
fn sum(row: &[f32], term: impl Fn(usize, f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let vectorized = row.len() / LANES * LANES;
    for start in (0..vectorized).step_by(LANES) {
        for (lane, total) in lanes.iter_mut().enumerate() {
            *total += term(start + lane, row[start + lane]);
        }
    }
    let rest: f32 = (vectorized..row.len()).map(|index| term(index, row[index])).sum();
    lanes.iter().sum::<f32>() + rest
}

#[inline(always)]
fn gelu_scalar<M: MultiplyAdd>(x: f32) -> f32 {
    let half = 0.5 * x;
    M::mul_add(half, erf::<M>(x * std::f32::consts::FRAC_1_SQRT_2), half)
}

kernel! {
    fn gelu_chunk<M>(x: &[f32], out: &mut [f32]) {
        out.iter_mut().zip(x).for_each(|(out, &x)| *out = gelu_scalar::<M>(x));
    }
}

kernel! {
    /// [`gelu`] in place, on the calling thread.
    pub fn gelu_in_place<M>(x: &mut [f32]) {
        x.iter_mut().for_each(|x| *x = gelu_scalar::<M>(*x));
    }
}

kernel! {
    fn gelu_gradient_chunk<M>(x: &[f32], gradient: &[f32], out: &mut [f32]) {
        const DENSITY_AT_ZERO: f32 = 0.398_942_3;
        for ((out, &x), &gradient) in out.iter_mut().zip(x).zip(gradient) {
            let probability = M::mul_add(0.5, erf::<M>(x * std::f32::consts::FRAC_1_SQRT_2), 0.5);
            let density = DENSITY_AT_ZERO * exp::<M>(-0.5 * x * x);
            *out = gradient * M::mul_add(x, density, probability);
        }
    }
}

/// The largest value of a row.
#[inline(always)]
fn max(row: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let (chunks, rest) = row.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, &x)| *lane = larger(*lane, x));
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |a, &b| larger(a, b))
}

kernel! {
    fn softmax_rows<M>(x: &[f32], out: &mut [f32], columns: usize) {
        for (x, out) in x.chunks_exact(columns).zip(out.chunks_exact_mut(columns)) {
            let largest = max(x);
            out.iter_mut().zip(x).for_each(|(out, &x)| *out = exp::<M>(x - largest));
            let scale = 1.0 / sum(out, |_, value| value);
            out.iter_mut().for_each(|out| *out *= scale);
        }
    }
}

kernel! {
    /// [`softmax`] in place, on the calling thread.
    pub fn softmax_in_place<M>(x: &mut [f32], columns: usize) {
        for row in x.chunks_exact_mut(columns) {
            let largest = max(row);
            row.iter_mut().for_each(|x| *x = exp::<M>(*x - largest));
            let scale = 1.0 / sum(row, |_, value| value);
            row.iter_mut().for_each(|x| *x *= scale);
        }
    }
}

kernel! {
    /// Adds relative positions to the scores of one query and exponentiates: each score becomes `exp(score + row +
    /// column - largest)`. `scores` are `(rows, columns)` keys; a row of keys shares a value of `rows`, a column one of
    /// `columns`. `scale` becomes one over the sum, so that scores times it are the softmax.
    pub fn relative_exp<M>(scores: &mut [f32], rows: &[f32], columns: &[f32], scale: &mut f32) {
        let width = columns.len();
        for (scores, &row) in scores.chunks_exact_mut(width).zip(rows) {
            for (score, &column) in scores.iter_mut().zip(columns) {
                *score = (*score + row) + column;
            }
        }
        let largest = max(scores);
        scores.iter_mut().for_each(|x| *x = exp::<M>(*x - largest));
        *scale = 1.0 / sum(scores, |_, value| value);
    }
}

kernel! {
    fn softmax_gradient_rows<M>(y: &[f32], gradient: &[f32], out: &mut [f32], columns: usize) {
        let rows = y.chunks_exact(columns).zip(gradient.chunks_exact(columns));
        for ((y, gradient), out) in rows.zip(out.chunks_exact_mut(columns)) {
            let weighted = sum(y, |index, y| y * gradient[index]);
            for ((out, &y), &gradient) in out.iter_mut().zip(y).zip(gradient) {
                *out = y * (gradient - weighted);
            }
        }
    }
}

/// Mean and reciprocal standard deviation of a row.
#[inline(always)]
fn moments(row: &[f32], eps: f32) -> (f32, f32) {
    let n = row.len() as f32;
    let mean = sum(row, |_, x| x) / n;
    let variance = sum(row, |_, x| (x - mean) * (x - mean)) / n;
    (mean, 1.0 / (variance + eps).sqrt())
}

kernel! {
    fn layer_norm_rows<M>(x: &[f32], weight: &[f32], bias: &[f32], eps: f32, out: &mut [f32]) {
        let columns = weight.len();
        for (x, out) in x.chunks_exact(columns).zip(out.chunks_exact_mut(columns)) {
            let (mean, scale) = moments(x, eps);
            for (((out, &x), &weight), &bias) in out.iter_mut().zip(x).zip(weight).zip(bias) {
                *out = M::mul_add((x - mean) * scale, weight, bias);
            }
        }
    }
}

kernel! {
    fn layer_norm_gradient_rows<M>(x: &[f32], weight: &[f32], gradient: &[f32], eps: f32, out: &mut [f32]) {
        let columns = weight.len();
        let rows = x.chunks_exact(columns).zip(gradient.chunks_exact(columns));
        for ((x, gradient), out) in rows.zip(out.chunks_exact_mut(columns)) {
            let n = columns as f32;
            let (mean, scale) = moments(x, eps);
            let mean_gradient = sum(gradient, |i, g| g * weight[i]) / n;
            let slope = sum(gradient, |i, g| g * weight[i] * (x[i] - mean)) * scale / n;
            for (((out, &x), &weight), &g) in out.iter_mut().zip(x).zip(weight).zip(gradient) {
                *out = scale * (M::mul_add(g, weight, -mean_gradient) - (x - mean) * scale * slope);
            }
        }
    }
}

kernel! {
    fn layer_norm_weight_gradient_rows<M>(x: &[f32], gradient: &[f32], eps: f32, weight: &mut [f32], bias: &mut [f32]) {
        let columns = weight.len();
        for (x, gradient) in x.chunks_exact(columns).zip(gradient.chunks_exact(columns)) {
            let (mean, scale) = moments(x, eps);
            for (((weight, bias), &x), &g) in weight.iter_mut().zip(bias.iter_mut()).zip(x).zip(gradient) {
                *weight = M::mul_add(g, (x - mean) * scale, *weight);
                *bias += g;
            }
        }
    }
}

/// Values of one thread's chunk: whole rows, about [`CHUNK`] values.
fn row_chunk(columns: usize) -> usize {
    columns * (CHUNK / columns.max(1)).max(1)
}

/// `x * Phi(x)` with the normal distribution function `Phi`, within 1e-6.
pub fn gelu(x: &[f32], out: &mut [f32]) {
    x.par_chunks(CHUNK).zip(out.par_chunks_mut(CHUNK)).for_each(|(x, out)| gelu_chunk(x, out));
}

/// The gradient of [`gelu`] at `x` times `gradient`.
pub fn gelu_gradient(x: &[f32], gradient: &[f32], out: &mut [f32]) {
    let chunks = x.par_chunks(CHUNK).zip(gradient.par_chunks(CHUNK)).zip(out.par_chunks_mut(CHUNK));
    chunks.for_each(|((x, gradient), out)| gelu_gradient_chunk(x, gradient, out));
}

/// Softmax over each row of `columns`.
pub fn softmax(x: &[f32], out: &mut [f32], columns: usize) {
    let size = row_chunk(columns);
    x.par_chunks(size).zip(out.par_chunks_mut(size)).for_each(|(x, out)| softmax_rows(x, out, columns));
}

/// The gradient of [`softmax`] where its result is `y`.
pub fn softmax_gradient(y: &[f32], gradient: &[f32], out: &mut [f32], columns: usize) {
    let size = row_chunk(columns);
    let chunks = y.par_chunks(size).zip(gradient.par_chunks(size)).zip(out.par_chunks_mut(size));
    chunks.for_each(|((y, gradient), out)| softmax_gradient_rows(y, gradient, out, columns));
}

/// Layer norm over each row of `weight.len()` columns; the variance is the population's.
pub fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], eps: f32, out: &mut [f32]) {
    let size = row_chunk(weight.len());
    x.par_chunks(size)
        .zip(out.par_chunks_mut(size))
        .for_each(|(x, out)| layer_norm_rows(x, weight, bias, eps, out));
}

/// The gradient of [`layer_norm`] with respect to `x`.
pub fn layer_norm_gradient(x: &[f32], weight: &[f32], gradient: &[f32], eps: f32, out: &mut [f32]) {
    let size = row_chunk(weight.len());
    let chunks = x.par_chunks(size).zip(gradient.par_chunks(size)).zip(out.par_chunks_mut(size));
    chunks.for_each(|((x, gradient), out)| layer_norm_gradient_rows(x, weight, gradient, eps, out));
}

/// The gradients of [`layer_norm`] with respect to its weight and bias, added to `weight` and `bias`. One thread, so
/// that the sums have one order.
pub fn layer_norm_weight_gradient(
    x: &[f32],
    gradient: &[f32],
    eps: f32,
    weight: &mut [f32],
    bias: &mut [f32],
) {
    layer_norm_weight_gradient_rows(x, gradient, eps, weight, bias);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(from: f32, to: f32, n: usize) -> Vec<f32> {
        (0..n).map(|i| from + (to - from) * i as f32 / (n - 1) as f32).collect()
    }

    #[test]
    fn gelu_is_within_a_millionth() {
        let x = ramp(-12.0, 12.0, 100_001);
        let mut out = vec![0.0; x.len()];
        gelu(&x, &mut out);
        for (&x, &out) in x.iter().zip(&out) {
            let exact = 0.5 * x as f64 * libm::erfc(-x as f64 / std::f64::consts::SQRT_2);
            assert!(
                (out as f64 - exact).abs() <= 1e-6 * exact.abs().max(1.0),
                "gelu({x}) = {out}, not {exact}"
            );
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn fused_and_separate_multiply_add_agree() {
        let x = ramp(-9.0, 9.0, 4001);
        for x in x {
            let (fused, separate) = (erf::<Fused>(x), erf::<Separate>(x));
            assert!((fused - separate).abs() < 6e-7, "erf({x})");
            let exact = libm::exp(x as f64);
            assert!((exp::<Separate>(x) as f64 / exact - 1.0).abs() < 3e-7, "exp({x})");
            assert!((exp::<Fused>(x) as f64 / exact - 1.0).abs() < 3e-7, "exp({x})");
        }
        assert!(exp::<Separate>(-1e30) < 1e-37);
    }
}
