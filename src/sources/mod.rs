//! What a person calls a video, as a path that can be read anywhere in it: a file or a folder of pictures as it
//! is, an address on the web.
//!
//! A folder's pictures are its frames, in natural order. An address is fetched first: to seek for every frame
//! over a network is hopeless. What is fetched is kept below one folder and fetched once. Fetching is `curl`'s work (which most systems have, follows redirections and goes on where it
//! was broken off), or `yt-dlp`'s for pages that only it understands: a client of our own would bring a
//! cryptography library into every build. Must not know how videos and pictures are decoded.

mod download;
mod folder;
pub mod header;
mod order;
mod web;

pub use download::{DownloadError, Patience, download};
pub use folder::{Frames, Pictures, is_pictures};

use std::io;
use std::path::{Path, PathBuf};

use crate::provenance::sha256_of_bytes;

/// Frames a second of a folder of pictures where nothing else is asked for.
pub const DEFAULT_FPS: f64 = 30.0;

/// What is wrong with a source.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("{}: {}", folder.display(), no_pictures(left_out))]
    NoPictures { folder: PathBuf, left_out: Vec<String> },
    #[error("{}: {what}", path.display())]
    Picture { path: PathBuf, what: String },
    #[error("fps = {0}: give a number of frames a second, more than 0.0001 and less than 1000000")]
    Fps(f64),
    #[error("{address}: {what}")]
    Address { address: String, what: String },
    #[error("{address}: `{program}` is not on the PATH; {hint}")]
    NoProgram { address: String, program: &'static str, hint: &'static str },
    #[error("{}: {source}", path.display())]
    Disk { path: PathBuf, source: io::Error },
}

fn no_pictures(left_out: &[String]) -> String {
    let left_out = left_out.join("; ");
    let told = if left_out.is_empty() { left_out } else { format!(" ({left_out})") };
    format!("there are no pictures in this folder; give one with .jpg, .jpeg or .png files{told}")
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

/// The path that `source` stands for: itself, or the file in `kept` to which an address is fetched. `tell` hears
/// how many bytes are there while it is fetched.
///
/// # Errors
/// If an address cannot be fetched, a folder has no pictures, or `fps` is no rate.
pub fn file(
    source: &Path,
    fps: Option<f64>,
    kept: &Path,
    tell: &mut dyn FnMut(u64),
) -> Result<PathBuf, SourceError> {
    if let Some(address) = source.to_str().filter(|_| is_address(source)) {
        return web::fetch(address, kept, tell);
    }
    if is_pictures(source) {
        rate(fps)?;
        Pictures::of(source)?;
    }
    Ok(source.to_path_buf())
}

/// What a file or folder is called: a file's name without its ending, a folder's whole name, also where the path
/// is `.` or ends in `..`.
pub fn name(source: &Path) -> String {
    let name = |path: &Path| {
        let name = if path.is_dir() { path.file_name() } else { path.file_stem() };
        name.map(|name| name.to_string_lossy().into_owned())
    };
    let whole = || std::fs::canonicalize(source).ok().and_then(|whole| name(&whole));
    name(source).or_else(whole).unwrap_or_else(|| "video".into())
}

/// Frames a second of a folder of pictures: `fps`, or [`DEFAULT_FPS`] where none are given.
///
/// # Errors
/// If it is no rate.
pub fn rate(fps: Option<f64>) -> Result<f64, SourceError> {
    let fps = fps.unwrap_or(DEFAULT_FPS);
    if fps > 0.0001 && fps < 1_000_000.0 { Ok(fps) } else { Err(SourceError::Fps(fps)) }
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
