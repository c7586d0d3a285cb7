//! RGB frames to an H.264 file that plays everywhere: for overlays.
//!
//! The file is whole or absent: ffmpeg writes beside the path, and the result is renamed into it. Must not
//! know what the frames show.

use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ChildStdin;

use super::child::{Complaints, Slot, ffmpeg, start_ffmpeg};
use super::error::{Fault, VideoError};
use super::probe::Probe;
use crate::files::WholeFile;
use crate::frame::Frame;

/// How an overlay is encoded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EncoderSettings {
    /// Constant quality of x264, 0 (lossless) to 51.
    pub crf: u8,
    /// Frames from a key frame to the next.
    pub gop: u32,
    /// B-frames in a row at most.
    pub b_frames: u32,
}

impl Default for EncoderSettings {
    fn default() -> EncoderSettings {
        EncoderSettings { crf: 20, gop: 60, b_frames: 2 }
    }
}

/// The sound that belongs to a part of a video.
#[derive(Debug, Clone, PartialEq)]
pub struct Sound {
    /// The file that has it.
    pub path: PathBuf,
    /// Where the part begins and how long it is, in seconds on the file's own clock.
    pub start_secs: f64,
    pub duration_secs: f64,
}

impl Sound {
    /// What is heard while frames `range` of the probed video are seen; `None` if it has no sound.
    pub fn of(probe: &Probe, range: &Range<usize>) -> Option<Sound> {
        let last = range.end.checked_sub(1).filter(|_| probe.has_audio)?;
        let start_secs = probe.container_secs(range.start);
        let duration_secs = probe.container_secs(last) - start_secs + 1.0 / probe.fps;
        Some(Sound { path: probe.path.clone(), start_secs, duration_secs })
    }
}

/// A video being written, frame by frame at a constant rate.
pub struct Encoder {
    path: PathBuf,
    frame_bytes: usize,
    frames: usize,
    stdin: Option<ChildStdin>,
    slot: Slot,
    complaints: Option<Complaints>,
    file: Option<WholeFile>,
}

impl Encoder {
    /// Starts a video of `width` x `height` pixels and `fps` frames a second. H.264 in 4:2:0 wants even
    /// sides: an odd one is made even by repeating its last column or row.
    ///
    /// # Errors
    /// If ffmpeg is missing or the file's folder cannot be written to.
    pub fn create(
        path: &Path,
        width: usize,
        height: usize,
        fps: f64,
        settings: EncoderSettings,
    ) -> Result<Encoder, VideoError> {
        Encoder::create_with_sound(path, width, height, fps, settings, None)
    }

    /// As [`Encoder::create`], with the sound of another file beside the frames, as AAC. A file without any
    /// gives none.
    ///
    /// # Errors
    /// As [`Encoder::create`].
    pub fn create_with_sound(
        path: &Path,
        width: usize,
        height: usize,
        fps: f64,
        settings: EncoderSettings,
        sound: Option<&Sound>,
    ) -> Result<Encoder, VideoError> {
        let wrong = |fault| VideoError::new(path, fault);
        if width == 0 || height == 0 || !(fps.is_finite() && fps > 0.0) {
            let text =
                format!("a video of {width}x{height} pixels at {fps} frames a second cannot be written");
            return Err(wrong(Fault::Settings(text)));
        }
        let file = WholeFile::create(path).map_err(|error| wrong(Fault::Write(error)))?;
        let mut command = ffmpeg();
        command.args(["-y", "-f", "rawvideo", "-pix_fmt", "rgb24"]);
        command.args(["-video_size", &format!("{width}x{height}"), "-framerate", &format!("{fps:.6}")]);
        command.args(["-i", "pipe:0"]);
        if let Some(sound) = sound {
            command.args(["-seek_timestamp", "1", "-ss", &format!("{:.6}", sound.start_secs)]);
            command.args(["-t", &format!("{:.6}", sound.duration_secs), "-vn"]);
            command.args(crate::ffmpeg::input(&sound.path));
            command.args(["-map", "0:v:0", "-map", "1:a:0?", "-c:a", "aac"]);
        }
        command.args(["-vf", &filters(width, height)]);
        command.args(["-c:v", "libx264", "-preset", "veryfast", "-crf", &settings.crf.to_string()]);
        command.args(["-g", &settings.gop.to_string(), "-bf", &settings.b_frames.to_string()]);
        command.args(["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]);
        command.args(["-movflags", "+faststart", "-f", "mp4"]).arg(crate::ffmpeg::file(file.beside()));
        let mut child = start_ffmpeg(&mut command, None, None).map_err(wrong)?;
        let (stdin, complaints) = (child.take_stdin(), child.take_stderr().map(Complaints::listen));
        // nothing comes this way, and nobody waits for it
        drop(child.take_stdout());
        let slot = Slot::default();
        slot.put(child);
        let path = path.to_path_buf();
        Ok(Encoder {
            path,
            frame_bytes: width * height * 3,
            frames: 0,
            stdin,
            slot,
            complaints,
            file: Some(file),
        })
    }

    /// Adds a frame.
    ///
    /// # Errors
    /// If the frame has another size, or ffmpeg cannot take it.
    pub fn write(&mut self, frame: &Frame) -> Result<(), VideoError> {
        self.write_rgb(frame.rgb())
    }

    /// Adds a frame given as `height * width * 3` bytes.
    ///
    /// # Errors
    /// As [`Encoder::write`].
    pub fn write_rgb(&mut self, rgb: &[u8]) -> Result<(), VideoError> {
        if rgb.len() != self.frame_bytes {
            let text = format!("a frame of {} bytes in a video of {} a frame", rgb.len(), self.frame_bytes);
            return Err(VideoError::at_frame(&self.path, self.frames, Fault::Picture(text)));
        }
        let written = self.stdin.as_mut().is_some_and(|stdin| stdin.write_all(rgb).is_ok());
        if !written {
            return Err(self.failed());
        }
        self.frames += 1;
        Ok(())
    }

    /// Ends the video and puts it in its place.
    ///
    /// # Errors
    /// If no frame was written, or ffmpeg or the disk fails; then nothing stands at the path.
    pub fn finish(mut self) -> Result<(), VideoError> {
        if self.frames == 0 {
            return Err(VideoError::new(&self.path, Fault::NoFrames));
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

/// RGB to video levels with the matrix that players assume where none is named; odd sides made even.
fn filters(width: usize, height: usize) -> String {
    let (right, bottom) = (width % 2, height % 2);
    let colours = "scale=out_color_matrix=bt709:out_range=tv";
    if right + bottom == 0 {
        return format!("{colours},format=yuv420p");
    }
    format!(
        "pad=iw+{right}:ih+{bottom},fillborders=right={right}:bottom={bottom}:mode=smear,{colours},format=yuv420p"
    )
}
