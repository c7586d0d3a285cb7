//! What this build holds for a graphics card, and what was left out of it.
//!
//! Kernels take hours to compile and hundreds of megabytes to carry, so that a build holds those which
//! Posebook uses. Asking for one that was left out is refused before a run, since candle would end the
//! process with its name in the middle of one.

use super::{Choice, DeviceError};

/// Which kernels `tools/build_cuda.sh` compiled: `needed`, or all of them, as a system's toolkit does.
const COMPILED: Option<&str> = option_env!("POSEBOOK_CUDA_KERNELS");

/// A group of kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernels {
    /// candle's own: element-wise, reductions, indexing, im2col; matrix products by cuBLAS.
    Basic,
    /// Fused attention (crate candle-flash-attn) for heads of 65 to 96 numbers in bf16 and f16: not causal,
    /// without dropout, windows, alibi and soft caps.
    FlashAttention,
    /// Fused attention for heads of other widths, and with the rest of what that crate can.
    FlashAttentionWhole,
    /// cuDNN's convolutions.
    Cudnn,
    /// Products with quantised (GGUF) weights and mixtures of experts.
    Quantised,
}

impl Kernels {
    /// All groups, in the order in which they are listed.
    pub const ALL: [Kernels; 5] = [
        Kernels::Basic,
        Kernels::FlashAttention,
        Kernels::FlashAttentionWhole,
        Kernels::Quantised,
        Kernels::Cudnn,
    ];

    /// The name of the group.
    pub fn name(self) -> &'static str {
        match self {
            Kernels::Basic => "basic",
            Kernels::FlashAttention => "flash-attn",
            Kernels::FlashAttentionWhole => "flash-attn-whole",
            Kernels::Cudnn => "cudnn",
            Kernels::Quantised => "quantised",
        }
    }

    /// What the group is, in words.
    pub fn about(self) -> &'static str {
        match self {
            Kernels::Basic => "candle's own kernels, and matrix products by cuBLAS",
            Kernels::FlashAttention => "fused attention in bf16 and f16, heads of 65 to 96 numbers",
            Kernels::FlashAttentionWhole => {
                "fused attention for other heads, causal, with dropout or windows"
            }
            Kernels::Cudnn => "cuDNN's convolutions",
            Kernels::Quantised => "quantised weights and mixtures of experts",
        }
    }

    /// Whether this build holds the group.
    pub fn is_built(self) -> bool {
        built(self, cfg!(feature = "cuda"), cfg!(feature = "flash-attn"), COMPILED != Some("needed"))
    }

    /// What to do where the group was left out.
    fn instead(self) -> &'static str {
        match self {
            Kernels::Basic => "make a build with CUDA: `just build-cuda`",
            Kernels::FlashAttention => "build with the feature `flash-attn`, or choose plain attention",
            Kernels::FlashAttentionWhole => "build with POSEBOOK_CUDA_KERNELS=all, or choose plain attention",
            Kernels::Cudnn => "Posebook does without: its convolutions are matrix products",
            Kernels::Quantised => "Posebook has no quantised models",
        }
    }
}

/// Whether a build of these features holds a group, with all kernels compiled or only those needed.
fn built(group: Kernels, cuda: bool, flash_attn: bool, all: bool) -> bool {
    match group {
        Kernels::Basic => cuda,
        Kernels::Quantised => cuda && all,
        Kernels::FlashAttention => flash_attn,
        Kernels::FlashAttentionWhole => flash_attn && all,
        Kernels::Cudnn => false,
    }
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
    fn groups_follow_the_features_and_what_was_compiled() {
        let held = |cuda, flash, all| -> Vec<&str> {
            let groups = Kernels::ALL.into_iter().filter(|group| built(*group, cuda, flash, all));
            groups.map(Kernels::name).collect()
        };
        assert!(held(false, false, true).is_empty());
        assert_eq!(held(true, false, false), ["basic"]);
        assert_eq!(held(true, true, false), ["basic", "flash-attn"]);
        assert_eq!(held(true, true, true), ["basic", "flash-attn", "flash-attn-whole", "quantised"]);
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
