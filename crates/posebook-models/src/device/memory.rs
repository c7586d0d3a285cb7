//! Opens a device and splits the GPU memory of a process into its parts.
//!
//! A process holds GPU memory of three kinds: the *pool* that tensors are allocated from, which reports its used and
//! its reserved bytes; the CUDA *context*, a fixed cost of opening the GPU; and *workspaces*, which libraries and
//! kernel code allocate when they are first used. Only the pool reports its size; [`split_process_memory`] derives the
//! others as differences.

use super::{DeviceChoice, DeviceError, DeviceHandle, Gpu};
use candle_core::Device;
use posebook_core::memory::gpu::{GpuSample, GpuSampler};

/// An opened device with its memory readings.
pub struct OpenedDevice {
    /// The device for candle.
    pub device: Device,
    /// Reads the GPU's pool; `None` for the CPU.
    pub handle: Option<DeviceHandle>,
    /// Queries the GPU by the driver; `None` for the CPU and where the driver cannot be queried.
    pub sampler: Option<GpuSampler>,
    /// GPU memory taken by opening the device; `None` for the CPU and where the driver does not report it.
    pub context_bytes: Option<u64>,
    /// A sentence about processes that held memory of the GPU before.
    pub other_processes: Option<String>,
}

/// Opens `choice` and measures the memory of its context. `gpu` is what [`super::resolve`] returned with it.
///
/// # Errors
/// As [`super::open`].
pub fn open(choice: &DeviceChoice, gpu: Option<&Gpu>) -> Result<OpenedDevice, DeviceError> {
    let sampler = gpu.and_then(|gpu| GpuSampler::open(&gpu.uuid));
    let before = sampler.as_ref().map(GpuSampler::sample).unwrap_or_default();
    let device = super::open(choice)?;
    let handle = DeviceHandle::from_device(&device);
    if let Some(handle) = &handle {
        handle.synchronize();
    }
    let after = sampler.as_ref().map(GpuSampler::sample).unwrap_or_default();
    let reserved_bytes = handle.as_ref().and_then(DeviceHandle::pool).map(|pool| pool.reserved_bytes);
    let context_bytes = reserved_bytes.and_then(|reserved| measure_context(&before, &after, reserved));
    Ok(OpenedDevice {
        device,
        handle,
        sampler,
        context_bytes,
        other_processes: before.describe_other_processes(&choice.to_string()),
    })
}

/// Memory of a CUDA context: by the driver's value for this process, or else by the growth of the GPU's used memory.
fn measure_context(before: &GpuSample, after: &GpuSample, reserved_bytes: u64) -> Option<u64> {
    let own = after.process_bytes(std::process::id());
    let more = || after.used_bytes?.checked_sub(before.used_bytes?);
    own.or_else(more)?.checked_sub(reserved_bytes)
}

/// GPU memory of a process, in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GpuMemoryParts {
    /// All of it, without the reservation that emulates a smaller GPU.
    pub process_bytes: Option<u64>,
    /// What belongs neither to the pool nor to the context.
    pub workspace_bytes: Option<u64>,
}

/// Splits the driver's value for a process. The reservation is subtracted. A part is `None` where the difference is
/// negative: the values were read at slightly different times.
pub fn split_process_memory(
    driver_bytes: Option<u64>,
    reservation_bytes: u64,
    reserved_bytes: Option<u64>,
    context_bytes: Option<u64>,
) -> GpuMemoryParts {
    let process_bytes = driver_bytes.and_then(|bytes| bytes.checked_sub(reservation_bytes));
    let outside_pool =
        process_bytes.zip(reserved_bytes).and_then(|(process, pool)| process.checked_sub(pool));
    let workspace_bytes =
        outside_pool.zip(context_bytes).and_then(|(outside, context)| outside.checked_sub(context));
    GpuMemoryParts { process_bytes, workspace_bytes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_core::memory::gpu::GpuProcess;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_cpu_has_no_gpu_memory() {
        let opened = open(&DeviceChoice::Cpu, None).unwrap();
        assert!(matches!(opened.device, Device::Cpu));
        assert!(opened.handle.is_none() && opened.sampler.is_none());
        assert_eq!((opened.context_bytes, opened.other_processes), (None, None));
    }

    #[test]
    fn the_context_is_measured_by_the_process_or_else_by_the_whole_gpu() {
        let own = GpuProcess { process: std::process::id(), bytes: Some(520 * MIB) };
        let sample =
            |processes: Option<Vec<GpuProcess>>, used: Option<u64>| GpuSample { processes, used_bytes: used };
        let before = sample(Some(vec![]), Some(10 * MIB));
        let with_process = sample(Some(vec![own]), Some(700 * MIB));
        assert_eq!(measure_context(&before, &with_process, 2 * MIB), Some(518 * MIB));
        let without_process = sample(Some(vec![]), Some(530 * MIB));
        assert_eq!(measure_context(&before, &without_process, 0), Some(520 * MIB));
        assert_eq!(measure_context(&GpuSample::default(), &GpuSample::default(), 0), None);
        // another process freed memory between the two samples: unknown
        assert_eq!(measure_context(&sample(None, Some(600 * MIB)), &sample(None, Some(500 * MIB)), 0), None);
    }

    #[test]
    fn parts_sum_to_the_process() {
        let whole = split_process_memory(Some(3000 * MIB), 500 * MIB, Some(1900 * MIB), Some(520 * MIB));
        assert_eq!((whole.process_bytes, whole.workspace_bytes), (Some(2500 * MIB), Some(80 * MIB)));
        assert_eq!(
            split_process_memory(None, 500 * MIB, Some(1), Some(1)),
            GpuMemoryParts { process_bytes: None, workspace_bytes: None }
        );
        assert_eq!(split_process_memory(Some(5), 0, Some(1), None).workspace_bytes, None);
        // the reservation exceeds what the process holds
        assert_eq!(split_process_memory(Some(5), 7, None, None).process_bytes, None);
    }
}
