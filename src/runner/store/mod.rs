//! Stores ended runs and writes report folders.
//!
//! In: the [`RunKey`], the row and the tables of an ended run. Out: a folder named by the run's id, so that the same run
//! need not be made again; and the folder of a report ([`report_folder`]).

pub mod ended;
pub mod key;
pub mod report_folder;

use super::RunnerError;
use crate::runner::store::key::RunKey;
use posebook_core::files::write_atomically;
use posebook_core::labels::Outcome;
use posebook_core::scratch::{self, Owner};
use posebook_notebook::tables::RunRow;
use std::fs;
use std::path::{Path, PathBuf};

/// Name of the file with the run's key.
const KEY_FILE: &str = "key.json";
/// Name of the file with the run's row.
const ROW_FILE: &str = "row.toml";

/// Attempts to rename a run's folder while other processes do the same.
const RENAME_ATTEMPTS: usize = 20;

/// The folder of stored runs.
#[derive(Debug, Clone)]
pub struct RunStore {
    folder: PathBuf,
}

/// A stored run.
#[derive(Debug, Clone)]
pub struct StoredRun {
    /// Everything that determined the run.
    pub key: RunKey,
    /// Its row of the table `runs`.
    pub row: RunRow,
    /// The folder with its other tables.
    pub folder: PathBuf,
}

impl StoredRun {
    /// Whether the run finished, so that it need not run again.
    pub fn is_ok(&self) -> bool {
        self.row.outcome == Outcome::Ok
    }
}

impl RunStore {
    /// The store in `folder`, which need not exist yet.
    pub fn new(folder: PathBuf) -> RunStore {
        RunStore { folder }
    }

    fn run_folder(&self, run_id: &str) -> PathBuf {
        self.folder.join(run_id)
    }

    /// The run `run_id`, if it is stored and readable by this version.
    pub fn find(&self, run_id: &str) -> Option<StoredRun> {
        load(&self.run_folder(run_id))
    }

    /// All stored runs that are readable, sorted by id.
    pub fn load_all(&self) -> Vec<StoredRun> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        // folders that were moved aside are about to be removed
        let is_aside = |entry: &fs::DirEntry| {
            entry.file_name().to_str().is_some_and(|name| Owner::parse(name).is_some())
        };
        let entries = entries.filter(|entry| !is_aside(entry));
        let mut runs: Vec<StoredRun> = entries.filter_map(|entry| load(&entry.path())).collect();
        runs.sort_by(|a, b| a.row.run_id.cmp(&b.row.run_id));
        runs
    }

    /// Moves the run in the folder `work` into the store and returns its new folder. It replaces an earlier run of the
    /// same id, atomically.
    ///
    /// # Errors
    /// If a file cannot be written or the folder not be moved.
    pub fn insert(&self, work: &Path, key: &RunKey, row: &RunRow) -> Result<PathBuf, RunnerError> {
        write_json(&work.join(KEY_FILE), key)?;
        // TOML restores numbers to the last bit, regardless of serde_json's features
        let path = work.join(ROW_FILE);
        let text =
            toml::to_string(row).map_err(|error| RunnerError::file(&path)(std::io::Error::other(error)))?;
        write_atomically(&path, text.as_bytes()).map_err(RunnerError::file(&path))?;
        let folder = self.run_folder(&row.run_id);
        fs::create_dir_all(&self.folder).map_err(RunnerError::file(&self.folder))?;
        scratch::remove_abandoned(&self.folder, |_| true);
        replace_folder(work, &folder).map_err(RunnerError::file(&folder))?;
        self.remove_superseded(key, &folder);
        Ok(folder)
    }

    /// Removes runs of the same point and machine that earlier programs or weights made: otherwise every rebuild would
    /// leave another set. Runs of other machines stay, which may share the store.
    fn remove_superseded(&self, key: &RunKey, folder: &Path) {
        let is_superseded = |run: &StoredRun| {
            run.key.is_same_point(key) && run.key.is_same_machine(key) && run.folder != folder
        };
        for run in self.load_all().into_iter().filter(is_superseded) {
            // one that cannot be removed only takes space
            let _ = fs::remove_dir_all(&run.folder);
        }
    }
}

/// Renames the folder `from` to `to`. An existing `to` is moved aside first and then removed; other processes may do
/// the same at the same time.
fn replace_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    use std::io::ErrorKind::{AlreadyExists, DirectoryNotEmpty};
    for _ in 0..RENAME_ATTEMPTS {
        match fs::rename(from, to) {
            Err(error) if matches!(error.kind(), DirectoryNotEmpty | AlreadyExists) => {}
            result => return result,
        }
        let aside = scratch::temporary_path(to);
        // another process may have moved it aside
        if fs::rename(to, &aside).is_ok() {
            // what cannot be removed only takes space
            let _ = fs::remove_dir_all(&aside);
        }
    }
    fs::rename(from, to)
}

fn load(folder: &Path) -> Option<StoredRun> {
    let key = serde_json::from_slice(&fs::read(folder.join(KEY_FILE)).ok()?).ok()?;
    let row = toml::from_str(&fs::read_to_string(folder.join(ROW_FILE)).ok()?).ok()?;
    Some(StoredRun { key, row, folder: folder.to_path_buf() })
}

/// Writes `value` as JSON, atomically.
///
/// # Errors
/// If the file cannot be written.
pub fn write_json<T: serde::Serialize>(path: &Path, value: &T) -> Result<(), RunnerError> {
    let bytes = serde_json::to_vec_pretty(value).map_err(|error| RunnerError::file(path)(error.into()))?;
    write_atomically(path, &bytes).map_err(RunnerError::file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(program: &str, repeat: u64) -> RunKey {
        RunKey {
            settings: serde_json::json!({ "seed": 1 }),
            repeat,
            clip: "crossing".into(),
            clip_sha256: "c".into(),
            clip_decoded_sha256: None,
            truth_sha256: None,
            boxes_sha256: None,
            model_sha256: "m".into(),
            weights_sha256: "w".into(),
            detector_sha256: None,
            detector_set_sha256: None,
            fallback_sha256: None,
            phalp_sha256: None,
            body_sha256: None,
            device: "cpu".into(),
            gpu: None,
            program_sha256: program.into(),
            cpu: None,
            cores: 2,
            ffmpeg: None,
        }
    }

    fn insert(store: &RunStore, works: &Path, key: &RunKey) -> RunRow {
        let work = works.join("work");
        fs::create_dir_all(&work).unwrap();
        let mut row = RunRow {
            run_id: key.run_id().unwrap(),
            outcome: Outcome::Ok,
            remarks: Some("two\nlines, \"quoted\"".into()),
            ..RunRow::default()
        };
        // numbers that serde_json restores one bit off
        row.metrics.pose.pve_mm = Some(117.98581822149161);
        row.metrics.pose.mpjpe_mm = Some(117.9858182214916);
        store.insert(&work, key, &row).unwrap();
        row
    }

    #[test]
    fn a_stored_row_is_restored_to_the_last_bit() {
        let folder = tempfile::tempdir().unwrap();
        let store = RunStore::new(folder.path().join("runs"));
        let row = insert(&store, folder.path(), &key("p", 1));
        let stored = store.find(&row.run_id).unwrap();
        assert_eq!((stored.row, stored.key), (row, key("p", 1)));
    }

    #[test]
    fn processes_that_store_the_same_run_at_once_all_succeed() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        let insert = |n: usize| {
            let work = folder.path().join(format!("work-{n}"));
            fs::create_dir(&work).unwrap();
            fs::write(work.join("table"), "rows").unwrap();
            replace_folder(&work, &run)
        };
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|n| scope.spawn(move || insert(n))).collect();
            all.into_iter().for_each(|one| one.join().unwrap().unwrap());
        });
        assert_eq!(fs::read(run.join("table")).unwrap(), b"rows");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn runs_of_other_machines_are_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let store = RunStore::new(folder.path().join("runs"));
        insert(&store, folder.path(), &RunKey { cpu: Some("another".into()), ..key("old", 1) });
        insert(&store, folder.path(), &RunKey { cores: 64, ..key("old", 1) });
        insert(&store, folder.path(), &key("old", 1));
        insert(&store, folder.path(), &key("new", 1));
        assert_eq!(store.load_all().len(), 3);
    }

    #[test]
    fn a_run_supersedes_runs_of_earlier_programs_only() {
        let folder = tempfile::tempdir().unwrap();
        let store = RunStore::new(folder.path().join("runs"));
        for (program, repeat) in [("old", 1), ("old", 2), ("new", 1)] {
            insert(&store, folder.path(), &key(program, repeat));
        }
        let mut runs: Vec<(String, u64)> =
            store.load_all().into_iter().map(|run| (run.key.program_sha256, run.key.repeat)).collect();
        runs.sort();
        assert_eq!(runs, [("new".to_string(), 1), ("old".to_string(), 2)]);
    }
}
