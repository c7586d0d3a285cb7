//! One ffmpeg at a time, which decodes selected frames to RGB on a pipe.
//!
//! What an ffmpeg is asked for is a [`Pass`]. If no frame comes of it, its seek went too far (containers
//! without an index do that) and an earlier key frame is tried, at last the file's start. So a frame is the
//! right one or an error. A looped video may take several passes.
//!
//! RGB is what ffmpeg's `-pix_fmt rgb24` gives with its default scaler flags, which is also what OpenCV
//! and PyAV give; where the same bits can be had cheaper, planes come through the pipe ([`super::planes`]).
//! Must not know who takes the frames.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use super::buffers::buffer;
use super::child::{Complaints, MOST_BYTES, Output, Slot, signal_of, start_ffmpeg};
use super::error::{Fault, VideoError};
use super::pass::{OTHER_SIZE, Pass};
use super::planes::{Colours, planes_bytes, proven, rgb_from_planes};
use super::probe::Probe;
use super::range::Selection;

/// What decoding a frame that nobody asked for may take.
const PATIENCE_A_FRAME: Duration = Duration::from_millis(200);
/// Room asked for in the pipe from ffmpeg; the default of 64 KiB costs a switch of tasks for every 64 KiB.
#[cfg(target_os = "linux")]
const PIPE_BYTES: i32 = 1024 * 1024;

/// How a video is decoded, whatever its frames are for.
#[derive(Debug, Clone, Default)]
pub(super) struct Manner {
    /// ffmpeg's name of what decodes in the processor's place.
    pub hwaccel: Option<Arc<str>>,
    /// Where given, planes of these colours may come through the pipe in the place of RGB.
    pub planes: Option<Colours>,
    /// Ticks of the video's clock before a frame at which a seek to it aims.
    pub margin_ticks: i64,
}

impl Manner {
    /// The manner for many frames on end: with planes where they give the same bits.
    pub fn of(probe: &Probe, hwaccel: Option<&str>) -> Manner {
        // frames of other decoders come in layouts of their own
        let planes = if hwaccel.is_none() { Colours::of(probe) } else { None };
        Manner { hwaccel: hwaccel.map(Arc::from), planes, margin_ticks: 0 }
    }

    /// The manner for single frames, for which asking how ffmpeg converts does not pay.
    pub fn without_planes(self) -> Manner {
        Manner { planes: None, ..self }
    }

    /// Bytes that a decoder holds beside the buffers that it fills.
    pub fn own_bytes(&self, probe: &Probe) -> u64 {
        self.planes.map_or(0, |_| planes_bytes(probe.width, probe.height) as u64)
    }
}

/// Selected frames, decoded in order.
pub(super) struct Decoder {
    probe: Arc<Probe>,
    manner: Manner,
    selection: Selection,
    slot: Slot,
    stream: Stream,
    /// The next frame to give out, as a number in the clip.
    next: usize,
    /// Where the pass in hand ends, in the clip.
    pass_end: usize,
    /// Frames given out, in all and of the pass in hand.
    given: usize,
    given_in_pass: usize,
    /// Room for the planes of one frame, where frames come as planes.
    planes: Vec<u8>,
    said: String,
    /// What ended ffmpeg, if it was a signal.
    signal: Option<i32>,
}

/// The pass in hand.
struct Stream {
    pass: Pass,
    stdout: Output,
    complaints: Option<Complaints>,
    /// Key frames to start from if the present start proves too late, the best last.
    starts: Vec<usize>,
}

impl Decoder {
    /// Starts decoding what is selected. The child lives in `slot`, through which another thread may end it.
    pub fn start(
        probe: &Arc<Probe>,
        manner: &Manner,
        selection: Selection,
        slot: Slot,
    ) -> Result<Decoder, VideoError> {
        let next = selection.range.start;
        let at = |fault| VideoError::at_frame(&probe.path, next, fault);
        let planes = match manner.planes {
            Some(_) => buffer(planes_bytes(probe.width, probe.height)).map_err(at)?,
            None => Vec::new(),
        };
        let stream = Stream::start(probe, manner, Pass::of(probe, &selection), &slot).map_err(at)?;
        let pass_end = next - stream.pass.first + stream.pass.end;
        Ok(Decoder {
            probe: Arc::clone(probe),
            manner: manner.clone(),
            selection,
            slot,
            stream,
            next,
            pass_end,
            given: 0,
            given_in_pass: 0,
            planes,
            said: String::new(),
            signal: None,
        })
    }

    /// The frame that comes next, a number in the clip; beyond the range after the last.
    pub fn next(&self) -> usize {
        self.next
    }

    /// Writes the next frame into `rgb` and returns its number in the clip; `None` after the last frame.
    pub fn read(&mut self, rgb: &mut [u8]) -> Result<Option<usize>, VideoError> {
        self.step(|decoder| decoder.read_frame(rgb))
    }

    /// Lets the next frame go by; as [`Decoder::read`] without its pixels.
    pub fn skip(&mut self) -> Result<Option<usize>, VideoError> {
        self.step(|decoder| {
            let planes = decoder.planes.len();
            let bytes = if planes > 0 { planes } else { decoder.probe.frame_bytes() } as u64;
            let gone = io::copy(&mut (&mut decoder.stream.stdout).take(bytes), &mut io::sink());
            if gone.map_err(Fault::pipe)? == bytes { Ok(()) } else { decoder.start_earlier() }
        })
    }

    fn step(
        &mut self,
        take: impl FnOnce(&mut Decoder) -> Result<(), Fault>,
    ) -> Result<Option<usize>, VideoError> {
        let frame = self.next;
        if frame >= self.selection.range.end {
            return Ok(None);
        }
        if frame >= self.pass_end {
            self.end_pass()?;
            self.next_pass().map_err(|fault| self.at(fault))?;
        }
        take(self).map_err(|fault| self.at(fault))?;
        self.next += self.selection.every;
        self.given += 1;
        self.given_in_pass += 1;
        Ok(Some(frame))
    }

    fn at(&self, fault: Fault) -> VideoError {
        VideoError::at_frame(&self.probe.path, self.next, fault)
    }

    fn read_frame(&mut self, rgb: &mut [u8]) -> Result<(), Fault> {
        if let Some(colours) = self.manner.planes
            && !proven(colours, self.probe.width)
        {
            self.manner.planes = None;
            self.planes = Vec::new();
            self.next_pass()?;
        }
        loop {
            let (stdout, planes) = (&mut self.stream.stdout, &mut self.planes);
            let into = if self.manner.planes.is_some() { planes } else { &mut *rgb };
            if fill(stdout, into).map_err(Fault::pipe)? {
                break;
            }
            self.start_earlier()?;
        }
        if let Some(colours) = self.manner.planes {
            rgb_from_planes(colours, &self.planes, self.probe.width, self.probe.height, rgb);
        }
        Ok(())
    }

    /// Starts the pass that begins with the next frame.
    fn next_pass(&mut self) -> Result<(), Fault> {
        let rest = Selection { range: self.next..self.selection.range.end, every: self.selection.every };
        let pass = Pass::of(&self.probe, &rest);
        self.stream = Stream::start(&self.probe, &self.manner, pass, &self.slot)?;
        self.pass_end = self.next - self.stream.pass.first + self.stream.pass.end;
        self.given_in_pass = 0;
        Ok(())
    }

    /// The stream ended too soon: starts again from an earlier key frame if nothing came, else tells why.
    fn start_earlier(&mut self) -> Result<(), Fault> {
        self.listen_to_the_end();
        if let Some(signal) = self.signal {
            let (given, expected) = (self.given, self.selection.frames());
            return Err(Fault::Died { signal, given, expected, said: std::mem::take(&mut self.said) });
        }
        let size_changed = self.said.contains(OTHER_SIZE);
        if self.given_in_pass == 0
            && !size_changed
            && self.stream.start_earlier(&self.probe, &self.manner, &self.slot)?
        {
            return Ok(());
        }
        let (width, height) = (self.probe.width, self.probe.height);
        Err(match (size_changed, self.next) {
            (true, 0) => Fault::OtherSize { width, height },
            (true, next) => Fault::SizeChanges { last: next - 1, width, height },
            (false, _) if self.given == 0 && self.manner.hwaccel.is_some() => Fault::NoHardware {
                name: self.manner.hwaccel.as_deref().unwrap_or_default().to_string(),
                said: std::mem::take(&mut self.said),
            },
            (false, _) => Fault::EndedEarly {
                given: self.given,
                expected: self.selection.frames(),
                said: std::mem::take(&mut self.said),
            },
        })
    }

    /// Checks, after the last frame, that ffmpeg has no more of them and ended well. Returns its complaints.
    pub fn finish(mut self) -> Result<String, VideoError> {
        self.end_pass()?;
        Ok(std::mem::take(&mut self.said))
    }

    fn end_pass(&mut self) -> Result<(), VideoError> {
        let mut more = [0; 1];
        let extra = fill(&mut self.stream.stdout, &mut more).unwrap_or(false);
        if extra {
            self.slot.end();
        }
        self.listen_to_the_end();
        if extra {
            let expected = self.probe.frames();
            return Err(VideoError::new(&self.probe.path, Fault::GaveMore { expected }));
        }
        Ok(())
    }

    fn listen_to_the_end(&mut self) {
        self.signal = signal_of(self.slot.wait());
        if let Some(complaints) = self.stream.complaints.take() {
            self.said = complaints.last_words();
        }
    }
}

impl Stream {
    fn start(probe: &Probe, manner: &Manner, pass: Pass, slot: &Slot) -> Result<Stream, Fault> {
        let mut starts = pass.starts(probe, manner.margin_ticks);
        let from = starts.pop().unwrap_or(0);
        let (stdout, complaints) = launch(probe, manner, &pass, from, slot)?;
        Ok(Stream { pass, stdout, complaints, starts })
    }

    /// Starts the same pass from the key frame before; false if there is none left to try.
    fn start_earlier(&mut self, probe: &Probe, manner: &Manner, slot: &Slot) -> Result<bool, Fault> {
        let Some(from) = self.starts.pop() else { return Ok(false) };
        (self.stdout, self.complaints) = launch(probe, manner, &self.pass, from, slot)?;
        Ok(true)
    }
}

/// Starts ffmpeg at key frame `from` (0: at the file's start, without seeking).
fn launch(
    probe: &Probe,
    manner: &Manner,
    pass: &Pass,
    from: usize,
    slot: &Slot,
) -> Result<(Output, Option<Complaints>), Fault> {
    let pixel_format = manner.planes.map_or("rgb24", Colours::pixel_format);
    let mut command = pass.command(probe, from, pixel_format, manner.hwaccel.as_deref());
    // frames that are passed without a word take their time
    let passed = pass.first.saturating_sub(from) + pass.every - 1;
    let patience = probe.patience + PATIENCE_A_FRAME * u32::try_from(passed).unwrap_or(u32::MAX);
    // a card's memory is counted with a process' own
    let most_bytes = manner.hwaccel.is_none().then_some(MOST_BYTES);
    let mut child = start_ffmpeg(&mut command, Some(patience), most_bytes)?;
    let stdout = child.take_stdout();
    let complaints = child.take_stderr().map(Complaints::listen);
    slot.put(child);
    let stdout = stdout.ok_or_else(|| Fault::Pipe(io::ErrorKind::BrokenPipe.into()))?;
    widen(&stdout);
    Ok((stdout, complaints))
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
