//! Tables as files: Parquet in batches of bounded size, CSV for the runs, several tables into one.

use super::column::{Building, Row};
use super::{TableError, csv};
use crate::files::WholeFile;
use polars::prelude::*;
use polars_io::SerReader;
use polars_io::parquet::read::ParquetReader;
use polars_io::parquet::write::{BatchedWriter, ParquetWriter};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Rows of a batch (and of a row group): a few megabytes of the widest table.
const BATCH_ROWS: usize = 2048;

/// The place of table `R` in `folder`.
pub fn parquet_path<R: Row>(folder: &Path) -> PathBuf {
    folder.join(format!("{}.parquet", R::TABLE))
}

/// The empty table `R`.
pub fn empty<R: Row>() -> DataFrame {
    DataFrame::empty_with_schema(&schema::<R>())
}

fn schema<R: Row>() -> Schema {
    R::COLUMNS.iter().map(|column| Field::new(column.name.into(), column.kind.dtype())).collect()
}

/// Writes a table row by row, holding one batch at a time. Nothing stands at its place before
/// [`TableWriter::finish`].
pub struct TableWriter<R> {
    path: PathBuf,
    writer: BatchedWriter<File>,
    whole: WholeFile,
    rows: Vec<R>,
}

impl<R: Row> TableWriter<R> {
    /// Starts the table `R` of `folder`.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn create(folder: &Path) -> Result<TableWriter<R>, TableError> {
        let path = parquet_path::<R>(folder);
        let whole = WholeFile::create(&path).map_err(TableError::file(&path))?;
        let file = File::create(whole.beside()).map_err(TableError::file(&path))?;
        let writer = ParquetWriter::new(file)
            .set_parallel(false)
            .batched(&schema::<R>())
            .map_err(TableError::damaged(&path))?;
        Ok(TableWriter { path, writer, whole, rows: Vec::new() })
    }

    /// Adds one row.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn push(&mut self, row: R) -> Result<(), TableError> {
        self.rows.push(row);
        if self.rows.len() >= BATCH_ROWS { self.write_batch() } else { Ok(()) }
    }

    fn write_batch(&mut self) -> Result<(), TableError> {
        let frame = frame_of(&self.rows).map_err(TableError::damaged(&self.path))?;
        self.rows.clear();
        self.push_frame(&frame)
    }

    fn push_frame(&mut self, frame: &DataFrame) -> Result<(), TableError> {
        if frame.height() == 0 {
            return Ok(());
        }
        self.writer.write_batch(frame).map_err(TableError::damaged(&self.path))
    }

    /// Adds all rows of a table of the same kind in another folder, a batch at a time. A table that
    /// is not there adds nothing.
    ///
    /// # Errors
    /// If the table cannot be read, or not as this version's.
    pub fn append_table(&mut self, folder: &Path) -> Result<(), TableError> {
        let mut batches = Batches::open::<R>(folder)?;
        while let Some(frame) = batches.next_batch()? {
            self.push_frame(&frame)?;
        }
        Ok(())
    }

    /// Puts the table in its place.
    ///
    /// # Errors
    /// If the disk refuses; then nothing stands there.
    pub fn finish(mut self) -> Result<(), TableError> {
        if !self.rows.is_empty() {
            self.write_batch()?;
        }
        self.writer.finish().map_err(TableError::damaged(&self.path))?;
        let path = self.path;
        self.whole.finish().map_err(TableError::file(&path))
    }
}

/// The table of `rows`.
///
/// # Errors
/// If polars refuses a column.
pub fn frame_of<R: Row>(rows: &[R]) -> PolarsResult<DataFrame> {
    let mut columns: Vec<Building> = R::COLUMNS.iter().map(|column| Building::new(column.kind)).collect();
    for row in rows {
        row.push(&mut columns);
    }
    let columns: PolarsResult<Vec<polars::prelude::Column>> =
        columns.into_iter().zip(R::COLUMNS).map(|(built, column)| built.finish(column.name)).collect();
    DataFrame::new(rows.len(), columns?)
}

/// Reads the table `R` of `folder` whole: all columns, or those of `only`.
///
/// # Errors
/// If it is not there or damaged.
pub fn read<R: Row>(folder: &Path, only: Option<&[&str]>) -> Result<DataFrame, TableError> {
    let path = parquet_path::<R>(folder);
    let file = File::open(&path).map_err(TableError::file(&path))?;
    let only = only.map(|names| names.iter().map(ToString::to_string).collect());
    ParquetReader::new(file).with_columns(only).finish().map_err(TableError::damaged(&path))
}

/// A table read a batch at a time; a table that is not there has none.
struct Batches {
    path: PathBuf,
    schema: Schema,
    rows: usize,
    start: usize,
}

impl Batches {
    fn open<R: Row>(folder: &Path) -> Result<Batches, TableError> {
        let path = parquet_path::<R>(folder);
        let mut batches = Batches { path, schema: schema::<R>(), rows: 0, start: 0 };
        if batches.path.exists() {
            batches.rows = batches.reader()?.num_rows().map_err(TableError::damaged(&batches.path))?;
        }
        Ok(batches)
    }

    fn reader(&self) -> Result<ParquetReader<File>, TableError> {
        Ok(ParquetReader::new(File::open(&self.path).map_err(TableError::file(&self.path))?))
    }

    fn next_batch(&mut self) -> Result<Option<DataFrame>, TableError> {
        let count = BATCH_ROWS.min(self.rows - self.start);
        if count == 0 {
            return Ok(None);
        }
        let reader = self.reader()?.with_slice(Some((self.start, count)));
        self.start += count;
        let frame = reader.finish().map_err(TableError::damaged(&self.path))?;
        if frame.schema().as_ref() != &self.schema {
            let message = "its columns are not this version's".to_string();
            return Err(TableError::Damaged { path: self.path.clone(), message });
        }
        Ok(Some(frame))
    }
}

/// The rows of a table, in order, of which one batch is held at a time.
pub struct Rows<R> {
    batches: Batches,
    columns: Vec<Building>,
    held: usize,
    at: usize,
    row: std::marker::PhantomData<R>,
}

/// Reads the table `R` of `folder` row by row. A table that is not there has no rows.
///
/// # Errors
/// If it cannot be read; each item fails by itself if its batch is damaged.
pub fn rows<R: Row>(folder: &Path) -> Result<Rows<R>, TableError> {
    let batches = Batches::open::<R>(folder)?;
    Ok(Rows { batches, columns: Vec::new(), held: 0, at: 0, row: std::marker::PhantomData })
}

impl<R: Row> Rows<R> {
    fn refill(&mut self) -> Result<bool, TableError> {
        let Some(frame) = self.batches.next_batch()? else { return Ok(false) };
        let columns = frame.columns().iter().zip(R::COLUMNS);
        let taken: PolarsResult<_> =
            columns.map(|(column, about)| Building::from_column(about.kind, column)).collect();
        self.columns = taken.map_err(TableError::damaged(&self.batches.path))?;
        (self.held, self.at) = (frame.height(), 0);
        Ok(true)
    }
}

impl<R: Row> Iterator for Rows<R> {
    type Item = Result<R, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at == self.held {
            match self.refill() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
        self.at += 1;
        Some(Ok(R::pull(&self.columns, self.at - 1)))
    }
}

/// Writes `rows` as Parquet and as CSV into `folder`.
///
/// # Errors
/// If the disk refuses.
pub fn write_with_csv<R: Row + Clone>(folder: &Path, rows: &[R]) -> Result<(), TableError> {
    let mut writer = TableWriter::create(folder)?;
    for row in rows {
        writer.push(row.clone())?;
    }
    writer.finish()?;
    csv::write(folder, rows)
}

#[cfg(test)]
mod tests {
    use super::super::{PersonRow, RunRow};
    use super::*;

    fn person(run: &str, frame: u64) -> PersonRow {
        PersonRow {
            run_id: run.into(),
            frame,
            track: (frame > 2).then_some(1),
            betas: if frame == 1 { vec![] } else { vec![frame as f32; 10] },
            ..PersonRow::default()
        }
    }

    #[test]
    fn tables_of_several_runs_become_one() {
        let folder = tempfile::tempdir().unwrap();
        let rows = (BATCH_ROWS + 5) as u64;
        for run in ["a", "b"] {
            let mut writer = TableWriter::create(&folder.path().join(run)).unwrap();
            for frame in 0..rows {
                writer.push(person(run, frame)).unwrap();
            }
            writer.finish().unwrap();
        }
        let mut all = TableWriter::<PersonRow>::create(folder.path()).unwrap();
        for run in ["a", "b", "never run"] {
            all.append_table(&folder.path().join(run)).unwrap();
        }
        all.finish().unwrap();
        let frame = read::<PersonRow>(folder.path(), None).unwrap();
        assert_eq!(frame.height() as u64, 2 * rows);
        assert_eq!(frame.column("track").unwrap().null_count(), 6);
        let rows: Vec<PersonRow> = super::rows(folder.path()).unwrap().map(Result::unwrap).collect();
        assert_eq!(rows[3], person("a", 3));
        assert_eq!(rows[BATCH_ROWS + 6], person("b", 1));
        assert_eq!(rows.len(), frame.height());
        let last = frame.column("betas").unwrap().list().unwrap().get_as_series(BATCH_ROWS).unwrap();
        assert_eq!(last.f32().unwrap().get(9), Some(BATCH_ROWS as f32));
    }

    #[test]
    fn an_empty_table_has_its_columns() {
        let folder = tempfile::tempdir().unwrap();
        TableWriter::<PersonRow>::create(folder.path()).unwrap().finish().unwrap();
        let frame = read::<PersonRow>(folder.path(), None).unwrap();
        assert_eq!((frame.height(), frame.width()), (0, PersonRow::COLUMNS.len()));
    }

    #[test]
    fn csv_keeps_unknown_apart_from_zero() {
        let folder = tempfile::tempdir().unwrap();
        let known = RunRow { run_id: "a".into(), disk_peak_bytes: Some(0), ..RunRow::default() };
        let unknown = RunRow { run_id: "b".into(), mota: Some(f64::NAN), ..RunRow::default() };
        write_with_csv(folder.path(), &[known, unknown]).unwrap();
        let text = std::fs::read_to_string(folder.path().join("runs.csv")).unwrap();
        let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let header = lines.next().unwrap();
        let at = header.iter().position(|name| *name == "disk_peak_bytes").unwrap();
        let cells: Vec<&str> = lines.map(|line| line[at]).collect();
        assert_eq!(cells, ["0", ""]);
        let frame = read::<RunRow>(folder.path(), Some(&["mota"])).unwrap();
        assert_eq!(frame.column("mota").unwrap().null_count(), 2);
    }
}
