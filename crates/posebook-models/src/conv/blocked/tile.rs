//! The innermost product: a tile of [`ROWS`] pixels by one panel of 8, 16 or 32 output channels, kept in registers.
//!
//! Every output value is one sum in the order of the terms, which starts with the bias. It does not depend on the width of
//! the registers.

use super::vector::{Instructions, Vector};

/// Pixels of a tile.
pub const ROWS: usize = 14;
/// Widths of panels, output channels.
pub const WIDTHS: [usize; 3] = [32, 16, 8];

/// What is computed; pointers refer to `f32` values of the shapes that [`multiply`] says.
#[derive(Clone, Copy)]
pub struct Tile {
    /// First term of the first pixel.
    pub left: *const f32,
    /// Elements from one pixel's terms to the next one's.
    pub left_stride: usize,
    /// `(terms, width)`.
    pub right: *const f32,
    /// Terms of each sum.
    pub terms: usize,
    /// First channel of the first pixel.
    pub out: *mut f32,
    /// Elements from one pixel to the next.
    pub out_stride: usize,
    /// Where the sums start: `width` values; null continues the sums in `out`.
    pub bias: *const f32,
    /// Added after the last term, with the layout of `out`; null adds nothing.
    pub added: *const f32,
    /// Whether `max(0, x)` follows.
    pub relu: bool,
}

/// A compiled kernel.
pub type Kernel = unsafe fn(&Tile);

/// The kernel of a panel's width.
///
/// # Safety of the result
/// It may be called if this processor has `instructions`, and if the pointers of the tile are valid:
/// - `left`: [`ROWS`] rows of `terms` values; a row starts every `left_stride` values.
/// - `right`: `terms * width` values.
/// - `out`, and `added` unless it is null: [`ROWS`] rows of `width` values; a row starts every `out_stride` values.
/// - `bias`, unless it is null: `width` values.
///
/// # Panics
/// If the width is not one of [`WIDTHS`].
pub fn kernel(width: usize, instructions: Instructions) -> Kernel {
    match (width, instructions) {
        #[cfg(target_arch = "x86_64")]
        (32, Instructions::Avx512) => x86::avx512::<2>,
        #[cfg(target_arch = "x86_64")]
        (16, Instructions::Avx512) => x86::avx512::<1>,
        #[cfg(target_arch = "x86_64")]
        (32, Instructions::Avx2) => x86::avx2::<3, 4>,
        #[cfg(target_arch = "x86_64")]
        (16, Instructions::Avx2) => x86::avx2::<6, 2>,
        #[cfg(target_arch = "x86_64")]
        (8, Instructions::Avx512) => x86::avx512_half,
        #[cfg(target_arch = "x86_64")]
        (8, Instructions::Avx2) => x86::avx2::<12, 1>,
        (32, Instructions::Portable) => portable::<8>,
        (16, Instructions::Portable) => portable::<4>,
        (8, Instructions::Portable) => portable::<2>,
        _ => panic!("no kernel for panels of {width} channels"),
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "reads and writes through the pointers of a tile")]
mod x86 {
    use super::{Tile, rows, tile};
    use std::arch::x86_64::{__m256, __m512};

    /// # Safety
    /// See [`super::kernel`].
    #[target_feature(enable = "avx512f")]
    pub unsafe fn avx512<const N: usize>(job: &Tile) {
        // SAFETY: guaranteed by the caller
        unsafe { rows::<__m512, { super::ROWS }, N>(job, 0) }
    }

    /// Half registers, of which AVX-512 has twice as many as AVX2.
    ///
    /// # Safety
    /// See [`super::kernel`].
    #[target_feature(enable = "avx512f,avx512vl,fma")]
    pub unsafe fn avx512_half(job: &Tile) {
        // SAFETY: guaranteed by the caller
        unsafe { rows::<__m256, { super::ROWS }, 1>(job, 0) }
    }

    /// # Safety
    /// See [`super::kernel`].
    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn avx2<const R: usize, const N: usize>(job: &Tile) {
        // SAFETY: guaranteed by the caller
        unsafe { tile::<__m256, R, N>(job) }
    }
}

/// # Safety
/// See [`kernel`].
#[expect(unsafe_code, reason = "reads and writes through the pointers of a tile")]
unsafe fn portable<const N: usize>(job: &Tile) {
    // SAFETY: guaranteed by the caller
    unsafe { tile::<[f32; 4], 2, N>(job) }
}

/// A tile in strips of `R` pixels and a last strip of two.
///
/// # Safety
/// See [`kernel`].
#[inline(always)]
#[expect(unsafe_code, reason = "reads and writes through the pointers of a tile")]
unsafe fn tile<V: Vector, const R: usize, const N: usize>(job: &Tile) {
    const { assert!(ROWS.is_multiple_of(R) || ROWS % R == 2) };
    for strip in 0..ROWS / R {
        // SAFETY: guaranteed by the caller
        unsafe { rows::<V, R, N>(job, strip * R) };
    }
    if !ROWS.is_multiple_of(R) {
        // SAFETY: guaranteed by the caller
        unsafe { rows::<V, 2, N>(job, ROWS - 2) };
    }
}

/// `R` pixels from `first` on.
///
/// # Safety
/// See [`kernel`].
#[inline(always)]
#[expect(unsafe_code, reason = "reads and writes through the pointers of a tile")]
unsafe fn rows<V: Vector, const R: usize, const N: usize>(job: &Tile, first: usize) {
    // SAFETY: all positions are inside the shapes that the caller guarantees
    unsafe {
        let out = job.out.add(first * job.out_stride);
        let mut sums = [[V::splat(0.0); N]; R];
        for (row, sums) in sums.iter_mut().enumerate() {
            for (lane, sum) in sums.iter_mut().enumerate() {
                let from =
                    if job.bias.is_null() { out.add(row * job.out_stride).cast_const() } else { job.bias };
                *sum = V::load(from.add(lane * V::LANES));
            }
        }
        let left = job.left.add(first * job.left_stride);
        let mut right = job.right;
        for term in 0..job.terms {
            let mut weights = [V::splat(0.0); N];
            for (lane, weights) in weights.iter_mut().enumerate() {
                *weights = V::load(right.add(lane * V::LANES));
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                let value = V::splat(*left.add(row * job.left_stride + term));
                for (sum, weights) in sums.iter_mut().zip(&weights) {
                    *sum = value.multiply_add(*weights, *sum);
                }
            }
            right = right.add(N * V::LANES);
        }
        for (row, sums) in sums.iter().enumerate() {
            for (lane, &sum) in sums.iter().enumerate() {
                let at = row * job.out_stride + lane * V::LANES;
                let sum = if job.added.is_null() {
                    sum
                } else {
                    sum.add(V::load(job.added.add(first * job.out_stride + at)))
                };
                let sum = if job.relu { sum.relu() } else { sum };
                sum.store(out.add(at));
            }
        }
    }
}
