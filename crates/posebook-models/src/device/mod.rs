//! Selects and opens the device that networks run on, and says why a device cannot be used.
//!
//! In: text (`auto`, `cpu`, `cuda:0`). [`resolve`] turns it into a [`DeviceChoice`] without opening anything, so that
//! a plan is refused before its first run; [`open`] opens a candle device. candle's own `cuda_if_available` checks
//! the build and not the machine, so it is not used.
//!
//! | module | content |
//! |---|---|
//! | `gpu` | which GPUs exist and whether this build runs on them |
//! | [`kernels`] | the groups of kernels that this build contains |
//! | [`memory`] | opens a device with its memory readings; splits a process' GPU memory into parts |
//! | `error_kind` | classifies GPU errors: out of memory, device lost, wrong kernels |
//! | `reservation` | how much memory to reserve to simulate a smaller GPU |
//! | `tensor_frame` | frames whose pixels are tensors: copies them to a device and back |
//!
//! All driver calls are in `cuda.rs`; without the feature `cuda`, `no_cuda.rs` with the same interface takes its
//! place, so that everything else is tested in every build. Does not depend on networks or runs.

mod error;
mod error_kind;
#[cfg_attr(
    not(any(feature = "cuda", test)),
    expect(dead_code, reason = "the driver's report is checked by cuda.rs alone")
)]
mod gpu;
pub mod kernels;
pub mod memory;
#[cfg_attr(
    not(any(feature = "cuda", test)),
    expect(dead_code, reason = "memory is reserved by cuda.rs alone")
)]
mod reservation;
mod tensor_frame;

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(not(feature = "cuda"))]
#[path = "no_cuda.rs"]
mod cuda;

pub use cuda::{DeviceHandle, Reservation, target};
pub use error::DeviceError;
pub use error_kind::GpuErrorKind;
pub use gpu::{Compatibility, ComputeCapability, CudaVersion, Gpu, KernelTarget};
pub use reservation::{ReservationPlan, plan_reservation};
pub use tensor_frame::{copy_to_host, frame_from_tensor, frame_tensor, uploader};

use posebook_core::memory::live::{DeviceMemory, GpuMemory, MemoryPool};
use std::fmt;

/// Where networks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The processor.
    Cpu,
    /// The GPU of this index, in the driver's order.
    Cuda(usize),
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            DeviceChoice::Cpu => write!(f, "cpu"),
            DeviceChoice::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

/// Parses a device setting; `None` is `auto`.
///
/// # Errors
/// If it is neither `auto` nor `cpu` nor a GPU such as `cuda:0`.
pub fn parse(text: &str) -> Result<Option<DeviceChoice>, DeviceError> {
    let unknown = || DeviceError::Unknown { device: text.to_string() };
    match text {
        "auto" => Ok(None),
        "cpu" => Ok(Some(DeviceChoice::Cpu)),
        _ => {
            let number = text.strip_prefix("cuda:").ok_or_else(unknown)?;
            // the driver's indices are positive `i32`; signs and spaces are refused
            let is_digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            let index = number.parse::<i32>().ok().filter(|_| is_digits).ok_or_else(unknown)?;
            Ok(Some(DeviceChoice::Cuda(index as usize)))
        }
    }
}

/// The device that a setting selects, and its GPU; `auto` selects the first GPU that this build runs on, else the
/// CPU. Nothing is opened and no memory is allocated.
///
/// # Errors
/// If a GPU was selected by its index and cannot be used. The message says why.
pub fn resolve(text: &str) -> Result<(DeviceChoice, Option<Gpu>), DeviceError> {
    match parse(text)? {
        Some(DeviceChoice::Cpu) => Ok((DeviceChoice::Cpu, None)),
        Some(DeviceChoice::Cuda(index)) => {
            cuda::find_gpu(index).map(|gpu| (DeviceChoice::Cuda(index), Some(gpu)))
        }
        None => {
            let gpu = first_usable(list_gpus());
            Ok(gpu.map_or((DeviceChoice::Cpu, None), |gpu| (DeviceChoice::Cuda(gpu.index), Some(gpu))))
        }
    }
}

/// Every GPU of this machine; an error for those that this build cannot use.
///
/// # Errors
/// If the build has no CUDA, or there is no working driver.
pub fn list_gpus() -> Result<Vec<Result<Gpu, DeviceError>>, DeviceError> {
    cuda::list_gpus()
}

impl GpuMemory for DeviceHandle {
    fn pool(&self) -> Option<MemoryPool> {
        DeviceHandle::pool(self)
    }

    fn memory(&self) -> Option<DeviceMemory> {
        DeviceHandle::memory(self)
    }
}

fn first_usable(gpus: Result<Vec<Result<Gpu, DeviceError>>, DeviceError>) -> Option<Gpu> {
    gpus.ok()?.into_iter().find_map(Result::ok)
}

/// Opens a device. On a GPU all work of all threads goes to one stream, and the pool keeps freed memory until the
/// process ends or [`DeviceHandle::trim`] returns it to the driver.
///
/// # Errors
/// If the GPU cannot be used, has no memory left for a context, or a library is missing.
pub fn open(choice: &DeviceChoice) -> Result<candle_core::Device, DeviceError> {
    match choice {
        DeviceChoice::Cpu => Ok(candle_core::Device::Cpu),
        DeviceChoice::Cuda(index) => cuda::open(*index),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn h100(index: usize) -> Gpu {
        Gpu {
            index,
            name: "NVIDIA H100 80GB HBM3".into(),
            uuid: "GPU-0".into(),
            capability: ComputeCapability { major: 9, minor: 0 },
            total_bytes: 80 << 30,
            driver: None,
            cuda: CudaVersion { major: 13, minor: 0 },
        }
    }

    #[test]
    fn device_names_are_parsed_and_printed_alike() {
        assert_eq!(parse("auto"), Ok(None));
        for choice in [DeviceChoice::Cpu, DeviceChoice::Cuda(0), DeviceChoice::Cuda(7)] {
            assert_eq!(parse(&choice.to_string()), Ok(Some(choice)));
        }
        for wrong in
            ["", "gpu", "cuda", "cuda:", "cuda:-1", "cuda:+1", "cuda: 0", "cuda:x", "cuda:99999999999", "CPU"]
        {
            assert_eq!(parse(wrong), Err(DeviceError::Unknown { device: wrong.into() }), "{wrong}");
        }
    }

    #[test]
    fn auto_selects_the_first_usable_gpu() {
        let other = || Err(DeviceError::NoGpu { index: 0, count: 0 });
        assert_eq!(first_usable(Ok(vec![other(), Ok(h100(1)), Ok(h100(2))])), Some(h100(1)));
        assert_eq!(first_usable(Ok(vec![other()])), None);
        assert_eq!(first_usable(Err(DeviceError::NoDriver { reason: "nothing".into() })), None);
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_build_without_cuda_says_so_in_one_line() {
        assert_eq!(resolve("auto"), Ok((DeviceChoice::Cpu, None)));
        assert!(matches!(open(&DeviceChoice::Cpu), Ok(candle_core::Device::Cpu)));
        let message = resolve("cuda:0").unwrap_err().to_string();
        assert!(message.contains("cuda:0") && message.contains("just build-cuda"), "{message}");
        assert_eq!(message.lines().count(), 1);
        assert_eq!(open(&DeviceChoice::Cuda(0)).unwrap_err().to_string(), message);
    }
}
