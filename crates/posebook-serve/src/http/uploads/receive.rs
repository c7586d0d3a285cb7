//! Receives a body. In: the body, and the least number of bytes a second. Out: its pieces, to the thread that writes them; and
//! how it ended.

use super::slots::{Activity, Limits};
use super::writer::Piece;
use crate::service::Service;
use axum::body::Body;
use http_body_util::BodyExt;
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, timeout, timeout_at};

/// How long the rest of a refused body is read.
const DRAIN_TIME: Duration = Duration::from_secs(5);
/// Once a client has sent nothing for this long, the connection is closed: nothing in transit could reset it.
const DRAIN_IDLE: Duration = Duration::from_millis(300);

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// It is whole.
    Complete,
    /// The connection was lost.
    Disconnected,
    /// It came too slowly.
    TooSlow,
    /// It has more bytes than it may have. The piece that has them was not written.
    TooLarge,
    /// Another request asked this one to stop.
    Stopped,
    /// The writing thread ended: its error says why.
    Refused,
}

/// Minimum rate of a body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Bytes in each interval.
    pub bytes: u64,
    /// The interval.
    pub interval: Duration,
}

impl Pace {
    /// The minimum rate of a service's uploads.
    pub(super) fn of(service: &Service, limits: &Limits) -> Pace {
        let interval = service.options.upload_stall;
        let milliseconds = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
        Pace { bytes: limits.floor.saturating_mul(milliseconds) / 1000, interval }
    }
}

/// Sends the pieces of a body of at most `most` bytes to the writer.
pub(super) async fn receive(
    body: &mut Body,
    pieces: Sender<Piece>,
    most: u64,
    pace: Pace,
    activity: &Activity,
) -> Ending {
    let mut window = Instant::now() + pace.interval;
    let mut in_window = 0_u64;
    let mut received = 0_u64;
    loop {
        let frame = tokio::select! {
            frame = timeout_at(window, body.frame()) => frame,
            () = activity.stopped() => return Ending::Stopped,
        };
        let data = match frame {
            Err(_elapsed) => None,
            Ok(None) => {
                return match pieces.send(Piece::End).await {
                    Ok(()) => Ending::Complete,
                    Err(_ended) => Ending::Refused,
                };
            }
            Ok(Some(Err(_lost))) => return Ending::Disconnected,
            // trailers are ignored
            Ok(Some(Ok(frame))) => frame.into_data().ok(),
        };
        if let Some(data) = data {
            activity.touch();
            received = received.saturating_add(data.len() as u64);
            in_window = in_window.saturating_add(data.len() as u64);
            if received > most {
                return Ending::TooLarge;
            }
            let before = Instant::now();
            if pieces.send(Piece::Data(data)).await.is_err() {
                return Ending::Refused;
            }
            // the time that the disk takes is not the client's
            window += before.elapsed();
        }
        if Instant::now() >= window {
            if in_window < pace.bytes {
                return Ending::TooSlow;
            }
            window = Instant::now() + pace.interval;
            in_window = 0;
        }
    }
}

/// Reads the rest of a body for a while, or until nothing comes, and discards it.
pub(super) fn drain(mut body: Body) {
    tokio::spawn(timeout(DRAIN_TIME, async move {
        while let Ok(Some(Ok(_frame))) = timeout(DRAIN_IDLE, body.frame()).await {}
    }));
}
