//! Names of work in progress: files and folders that are renamed into their place once they are whole.
//!
//! A name says which process writes there: `STEM.HOST_BOOT_NAMESPACE_PID_RANDOM.part`. Several hosts and
//! containers may work in one folder on a shared disk, where a process number alone says nothing. [`sweep`]
//! removes what a process left that is known to be gone, and nothing of anybody else.
//!
//! Must not know what is written.

use std::ffi::OsString;
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The ending of every name of work in progress.
const SUFFIX: &str = ".part";
/// Bytes that a file's name may have on all file systems in use.
const LONGEST_NAME_BYTES: usize = 255;
/// The process namespace of a Linux host itself; containers have others (the kernel's `PROC_PID_INIT_INO`).
const HOST_NAMESPACE: &str = "effffffc";
/// What stands for a part that this system does not tell.
const UNKNOWN: &str = "0";

/// The process that writes somewhere, so that it can be told from those of other hosts and containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The host's name (letters, digits and `-`) and a hash of it together with the machine's id.
    pub host: String,
    /// The start of the id that the kernel draws at every boot; `0` where there is none.
    pub boot: String,
    /// The namespace in which the process number counts, in hexadecimal digits; `0` where there is none.
    pub namespace: String,
    pub process: u32,
}

impl Owner {
    /// This process.
    pub fn this() -> &'static Owner {
        static THIS: OnceLock<Owner> = OnceLock::new();
        THIS.get_or_init(|| Owner {
            host: host(),
            boot: boot().unwrap_or_else(|| UNKNOWN.into()),
            namespace: namespace().unwrap_or_else(|| UNKNOWN.into()),
            process: std::process::id(),
        })
    }

    /// A name for work in progress on `stem` by this owner. No two calls give the same name.
    pub fn name(&self, stem: &str) -> String {
        let Owner { host, boot, namespace, process } = self;
        format!("{stem}.{host}_{boot}_{namespace}_{process}_{:012x}{SUFFIX}", random())
    }

    /// The stem and the owner in a name of work in progress; `None` if it is no such name.
    pub fn read(name: &str) -> Option<(&str, Owner)> {
        let (stem, tag) = name.strip_suffix(SUFFIX)?.rsplit_once('.')?;
        let parts: Vec<&str> = tag.split('_').collect();
        let &[host, boot, namespace, process, _random] = parts.as_slice() else { return None };
        let [host, boot, namespace] = [host, boot, namespace].map(str::to_string);
        Some((stem, Owner { host, boot, namespace, process: process.parse().ok()? }))
    }

    /// Whether this owner is known to be gone, asked by the process `here`: it counted its number in the same
    /// namespace of the same host, and either no process of this number runs, or the host (not a container)
    /// was started again since. Of other hosts and containers nothing is known.
    pub fn is_gone(&self, here: &Owner, is_alive: impl Fn(u32) -> bool) -> bool {
        if (&self.host, &self.namespace) != (&here.host, &here.namespace) {
            return false;
        }
        if self.boot == here.boot {
            return !is_alive(self.process);
        }
        // numbers of namespaces come again on other machines, which may share a container's host name
        self.namespace == HOST_NAMESPACE && self.boot != UNKNOWN && here.boot != UNKNOWN
    }
}

/// A name for work in progress on `stem` by this process. No two calls give the same name.
pub fn name(stem: &str) -> String {
    Owner::this().name(stem)
}

/// A path beside `path` for what will stand there, in the same folder. A name too long for an ending is cut.
pub fn beside(path: &Path) -> PathBuf {
    let ending = name("");
    let stem = path.file_name().unwrap_or_default();
    let mut name = cut(stem.to_os_string(), LONGEST_NAME_BYTES.saturating_sub(ending.len()));
    name.push(ending);
    path.with_file_name(name)
}

/// At most `bytes` bytes of a name; a longer one becomes text.
fn cut(name: OsString, bytes: usize) -> OsString {
    if name.len() <= bytes {
        return name;
    }
    let text = name.to_string_lossy();
    let end = (0..=bytes.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    text[..end].into()
}

/// Removes from `folder` what processes that are gone have left: every file and folder of work in progress
/// whose stem is `wanted`. What cannot be removed stays.
pub fn sweep(folder: &Path, wanted: impl Fn(&str) -> bool) {
    sweep_as(Owner::this(), is_alive, folder, wanted);
}

fn sweep_as(here: &Owner, is_alive: impl Fn(u32) -> bool, folder: &Path, wanted: impl Fn(&str) -> bool) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some((stem, owner)) = name.to_str().and_then(Owner::read) else { continue };
        if !wanted(stem) || !owner.is_gone(here, &is_alive) {
            continue;
        }
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        // another process may sweep at the same time
        let _ = if is_folder { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
    }
}

/// Whether a process of this number runs here. Where that cannot be told, it does.
pub fn is_alive(process: u32) -> bool {
    #[cfg(unix)]
    {
        use nix::errno::Errno;
        let Ok(number) = i32::try_from(process) else { return false };
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(number), None) != Err(Errno::ESRCH)
    }
    #[cfg(not(unix))]
    {
        let _ = process;
        true
    }
}

/// The host's name as letters that a file's name may have, and a hash: containers made of one image may share
/// the machine's id, and machines may share a name.
fn host() -> String {
    let of_kernel = std::fs::read_to_string("/proc/sys/kernel/hostname");
    let name = of_kernel.ok().or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    let machine = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    host_of(name.trim(), machine.trim())
}

fn host_of(name: &str, machine: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    let shown: String = name.chars().take(20).map(plain).collect();
    // FNV-1a: a hash that no release of Rust changes
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

/// `pid:[4026531836]` as hexadecimal digits.
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
    fn a_name_says_who_writes_and_is_never_given_twice() {
        let name = Owner::this().name("overlay.mp4");
        assert_eq!(Owner::read(&name), Some(("overlay.mp4", Owner::this().clone())));
        assert_ne!(super::name("a"), super::name("a"));
        for other in ["overlay.mp4", "overlay.mp4.12.part", "a.part", "run-12", "a.h_b_n_x_r.part", ""] {
            assert_eq!(Owner::read(other), None, "{other}");
        }
        #[cfg(target_os = "linux")]
        assert!(Owner::this().boot != UNKNOWN && Owner::this().namespace != UNKNOWN);
    }

    #[test]
    fn a_host_is_its_name_and_its_machine() {
        assert!(host_of("node-7.cluster_a", "m").starts_with("node-7-cluster-a-"));
        let four = [("a", "m"), ("b", "m"), ("a", "n"), ("am", "")].map(|(name, id)| host_of(name, id));
        assert_eq!(four.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
    }

    #[test]
    fn a_long_name_is_cut_and_stays_in_its_folder() {
        for letter in ["e", "é", "\u{1f600}"] {
            let long = Path::new("/folder").join(letter.repeat(LONGEST_NAME_BYTES / letter.len()));
            let beside = beside(&long);
            assert_eq!(beside.parent(), Some(Path::new("/folder")));
            let name = beside.file_name().unwrap().to_str().unwrap();
            assert!(name.len() <= LONGEST_NAME_BYTES && name.starts_with(letter), "{name}");
            assert_eq!(Owner::read(name).unwrap().1, *Owner::this());
        }
    }

    #[test]
    fn only_what_is_known_to_be_gone_is_gone() {
        let here = owner("node-1", "b1", HOST_NAMESPACE, 7);
        let inside = owner("node-1", "b1", "f00000ab", 7);
        let gone = |who: Owner, here: &Owner| who.is_gone(here, |process| process == 7);
        for (who, expected, why) in [
            (owner("node-1", "b1", HOST_NAMESPACE, 8), true, "the process ended"),
            (owner("node-1", "b1", HOST_NAMESPACE, 7), false, "it runs"),
            (owner("node-2", "b1", HOST_NAMESPACE, 8), false, "another host"),
            (owner("node-2", "b2", HOST_NAMESPACE, 8), false, "another host, started at another time"),
            (owner("node-1", "b1", "f00000ab", 8), false, "a container on this host"),
            (owner("node-1", "b0", HOST_NAMESPACE, 7), true, "this host, before it was started again"),
            (owner("node-1", "b0", "f00000ab", 7), false, "a container before the host was started again"),
            (owner("node-1", UNKNOWN, HOST_NAMESPACE, 8), false, "who knows when"),
        ] {
            assert_eq!(gone(who, &here), expected, "{why}");
        }
        assert!(gone(owner("node-1", "b1", "f00000ab", 8), &inside), "of the same container");
        // a second machine with a container of the same name whose namespace has the same number
        assert!(!gone(owner("node-1", "b2", "f00000ab", 8), &inside));
    }

    #[test]
    fn hosts_that_share_a_folder_sweep_their_own_alone() {
        let folder = tempfile::tempdir().unwrap();
        let hosts = [
            owner("node-1", "b1", HOST_NAMESPACE, 10),
            owner("node-2", "b2", HOST_NAMESPACE, 10),
            owner("node-2", "b2", "f00000ab", 10),
        ];
        let names: Vec<String> = hosts.iter().map(|host| host.name("run")).collect();
        for name in &names {
            fs::create_dir_all(folder.path().join(name).join("deep")).unwrap();
        }
        let file = hosts[0].name("overlay.mp4");
        fs::write(folder.path().join(&file), "half").unwrap();
        fs::write(folder.path().join("overlay.mp4"), "whole").unwrap();
        let left = || -> Vec<bool> { names.iter().map(|name| folder.path().join(name).exists()).collect() };
        for host in &hosts {
            sweep_as(host, |_| true, folder.path(), |_| true);
        }
        assert_eq!(left(), [true; 3], "all are at work");
        sweep_as(&hosts[0], |_| false, folder.path(), |stem| stem == "run");
        assert_eq!(left(), [false, true, true]);
        assert!(folder.path().join(&file).exists(), "another stem was asked for");
        sweep_as(&hosts[0], |_| false, folder.path(), |_| true);
        assert!(!folder.path().join(&file).exists() && folder.path().join("overlay.mp4").exists());
    }

    #[test]
    fn processes_are_asked_for() {
        // the second is beyond the largest process number there is
        assert!(is_alive(std::process::id()) && !is_alive(99_999_999) && !is_alive(u32::MAX));
    }
}
