//! MOTChallenge text: a line `frame,id,left,top,width,height,confidence,-1,-1,-1` for each box, frames from 1, pixels.

use crate::text_file::TextFile;
use crate::{ExportError, ExportFrame, Exported, FrameSink};
use std::path::Path;

/// Writes MOTChallenge text. Holds one frame in memory.
pub struct MotWriter {
    file: TextFile,
}

impl MotWriter {
    /// Begins the file `path`, for all tracks or one.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn create(path: &Path, track: Option<u64>) -> Result<MotWriter, ExportError> {
        Ok(MotWriter { file: TextFile::create(path, track)? })
    }
}

impl FrameSink for MotWriter {
    fn push(&mut self, frame: ExportFrame) -> Result<(), ExportError> {
        self.file.push(&frame, |out, person| {
            let (bbox, number) = (person.bbox, frame.index + 1);
            let (width, height) = (bbox.width(), bbox.height());
            writeln!(
                out,
                "{number},{},{},{},{width},{height},{},-1,-1,-1",
                person.id, bbox.x1, bbox.y1, person.score
            )
        })
    }

    fn finish(self: Box<Self>) -> Result<Exported, ExportError> {
        self.file.finish()
    }
}
