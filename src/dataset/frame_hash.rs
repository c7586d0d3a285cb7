//! SHA-256 of a clip's decoded frames, and the recorded hashes in `datasets/drawn.lock`.
//!
//! A drawn clip should have the same decoded frames on every machine. The lock file holds the hash for every drawn
//! clip of the shipped experiments, so that a machine, an ffmpeg or an encoder that gives other frames is detected.

use super::DatasetError;
use posebook_core::children;
use posebook_video::file_args;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Name of the lock file, in the folder of the datasets.
const LOCK_FILE: &str = "drawn.lock";
const HEADER: &str = "# SHA-256 of the decoded frames (RGB, in presentation order) of drawn clips, by the hash of what a\n\
                      # clip is made from. `posebook dataset record` adds the clips that lie in the cache.\n";

/// SHA-256 of the RGB bytes of all frames of `video`, in presentation order, as ffmpeg decodes them. ffmpeg
/// computes the hash, so that no frame is stored here.
///
/// # Errors
/// If ffmpeg is missing, or cannot decode the file: its message.
pub(super) fn decoded_sha256(video: &Path) -> Result<String, DatasetError> {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-nostdin", "-v", "error"]).args(file_args::LIMIT_ARGS);
    command.args(file_args::input_args(video));
    command.args(["-map", "0:V:0", "-fps_mode", "passthrough", "-pix_fmt", "rgb24", "-c:v", "rawvideo"]);
    command.args(["-f", "hash", "-hash", "sha256", "pipe:1"]);
    let not_installed = "cannot be started; `./just` installs it, or ask your package manager for ffmpeg";
    let stdio = [Stdio::null(), Stdio::piped(), Stdio::piped()];
    let output = children::spawn(&command, stdio, Some(file_args::MAX_DATA_BYTES))
        .and_then(Child::wait_with_output)
        .map_err(|_| DatasetError::program("ffmpeg", not_installed))?;
    let output_text = String::from_utf8_lossy(&output.stdout);
    let hash = output_text.trim().strip_prefix("SHA256=").filter(|hash| hash.len() == 64);
    match hash.filter(|_| output.status.success()) {
        Some(hash) => Ok(hash.to_string()),
        None => {
            let stderr = String::from_utf8_lossy(&output.stderr);
            let last = stderr.trim().lines().last().unwrap_or("it gave no hash");
            Err(DatasetError::invalid(video, format!("its frames cannot be decoded (ffmpeg: {last})")))
        }
    }
}

/// Recorded hashes of drawn clips.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrawnLock {
    /// Version of generator and encoder that the hashes belong to; hashes of other versions are ignored.
    version: String,
    /// By the clip's key: the hash of everything it is made from.
    #[serde(default)]
    clips: BTreeMap<String, LockedClip>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LockedClip {
    /// Name, size and length, for readers of the file.
    clip: String,
    decoded_sha256: String,
}

/// Result of [`DrawnLock::record`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordOutcome {
    /// The hash was added.
    Added,
    /// The same hash is recorded already.
    Same,
    /// Another hash is recorded: this one.
    Differs(String),
}

impl DrawnLock {
    /// Reads the lock file in the folder `datasets`; empty if there is none, or one of another version.
    ///
    /// # Errors
    /// If the file exists but cannot be read: with its line.
    pub fn load(datasets: &Path, version: &str) -> Result<DrawnLock, DatasetError> {
        let path = DrawnLock::path(datasets);
        let empty = || DrawnLock { version: version.to_string(), clips: BTreeMap::new() };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(empty()),
            Err(source) => return Err(DatasetError::io("read", &path, source)),
        };
        let lock: DrawnLock =
            toml::from_str(&text).map_err(|error| super::error::toml_error(&path, &text, &error))?;
        Ok(if lock.version == version { lock } else { empty() })
    }

    fn path(datasets: &Path) -> PathBuf {
        datasets.join(LOCK_FILE)
    }

    /// The recorded hash of the clip with this key.
    pub fn decoded_sha256(&self, key: &str) -> Option<&str> {
        self.clips.get(key).map(|clip| clip.decoded_sha256.as_str())
    }

    /// Adds a clip's hash. A hash that is already recorded is replaced only if `replace` is set.
    pub fn record(&mut self, key: &str, clip: String, decoded_sha256: &str, replace: bool) -> RecordOutcome {
        let recorded = match self.clips.get(key) {
            None => RecordOutcome::Added,
            Some(known) if known.decoded_sha256 == decoded_sha256 => return RecordOutcome::Same,
            Some(known) => RecordOutcome::Differs(known.decoded_sha256.clone()),
        };
        if replace || recorded == RecordOutcome::Added {
            let entry = LockedClip { clip, decoded_sha256: decoded_sha256.to_string() };
            self.clips.insert(key.to_string(), entry);
        }
        recorded
    }

    /// Writes the lock file into the folder `datasets`, atomically.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save(&self, datasets: &Path) -> Result<(), DatasetError> {
        let path = DrawnLock::path(datasets);
        let body = toml::to_string(self).map_err(|error| DatasetError::invalid(&path, error.to_string()))?;
        posebook_core::files::write_atomically(&path, format!("{HEADER}{body}").as_bytes())
            .map_err(|source| DatasetError::io("write", &path, source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_hash_is_replaced_only_on_request() {
        let folder = tempfile::tempdir().unwrap();
        let mut lock = DrawnLock::load(folder.path(), "1").unwrap();
        assert_eq!(lock.decoded_sha256("k"), None);
        assert_eq!(lock.record("k", "one, 8 frames".into(), "aa", false), RecordOutcome::Added);
        assert_eq!(lock.record("k", "one, 8 frames".into(), "aa", false), RecordOutcome::Same);
        assert_eq!(
            lock.record("k", "one, 8 frames".into(), "bb", false),
            RecordOutcome::Differs("aa".into())
        );
        lock.save(folder.path()).unwrap();
        let read = DrawnLock::load(folder.path(), "1").unwrap();
        assert_eq!((read.decoded_sha256("k"), &read), (Some("aa"), &lock));
        lock.record("k", "one, 8 frames".into(), "bb", true);
        assert_eq!(lock.decoded_sha256("k"), Some("bb"));
        let of_another_version = DrawnLock::load(folder.path(), "2").unwrap();
        assert_eq!(of_another_version.decoded_sha256("k"), None);
        std::fs::write(folder.path().join(LOCK_FILE), "version = 1\n").unwrap();
        let error = DrawnLock::load(folder.path(), "1").unwrap_err().to_string();
        assert!(error.contains("drawn.lock:1"), "{error}");
    }

    #[test]
    fn a_file_that_is_not_a_video_cannot_be_hashed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("no.mp4");
        std::fs::write(&path, "no video").unwrap();
        let error = decoded_sha256(&path).unwrap_err().to_string();
        assert!(error.contains("no.mp4") && error.contains("cannot be decoded"), "{error}");
    }
}
