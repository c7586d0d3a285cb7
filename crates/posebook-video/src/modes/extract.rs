//! Extraction into image files: decodes every selected frame and writes it to a scratch folder, then reads the
//! files back one by one.

use std::fs;
use std::path::{Path, PathBuf};

use super::reader::{FrameReader, ReaderContext};
use crate::decode::decoder::DecodeOptions;
use crate::decode::frame_decoder::FrameDecoder;
use crate::error::{VideoError, VideoErrorKind};
use crate::images::format::ImageFormat;

/// Frames stored as one file each.
pub struct ExtractReader {
    context: ReaderContext,
    options: DecodeOptions,
    format: ImageFormat,
    folder: ScratchFolder,
    /// The encoded image that is being written or read.
    encoded: Vec<u8>,
}

impl ExtractReader {
    /// A reader that has written nothing yet; its folder will be in `scratch`.
    pub fn new(
        context: ReaderContext,
        options: DecodeOptions,
        format: ImageFormat,
        scratch: &Path,
    ) -> ExtractReader {
        ExtractReader {
            context,
            options,
            format,
            folder: ScratchFolder::in_parent(scratch),
            encoded: Vec::new(),
        }
    }

    /// Writes all files, with `rgb` as the buffer for decoded frames.
    fn extract(&mut self, rgb: &mut [u8]) -> Result<(), VideoError> {
        let ReaderContext { probe, selection, child, stats } = &self.context;
        let error = |index, kind| VideoError::at_frame(&probe.path, index, kind);
        self.folder.create().map_err(|kind| error(selection.range.start, kind))?;
        let mut decoder = FrameDecoder::start(probe, &self.options, selection.clone(), child.clone())?;
        while let Some(index) = decoder.read(rgb)? {
            self.format
                .encode(rgb, probe.width, probe.height, &mut self.encoded)
                .map_err(|reason| error(index, VideoErrorKind::ImageEncoding(reason)))?;
            let file = self.folder.frame_path(index, self.format);
            fs::write(&file, &self.encoded)
                .map_err(|source| error(index, VideoErrorKind::ScratchWrite { file, source }))?;
            stats.set_disk_bytes(stats.disk_bytes() + self.encoded.len() as u64);
        }
        stats.set_decoder_warnings(decoder.finish()?);
        Ok(())
    }

    fn read_back(&mut self, index: usize, rgb: &mut [u8]) -> Result<(), VideoErrorKind> {
        let file = self.folder.frame_path(index, self.format);
        self.encoded.clear();
        fs::File::open(&file)
            .and_then(|mut source| std::io::Read::read_to_end(&mut source, &mut self.encoded))
            .map_err(|error| error.to_string())
            .and_then(|_| self.format.decode(&self.encoded, rgb))
            .map_err(|reason| VideoErrorKind::ScratchRead { file, reason })
    }
}

impl FrameReader for ExtractReader {
    fn prepare(&mut self, spare: &mut [u8]) -> Result<(), VideoError> {
        let extracted = self.extract(spare);
        if extracted.is_err() {
            self.folder.remove();
            self.context.stats.set_disk_bytes(0);
        }
        extracted
    }

    fn read(&mut self, index: usize, rgb: &mut [u8]) -> Result<(), VideoError> {
        self.read_back(index, rgb).map_err(|kind| VideoError::at_frame(&self.context.probe.path, index, kind))
    }
}

/// The folder of one extraction, removed when this is dropped.
struct ScratchFolder(PathBuf);

impl ScratchFolder {
    /// A unique path in `scratch`; the folder is not created yet.
    fn in_parent(scratch: &Path) -> ScratchFolder {
        ScratchFolder(scratch.join(posebook_core::scratch::temporary_name("frames")))
    }

    fn create(&self) -> Result<(), VideoErrorKind> {
        fs::create_dir_all(&self.0)
            .map_err(|source| VideoErrorKind::ScratchWrite { file: self.0.clone(), source })
    }

    /// The file of frame `index`: numbered from 1 with at least six digits, as in PHALP.
    fn frame_path(&self, index: usize, format: ImageFormat) -> PathBuf {
        self.0.join(format!("{:06}.{}", index + 1, format.extension()))
    }

    fn remove(&self) {
        // fails if it was never created
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        self.remove();
    }
}
