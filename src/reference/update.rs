//! Replaces a reference by a new report.

use super::ReferenceError;
use std::fs;
use std::path::Path;

/// The parts of a report that are committed. Parquet tables and the HTML page are not.
const PARTS: [&str; 6] = ["experiment.toml", "report.md", "runs.csv", "claims.csv", "figures", "strips"];

/// Replaces the folder `reference` by the committed parts of the report in `report`, once all of them are copied.
///
/// # Errors
/// If a part cannot be copied, in which case the reference is unchanged, or if the folders cannot be exchanged.
pub fn replace_reference(report: &Path, reference: &Path) -> Result<(), ReferenceError> {
    let new = reference.with_file_name(format!(".reference.{}", std::process::id()));
    let copied = copy_parts(report, &new);
    if let Err(error) = copied {
        // the folder may not exist
        let _ = fs::remove_dir_all(&new);
        return Err(error);
    }
    if reference.exists() {
        fs::remove_dir_all(reference).map_err(ReferenceError::file(reference))?;
    }
    fs::rename(&new, reference).map_err(ReferenceError::file(reference))
}

fn copy_parts(report: &Path, to: &Path) -> Result<(), ReferenceError> {
    fs::create_dir_all(to).map_err(ReferenceError::file(to))?;
    for part in PARTS {
        let from = report.join(part);
        if from.exists() {
            copy(&from, &to.join(part))?;
        }
    }
    Ok(())
}

/// Copies a file, or a folder with its contents.
fn copy(from: &Path, to: &Path) -> Result<(), ReferenceError> {
    if !from.is_dir() {
        return fs::copy(from, to).map(|_| ()).map_err(ReferenceError::file(from));
    }
    fs::create_dir_all(to).map_err(ReferenceError::file(to))?;
    for entry in fs::read_dir(from).map_err(ReferenceError::file(from))? {
        let entry = entry.map_err(ReferenceError::file(from))?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_report_replaces_all_parts_of_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let (report, reference) = (folder.path().join("a report"), folder.path().join("reference"));
        fs::create_dir_all(report.join("figures")).unwrap();
        fs::create_dir_all(reference.join("figures")).unwrap();
        fs::write(reference.join("figures/old.svg"), "old").unwrap();
        for (name, text) in [("report.md", "new"), ("figures/new.svg", "new"), ("runs.parquet", "large")] {
            fs::write(report.join(name), text).unwrap();
        }
        replace_reference(&report, &reference).unwrap();
        let names = |folder: &Path| {
            let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&reference), ["figures", "report.md"]);
        assert_eq!(names(&reference.join("figures")), ["new.svg"]);
        assert_eq!(names(folder.path()), ["a report", "reference"]);
    }
}
