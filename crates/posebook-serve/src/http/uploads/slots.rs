//! Uploads in progress. In: an upload's id. Out: the right to write to it, for one request at a time; and a permit for one of the
//! bodies that are received at once.

use crate::problem::Problem;
use axum::http::StatusCode;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Bodies that are received at once.
pub(super) const AT_ONCE: usize = 4;

/// Limits of uploads.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// Bodies that are received at once.
    pub at_once: usize,
    /// Bytes a second that a body must bring, as a mean over each interval of
    /// [`Options::upload_stall`](crate::Options::upload_stall).
    pub floor: u64,
    /// Bytes after which an upload is synced.
    pub sync_bytes: u64,
    /// Time after which an upload is synced.
    pub sync_time: Duration,
    /// A request that has received nothing for this long is stopped when another request wants to resume its upload.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            at_once: AT_ONCE,
            floor: 1024,
            sync_bytes: 16 << 20,
            sync_time: Duration::from_secs(1),
            idle: Duration::from_secs(2),
        }
    }
}

/// The uploads in progress of a server.
#[derive(Debug, Clone)]
pub(super) struct Uploads {
    /// Limits.
    pub limits: Arc<Limits>,
    slots: Arc<Semaphore>,
    writers: Arc<Mutex<HashMap<String, Arc<Activity>>>>,
}

/// A request that writes to an upload.
#[derive(Debug)]
pub(super) struct Activity {
    stop: watch::Sender<bool>,
    last_piece: Mutex<Instant>,
}

impl Activity {
    /// A piece has arrived.
    pub fn touch(&self) {
        *lock(&self.last_piece) = Instant::now();
    }

    /// Waits until another request asks this one to stop.
    pub async fn stopped(&self) {
        let mut stop = self.stop.subscribe();
        // an error means that the sender was dropped; it is a part of `self`
        let _ = stop.wait_for(|stop| *stop).await;
    }
}

/// The right to write to an upload, until it is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    /// The request that has it.
    pub activity: Arc<Activity>,
    id: String,
    uploads: Uploads,
}

impl Drop for Claim {
    fn drop(&mut self) {
        lock(&self.uploads.writers).remove(&self.id);
    }
}

impl Uploads {
    /// No uploads yet.
    pub fn new(limits: Limits) -> Uploads {
        let slots = Arc::new(Semaphore::new(limits.at_once));
        Uploads { limits: Arc::new(limits), slots, writers: Arc::default() }
    }

    /// A permit to receive a body.
    ///
    /// # Errors
    /// 429 if all are taken.
    pub fn slot(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.slots).try_acquire_owned().map_err(|_all_taken| {
            let detail =
                format!("{} uploads are being received already; try again later", self.limits.at_once);
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-uploads", detail).retry_after(5)
        })
    }

    /// The right to write to an upload.
    ///
    /// # Errors
    /// 423 if another request has it.
    pub fn claim(&self, id: &str) -> Result<Claim, Problem> {
        let mut writers = lock(&self.writers);
        if writers.contains_key(id) {
            let detail =
                format!("another request writes to upload {id}; ask for its offset by HEAD, and go on there");
            return Err(Problem::new(StatusCode::LOCKED, "upload-locked", detail).retry_after(1));
        }
        let activity =
            Arc::new(Activity { stop: watch::Sender::new(false), last_piece: Mutex::new(Instant::now()) });
        writers.insert(id.to_owned(), Arc::clone(&activity));
        Ok(Claim { activity, id: id.to_owned(), uploads: self.clone() })
    }

    /// Asks the request that writes to an upload to stop, if it has brought nothing for `idle`, and waits for it for at most
    /// `timeout`.
    pub async fn interrupt(&self, id: &str, idle: Duration, timeout: Duration) {
        let end = Instant::now() + timeout;
        while let Some(activity) = self.writer(id) {
            if lock(&activity.last_piece).elapsed() < idle || Instant::now() >= end {
                return;
            }
            activity.stop.send_replace(true);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn writer(&self, id: &str) -> Option<Arc<Activity>> {
        lock(&self.writers).get(id).cloned()
    }
}

/// The value behind a lock, also after a panic elsewhere: no code leaves it half-changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
