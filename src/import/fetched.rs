//! Networks that others publish in formats of their own, fetched before: converted to safetensors beside them.
//!
//! The readers ([`crate::tflite`], [`crate::tfjs`]) check what they read; here the file of tensors is written whole
//! or not at all, and a manifest beside it says what it was made of.

use super::ImportError;
use crate::blazepose;
use crate::detect::nanodet;
use crate::files::write_whole;
use crate::provenance::{sha256_of_bytes, sha256_of_file};
use crate::tfjs;
use crate::tflite;
use std::path::Path;

/// Converts a tflite file of BlazePose, or the tfjs description of NanoDet (its numbers lie beside it), to the
/// safetensors file `converted`, with `converted`'s name ending in `.toml` as its manifest. What is there already stays.
///
/// # Errors
/// If the original cannot be read, is another network, holds what must not be read, or the disk refuses.
pub fn convert(original: &Path, converted: &Path) -> Result<(), ImportError> {
    if converted.is_file() {
        return Ok(());
    }
    let wrong = |reason: String| ImportError::Wrong { path: original.to_path_buf(), reason };
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
        "# Converted by posebook; made anew where it is missing.\ntensors = {tensors}\nsha256 = \"{}\"\nsource = \
         {:?}\nsource_sha256 = \"{sha256}\"\n",
        sha256_of_bytes(&bytes),
        original.file_name().unwrap_or_default().to_string_lossy(),
    );
    let beside = converted.with_extension("toml");
    write_whole(&beside, manifest.as_bytes()).map_err(ImportError::file(&beside))?;
    write_whole(converted, &bytes).map_err(ImportError::file(converted))
}
