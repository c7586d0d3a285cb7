//! Opens paths below a folder such that nothing outside can be reached, whatever links there are and however they change
//! meanwhile. In: a folder and a path below it. Out: an open regular file or folder.

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::sys::statfs::fstatfs;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path};
use std::sync::atomic::{AtomicBool, Ordering};

/// File systems whose files are views of the kernel's state, by `statfs` number (`linux/magic.h`): procfs, sysfs, devpts,
/// debugfs, tracefs, securityfs, selinuxfs, smackfs, cgroup, cgroup2, bpf, pstore, efivarfs, binfmt_misc, mqueue, configfs,
/// nsfs, pipefs, sockfs, anonymous inodes.
const KERNEL_VIEWS: [u32; 20] = [
    0x9fa0,
    0x6265_6572,
    0x1cd1,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0xf97c_ff8c,
    0x4341_5d53,
    0x27_e0eb,
    0x6367_7270,
    0xcafe_4a11,
    0x6165_676c,
    0xde5e_81e4,
    0x4249_4e4d,
    0x1980_0202,
    0x6265_6570,
    0x6e73_6673,
    0x5049_5045,
    0x534f_434b,
    0x0904_1934,
];

/// Number of attempts while folders on the way are renamed.
const ATTEMPTS: usize = 64;

/// Why a path below a folder cannot be opened.
#[derive(Debug)]
pub(super) enum Failure {
    /// A component leads out of the folder, or links lead in circles.
    Outside,
    /// There is no such file.
    Missing,
    /// It is neither a regular file nor a folder: what it is.
    Kind(&'static str),
    /// It cannot be opened.
    Io(io::Error),
}

impl From<Errno> for Failure {
    fn from(error: Errno) -> Failure {
        match error {
            Errno::EXDEV | Errno::ELOOP => Failure::Outside,
            Errno::ENOENT | Errno::ENOTDIR => Failure::Missing,
            error => Failure::Io(error.into()),
        }
    }
}

/// How paths are looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// By `openat2`: links inside the folder are followed.
    Kernel,
    /// Component by component, for kernels before 5.6: no link is followed.
    Walk,
}

/// The method that this system has.
pub(super) fn method() -> Method {
    if HAS_NO_OPENAT2.load(Ordering::Relaxed) { Method::Walk } else { Method::Kernel }
}

/// Whether the kernel has no `openat2`.
static HAS_NO_OPENAT2: AtomicBool = AtomicBool::new(false);

/// What was opened.
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) is_folder: bool,
}

/// Opens `path` below `folder` for reading. Never blocks on a FIFO, and has no effect on devices: the file is looked at
/// before it is opened.
pub(super) fn open(folder: BorrowedFd, path: &Path, method: Method) -> Result<Opened, Failure> {
    let found = look_up(folder, path, method)?;
    let is_folder = match SFlag::from_bits_truncate(fstat(&found)?.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFREG => false,
        SFlag::S_IFDIR => true,
        SFlag::S_IFIFO => return Err(Failure::Kind("a FIFO")),
        SFlag::S_IFSOCK => return Err(Failure::Kind("a socket")),
        SFlag::S_IFCHR | SFlag::S_IFBLK => return Err(Failure::Kind("a device")),
        // the walk ends at a link
        SFlag::S_IFLNK => return Err(Failure::Outside),
        _ => return Err(Failure::Kind("neither a file nor a folder")),
    };
    // negative numbers of 32-bit systems are the same 32 bits
    let magic = fstatfs(&found)?.filesystem_type().0 as u32;
    if KERNEL_VIEWS.contains(&magic) {
        return Err(Failure::Kind("a view of the kernel's state"));
    }
    // the same file again, now for reading: no name is looked up
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let again = format!("/proc/self/fd/{}", found.as_raw_fd());
    let file = File::options().read(true).custom_flags(flags.bits()).open(again).map_err(Failure::Io)?;
    Ok(Opened { file, is_folder })
}

/// A folder as the base of [`open`]. `folder` has no links.
pub(super) fn open_base(folder: &Path) -> Result<OwnedFd, Failure> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(openat(AT_FDCWD, folder, flags, Mode::empty())?)
}

fn look_up(folder: BorrowedFd, path: &Path, method: Method) -> Result<OwnedFd, Failure> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    if method == Method::Kernel {
        let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(resolve);
        for _ in 0..ATTEMPTS {
            match openat2(folder, path, how) {
                Ok(found) => return Ok(found),
                // a folder on the way was renamed meanwhile
                Err(Errno::EAGAIN) => {}
                Err(Errno::ENOSYS) => {
                    HAS_NO_OPENAT2.store(true, Ordering::Relaxed);
                    return walk(folder, path);
                }
                // refused by a container's filter of system calls, or by the file system
                Err(Errno::EPERM) => return walk(folder, path),
                Err(error) => return Err(error.into()),
            }
        }
        return Err(Failure::Io(Errno::EAGAIN.into()));
    }
    walk(folder, path)
}

fn walk(folder: BorrowedFd, path: &Path) -> Result<OwnedFd, Failure> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut here = openat(folder, ".", flags | OFlag::O_DIRECTORY, Mode::empty())?;
    for component in path.components() {
        match component {
            Component::Normal(name) => {
                // a link is opened itself: it is no folder, so that a further component fails
                here = openat(here.as_fd(), name, flags, Mode::empty())?;
                if fstat(&here)?.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFLNK.bits() {
                    return Err(Failure::Outside);
                }
            }
            Component::CurDir => {}
            _ => return Err(Failure::Outside),
        }
    }
    Ok(here)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn without_openat2_no_link_is_followed_and_files_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let allowed = folder.path().canonicalize().unwrap().join("allowed");
        std::fs::create_dir_all(allowed.join("sub")).unwrap();
        for path in [allowed.join("sub/a"), folder.path().join("secret")] {
            std::fs::write(path, "x").unwrap();
        }
        symlink("sub", allowed.join("link")).unwrap();
        symlink("../secret", allowed.join("out")).unwrap();
        let base = open_base(&allowed).unwrap();
        let open_both = |path: &str| {
            [Method::Walk, Method::Kernel].map(|method| match open(base.as_fd(), Path::new(path), method) {
                Ok(opened) if opened.is_folder => "folder",
                Ok(_) => "file",
                Err(Failure::Outside) => "outside",
                Err(Failure::Missing) => "missing",
                Err(failure) => panic!("{path}: {failure:?}"),
            })
        };
        for (path, expected) in [
            ("", ["folder"; 2]),
            ("sub/./a", ["file"; 2]),
            ("sub", ["folder"; 2]),
            ("none", ["missing"; 2]),
            ("sub/a/x", ["missing"; 2]),
            ("out", ["outside"; 2]),
            ("..", ["outside"; 2]),
            ("/etc", ["outside"; 2]),
            ("link/a", ["outside", "file"]),
            ("sub/../sub/a", ["outside", "file"]),
        ] {
            assert_eq!(open_both(path), expected, "{path}");
        }
    }
}
