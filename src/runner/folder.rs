//! A report's folder: made once, never overwritten, whole at every moment.

use super::RunnerError;
use crate::files::{check_folder, write_whole};
use crate::provenance::Source;
use crate::scratch;
use crate::tables::{FrameRow, MemoryRow, PersonRow, Row, RunRow, files};
use std::fs;
use std::path::{Path, PathBuf};
use time::OffsetDateTime;
use time::macros::format_description;

/// The link to the newest report.
const LATEST: &str = "latest";

/// Makes the folder of a new report below `reports`: `<UTC time>-<git hash>`.
///
/// # Errors
/// If it cannot be made.
pub fn create(reports: &Path, source: &Source) -> Result<PathBuf, RunnerError> {
    fs::create_dir_all(reports).map_err(RunnerError::file(reports))?;
    sweep(reports);
    let hash = source.git_hash.as_deref().map_or("nogit", |hash| &hash[..hash.len().min(8)]);
    let stem = format!("{}-{hash}", compact_utc());
    for attempt in 1.. {
        let name = if attempt == 1 { stem.clone() } else { format!("{stem}-{attempt}") };
        let folder = reports.join(name);
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            // another report of this second: the next name is free
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(RunnerError::file(&folder)(error)),
        }
    }
    unreachable!("names do not run out")
}

/// Checks that a report can be written below `reports`, before the work that it is about. Leaves nothing.
///
/// # Errors
/// If it cannot.
pub fn check(reports: &Path) -> Result<(), RunnerError> {
    check_folder(reports).map_err(|source| RunnerError::Output { folder: reports.to_path_buf(), source })
}

/// Removes files that a process which is gone left half written in the reports before.
fn sweep(reports: &Path) {
    scratch::sweep(reports, |stem| stem == LATEST);
    for report in fs::read_dir(reports).into_iter().flatten().flatten() {
        if report.file_type().is_ok_and(|kind| kind.is_dir()) {
            scratch::sweep(&report.path(), |_| true);
        }
    }
}

fn compact_utc() -> String {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    OffsetDateTime::now_utc().format(format).unwrap_or_default()
}

/// The time now, such as `2026-01-31T12:00:00Z`.
pub fn utc_now() -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    OffsetDateTime::now_utc().format(format).unwrap_or_default()
}

/// Writes `text` into the folder.
///
/// # Errors
/// If the disk refuses.
pub fn write_text(folder: &Path, name: &str, text: &str) -> Result<(), RunnerError> {
    let path = folder.join(name);
    write_whole(&path, text.as_bytes()).map_err(RunnerError::file(&path))
}

/// Writes the table of runs, as Parquet and as CSV, in place of the shorter one before.
///
/// # Errors
/// If the disk refuses; then the shorter one is still whole.
pub fn write_runs(folder: &Path, rows: &[RunRow]) -> Result<(), RunnerError> {
    Ok(files::write_with_csv(folder, rows)?)
}

/// Joins the other tables of the runs in `runs` into the report's.
///
/// # Errors
/// If a table cannot be read or the disk refuses.
pub fn join_tables<'r>(
    folder: &Path,
    runs: impl Iterator<Item = &'r Path> + Clone,
) -> Result<(), RunnerError> {
    join::<FrameRow>(folder, runs.clone())?;
    join::<MemoryRow>(folder, runs.clone())?;
    join::<PersonRow>(folder, runs)
}

fn join<'r, R: Row>(folder: &Path, runs: impl Iterator<Item = &'r Path>) -> Result<(), RunnerError> {
    let mut all = files::TableWriter::<R>::create(folder)?;
    for run in runs {
        all.append_table(run)?;
    }
    Ok(all.finish()?)
}

/// Lets `latest` beside the folder point to it. Where there are no links, a file with the name does.
///
/// # Errors
/// If the disk refuses.
pub fn link_latest(folder: &Path) -> Result<(), RunnerError> {
    let (Some(reports), Some(name)) = (folder.parent(), folder.file_name()) else { return Ok(()) };
    let latest = reports.join(LATEST);
    #[cfg(unix)]
    {
        let beside = scratch::beside(&latest);
        let link = std::os::unix::fs::symlink(name, &beside);
        link.and_then(|()| fs::rename(&beside, &latest)).map_err(RunnerError::file(&latest))
    }
    #[cfg(not(unix))]
    {
        write_text(reports, LATEST, &name.to_string_lossy())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Owner;

    #[test]
    fn no_report_takes_the_place_of_another() {
        let reports = tempfile::tempdir().unwrap();
        let source = Source { git_hash: Some("0123456789abcdef".into()), git_dirty: None };
        let first = create(reports.path(), &source).unwrap();
        let second = create(reports.path(), &source).unwrap();
        assert_ne!(first, second);
        assert!(first.to_string_lossy().ends_with("Z-01234567"), "{first:?}");
        // beyond the largest process number there is
        let ended = Owner { process: 99_999_999, ..Owner::this().clone() };
        fs::write(first.join(ended.name("overlay.mp4")), "x").unwrap();
        fs::write(first.join("overlay.mp4"), "x").unwrap();
        create(reports.path(), &source).unwrap();
        assert_eq!(fs::read_dir(&first).unwrap().count(), 1);
        for folder in [&first, &second] {
            link_latest(folder).unwrap();
        }
        #[cfg(unix)]
        assert_eq!(fs::read_link(reports.path().join("latest")).unwrap(), second.file_name().unwrap());
    }
}
