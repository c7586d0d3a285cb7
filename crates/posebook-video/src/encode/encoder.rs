//! Encodes RGB frames to an H.264 MP4 file that common players can play: for overlays. Frames are displayed at the times of a
//! [`Timeline`], which may be uneven; ffmpeg gets the timestamps with the frames ([`super::ivf`]).
//!
//! The file is complete or absent: ffmpeg writes to a temporary file in the same folder, which is then renamed.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ChildStdin;

use ffmpeg_sidecar::command::FfmpegCommand;
use posebook_core::files::AtomicFile;
use posebook_core::frame::Frame;

use super::audio::AudioSegment;
use super::ivf;
use crate::error::{VideoError, VideoErrorKind};
use crate::ffmpeg::child::{ChildSlot, StderrCollector, ffmpeg_command, spawn_ffmpeg};
use crate::ffmpeg::file_args::{MAX_DATA_BYTES, file_url};
use crate::probe::Probe;
use crate::probe::timeline::Timeline;

/// Frames of which ffmpeg may hold copies: x264 holds its references, its lookahead, and one for each of up to 128 threads.
const BUFFERED_FRAMES: u64 = 300;

/// How an overlay is encoded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EncoderSettings {
    /// Constant quality of x264, 0 (lossless) to 51.
    pub crf: u8,
    /// Most frames from one key frame to the next.
    pub gop: u32,
    /// Most consecutive B-frames. 0 by default: with B-frames decode timestamps precede presentation timestamps, and a track
    /// with uneven timestamps gets a wrong duration.
    pub b_frames: u32,
}

impl Default for EncoderSettings {
    fn default() -> EncoderSettings {
        EncoderSettings { crf: 20, gop: 60, b_frames: 0 }
    }
}

/// Size and sample aspect ratio of a video's frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameGeometry {
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// Sample aspect ratio: width and height of a pixel on the screen.
    pub sample_aspect: (u32, u32),
}

impl FrameGeometry {
    /// Frames of square pixels.
    pub fn square(width: usize, height: usize) -> FrameGeometry {
        FrameGeometry { width, height, sample_aspect: (1, 1) }
    }

    /// The geometry of the probed video's frames as delivered.
    pub fn from_probe(probe: &Probe) -> FrameGeometry {
        let Probe { width, height, sample_aspect, .. } = *probe;
        FrameGeometry { width, height, sample_aspect }
    }

    fn rgb_bytes(&self) -> usize {
        self.width * self.height * 3
    }
}

/// Writes a video frame by frame. Dropped before [`Encoder::finish`], it leaves no file.
pub struct Encoder {
    path: PathBuf,
    geometry: FrameGeometry,
    /// Start of each frame, then the end of the last one, in ticks.
    bounds: Vec<i64>,
    /// Frames written so far.
    frames: usize,
    stdin: Option<ChildStdin>,
    slot: ChildSlot,
    stderr: Option<StderrCollector>,
    file: Option<AtomicFile>,
}

impl Encoder {
    /// Starts a video whose frames are displayed at the times of `timeline`, with the given audio as AAC. H.264 in 4:2:0
    /// needs even sides: an odd side is extended by repeating its last column or row.
    ///
    /// # Errors
    /// If there are no frames, a side is 0 or too long, ffmpeg is missing, or the folder cannot be written to.
    pub fn create(
        path: &Path,
        geometry: FrameGeometry,
        timeline: &Timeline,
        settings: EncoderSettings,
        audio: Option<&AudioSegment>,
    ) -> Result<Encoder, VideoError> {
        let wrong = |kind| VideoError::new(path, kind);
        let FrameGeometry { width, height, .. } = geometry;
        if ![width, height].iter().all(|side| (1..=ivf::MAX_SIDE).contains(side)) {
            let text = format!("a video of {width}x{height} pixels cannot be encoded");
            return Err(wrong(VideoErrorKind::InvalidSettings(text)));
        }
        if timeline.frames() == 0 {
            return Err(wrong(VideoErrorKind::NoFrames));
        }
        let clock = timeline.clock();
        let bounds = timeline.ticks(clock);
        let file = AtomicFile::create(path).map_err(|error| wrong(VideoErrorKind::Write(error)))?;
        let mut command = ffmpeg_command();
        // without `-copyts` each input's start time is subtracted, and video and audio lose their synchronization
        command.args(["-y", "-copyts"]).args(ivf::INPUT_ARGS).args(["-i", "pipe:0"]);
        if let Some(audio) = audio {
            audio.add_input(&mut command);
        }
        add_video_args(&mut command, geometry, timeline, &bounds, clock, settings);
        command.args(["-movflags", "+faststart", "-f", "mp4"]).arg(file_url(file.temporary_path()));
        let max_data_bytes = MAX_DATA_BYTES.saturating_add(BUFFERED_FRAMES * geometry.rgb_bytes() as u64);
        let mut child = spawn_ffmpeg(&mut command, None, Some(max_data_bytes)).map_err(wrong)?;
        let (stdin, stderr) = (child.take_stdin(), child.take_stderr().map(StderrCollector::spawn));
        // ffmpeg writes nothing to its output
        drop(child.take_stdout());
        let slot = ChildSlot::default();
        slot.set(child);
        let path = path.to_path_buf();
        let mut encoder =
            Encoder { path, geometry, bounds, frames: 0, stdin, slot, stderr, file: Some(file) };
        let header = ivf::header(width, height, clock);
        encoder.send(|stdin| stdin.write_all(&header?))?;
        Ok(encoder)
    }

    /// Encodes the next frame.
    ///
    /// # Errors
    /// If the frame has another size, the timeline has no further frame, or ffmpeg failed.
    pub fn write(&mut self, frame: &Frame) -> Result<(), VideoError> {
        self.write_rgb(frame.rgb())
    }

    /// Encodes the next frame, given as `height * width * 3` bytes of RGB.
    ///
    /// # Errors
    /// As [`Encoder::write`].
    pub fn write_rgb(&mut self, rgb: &[u8]) -> Result<(), VideoError> {
        let expected = self.geometry.rgb_bytes();
        if rgb.len() != expected {
            let text = format!("a frame has {} bytes, but {expected} are expected", rgb.len());
            return Err(VideoError::at_frame(&self.path, self.frames, VideoErrorKind::EncoderInput(text)));
        }
        let ticks = self.bounds[self.frames];
        if self.frames + 1 == self.bounds.len() {
            let text = format!("the timeline has {} frames, and one more was written", self.frames);
            return Err(VideoError::at_frame(&self.path, self.frames, VideoErrorKind::EncoderInput(text)));
        }
        self.send(|stdin| ivf::write_frame(stdin, ticks, rgb))?;
        self.frames += 1;
        Ok(())
    }

    /// Writes to ffmpeg's input.
    fn send(&mut self, write: impl FnOnce(&mut ChildStdin) -> io::Result<()>) -> Result<(), VideoError> {
        let sent = self.stdin.as_mut().is_some_and(|stdin| write(stdin).is_ok());
        if sent { Ok(()) } else { Err(self.failure()) }
    }

    /// Completes the file and renames it to its path.
    ///
    /// # Errors
    /// If fewer frames were written than the timeline has, or ffmpeg or the disk fails; then there is no file.
    pub fn finish(mut self) -> Result<(), VideoError> {
        let expected = self.bounds.len() - 1;
        if self.frames < expected {
            let text = format!("the timeline has {expected} frames, and only {} were written", self.frames);
            return Err(VideoError::at_frame(&self.path, self.frames, VideoErrorKind::EncoderInput(text)));
        }
        self.stdin.take();
        if !self.slot.wait().is_some_and(|status| status.success()) {
            return Err(self.failure());
        }
        let file = self.file.take().map_or(Ok(()), AtomicFile::finish);
        file.map_err(|error| VideoError::new(&self.path, VideoErrorKind::Write(error)))
    }

    /// Waits for ffmpeg to exit; returns an error with the tail of its error output.
    fn failure(&mut self) -> VideoError {
        self.stdin.take();
        self.slot.wait();
        let stderr_tail = self.stderr.take().map(StderrCollector::stderr_tail).unwrap_or_default();
        VideoError::at_frame(&self.path, self.frames, VideoErrorKind::FfmpegFailed { stderr_tail })
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        self.stdin.take();
        self.slot.kill();
    }
}

/// Adds ffmpeg's arguments for the video: H.264, one frame out for each frame in, timestamps unchanged.
fn add_video_args(
    command: &mut FfmpegCommand,
    geometry: FrameGeometry,
    timeline: &Timeline,
    bounds: &[i64],
    clock: u32,
    settings: EncoderSettings,
) {
    command.args(["-vf", &filters(geometry), "-fps_mode:v", "passthrough"]);
    command.args(["-enc_time_base:v", &format!("1/{clock}"), "-video_track_timescale", &clock.to_string()]);
    command.args(["-c:v", "libx264", "-preset", "veryfast", "-crf", &settings.crf.to_string()]);
    command.args(["-g", &settings.gop.to_string(), "-bf", &settings.b_frames.to_string()]);
    // x264 derives the level from the frame rate, which would otherwise be that of the time base
    let fps = timeline.frames() as f64 / timeline.duration_secs();
    command.args(["-x264-params", &format!("fps={:.3}", fps.clamp(1.0, 1000.0))]);
    // IVF has no durations; MP4 derives a frame's duration from the next PTS, except for the last frame
    let [.., start, end] = bounds else { return };
    command.args(["-bsf:v", &format!("setts=pts=PTS:dts=DTS:duration={}", end - start)]);
    command.args(["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]);
}

/// The filters: RGB to limited-range YUV with the matrix that players assume by default; odd sides made even. The size in
/// pixels is that of the video, so that boxes match the tables; the sample aspect ratio is the video's.
fn filters(geometry: FrameGeometry) -> String {
    let (right, bottom) = (geometry.width % 2, geometry.height % 2);
    let (across, down) = geometry.sample_aspect;
    let to_yuv = format!(
        "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,setsar=r={across}/{down}:max={}",
        i32::MAX
    );
    if right + bottom == 0 {
        return to_yuv;
    }
    format!("pad=iw+{right}:ih+{bottom},fillborders=right={right}:bottom={bottom}:mode=smear,{to_yuv}")
}
