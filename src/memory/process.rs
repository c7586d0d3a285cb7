//! A process' memory, read from outside, and its children's.
//!
//! The numbers come from `/proc`; elsewhere they are `None`. `ru_maxrss` is not used: Linux hands the
//! parent's peak on to a child across fork and exec, so that a small child of a large parent would
//! seem large. `VmHWM` belongs to the program itself.

use std::collections::HashSet;

/// One look at a process and its children.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sample {
    /// Resident set of the process.
    pub resident_bytes: Option<u64>,
    /// The kernel's own record of its largest resident set.
    pub resident_peak_bytes: Option<u64>,
    /// Resident sets of all its descendants, summed (shared pages counted for each).
    pub children_bytes: Option<u64>,
    /// How many descendants there are.
    pub children: Option<u64>,
}

/// Watches one process from outside.
#[derive(Debug)]
pub struct Watch {
    process: u32,
    family: HashSet<u32>,
    strangers: HashSet<u32>,
}

impl Watch {
    /// Watches the process with this id.
    pub fn new(process: u32) -> Watch {
        Watch { process, family: HashSet::new(), strangers: HashSet::new() }
    }

    /// Looks once. Everything is `None` once the process is gone, and where there is no `/proc`.
    pub fn sample(&mut self) -> Sample {
        let Some((resident_bytes, resident_peak_bytes)) = resident(self.process) else {
            return Sample::default();
        };
        self.find_family();
        // a child that ends while it is looked at counts nothing
        let children_bytes =
            self.family.iter().filter_map(|&child| resident(child)).map(|(now, _)| now).sum();
        Sample {
            resident_bytes: Some(resident_bytes),
            resident_peak_bytes: Some(resident_peak_bytes),
            children_bytes: Some(children_bytes),
            children: Some(self.family.len() as u64),
        }
    }

    /// Brings the family up to date. A process is asked for its parent once, when it is first seen.
    fn find_family(&mut self) {
        let Ok(entries) = std::fs::read_dir("/proc") else { return };
        let present: HashSet<u32> =
            entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        self.family.retain(|process| present.contains(process));
        self.strangers.retain(|process| present.contains(process));
        let mut unseen: Vec<u32> = present
            .into_iter()
            .filter(|process| !self.family.contains(process) && !self.strangers.contains(process))
            .collect();
        // parents before their children, but where the ids have wrapped around
        unseen.sort_unstable();
        for process in unseen {
            let ours = parent(process).is_some_and(|p| p == self.process || self.family.contains(&p));
            if ours {
                self.family.insert(process)
            } else {
                self.strangers.insert(process)
            };
        }
    }
}

/// Resident set of this very process and the kernel's record of its largest, in bytes.
pub fn own_resident() -> Option<(u64, u64)> {
    resident(std::process::id())
}

/// Bytes that this process, and those of its children that have ended, caused to be written to
/// storage. Files in memory-backed folders count nothing.
pub fn own_written_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/io").ok()?;
    text.lines().find_map(|line| line.strip_prefix("write_bytes: "))?.trim().parse().ok()
}

/// Bytes of the machine's memory that can be had without others being pushed out, by the kernel's estimate.
pub fn available_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// How many processes the kernel has killed for want of memory since it started.
pub fn kills_for_want_of_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/vmstat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

fn resident(process: u32) -> Option<(u64, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let kibibytes = |key: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some((kibibytes("VmRSS:")? * 1024, kibibytes("VmHWM:")? * 1024))
}

fn parent(process: u32) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // the name stands in brackets and may hold anything, brackets too
    let (_, after_name) = text.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn children_are_found_and_summed_apart() {
        let mut watch = Watch::new(std::process::id());
        let before = watch.sample();
        assert!(before.resident_bytes.unwrap() <= before.resident_peak_bytes.unwrap());
        let mut child = Command::new("sh").args(["-c", "read line"]).stdin(Stdio::piped()).spawn().unwrap();
        let id = child.id();
        std::thread::sleep(std::time::Duration::from_millis(50));
        let during = watch.sample();
        assert!(watch.family.contains(&id));
        assert!(during.children_bytes.unwrap() > 0);
        drop(child.stdin.take());
        child.wait().unwrap();
        watch.sample();
        assert!(!watch.family.contains(&id));
    }

    #[test]
    fn a_process_that_is_gone_is_unknown_and_not_empty() {
        let mut child = Command::new("true").spawn().unwrap();
        let mut watch = Watch::new(child.id());
        child.wait().unwrap();
        assert_eq!(watch.sample(), Sample::default());
    }
}
