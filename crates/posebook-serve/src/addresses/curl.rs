//! One HTTP request by the program `curl`, to checked addresses. In: URL, addresses, limits, perhaps a body. Out:
//! status and `Location` of the answer, and its body in portions.
//!
//! URL, headers and body are handed over in anonymous files, not as arguments, which all users of the machine can read.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use posebook_core::children;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use url::{Host, Url};

/// Interval between looks at the stop flag, milliseconds.
const INTERVAL_MS: u16 = 25;
/// Maximum size of an answer's headers and curl's messages together, bytes.
const MAX_HEAD: usize = 512 << 10;
/// Bytes per second below which a transfer counts as stalled.
const MIN_SPEED: u32 = 256;
/// Begins the line that curl writes at its end.
const END_MARK: &str = "posebook-end:";

/// A request.
pub(super) struct Request<'a> {
    pub(super) url: &'a Url,
    /// Addresses of the URL's host. curl connects to no other ones.
    pub(super) addresses: &'a [IpAddr],
    /// Headers, and a body that is sent by `POST`; without one it is `GET`.
    pub(super) post: Option<(Headers<'a>, &'a [u8])>,
    /// Maximum size of the answer's body.
    pub(super) max_bytes: u64,
    pub(super) limits: Limits,
}

/// Names and values.
pub(super) type Headers<'a> = &'a [(&'static str, String)];

/// Time limits of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Until the connection stands.
    pub(super) connect: Duration,
    /// Below [`MIN_SPEED`].
    pub(super) stall: Duration,
    /// In all.
    pub(super) overall: Duration,
}

/// Beginning of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) location: Option<String>,
    /// Size of the body in bytes, if the server says it.
    pub(super) length: Option<u64>,
}

/// Why there is no whole answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// curl is not installed.
    NoCurl,
    /// `stop` was set.
    Stopped,
    /// The body is larger than allowed.
    TooLarge,
    /// `on_body` failed.
    Write(io::Error),
    /// The transfer failed: how, as the end of a sentence that begins with the host.
    Transfer(String),
}

/// Gets the head, as soon as it is known, and each portion of the body; it may end the transfer.
pub(super) type OnBody<'a> = dyn FnMut(Option<&Head>, &[u8]) -> io::Result<ControlFlow<()>> + 'a;

/// Executes a request.
pub(super) fn run(request: &Request, stop: &AtomicBool, on_body: &mut OnBody) -> Result<Head, Failure> {
    let internal = |error: io::Error| Failure::Transfer(format!("curl cannot be started: {error}"));
    let config = anonymous_file("request", config(request).as_bytes()).map_err(internal)?;
    let stdin = match request.post {
        Some((_, body)) => Stdio::from(anonymous_file("body", body).map_err(internal)?),
        None => Stdio::null(),
    };
    let mut command = Command::new("curl");
    // `-q` first: curl's own configuration files are not read
    command.args(["-q", "--config", &format!("/proc/{}/fd/{}", std::process::id(), config.as_raw_fd())]);
    let child = children::spawn(&command, [stdin, Stdio::piped(), Stdio::piped()], None);
    let child = child.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::NoCurl,
        _ => internal(error),
    })?;
    let mut transfer = Transfer { child, said: Vec::new(), head: None };
    let ended = transfer.receive(request, stop, on_body);
    transfer.end(request, ended)
}

/// A running curl. Killed when dropped.
struct Transfer {
    child: Child,
    /// What it wrote to standard error: the answer's headers, and its last line.
    said: Vec<u8>,
    head: Option<Head>,
}

/// How the reception ended.
enum Reception {
    /// curl has closed its output.
    Whole,
    /// `on_body` has what it wants.
    Enough,
}

impl Transfer {
    fn receive(
        &mut self,
        request: &Request,
        stop: &AtomicBool,
        on_body: &mut OnBody,
    ) -> Result<Reception, Failure> {
        let (mut body, mut errors) = (self.child.stdout.take(), self.child.stderr.take());
        let mut buffer = vec![0; 64 << 10];
        let mut received = 0_u64;
        // curl applies the limit itself; this check holds for versions that do not
        let deadline = Instant::now() + request.limits.overall + Duration::from_secs(5);
        while body.is_some() || errors.is_some() {
            if stop.load(Ordering::Relaxed) {
                return Err(Failure::Stopped);
            }
            if Instant::now() > deadline {
                return Err(Failure::Transfer("takes too long".into()));
            }
            let ready = wait([body.as_ref().map(AsFd::as_fd), errors.as_ref().map(AsFd::as_fd)]);
            let [has_body, has_errors] = ready.map_err(|error| Failure::Transfer(error.to_string()))?;
            if let Some(pipe) = errors.as_mut().filter(|_| has_errors) {
                let count = pipe.read(&mut buffer).unwrap_or(0);
                self.said.extend_from_slice(&buffer[..count]);
                if self.said.len() > MAX_HEAD {
                    return Err(Failure::Transfer(format!(
                        "sends more than {} KiB of headers",
                        MAX_HEAD >> 10
                    )));
                }
                if self.head.is_none() {
                    self.head = parse_head(&self.said);
                }
                if count == 0 {
                    errors = None;
                }
            }
            if let Some(pipe) = body.as_mut().filter(|_| has_body) {
                let count = pipe.read(&mut buffer).unwrap_or(0);
                received += count as u64;
                if received > request.max_bytes {
                    return Err(Failure::TooLarge);
                }
                if count == 0 {
                    body = None;
                } else if on_body(self.head.as_ref(), &buffer[..count]).map_err(Failure::Write)?.is_break() {
                    return Ok(Reception::Enough);
                }
            }
        }
        Ok(Reception::Whole)
    }

    fn end(mut self, request: &Request, ended: Result<Reception, Failure>) -> Result<Head, Failure> {
        let reception = ended?;
        let no_head = || Failure::Transfer("sends no answer".into());
        if let Reception::Enough = reception {
            return self.head.take().ok_or_else(no_head);
        }
        let status = self.child.wait().map_err(|error| Failure::Transfer(error.to_string()))?;
        let said = String::from_utf8_lossy(&self.said);
        match status.code() {
            Some(0) => {}
            Some(63) => return Err(Failure::TooLarge),
            Some(code) => return Err(Failure::Transfer(reason(code, request))),
            None => return Err(Failure::Transfer("is not reached: curl was killed".into())),
        }
        // curl connects to the checked addresses only; if it did not, its answer is not used
        let end = said.lines().rev().find_map(|line| line.strip_prefix(END_MARK));
        let connected = end.and_then(|end| end.trim().trim_matches(['[', ']']).parse::<IpAddr>().ok());
        if !connected.is_some_and(|address| request.addresses.contains(&address)) {
            return Err(Failure::Transfer("is answered by another address than was checked".into()));
        }
        self.head.take().ok_or_else(no_head)
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        // fails if it has ended by itself
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Which pipes can be read or have ended.
fn wait(pipes: [Option<BorrowedFd>; 2]) -> io::Result<[bool; 2]> {
    let mut polled: Vec<PollFd> =
        pipes.iter().flatten().map(|pipe| PollFd::new(*pipe, PollFlags::POLLIN)).collect();
    match poll(&mut polled, PollTimeout::from(INTERVAL_MS)) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(error) => return Err(error.into()),
    }
    let mut results = polled.iter().map(|polled| polled.any().unwrap_or(true));
    Ok(pipes.map(|pipe| pipe.is_some() && results.next().unwrap_or(false)))
}

/// A file without a name that contains `content`, at its beginning.
fn anonymous_file(name: &str, content: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC)?);
    file.write_all(content)?;
    file.rewind()?;
    Ok(file)
}

/// curl's options for a request, as a configuration file.
fn config(request: &Request) -> String {
    let Limits { connect, stall, overall } = request.limits;
    let mut options: Vec<(&str, String)> = [
        ("url", request.url.as_str()),
        ("proto", "=http,https"),
        ("proto-redir", "=http,https"),
        ("max-redirs", "0"),
        ("noproxy", "*"),
        ("user-agent", concat!("posebook/", env!("CARGO_PKG_VERSION"))),
        ("dump-header", "/dev/stderr"),
        ("write-out", "%{stderr}\nposebook-end:%{remote_ip}\n"),
    ]
    .map(|(name, value)| (name, value.to_string()))
    .into();
    let seconds = |time: Duration| format!("{:.3}", time.as_secs_f64());
    options.push(("connect-timeout", seconds(connect)));
    options.push(("max-time", seconds(overall)));
    options.push(("speed-limit", MIN_SPEED.to_string()));
    options.push(("speed-time", stall.as_secs().max(1).to_string()));
    // 0 would be no limit
    options.push(("max-filesize", request.max_bytes.clamp(1, i64::MAX as u64).to_string()));
    if let Some(Host::Domain(name)) = request.url.host() {
        let addresses: Vec<String> = request.addresses.iter().map(bracketed).collect();
        let (port, addresses) =
            (request.url.port_or_known_default().unwrap_or_default(), addresses.join(","));
        options.push(("resolve", format!("{name}:{port}:{addresses}")));
        // should curl look up the name in another form: any name at this port has these addresses
        options.push(("resolve", format!("*:{port}:{addresses}")));
    }
    if let Some((headers, _)) = request.post {
        options.push(("data-binary", "@-".into()));
        options.extend(headers.iter().map(|(name, value)| ("header", format!("{name}: {value}"))));
        // the body is sent at once
        options.push(("header", "Expect:".into()));
    }
    let mut text = String::from("silent\ngloboff\nno-buffer\nhttp1.1\n");
    for (name, value) in options {
        let value = value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n").replace('\r', r"\r");
        text.push_str(&format!("{name} = \"{value}\"\n"));
    }
    text
}

fn bracketed(address: &IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// The head of the final answer, once it is complete: interim answers (1xx) come before it.
fn parse_head(said: &[u8]) -> Option<Head> {
    let text = String::from_utf8_lossy(said);
    let mut rest = text.as_ref();
    loop {
        let end = [rest.find("\r\n\r\n").map(|at| at + 4), rest.find("\n\n").map(|at| at + 2)];
        let (block, after) = rest.split_at(end.into_iter().flatten().min()?);
        rest = after;
        let mut lines = block.lines().skip_while(|line| line.is_empty());
        let status = lines.next()?.strip_prefix("HTTP/")?.split_whitespace().nth(1)?.parse().ok()?;
        if (100..200).contains(&status) {
            continue;
        }
        let mut head = Head { status, ..Head::default() };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "location" => head.location = Some(value.to_string()),
                "content-length" => head.length = value.parse().ok(),
                _ => {}
            }
        }
        return Some(head);
    }
}

/// What an exit code of curl means, as the end of a sentence that begins with the host.
fn reason(code: i32, request: &Request) -> String {
    let Limits { connect, stall, overall } = request.limits;
    match code {
        5 | 6 => "cannot be found".into(),
        7 => "cannot be reached: the connection was refused, or there is no way to it".into(),
        8 => "does not answer as an HTTP server".into(),
        1 | 52 => "closes the connection without an answer".into(),
        18 => "closed the connection before the whole file was sent".into(),
        28 => format!(
            "is too slow: no connection within {} s, less than {MIN_SPEED} bytes a second for {} s, or more than {} s in all",
            connect.as_secs(),
            stall.as_secs(),
            overall.as_secs()
        ),
        35 | 51 | 53 | 54 | 58 | 59 | 60 | 66 | 77 | 80 | 83 | 90 | 91 => {
            "has no valid certificate, or the encrypted connection failed".into()
        }
        55 | 56 => "broke the connection".into(),
        61 => "sends an encoding that was not asked for".into(),
        code => format!("is not fetched: curl ended with its code {code}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_final_head_is_read_after_interim_ones() {
        let said = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 302 Found\r\nLOCATION:  /x y\r\nContent-Length: 12\r\n\r\nrest";
        let head = Head { status: 302, location: Some("/x y".into()), length: Some(12) };
        assert_eq!(parse_head(said), Some(head));
        for incomplete in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "nonsense\r\n\r\n",
            "HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(parse_head(incomplete.as_bytes()), None, "{incomplete:?}");
        }
    }

    #[test]
    fn nothing_in_an_address_ends_its_line_of_the_configuration() {
        let url = Url::parse("http://example.com/a?\\\"quoted\\n\"").unwrap();
        let limits = Limits {
            connect: Duration::from_secs(1),
            stall: Duration::from_secs(1),
            overall: Duration::from_secs(1),
        };
        let headers = [("X-A", "1\r\noutput = /tmp/x".to_string())];
        let request =
            Request { url: &url, addresses: &[], post: Some((&headers, b"")), max_bytes: 0, limits };
        let text = config(&request);
        assert!(text.contains(r#"header = "X-A: 1\r\noutput = /tmp/x""#), "{text}");
        assert!(
            text.contains("max-filesize = \"1\"") && !text.lines().any(|line| line.starts_with("output")),
            "{text}"
        );
    }
}
