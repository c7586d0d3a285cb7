//! What the driver says of a card from outside: NVML, the library behind `nvidia-smi`.
//!
//! It needs no context and takes no memory on the card, so that the watcher may ask it. Where it is
//! missing, or does not tell (a container that does not share the system's process ids sees no
//! processes), what is asked is `None`, never zero.
//!
//! Must not know what runs on the card.

/// A process with a context on a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    pub process: u32,
    /// What it holds: context, pools, everything; `None` where the driver does not tell.
    pub bytes: Option<u64>,
}

/// One look at a card.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// Processes with a context; `None` where the driver does not tell.
    pub holders: Option<Vec<Holder>>,
    /// Memory in use, whoever holds it, without what the driver keeps for itself.
    pub used_bytes: Option<u64>,
}

impl Look {
    /// What one process holds. A process may have several entries, one for each slice of a shared card.
    pub fn bytes_of(&self, process: u32) -> Option<u64> {
        let own = self.holders.iter().flatten().filter(|holder| holder.process == process);
        own.map(|holder| holder.bytes).reduce(|a, b| Some(a? + b?)).flatten()
    }

    /// Who else has a context on the card, in words; `None` for nobody. Where processes are not told,
    /// memory in use beyond what an idle card shows is somebody's.
    pub fn others_in_words(&self, device: &str) -> Option<String> {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let holders = self.holders.as_deref().unwrap_or_default();
        let known: u64 = holders.iter().filter_map(|holder| holder.bytes).sum();
        match holders {
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

/// What a card with nobody on it may show as used.
const IDLE_BYTES: u64 = 64 << 20;

/// Watches one card from outside.
pub struct CardWatch {
    #[cfg(feature = "cuda")]
    card: nvml_wrapper::Device<'static>,
    #[cfg(not(feature = "cuda"))]
    none: std::convert::Infallible,
}

#[cfg(feature = "cuda")]
mod nvml {
    use super::{CardWatch, Holder, Look};
    use nvml_wrapper::Nvml;
    use nvml_wrapper::enums::device::UsedGpuMemory;
    use nvml_wrapper::struct_wrappers::device::ProcessInfo;
    use std::ffi::OsStr;
    use std::sync::OnceLock;

    /// The library, opened at the first question and kept: what is asked of it borrows from it.
    static LIBRARY: OnceLock<Option<Nvml>> = OnceLock::new();

    fn library() -> Option<&'static Nvml> {
        // the plain name belongs to packages for building, and a machine that only runs has it not
        let open =
            || Nvml::builder().lib_path(OsStr::new("libnvidia-ml.so.1")).init().or_else(|_| Nvml::init());
        LIBRARY.get_or_init(|| open().ok()).as_ref()
    }

    impl CardWatch {
        /// Watches the card of this UUID; `None` where the driver does not tell.
        pub fn of(uuid: &str) -> Option<CardWatch> {
            let library = library()?;
            // a slice of a card has the same digits behind another word
            let slice = uuid.replacen("GPU-", "MIG-", 1);
            let card = library.device_by_uuid(uuid).or_else(|_| library.device_by_uuid(slice)).ok()?;
            Some(CardWatch { card })
        }

        /// Looks once.
        pub fn look(&self) -> Look {
            let holder = |process: ProcessInfo| Holder {
                process: process.pid,
                bytes: match process.used_gpu_memory {
                    UsedGpuMemory::Used(bytes) => Some(bytes),
                    UsedGpuMemory::Unavailable => None,
                },
            };
            let card = &self.card;
            Look {
                holders: card
                    .running_compute_processes()
                    .ok()
                    .map(|all| all.into_iter().map(holder).collect()),
                used_bytes: card.memory_info().ok().map(|memory| memory.used),
            }
        }
    }
}

#[cfg(not(feature = "cuda"))]
impl CardWatch {
    /// A build without CUDA watches no card.
    pub fn of(_: &str) -> Option<CardWatch> {
        None
    }

    pub fn look(&self) -> Look {
        match self.none {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(process: u32, mib: u64) -> Holder {
        Holder { process, bytes: Some(mib << 20) }
    }

    #[test]
    fn a_process_is_found_among_the_holders() {
        let look =
            Look { holders: Some(vec![holder(7, 500), holder(9, 30), holder(9, 12)]), used_bytes: None };
        assert_eq!(look.bytes_of(7), Some(500 << 20));
        assert_eq!(look.bytes_of(9), Some(42 << 20));
        assert_eq!(look.bytes_of(8), None);
        let untold = Look { holders: Some(vec![Holder { process: 7, bytes: None }]), used_bytes: Some(5) };
        assert_eq!(untold.bytes_of(7), None);
        assert_eq!(Look::default().bytes_of(7), None);
    }

    #[test]
    fn others_are_told_as_far_as_they_are_known() {
        let look = |holders: &[Holder], used_mib: u64| Look {
            holders: Some(holders.to_vec()),
            used_bytes: Some(used_mib << 20),
        };
        let told = |look: Look| look.others_in_words("cuda:0");
        assert_eq!(told(look(&[], 4)), None);
        assert_eq!(told(Look::default()), None);
        assert_eq!(told(look(&[], 700)).unwrap(), "700 MiB of cuda:0 were in use before the run began");
        let one = told(look(&[holder(7, 500)], 504)).unwrap();
        assert_eq!(one, "process 7 held 500 MiB of cuda:0 when the run began");
        let two = told(look(&[holder(7, 500), holder(8, 20)], 524)).unwrap();
        assert_eq!(two, "2 other processes held 520 MiB of cuda:0 when the run began");
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_build_for_the_cpu_watches_nothing() {
        assert!(CardWatch::of("GPU-00000000-0000-0000-0000-000000000000").is_none());
    }
}
