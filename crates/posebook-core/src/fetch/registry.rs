//! Downloads a package's archive with the registry's own program (npm, pip, apt-get): mirrors and proxies are those that the
//! user configured for it. Nothing of a package is executed.

use super::manifest::Origin;
use super::registry_errors;
use crate::children::{self, is_on_path};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Interval between checks of the downloaded size.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Bytes that a program may write in addition to two copies of the archive: indexes and logs.
const MARGIN_BYTES: u64 = 64 << 20;

/// Downloads the package's archive into a folder below `work`, which must be empty, and returns its path. `on_progress` is
/// called with the number of bytes so far. `None` if `origin` is not a package.
///
/// # Errors
/// A message for the user: the program is missing or failed, wrote far more than twice `bytes`, or `stop` is set.
pub fn download_package(
    origin: &Origin,
    work: &Path,
    bytes: Option<u64>,
    on_progress: &mut dyn FnMut(u64),
    stop: &AtomicBool,
) -> Option<Result<PathBuf, String>> {
    let (program, command) = match origin {
        Origin::Npm(package) => ("npm", npm_command(package, work)),
        Origin::Pypi(package) => ("python3", pip_command(package, work)),
        Origin::Debian(package) => ("apt-get", apt_command(package, work)),
        Origin::Web(_) | Origin::Registration(_) => return None,
    };
    let max_bytes = bytes.map(|bytes| bytes.saturating_mul(2).saturating_add(MARGIN_BYTES));
    Some(run(program, &command, work, max_bytes, on_progress, stop))
}

/// The command by which a user downloads the archive on another machine; `None` if `origin` is not a package.
pub fn manual_command(origin: &Origin) -> Option<String> {
    match origin {
        Origin::Npm(package) => Some(format!("npm pack {package}")),
        Origin::Pypi(package) => Some(format!("python3 -m pip download --no-deps {package}")),
        Origin::Debian(package) => Some(format!("apt-get download {package}")),
        Origin::Web(_) | Origin::Registration(_) => None,
    }
}

/// The folder that gets the archive and nothing else.
fn archive_folder(work: &Path) -> PathBuf {
    work.join("archive")
}

/// With a cache of its own, whose growth shows the progress, and so that no second copy of the archive remains.
fn npm_command(package: &str, work: &Path) -> Command {
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

/// Wheels only, since pip runs source packages to find their dependencies. pip downloads to the folder for temporary files,
/// which is set so that its growth shows the progress.
fn pip_command(package: &str, work: &Path) -> Command {
    let mut command = Command::new("env");
    let mut folder = std::ffi::OsString::from("TMPDIR=");
    folder.push(work.join("cache"));
    command.arg(folder).args(["python3", "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]);
    command.args(["--ignore-requires-python", "--no-cache-dir", "--no-input", "--quiet", "--retries", "1"]);
    command.args(["--disable-pip-version-check", "--dest"]).arg(archive_folder(work)).arg("--").arg(package);
    command
}

/// `apt-get` downloads to its working directory.
fn apt_command(package: &str, work: &Path) -> Command {
    let mut command = Command::new("env");
    command
        .arg("--chdir")
        .arg(archive_folder(work))
        .args(["apt-get", "download", "--quiet", "--"])
        .arg(package);
    command
}

/// Runs a registry's program and returns the path of the archive that it wrote.
fn run(
    program: &str,
    command: &Command,
    work: &Path,
    max_bytes: Option<u64>,
    on_progress: &mut dyn FnMut(u64),
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
    // the error output may be longer than a pipe's buffer
    let mut errors = child.stderr.take();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        if let Some(pipe) = &mut errors {
            let _ = pipe.take(1 << 16).read_to_string(&mut text);
            // the rest is read and dropped, so that the program can exit
            let _ = io::copy(pipe, &mut io::sink());
        }
        text
    });
    let exit = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) => {}
            Err(error) => return Err(error.to_string()),
        }
        let bytes = bytes_below(work);
        on_progress(bytes);
        let is_too_long = max_bytes.is_some_and(|max_bytes| bytes > max_bytes);
        if is_too_long || stop.load(Ordering::Relaxed) {
            let _ = child.kill();
            let _ = child.wait();
            return Err(if is_too_long {
                "the download is much larger than the manifest says"
            } else {
                "stopped"
            }
            .into());
        }
        std::thread::sleep(POLL_INTERVAL);
    };
    let text = reader.join().unwrap_or_default();
    let folder = archive_folder(work);
    let files: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    match files.as_slice() {
        [file] if exit.success() => Ok(file.clone()),
        _ => Err(registry_errors::summarize(program, &text)),
    }
}

/// Bytes of all files below a folder.
fn bytes_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => bytes_below(&entry.path()),
        // npm's logs are not part of the download
        Ok(kind) if kind.is_file() && entry.path().extension() != Some(OsStr::new("log")) => {
            entry.metadata().map_or(0, |metadata| metadata.len())
        }
        _ => 0,
    });
    bytes.sum()
}
