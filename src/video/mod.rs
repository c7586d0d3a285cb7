//! Videos in, frames out: probing, the range, the modes of reading, and a writer for overlays. Single pictures
//! are read in [`still`].
//!
//! | mode | what is kept | where it comes from |
//! |---|---|---|
//! | `extract { store = "jpeg" }` | files on disk, lossy | PHALP's `extract_video=True` |
//! | `extract { store = "png" }` | files on disk, lossless | separates JPEG loss from extraction |
//! | `extract { store = "memory" }` | all decoded frames in host memory | what users believe extraction does |
//! | `extract { store = "device" }` | all decoded frames on the GPU | the out-of-memory that users report |
//! | `stream { access = "seek" }` | timestamps; open, seek, decode per frame | PHALP's `extract_video=False` |
//! | `stream { access = "sequential" }` | timestamps; one decoder, a queue bounded in bytes | what it should be |
//! | `stream { access = "indexed" }` | timestamps; one decoder that jumps where it pays | for frames far apart |
//!
//! Whatever the mode, frames can be read ahead in a thread of their own (`overlap`), only every so many be
//! read (`every`), a file be read several times on end as one long video (`loops`), and other hardware
//! decode (`hwaccel`).
//!
//! A video is a file, decoded by ffmpeg, or a folder of pictures or a single one, read by [`still`] (one frame a
//! picture, at a constant rate).
//!
//! Frame `n` is the `n`-th frame in presentation order that ffmpeg decodes from the first video track
//! (cover pictures aside), after edit lists and rotation, before any frame-rate conversion. It is the
//! same in every mode, and byte for byte so in the lossless ones.
//!
//! Must not know what is seen in the frames, nor who measures.

mod ahead;
mod buffers;
mod child;
mod container;
mod decoder;
mod direct;
mod encoder;
mod error;
mod extract;
mod facts;
mod folder;
mod frame_decoder;
#[doc(hidden)]
pub mod fuzzing;
mod guard;
mod hardware;
mod headers;
mod indexed;
mod ivf;
mod jpeg;
mod kept;
mod listing;
mod pass;
mod pictures;
mod planes;
mod probe;
mod range;
mod reader;
mod seek;
mod sequential;
mod settings;
mod sound;
pub mod still;
mod timeline;
mod times;

#[cfg(test)]
mod clips;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_clocks;
#[cfg(test)]
mod tests_faults;
#[cfg(test)]
mod tests_flow;
#[cfg(test)]
mod tests_folder;
#[cfg(test)]
mod tests_phalp;
#[cfg(test)]
mod tests_sound;

use std::ops::Range;
use std::path::Path;

use crate::frame::Frame;
use crate::sources;
use candle_core::Device;

pub use encoder::{Encoder, EncoderSettings, Shape};
pub use error::{Fault, VideoError};
pub use probe::{Listing, Probe, probe};
pub use range::Selection;
pub use settings::{
    Access, DEFAULT_QUALITY, DEFAULT_QUEUE_MIB, Extract, Mode, Preset, Seconds, Settings, Store, Stream,
};
pub use sound::Sound;
pub use timeline::{Rate, Timeline};

/// Frames that all modes but the sequential stream, which has a bound of its own, hold at once when they
/// read ahead: one being read, one waiting, and two for whoever takes them.
const FRAMES_AHEAD: usize = 4;

/// Decoded frames of one range of one video, in order.
///
/// Dropping a source ends and reaps its decoder and removes its scratch files.
pub trait FrameSource {
    /// What is known of the video.
    fn probe(&self) -> &Probe;

    /// Where the frames that the source gives out lie: numbers in the clip, the end excluded. Never empty.
    fn range(&self) -> Range<usize>;

    /// How many frames the source gives out in all.
    fn frames(&self) -> usize;

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
    check_device(path, &mode, device)?;
    let patience = settings.patience().map_err(|fault| VideoError::new(path, fault))?;
    open_probed(probe::probe_within(path, patience)?, settings, scratch, device)
}

/// As [`open`], where `path` may be a folder of pictures of `fps` frames a second; of a file it is ignored, since
/// that has times of its own.
///
/// # Errors
/// As [`open`].
pub fn open_at(
    path: &Path,
    fps: f64,
    settings: &Settings,
    scratch: &Path,
    device: &Device,
) -> Result<Box<dyn FrameSource + Send>, VideoError> {
    if !sources::is_pictures(path) {
        return open(path, settings, scratch, device);
    }
    let mode = settings.mode().map_err(|fault| VideoError::new(path, fault))?;
    check_device(path, &mode, device)?;
    open_probed(probe_at(path, Some(fps))?, settings, scratch, device)
}

/// As [`probe`], where `path` may be a folder of pictures of `fps` frames a second, 30 where none are given.
///
/// # Errors
/// As [`probe`]; if `fps` is no rate.
pub fn probe_at(path: &Path, fps: Option<f64>) -> Result<Probe, VideoError> {
    if sources::is_pictures(path) { folder::probe(path, fps) } else { probe::probe(path) }
}

fn check_device(path: &Path, mode: &Mode, device: &Device) -> Result<(), VideoError> {
    let kept_there = matches!(mode, Mode::Extract(Extract { store: Store::Device, .. }));
    if kept_there && device.is_cpu() { Err(VideoError::new(path, Fault::NeedsDevice)) } else { Ok(()) }
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
    let settings = &settings.spelled_out().map_err(wrong)?;
    let mode = settings.mode().map_err(wrong)?;
    let probe = probe.looped(settings.loops());
    let selection = range::resolve(settings, &probe).map_err(wrong)?;
    let hwaccel = settings.hwaccel();
    if let Some(name) = hwaccel {
        hardware::check(name).map_err(wrong)?;
    }
    if hwaccel.is_some() && probe.pictures().is_some() {
        let words = "video.hwaccel is for video files, and this is a folder of pictures; leave it out";
        return Err(wrong(Fault::Settings(words.into())));
    }
    let manner = decoder::Manner::of(&probe, hwaccel);
    let reading = reader::Reading::new(probe, selection);
    if reading.probe.pictures().is_some() {
        // a picture is decoded beside the buffer that it is copied into
        reading.account.note_own_bytes(reading.probe.frame_bytes() as u64);
    }
    let reader: Box<dyn reader::Reader> = match mode {
        Mode::Extract(Extract { store: Store::Memory, .. }) => {
            return Ok(Box::new(kept::Kept::new(reading, manner, None)));
        }
        Mode::Extract(Extract { store: Store::Device, .. }) => {
            return Ok(Box::new(kept::Kept::new(reading, manner, Some(device.clone()))));
        }
        Mode::Extract(Extract { store: Store::Jpeg, quality }) => {
            let format = pictures::Format::Jpeg { quality: quality.unwrap_or(DEFAULT_QUALITY) };
            Box::new(extract::Extracted::new(reading.clone(), manner, format, scratch))
        }
        Mode::Extract(Extract { store: Store::Png, .. }) => {
            Box::new(extract::Extracted::new(reading.clone(), manner, pictures::Format::Png, scratch))
        }
        Mode::Stream(Stream { access: Access::Seek, .. }) => {
            Box::new(seek::Seek::new(reading.clone(), manner))
        }
        Mode::Stream(Stream { access: Access::Indexed, .. }) => {
            Box::new(indexed::Indexed::new(reading.clone(), manner))
        }
        Mode::Stream(Stream { access: Access::Sequential, .. }) => {
            Box::new(sequential::Sequential::start(reading.clone(), &manner)?)
        }
    };
    if !settings.overlap() {
        return Ok(Box::new(direct::Direct::new(reading, reader)));
    }
    let queue_bytes = match mode {
        Mode::Stream(Stream { access: Access::Sequential, queue_mib }) => {
            queue_mib.unwrap_or(DEFAULT_QUEUE_MIB) as usize * 1024 * 1024
        }
        _ => FRAMES_AHEAD * reading.probe.frame_bytes(),
    };
    let ahead = ahead::Ahead::new(reading, reader, queue_bytes)?;
    Ok(Box::new(if matches!(mode, Mode::Stream(_)) { ahead.begun()? } else { ahead }))
}

/// The frames that `settings` select of a probed video, looped as they say: numbers in the clip.
///
/// # Errors
/// If the range is given twice, holds nothing, or reaches beyond the video's end.
pub fn selected(settings: &Settings, probe: &Probe) -> Result<Selection, VideoError> {
    let wrong = |fault| VideoError::new(&probe.path, fault);
    let settings = settings.spelled_out().map_err(wrong)?;
    range::resolve(&settings, &probe.clone().looped(settings.loops())).map_err(wrong)
}
