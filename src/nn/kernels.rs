//! Loops over plain `f32` slices that the compiler turns into vector code.
//!
//! Each kernel is compiled twice: for any machine, and for x86-64 with AVX2 and FMA, chosen when it is
//! called. Sums run in a fixed order, so that the number of threads never shows in a result.
//! Must not know tensors.

use rayon::prelude::*;

/// Elements below which a second thread costs more than it brings.
const SERIAL: usize = 1 << 15;
/// Partial sums of a row: a whole number of vector registers.
const LANES: usize = 16;

/// `a * b + c`, rounded once or twice.
trait MultiplyAdd {
    fn of(a: f32, b: f32, c: f32) -> f32;
}

/// Rounded once; fast only where the machine has the instruction.
#[cfg(target_arch = "x86_64")]
struct Fused;
/// Rounded twice; fast everywhere.
struct Separate;

#[cfg(target_arch = "x86_64")]
impl MultiplyAdd for Fused {
    #[inline(always)]
    fn of(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}

impl MultiplyAdd for Separate {
    #[inline(always)]
    fn of(a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
}

/// A function over slices, generic in [`MultiplyAdd`], compiled for both kinds of machine.
macro_rules! kernel {
    ($(#[$doc:meta])* $visible:vis fn $name:ident<$m:ident>($($arg:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$doc])*
        $visible fn $name($($arg: $type),*) {
            #[inline(always)]
            fn body<$m: MultiplyAdd>($($arg: $type),*) $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn wide($($arg: $type),*) {
                    body::<Fused>($($arg),*)
                }
                #[expect(unsafe_code, reason = "calls code for AVX2 and FMA once the machine has both")]
                fn dispatch($($arg: $type),*) {
                    // SAFETY: reached only where both features were found
                    unsafe { wide($($arg),*) }
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    return dispatch($($arg),*);
                }
            }
            body::<Separate>($($arg),*)
        }
    };
}

/// A polynomial, the highest power's coefficient first.
#[inline(always)]
fn polynomial<M: MultiplyAdd>(x: f32, coefficients: &[f32]) -> f32 {
    coefficients.iter().fold(0.0, |sum, &c| M::of(sum, x, c))
}

/// The error function within 4e-7: an odd rational function, fitted by iteratively reweighted least
/// squares on `|x| <= 3.92`, beyond which `f32` knows only 1.
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
    /// Adding it rounds to a whole number, which then stands in the low bits.
    const ROUNDER: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let rounded = M::of(x, std::f32::consts::LOG2_E, ROUNDER);
    let whole = rounded - ROUNDER;
    let rest = M::of(whole, 2.121_944_4e-4, M::of(whole, -0.693_359_4, x));
    let value = M::of(polynomial::<M>(rest, &POLYNOMIAL), rest * rest, rest) + 1.0;
    let exponent = (rounded.to_bits() as i32).wrapping_sub(ROUNDER.to_bits() as i32);
    value * f32::from_bits(((exponent + 127) << 23) as u32)
}

#[inline(always)]
fn sum(row: &[f32], term: impl Fn(usize, f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let whole = row.len() / LANES * LANES;
    for start in (0..whole).step_by(LANES) {
        for (lane, total) in lanes.iter_mut().enumerate() {
            *total += term(start + lane, row[start + lane]);
        }
    }
    let rest: f32 = (whole..row.len()).map(|at| term(at, row[at])).sum();
    lanes.iter().sum::<f32>() + rest
}

#[inline(always)]
fn gelu_of<M: MultiplyAdd>(x: f32) -> f32 {
    let half = 0.5 * x;
    M::of(half, erf::<M>(x * std::f32::consts::FRAC_1_SQRT_2), half)
}

kernel! {
    fn gelu_piece<M>(x: &[f32], out: &mut [f32]) {
        out.iter_mut().zip(x).for_each(|(out, &x)| *out = gelu_of::<M>(x));
    }
}

kernel! {
    /// [`gelu`] where the numbers stand, on the thread that asks.
    pub fn gelu_in_place<M>(x: &mut [f32]) {
        x.iter_mut().for_each(|x| *x = gelu_of::<M>(*x));
    }
}

kernel! {
    fn gelu_gradient_piece<M>(x: &[f32], gradient: &[f32], out: &mut [f32]) {
        const DENSITY_AT_ZERO: f32 = 0.398_942_3;
        for ((out, &x), &gradient) in out.iter_mut().zip(x).zip(gradient) {
            let below = M::of(0.5, erf::<M>(x * std::f32::consts::FRAC_1_SQRT_2), 0.5);
            let density = DENSITY_AT_ZERO * exp::<M>(-0.5 * x * x);
            *out = gradient * M::of(x, density, below);
        }
    }
}

/// The largest number of a row.
#[inline(always)]
fn largest(row: &[f32]) -> f32 {
    let more = |a: f32, b: f32| if b > a { b } else { a };
    let (whole, rest) = row.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in whole {
        lanes.iter_mut().zip(chunk).for_each(|(lane, &x)| *lane = more(*lane, x));
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |a, &b| more(a, b))
}

kernel! {
    fn softmax_rows<M>(x: &[f32], out: &mut [f32], columns: usize) {
        for (x, out) in x.chunks_exact(columns).zip(out.chunks_exact_mut(columns)) {
            let largest = largest(x);
            out.iter_mut().zip(x).for_each(|(out, &x)| *out = exp::<M>(x - largest));
            let scale = 1.0 / sum(out, |_, value| value);
            out.iter_mut().for_each(|out| *out *= scale);
        }
    }
}

kernel! {
    /// [`softmax`] where the numbers stand, on the thread that asks.
    pub fn softmax_in_place<M>(x: &mut [f32], columns: usize) {
        for row in x.chunks_exact_mut(columns) {
            let largest = largest(row);
            row.iter_mut().for_each(|x| *x = exp::<M>(*x - largest));
            let scale = 1.0 / sum(row, |_, value| value);
            row.iter_mut().for_each(|x| *x *= scale);
        }
    }
}

kernel! {
    fn softmax_gradient_rows<M>(y: &[f32], gradient: &[f32], out: &mut [f32], columns: usize) {
        let rows = y.chunks_exact(columns).zip(gradient.chunks_exact(columns));
        for ((y, gradient), out) in rows.zip(out.chunks_exact_mut(columns)) {
            let both = sum(y, |at, y| y * gradient[at]);
            for ((out, &y), &gradient) in out.iter_mut().zip(y).zip(gradient) {
                *out = y * (gradient - both);
            }
        }
    }
}

/// Mean and reciprocal deviation of a row.
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
                *out = M::of((x - mean) * scale, weight, bias);
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
            let plain = sum(gradient, |at, g| g * weight[at]) / n;
            let along = sum(gradient, |at, g| g * weight[at] * (x[at] - mean)) * scale / n;
            for (((out, &x), &weight), &g) in out.iter_mut().zip(x).zip(weight).zip(gradient) {
                *out = scale * (M::of(g, weight, -plain) - (x - mean) * scale * along);
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
                *weight = M::of(g, (x - mean) * scale, *weight);
                *bias += g;
            }
        }
    }
}

/// Elements of one thread's piece: whole rows, and enough of them.
fn piece(columns: usize) -> usize {
    columns * (SERIAL / columns.max(1)).max(1)
}

/// `x * Phi(x)` with the exact normal distribution, within 1e-6.
pub fn gelu(x: &[f32], out: &mut [f32]) {
    x.par_chunks(SERIAL).zip(out.par_chunks_mut(SERIAL)).for_each(|(x, out)| gelu_piece(x, out));
}

/// The gradient of [`gelu`] at `x` times `gradient`.
pub fn gelu_gradient(x: &[f32], gradient: &[f32], out: &mut [f32]) {
    let pieces = x.par_chunks(SERIAL).zip(gradient.par_chunks(SERIAL)).zip(out.par_chunks_mut(SERIAL));
    pieces.for_each(|((x, gradient), out)| gelu_gradient_piece(x, gradient, out));
}

/// Softmax over each row of `columns`.
pub fn softmax(x: &[f32], out: &mut [f32], columns: usize) {
    let size = piece(columns);
    x.par_chunks(size).zip(out.par_chunks_mut(size)).for_each(|(x, out)| softmax_rows(x, out, columns));
}

/// The gradient of [`softmax`] where its result is `y`.
pub fn softmax_gradient(y: &[f32], gradient: &[f32], out: &mut [f32], columns: usize) {
    let size = piece(columns);
    let pieces = y.par_chunks(size).zip(gradient.par_chunks(size)).zip(out.par_chunks_mut(size));
    pieces.for_each(|((y, gradient), out)| softmax_gradient_rows(y, gradient, out, columns));
}

/// Layer norm over each row of `weight.len()` columns; the variance is the population's.
pub fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], eps: f32, out: &mut [f32]) {
    let size = piece(weight.len());
    x.par_chunks(size)
        .zip(out.par_chunks_mut(size))
        .for_each(|(x, out)| layer_norm_rows(x, weight, bias, eps, out));
}

/// The gradient of [`layer_norm`] with respect to `x`.
pub fn layer_norm_gradient(x: &[f32], weight: &[f32], gradient: &[f32], eps: f32, out: &mut [f32]) {
    let size = piece(weight.len());
    let pieces = x.par_chunks(size).zip(gradient.par_chunks(size)).zip(out.par_chunks_mut(size));
    pieces.for_each(|((x, gradient), out)| layer_norm_gradient_rows(x, weight, gradient, eps, out));
}

/// The gradient of [`layer_norm`] with respect to its weight and bias, added to what they hold. One
/// thread, so that the sums have one order.
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
    fn gelu_is_exact_to_a_millionth() {
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

    #[test]
    fn both_compilations_agree() {
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
