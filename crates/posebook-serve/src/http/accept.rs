//! The loop that accepts connections.
//!
//! In: a listening socket. Out: answered requests. A connection has limits in time (for the head of a request, and for
//! reading answers) and size (of the head); connections are limited in number, and those that only listen to events or wait
//! for a job are counted apart, so that they do not keep others out.

use super::{Http, Limits, log, routes};
use crate::problem::Problem;
use crate::service::Service;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use nix::sys::socket::{setsockopt, sockopt};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt;

/// Maximum number of connections beyond the limit that are being answered 503; further ones are closed without an answer.
const MAX_REFUSALS: usize = 64;

/// How long a connection beyond the limit is kept so that its answer arrives.
const REFUSAL_TIME: Duration = Duration::from_secs(1);

/// Interval at which the loop checks whether the server drains.
const DRAIN_CHECK: Duration = Duration::from_millis(100);

/// Pause after an error of `accept`, such as no free descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Ends of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    /// This side.
    pub(crate) local: SocketAddr,
    /// The other side.
    pub(crate) peer: SocketAddr,
}

/// The permit of a connection, of which there are [`Limits::connections`].
#[derive(Clone)]
pub(crate) struct ConnectionPermit(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl ConnectionPermit {
    fn new(permit: OwnedSemaphorePermit) -> ConnectionPermit {
        ConnectionPermit(Arc::new(Mutex::new(Some(permit))))
    }

    fn release(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Exchanges the permit of a request's connection for one of the [`Limits::listeners`], which is held until it is
/// dropped. The answer must close the connection.
///
/// # Errors
/// 503 `too-many-listeners` if there is none.
pub(crate) fn listen(http: &Http, place: Option<&ConnectionPermit>) -> Result<OwnedSemaphorePermit, Problem> {
    let permit = Arc::clone(&http.listeners).try_acquire_owned().map_err(|_| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too-many-listeners",
            format!(
                "{} connections wait for events already; ask for the job at intervals",
                http.limits.listeners
            ),
        )
        .retry_after(10)
    })?;
    if let Some(place) = place {
        place.release();
    }
    Ok(permit)
}

/// Serves connections until `stop` is ready; then event streams end, and answers in progress have [`Limits::close_time`].
/// While the service drains, event streams get the event `drain`.
pub async fn run(
    service: Arc<Service>,
    listener: TcpListener,
    limits: Limits,
    stop: impl Future<Output = ()>,
) {
    let format = service.options.log;
    let http = Http::new(service, limits);
    let router = routes(&http);
    let places = Arc::new(Semaphore::new(http.limits.connections));
    let refusals = Arc::new(Semaphore::new(MAX_REFUSALS));
    let connections = GracefulShutdown::new();
    let mut drain_check = tokio::time::interval(DRAIN_CHECK);
    let mut stop = std::pin::pin!(stop);
    super::metrics::watch_ends(&http).await;
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            _ = drain_check.tick() => {
                if http.service.is_draining() {
                    http.hub.drain();
                }
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                log::error(format, &format!("cannot accept connections: {error}"));
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match Arc::clone(&places).try_acquire_owned() {
            Ok(permit) => connect(&http, &router, &connections, stream, peer, permit),
            Err(_) => {
                http.metrics.connection_refused();
                if let Ok(permit) = Arc::clone(&refusals).try_acquire_owned() {
                    tokio::spawn(refuse(stream, http.limits.connections, permit));
                }
            }
        }
    }
    drop(listener);
    http.hub.close();
    // what is not sent by then is cut off when the runtime ends
    let _ = tokio::time::timeout(http.limits.close_time, connections.shutdown()).await;
}

/// Serves one connection.
fn connect(
    http: &Arc<Http>,
    router: &axum::Router,
    connections: &GracefulShutdown,
    stream: TcpStream,
    peer: SocketAddr,
    permit: OwnedSemaphorePermit,
) {
    let limits = &http.limits;
    let Ok(local) = stream.local_addr() else { return };
    // both options only improve the connection
    let _ = stream.set_nodelay(true);
    let stall = u32::try_from(limits.stall_time.as_millis()).unwrap_or(u32::MAX);
    let _ = setsockopt(&stream, sockopt::TcpUserTimeout, &stall);

    let place = ConnectionPermit::new(permit);
    let router = router.clone();
    let kept_place = place.clone();
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(Ends { local, peer });
        request.extensions_mut().insert(place.clone());
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_header_size(limits.head_bytes)
        .max_headers(limits.head_lines)
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    let connection = connections.watch(connection);
    let guard = http.metrics.connection();
    tokio::spawn(async move {
        // an error means that the client left or broke a limit of the protocol: the connection is closed
        let _ = connection.await;
        kept_place.release();
        drop(guard);
    });
}

/// Answers 503 because all connections are in use, and closes the connection.
async fn refuse(mut stream: TcpStream, places: usize, permit: OwnedSemaphorePermit) {
    let problem = Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "too-many-connections",
        format!("all {places} connections are in use; try again in a second"),
    )
    .retry_after(1);
    let body = serde_json::to_string(&problem).unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\n\
         Retry-After: 1\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let refusal = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        // a socket that is closed with unread bytes is reset, and the answer may be lost with it
        let mut rest = [0; 1024];
        while stream.read(&mut rest).await? > 0 {}
        std::io::Result::Ok(())
    };
    let _ = tokio::time::timeout(REFUSAL_TIME, refusal).await;
    drop(permit);
}
