//! What can go wrong with a video, each with the path, the frame where one is known, and what to do.
//!
//! Must not know who reports it, nor how a run is classified.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Something wrong with a video: where, and what.
#[derive(Debug, thiserror::Error)]
#[error("{}{}: {fault}", path.display(), At(*frame))]
pub struct VideoError {
    /// The video, or the file being written for it.
    pub path: PathBuf,
    /// The frame concerned, counted from the start of the clip, where there is one.
    pub frame: Option<usize>,
    /// Told with the path and not as a source, so that a chain of errors says it once.
    pub fault: Fault,
}

impl VideoError {
    /// An error that concerns the file as a whole.
    pub fn new(path: &Path, fault: Fault) -> VideoError {
        VideoError { path: path.to_path_buf(), frame: None, fault }
    }

    /// An error that concerns one frame.
    pub fn at_frame(path: &Path, frame: usize, fault: Fault) -> VideoError {
        VideoError { path: path.to_path_buf(), frame: Some(frame), fault }
    }

    /// Whether memory ran out, so that a run can be classified as `out_of_memory`.
    pub fn is_out_of_memory(&self) -> bool {
        match &self.fault {
            Fault::OutOfMemory { .. } => true,
            Fault::Device(error) => {
                crate::device::Fault::of(&error.to_string()) == Some(crate::device::Fault::OutOfMemory)
            }
            Fault::Start { source, .. } => source.kind() == io::ErrorKind::OutOfMemory,
            _ => false,
        }
    }
}

/// `, frame 7` where a frame is known.
struct At(Option<usize>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |frame| write!(f, ", frame {frame}"))
    }
}

/// Pixels of the largest picture that is read: 16384 x 8192, 384 MiB as RGB.
pub const MOST_PIXELS: usize = 1 << 27;
/// Frames of the longest video that is read: twelve days at 30 a second, listed in 256 MiB.
pub const MOST_FRAMES: usize = 1 << 25;

/// What is wrong.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("there is no such file; check the path")]
    Missing,
    #[error("this is not a regular file; give the path of a video file")]
    NotAFile,
    #[error("the file cannot be opened: {0}")]
    Unreadable(io::Error),
    #[error("the file is empty (0 bytes); copy or download it again")]
    EmptyFile,
    #[error("this is not a video that ffmpeg can read; give a video file, or a whole copy of this one ({0})")]
    NotAVideo(String),
    #[error("this is not a video: {0}")]
    NotRead(String),
    #[error("there is no video in this file, only {0}; give a file with a video track")]
    NoVideoTrack(String),
    #[error("the video track holds no frames; record or cut it again")]
    NoFrames,
    #[error(
        "the file is cut short: {found} whole frames{}; copy it again, or keep what is there with \
         `ffmpeg -i IN -c copy OUT` ({detail})",
        Promised(*promised)
    )]
    Truncated { promised: Option<usize>, found: usize, detail: String },
    #[error(
        "`{program}` is not on the PATH; install ffmpeg (it brings ffprobe), for example `apt-get install ffmpeg`"
    )]
    NoProgram { program: String },
    #[error("`{program}` cannot be started: {source}")]
    Start { program: String, source: io::Error },
    #[error("{0}")]
    Settings(String),
    #[error(
        "the range {asked} reaches beyond the end: the video has {frames} frames (0 to {}) and lasts \
         {duration_secs:.3} s; choose an earlier end, or leave the end out",
        frames - 1
    )]
    RangeBeyondEnd { asked: String, frames: usize, duration_secs: f64 },
    #[error("the range {asked} holds no frame; ranges are half-open, so the end must lie after the start")]
    EmptyRange { asked: String },
    #[error(
        "the picture's size changes after frame {last}, which was {width}x{height}; posebook reads videos of one \
         size: re-encode it with `ffmpeg -i IN -vf scale={width}:{height} OUT`"
    )]
    SizeChanges { last: usize, width: usize, height: usize },
    #[error(
        "the pictures are not {width}x{height}, as the container says; re-encode the video with `ffmpeg -i IN OUT`"
    )]
    OtherSize { width: usize, height: usize },
    #[error(
        "ffmpeg gave {given} of {expected} frames and ended; the file is damaged from here on: copy it again, or \
         end the range earlier{}",
        Said(said)
    )]
    EndedEarly { given: usize, expected: usize, said: String },
    #[error(
        "ffmpeg gives more frames than the {expected} that the container lists; re-mux it with `ffmpeg -i IN -c copy OUT`"
    )]
    GaveMore { expected: usize },
    #[error(
        "the pictures are {width}x{height}, and posebook reads up to {} megapixels; make them smaller with \
         `ffmpeg -i IN -vf scale=1920:-2 OUT`, or copy the file again if it never was that large",
        MOST_PIXELS / 1_000_000
    )]
    TooLarge { width: usize, height: usize },
    #[error(
        "the file lists more than {} frames; cut it into shorter ones, or copy it again if it never was that long",
        MOST_FRAMES
    )]
    TooManyFrames,
    #[error(
        "{0}; does the file lie on a disk or network that does not answer? copy it here, or raise \
         video.patience_secs"
    )]
    Silent(String),
    #[error(
        "ffmpeg was ended by signal {signal} after {given} of {expected} frames: somebody killed it, or memory \
         ran out{}; run it again",
        Said(said)
    )]
    Died { signal: i32, given: usize, expected: usize, said: String },
    #[error(
        "ffprobe was ended by signal {signal}: somebody killed it, or memory ran out{}; run it again",
        Said(said)
    )]
    ProbeDied { signal: i32, said: String },
    #[error(
        "ffmpeg decodes nothing with {name} here; this machine may lack the hardware, or it may not know the codec: \
         leave video.hwaccel out{}",
        Said(said)
    )]
    NoHardware { name: String, said: String },
    #[error("ffmpeg failed{}", Said(said))]
    Ffmpeg { said: String },
    #[error("the pipe to ffmpeg broke: {0}")]
    Pipe(io::Error),
    #[error(
        "no memory for another {bytes} bytes; use mode = {{ stream = {{ access = \"sequential\" }} }}, or a shorter range"
    )]
    OutOfMemory { bytes: usize },
    #[error(
        "all {buffers} buffers of the queue are held by the reader of the frames; drop frames before asking for more, \
         or raise queue_mib"
    )]
    QueueHeld { buffers: usize },
    #[error("the extracted frame cannot be written to {}: {source}; free space, or give another scratch folder", file.display())]
    ScratchWrite { file: PathBuf, source: io::Error },
    #[error("the extracted frame cannot be read back from {}: {reason}; leave scratch files alone while posebook runs", file.display())]
    ScratchRead { file: PathBuf, reason: String },
    /// A folder of pictures, or one of them, cannot be read: why, and what to do.
    #[error("{0}")]
    Still(String),
    #[error("the picture cannot be encoded: {0}")]
    Picture(String),
    #[error(
        "extract {{ store = \"device\" }} keeps frames on the GPU, and this run is on the CPU: give device = \"cuda:0\" (in a build with CUDA), or use store = \"memory\""
    )]
    NeedsDevice,
    #[error("the device did not take the frame: {0}")]
    Device(Box<candle_core::Error>),
    #[error("the decoder's thread died; this is a bug of posebook")]
    ThreadDied,
    #[error("the video cannot be written: {0}")]
    Write(io::Error),
}

impl Fault {
    /// What went wrong while a child's pipe was read.
    pub(super) fn pipe(error: io::Error) -> Fault {
        match error.kind() {
            io::ErrorKind::TimedOut => Fault::Silent(error.to_string()),
            _ => Fault::Pipe(error),
        }
    }

    pub(super) fn device(error: candle_core::Error) -> Fault {
        Fault::Device(Box::new(error))
    }
}

/// ` of the 180 that its header promises`.
struct Promised(Option<usize>);

impl fmt::Display for Promised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |frames| write!(f, " of the {frames} that its header promises"))
    }
}

/// ` (ffmpeg said: ...)` where it said something.
struct Said<'a>(&'a str);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " (ffmpeg said: {})", self.0) }
    }
}
