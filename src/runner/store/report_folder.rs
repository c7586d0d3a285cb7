//! Creates and fills a report's folder. Folders are never overwritten, and every file is written atomically.

use crate::runner::RunnerError;
use posebook_core::files::{check_writable_folder, write_atomically};
use posebook_core::provenance::SourceVersion;
use posebook_core::scratch;
use posebook_notebook::tables::{FrameRow, MemoryRow, PersonRow, RunRow, TableRow, files};
use std::fs;
use std::path::{Path, PathBuf};
use time::OffsetDateTime;
use time::macros::format_description;

/// Name of the link to the newest report.
const LATEST: &str = "latest";

/// Creates the folder of a new report below `reports`: `<UTC time>-<git hash>`.
///
/// # Errors
/// If it cannot be created.
pub fn create(reports: &Path, source: &SourceVersion) -> Result<PathBuf, RunnerError> {
    fs::create_dir_all(reports).map_err(RunnerError::file(reports))?;
    remove_abandoned(reports);
    let hash = source.git_hash.as_deref().map_or("nogit", |hash| &hash[..hash.len().min(8)]);
    let stem = format!("{}-{hash}", compact_utc());
    for attempt in 1.. {
        let name = if attempt == 1 { stem.clone() } else { format!("{stem}-{attempt}") };
        let folder = reports.join(name);
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            // another report of the same second: try the next name
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(RunnerError::file(&folder)(error)),
        }
    }
    unreachable!("the attempts are unbounded")
}

/// The folder of a report: `given`, which is created if it is missing, otherwise a new one below `reports()`.
///
/// # Errors
/// If it cannot be created.
pub fn create_or_use(
    given: Option<&Path>,
    source: &SourceVersion,
    reports: impl FnOnce() -> PathBuf,
) -> Result<PathBuf, RunnerError> {
    let Some(folder) = given else { return create(&reports(), source) };
    fs::create_dir_all(folder).map_err(RunnerError::file(folder))?;
    Ok(folder.to_path_buf())
}

/// Checks that a report can be written below `reports`, before the run starts. Leaves no files.
///
/// # Errors
/// If it cannot be written.
pub fn check_writable(reports: &Path) -> Result<(), RunnerError> {
    check_writable_folder(reports)
        .map_err(|source| RunnerError::Output { folder: reports.to_path_buf(), source })
}

/// Removes partial files that ended processes left in earlier reports.
fn remove_abandoned(reports: &Path) {
    scratch::remove_abandoned(reports, |stem| stem == LATEST);
    for report in fs::read_dir(reports).into_iter().flatten().flatten() {
        if report.file_type().is_ok_and(|kind| kind.is_dir()) {
            scratch::remove_abandoned(&report.path(), |_| true);
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
/// If the file cannot be written.
pub fn write_text(folder: &Path, name: &str, text: &str) -> Result<(), RunnerError> {
    let path = folder.join(name);
    write_atomically(&path, text.as_bytes()).map_err(RunnerError::file(&path))
}

/// Writes the table of runs as Parquet and CSV; replaces an earlier one.
///
/// # Errors
/// If a file cannot be written; the earlier table then stays intact.
pub fn write_runs(folder: &Path, rows: &[RunRow]) -> Result<(), RunnerError> {
    Ok(files::write_with_csv(folder, rows)?)
}

/// Concatenates the other tables of the runs in the folders `runs` into the report's tables.
///
/// # Errors
/// If a table cannot be read or written.
pub fn join_tables<'r>(
    folder: &Path,
    runs: impl Iterator<Item = &'r Path> + Clone,
) -> Result<(), RunnerError> {
    join::<FrameRow>(folder, runs.clone())?;
    join::<MemoryRow>(folder, runs.clone())?;
    join::<PersonRow>(folder, runs)
}

fn join<'r, R: TableRow>(folder: &Path, runs: impl Iterator<Item = &'r Path>) -> Result<(), RunnerError> {
    let mut all = files::TableWriter::<R>::create(folder)?;
    for run in runs {
        all.append_table(run)?;
    }
    Ok(all.finish()?)
}

/// Points the link `latest` next to the folder to it; without symbolic links, writes a file with the folder's name.
///
/// # Errors
/// If the link cannot be written.
pub fn link_latest(folder: &Path) -> Result<(), RunnerError> {
    let (Some(reports), Some(name)) = (folder.parent(), folder.file_name()) else { return Ok(()) };
    let latest = reports.join(LATEST);
    #[cfg(unix)]
    {
        let temporary = scratch::temporary_path(&latest);
        let link = std::os::unix::fs::symlink(name, &temporary);
        link.and_then(|()| fs::rename(&temporary, &latest)).map_err(RunnerError::file(&latest))
    }
    #[cfg(not(unix))]
    {
        write_text(reports, LATEST, &name.to_string_lossy())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_core::scratch::Owner;

    #[test]
    fn reports_are_not_overwritten_and_partial_files_are_removed() {
        let reports = tempfile::tempdir().unwrap();
        let source = SourceVersion { git_hash: Some("0123456789abcdef".into()), git_dirty: None };
        let first = create(reports.path(), &source).unwrap();
        let second = create(reports.path(), &source).unwrap();
        assert_ne!(first, second);
        assert!(first.to_string_lossy().ends_with("Z-01234567"), "{first:?}");
        // larger than any process id
        let ended = Owner { process: 99_999_999, ..Owner::current().clone() };
        fs::write(first.join(ended.temporary_name("overlay.mp4")), "x").unwrap();
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
