//! Imports a file that the user provides instead of a download: recognizes it by its SHA-256 or name, verifies and unpacks
//! it. The user's own file is never changed or removed.

use super::error::FetchError;
use super::event::Event;
use super::license::write_license;
use super::lock::lock_folder;
use super::manifest::{File, Manifest, Member};
use super::unpack;
use crate::provenance::sha256_of_file;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// What a provided file is in the manifest.
enum ProvidedFile<'a> {
    /// One of the manifest's files, possibly an archive.
    File(&'a File),
    /// A member of one of the manifest's archives.
    Member(&'a Member),
}

/// Imports `provided`, one of the manifest's files or archives or a member of one, into `folder`. It is recognized by its
/// SHA-256, or by its name where the manifest gives no SHA-256.
///
/// # Errors
/// If it cannot be read, is not one of the manifest's files, is damaged, or has another SHA-256.
pub fn import_file(
    manifest: &Manifest,
    provided: &Path,
    folder: &Path,
    on_event: &mut dyn FnMut(Event),
    stop: &AtomicBool,
) -> Result<(), FetchError> {
    let sha256 = sha256_of_file(provided).map_err(FetchError::io(provided))?;
    let recognized = recognize(manifest, provided, &sha256)?;
    let (_lock, work) = lock_folder(folder, on_event, stop)?;
    let work = &work.0;
    fs::create_dir_all(work).map_err(FetchError::io(work))?;
    let copy = |destination: &Path| {
        let copy = work.join("copy");
        fs::copy(provided, &copy).map_err(FetchError::io(provided))?;
        unpack::move_into_place(&copy, &folder.join(destination), &work.join("old"))
    };
    match recognized {
        ProvidedFile::Member(member) => copy(&member.destination)?,
        ProvidedFile::File(file) => {
            on_event(Event::Downloaded { file, sha256: &sha256, is_known: file.sha256.is_some() });
            if file.is_unpacked() {
                let files = unpack::unpack(file, provided, work, folder)?;
                on_event(Event::Unpacked { file, files });
            } else {
                copy(&file.destination())?;
            }
        }
    }
    write_license(manifest, folder)
}

/// Finds the provided file in the manifest.
fn recognize<'a>(
    manifest: &'a Manifest,
    provided: &Path,
    sha256: &str,
) -> Result<ProvidedFile<'a>, FetchError> {
    let is_same = |expected: &Option<String>| expected.as_deref() == Some(sha256);
    if let Some(file) = manifest.files.iter().find(|file| is_same(&file.sha256)) {
        return Ok(ProvidedFile::File(file));
    }
    let mut members = manifest.files.iter().flat_map(|file| &file.members);
    if let Some(member) = members.find(|member| is_same(&member.sha256)) {
        return Ok(ProvidedFile::Member(member));
    }
    let mismatch = |reason: String| FetchError::ProvidedFile { path: provided.to_path_buf(), reason };
    let name = provided.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let by_name = manifest.files.iter().find(|file| file.name == name);
    let file = match (by_name, manifest.files.as_slice()) {
        (Some(file), _) | (None, [file]) => file,
        (None, files) => {
            let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
            return Err(mismatch(format!(
                "its SHA-256 is {sha256}, which none of `{}`'s files has: {}",
                manifest.name,
                names.join(", ")
            )));
        }
    };
    let length = fs::metadata(provided).map_err(FetchError::io(provided))?.len();
    if let Some(expected) = file.bytes.filter(|expected| *expected != length) {
        return Err(mismatch(format!(
            "it has {length} bytes, and {} has {expected}: it is incomplete or another file; copy it again",
            file.name
        )));
    }
    match &file.sha256 {
        None => Ok(ProvidedFile::File(file)),
        Some(expected) => Err(mismatch(format!(
            "its SHA-256 is {sha256}, and {} has {expected}: it is another version or was changed in transfer",
            file.name
        ))),
    }
}
