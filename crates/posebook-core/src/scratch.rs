//! Names of temporary files and folders, which are renamed to their final path once they are complete.
//!
//! A name identifies the process that writes: `STEM.HOST_BOOT_NAMESPACE_PID_RANDOM.part`. Several hosts and containers may
//! work in one folder on a shared disk, where a process id alone is ambiguous. [`remove_abandoned`] removes the files
//! and folders of processes that are known to have ended.

use crate::children::is_alive;
use std::ffi::OsString;
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The suffix of every temporary name.
const SUFFIX: &str = ".part";
/// Longest file name, in bytes, on all file systems in use.
const MAX_NAME_BYTES: usize = 255;
/// The PID namespace of a Linux host itself (the kernel's `PROC_PID_INIT_INO`); containers have others.
const HOST_NAMESPACE: &str = "effffffc";
/// Placeholder for a part that this system does not provide.
const UNKNOWN: &str = "0";

/// The process that writes a temporary file, unambiguous between hosts and containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The host's name (letters, digits and `-`) and a hash of the name and the machine id.
    pub host: String,
    /// Start of the kernel's boot id; `0` where there is none.
    pub boot: String,
    /// The PID namespace in hexadecimal digits; `0` where there is none.
    pub namespace: String,
    /// The process id.
    pub process: u32,
}

impl Owner {
    /// This process.
    pub fn current() -> &'static Owner {
        static THIS: OnceLock<Owner> = OnceLock::new();
        THIS.get_or_init(|| Owner {
            host: host(),
            boot: boot().unwrap_or_else(|| UNKNOWN.into()),
            namespace: namespace().unwrap_or_else(|| UNKNOWN.into()),
            process: std::process::id(),
        })
    }

    /// A temporary name for `stem`. No two calls give the same name.
    pub fn temporary_name(&self, stem: &str) -> String {
        let Owner { host, boot, namespace, process } = self;
        format!("{stem}.{host}_{boot}_{namespace}_{process}_{:012x}{SUFFIX}", random())
    }

    /// The stem and the owner in a temporary name; `None` if the name is not one.
    pub fn parse(name: &str) -> Option<(&str, Owner)> {
        let (stem, tag) = name.strip_suffix(SUFFIX)?.rsplit_once('.')?;
        let parts: Vec<&str> = tag.split('_').collect();
        let &[host, boot, namespace, process, _random] = parts.as_slice() else { return None };
        let [host, boot, namespace] = [host, boot, namespace].map(str::to_string);
        Some((stem, Owner { host, boot, namespace, process: process.parse().ok()? }))
    }

    /// Whether the owner is known to have ended, from the viewpoint of the process `here`: it ran in the same PID namespace
    /// of the same host, and either no process has its id now, or the host (not a container) has rebooted since. Of other
    /// hosts and containers nothing is known.
    fn has_ended(&self, here: &Owner, is_alive: impl Fn(u32) -> bool) -> bool {
        if (&self.host, &self.namespace) != (&here.host, &here.namespace) {
            return false;
        }
        if self.boot == here.boot {
            return !is_alive(self.process);
        }
        // namespace numbers repeat on other machines, and containers on them may have the same host name
        self.namespace == HOST_NAMESPACE && self.boot != UNKNOWN && here.boot != UNKNOWN
    }
}

/// A temporary name for `stem` by this process. No two calls give the same name.
pub fn temporary_name(stem: &str) -> String {
    Owner::current().temporary_name(stem)
}

/// A temporary path in the folder of `path`, to be renamed to `path`. A name too long for the suffix is truncated.
pub fn temporary_path(path: &Path) -> PathBuf {
    let suffix = temporary_name("");
    let stem = path.file_name().unwrap_or_default();
    let mut name = truncate(stem.to_os_string(), MAX_NAME_BYTES.saturating_sub(suffix.len()));
    name.push(suffix);
    path.with_file_name(name)
}

/// At most `bytes` bytes of a name; a longer name is converted to UTF-8 and truncated.
fn truncate(name: OsString, bytes: usize) -> OsString {
    if name.len() <= bytes {
        return name;
    }
    let text = name.to_string_lossy();
    let end = (0..=bytes.min(text.len())).rev().find(|&index| text.is_char_boundary(index)).unwrap_or(0);
    text[..end].into()
}

/// Removes from `folder` the temporary files and folders of processes that have ended, if `is_selected` accepts their stem.
/// Errors are ignored.
pub fn remove_abandoned(folder: &Path, is_selected: impl Fn(&str) -> bool) {
    remove_abandoned_as(Owner::current(), is_alive, folder, is_selected);
}

fn remove_abandoned_as(
    here: &Owner,
    is_alive: impl Fn(u32) -> bool,
    folder: &Path,
    is_selected: impl Fn(&str) -> bool,
) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some((stem, owner)) = name.to_str().and_then(Owner::parse) else { continue };
        if !is_selected(stem) || !owner.has_ended(here, &is_alive) {
            continue;
        }
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        // another process may remove it at the same time
        let _ = if is_folder { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
    }
}

/// The host's name in characters that are valid in a file name, and a hash of name and machine id: containers of one image
/// may share the machine id, and machines may share a name.
fn host() -> String {
    let of_kernel = std::fs::read_to_string("/proc/sys/kernel/hostname");
    let name = of_kernel.ok().or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    let machine = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    host_name(name.trim(), machine.trim())
}

fn host_name(name: &str, machine: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    let shown: String = name.chars().take(20).map(plain).collect();
    // FNV-1a: the same hash with every version of Rust
    let hash =
        name.bytes().chain([0]).chain(machine.bytes()).fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    format!("{shown}-{:08x}", hash >> 32)
}

fn boot() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digits: String = id.chars().filter(char::is_ascii_hexdigit).take(12).collect();
    Some(digits).filter(|digits| !digits.is_empty())
}

/// The number in `pid:[4026531836]`, in hexadecimal digits.
fn namespace() -> Option<String> {
    let link = std::fs::read_link("/proc/self/ns/pid").ok()?;
    let number: u64 = link.to_str()?.strip_prefix("pid:[")?.strip_suffix(']')?.parse().ok()?;
    Some(format!("{number:x}"))
}

/// Forty-eight random bits.
fn random() -> u64 {
    let hasher = std::hash::RandomState::new().build_hasher();
    hasher.finish() >> 16
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn owner(host: &str, boot: &str, namespace: &str, process: u32) -> Owner {
        let [host, boot, namespace] = [host, boot, namespace].map(str::to_string);
        Owner { host, boot, namespace, process }
    }

    #[test]
    fn a_temporary_name_identifies_its_owner_and_is_unique() {
        let name = Owner::current().temporary_name("overlay.mp4");
        assert_eq!(Owner::parse(&name), Some(("overlay.mp4", Owner::current().clone())));
        assert_ne!(temporary_name("a"), temporary_name("a"));
        for other in ["overlay.mp4", "overlay.mp4.12.part", "a.part", "run-12", "a.h_b_n_x_r.part", ""] {
            assert_eq!(Owner::parse(other), None, "{other}");
        }
        #[cfg(target_os = "linux")]
        assert!(Owner::current().boot != UNKNOWN && Owner::current().namespace != UNKNOWN);
    }

    #[test]
    fn the_host_part_combines_name_and_machine_id() {
        assert!(host_name("node-7.cluster_a", "m").starts_with("node-7-cluster-a-"));
        let four = [("a", "m"), ("b", "m"), ("a", "n"), ("am", "")].map(|(name, id)| host_name(name, id));
        assert_eq!(four.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
    }

    #[test]
    fn a_long_name_is_truncated_and_stays_in_its_folder() {
        for letter in ["e", "é", "\u{1f600}"] {
            let long = Path::new("/folder").join(letter.repeat(MAX_NAME_BYTES / letter.len()));
            let path = temporary_path(&long);
            assert_eq!(path.parent(), Some(Path::new("/folder")));
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(name.len() <= MAX_NAME_BYTES && name.starts_with(letter), "{name}");
            assert_eq!(Owner::parse(name).unwrap().1, *Owner::current());
        }
    }

    #[test]
    fn only_owners_known_to_have_ended_have_ended() {
        let here = owner("node-1", "b1", HOST_NAMESPACE, 7);
        let inside = owner("node-1", "b1", "f00000ab", 7);
        let has_ended = |owner: Owner, here: &Owner| owner.has_ended(here, |process| process == 7);
        for (candidate, expected, reason) in [
            (owner("node-1", "b1", HOST_NAMESPACE, 8), true, "the process ended"),
            (owner("node-1", "b1", HOST_NAMESPACE, 7), false, "it runs"),
            (owner("node-2", "b1", HOST_NAMESPACE, 8), false, "another host"),
            (owner("node-2", "b2", HOST_NAMESPACE, 8), false, "another host with another boot id"),
            (owner("node-1", "b1", "f00000ab", 8), false, "a container on this host"),
            (owner("node-1", "b0", HOST_NAMESPACE, 7), true, "this host, before it was started again"),
            (owner("node-1", "b0", "f00000ab", 7), false, "a container before the host was started again"),
            (owner("node-1", UNKNOWN, HOST_NAMESPACE, 8), false, "the boot id is unknown"),
        ] {
            assert_eq!(has_ended(candidate, &here), expected, "{reason}");
        }
        assert!(has_ended(owner("node-1", "b1", "f00000ab", 8), &inside), "of the same container");
        // a second machine with a container of the same name whose namespace has the same number
        assert!(!has_ended(owner("node-1", "b2", "f00000ab", 8), &inside));
    }

    #[test]
    fn hosts_that_share_a_folder_remove_only_their_own_files() {
        let folder = tempfile::tempdir().unwrap();
        let hosts = [
            owner("node-1", "b1", HOST_NAMESPACE, 10),
            owner("node-2", "b2", HOST_NAMESPACE, 10),
            owner("node-2", "b2", "f00000ab", 10),
        ];
        let names: Vec<String> = hosts.iter().map(|host| host.temporary_name("run")).collect();
        for name in &names {
            fs::create_dir_all(folder.path().join(name).join("deep")).unwrap();
        }
        let file = hosts[0].temporary_name("overlay.mp4");
        fs::write(folder.path().join(&file), "half").unwrap();
        fs::write(folder.path().join("overlay.mp4"), "whole").unwrap();
        let left = || -> Vec<bool> { names.iter().map(|name| folder.path().join(name).exists()).collect() };
        for host in &hosts {
            remove_abandoned_as(host, |_| true, folder.path(), |_| true);
        }
        assert_eq!(left(), [true; 3], "all processes run");
        remove_abandoned_as(&hosts[0], |_| false, folder.path(), |stem| stem == "run");
        assert_eq!(left(), [false, true, true]);
        assert!(folder.path().join(&file).exists(), "its stem was not selected");
        remove_abandoned_as(&hosts[0], |_| false, folder.path(), |_| true);
        assert!(!folder.path().join(&file).exists() && folder.path().join("overlay.mp4").exists());
    }
}
