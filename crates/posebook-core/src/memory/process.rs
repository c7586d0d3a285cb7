//! Resident memory of a process and of its children, read from outside.
//!
//! Reads `/proc`; on other systems everything is `None`. `ru_maxrss` is not used: on Linux a child inherits the
//! parent's peak across fork and exec, so a small child of a large parent would seem large. `VmHWM` belongs to the
//! program itself.

use std::collections::HashSet;

/// Memory of a process and its descendants at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessSample {
    /// Resident set of the process.
    pub resident_bytes: Option<u64>,
    /// The kernel's own record of its largest resident set.
    pub resident_peak_bytes: Option<u64>,
    /// Resident sets of all its descendants, summed (shared pages counted for each).
    pub children_bytes: Option<u64>,
    /// How many descendants there are.
    pub children: Option<u64>,
}

/// Samples the memory of one process.
#[derive(Debug)]
pub struct ProcessSampler {
    process: u32,
    descendants: HashSet<u32>,
    unrelated: HashSet<u32>,
}

impl ProcessSampler {
    /// Samples the process with this id.
    pub fn new(process: u32) -> ProcessSampler {
        ProcessSampler { process, descendants: HashSet::new(), unrelated: HashSet::new() }
    }

    /// Takes one sample. Everything is `None` once the process has ended, and where there is no `/proc`.
    pub fn sample(&mut self) -> ProcessSample {
        let Some((resident_bytes, resident_peak_bytes)) = resident_and_peak_bytes(self.process) else {
            return ProcessSample::default();
        };
        self.update_descendants();
        // a child that ends in between counts as zero
        let children_bytes = self
            .descendants
            .iter()
            .filter_map(|&child| resident_and_peak_bytes(child))
            .map(|(now, _)| now)
            .sum();
        ProcessSample {
            resident_bytes: Some(resident_bytes),
            resident_peak_bytes: Some(resident_peak_bytes),
            children_bytes: Some(children_bytes),
            children: Some(self.descendants.len() as u64),
        }
    }

    /// Updates the set of descendants. The parent of each process is read once, when the process first appears.
    fn update_descendants(&mut self) {
        let Ok(entries) = std::fs::read_dir("/proc") else { return };
        let present: HashSet<u32> =
            entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        self.descendants.retain(|process| present.contains(process));
        self.unrelated.retain(|process| present.contains(process));
        let mut appeared: Vec<u32> = present
            .into_iter()
            .filter(|process| !self.descendants.contains(process) && !self.unrelated.contains(process))
            .collect();
        // parents before their children, but where the ids have wrapped around
        appeared.sort_unstable();
        for process in appeared {
            let is_descendant =
                parent_of(process).is_some_and(|p| p == self.process || self.descendants.contains(&p));
            if is_descendant {
                self.descendants.insert(process)
            } else {
                self.unrelated.insert(process)
            };
        }
    }
}

/// Resident set of this process, and its peak as the kernel records it, in bytes.
pub fn own_resident_bytes() -> Option<(u64, u64)> {
    resident_and_peak_bytes(std::process::id())
}

/// Bytes that this process and its ended children caused to be written to storage. Files in memory-backed folders
/// do not count.
pub fn own_written_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/io").ok()?;
    text.lines().find_map(|line| line.strip_prefix("write_bytes: "))?.trim().parse().ok()
}

/// Memory that can be allocated without swapping, by the kernel's estimate (`MemAvailable`), in bytes.
pub fn available_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// Number of processes the kernel has killed for lack of memory since it started.
pub fn oom_kill_count() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/vmstat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

fn resident_and_peak_bytes(process: u32) -> Option<(u64, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let kibibytes = |key: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some((kibibytes("VmRSS:")? * 1024, kibibytes("VmHWM:")? * 1024))
}

fn parent_of(process: u32) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // the name is in parentheses and may itself contain parentheses
    let (_, after_name) = text.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn children_are_found_and_summed_separately() {
        let mut sampler = ProcessSampler::new(std::process::id());
        let before = sampler.sample();
        assert!(before.resident_bytes.unwrap() <= before.resident_peak_bytes.unwrap());
        let mut child = Command::new("sh").args(["-c", "read line"]).stdin(Stdio::piped()).spawn().unwrap();
        let id = child.id();
        std::thread::sleep(std::time::Duration::from_millis(50));
        let during = sampler.sample();
        assert!(sampler.descendants.contains(&id));
        assert!(during.children_bytes.unwrap() > 0);
        drop(child.stdin.take());
        child.wait().unwrap();
        sampler.sample();
        assert!(!sampler.descendants.contains(&id));
    }

    #[test]
    fn an_ended_process_gives_none_and_not_zero() {
        let mut child = Command::new("true").spawn().unwrap();
        let mut sampler = ProcessSampler::new(child.id());
        child.wait().unwrap();
        assert_eq!(sampler.sample(), ProcessSample::default());
    }
}
