//! The license file in a folder of fetched files, for archives that do not contain one.

use super::error::FetchError;
use super::manifest::Manifest;
use crate::files::write_atomically;
use std::path::Path;

/// Name of the file with the license, where the archive has none.
const LICENSE_FILE: &str = "LICENSE.txt";

/// The content of the license file; `None` where the archive has the license.
fn license_file_text(manifest: &Manifest) -> Option<String> {
    let text = manifest.licence_text.as_ref()?;
    let head = manifest.attribution.as_deref().unwrap_or(&manifest.description);
    Some(format!("{head}\nLicence: {}\n\n{text}", manifest.licence))
}

/// Whether the license file is present, if there has to be one.
pub fn has_license(manifest: &Manifest, folder: &Path) -> bool {
    license_file_text(manifest).is_none_or(|_| folder.join(LICENSE_FILE).is_file())
}

/// Writes the license file, if there has to be one.
///
/// # Errors
/// If it cannot be written.
pub fn write_license(manifest: &Manifest, folder: &Path) -> Result<(), FetchError> {
    let Some(text) = license_file_text(manifest) else { return Ok(()) };
    let path = folder.join(LICENSE_FILE);
    write_atomically(&path, text.as_bytes()).map_err(FetchError::io(&path))
}
