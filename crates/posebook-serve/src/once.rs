//! One job without HTTP: the same queue, checks and process as for a job that a client posts.
//!
//! In: options and a request. Out: the job after its end.

use crate::backend::Backend;
use crate::dispatch::Dispatcher;
use crate::http::submit;
use crate::job::{Job, JobRequest, JobState};
use crate::options::Options;
use crate::problem::Problem;
use crate::service::{ServeError, Service};
use crate::store::StoreError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Interval at which the job's state is read.
const INTERVAL: Duration = Duration::from_millis(50);

/// Why a job cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum OnceError {
    /// The service cannot start, or ended by an error.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The request is refused.
    #[error("{}", .0.detail)]
    Problem(Problem),
}

impl From<StoreError> for OnceError {
    fn from(error: StoreError) -> OnceError {
        OnceError::Serve(error.into())
    }
}

/// Adds a job to the queue of the data folder with the highest priority, and runs it to its end. Jobs that an earlier server left
/// in the queue may start on other devices; they are queued again. Once `stop` is set the job is interrupted and stays queued.
///
/// # Errors
/// If the service cannot start, or the request is refused.
pub fn once(
    options: Options,
    backend: Arc<dyn Backend>,
    request: JobRequest,
    stop: &AtomicBool,
) -> Result<Job, OnceError> {
    let service = Service::new(options, backend)?;
    let request = JobRequest { priority: PRIORITY, ..request };
    let added = submit::submit_blocking(&service, submit::Submission::new(request));
    let (mut job, _) = added.map_err(OnceError::Problem)?;
    let dispatcher = Dispatcher::start(Arc::clone(&service));
    let dispatcher = dispatcher.map_err(ServeError::io("cannot start the threads of the devices"))?;
    let dispatcher = service.dispatcher.get_or_init(|| dispatcher);
    dispatcher.wake();
    while !job.state.is_final() && !stop.load(Ordering::SeqCst) {
        std::thread::sleep(INTERVAL);
        job = service.store.job(job.id)?.unwrap_or(Job { state: JobState::Canceled, ..job });
    }
    dispatcher.drain(Duration::ZERO);
    Ok(service.store.job(job.id)?.unwrap_or(job))
}

/// Highest priority of a request.
const PRIORITY: i32 = 1_000;
