//! SHA-256 of the imported files, computed in parallel with the import.

use super::{ImportError, ImportRequest};
use crate::recovery::SourceFile;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// The files of a request with their roles.
pub struct SourceFiles(Vec<(&'static str, PathBuf)>);

impl SourceFiles {
    /// All files that the request names.
    pub fn from_request(request: &ImportRequest) -> SourceFiles {
        let files = [
            ("checkpoint", Some(&request.checkpoint)),
            ("smpl", Some(&request.smpl)),
            ("joint_regressor", request.joint_regressor.as_ref()),
            ("mean_params", request.mean_params.as_ref()),
        ];
        SourceFiles(files.into_iter().filter_map(|(role, path)| Some((role, path?.clone()))).collect())
    }

    /// Files with their roles.
    pub fn new(files: impl Iterator<Item = (&'static str, PathBuf)>) -> SourceFiles {
        SourceFiles(files.collect())
    }

    /// Hashes all files, until one of `stops` is set.
    ///
    /// # Errors
    /// If a file cannot be read, or a stop was requested.
    pub fn hash_all(&self, stops: &[&AtomicBool]) -> Result<BTreeMap<String, SourceFile>, ImportError> {
        let source = |(role, path): &(&str, PathBuf)| {
            let (sha256, bytes) = sha256_unless_stopped(path, stops)?;
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Ok((role.to_string(), SourceFile { file, bytes, sha256 }))
        };
        self.0.iter().map(source).collect()
    }
}

/// Does `work` while all files are hashed in another thread. If `work` fails, hashing ends; if both fail, the error is that of
/// `work`.
///
/// # Errors
/// If `work` fails, a file cannot be read, or a stop was requested.
pub fn while_hashing<T>(
    files: &SourceFiles,
    stop: &AtomicBool,
    work: impl FnOnce() -> Result<T, ImportError>,
) -> Result<(T, BTreeMap<String, SourceFile>), ImportError> {
    let over = AtomicBool::new(false);
    let (done, hashes) = std::thread::scope(|scope| {
        let hashing = scope.spawn(|| files.hash_all(&[stop, &over]));
        let done = work();
        over.store(done.is_err(), Ordering::Relaxed);
        (done, hashing.join().unwrap_or(Err(ImportError::Stopped)))
    });
    let done = done?;
    Ok((done, hashes?))
}

/// SHA-256 and length of a file, unless one of `stops` is set first.
pub fn sha256_unless_stopped(path: &Path, stops: &[&AtomicBool]) -> Result<(String, u64), ImportError> {
    let mut file = File::open(path).map_err(ImportError::file(path))?;
    let (mut sha256, mut bytes) = (Sha256::new(), 0);
    let mut piece = vec![0; 1 << 20];
    loop {
        if stops.iter().any(|stop| stop.load(Ordering::Relaxed)) {
            return Err(ImportError::Stopped);
        }
        let read = file.read(&mut piece).map_err(ImportError::file(path))?;
        if read == 0 {
            return Ok((to_hex(&sha256.finalize()), bytes));
        }
        bytes += read as u64;
        sha256.update(&piece[..read]);
    }
}

/// Lower-case hexadecimal digits.
pub fn to_hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
