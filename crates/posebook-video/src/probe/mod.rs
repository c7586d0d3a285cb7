//! What is known of a video before it is decoded: container, codec, size, audio, and the PTS of every frame.
//!
//! [`inspect`] makes a [`Probe`] of a video file: from what [`stream_info`] and [`listing`] read with ffprobe, what
//! [`container`] reads with symphonia, and timestamps that [`timestamps`] repairs. [`image_folder`] makes one of a folder of
//! images. From a probe follow the selected frames ([`range`]) and their display times ([`timeline`]). Frames are
//! addressed by their index in presentation order. Does not depend on the reading modes or on how frames are decoded.

pub mod container;
pub mod image_folder;
pub mod inspect;
pub mod listing;
pub mod range;
pub mod stream_info;
pub mod timeline;
pub mod timestamps;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::error::{MAX_FRAMES, VideoErrorKind};
use crate::probe::listing::FrameTimes;
use crate::probe::stream_info::StreamInfo;
use crate::probe::timestamps::PtsAndKeyFlag;
use crate::settings::DEFAULT_STALL_TIMEOUT;

/// Frame rate where neither container nor timestamps give one.
const FALLBACK_FPS: f64 = 25.0;

/// A probed video.
#[derive(Debug, Clone)]
pub struct Probe {
    /// The video file, image or folder of images.
    pub path: PathBuf,
    /// `isomp4` or `matroska` by symphonia; ffprobe's name for other containers.
    pub container: String,
    /// ffmpeg's name of the codec: `h264`, `hevc`, `vp9`.
    pub codec: String,
    /// Pixels across of a frame as delivered, after rotation.
    pub width: usize,
    /// Pixels down of a frame as delivered, after rotation.
    pub height: usize,
    /// Counter-clockwise rotation in degrees that the container asks for; frames are delivered rotated.
    pub rotation_degrees: i32,
    /// Sample aspect ratio (width, height) of a frame as delivered; (1, 1) where the file gives none.
    pub sample_aspect: (u32, u32),
    /// Mean frames per second: the container's value where the timestamps agree, else by the timestamps.
    pub fps: f64,
    /// Seconds from the first frame's start to the last frame's end.
    pub duration_secs: f64,
    /// Whether there is an audio track.
    pub has_audio: bool,
    /// Where the frames' timestamps come from.
    pub timestamp_source: TimestampSource,
    /// Notes for the user, such as differences between ffprobe and symphonia, or repaired timestamps.
    pub notes: Vec<String>,
    /// ffmpeg's version, on which decoded pixels may depend; empty for images.
    pub ffmpeg_version: String,
    /// A decoder of this video that writes nothing for this long is killed.
    pub(super) stall_timeout: Duration,
    /// How many times the file is read in a row, as one video ([`Probe::looped`]).
    pub loops: usize,
    /// Whether decode order differs from display order (B-frames).
    pub(super) reorders_frames: bool,
    /// Whether frames can be sought and identified by their timestamps. If not, they are counted from the file's start.
    seekable: bool,
    /// The frame after the first break in the file's timestamps; from there on timestamps are not the file's own.
    clock_discontinuity: Option<usize>,
    time_base: (i64, i64),
    /// Frames of the file, read once.
    file_frames: usize,
    /// PTS and key flag of every frame, in presentation order.
    frame_times: Vec<PtsAndKeyFlag>,
    /// The files of a folder of images, one per frame; `None` for a video file.
    images: Option<Arc<[PathBuf]>>,
}

/// What all images of a sequence have in common.
#[derive(Debug, Clone)]
pub struct ImageSequenceInfo {
    /// The file formats, such as `jpeg and png`.
    pub codec: String,
    /// Pixels across, with EXIF orientation applied.
    pub width: usize,
    /// Pixels down, with EXIF orientation applied.
    pub height: usize,
    /// Frames per second.
    pub fps: f64,
    /// Seconds from frame to frame, as a fraction.
    pub time_base: (i64, i64),
}

/// How the frames' timestamps were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampSource {
    /// From the container's packets, without decoding: the usual case.
    Packets,
    /// By decoding every frame, because the packets do not say which frames a decoder outputs: PTS are missing, equal or not
    /// in display order, timestamps reset, frames precede the first key frame, the video is interlaced, or the codec (such
    /// as VP8) has packets that show nothing.
    Decoded,
}

impl Probe {
    /// A video file with the given properties and at least one frame.
    pub(super) fn from_stream(
        path: &Path,
        container: String,
        info: StreamInfo,
        frames: FrameTimes,
        timestamp_source: TimestampSource,
        mut notes: Vec<String>,
    ) -> Probe {
        let is_sideways = info.rotation_degrees.rem_euclid(180) == 90;
        let rotate =
            |(across, down): (usize, usize)| if is_sideways { (down, across) } else { (across, down) };
        let (width, height) = rotate((info.width, info.height));
        let (across, down) = info.sample_aspect.unwrap_or((1, 1));
        let sample_aspect = if is_sideways { (down, across) } else { (across, down) };
        // a difference below 1% is what scaling to whole pixels leaves, and is not visible
        if u64::from(across.abs_diff(down)) * 100 > u64::from(across.max(down)) {
            let (across, down) = sample_aspect;
            notes.push(format!(
                "pixels are not square ({across}:{down}); frames and boxes are in stored pixels, overlays have the video's \
                 aspect ratio"
            ));
        }
        let mut probe = Probe {
            path: path.to_path_buf(),
            container,
            codec: info.codec,
            width,
            height,
            rotation_degrees: info.rotation_degrees,
            sample_aspect,
            fps: 0.0,
            duration_secs: 0.0,
            has_audio: info.has_audio,
            timestamp_source,
            notes,
            ffmpeg_version: info.ffmpeg_version,
            stall_timeout: DEFAULT_STALL_TIMEOUT,
            loops: 1,
            reorders_frames: info.reorders_frames,
            seekable: !frames.needs_counting,
            clock_discontinuity: frames.discontinuities.first_frame,
            time_base: (info.time_base.0, info.time_base.1.saturating_mul(frames.tick_subdivision.max(1))),
            file_frames: frames.frames.len(),
            frame_times: frames.frames,
            images: None,
        };
        probe.fps = probe.mean_fps(info.fps, frames.last_duration);
        let last_secs = frames.last_duration.map_or(1.0 / probe.fps, |ticks| probe.ticks_to_secs(ticks));
        probe.duration_secs = probe.time_secs(probe.frames() - 1) + last_secs;
        probe
    }

    /// A sequence of at least one image, one per frame, at a constant rate.
    pub(super) fn from_images(
        path: &Path,
        images: Vec<PathBuf>,
        info: ImageSequenceInfo,
        notes: Vec<String>,
    ) -> Probe {
        let ImageSequenceInfo { codec, width, height, fps, time_base } = info;
        Probe {
            path: path.to_path_buf(),
            container: if path.is_dir() { "folder" } else { "picture" }.into(),
            codec,
            width,
            height,
            sample_aspect: (1, 1),
            rotation_degrees: 0,
            fps,
            duration_secs: images.len() as f64 / fps,
            has_audio: false,
            timestamp_source: TimestampSource::Packets,
            notes,
            ffmpeg_version: String::new(),
            stall_timeout: DEFAULT_STALL_TIMEOUT,
            loops: 1,
            reorders_frames: false,
            seekable: true,
            clock_discontinuity: None,
            time_base,
            file_frames: images.len(),
            frame_times: (0..images.len() as i64).map(|n| PtsAndKeyFlag::new(n, true)).collect(),
            images: Some(images.into()),
        }
    }

    /// The same video with another stall timeout of its decoders.
    pub(super) fn with_stall_timeout(self, stall_timeout: Duration) -> Probe {
        Probe { stall_timeout, ..self }
    }

    /// The files of an image sequence, one per frame; `None` for a video file.
    pub(super) fn images(&self) -> Option<&[PathBuf]> {
        self.images.as_deref()
    }

    /// Number of frames, at least one.
    pub fn frames(&self) -> usize {
        self.frame_times.len()
    }

    /// Presentation time of frame `n`, in seconds from the first frame.
    ///
    /// # Panics
    /// If there is no frame `n`.
    pub fn time_secs(&self, n: usize) -> f64 {
        self.ticks_to_secs(self.pts(n) - self.pts(0))
    }

    /// Presentation time of frame `n` in seconds on the container's own clock, which need not start at zero.
    ///
    /// # Panics
    /// If there is no frame `n`.
    pub fn container_secs(&self, n: usize) -> f64 {
        self.ticks_to_secs(self.pts(n))
    }

    /// Whether a decoder can start at frame `n`.
    ///
    /// # Panics
    /// If there is no frame `n`.
    pub fn is_key(&self, n: usize) -> bool {
        self.frame_times[n].is_key()
    }

    /// Bytes of one decoded RGB24 frame: `width * height * 3`.
    pub fn frame_bytes(&self) -> usize {
        self.width * self.height * 3
    }

    /// Presentation timestamp of frame `n`, in units of the file's time base.
    ///
    /// # Panics
    /// If there is no frame `n`.
    pub fn pts(&self, n: usize) -> i64 {
        self.frame_times[n].pts()
    }

    /// Length of a tick in seconds, as a fraction.
    pub(super) fn time_base(&self) -> (i64, i64) {
        self.time_base
    }

    /// The frame after the first break in the file's timestamps, if there is one.
    pub(super) fn clock_discontinuity(&self) -> Option<usize> {
        self.clock_discontinuity
    }

    /// Whether frames can be sought and identified by their timestamps; if not, they are counted from the file's start.
    pub(super) fn is_seekable(&self) -> bool {
        self.seekable
    }

    /// The last key frame at or before `n`; `None` if there is none or the file is not seekable.
    pub(super) fn key_at_or_before(&self, n: usize) -> Option<usize> {
        (0..=n).rev().find(|&n| self.is_key(n)).filter(|_| self.seekable)
    }

    /// The same file, read `loops` times in a row as one long video: each repetition begins where the previous one ends.
    /// Frames and timestamps are those that a file of that length would have. `loops` replaces an earlier value.
    /// The result has at most 2^25 frames; more loops are refused when the video is opened or frames are selected.
    pub fn looped(mut self, loops: usize) -> Probe {
        let loops = loops.clamp(1, (MAX_FRAMES / self.file_frames).max(1));
        if loops == self.loops {
            return self;
        }
        let once_secs = self.duration_secs / self.loops as f64;
        let (numerator, denominator) = self.time_base;
        let span = self.pts(self.file_frames - 1) - self.pts(0);
        let period = ((once_secs * denominator as f64 / numerator as f64).round() as i64).max(span + 1);
        self.frame_times.truncate(self.file_frames);
        self.frame_times.reserve_exact(self.file_frames * (loops - 1));
        for repetition in 1..loops as i64 {
            // a crafted file may have a duration at which this would overflow
            let offset = repetition.saturating_mul(period);
            for n in 0..self.file_frames {
                let frame = self.frame_times[n];
                self.frame_times.push(frame.with_pts(frame.pts().saturating_add(offset)));
            }
        }
        self.frame_times.shrink_to_fit();
        self.duration_secs = once_secs * loops as f64;
        self.loops = loops;
        self
    }

    /// Checks that the file, read `loops` times in a row, has no more frames than a video may have.
    pub(super) fn check_loops(&self, loops: usize) -> Result<(), VideoErrorKind> {
        let frames = self.file_frames;
        if loops <= 1 || frames.saturating_mul(loops) <= MAX_FRAMES {
            return Ok(());
        }
        Err(VideoErrorKind::InvalidSettings(format!(
            "video.loops = {loops}: the video has {frames} frames, and all loops together have at most {MAX_FRAMES}; give \
             at most {}",
            (MAX_FRAMES / frames).max(1)
        )))
    }

    /// Number of frames of the file itself, read once.
    pub fn file_frames(&self) -> usize {
        self.file_frames
    }

    /// Index in the file of frame `n` of the video: `n` itself where the file is read once.
    pub fn file_frame(&self, n: usize) -> usize {
        n % self.file_frames
    }

    fn ticks_to_secs(&self, ticks: i64) -> f64 {
        // the product is exact below 2^53, so that only the division rounds
        (ticks as f64 * self.time_base.0 as f64) / self.time_base.1 as f64
    }

    /// Mean frames per second: the container's value where it agrees with the timestamps within 0.5%, with or without the
    /// last frame's duration (which matters for variable frame rates); else by the timestamps.
    fn mean_fps(&self, container_fps: Option<f64>, last_duration: Option<i64>) -> f64 {
        let span_secs = self.time_secs(self.frames() - 1);
        if span_secs <= 0.0 {
            return container_fps.unwrap_or(FALLBACK_FPS);
        }
        let by_timestamps = (self.frames() - 1) as f64 / span_secs;
        let with_last =
            last_duration.map(|ticks| self.frames() as f64 / (span_secs + self.ticks_to_secs(ticks)));
        let agrees = |fps: &f64| {
            [Some(by_timestamps), with_last]
                .into_iter()
                .flatten()
                .any(|mean| (fps / mean - 1.0).abs() < 0.005)
        };
        container_fps.filter(agrees).unwrap_or(by_timestamps)
    }

    /// A probe with the given PTS, for tests that need no file.
    #[cfg(test)]
    pub(super) fn from_pts(pts: &[i64], time_base: (i64, i64)) -> Probe {
        let frames = FrameTimes {
            frames: pts.iter().map(|&pts| PtsAndKeyFlag::new(pts, false)).collect(),
            packets: pts.len(),
            has_pts: true,
            tick_subdivision: 1,
            ..FrameTimes::default()
        };
        let info = StreamInfo {
            container: "none".into(),
            codec: "none".into(),
            width: 2,
            height: 2,
            rotation_degrees: 0,
            sample_aspect: None,
            time_base,
            fps: None,
            declared_frames: None,
            has_audio: false,
            other_tracks: None,
            pixel_format: None,
            interlaced: false,
            reorders_frames: false,
            ffmpeg_version: String::new(),
        };
        Probe::from_stream(
            Path::new("no file"),
            "none".into(),
            info,
            frames,
            TimestampSource::Packets,
            Vec::new(),
        )
    }
}
