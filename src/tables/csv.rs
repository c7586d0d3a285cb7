//! Tables as CSV: what a person opens in a spreadsheet, and what git keeps of a report.

use super::TableError;
use super::column::{Building, Kind, Row};
use super::files::frame_of;
use crate::files::WholeFile;
use polars::prelude::*;
use polars_io::SerReader;
use polars_io::SerWriter;
use polars_io::csv::read::CsvReadOptions;
use polars_io::csv::write::CsvWriter;
use std::fs::File;
use std::path::{Path, PathBuf};

/// The place of table `R` as CSV in `folder`.
pub fn csv_path<R: Row>(folder: &Path) -> PathBuf {
    folder.join(format!("{}.csv", R::TABLE))
}

/// Writes `rows` as CSV into `folder`.
///
/// # Errors
/// If the disk refuses; then what stood there is still whole.
pub fn write<R: Row>(folder: &Path, rows: &[R]) -> Result<(), TableError> {
    let path = csv_path::<R>(folder);
    let mut frame = frame_of(rows).map_err(TableError::damaged(&path))?;
    let mut file = WholeFile::create(&path).map_err(TableError::file(&path))?;
    CsvWriter::new(&mut file).finish(&mut frame).map_err(TableError::damaged(&path))?;
    file.finish().map_err(TableError::file(&path))
}

/// Reads the CSV of table `R` in `folder`. A column that the file lacks is null in every row, and one that the
/// table does not have is left out: the file may be of an older or a newer version.
///
/// # Errors
/// If the file is missing, is not CSV, or a cell is not what its column holds.
pub fn read<R: Row>(folder: &Path) -> Result<DataFrame, TableError> {
    let path = csv_path::<R>(folder);
    let (columns, rows) = columns::<R>(&path)?;
    let named = columns.into_iter().zip(R::COLUMNS).map(|(built, column)| built.finish(column.name));
    let columns: PolarsResult<Vec<Column>> = named.collect();
    columns.and_then(|columns| DataFrame::new(rows, columns)).map_err(TableError::damaged(&path))
}

/// The rows of the CSV of table `R` in `folder`, as [`read`] understands it. What is null where the row's field
/// cannot be null is the field's default.
///
/// # Errors
/// As [`read`].
pub fn rows<R: Row>(folder: &Path) -> Result<Vec<R>, TableError> {
    let (columns, rows) = columns::<R>(&csv_path::<R>(folder))?;
    Ok((0..rows).map(|at| R::pull(&columns, at)).collect())
}

/// The table's columns in their order, and the number of rows.
fn columns<R: Row>(path: &Path) -> Result<(Vec<Building>, usize), TableError> {
    let file = File::open(path).map_err(TableError::file(path))?;
    // every cell as text: what a column holds is the table's to say, not to be guessed from the cells
    let options = CsvReadOptions::default().with_infer_schema_length(Some(0));
    let frame = options.into_reader_with_file_handle(file).finish().map_err(TableError::damaged(path))?;
    let built = R::COLUMNS.iter().map(|column| match frame.column(column.name) {
        Ok(texts) => parsed(column.kind, texts)
            .map_err(|cell| format!("`{cell}` in the column `{}` is no {:?}", column.name, column.kind)),
        Err(_) => Ok(nulls(column.kind, frame.height())),
    });
    let built: Result<Vec<Building>, String> = built.collect();
    let damaged = |message| TableError::Damaged { path: path.to_path_buf(), message };
    Ok((built.map_err(damaged)?, frame.height()))
}

fn nulls(kind: Kind, rows: usize) -> Building {
    match kind {
        Kind::Integer => Building::Integer(vec![None; rows]),
        Kind::Float => Building::Float(vec![None; rows]),
        Kind::Text => Building::Text(vec![None; rows]),
        Kind::Flag => Building::Flag(vec![None; rows]),
        Kind::Floats => Building::Floats(vec![None; rows]),
    }
}

/// A column of texts as what it holds; fails with the first cell that is something else.
fn parsed(kind: Kind, texts: &Column) -> Result<Building, String> {
    let texts = texts.str().map_err(|error| error.to_string())?;
    fn all<T: std::str::FromStr>(texts: &StringChunked) -> Result<Vec<Option<T>>, String> {
        let parse = |text: &str| text.parse().map_err(|_| text.to_string());
        texts.iter().map(|text| text.map(parse).transpose()).collect()
    }
    Ok(match kind {
        Kind::Integer => Building::Integer(all(texts)?),
        Kind::Float => Building::Float(all(texts)?),
        Kind::Text => Building::Text(all(texts)?),
        Kind::Flag => Building::Flag(all(texts)?),
        Kind::Floats => return Err("a list of numbers".to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::super::RunRow;
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let run = |id: &str| RunRow { run_id: id.into(), repeat: 1, ..RunRow::default() };
        let rows_written = vec![
            RunRow {
                error: Some("a \"quoted\", two-\nline text".into()),
                overlap: Some(true),
                pa_mpjpe_mm: Some(0.1 + 0.2),
                ..run("00123")
            },
            RunRow { disk_peak_bytes: Some(0), overlap: Some(false), ..run("b") },
        ];
        write(folder.path(), &rows_written).unwrap();
        assert_eq!(rows::<RunRow>(folder.path()).unwrap(), rows_written);
        assert_eq!(read::<RunRow>(folder.path()).unwrap().height(), 2);
    }

    #[test]
    fn a_file_of_another_version_is_read_and_a_damaged_one_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = csv_path::<RunRow>(folder.path());
        std::fs::write(&path, "no_such_column,frames,run_id\n1,60,a\n2,,b\n").unwrap();
        let read: Vec<RunRow> = rows(folder.path()).unwrap();
        assert_eq!((read[0].frames, read[1].frames, read[1].hota), (Some(60), None, None));
        std::fs::write(&path, "run_id,frames\na,sixty\n").unwrap();
        let error = rows::<RunRow>(folder.path()).unwrap_err().to_string();
        assert!(error.contains("runs.csv") && error.contains("`sixty` in the column `frames`"), "{error}");
    }
}
