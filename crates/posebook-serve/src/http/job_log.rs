//! `GET /v1/jobs/{id}/log`: the messages of a job's process, all or the last lines.

use super::parse_id;
use crate::job::{Job, LOG_FILE};
use crate::problem::Problem;
use crate::service::Service;
use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

/// Bytes of a log that are sent at most: what the server writes of it.
const MAX_BYTES: u64 = (10 << 20) + 4096;

/// Most lines that can be asked for.
const MAX_LINES: usize = 100_000;

pub(crate) fn routes() -> Router<Arc<Service>> {
    Router::new().route("/v1/jobs/{id}/log", get(show))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogQuery {
    /// Number of lines from the end; all without it.
    tail: Option<usize>,
}

async fn show(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    query: Result<Query<LogQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|error| Problem::malformed(error.body_text()))?;
    if let Some(lines) = query.tail.filter(|lines| *lines > MAX_LINES) {
        return Err(Problem::malformed(format!("tail={lines}: it must be at most {MAX_LINES}")));
    }
    let id = parse_id(&id)?;
    service
        .blocking(move |service| {
            let job = service.store.job(id)?.ok_or_else(|| Problem::no_such_job(id))?;
            if job.expired {
                return Err(Problem::expired(id));
            }
            let text = log_tail(service, &job, query.tail)
                .map_err(|error| Problem::internal(format!("the log of job {id}: {error}")))?;
            Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
        })
        .await
}

/// The last `lines` lines of a job's log, or all; empty before the job wrote one.
///
/// # Errors
/// If the file cannot be read.
pub(crate) fn log_tail(service: &Service, job: &Job, lines: Option<usize>) -> io::Result<String> {
    // the folder is renamed at the end of a job, perhaps between these two looks
    let folders =
        [service.done_folder(job.id), service.work_folder(job.id, job.attempt), service.done_folder(job.id)];
    for folder in folders {
        match File::open(folder.join(LOG_FILE)) {
            Ok(file) => return tail(file, lines),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(String::new())
}

fn tail(mut file: File, lines: Option<usize>) -> io::Result<String> {
    let size = file.metadata()?.len();
    let mut from = size.saturating_sub(MAX_BYTES);
    if let Some(lines) = lines {
        from = from.max(start_of(&mut file, size, lines)?);
    }
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Where the last `lines` lines begin: reads backwards in pieces.
fn start_of(file: &mut File, size: u64, lines: usize) -> io::Result<u64> {
    const PIECE: u64 = 64 << 10;
    if lines == 0 {
        return Ok(size);
    }
    let mut left = lines;
    let mut end = size;
    while end > 0 && size - end < MAX_BYTES {
        let start = end.saturating_sub(PIECE);
        let mut piece = vec![0; (end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut piece)?;
        for (index, byte) in piece.iter().enumerate().rev() {
            let after = start + index as u64 + 1;
            // the line break at the very end ends the last line
            if *byte == b'\n' && after != size {
                left -= 1;
                if left == 0 {
                    return Ok(after);
                }
            }
        }
        end = start;
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn tail_of(text: &str, lines: Option<usize>) -> String {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        tail(file, lines).expect("a tail")
    }

    #[test]
    fn the_tail_is_whole_lines_from_the_end() {
        for (text, lines, expected) in [
            ("a\nb\nc\n", Some(2), "b\nc\n"),
            ("a\nb\nc", Some(2), "b\nc"),
            ("a\nb\nc\n", Some(3), "a\nb\nc\n"),
            ("a\nb\nc\n", Some(9), "a\nb\nc\n"),
            ("a\nb\nc\n", Some(0), ""),
            ("a\nb\nc\n", None, "a\nb\nc\n"),
            ("", Some(5), ""),
            ("\n\n\n", Some(2), "\n\n"),
        ] {
            assert_eq!(tail_of(text, lines), expected, "{text:?} {lines:?}");
        }
    }

    #[test]
    fn long_logs_are_read_in_pieces_from_the_end() {
        let text: String = (0..40_000).map(|line| format!("line {line}\n")).collect();
        let expected: String = (20_000..40_000).map(|line| format!("line {line}\n")).collect();
        assert_eq!(tail_of(&text, Some(20_000)), expected);
        let huge = "x".repeat(11 << 20);
        assert_eq!(tail_of(&huge, Some(1)).len() as u64, MAX_BYTES);
    }
}
