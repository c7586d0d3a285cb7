//! Children of ffmpeg's family: started, listened to, and never left behind.
//!
//! ffmpeg-sidecar finds the programs and starts them. Its event iterator allocates a buffer for every
//! frame and hands frames through a rendezvous, so frames are read from the child's pipe directly.
//! Must not know what the pipes carry.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use ffmpeg_sidecar::child::FfmpegChild;
use ffmpeg_sidecar::command::FfmpegCommand;
use ffmpeg_sidecar::ffprobe::ffprobe_path;

use super::error::Fault;

/// Lines of a child's stderr that are kept: its last words.
const KEPT_LINES: usize = 6;
/// Longest piece of a line that is kept.
const KEPT_LINE_BYTES: usize = 400;

/// An ffmpeg command that says only what goes wrong and never waits for a keyboard.
pub(super) fn ffmpeg() -> FfmpegCommand {
    let mut command = FfmpegCommand::new();
    command.args(["-hide_banner", "-nostdin", "-loglevel", "error"]);
    command
}

/// Starts `command`.
pub(super) fn start_ffmpeg(command: &mut FfmpegCommand) -> Result<FfmpegChild, Fault> {
    command.spawn().map_err(|source| cannot_start("ffmpeg", source))
}

/// Starts ffprobe with `arguments`, its output and complaints on pipes.
pub(super) fn start_ffprobe(command: &mut Command) -> Result<Child, Fault> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| cannot_start("ffprobe", source))
}

/// An ffprobe command that says only what goes wrong.
pub(super) fn ffprobe() -> Command {
    let mut command = Command::new(ffprobe_path());
    command.args(["-hide_banner", "-loglevel", "error"]);
    command
}

fn cannot_start(program: &str, source: io::Error) -> Fault {
    match source.kind() {
        io::ErrorKind::NotFound => Fault::NoProgram { program: program.to_string() },
        _ => Fault::Start { program: program.to_string(), source },
    }
}

/// A child that more than one thread may end: one reads from it, another may lose interest.
#[derive(Clone, Default)]
pub(super) struct Slot(Arc<Mutex<Inside>>);

#[derive(Default)]
struct Inside {
    child: Option<FfmpegChild>,
    started: usize,
    /// Set when the reader of the frames is gone: no child may be started any more.
    closed: bool,
}

impl Slot {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        // what is inside stays true even if a thread died while it looked
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes charge of `child`; the one before it is ended.
    pub fn put(&self, mut child: FfmpegChild) {
        let mut inside = self.inside();
        end(inside.child.take());
        inside.started += 1;
        if inside.closed {
            let _ = child.kill();
        }
        inside.child = Some(child);
    }

    /// Waits for the child to end by itself. `None` if there is none or it was ended from outside.
    pub fn wait(&self) -> Option<ExitStatus> {
        self.inside().child.take().and_then(|mut child| child.wait().ok())
    }

    /// Ends the child at once and reaps it.
    pub fn end(&self) {
        end(self.inside().child.take());
    }

    /// Ends the child and lets no other start.
    pub fn close(&self) {
        let mut inside = self.inside();
        inside.closed = true;
        end(inside.child.take());
    }

    pub fn pids(&self) -> Vec<u32> {
        self.inside().child.as_mut().map(|child| child.as_inner().id()).into_iter().collect()
    }

    /// How many children the slot has held.
    pub fn started(&self) -> usize {
        self.inside().started
    }
}

fn end(child: Option<FfmpegChild>) {
    if let Some(mut child) = child {
        // both fail only where the child has ended and been waited for
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// A child's stderr, read in a thread of its own so that the child never blocks on it.
pub(super) struct Complaints(JoinHandle<VecDeque<String>>);

impl Complaints {
    pub fn listen(stderr: impl Read + Send + 'static) -> Complaints {
        Complaints(thread::spawn(move || {
            let mut lines = VecDeque::with_capacity(KEPT_LINES + 1);
            let mut reader = BufReader::new(stderr);
            let mut line = Vec::new();
            while let Ok(1..) = reader.read_until(b'\n', &mut line) {
                line.truncate(KEPT_LINE_BYTES);
                let text = String::from_utf8_lossy(&line).trim_end().to_string();
                if !text.is_empty() {
                    lines.push_back(text);
                }
                if lines.len() > KEPT_LINES {
                    lines.pop_front();
                }
                line.clear();
            }
            lines
        }))
    }

    /// The last lines, once the child has ended; without the addresses that differ from run to run.
    pub fn last_words(self) -> String {
        let lines = self.0.join().unwrap_or_default();
        lines.iter().map(|line| without_address(line)).collect::<Vec<_>>().join("; ")
    }
}

/// `[h264 @ 0x55d0] text` becomes `[h264] text`.
fn without_address(line: &str) -> String {
    match (line.find(" @ 0x"), line.find(']')) {
        (Some(at), Some(close)) if at < close => format!("{}{}", &line[..at], &line[close..]),
        _ => line.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_few_and_repeatable() {
        let said = (0..100).map(|n| format!("[mov,mp4 @ 0x56{n:02}] line {n}\n")).collect::<String>();
        let words = Complaints::listen(io::Cursor::new(said)).last_words();
        assert_eq!(words.matches("line").count(), KEPT_LINES);
        assert!(words.starts_with("[mov,mp4] line 94; "), "{words}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = start_ffprobe(&mut Command::new("no-such-program")).unwrap_err();
        assert!(error.to_string().starts_with("`ffprobe` is not on the PATH"), "{error}");
    }
}
