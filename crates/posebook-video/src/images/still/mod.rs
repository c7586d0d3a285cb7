//! Reads single JPEG and PNG images to 8-bit RGB, as OpenCV's `cv2.imread` does (the 4D-Humans demo uses it).
//!
//! - The first bytes decide the format, not the extension. Of a file with several images (MPO) the first is read; bytes
//!   after the image are ignored.
//! - Alpha is dropped without blending: a transparent pixel has the color that the file stores for it.
//! - Of 16-bit samples the upper 8 bits are used, unrounded; gray becomes three equal channels; palettes are expanded.
//! - The EXIF orientation is applied, so that boxes are in pixels of the image as viewers show it.
//! - Color profiles and gamma are ignored.
//!
//! One difference: of a truncated file OpenCV returns the decoded part and fills the rest with gray; here it is an error.

mod limits;
mod orientation;
mod png;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use posebook_core::frame::Frame;
use posebook_core::provenance::sha256_of_bytes;

use super::header::{ImageFormat, ImageHeader};
use super::jpeg;
use crate::error::Printable;
use limits::check_size;
use orientation::Orientation;

/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 31;

/// An image that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", Printable(&path.to_string_lossy()))]
pub struct StillError {
    /// The image.
    pub path: PathBuf,
    /// What is wrong, without the path.
    pub reason: String,
}

/// An image and the digest of its file.
#[derive(Debug)]
pub struct Still {
    /// The image as a frame, with its EXIF orientation applied.
    pub frame: Frame,
    /// SHA-256 of the file, in hexadecimal digits.
    pub sha256: String,
}

/// Reads the image at `path` as a frame with index `number`.
///
/// # Errors
/// If the file is missing, not a JPEG or PNG, damaged, truncated or too large.
pub fn read(path: &Path, number: usize) -> Result<Still, StillError> {
    let wrong = |reason: String| StillError { path: path.to_path_buf(), reason };
    let unreadable = |error: std::io::Error| wrong(format!("cannot read the image: {error}"));
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    // a device may have no end, and a pipe may wait
    if !metadata.is_file() {
        return Err(wrong("this is not a regular file; give an image file".into()));
    }
    let too_long = |bytes| wrong(format!("the file has {bytes} bytes; at most {MAX_BYTES} are supported"));
    if metadata.len() > MAX_BYTES {
        return Err(too_long(metadata.len()));
    }
    let mut file = Vec::with_capacity(metadata.len() as usize);
    let reader = File::open(path).map_err(unreadable)?;
    reader.take(MAX_BYTES + 1).read_to_end(&mut file).map_err(unreadable)?;
    if file.len() as u64 > MAX_BYTES {
        return Err(too_long(file.len() as u64));
    }
    let (width, height, rgb) = decode(&file).map_err(wrong)?;
    Ok(Still { frame: Frame::new(number, 0.0, width, height, rgb), sha256: sha256_of_bytes(&file) })
}

/// Width, height and RGB bytes of an image file, with the EXIF orientation applied.
pub fn decode(file: &[u8]) -> Result<(usize, usize, Vec<u8>), String> {
    let header = ImageHeader::from_bytes(file)?;
    let (width, height, rgb) = match header.format {
        ImageFormat::Jpeg => {
            jpeg::decode_any(file, check_size).map(|decoded| (decoded.width, decoded.height, decoded.rgb))
        }
        // before the decoder, which has limits of its own
        ImageFormat::Png => check_size(header.width, header.height).and_then(|()| png::decode(file)),
    }?;
    Ok(Orientation::from_exif(header.orientation).apply(width, height, rgb))
}
