//! A lock by a card's UUID, so that two servers do not use one card at a time. In: a UUID. Out: a lock that is released when
//! the value is dropped, or who holds it.

use crate::backend::DeviceInfo;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A device that this process may use.
#[derive(Debug)]
pub(super) struct DeviceLock {
    /// `None` for devices without a UUID, such as `cpu`.
    _lock: Option<Flock<File>>,
}

impl DeviceLock {
    /// Locks a device. Devices without a UUID are not locked: any number of processes may use them.
    ///
    /// # Errors
    /// A sentence that says who uses it, or why it cannot be locked.
    pub(super) fn take(device: &DeviceInfo) -> Result<DeviceLock, String> {
        match &device.uuid {
            Some(uuid) => DeviceLock::take_in(&runtime_folder(), &device.name, uuid),
            None => Ok(DeviceLock { _lock: None }),
        }
    }

    fn take_in(folder: &Path, name: &str, uuid: &str) -> Result<DeviceLock, String> {
        let plain: String =
            uuid.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
        let path = folder.join(format!("device-{plain}.lock"));
        let failed =
            |error: &dyn std::fmt::Display| format!("{name}: cannot lock {}: {error}", path.display());
        // for this user alone; it may exist
        if let Err(error) = fs::DirBuilder::new().mode(0o700).create(folder)
            && error.kind() != std::io::ErrorKind::AlreadyExists
        {
            return Err(failed(&error));
        }
        let about = fs::symlink_metadata(folder).map_err(|error| failed(&error))?;
        if !about.is_dir() || about.uid() != nix::unistd::geteuid().as_raw() {
            return Err(failed(
                &"the folder belongs to another user; set XDG_RUNTIME_DIR to a folder of this one",
            ));
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(|error| failed(&error))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut lock) => {
                // only for the message to others
                let _ = lock.set_len(0).and_then(|()| write!(lock, "{}", std::process::id()));
                Ok(DeviceLock { _lock: Some(lock) })
            }
            Err((mut file, Errno::EWOULDBLOCK)) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                let holder = holder.trim();
                let holder = if holder.is_empty() { String::new() } else { format!(" (process {holder})") };
                Err(format!(
                    "{name} is in use by another server{holder}; jobs start here when it ends, or give this server other \
                     devices with --devices"
                ))
            }
            Err((_, error)) => Err(failed(&error)),
        }
    }
}

/// A folder of this user for locks, which a reboot empties: `XDG_RUNTIME_DIR`, or one in the temporary folder.
fn runtime_folder() -> PathBuf {
    let user = nix::unistd::geteuid();
    let of_session = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let of_session = of_session.or_else(|| Some(PathBuf::from(format!("/run/user/{user}"))));
    match of_session.filter(|folder| folder.is_dir()) {
        Some(folder) => folder.join("posebook"),
        None => std::env::temp_dir().join(format!("posebook-{user}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_has_one_holder_and_is_free_when_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("runtime");
        let first = DeviceLock::take_in(&folder, "cuda:0", "GPU-1/2").unwrap();
        let refused = DeviceLock::take_in(&folder, "cuda:1", "GPU-1/2").unwrap_err();
        assert!(refused.starts_with("cuda:1 is in use by another server"), "{refused}");
        assert!(refused.contains(&std::process::id().to_string()), "{refused}");
        drop(DeviceLock::take_in(&folder, "cuda:1", "GPU-3").unwrap());
        drop(first);
        DeviceLock::take_in(&folder, "cuda:1", "GPU-1/2").unwrap();
    }

    #[test]
    fn a_device_without_a_uuid_is_not_locked() {
        let cpu = DeviceInfo { name: "cpu".into(), model: String::new(), uuid: None, memory_bytes: None };
        let _first = DeviceLock::take(&cpu).unwrap();
        DeviceLock::take(&cpu).unwrap();
    }
}
