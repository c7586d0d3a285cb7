//! A package's archive out of a registry, by the registry's own program: mirrors and proxies are those that the user
//! has set for it, and no registry is named here.
//!
//! Nothing of a package is run. Must not know what is in it.

use super::explain;
use super::manifest::Origin;
use crate::children;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often the size of what came is looked at.
const EVERY: Duration = Duration::from_millis(200);
/// Bytes that a program may write besides two copies of the archive: indexes and logs.
const BESIDES_BYTES: u64 = 64 << 20;

/// Fetches the package's archive into a folder below `work`, which is empty, and gives its path; `grew` is called
/// with the number of bytes that came so far. `None` where `from` is no package.
///
/// # Errors
/// In words for the user: the program is missing or failed, more came than twice `bytes`, or `stop` is set.
pub fn package(
    from: &Origin,
    work: &Path,
    bytes: Option<u64>,
    grew: &mut dyn FnMut(u64),
    stop: &AtomicBool,
) -> Option<Result<PathBuf, String>> {
    let (program, command) = match from {
        Origin::Npm(package) => ("npm", npm(package, work)),
        Origin::Pypi(package) => ("python3", pip(package, work)),
        Origin::Debian(package) => ("apt-get", apt(package, work)),
        Origin::Web(_) | Origin::Person(_) => return None,
    };
    let most = bytes.map(|bytes| bytes.saturating_mul(2).saturating_add(BESIDES_BYTES));
    Some(run(program, &command, work, most, grew, stop))
}

/// The command by which a person fetches the archive on another machine; `None` where `from` is no package.
pub fn by_hand(from: &Origin) -> Option<String> {
    match from {
        Origin::Npm(package) => Some(format!("npm pack {package}")),
        Origin::Pypi(package) => Some(format!("python3 -m pip download --no-deps {package}")),
        Origin::Debian(package) => Some(format!("apt-get download {package}")),
        Origin::Web(_) | Origin::Person(_) => None,
    }
}

/// Where the archive itself is written to, alone in its folder.
fn archive_folder(work: &Path) -> PathBuf {
    work.join("archive")
}

/// The cache is one of its own: it grows with the download, and no second copy of the archive stays behind.
fn npm(package: &str, work: &Path) -> Command {
    let mut command = Command::new("npm");
    command.args(["pack", "--ignore-scripts", "--loglevel=error", "--fetch-retries=1", "--cache"]);
    command
        .arg(work.join("cache"))
        .arg("--pack-destination")
        .arg(archive_folder(work))
        .arg("--")
        .arg(package);
    command
}

/// Wheels only: a source package would be run to see what it needs. pip downloads to the folder for temporary
/// files, which is set so that it can be seen growing.
fn pip(package: &str, work: &Path) -> Command {
    let mut command = Command::new("env");
    let mut folder = std::ffi::OsString::from("TMPDIR=");
    folder.push(work.join("cache"));
    command.arg(folder).args(["python3", "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]);
    command.args(["--ignore-requires-python", "--no-cache-dir", "--no-input", "--quiet", "--retries", "1"]);
    command.args(["--disable-pip-version-check", "--dest"]).arg(archive_folder(work)).arg("--").arg(package);
    command
}

/// `apt-get` downloads to the folder that it is started in.
fn apt(package: &str, work: &Path) -> Command {
    let mut command = Command::new("env");
    command
        .arg("--chdir")
        .arg(archive_folder(work))
        .args(["apt-get", "download", "--quiet", "--"])
        .arg(package);
    command
}

/// Whether a program is found on the PATH.
pub(super) fn is_on_path(program: &str) -> bool {
    let is_in = |folder: PathBuf| folder.join(program).is_file();
    std::env::var_os("PATH").is_some_and(|all| std::env::split_paths(&all).any(is_in))
}

fn run(
    program: &str,
    command: &Command,
    work: &Path,
    most_bytes: Option<u64>,
    grew: &mut dyn FnMut(u64),
    stop: &AtomicBool,
) -> Result<PathBuf, String> {
    let missing = || format!("`{program}` is not on the PATH");
    if !is_on_path(program) {
        return Err(missing());
    }
    for folder in [archive_folder(work), work.join("cache")] {
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let stdio = [Stdio::null(), Stdio::null(), Stdio::piped()];
    let mut child = children::spawn(command, stdio, None).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => missing(),
        _ => format!("{program} cannot be started: {error}"),
    })?;
    // its error text may be longer than a pipe holds
    let mut errors = child.stderr.take();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        if let Some(pipe) = &mut errors {
            let _ = pipe.take(1 << 16).read_to_string(&mut text);
            // the rest is read and dropped, so that the program can end
            let _ = io::copy(pipe, &mut io::sink());
        }
        text
    });
    let ended = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) => {}
            Err(error) => return Err(error.to_string()),
        }
        let bytes = bytes_below(work);
        grew(bytes);
        let too_long = most_bytes.is_some_and(|most| bytes > most);
        if too_long || stop.load(Ordering::Relaxed) {
            let _ = child.kill();
            let _ = child.wait();
            return Err(if too_long { "far more came than the manifest says" } else { "stopped" }.into());
        }
        std::thread::sleep(EVERY);
    };
    let text = reader.join().unwrap_or_default();
    let folder = archive_folder(work);
    let files: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    match files.as_slice() {
        [file] if ended.success() => Ok(file.clone()),
        _ => Err(explain::failure(program, &text)),
    }
}

/// Bytes of all files below a folder.
fn bytes_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => bytes_below(&entry.path()),
        // npm's logs are no part of the archive
        Ok(kind) if kind.is_file() && entry.path().extension() != Some(OsStr::new("log")) => {
            entry.metadata().map_or(0, |about| about.len())
        }
        _ => 0,
    });
    bytes.sum()
}
