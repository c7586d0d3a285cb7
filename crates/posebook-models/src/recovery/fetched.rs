//! Published weights: fetched once to the user's cache and converted there.

use super::RecoveryError;
use std::path::{Path, PathBuf};

/// Version of the conversion. To be incremented when the converters' output changes, so that old files are not used.
const CONVERSION: u32 = 1;

/// A weights file of a source in `models/sources/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedWeights {
    /// Name of the source: `models/sources/NAME.toml`.
    pub source: String,
    /// Path relative to the source's folder in the cache.
    pub file: PathBuf,
    /// SHA-256 of the original file.
    pub sha256: String,
}

impl FetchedWeights {
    /// Path of the original file in the cache's model folder `models`.
    pub fn original_path(&self, models: &Path) -> PathBuf {
        models.join(&self.source).join(&self.file)
    }

    /// Path of the converted safetensors file. The name contains the hash of the original and the version of the conversion,
    /// so that a change of either leads to a new conversion.
    pub fn converted_path(&self, models: &Path) -> PathBuf {
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
    Ok(posebook_core::fetch::user_cache()?.join("models"))
}
