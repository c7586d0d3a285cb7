//! An error's text, told apart: whose fault it was, and whether anything can follow.
//!
//! The text is what candle, cuBLAS and cuRAND print: they all name the status by its constant. Read as
//! text it is the same wherever the error came from, through however many hands, and a panic's last
//! words are read alike. The names are those of CUDA 13's headers (`cuda.h`, `cublas_api.h`, `curand.h`).

/// What an error of the card means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No memory left on the card: of this run's asking.
    OutOfMemory,
    /// The driver's library is missing, or the kernel has no driver.
    NoDriver,
    /// cuBLAS or cuRAND is missing or does not start.
    NoLibrary,
    /// The kernels are not for this card, or too new for its driver.
    WrongKernels,
    /// The card fell off, or its context is beyond use: nothing more of this process can run on it.
    Lost,
    /// Anything else that a library of the card says.
    Other,
}

const NAMES: &[(&str, Fault)] = &[
    ("CUDA_ERROR_OUT_OF_MEMORY", Fault::OutOfMemory),
    ("CUBLAS_STATUS_ALLOC_FAILED", Fault::OutOfMemory),
    ("CURAND_STATUS_ALLOCATION_FAILED", Fault::OutOfMemory),
    ("CUDA_ERROR_STUB_LIBRARY", Fault::NoDriver),
    ("CUDA_ERROR_SYSTEM_NOT_READY", Fault::NoDriver),
    ("CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", Fault::NoDriver),
    ("CUBLAS_STATUS_NOT_INITIALIZED", Fault::NoLibrary),
    ("CURAND_STATUS_NOT_INITIALIZED", Fault::NoLibrary),
    ("CURAND_STATUS_INITIALIZATION_FAILED", Fault::NoLibrary),
    ("CUDA_ERROR_SHARED_OBJECT_INIT_FAILED", Fault::NoLibrary),
    ("CUDA_ERROR_JIT_COMPILER_NOT_FOUND", Fault::NoLibrary),
    ("CUDA_ERROR_NO_BINARY_FOR_GPU", Fault::WrongKernels),
    ("CUDA_ERROR_INVALID_PTX", Fault::WrongKernels),
    ("CUDA_ERROR_INVALID_IMAGE", Fault::WrongKernels),
    ("CUDA_ERROR_UNSUPPORTED_PTX_VERSION", Fault::WrongKernels),
    ("CUBLAS_STATUS_ARCH_MISMATCH", Fault::WrongKernels),
    ("CURAND_STATUS_ARCH_MISMATCH", Fault::WrongKernels),
    ("CUDA_ERROR_DEVICE_UNAVAILABLE", Fault::Lost),
    ("CUDA_ERROR_ECC_UNCORRECTABLE", Fault::Lost),
    ("CUDA_ERROR_NVLINK_UNCORRECTABLE", Fault::Lost),
    ("CUDA_ERROR_OPERATING_SYSTEM", Fault::Lost),
    ("CUDA_ERROR_ILLEGAL_ADDRESS", Fault::Lost),
    ("CUDA_ERROR_LAUNCH_TIMEOUT", Fault::Lost),
    ("CUDA_ERROR_CONTEXT_IS_DESTROYED", Fault::Lost),
    ("CUDA_ERROR_ASSERT", Fault::Lost),
    ("CUDA_ERROR_HARDWARE_STACK_ERROR", Fault::Lost),
    ("CUDA_ERROR_ILLEGAL_INSTRUCTION", Fault::Lost),
    ("CUDA_ERROR_MISALIGNED_ADDRESS", Fault::Lost),
    ("CUDA_ERROR_INVALID_ADDRESS_SPACE", Fault::Lost),
    ("CUDA_ERROR_INVALID_PC", Fault::Lost),
    ("CUDA_ERROR_LAUNCH_FAILED", Fault::Lost),
    ("CUDA_ERROR_EXTERNAL_DEVICE", Fault::Lost),
    ("CUDA_ERROR_UNKNOWN", Fault::Lost),
    ("CUBLAS_STATUS_EXECUTION_FAILED", Fault::Lost),
    ("CURAND_STATUS_LAUNCH_FAILURE", Fault::Lost),
];

/// How the names of statuses begin.
const FAMILIES: [&str; 3] = ["CUDA_ERROR_", "CUBLAS_STATUS_", "CURAND_STATUS_"];

impl Fault {
    /// What the first status named in `text` means; `None` where none is named.
    pub fn of(text: &str) -> Option<Fault> {
        let status = status_in(text)?;
        Some(NAMES.iter().find(|(name, _)| *name == status).map_or(Fault::Other, |(_, fault)| *fault))
    }
}

/// The first status that `text` names, such as `CUDA_ERROR_OUT_OF_MEMORY`.
pub fn status_in(text: &str) -> Option<&str> {
    let at = FAMILIES.iter().filter_map(|family| text.find(family)).min()?;
    let name = &text[at..];
    let end =
        name.find(|letter: char| !(letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_'));
    Some(&name[..end.unwrap_or(name.len())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_found_in_whatever_is_said() {
        let candle =
            "the network failed: DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")\n   0: candle";
        assert_eq!(
            (status_in(candle), Fault::of(candle)),
            (Some("CUDA_ERROR_OUT_OF_MEMORY"), Some(Fault::OutOfMemory))
        );
        let panic =
            "called `Result::unwrap()` on an `Err` value: CublasError(CUBLAS_STATUS_EXECUTION_FAILED)";
        assert_eq!(Fault::of(panic), Some(Fault::Lost));
        let loading =
            "DriverError(CUDA_ERROR_INVALID_PTX, \"a PTX JIT compilation failed\") when loading affine";
        assert_eq!(Fault::of(loading), Some(Fault::WrongKernels));
        assert_eq!(Fault::of("DriverError(CUDA_ERROR_INVALID_VALUE, \"invalid\")"), Some(Fault::Other));
        assert_eq!(Fault::of("no such file"), None);
        assert_eq!(status_in("CUDA_ERROR_UNKNOWN"), Some("CUDA_ERROR_UNKNOWN"));
    }

    #[test]
    fn the_first_status_counts() {
        let text = "CUBLAS_STATUS_ALLOC_FAILED after CUDA_ERROR_UNKNOWN";
        assert_eq!(Fault::of(text), Some(Fault::OutOfMemory));
    }

    #[test]
    fn every_name_is_of_a_family_and_stands_once() {
        for (at, (name, _)) in NAMES.iter().enumerate() {
            assert_eq!(status_in(name), Some(*name));
            assert!(NAMES[at + 1..].iter().all(|(other, _)| other != name), "{name}");
        }
    }
}
