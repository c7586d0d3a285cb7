//! Errors of reading and writing videos: what failed, in which file, at which frame, and what to do next.

use std::fmt::{self, Write};
use std::io;
use std::path::{Path, PathBuf};

use posebook_core::frame::DeviceCopyError;

/// An error with the file and, if one is concerned, the frame.
#[derive(Debug, thiserror::Error)]
#[error("{}{}: {kind}", Printable(&path.to_string_lossy()), FrameSuffix(*frame))]
pub struct VideoError {
    /// The video, or the file that is being written.
    pub path: PathBuf,
    /// Index of the frame in the clip, if the error concerns one.
    pub frame: Option<usize>,
    /// What failed. Part of this error's message and not its source, so that an error chain prints it once.
    pub kind: VideoErrorKind,
}

impl VideoError {
    /// An error that concerns the whole file.
    pub(super) fn new(path: &Path, kind: VideoErrorKind) -> VideoError {
        VideoError { path: path.to_path_buf(), frame: None, kind }
    }

    /// An error that concerns one frame.
    pub(super) fn at_frame(path: &Path, frame: usize, kind: VideoErrorKind) -> VideoError {
        VideoError { path: path.to_path_buf(), frame: Some(frame), kind }
    }

    /// Whether memory ran out, so that a run can be classified as `out_of_memory`.
    pub fn is_out_of_memory(&self) -> bool {
        match &self.kind {
            VideoErrorKind::OutOfMemory { .. } => true,
            VideoErrorKind::Device(error) => error.is_out_of_memory,
            VideoErrorKind::CannotStart { source, .. } => source.kind() == io::ErrorKind::OutOfMemory,
            _ => false,
        }
    }
}

/// Displays a text on one line and without what a terminal acts on: control characters, and characters that change the
/// direction of writing, are escaped as in Rust.
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                    write!(f, "{}", c.escape_unicode())?;
                }
                c if c.is_control() => write!(f, "{}", c.escape_default())?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Displays `, frame 7` if a frame is known.
struct FrameSuffix(Option<usize>);

impl fmt::Display for FrameSuffix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |frame| write!(f, ", frame {frame}"))
    }
}

/// Most pixels of a frame that is read: 16384 x 8192, which is 384 MiB as RGB.
pub const MAX_PIXELS: usize = 1 << 27;
/// Most frames of a video that is read: 13 days at 30 frames/s; the list of frames takes 256 MiB.
pub const MAX_FRAMES: usize = 1 << 25;

/// What failed. The messages name the remedy.
#[derive(Debug, thiserror::Error)]
pub enum VideoErrorKind {
    /// The path does not exist.
    #[error("there is no such file; check the path")]
    FileNotFound,
    /// The path is a directory or a device, say.
    #[error("this is not a regular file; give the path of a video file")]
    NotAFile,
    /// The operating system refuses to open the file.
    #[error("the file cannot be opened: {0}")]
    CannotOpen(io::Error),
    /// The file has 0 bytes.
    #[error("the file is empty (0 bytes); copy or download it again")]
    EmptyFile,
    /// ffprobe cannot read the file; its message.
    #[error(
        "this is not a video that ffmpeg can read; give a video file, or a complete copy of this one ({0})"
    )]
    NotAVideo(String),
    /// A format that ffmpeg would read and this crate refuses, such as a playlist; the reason and the remedy.
    #[error("this is not a video: {0}")]
    RefusedFormat(String),
    /// The file has only the named kind of tracks.
    #[error("there is no video in this file, only {0}; give a file with a video track")]
    NoVideoTrack(String),
    /// The video track is empty.
    #[error("the video track holds no frames; record or cut it again")]
    NoFrames,
    /// The file ends before its data do.
    #[error(
        "the file is cut short: {found} complete frames{}; copy it again, or save the readable part with \
         `ffmpeg -i IN -c copy OUT` ({detail})",
        DeclaredFrames(*declared)
    )]
    Truncated {
        /// Number of frames according to the header, if it has one.
        declared: Option<usize>,
        /// Number of complete frames.
        found: usize,
        /// What shows that the file is incomplete.
        detail: String,
    },
    /// ffmpeg or ffprobe is not installed.
    #[error(
        "`{program}` is not on the PATH; install ffmpeg (it brings ffprobe), for example `apt-get install ffmpeg`"
    )]
    ProgramNotFound {
        /// Name of the program.
        program: String,
    },
    /// A program or thread cannot be started.
    #[error("`{program}` cannot be started: {source}")]
    CannotStart {
        /// Name of the program.
        program: String,
        /// The operating system's error.
        source: io::Error,
    },
    /// The video settings are invalid or contradict each other; the message names the key.
    #[error("{0}")]
    InvalidSettings(String),
    /// The frame rate given for a folder of images is out of range; the message names the range.
    #[error("{0}")]
    InvalidFps(String),
    /// The requested range ends beyond the last frame.
    #[error(
        "the range {requested} reaches beyond the end: the video has {frames} frames (0 to {}) and lasts \
         {duration_secs:.3} s; choose an earlier end, or leave the end out",
        frames - 1
    )]
    RangeBeyondEnd {
        /// The range in the units of the settings.
        requested: String,
        /// Number of frames of the video.
        frames: usize,
        /// Duration of the video.
        duration_secs: f64,
    },
    /// The requested range selects no frame.
    #[error(
        "the range {requested} holds no frame; ranges are half-open, so the end must lie after the start"
    )]
    EmptyRange {
        /// The range in the units of the settings.
        requested: String,
    },
    /// The frame size changes within the video.
    #[error(
        "the frame size changes after frame {last}, which was {width}x{height}; posebook reads videos of one \
         size: re-encode it with `ffmpeg -i IN -vf scale={width}:{height} OUT`"
    )]
    SizeChanges {
        /// Index of the last frame of the first size.
        last: usize,
        /// Width in pixels before the change.
        width: usize,
        /// Height in pixels before the change.
        height: usize,
    },
    /// The first frame does not have the size that the container declares.
    #[error(
        "the frames are not {width}x{height}, as the container says; re-encode the video with `ffmpeg -i IN OUT`"
    )]
    SizeMismatch {
        /// Declared width in pixels.
        width: usize,
        /// Declared height in pixels.
        height: usize,
    },
    /// ffmpeg ended before the last frame.
    #[error(
        "ffmpeg gave {decoded} of {expected} frames and ended; the file is damaged from here on: copy it again, or \
         end the range earlier{}",
        StderrSuffix(stderr_tail)
    )]
    EndedEarly {
        /// Frames read so far.
        decoded: usize,
        /// Frames selected.
        expected: usize,
        /// Last lines of ffmpeg's stderr.
        stderr_tail: String,
    },
    /// ffmpeg gave more frames than the container lists.
    #[error(
        "ffmpeg gives more frames than the {expected} that the container lists; re-mux it with `ffmpeg -i IN -c copy OUT`"
    )]
    ExtraFrames {
        /// Frames in the container's list.
        expected: usize,
    },
    /// Frames have more than 2^27 pixels.
    #[error(
        "the frames are {width}x{height}, and posebook reads up to {} megapixels; make them smaller with \
         `ffmpeg -i IN -vf scale=1920:-2 OUT`, or copy the file again if it never was that large",
        MAX_PIXELS / 1_000_000
    )]
    TooLarge {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
    },
    /// The file lists more than 2^25 frames.
    #[error(
        "the file lists more than {} frames; cut it into shorter ones, or copy it again if it never was that long",
        MAX_FRAMES
    )]
    TooManyFrames,
    /// A child process wrote nothing for the stall timeout and was killed; the message names it.
    #[error(
        "{0}; is the file on a disk or network that does not respond? copy it to this machine, or raise \
         video.patience_secs"
    )]
    Stalled(String),
    /// ffmpeg was terminated by a signal while decoding.
    #[error(
        "ffmpeg was terminated by signal {signal} after {decoded} of {expected} frames: it was killed, or memory \
         ran out{}; run it again",
        StderrSuffix(stderr_tail)
    )]
    FfmpegKilled {
        /// Number of the signal.
        signal: i32,
        /// Frames read so far.
        decoded: usize,
        /// Frames selected.
        expected: usize,
        /// Last lines of ffmpeg's stderr.
        stderr_tail: String,
    },
    /// ffprobe was terminated by a signal.
    #[error(
        "ffprobe was terminated by signal {signal}: it was killed, or memory ran out{}; run it again",
        StderrSuffix(stderr_tail)
    )]
    FfprobeKilled {
        /// Number of the signal.
        signal: i32,
        /// Last lines of ffprobe's stderr.
        stderr_tail: String,
    },
    /// ffmpeg gave no frame with the chosen hardware acceleration.
    #[error(
        "ffmpeg decodes nothing with {name} here; this machine may lack the hardware, or it may not support the codec: \
         leave video.hwaccel out{}",
        StderrSuffix(stderr_tail)
    )]
    HwaccelFailed {
        /// ffmpeg's name of the method.
        name: String,
        /// Last lines of ffmpeg's stderr.
        stderr_tail: String,
    },
    /// ffmpeg failed while encoding.
    #[error("ffmpeg failed{}", StderrSuffix(stderr_tail))]
    FfmpegFailed {
        /// Last lines of ffmpeg's stderr.
        stderr_tail: String,
    },
    /// Reading from or writing to ffmpeg failed.
    #[error("the pipe to ffmpeg broke: {0}")]
    Pipe(io::Error),
    /// A frame buffer cannot be allocated.
    #[error(
        "no memory for another {bytes} bytes; use mode = {{ stream = {{ access = \"sequential\" }} }}, or a shorter range"
    )]
    OutOfMemory {
        /// Size of the buffer.
        bytes: usize,
    },
    /// The consumer of a prefetching source holds every frame buffer while it requests the next frame.
    #[error(
        "all {buffers} frame buffers of the queue are held by the consumer; drop frames before requesting more, \
         or raise queue_mib"
    )]
    BuffersExhausted {
        /// Number of buffers.
        buffers: usize,
    },
    /// An extracted frame cannot be written.
    #[error("the extracted frame cannot be written to {}: {source}; free space, or give another scratch folder", file.display())]
    ScratchWrite {
        /// The file.
        file: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// An extracted frame cannot be read back.
    #[error("the extracted frame cannot be read back from {}: {reason}; leave scratch files alone while posebook runs", file.display())]
    ScratchRead {
        /// The file.
        file: PathBuf,
        /// Why it cannot be read or decoded.
        reason: String,
    },
    /// A folder of images, or one of its images, cannot be read; the reason and the remedy.
    #[error("{0}")]
    Still(String),
    /// An extracted frame cannot be encoded as JPEG or PNG; the reason.
    #[error("the frame cannot be encoded: {0}")]
    ImageEncoding(String),
    /// The encoder of an overlay was given frames of another size or number than announced: a bug of the caller.
    #[error("the video cannot be encoded: {0}")]
    EncoderInput(String),
    /// Frames are to be stored on a device, and no uploader was given: the run uses the CPU.
    #[error(
        "extract {{ store = \"device\" }} stores frames on the GPU, and this run is on the CPU: give device = \"cuda:0\" (in a build with CUDA), or use store = \"memory\""
    )]
    NeedsGpu,
    /// Copying a frame to or from the GPU failed.
    #[error("the frame cannot be copied to the device: {0}")]
    Device(#[from] DeviceCopyError),
    /// The reader thread panicked.
    #[error("the thread that reads frames panicked; this is a bug of posebook")]
    ReaderPanicked,
    /// A video file cannot be written.
    #[error("the video cannot be written: {0}")]
    Write(io::Error),
}

impl VideoErrorKind {
    /// The error of reading from a child's pipe.
    pub(super) fn pipe(error: io::Error) -> VideoErrorKind {
        match error.kind() {
            io::ErrorKind::TimedOut => VideoErrorKind::Stalled(error.to_string()),
            _ => VideoErrorKind::Pipe(error),
        }
    }
}

/// Displays ` of the 180 declared in its header` if the number is known.
struct DeclaredFrames(Option<usize>);

impl fmt::Display for DeclaredFrames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |frames| write!(f, " of the {frames} declared in its header"))
    }
}

/// Displays ` (stderr: ...)` if a child wrote to stderr.
struct StderrSuffix<'a>(&'a str);

impl fmt::Display for StderrSuffix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " (stderr: {})", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_whatever_the_name() {
        let error =
            VideoError::new(Path::new("a\r\n\u{1b}[31m\u{202e}4pm.é \"'\\.mp4"), VideoErrorKind::EmptyFile);
        let expected = "a\\r\\n\\u{1b}[31m\\u{202e}4pm.é \"'\\.mp4: the file is empty (0 bytes); copy or download it again";
        assert_eq!(error.to_string(), expected);
    }
}
