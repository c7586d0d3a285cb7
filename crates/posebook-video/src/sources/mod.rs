//! Resolves what a user names as a video to a local path: a file, an image or folder of images, or a web address.
//!
//! The images of a folder are its frames, in natural order. An address is downloaded first, since seeking over a network for
//! every frame is far too slow; downloads are cached in one folder. Downloading is done by `curl` (installed on most systems;
//! follows redirects and resumes), or by `yt-dlp` for pages that only it understands: an HTTP client in this program would
//! add a cryptography library to every build. Nothing is decoded here; of an image only the header is read.

mod image_folder;
mod natural_order;
mod web;

pub use image_folder::{ImageFiles, ImageSequence, is_image_source};

use std::io;
use std::path::{Path, PathBuf};

use posebook_core::provenance::sha256_of_bytes;

use crate::error::Printable;

/// Default frame rate of a folder of images, in frames per second.
pub const DEFAULT_FPS: f64 = 30.0;

/// Why a video source cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A folder has no supported images.
    #[error("{}: {}", Printable(&folder.to_string_lossy()), no_images_message(left_out))]
    NoImages {
        /// The folder.
        folder: PathBuf,
        /// Which files were left out, and why.
        left_out: Vec<String>,
    },
    /// An image cannot be used.
    #[error("{}: {reason}", Printable(&path.to_string_lossy()))]
    Image {
        /// The image.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The frame rate is out of range.
    #[error("fps = {0}: give a number of frames a second, more than 0.0001 and less than 1000000")]
    InvalidFps(f64),
    /// An address cannot be downloaded.
    #[error("{address}: {reason}")]
    Address {
        /// The address.
        address: String,
        /// What is wrong.
        reason: String,
    },
    /// The program that downloads an address is not installed.
    #[error("{address}: `{program}` is not on the PATH; {hint}")]
    ProgramNotFound {
        /// The address.
        address: String,
        /// The missing program.
        program: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// A file or folder cannot be read or written.
    #[error("{}: {source}", Printable(&path.to_string_lossy()))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

fn no_images_message(left_out: &[String]) -> String {
    let left_out = left_out.join("; ");
    let details = if left_out.is_empty() { left_out } else { format!(" ({left_out})") };
    format!("there are no images in this folder; give one with .jpg, .jpeg or .png files{details}")
}

impl SourceError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> SourceError {
        let path = path.to_path_buf();
        |source| SourceError::Io { path, source }
    }
}

/// Whether a source is a web address: it begins with `http://` or `https://`, and no file or folder has this name.
pub fn is_address(source: &Path) -> bool {
    let begins_with = |scheme: &str| {
        let start = source.to_str().and_then(|text| text.get(..scheme.len()));
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    (begins_with("http://") || begins_with("https://")) && !source.exists()
}

/// As [`resolve`], without downloading: `None` for an address that is not in the cache.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_local(source: &Path, fps: Option<f64>, cache: &Path) -> Result<Option<PathBuf>, SourceError> {
    match source.to_str().filter(|_| is_address(source)) {
        Some(address) => Ok(Some(web::cache_path(address, cache)).filter(|path| path.is_file())),
        None => resolve(source, fps, cache, &mut |_| ()).map(Some),
    }
}

/// The local path of `source`: itself, or the file in the folder `cache` to which an address is downloaded.
/// `on_progress` is called with the number of bytes downloaded so far.
///
/// # Errors
/// If an address cannot be downloaded, a folder has no images, or `fps` is out of range.
pub fn resolve(
    source: &Path,
    fps: Option<f64>,
    cache: &Path,
    on_progress: &mut dyn FnMut(u64),
) -> Result<PathBuf, SourceError> {
    if let Some(address) = source.to_str().filter(|_| is_address(source)) {
        return web::fetch(address, cache, on_progress);
    }
    if is_image_source(source) {
        validate_fps(fps)?;
        ImageFiles::list(source)?;
    }
    Ok(source.to_path_buf())
}

/// The name to show for a file or folder: a file's name without its extension, a folder's full name, also where the path is
/// `.` or ends in `..`.
pub fn display_name(source: &Path) -> String {
    let name = |path: &Path| {
        let name = if path.is_dir() { path.file_name() } else { path.file_stem() };
        name.map(|name| name.to_string_lossy().into_owned())
    };
    let of_canonical = || std::fs::canonicalize(source).ok().and_then(|path| name(&path));
    name(source).or_else(of_canonical).unwrap_or_else(|| "video".into())
}

/// The frame rate of a folder of images: `fps`, by default [`DEFAULT_FPS`].
///
/// # Errors
/// If it is out of range.
pub fn validate_fps(fps: Option<f64>) -> Result<f64, SourceError> {
    let fps = fps.unwrap_or(DEFAULT_FPS);
    if fps > 0.0001 && fps < 1_000_000.0 { Ok(fps) } else { Err(SourceError::InvalidFps(fps)) }
}

/// The name of a cached file: `label`, shortened and with safe characters, and a hash of `content`.
fn cache_name(label: &str, content: &str) -> String {
    let sanitize = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let label: String = label.chars().take(40).map(sanitize).collect();
    format!("{label}-{}", &sha256_of_bytes(content.as_bytes())[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_begin_with_http_or_https() {
        for address in ["http://a/x.mp4", "https://a", "HTTPS://a"] {
            assert!(is_address(Path::new(address)), "{address}");
        }
        for name in ["http:x.mp4", "https", "ftp://a/x", "data:x", "file:///x", "a/http://b", "é"] {
            assert!(!is_address(Path::new(name)), "{name}");
        }
    }
}
