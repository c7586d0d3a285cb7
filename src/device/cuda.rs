//! All calls of the CUDA driver. What it answers is judged elsewhere.
//!
//! Nothing here opens a card but [`open`]: cards are counted and described without a context, which
//! would take half a gigabyte of the very memory that is to be measured.

use super::card::{Answers, Card, CardAnswer, Target, judge, pick};
use super::{DeviceError, Pool, Room, budget};
use candle_core::Device;
use candle_core::cuda_backend::cudarc::driver::{CudaContext, DriverError, result, sys};
use candle_core::cuda_backend::kernels;
use std::sync::Arc;

/// Where the kernel's module of the driver says its version.
const MODULE: &str = "/proc/driver/nvidia/version";
/// Where the system says which libraries are loaded.
const MAPS: &str = "/proc/self/maps";

pub fn cards() -> Result<Vec<Result<Card, DeviceError>>, DeviceError> {
    judge(&ask(), target().as_ref())
}

pub fn card(index: usize) -> Result<Card, DeviceError> {
    pick(cards()?, index)
}

/// What the kernels of this build are for, by their own text.
pub fn target() -> Option<Target> {
    Target::of_ptx(kernels::AFFINE.ptx())
}

/// Opens a card: candle on a stream of its own, so that work is in order whichever thread it comes from.
pub fn open(index: usize) -> Result<Device, DeviceError> {
    card(index)?;
    let failed = |error: &dyn std::fmt::Display| DeviceError::of_opening(index, &error.to_string());
    let device = Device::new_cuda_with_stream(index).map_err(|error| failed(&error))?;
    let cuda = device.as_cuda_device().map_err(|error| failed(&error))?;
    #[expect(unsafe_code, reason = "candle asks for it: two events for each tensor are for several streams")]
    // SAFETY: the device has one stream, made above, and all its tensors live on it.
    unsafe {
        cuda.disable_event_tracking();
    }
    let handle = Handle { context: Arc::clone(cuda.cuda_stream().context()) };
    handle.keep_what_is_freed().map_err(|error| failed(&error))?;
    Ok(device)
}

/// Asks the driver all that can be asked without opening a card.
#[expect(unsafe_code, reason = "the driver is a C library")]
fn ask() -> Answers {
    let started = result::init();
    let mut version = 0;
    // SAFETY: the driver writes one number there, and may be asked even where it does not start.
    let asked = unsafe { sys::cuDriverGetVersion(&raw mut version) };
    let cards = asked.result().and(started).and_then(|()| {
        let count = result::device::get_count()?;
        (0..count).map(describe).collect::<Result<Vec<_>, _>>()
    });
    let (number, name, cards) = match cards {
        Ok(cards) => (0, "CUDA_SUCCESS".to_string(), cards),
        Err(DriverError(status)) => (status as u32, format!("{status:?}"), Vec::new()),
    };
    let text = |path| std::fs::read_to_string(path).ok();
    Answers { started: number, started_name: name, version, cards, module: text(MODULE), maps: text(MAPS) }
}

#[expect(unsafe_code, reason = "the driver is a C library")]
fn describe(index: i32) -> Result<CardAnswer, DriverError> {
    use sys::CUdevice_attribute_enum as Attribute;
    let device = result::device::get(index)?;
    // SAFETY: the device was given by the driver just now.
    let attribute = |which| unsafe { result::device::get_attribute(device, which) };
    Ok(CardAnswer {
        name: result::device::get_name(device)?,
        uuid: result::device::get_uuid(device)?.bytes.map(|byte| byte as u8),
        major: attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
        minor: attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        // SAFETY: as above.
        total_bytes: unsafe { result::device::total_mem(device) }? as u64,
    })
}

/// An opened card, to be asked about its memory from any thread.
#[derive(Clone)]
pub struct Handle {
    context: Arc<CudaContext>,
}

impl Handle {
    /// The card under a candle device; `None` for the CPU.
    pub fn of(device: &Device) -> Option<Handle> {
        let cuda = device.as_cuda_device().ok()?;
        Some(Handle { context: Arc::clone(cuda.cuda_stream().context()) })
    }

    /// What the pool holds, and the most that it held since the marks were set back.
    pub fn pool(&self) -> Option<Pool> {
        use sys::CUmemPool_attribute_enum as Attribute;
        let read = |which| self.pool_attribute(which).ok();
        Some(Pool {
            used_bytes: read(Attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT)?,
            reserved_bytes: read(Attribute::CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT)?,
            used_peak_bytes: read(Attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH)?,
            reserved_peak_bytes: read(Attribute::CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH)?,
        })
    }

    /// Lets the pool's marks begin again from what it holds now.
    pub fn reset_marks(&self) {
        use sys::CUmemPool_attribute_enum as Attribute;
        for mark in [Attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH, Attribute::CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH] {
            // a mark that cannot be set back stays higher than it need be
            let _ = self.set_pool_attribute(mark, 0);
        }
    }

    /// What is free on the card, and how large it is, all processes together.
    pub fn room(&self) -> Option<Room> {
        self.bind().ok()?;
        let (free, total) = result::mem_get_info().ok()?;
        Some(Room { free_bytes: free as u64, total_bytes: total as u64 })
    }

    /// Waits for all work.
    pub fn synchronize(&self) {
        // what the work died of is told to whoever asks for its result
        let _ = self.bind().and_then(|()| result::ctx::synchronize());
    }

    /// Gives back what the pool keeps and nobody uses.
    #[expect(unsafe_code, reason = "the driver is a C library")]
    pub fn trim(&self) {
        self.synchronize();
        // SAFETY: the pool was given by the driver just now. One that cannot be trimmed stays larger.
        let _ = self.driver_pool().and_then(|pool| unsafe { result::mem_pool::trim_to(pool, 0) });
    }

    /// Takes memory outside the pool until `leave_bytes` are free on the card.
    ///
    /// # Errors
    /// If the driver does not say what is free, or refuses for another reason than want of memory.
    #[expect(unsafe_code, reason = "the driver is a C library")]
    pub fn ballast(&self, leave_bytes: u64) -> Result<Ballast, DeviceError> {
        let failed = |error: DriverError| DeviceError::of_opening(self.context.ordinal(), &error.to_string());
        self.bind().map_err(failed)?;
        let mut ballast = Ballast { handle: self.clone(), pieces: Vec::new(), bytes: 0 };
        let free = || result::mem_get_info().map(|(free, _)| free as u64);
        // SAFETY: the memory is never read; the ballast gives it back.
        let take = |bytes: u64| match unsafe { result::malloc_sync(bytes as usize) } {
            Ok(piece) => {
                ballast.pieces.push(piece);
                ballast.bytes += bytes;
                Ok(true)
            }
            Err(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => Ok(false),
            Err(error) => Err(error),
        };
        budget::fill(leave_bytes, free, take).map_err(failed)?;
        Ok(ballast)
    }

    /// The pool gives nothing back by itself: taken anew for every frame, its memory would be mapped and
    /// unmapped at each synchronisation.
    fn keep_what_is_freed(&self) -> Result<(), DriverError> {
        self.set_pool_attribute(sys::CUmemPool_attribute_enum::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, u64::MAX)
    }

    /// Makes the context this thread's own. cudarc's own way of it would take away an error that is kept
    /// for the thread which computes.
    #[expect(unsafe_code, reason = "the driver is a C library")]
    fn bind(&self) -> Result<(), DriverError> {
        // SAFETY: the context lives as long as this handle.
        unsafe { result::ctx::set_current(self.context.cu_ctx()) }
    }

    #[expect(unsafe_code, reason = "the driver is a C library")]
    fn driver_pool(&self) -> Result<sys::CUmemoryPool, DriverError> {
        // SAFETY: the device was given by the driver.
        unsafe { result::device::get_mem_pool(self.context.cu_device()) }
    }

    #[expect(unsafe_code, reason = "the driver is a C library")]
    fn pool_attribute(&self, which: sys::CUmemPool_attribute_enum) -> Result<u64, DriverError> {
        let mut value = 0_u64;
        let pool = self.driver_pool()?;
        // SAFETY: the attributes asked for here are numbers of 64 bits.
        unsafe { result::mem_pool::get_attribute(pool, which, (&raw mut value).cast()) }?;
        Ok(value)
    }

    #[expect(unsafe_code, reason = "the driver is a C library")]
    fn set_pool_attribute(
        &self,
        which: sys::CUmemPool_attribute_enum,
        value: u64,
    ) -> Result<(), DriverError> {
        let mut value = value;
        let pool = self.driver_pool()?;
        // SAFETY: the attributes set here are numbers of 64 bits.
        unsafe { result::mem_pool::set_attribute(pool, which, (&raw mut value).cast()) }
    }
}

/// Memory of a card that is kept from the run until this is dropped.
pub struct Ballast {
    handle: Handle,
    pieces: Vec<sys::CUdeviceptr>,
    bytes: u64,
}

impl Ballast {
    /// How much it is.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Ballast {
    #[expect(unsafe_code, reason = "the driver is a C library")]
    fn drop(&mut self) {
        // a card that is lost has taken the ballast with it
        let _ = self.handle.bind();
        for piece in self.pieces.drain(..) {
            // SAFETY: taken in `Handle::ballast`, and given back once.
            let _ = unsafe { result::free_sync(piece) };
        }
    }
}
