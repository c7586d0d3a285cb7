//! Why a device cannot be had, each said in one line with what to do next.

use super::Choice;
use super::card::{Capability, Target, Version};
use super::fault::Fault;

/// Where CUDA's libraries are looked for, said wherever one of them is missing.
const LIBRARIES: &str = "set LD_LIBRARY_PATH to the folder with libcublas.so.13: a CUDA 13 toolkit's lib64, or \
                         PyTorch's site-packages/nvidia/cu13/lib (`tools/cuda/libraries.sh` prints it)";

/// Why a device cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    #[error("unknown device `{device}`; there are `auto`, `cpu` and `cuda:0`")]
    Unknown { device: String },
    #[error(
        "device = \"{device}\" needs a build with CUDA (feature `cuda`): make one with `just build-cuda`, or use \
         `cpu` or `auto`"
    )]
    NotBuilt { device: String },
    #[error(
        "there is no NVIDIA driver to talk to ({said}): install one (for CUDA 13: 580 or newer), or use \
         device = \"cpu\""
    )]
    NoDriver { said: String },
    #[error(
        "the NVIDIA driver{} is too old: it knows CUDA {has}, and this build's kernels need {needs}; update the \
         driver, or build with an older toolkit",
        named(.driver)
    )]
    DriverTooOld { driver: Option<String>, has: Version, needs: Version },
    #[error("there is no card cuda:{index}: {}", counted(*.cards))]
    NoCard { index: usize, cards: usize },
    #[error(
        "cuda:{index} ({name}) is of compute capability {has}, and this build's kernels are for {needs}: build with \
         CUDA_COMPUTE_CAP={} for it",
        .has.digits()
    )]
    OtherGeneration { index: usize, name: String, has: Capability, needs: Target },
    #[error("a library of CUDA is missing or does not start ({said}): {LIBRARIES}")]
    NoLibrary { said: String },
    #[error(
        "cuda:{index} has no memory left to start with ({said}): end what else uses it (`nvidia-smi` shows it), or \
         choose another card"
    )]
    Full { index: usize, said: String },
    #[error(
        "limits.device_mib is {limit_mib}, and the context alone takes {} MiB of it: nothing could run within",
        mib(*.held_bytes)
    )]
    NoRoom { limit_mib: u64, held_bytes: u64 },
    #[error("the kernels `{kernels}` were left out of this build; {instead}")]
    LeftOut { kernels: &'static str, instead: &'static str },
    #[error(
        "the kernels `{kernels}` run on a graphics card alone, and the device is the CPU; choose device = \"cuda:0\""
    )]
    NeedsCard { kernels: &'static str },
    #[error("{device} cannot be used: {said}")]
    Failed { device: String, said: String },
}

impl DeviceError {
    /// Whether memory was wanting, rather than the device itself.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self, DeviceError::Full { .. } | DeviceError::NoRoom { .. })
    }

    /// What opening `cuda:index` failed with, from the words of the failure.
    pub fn of_opening(index: usize, said: &str) -> DeviceError {
        let said = said.lines().next().unwrap_or_default().to_string();
        match Fault::of(&said) {
            Some(Fault::OutOfMemory) => DeviceError::Full { index, said },
            Some(Fault::NoDriver) => DeviceError::NoDriver { said },
            Some(Fault::NoLibrary) => DeviceError::NoLibrary { said },
            _ => DeviceError::Failed { device: Choice::Cuda(index).to_string(), said },
        }
    }
}

fn named(driver: &Option<String>) -> String {
    driver.as_ref().map_or_else(String::new, |driver| format!(" {driver}"))
}

fn counted(cards: usize) -> String {
    match cards {
        0 => "the driver sees no card (is one there, and may this user or container reach it?)".into(),
        1 => "the driver sees one card, cuda:0".into(),
        cards => format!("the driver sees {cards} cards, cuda:0 to cuda:{}", cards - 1),
    }
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_to_open_are_told_apart() {
        let of = |said: &str| DeviceError::of_opening(0, said);
        let full = of("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")\n   0: backtrace");
        assert!(full.is_out_of_memory(), "{full}");
        assert_eq!(full.to_string().lines().count(), 1);
        assert!(matches!(of("DriverError(CUDA_ERROR_STUB_LIBRARY, \"?\")"), DeviceError::NoDriver { .. }));
        let library = of("CublasError(CUBLAS_STATUS_NOT_INITIALIZED)");
        assert!(library.to_string().contains("LD_LIBRARY_PATH"), "{library}");
        assert!(!library.is_out_of_memory());
        assert_eq!(of("something else").to_string(), "cuda:0 cannot be used: something else");
    }

    #[test]
    fn messages_count_cards() {
        let said = |cards| DeviceError::NoCard { index: 3, cards }.to_string();
        assert!(said(0).contains("no card (is one there"));
        assert!(said(1).ends_with("one card, cuda:0"));
        assert!(said(2).ends_with("2 cards, cuda:0 to cuda:1"));
    }
}
