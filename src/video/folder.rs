//! A folder of pictures as a video: frame `n` is the `n`-th picture in natural order, read as [`super::still`]
//! reads single pictures, at a constant rate. No ffmpeg is concerned, and every mode gives the same frames.
//!
//! Must not know the modes.

use std::path::Path;
use std::sync::Arc;

use super::error::{Fault, MOST_FRAMES, MOST_PIXELS, VideoError};
use super::probe::{Constant, Probe};
use super::range::Selection;
use super::still;
use crate::sources::{self, Frames, SourceError};

/// The largest denominator that a rate is told apart by: 30000/1001 has 1001.
const FINEST_RATE: i64 = 1_000_000;

/// Looks at the header of every picture in `folder`; `fps` frames a second, 30 where none are given.
///
/// # Errors
/// If there are no pictures, one of them is none, their sizes differ, or `fps` is no rate.
pub(super) fn probe(folder: &Path, fps: Option<f64>) -> Result<Probe, VideoError> {
    let fps = sources::rate(fps).map_err(|error| told(folder, error))?;
    let Frames { pictures, width, height, kinds } =
        Frames::of(folder).map_err(|error| told(folder, error))?;
    if width.checked_mul(height).is_none_or(|pixels| pixels > MOST_PIXELS) {
        return Err(VideoError::new(folder, Fault::TooLarge { width, height }));
    }
    if pictures.files.len() > MOST_FRAMES {
        return Err(VideoError::new(folder, Fault::TooManyFrames));
    }
    let constant = Constant { codec: kinds, width, height, fps, time_base: step(fps) };
    Ok(Probe::of_pictures(folder, pictures.files, constant, pictures.left_out))
}

/// An error of a folder as one of a video: the picture concerned is named once.
fn told(folder: &Path, error: SourceError) -> VideoError {
    match error {
        SourceError::Picture { path, what } => VideoError::new(&path, Fault::Still(what)),
        SourceError::Disk { path, source } => VideoError::new(&path, Fault::Unreadable(source)),
        SourceError::Fps(_) => VideoError::new(folder, Fault::Settings(error.to_string())),
        error => {
            let (words, path) = (error.to_string(), format!("{}: ", folder.display()));
            VideoError::new(folder, Fault::Still(words.strip_prefix(&path).unwrap_or(&words).to_string()))
        }
    }
}

/// The time of a frame at `fps` in seconds, as the simplest fraction that is as near as an `f64` can tell (by
/// continued fractions).
fn step(fps: f64) -> (i64, i64) {
    let (mut before, mut last) = ((0, 1), (1, 0));
    let mut rest = fps;
    loop {
        let whole = rest.floor();
        let next = (before.0 + whole as i64 * last.0, before.1 + whole as i64 * last.1);
        if next.1 > FINEST_RATE {
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

/// Selected pictures, read in order.
pub(super) struct PictureReader {
    probe: Arc<Probe>,
    selection: Selection,
    next: usize,
}

impl PictureReader {
    /// Nothing is read yet.
    pub fn new(probe: &Arc<Probe>, selection: Selection) -> PictureReader {
        PictureReader { probe: Arc::clone(probe), next: selection.range.start, selection }
    }

    /// The frame that comes next, a number in the clip; beyond the range after the last.
    pub fn next(&self) -> usize {
        self.next
    }

    /// Writes the next frame into `rgb` and returns its number in the clip; `None` after the last frame.
    ///
    /// # Errors
    /// If the picture is damaged or missing, or its size changed since the folder was probed. The error names its path.
    pub fn read(&mut self, rgb: &mut [u8]) -> Result<Option<usize>, VideoError> {
        let n = self.next;
        let Some(picture) = self.picture(n) else { return Ok(None) };
        let wrong = |what| VideoError::at_frame(picture, n, Fault::Still(what));
        let still = still::read(picture, n).map_err(|error| wrong(error.what))?.frame;
        let (width, height) = (self.probe.width, self.probe.height);
        if (still.width, still.height) != (width, height) {
            let (w, h) = (still.width, still.height);
            return Err(wrong(format!(
                "the picture is {w}x{h} now and was {width}x{height}; leave the folder alone while it is read"
            )));
        }
        rgb.copy_from_slice(still.rgb());
        self.next += self.selection.every;
        Ok(Some(n))
    }

    /// Lets the next frame go by without reading it.
    pub fn skip(&mut self) -> Option<usize> {
        let n = self.next;
        self.picture(n)?;
        self.next += self.selection.every;
        Some(n)
    }

    /// The file of frame `n`; `None` beyond the range.
    fn picture(&self, n: usize) -> Option<&Path> {
        let within = n < self.selection.range.end;
        within.then(|| self.probe.pictures()?.get(self.probe.file_frame(n)).map(|path| path.as_path()))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_fractions() {
        assert_eq!(step(30.0), (1, 30));
        assert_eq!(step(12.5), (2, 25));
        assert_eq!(step(29.97), (100, 2997));
        assert_eq!(step(30000.0 / 1001.0), (1001, 30000));
        assert_eq!(step(0.1), (10, 1));
        assert_eq!(step(0.0002), (5000, 1));
        for fps in [std::f64::consts::PI, 1.0 / 3.0, 999_999.9, 23.976_023_976, 0.000_100_1] {
            let (numerator, denominator) = step(fps);
            let near = denominator as f64 / numerator as f64;
            assert!((near / fps - 1.0).abs() < 1e-6, "{fps}: {near}");
        }
    }
}
