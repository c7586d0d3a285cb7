//! SHA-256 of a clip's decoded frames, and the hashes on record.
//!
//! A drawn clip is meant to have the same decoded frames on every machine. `datasets/drawn.lock` holds the hash
//! for every clip of the shipped experiments, so that a machine, an ffmpeg or an encoder that gives other frames
//! is noticed. Must not know how clips are drawn.

use super::DatasetError;
use crate::ffmpeg;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The file's name, beside the datasets' files.
const LOCK: &str = "drawn.lock";
const HEADER: &str = "# SHA-256 of the decoded frames (RGB, in presentation order) of drawn clips, by the hash of what a\n\
                      # clip is made from. `posebook dataset record` adds the clips that lie in the cache.\n";

/// SHA-256 of the RGB bytes of all frames of `video`, in presentation order, as ffmpeg decodes them. Frames are
/// hashed by ffmpeg itself, so nothing is held here.
///
/// # Errors
/// If ffmpeg is missing, or cannot decode the file: what it says.
pub(super) fn decoded_sha256(video: &Path) -> Result<String, DatasetError> {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-nostdin", "-v", "error"]).args(ffmpeg::input(video));
    command.args(["-map", "0:V:0", "-fps_mode", "passthrough", "-pix_fmt", "rgb24", "-c:v", "rawvideo"]);
    command.args(["-f", "hash", "-hash", "sha256", "pipe:1"]);
    let missing = "cannot be started; `./just` installs it, or ask your package manager for ffmpeg";
    let output = command.output().map_err(|_| DatasetError::program("ffmpeg", missing))?;
    let answer = String::from_utf8_lossy(&output.stdout);
    let hash = answer.trim().strip_prefix("SHA256=").filter(|hash| hash.len() == 64);
    match hash.filter(|_| output.status.success()) {
        Some(hash) => Ok(hash.to_string()),
        None => {
            let stderr = String::from_utf8_lossy(&output.stderr);
            let last = stderr.trim().lines().last().unwrap_or("it gave no hash");
            Err(DatasetError::invalid(video, format!("its frames cannot be decoded (ffmpeg: {last})")))
        }
    }
}

/// The hashes on record for drawn clips.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrawnLock {
    /// Which generator and encoder settings the hashes belong to; those of others are of no use.
    version: String,
    /// By the clip's key: the hash of all that it is made from.
    #[serde(default)]
    clips: BTreeMap<String, LockedClip>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LockedClip {
    /// Name, size and length, for people.
    clip: String,
    decoded_sha256: String,
}

/// What [`DrawnLock::record`] did with a clip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    Added,
    Same,
    /// Another hash is on record: this one.
    Differs(String),
}

impl DrawnLock {
    /// Reads the lock file in the folder `datasets`. An empty one where there is none, or one of another version.
    ///
    /// # Errors
    /// If the file is there and cannot be read: with its line.
    pub fn load(datasets: &Path, version: &str) -> Result<DrawnLock, DatasetError> {
        let path = DrawnLock::path(datasets);
        let empty = || DrawnLock { version: version.to_string(), clips: BTreeMap::new() };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(empty()),
            Err(source) => return Err(DatasetError::io("read", &path, source)),
        };
        let lock: DrawnLock =
            toml::from_str(&text).map_err(|error| super::load::in_line(&path, &text, &error))?;
        Ok(if lock.version == version { lock } else { empty() })
    }

    fn path(datasets: &Path) -> PathBuf {
        datasets.join(LOCK)
    }

    /// The hash on record for the clip of that key.
    pub fn decoded_sha256(&self, key: &str) -> Option<&str> {
        self.clips.get(key).map(|clip| clip.decoded_sha256.as_str())
    }

    /// Adds a clip's hash. One that is on record already stays, unless `replace` is set.
    pub fn record(&mut self, key: &str, clip: String, decoded_sha256: &str, replace: bool) -> Recorded {
        let recorded = match self.clips.get(key) {
            None => Recorded::Added,
            Some(known) if known.decoded_sha256 == decoded_sha256 => return Recorded::Same,
            Some(known) => Recorded::Differs(known.decoded_sha256.clone()),
        };
        if replace || recorded == Recorded::Added {
            let entry = LockedClip { clip, decoded_sha256: decoded_sha256.to_string() };
            self.clips.insert(key.to_string(), entry);
        }
        recorded
    }

    /// Writes the lock file into the folder `datasets`, whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save(&self, datasets: &Path) -> Result<(), DatasetError> {
        let path = DrawnLock::path(datasets);
        let body = toml::to_string(self).map_err(|error| DatasetError::invalid(&path, error.to_string()))?;
        crate::files::write_whole(&path, format!("{HEADER}{body}").as_bytes())
            .map_err(|source| DatasetError::io("write", &path, source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_on_record_is_kept_until_it_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let mut lock = DrawnLock::load(folder.path(), "1").unwrap();
        assert_eq!(lock.decoded_sha256("k"), None);
        assert_eq!(lock.record("k", "one, 8 frames".into(), "aa", false), Recorded::Added);
        assert_eq!(lock.record("k", "one, 8 frames".into(), "aa", false), Recorded::Same);
        assert_eq!(lock.record("k", "one, 8 frames".into(), "bb", false), Recorded::Differs("aa".into()));
        lock.save(folder.path()).unwrap();
        let read = DrawnLock::load(folder.path(), "1").unwrap();
        assert_eq!((read.decoded_sha256("k"), &read), (Some("aa"), &lock));
        lock.record("k", "one, 8 frames".into(), "bb", true);
        assert_eq!(lock.decoded_sha256("k"), Some("bb"));
        let of_another_version = DrawnLock::load(folder.path(), "2").unwrap();
        assert_eq!(of_another_version.decoded_sha256("k"), None);
        std::fs::write(folder.path().join(LOCK), "version = 1\n").unwrap();
        let error = DrawnLock::load(folder.path(), "1").unwrap_err().to_string();
        assert!(error.contains("drawn.lock:1"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_video_has_no_frames_to_hash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("no.mp4");
        std::fs::write(&path, "no video").unwrap();
        let error = decoded_sha256(&path).unwrap_err().to_string();
        assert!(error.contains("no.mp4") && error.contains("cannot be decoded"), "{error}");
    }
}
