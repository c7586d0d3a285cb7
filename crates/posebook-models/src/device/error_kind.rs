//! Classifies GPU errors by the status name in their message: out of memory, missing driver, lost device.
//!
//! candle, cuBLAS and cuRAND all print the name of the status constant. Classifying the text works for errors that
//! were wrapped several times, and for the message of a panic. The names are those of CUDA 13's headers (`cuda.h`,
//! `cublas_api.h`, `curand.h`).

/// What kind of error a GPU library reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GpuErrorKind {
    /// The GPU has no memory left.
    OutOfMemory,
    /// The driver's library is missing, or the driver is not loaded.
    NoDriver,
    /// cuBLAS or cuRAND is missing or does not start.
    NoLibrary,
    /// The kernels were compiled for another GPU, or are too new for its driver.
    WrongKernels,
    /// The GPU, or this process's context on it, is unusable from now on.
    Lost,
    /// Any other status.
    Other,
}

/// Status names and their kinds; other names are [`GpuErrorKind::Other`].
const STATUS_KINDS: &[(&str, GpuErrorKind)] = &[
    ("CUDA_ERROR_OUT_OF_MEMORY", GpuErrorKind::OutOfMemory),
    ("CUBLAS_STATUS_ALLOC_FAILED", GpuErrorKind::OutOfMemory),
    ("CURAND_STATUS_ALLOCATION_FAILED", GpuErrorKind::OutOfMemory),
    ("CUDA_ERROR_STUB_LIBRARY", GpuErrorKind::NoDriver),
    ("CUDA_ERROR_SYSTEM_NOT_READY", GpuErrorKind::NoDriver),
    ("CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", GpuErrorKind::NoDriver),
    ("CUBLAS_STATUS_NOT_INITIALIZED", GpuErrorKind::NoLibrary),
    ("CURAND_STATUS_NOT_INITIALIZED", GpuErrorKind::NoLibrary),
    ("CURAND_STATUS_INITIALIZATION_FAILED", GpuErrorKind::NoLibrary),
    ("CUDA_ERROR_SHARED_OBJECT_INIT_FAILED", GpuErrorKind::NoLibrary),
    ("CUDA_ERROR_JIT_COMPILER_NOT_FOUND", GpuErrorKind::NoLibrary),
    ("CUDA_ERROR_NO_BINARY_FOR_GPU", GpuErrorKind::WrongKernels),
    ("CUDA_ERROR_INVALID_PTX", GpuErrorKind::WrongKernels),
    ("CUDA_ERROR_INVALID_IMAGE", GpuErrorKind::WrongKernels),
    ("CUDA_ERROR_UNSUPPORTED_PTX_VERSION", GpuErrorKind::WrongKernels),
    ("CUBLAS_STATUS_ARCH_MISMATCH", GpuErrorKind::WrongKernels),
    ("CURAND_STATUS_ARCH_MISMATCH", GpuErrorKind::WrongKernels),
    ("CUDA_ERROR_DEVICE_UNAVAILABLE", GpuErrorKind::Lost),
    ("CUDA_ERROR_ECC_UNCORRECTABLE", GpuErrorKind::Lost),
    ("CUDA_ERROR_NVLINK_UNCORRECTABLE", GpuErrorKind::Lost),
    ("CUDA_ERROR_OPERATING_SYSTEM", GpuErrorKind::Lost),
    ("CUDA_ERROR_ILLEGAL_ADDRESS", GpuErrorKind::Lost),
    ("CUDA_ERROR_LAUNCH_TIMEOUT", GpuErrorKind::Lost),
    ("CUDA_ERROR_CONTEXT_IS_DESTROYED", GpuErrorKind::Lost),
    ("CUDA_ERROR_ASSERT", GpuErrorKind::Lost),
    ("CUDA_ERROR_HARDWARE_STACK_ERROR", GpuErrorKind::Lost),
    ("CUDA_ERROR_ILLEGAL_INSTRUCTION", GpuErrorKind::Lost),
    ("CUDA_ERROR_MISALIGNED_ADDRESS", GpuErrorKind::Lost),
    ("CUDA_ERROR_INVALID_ADDRESS_SPACE", GpuErrorKind::Lost),
    ("CUDA_ERROR_INVALID_PC", GpuErrorKind::Lost),
    ("CUDA_ERROR_LAUNCH_FAILED", GpuErrorKind::Lost),
    ("CUDA_ERROR_EXTERNAL_DEVICE", GpuErrorKind::Lost),
    ("CUDA_ERROR_UNKNOWN", GpuErrorKind::Lost),
    ("CUBLAS_STATUS_EXECUTION_FAILED", GpuErrorKind::Lost),
    ("CURAND_STATUS_LAUNCH_FAILURE", GpuErrorKind::Lost),
];

/// Prefixes of status names.
const PREFIXES: [&str; 3] = ["CUDA_ERROR_", "CUBLAS_STATUS_", "CURAND_STATUS_"];

impl GpuErrorKind {
    /// The kind of the first status that `text` names; `None` where it names none.
    pub fn from_message(text: &str) -> Option<GpuErrorKind> {
        let status = find_status(text)?;
        Some(
            STATUS_KINDS
                .iter()
                .find(|(name, _)| *name == status)
                .map_or(GpuErrorKind::Other, |(_, kind)| *kind),
        )
    }
}

/// The first status that `text` names, such as `CUDA_ERROR_OUT_OF_MEMORY`.
fn find_status(text: &str) -> Option<&str> {
    let start = PREFIXES.iter().filter_map(|prefix| text.find(prefix)).min()?;
    let name = &text[start..];
    let end =
        name.find(|letter: char| !(letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_'));
    Some(&name[..end.unwrap_or(name.len())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_found_in_any_message() {
        let candle =
            "the network failed: DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")\n   0: candle";
        assert_eq!(
            (find_status(candle), GpuErrorKind::from_message(candle)),
            (Some("CUDA_ERROR_OUT_OF_MEMORY"), Some(GpuErrorKind::OutOfMemory))
        );
        let panic =
            "called `Result::unwrap()` on an `Err` value: CublasError(CUBLAS_STATUS_EXECUTION_FAILED)";
        assert_eq!(GpuErrorKind::from_message(panic), Some(GpuErrorKind::Lost));
        let loading =
            "DriverError(CUDA_ERROR_INVALID_PTX, \"a PTX JIT compilation failed\") when loading affine";
        assert_eq!(GpuErrorKind::from_message(loading), Some(GpuErrorKind::WrongKernels));
        assert_eq!(
            GpuErrorKind::from_message("DriverError(CUDA_ERROR_INVALID_VALUE, \"invalid\")"),
            Some(GpuErrorKind::Other)
        );
        assert_eq!(GpuErrorKind::from_message("no such file"), None);
        assert_eq!(find_status("CUDA_ERROR_UNKNOWN"), Some("CUDA_ERROR_UNKNOWN"));
    }

    #[test]
    fn the_first_status_decides() {
        let text = "CUBLAS_STATUS_ALLOC_FAILED after CUDA_ERROR_UNKNOWN";
        assert_eq!(GpuErrorKind::from_message(text), Some(GpuErrorKind::OutOfMemory));
    }

    #[test]
    fn every_name_has_a_known_prefix_and_occurs_once() {
        for (index, (name, _)) in STATUS_KINDS.iter().enumerate() {
            assert_eq!(find_status(name), Some(*name));
            assert!(STATUS_KINDS[index + 1..].iter().all(|(other, _)| other != name), "{name}");
        }
    }
}
