//! The folder of a run under way, and the program that carries runs out.

use super::RunnerError;
use super::watch::Program;
use crate::scratch;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A run's folder until it is kept. Dropped before that, it is removed.
pub struct Work {
    pub folder: PathBuf,
}

impl Work {
    /// An empty folder for the run `run_id`, of this process alone. Folders of processes that were killed
    /// are removed; those of other hosts and containers stay.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn create(works: &Path, run_id: &str) -> Result<Work, RunnerError> {
        scratch::sweep(works, |_| true);
        let folder = works.join(scratch::name(run_id));
        let work = Work { folder };
        let scratch = work.scratch();
        fs::create_dir_all(&scratch).map_err(RunnerError::file(&scratch))?;
        Ok(work)
    }

    /// Where the run may put scratch files.
    pub fn scratch(&self) -> PathBuf {
        self.folder.join("scratch")
    }

    /// Removes what passed between the processes and is no result.
    pub fn tidy(&self) {
        // what cannot be removed stays, and harms nobody
        let _ = fs::remove_dir_all(self.scratch());
        let _ = fs::remove_file(super::order::live_in(&self.folder));
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // a kept run's folder was renamed: then there is nothing to remove
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A program as it was when the experiment began. A rebuild meanwhile would make runs of two programs
/// look like runs of one.
pub struct Pinned {
    pub program: Program,
    size: u64,
    modified: SystemTime,
}

impl Pinned {
    /// Remembers the program as it is.
    ///
    /// # Errors
    /// If it cannot be looked at.
    pub fn new(program: &Program) -> Result<Pinned, RunnerError> {
        let (size, modified) = look(&program.path)?;
        Ok(Pinned { program: program.clone(), size, modified })
    }

    /// Whether the program is still the same.
    ///
    /// # Errors
    /// If it is another by now, or gone.
    pub fn check(&self) -> Result<(), RunnerError> {
        if look(&self.program.path)? == (self.size, self.modified) {
            return Ok(());
        }
        Err(RunnerError::ProgramChanged { program: self.program.path.clone() })
    }
}

fn look(path: &Path) -> Result<(u64, SystemTime), RunnerError> {
    let about = fs::metadata(path).map_err(RunnerError::file(path))?;
    Ok((about.len(), about.modified().map_err(RunnerError::file(path))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Owner;

    #[test]
    fn a_program_that_changes_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        fs::write(&path, "one").unwrap();
        let pinned = Pinned::new(&Program { path: path.clone(), arguments: vec![] }).unwrap();
        pinned.check().unwrap();
        fs::write(&path, "another").unwrap();
        assert!(pinned.check().unwrap_err().to_string().contains("changed while the experiment ran"));
    }

    #[cfg(unix)]
    #[test]
    fn what_a_killed_process_left_is_swept() {
        let works = tempfile::tempdir().unwrap();
        // beyond the largest process number there is
        let ended = Owner { process: 99_999_999, ..Owner::this().clone() };
        let elsewhere = Owner { host: "another-host".into(), ..ended.clone() };
        let container = Owner { namespace: "f00000ab".into(), ..ended.clone() };
        for owner in [&ended, &elsewhere, &container, Owner::this()] {
            fs::create_dir_all(works.path().join(owner.name("abc")).join("scratch/frames")).unwrap();
        }
        let work = Work::create(works.path(), "abc").unwrap();
        assert!(work.scratch().is_dir());
        let entries = fs::read_dir(works.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let owners = entries.map(|name| Owner::read(name.to_str().unwrap()).unwrap().1);
        let left = |owner: &Owner, owners: &[Owner]| owners.iter().filter(|there| *there == owner).count();
        let owners: Vec<Owner> = owners.collect();
        let counts = [&ended, &elsewhere, &container, Owner::this()].map(|owner| left(owner, &owners));
        assert_eq!(counts, [0, 1, 1, 2]);
    }

    #[test]
    fn what_is_not_kept_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let work = Work::create(folder.path(), "abc").unwrap();
        fs::write(work.scratch().join("frame.png"), "x").unwrap();
        drop(work);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
