//! What happens to every request before and after its route.
//!
//! In: a request. Before: its id, its `Host`, its origin, its token. After: errors as problem+json (or as a page for
//! browsers), headers that all answers have, one line of the log. A panic or a time-out of a route is an error like others.

use super::accept::Ends;
use super::answer::is_allowed_origin;
use super::{Http, answer, log};
use crate::problem::Problem;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

/// Paths that need no token: health, and what the page that asks for the token consists of.
const OPEN_PATHS: [&str; 6] =
    ["/healthz", "/sign-in", "/style.css", "/script.js", "/icon.svg", "/favicon.ico"];

/// The middleware.
pub(crate) async fn all(State(http): State<Arc<Http>>, mut request: Request, next: Next) -> Response {
    let asked = answer::Asked::new(&http, &request, Instant::now());
    let checked = check(&http, &request);
    request.extensions_mut().insert(Arc::clone(&http));
    let response = match checked {
        Err(problem) => problem.into_response(),
        Ok(Some(preflight)) => preflight,
        Ok(None) => work(&http, request, next).await,
    };
    answer::finished(&http, asked, response)
}

/// Runs the route.
async fn work(http: &Http, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    // transfers of files, and Cog's predictions, which wait for their end
    let unlimited = path.starts_with("/v1/uploads") || path.starts_with("/predictions");
    let answer = CatchPanic(Box::pin(next.run(request)));
    let answer =
        if unlimited { Ok(answer.await) } else { tokio::time::timeout(http.limits.work_time, answer).await };
    match answer {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => Problem::internal(format!("panic: {panic}")).into_response(),
        Err(_) => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "timed-out",
            format!("the server did not finish within {} s; try again", http.limits.work_time.as_secs_f64()),
        )
        .retry_after(10)
        .into_response(),
    }
}

/// A future whose panics are its errors.
struct CatchPanic<F>(Pin<Box<F>>);

impl<F: Future> Future for CatchPanic<F> {
    type Output = Result<F::Output, String>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // after a panic the future is dropped and never polled again
        match std::panic::catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => {
                let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
                Poll::Ready(Err(text.unwrap_or_else(|| "no message".into())))
            }
        }
    }
}

/// Checks a request before its route. Out: the answer if it is a preflight.
fn check(http: &Http, request: &Request) -> Result<Option<Response>, Problem> {
    let options = &http.service.options;
    let headers = request.headers();
    let ends = request.extensions().get::<Ends>();
    let local = ends.map_or(options.listen, |ends| ends.local);
    let host = check_host(request, local, options.listen, &options.hosts)?;
    if let Some(preflight) = preflight(request.method(), headers, &options.cors_origins)? {
        return Ok(Some(preflight));
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        check_origin(headers, host.as_deref(), &options.cors_origins)?;
    }
    if !OPEN_PATHS.contains(&request.uri().path()) {
        http.service.auth.check(headers, ends.map(|ends| ends.peer.ip()))?;
    }
    Ok(None)
}

/// Checks that the request was meant for this server: a page of another site whose name was made to resolve to this machine
/// (DNS rebinding) sends that name. Out: the host as sent.
fn check_host(
    request: &Request,
    local: SocketAddr,
    listen: SocketAddr,
    hosts: &[String],
) -> Result<Option<String>, Problem> {
    let mut sent = request.headers().get_all(header::HOST).iter();
    let (first, second) = (sent.next(), sent.next());
    if second.is_some() {
        return Err(Problem::malformed("more than one header Host"));
    }
    let Some(first) = first else {
        // clients older than the header; browsers always send it
        return match request.version() {
            Version::HTTP_10 | Version::HTTP_09 => Ok(None),
            _ => Err(Problem::malformed("no header Host")),
        };
    };
    let malformed = || Problem::malformed("the header Host is not a host with a port");
    let text = first.to_str().map_err(|_| malformed())?;
    let mut authorities = vec![text.parse::<Authority>().map_err(|_| malformed())?];
    authorities.extend(request.uri().authority().cloned());
    for authority in &authorities {
        if authority.as_str().contains('@') {
            return Err(malformed());
        }
        if !is_own(authority, local, listen, hosts) {
            return Err(Problem::new(
                StatusCode::MISDIRECTED_REQUEST,
                "wrong-host",
                format!(
                    "`{}` is not a name of this server; use http://{local}/, or start the server with --host {}",
                    log::escape(authority.as_str()),
                    log::escape(authority.host())
                ),
            ));
        }
    }
    Ok(Some(text.to_ascii_lowercase()))
}

fn is_own(authority: &Authority, local: SocketAddr, listen: SocketAddr, hosts: &[String]) -> bool {
    let host = authority.host();
    if hosts.iter().any(|own| own.eq_ignore_ascii_case(host) || own.eq_ignore_ascii_case(authority.as_str()))
    {
        return true;
    }
    if authority.port_u16().unwrap_or(80) != local.port() {
        return false;
    }
    if host.eq_ignore_ascii_case("localhost") {
        return true;
    }
    // only the usual notation of addresses: `127.1` or `0x7f.1` are no addresses here
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    address.parse::<IpAddr>().is_ok_and(|address| {
        address.is_loopback()
            || address == local.ip()
            || (address == listen.ip() && !address.is_unspecified())
    })
}

/// Checks that a change was not sent by a page of another site.
fn check_origin(headers: &HeaderMap, host: Option<&str>, allowed: &[String]) -> Result<(), Problem> {
    let foreign = |what: String| {
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            "foreign-origin",
            format!(
                "{what}; start the server with --cors-origin ORIGIN to let pages of another site change things"
            ),
        ))
    };
    if let Some(origin) = headers.get(header::ORIGIN) {
        if is_allowed_origin(origin, allowed) {
            return Ok(());
        }
        let text = String::from_utf8_lossy(origin.as_bytes()).to_ascii_lowercase();
        let authority = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        if authority.is_none() || authority != host {
            return foreign(format!("the request comes from a page of `{}`", log::escape(&text)));
        }
    }
    match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) => foreign("the request comes from a page of another site".into()),
    }
}

/// Answers a preflight: allowed for named origins, else refused.
fn preflight(method: &Method, headers: &HeaderMap, allowed: &[String]) -> Result<Option<Response>, Problem> {
    let is_preflight =
        method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let Some(origin) = headers.get(header::ORIGIN).filter(|_| is_preflight) else { return Ok(None) };
    if !is_allowed_origin(origin, allowed) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "foreign-origin",
            "pages of this origin may not read answers; start the server with --cors-origin ORIGIN",
        ));
    }
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, PUT, PATCH, DELETE"),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-type, idempotency-key, if-match, if-none-match, if-range, last-event-id, prefer, range, \
             tus-resumable, upload-length, upload-metadata, upload-offset, x-request-id",
        ),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
    ];
    Ok(Some((StatusCode::NO_CONTENT, headers).into_response()))
}

#[cfg(test)]
mod tests {
    use super::super::answer::request_id;
    use super::*;

    #[test]
    fn only_own_names_and_the_usual_notation_of_addresses_are_hosts() {
        let local: SocketAddr = "127.0.0.1:7878".parse().expect("an address");
        let hosts = ["pose.example".to_owned(), "other.example:8443".to_owned(), "[fd00::1]:80".to_owned()];
        for (host, own) in [
            ("127.0.0.1:7878", true),
            ("localhost:7878", true),
            ("LOCALHOST:7878", true),
            ("[::1]:7878", true),
            ("127.0.0.2:7878", true),
            ("pose.example", true),
            ("pose.example:1234", true),
            ("other.example:8443", true),
            ("[fd00::1]:80", true),
            ("other.example", false),
            ("127.0.0.1", false),
            ("127.0.0.1:80", false),
            ("localhost", false),
            ("localhost.:7878", false),
            ("127.1:7878", false),
            ("0x7f.1:7878", false),
            ("2130706433:7878", false),
            ("0.0.0.0:7878", false),
            ("evil.example:7878", false),
            ("localhost.evil.example:7878", false),
            ("evil.pose.example", false),
            ("[::ffff:127.0.0.1]:7878", false),
            ("10.0.0.1:7878", false),
        ] {
            let authority: Authority = host.parse().expect(host);
            assert_eq!(is_own(&authority, local, local, &hosts), own, "{host}");
        }
    }

    #[test]
    fn request_ids_of_clients_are_taken_if_they_are_plain() {
        for (sent, taken) in [("abc-123", true), ("", false), ("a b", false), ("a\tb", false), ("ä", false)]
        {
            let mut headers = HeaderMap::new();
            headers.insert("x-request-id", HeaderValue::from_bytes(sent.as_bytes()).expect("a value"));
            assert_eq!(request_id(&headers) == sent, taken, "{sent}");
        }
        let long = HeaderMap::from_iter([(
            "x-request-id".parse().expect("a name"),
            HeaderValue::from_str(&"a".repeat(65)).expect("a value"),
        )]);
        assert_eq!(request_id(&long).len(), 32);
    }

    #[test]
    fn a_star_or_null_allows_no_origin() {
        let allowed = ["*".to_owned(), "null".to_owned(), "https://a.example".to_owned()];
        assert!(is_allowed_origin(&HeaderValue::from_static("https://a.example"), &allowed));
        for origin in ["*", "null", "https://b.example", "https://a.example.evil", "https://a.example:444"] {
            assert!(!is_allowed_origin(&HeaderValue::from_static(origin), &allowed), "{origin}");
        }
    }
}
