//! People of an ended job. In: `GET /v1/jobs/{id}/people?frame=&track=&from=&to=&format=` with `Accept`. Out: rows as JSON,
//! NDJSON, CSV or Parquet, streamed in constant memory.

mod negotiation;
mod tables;

use super::files::{Disposition, content_disposition, ended_job, file_stem, results_folder, unreadable};
use super::streams::stream;
use crate::backend::{PeopleFilter, PeopleFormat};
use crate::problem::Problem;
use crate::service::Service;
use axum::Router;
use axum::extract::{Extension, Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::io;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Answers that are sent at once; each has a thread.
const AT_ONCE: usize = 16;

/// The slots of answers.
#[derive(Clone)]
struct Slots(Arc<Semaphore>);

/// The routes of people, and of small tables.
pub fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/v1/jobs/{id}/people", get(people))
        .layer(Extension(Slots(Arc::new(Semaphore::new(AT_ONCE)))))
        .merge(tables::routes())
}

async fn people(
    State(service): State<Arc<Service>>,
    Extension(slots): Extension<Slots>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    method: Method,
    request: HeaderMap,
) -> Result<Response, Problem> {
    let (filter, wished) = parse_query(query.as_deref().unwrap_or_default())?;
    let format = match wished {
        Some(format) => format,
        None => negotiation::negotiate(&request)?,
    };
    let job = service.blocking(move |service| ended_job(service, &id)).await?;
    let (media_type, extension, disposition) = match format {
        PeopleFormat::Json => ("application/json", "json", Disposition::Inline),
        PeopleFormat::Ndjson => ("application/x-ndjson", "ndjson", Disposition::Inline),
        PeopleFormat::Csv => ("text/csv; charset=utf-8", "csv", Disposition::Attachment),
        PeopleFormat::Parquet => ("application/vnd.apache.parquet", "parquet", Disposition::Attachment),
    };
    let name = format!("{}-people.{extension}", file_stem(&job.name));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (header::CONTENT_DISPOSITION, content_disposition(disposition, &name)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache")),
        (header::VARY, HeaderValue::from_static("accept")),
    ];
    if method == Method::HEAD {
        return Ok(headers.into_response());
    }
    let permit = slots.0.try_acquire_owned().map_err(|_all_taken| {
        let detail = format!("{AT_ONCE} answers of this kind are being sent already; ask again later");
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-downloads", detail).retry_after(5)
    })?;
    let results = results_folder(&service, &job);
    let body = stream(&service, permit, move |service, out| {
        service.backend.write_people(&results, &filter, format, out)
    });
    match body.await {
        Ok(body) => Ok((headers, body).into_response()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && service.done_folder(job.id).exists() => {
            let detail = format!("job {} has no table of people: {error}", job.id);
            Err(Problem::new(StatusCode::NOT_FOUND, "no-such-file", detail))
        }
        Err(error) => Err(unreadable(&service, &job, &format!("people of job {}", job.id), &error)),
    }
}

/// The filter and the format of a query.
fn parse_query(query: &str) -> Result<(PeopleFilter, Option<PeopleFormat>), Problem> {
    let mut filter = PeopleFilter::default();
    let mut format = None;
    let mut seen: Vec<String> = Vec::new();
    for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if seen.iter().any(|other| *other == key) {
            return Err(Problem::malformed(format!("query: `{}` is given twice", key.escape_debug())));
        }
        seen.push(key.clone().into_owned());
        let number = || {
            let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| value.parse::<u64>().ok()).flatten().map(Some).ok_or_else(|| {
                Problem::malformed(format!(
                    "query: `{key}` is `{}` and not a whole number from 0",
                    value.escape_debug()
                ))
            })
        };
        match &*key {
            "frame" => filter.frame = number()?,
            "track" => filter.track = number()?,
            "from" => filter.from = number()?,
            "to" => filter.to = number()?,
            "format" => format = Some(negotiation::format_of_name(&value)?),
            _ => {
                let detail = format!(
                    "query: no such parameter `{}`; there are `frame`, `track`, `from`, `to`, `format`",
                    key.escape_debug()
                );
                return Err(Problem::malformed(detail));
            }
        }
    }
    if let (Some(from), Some(to)) = (filter.from, filter.to)
        && from > to
    {
        return Err(Problem::malformed(format!("query: `from` is {from} and behind `to`, {to}")));
    }
    Ok((filter, format))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_completely_or_refused() {
        let (filter, format) = parse_query("from=2&to=10&track=3&format=csv").unwrap();
        assert_eq!(filter, PeopleFilter { frame: None, track: Some(3), from: Some(2), to: Some(10) });
        assert_eq!(format, Some(PeopleFormat::Csv));
        assert_eq!(parse_query("").unwrap(), (PeopleFilter::default(), None));
        for query in [
            "frame=",
            "frame=-1",
            "frame=+1",
            "frame=1.5",
            "frame=18446744073709551616",
            "frame=1&frame=1",
            "fram=1",
            "from=3&to=2",
            "format=xml",
            "format=",
            "frame=%00",
            "=",
            "track=\u{663}",
        ] {
            let problem = parse_query(query).unwrap_err();
            assert!(problem.status == 400 || problem.status == 406, "{query}: {problem:?}");
        }
    }
}
