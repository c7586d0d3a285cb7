//! Reads videos: probes a file, selects a range of frames, and decodes them to RGB in one of several modes; writes
//! overlay videos. Single images are read by [`still`].
//!
//! | mode | stores | purpose |
//! |---|---|---|
//! | `extract { store = "jpeg" }` | all frames as files, lossy | PHALP's `extract_video=True` |
//! | `extract { store = "png" }` | all frames as files, lossless | separates the effect of JPEG from that of extraction |
//! | `extract { store = "memory" }` | all decoded frames in host memory | what users assume extraction does |
//! | `extract { store = "device" }` | all decoded frames on the GPU | reproduces the reported out-of-memory errors |
//! | `stream { access = "seek" }` | timestamps; opens, seeks and decodes for each frame | PHALP's `extract_video=False` |
//! | `stream { access = "sequential" }` | timestamps; one decoder, a queue bounded in bytes | the recommended mode |
//! | `stream { access = "indexed" }` | timestamps; one decoder, restarted where that is faster | frames far apart |
//!
//! In every mode, frames can be prefetched in a background thread (`overlap`), only every N-th frame be
//! read (`every`), a file be read repeatedly as one long video (`loops`), and frames be decoded by other hardware
//! (`hwaccel`).
//!
//! A video is a file, decoded by ffmpeg, or a folder of images or a single image, read by [`still`]: one frame per
//! image, at a constant rate.
//!
//! Frame `n` is the `n`-th frame, from 0, in presentation order that ffmpeg decodes from the first video track
//! other than cover images, after edit lists and rotation, before any frame-rate conversion. It is the same frame
//! in every mode, and the same bytes in the lossless ones.

pub mod ffmpeg;
pub mod sources;

mod decode;
mod encode;
mod error;
#[doc(hidden)]
pub mod fuzzing;
pub mod images;
mod modes;
mod probe;
mod settings;

#[cfg(test)]
mod tests;

use std::ops::Range;
use std::path::Path;

use posebook_core::frame::{Frame, FrameUploader};
use settings::mode::{DEFAULT_JPEG_QUALITY, DEFAULT_QUEUE_MIB};
use std::sync::Arc;

pub use encode::audio::AudioSegment;
pub use encode::encoder::{Encoder, EncoderSettings, FrameGeometry};
pub use error::{VideoError, VideoErrorKind};
pub use probe::inspect::probe;
pub use probe::range::Selection;
pub use probe::timeline::{FrameRate, Timeline};
pub use probe::{Probe, TimestampSource};
pub use settings::Settings;
pub use settings::mode::{Access, Extract, Mode, Preset, Store, Stream};
pub use settings::seconds::Seconds;

/// Frame buffers of a prefetching source in all modes but the sequential stream, which has its own bound: one being
/// read, one queued, and two held by the consumer.
const PREFETCH_BUFFERS: usize = 4;

/// Decoded frames of a selection of one video, in order.
///
/// Dropping a source kills and reaps its decoder and removes its scratch files.
pub trait FrameSource {
    /// Properties of the video.
    fn probe(&self) -> &Probe;

    /// The range of the frames, as indices in the clip; the end is exclusive. Never empty.
    fn range(&self) -> Range<usize>;

    /// Total number of frames that the source delivers.
    fn frame_count(&self) -> usize;

    /// Does the work that precedes the first frame: the whole extraction, or nothing for a stream. The first
    /// [`FrameSource::next_frame`] calls it; a separate call makes it possible to time it.
    ///
    /// # Errors
    /// If the video cannot be decoded, or its frames cannot be stored.
    fn prepare(&mut self) -> Result<(), VideoError> {
        Ok(())
    }

    /// The next frame, `None` after the last. Its buffer is reused once the frame is dropped, so hold only a few
    /// frames at a time.
    ///
    /// # Errors
    /// If the frame cannot be decoded, stored or read back. After an error there are no more frames.
    fn next_frame(&mut self) -> Result<Option<Frame>, VideoError>;

    /// Peak bytes of host memory in pixel buffers that the source allocated, including those of delivered frames.
    fn frame_buffer_bytes(&self) -> u64;

    /// Bytes in scratch files now.
    fn disk_bytes(&self) -> u64 {
        0
    }

    /// Peak bytes in scratch files.
    fn disk_peak_bytes(&self) -> u64 {
        self.disk_bytes()
    }

    /// Process ids of the running decoders.
    fn decoder_pids(&self) -> Vec<u32> {
        Vec::new()
    }

    /// Number of decoder processes started so far.
    fn decoder_starts(&self) -> usize;

    /// What ffmpeg reported on stderr although it succeeded, such as concealed damage; empty if nothing.
    fn decoder_warnings(&self) -> String {
        String::new()
    }
}

/// Opens the video at `path`. An extraction writes its files to a new folder in `scratch`, which is removed when the
/// source is dropped; streams write nothing. `extract { store = "device" }` stores its frames on the device of `uploader`.
///
/// # Errors
/// If the file is not a complete video, the range does not fit it, the mode needs a GPU and `uploader` is `None`, or
/// ffmpeg is missing.
pub fn open(
    path: &Path,
    settings: &Settings,
    scratch: &Path,
    uploader: Option<Arc<dyn FrameUploader>>,
) -> Result<Box<dyn FrameSource + Send>, VideoError> {
    let mode = settings.mode().map_err(|kind| VideoError::new(path, kind))?;
    check_uploader(path, &mode, uploader.is_some())?;
    let stall_timeout = settings.stall_timeout().map_err(|kind| VideoError::new(path, kind))?;
    open_probed(probe::inspect::probe_with_timeout(path, stall_timeout)?, settings, scratch, uploader)
}

/// As [`open`], with the frame rate `fps` for a folder of images. It is ignored for a video file, which has
/// timestamps.
///
/// # Errors
/// As [`open`]; if `fps` is not a valid frame rate.
pub fn open_with_fps(
    path: &Path,
    fps: f64,
    settings: &Settings,
    scratch: &Path,
    uploader: Option<Arc<dyn FrameUploader>>,
) -> Result<Box<dyn FrameSource + Send>, VideoError> {
    if !sources::is_image_source(path) {
        return open(path, settings, scratch, uploader);
    }
    let mode = settings.mode().map_err(|kind| VideoError::new(path, kind))?;
    check_uploader(path, &mode, uploader.is_some())?;
    open_probed(probe_with_fps(path, Some(fps))?, settings, scratch, uploader)
}

/// As [`probe`], with the frame rate `fps` for a folder of images, 30 frames/s by default.
///
/// # Errors
/// As [`probe`]; if `fps` is not a valid frame rate.
pub fn probe_with_fps(path: &Path, fps: Option<f64>) -> Result<Probe, VideoError> {
    if sources::is_image_source(path) { probe::image_folder::probe(path, fps) } else { probe(path) }
}

fn check_uploader(path: &Path, mode: &Mode, has_uploader: bool) -> Result<(), VideoError> {
    let needs_gpu = matches!(mode, Mode::Extract(Extract { store: Store::Device, .. }));
    if needs_gpu && !has_uploader { Err(VideoError::new(path, VideoErrorKind::NeedsGpu)) } else { Ok(()) }
}

/// As [`open`], for a video that was probed before.
///
/// # Errors
/// As [`open`].
pub fn open_probed(
    probe: Probe,
    settings: &Settings,
    scratch: &Path,
    uploader: Option<Arc<dyn FrameUploader>>,
) -> Result<Box<dyn FrameSource + Send>, VideoError> {
    let path = probe.path.clone();
    let wrong = |kind| VideoError::new(&path, kind);
    let probe = probe.with_stall_timeout(settings.stall_timeout().map_err(wrong)?);
    let settings = &settings.with_defaults().map_err(wrong)?;
    let mode = settings.mode().map_err(wrong)?;
    check_uploader(&path, &mode, uploader.is_some())?;
    let probe = probe.looped(settings.loops());
    let selection = probe::range::resolve_selection(settings, &probe).map_err(wrong)?;
    let hwaccel = settings.hwaccel();
    if let Some(name) = hwaccel {
        ffmpeg::hardware::check(name).map_err(wrong)?;
    }
    if hwaccel.is_some() && probe.images().is_some() {
        let message = "video.hwaccel is for video files, and this is a folder of images; leave it out";
        return Err(wrong(VideoErrorKind::InvalidSettings(message.into())));
    }
    let options = decode::decoder::DecodeOptions::for_video(&probe, hwaccel);
    let context = modes::reader::ReaderContext::new(probe, selection);
    if context.probe.images().is_some() {
        // an image is decoded into a separate buffer and then copied
        context.stats.record_internal_buffer_bytes(context.probe.frame_bytes() as u64);
    }
    let reader: Box<dyn modes::reader::FrameReader> = match mode {
        Mode::Extract(Extract { store: Store::Memory, .. }) => {
            return Ok(Box::new(modes::preloaded::PreloadedSource::new(context, options, None)));
        }
        Mode::Extract(Extract { store: Store::Device, .. }) => {
            return Ok(Box::new(modes::preloaded::PreloadedSource::new(context, options, uploader)));
        }
        Mode::Extract(Extract { store: Store::Jpeg, quality }) => {
            let format =
                images::format::ImageFormat::Jpeg { quality: quality.unwrap_or(DEFAULT_JPEG_QUALITY) };
            Box::new(modes::extract::ExtractReader::new(context.clone(), options, format, scratch))
        }
        Mode::Extract(Extract { store: Store::Png, .. }) => Box::new(modes::extract::ExtractReader::new(
            context.clone(),
            options,
            images::format::ImageFormat::Png,
            scratch,
        )),
        Mode::Stream(Stream { access: Access::Seek, .. }) => {
            Box::new(modes::seek::SeekReader::new(context.clone(), options))
        }
        Mode::Stream(Stream { access: Access::Indexed, .. }) => {
            Box::new(modes::indexed::IndexedReader::new(context.clone(), options))
        }
        Mode::Stream(Stream { access: Access::Sequential, .. }) => {
            Box::new(modes::sequential::SequentialReader::start(context.clone(), &options)?)
        }
    };
    if !settings.overlap() {
        return Ok(Box::new(modes::synchronous::SynchronousSource::new(context, reader)));
    }
    let queue_bytes = match mode {
        Mode::Stream(Stream { access: Access::Sequential, queue_mib }) => {
            queue_mib.unwrap_or(DEFAULT_QUEUE_MIB) as usize * 1024 * 1024
        }
        _ => PREFETCH_BUFFERS * context.probe.frame_bytes(),
    };
    let source = modes::prefetch::PrefetchSource::new(context, reader, queue_bytes)?;
    Ok(Box::new(if matches!(mode, Mode::Stream(_)) { source.started()? } else { source }))
}

/// The frames that `settings` select of a probed video, which is looped as often as they say.
///
/// # Errors
/// If a bound of the range is given twice, or the range is empty or reaches beyond the video's end.
pub fn select_frames(settings: &Settings, probe: &Probe) -> Result<Selection, VideoError> {
    let wrong = |kind| VideoError::new(&probe.path, kind);
    let settings = settings.with_defaults().map_err(wrong)?;
    probe::range::resolve_selection(&settings, &probe.clone().looped(settings.loops())).map_err(wrong)
}

#[cfg(test)]
#[path = "../../../tests/common/skip.rs"]
mod test_skip;
