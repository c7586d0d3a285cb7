//! The interface of `cuda.rs` for a build without CUDA: no GPU is found, and a [`DeviceHandle`] cannot exist.

use super::gpu::{Gpu, KernelTarget};
use super::{DeviceChoice, DeviceError};
use std::convert::Infallible;

fn not_built(index: usize) -> DeviceError {
    DeviceError::NotBuilt { device: DeviceChoice::Cuda(index).to_string() }
}

/// Every GPU of this machine.
///
/// # Errors
/// Always.
pub fn list_gpus() -> Result<Vec<Result<Gpu, DeviceError>>, DeviceError> {
    Err(not_built(0))
}

/// The GPU of an index.
///
/// # Errors
/// Always.
pub fn find_gpu(index: usize) -> Result<Gpu, DeviceError> {
    Err(not_built(index))
}

/// Opens a GPU.
///
/// # Errors
/// Always.
pub fn open(index: usize) -> Result<candle_core::Device, DeviceError> {
    Err(not_built(index))
}

/// The target of this build's kernels: it has none.
pub fn target() -> Option<KernelTarget> {
    None
}

/// An opened GPU; cannot exist in this build.
#[derive(Clone)]
pub struct DeviceHandle {
    none: Infallible,
}

impl DeviceHandle {
    /// The GPU of a candle device.
    pub fn from_device(_: &candle_core::Device) -> Option<DeviceHandle> {
        None
    }

    /// The state of the memory pool.
    pub fn pool(&self) -> Option<posebook_core::memory::live::MemoryPool> {
        match self.none {}
    }

    /// Resets the pool's peaks.
    pub fn reset_peaks(&self) {
        match self.none {}
    }

    /// The GPU's memory.
    pub fn memory(&self) -> Option<posebook_core::memory::live::DeviceMemory> {
        match self.none {}
    }

    /// Waits for all work.
    pub fn synchronize(&self) {
        match self.none {}
    }

    /// Returns unused memory of the pool to the driver.
    pub fn trim(&self) {
        match self.none {}
    }

    /// Reserves memory outside the pool.
    ///
    /// # Errors
    /// Never.
    pub fn reserve(&self, _: u64) -> Result<Reservation, DeviceError> {
        match self.none {}
    }
}

/// Reserved GPU memory; cannot exist in this build.
pub struct Reservation {
    none: Infallible,
}

impl Reservation {
    /// Its size.
    pub fn bytes(&self) -> u64 {
        match self.none {}
    }
}
