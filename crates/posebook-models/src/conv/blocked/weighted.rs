//! Weighted sums of rows of values: the inner loop of ROIAlign.

use super::vector::{Instructions, Vector};

/// Adds `weights[0] rows[0] + weights[1] rows[1] + ...` to `out`, in this order. Rows follow each other in `rows` and have
/// the length of `out`.
///
/// # Panics
/// If `rows` is too short.
pub fn add_weighted(weights: &[f32], rows: &[f32], out: &mut [f32]) {
    add_weighted_with(weights, rows, out, Instructions::detect());
}

fn add_weighted_with(weights: &[f32], rows: &[f32], out: &mut [f32], instructions: Instructions) {
    assert!(weights.len() * out.len() <= rows.len(), "{} values for {} rows", rows.len(), weights.len());
    #[expect(
        unsafe_code,
        reason = "calls code compiled for the processor, which reads and writes through pointers"
    )]
    // SAFETY: the instructions were detected, and the lengths are checked above
    unsafe {
        match instructions {
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 => x86::avx512(weights, rows, out),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => x86::avx2(weights, rows, out),
            Instructions::Portable => add::<[f32; 4]>(weights, rows, out),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "reads and writes through pointers")]
mod x86 {
    use super::add;
    use std::arch::x86_64::{__m256, __m512};

    /// # Safety
    /// As [`add`], on a processor with AVX-512.
    #[target_feature(enable = "avx512f")]
    pub unsafe fn avx512(weights: &[f32], rows: &[f32], out: &mut [f32]) {
        // SAFETY: guaranteed by the caller
        unsafe { add::<__m512>(weights, rows, out) }
    }

    /// # Safety
    /// As [`add`], on a processor with AVX2 and FMA.
    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn avx2(weights: &[f32], rows: &[f32], out: &mut [f32]) {
        // SAFETY: guaranteed by the caller
        unsafe { add::<__m256>(weights, rows, out) }
    }
}

/// # Safety
/// The processor must have the register's instructions, and `rows` a row for each weight.
#[inline(always)]
#[expect(unsafe_code, reason = "reads and writes through pointers")]
unsafe fn add<V: Vector>(weights: &[f32], rows: &[f32], out: &mut [f32]) {
    let length = out.len();
    let mut at = 0;
    // SAFETY: all positions are below `length`, and `rows` has a row of this length for each weight
    unsafe {
        while at + 4 * V::LANES <= length {
            sums::<V, 4>(weights, rows.as_ptr().add(at), length, out.as_mut_ptr().add(at));
            at += 4 * V::LANES;
        }
        while at + V::LANES <= length {
            sums::<V, 1>(weights, rows.as_ptr().add(at), length, out.as_mut_ptr().add(at));
            at += V::LANES;
        }
    }
    if at < length {
        let rest = length - at;
        let mut values = [0.0; 16];
        let mut sum = [0.0; 16];
        sum[..rest].copy_from_slice(&out[at..]);
        for (row, weight) in weights.iter().enumerate() {
            values[..rest].copy_from_slice(&rows[row * length + at..][..rest]);
            // SAFETY: both have the values of the longest register
            unsafe { sums::<V, 1>(std::slice::from_ref(weight), values.as_ptr(), 0, sum.as_mut_ptr()) };
        }
        out[at..].copy_from_slice(&sum[..rest]);
    }
}

/// `N` registers of the sum.
///
/// # Safety
/// `rows` must refer to as many rows as there are weights, `length` apart, and they and `out` to `N` registers.
#[inline(always)]
#[expect(unsafe_code, reason = "reads and writes through pointers")]
unsafe fn sums<V: Vector, const N: usize>(weights: &[f32], rows: *const f32, length: usize, out: *mut f32) {
    // SAFETY: guaranteed by the caller
    unsafe {
        let mut sums = [V::splat(0.0); N];
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum = V::load(out.add(lane * V::LANES));
        }
        for (row, &weight) in weights.iter().enumerate() {
            let weight = V::splat(weight);
            for (lane, sum) in sums.iter_mut().enumerate() {
                *sum = V::load(rows.add(row * length + lane * V::LANES)).multiply_add(weight, *sum);
            }
        }
        for (lane, sum) in sums.into_iter().enumerate() {
            sum.store(out.add(lane * V::LANES));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_match_their_definition_at_every_length() {
        for length in [0, 1, 7, 8, 15, 16, 31, 64, 100] {
            let rows: Vec<f32> = (0..3 * length).map(|index| (index as f32 * 0.7).sin()).collect();
            let (weights, start) = ([0.5, -1.5, 0.25], vec![2.0; length]);
            let exact: Vec<f32> = (0..length)
                .map(|at| 2.0 + 0.5 * rows[at] - 1.5 * rows[length + at] + 0.25 * rows[2 * length + at])
                .collect();
            let mut fused: Option<Vec<f32>> = None;
            for instructions in Instructions::available() {
                let mut out = start.clone();
                add_weighted_with(&weights, &rows, &mut out, instructions);
                assert!(
                    out.iter().zip(&exact).all(|(a, b)| (a - b).abs() < 1e-6),
                    "{length} {instructions:?}"
                );
                if instructions != Instructions::Portable {
                    assert!(fused.as_ref().is_none_or(|fused| *fused == out));
                    fused = Some(out);
                }
            }
        }
    }
}
