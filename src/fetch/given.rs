//! A file that the user brings from elsewhere instead of a download: recognized, verified and unpacked.
//!
//! The user's own file is never changed or removed. Must not know what the files are for.

use super::event::Event;
use super::manifest::{File, Manifest, Member};
use super::{FetchError, begin, unpack, write_licence};
use crate::provenance::sha256_of_file;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// What a file given by hand is in a manifest.
enum Found<'a> {
    /// One of the manifest's files, an archive or not.
    File(&'a File),
    /// What is else taken out of an archive.
    Member(&'a Member),
}

/// Takes `given`, one of the manifest's archives or files or a file out of one of them, into `folder`. It is
/// recognized by its SHA-256, or by its name where the manifest knows no SHA-256.
///
/// # Errors
/// If it cannot be read, is none of the manifest's files, is damaged, or has another SHA-256.
pub fn take(
    manifest: &Manifest,
    given: &Path,
    folder: &Path,
    tell: &mut dyn FnMut(Event),
    stop: &AtomicBool,
) -> Result<(), FetchError> {
    let sha256 = sha256_of_file(given).map_err(FetchError::disk(given))?;
    let found = recognize(manifest, given, &sha256)?;
    let (_lock, work) = begin(folder, tell, stop)?;
    let work = &work.0;
    fs::create_dir_all(work).map_err(FetchError::disk(work))?;
    let copy = |place: &Path| {
        let copy = work.join("copy");
        fs::copy(given, &copy).map_err(FetchError::disk(given))?;
        unpack::place(&copy, &folder.join(place), &work.join("old"))
    };
    match found {
        Found::Member(member) => copy(&member.place)?,
        Found::File(file) => {
            tell(Event::Came { file, sha256: &sha256, is_known: file.sha256.is_some() });
            if file.is_unpacked() {
                let files = unpack::unpack(file, given, work, folder)?;
                tell(Event::Unpacked { file, files });
            } else {
                copy(&file.place())?;
            }
        }
    }
    write_licence(manifest, folder)
}

fn recognize<'a>(manifest: &'a Manifest, given: &Path, sha256: &str) -> Result<Found<'a>, FetchError> {
    let is_same = |wanted: &Option<String>| wanted.as_deref() == Some(sha256);
    if let Some(file) = manifest.files.iter().find(|file| is_same(&file.sha256)) {
        return Ok(Found::File(file));
    }
    let mut members = manifest.files.iter().flat_map(|file| &file.members);
    if let Some(member) = members.find(|member| is_same(&member.sha256)) {
        return Ok(Found::Member(member));
    }
    let wrong = |what: String| FetchError::Given { path: given.to_path_buf(), what };
    let name = given.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let by_name = manifest.files.iter().find(|file| file.name == name);
    let file = match (by_name, manifest.files.as_slice()) {
        (Some(file), _) | (None, [file]) => file,
        (None, files) => {
            let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
            return Err(wrong(format!(
                "its SHA-256 is {sha256}, which none of `{}`'s files has: {}",
                manifest.name,
                names.join(", ")
            )));
        }
    };
    let length = fs::metadata(given).map_err(FetchError::disk(given))?.len();
    if let Some(wanted) = file.bytes.filter(|wanted| *wanted != length) {
        return Err(wrong(format!(
            "it has {length} bytes, and {} has {wanted}: it is not whole or another file; copy it again",
            file.name
        )));
    }
    match &file.sha256 {
        None => Ok(Found::File(file)),
        Some(wanted) => Err(wrong(format!(
            "its SHA-256 is {sha256}, and {} has {wanted}: it is another version or was changed on its way",
            file.name
        ))),
    }
}
