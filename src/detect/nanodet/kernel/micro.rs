//! The innermost part of every convolution: a few pixels times a panel of output channels, in registers.

/// Output channels of one packed panel of weights.
pub(in super::super) const PANEL: usize = 16;
/// Pixels that are computed together.
pub(super) const TILE: usize = 6;

/// Whether the processor has AVX2 and FMA.
pub(super) fn is_wide() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// What the tasks of one convolution read.
pub(super) struct Read {
    start: *const f32,
    length: usize,
}

/// Where they write; it may be the same map, of which they read other channels.
pub(super) struct Place {
    start: *mut f32,
    length: usize,
}

#[expect(unsafe_code, reason = "one picture is read by several threads")]
// SAFETY: made of a slice that is borrowed for as long; nobody writes the channels that are read
unsafe impl Sync for Read {}

#[expect(unsafe_code, reason = "parts of one picture are written by several threads")]
// SAFETY: made of a slice that is borrowed for as long, and no two tasks write the same number
unsafe impl Sync for Place {}

impl Read {
    pub(super) fn of(values: &[f32]) -> Read {
        Read { start: values.as_ptr(), length: values.len() }
    }

    /// Where `run` numbers start that lie in the slice from `at` on.
    #[inline(always)]
    #[expect(unsafe_code, reason = "a pointer is moved within its slice")]
    pub(super) fn run(&self, at: usize, run: usize) -> *const f32 {
        assert!(at + run <= self.length);
        // SAFETY: the run ends within the slice, which was looked at just before
        unsafe { self.start.add(at) }
    }

    /// `N` runs of `run` numbers, `step` apart, the first of which starts at `at`.
    #[inline(always)]
    #[expect(unsafe_code, reason = "a pointer is moved within its slice")]
    pub(super) fn runs<const N: usize>(&self, at: usize, step: usize, run: usize) -> [*const f32; N] {
        assert!(at + N.saturating_sub(1) * step + run <= self.length);
        // SAFETY: all runs end within the slice, which was looked at just before
        std::array::from_fn(|pixel| unsafe { self.start.add(at + pixel * step) })
    }
}

impl Place {
    pub(super) fn of(values: &mut [f32]) -> Place {
        Place { start: values.as_mut_ptr(), length: values.len() }
    }

    /// What lies there, for reading channels that are not written.
    pub(super) fn read(&self) -> Read {
        Read { start: self.start, length: self.length }
    }

    /// Where a panel starts that lies in the slice from `at` on.
    #[inline(always)]
    #[expect(unsafe_code, reason = "a pointer is moved within its slice")]
    pub(super) fn panel(&self, at: usize) -> *mut f32 {
        assert!(at + PANEL <= self.length);
        // SAFETY: the panel ends within the slice, which was looked at just before
        unsafe { self.start.add(at) }
    }

    /// Writes a panel of one pixel.
    #[inline(always)]
    #[expect(unsafe_code, reason = "tasks write to parts of one slice")]
    pub(super) fn write(&self, at: usize, values: &[f32; PANEL]) {
        // SAFETY: the panel lies within the slice, and only this task writes this panel of this pixel
        unsafe { self.panel(at).cast::<[f32; PANEL]>().write_unaligned(*values) }
    }
}

/// Adds the numbers of `N` pixels times `weights`, a panel of them for each number.
#[inline(always)]
#[expect(unsafe_code, reason = "reads by pointer, and calls code for AVX2 and FMA once the machine has both")]
pub(super) fn accumulate<const N: usize>(
    pixels: &[*const f32; N],
    weights: &[f32],
    sums: &mut [[f32; PANEL]; N],
    wide: bool,
) {
    let weights = weights.as_chunks::<PANEL>().0;
    #[cfg(target_arch = "x86_64")]
    if wide {
        // SAFETY: `wide` says that both features were found; each pixel has a number for each panel of weights
        // ([`Read::runs`] looked at the same count)
        unsafe { accumulate_wide(pixels, weights, sums) };
        return;
    }
    let _ = wide;
    for (at, weights) in weights.iter().enumerate() {
        for (sums, pixel) in sums.iter_mut().zip(pixels) {
            // SAFETY: each pixel has a number for each panel of weights
            let value = unsafe { *pixel.add(at) };
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum += value * weight;
            }
        }
    }
}

/// # Safety
/// Every pixel has to have as many numbers as there are panels of weights.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
#[expect(unsafe_code, reason = "loads and stores of eight numbers at a time")]
unsafe fn accumulate_wide<const N: usize>(
    pixels: &[*const f32; N],
    weights: &[[f32; PANEL]],
    sums: &mut [[f32; PANEL]; N],
) {
    use std::arch::x86_64::{
        _mm256_broadcast_ss, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_setzero_ps, _mm256_storeu_ps,
    };
    let mut held = [[_mm256_setzero_ps(); 2]; N];
    // SAFETY: a panel is 16 numbers, two loads or stores of eight; pixels have enough numbers, as the caller says
    unsafe {
        for (held, sums) in held.iter_mut().zip(sums.iter()) {
            *held = [_mm256_loadu_ps(sums.as_ptr()), _mm256_loadu_ps(sums.as_ptr().add(8))];
        }
        for (at, weights) in weights.iter().enumerate() {
            let low = _mm256_loadu_ps(weights.as_ptr());
            let high = _mm256_loadu_ps(weights.as_ptr().add(8));
            for (held, pixel) in held.iter_mut().zip(pixels) {
                let value = _mm256_broadcast_ss(&*pixel.add(at));
                held[0] = _mm256_fmadd_ps(value, low, held[0]);
                held[1] = _mm256_fmadd_ps(value, high, held[1]);
            }
        }
        for (held, sums) in held.iter().zip(sums.iter_mut()) {
            _mm256_storeu_ps(sums.as_mut_ptr(), held[0]);
            _mm256_storeu_ps(sums.as_mut_ptr().add(8), held[1]);
        }
    }
}
