//! Adds a job to the queue, for all interfaces.
//!
//! In: a request, perhaps with an id or a key. Out: the job, new or the same as before.

use super::{Http, log, sources};
use crate::job::{Job, JobId, JobRequest};
use crate::problem::Problem;
use crate::service::Service;
use crate::store::{Added, NewJob};
use axum::http::{HeaderMap, StatusCode};
use std::sync::Arc;

/// Seconds after which to try again if there is no rate of jobs yet.
const RETRY_SECONDS: f64 = 30.0;

/// Most seconds after which to try again.
const MAX_RETRY_SECONDS: f64 = 3600.0;

/// Characters of an idempotency key.
const MAX_KEY: usize = 255;

/// A job to add.
#[derive(Debug)]
pub(crate) struct Submission {
    /// What to do.
    pub(crate) request: JobRequest,
    /// Id that the client chose.
    pub(crate) id: Option<JobId>,
    /// `Idempotency-Key`.
    pub(crate) key: Option<String>,
    /// The job that this one repeats.
    pub(crate) retry_of: Option<JobId>,
}

impl Submission {
    /// A request without id and key.
    pub(crate) fn new(request: JobRequest) -> Submission {
        Submission { request, id: None, key: None, retry_of: None }
    }
}

/// Adds a job. Out: the job, and whether it is new.
///
/// # Errors
/// 422 for an invalid request, 429 `queue-full`, 503 `draining`, 507 `disk-full`, 422 `key-reused`.
pub(crate) async fn submit(http: &Arc<Http>, submission: Submission) -> Result<(Job, bool), Problem> {
    let (job, is_new) = http.service.blocking(move |service| submit_blocking(service, submission)).await?;
    if is_new {
        log::job_state(http.service.options.log, &job);
        if let Some(dispatcher) = http.service.dispatcher.get() {
            dispatcher.wake();
        }
    }
    Ok((job, is_new))
}

/// As [`submit`], without waking the dispatcher. Blocks.
///
/// # Errors
/// As [`submit`].
pub(crate) fn submit_blocking(service: &Service, submission: Submission) -> Result<(Job, bool), Problem> {
    let Submission { request, id, key, retry_of } = submission;
    let is_repeatable = id.is_some() || key.is_some();
    let mut new = NewJob {
        id: id.unwrap_or_else(JobId::random),
        request,
        name: String::new(),
        resolved: None,
        retry_of,
        idempotency_key: key,
    };
    // a client repeats a request whose answer was lost, also while the queue is full and after the source was removed
    if is_repeatable && let Some(known) = known(service.store.add(&new, 0)?)? {
        return Ok((known, false));
    }
    if service.is_draining() {
        return Err(draining());
    }
    if queued(service)? >= service.options.queue_max as u64 {
        return Err(queue_full(service)?);
    }
    let checked = sources::check(service, &new.request)?;
    new.name = checked.name;
    new.resolved = checked.resolved;
    match service.store.add(&new, service.options.queue_max)? {
        Added::New(job) => Ok((job, true)),
        Added::QueueFull => Err(queue_full(service)?),
        other => {
            known(other)?.map(|job| (job, false)).ok_or_else(|| Problem::internal("a job was not added"))
        }
    }
}

/// The job that was accepted before.
fn known(added: Added) -> Result<Option<Job>, Problem> {
    match added {
        Added::Same(job) => Ok(Some(job)),
        Added::KeyReused => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "key-reused",
            "another request was sent under this key or id before; use a new one for a new request",
        )),
        Added::New(_) | Added::QueueFull => Ok(None),
    }
}

fn queued(service: &Service) -> Result<u64, Problem> {
    let counts = service.store.counts()?;
    Ok(counts
        .iter()
        .find(|(state, _)| *state == crate::job::JobState::Queued)
        .map_or(0, |(_, number)| *number))
}

/// 503: the server ends soon.
pub(crate) fn draining() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "draining",
        "the server ends and takes no new jobs; queued jobs go on when it starts again",
    )
    .retry_after(10)
}

/// 429 with the time in which a job leaves the queue, by the rate of the last jobs.
fn queue_full(service: &Service) -> Result<Problem, Problem> {
    let mean = service.store.mean_job_seconds()?;
    let seconds = mean.map_or(RETRY_SECONDS, |mean| mean / service.devices.len().max(1) as f64);
    let seconds = seconds.ceil().clamp(1.0, MAX_RETRY_SECONDS);
    Ok(Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "queue-full",
        format!("{} jobs are queued, which is the most; try again in {seconds} s", service.options.queue_max),
    )
    .retry_after(seconds as u64))
}

/// `Idempotency-Key`: a string in quotes as the draft has it, or without.
///
/// # Errors
/// 400 if it is not 1 to 255 visible ASCII characters, or there are two.
pub(crate) fn key_of(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let valid = (1..=MAX_KEY).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !valid || values.next().is_some() {
        return Err(Problem::malformed(format!(
            "the header Idempotency-Key is not one key of 1 to {MAX_KEY} visible ASCII characters, such as a UUID"
        )));
    }
    Ok(Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn keys_are_visible_ascii_with_or_without_quotes() {
        let long = "a".repeat(256);
        for (value, key) in [
            ("8e03978e-40d5-43dd-bc93-6894a57f9324", Some("8e03978e-40d5-43dd-bc93-6894a57f9324")),
            ("\"abc\"", Some("abc")),
            (" abc ", Some("abc")),
            ("", None),
            ("\"\"", None),
            ("a b", None),
            (long.as_str(), None),
        ] {
            let value = HeaderValue::from_str(value).expect("a value");
            let headers = HeaderMap::from_iter([("idempotency-key".parse().expect("a name"), value)]);
            assert_eq!(key_of(&headers).ok().flatten().as_deref(), key);
        }
        assert_eq!(key_of(&HeaderMap::new()), Ok(None));
    }
}
