//! Which GPUs exist, and whether this build's kernels run on them.
//!
//! In: a [`DriverReport`] of plain values, so that the checks are tested without a GPU, and the kernels'
//! [`KernelTarget`], read from the head of their PTX (`.version`, `.target`). Out: a [`Gpu`] or a [`DeviceError`]
//! each.

use super::DeviceError;
use std::fmt;

/// Driver statuses (`CUresult` of `cuda.h`): success, a stub library instead of the driver, and no GPU.
const SUCCESS: u32 = 0;
const STUB_LIBRARY: u32 = 34;
const NO_DEVICE: u32 = 100;

/// The CUDA 13 libraries, other than the driver, that candle calls.
const LIBRARIES: [&str; 3] = ["libcublas.so.13", "libcublasLt.so.13", "libcurand.so.10"];

/// A CUDA version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct CudaVersion {
    /// 12 of 12.8.
    pub major: u32,
    /// 8 of 12.8.
    pub minor: u32,
}

impl CudaVersion {
    /// From the number of `cuDriverGetVersion`: 1000 * major + 10 * minor.
    pub fn from_driver(number: i32) -> CudaVersion {
        let number = u32::try_from(number).unwrap_or(0);
        CudaVersion { major: number / 1000, minor: number % 1000 / 10 }
    }

    /// The first CUDA whose driver reads PTX of version `major.minor` (table of releases in the PTX manual).
    pub fn for_ptx(major: u32, minor: u32) -> CudaVersion {
        match (major, minor) {
            // PTX 8.0 to 8.5 came with CUDA 12.0 to 12.5; later ones are irregular
            (8, 6) => CudaVersion { major: 12, minor: 7 },
            (8, 7) => CudaVersion { major: 12, minor: 8 },
            (8, 8) => CudaVersion { major: 12, minor: 9 },
            _ => CudaVersion { major: major + 4, minor },
        }
    }
}

impl fmt::Display for CudaVersion {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A GPU's compute capability, such as 9.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct ComputeCapability {
    /// 9 of 9.0.
    pub major: u32,
    /// 0 of 9.0.
    pub minor: u32,
}

impl ComputeCapability {
    /// As compilers write it: 90 for 9.0.
    pub fn digits(self) -> String {
        format!("{}{}", self.major, self.minor)
    }
}

impl fmt::Display for ComputeCapability {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The GPUs that compiled kernels run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelTarget {
    /// The compiler's name of the target, such as `sm_90a`.
    pub name: String,
    /// The capability in that name.
    pub capability: ComputeCapability,
    /// Which other capabilities the kernels run on.
    pub compatibility: Compatibility,
    /// The oldest CUDA version whose driver reads the kernels.
    pub needs: CudaVersion,
}

/// Which GPUs other than those of its own capability a target's kernels run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compatibility {
    /// Newer ones: the driver compiles the kernels for them.
    Forward,
    /// Newer ones of the same major capability (`sm_100f`).
    Family,
    /// None (`sm_90a`).
    Exact,
}

impl fmt::Display for KernelTarget {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let others = match self.compatibility {
            Compatibility::Forward => " and newer",
            Compatibility::Family => " and newer of its family",
            Compatibility::Exact => " only",
        };
        write!(f, "{}{others} ({})", self.capability, self.name)
    }
}

impl KernelTarget {
    /// Reads the head of a kernel's PTX; `None` if version or target are missing.
    pub fn from_ptx(text: &str) -> Option<KernelTarget> {
        let directive = |word: &str| -> Option<&str> {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(word))?;
            line.trim().split([',', ' ']).next()
        };
        let (major, minor) = directive(".version ")?.split_once('.')?;
        let needs = CudaVersion::for_ptx(major.parse().ok()?, minor.parse().ok()?);
        let name = directive(".target ")?;
        let digits = name.strip_prefix("sm_")?;
        let (digits, compatibility) = match (digits.strip_suffix('a'), digits.strip_suffix('f')) {
            (Some(digits), _) => (digits, Compatibility::Exact),
            (_, Some(digits)) => (digits, Compatibility::Family),
            _ => (digits, Compatibility::Forward),
        };
        let number: u32 = digits.parse().ok()?;
        let capability = ComputeCapability { major: number / 10, minor: number % 10 };
        Some(KernelTarget { name: name.to_string(), capability, compatibility, needs })
    }

    /// Whether kernels for this target run on a GPU of capability `has`.
    pub fn runs_on(&self, has: ComputeCapability) -> bool {
        match self.compatibility {
            Compatibility::Forward => has >= self.capability,
            Compatibility::Family => has >= self.capability && has.major == self.capability.major,
            Compatibility::Exact => has == self.capability,
        }
    }
}

/// A GPU that this build's kernels run on.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Gpu {
    /// The number after `cuda:`.
    pub index: usize,
    /// The product name.
    pub name: String,
    /// `GPU-` and a UUID, as NVML identifies it.
    pub uuid: String,
    /// The compute capability.
    pub capability: ComputeCapability,
    /// Total memory.
    pub total_bytes: u64,
    /// The driver's own version, such as `580.65.06`; `None` where it is unknown.
    pub driver: Option<String>,
    /// The CUDA version that the driver supports.
    pub cuda: CudaVersion,
}

impl Gpu {
    /// The driver's version and its CUDA version, for messages.
    pub fn driver_description(&self) -> String {
        let driver = self.driver.as_ref().map_or_else(|| "unknown version".to_string(), Clone::clone);
        format!("{driver}, CUDA {}", self.cuda)
    }
}

/// What the driver reports before any device is opened, in its own values.
#[derive(Debug, Clone, Default)]
pub struct DriverReport {
    /// The status of initializing the driver, a `CUresult`.
    pub init_status: u32,
    /// The name of that status.
    pub init_status_name: String,
    /// `cuDriverGetVersion`; 0 where there is no driver.
    pub version: i32,
    /// One report per GPU.
    pub gpus: Vec<GpuProperties>,
    /// The text of `/proc/driver/nvidia/version`.
    pub module: Option<String>,
    /// The text of `/proc/self/maps`: which libraries are loaded; `None` where there is no such file.
    pub maps: Option<String>,
}

/// What the driver reports of one GPU.
#[derive(Debug, Clone, Default)]
pub struct GpuProperties {
    /// The product name.
    pub name: String,
    /// The bytes of its UUID.
    pub uuid: [u8; 16],
    /// Compute capability, major.
    pub major: i32,
    /// Compute capability, minor.
    pub minor: i32,
    /// Total memory.
    pub total_bytes: u64,
}

/// Checks for each GPU that the kernels for `target` run on it; without a known `target` all are accepted.
///
/// # Errors
/// If there is no working driver, it is too old for the kernels, or a library was not found.
pub fn check_gpus(
    report: &DriverReport,
    target: Option<&KernelTarget>,
) -> Result<Vec<Result<Gpu, DeviceError>>, DeviceError> {
    let driver = report.module.as_deref().and_then(driver_version);
    let cuda = CudaVersion::from_driver(report.version);
    if report.init_status == STUB_LIBRARY || report.version == 0 {
        return Err(DeviceError::NoDriver { reason: format!("libcuda.so.1: {}", report.init_status_name) });
    }
    // an old driver may fail in many ways, so its age is checked before other failures
    if let Some(target) = target.filter(|target| cuda < target.needs) {
        return Err(DeviceError::DriverTooOld { driver, has: cuda, needs: target.needs });
    }
    if report.init_status == NO_DEVICE && driver.is_none() {
        let reason = "its library is installed, but no driver is loaded and no GPU is found";
        return Err(DeviceError::NoDriver { reason: reason.into() });
    }
    if report.init_status != SUCCESS && report.init_status != NO_DEVICE {
        return Err(DeviceError::NoDriver { reason: report.init_status_name.clone() });
    }
    let missing = report.maps.as_deref().map(missing_libraries).unwrap_or_default();
    if !missing.is_empty() && !report.gpus.is_empty() {
        return Err(DeviceError::NoLibrary { reason: format!("not found: {}", missing.join(", ")) });
    }
    let checked = report.gpus.iter().enumerate().map(|(index, answer)| {
        let number = |value: i32| u32::try_from(value).unwrap_or(0);
        let capability = ComputeCapability { major: number(answer.major), minor: number(answer.minor) };
        if let Some(target) = target.filter(|target| !target.runs_on(capability)) {
            let name = answer.name.clone();
            return Err(DeviceError::UnsupportedGpu { index, name, has: capability, needs: target.clone() });
        }
        Ok(Gpu {
            index,
            name: answer.name.clone(),
            uuid: uuid_text(&answer.uuid),
            capability,
            total_bytes: answer.total_bytes,
            driver: driver.clone(),
            cuda,
        })
    });
    Ok(checked.collect())
}

/// Gpu `index` of those judged.
///
/// # Errors
/// If there is no such GPU, or the kernels do not run on it.
pub fn select_gpu(gpus: Vec<Result<Gpu, DeviceError>>, index: usize) -> Result<Gpu, DeviceError> {
    let count = gpus.len();
    gpus.into_iter().nth(index).unwrap_or(Err(DeviceError::NoGpu { index, count }))
}

/// The libraries that candle calls and that are not loaded, from the text of `/proc/self/maps`. They are loaded with
/// the program or with the first driver call, so that by now they are loaded or missing.
fn missing_libraries(maps: &str) -> Vec<&'static str> {
    LIBRARIES.into_iter().filter(|name| !maps.lines().any(|line| is_of_library(line, name))).collect()
}

/// Whether a line of `/proc/self/maps` is of the library `name`, of any minor version.
fn is_of_library(line: &str, name: &str) -> bool {
    let Some((_, file)) = line.rsplit_once('/') else { return false };
    file.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', ' ']))
}

/// The driver's version in the text of `/proc/driver/nvidia/version`: the first word of only digits and dots, as in
/// `NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul 27 ...`.
fn driver_version(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with("NVRM version"))?;
    let is_version = |word: &&str| {
        word.contains('.')
            && word.split('.').all(|part| part.bytes().all(|b| b.is_ascii_digit()) && !part.is_empty())
    };
    line.split_whitespace().find(is_version).map(str::to_string)
}

fn uuid_text(bytes: &[u8; 16]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("GPU-{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const PTX: &str =
        "//\n// Generated by NVIDIA NVVM Compiler\n//\n\n.version 9.0\n.target sm_90a\n.address_size 64\n";
    const MODULE: &str = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  \
                          (dvs-builder@U22-I3)  Sun Jul 27 07:05:54 UTC 2025\nGCC version:  gcc version 12.3.0\n";

    const MAPS: &str = "7f00-7f10 r--p 00000000 08:01 11 /usr/lib/x86_64-linux-gnu/libcuda.so.580.65.06\n\
                        7f10-7f20 r-xp 00000000 08:01 12 /usr/local/cuda/lib64/libcublas.so.13.1.0.3\n\
                        7f20-7f30 r-xp 00000000 08:01 13 /opt/nvidia/cu13/lib/libcublasLt.so.13\n\
                        7f30-7f40 r-xp 00000000 08:01 14 /opt/nvidia/cu13/lib/libcurand.so.10 (deleted)\n\
                        7f40-7f50 rw-p 00000000 00:00 0 [heap]\n";

    fn target() -> KernelTarget {
        KernelTarget::from_ptx(PTX).unwrap()
    }

    fn h100() -> GpuProperties {
        let mut uuid = [0; 16];
        uuid[0] = 0xa1;
        uuid[15] = 0x0f;
        GpuProperties {
            name: "NVIDIA H100 80GB HBM3".into(),
            uuid,
            major: 9,
            minor: 0,
            total_bytes: 85_520_809_984,
        }
    }

    fn report(gpus: Vec<GpuProperties>) -> DriverReport {
        let (module, maps) = (Some(MODULE.to_string()), Some(MAPS.to_string()));
        let init_status_name = "CUDA_SUCCESS".into();
        DriverReport { init_status: 0, init_status_name, version: 13_000, gpus, module, maps }
    }

    #[test]
    fn ptx_names_the_target() {
        let target = target();
        assert_eq!(target.to_string(), "9.0 only (sm_90a)");
        assert_eq!(target.needs, CudaVersion { major: 13, minor: 0 });
        let parse = |text: &str| KernelTarget::from_ptx(text).unwrap();
        let plain = parse(".version 8.7\n.target sm_80, debug\n");
        assert_eq!(
            (plain.compatibility, plain.needs),
            (Compatibility::Forward, CudaVersion { major: 12, minor: 8 })
        );
        let family = parse(".version 9.1\n.target sm_100f\n");
        assert_eq!(family.capability, ComputeCapability { major: 10, minor: 0 });
        for (target, gpu, runs) in [
            (&target, (9, 0), true),
            (&target, (8, 0), false),
            (&target, (10, 0), false),
            (&plain, (7, 5), false),
            (&plain, (8, 6), true),
            (&plain, (12, 0), true),
            (&family, (10, 3), true),
            (&family, (12, 0), false),
        ] {
            let gpu = ComputeCapability { major: gpu.0, minor: gpu.1 };
            assert_eq!(target.runs_on(gpu), runs, "{target} on {gpu}");
        }
        for none in [
            "",
            "no kernel",
            ".version 9.0\n",
            ".version x\n.target sm_90\n",
            ".version 9.0\n.target gfx90a\n",
        ] {
            assert_eq!(KernelTarget::from_ptx(none), None, "{none:?}");
        }
    }

    #[test]
    fn versions_are_read_in_the_drivers_format() {
        assert_eq!(CudaVersion::from_driver(12_080).to_string(), "12.8");
        assert_eq!(CudaVersion::from_driver(13_000).to_string(), "13.0");
        assert_eq!(CudaVersion::for_ptx(8, 5), CudaVersion { major: 12, minor: 5 });
        assert_eq!(driver_version(MODULE).unwrap(), "580.65.06");
        let older =
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.57.02  Tue Jul 13 16:14:05 UTC 2021\n";
        assert_eq!(driver_version(older).unwrap(), "470.57.02");
        assert_eq!(driver_version("GCC version: 12.3.0"), None);
    }

    #[test]
    fn a_supported_gpu_is_described() {
        let gpu = select_gpu(check_gpus(&report(vec![h100()]), Some(&target())).unwrap(), 0).unwrap();
        assert_eq!(gpu.uuid, "GPU-a1000000-0000-0000-0000-00000000000f");
        assert_eq!(gpu.driver_description(), "580.65.06, CUDA 13.0");
        assert_eq!(gpu.total_bytes, 85_520_809_984);
        let unknown = DriverReport { module: None, ..report(vec![h100()]) };
        let gpu = select_gpu(check_gpus(&unknown, None).unwrap(), 0).unwrap();
        assert_eq!(gpu.driver_description(), "unknown version, CUDA 13.0");
    }

    #[test]
    fn every_problem_has_its_own_message() {
        let target = target();
        let error = |report: &DriverReport| check_gpus(report, Some(&target)).unwrap_err();
        let stub = DriverReport {
            init_status: 34,
            init_status_name: "CUDA_ERROR_STUB_LIBRARY".into(),
            ..DriverReport::default()
        };
        assert!(matches!(error(&stub), DeviceError::NoDriver { .. }));
        let unloaded = DriverReport { init_status: 100, module: None, ..report(vec![]) };
        assert!(matches!(error(&unloaded), DeviceError::NoDriver { .. }));
        let broken = DriverReport {
            init_status: 803,
            init_status_name: "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH".into(),
            ..report(vec![])
        };
        assert!(error(&broken).to_string().contains("MISMATCH"));

        let old = error(&DriverReport { version: 12_020, ..report(vec![h100()]) });
        assert_eq!(
            old.to_string(),
            "the NVIDIA driver 580.65.06 is too old: it supports CUDA 12.2, and this build's kernels need 13.0; update \
             the driver, or build with an older toolkit"
        );
        // an old driver that does not start is reported as old
        assert!(matches!(
            error(&DriverReport { init_status: 3, version: 11_040, ..report(vec![]) }),
            DeviceError::DriverTooOld { .. }
        ));

        let none = select_gpu(
            check_gpus(&DriverReport { init_status: 100, ..report(vec![]) }, Some(&target)).unwrap(),
            0,
        );
        assert_eq!(none, Err(DeviceError::NoGpu { index: 0, count: 0 }));
        let beyond = select_gpu(check_gpus(&report(vec![h100()]), Some(&target)).unwrap(), 1);
        assert_eq!(beyond, Err(DeviceError::NoGpu { index: 1, count: 1 }));

        let maps = Some(MAPS.replace("libcurand.so.10", "libcurand.so.100"));
        let bare = error(&DriverReport { maps, ..report(vec![h100()]) });
        assert_eq!(bare, DeviceError::NoLibrary { reason: "not found: libcurand.so.10".into() });
        let unknown = DriverReport { maps: None, ..report(vec![h100()]) };
        assert!(check_gpus(&unknown, Some(&target)).unwrap()[0].is_ok());

        let a100 = GpuProperties { name: "NVIDIA A100".into(), major: 8, ..h100() };
        let gpus = check_gpus(&report(vec![a100, h100()]), Some(&target)).unwrap();
        let message = gpus[0].as_ref().unwrap_err().to_string();
        assert!(
            message.contains("8.0") && message.contains("sm_90a") && message.contains("CUDA_COMPUTE_CAP=80"),
            "{message}"
        );
        assert_eq!(gpus[1].as_ref().unwrap().index, 1);
    }
}
