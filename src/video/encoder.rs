//! RGB frames to an H.264 file that plays everywhere: for overlays. Frames are shown at the times of a
//! [`Timeline`], which need not be even; ffmpeg gets them with the frames ([`super::ivf`]).
//!
//! The file is whole or absent: ffmpeg writes beside the path, and the result is renamed into it. Must not
//! know what the frames show.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ChildStdin;

use ffmpeg_sidecar::command::FfmpegCommand;

use super::child::{Complaints, Slot, ffmpeg, start_ffmpeg};
use super::error::{Fault, VideoError};
use super::ivf;
use super::probe::Probe;
use super::sound::Sound;
use super::timeline::Timeline;
use crate::files::WholeFile;
use crate::frame::Frame;

/// How an overlay is encoded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EncoderSettings {
    /// Constant quality of x264, 0 (lossless) to 51.
    pub crf: u8,
    /// Frames from a key frame to the next.
    pub gop: u32,
    /// B-frames in a row at most. None by default: with them decoding starts before showing, and a track of
    /// uneven times states a wrong length.
    pub b_frames: u32,
}

impl Default for EncoderSettings {
    fn default() -> EncoderSettings {
        EncoderSettings { crf: 20, gop: 60, b_frames: 0 }
    }
}

/// What every frame of a video looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Columns and rows of pixels.
    pub width: usize,
    pub height: usize,
    /// Width and height of a pixel on the screen.
    pub sample_aspect: (u32, u32),
}

impl Shape {
    /// Frames of square pixels.
    pub fn square(width: usize, height: usize) -> Shape {
        Shape { width, height, sample_aspect: (1, 1) }
    }

    /// That of the probed video's frames.
    pub fn of(probe: &Probe) -> Shape {
        let Probe { width, height, sample_aspect, .. } = *probe;
        Shape { width, height, sample_aspect }
    }

    fn rgb_bytes(&self) -> usize {
        self.width * self.height * 3
    }
}

/// A video being written, frame by frame, each shown at a time of its own.
pub struct Encoder {
    path: PathBuf,
    shape: Shape,
    /// Where frames start, and where the last one ends, in ticks.
    bounds: Vec<i64>,
    frames: usize,
    stdin: Option<ChildStdin>,
    slot: Slot,
    complaints: Option<Complaints>,
    file: Option<WholeFile>,
}

impl Encoder {
    /// Starts a video whose frames are shown at the times of `timeline`, with the sound of another file
    /// beside them, as AAC; a file without any gives none. H.264 in 4:2:0 wants even sides: an odd one is
    /// made even by repeating its last column or row.
    ///
    /// # Errors
    /// If there are no frames or no pixels, ffmpeg is missing, or the file's folder cannot be written to.
    pub fn create(
        path: &Path,
        shape: Shape,
        timeline: &Timeline,
        settings: EncoderSettings,
        sound: Option<&Sound>,
    ) -> Result<Encoder, VideoError> {
        let wrong = |fault| VideoError::new(path, fault);
        let Shape { width, height, .. } = shape;
        if ![width, height].iter().all(|side| (1..=ivf::MOST_SIDE).contains(side)) {
            let text = format!("a video of {width}x{height} pixels cannot be written");
            return Err(wrong(Fault::Settings(text)));
        }
        if timeline.frames() == 0 {
            return Err(wrong(Fault::NoFrames));
        }
        let clock = timeline.clock();
        let bounds = timeline.ticks(clock);
        let file = WholeFile::create(path).map_err(|error| wrong(Fault::Write(error)))?;
        let mut command = ffmpeg();
        // times as the inputs have them: where a later start is taken off, picture and sound come apart
        command.args(["-y", "-copyts"]).args(ivf::INPUT).args(["-i", "pipe:0"]);
        if let Some(sound) = sound {
            sound.add_to(&mut command);
        }
        add_picture(&mut command, shape, timeline, &bounds, clock, settings);
        command.args(["-movflags", "+faststart", "-f", "mp4"]).arg(crate::ffmpeg::file(file.beside()));
        let mut child = start_ffmpeg(&mut command, None, None).map_err(wrong)?;
        let (stdin, complaints) = (child.take_stdin(), child.take_stderr().map(Complaints::listen));
        // nothing comes this way, and nobody waits for it
        drop(child.take_stdout());
        let slot = Slot::default();
        slot.put(child);
        let path = path.to_path_buf();
        let mut encoder =
            Encoder { path, shape, bounds, frames: 0, stdin, slot, complaints, file: Some(file) };
        let header = ivf::header(width, height, clock);
        encoder.send(|stdin| stdin.write_all(&header?))?;
        Ok(encoder)
    }

    /// Adds a frame.
    ///
    /// # Errors
    /// If the frame has another size, there are more than the timeline has, or ffmpeg cannot take it.
    pub fn write(&mut self, frame: &Frame) -> Result<(), VideoError> {
        self.write_rgb(frame.rgb())
    }

    /// Adds a frame given as `height * width * 3` bytes.
    ///
    /// # Errors
    /// As [`Encoder::write`].
    pub fn write_rgb(&mut self, rgb: &[u8]) -> Result<(), VideoError> {
        let expected = self.shape.rgb_bytes();
        if rgb.len() != expected {
            let text = format!("a frame of {} bytes in a video of {expected} a frame", rgb.len());
            return Err(VideoError::at_frame(&self.path, self.frames, Fault::Picture(text)));
        }
        let ticks = self.bounds[self.frames];
        if self.frames + 1 == self.bounds.len() {
            let text = format!("a video of {} frames was given one more", self.frames);
            return Err(VideoError::at_frame(&self.path, self.frames, Fault::Picture(text)));
        }
        self.send(|stdin| ivf::write_frame(stdin, ticks, rgb))?;
        self.frames += 1;
        Ok(())
    }

    fn send(&mut self, write: impl FnOnce(&mut ChildStdin) -> io::Result<()>) -> Result<(), VideoError> {
        let sent = self.stdin.as_mut().is_some_and(|stdin| write(stdin).is_ok());
        if sent { Ok(()) } else { Err(self.failed()) }
    }

    /// Ends the video and puts it in its place.
    ///
    /// # Errors
    /// If fewer frames were written than the timeline has, or ffmpeg or the disk fails; then nothing stands
    /// at the path.
    pub fn finish(mut self) -> Result<(), VideoError> {
        let expected = self.bounds.len() - 1;
        if self.frames < expected {
            let text = format!("a video of {expected} frames was given {}", self.frames);
            return Err(VideoError::at_frame(&self.path, self.frames, Fault::Picture(text)));
        }
        self.stdin.take();
        if !self.slot.wait().is_some_and(|status| status.success()) {
            return Err(self.failed());
        }
        let file = self.file.take().map_or(Ok(()), WholeFile::finish);
        file.map_err(|error| VideoError::new(&self.path, Fault::Write(error)))
    }

    /// Ends ffmpeg and gives its last words.
    fn failed(&mut self) -> VideoError {
        self.stdin.take();
        self.slot.wait();
        let said = self.complaints.take().map(Complaints::last_words).unwrap_or_default();
        VideoError::at_frame(&self.path, self.frames, Fault::Ffmpeg { said })
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        self.stdin.take();
        self.slot.end();
    }
}

/// What becomes of the frames: H.264 at the times that came in, one for one.
fn add_picture(
    command: &mut FfmpegCommand,
    shape: Shape,
    timeline: &Timeline,
    bounds: &[i64],
    clock: u32,
    settings: EncoderSettings,
) {
    command.args(["-vf", &filters(shape), "-fps_mode:v", "passthrough"]);
    command.args(["-enc_time_base:v", &format!("1/{clock}"), "-video_track_timescale", &clock.to_string()]);
    command.args(["-c:v", "libx264", "-preset", "veryfast", "-crf", &settings.crf.to_string()]);
    command.args(["-g", &settings.gop.to_string(), "-bf", &settings.b_frames.to_string()]);
    // x264 finds the level that a player needs by the rate, which would else be that of the clock
    let fps = timeline.frames() as f64 / timeline.duration_secs();
    command.args(["-x264-params", &format!("fps={:.3}", fps.clamp(1.0, 1000.0))]);
    // IVF has no lengths of frames; MP4 takes all from the next frame's time, but for the last
    let [.., start, end] = bounds else { return };
    command.args(["-bsf:v", &format!("setts=pts=PTS:dts=DTS:duration={}", end - start)]);
    command.args(["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]);
}

/// RGB to video levels with the matrix that players assume where none is named; odd sides made even. Pixels
/// stay as many as the video has, so that boxes lie where the tables say; a player shows them as wide as the
/// video's.
fn filters(shape: Shape) -> String {
    let (right, bottom) = (shape.width % 2, shape.height % 2);
    let (across, down) = shape.sample_aspect;
    let colours = format!(
        "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,setsar=r={across}/{down}:max={}",
        i32::MAX
    );
    if right + bottom == 0 {
        return colours;
    }
    format!("pad=iw+{right}:ih+{bottom},fillborders=right={right}:bottom={bottom}:mode=smear,{colours}")
}
