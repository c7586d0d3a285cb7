//! A job as JSON.

use super::files::file_json;
use super::system::Estimate;
use crate::job::{Job, Source, rfc3339};
use crate::problem::Problem;
use crate::service::Service;
use crate::store::StoreError;
use axum::http::HeaderValue;
use serde_json::{Value, json};

/// A job as JSON, with its position in the queue and its links.
///
/// # Errors
/// If the database cannot be read.
pub fn job_json(service: &Service, job: &Job) -> Result<Value, Problem> {
    let (position, estimate) = place(service, job)?;
    Ok(render(service, job, position, estimate))
}

/// Number of jobs that start before a queued one, and the seconds until it is expected to start.
pub(crate) fn place(service: &Service, job: &Job) -> Result<(Option<u64>, Option<f64>), StoreError> {
    if job.state.is_final() {
        return Ok((None, None));
    }
    let position = service.store.queue_position(job.id)?;
    let wait = match position {
        Some(position) => Estimate::new(service)?.wait(position),
        None => None,
    };
    Ok((position, wait))
}

/// The same of several jobs, newest first.
pub(crate) fn jobs_json(service: &Service, jobs: &[Job]) -> Result<Vec<Value>, Problem> {
    let any_queued = jobs.iter().any(|job| !job.state.is_final());
    let estimate = if any_queued { Some(Estimate::new(service)?) } else { None };
    let one = |job: &Job| {
        let position = if job.state.is_final() { None } else { service.store.queue_position(job.id)? };
        let wait = position.and_then(|position| estimate.as_ref()?.wait(position));
        Ok(render(service, job, position, wait))
    };
    jobs.iter().map(one).collect()
}

/// A validator of a job's JSON. It is weak: estimates change without a change of the job.
pub(crate) fn etag(job: &Job, position: Option<u64>) -> HeaderValue {
    let text = match position {
        Some(position) => format!("W/\"{}.{position}\"", job.revision),
        None => format!("W/\"{}\"", job.revision),
    };
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("W/\"\""))
}

fn render(service: &Service, job: &Job, position: Option<u64>, wait: Option<f64>) -> Value {
    let request = &job.request;
    let files: Vec<Value> = job.files.iter().map(|file| file_json(job.id, file)).collect();
    let base = format!("/v1/jobs/{}", job.id);
    json!({
        "id": job.id,
        "kind": request.kind,
        "name": job.name,
        "state": job.state,
        "attempt": job.attempt,
        "device": job.device,
        "priority": request.priority,
        "queue_position": position,
        "estimated_wait_seconds": wait,
        "progress": job.progress,
        "failure": job.failure,
        "source": sources(service, job).iter().map(Given::json).collect::<Vec<_>>(),
        "boxes": request.boxes.as_ref().map(|boxes| given(service, boxes, None).json()),
        "experiment": request.experiment,
        "settings": request.settings,
        "webhook": request.webhook,
        "keep": request.keep,
        "created": rfc3339(job.created),
        "started": job.started.map(rfc3339),
        "ended": job.ended.map(rfc3339),
        "expires": job.expires.map(rfc3339),
        "expired": job.expired,
        "retry_of": job.retry_of,
        "files": files,
        "links": {
            "self": base,
            "page": format!("/jobs/{}", job.id),
            "events": format!("{base}/events"),
            "log": format!("{base}/log"),
            "files": format!("{base}/files"),
            "archive": format!("{base}/archive.zip"),
            "people": format!("{base}/people"),
            "memory": format!("{base}/memory"),
            "timeline": format!("{base}/timeline"),
            "stages": format!("{base}/stages"),
            "cancel": format!("{base}/cancel"),
            "retry": format!("{base}/retry"),
        },
    })
}

/// A source as the client wrote it, and as the server opens it.
pub(crate) struct Given {
    /// `upload`, `path` or `url`.
    pub(crate) kind: &'static str,
    /// The id, path or address as the client wrote it.
    pub(crate) given: String,
    /// The path after conversion.
    pub(crate) resolved: Option<String>,
}

impl Given {
    fn json(&self) -> Value {
        json!({ "type": self.kind, "given": self.given, "resolved": self.resolved })
    }
}

/// The sources of a job.
pub(crate) fn sources(service: &Service, job: &Job) -> Vec<Given> {
    let alone = job.request.source.len() == 1;
    let resolved = job.resolved.as_deref().filter(|_| alone);
    job.request.source.iter().map(|source| given(service, source, resolved)).collect()
}

fn given(service: &Service, source: &Source, resolved: Option<&str>) -> Given {
    match source {
        Source::Upload(id) => Given { kind: "upload", given: id.clone(), resolved: None },
        Source::Url(address) => Given { kind: "url", given: address.clone(), resolved: None },
        Source::Path(path) => {
            let converted =
                || service.paths.resolve(path).ok().map(|path| path.to_string_lossy().into_owned());
            Given {
                kind: "path",
                given: path.clone(),
                resolved: resolved.map(str::to_owned).or_else(converted),
            }
        }
    }
}
