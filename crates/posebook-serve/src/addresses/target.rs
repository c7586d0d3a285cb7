//! Checks addresses. In: text of a client, or of a redirect. Out: an http(s) URL, and the public IP addresses of its host.

use super::public::is_public;
use super::{Network, Resolver};
use crate::problem::Problem;
use axum::http::StatusCode;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};
use url::{Host, Url};

/// Maximum length of an address, bytes.
const MAX_BYTES: usize = 8192;
/// Interval between looks at the stop flag.
const INTERVAL: Duration = Duration::from_millis(25);

/// Why an address is not fetched, as a sentence without user part, path and query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is not an address.
    Malformed(String),
    /// It names an address that the server must not contact.
    NotAllowed(String),
    /// Its host cannot be found.
    Failed(String),
    /// `stop` was set.
    Stopped,
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        let unprocessable = StatusCode::UNPROCESSABLE_ENTITY;
        match refusal {
            Refusal::Malformed(reason) => Problem::new(unprocessable, "malformed", reason),
            Refusal::NotAllowed(reason) => Problem::new(StatusCode::FORBIDDEN, "address-not-allowed", reason),
            Refusal::Failed(reason) => Problem::new(unprocessable, "bad-source", reason),
            Refusal::Stopped => Problem::new(unprocessable, "bad-source", "the transfer was stopped"),
        }
    }
}

/// Reads an address and checks everything that can be checked without asking for its host.
pub(super) fn parse(address: &str, network: &Network) -> Result<Url, Refusal> {
    if address.len() > MAX_BYTES {
        return Err(Refusal::Malformed(format!(
            "the address has {} bytes; at most {MAX_BYTES} are allowed",
            address.len()
        )));
    }
    if address.contains(|letter: char| letter.is_control() || letter.is_whitespace()) {
        let reason = "the address has a blank or control character; write it percent-encoded, such as %20";
        return Err(Refusal::Malformed(reason.into()));
    }
    let url = Url::parse(address).map_err(|error| {
        Refusal::Malformed(format!("the address cannot be read: {error}; write it as https://host/path"))
    })?;
    check(url, network)
}

/// Follows the `Location` of an answer.
pub(super) fn redirect(from: &Url, location: &str, network: &Network) -> Result<Url, Refusal> {
    let host = shown_host(from);
    let to = from.join(location);
    let to = to.map_err(|error| {
        Refusal::Failed(format!("{host} redirects to an address that cannot be read: {error}"))
    })?;
    check(to, network).map_err(|refusal| match refusal {
        Refusal::NotAllowed(reason) => Refusal::NotAllowed(format!("{host} redirects: {reason}")),
        refusal => refusal,
    })
}

fn check(mut url: Url, network: &Network) -> Result<Url, Refusal> {
    if !matches!(url.scheme(), "http" | "https") {
        let scheme: String = url.scheme().chars().take(20).collect();
        return Err(Refusal::NotAllowed(format!(
            "addresses with `{scheme}:` are not allowed; only http and https are"
        )));
    }
    let host = shown_host(&url);
    let denied = |reason: &str| Err(Refusal::NotAllowed(format!("{host}: {reason}")));
    if !url.username().is_empty() || url.password().is_some() {
        return denied("addresses with a user name or password are not allowed");
    }
    let port = url.port_or_known_default().unwrap_or_default();
    if !network.ports.contains(&port) {
        let ports: Vec<String> = network.ports.iter().map(u16::to_string).collect();
        return denied(&format!("port {port} is not allowed; only {}", ports.join(" and ")));
    }
    match url.host() {
        None => {
            return Err(Refusal::Malformed("the address has no host; write it as https://host/path".into()));
        }
        Some(Host::Ipv4(address)) if !network.accepts(address.into()) => return denied(NOT_PUBLIC),
        Some(Host::Ipv6(address)) if !network.accepts(address.into()) => return denied(NOT_PUBLIC),
        // RFC 6761: these names are loopback, so no name server is asked
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            if name == "localhost" || name.ends_with(".localhost") {
                return denied(NOT_PUBLIC);
            }
            if name.is_empty() {
                return Err(Refusal::Malformed(
                    "the address has no host; write it as https://host/path".into(),
                ));
            }
        }
        Some(_) => {}
    }
    url.set_fragment(None);
    Ok(url)
}

const NOT_PUBLIC: &str = "it is not a public address; only hosts that everybody can reach are allowed";

/// The addresses of a checked URL's host. All of them are public.
pub(super) fn resolve(url: &Url, network: &Network, stop: &AtomicBool) -> Result<Vec<IpAddr>, Refusal> {
    let name = match url.host() {
        Some(Host::Ipv4(address)) => return Ok(vec![address.into()]),
        Some(Host::Ipv6(address)) => return Ok(vec![address.into()]),
        Some(Host::Domain(name)) => name.to_string(),
        None => return Err(Refusal::Malformed("the address has no host".into())),
    };
    let host = shown_host(url);
    let port = url.port_or_known_default().unwrap_or_default();
    let found = ask(&network.resolver, name, port, network.connect_limit, stop)?;
    let found =
        found.map_err(|reason| Refusal::Failed(format!("{host}: the name cannot be resolved ({reason})")))?;
    if found.is_empty() {
        return Err(Refusal::Failed(format!("{host}: the name has no addresses")));
    }
    // one address that is not public is enough to refuse: public names have no such addresses
    if !found.iter().all(|address| network.accepts(*address)) {
        return Err(Refusal::NotAllowed(format!("{host}: {NOT_PUBLIC}")));
    }
    Ok(found)
}

/// Asks the resolver in a thread of its own, since the system's cannot be interrupted.
fn ask(
    resolver: &Resolver,
    name: String,
    port: u16,
    limit: Duration,
    stop: &AtomicBool,
) -> Result<Result<Vec<IpAddr>, String>, Refusal> {
    let (send, answer) = sync_channel(1);
    let resolver = resolver.clone();
    let work = move || {
        // nobody listens any more after the time limit
        let _ = send.send(resolver(&name, port));
    };
    if let Err(error) = std::thread::Builder::new().name("resolve".into()).spawn(work) {
        return Ok(Err(error.to_string()));
    }
    let began = Instant::now();
    loop {
        match answer.recv_timeout(INTERVAL) {
            Ok(found) => return Ok(found.map_err(|error| error.to_string())),
            Err(RecvTimeoutError::Disconnected) => return Ok(Err("the resolver failed".into())),
            Err(RecvTimeoutError::Timeout) if stop.load(Ordering::Relaxed) => return Err(Refusal::Stopped),
            Err(RecvTimeoutError::Timeout) if began.elapsed() > limit => {
                return Ok(Err(format!("no answer within {} s", limit.as_secs())));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

impl Network {
    fn accepts(&self, address: IpAddr) -> bool {
        (is_public(address) && !is_own(address)) || self.trusted.contains(&address)
    }
}

/// Whether a network interface of this machine has the address: its other services are not for clients of this one.
fn is_own(address: IpAddr) -> bool {
    let interfaces = nix::ifaddrs::getifaddrs().into_iter().flatten();
    interfaces.filter_map(|interface| interface.address).any(|own| {
        own.as_sockaddr_in().is_some_and(|own| IpAddr::from(own.ip()) == address)
            || own.as_sockaddr_in6().is_some_and(|own| IpAddr::from(own.ip()) == address)
    })
}

/// The host of a URL in messages: no user part, path or query.
pub(super) fn shown_host(url: &Url) -> String {
    url.host_str().unwrap_or("the address").chars().take(255).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn addresses_of_interfaces_are_known() {
        assert!(is_own(Ipv4Addr::LOCALHOST.into()));
        assert!(!is_own(Ipv4Addr::new(93, 184, 216, 34).into()));
    }
}
