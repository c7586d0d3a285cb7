//! Why a device cannot be used. Each error is one line that says what to do next.

use super::DeviceChoice;
use super::error_kind::GpuErrorKind;
use super::gpu::{ComputeCapability, CudaVersion, KernelTarget};

/// What to do about a missing CUDA library.
const LIBRARIES: &str = "set LD_LIBRARY_PATH to the folder with libcublas.so.13: a CUDA 13 toolkit's lib64, or \
                         PyTorch's site-packages/nvidia/cu13/lib (`tools/cuda/libraries.sh` prints it)";

/// Why a device cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The text names no device.
    #[error("unknown device `{device}`; there are `auto`, `cpu` and `cuda:0`")]
    Unknown {
        /// The device setting.
        device: String,
    },
    /// A GPU was requested from a build without CUDA.
    #[error(
        "device = \"{device}\" needs a build with CUDA (feature `cuda`): make one with `just build-cuda`, or use \
         `cpu` or `auto`"
    )]
    NotBuilt {
        /// The device setting.
        device: String,
    },
    /// There is no NVIDIA driver that works.
    #[error(
        "there is no working NVIDIA driver ({reason}): install one (for CUDA 13: 580 or newer), or use \
         device = \"cpu\""
    )]
    NoDriver {
        /// What the driver or library reported.
        reason: String,
    },
    /// The driver does not support the CUDA version of the kernels.
    #[error(
        "the NVIDIA driver{} is too old: it supports CUDA {has}, and this build's kernels need {needs}; update the \
         driver, or build with an older toolkit",
        optional_version(.driver)
    )]
    DriverTooOld {
        /// The driver's version, if known.
        driver: Option<String>,
        /// What is available.
        has: CudaVersion,
        /// What the kernels need.
        needs: CudaVersion,
    },
    /// There is no GPU of this index.
    #[error("there is no GPU cuda:{index}: {}", list_count(*.count))]
    NoGpu {
        /// Index of the GPU.
        index: usize,
        /// How many GPUs there are.
        count: usize,
    },
    /// The kernels were compiled for another compute capability.
    #[error(
        "cuda:{index} ({name}) is of compute capability {has}, and this build's kernels are for {needs}: build with \
         CUDA_COMPUTE_CAP={} for it",
        .has.digits()
    )]
    UnsupportedGpu {
        /// Index of the GPU.
        index: usize,
        /// Name of the GPU.
        name: String,
        /// What is available.
        has: ComputeCapability,
        /// What the kernels need.
        needs: KernelTarget,
    },
    /// A CUDA library was not found or does not start.
    #[error("a CUDA library is missing or does not start ({reason}): {LIBRARIES}")]
    NoLibrary {
        /// What the driver or library reported.
        reason: String,
    },
    /// The GPU has not enough free memory for a context.
    #[error(
        "cuda:{index} has no memory left to start with ({reason}): end what else uses it (`nvidia-smi` shows it), or \
         choose another GPU"
    )]
    OutOfMemory {
        /// Index of the GPU.
        index: usize,
        /// What the driver or library reported.
        reason: String,
    },
    /// The process already holds as much as the limit.
    #[error(
        "limits.device_mib is {limit_mib}, and the context alone takes {} MiB: raise the limit",
        mib(*.held_bytes)
    )]
    LimitTooSmall {
        /// The limit, MiB.
        limit_mib: u64,
        /// Bytes that the process holds.
        held_bytes: u64,
    },
    /// This build does not contain the kernels.
    #[error("the kernels `{kernels}` are not part of this build; {alternative}")]
    KernelsNotBuilt {
        /// Name of the group.
        kernels: &'static str,
        /// What to do instead.
        alternative: &'static str,
    },
    /// The kernels need a GPU.
    #[error("the kernels `{kernels}` need a GPU, and the device is the CPU; choose device = \"cuda:0\"")]
    NeedsGpu {
        /// Name of the group.
        kernels: &'static str,
    },
    /// Any other failure.
    #[error("{device} cannot be used: {reason}")]
    Failed {
        /// The device setting.
        device: String,
        /// What the driver or library reported.
        reason: String,
    },
}

impl DeviceError {
    /// Whether the cause is too little memory.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self, DeviceError::OutOfMemory { .. } | DeviceError::LimitTooSmall { .. })
    }

    /// The error for a failure to open `cuda:index`, classified by the failure's message.
    pub fn from_open_failure(index: usize, reason: &str) -> DeviceError {
        let reason = reason.lines().next().unwrap_or_default().to_string();
        match GpuErrorKind::from_message(&reason) {
            Some(GpuErrorKind::OutOfMemory) => DeviceError::OutOfMemory { index, reason },
            Some(GpuErrorKind::NoDriver) => DeviceError::NoDriver { reason },
            Some(GpuErrorKind::NoLibrary) => DeviceError::NoLibrary { reason },
            _ => DeviceError::Failed { device: DeviceChoice::Cuda(index).to_string(), reason },
        }
    }
}

fn optional_version(driver: &Option<String>) -> String {
    driver.as_ref().map_or_else(String::new, |driver| format!(" {driver}"))
}

fn list_count(count: usize) -> String {
    match count {
        0 => "the driver finds none (is one installed, and may this user or container use it?)".into(),
        1 => "the driver finds one, cuda:0".into(),
        count => format!("the driver finds {count}, cuda:0 to cuda:{}", count - 1),
    }
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_failures_are_classified() {
        let classify = |reason: &str| DeviceError::from_open_failure(0, reason);
        let full = classify("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")\n   0: backtrace");
        assert!(full.is_out_of_memory(), "{full}");
        assert_eq!(full.to_string().lines().count(), 1);
        assert!(matches!(
            classify("DriverError(CUDA_ERROR_STUB_LIBRARY, \"?\")"),
            DeviceError::NoDriver { .. }
        ));
        let library = classify("CublasError(CUBLAS_STATUS_NOT_INITIALIZED)");
        assert!(library.to_string().contains("LD_LIBRARY_PATH"), "{library}");
        assert!(!library.is_out_of_memory());
        assert_eq!(classify("something else").to_string(), "cuda:0 cannot be used: something else");
    }

    #[test]
    fn messages_list_the_gpus_that_exist() {
        let message = |count| DeviceError::NoGpu { index: 3, count }.to_string();
        assert!(message(0).contains("finds none (is one installed"));
        assert!(message(1).ends_with("finds one, cuda:0"));
        assert!(message(2).ends_with("finds 2, cuda:0 to cuda:1"));
    }
}
