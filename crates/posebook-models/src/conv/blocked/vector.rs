//! Vector registers of `f32`: AVX-512, AVX2 with FMA, and arrays for every other processor.
//!
//! All operations are per lane, and both kinds of registers do not round products before they are added, so that AVX-512
//! and AVX2 give the same bits. Arrays round products.

/// A vector register.
///
/// # Safety
/// Every function must run on a processor that has the register's instructions, and pointers must refer to
/// [`Vector::LANES`] values. Pointers need no alignment.
#[expect(unsafe_code, reason = "loads and stores through pointers")]
pub trait Vector: Copy {
    /// Values of a register.
    const LANES: usize;
    /// Reads a register.
    unsafe fn load(from: *const f32) -> Self;
    /// Writes a register.
    unsafe fn store(self, to: *mut f32);
    /// One value in every lane.
    unsafe fn splat(value: f32) -> Self;
    /// `self * by + add`.
    unsafe fn multiply_add(self, by: Self, add: Self) -> Self;
    /// `self + other`.
    unsafe fn add(self, other: Self) -> Self;
    /// `self - other`.
    unsafe fn sub(self, other: Self) -> Self;
    /// `max(0, self)`; NaN stays NaN.
    unsafe fn relu(self) -> Self;
}

#[expect(unsafe_code, reason = "loads and stores through pointers")]
impl<const L: usize> Vector for [f32; L] {
    const LANES: usize = L;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: `from` refers to `LANES` values (see the trait)
        unsafe { from.cast::<[f32; L]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: `to` refers to `LANES` values (see the trait)
        unsafe { to.cast::<[f32; L]>().write_unaligned(self) }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        [value; L]
    }

    #[inline(always)]
    unsafe fn multiply_add(self, by: Self, add: Self) -> Self {
        std::array::from_fn(|lane| self[lane] * by[lane] + add[lane])
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        std::array::from_fn(|lane| self[lane] + other[lane])
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        std::array::from_fn(|lane| self[lane] - other[lane])
    }

    #[inline(always)]
    unsafe fn relu(self) -> Self {
        self.map(|value| if value < 0.0 { 0.0 } else { value })
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Vector;
    use std::arch::x86_64::*;

    macro_rules! register {
        ($register:ty, $lanes:literal, $load:ident, $store:ident, $splat:ident, $fma:ident, $add:ident, $sub:ident, $max:ident) => {
            #[expect(
                unsafe_code,
                reason = "intrinsics; the trait's contract says that the processor has them"
            )]
            impl Vector for $register {
                const LANES: usize = $lanes;

                #[inline(always)]
                unsafe fn load(from: *const f32) -> Self {
                    // SAFETY: see the trait
                    unsafe { $load(from) }
                }

                #[inline(always)]
                unsafe fn store(self, to: *mut f32) {
                    // SAFETY: see the trait
                    unsafe { $store(to, self) }
                }

                #[inline(always)]
                unsafe fn splat(value: f32) -> Self {
                    // SAFETY: see the trait
                    unsafe { $splat(value) }
                }

                #[inline(always)]
                unsafe fn multiply_add(self, by: Self, add: Self) -> Self {
                    // SAFETY: see the trait
                    unsafe { $fma(self, by, add) }
                }

                #[inline(always)]
                unsafe fn add(self, other: Self) -> Self {
                    // SAFETY: see the trait
                    unsafe { $add(self, other) }
                }

                #[inline(always)]
                unsafe fn sub(self, other: Self) -> Self {
                    // SAFETY: see the trait
                    unsafe { $sub(self, other) }
                }

                #[inline(always)]
                unsafe fn relu(self) -> Self {
                    // where one operand is NaN, the instruction returns the second
                    // SAFETY: see the trait
                    unsafe { $max($splat(0.0), self) }
                }
            }
        };
    }

    register!(
        __m512,
        16,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_set1_ps,
        _mm512_fmadd_ps,
        _mm512_add_ps,
        _mm512_sub_ps,
        _mm512_max_ps
    );
    register!(
        __m256,
        8,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_set1_ps,
        _mm256_fmadd_ps,
        _mm256_add_ps,
        _mm256_sub_ps,
        _mm256_max_ps
    );
}

/// Instructions that kernels are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instructions {
    /// AVX-512, and those of AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Those of every processor of the target.
    Portable,
}

impl Instructions {
    /// The fastest that this processor has.
    pub fn detect() -> Instructions {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            let avx512 = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl");
            return if avx512 { Instructions::Avx512 } else { Instructions::Avx2 };
        }
        Instructions::Portable
    }

    /// All that this processor has.
    #[cfg(test)]
    pub fn available() -> Vec<Instructions> {
        let mut all = vec![Instructions::Portable];
        #[cfg(target_arch = "x86_64")]
        match Instructions::detect() {
            Instructions::Avx512 => all.extend([Instructions::Avx2, Instructions::Avx512]),
            Instructions::Avx2 => all.push(Instructions::Avx2),
            Instructions::Portable => {}
        }
        all
    }
}
