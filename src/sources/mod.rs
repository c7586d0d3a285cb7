//! What a person calls a video, made into a file that can be read anywhere in it: a file as it is, a folder
//! of pictures, an address on the web.
//!
//! A folder's pictures are put into one container as they are, in natural order, a frame each. An address is
//! fetched first: to seek for every frame over a network is hopeless. Both are kept below one folder and
//! made once. Fetching is `curl`'s work (which most systems have, follows redirections and goes on where it
//! was broken off), or `yt-dlp`'s for pages that only it understands: a client of our own would bring a
//! cryptography library into every build. Must not know how videos are decoded.

mod download;
mod folder;
mod web;

pub use download::{DownloadError, Patience, download};

use std::io;
use std::path::{Path, PathBuf};

use crate::provenance::sha256_of_bytes;

/// Frames a second of a folder of pictures where nothing else is asked for.
pub const DEFAULT_FPS: f64 = 30.0;

/// What is wrong with a source.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("{}: there are no pictures in this folder; give one with .jpg, .jpeg or .png files", .0.display())]
    NoPictures(PathBuf),
    #[error("{}: {what}", path.display())]
    Picture { path: PathBuf, what: String },
    #[error("{}: the pictures cannot be put into one file{}", path.display(), told(said))]
    Join { path: PathBuf, said: String },
    #[error("fps = {0}: give a number of frames a second, more than 0")]
    Fps(f64),
    #[error("{address}: {what}")]
    Address { address: String, what: String },
    #[error("{address}: `{program}` is not on the PATH; {hint}")]
    NoProgram { address: String, program: &'static str, hint: &'static str },
    #[error("{}: {source}", path.display())]
    Disk { path: PathBuf, source: io::Error },
}

fn told(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(" (ffmpeg said: {said})") }
}

impl SourceError {
    fn disk(path: &Path) -> impl FnOnce(io::Error) -> SourceError {
        let path = path.to_path_buf();
        |source| SourceError::Disk { path, source }
    }
}

/// Whether a source's name is an address on the web: it begins like one, and no file or folder has this name.
pub fn is_address(source: &Path) -> bool {
    let begins_with = |scheme: &str| {
        let start = source.to_str().and_then(|text| text.get(..scheme.len()));
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    (begins_with("http://") || begins_with("https://")) && !source.exists()
}

/// As [`file`], of what needs no fetching; `None` where an address was not fetched yet.
///
/// # Errors
/// As [`file`].
pub fn file_at_hand(source: &Path, fps: Option<f64>, kept: &Path) -> Result<Option<PathBuf>, SourceError> {
    match source.to_str().filter(|_| is_address(source)) {
        Some(address) => Ok(Some(web::place(address, kept)).filter(|place| place.is_file())),
        None => file(source, fps, kept, &mut |_| ()).map(Some),
    }
}

/// The file that `source` stands for: itself, or what is made of it in `kept`. `tell` hears how many bytes
/// are there while an address is fetched.
///
/// # Errors
/// If pictures are missing, damaged or of several sizes, or an address cannot be fetched.
pub fn file(
    source: &Path,
    fps: Option<f64>,
    kept: &Path,
    tell: &mut dyn FnMut(u64),
) -> Result<PathBuf, SourceError> {
    if let Some(address) = source.to_str().filter(|_| is_address(source)) {
        return web::fetch(address, kept, tell);
    }
    if source.is_dir() {
        return folder::join(source, fps.unwrap_or(DEFAULT_FPS), kept);
    }
    Ok(source.to_path_buf())
}

/// The pictures of a folder (`.jpg`, `.jpeg`, `.png`), in the order in which people count; and those that are left
/// out, since their kind is not read.
///
/// # Errors
/// If the folder cannot be read, or has none of the first.
pub fn pictures(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), SourceError> {
    let listed = folder::listed(folder)?.into_iter().map(|(path, _)| path);
    Ok((listed.collect(), folder::strangers(folder)?))
}

/// The name under which what was made of `from` is kept: the last part of it that people know it by, and a
/// hash of all of it.
fn key(known_as: &str, from: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    let known_as: String = known_as.chars().take(40).map(plain).collect();
    format!("{known_as}-{}", &sha256_of_bytes(from.as_bytes())[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_begins_like_one_and_an_existing_file_is_none() {
        for address in ["http://a/x.mp4", "https://a", "HTTPS://a"] {
            assert!(is_address(Path::new(address)), "{address}");
        }
        for name in ["http:x.mp4", "https", "ftp://a/x", "data:x", "file:///x", "a/http://b", "é"] {
            assert!(!is_address(Path::new(name)), "{name}");
        }
    }
}
