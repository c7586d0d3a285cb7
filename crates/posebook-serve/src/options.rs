//! Options of the service.

use crate::addresses::Network;
pub use crate::job::parse_keep;
pub use crate::log::LogFormat;
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
    /// Names that a request's `Host` may have, beside those of loopback and the listening address.
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
    /// How long running jobs may continue after SIGTERM.
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
