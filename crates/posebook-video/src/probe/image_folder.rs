//! A folder of images, or a single image, as a video at a constant rate: frame `n` is the `n`-th image in natural order.
//! Only the images' headers are read; no other program is needed.

use std::path::Path;

use crate::error::{MAX_FRAMES, MAX_PIXELS, Printable, VideoError, VideoErrorKind};
use crate::probe::{ImageSequenceInfo, Probe};
use crate::sources::{self, ImageSequence, SourceError};

/// Largest denominator of a frame rate as a fraction: 30000/1001 has 1001.
const MAX_DENOMINATOR: i64 = 1_000_000;

/// Reads the header of every image in `folder`. The rate is `fps` frames per second, by default 30.
///
/// # Errors
/// If there are no images, a file is not an image, their sizes differ, or `fps` is out of range.
pub fn probe(folder: &Path, fps: Option<f64>) -> Result<Probe, VideoError> {
    let fps = sources::validate_fps(fps).map_err(|error| to_video_error(folder, error))?;
    let ImageSequence { images, width, height, formats } =
        ImageSequence::open(folder).map_err(|error| to_video_error(folder, error))?;
    if width.checked_mul(height).is_none_or(|pixels| pixels > MAX_PIXELS) {
        return Err(VideoError::new(folder, VideoErrorKind::TooLarge { width, height }));
    }
    if images.files.len() > MAX_FRAMES {
        return Err(VideoError::new(folder, VideoErrorKind::TooManyFrames));
    }
    let constant = ImageSequenceInfo { codec: formats, width, height, fps, time_base: frame_duration(fps) };
    Ok(Probe::from_images(folder, images.files, constant, images.left_out))
}

/// Converts an error of a folder to one of a video that names the image only once.
fn to_video_error(folder: &Path, error: SourceError) -> VideoError {
    match error {
        SourceError::Image { path, reason } => VideoError::new(&path, VideoErrorKind::Still(reason)),
        SourceError::Io { path, source } => VideoError::new(&path, VideoErrorKind::CannotOpen(source)),
        SourceError::InvalidFps(_) => VideoError::new(folder, VideoErrorKind::InvalidFps(error.to_string())),
        error => {
            let (message, path) = (error.to_string(), format!("{}: ", Printable(&folder.to_string_lossy())));
            VideoError::new(
                folder,
                VideoErrorKind::Still(message.strip_prefix(&path).unwrap_or(&message).to_string()),
            )
        }
    }
}

/// The duration of a frame at `fps` in seconds, as the simplest fraction that an `f64` cannot distinguish from it (by
/// continued fractions).
fn frame_duration(fps: f64) -> (i64, i64) {
    let (mut before, mut last) = ((0, 1), (1, 0));
    let mut rest = fps;
    loop {
        let whole = rest.floor();
        let convergent = |before: i64, last: i64| before.saturating_add((whole as i64).saturating_mul(last));
        let next = (convergent(before.0, last.0), convergent(before.1, last.1));
        if next.1 > MAX_DENOMINATOR {
            break;
        }
        (before, last) = (last, next);
        if last.0 as f64 / last.1 as f64 == fps || rest == whole {
            break;
        }
        rest = 1.0 / (rest - whole);
    }
    (last.1, last.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_fractions() {
        assert_eq!(frame_duration(30.0), (1, 30));
        assert_eq!(frame_duration(12.5), (2, 25));
        assert_eq!(frame_duration(29.97), (100, 2997));
        assert_eq!(frame_duration(30000.0 / 1001.0), (1001, 30000));
        assert_eq!(frame_duration(0.1), (10, 1));
        assert_eq!(frame_duration(0.0002), (5000, 1));
        for fps in [std::f64::consts::PI, 1.0 / 3.0, 999_999.9, 23.976_023_976, 0.000_100_1] {
            let (numerator, denominator) = frame_duration(fps);
            let near = denominator as f64 / numerator as f64;
            assert!((near / fps - 1.0).abs() < 1e-6, "{fps}: {near}");
        }
    }
}
