//! The sources of a job as local files that do not change any more. In: the request. Out: paths in the job's folder.
//!
//! - An upload is linked, so that its removal does not end the job.
//! - A path is opened anew below its allowed folder. The job reads it through a link to the open descriptor of this process
//!   (`/proc/N/fd/M`). A user who can write to the allowed folder can therefore not replace the file after the check.
//! - A folder of images is copied, because each image would need a descriptor.
//! - An address is fetched.

use super::{Control, free_bytes_above_floor};
use crate::job::{Failure, FailureKind, Job, Progress, Source};
use crate::paths::{self, OpenedPath};
use crate::problem::Problem;
use crate::service::Service;
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Folder of a job's folder with its sources.
pub(super) const SOURCES: &str = "sources";

/// How often the progress of a fetch is stored.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

/// The sources of a job.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    /// Local files or folders, in the order of the request.
    pub(super) sources: Vec<PathBuf>,
    /// Their names as the client gave them, for display.
    pub(super) names: Vec<String>,
    /// Local file of the boxes.
    pub(super) boxes: Option<PathBuf>,
    /// Kept open while the job's process reads them by their descriptors.
    _opened: Vec<OpenedPath>,
}

/// Why a job has no sources.
#[derive(Debug)]
pub(super) enum NotPrepared {
    /// It was canceled, or the server ends.
    Stopped,
    /// It fails.
    Failed(Box<Failure>),
}

impl From<Problem> for NotPrepared {
    fn from(problem: Problem) -> NotPrepared {
        let kind = if problem.name() == "disk-full" { FailureKind::DiskFull } else { FailureKind::BadSource };
        NotPrepared::failed(kind, problem.detail.clone())
    }
}

impl NotPrepared {
    fn failed(kind: FailureKind, message: impl Into<String>) -> NotPrepared {
        NotPrepared::Failed(Box::new(failure(kind, message)))
    }
}

/// A failure without advice.
pub(super) fn failure(kind: FailureKind, message: impl Into<String>) -> Failure {
    Failure { kind, message: message.into(), advice: None, changed_settings: serde_json::Map::new() }
}

/// Prepares the sources of `job` in its folder.
///
/// # Errors
/// If one of them cannot be read or fetched, or the job was stopped.
pub(super) fn prepare(
    service: &Service,
    job: &Job,
    folder: &Path,
    control: &Control,
) -> Result<Prepared, NotPrepared> {
    let mut preparation =
        Preparation { service, job, folder: folder.join(SOURCES), control, opened: Vec::new() };
    let mut sources = Vec::new();
    for (index, source) in job.request.source.iter().enumerate() {
        sources.push(preparation.one(source, &index.to_string())?);
    }
    let boxes = job.request.boxes.as_ref().map(|boxes| preparation.one(boxes, "boxes")).transpose()?;
    if job.request.source.iter().any(|source| matches!(source, Source::Url(_))) {
        // those of uploads and paths were predicted when the job was queued
        let needed = service.backend.predict(&job.request, &sources)?.disk_bytes;
        let free = free_bytes_above_floor(service);
        if needed > free {
            let message = format!("the job needs {needed} bytes of disk space, and {free} are free");
            return Err(NotPrepared::failed(FailureKind::DiskFull, message));
        }
    }
    if control.is_stopped() {
        return Err(NotPrepared::Stopped);
    }
    let names = job.request.source.iter().map(|source| name(service, source)).collect();
    Ok(Prepared { sources, names, boxes, _opened: preparation.opened })
}

struct Preparation<'a> {
    service: &'a Service,
    job: &'a Job,
    folder: PathBuf,
    control: &'a Control,
    opened: Vec<OpenedPath>,
}

impl Preparation<'_> {
    fn one(&mut self, source: &Source, stem: &str) -> Result<PathBuf, NotPrepared> {
        if self.control.is_stopped() {
            return Err(NotPrepared::Stopped);
        }
        let failed = |error: io::Error| {
            let kind = match error.kind() {
                io::ErrorKind::StorageFull => FailureKind::DiskFull,
                _ => FailureKind::Error,
            };
            NotPrepared::failed(kind, format!("cannot prepare the source: {error}"))
        };
        fs::create_dir_all(&self.folder).map_err(failed)?;
        let prepared = match source {
            Source::Upload(id) => self.upload(id, stem),
            Source::Path(given) => self.path(given, stem),
            Source::Url(address) => self.fetch(address, stem),
        };
        // what was stopped fails with an error of its own
        if self.control.is_stopped() { Err(NotPrepared::Stopped) } else { prepared }
    }

    fn upload(&self, id: &str, stem: &str) -> Result<PathBuf, NotPrepared> {
        let bad = |message: String| NotPrepared::failed(FailureKind::BadSource, message);
        let upload = self.service.store.upload(id);
        let upload = upload.map_err(|error| bad(format!("the upload {id}: {error}")))?;
        if upload.is_none_or(|upload| upload.sha256.is_none()) {
            return Err(bad(format!(
                "the upload {id} is not complete or was removed; upload the file again"
            )));
        }
        let lost = |error: io::Error| {
            let message = format!("the file of the upload {id}: {error}; upload it again");
            NotPrepared::failed(FailureKind::Lost, message)
        };
        let file = uploaded_file(&self.service.upload_folder(id)).map_err(lost)?;
        let path = self.folder.join(with_extension_of(stem, &file));
        match fs::hard_link(&file, &path) {
            // the file is there, and the file system has no more links
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                std::os::unix::fs::symlink(&file, &path).map_err(lost)?;
            }
            linked => linked.map_err(lost)?,
        }
        Ok(path)
    }

    fn path(&mut self, given: &str, stem: &str) -> Result<PathBuf, NotPrepared> {
        let opened = self.service.paths.open(given)?;
        let failed = |error: io::Error| {
            NotPrepared::failed(FailureKind::BadSource, format!("the path `{given}`: {error}"))
        };
        if opened.file.metadata().map_err(failed)?.is_dir() {
            let path = self.folder.join(stem);
            let free = free_bytes_above_floor(self.service);
            opened.copy_images(&path, free, &self.control.stopped)?;
            return Ok(path);
        }
        let path = self.folder.join(with_extension_of(stem, &opened.resolved));
        let descriptor = format!("/proc/{}/fd/{}", std::process::id(), opened.file.as_raw_fd());
        std::os::unix::fs::symlink(descriptor, &path).map_err(failed)?;
        self.opened.push(opened);
        Ok(path)
    }

    fn fetch(&self, address: &str, stem: &str) -> Result<PathBuf, NotPrepared> {
        if !self.service.options.allow_url {
            let message = "this server does not fetch addresses any more; upload the file";
            return Err(NotPrepared::failed(FailureKind::BadSource, message));
        }
        let of_address = url::Url::parse(address).map(|address| PathBuf::from(address.path()));
        let path = self.folder.join(with_extension_of(stem, &of_address.unwrap_or_default()));
        let max_bytes = self.service.options.upload_max_bytes.min(free_bytes_above_floor(self.service));
        let mut stored: Option<Instant> = None;
        let began = Instant::now();
        let mut on_bytes = |done: u64, of: Option<u64>| {
            if stored.is_some_and(|stored| stored.elapsed() < PROGRESS_INTERVAL) {
                return;
            }
            stored = Some(Instant::now());
            let seconds = began.elapsed().as_secs_f64();
            let rate = (seconds > 0.5).then(|| done as f64 / seconds);
            let progress = Progress { stage: "fetch".into(), done, of, rate, seconds_left: None };
            // progress that cannot be stored is no reason to stop
            let _ = self.service.store.set_progress(self.job.id, &progress);
        };
        self.service.fetcher.fetch(address, &path, max_bytes, &self.control.stopped, &mut on_bytes)?;
        Ok(path)
    }
}

/// Name of a source for display.
fn name(service: &Service, source: &Source) -> String {
    match source {
        Source::Upload(id) => match service.store.upload(id) {
            Ok(Some(upload)) => upload.name,
            _ => id.clone(),
        },
        Source::Path(given) => paths::last_part(given).to_owned(),
        Source::Url(address) => paths::last_part_of_address(&crate::log::address(address)),
    }
}

/// The one file of an upload's folder.
fn uploaded_file(folder: &Path) -> io::Result<PathBuf> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() && entry.file_name().to_string_lossy().starts_with("source") {
            return Ok(entry.path());
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// `stem` with the extension of `path`, if it is a plain one: programs distinguish images from videos by it.
fn with_extension_of(stem: &str, path: &Path) -> String {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let is_plain =
        (1..=5).contains(&extension.len()) && extension.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_plain { format!("{stem}.{}", extension.to_ascii_lowercase()) } else { stem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ours_but_for_a_plain_extension() {
        for (path, name) in [
            ("/a/B.MP4", "0.mp4"),
            ("x", "0"),
            (".mp4", "0"),
            ("x.m p", "0"),
            ("x.\u{e9}", "0"),
            ("x.longer", "0"),
            ("../x.tar.gz", "0.gz"),
            ("x.mp4\n", "0"),
        ] {
            assert_eq!(with_extension_of("0", Path::new(path)), name, "{path}");
        }
    }
}
