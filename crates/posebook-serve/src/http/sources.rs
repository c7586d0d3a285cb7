//! Checks the sources of a job before it is queued.
//!
//! In: a request. Out: its name for display, its converted path, and that its results fit on the disk. When the job starts, its
//! sources are opened again: what was checked here may have changed by then.

use super::log;
use crate::backend::needs_source;
use crate::job::{JobKind, JobRequest, Source};
use crate::paths::{self, OpenedPath};
use crate::problem::Problem;
use crate::service::Service;
use axum::http::StatusCode;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// Result of the check of a request's sources.
#[derive(Debug)]
pub(crate) struct Checked {
    /// Name for display.
    pub(crate) name: String,
    /// The path of a single source after conversion.
    pub(crate) resolved: Option<String>,
}

/// A source that was checked.
struct Found {
    name: String,
    resolved: Option<PathBuf>,
    /// Where it can be read; `None` for addresses, which are fetched when the job starts.
    path: Option<PathBuf>,
    /// Kept open so that `path` stays what was checked.
    _opened: Option<OpenedPath>,
}

/// Checks settings and sources, and that the disk has the space that the job is predicted to need. Blocks.
///
/// # Errors
/// A problem with the pointer to the part of the request; 507 `disk-full` with the bytes needed and free.
pub(crate) fn check(service: &Service, request: &JobRequest) -> Result<Checked, Problem> {
    request.validate()?;
    service.backend.check(request)?;
    if let Some(address) = &request.webhook {
        service.fetcher.check(address).map_err(|problem| at(problem, "/webhook"))?;
    }
    let alone = request.source.len() == 1;
    let mut found = Vec::new();
    for (index, source) in request.source.iter().enumerate() {
        let pointer = if alone { "/source".into() } else { format!("/source/{index}") };
        found.push(find(service, source).map_err(|problem| at(problem, &pointer))?);
    }
    let boxes = request.boxes.as_ref().map(|boxes| find(service, boxes)).transpose();
    let _boxes = boxes.map_err(|problem| at(problem, "/boxes"))?;

    let paths: Option<Vec<PathBuf>> = found.iter().map(|found| found.path.clone()).collect();
    let needed = match paths {
        Some(paths) if !paths.is_empty() || !needs_source(request.kind) => {
            let predicted = service.backend.predict(request, &paths);
            predicted.map_err(|problem| at(problem, "/source"))?.disk_bytes
        }
        // not known before it is fetched
        _ => 0,
    };
    let space =
        service.disk_space().map_err(|error| Problem::internal(format!("free disk space: {error}")))?;
    if !space.fits(needed) {
        return Err(Problem::disk_full(Some(needed), Some(space.free.saturating_sub(space.floor))));
    }
    let resolved = found.first().filter(|_| alone).and_then(|found| found.resolved.as_ref());
    Ok(Checked {
        name: display_name(request, &found),
        resolved: resolved.map(|path| path.to_string_lossy().into_owned()),
    })
}

fn display_name(request: &JobRequest, found: &[Found]) -> String {
    match (request.kind, &request.experiment, found) {
        (JobKind::Experiment, Some(name), _) => name.clone(),
        (_, _, []) => request.kind.as_str().to_owned(),
        (_, _, [only]) => only.name.clone(),
        (_, _, [first, rest @ ..]) => format!("{} and {} more", first.name, rest.len()),
    }
}

/// The problem with a pointer, unless it has a more exact one.
fn at(problem: Problem, pointer: &str) -> Problem {
    if problem.pointer.is_some() { problem } else { problem.at(pointer) }
}

fn find(service: &Service, source: &Source) -> Result<Found, Problem> {
    match source {
        Source::Upload(id) => {
            let (name, path) = upload(service, id)?;
            Ok(Found { name, resolved: None, path: Some(path), _opened: None })
        }
        Source::Path(given) => {
            let opened = service.paths.open(given)?;
            // the open file under a name that child processes can use too
            let path = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), opened.file.as_raw_fd()));
            let name = paths::last_part(given).to_owned();
            Ok(Found {
                name,
                resolved: Some(opened.resolved.clone()),
                path: Some(path),
                _opened: Some(opened),
            })
        }
        Source::Url(_) if !service.options.allow_url => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "address-not-allowed",
            "the server fetches no addresses; upload the file, or start the server with --allow-url",
        )),
        Source::Url(address) => {
            service.fetcher.check(address)?;
            let shown = log::address(address);
            let name = paths::last_part_of_address(&shown);
            Ok(Found { name, resolved: None, path: None, _opened: None })
        }
    }
}

/// Name and file of a complete upload.
fn upload(service: &Service, id: &str) -> Result<(String, PathBuf), Problem> {
    let unprocessable =
        |name: &str, detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, name, detail);
    let missing = || {
        let shown = log::escape(&id.chars().take(64).collect::<String>());
        unprocessable(
            "no-such-upload",
            format!("`{shown}`: no such upload; send the file to /v1/uploads first"),
        )
    };
    let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let upload = if is_id { service.store.upload(id)? } else { None }.ok_or_else(missing)?;
    if upload.sha256.is_none() {
        let size = upload.size.map_or_else(|| "an unknown number of".into(), |size| size.to_string());
        return Err(unprocessable(
            "upload-incomplete",
            format!("the upload `{id}` has {} of {size} bytes; send the rest first", upload.offset),
        ));
    }
    let path = only_file(&service.upload_folder(id)).ok_or_else(missing)?;
    Ok((upload.name, path))
}

/// The one file in a folder.
fn only_file(folder: &Path) -> Option<PathBuf> {
    let mut entries = std::fs::read_dir(folder).ok()?;
    entries.find_map(|entry| entry.ok().map(|entry| entry.path()).filter(|path| path.is_file()))
}
