//! The device of a run: resolves it for planning, then opens it, applies `limits.device_mib` and measures GPU memory.
//!
//! On the CPU there is nothing to open, and all GPU metrics stay `None`.

use crate::experiment::Settings;
use crate::runner::RunnerError;
use crate::runner::job::JobSpec;
use candle_core::Device;
use posebook_core::memory::gpu::GpuSampler;
use posebook_core::memory::live::MemoryPool;
use posebook_core::memory::live::Publisher;
use posebook_models::device::kernels::{KernelGroup, require};
use posebook_models::device::memory::{OpenedDevice, open, split_process_memory};
use posebook_models::device::{
    self, DeviceChoice, DeviceError, Gpu, GpuErrorKind, Reservation, ReservationPlan, plan_reservation,
};
use posebook_models::hmr2::Attention;
use posebook_notebook::tables::metrics::GpuMemory;
use posebook_video::{Extract, Mode, Store};

/// The device that a run is assigned to.
#[derive(Debug, Clone)]
pub struct DevicePlacement {
    /// What `auto` resolved to; as written if the device is unavailable.
    pub device: String,
    /// The GPU; `None` on the CPU.
    pub gpu: Option<Gpu>,
    /// Why the device is unavailable.
    pub unavailable: Option<DeviceError>,
}

impl DevicePlacement {
    /// Resolves the device of these settings. A device without the requested attention kernels is unavailable.
    pub fn resolve(settings: &Settings) -> DevicePlacement {
        let device = &settings.device;
        let has_kernels = |choice: &DeviceChoice| match settings.hmr2.attention {
            Attention::Flash => require(KernelGroup::FlashAttention, choice),
            Attention::Plain => Ok(()),
        };
        let resolved = device::resolve(device);
        match resolved.and_then(|(choice, gpu)| has_kernels(&choice).map(|()| (choice, gpu))) {
            Ok((choice, gpu)) => DevicePlacement { device: choice.to_string(), gpu, unavailable: None },
            Err(error) => DevicePlacement { device: device.to_string(), gpu: None, unavailable: Some(error) },
        }
    }
}

/// Why a run is skipped where `auto` resolved to the CPU, as a phrase that follows "runs that would": it measures GPU
/// memory, so a failed row would be misleading. `None` if it can run, or if the device was requested by name.
pub fn gpu_requirement(settings: &Settings, placement: &DevicePlacement) -> Option<&'static str> {
    let auto = matches!(device::parse(&settings.device), Ok(None));
    if !auto || placement.gpu.is_some() || placement.unavailable.is_some() {
        return None;
    }
    let mode = settings.video.mode();
    let stores_on_gpu = matches!(mode, Ok(Mode::Extract(Extract { store: Store::Device, .. })));
    (stores_on_gpu || settings.limits.device_mib.is_some()).then_some("need a GPU")
}

/// The opened device of a running run, with its memory limit.
pub struct DeviceSession {
    name: String,
    limit_mib: Option<u64>,
    opened: OpenedDevice,
    reservation: Option<Reservation>,
    remarks: Vec<String>,
}

impl DeviceSession {
    /// Opens the job's device, measures the memory of the context, and reserves what exceeds the limit.
    ///
    /// # Errors
    /// If the device is unavailable, or the context alone exceeds the limit.
    pub fn open(
        job: &JobSpec,
        publisher: &Publisher,
        metrics: &mut GpuMemory,
    ) -> Result<DeviceSession, RunnerError> {
        let (choice, gpu) = device::resolve(&job.device)?;
        let opened = open(&choice, gpu.as_ref())?;
        metrics.device_context_bytes = opened.context_bytes;
        let limit_mib = job.settings.limits.device_mib;
        let remarks = opened.other_processes.iter().cloned().collect();
        let mut session =
            DeviceSession { name: choice.to_string(), limit_mib, opened, reservation: None, remarks };
        if let Some(handle) = &session.opened.handle {
            handle.reset_peaks();
            publisher.set_gpu(Box::new(handle.clone()));
        }
        session.apply_limit()?;
        metrics.device_ballast_bytes = session.reservation.as_ref().map(Reservation::bytes);
        // so that the supervisor can subtract the reservation from the process' memory
        publisher.set_reservation_bytes(metrics.device_ballast_bytes.unwrap_or(0));
        Ok(session)
    }

    /// Reserves GPU memory so that only the limit remains free.
    fn apply_limit(&mut self) -> Result<(), RunnerError> {
        let (Some(limit_mib), Some(handle)) = (self.limit_mib, &self.opened.handle) else { return Ok(()) };
        let name = &self.name;
        let Some(memory) = handle.memory() else {
            let reason =
                "the driver does not report free memory, so that limits.device_mib cannot be applied".into();
            return Err(DeviceError::Failed { device: name.clone(), reason }.into());
        };
        let held_bytes = self.driver_bytes().or(self.opened.context_bytes);
        if held_bytes.is_none() {
            self.remarks.push(format!(
                "the driver does not report the memory of the context on {name}: limits.device_mib does not include it"
            ));
        }
        match plan_reservation(limit_mib, held_bytes, memory.free_bytes)? {
            ReservationPlan::LeaveFree { bytes } => self.reservation = Some(handle.reserve(bytes)?),
            ReservationPlan::NotNeeded { free_bytes, allowed_bytes } => self.remarks.push(format!(
                "{} MiB of {name} were free, less than the {} that limits.device_mib allows next to the context",
                mib(free_bytes),
                mib(allowed_bytes)
            )),
        }
        Ok(())
    }

    /// The device for tensors.
    pub fn device(&self) -> &Device {
        &self.opened.device
    }

    /// Remarks for the run's row.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// Records the peak of loading the models, frees cached memory, and restarts peak counting. Called once after loading.
    pub fn after_model_load(&self, metrics: &mut GpuMemory) {
        let Some(handle) = &self.opened.handle else { return };
        handle.trim();
        let pool = handle.pool();
        metrics.device_setup_peak_bytes = pool.map(|pool| pool.used_peak_bytes);
        metrics.device_base_bytes = pool.map(|pool| pool.used_bytes);
        handle.reset_peaks();
    }

    /// Records the peaks at the end of the run, also of a failed one. A lost GPU reports nothing: its metrics stay `None`.
    pub fn record_peaks(&self, metrics: &mut GpuMemory) {
        let Some(handle) = &self.opened.handle else { return };
        handle.synchronize();
        let pool = handle.pool();
        let reservation_bytes = self.reservation.as_ref().map_or(0, Reservation::bytes);
        let reserved_bytes = pool.map(|pool| pool.reserved_bytes);
        let held = split_process_memory(
            self.driver_bytes(),
            reservation_bytes,
            reserved_bytes,
            self.opened.context_bytes,
        );
        metrics.device_peak_bytes = pool.map(|pool| pool.used_peak_bytes);
        metrics.device_reserved_peak_bytes = pool.map(|pool| pool.reserved_peak_bytes);
        metrics.device_process_peak_bytes = held.process_bytes;
        metrics.device_workspace_bytes = held.workspace_bytes;
    }

    /// GPU memory of this process according to the driver, reservation included.
    fn driver_bytes(&self) -> Option<u64> {
        self.opened.sampler.as_ref().map(GpuSampler::sample)?.process_bytes(std::process::id())
    }

    /// Classifies an error of the run: an exhausted or lost GPU becomes its own variant.
    pub fn explain_error(&self, error: RunnerError) -> RunnerError {
        let Some(handle) = &self.opened.handle else { return error };
        let total_mib = handle.memory().map(|memory| mib(memory.total_bytes));
        explain(error, &self.name, self.limit_mib, handle.pool(), total_mib)
    }
}

fn explain(
    error: RunnerError,
    device: &str,
    limit_mib: Option<u64>,
    pool: Option<MemoryPool>,
    total_mib: Option<u64>,
) -> RunnerError {
    // device errors are classified already
    if matches!(error, RunnerError::Device(_)) {
        return error;
    }
    let text = error.to_string();
    let reason = text.lines().next().unwrap_or_default().to_string();
    let device = device.to_string();
    match GpuErrorKind::from_message(&text) {
        Some(GpuErrorKind::OutOfMemory) => {
            let held = pool.map_or_else(String::new, |pool| {
                let (used, reserved) = (mib(pool.used_peak_bytes), mib(pool.reserved_peak_bytes));
                format!(", where tensors held up to {used} MiB and the pool {reserved}")
            });
            let of = match (limit_mib, total_mib) {
                (Some(limit), _) => format!(" of the {limit} MiB of limits.device_mib"),
                (None, Some(total)) => format!(" of the GPU's {total} MiB"),
                (None, None) => String::new(),
            };
            RunnerError::GpuOutOfMemory { device, held: format!("{held}{of}"), reason }
        }
        Some(GpuErrorKind::Lost) => RunnerError::GpuLost { device, reason },
        Some(
            GpuErrorKind::NoDriver
            | GpuErrorKind::NoLibrary
            | GpuErrorKind::WrongKernels
            | GpuErrorKind::Other,
        )
        | None => error,
    }
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network_error(message: &str) -> RunnerError {
        RunnerError::Model(candle_core::Error::Msg(message.into()).into())
    }

    fn settings_on(device: &str) -> Settings {
        let table = toml::Table::from_iter([("dataset".to_string(), "walkers".into())]);
        Settings { device: device.into(), ..Settings::from_table(table).unwrap() }
    }

    #[test]
    fn flash_attention_without_its_kernels_is_an_error() {
        let mut settings = settings_on("cpu");
        settings.hmr2.attention = Attention::Flash;
        let unavailable = DevicePlacement::resolve(&settings).unavailable.unwrap().to_string();
        assert!(unavailable.contains("flash-attn"), "{unavailable}");
    }

    #[test]
    fn the_cpu_is_available_and_unknown_devices_are_not() {
        let placement = DevicePlacement::resolve(&settings_on("cpu"));
        assert_eq!((placement.device.as_str(), placement.gpu, placement.unavailable), ("cpu", None, None));
        let unavailable = DevicePlacement::resolve(&settings_on("gpu")).unavailable.unwrap();
        assert_eq!(unavailable.to_string(), "unknown device `gpu`; there are `auto`, `cpu` and `cuda:0`");
    }

    #[test]
    fn runs_that_need_a_gpu_are_skipped_where_auto_is_the_cpu() {
        let on_cpu = DevicePlacement { device: "cpu".into(), gpu: None, unavailable: None };
        let mut settings = settings_on("auto");
        assert_eq!(gpu_requirement(&settings, &on_cpu), None);
        settings.limits.device_mib = Some(1024);
        assert_eq!(gpu_requirement(&settings, &on_cpu), Some("need a GPU"));
        settings.limits.device_mib = None;
        settings.video.mode = Some(Mode::extract(Store::Device));
        assert!(gpu_requirement(&settings, &on_cpu).is_some());
        // a CPU requested by name is an error of the run
        settings.device = "cpu".into();
        assert_eq!(gpu_requirement(&settings, &on_cpu), None);
    }

    #[test]
    fn gpu_errors_are_classified() {
        let pool = MemoryPool {
            used_bytes: 0,
            reserved_bytes: 0,
            used_peak_bytes: 1500 << 20,
            reserved_peak_bytes: 1600 << 20,
        };
        let full =
            || network_error("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")\n   0: backtrace");
        let error = explain(full(), "cuda:0", Some(2048), Some(pool), Some(81_559));
        assert!(error.is_out_of_memory());
        assert_eq!(
            error.to_string(),
            "out of memory on cuda:0, where tensors held up to 1500 MiB and the pool 1600 of the 2048 MiB of \
             limits.device_mib: lower hmr2.batch, or allow more (the network failed: \
             DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\"))"
        );
        let error = explain(full(), "cuda:0", None, None, Some(81_559)).to_string();
        assert!(error.starts_with("out of memory on cuda:0 of the GPU's 81559 MiB: "), "{error}");
        let lost =
            explain(network_error("DriverError(CUDA_ERROR_UNKNOWN, \"?\")"), "cuda:1", None, None, None);
        assert!(!lost.is_out_of_memory());
        assert!(lost.to_string().contains("cuda:1 is lost to this process"), "{lost}");
        assert_eq!(lost.to_string().lines().count(), 1);
        let other = explain(network_error("shapes differ"), "cuda:0", None, Some(pool), None);
        assert_eq!(other.to_string(), "the network failed: shapes differ");
    }
}
