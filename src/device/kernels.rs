//! What this build holds for a graphics card, and what was left out of it.
//!
//! Kernels take hours to compile and hundreds of megabytes to carry, so that a build holds those which
//! Posebook uses. Asking for one that was left out is refused before a run, since candle would end the
//! process with its name in the middle of one.

use super::{Choice, DeviceError};

/// What the build script says that it left out, separated by commas; cargo builds this file anew when it
/// changes.
const LEFT_OUT: Option<&str> = option_env!("POSEBOOK_CUDA_LEFT_OUT");

/// A group of kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernels {
    /// candle's own: element-wise, reductions, indexing, im2col; matrix products by cuBLAS.
    Basic,
    /// Fused attention (crate candle-flash-attn), heads of up to 96 numbers, bf16 and f16, no dropout.
    FlashAttention,
    /// cuDNN's convolutions.
    Cudnn,
    /// Products with quantised (GGUF) weights and mixtures of experts.
    Quantised,
}

impl Kernels {
    /// All groups, in the order in which they are listed.
    pub const ALL: [Kernels; 4] =
        [Kernels::Basic, Kernels::FlashAttention, Kernels::Cudnn, Kernels::Quantised];

    /// The name of the group.
    pub fn name(self) -> &'static str {
        match self {
            Kernels::Basic => "basic",
            Kernels::FlashAttention => "flash-attn",
            Kernels::Cudnn => "cudnn",
            Kernels::Quantised => "quantised",
        }
    }

    /// What the group is, in words.
    pub fn about(self) -> &'static str {
        match self {
            Kernels::Basic => "candle's own kernels, and matrix products by cuBLAS",
            Kernels::FlashAttention => "fused attention for bf16 and f16, heads of up to 96 numbers",
            Kernels::Cudnn => "cuDNN's convolutions",
            Kernels::Quantised => "quantised weights and mixtures of experts",
        }
    }

    /// Whether this build holds the group.
    pub fn is_built(self) -> bool {
        built(self, cfg!(feature = "cuda"), cfg!(feature = "flash-attn"), LEFT_OUT)
    }

    /// What to do where the group was left out.
    fn instead(self) -> &'static str {
        match self {
            Kernels::Basic => "make a build with CUDA: `just build-cuda`",
            Kernels::FlashAttention => "build with the feature `flash-attn`, or choose plain attention",
            Kernels::Cudnn => "Posebook does without: its convolutions are matrix products",
            Kernels::Quantised => "Posebook has no quantised models",
        }
    }
}

/// Whether a build of these features that left out `left_out` holds a group.
fn built(group: Kernels, cuda: bool, flash_attn: bool, left_out: Option<&str>) -> bool {
    let named = left_out.is_some_and(|names| names.split(',').any(|name| name.trim() == group.name()));
    let compiled = match group {
        Kernels::Basic | Kernels::Quantised => cuda,
        Kernels::FlashAttention => flash_attn,
        Kernels::Cudnn => false,
    };
    compiled && !named
}

/// Whether `group` can be asked for on `device`.
///
/// # Errors
/// If it was left out of this build, or the device is no graphics card.
pub fn require(group: Kernels, device: &Choice) -> Result<(), DeviceError> {
    match device {
        Choice::Cpu => Err(DeviceError::NeedsCard { kernels: group.name() }),
        Choice::Cuda(_) if group.is_built() => Ok(()),
        Choice::Cuda(_) => Err(DeviceError::LeftOut { kernels: group.name(), instead: group.instead() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_follow_the_features_and_what_was_left_out() {
        let held = |cuda, flash, left_out| {
            Kernels::ALL.into_iter().filter(|group| built(*group, cuda, flash, left_out)).collect::<Vec<_>>()
        };
        assert_eq!(held(false, false, None), []);
        assert_eq!(held(true, false, None), [Kernels::Basic, Kernels::Quantised]);
        assert_eq!(held(true, true, Some("quantised, cudnn")), [Kernels::Basic, Kernels::FlashAttention]);
        assert_eq!(held(true, true, Some("quantised,flash-attn")), [Kernels::Basic]);
    }

    #[test]
    fn what_was_left_out_is_refused_by_its_name() {
        let refused = require(Kernels::Cudnn, &Choice::Cuda(0)).unwrap_err().to_string();
        assert!(refused.starts_with("the kernels `cudnn` were left out of this build; "), "{refused}");
        let refused = require(Kernels::FlashAttention, &Choice::Cpu).unwrap_err().to_string();
        assert!(refused.contains("flash-attn") && refused.contains("graphics card"), "{refused}");
        assert_eq!(require(Kernels::FlashAttention, &Choice::Cuda(0)).is_ok(), cfg!(feature = "flash-attn"));
    }
}
