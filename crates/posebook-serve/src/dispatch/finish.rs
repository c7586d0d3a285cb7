//! The end of a job. In: its folder and how it ended. Out: a synced folder `done/JOB` with its outcome, and then the record.
//!
//! The rename of the folder decides: after it the job ends as its `outcome.json` says, even if the server crashes before the
//! record is written. A cancellation counts if it comes before the rename.

use super::sources::{SOURCES, failure};
use super::{Control, report};
use crate::job::{FailureKind, Job, JobOutcome, OUTCOME_FILE, RESULTS, ResultFile, hexadecimal};
use crate::log;
use crate::options::parse_keep;
use crate::service::Service;
use crate::store::{End, StoreError};
use posebook_core::files::write_atomically;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

/// Largest outcome that is read.
const MAX_OUTCOME: u64 = 1 << 20;
/// How often the record is tried again if the database cannot be written.
const RECORD_INTERVAL: Duration = Duration::from_secs(1);
/// How often it is tried while the server ends; the next start finds the folder.
const TRIES_AT_END: u32 = 3;

/// Reads the outcome of a job's folder.
///
/// # Errors
/// If there is none, or it is not one.
pub(super) fn read_outcome(folder: &Path) -> io::Result<JobOutcome> {
    let mut text = Vec::new();
    File::open(folder.join(OUTCOME_FILE))?.take(MAX_OUTCOME).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

/// How an attempt ended, by the outcome in its folder `done/JOB`.
pub(super) fn end_of(outcome: &JobOutcome) -> End {
    match &outcome.failure {
        _ if outcome.interrupted => End::Canceled,
        Some(failure) => End::Failed(failure.clone()),
        None => End::Succeeded,
    }
}

/// Ends a job: results are hashed and synced, the folder is renamed, and the end is recorded.
pub(super) fn finish(service: &Service, job: &Job, folder: &Path, end: End, control: &Control) {
    let mut end = end;
    let _ = fs::remove_dir_all(folder.join(SOURCES));
    let stored = store_results(service, job, folder, &mut end, control).or_else(|error| {
        report(service, &format!("job {}: cannot store its results: {error}", job.id));
        if end != End::Canceled {
            let kind = match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FailureKind::DiskFull,
                _ => FailureKind::Error,
            };
            if end == End::Succeeded {
                end = End::Failed(failure(kind, format!("cannot store the results: {error}")));
            }
        }
        // without them there may be space for the outcome
        let _ = fs::remove_dir_all(folder.join(RESULTS));
        store_results(service, job, folder, &mut end, control)
    });
    let files = stored.unwrap_or_else(|error| {
        report(service, &format!("job {}: its log is lost: {error}", job.id));
        let _ = fs::remove_dir_all(folder);
        Vec::new()
    });
    record(service, job, &end, &files);
}

/// Hashes, syncs and renames. `end` becomes `Canceled` if the job was canceled meanwhile.
fn store_results(
    service: &Service,
    job: &Job,
    folder: &Path,
    end: &mut End,
    control: &Control,
) -> io::Result<Vec<ResultFile>> {
    let given = read_outcome(folder).ok();
    let files = list_results(&folder.join(RESULTS), &|| *end == End::Succeeded && control.is_canceled())?;
    if control.is_canceled() && *end == End::Succeeded {
        *end = End::Canceled;
    }
    write_outcome(folder, end, given.as_ref())?;
    sync_all(folder)?;
    if control.is_canceled() && *end == End::Succeeded {
        *end = End::Canceled;
        write_outcome(folder, end, given.as_ref())?;
        sync_all(folder)?;
    }
    let done = service.done_folder(job.id);
    match fs::remove_dir_all(&done) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::rename(folder, &done)?;
    for path in [folder, &done] {
        if let Some(parent) = path.parent() {
            File::open(parent)?.sync_all()?;
        }
    }
    Ok(files)
}

/// Writes the outcome that decides, unless the process wrote the same.
fn write_outcome(folder: &Path, end: &End, given: Option<&JobOutcome>) -> io::Result<()> {
    let outcome = JobOutcome {
        failure: match end {
            End::Failed(failure) => Some(failure.clone()),
            End::Succeeded | End::Canceled => None,
        },
        interrupted: *end == End::Canceled,
        summary: given.and_then(|given| given.summary.clone()),
    };
    if given == Some(&outcome) {
        return Ok(());
    }
    write_atomically(&folder.join(OUTCOME_FILE), &serde_json::to_vec_pretty(&outcome)?)
}

/// Records the end of a job whose folder is `done/JOB`. Repeats until the database can be written: the job's device takes no other
/// job before.
fn record(service: &Service, job: &Job, end: &End, files: &[ResultFile]) {
    let mut tries = 0;
    while let Err(error) = try_record(service, job, end, files) {
        if tries == 0 {
            report(service, &format!("job {}: its end: {error}; trying again", job.id));
        }
        tries += 1;
        if service.is_draining() && tries >= TRIES_AT_END {
            return;
        }
        std::thread::sleep(RECORD_INTERVAL);
    }
}

/// Records the end of a job whose folder is `done/JOB`.
///
/// # Errors
/// If the database cannot be written.
pub(super) fn try_record(
    service: &Service,
    job: &Job,
    end: &End,
    files: &[ResultFile],
) -> Result<(), StoreError> {
    let keep = job.request.keep.as_deref().and_then(|keep| parse_keep(keep).ok());
    let keep = keep.unwrap_or(service.options.keep);
    let milliseconds = keep.map(|keep| i64::try_from(keep.as_millis()).unwrap_or(i64::MAX));
    let expires = milliseconds.map(|keep| service.store.now().saturating_add(keep));
    if !service.store.end(job.id, end, files, expires)? {
        report(service, &format!("job {}: it has ended before", job.id));
    } else if let Ok(Some(job)) = service.store.job(job.id) {
        log::job_state(service.options.log, &job);
    }
    Ok(())
}

/// The regular files below `folder` with their hashes, by name. Links are left out, and names that are not UTF-8.
///
/// # Errors
/// If a file cannot be read. If `stop` returns true, there is no error, and the list is incomplete.
pub(super) fn list_results(folder: &Path, stop: &dyn Fn() -> bool) -> io::Result<Vec<ResultFile>> {
    let mut files = Vec::new();
    if folder.is_dir() {
        list_below(folder, "", stop, &mut files)?;
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

fn list_below(
    folder: &Path,
    prefix: &str,
    stop: &dyn Fn() -> bool,
    files: &mut Vec<ResultFile>,
) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let name = format!("{prefix}{name}");
        if kind.is_dir() {
            list_below(&entry.path(), &format!("{name}/"), stop, files)?;
        } else if kind.is_file() {
            let Some((bytes, sha256)) = hash(&entry.path(), stop)? else { return Ok(()) };
            let media_type = media_type(&name).into();
            files.push(ResultFile { name, bytes, sha256, media_type });
        }
    }
    Ok(())
}

/// Size and SHA-256 of a file; `None` if `stop` returned true.
fn hash(path: &Path, stop: &dyn Fn() -> bool) -> io::Result<Option<(u64, String)>> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut block = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        if stop() {
            return Ok(None);
        }
        let read = match file.read(&mut block) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(&block[..read]);
        bytes += read as u64;
    }
    Ok(Some((bytes, hexadecimal(&hasher.finalize()))))
}

/// Syncs all regular files and folders below `folder`, and `folder`.
fn sync_all(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sync_all(&entry.path())?;
        } else if kind.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(folder)?.sync_all()
}

/// Media type of a result by the extension of its name.
pub(super) fn media_type(name: &str) -> &'static str {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    match extension.to_ascii_lowercase().as_str() {
        "mp4" | "m4v" => "video/mp4",
        "mkv" => "video/x-matroska",
        "webm" => "video/webm",
        "mov" => "video/quicktime",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "svg" => "image/svg+xml",
        "csv" => "text/csv; charset=utf-8",
        "txt" | "log" | "bvh" => "text/plain; charset=utf-8",
        "md" => "text/markdown; charset=utf-8",
        "html" => "text/html; charset=utf-8",
        "json" => "application/json",
        "ndjson" | "jsonl" => "application/x-ndjson",
        "toml" => "application/toml",
        "parquet" => "application/vnd.apache.parquet",
        "glb" => "model/gltf-binary",
        "gltf" => "model/gltf+json",
        "zip" => "application/zip",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_regular_files_with_their_hashes_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let inside = |name: &str| folder.path().join(name);
        fs::create_dir(inside("deep")).unwrap();
        fs::write(inside("deep/b.CSV"), "abc").unwrap();
        fs::write(inside("a"), "").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", inside("link.txt")).unwrap();
        std::os::unix::fs::symlink("/etc", inside("folder")).unwrap();
        let files = list_results(folder.path(), &|| false).unwrap();
        let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["a", "deep/b.CSV"]);
        assert_eq!(files[0].sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(files[1].sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!((files[1].bytes, files[1].media_type.as_str()), (3, "text/csv; charset=utf-8"));
        assert_eq!(list_results(&inside("none"), &|| false).unwrap(), []);
        assert_eq!(list_results(folder.path(), &|| true).unwrap(), []);
    }
}
