//! Eight numbers that are computed with at once, for any machine and for x86-64 with AVX2 and FMA.
//!
//! Must not know what is computed.

/// Numbers in one [`Lanes`].
pub const LANES: usize = 8;

/// A vector register of eight `f32`.
pub trait Lanes: Copy {
    /// Eight times the same number.
    fn splat(value: f32) -> Self;
    fn load(from: &[f32; LANES]) -> Self;
    fn store(self, to: &mut [f32; LANES]);
    /// `self * by + add`.
    fn multiply_add(self, by: Self, add: Self) -> Self;
    fn add(self, other: Self) -> Self;
    /// At least `low` and at most `high`; NaN stays NaN.
    fn clamp(self, low: Self, high: Self) -> Self;
}

/// Eight numbers as an array, which the compiler puts into whatever registers there are. Products are rounded
/// before they are added.
#[derive(Debug, Clone, Copy)]
pub struct Portable([f32; LANES]);

impl Lanes for Portable {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        Portable([value; LANES])
    }

    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Self {
        Portable(*from)
    }

    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        *to = self.0;
    }

    #[inline(always)]
    fn multiply_add(self, by: Self, add: Self) -> Self {
        Portable(std::array::from_fn(|lane| self.0[lane] * by.0[lane] + add.0[lane]))
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Portable(std::array::from_fn(|lane| self.0[lane] + other.0[lane]))
    }

    #[inline(always)]
    fn clamp(self, low: Self, high: Self) -> Self {
        Portable(std::array::from_fn(|lane| {
            let value = self.0[lane];
            let value = if value < low.0[lane] { low.0[lane] } else { value };
            if value > high.0[lane] { high.0[lane] } else { value }
        }))
    }
}

#[cfg(target_arch = "x86_64")]
pub use wide::Wide;

#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "intrinsics of AVX2 and FMA; reached only through `lanes_kernel!`, which asks the processor before"
)]
mod wide {
    use super::{LANES, Lanes};
    use std::arch::x86_64::{
        __m256, _mm256_add_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_max_ps, _mm256_min_ps,
        _mm256_set1_ps, _mm256_storeu_ps,
    };

    /// A register of AVX. Products are not rounded before they are added.
    #[derive(Debug, Clone, Copy)]
    pub struct Wide(__m256);

    // SAFETY of all: the kernels that are compiled for `Wide` are entered only on a processor with AVX2 and FMA,
    // and the pointers are those of references to eight numbers
    impl Lanes for Wide {
        #[inline(always)]
        fn splat(value: f32) -> Self {
            Wide(unsafe { _mm256_set1_ps(value) })
        }

        #[inline(always)]
        fn load(from: &[f32; LANES]) -> Self {
            Wide(unsafe { _mm256_loadu_ps(from.as_ptr()) })
        }

        #[inline(always)]
        fn store(self, to: &mut [f32; LANES]) {
            unsafe { _mm256_storeu_ps(to.as_mut_ptr(), self.0) }
        }

        #[inline(always)]
        fn multiply_add(self, by: Self, add: Self) -> Self {
            Wide(unsafe { _mm256_fmadd_ps(self.0, by.0, add.0) })
        }

        #[inline(always)]
        fn add(self, other: Self) -> Self {
            Wide(unsafe { _mm256_add_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn clamp(self, low: Self, high: Self) -> Self {
            // where one operand is NaN the second is the result
            Wide(unsafe { _mm256_min_ps(high.0, _mm256_max_ps(low.0, self.0)) })
        }
    }
}

/// A function generic in [`Lanes`], compiled for both kinds of machine and chosen when it is called.
macro_rules! lanes_kernel {
    ($(#[$doc:meta])* $visible:vis fn $name:ident<$l:ident>($($arg:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$doc])*
        $visible fn $name($($arg: $type),*) {
            #[inline(always)]
            fn body<$l: $crate::nn::conv::lanes::Lanes>($($arg: $type),*) $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn wide($($arg: $type),*) {
                    body::<$crate::nn::conv::lanes::Wide>($($arg),*)
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    #[expect(unsafe_code, reason = "calls code for AVX2 and FMA once the machine has both")]
                    // SAFETY: both features were just found
                    return unsafe { wide($($arg),*) };
                }
            }
            body::<$crate::nn::conv::lanes::Portable>($($arg),*)
        }
    };
}
pub(super) use lanes_kernel;
