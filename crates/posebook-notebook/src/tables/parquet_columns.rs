//! Named columns of any Parquet file, also one that has other columns than the tables of this version.

use super::TableError;
use polars::prelude::*;
use polars_io::SerReader;
use polars_io::parquet::read::ParquetReader;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Columns of a Parquet file, in memory.
pub struct ParquetColumns {
    path: PathBuf,
    frame: DataFrame,
}

impl ParquetColumns {
    /// Reads the columns `names` of the file at `path`.
    ///
    /// # Errors
    /// [`TableError::File`] if the file cannot be opened, [`TableError::Decode`] if it is not valid Parquet,
    /// [`TableError::MissingColumns`] if it lacks a column.
    pub fn read(path: &Path, names: &[&str]) -> Result<ParquetColumns, TableError> {
        let reader = || Ok(ParquetReader::new(File::open(path).map_err(TableError::file(path))?));
        let schema = reader()?.schema().map_err(TableError::decode(path))?;
        let missing = names.iter().filter(|name| schema.get(name).is_none());
        let columns: Vec<String> = missing.map(ToString::to_string).collect();
        if !columns.is_empty() {
            return Err(TableError::MissingColumns { path: path.to_path_buf(), columns });
        }
        let names = names.iter().map(ToString::to_string).collect();
        let frame = reader()?.with_columns(Some(names)).finish().map_err(TableError::decode(path))?;
        Ok(ParquetColumns { path: path.to_path_buf(), frame })
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.frame.height()
    }

    /// The values of a column as text, one per row; `None` for null.
    ///
    /// # Errors
    /// If the column was not read, or its values have no text form.
    pub fn texts(&self, column: &str) -> Result<Vec<Option<String>>, TableError> {
        let texts = self.cast(column, &DataType::String)?;
        let texts = texts.str().map_err(TableError::decode(&self.path))?;
        Ok(texts.iter().map(|text| text.map(str::to_string)).collect())
    }

    /// The values of a column as integers, one per row; `None` for null and for values that are no integers.
    ///
    /// # Errors
    /// If the column was not read, or has values that cannot be converted, such as lists.
    pub fn integers(&self, column: &str) -> Result<Vec<Option<i64>>, TableError> {
        let integers = self.cast(column, &DataType::Int64)?;
        Ok(integers.i64().map_err(TableError::decode(&self.path))?.iter().collect())
    }

    /// The list of numbers in one row; `None` if there is no such row, the column was not read, or the row has no list or
    /// a list with nulls or values that are no numbers.
    pub fn floats(&self, column: &str, row: usize) -> Option<Vec<f32>> {
        let lists = self.frame.column(column).ok()?.list().ok().filter(|_| row < self.rows())?;
        let values = lists.get_as_series(row)?.cast(&DataType::Float32).ok()?;
        values.f32().ok()?.iter().collect()
    }

    fn cast(&self, column: &str, data_type: &DataType) -> Result<Column, TableError> {
        let column = self.frame.column(column).and_then(|column| column.cast(data_type));
        column.map_err(TableError::decode(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::super::files::{TableWriter, parquet_path};
    use super::super::{PersonRow, TableError};
    use super::ParquetColumns;

    #[test]
    fn named_columns_are_read_by_row() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = TableWriter::create(folder.path()).unwrap();
        for frame in [3, 4] {
            let betas = if frame == 3 { vec![0.5, -1.0] } else { Vec::new() };
            writer.push(PersonRow { run_id: "a".into(), frame, betas, ..PersonRow::default() }).unwrap();
        }
        writer.finish().unwrap();
        let path = parquet_path::<PersonRow>(folder.path());
        let columns = ParquetColumns::read(&path, &["run_id", "frame", "track", "betas"]).unwrap();
        assert_eq!(columns.rows(), 2);
        assert_eq!(columns.texts("run_id").unwrap()[1].as_deref(), Some("a"));
        assert_eq!(columns.texts("frame").unwrap()[0].as_deref(), Some("3"));
        assert_eq!(columns.integers("frame").unwrap(), [Some(3), Some(4)]);
        assert_eq!(columns.integers("track").unwrap(), [None, None]);
        let lists = [0, 1, 2].map(|row| columns.floats("betas", row));
        assert_eq!(lists, [Some(vec![0.5, -1.0]), Some(vec![]), None]);
        assert_eq!(columns.floats("frame", 0), None);
        assert!(columns.integers("person").is_err(), "a column that was not read");
    }

    #[test]
    fn files_that_cannot_be_read_have_different_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("people.parquet");
        let error = || ParquetColumns::read(&path, &["frame", "face", "hand"]).err().unwrap();
        assert!(matches!(error(), TableError::File { .. }));
        std::fs::write(&path, "text").unwrap();
        assert!(matches!(error(), TableError::Decode { .. }));
        TableWriter::<PersonRow>::create(folder.path()).unwrap().finish().unwrap();
        assert!(error().to_string().ends_with("people.parquet has no column face, hand"), "{}", error());
    }
}
