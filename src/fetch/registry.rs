//! A package's archive out of a registry, by the registry's own program: mirrors and proxies are those that the user
//! has set for it, and no registry is named here.

use super::manifest::Origin;
use crate::children;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const EVERY: Duration = Duration::from_millis(100);

/// Fetches the archive into the empty folder `into` and gives its path; `None` where `from` is no package.
///
/// # Errors
/// In words: the program is missing or failed, or `stop` is set.
pub fn package(from: &Origin, into: &Path, stop: &AtomicBool) -> Option<Result<PathBuf, String>> {
    let (program, command) = match from {
        Origin::Npm(package) => ("npm", npm(package, into)),
        Origin::Pypi(package) => ("python3", pip(package, into)),
        Origin::Web(_) | Origin::Person(_) => return None,
    };
    Some(run(program, &command, into, stop))
}

/// Nothing of the package is run.
fn npm(package: &str, into: &Path) -> Command {
    let mut command = Command::new("npm");
    command
        .args(["pack", "--ignore-scripts", "--silent", "--pack-destination"])
        .arg(into)
        .arg("--")
        .arg(package);
    command
}

/// Wheels alone: a source package would be run to see what it needs.
fn pip(package: &str, into: &Path) -> Command {
    let mut command = Command::new("python3");
    command.args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input", "--quiet"]);
    command.args(["--disable-pip-version-check", "--dest"]).arg(into).arg("--").arg(package);
    command
}

fn run(program: &str, command: &Command, into: &Path, stop: &AtomicBool) -> Result<PathBuf, String> {
    let stdio = [Stdio::null(), Stdio::null(), Stdio::piped()];
    let mut child = children::spawn(command, stdio, None).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("`{program}` is not on the PATH; install it"),
        _ => format!("{program} cannot be started: {error}"),
    })?;
    // its complaints may be longer than a pipe holds
    let mut complaints = child.stderr.take();
    let reader = std::thread::spawn(move || {
        let mut said = String::new();
        if let Some(pipe) = &mut complaints {
            let _ = pipe.take(1 << 16).read_to_string(&mut said);
            // the rest is let go, so that it can end
            let _ = io::copy(pipe, &mut io::sink());
        }
        said
    });
    let ended = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) => {}
            Err(error) => return Err(error.to_string()),
        }
        if stop.load(Ordering::Relaxed) {
            let _ = child.kill();
            let _ = child.wait();
            return Err("stopped".into());
        }
        std::thread::sleep(EVERY);
    };
    let said = reader.join().unwrap_or_default();
    let files: Vec<PathBuf> =
        fs::read_dir(into).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    match files.as_slice() {
        [file] if ended.success() => Ok(file.clone()),
        _ => Err(format!("{program} gave no archive (it said: {})", said.trim())),
    }
}
