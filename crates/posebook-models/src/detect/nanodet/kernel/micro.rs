//! The micro-kernel of all convolutions: a few pixels times a panel of output channels, accumulated in registers.

/// Output channels of one packed panel of weights.
pub(in super::super) const PANEL: usize = 16;
/// Negative slope of the leaky ReLU.
pub(in super::super) const LEAKY_SLOPE: f32 = 0.1;
/// Pixels per call of the micro-kernel.
pub(super) const TILE: usize = 6;

/// Whether the CPU has AVX2 and FMA.
pub(super) fn has_avx2() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// The input values that the parallel tasks of one convolution read.
pub(super) struct SharedInput {
    start: *const f32,
    length: usize,
}

/// The output values that the parallel tasks write. May be the input map itself if they read other channels of it.
pub(super) struct SharedOutput {
    start: *mut f32,
    length: usize,
}

#[expect(unsafe_code, reason = "several threads read one map")]
// SAFETY: created from a slice that is borrowed for the duration of the convolution; the channels that are read are not
// written
unsafe impl Sync for SharedInput {}

#[expect(unsafe_code, reason = "several threads write disjoint parts of one map")]
// SAFETY: created from a slice that is borrowed for the duration of the convolution; no two tasks write the same value
unsafe impl Sync for SharedOutput {}

impl SharedInput {
    pub(super) fn new(values: &[f32]) -> SharedInput {
        SharedInput { start: values.as_ptr(), length: values.len() }
    }

    /// Pointer to `run` values from index `at` on; panics if they are not inside the slice.
    #[inline(always)]
    #[expect(unsafe_code, reason = "computes a pointer within its slice")]
    pub(super) fn run(&self, at: usize, run: usize) -> *const f32 {
        assert!(at + run <= self.length);
        // SAFETY: the assertion above keeps the run inside the slice
        unsafe { self.start.add(at) }
    }

    /// Pointers to `N` runs of `run` values each, `step` apart, from index `at` on; panics if one is not inside the slice.
    #[inline(always)]
    #[expect(unsafe_code, reason = "computes a pointer within its slice")]
    pub(super) fn runs<const N: usize>(&self, at: usize, step: usize, run: usize) -> [*const f32; N] {
        assert!(at + N.saturating_sub(1) * step + run <= self.length);
        // SAFETY: the assertion above keeps all runs inside the slice
        std::array::from_fn(|pixel| unsafe { self.start.add(at + pixel * step) })
    }
}

impl SharedOutput {
    pub(super) fn new(values: &mut [f32]) -> SharedOutput {
        SharedOutput { start: values.as_mut_ptr(), length: values.len() }
    }

    /// The same values as input, for reading channels that are not written.
    pub(super) fn as_input(&self) -> SharedInput {
        SharedInput { start: self.start, length: self.length }
    }

    /// Pointer to a panel from index `at` on; panics if it is not inside the slice.
    #[inline(always)]
    #[expect(unsafe_code, reason = "computes a pointer within its slice")]
    pub(super) fn panel(&self, at: usize) -> *mut f32 {
        assert!(at + PANEL <= self.length);
        // SAFETY: the assertion above keeps the panel inside the slice
        unsafe { self.start.add(at) }
    }

    /// Writes a panel of one pixel.
    #[inline(always)]
    #[expect(unsafe_code, reason = "tasks write disjoint parts of one slice")]
    pub(super) fn write(&self, at: usize, values: &[f32; PANEL]) {
        // SAFETY: the panel is inside the slice, and only this task writes this panel of this pixel
        unsafe { self.panel(at).cast::<[f32; PANEL]>().write_unaligned(*values) }
    }
}

/// Adds the product of `N` pixels' values with `weights` (a panel for each value) to `sums`.
#[inline(always)]
#[expect(unsafe_code, reason = "reads through pointers and calls AVX2 code if the CPU has it")]
pub(super) fn accumulate<const N: usize>(
    pixels: &[*const f32; N],
    weights: &[f32],
    sums: &mut [[f32; PANEL]; N],
    avx2: bool,
) {
    let weights = weights.as_chunks::<PANEL>().0;
    #[cfg(target_arch = "x86_64")]
    if avx2 {
        // SAFETY: `avx2` is true only if both features were detected; each pixel has a value for each panel of weights
        // ([`SharedInput::runs`] checked the same count)
        unsafe { accumulate_avx2(pixels, weights, sums) };
        return;
    }
    let _ = avx2;
    for (index, weights) in weights.iter().enumerate() {
        for (sums, pixel) in sums.iter_mut().zip(pixels) {
            // SAFETY: each pixel has a value for each panel of weights
            let value = unsafe { *pixel.add(index) };
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum += value * weight;
            }
        }
    }
}

/// # Safety
/// The CPU must have AVX2 and FMA, and every pixel as many values as there are panels of weights.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
#[expect(unsafe_code, reason = "SIMD loads and stores through pointers")]
unsafe fn accumulate_avx2<const N: usize>(
    pixels: &[*const f32; N],
    weights: &[[f32; PANEL]],
    sums: &mut [[f32; PANEL]; N],
) {
    use std::arch::x86_64::{
        _mm256_broadcast_ss, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_setzero_ps, _mm256_storeu_ps,
    };
    let mut registers = [[_mm256_setzero_ps(); 2]; N];
    // SAFETY: a panel has 16 values, two loads or stores of eight; the caller guarantees the length of pixels
    unsafe {
        for (registers, sums) in registers.iter_mut().zip(sums.iter()) {
            *registers = [_mm256_loadu_ps(sums.as_ptr()), _mm256_loadu_ps(sums.as_ptr().add(8))];
        }
        for (index, weights) in weights.iter().enumerate() {
            let low = _mm256_loadu_ps(weights.as_ptr());
            let high = _mm256_loadu_ps(weights.as_ptr().add(8));
            for (registers, pixel) in registers.iter_mut().zip(pixels) {
                let value = _mm256_broadcast_ss(&*pixel.add(index));
                registers[0] = _mm256_fmadd_ps(value, low, registers[0]);
                registers[1] = _mm256_fmadd_ps(value, high, registers[1]);
            }
        }
        for (registers, sums) in registers.iter().zip(sums.iter_mut()) {
            _mm256_storeu_ps(sums.as_mut_ptr(), registers[0]);
            _mm256_storeu_ps(sums.as_mut_ptr().add(8), registers[1]);
        }
    }
}
