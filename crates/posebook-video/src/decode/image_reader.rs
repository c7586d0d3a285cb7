//! Reads the images of a folder as the frames of a video. [`crate::images::still`] decodes them; ffmpeg is not used.

use std::path::Path;
use std::sync::Arc;

use crate::error::{VideoError, VideoErrorKind};
use crate::images::still;
use crate::probe::Probe;
use crate::probe::range::Selection;

/// Reads the selected images in order.
pub struct ImageReader {
    probe: Arc<Probe>,
    selection: Selection,
    /// Index of the next frame.
    next: usize,
}

impl ImageReader {
    /// A reader before the first selected image.
    pub fn new(probe: &Arc<Probe>, selection: Selection) -> ImageReader {
        ImageReader { probe: Arc::clone(probe), next: selection.range.start, selection }
    }

    /// Index of the next frame in the clip; beyond the range after the last frame.
    pub fn next_index(&self) -> usize {
        self.next
    }

    /// Decodes the next frame into `rgb` and returns its index in the clip; `None` after the last frame.
    ///
    /// # Errors
    /// If the image is damaged or missing, or its size changed since the folder was probed. The error has the image's path.
    pub fn read(&mut self, rgb: &mut [u8]) -> Result<Option<usize>, VideoError> {
        let n = self.next;
        let Some(path) = self.path(n) else { return Ok(None) };
        let wrong = |reason| VideoError::at_frame(path, n, VideoErrorKind::Still(reason));
        let still = still::read(path, n).map_err(|error| wrong(error.reason))?.frame;
        let (width, height) = (self.probe.width, self.probe.height);
        if (still.width, still.height) != (width, height) {
            let (w, h) = (still.width, still.height);
            return Err(wrong(format!(
                "the image has {w}x{h} pixels now and had {width}x{height}; do not change the folder while it is read"
            )));
        }
        rgb.copy_from_slice(still.rgb());
        self.next += self.selection.every;
        Ok(Some(n))
    }

    /// Skips the next frame without reading it; returns its index.
    pub fn skip(&mut self) -> Option<usize> {
        let n = self.next;
        self.path(n)?;
        self.next += self.selection.every;
        Some(n)
    }

    /// The file of frame `n`; `None` beyond the range.
    fn path(&self, n: usize) -> Option<&Path> {
        let within = n < self.selection.range.end;
        within.then(|| self.probe.images()?.get(self.probe.file_frame(n)).map(|path| path.as_path()))?
    }
}
