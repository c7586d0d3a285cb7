//! Videos in, frames out: probing, the range, the modes of reading, and a writer for overlays.
//!
//! | mode | what is kept | where it comes from |
//! |---|---|---|
//! | `extract { store = "jpeg" }` | files on disk, lossy | PHALP's `extract_video=True` |
//! | `extract { store = "png" }` | files on disk, lossless | separates JPEG loss from extraction |
//! | `extract { store = "memory" }` | all decoded frames in host memory | what users believe extraction does |
//! | `extract { store = "device" }` | all decoded frames on the GPU | the out-of-memory that users report |
//! | `stream { access = "seek" }` | timestamps; open, seek, decode per frame | PHALP's `extract_video=False` |
//! | `stream { access = "sequential" }` | timestamps; one decoder, a queue bounded in bytes | what it should be |
//!
//! Frame `n` is the `n`-th frame in presentation order that ffmpeg decodes from the first video track
//! (cover pictures aside), after edit lists and rotation, before any frame-rate conversion. It is the
//! same in every mode, and byte for byte so in the lossless ones.
//!
//! Must not know what is seen in the frames, nor who measures.

mod buffers;
mod child;
mod container;
mod decoder;
mod encoder;
mod error;
mod extract;
#[doc(hidden)]
pub mod fuzzing;
mod guard;
mod jpeg;
mod kept;
mod listing;
mod pictures;
mod probe;
mod range;
mod seek;
mod sequential;
mod settings;

#[cfg(test)]
mod clips;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_faults;
#[cfg(test)]
mod tests_flow;

use std::ops::Range;
use std::path::Path;

use crate::frame::Frame;
use candle_core::Device;

pub use encoder::{Encoder, EncoderSettings};
pub use error::{Fault, VideoError};
pub use probe::{Listing, Probe, probe};
pub use settings::{
    Access, DEFAULT_QUALITY, DEFAULT_QUEUE_MIB, Extract, Mode, Preset, Seconds, Settings, Store, Stream,
};

/// Decoded frames of one range of one video, in order.
///
/// Dropping a source ends and reaps its decoder and removes its scratch files.
pub trait FrameSource {
    /// What is known of the video.
    fn probe(&self) -> &Probe;

    /// The frames that the source gives out: numbers in the clip, the end excluded. Never empty.
    fn range(&self) -> Range<usize>;

    /// How many frames the source gives out in all.
    fn frames(&self) -> usize {
        self.range().len()
    }

    /// Does what must be done before the first frame can be given out: all of an extraction, nothing in
    /// a stream. The first [`FrameSource::next_frame`] does it too; a separate call can be timed alone.
    ///
    /// # Errors
    /// If the video cannot be decoded, or its frames cannot be stored.
    fn prepare(&mut self) -> Result<(), VideoError> {
        Ok(())
    }

    /// The next frame, `None` after the last. Its buffer is recycled when the frame is dropped, so hold
    /// few of them at once.
    ///
    /// # Errors
    /// If the frame cannot be decoded, stored or read back. After an error there are no more frames.
    fn next_frame(&mut self) -> Result<Option<Frame>, VideoError>;

    /// Bytes of the host's memory in buffers for pixels that the source has made: those of frames given
    /// out, which come back to it, and what it keeps of frames not given out yet. The most so far.
    fn frame_buffer_bytes(&self) -> u64;

    /// Bytes in scratch files now.
    fn disk_bytes(&self) -> u64 {
        0
    }

    /// Most bytes that were in scratch files at once, so far.
    fn disk_peak_bytes(&self) -> u64 {
        self.disk_bytes()
    }

    /// Process ids of the decoders that run now.
    fn decoder_pids(&self) -> Vec<u32> {
        Vec::new()
    }

    /// How many decoder processes were started so far.
    fn decoder_starts(&self) -> usize;

    /// What ffmpeg complained about although it went on (damaged data that it concealed, say); empty
    /// where it did not.
    fn complaints(&self) -> String {
        String::new()
    }
}

/// Opens `path` for reading as `settings` say. Files of an extraction go into a folder of their own,
/// made in `scratch` and removed when the source is dropped; streams leave `scratch` alone.
/// `extract { store = "device" }` keeps its frames on `device`.
///
/// # Errors
/// If the file is no whole video, the range does not fit it, the mode needs another device, or ffmpeg is
/// missing.
pub fn open(
    path: &Path,
    settings: &Settings,
    scratch: &Path,
    device: &Device,
) -> Result<Box<dyn FrameSource + Send>, VideoError> {
    let mode = settings.mode().map_err(|fault| VideoError::new(path, fault))?;
    if matches!(mode, Mode::Extract(Extract { store: Store::Device, .. })) && device.is_cpu() {
        return Err(VideoError::new(path, Fault::NeedsDevice));
    }
    let patience = settings.patience().map_err(|fault| VideoError::new(path, fault))?;
    open_probed(probe::probe_within(path, patience)?, settings, scratch, device)
}

/// As [`open`], for a video that is probed already; here the device may be the CPU, whatever the mode.
///
/// # Errors
/// As [`open`].
pub fn open_probed(
    probe: Probe,
    settings: &Settings,
    scratch: &Path,
    device: &Device,
) -> Result<Box<dyn FrameSource + Send>, VideoError> {
    let path = probe.path.clone();
    let wrong = |fault| VideoError::new(&path, fault);
    let probe = probe.with_patience(settings.patience().map_err(wrong)?);
    let mode = settings.mode().map_err(wrong)?;
    let range = range::resolve(settings, &probe).map_err(wrong)?;
    Ok(match mode {
        Mode::Extract(Extract { store: Store::Jpeg, quality }) => {
            let format = pictures::Format::Jpeg { quality: quality.unwrap_or(DEFAULT_QUALITY) };
            Box::new(extract::Extracted::new(probe, range, format, scratch))
        }
        Mode::Extract(Extract { store: Store::Png, .. }) => {
            Box::new(extract::Extracted::new(probe, range, pictures::Format::Png, scratch))
        }
        Mode::Extract(Extract { store: Store::Memory, .. }) => Box::new(kept::Kept::new(probe, range, None)),
        Mode::Extract(Extract { store: Store::Device, .. }) => {
            Box::new(kept::Kept::new(probe, range, Some(device.clone())))
        }
        Mode::Stream(Stream { access: Access::Seek, .. }) => Box::new(seek::Seek::new(probe, range)),
        Mode::Stream(Stream { access: Access::Sequential, queue_mib }) => {
            let queue_bytes = queue_mib.unwrap_or(DEFAULT_QUEUE_MIB) as usize * 1024 * 1024;
            Box::new(sequential::Sequential::start(probe, range, queue_bytes)?)
        }
    })
}

/// The frames that `settings` select of a probed video, as numbers in the clip, the end excluded.
///
/// # Errors
/// If the range is given twice, holds nothing, or reaches beyond the video's end.
pub fn selected(settings: &Settings, probe: &Probe) -> Result<Range<usize>, VideoError> {
    range::resolve(settings, probe).map_err(|fault| VideoError::new(&probe.path, fault))
}
