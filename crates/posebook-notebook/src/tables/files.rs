//! Parquet files of tables, written and read in batches of bounded size.

use super::column::{ColumnBuilder, TableRow, to_data_frame};
use super::{TableError, csv};
use polars::prelude::*;
use polars_io::SerReader;
use polars_io::parquet::read::ParquetReader;
use polars_io::parquet::write::{BatchedWriter, ParquetWriter};
use posebook_core::files::AtomicFile;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Rows of a batch and of a row group: a few megabytes of the widest table.
const BATCH_ROWS: usize = 2048;

/// The path of the Parquet file of table `R` in `folder`.
pub fn parquet_path<R: TableRow>(folder: &Path) -> PathBuf {
    folder.join(format!("{}.parquet", R::TABLE))
}

/// The table `R` without rows.
pub(super) fn empty_frame<R: TableRow>() -> DataFrame {
    DataFrame::empty_with_schema(&schema::<R>())
}

fn schema<R: TableRow>() -> Schema {
    R::columns().iter().map(|column| Field::new(column.name.into(), column.column_type.dtype())).collect()
}

/// Writes a Parquet file row by row, with one batch in memory. The file appears under its name in
/// [`TableWriter::finish`].
pub struct TableWriter<R> {
    path: PathBuf,
    writer: BatchedWriter<File>,
    file: AtomicFile,
    rows: Vec<R>,
}

impl<R: TableRow> TableWriter<R> {
    /// Creates the file of table `R` in `folder`.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub fn create(folder: &Path) -> Result<TableWriter<R>, TableError> {
        let path = parquet_path::<R>(folder);
        let atomic = AtomicFile::create(&path).map_err(TableError::file(&path))?;
        let file = File::create(atomic.temporary_path()).map_err(TableError::file(&path))?;
        let writer = ParquetWriter::new(file)
            .set_parallel(false)
            .batched(&schema::<R>())
            .map_err(TableError::encode(&path))?;
        Ok(TableWriter { path, writer, file: atomic, rows: Vec::new() })
    }

    /// Appends one row.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn push(&mut self, row: R) -> Result<(), TableError> {
        self.rows.push(row);
        if self.rows.len() >= BATCH_ROWS { self.write_batch() } else { Ok(()) }
    }

    fn write_batch(&mut self) -> Result<(), TableError> {
        let frame = to_data_frame(&self.rows).map_err(TableError::encode(&self.path))?;
        self.rows.clear();
        self.push_frame(&frame)
    }

    fn push_frame(&mut self, frame: &DataFrame) -> Result<(), TableError> {
        if frame.height() == 0 {
            return Ok(());
        }
        self.writer.write_batch(frame).map_err(TableError::encode(&self.path))
    }

    /// Appends all rows of the same table in another folder, batch by batch. A table that does not exist has no rows.
    ///
    /// # Errors
    /// If the other table cannot be read or has other columns, or the file cannot be written.
    pub fn append_table(&mut self, folder: &Path) -> Result<(), TableError> {
        let mut batches = Batches::open::<R>(folder)?;
        while let Some(frame) = batches.next_batch()? {
            self.push_frame(&frame)?;
        }
        Ok(())
    }

    /// Completes the file and moves it to its final path.
    ///
    /// # Errors
    /// If the file cannot be written; then there is none at the final path.
    pub fn finish(mut self) -> Result<(), TableError> {
        if !self.rows.is_empty() {
            self.write_batch()?;
        }
        self.writer.finish().map_err(TableError::encode(&self.path))?;
        let path = self.path;
        self.file.finish().map_err(TableError::file(&path))
    }
}

/// Reads the table `R` of `folder` into memory: all columns, or those of `only`.
pub(super) fn read<R: TableRow>(folder: &Path, only: Option<&[&str]>) -> Result<DataFrame, TableError> {
    let path = parquet_path::<R>(folder);
    let file = File::open(&path).map_err(TableError::file(&path))?;
    let only = only.map(|names| names.iter().map(ToString::to_string).collect());
    ParquetReader::new(file).with_columns(only).finish().map_err(TableError::decode(&path))
}

/// Reads a table batch by batch; a table that does not exist has no batches.
struct Batches {
    path: PathBuf,
    schema: Schema,
    rows: usize,
    start: usize,
}

impl Batches {
    fn open<R: TableRow>(folder: &Path) -> Result<Batches, TableError> {
        let path = parquet_path::<R>(folder);
        let mut batches = Batches { path, schema: schema::<R>(), rows: 0, start: 0 };
        if batches.path.exists() {
            batches.rows = batches.reader()?.num_rows().map_err(TableError::decode(&batches.path))?;
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
        let frame = reader.finish().map_err(TableError::decode(&self.path))?;
        if frame.schema().as_ref() != &self.schema {
            return Err(TableError::Columns { path: self.path.clone() });
        }
        Ok(Some(frame))
    }
}

/// Iterator over the rows of a table, with one batch in memory.
pub struct Rows<R> {
    batches: Batches,
    columns: Vec<ColumnBuilder>,
    batch_rows: usize,
    next: usize,
    row: std::marker::PhantomData<R>,
}

/// Reads the table `R` of `folder` row by row. A table that does not exist has no rows.
///
/// # Errors
/// If the file cannot be opened. An item is an error if its batch cannot be read.
pub fn read_rows<R: TableRow>(folder: &Path) -> Result<Rows<R>, TableError> {
    let batches = Batches::open::<R>(folder)?;
    Ok(Rows { batches, columns: Vec::new(), batch_rows: 0, next: 0, row: std::marker::PhantomData })
}

impl<R: TableRow> Rows<R> {
    fn refill(&mut self) -> Result<bool, TableError> {
        let Some(frame) = self.batches.next_batch()? else { return Ok(false) };
        let columns = frame.columns().iter().zip(R::columns());
        let built: PolarsResult<_> = columns
            .map(|(column, declared)| ColumnBuilder::from_column(declared.column_type, column))
            .collect();
        self.columns = built.map_err(TableError::decode(&self.batches.path))?;
        (self.batch_rows, self.next) = (frame.height(), 0);
        Ok(true)
    }
}

impl<R: TableRow> Iterator for Rows<R> {
    type Item = Result<R, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.batch_rows {
            match self.refill() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
        self.next += 1;
        Some(Ok(R::from_columns(&self.columns, self.next - 1)))
    }
}

/// Writes `rows` as Parquet and as CSV into `folder`.
///
/// # Errors
/// If a file cannot be written.
pub fn write_with_csv<R: TableRow + Clone>(folder: &Path, rows: &[R]) -> Result<(), TableError> {
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
    fn tables_of_several_runs_are_concatenated() {
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
        let rows: Vec<PersonRow> = read_rows(folder.path()).unwrap().map(Result::unwrap).collect();
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
        assert_eq!((frame.height(), frame.width()), (0, PersonRow::columns().len()));
    }

    #[test]
    fn csv_distinguishes_null_from_zero() {
        let folder = tempfile::tempdir().unwrap();
        let mut known = RunRow { run_id: "a".into(), ..RunRow::default() };
        known.metrics.disk.disk_peak_bytes = Some(0);
        let mut unknown = RunRow { run_id: "b".into(), ..RunRow::default() };
        unknown.metrics.tracking.mota = Some(f64::NAN);
        write_with_csv(folder.path(), &[known, unknown]).unwrap();
        let text = std::fs::read_to_string(folder.path().join("runs.csv")).unwrap();
        let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let header = lines.next().unwrap();
        let index = header.iter().position(|name| *name == "disk_peak_bytes").unwrap();
        let cells: Vec<&str> = lines.map(|line| line[index]).collect();
        assert_eq!(cells, ["0", ""]);
        let frame = read::<RunRow>(folder.path(), Some(&["mota"])).unwrap();
        assert_eq!(frame.column("mota").unwrap().null_count(), 2);
    }
}
