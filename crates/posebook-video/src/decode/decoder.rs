//! Decodes selected frames of a file to RGB: starts ffmpeg and reads frames from its pipe, one process at a time.
//!
//! Each ffmpeg process runs one [`DecodePass`]; a looped video may take several. If a pass gives no frame, its seek
//! landed after the wanted frame, which happens in containers without an index; then the pass starts again from an
//! earlier key frame, finally from the file's start. A wrong frame is never returned.
//!
//! Pixels are those of ffmpeg's `-pix_fmt rgb24` with its default scaler flags, which OpenCV and PyAV give as well.
//! ffmpeg converts the colors: receiving YUV 4:2:0 and converting it here halved the traffic through the pipe, and yet
//! made `track` 6% slower (median of paired runs on a 1080p video), because ffmpeg converts in its own process.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use super::decode_pass::{DecodePass, SIZE_CHANGE_MESSAGE};
use crate::error::{VideoError, VideoErrorKind};
use crate::ffmpeg::child::{ChildOutput, ChildSlot, StderrCollector, exit_signal, spawn_ffmpeg};
use crate::ffmpeg::file_args::MAX_DATA_BYTES;
use crate::ffmpeg::refused;
use crate::probe::Probe;
use crate::probe::range::Selection;

/// Added to the stall timeout for each frame that ffmpeg decodes without writing it.
const STALL_TIMEOUT_PER_SKIPPED_FRAME: Duration = Duration::from_millis(200);
/// Requested size of the pipe from ffmpeg. The default of 64 KiB costs a context switch every 64 KiB.
#[cfg(target_os = "linux")]
const PIPE_BYTES: i32 = 1024 * 1024;

/// How ffmpeg decodes a video.
#[derive(Debug, Clone, Default)]
pub struct DecodeOptions {
    /// ffmpeg's name of the hardware acceleration method; `None` decodes on the CPU.
    pub hwaccel: Option<Arc<str>>,
    /// A seek aims this many ticks of the video's time base before the wanted frame.
    pub seek_margin_ticks: i64,
}

impl DecodeOptions {
    /// Decodes with the hardware acceleration method `hwaccel`, or on the CPU.
    pub fn new(hwaccel: Option<&str>) -> DecodeOptions {
        DecodeOptions { hwaccel: hwaccel.map(Arc::from), seek_margin_ticks: 0 }
    }
}

/// Selected frames, decoded in order.
pub struct Decoder {
    probe: Arc<Probe>,
    options: DecodeOptions,
    selection: Selection,
    child: ChildSlot,
    running: RunningPass,
    /// Clip index of the next frame.
    next: usize,
    /// Clip index at which the running pass ends, exclusive.
    pass_end: usize,
    /// Frames read so far, in total and from the running pass.
    frames_read: usize,
    frames_read_in_pass: usize,
    stderr_tail: String,
    /// The signal that terminated ffmpeg, if one did.
    signal: Option<i32>,
}

/// A pass and the ffmpeg that runs it.
struct RunningPass {
    pass: DecodePass,
    stdout: ChildOutput,
    stderr: Option<StderrCollector>,
    /// Key frames to start from if the current start proves too late, the preferred one last.
    earlier_starts: Vec<usize>,
}

impl Decoder {
    /// Starts decoding the selection. ffmpeg is put into `child`, through which another thread may kill it.
    ///
    /// # Errors
    /// If ffmpeg cannot be started or memory runs out.
    pub fn start(
        probe: &Arc<Probe>,
        options: &DecodeOptions,
        selection: Selection,
        child: ChildSlot,
    ) -> Result<Decoder, VideoError> {
        let next = selection.range.start;
        let at_frame = |kind| VideoError::at_frame(&probe.path, next, kind);
        let pass = DecodePass::new(probe, &selection);
        let running = RunningPass::start(probe, options, pass, &child).map_err(at_frame)?;
        let pass_end = next - running.pass.first + running.pass.end;
        Ok(Decoder {
            probe: Arc::clone(probe),
            options: options.clone(),
            selection,
            child,
            running,
            next,
            pass_end,
            frames_read: 0,
            frames_read_in_pass: 0,
            stderr_tail: String::new(),
            signal: None,
        })
    }

    /// Clip index of the next frame; at or beyond the range's end after the last.
    pub fn next_index(&self) -> usize {
        self.next
    }

    /// Writes the next frame into `rgb` and returns its clip index; `None` after the last frame.
    pub fn read(&mut self, rgb: &mut [u8]) -> Result<Option<usize>, VideoError> {
        self.step(|decoder| decoder.read_frame(rgb))
    }

    /// Skips the next frame; as [`Decoder::read`] without its pixels.
    pub fn skip(&mut self) -> Result<Option<usize>, VideoError> {
        self.step(|decoder| {
            let bytes = decoder.probe.frame_bytes() as u64;
            let skipped = io::copy(&mut (&mut decoder.running.stdout).take(bytes), &mut io::sink());
            if skipped.map_err(VideoErrorKind::pipe)? == bytes {
                Ok(())
            } else {
                decoder.restart_earlier_or_fail()
            }
        })
    }

    /// Consumes the next frame with `take`, starting the next pass if the running one has ended.
    fn step(
        &mut self,
        take: impl FnOnce(&mut Decoder) -> Result<(), VideoErrorKind>,
    ) -> Result<Option<usize>, VideoError> {
        let frame = self.next;
        if frame >= self.selection.range.end {
            return Ok(None);
        }
        if frame >= self.pass_end {
            self.end_pass()?;
            self.next_pass().map_err(|kind| self.error(kind))?;
        }
        take(self).map_err(|kind| self.error(kind))?;
        self.next += self.selection.every;
        self.frames_read += 1;
        self.frames_read_in_pass += 1;
        Ok(Some(frame))
    }

    fn error(&self, kind: VideoErrorKind) -> VideoError {
        VideoError::at_frame(&self.probe.path, self.next, kind)
    }

    fn read_frame(&mut self, rgb: &mut [u8]) -> Result<(), VideoErrorKind> {
        while !read_fully(&mut self.running.stdout, rgb).map_err(VideoErrorKind::pipe)? {
            self.restart_earlier_or_fail()?;
        }
        Ok(())
    }

    /// Starts the pass that begins with the next frame, replacing the running one.
    fn next_pass(&mut self) -> Result<(), VideoErrorKind> {
        let rest = Selection { range: self.next..self.selection.range.end, every: self.selection.every };
        let pass = DecodePass::new(&self.probe, &rest);
        self.running = RunningPass::start(&self.probe, &self.options, pass, &self.child)?;
        self.pass_end = self.next - self.running.pass.first + self.running.pass.end;
        self.frames_read_in_pass = 0;
        Ok(())
    }

    /// Called when the stream ended before the frame was complete. Restarts from an earlier key frame if this pass
    /// gave no frame yet.
    ///
    /// # Errors
    /// If a restart cannot help: the reason why the stream ended.
    fn restart_earlier_or_fail(&mut self) -> Result<(), VideoErrorKind> {
        self.wait_for_exit();
        if let Some(signal) = self.signal {
            let (decoded, expected) = (self.frames_read, self.selection.frame_count());
            return Err(VideoErrorKind::FfmpegKilled {
                signal,
                decoded,
                expected,
                stderr_tail: std::mem::take(&mut self.stderr_tail),
            });
        }
        let size_changed = self.stderr_tail.contains(SIZE_CHANGE_MESSAGE);
        if self.frames_read_in_pass == 0
            && !size_changed
            && self.running.restart_earlier(&self.probe, &self.options, &self.child)?
        {
            return Ok(());
        }
        let refused_size = refused::refused_size(&self.stderr_tail).filter(|_| self.frames_read == 0);
        if let Some((width, height)) = refused_size {
            return Err(VideoErrorKind::TooLarge { width, height });
        }
        let (width, height) = (self.probe.width, self.probe.height);
        Err(match (size_changed, self.next) {
            (true, 0) => VideoErrorKind::SizeMismatch { width, height },
            (true, next) => VideoErrorKind::SizeChanges { last: next - 1, width, height },
            (false, _) if self.frames_read == 0 && self.options.hwaccel.is_some() => {
                VideoErrorKind::HwaccelFailed {
                    name: self.options.hwaccel.as_deref().unwrap_or_default().to_string(),
                    stderr_tail: std::mem::take(&mut self.stderr_tail),
                }
            }
            (false, _) => VideoErrorKind::EndedEarly {
                decoded: self.frames_read,
                expected: self.selection.frame_count(),
                stderr_tail: std::mem::take(&mut self.stderr_tail),
            },
        })
    }

    /// Checks, after the last frame, that ffmpeg has no more frames. Returns the end of its stderr.
    pub fn finish(mut self) -> Result<String, VideoError> {
        self.end_pass()?;
        Ok(std::mem::take(&mut self.stderr_tail))
    }

    /// Checks that the pass has no more frames and waits for ffmpeg to exit.
    fn end_pass(&mut self) -> Result<(), VideoError> {
        let has_more = read_fully(&mut self.running.stdout, &mut [0; 1]).unwrap_or(false);
        if has_more {
            self.child.kill();
        }
        self.wait_for_exit();
        if has_more {
            let expected = self.probe.frames();
            return Err(VideoError::new(&self.probe.path, VideoErrorKind::ExtraFrames { expected }));
        }
        Ok(())
    }

    /// Waits for ffmpeg to exit; stores its signal and stderr.
    fn wait_for_exit(&mut self) {
        self.signal = exit_signal(self.child.wait());
        if let Some(stderr) = self.running.stderr.take() {
            self.stderr_tail = stderr.stderr_tail();
        }
    }
}

impl RunningPass {
    fn start(
        probe: &Probe,
        options: &DecodeOptions,
        pass: DecodePass,
        child: &ChildSlot,
    ) -> Result<RunningPass, VideoErrorKind> {
        let mut starts = pass.start_keyframes(probe, options.seek_margin_ticks);
        let from = starts.pop().unwrap_or(0);
        let (stdout, stderr) = spawn_decoder(probe, options, &pass, from, child)?;
        Ok(RunningPass { pass, stdout, stderr, earlier_starts: starts })
    }

    /// Restarts the pass from the previous key frame. False if no earlier start is left.
    fn restart_earlier(
        &mut self,
        probe: &Probe,
        options: &DecodeOptions,
        child: &ChildSlot,
    ) -> Result<bool, VideoErrorKind> {
        let Some(from) = self.earlier_starts.pop() else { return Ok(false) };
        (self.stdout, self.stderr) = spawn_decoder(probe, options, &self.pass, from, child)?;
        Ok(true)
    }
}

/// Starts ffmpeg for a pass at key frame `from`; 0 is the file's start, without seeking.
fn spawn_decoder(
    probe: &Probe,
    options: &DecodeOptions,
    pass: &DecodePass,
    from: usize,
    slot: &ChildSlot,
) -> Result<(ChildOutput, Option<StderrCollector>), VideoErrorKind> {
    let mut command = pass.command(probe, from, options.hwaccel.as_deref());
    // ffmpeg writes nothing while it decodes frames that are not selected
    let skipped = pass.first.saturating_sub(from) + pass.every - 1;
    let for_skipped = STALL_TIMEOUT_PER_SKIPPED_FRAME * u32::try_from(skipped).unwrap_or(u32::MAX);
    let stall_timeout = probe.stall_timeout.saturating_add(for_skipped);
    // mapped GPU memory counts against the limit of a process
    let max_data_bytes = options.hwaccel.is_none().then_some(MAX_DATA_BYTES);
    let mut child = spawn_ffmpeg(&mut command, Some(stall_timeout), max_data_bytes)?;
    let stdout = child.take_stdout();
    let stderr = child.take_stderr().map(StderrCollector::spawn);
    slot.set(child);
    let stdout = stdout.ok_or_else(|| VideoErrorKind::Pipe(io::ErrorKind::BrokenPipe.into()))?;
    enlarge_pipe(&stdout);
    Ok((stdout, stderr))
}

/// Reads until `bytes` is full. False if the stream ended earlier.
fn read_fully(stream: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match stream.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(target_os = "linux")]
fn enlarge_pipe(pipe: &ChildOutput) {
    // fails for an unprivileged user beyond the system's limit; the default size works, too
    let _ = nix::fcntl::fcntl(pipe, nix::fcntl::FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
}

#[cfg(not(target_os = "linux"))]
fn enlarge_pipe(_: &ChildOutput) {}

impl Drop for Decoder {
    fn drop(&mut self) {
        self.child.kill();
    }
}
