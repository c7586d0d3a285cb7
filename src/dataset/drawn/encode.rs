//! Encodes frames to an H.264 file through a pipe to ffmpeg.

use crate::dataset::DatasetError;
use posebook_core::frame::FrameSize;
use posebook_synth::walkers::Encoding;
use posebook_video::file_args;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

/// Makes x264's output independent of the processor.
const X264_PARAMS: &str = "cpu-independent=1";

/// A running encoder. Dropped before [`Encoder::finish`], it is stopped.
pub struct Encoder {
    ffmpeg: Child,
    /// Reads ffmpeg's stderr.
    stderr: Option<JoinHandle<String>>,
}

impl Encoder {
    /// Starts encoding frames of `size` at `fps` to `path`.
    ///
    /// The decoded frames are the same on every machine: colors are converted with swscale's exact arithmetic
    /// (`accurate_rnd`, `bitexact`); x264 uses one thread, and `cpu-independent` keeps its rate control from
    /// choosing algorithms by the processor (without it, the decoded frames differ between SSE2 and SSE4). With
    /// `crf = 0` encoding is lossless, so that they do not depend on the encoder's decisions at all.
    ///
    /// # Errors
    /// If ffmpeg cannot be started.
    pub fn start(
        path: &Path,
        size: FrameSize,
        fps: f64,
        encoding: &Encoding,
    ) -> Result<Encoder, DatasetError> {
        Encoder::start_with(path, size, fps, encoding, X264_PARAMS)
    }

    fn start_with(
        path: &Path,
        size: FrameSize,
        fps: f64,
        encoding: &Encoding,
        x264_params: &str,
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
        command.args(["-video_size", &size.to_string(), "-framerate", &format!("{fps}")]);
        command.args(["-i", "pipe:0", "-an", "-map_metadata", "-1", "-fflags", "+bitexact"]);
        command.args(["-vf", "scale=out_color_matrix=bt709:flags=accurate_rnd+full_chroma_int+bitexact"]);
        command.args(["-flags:v", "+bitexact", "-c:v", "libx264", "-preset", "medium", "-threads", "1"]);
        command.args(["-x264-params", x264_params]);
        command.args(["-pix_fmt", "yuv420p", "-g", &encoding.gop.to_string()]);
        command.args(["-bf", &encoding.b_frames.to_string()]);
        match encoding.bit_rate_kbps {
            Some(rate) => command.args(["-b:v", &format!("{rate}k")]),
            None => command.args(["-crf", &encoding.crf.to_string()]),
        };
        command.args(["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]);
        command.args(["-movflags", "+faststart", "-f", "mp4"]).arg(file_args::file_url(path));
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let started = command.spawn();
        let missing = "cannot be started; `./just` installs it, or ask your package manager for ffmpeg";
        let mut ffmpeg = started.map_err(|_| DatasetError::program("ffmpeg", missing))?;
        let stderr = ffmpeg.stderr.take().map(|mut stderr| {
            std::thread::spawn(move || {
                let mut text = String::new();
                // an unreadable stderr leaves the message empty
                let _ = stderr.read_to_string(&mut text);
                text
            })
        });
        Ok(Encoder { ffmpeg, stderr })
    }

    /// Adds a frame, `height * width * 3` bytes of RGB.
    ///
    /// # Errors
    /// If ffmpeg has exited: its message.
    pub fn push(&mut self, rgb: &[u8]) -> Result<(), DatasetError> {
        let written = self.ffmpeg.stdin.as_mut().map(|stdin| stdin.write_all(rgb));
        match written {
            Some(Ok(())) => Ok(()),
            _ => Err(self.failed()),
        }
    }

    /// Finishes the file.
    ///
    /// # Errors
    /// If ffmpeg fails: its message.
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
        let text = self.stderr.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        let message = text.trim().lines().last().unwrap_or("no message").to_string();
        DatasetError::program("ffmpeg", format!("could not encode ({status}: {message})"))
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        drop(self.ffmpeg.stdin.take());
        if matches!(self.ffmpeg.try_wait(), Ok(None)) {
            // it may have exited in the meantime
            let _ = self.ffmpeg.kill();
            let _ = self.ffmpeg.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::frame_hash::decoded_sha256;

    const SIZE: FrameSize = FrameSize::new(160, 96);

    /// Moving frames with noise, so that rate control has decisions to make.
    fn frame(n: usize) -> Vec<u8> {
        let FrameSize { width, height } = SIZE;
        let mut state = n as u32 + 1;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 27) as u8
        };
        let value = |x: usize, y: usize, c: usize| ((x * (3 + c) + y * 5 + n * 7) % 160) as u8 + 30;
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        pixels.flat_map(|(x, y)| [0, 1, 2].map(|c| value(x, y, c))).map(|v| v + noise()).collect()
    }

    fn decoded(encoding: &Encoding, x264_params: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip.mp4");
        let mut encoder = Encoder::start_with(&path, SIZE, 30.0, encoding, x264_params).unwrap();
        for n in 0..40 {
            encoder.push(&frame(n)).unwrap();
        }
        encoder.finish().unwrap();
        decoded_sha256(&path).unwrap()
    }

    /// Restricting x264's instruction sets simulates processors without the others.
    #[test]
    fn decoded_frames_do_not_depend_on_the_processor() {
        let by_rate = Encoding { bit_rate_kbps: Some(150), ..Encoding::default() };
        let by_quality = Encoding { crf: 30, ..Encoding::default() };
        for encoding in [Encoding::default(), by_quality, by_rate] {
            let here = decoded(&encoding, X264_PARAMS);
            for asm in ["0", "sse2", "sse4.2", "avx2"] {
                let there = decoded(&encoding, &format!("{X264_PARAMS}:asm={asm}"));
                assert_eq!(there, here, "{encoding:?} with asm={asm}");
            }
        }
    }

    #[test]
    fn a_lossless_clip_does_not_depend_on_encoder_decisions() {
        let lossless = Encoding::default();
        let here = decoded(&lossless, X264_PARAMS);
        for params in ["cpu-independent=0", "threads=3", "aq-mode=0:mbtree=0:scenecut=0", "b-adapt=0:me=umh"]
        {
            assert_eq!(decoded(&lossless, params), here, "{params}");
        }
    }
}
