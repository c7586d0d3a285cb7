//! Vectors of eight `f32`: a portable implementation, and one for x86-64 with AVX2 and FMA.
//!
//! [`lanes_kernel!`] compiles a function for both and picks one when it is called.

/// Values in one [`Lanes`].
pub const LANES: usize = 8;

/// A vector register of eight `f32`.
pub trait Lanes: Copy {
    /// The same value in every lane.
    fn splat(value: f32) -> Self;
    /// Reads eight values.
    fn load(from: &[f32; LANES]) -> Self;
    /// Writes eight values.
    fn store(self, to: &mut [f32; LANES]);
    /// `self * by + add`.
    fn multiply_add(self, by: Self, add: Self) -> Self;
    /// `self + other`.
    fn add(self, other: Self) -> Self;
    /// At least `low` and at most `high`; NaN stays NaN.
    fn clamp(self, low: Self, high: Self) -> Self;
}

/// Eight values as an array, which the compiler vectorizes for the target. Products are rounded before they are
/// added.
#[derive(Debug, Clone, Copy)]
pub struct PortableLanes([f32; LANES]);

impl Lanes for PortableLanes {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        PortableLanes([value; LANES])
    }

    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Self {
        PortableLanes(*from)
    }

    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        *to = self.0;
    }

    #[inline(always)]
    fn multiply_add(self, by: Self, add: Self) -> Self {
        PortableLanes(std::array::from_fn(|lane| self.0[lane] * by.0[lane] + add.0[lane]))
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        PortableLanes(std::array::from_fn(|lane| self.0[lane] + other.0[lane]))
    }

    #[inline(always)]
    fn clamp(self, low: Self, high: Self) -> Self {
        PortableLanes(std::array::from_fn(|lane| {
            let value = self.0[lane];
            let value = if value < low.0[lane] { low.0[lane] } else { value };
            if value > high.0[lane] { high.0[lane] } else { value }
        }))
    }
}

#[cfg(target_arch = "x86_64")]
pub use wide::Avx2Lanes;

#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "intrinsics of AVX2 and FMA; reached only through `lanes_kernel!`, which checks the processor first"
)]
mod wide {
    use super::{LANES, Lanes};
    use std::arch::x86_64::{
        __m256, _mm256_add_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_max_ps, _mm256_min_ps,
        _mm256_set1_ps, _mm256_storeu_ps,
    };

    /// An AVX register. Products are not rounded before they are added.
    #[derive(Debug, Clone, Copy)]
    pub struct Avx2Lanes(__m256);

    // `lanes_kernel!` runs kernels that are compiled for `Avx2Lanes` only on a processor with AVX2 and FMA
    impl Lanes for Avx2Lanes {
        #[inline(always)]
        fn splat(value: f32) -> Self {
            // SAFETY: the processor has AVX2 (see above)
            Avx2Lanes(unsafe { _mm256_set1_ps(value) })
        }

        #[inline(always)]
        fn load(from: &[f32; LANES]) -> Self {
            // SAFETY: the processor has AVX2 (see above), and `from` refers to eight values
            Avx2Lanes(unsafe { _mm256_loadu_ps(from.as_ptr()) })
        }

        #[inline(always)]
        fn store(self, to: &mut [f32; LANES]) {
            // SAFETY: the processor has AVX2 (see above), and `to` refers to eight values
            unsafe { _mm256_storeu_ps(to.as_mut_ptr(), self.0) }
        }

        #[inline(always)]
        fn multiply_add(self, by: Self, add: Self) -> Self {
            // SAFETY: the processor has FMA (see above)
            Avx2Lanes(unsafe { _mm256_fmadd_ps(self.0, by.0, add.0) })
        }

        #[inline(always)]
        fn add(self, other: Self) -> Self {
            // SAFETY: the processor has AVX2 (see above)
            Avx2Lanes(unsafe { _mm256_add_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn clamp(self, low: Self, high: Self) -> Self {
            // where one operand is NaN, these instructions return the second
            // SAFETY: the processor has AVX2 (see above)
            Avx2Lanes(unsafe { _mm256_min_ps(high.0, _mm256_max_ps(low.0, self.0)) })
        }
    }
}

/// Defines a function that is generic in [`Lanes`], compiled for both implementations and dispatched when called.
macro_rules! lanes_kernel {
    ($(#[$doc:meta])* $visible:vis fn $name:ident<$l:ident>($($arg:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$doc])*
        $visible fn $name($($arg: $type),*) {
            #[inline(always)]
            fn body<$l: $crate::conv::lanes::Lanes>($($arg: $type),*) $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn with_avx2($($arg: $type),*) {
                    body::<$crate::conv::lanes::Avx2Lanes>($($arg),*)
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    #[expect(unsafe_code, reason = "calls code compiled for AVX2 and FMA after checking the processor")]
                    // SAFETY: both features were just found
                    return unsafe { with_avx2($($arg),*) };
                }
            }
            body::<$crate::conv::lanes::PortableLanes>($($arg),*)
        }
    };
}
pub(super) use lanes_kernel;
