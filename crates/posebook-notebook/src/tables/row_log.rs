//! Row logs: files of rows as JSON lines, appended one by one.
//!
//! A line is complete if it ends with a newline. A process that dies while writing leaves an incomplete last line, which
//! readers drop.

use super::TableError;
use super::column::TableRow;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

/// Appends rows of one table to a file through a buffer of constant size.
pub struct RowLog<R> {
    path: PathBuf,
    file: BufWriter<File>,
    row: PhantomData<R>,
}

impl<R: TableRow> RowLog<R> {
    /// The path of the log in a run's folder.
    pub fn path(folder: &Path) -> PathBuf {
        folder.join(format!("{}.jsonl", R::TABLE))
    }

    /// Creates an empty log in `folder`.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub fn create(folder: &Path) -> Result<RowLog<R>, TableError> {
        let path = Self::path(folder);
        let file = BufWriter::with_capacity(1 << 16, File::create(&path).map_err(TableError::file(&path))?);
        Ok(RowLog { path, file, row: PhantomData })
    }

    /// Appends one row.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn append(&mut self, row: &R) -> Result<(), TableError> {
        serde_json::to_writer(&mut self.file, row)
            .map_err(|error| TableError::file(&self.path)(error.into()))?;
        self.file.write_all(b"\n").map_err(TableError::file(&self.path))
    }

    /// Writes the buffer to the file. Rows appended so far then survive the end of this process.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn flush(&mut self) -> Result<(), TableError> {
        self.file.flush().map_err(TableError::file(&self.path))
    }
}

/// Reads the log in `folder` row by row. A log that does not exist has no rows.
///
/// # Errors
/// If the file cannot be opened. An item is an error if its line cannot be read or is complete but not a row.
pub fn read_row_log<R: TableRow>(
    folder: &Path,
) -> Result<impl Iterator<Item = Result<R, TableError>> + use<R>, TableError> {
    let path = RowLog::<R>::path(folder);
    let file = match File::open(&path) {
        Ok(file) => Some(BufReader::new(file)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(TableError::file(&path)(error)),
    };
    Ok(Lines { path, file, line: 0, text: String::new(), row: PhantomData })
}

struct Lines<R> {
    path: PathBuf,
    file: Option<BufReader<File>>,
    line: usize,
    text: String,
    row: PhantomData<R>,
}

impl<R: TableRow> Iterator for Lines<R> {
    type Item = Result<R, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.text.clear();
        self.line += 1;
        match self.file.as_mut()?.read_line(&mut self.text) {
            Ok(_) if self.text.ends_with('\n') => {}
            // the end of the file, or an incomplete last line
            Ok(_) => {
                self.file = None;
                return None;
            }
            Err(error) => {
                self.file = None;
                return Some(Err(TableError::file(&self.path)(error)));
            }
        }
        Some(serde_json::from_str(&self.text).map_err(|source| TableError::RowLogLine {
            path: self.path.clone(),
            line: self.line,
            source,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::FrameRow;
    use super::*;

    fn row(frame: u64) -> FrameRow {
        FrameRow { run_id: "r".into(), frame, heap_bytes: Some(7), ..FrameRow::default() }
    }

    #[test]
    fn an_incomplete_last_line_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = RowLog::create(folder.path()).unwrap();
        for frame in 0..3 {
            log.append(&row(frame)).unwrap();
        }
        log.flush().unwrap();
        let path = RowLog::<FrameRow>::path(folder.path());
        let length = std::fs::metadata(&path).unwrap().len();
        File::options().write(true).open(&path).unwrap().set_len(length - 5).unwrap();
        let rows: Vec<FrameRow> = read_row_log(folder.path()).unwrap().map(Result::unwrap).collect();
        assert_eq!(rows, [row(0), row(1)]);
    }

    #[test]
    fn a_missing_log_is_empty_and_an_invalid_line_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read_row_log::<FrameRow>(folder.path()).unwrap().count(), 0);
        std::fs::write(RowLog::<FrameRow>::path(folder.path()), "{\"frame\": \"two\"}\n").unwrap();
        let error = read_row_log::<FrameRow>(folder.path()).unwrap().next().unwrap().unwrap_err();
        assert!(error.to_string().contains("line 1 of"), "{error}");
    }
}
