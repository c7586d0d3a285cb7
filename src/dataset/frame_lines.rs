//! Reads files that have one JSON object per line and one line per frame of a clip, one line at a time.
//!
//! Input: the path of a `.jsonl` file. Output: its lines, in order or by frame index.

use super::DatasetError;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

/// A line of such a file.
pub(super) trait FrameLine: DeserializeOwned {
    /// What failed if the file cannot be read, such as "read the truth".
    const ACTION: &'static str;

    /// Index of the frame, from 0.
    fn frame(&self) -> usize;
}

/// Reads lines in ascending order of their frames.
pub(super) struct FrameLineReader<L> {
    path: PathBuf,
    file: BufReader<File>,
    line: String,
    /// The frame of the next line.
    next: usize,
    lines: PhantomData<L>,
}

impl<L: FrameLine> FrameLineReader<L> {
    /// Opens a reader at the first frame.
    pub fn open(path: &Path) -> Result<FrameLineReader<L>, DatasetError> {
        let file = File::open(path).map_err(|source| DatasetError::io(L::ACTION, path, source))?;
        let file = BufReader::new(file);
        Ok(FrameLineReader {
            path: path.to_path_buf(),
            file,
            line: String::new(),
            next: 0,
            lines: PhantomData,
        })
    }

    /// Index of the frame that is read next.
    pub fn next_index(&self) -> usize {
        self.next
    }

    /// Goes back to the first frame.
    pub fn rewind(&mut self) -> Result<(), DatasetError> {
        self.file.rewind().map_err(|source| DatasetError::io(L::ACTION, &self.path, source))?;
        self.next = 0;
        Ok(())
    }

    /// The next line; `None` at the end.
    pub fn next_line(&mut self) -> Result<Option<L>, DatasetError> {
        if !self.read_line()? {
            return Ok(None);
        }
        let number = self.next;
        let damaged = |message: String| DatasetError::at_line(&self.path, number, message);
        let line: L = serde_json::from_str(&self.line).map_err(|error| damaged(error.to_string()))?;
        if line.frame() + 1 != number {
            let (found, expected) = (line.frame(), number - 1);
            return Err(damaged(format!("is frame {found}, but frame {expected} was expected")));
        }
        Ok(Some(line))
    }

    /// The line of frame `index`; `None` after the end. Lines between are skipped without parsing.
    ///
    /// # Errors
    /// If the frame was passed already, or the file is damaged.
    pub fn line(&mut self, index: usize) -> Result<Option<L>, DatasetError> {
        if index < self.next {
            let message = format!("frame {index} was requested after frame {}", self.next - 1);
            return Err(DatasetError::at_line(&self.path, index + 1, message));
        }
        while self.next < index {
            if !self.read_line()? {
                return Ok(None);
            }
        }
        self.next_line()
    }

    fn read_line(&mut self) -> Result<bool, DatasetError> {
        self.line.clear();
        let read = self.file.read_line(&mut self.line);
        let read = read.map_err(|source| DatasetError::io(L::ACTION, &self.path, source))?;
        self.next += usize::from(read > 0);
        Ok(read > 0)
    }
}
