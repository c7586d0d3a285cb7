//! One address to one file, by `curl`: gone on with where it was broken off, bounded, ended when asked to.

use crate::children;
use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often the file's size is looked at.
const EVERY: Duration = Duration::from_millis(100);
/// What curl ends with where the server said an error.
const CURL_STATUS: i32 = 22;
/// What curl ends with where the server cannot send the rest of a file alone.
const CURL_NO_RANGE: i32 = 33;
const RANGE_NOT_SATISFIABLE: u16 = 416;

/// What is asked of a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// A line that sends less than a byte a second for so long is dead.
    pub stall_secs: u32,
    /// How often a download is tried again that broke off.
    pub retries: u32,
    /// More than this is not taken; `None` where nobody knows how long the file is.
    pub most_bytes: Option<u64>,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { stall_secs: 30, retries: 3, most_bytes: None }
    }
}

/// Why nothing, or not all, came.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    #[error("`{0}` is not on the PATH")]
    NoProgram(&'static str),
    /// The server's answer.
    #[error("the server answers {0}")]
    Status(u16),
    #[error("more than {0} bytes come, and the file has no more")]
    TooLong(u64),
    #[error("stopped; what came so far is kept and gone on with")]
    Stopped,
    #[error("{0}; what came so far is kept and gone on with")]
    Broken(String),
}

/// Fetches `address` to `part`, going on with what is there; `tell` hears how many bytes are. Redirections are
/// followed; proxies are those of the usual variables (`http_proxy`, `https_proxy`, `all_proxy`, `no_proxy`).
///
/// # Errors
/// If curl is missing, the server refuses, the line breaks or stalls, more comes than may, or `stop` is set.
pub fn download(
    address: &str,
    part: &Path,
    patience: Patience,
    tell: &mut dyn FnMut(u64),
    stop: Option<&AtomicBool>,
) -> Result<(), DownloadError> {
    let first = run("curl", &curl(address, part, patience), part, patience.most_bytes, tell, stop);
    match first {
        // what is there is all there is, or is not this file's: whoever knows the file looks at it
        Err(Failure { status: Some(RANGE_NOT_SATISFIABLE), .. }) if size(part) > 0 => Ok(()),
        Err(Failure { code: Some(CURL_NO_RANGE), .. }) => {
            // the server sends the whole or nothing
            let _ = fs::remove_file(part);
            let again = run("curl", &curl(address, part, patience), part, patience.most_bytes, tell, stop);
            again.map_err(|failure| failure.error)
        }
        ended => ended.map_err(|failure| failure.error),
    }
}

fn curl(address: &str, part: &Path, patience: Patience) -> Command {
    let mut command = Command::new("curl");
    // brackets in an address are letters of it
    command.args(["--globoff", "--fail", "--location", "--silent", "--show-error", "--continue-at", "-"]);
    command.args(["--proto", "=http,https", "--proto-redir", "=http,https", "--max-redirs", "10"]);
    command.args(["--retry", &patience.retries.to_string(), "--connect-timeout", "20"]);
    command.args(["--speed-limit", "1", "--speed-time", &patience.stall_secs.to_string()]);
    command.args(["--write-out", "%{http_code}", "--output"]).arg(part).arg("--").arg(address);
    command
}

/// How a program ended that did not do what it was to.
pub(super) struct Failure {
    code: Option<i32>,
    status: Option<u16>,
    pub(super) error: DownloadError,
}

impl From<DownloadError> for Failure {
    fn from(error: DownloadError) -> Failure {
        Failure { code: None, status: None, error }
    }
}

/// Runs a program that writes `part` to its end, telling the size of what it writes.
pub(super) fn run(
    program: &'static str,
    command: &Command,
    part: &Path,
    most_bytes: Option<u64>,
    tell: &mut dyn FnMut(u64),
    stop: Option<&AtomicBool>,
) -> Result<(), Failure> {
    let stdio = [Stdio::null(), Stdio::piped(), Stdio::piped()];
    let mut child = children::spawn(command, stdio, None).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => DownloadError::NoProgram(program),
        _ => DownloadError::Broken(format!("{program} cannot be started: {error}")),
    })?;
    let ended = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) => {}
            Err(error) => return Err(DownloadError::Broken(error.to_string()).into()),
        }
        let there = size(part);
        tell(there);
        if let Some(most) = most_bytes.filter(|most| there > *most) {
            end(&mut child);
            return Err(DownloadError::TooLong(most).into());
        }
        if stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            end(&mut child);
            return Err(DownloadError::Stopped.into());
        }
        std::thread::sleep(EVERY);
    };
    tell(size(part));
    if ended.success() {
        return match most_bytes.filter(|most| size(part) > *most) {
            Some(most) => Err(DownloadError::TooLong(most).into()),
            None => Ok(()),
        };
    }
    let status = words(child.stdout.take()).parse().ok().filter(|status| *status >= 400);
    let error = match status.filter(|_| ended.code() == Some(CURL_STATUS)) {
        Some(status) => DownloadError::Status(status),
        None if stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) => DownloadError::Stopped,
        None => DownloadError::Broken(format!("{program} said: {}", words(child.stderr.take()))),
    };
    Err(Failure { code: ended.code(), status, error })
}

fn end(child: &mut Child) {
    // it may have ended by itself
    let _ = child.kill();
    let _ = child.wait();
}

/// What an ended program wrote: its words are few.
fn words(pipe: Option<impl Read>) -> String {
    let mut said = String::new();
    if let Some(pipe) = pipe {
        let _ = pipe.take(4096).read_to_string(&mut said);
    }
    said.trim().to_string()
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |about| about.len())
}
