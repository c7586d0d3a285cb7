//! Server-sent events: changes of one job or of all, as they are stored.
//!
//! In: the events of the store. Out: streams, each event with its number, so that a client that was cut off goes on after
//! `Last-Event-ID`, also after a restart of the server.

use super::accept::{ConnectionPermit, listen};
use super::hub::{BATCH, Phase, Ready};
use super::{Http, log};
use crate::job::JobId;
use crate::problem::Problem;
use crate::service::Service;
use crate::store::Event;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use hyper::body::Frame;
use serde::Deserialize;
use std::collections::HashSet;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::{OwnedSemaphorePermit, broadcast, mpsc};

/// Events that wait in a stream for a slow client.
const WAITING: usize = 16;

/// Milliseconds after which a client connects again.
const RETRY_MS: u64 = 2000;

pub(crate) fn routes() -> Router<Arc<Service>> {
    Router::new().route("/v1/events", get(of_all)).route("/v1/jobs/{id}/events", get(of_job))
}

/// Where a stream begins.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Start {
    /// Number of the last event that the client has.
    after: Option<String>,
}

/// The number of the last event that a client has: `Last-Event-ID`, which a browser sends when it connects again, before the
/// query's `after`.
fn last_event(headers: &HeaderMap, query: &Start) -> Result<Option<i64>, Problem> {
    let header =
        headers.get("last-event-id").map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    // a browser sends an empty id if it has none
    let Some(text) = header.filter(|text| !text.is_empty()).or_else(|| query.after.clone()) else {
        return Ok(None);
    };
    let valid = !text.is_empty() && text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if valid => Ok(Some(number)),
        _ => Err(Problem::malformed(format!(
            "`{}` is not the number of an event; send the `id` of the last one, or none",
            log::escape(&text.chars().take(40).collect::<String>())
        ))),
    }
}

async fn of_all(
    State(service): State<Arc<Service>>,
    Extension(http): Extension<Arc<Http>>,
    place: Option<Extension<ConnectionPermit>>,
    query: Result<Query<Start>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|error| Problem::malformed(error.body_text()))?;
    let newest = service.blocking(|service| service.store.newest_event()).await?;
    let after = last_event(&headers, &query)?.unwrap_or(newest).min(newest);
    stream(http, place.as_deref(), None, after)
}

async fn of_job(
    State(service): State<Arc<Service>>,
    Extension(http): Extension<Arc<Http>>,
    place: Option<Extension<ConnectionPermit>>,
    Path(id): Path<String>,
    query: Result<Query<Start>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|error| Problem::malformed(error.body_text()))?;
    let id: JobId = id.parse().map_err(|_| Problem::no_such_job(log::escape(&id)))?;
    let after = last_event(&headers, &query)?.unwrap_or(0);
    let (after, ended) = service
        .blocking(move |service| {
            let after = after.min(service.store.newest_event()?);
            // read before the events: a job that ends in between has an event that is not sent yet
            let job = service.store.job(id)?.ok_or_else(|| Problem::no_such_job(id))?;
            let all_sent = service.store.events(Some(id), after, 1)?.is_empty();
            Ok::<_, Problem>((after, job.state.is_final() && all_sent))
        })
        .await?;
    if ended {
        // the only answer after which a browser does not connect again
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    stream(http, place.as_deref(), Some(id), after)
}

/// A stream of the events after number `after`.
fn stream(
    http: Arc<Http>,
    place: Option<&ConnectionPermit>,
    job: Option<JobId>,
    after: i64,
) -> Result<Response, Problem> {
    let permit = listen(&http, place)?;
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(feed(http, job, after, sender, permit));
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CONNECTION, "close"),
        // proxies must not hold events back
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::new(Channel(receiver))).into_response())
}

/// Sends events to one client until the job ended, the client left, or the server ends.
async fn feed(
    http: Arc<Http>,
    job: Option<JobId>,
    after: i64,
    sender: mpsc::Sender<Bytes>,
    permit: OwnedSemaphorePermit,
) {
    // held until this task ends
    let _permit = permit;
    let stall = http.limits.stall_time;
    let send = async |text: Bytes| matches!(tokio::time::timeout(stall, sender.send(text)).await, Ok(Ok(())));
    let Ok(mut live) = http.hub.subscribe(&http.service).await else { return };
    let mut phase = http.hub.phase();
    let mut drain_sent = false;
    let mut comment = tokio::time::interval(http.limits.comment_time);
    comment.reset();
    let mut last = after;
    if !send(format!("retry: {RETRY_MS}\n\n").into()).await {
        return;
    }
    let mut closing = false;
    loop {
        // stored events after the last one that the client has
        loop {
            let read = http.service.blocking(move |service| service.store.events(job, last, BATCH)).await;
            let Ok(events) = read else { return };
            let full = events.len() == BATCH;
            for event in without_old_progress(events) {
                last = event.number;
                let is_end = job.is_some() && event.kind == "end";
                if !send(Ready::new(event).text).await || is_end {
                    return;
                }
            }
            if !full {
                break;
            }
        }
        if closing {
            return;
        }
        // new events
        loop {
            tokio::select! {
                () = sender.closed() => return,
                _ = comment.tick() => if !send(Bytes::from_static(b":\n\n")).await { return },
                changed = phase.changed() => {
                    if changed.is_err() || *phase.borrow_and_update() == Phase::Closing {
                        // the last events, such as that its jobs wait in the queue again
                        closing = true;
                        break;
                    }
                    if !std::mem::replace(&mut drain_sent, true)
                        && !send(Bytes::from_static(b"event: drain\ndata: {\"detail\":\"the server ends soon\"}\n\n")).await
                    {
                        return;
                    }
                }
                event = live.recv() => match event {
                    Ok(event) => {
                        if event.number <= last || job.is_some_and(|job| job != event.job) {
                            continue;
                        }
                        last = event.number;
                        if !send(event.text.clone()).await || (job.is_some() && event.kind == "end") {
                            return;
                        }
                    }
                    Err(broadcast::error::RecvError::Lagged(_)) => break,
                    Err(broadcast::error::RecvError::Closed) => return,
                },
            }
        }
    }
}

/// The events without progress that a later event of the same job replaces.
fn without_old_progress(events: Vec<Event>) -> Vec<Event> {
    let mut newer = HashSet::new();
    let mut kept: Vec<Event> = events
        .into_iter()
        .rev()
        .filter(|event| event.kind != "progress" || newer.insert(event.job))
        .collect();
    kept.reverse();
    kept
}

/// A body of what a task sends.
struct Channel(mpsc::Receiver<Bytes>);

impl HttpBody for Channel {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|text| text.map(|text| Ok(Frame::data(text))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(number: i64, job: JobId, kind: &str) -> Event {
        Event { number, job, kind: kind.into(), data: json!({ "job": job }), time: 0 }
    }

    #[test]
    fn an_event_has_its_number_kind_and_one_line_of_data() {
        let job = JobId::random();
        let mut event = event(7, job, "log");
        event.data = json!({ "text": "a\nb\r\n\nid: 9" });
        let text = String::from_utf8(Ready::new(event).text.to_vec()).expect("text");
        assert_eq!(text, "id: 7\nevent: log\ndata: {\"text\":\"a\\nb\\r\\n\\nid: 9\"}\n\n");
    }

    #[test]
    fn of_missed_progress_only_the_newest_of_a_job_is_sent() {
        let (a, b) = (JobId::random(), JobId::random());
        let events = [
            event(1, a, "state"),
            event(2, a, "progress"),
            event(3, b, "progress"),
            event(4, a, "log"),
            event(5, a, "progress"),
            event(6, a, "end"),
        ];
        let kept: Vec<i64> = without_old_progress(events.into()).iter().map(|event| event.number).collect();
        assert_eq!(kept, [1, 3, 4, 5, 6]);
    }

    #[test]
    fn the_last_event_is_a_plain_number() {
        let query = |after: Option<&str>| Start { after: after.map(str::to_owned) };
        let header = |value: &'static str| {
            HeaderMap::from_iter([(
                "last-event-id".parse().expect("a name"),
                axum::http::HeaderValue::from_static(value),
            )])
        };
        let none = HeaderMap::new();
        assert_eq!(last_event(&none, &query(None)), Ok(None));
        assert_eq!(last_event(&none, &query(Some("12"))), Ok(Some(12)));
        assert_eq!(last_event(&header("13"), &query(Some("12"))), Ok(Some(13)));
        assert_eq!(last_event(&header(""), &query(Some("12"))), Ok(Some(12)));
        for junk in ["-1", "+1", " 1", "1 ", "0x1", "1e3", "99999999999999999999", "a", "1,2"] {
            assert!(last_event(&header(junk), &query(None)).is_err(), "{junk}");
        }
        assert!(last_event(&none, &query(Some(""))).is_err());
    }
}
