//! Runs that have ended, each in a folder named by its id: its key, its row, its tables.

use super::RunnerError;
use super::death::Outcome;
use super::key::Key;
use crate::files::write_whole;
use crate::scratch::{self, Owner};
use crate::tables::RunRow;
use std::fs;
use std::path::{Path, PathBuf};

/// A run's row in its folder.
const ROW: &str = "row.toml";

/// How often a run is put into its place while other processes put theirs there.
const PUT_TRIES: usize = 20;

/// The folder of ended runs.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

/// An ended run.
#[derive(Debug, Clone)]
pub struct Kept {
    pub key: Key,
    pub row: RunRow,
    pub folder: PathBuf,
}

impl Kept {
    /// Whether the run ended well, so that it need not run again.
    pub fn is_ok(&self) -> bool {
        self.row.outcome == Outcome::Ok.name()
    }
}

impl Store {
    /// The runs kept in `folder`, which need not be there yet.
    pub fn of(folder: PathBuf) -> Store {
        Store { folder }
    }

    /// The folder of the run `run_id`.
    pub fn place(&self, run_id: &str) -> PathBuf {
        self.folder.join(run_id)
    }

    /// The run `run_id`, if it is kept and readable by this version.
    pub fn find(&self, run_id: &str) -> Option<Kept> {
        read(&self.place(run_id))
    }

    /// Everything that is kept and readable.
    pub fn all(&self) -> Vec<Kept> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        // what is moved aside is about to be removed
        let is_aside =
            |entry: &fs::DirEntry| entry.file_name().to_str().is_some_and(|name| Owner::read(name).is_some());
        let there = entries.filter(|entry| !is_aside(entry));
        let mut kept: Vec<Kept> = there.filter_map(|entry| read(&entry.path())).collect();
        kept.sort_by(|a, b| a.row.run_id.cmp(&b.row.run_id));
        kept
    }

    /// Takes the run whose tables lie in `work` into the store, in place of an earlier one of the same
    /// id. It is there whole or not at all.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn keep(&self, work: &Path, key: &Key, row: &RunRow) -> Result<PathBuf, RunnerError> {
        write_json(&work.join("key.json"), key)?;
        // TOML's numbers are read back to the last bit, whatever features serde_json is built with
        let path = work.join(ROW);
        let text =
            toml::to_string(row).map_err(|error| RunnerError::file(&path)(std::io::Error::other(error)))?;
        write_whole(&path, text.as_bytes()).map_err(RunnerError::file(&path))?;
        let place = self.place(&row.run_id);
        fs::create_dir_all(&self.folder).map_err(RunnerError::file(&self.folder))?;
        scratch::sweep(&self.folder, |_| true);
        put(work, &place).map_err(RunnerError::file(&place))?;
        self.forget_elders(key, &place);
        Ok(place)
    }

    /// Removes runs of the same point that other programs or weights made on a machine like this: without that
    /// every rebuild would leave another set behind. Other machines may be using theirs.
    fn forget_elders(&self, key: &Key, place: &Path) {
        let is_elder = |kept: &Kept| {
            kept.key.is_same_point(key) && kept.key.is_same_machine(key) && kept.folder != place
        };
        let elders = self.all().into_iter().filter(is_elder);
        for elder in elders {
            // one that cannot be removed merely takes room
            let _ = fs::remove_dir_all(&elder.folder);
        }
    }
}

/// Renames the folder `work` to `place`. What stands there is moved away first and then removed; other processes
/// may do the same at the same time.
fn put(work: &Path, place: &Path) -> std::io::Result<()> {
    use std::io::ErrorKind::{AlreadyExists, DirectoryNotEmpty};
    for _ in 0..PUT_TRIES {
        match fs::rename(work, place) {
            Err(error) if matches!(error.kind(), DirectoryNotEmpty | AlreadyExists) => {}
            moved => return moved,
        }
        let aside = scratch::beside(place);
        // another process may have moved it away
        if fs::rename(place, &aside).is_ok() {
            // what cannot be removed takes room and harms nobody
            let _ = fs::remove_dir_all(&aside);
        }
    }
    fs::rename(work, place)
}

fn read(folder: &Path) -> Option<Kept> {
    let key = serde_json::from_slice(&fs::read(folder.join("key.json")).ok()?).ok()?;
    let row = toml::from_str(&fs::read_to_string(folder.join(ROW)).ok()?).ok()?;
    Some(Kept { key, row, folder: folder.to_path_buf() })
}

/// Writes `value` as JSON, whole or not at all.
///
/// # Errors
/// If the disk refuses.
pub fn write_json<T: serde::Serialize>(path: &Path, value: &T) -> Result<(), RunnerError> {
    let bytes = serde_json::to_vec_pretty(value).map_err(|error| RunnerError::file(path)(error.into()))?;
    write_whole(path, &bytes).map_err(RunnerError::file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(program: &str, repeat: u64) -> Key {
        Key {
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
            body_sha256: None,
            device: "cpu".into(),
            card: None,
            program_sha256: program.into(),
            cpu: None,
            cores: 2,
            ffmpeg: None,
        }
    }

    fn keep(store: &Store, works: &Path, key: &Key) -> RunRow {
        let work = works.join("work");
        fs::create_dir_all(&work).unwrap();
        let row = RunRow {
            run_id: key.run_id(),
            outcome: "ok".into(),
            // numbers that serde_json reads back one bit off
            pve_mm: Some(117.98581822149161),
            mpjpe_mm: Some(117.9858182214916),
            error: None,
            remarks: Some("two\nlines, \"quoted\"".into()),
            ..RunRow::default()
        };
        store.keep(&work, key, &row).unwrap();
        row
    }

    #[test]
    fn a_kept_row_is_the_same_to_the_last_bit() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::of(folder.path().join("runs"));
        let row = keep(&store, folder.path(), &key("p", 1));
        let kept = store.find(&row.run_id).unwrap();
        assert_eq!((kept.row, kept.key), (row, key("p", 1)));
    }

    #[test]
    fn processes_that_keep_the_same_run_at_once_all_succeed() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("run");
        let put_one = |n: usize| {
            let work = folder.path().join(format!("work-{n}"));
            fs::create_dir(&work).unwrap();
            fs::write(work.join("table"), "rows").unwrap();
            put(&work, &place)
        };
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|n| scope.spawn(move || put_one(n))).collect();
            all.into_iter().for_each(|one| one.join().unwrap().unwrap());
        });
        assert_eq!(fs::read(place.join("table")).unwrap(), b"rows");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn another_machine_keeps_its_runs() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::of(folder.path().join("runs"));
        keep(&store, folder.path(), &Key { cpu: Some("another".into()), ..key("old", 1) });
        keep(&store, folder.path(), &Key { cores: 64, ..key("old", 1) });
        keep(&store, folder.path(), &key("old", 1));
        keep(&store, folder.path(), &key("new", 1));
        assert_eq!(store.all().len(), 3);
    }

    #[test]
    fn a_run_takes_the_place_of_its_elders_and_of_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::of(folder.path().join("runs"));
        for (program, repeat) in [("old", 1), ("old", 2), ("new", 1)] {
            keep(&store, folder.path(), &key(program, repeat));
        }
        let mut kept: Vec<(String, u64)> =
            store.all().into_iter().map(|kept| (kept.key.program_sha256, kept.key.repeat)).collect();
        kept.sort();
        assert_eq!(kept, [("new".to_string(), 1), ("old".to_string(), 2)]);
    }
}
