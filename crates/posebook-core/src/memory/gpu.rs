//! GPU memory as the driver reports it, by NVML (the library behind `nvidia-smi`).
//!
//! NVML needs no CUDA context and takes no memory on the GPU, so one process can query the memory of another.
//! What cannot be queried is `None`, never zero: NVML may be missing, and a container that does not share the host's
//! process ids sees no processes.

/// A process with a context on a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GpuProcess {
    /// Process id.
    pub process: u32,
    /// Everything it holds on the GPU (context, pools, workspaces); `None` where the driver does not report it.
    pub bytes: Option<u64>,
}

/// Memory of one GPU at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GpuSample {
    /// Processes with a context; `None` where the driver does not report them.
    pub processes: Option<Vec<GpuProcess>>,
    /// Memory in use by all processes, without the driver's own share.
    pub used_bytes: Option<u64>,
}

impl GpuSample {
    /// Memory held by one process, summed over its entries: on a GPU divided by MIG a process may have several.
    pub fn process_bytes(&self, process: u32) -> Option<u64> {
        let own = self.processes.iter().flatten().filter(|entry| entry.process == process);
        own.map(|entry| entry.bytes).reduce(|a, b| Some(a? + b?)).flatten()
    }

    /// A sentence about the processes on the GPU; `None` if there are none. Where processes are not reported, memory
    /// in use above the level of an idle GPU is taken as evidence of one.
    pub fn describe_other_processes(&self, device: &str) -> Option<String> {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let processes = self.processes.as_deref().unwrap_or_default();
        let known: u64 = processes.iter().filter_map(|entry| entry.bytes).sum();
        match processes {
            [] => {
                let used = self.used_bytes.filter(|&bytes| bytes > IDLE_BYTES)?;
                Some(format!("{} MiB of {device} were in use before the run began", mib(used)))
            }
            [one] => {
                let process = one.process;
                Some(format!("process {process} held {} MiB of {device} when the run began", mib(known)))
            }
            several => {
                let count = several.len();
                Some(format!(
                    "{count} other processes held {} MiB of {device} when the run began",
                    mib(known)
                ))
            }
        }
    }
}

/// An idle GPU reports up to this much memory as used.
const IDLE_BYTES: u64 = 64 << 20;

/// Queries the memory of one GPU.
pub struct GpuSampler {
    #[cfg(feature = "nvml")]
    gpu: nvml_wrapper::Device<'static>,
    #[cfg(not(feature = "nvml"))]
    never: std::convert::Infallible,
}

#[cfg(feature = "nvml")]
mod nvml {
    use super::{GpuProcess, GpuSample, GpuSampler};
    use nvml_wrapper::Nvml;
    use nvml_wrapper::enums::device::UsedGpuMemory;
    use nvml_wrapper::struct_wrappers::device::ProcessInfo;
    use std::ffi::OsStr;
    use std::sync::OnceLock;

    /// The library, loaded at the first query and never unloaded: device handles borrow from it.
    static LIBRARY: OnceLock<Option<Nvml>> = OnceLock::new();

    fn library() -> Option<&'static Nvml> {
        // the name without a version belongs to development packages, which a machine that only runs may lack
        let open =
            || Nvml::builder().lib_path(OsStr::new("libnvidia-ml.so.1")).init().or_else(|_| Nvml::init());
        LIBRARY.get_or_init(|| open().ok()).as_ref()
    }

    impl GpuSampler {
        /// Opens the GPU with this UUID; `None` where NVML is missing or does not know it.
        pub fn open(uuid: &str) -> Option<GpuSampler> {
            let library = library()?;
            // a MIG slice has the same digits behind another prefix
            let slice = uuid.replacen("GPU-", "MIG-", 1);
            let gpu = library.device_by_uuid(uuid).or_else(|_| library.device_by_uuid(slice)).ok()?;
            Some(GpuSampler { gpu })
        }

        /// Queries the GPU once.
        pub fn sample(&self) -> GpuSample {
            let entry = |process: ProcessInfo| GpuProcess {
                process: process.pid,
                bytes: match process.used_gpu_memory {
                    UsedGpuMemory::Used(bytes) => Some(bytes),
                    UsedGpuMemory::Unavailable => None,
                },
            };
            let gpu = &self.gpu;
            GpuSample {
                processes: gpu
                    .running_compute_processes()
                    .ok()
                    .map(|all| all.into_iter().map(entry).collect()),
                used_bytes: gpu.memory_info().ok().map(|memory| memory.used),
            }
        }
    }
}

#[cfg(not(feature = "nvml"))]
impl GpuSampler {
    /// `None`: a build without the feature `nvml` queries no GPU.
    pub fn open(_: &str) -> Option<GpuSampler> {
        None
    }

    /// Never called: there is no value of this type in a build without the feature `nvml`.
    pub fn sample(&self) -> GpuSample {
        match self.never {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu_process(process: u32, mib: u64) -> GpuProcess {
        GpuProcess { process, bytes: Some(mib << 20) }
    }

    #[test]
    fn memory_of_a_process_is_the_sum_of_its_entries() {
        let processes = vec![gpu_process(7, 500), gpu_process(9, 30), gpu_process(9, 12)];
        let sample = GpuSample { processes: Some(processes), used_bytes: None };
        assert_eq!(sample.process_bytes(7), Some(500 << 20));
        assert_eq!(sample.process_bytes(9), Some(42 << 20));
        assert_eq!(sample.process_bytes(8), None);
        let unreported = vec![GpuProcess { process: 7, bytes: None }];
        let unreported = GpuSample { processes: Some(unreported), used_bytes: Some(5) };
        assert_eq!(unreported.process_bytes(7), None);
        assert_eq!(GpuSample::default().process_bytes(7), None);
    }

    #[test]
    fn other_processes_are_described_as_far_as_they_are_known() {
        let sample = |processes: &[GpuProcess], used_mib: u64| GpuSample {
            processes: Some(processes.to_vec()),
            used_bytes: Some(used_mib << 20),
        };
        let described = |sample: GpuSample| sample.describe_other_processes("cuda:0");
        assert_eq!(described(sample(&[], 4)), None);
        assert_eq!(described(GpuSample::default()), None);
        assert_eq!(
            described(sample(&[], 700)).unwrap(),
            "700 MiB of cuda:0 were in use before the run began"
        );
        let one = described(sample(&[gpu_process(7, 500)], 504)).unwrap();
        assert_eq!(one, "process 7 held 500 MiB of cuda:0 when the run began");
        let two = described(sample(&[gpu_process(7, 500), gpu_process(8, 20)], 524)).unwrap();
        assert_eq!(two, "2 other processes held 520 MiB of cuda:0 when the run began");
    }

    #[test]
    #[cfg(not(feature = "nvml"))]
    fn a_build_without_nvml_opens_no_gpu() {
        assert!(GpuSampler::open("GPU-00000000-0000-0000-0000-000000000000").is_none());
    }
}
