//! Converts fetched third-party networks to safetensors files.
//!
//! Input: a tflite file or a tfjs description. Output: a safetensors file and a TOML manifest next to it with hashes of
//! both. [`crate::tflite`] and [`crate::tfjs`] validate what they read; the output is written atomically.

use super::ImportError;
use crate::blazepose;
use crate::detect::nanodet;
use crate::tfjs;
use crate::tflite;
use posebook_core::files::write_atomically;
use posebook_core::provenance::{sha256_of_bytes, sha256_of_file};
use std::path::Path;

/// Converts BlazePose's tflite file, or NanoDet's tfjs description (its values lie in files next to it), to the
/// safetensors file `converted`; the manifest has the same name with the extension `.toml`. An existing file is not replaced.
///
/// # Errors
/// If the original cannot be read, is another network, is damaged, or the output cannot be written.
pub fn convert(original: &Path, converted: &Path) -> Result<(), ImportError> {
    if converted.is_file() {
        return Ok(());
    }
    let wrong = |reason: String| ImportError::Invalid { path: original.to_path_buf(), reason };
    let (bytes, tensors) = match original.extension().and_then(|ending| ending.to_str()) {
        Some("tflite") => {
            let file = std::fs::read(original).map_err(ImportError::file(original))?;
            let model = tflite::Model::parse(&file).map_err(|error| wrong(error.to_string()))?;
            let found = blazepose::convert(&model).map_err(|error| wrong(error.to_string()))?;
            let bytes = found.to_bytes().map_err(|error| wrong(error.to_string()))?;
            (bytes, found.weights.len())
        }
        Some("json") => {
            let model = tfjs::Model::read(original).map_err(|error| wrong(error.to_string()))?;
            let found = nanodet::convert(&model).map_err(|error| wrong(error.to_string()))?;
            let bytes = nanodet::to_safetensors(&found).map_err(|error| wrong(error.to_string()))?;
            (bytes, found.len())
        }
        _ => return Err(wrong("it is neither a tflite file nor a tfjs description".into())),
    };
    if let Some(folder) = converted.parent() {
        std::fs::create_dir_all(folder).map_err(ImportError::file(folder))?;
    }
    let sha256 = sha256_of_file(original).map_err(ImportError::file(original))?;
    let manifest = format!(
        "# Converted by posebook; recreated if missing.\ntensors = {tensors}\nsha256 = \"{}\"\nsource = \
         {:?}\nsource_sha256 = \"{sha256}\"\n",
        sha256_of_bytes(&bytes),
        original.file_name().unwrap_or_default().to_string_lossy(),
    );
    let manifest_path = converted.with_extension("toml");
    write_atomically(&manifest_path, manifest.as_bytes()).map_err(ImportError::file(&manifest_path))?;
    write_atomically(converted, &bytes).map_err(ImportError::file(converted))
}
