//! Removes what is not needed any more: results after their time or beyond their maximum size, expired uploads, old events, and
//! folders that belong to no record. In: the time. Out: removed files.

use super::{Shared, report};
use crate::job::{Job, JobId};
use crate::service::Service;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Interval of the search for results and uploads that have expired.
const INTERVAL: Duration = Duration::from_secs(10);
/// Number of intervals between two searches for leftovers, which read every folder; the first one is at the start.
const SWEEP_INTERVALS: u32 = 60;
/// How old a folder must be that belongs to no record: a record may be about to be written.
const LEFTOVER_AGE: Duration = Duration::from_secs(3600);

/// Removes until the server ends.
pub(super) fn run(service: &Service, shared: &Shared) {
    for interval in (0..SWEEP_INTERVALS).cycle() {
        if shared.is_ending() {
            return;
        }
        if let Err(error) = remove_expired(service) {
            report(service, &format!("cannot remove expired results: {error}"));
        }
        if interval == 0 {
            sweep(service, LEFTOVER_AGE);
        }
        shared.wait_for_end(INTERVAL);
    }
}

fn remove_expired(service: &Service) -> io::Result<()> {
    let (store, now) = (&service.store, service.store.now());
    let due = store.due_for_removal(now, service.options.keep_bytes).map_err(io::Error::other)?;
    for job in due {
        // recorded first: from then on the folder is a leftover, if the removal is interrupted
        store.set_expired(job).map_err(io::Error::other)?;
        remove(service, &service.done_folder(job));
    }
    for id in store.expired_uploads(now).map_err(io::Error::other)? {
        // false if a job that names it was added meanwhile
        if store.delete_upload(&id).map_err(io::Error::other)? {
            remove(service, &service.upload_folder(&id));
        }
    }
    store.prune(now).map_err(io::Error::other)?;
    Ok(())
}

/// Removes folders of ended attempts, of expired jobs, and those older than `age` that belong to no record.
fn sweep(service: &Service, age: Duration) {
    let job_of = |id: &str| -> Option<Option<Job>> {
        let id: JobId = id.parse().ok()?;
        // a folder whose record cannot be read must stay
        service.store.job(id).ok()
    };
    each(service, "work", &|name, path| {
        let Some((id, attempt)) =
            name.rsplit_once('-').and_then(|(id, number)| Some((id, number.parse::<u32>().ok()?)))
        else {
            return is_older(path, age);
        };
        match job_of(id) {
            // the last attempt's log is continued by the next one
            Some(Some(job)) => job.state.is_final() || attempt.saturating_add(1) < job.attempt,
            Some(None) => is_older(path, age),
            None => false,
        }
    });
    each(service, "done", &|name, path| match job_of(name) {
        Some(Some(job)) => job.expired,
        Some(None) => is_older(path, age),
        None => name.parse::<JobId>().is_err() && is_older(path, age),
    });
    each(service, "uploads", &|name, path| {
        matches!(service.store.upload(name), Ok(None)) && is_older(path, age)
    });
}

/// Removes the entries of a folder of the data folder that `is_leftover` chooses.
fn each(service: &Service, folder: &str, is_leftover: &dyn Fn(&str, &Path) -> bool) {
    let Ok(entries) = fs::read_dir(service.options.data.join(folder)) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if is_leftover(&entry.file_name().to_string_lossy(), &path) {
            remove(service, &path);
        }
    }
}

fn is_older(path: &Path, age: Duration) -> bool {
    let modified = fs::symlink_metadata(path).and_then(|about| about.modified());
    // a time in the future is not old: the clock may have been set back
    modified.is_ok_and(|modified| SystemTime::now().duration_since(modified).is_ok_and(|passed| passed > age))
}

fn remove(service: &Service, path: &Path) {
    let is_folder = fs::symlink_metadata(path).is_ok_and(|about| about.is_dir());
    let removed = if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            report(service, &format!("cannot remove {}: {error}", path.display()));
        }
        _ => {}
    }
}
