//! Distributes new events to listeners.
//!
//! In: the events of the store. Out: one copy for each listener. One task reads new events once; a listener reads the database
//! only for what it missed.

use super::log;
use crate::job::{Job, JobId};
use crate::problem::Problem;
use crate::service::Service;
use crate::store::Event;
use axum::body::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OnceCell, broadcast, watch};

/// Events that a listener may be behind before it reads them from the database.
const BEHIND: usize = 256;

/// Events read from the database at a time.
pub(crate) const BATCH: usize = 500;

/// Pause after an error of the database.
const ERROR_PAUSE: Duration = Duration::from_secs(1);

/// An event, ready to be sent.
#[derive(Debug)]
pub(crate) struct Ready {
    /// Number.
    pub(crate) number: i64,
    /// The job that it is about.
    pub(crate) job: JobId,
    /// `state`, `progress`, `log` or `end`.
    pub(crate) kind: String,
    /// Its lines in a stream.
    pub(crate) text: Bytes,
}

impl Ready {
    /// The lines of an event.
    pub(crate) fn new(event: Event) -> Ready {
        let text = format!("id: {}\nevent: {}\ndata: {}\n\n", event.number, event.kind, event.data);
        Ready { number: event.number, job: event.job, kind: event.kind, text: text.into() }
    }
}

/// Whether the server takes jobs and answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It takes jobs.
    Serving,
    /// It takes no new jobs.
    Draining,
    /// It answers nothing more.
    Closing,
}

/// Distributes new events to listeners.
pub(crate) struct Hub {
    events: OnceCell<broadcast::Sender<Arc<Ready>>>,
    phase: watch::Sender<Phase>,
}

impl Default for Hub {
    fn default() -> Hub {
        Hub { events: OnceCell::new(), phase: watch::Sender::new(Phase::Serving) }
    }
}

impl Hub {
    /// The server takes no new jobs: listeners get the event `drain`.
    pub(crate) fn drain(&self) {
        self.phase.send_if_modified(|phase| {
            let first = *phase == Phase::Serving;
            if first {
                *phase = Phase::Draining;
            }
            first
        });
    }

    /// The server ends: streams end.
    pub(crate) fn close(&self) {
        self.phase.send_replace(Phase::Closing);
    }

    /// Changes when the server drains and when it ends.
    pub(crate) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Events from now on.
    pub(crate) async fn subscribe(
        &self,
        service: &Arc<Service>,
    ) -> Result<broadcast::Receiver<Arc<Ready>>, Problem> {
        let sender = self
            .events
            .get_or_try_init(|| async {
                let changes = service.store.changes();
                let newest = service.blocking(|service| service.store.newest_event()).await?;
                let (sender, _) = broadcast::channel(BEHIND);
                let phase = self.phase.subscribe();
                tokio::spawn(forward(Arc::clone(service), changes, newest, sender.clone(), phase));
                Ok::<_, Problem>(sender)
            })
            .await?;
        Ok(sender.subscribe())
    }

    /// Waits until `until` is true of a job, or for `limit`; `None` waits as long as the server runs. Out: the job as it is
    /// then.
    ///
    /// # Errors
    /// `no-such-job`; if the database fails.
    pub(crate) async fn wait(
        &self,
        service: &Arc<Service>,
        id: JobId,
        limit: Option<Duration>,
        until: impl Fn(&Job) -> bool,
    ) -> Result<Job, Problem> {
        let mut events = self.subscribe(service).await?;
        let mut phase = self.phase.subscribe();
        let mut over = std::pin::pin!(async {
            match limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        });
        loop {
            let job = service.blocking(move |service| service.store.job(id)).await?;
            let job = job.ok_or_else(|| Problem::no_such_job(id))?;
            if until(&job) {
                return Ok(job);
            }
            loop {
                tokio::select! {
                    () = &mut over => return Ok(job),
                    ended = phase.wait_for(|phase| *phase == Phase::Closing) => {
                        drop(ended);
                        return Ok(job);
                    }
                    event = events.recv() => match event {
                        Ok(event) if event.job == id && event.kind != "log" => break,
                        Ok(_) => {}
                        Err(broadcast::error::RecvError::Lagged(_)) => break,
                        Err(broadcast::error::RecvError::Closed) => return Ok(job),
                    },
                }
            }
        }
    }
}

/// Reads new events and sends them to the listeners, until the server ends.
async fn forward(
    service: Arc<Service>,
    mut changes: watch::Receiver<i64>,
    mut last: i64,
    sender: broadcast::Sender<Arc<Ready>>,
    mut phase: watch::Receiver<Phase>,
) {
    loop {
        changes.borrow_and_update();
        match service.blocking(move |service| service.store.events(None, last, BATCH)).await {
            Ok(events) => {
                let full = events.len() == BATCH;
                for event in events {
                    last = event.number;
                    // fails if there are no listeners
                    let _ = sender.send(Arc::new(Ready::new(event)));
                }
                if full {
                    continue;
                }
            }
            Err(error) => {
                log::error(service.options.log, &format!("events: {error}"));
                tokio::time::sleep(ERROR_PAUSE).await;
            }
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            ended = phase.wait_for(|phase| *phase == Phase::Closing) => {
                drop(ended);
                return;
            }
        }
    }
}
