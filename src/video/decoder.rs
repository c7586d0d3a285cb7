//! One ffmpeg that decodes one range of frames to RGB, on a pipe.
//!
//! A range that starts inside the video is reached by seeking to the key frame before it. What comes out
//! is chosen by presentation time and not by counting: after a seek, frames pass only if the first frame
//! decoded lies at or before the range's start, and only those whose times lie within it. If none comes, the
//! seek went too far (containers without an index do that) and an earlier key frame is tried, at last
//! the file's start. So a frame is the right one or an error.
//!
//! RGB is what ffmpeg's `-pix_fmt rgb24` gives with its default scaler flags, which is also what OpenCV
//! and PyAV give. Must not know who takes the frames.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::child::{Complaints, MOST_BYTES, Output, Slot, ffmpeg, signal_of, start_ffmpeg};
use super::error::{Fault, VideoError};
use super::probe::Probe;

/// What the filter that guards the picture's size says when it changes.
const OTHER_SIZE: &str = "Invalid too big or non positive size";
/// What decoding a frame that nobody asked for may take.
const PATIENCE_A_FRAME: Duration = Duration::from_millis(200);
/// Room asked for in the pipe from ffmpeg; the default of 64 KiB costs a switch of tasks for every 64 KiB.
#[cfg(target_os = "linux")]
const PIPE_BYTES: i32 = 1024 * 1024;

/// Frames of a range, decoded in order.
pub(super) struct Decoder {
    probe: Arc<Probe>,
    range: Range<usize>,
    slot: Slot,
    stdout: Output,
    complaints: Option<Complaints>,
    /// Key frames to start from if the present start proves too late, the best last.
    starts: Vec<usize>,
    /// Frames read and thrown away: they show at the same time as the first, and before it.
    to_skip: usize,
    next: usize,
    said: String,
    /// What ended ffmpeg, if it was a signal.
    signal: Option<i32>,
}

impl Decoder {
    /// Starts decoding `range`. The child lives in `slot`, through which another thread may end it.
    pub fn start(probe: &Arc<Probe>, range: Range<usize>, slot: Slot) -> Result<Decoder, VideoError> {
        let mut starts = vec![0];
        let mut before = Some(range.start);
        for _ in 0..2 {
            let key = before.and_then(|n| probe.key_at_or_before(n)).filter(|&key| key > 0);
            starts.extend(key);
            before = key.map(|key| key - 1);
        }
        starts[1..].reverse();
        let from = starts.pop().unwrap_or(0);
        let (stdout, complaints) = launch(probe, &range, from, &slot)
            .map_err(|fault| VideoError::at_frame(&probe.path, range.start, fault))?;
        let to_skip = probe.twins_before(range.start);
        let next = range.start;
        let said = String::new();
        Ok(Decoder {
            probe: probe.clone(),
            range,
            slot,
            stdout,
            complaints,
            starts,
            to_skip,
            next,
            said,
            signal: None,
        })
    }

    /// Fills `rgb` with the next frame and says which it is; `None` after the last.
    pub fn read(&mut self, rgb: &mut [u8]) -> Result<Option<usize>, VideoError> {
        let frame = self.next;
        if frame == self.range.end {
            return Ok(None);
        }
        self.read_frame(rgb).map_err(|fault| VideoError::at_frame(&self.probe.path, frame, fault))?;
        self.next += 1;
        Ok(Some(frame))
    }

    fn read_frame(&mut self, rgb: &mut [u8]) -> Result<(), Fault> {
        loop {
            if !fill(&mut self.stdout, rgb).map_err(Fault::pipe)? {
                self.start_earlier()?;
            } else if self.to_skip > 0 {
                self.to_skip -= 1;
            } else {
                return Ok(());
            }
        }
    }

    /// The stream ended too soon: starts again from an earlier key frame if nothing came, else tells why.
    fn start_earlier(&mut self) -> Result<(), Fault> {
        self.listen_to_the_end();
        let given = self.next - self.range.start;
        if let Some(signal) = self.signal {
            let (expected, said) = (self.range.len(), std::mem::take(&mut self.said));
            return Err(Fault::Died { signal, given, expected, said });
        }
        let size_changed = self.said.contains(OTHER_SIZE);
        if let (0, false, Some(from)) = (given, size_changed, self.starts.pop()) {
            let (stdout, complaints) = launch(&self.probe, &self.range, from, &self.slot)?;
            (self.stdout, self.complaints) = (stdout, complaints);
            self.to_skip = self.probe.twins_before(self.range.start);
            return Ok(());
        }
        let (width, height) = (self.probe.width, self.probe.height);
        Err(match (size_changed, self.next) {
            (true, 0) => Fault::OtherSize { width, height },
            (true, next) => Fault::SizeChanges { last: next - 1, width, height },
            (false, _) => {
                Fault::EndedEarly { given, expected: self.range.len(), said: std::mem::take(&mut self.said) }
            }
        })
    }

    /// Checks, after the last frame, that ffmpeg has no more of them and ended well. Returns its complaints.
    pub fn finish(mut self) -> Result<String, VideoError> {
        let mut more = [0; 1];
        let extra = fill(&mut self.stdout, &mut more).unwrap_or(false);
        if extra {
            self.slot.end();
        }
        self.listen_to_the_end();
        if extra {
            let expected = self.probe.frames();
            return Err(VideoError::new(&self.probe.path, Fault::GaveMore { expected }));
        }
        Ok(std::mem::take(&mut self.said))
    }

    fn listen_to_the_end(&mut self) {
        self.signal = signal_of(self.slot.wait());
        if let Some(complaints) = self.complaints.take() {
            self.said = complaints.last_words();
        }
    }
}

/// Starts ffmpeg at key frame `from` (0: at the file's start, without seeking).
fn launch(
    probe: &Probe,
    range: &Range<usize>,
    from: usize,
    slot: &Slot,
) -> Result<(Output, Option<Complaints>), Fault> {
    let mut command = ffmpeg();
    if from > 0 {
        command.args(["-copyts", "-noaccurate_seek", "-seek_timestamp", "1", "-ss"]);
        command.arg(seconds_up(probe.ticks(from), probe.time_base()));
    } else if range.start > 0 {
        command.arg("-copyts");
    }
    command.arg("-i").arg(file_argument(probe));
    command.args(["-map", "0:V:0", "-an", "-sn", "-dn", "-vf"]).arg(filters(probe, range, from));
    command.args(passthrough(&probe.ffmpeg_version));
    if range.end < probe.frames() {
        let frames = range.len() + probe.twins_before(range.start);
        command.arg("-frames:v").arg(frames.to_string());
    }
    command.args(["-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]);
    // frames that are passed without a word take their time
    let patience = probe.patience + PATIENCE_A_FRAME * (range.start - from) as u32;
    let mut child = start_ffmpeg(&mut command, Some(patience), Some(MOST_BYTES))?;
    let stdout = child.take_stdout();
    let complaints = child.take_stderr().map(Complaints::listen);
    slot.put(child);
    let stdout = stdout.ok_or_else(|| Fault::Pipe(io::ErrorKind::BrokenPipe.into()))?;
    widen(&stdout);
    Ok((stdout, complaints))
}

/// The file as ffmpeg takes it: a name with a colon in it would else be read as a protocol.
fn file_argument(probe: &Probe) -> std::ffi::OsString {
    let mut argument = std::ffi::OsString::from("file:");
    argument.push(&probe.path);
    argument
}

/// The guard of the picture's size, and the choice of frames by their times.
fn filters(probe: &Probe, range: &Range<usize>, from: usize) -> String {
    let (width, height) = (probe.width, probe.height);
    // a crop to the same size changes nothing; to another size it cannot be set up, and ffmpeg ends
    let guard = format!("crop=w='if(eq(iw,{width})*eq(ih,{height}),iw,-1)':h=ih:exact=1");
    if range.start == 0 {
        return guard;
    }
    let within = format!("between(pts,{},{})", probe.ticks(range.start), probe.ticks(range.end - 1));
    if from == 0 {
        return format!("select='{within}',{guard}");
    }
    let early_enough = format!("st(0,if(eq(n,0),lte(pts,{}),ld(0)))", probe.ticks(range.start));
    format!("select='{early_enough}*{within}',{guard}")
}

/// The option that keeps every frame once, at whatever time: its name changed in ffmpeg 5.1.
pub(super) fn passthrough(ffmpeg_version: &str) -> [&'static str; 2] {
    let mut numbers = ffmpeg_version.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    let version = (numbers.next().and_then(Result::ok), numbers.next().and_then(Result::ok));
    match version {
        (Some(major), minor) if (major, minor.unwrap_or(0)) < (5, 1) => ["-vsync", "passthrough"],
        _ => ["-fps_mode", "passthrough"],
    }
}

/// `ticks` in seconds with six digits, rounded up: ffmpeg counts microseconds, and a seek to the least
/// bit before a key frame goes to the one before it.
fn seconds_up(ticks: i64, (numerator, denominator): (i64, i64)) -> String {
    let scaled = i128::from(ticks) * i128::from(numerator) * 1_000_000;
    let micros = scaled.div_euclid(i128::from(denominator))
        + i128::from(scaled.rem_euclid(i128::from(denominator)) > 0);
    // a start before zero is reached from the file's start
    let micros = micros.max(0);
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// Reads until `bytes` is full. False if the stream ended before.
fn fill(stream: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match stream.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(target_os = "linux")]
fn widen(pipe: &Output) {
    // an unprivileged user may be refused; the pipe works all the same
    let _ = nix::fcntl::fcntl(pipe, nix::fcntl::FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
}

#[cfg(not(target_os = "linux"))]
fn widen(_: &Output) {}

impl Drop for Decoder {
    fn drop(&mut self) {
        self.slot.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_up() {
        assert_eq!(seconds_up(512, (1, 15360)), "0.033334");
        assert_eq!(seconds_up(15360, (1, 15360)), "1.000000");
        assert_eq!(seconds_up(-5, (1, 10)), "0.000000");
        assert_eq!(seconds_up(90_001, (1, 90_000)), "1.000012");
    }

    #[test]
    fn the_option_for_every_frame_follows_the_version() {
        for (version, option) in [
            ("4.4.2-0ubuntu0.22.04.1", "-vsync"),
            ("5.0.1", "-vsync"),
            ("5.1.9-0+deb12u1", "-fps_mode"),
            ("7.1", "-fps_mode"),
            ("8", "-fps_mode"),
            ("N-109468-gd39b34123d", "-fps_mode"),
        ] {
            assert_eq!(passthrough(version)[0], option, "{version}");
        }
    }
}
