//! Health, readiness, and what the server consists of and does.
//!
//! In: the service. Out: `/healthz`, `/readyz`, `/v1/system`, the discovery document, estimates of waiting times.

use super::{Http, Limits};
use crate::backend::DeviceInfo;
use crate::dispatch::DeviceState;
use crate::job::JobState;
use crate::problem::Problem;
use crate::service::Service;
use crate::store::StoreError;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::SystemTime;

/// Seconds after which to ask again whether the server is ready.
const READY_RETRY: u64 = 5;

pub(crate) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/healthz", get(async || Json(json!({ "status": "ok" }))))
        .route("/readyz", get(ready))
        .route("/v1/system", get(show))
}

/// The devices and what they do; without a dispatcher none.
pub(crate) fn devices(service: &Service) -> Vec<DeviceState> {
    service.dispatcher.get().map(crate::dispatch::Dispatcher::devices).unwrap_or_default()
}

/// Why the server would not run a job that is sent now; empty if it would.
pub(crate) fn not_ready(service: &Service) -> Vec<String> {
    let mut reasons = Vec::new();
    if service.is_draining() {
        reasons.push("the server ends and takes no new jobs".to_owned());
    }
    match service.disk_space() {
        Ok(space) if !space.fits(0) => {
            reasons.push(format!(
                "the disk has {} bytes free, less than the {} that stay free",
                space.free, space.floor
            ));
        }
        Ok(_) => {}
        Err(error) => reasons.push(format!("free disk space is unknown: {error}")),
    }
    let devices = devices(service);
    if devices.is_empty() {
        reasons.push("no device runs jobs".to_owned());
    } else if devices.iter().all(|device| device.blocked.is_some()) {
        for device in devices {
            reasons.push(format!("{}: {}", device.device, device.blocked.unwrap_or_default()));
        }
    }
    reasons
}

async fn ready(State(service): State<Arc<Service>>) -> Result<Json<Value>, Problem> {
    let reasons = service.blocking(not_ready).await;
    if reasons.is_empty() {
        return Ok(Json(json!({ "status": "ready" })));
    }
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", reasons.join("; "))
        .retry_after(READY_RETRY))
}

async fn show(
    State(service): State<Arc<Service>>,
    Extension(http): Extension<Arc<Http>>,
) -> Result<Json<Value>, Problem> {
    service.blocking(move |service| Ok(Json(system(service, &http.limits)?))).await
}

fn system(service: &Service, limits: &Limits) -> Result<Value, Problem> {
    let options = &service.options;
    let counts = service.store.counts()?;
    let count = |state| counts.iter().find(|(known, _)| *known == state).map_or(0, |(_, number)| *number);
    let queued = count(JobState::Queued);
    let space = service.disk_space().ok();
    let states = devices(service);
    let device = |info: &DeviceInfo| {
        let state = states.iter().find(|state| state.device == info.name);
        json!({
            "device": info.name,
            "model": info.model,
            "memory_bytes": info.memory_bytes,
            "job": state.and_then(|state| state.job),
            "blocked": state.and_then(|state| state.blocked.clone()),
        })
    };
    let jobs: serde_json::Map<String, Value> =
        JobState::ALL.iter().map(|state| (state.as_str().to_owned(), count(*state).into())).collect();
    Ok(json!({
        "version": service.backend.version(),
        "uptime_seconds": SystemTime::now().duration_since(service.started).unwrap_or_default().as_secs(),
        "draining": service.is_draining(),
        "ready": not_ready(service).is_empty(),
        "devices": service.devices.iter().map(device).collect::<Vec<_>>(),
        "jobs": jobs,
        "queue": {
            "length": queued,
            "max": options.queue_max,
            "mean_job_seconds": service.store.mean_job_seconds()?,
            "estimated_wait_seconds": Estimate::new(service)?.wait(queued),
        },
        "disk": {
            "free_bytes": space.map(|space| space.free),
            "total_bytes": space.map(|space| space.total),
            "floor_bytes": space.map(|space| space.floor),
        },
        "sources": { "uploads": true, "paths": !options.allow.is_empty(), "urls": options.allow_url },
        "experiments": service.backend.experiments(),
        "limits": {
            "upload_bytes": options.upload_max_bytes,
            "json_bytes": limits.body_bytes,
            "connections": limits.connections,
            "listeners": limits.listeners,
            "wait_seconds": super::prefer::MAX_WAIT,
            "keep_seconds": options.keep.map(|keep| keep.as_secs()),
            "keep_bytes": options.keep_bytes,
            "job_seconds": options.job_time_limit.map(|limit| limit.as_secs()),
        },
    }))
}

/// The discovery document: what `GET /` answers to programs. Blocks.
#[must_use]
pub fn discovery(service: &Service) -> Value {
    json!({
        "name": "posebook",
        "version": service.backend.version(),
        "openapi_url": "/openapi.json",
        "jobs_url": "/v1/jobs",
        "job_url": "/v1/jobs/{id}",
        "uploads_url": "/v1/uploads",
        "events_url": "/v1/events",
        "system_url": "/v1/system",
        "metrics_url": "/metrics",
        "health_url": "/healthz",
        "ready_url": "/readyz",
        // names of Cog's discovery document
        "healthcheck_url": "/health-check",
        "predictions_url": "/predictions",
        "predictions_idempotent_url": "/predictions/{prediction_id}",
        "predictions_cancel_url": "/predictions/{prediction_id}/cancel",
    })
}

/// What the time until a job starts is estimated from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Estimate {
    /// Mean seconds of the last jobs.
    mean: Option<f64>,
    /// Seconds until each device that takes jobs is free; `None` if unknown.
    free_in: Vec<Option<f64>>,
}

impl Estimate {
    /// Takes it from the service.
    pub(crate) fn new(service: &Service) -> Result<Estimate, StoreError> {
        let mean = service.store.mean_job_seconds()?;
        let now = service.store.now();
        let mut free_in = Vec::new();
        for device in devices(service).into_iter().filter(|device| device.blocked.is_none()) {
            let Some(id) = device.job else {
                free_in.push(Some(0.0));
                continue;
            };
            let job = service.store.job(id)?;
            let said = job.as_ref().and_then(|job| job.progress.as_ref()?.seconds_left);
            let elapsed =
                job.and_then(|job| job.started).map(|started| (now - started).max(0) as f64 / 1000.0);
            let usual = mean.map(|mean| (mean - elapsed.unwrap_or(0.0)).max(0.0));
            free_in.push(said.filter(|seconds| seconds.is_finite() && *seconds >= 0.0).or(usual));
        }
        Ok(Estimate { mean, free_in })
    }

    /// Seconds until a job starts before which `ahead` jobs start; `None` if nothing is known.
    pub(crate) fn wait(&self, ahead: u64) -> Option<f64> {
        let mut free_in = self.free_in.clone();
        // each job takes the device that is free first; one of which nothing is known counts as free last
        for _ in 0..ahead.min(10_000) {
            let mean = self.mean?;
            let first = free_in.iter_mut().flatten().min_by(|a, b| a.total_cmp(b))?;
            *first += mean;
        }
        free_in.into_iter().flatten().min_by(f64::total_cmp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(mean: Option<f64>, free_in: &[Option<f64>]) -> Estimate {
        Estimate { mean, free_in: free_in.to_vec() }
    }

    #[test]
    fn jobs_ahead_take_the_device_that_is_free_first() {
        assert_eq!(estimate(None, &[Some(0.0)]).wait(0), Some(0.0));
        assert_eq!(estimate(None, &[Some(0.0)]).wait(1), None);
        assert_eq!(estimate(Some(10.0), &[Some(4.0)]).wait(2), Some(24.0));
        assert_eq!(estimate(Some(10.0), &[Some(4.0), Some(1.0)]).wait(2), Some(11.0));
        assert_eq!(estimate(Some(10.0), &[None, Some(1.0)]).wait(1), Some(11.0));
        assert_eq!(estimate(Some(10.0), &[None]).wait(1), None);
        assert_eq!(estimate(Some(10.0), &[]).wait(0), None);
    }
}
