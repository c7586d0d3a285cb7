//! Spools: rows as JSON lines, appended as they come.
//!
//! A line is whole when its newline is there. A process that dies mid-line leaves a cut last line,
//! which reading drops; everything before it stays.

use super::TableError;
use super::column::Row;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

/// Appends rows of one table to a file. Holds one buffer of fixed size, however many rows pass.
pub struct Spool<R> {
    path: PathBuf,
    file: BufWriter<File>,
    row: PhantomData<R>,
}

impl<R: Row> Spool<R> {
    /// The spool's place in a run's folder.
    pub fn path_in(folder: &Path) -> PathBuf {
        folder.join(format!("{}.jsonl", R::TABLE))
    }

    /// Starts an empty spool in `folder`.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub fn create(folder: &Path) -> Result<Spool<R>, TableError> {
        let path = Self::path_in(folder);
        let file = BufWriter::with_capacity(1 << 16, File::create(&path).map_err(TableError::file(&path))?);
        Ok(Spool { path, file, row: PhantomData })
    }

    /// Appends one row.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn append(&mut self, row: &R) -> Result<(), TableError> {
        serde_json::to_writer(&mut self.file, row)
            .map_err(|error| TableError::file(&self.path)(error.into()))?;
        self.file.write_all(b"\n").map_err(TableError::file(&self.path))
    }

    /// Hands what was appended to the kernel: from here on the death of this process loses nothing.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn flush(&mut self) -> Result<(), TableError> {
        self.file.flush().map_err(TableError::file(&self.path))
    }
}

/// Reads the spool in `folder` row by row. A spool that was never begun has no rows.
///
/// # Errors
/// If the file cannot be read; each item fails by itself if its line is whole and no row.
pub fn read_spool<R: Row>(
    folder: &Path,
) -> Result<impl Iterator<Item = Result<R, TableError>> + use<R>, TableError> {
    let path = Spool::<R>::path_in(folder);
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

impl<R: Row> Iterator for Lines<R> {
    type Item = Result<R, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.text.clear();
        self.line += 1;
        match self.file.as_mut()?.read_line(&mut self.text) {
            Ok(_) if self.text.ends_with('\n') => {}
            // the end, or a line that its writer did not live to finish
            Ok(_) => {
                self.file = None;
                return None;
            }
            Err(error) => {
                self.file = None;
                return Some(Err(TableError::file(&self.path)(error)));
            }
        }
        Some(serde_json::from_str(&self.text).map_err(|error| TableError::Spool {
            path: self.path.clone(),
            line: self.line,
            message: error.to_string(),
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
    fn a_cut_last_line_is_dropped_and_the_rest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::create(folder.path()).unwrap();
        for frame in 0..3 {
            spool.append(&row(frame)).unwrap();
        }
        spool.flush().unwrap();
        let path = Spool::<FrameRow>::path_in(folder.path());
        let length = std::fs::metadata(&path).unwrap().len();
        File::options().write(true).open(&path).unwrap().set_len(length - 5).unwrap();
        let rows: Vec<FrameRow> = read_spool(folder.path()).unwrap().map(Result::unwrap).collect();
        assert_eq!(rows, [row(0), row(1)]);
    }

    #[test]
    fn what_was_never_begun_is_empty_and_nonsense_is_named() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read_spool::<FrameRow>(folder.path()).unwrap().count(), 0);
        std::fs::write(Spool::<FrameRow>::path_in(folder.path()), "{\"frame\": \"two\"}\n").unwrap();
        let error = read_spool::<FrameRow>(folder.path()).unwrap().next().unwrap().unwrap_err();
        assert!(error.to_string().contains("line 1 of"), "{error}");
    }
}
