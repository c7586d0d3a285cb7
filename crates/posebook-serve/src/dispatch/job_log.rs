//! The log of a job: what its process writes to standard error, in a file of at most 10 MiB.
//!
//! In: bytes as they come, however many. Out: a file of escaped lines: the first 4 MiB, a line that says how much was left out,
//! and the last part. What comes after the first part is kept in memory, the newest 2 MiB of it, and written at most once a
//! second: a process that writes without end neither fills the disk nor waits for it.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Bytes of the file's first part.
const HEAD: u64 = 4 << 20;
/// Bytes that are kept of what follows, before they are escaped.
const TAIL: usize = 2 << 20;
/// Bytes of the file's last part, escaped. A line that says how much was left out comes before it.
const TAIL_ESCAPED: usize = (6 << 20) - 4096;
/// How often the last part is written.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);

/// A log that is being written.
#[derive(Debug)]
pub(super) struct JobLog {
    file: File,
    /// Bytes of the first part in the file.
    head: u64,
    /// What follows the first part, in blocks as they came.
    tail: VecDeque<Vec<u8>>,
    tail_bytes: usize,
    left_out: u64,
    is_tail_written: bool,
    written: Instant,
}

impl JobLog {
    /// Continues the log at `path`, or begins it. What is there beyond the first part is removed.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub(super) fn open(path: &Path) -> io::Result<JobLog> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let head = file.metadata()?.len().min(HEAD);
        file.set_len(head)?;
        file.seek(SeekFrom::Start(head))?;
        Ok(JobLog {
            file,
            head,
            tail: VecDeque::new(),
            tail_bytes: 0,
            left_out: 0,
            is_tail_written: true,
            written: Instant::now(),
        })
    }

    /// Appends bytes that end with a line, or are a part of a long one. A file that cannot be written is no reason to stop a job:
    /// the disk is watched elsewhere.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.tail.is_empty() && self.head < HEAD {
            let text = escape(bytes);
            if self.head + text.len() as u64 <= HEAD {
                if self.file.write_all(text.as_bytes()).is_ok() {
                    self.head += text.len() as u64;
                } else {
                    // a part of it may be there
                    let _ = self
                        .file
                        .set_len(self.head)
                        .and_then(|()| self.file.seek(SeekFrom::Start(self.head)));
                    self.left_out += bytes.len() as u64;
                }
                return;
            }
        }
        self.tail.push_back(bytes.to_vec());
        self.tail_bytes += bytes.len();
        self.is_tail_written = false;
        while self.tail_bytes > TAIL && self.tail.len() > 1 {
            let oldest = self.tail.pop_front().map_or(0, |block| block.len());
            self.tail_bytes -= oldest;
            self.left_out += oldest as u64;
        }
        self.write_tail_if_due();
    }

    /// Appends a line of the server.
    pub(super) fn line(&mut self, text: &str) {
        self.append(format!("{text}\n").as_bytes());
    }

    /// Writes the last part if a second has passed since the last time.
    pub(super) fn write_tail_if_due(&mut self) {
        if !self.is_tail_written && self.written.elapsed() >= WRITE_INTERVAL {
            // tried again the next time
            let _ = self.write_tail();
        }
    }

    fn write_tail(&mut self) -> io::Result<()> {
        self.written = Instant::now();
        let mut text = String::new();
        for block in &self.tail {
            text.push_str(&escape(block));
        }
        let mut left_out = self.left_out;
        if text.len() > TAIL_ESCAPED {
            let cut = text.len() - TAIL_ESCAPED;
            let cut = (cut..text.len()).find(|&index| text.is_char_boundary(index)).unwrap_or(cut);
            left_out += cut as u64;
            text.drain(..cut);
        }
        if left_out > 0 {
            text.insert_str(0, &format!("\n[... {left_out} bytes of the log were left out here ...]\n"));
        }
        self.file.seek(SeekFrom::Start(self.head))?;
        self.file.write_all(text.as_bytes())?;
        self.file.set_len(self.head + text.len() as u64)?;
        self.is_tail_written = true;
        Ok(())
    }

    /// Writes everything, and returns the last lines, at most `lines`.
    pub(super) fn finish(&mut self, lines: usize) -> Vec<String> {
        if !self.is_tail_written {
            // a full disk is reported elsewhere
            let _ = self.write_tail();
        }
        self.last_lines(lines).unwrap_or_default()
    }

    fn last_lines(&mut self, lines: usize) -> io::Result<Vec<String>> {
        let length = self.file.seek(SeekFrom::End(0))?;
        self.file.seek(SeekFrom::Start(length.saturating_sub(4096)))?;
        let mut end = Vec::new();
        (&self.file).take(4096).read_to_end(&mut end)?;
        let text = String::from_utf8_lossy(&end);
        let all: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        Ok(all[all.len().saturating_sub(lines)..].iter().map(|&line| line.to_owned()).collect())
    }
}

/// Text whose control characters, but for line ends and tabs, and characters that change the direction of text are escaped.
pub(super) fn escape(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = if text.contains('\r') { text.replace("\r\n", "\n") } else { text.into_owned() };
    if !text.contains(is_escaped) {
        return text;
    }
    let mut escaped = String::with_capacity(text.len() * 2);
    for letter in text.chars() {
        match letter {
            '\r' => escaped.push_str("\\r"),
            _ if !is_escaped(letter) => escaped.push(letter),
            _ if letter.is_ascii() => {
                let digit = |number: u32| char::from_digit(number, 16).unwrap_or('0');
                escaped.push_str("\\x");
                escaped.push(digit(u32::from(letter) / 16));
                escaped.push(digit(u32::from(letter) % 16));
            }
            _ => escaped.push_str(&format!("\\u{{{:x}}}", u32::from(letter))),
        }
    }
    escaped
}

fn is_escaped(letter: char) -> bool {
    let directs =
        matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (letter.is_control() && !matches!(letter, '\n' | '\t')) || directs
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn control_characters_are_escaped_and_text_is_not() {
        assert_eq!(escape("a\tb\nc\u{e9}\u{4eba}".as_bytes()), "a\tb\nc\u{e9}\u{4eba}");
        assert_eq!(escape(b"\x1b[31mred\x1b[0m\x07"), "\\x1b[31mred\\x1b[0m\\x07");
        assert_eq!(escape(b"a\r\nb\rc\x00"), "a\nb\\rc\\x00");
        assert_eq!(escape("\u{202e}txt\u{9b}".as_bytes()), "\\u{202e}txt\\u{9b}");
        assert_eq!(escape(b"\xff"), "\u{fffd}");
    }

    #[test]
    fn a_short_log_is_written_at_once_and_continued() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.txt");
        let mut log = JobLog::open(&path).unwrap();
        log.append(b"one\n");
        log.line("two");
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        assert_eq!(log.finish(1), ["two"]);
        let mut log = JobLog::open(&path).unwrap();
        log.line("three");
        assert_eq!(log.finish(2), ["two", "three"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\nthree\n");
    }

    #[test]
    fn a_long_log_keeps_its_beginning_and_its_end_and_says_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.txt");
        let mut log = JobLog::open(&path).unwrap();
        log.line("the first line");
        let mut block = b"x".repeat(65_535);
        block.push(b'\n');
        for _ in 0..320 {
            log.append(&block);
        }
        log.line("the last line");
        assert_eq!(log.finish(1), ["the last line"]);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("the first line\nxxx") && text.ends_with("xxx\nthe last line\n"));
        assert!(text.len() < 7 << 20, "{}", text.len());
        let note = text.lines().find(|line| line.starts_with("[...")).unwrap();
        let left_out: usize = note.split(' ').nth(1).unwrap().parse().unwrap();
        let written = "the first line\n".len() + 320 * 65_536 + "the last line\n".len();
        assert_eq!(text.len() - note.len() - 2 + left_out, written);
    }

    #[test]
    fn bytes_that_grow_by_escaping_stay_below_the_maximum() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.txt");
        let mut log = JobLog::open(&path).unwrap();
        for _ in 0..200 {
            log.append(&[0; 65_536]);
        }
        log.finish(1);
        let bytes = fs::metadata(&path).unwrap().len();
        assert!((9 << 20..10 << 20).contains(&bytes), "{bytes}");
    }
}
