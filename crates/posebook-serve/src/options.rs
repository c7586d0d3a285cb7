//! Options of the service.

use crate::addresses::Network;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Options of the service, as the command line gives them.
#[derive(Debug, Clone)]
pub struct Options {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Folder for the database, uploads and results; on a local file system.
    pub data: PathBuf,
    /// Devices, one job each at a time: `cpu`, `cuda:0`.
    pub devices: Vec<String>,
    /// Folders below which clients may name paths.
    pub allow: Vec<PathBuf>,
    /// Prefixes of paths that are replaced first: (from, to).
    pub maps: Vec<(String, String)>,
    /// Whether clients may name http(s) addresses as sources.
    pub allow_url: bool,
    /// File with the access token; made at the first start if it does not exist. `None` is no token, on loopback only.
    pub token_file: Option<PathBuf>,
    /// Names beside loopback's and the listening address' that a request's `Host` may have.
    pub hosts: Vec<String>,
    /// Origins of other sites that may read answers.
    pub cors_origins: Vec<String>,
    /// Maximum number of queued jobs.
    pub queue_max: usize,
    /// How long results are kept; `None` is forever.
    pub keep: Option<Duration>,
    /// Maximum size of all results; the oldest are removed first.
    pub keep_bytes: Option<u64>,
    /// Maximum size of an upload, and of a fetched address.
    pub upload_max_bytes: u64,
    /// An upload that brings fewer than 1 KiB a second over this time is cut off.
    pub upload_stall: Duration,
    /// How long running jobs may go on after SIGTERM.
    pub drain: Duration,
    /// Time limit of a job; `None` is none.
    pub job_time_limit: Option<Duration>,
    /// How long an interrupted process may take to end before it is killed.
    pub interrupt_grace: Duration,
    /// Free bytes of the data folder's disk below which uploads and jobs are refused and running jobs end; `None` is 2 GiB or
    /// 5% of the disk, whichever is more.
    pub disk_floor_bytes: Option<u64>,
    /// Form of log lines.
    pub log: LogFormat,
    /// Where addresses and webhooks may lead: public addresses. Tests allow one of loopback.
    pub network: Network,
}

impl Options {
    /// The defaults: 127.0.0.1:7878, the device `cpu`, 100 queued jobs, results kept 7 days, uploads of at most 20 GiB, 30 s for
    /// running jobs at the end, no allowed paths or addresses.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>) -> Options {
        Options {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7878)),
            data: data.into(),
            devices: vec!["cpu".into()],
            allow: Vec::new(),
            maps: Vec::new(),
            allow_url: false,
            token_file: None,
            hosts: Vec::new(),
            cors_origins: Vec::new(),
            queue_max: 100,
            keep: Some(Duration::from_secs(7 * 24 * 3600)),
            keep_bytes: None,
            upload_max_bytes: 20 << 30,
            upload_stall: Duration::from_secs(15),
            drain: Duration::from_secs(30),
            job_time_limit: None,
            interrupt_grace: Duration::from_secs(10),
            disk_floor_bytes: None,
            log: LogFormat::Text,
            network: Network::default(),
        }
    }
}

/// Reads a duration such as `90s`, `30m`, `12h`, `7d`, `2w`; `forever` is `None`.
///
/// # Errors
/// If it is not one. The message names the text and shows an example.
pub fn parse_keep(text: &str) -> Result<Option<Duration>, String> {
    let trimmed = text.trim();
    if trimmed == "forever" {
        return Ok(None);
    }
    let invalid = || format!("`{text}` is not a time such as `90s`, `30m`, `12h`, `7d`, `2w` or `forever`");
    let unit_at = trimmed.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(invalid)?;
    let (number, unit) = trimmed.split_at(unit_at);
    let number: u64 = number.parse().map_err(|_| invalid())?;
    let unit_seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        "w" => 7 * 24 * 3600,
        _ => return Err(invalid()),
    };
    let seconds = number.checked_mul(unit_seconds).filter(|&seconds| seconds <= MAX_KEEP_SECONDS);
    seconds.map(|seconds| Some(Duration::from_secs(seconds))).ok_or_else(|| {
        format!("`{text}` is more than a hundred years; write `forever` to keep results without a limit")
    })
}

/// A hundred years: times in milliseconds since 1970 stay far from overflow.
const MAX_KEEP_SECONDS: u64 = 100 * 366 * 24 * 3600;

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `key=value` pairs.
    Text,
    /// One JSON object a line.
    Json,
    /// Nothing: for tests that send thousands of requests.
    Off,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        for (text, seconds) in
            [("90s", 90), ("30m", 1800), ("12h", 43_200), (" 7d ", 604_800), ("2w", 1_209_600)]
        {
            assert_eq!(parse_keep(text), Ok(Some(Duration::from_secs(seconds))), "{text}");
        }
        assert_eq!(parse_keep("forever"), Ok(None));
        for text in ["", "7", "d", "-1d", "1.5h", "7 d", "7D", "7days", "99999999999999999999s", "٣d"] {
            assert!(parse_keep(text).is_err(), "{text}");
        }
        assert!(parse_keep("18446744073709551615w").unwrap_err().contains("forever"));
    }
}
