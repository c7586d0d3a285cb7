//! Drawn frames to an H.264 file: a pipe into ffmpeg. Must not know what is drawn.

use super::DatasetError;
use super::walkers::Encoding;
use crate::ffmpeg;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

/// An encoder at work. Dropped before [`Encoder::finish`] it is stopped.
pub struct Encoder {
    ffmpeg: Child,
    /// What ffmpeg complains of.
    complaints: Option<JoinHandle<String>>,
}

impl Encoder {
    /// Starts writing `path` with frames of `width` x `height` at `fps`.
    ///
    /// One encoding thread and no metadata: the same frames and the same ffmpeg give the same file.
    ///
    /// # Errors
    /// If ffmpeg cannot be started.
    pub fn start(
        path: &Path,
        (width, height): (usize, usize),
        fps: f64,
        encoding: &Encoding,
    ) -> Result<Encoder, DatasetError> {
        let mut command = Command::new("ffmpeg");
        command.args([
            "-hide_banner",
            "-nostdin",
            "-v",
            "error",
            "-y",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "rgb24",
        ]);
        command.args(["-video_size", &format!("{width}x{height}"), "-framerate", &format!("{fps}")]);
        command.args(["-i", "pipe:0", "-an", "-map_metadata", "-1", "-fflags", "+bitexact"]);
        command.args(["-vf", "scale=out_color_matrix=bt709:flags=accurate_rnd+full_chroma_int+bitexact"]);
        command.args(["-flags:v", "+bitexact", "-c:v", "libx264", "-preset", "medium", "-threads", "1"]);
        command.args(["-pix_fmt", "yuv420p", "-g", &encoding.gop.to_string()]);
        command.args(["-bf", &encoding.b_frames.to_string()]);
        match encoding.bit_rate_kbps {
            Some(rate) => command.args(["-b:v", &format!("{rate}k")]),
            None => command.args(["-crf", &encoding.crf.to_string()]),
        };
        command.args(["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]);
        command.args(["-movflags", "+faststart", "-f", "mp4"]).arg(ffmpeg::file(path));
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let started = command.spawn();
        let missing = "cannot be started; `./just` installs it, or ask your package manager for ffmpeg";
        let mut ffmpeg = started.map_err(|_| DatasetError::program("ffmpeg", missing))?;
        let complaints = ffmpeg.stderr.take().map(|mut stderr| {
            std::thread::spawn(move || {
                let mut text = String::new();
                // what cannot be read is not said
                let _ = stderr.read_to_string(&mut text);
                text
            })
        });
        Ok(Encoder { ffmpeg, complaints })
    }

    /// Adds a frame, `height * width * 3` bytes of RGB.
    ///
    /// # Errors
    /// If ffmpeg has ended: what it says.
    pub fn push(&mut self, rgb: &[u8]) -> Result<(), DatasetError> {
        let written = self.ffmpeg.stdin.as_mut().map(|stdin| stdin.write_all(rgb));
        match written {
            Some(Ok(())) => Ok(()),
            _ => Err(self.failed()),
        }
    }

    /// Waits for the file to be whole.
    ///
    /// # Errors
    /// If ffmpeg fails: what it says.
    pub fn finish(mut self) -> Result<(), DatasetError> {
        drop(self.ffmpeg.stdin.take());
        match self.ffmpeg.wait() {
            Ok(status) if status.success() => Ok(()),
            _ => Err(self.failed()),
        }
    }

    fn failed(&mut self) -> DatasetError {
        drop(self.ffmpeg.stdin.take());
        let status = self.ffmpeg.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        let said = self.complaints.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        let said = said.trim().lines().last().unwrap_or("it says nothing").to_string();
        DatasetError::program("ffmpeg", format!("could not encode ({status}: {said})"))
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        drop(self.ffmpeg.stdin.take());
        if matches!(self.ffmpeg.try_wait(), Ok(None)) {
            // it may have ended in between
            let _ = self.ffmpeg.kill();
            let _ = self.ffmpeg.wait();
        }
    }
}
