//! Opens a video in the mode that the settings name: probes it, selects frames, and starts what reads them.

use std::path::Path;
use std::sync::Arc;

use posebook_core::frame::FrameUploader;

use crate::decode::decoder::DecodeOptions;
use crate::error::{VideoError, VideoErrorKind};
use crate::ffmpeg::hardware;
use crate::frame_source::FrameSource;
use crate::images::format::ImageFormat;
use crate::modes::extract::ExtractReader;
use crate::modes::indexed::IndexedReader;
use crate::modes::prefetch::PrefetchDelivery;
use crate::modes::preloaded::PreloadedDelivery;
use crate::modes::reader::{FrameReader, ReaderContext};
use crate::modes::seek::SeekReader;
use crate::modes::sequential::SequentialReader;
use crate::modes::synchronous::SynchronousDelivery;
use crate::probe::range::{Selection, resolve_selection};
use crate::probe::{Probe, inspect};
use crate::settings::Settings;
use crate::settings::mode::{Access, DEFAULT_JPEG_QUALITY, DEFAULT_QUEUE_MIB, Extract, Mode, Store, Stream};
use crate::sources;

/// Frame buffers of prefetching in all modes but the sequential stream, which has its own bound: one being read, one
/// queued, and two held by the consumer.
const PREFETCH_BUFFERS: usize = 4;

/// Opens the video at `path`. An extraction writes its files to a new folder in `scratch`, which is removed when the
/// source is dropped; streams write nothing. `extract { store = "device" }` copies its frames with `uploader` to a device;
/// the other modes ignore `uploader`.
///
/// # Errors
/// If the file is not a complete video, the range does not fit it, the settings contradict each other, ffmpeg is missing, or
/// the mode stores frames on a device and `uploader` is `None` ([`VideoErrorKind::NeedsGpu`]). In the mode `sequential` with
/// `overlap` the decoder starts here.
pub fn open(
    path: &Path,
    settings: &Settings,
    scratch: &Path,
    uploader: Option<Arc<dyn FrameUploader>>,
) -> Result<FrameSource, VideoError> {
    let wrong = |kind| VideoError::new(path, kind);
    // before probing, which takes longer
    check_uploader(&settings.mode().map_err(wrong)?, uploader.is_some()).map_err(wrong)?;
    let stall_timeout = settings.stall_timeout().map_err(wrong)?;
    open_probed(inspect::probe_with_timeout(path, stall_timeout)?, settings, scratch, uploader)
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
) -> Result<FrameSource, VideoError> {
    if !sources::is_image_source(path) {
        return open(path, settings, scratch, uploader);
    }
    let wrong = |kind| VideoError::new(path, kind);
    check_uploader(&settings.mode().map_err(wrong)?, uploader.is_some()).map_err(wrong)?;
    open_probed(inspect::probe_with_fps(path, Some(fps))?, settings, scratch, uploader)
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
) -> Result<FrameSource, VideoError> {
    let path = probe.path.clone();
    let wrong = |kind| VideoError::new(&path, kind);
    let probe = probe.with_stall_timeout(settings.stall_timeout().map_err(wrong)?);
    let settings = &settings.with_defaults().map_err(wrong)?;
    let mode = settings.mode().map_err(wrong)?;
    check_uploader(&mode, uploader.is_some()).map_err(wrong)?;
    probe.check_loops(settings.loops()).map_err(wrong)?;
    let probe = probe.looped(settings.loops());
    let selection = resolve_selection(settings, &probe).map_err(wrong)?;
    let hwaccel = settings.hwaccel();
    if let Some(name) = hwaccel {
        hardware::check(name).map_err(wrong)?;
    }
    if hwaccel.is_some() && probe.images().is_some() {
        let message = "video.hwaccel is for video files, and this is a folder of images; leave it out";
        return Err(wrong(VideoErrorKind::InvalidSettings(message.into())));
    }
    let options = DecodeOptions::new(hwaccel);
    let context = ReaderContext::new(probe, selection);
    if context.probe.images().is_some() {
        // an image is decoded into a separate buffer and then copied
        context.stats.record_internal_buffer_bytes(context.probe.frame_bytes() as u64);
    }
    let extract = |format| ExtractReader::new(context.clone(), options.clone(), format, scratch);
    let reader: Box<dyn FrameReader> = match mode {
        Mode::Extract(Extract { store: store @ (Store::Memory | Store::Device), .. }) => {
            let uploader = uploader.filter(|_| store == Store::Device);
            let delivery = PreloadedDelivery::new(context.clone(), options, uploader);
            return Ok(FrameSource::new(context, delivery));
        }
        Mode::Extract(Extract { store: Store::Jpeg, quality }) => {
            Box::new(extract(ImageFormat::Jpeg { quality: quality.unwrap_or(DEFAULT_JPEG_QUALITY) }))
        }
        Mode::Extract(Extract { store: Store::Png, .. }) => Box::new(extract(ImageFormat::Png)),
        Mode::Stream(Stream { access: Access::Seek, .. }) => {
            Box::new(SeekReader::new(context.clone(), options))
        }
        Mode::Stream(Stream { access: Access::Indexed, .. }) => {
            Box::new(IndexedReader::new(context.clone(), options))
        }
        Mode::Stream(Stream { access: Access::Sequential, .. }) => {
            Box::new(SequentialReader::start(context.clone(), &options)?)
        }
    };
    if !settings.overlap() {
        let delivery = SynchronousDelivery::new(context.clone(), reader);
        return Ok(FrameSource::new(context, delivery));
    }
    let queue_bytes = match mode {
        Mode::Stream(Stream { access: Access::Sequential, queue_mib }) => {
            queue_mib.unwrap_or(DEFAULT_QUEUE_MIB) as usize * 1024 * 1024
        }
        _ => PREFETCH_BUFFERS * context.probe.frame_bytes(),
    };
    let delivery = PrefetchDelivery::new(context.clone(), reader, queue_bytes)?;
    let mut source = FrameSource::new(context, delivery);
    if matches!(mode, Mode::Stream(_)) {
        // the reader thread starts now and not with the first frame
        source.prepare()?;
    }
    Ok(source)
}

/// The frames that `settings` select of a probed video, which is looped as often as they say.
///
/// # Errors
/// If a bound of the range is given twice, the range is empty or reaches beyond the video's end, or the loops have too many
/// frames together.
pub fn select_frames(settings: &Settings, probe: &Probe) -> Result<Selection, VideoError> {
    let wrong = |kind| VideoError::new(&probe.path, kind);
    let settings = settings.with_defaults().map_err(wrong)?;
    probe.check_loops(settings.loops()).map_err(wrong)?;
    resolve_selection(&settings, &probe.clone().looped(settings.loops())).map_err(wrong)
}

/// Checks that there is an uploader where the mode needs one.
fn check_uploader(mode: &Mode, has_uploader: bool) -> Result<(), VideoErrorKind> {
    let is_needed = matches!(mode, Mode::Extract(Extract { store: Store::Device, .. }));
    if is_needed && !has_uploader { Err(VideoErrorKind::NeedsGpu) } else { Ok(()) }
}
