//! Downloads one web address to one file with the program `curl`: resumes an interrupted download, keeps to limits, stops on
//! request. [`download_with`] does the same with another program that writes a file.
//!
//! The caller verifies the file: neither its content nor its final length is checked here.

use crate::children;
use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Interval between checks of the file's size.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// curl's exit code for an HTTP error.
const CURL_HTTP_ERROR: i32 = 22;
/// curl's exit code where the server does not support range requests.
const CURL_RANGE_ERROR: i32 = 33;
/// HTTP status of a range beyond the end of the file.
const RANGE_NOT_SATISFIABLE: u16 = 416;

/// Limits of a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DownloadLimits {
    /// A transfer below one byte per second for this many seconds is aborted, seconds.
    pub stall_secs: u32,
    /// Number of retries after a transfer failed.
    pub retries: u32,
    /// Most bytes of the file; `None`: unlimited.
    pub max_bytes: Option<u64>,
}

impl Default for DownloadLimits {
    fn default() -> DownloadLimits {
        DownloadLimits { stall_secs: 30, retries: 3, max_bytes: None }
    }
}

/// Why a download is missing or incomplete.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The program is not on the PATH.
    #[error("`{0}` is not on the PATH")]
    ProgramNotFound(&'static str),
    /// An HTTP status of 400 or above.
    #[error("the server answers {0}")]
    Status(u16),
    /// The server sends more than the given number of bytes.
    #[error("the server sends more than the {0} bytes of the file")]
    TooLong(u64),
    /// The download was stopped on request.
    #[error("stopped; the partial download is kept and will be resumed")]
    Stopped,
    /// The transfer failed, with the program's message.
    #[error("{0}; the partial download is kept and will be resumed")]
    Broken(String),
}

/// Downloads `address`, which is http or https, to the file `part`, and resumes if `part` exists. `on_progress` is called
/// with the file's size in bytes, about ten times a second. Redirects are followed; proxies are those of the usual
/// variables (`http_proxy`, `https_proxy`, `all_proxy`, `no_proxy`).
///
/// # Errors
/// If curl is missing, the server refuses, the transfer fails, stalls or exceeds its limit, or `stop` is set. Except for
/// the first two, `part` then holds what has arrived.
pub fn download(
    address: &str,
    part: &Path,
    limits: DownloadLimits,
    on_progress: &mut dyn FnMut(u64),
    stop: Option<&AtomicBool>,
) -> Result<(), DownloadError> {
    let mut run_curl =
        || run("curl", &curl_command(address, part, limits), part, limits.max_bytes, on_progress, stop);
    match run_curl() {
        // the part is complete, or not of this file: the caller verifies it
        Err(RunFailure { status: Some(RANGE_NOT_SATISFIABLE), .. }) if size(part) > 0 => Ok(()),
        Err(RunFailure { code: Some(CURL_RANGE_ERROR), .. }) => {
            // the server sends only whole files
            let _ = fs::remove_file(part);
            run_curl().map_err(|failure| failure.error)
        }
        result => result.map_err(|failure| failure.error),
    }
}

/// Downloads by `command`, which starts `program` and writes the file `part`. `on_progress` is called with the file's size
/// in bytes, about ten times a second.
///
/// # Errors
/// If the program is missing or fails, the file exceeds `max_bytes`, or `stop` is set.
pub fn download_with(
    program: &'static str,
    command: &Command,
    part: &Path,
    max_bytes: Option<u64>,
    on_progress: &mut dyn FnMut(u64),
    stop: Option<&AtomicBool>,
) -> Result<(), DownloadError> {
    run(program, command, part, max_bytes, on_progress, stop).map_err(|failure| failure.error)
}

fn curl_command(address: &str, part: &Path, limits: DownloadLimits) -> Command {
    let mut command = Command::new("curl");
    // brackets in an address are not patterns
    command.args(["--globoff", "--fail", "--location", "--silent", "--show-error", "--continue-at", "-"]);
    command.args(["--proto", "=http,https", "--proto-redir", "=http,https", "--max-redirs", "10"]);
    command.args(["--retry", &limits.retries.to_string(), "--connect-timeout", "20"]);
    command.args(["--speed-limit", "1", "--speed-time", &limits.stall_secs.to_string()]);
    command.args(["--write-out", "%{http_code}", "--output"]).arg(part).arg("--").arg(address);
    command
}

/// How a program failed.
struct RunFailure {
    /// Exit code; `None` if it did not exit by itself.
    code: Option<i32>,
    /// HTTP status of 400 or above.
    status: Option<u16>,
    error: DownloadError,
}

impl From<DownloadError> for RunFailure {
    fn from(error: DownloadError) -> RunFailure {
        RunFailure { code: None, status: None, error }
    }
}

fn run(
    program: &'static str,
    command: &Command,
    part: &Path,
    max_bytes: Option<u64>,
    on_progress: &mut dyn FnMut(u64),
    stop: Option<&AtomicBool>,
) -> Result<(), RunFailure> {
    let stdio = [Stdio::null(), Stdio::piped(), Stdio::piped()];
    let mut child = children::spawn(command, stdio, None).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => DownloadError::ProgramNotFound(program),
        _ => DownloadError::Broken(format!("{program} cannot be started: {error}")),
    })?;
    let exit = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) => {}
            Err(error) => return Err(DownloadError::Broken(error.to_string()).into()),
        }
        let downloaded = size(part);
        on_progress(downloaded);
        if let Some(most) = max_bytes.filter(|most| downloaded > *most) {
            kill(&mut child);
            return Err(DownloadError::TooLong(most).into());
        }
        if stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            kill(&mut child);
            return Err(DownloadError::Stopped.into());
        }
        std::thread::sleep(POLL_INTERVAL);
    };
    on_progress(size(part));
    if exit.success() {
        return match max_bytes.filter(|most| size(part) > *most) {
            Some(most) => Err(DownloadError::TooLong(most).into()),
            None => Ok(()),
        };
    }
    let status = read_text(child.stdout.take()).parse().ok().filter(|status| *status >= 400);
    let error = match status.filter(|_| exit.code() == Some(CURL_HTTP_ERROR)) {
        Some(status) => DownloadError::Status(status),
        None if stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) => DownloadError::Stopped,
        None => DownloadError::Broken(format!("{program} said: {}", read_text(child.stderr.take()))),
    };
    Err(RunFailure { code: exit.code(), status, error })
}

/// Kills a child.
fn kill(child: &mut Child) {
    // fails if it has exited by itself
    let _ = child.kill();
    let _ = child.wait();
}

/// The start of what an exited program wrote.
fn read_text(pipe: Option<impl Read>) -> String {
    let mut text = String::new();
    if let Some(pipe) = pipe {
        let _ = pipe.take(4096).read_to_string(&mut text);
    }
    text.trim().to_string()
}

/// Size of a file; 0 if there is none.
fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}
