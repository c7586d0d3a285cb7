//! Single pictures, as OpenCV's `cv2.imread` has them (4D-Humans' demo reads with it): RGB of 8 bits.
//!
//! - What a file is is told by its first bytes, whatever its name ends in: JPEG or PNG. Of a file with several
//!   pictures (MPO) the first is read; what lies behind the picture's end is not looked at.
//! - Alpha is dropped and not blended with anything: what is transparent has the colour that the file gives it.
//! - Of 16 bits the upper 8 are kept, unrounded; grey becomes three equal channels; palettes are looked up.
//! - The EXIF orientation is applied, so that boxes are in pixels of the picture as people see it.
//! - Colour profiles and gamma are left alone.
//!
//! In one thing it is stricter: of a file that is cut short OpenCV gives what there is, the rest grey; here that
//! is an error. Must not know what is seen in the pictures.

mod orientation;
mod png;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use super::jpeg;
use crate::frame::Frame;
use crate::provenance::sha256_of_bytes;
use crate::sources::header::{Header, Kind};
use orientation::Orientation;

/// The longest side that OpenCV's `warpAffine` can cut from, pixels.
const LONGEST_SIDE: usize = 32_767;
/// The most pixels that are decoded: three quarters of a GiB as RGB.
const MOST_PIXELS: usize = 1 << 28;
/// The largest file that is read.
const MOST_BYTES: u64 = 1 << 31;

/// A picture that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {what}", path.display())]
pub struct StillError {
    pub path: PathBuf,
    /// What is wrong, without the path.
    pub what: String,
}

/// A picture and its file.
#[derive(Debug)]
pub struct Still {
    /// The picture as frame `number`, upright.
    pub frame: Frame,
    /// SHA-256 of the file.
    pub sha256: String,
}

/// Reads the picture at `path` as frame `number`.
///
/// # Errors
/// If there is no file, it is no JPEG or PNG, it is damaged or cut short, or larger than can be worked on.
pub fn read(path: &Path, number: usize) -> Result<Still, StillError> {
    let wrong = |what: String| StillError { path: path.to_path_buf(), what };
    let unreadable = |error: std::io::Error| wrong(format!("cannot read the picture: {error}"));
    let about = std::fs::metadata(path).map_err(unreadable)?;
    if about.len() > MOST_BYTES {
        return Err(wrong(format!("a file of {} bytes is no picture that can be worked on", about.len())));
    }
    let file = std::fs::read(path).map_err(unreadable)?;
    let (width, height, rgb) = decode(&file).map_err(wrong)?;
    Ok(Still { frame: Frame::new(number, 0.0, width, height, rgb), sha256: sha256_of_bytes(&file) })
}

/// Width, height and RGB bytes of a file, upright.
pub(super) fn decode(file: &[u8]) -> Result<(usize, usize, Vec<u8>), String> {
    let header = Header::of_bytes(file)?;
    let (width, height, rgb) = match header.kind {
        Kind::Jpeg => {
            jpeg::decode_whole(file, check_size).map(|decoded| (decoded.width, decoded.height, decoded.rgb))
        }
        Kind::Png => png::decode(file),
    }?;
    Ok(Orientation::of_number(header.orientation).upright(width, height, rgb))
}

/// Whether a picture of so many pixels can be worked on.
fn check_size(width: usize, height: usize) -> Result<(), String> {
    if width == 0 || height == 0 {
        return Err(format!("a picture of {width}x{height} pixels"));
    }
    let pixels = width.saturating_mul(height);
    if width.max(height) > LONGEST_SIDE || pixels > MOST_PIXELS {
        return Err(format!(
            "{width}x{height} pixels are more than can be worked on: at most {LONGEST_SIDE} a side and {MOST_PIXELS} \
             in all; make the picture smaller"
        ));
    }
    Ok(())
}
