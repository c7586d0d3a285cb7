//! The temporary folder of a run in progress, and the check that the program does not change during an experiment.

use crate::runner::RunnerError;
use crate::runner::supervisor::Program;
use posebook_core::scratch;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Folder of a run in progress. It is removed on drop, unless it was moved into the store.
pub struct WorkFolder {
    /// The folder's path.
    pub folder: PathBuf,
}

impl WorkFolder {
    /// Creates an empty folder for the run `run_id`, used by this process only. Folders of killed processes are removed;
    /// those of other hosts and containers stay.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn create(works: &Path, run_id: &str) -> Result<WorkFolder, RunnerError> {
        scratch::remove_abandoned(works, |_| true);
        let folder = works.join(scratch::temporary_name(run_id));
        let work = WorkFolder { folder };
        let scratch = work.scratch();
        fs::create_dir_all(&scratch).map_err(RunnerError::file(&scratch))?;
        Ok(work)
    }

    /// The folder for scratch files.
    pub fn scratch(&self) -> PathBuf {
        self.folder.join("scratch")
    }

    /// The file of input boxes that are converted for the run.
    pub fn boxes(&self) -> PathBuf {
        self.folder.join("boxes.jsonl")
    }

    /// Removes scratch files, converted boxes and the live record, which are no results.
    pub fn remove_temporary_files(&self) {
        // what cannot be removed only takes space
        let _ = fs::remove_dir_all(self.scratch());
        let _ = fs::remove_file(self.boxes());
        let _ = fs::remove_file(crate::runner::job::live_path(&self.folder));
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        // a stored run's folder was renamed: then there is nothing to remove
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The program's size and modification time at the beginning of the experiment. After a rebuild, runs of two programs
/// would look like runs of one.
pub struct PinnedProgram {
    /// The program.
    pub program: Program,
    size: u64,
    modified: SystemTime,
}

impl PinnedProgram {
    /// Records the program's current state.
    ///
    /// # Errors
    /// If the file's metadata cannot be read.
    pub fn new(program: &Program) -> Result<PinnedProgram, RunnerError> {
        let (size, modified) = fingerprint(&program.path)?;
        Ok(PinnedProgram { program: program.clone(), size, modified })
    }

    /// Checks that the program has not changed.
    ///
    /// # Errors
    /// If it has changed or is gone.
    pub fn check(&self) -> Result<(), RunnerError> {
        if fingerprint(&self.program.path)? == (self.size, self.modified) {
            return Ok(());
        }
        Err(RunnerError::ProgramChanged { program: self.program.path.clone() })
    }
}

fn fingerprint(path: &Path) -> Result<(u64, SystemTime), RunnerError> {
    let metadata = fs::metadata(path).map_err(RunnerError::file(path))?;
    Ok((metadata.len(), metadata.modified().map_err(RunnerError::file(path))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_core::scratch::Owner;

    #[test]
    fn a_changed_program_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        fs::write(&path, "one").unwrap();
        let pinned = PinnedProgram::new(&Program { path: path.clone(), arguments: vec![] }).unwrap();
        pinned.check().unwrap();
        fs::write(&path, "another").unwrap();
        assert!(pinned.check().unwrap_err().to_string().contains("changed while the experiment ran"));
    }

    #[cfg(unix)]
    #[test]
    fn folders_of_killed_processes_are_removed() {
        let works = tempfile::tempdir().unwrap();
        // larger than any process id
        let ended = Owner { process: 99_999_999, ..Owner::current().clone() };
        let elsewhere = Owner { host: "another-host".into(), ..ended.clone() };
        let container = Owner { namespace: "f00000ab".into(), ..ended.clone() };
        for owner in [&ended, &elsewhere, &container, Owner::current()] {
            fs::create_dir_all(works.path().join(owner.temporary_name("abc")).join("scratch/frames"))
                .unwrap();
        }
        let work = WorkFolder::create(works.path(), "abc").unwrap();
        assert!(work.scratch().is_dir());
        let entries = fs::read_dir(works.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let owners = entries.map(|name| Owner::parse(name.to_str().unwrap()).unwrap().1);
        let left = |owner: &Owner, owners: &[Owner]| owners.iter().filter(|there| *there == owner).count();
        let owners: Vec<Owner> = owners.collect();
        let counts = [&ended, &elsewhere, &container, Owner::current()].map(|owner| left(owner, &owners));
        assert_eq!(counts, [0, 1, 1, 2]);
    }

    #[test]
    fn a_dropped_folder_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let work = WorkFolder::create(folder.path(), "abc").unwrap();
        fs::write(work.scratch().join("frame.png"), "x").unwrap();
        drop(work);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
