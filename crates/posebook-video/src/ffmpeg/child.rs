//! ffmpeg and ffprobe as child processes: their command lines, limits, pipes, stderr and exit.
//!
//! ffmpeg-sidecar locates the programs. Its event iterator is not used, because it allocates a buffer for every
//! frame and passes frames through an unbuffered channel; frames are read from the child's pipe directly. No child
//! outlives its [`SpawnedChild`] or [`ChildSlot`].

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::process::{ChildStderr, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ffmpeg_sidecar::command::FfmpegCommand;
use ffmpeg_sidecar::ffprobe::ffprobe_path;
use posebook_core::children;

use super::file_args::{LIMIT_ARGS, MAX_DATA_BYTES};
use super::watchdog::ChildHandle;
use crate::error::{Printable, VideoErrorKind};

pub use super::watchdog::ChildOutput;

/// Number of last stderr lines that are stored.
const STDERR_TAIL_LINES: usize = 6;
/// A stored stderr line is truncated to this many bytes.
const STDERR_LINE_BYTES: usize = 400;

/// An ffmpeg command that prints errors only and does not read from the terminal.
pub fn ffmpeg_command() -> FfmpegCommand {
    let mut command = FfmpegCommand::new();
    command.args(["-hide_banner", "-nostdin", "-loglevel", "error"]).args(LIMIT_ARGS);
    command
}

/// An ffprobe command that prints errors only.
pub fn ffprobe_command() -> Command {
    let mut command = Command::new(ffprobe_path());
    command.args(["-hide_banner", "-loglevel", "error"]).args(LIMIT_ARGS);
    command
}

/// A running child and its pipes. Dropping it kills the child.
pub struct SpawnedChild {
    handle: Arc<ChildHandle>,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildOutput>,
    stderr: Option<ChildStderr>,
}

impl SpawnedChild {
    /// The pipe of the child's stdin; `None` if it was taken before.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.stdin.take()
    }

    /// The pipe of the child's stdout; `None` if it was taken before.
    pub fn take_stdout(&mut self) -> Option<ChildOutput> {
        self.stdout.take()
    }

    /// The pipe of the child's stderr; `None` if it was taken before.
    pub fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.stderr.take()
    }

    /// Waits for the child to exit by itself. `None` if it did not within its stall timeout and was killed.
    pub fn wait(&self) -> Option<ExitStatus> {
        self.handle.wait()
    }
}

/// Starts ffmpeg. With a `stall_timeout`, the child is killed if it writes nothing for that long while its output is
/// read. With `max_data_bytes`, its heap and stacks are limited.
pub fn spawn_ffmpeg(
    command: &mut FfmpegCommand,
    stall_timeout: Option<Duration>,
    max_data_bytes: Option<u64>,
) -> Result<SpawnedChild, VideoErrorKind> {
    spawn("ffmpeg", command.as_inner(), Stdio::piped(), stall_timeout, max_data_bytes)
}

/// Starts ffprobe with stdout and stderr on pipes, a stall timeout and a memory limit.
pub fn spawn_ffprobe(command: &Command, stall_timeout: Duration) -> Result<SpawnedChild, VideoErrorKind> {
    spawn("ffprobe", command, Stdio::null(), Some(stall_timeout), Some(MAX_DATA_BYTES))
}

fn spawn(
    program: &'static str,
    command: &Command,
    stdin: Stdio,
    stall_timeout: Option<Duration>,
    max_data_bytes: Option<u64>,
) -> Result<SpawnedChild, VideoErrorKind> {
    let stdio = [stdin, Stdio::piped(), Stdio::piped()];
    let spawned = children::spawn(command, stdio, max_data_bytes);
    let mut child = spawned.map_err(|source| spawn_error(program, source))?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let handle = ChildHandle::new(child, program, stall_timeout);
    let stdout = stdout.map(|pipe| ChildOutput::new(pipe, Arc::clone(&handle)));
    Ok(SpawnedChild { handle, stdin, stdout, stderr })
}

fn spawn_error(program: &str, source: io::Error) -> VideoErrorKind {
    match source.kind() {
        io::ErrorKind::NotFound => VideoErrorKind::ProgramNotFound { program: program.to_string() },
        _ => VideoErrorKind::CannotStart { program: program.to_string(), source },
    }
}

/// The current child of a reader, shared between the thread that reads from it and one that may kill it.
#[derive(Clone, Default)]
pub struct ChildSlot(Arc<Mutex<SlotState>>);

#[derive(Default)]
struct SlotState {
    child: Option<Arc<ChildHandle>>,
    start_count: usize,
    /// Set when the consumer of the frames is gone; children put in later are killed at once.
    is_closed: bool,
}

impl ChildSlot {
    fn lock(&self) -> MutexGuard<'_, SlotState> {
        // a panic of another thread does not invalidate the state
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes `child` the current one; the previous one is killed.
    pub fn set(&self, child: SpawnedChild) {
        let mut state = self.lock();
        state.start_count += 1;
        if state.is_closed {
            child.handle.kill();
        }
        if let Some(previous) = state.child.replace(child.handle) {
            previous.kill();
        }
    }

    /// Waits for the child to exit by itself. `None` if there is none, or if another thread killed or replaced it.
    pub fn wait(&self) -> Option<ExitStatus> {
        // not locked while waiting, so that another thread can kill the child
        let child = self.lock().child.clone()?;
        let status = child.wait();
        let mut state = self.lock();
        let is_current = state.child.as_ref().is_some_and(|current| Arc::ptr_eq(current, &child));
        if is_current {
            state.child = None;
        }
        status.filter(|_| is_current)
    }

    /// Kills and reaps the child, if there is one.
    pub fn kill(&self) {
        if let Some(child) = self.lock().child.take() {
            child.kill();
        }
    }

    /// Kills the child and any that is put in later.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.kill();
    }

    /// The process id of the current child; empty if there is none.
    pub fn pids(&self) -> Vec<u32> {
        self.lock().child.iter().map(|child| child.id()).collect()
    }

    /// How many children have been put in so far.
    pub fn start_count(&self) -> usize {
        self.lock().start_count
    }
}

/// The signal that terminated a child, if one did; always `None` where the system has no signals.
pub fn exit_signal(status: Option<ExitStatus>) -> Option<i32> {
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

/// Reads a child's stderr in a background thread, so that the child never blocks on a full pipe.
pub struct StderrCollector(JoinHandle<VecDeque<String>>);

impl StderrCollector {
    /// Starts reading until the stream ends.
    pub fn spawn(stderr: impl Read + Send + 'static) -> StderrCollector {
        StderrCollector(thread::spawn(move || {
            let mut lines = VecDeque::with_capacity(STDERR_TAIL_LINES + 1);
            let mut reader = BufReader::new(stderr);
            let mut line = Vec::new();
            while let Ok(1..) = reader.by_ref().take(64 * 1024).read_until(b'\n', &mut line) {
                line.truncate(STDERR_LINE_BYTES);
                let text = without_address(String::from_utf8_lossy(&line).trim());
                let text = Printable(&text).to_string();
                if is_new_cause(&text, &lines) {
                    lines.push_back(text);
                }
                if lines.len() > STDERR_TAIL_LINES {
                    lines.pop_front();
                }
                line.clear();
            }
            lines
        }))
    }

    /// Waits for the end of the stream and returns its last lines, joined by `; `: one line for each cause, without
    /// memory addresses, so that the text is the same in every run.
    pub fn stderr_tail(self) -> String {
        Vec::from(self.0.join().unwrap_or_default()).join("; ")
    }
}

/// Whether `line` names a cause that no line of `previous` names. ffmpeg repeats the cause of a failure in one line
/// for each of its threads, and counts equal lines in a separate line.
fn is_new_cause(line: &str, previous: &VecDeque<String>) -> bool {
    let is_repeat_count = line.starts_with("Last message repeated");
    !line.is_empty() && !is_repeat_count && !previous.iter().any(|other| cause(other) == cause(line))
}

/// The part of a line that names the cause: `No space left on device` in `Error writing trailer: No space left on
/// device` and in `Task finished with error code: -28 (No space left on device)`; otherwise the whole line.
fn cause(line: &str) -> &str {
    let tail = line.rsplit_once(": ").map_or(line, |(_, tail)| tail);
    let coded = line.strip_suffix(')').and_then(|line| line.rsplit_once(" ("));
    let is_code = |word: &str| word.strip_prefix('-').is_some_and(|code| code.parse::<u32>().is_ok());
    match coded {
        Some((before, text)) if before.rsplit(' ').next().is_some_and(is_code) => text,
        _ => tail,
    }
}

/// `[h264 @ 0x55d0] [eq @ 0x55d1] text` becomes `[h264] [eq] text`.
fn without_address(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once(" @ 0x") {
        text.push_str(before);
        rest = after.trim_start_matches(|c: char| c.is_ascii_hexdigit());
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn the_stderr_tail_is_short_and_reproducible() {
        let stderr = (0..100).map(|n| format!("[mov,mp4 @ 0x56{n:02}] line {n}\n")).collect::<String>();
        let tail = StderrCollector::spawn(io::Cursor::new(stderr)).stderr_tail();
        assert_eq!(tail.matches("line").count(), STDERR_TAIL_LINES);
        assert!(tail.starts_with("[mov,mp4] line 94; "), "{tail}");
    }

    #[test]
    fn the_stderr_tail_names_each_cause_once() {
        let stderr = "\
[vost#0:0/libx264 @ 0xef10800] Error submitting a packet to the muxer: No space left on device
    Last message repeated 1 times
[out#0/mp4 @ 0xef0fac0] Error muxing a packet
[out#0/mp4 @ 0xef0fac0] Task finished with error code: -28 (No space left on device)
[out#0/mp4 @ 0xef0fac0] Terminating thread with return code -28 (No space left on device)
[out#0/mp4 @ 0xef0fac0] Error writing trailer: No space left on device
Error closing file out.mp4: No space left on device
";
        let tail = StderrCollector::spawn(io::Cursor::new(stderr)).stderr_tail();
        let expected = "[vost#0:0/libx264] Error submitting a packet to the muxer: No space left on device; \
                        [out#0/mp4] Error muxing a packet";
        assert_eq!(tail, expected);
        assert_eq!(
            cause("[h264] error while decoding MB 3 4, bytestream -7"),
            "[h264] error while decoding MB 3 4, bytestream -7"
        );
        assert_eq!(cause("Input is 8 bit (yuv420p)"), "Input is 8 bit (yuv420p)");
    }

    #[test]
    fn a_missing_program_is_named_in_the_error() {
        let error = spawn_ffprobe(&Command::new("no-such-program"), Duration::from_secs(1)).err().unwrap();
        assert!(error.to_string().starts_with("`ffprobe` is not on the PATH"), "{error}");
    }

    #[cfg(unix)]
    fn shell(script: &str, stall_timeout: Duration) -> SpawnedChild {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        spawn("ffmpeg", &command, Stdio::null(), Some(stall_timeout), None).unwrap()
    }

    #[cfg(unix)]
    #[test]
    fn a_child_that_stalls_is_killed_and_named() {
        let began = Instant::now();
        let mut child = shell("printf abc; exec sleep 60", Duration::from_millis(200));
        let mut output = Vec::new();
        let error = child.take_stdout().unwrap().read_to_end(&mut output).unwrap_err();
        assert_eq!((output.as_slice(), error.kind()), (b"abc".as_slice(), io::ErrorKind::TimedOut));
        assert_eq!(error.to_string(), "ffmpeg wrote nothing for 0.2 s and was stopped");
        assert!(began.elapsed() < Duration::from_secs(20));
        assert!(!children::is_alive(child.handle.id()), "it is killed and reaped");
    }

    #[cfg(unix)]
    #[test]
    fn neither_a_slow_reader_nor_a_slow_child_counts_as_a_stall() {
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
    fn waiting_for_a_child_that_does_not_exit_times_out() {
        let mut child = shell("exec >&-; exec sleep 60", Duration::from_millis(200));
        assert_eq!(child.take_stdout().unwrap().read(&mut [0; 1]).unwrap(), 0);
        assert_eq!(child.wait(), None);
    }
}
