//! Children of ffmpeg's family: started, listened to, and never left behind.
//!
//! ffmpeg-sidecar finds the programs. Its event iterator allocates a buffer for every frame and hands
//! frames through a rendezvous, so frames are read from the child's pipe directly. Must not know what the
//! pipes carry.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::process::{ChildStderr, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ffmpeg_sidecar::command::FfmpegCommand;
use ffmpeg_sidecar::ffprobe::ffprobe_path;

use super::error::Fault;
use super::guard::Leash;
pub(super) use super::guard::Output;
use crate::children;

/// Lines of a child's stderr that are kept: its last words.
const KEPT_LINES: usize = 6;
/// Longest piece of a line that is kept.
const KEPT_LINE_BYTES: usize = 400;
/// What one allocation of ffmpeg or ffprobe may come to: more than a frame of any size that is read.
const MOST_BYTES_AT_ONCE: &str = "1073741824";
/// What ffmpeg's or ffprobe's own data may come to, whatever a file says.
pub(super) const MOST_BYTES: u64 = 4 << 30;

/// An ffmpeg command that says only what goes wrong and never waits for a keyboard.
pub(super) fn ffmpeg() -> FfmpegCommand {
    let mut command = FfmpegCommand::new();
    command.args(["-hide_banner", "-nostdin", "-loglevel", "error", "-max_alloc", MOST_BYTES_AT_ONCE]);
    command
}

/// An ffprobe command that says only what goes wrong.
pub(super) fn ffprobe() -> Command {
    let mut command = Command::new(ffprobe_path());
    command.args(["-hide_banner", "-loglevel", "error", "-max_alloc", MOST_BYTES_AT_ONCE]);
    command
}

/// A child that was just started. Dropped, it is ended.
pub(super) struct Started {
    leash: Arc<Leash>,
    stdin: Option<ChildStdin>,
    stdout: Option<Output>,
    stderr: Option<ChildStderr>,
}

impl Started {
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.stdin.take()
    }

    pub fn take_stdout(&mut self) -> Option<Output> {
        self.stdout.take()
    }

    pub fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.stderr.take()
    }

    /// Waits for the child to end by itself. `None` if it had to be ended.
    pub fn wait(&self) -> Option<ExitStatus> {
        self.leash.wait()
    }
}

/// Starts ffmpeg. With a patience, it is ended when it says nothing for so long while its output is read;
/// with `most_bytes`, it may hold no more data of its own.
pub(super) fn start_ffmpeg(
    command: &mut FfmpegCommand,
    patience: Option<Duration>,
    most_bytes: Option<u64>,
) -> Result<Started, Fault> {
    start("ffmpeg", command.as_inner(), Stdio::piped(), patience, most_bytes)
}

/// Starts ffprobe, its output and complaints on pipes, with a patience and with bounded memory.
pub(super) fn start_ffprobe(command: &Command, patience: Duration) -> Result<Started, Fault> {
    start("ffprobe", command, Stdio::null(), Some(patience), Some(MOST_BYTES))
}

fn start(
    program: &'static str,
    command: &Command,
    stdin: Stdio,
    patience: Option<Duration>,
    most_bytes: Option<u64>,
) -> Result<Started, Fault> {
    let stdio = [stdin, Stdio::piped(), Stdio::piped()];
    let started = children::spawn(command, stdio, most_bytes);
    let mut child = started.map_err(|source| cannot_start(program, source))?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let leash = Leash::new(child, program, patience);
    let stdout = stdout.map(|pipe| Output::new(pipe, Arc::clone(&leash)));
    Ok(Started { leash, stdin, stdout, stderr })
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
    child: Option<Arc<Leash>>,
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
    pub fn put(&self, child: Started) {
        let mut inside = self.inside();
        inside.started += 1;
        if inside.closed {
            child.leash.end();
        }
        if let Some(before) = inside.child.replace(child.leash) {
            before.end();
        }
    }

    /// Waits for the child to end by itself. `None` if there is none or it was ended from outside.
    pub fn wait(&self) -> Option<ExitStatus> {
        // another thread may end it meanwhile
        let child = self.inside().child.clone()?;
        let status = child.wait();
        let mut inside = self.inside();
        let is_still_there = inside.child.as_ref().is_some_and(|there| Arc::ptr_eq(there, &child));
        if is_still_there {
            inside.child = None;
        }
        status.filter(|_| is_still_there)
    }

    /// Ends the child at once and reaps it.
    pub fn end(&self) {
        if let Some(child) = self.inside().child.take() {
            child.end();
        }
    }

    /// Ends the child and lets no other start.
    pub fn close(&self) {
        self.inside().closed = true;
        self.end();
    }

    pub fn pids(&self) -> Vec<u32> {
        self.inside().child.iter().map(|child| child.id()).collect()
    }

    /// How many children the slot has held.
    pub fn started(&self) -> usize {
        self.inside().started
    }
}

/// The signal that ended a child, if one did.
pub(super) fn signal_of(status: Option<ExitStatus>) -> Option<i32> {
    #[cfg(unix)]
    {
        status.and_then(|status| std::os::unix::process::ExitStatusExt::signal(&status))
    }
    #[cfg(not(unix))]
    {
        let _ = status;
        None
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
            while let Ok(1..) = reader.by_ref().take(64 * 1024).read_until(b'\n', &mut line) {
                line.truncate(KEPT_LINE_BYTES);
                let text = without_address(String::from_utf8_lossy(&line).trim());
                if is_news(&text, &lines) {
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

    /// The last lines, once the child has ended; without the addresses that differ from run to run, and
    /// one line for every cause.
    pub fn last_words(self) -> String {
        Vec::from(self.0.join().unwrap_or_default()).join("; ")
    }
}

/// Whether a line says what none of `told` says. ffmpeg repeats the cause of a failure in a line for each of
/// its threads, and counts equal lines in a line of its own.
fn is_news(line: &str, told: &VecDeque<String>) -> bool {
    let counts = line.starts_with("Last message repeated");
    !line.is_empty() && !counts && !told.iter().any(|before| cause(before) == cause(line))
}

/// The words of a line that name a cause: `No space left on device` in `Error writing trailer: No space left on
/// device` and in `Task finished with error code: -28 (No space left on device)`; else the whole line.
fn cause(line: &str) -> &str {
    let tail = line.rsplit_once(": ").map_or(line, |(_, tail)| tail);
    let coded = line.strip_suffix(')').and_then(|line| line.rsplit_once(" ("));
    let is_code = |word: &str| word.strip_prefix('-').is_some_and(|code| code.parse::<u32>().is_ok());
    match coded {
        Some((before, words)) if before.rsplit(' ').next().is_some_and(is_code) => words,
        _ => tail,
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
    use std::time::Instant;

    #[test]
    fn last_words_are_few_and_repeatable() {
        let said = (0..100).map(|n| format!("[mov,mp4 @ 0x56{n:02}] line {n}\n")).collect::<String>();
        let words = Complaints::listen(io::Cursor::new(said)).last_words();
        assert_eq!(words.matches("line").count(), KEPT_LINES);
        assert!(words.starts_with("[mov,mp4] line 94; "), "{words}");
    }

    #[test]
    fn a_cause_is_told_once() {
        let said = "\
[vost#0:0/libx264 @ 0xef10800] Error submitting a packet to the muxer: No space left on device
    Last message repeated 1 times
[out#0/mp4 @ 0xef0fac0] Error muxing a packet
[out#0/mp4 @ 0xef0fac0] Task finished with error code: -28 (No space left on device)
[out#0/mp4 @ 0xef0fac0] Terminating thread with return code -28 (No space left on device)
[out#0/mp4 @ 0xef0fac0] Error writing trailer: No space left on device
Error closing file out.mp4: No space left on device
";
        let words = Complaints::listen(io::Cursor::new(said)).last_words();
        let expected = "[vost#0:0/libx264] Error submitting a packet to the muxer: No space left on device; \
                        [out#0/mp4] Error muxing a packet";
        assert_eq!(words, expected);
        assert_eq!(
            cause("[h264] error while decoding MB 3 4, bytestream -7"),
            "[h264] error while decoding MB 3 4, bytestream -7"
        );
        assert_eq!(cause("Input is 8 bit (yuv420p)"), "Input is 8 bit (yuv420p)");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = start_ffprobe(&Command::new("no-such-program"), Duration::from_secs(1)).err().unwrap();
        assert!(error.to_string().starts_with("`ffprobe` is not on the PATH"), "{error}");
    }

    #[cfg(unix)]
    fn shell(script: &str, patience: Duration) -> Started {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        start("ffmpeg", &command, Stdio::null(), Some(patience), None).unwrap()
    }

    #[cfg(unix)]
    #[test]
    fn a_child_that_says_nothing_is_ended_and_named() {
        let began = Instant::now();
        let mut child = shell("printf abc; exec sleep 60", Duration::from_millis(200));
        let mut said = Vec::new();
        let error = child.take_stdout().unwrap().read_to_end(&mut said).unwrap_err();
        assert_eq!((said.as_slice(), error.kind()), (b"abc".as_slice(), io::ErrorKind::TimedOut));
        assert_eq!(error.to_string(), "ffmpeg said nothing for 0.2 s and was ended");
        assert!(began.elapsed() < Duration::from_secs(20));
        assert!(!children::is_alive(child.leash.id()), "it is reaped, too");
    }

    #[cfg(unix)]
    #[test]
    fn a_slow_reader_is_no_silence_and_a_slow_child_is_not_either() {
        let mut child = shell("for n in 1 2 3 4 5; do sleep 0.1; printf x; done", Duration::from_millis(400));
        let mut stdout = child.take_stdout().unwrap();
        let mut one = [0; 1];
        stdout.read_exact(&mut one).unwrap();
        thread::sleep(Duration::from_millis(900));
        let mut rest = Vec::new();
        stdout.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"xxxx");
        assert!(child.wait().unwrap().success());
    }

    #[cfg(unix)]
    #[test]
    fn a_child_that_does_not_end_is_not_waited_for() {
        let mut child = shell("exec >&-; exec sleep 60", Duration::from_millis(200));
        assert_eq!(child.take_stdout().unwrap().read(&mut [0; 1]).unwrap(), 0);
        assert_eq!(child.wait(), None);
    }
}
