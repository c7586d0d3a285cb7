//! The groups of GPU kernels, and which of them this build contains.
//!
//! All kernels take hours to compile and hundreds of megabytes, so a build contains only those that Posebook uses. A
//! run that needs a group that was not built is refused before it starts; candle would abort in the middle of it.

use super::{DeviceChoice, DeviceError};

/// Which kernels `tools/build_cuda.sh` compiled: `needed`, or all (also where it was not used).
const COMPILED: Option<&str> = option_env!("POSEBOOK_CUDA_KERNELS");

/// A group of GPU kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelGroup {
    /// candle's own: element-wise, reductions, indexing, im2col; matrix products by cuBLAS.
    Basic,
    /// FlashAttention (crate candle-flash-attn) for heads of 65 to 96 values in bf16 and f16, without causal masks,
    /// dropout, windows, ALiBi and soft caps.
    FlashAttention,
    /// FlashAttention for other head sizes, and with the options above.
    FlashAttentionFull,
    /// cuDNN's convolutions.
    Cudnn,
    /// Products with quantized (GGUF) weights and mixtures of experts.
    Quantized,
}

impl KernelGroup {
    /// All groups, in the order of listings.
    pub const ALL: [KernelGroup; 5] = [
        KernelGroup::Basic,
        KernelGroup::FlashAttention,
        KernelGroup::FlashAttentionFull,
        KernelGroup::Quantized,
        KernelGroup::Cudnn,
    ];

    /// The name of the group.
    pub fn name(self) -> &'static str {
        match self {
            KernelGroup::Basic => "basic",
            KernelGroup::FlashAttention => "flash-attn",
            KernelGroup::FlashAttentionFull => "flash-attn-whole",
            KernelGroup::Cudnn => "cudnn",
            KernelGroup::Quantized => "quantised",
        }
    }

    /// A description for listings.
    pub fn description(self) -> &'static str {
        match self {
            KernelGroup::Basic => "candle's own kernels, and matrix products by cuBLAS",
            KernelGroup::FlashAttention => "fused attention in bf16 and f16, heads of 65 to 96 numbers",
            KernelGroup::FlashAttentionFull => {
                "fused attention for other heads, causal, with dropout or windows"
            }
            KernelGroup::Cudnn => "cuDNN's convolutions",
            KernelGroup::Quantized => "quantized weights and mixtures of experts",
        }
    }

    /// Whether this build contains the group.
    pub fn is_built(self) -> bool {
        is_group_built(self, cfg!(feature = "cuda"), cfg!(feature = "flash-attn"), COMPILED != Some("needed"))
    }

    /// What to do where the group was not built.
    fn alternative(self) -> &'static str {
        match self {
            KernelGroup::Basic => "make a build with CUDA: `just build-cuda`",
            KernelGroup::FlashAttention => "build with the feature `flash-attn`, or choose plain attention",
            KernelGroup::FlashAttentionFull => {
                "build with POSEBOOK_CUDA_KERNELS=all, or choose plain attention"
            }
            KernelGroup::Cudnn => "Posebook does without: its convolutions are matrix products",
            KernelGroup::Quantized => "Posebook has no quantized models",
        }
    }
}

/// Whether a build with these features contains a group; `all` says whether all kernels were compiled.
fn is_group_built(group: KernelGroup, cuda: bool, flash_attn: bool, all: bool) -> bool {
    match group {
        KernelGroup::Basic => cuda,
        KernelGroup::Quantized => cuda && all,
        KernelGroup::FlashAttention => flash_attn,
        KernelGroup::FlashAttentionFull => flash_attn && all,
        KernelGroup::Cudnn => false,
    }
}

/// Checks that `group` can be used on `device`.
///
/// # Errors
/// If this build does not contain it, or the device is not a GPU.
pub fn require(group: KernelGroup, device: &DeviceChoice) -> Result<(), DeviceError> {
    match device {
        DeviceChoice::Cpu => Err(DeviceError::NeedsGpu { kernels: group.name() }),
        DeviceChoice::Cuda(_) if group.is_built() => Ok(()),
        DeviceChoice::Cuda(_) => {
            Err(DeviceError::KernelsNotBuilt { kernels: group.name(), alternative: group.alternative() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_depend_on_features_and_on_what_was_compiled() {
        let built = |cuda, flash, all| -> Vec<&str> {
            let groups =
                KernelGroup::ALL.into_iter().filter(|group| is_group_built(*group, cuda, flash, all));
            groups.map(KernelGroup::name).collect()
        };
        assert!(built(false, false, true).is_empty());
        assert_eq!(built(true, false, false), ["basic"]);
        assert_eq!(built(true, true, false), ["basic", "flash-attn"]);
        assert_eq!(built(true, true, true), ["basic", "flash-attn", "flash-attn-whole", "quantised"]);
    }

    #[test]
    fn a_group_that_was_not_built_is_refused_by_name() {
        let refused = require(KernelGroup::Cudnn, &DeviceChoice::Cuda(0)).unwrap_err().to_string();
        assert!(refused.starts_with("the kernels `cudnn` are not part of this build; "), "{refused}");
        let refused = require(KernelGroup::FlashAttention, &DeviceChoice::Cpu).unwrap_err().to_string();
        assert!(refused.contains("flash-attn") && refused.contains("GPU"), "{refused}");
        assert_eq!(
            require(KernelGroup::FlashAttention, &DeviceChoice::Cuda(0)).is_ok(),
            cfg!(feature = "flash-attn")
        );
    }
}
