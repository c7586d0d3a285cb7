//! Weights that others publish under a free license: fetched once into the user's cache, and converted there.

use super::RecoveryError;
use std::path::{Path, PathBuf};

/// Version of the conversion: raise it where the converters write other files, so that old ones are not used.
const CONVERSION: u32 = 1;

/// One file of weights out of a source in `models/sources/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The source's name: `models/sources/NAME.toml`.
    pub source: String,
    /// The file's place below the source's folder in the cache.
    pub file: PathBuf,
    /// What it hashes to.
    pub sha256: String,
}

impl Fetched {
    /// Where the original file lies, below the cache's folder of models.
    pub fn original(&self, models: &Path) -> PathBuf {
        models.join(&self.source).join(&self.file)
    }

    /// Where its conversion to safetensors lies. The name has the hash of the original and the version of the
    /// conversion, so that a new version of either is converted anew.
    pub fn converted(&self, models: &Path) -> PathBuf {
        let stem = self.file.file_stem().unwrap_or_default().to_string_lossy();
        let version = self.sha256.get(..12).unwrap_or(&self.sha256);
        models
            .join(&self.source)
            .join("converted")
            .join(format!("{stem}-{version}-v{CONVERSION}.safetensors"))
    }
}

/// The folder of fetched models in the user's cache.
///
/// # Errors
/// If no cache folder is known.
pub fn models_folder() -> Result<PathBuf, RecoveryError> {
    Ok(crate::fetch::user_cache()?.join("models"))
}
