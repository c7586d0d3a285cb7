//! Fetches http(s) addresses that clients name, and delivers webhooks, only to public addresses: this module resolves every name,
//! checks every IP address, and follows redirects itself.
//!
//! In: an address. Out: a file, or a problem that names the host and the reason and never the address' user part or query.

mod curl;
mod public;
mod signature;
mod target;
mod webhooks;

use crate::problem::Problem;
use axum::http::StatusCode;
use posebook_core::files::AtomicFile;
use std::fmt;
use std::io::{self, Write};
use std::net::{IpAddr, ToSocketAddrs};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use target::Refusal;
use url::Url;

pub use public::is_public;
pub use signature::WebhookSecret;
pub use webhooks::{Retries, deliver_webhooks, deliver_webhooks_of};

/// Resolves a host name to addresses; tests inject their own.
pub type Resolver = Arc<dyn Fn(&str, u16) -> io::Result<Vec<IpAddr>> + Send + Sync>;

/// Most redirects that are followed.
const MAX_REDIRECTS: usize = 5;
/// Most bytes of an answer to a webhook that are read.
const MAX_ANSWER: u64 = 64 << 10;
/// Time limit of a webhook in all.
const WEBHOOK_LIMIT: Duration = Duration::from_secs(20);

/// Where clients may send the server, and for how long. The default is public addresses, ports 80 and 443.
#[derive(Clone)]
pub struct Network {
    /// Resolves names.
    pub resolver: Resolver,
    /// Ports.
    pub ports: Vec<u16>,
    /// Addresses that are allowed although they are not public: for tests, which have only loopback.
    pub trusted: Vec<IpAddr>,
    /// Time limit of a look-up, and of a connection until it stands.
    pub connect_limit: Duration,
    /// How long a transfer may be almost without bytes.
    pub stall_limit: Duration,
    /// Time limit of a fetch in all.
    pub fetch_limit: Duration,
}

impl Default for Network {
    fn default() -> Network {
        let resolver: Resolver =
            Arc::new(|host, port| Ok((host, port).to_socket_addrs()?.map(|address| address.ip()).collect()));
        Network {
            resolver,
            ports: vec![80, 443],
            trusted: Vec::new(),
            connect_limit: Duration::from_secs(10),
            stall_limit: Duration::from_secs(30),
            fetch_limit: Duration::from_secs(4 * 3600),
        }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Network")
            .field("ports", &self.ports)
            .field("trusted", &self.trusted)
            .finish_non_exhaustive()
    }
}

/// Fetches and delivers.
#[derive(Debug, Clone, Default)]
pub struct Fetcher {
    network: Network,
}

impl Fetcher {
    /// A fetcher with the system's resolver, for public addresses.
    #[must_use]
    pub fn new() -> Fetcher {
        Fetcher::default()
    }

    /// A fetcher with other rules, for tests.
    #[must_use]
    pub fn with_network(network: Network) -> Fetcher {
        Fetcher { network }
    }

    /// Checks an address without connecting: scheme, port, user part, host as a literal address.
    ///
    /// # Errors
    /// `address-not-allowed` (403), or `malformed` (422).
    pub fn check(&self, address: &str) -> Result<(), Problem> {
        Ok(target::parse(address, &self.network).map(|_| ())?)
    }

    /// Fetches an address to a file of at most `max_bytes`. `on_bytes` gets bytes so far and in all.
    ///
    /// # Errors
    /// If an address on the way is not allowed (`address-not-allowed`), the file is too large (`too-large`), the server answers
    /// an error or is not reached (`bad-source`), the disk is full (`disk-full`), or `stop` is set. There is no file then.
    pub fn fetch(
        &self,
        address: &str,
        to: &Path,
        max_bytes: u64,
        stop: &AtomicBool,
        on_bytes: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<(), Problem> {
        let mut url = target::parse(address, &self.network)?;
        for _ in 0..=MAX_REDIRECTS {
            let host = target::shown_host(&url);
            let addresses = target::resolve(&url, &self.network, stop)?;
            let mut file = AtomicFile::create(to).map_err(|error| cannot_write(&error))?;
            let mut received = 0_u64;
            let mut on_body = |head: Option<&curl::Head>, bytes: &[u8]| {
                if head.is_some_and(|head| head.status != 200) {
                    return Ok(ControlFlow::Break(()));
                }
                file.write_all(bytes)?;
                received += bytes.len() as u64;
                on_bytes(received, head.and_then(|head| head.length));
                Ok(ControlFlow::Continue(()))
            };
            let limits = curl::Limits { overall: self.network.fetch_limit, ..self.limits() };
            let request = curl::Request { url: &url, addresses: &addresses, post: None, max_bytes, limits };
            let head = curl::run(&request, stop, &mut on_body)
                .map_err(|failure| failed(&host, &failure, max_bytes))?;
            match (head.status, head.location) {
                (200, _) if received == 0 => return Err(bad_source(&host, "sends an empty file")),
                (200, _) => return file.finish().map_err(|error| cannot_write(&error)),
                (301 | 302 | 303 | 307 | 308, Some(location)) => {
                    url = target::redirect(&url, &location, &self.network)?;
                }
                (status, _) => return Err(bad_source(&host, &format!("answers {status}"))),
            }
        }
        Err(bad_source(
            &target::shown_host(&url),
            &format!("is reached only after more than {MAX_REDIRECTS} redirects"),
        ))
    }

    /// Sends a webhook: `body` by `POST` with `headers`. The status of the answer. Redirects are not followed.
    fn post(
        &self,
        address: &str,
        headers: curl::Headers,
        body: &[u8],
        stop: &AtomicBool,
    ) -> Result<u16, Problem> {
        let url: Url = target::parse(address, &self.network)?;
        let addresses = target::resolve(&url, &self.network, stop)?;
        let limits = curl::Limits { overall: WEBHOOK_LIMIT, ..self.limits() };
        let post = Some((headers, body));
        let request = curl::Request { url: &url, addresses: &addresses, post, max_bytes: u64::MAX, limits };
        let mut received = 0_u64;
        let mut on_body = |head: Option<&curl::Head>, bytes: &[u8]| {
            received += bytes.len() as u64;
            let is_enough = head.is_some() || received > MAX_ANSWER;
            Ok(if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        };
        let head = curl::run(&request, stop, &mut on_body);
        Ok(head.map_err(|failure| failed(&target::shown_host(&url), &failure, 0))?.status)
    }

    fn limits(&self) -> curl::Limits {
        let Network { connect_limit: connect, stall_limit: stall, .. } = self.network;
        curl::Limits { connect, stall, overall: WEBHOOK_LIMIT }
    }
}

fn bad_source(host: &str, reason: &str) -> Problem {
    Refusal::Failed(format!("{host} {reason}")).into()
}

fn cannot_write(error: &io::Error) -> Problem {
    let (status, name) = match error.kind() {
        io::ErrorKind::StorageFull => (StatusCode::INSUFFICIENT_STORAGE, "disk-full"),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    };
    Problem::new(status, name, format!("the fetched file cannot be written: {error}"))
}

fn failed(host: &str, failure: &curl::Failure, max_bytes: u64) -> Problem {
    match failure {
        curl::Failure::NoCurl => {
            let reason = "the program curl, which fetches addresses, is not installed on the server; install it, or upload the \
                          file";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", reason)
        }
        curl::Failure::Stopped => Refusal::Stopped.into(),
        curl::Failure::TooLarge => {
            let reason = format!("{host} sends more than the {max_bytes} bytes that the server takes");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", reason)
        }
        curl::Failure::Write(error) => cannot_write(error),
        curl::Failure::Transfer(reason) => bad_source(host, reason),
    }
}
