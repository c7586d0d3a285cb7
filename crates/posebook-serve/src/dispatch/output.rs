//! What a job's process writes. In: its standard output and error. Out: progress and notes that wait to be stored, and the log.

use super::job_log::JobLog;
use crate::job::{ProcessEvent, Progress};
use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Longest line of standard output that is read as an event.
const MAX_LINE: u64 = 64 << 10;
/// Maximum number of notes that wait to be stored; further ones are in the log only.
pub(super) const MAX_WAITING_NOTES: usize = 50;
/// Longest note that is stored, characters.
const MAX_NOTE: usize = 4000;

/// Something happened to a process.
pub(super) enum Message {
    Output,
    Exited,
}

/// What was read and not stored yet.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) progress: Option<Progress>,
    pub(super) notes: VecDeque<String>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads events, one a line. What is not an event is a line of the log.
pub(super) fn read_events(
    stdout: impl Read,
    pending: &Mutex<Pending>,
    log: &Mutex<JobLog>,
    sender: &Sender<Message>,
) {
    let mut reader = BufReader::new(stdout);
    let mut line = Vec::new();
    let mut is_continued = false;
    loop {
        line.clear();
        match (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let is_whole = line.ends_with(b"\n") || (line.len() as u64) < MAX_LINE;
        let event = if is_whole && !is_continued { serde_json::from_slice(&line).ok() } else { None };
        is_continued = !is_whole;
        match event {
            Some(ProcessEvent::Progress(progress)) => {
                let before = lock(pending).progress.replace(progress);
                if before.is_none() {
                    // nobody listens when the job has ended
                    let _ = sender.send(Message::Output);
                }
            }
            Some(ProcessEvent::Note { text }) => {
                lock(log).line(&text);
                let mut pending = lock(pending);
                if pending.notes.len() < MAX_WAITING_NOTES {
                    pending.notes.push_back(text.chars().take(MAX_NOTE).collect());
                }
            }
            None => lock(log).append(&line),
        }
    }
}

/// Reads messages to the log, in blocks that end with a line if there is an end nearby.
pub(super) fn read_messages(mut stderr: impl Read, log: &Mutex<JobLog>) {
    let mut block = vec![0; 64 << 10];
    let mut kept = 0;
    loop {
        let read = match stderr.read(&mut block[kept..]) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        let end = kept + read;
        // a part of a line waits for its rest, unless it is long
        let nearby = end.saturating_sub(4096);
        let line_end = block[nearby..end].iter().rposition(|&byte| byte == b'\n').map(|at| nearby + at + 1);
        let written = match line_end {
            Some(line_end) => line_end,
            None if end >= 8192 => end,
            None => 0,
        };
        if written > 0 {
            lock(log).append(&block[..written]);
            block.copy_within(written..end, 0);
        }
        kept = end - written;
    }
    if kept > 0 {
        lock(log).append(&block[..kept]);
        lock(log).append(b"\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::sync::mpsc::channel;

    fn read(stdout: &[u8]) -> (Pending, String, usize) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.txt");
        let log = Mutex::new(JobLog::open(&path).unwrap());
        let pending = Mutex::new(Pending::default());
        let (sender, messages) = channel();
        read_events(stdout, &pending, &log, &sender);
        drop(sender);
        lock(&log).finish(1);
        let text = fs::read_to_string(&path).unwrap();
        (pending.into_inner().unwrap(), text, messages.iter().count())
    }

    #[test]
    fn events_are_read_and_other_lines_are_logged() {
        let (pending, log, messages) = read(
            b"hello\n{\"event\": \"progress\", \"stage\": \"run\", \"done\": 1, \"of\": 2}\n{\"event\": \"what\"}\n\
              {\"event\": \"progress\", \"stage\": \"run\", \"done\": 2}\n{\"event\": \"note\", \"text\": \"a\\u001bb\"}\n\
              {\"event\": \"progress\", \"stage\": \"run\", \"done\": -1}\n\xff\nend",
        );
        assert_eq!(pending.progress.unwrap().done, 2, "the latest");
        assert_eq!(pending.notes, ["a\u{1b}b"]);
        assert_eq!(
            log,
            "hello\n{\"event\": \"what\"}\na\\x1bb\n{\"event\": \"progress\", \"stage\": \"run\", \"done\": -1}\n\u{fffd}\nend"
        );
        assert_eq!(messages, 1);
    }

    #[test]
    fn a_long_line_is_logged_and_its_rest_is_no_event() {
        let mut stdout = vec![b'x'; 64 << 10];
        stdout.extend_from_slice(
            b"{\"event\": \"note\", \"text\": \"no\"}\n{\"event\": \"note\", \"text\": \"yes\"}\n",
        );
        let (pending, log, _) = read(&stdout);
        assert_eq!(pending.notes, ["yes"]);
        assert!(log.starts_with("xxx") && log.contains("\"no\"") && log.ends_with("}\nyes\n"));
    }

    #[test]
    fn notes_beyond_the_maximum_are_in_the_log_alone() {
        let (pending, log, _) = read("{\"event\": \"note\", \"text\": \"n\"}\n".repeat(500).as_bytes());
        assert_eq!((pending.notes.len(), log.lines().count()), (MAX_WAITING_NOTES, 500));
    }

    #[test]
    fn messages_are_logged_in_whole_lines() {
        struct Pieces(Vec<&'static [u8]>);
        impl Read for Pieces {
            fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
                if self.0.is_empty() {
                    return Ok(0);
                }
                let piece = self.0.remove(0);
                out[..piece.len()].copy_from_slice(piece);
                Ok(piece.len())
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.txt");
        let log = Mutex::new(JobLog::open(&path).unwrap());
        // the letter is cut in two
        read_messages(Pieces(vec![b"one\ntw\xc3", b"\xa9\nthree", b"\nfour"]), &log);
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntw\u{e9}\nthree\nfour\n");
    }
}
