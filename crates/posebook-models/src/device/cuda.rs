//! All calls of the CUDA driver; its reports are checked in [`super::gpu`].
//!
//! Only [`open`] opens a GPU. GPUs are listed without a context, which would take half a gigabyte of the memory that
//! is to be measured.

use super::gpu::{DriverReport, Gpu, GpuProperties, KernelTarget, check_gpus, select_gpu};
use super::{DeviceError, reservation};
use candle_core::Device;
use candle_core::cuda_backend::cudarc::driver::{CudaContext, DriverError, result, sys};
use candle_core::cuda_backend::kernels;
use posebook_core::memory::live::{DeviceMemory, MemoryPool};
use std::sync::Arc;

/// The file with the version of the driver's kernel module.
const MODULE: &str = "/proc/driver/nvidia/version";
/// The file that lists the loaded libraries.
const MAPS: &str = "/proc/self/maps";

/// Every GPU of this machine; an error for those that this build cannot use.
///
/// # Errors
/// If there is no working driver.
pub fn list_gpus() -> Result<Vec<Result<Gpu, DeviceError>>, DeviceError> {
    check_gpus(&query_driver(), target().as_ref())
}

/// The GPU of an index.
///
/// # Errors
/// If there is none, or this build cannot use it.
pub fn find_gpu(index: usize) -> Result<Gpu, DeviceError> {
    select_gpu(list_gpus()?, index)
}

/// The target of this build's kernels, read from their PTX.
pub fn target() -> Option<KernelTarget> {
    KernelTarget::from_ptx(kernels::AFFINE.ptx())
}

/// Opens a GPU: a candle device with its own stream, so that the work of all threads is in order.
///
/// # Errors
/// If the GPU cannot be used, or a context cannot be created.
pub fn open(index: usize) -> Result<Device, DeviceError> {
    find_gpu(index)?;
    let failed = |error: &dyn std::fmt::Display| DeviceError::from_open_failure(index, &error.to_string());
    let device = Device::new_cuda_with_stream(index).map_err(|error| failed(&error))?;
    let cuda = device.as_cuda_device().map_err(|error| failed(&error))?;
    #[expect(
        unsafe_code,
        reason = "candle marks it unsafe: event tracking is needed only with several streams"
    )]
    // SAFETY: the device has one stream, created above, and all its tensors are on it
    unsafe {
        cuda.disable_event_tracking();
    }
    let handle = DeviceHandle { context: Arc::clone(cuda.cuda_stream().context()) };
    handle.retain_freed_memory().map_err(|error| failed(&error))?;
    Ok(device)
}

/// Asks the driver for all that it reports without opening a GPU.
#[expect(unsafe_code, reason = "calls a C library")]
fn query_driver() -> DriverReport {
    let initialized = result::init();
    let mut version = 0;
    // SAFETY: the driver writes one integer; the call is allowed before initialization
    let queried = unsafe { sys::cuDriverGetVersion(&raw mut version) };
    let gpus = queried.result().and(initialized).and_then(|()| {
        let count = result::device::get_count()?;
        (0..count).map(describe).collect::<Result<Vec<_>, _>>()
    });
    let (init_status, init_status_name, gpus) = match gpus {
        Ok(gpus) => (0, "CUDA_SUCCESS".to_string(), gpus),
        Err(DriverError(status)) => (status as u32, format!("{status:?}"), Vec::new()),
    };
    let text = |path| std::fs::read_to_string(path).ok();
    DriverReport { init_status, init_status_name, version, gpus, module: text(MODULE), maps: text(MAPS) }
}

#[expect(unsafe_code, reason = "calls a C library")]
fn describe(index: i32) -> Result<GpuProperties, DriverError> {
    use sys::CUdevice_attribute_enum as Attribute;
    let device = result::device::get(index)?;
    // SAFETY: the device handle comes from the driver
    let attribute = |which| unsafe { result::device::get_attribute(device, which) };
    Ok(GpuProperties {
        name: result::device::get_name(device)?,
        uuid: result::device::get_uuid(device)?.bytes.map(|byte| byte as u8),
        major: attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
        minor: attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        // SAFETY: as above
        total_bytes: unsafe { result::device::total_mem(device) }? as u64,
    })
}

/// An opened GPU, whose memory may be queried from any thread.
#[derive(Clone)]
pub struct DeviceHandle {
    context: Arc<CudaContext>,
}

impl DeviceHandle {
    /// The GPU of a candle device; `None` for the CPU.
    pub fn from_device(device: &Device) -> Option<DeviceHandle> {
        let cuda = device.as_cuda_device().ok()?;
        Some(DeviceHandle { context: Arc::clone(cuda.cuda_stream().context()) })
    }

    /// The state of the memory pool, with the peaks since they were reset; `None` if the driver does not report it.
    pub fn pool(&self) -> Option<MemoryPool> {
        use sys::CUmemPool_attribute_enum as Attribute;
        let read = |which| self.pool_attribute(which).ok();
        Some(MemoryPool {
            used_bytes: read(Attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT)?,
            reserved_bytes: read(Attribute::CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT)?,
            used_peak_bytes: read(Attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH)?,
            reserved_peak_bytes: read(Attribute::CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH)?,
        })
    }

    /// Resets the pool's peaks to its current state.
    pub fn reset_peaks(&self) {
        use sys::CUmemPool_attribute_enum as Attribute;
        for peak in [Attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH, Attribute::CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH] {
            // on failure the peak stays higher than necessary
            let _ = self.set_pool_attribute(peak, 0);
        }
    }

    /// The GPU's memory, over all processes; `None` if the driver does not report it.
    pub fn memory(&self) -> Option<DeviceMemory> {
        self.bind().ok()?;
        let (free, total) = result::mem_get_info().ok()?;
        Some(DeviceMemory { free_bytes: free as u64, total_bytes: total as u64 })
    }

    /// Waits for all work.
    pub fn synchronize(&self) {
        // an error of the work is reported to the caller that reads its result
        let _ = self.bind().and_then(|()| result::ctx::synchronize());
    }

    /// Returns unused memory of the pool to the driver.
    #[expect(unsafe_code, reason = "calls a C library")]
    pub fn trim(&self) {
        self.synchronize();
        // SAFETY: the pool handle comes from the driver. On failure the pool stays larger
        let _ = self.driver_pool().and_then(|pool| unsafe { result::mem_pool::trim_to(pool, 0) });
    }

    /// Reserves memory outside the pool until at most `leave_bytes` are free on the GPU.
    ///
    /// # Errors
    /// If the driver does not report free memory, or an allocation fails for another reason than lack of memory.
    #[expect(unsafe_code, reason = "calls a C library")]
    pub fn reserve(&self, leave_bytes: u64) -> Result<Reservation, DeviceError> {
        let failed =
            |error: DriverError| DeviceError::from_open_failure(self.context.ordinal(), &error.to_string());
        self.bind().map_err(failed)?;
        let mut reservation = Reservation { handle: self.clone(), blocks: Vec::new(), bytes: 0 };
        let free = || result::mem_get_info().map(|(free, _)| free as u64);
        // SAFETY: the memory is never accessed, and freed when the reservation is dropped
        let allocate = |bytes: u64| match unsafe { result::malloc_sync(bytes as usize) } {
            Ok(block) => {
                reservation.blocks.push(block);
                reservation.bytes += bytes;
                Ok(true)
            }
            Err(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => Ok(false),
            Err(error) => Err(error),
        };
        reservation::reserve_until(leave_bytes, free, allocate).map_err(failed)?;
        Ok(reservation)
    }

    /// Makes the pool keep freed memory. Otherwise the memory of every frame would be mapped and unmapped at each
    /// synchronization.
    fn retain_freed_memory(&self) -> Result<(), DriverError> {
        self.set_pool_attribute(sys::CUmemPool_attribute_enum::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, u64::MAX)
    }

    /// Makes the context current on this thread. cudarc's own method would also take an error that is stored for the
    /// computing thread.
    #[expect(unsafe_code, reason = "calls a C library")]
    fn bind(&self) -> Result<(), DriverError> {
        // SAFETY: the context lives as long as this handle
        unsafe { result::ctx::set_current(self.context.cu_ctx()) }
    }

    #[expect(unsafe_code, reason = "calls a C library")]
    fn driver_pool(&self) -> Result<sys::CUmemoryPool, DriverError> {
        // SAFETY: the device handle comes from the driver
        unsafe { result::device::get_mem_pool(self.context.cu_device()) }
    }

    #[expect(unsafe_code, reason = "calls a C library")]
    fn pool_attribute(&self, which: sys::CUmemPool_attribute_enum) -> Result<u64, DriverError> {
        let mut value = 0_u64;
        let pool = self.driver_pool()?;
        // SAFETY: the attributes that are read here are 64-bit integers
        unsafe { result::mem_pool::get_attribute(pool, which, (&raw mut value).cast()) }?;
        Ok(value)
    }

    #[expect(unsafe_code, reason = "calls a C library")]
    fn set_pool_attribute(
        &self,
        which: sys::CUmemPool_attribute_enum,
        value: u64,
    ) -> Result<(), DriverError> {
        let mut value = value;
        let pool = self.driver_pool()?;
        // SAFETY: the attributes that are set here are 64-bit integers
        unsafe { result::mem_pool::set_attribute(pool, which, (&raw mut value).cast()) }
    }
}

/// Reserved GPU memory, freed when this is dropped.
pub struct Reservation {
    handle: DeviceHandle,
    blocks: Vec<sys::CUdeviceptr>,
    bytes: u64,
}

impl Reservation {
    /// Its size.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Reservation {
    #[expect(unsafe_code, reason = "calls a C library")]
    fn drop(&mut self) {
        // on a lost GPU nothing is left to free
        let _ = self.handle.bind();
        for block in self.blocks.drain(..) {
            // SAFETY: allocated in `DeviceHandle::reserve`, and freed once
            let _ = unsafe { result::free_sync(block) };
        }
    }
}
