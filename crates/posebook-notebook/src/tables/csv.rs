//! CSV files of tables, for spreadsheets and for the reports in git.

use super::TableError;
use super::column::{Column as TableColumn, ColumnBuilder, ColumnType, TableRow, to_data_frame};
use polars::prelude::*;
use polars_io::SerReader;
use polars_io::SerWriter;
use polars_io::csv::read::CsvReadOptions;
use polars_io::csv::write::CsvWriter;
use posebook_core::files::AtomicFile;
use std::fs::File;
use std::path::{Path, PathBuf};

/// The path of the CSV file of table `R` in `folder`.
pub fn csv_path<R: TableRow>(folder: &Path) -> PathBuf {
    folder.join(format!("{}.csv", R::TABLE))
}

/// Writes `rows` as CSV into `folder`.
///
/// # Errors
/// If the file cannot be written; then an existing file is unchanged.
pub fn write<R: TableRow>(folder: &Path, rows: &[R]) -> Result<(), TableError> {
    let path = csv_path::<R>(folder);
    let mut frame = to_data_frame(rows).map_err(TableError::encode(&path))?;
    let mut file = AtomicFile::create(&path).map_err(TableError::file(&path))?;
    CsvWriter::new(&mut file).finish(&mut frame).map_err(TableError::encode(&path))?;
    file.finish().map_err(TableError::file(&path))
}

/// Reads the CSV file of table `R` in `folder`, with the columns and errors of [`read_rows`].
pub(super) fn read<R: TableRow>(folder: &Path) -> Result<DataFrame, TableError> {
    let path = csv_path::<R>(folder);
    let (columns, rows) = columns::<R>(&path)?;
    let named = columns.into_iter().zip(R::columns()).map(|(built, column)| built.finish(column.name));
    let columns: PolarsResult<Vec<Column>> = named.collect();
    columns.and_then(|columns| DataFrame::new(rows, columns)).map_err(TableError::decode(&path))
}

/// The rows of the CSV file of table `R` in `folder`. Columns that the file lacks are null, and columns that the table
/// does not have are ignored: the file may be of an older or a newer version. A null in a field that cannot be null gives
/// the field's default.
///
/// # Errors
/// If the file is missing or is not CSV, or a cell is not of its column's type: a name that this version does not know, or
/// a number out of the field's range.
pub fn read_rows<R: TableRow>(folder: &Path) -> Result<Vec<R>, TableError> {
    let path = csv_path::<R>(folder);
    let (columns, rows) = columns::<R>(&path)?;
    let read_row = |index| {
        let row = R::from_columns(&columns, index);
        check_cells(&path, &row, &columns, index)?;
        Ok(row)
    };
    (0..rows).map(read_row).collect()
}

/// Checks that `row` holds the texts and integers of its cells. Otherwise a name that this version does not know, or a
/// number out of range, would become the field's default without notice.
fn check_cells<R: TableRow>(
    path: &Path,
    row: &R,
    columns: &[ColumnBuilder],
    index: usize,
) -> Result<(), TableError> {
    let new = |column: &TableColumn| ColumnBuilder::new(column.column_type);
    let mut held: Vec<ColumnBuilder> = R::columns().iter().map(new).collect();
    row.append_to(&mut held);
    for ((column, cells), held) in R::columns().iter().zip(columns).zip(&held) {
        let lost = match (cells, held) {
            (ColumnBuilder::Text(cells), ColumnBuilder::Text(held)) if cells[index] != held[0] => {
                cells[index].clone()
            }
            (ColumnBuilder::Integer(cells), ColumnBuilder::Integer(held)) if cells[index] != held[0] => {
                cells[index].map(|cell| cell.to_string())
            }
            _ => None,
        };
        if let Some(cell) = lost {
            let (column, column_type) = (column.name, column.column_type);
            return Err(TableError::Cell { path: path.to_path_buf(), column, column_type, cell });
        }
    }
    Ok(())
}

/// The table's columns in order, and the number of rows.
fn columns<R: TableRow>(path: &Path) -> Result<(Vec<ColumnBuilder>, usize), TableError> {
    let file = File::open(path).map_err(TableError::file(path))?;
    // all cells are read as text, because the table defines the types of columns
    let options = CsvReadOptions::default().with_infer_schema_length(Some(0));
    let frame = options.into_reader_with_file_handle(file).finish().map_err(TableError::decode(path))?;
    let parsed = R::columns().iter().map(|column| match frame.column(column.name) {
        Ok(texts) => parse_column(column, texts).map_err(|error| match error {
            ParseError::Cell(cell) => TableError::Cell {
                path: path.to_path_buf(),
                column: column.name,
                column_type: column.column_type,
                cell,
            },
            ParseError::Polars(error) => TableError::decode(path)(error),
        }),
        Err(_) => Ok(null_column(column.column_type, frame.height())),
    });
    Ok((parsed.collect::<Result<_, _>>()?, frame.height()))
}

fn null_column(column_type: ColumnType, rows: usize) -> ColumnBuilder {
    match column_type {
        ColumnType::Integer => ColumnBuilder::Integer(vec![None; rows]),
        ColumnType::Float => ColumnBuilder::Float(vec![None; rows]),
        ColumnType::Text => ColumnBuilder::Text(vec![None; rows]),
        ColumnType::Flag => ColumnBuilder::Flag(vec![None; rows]),
        ColumnType::Floats => ColumnBuilder::Floats(vec![None; rows]),
    }
}

/// Why a column of text cannot be parsed.
enum ParseError {
    /// The first cell that is not of the column's type.
    Cell(String),
    Polars(PolarsError),
}

/// Parses a column of text as the type of `column`.
fn parse_column(column: &TableColumn, texts: &Column) -> Result<ColumnBuilder, ParseError> {
    let texts = texts.str().map_err(ParseError::Polars)?;
    fn parse_all<T: std::str::FromStr>(texts: &StringChunked) -> Result<Vec<Option<T>>, ParseError> {
        let parse = |text: &str| text.parse().map_err(|_| ParseError::Cell(text.to_string()));
        texts.iter().map(|text| text.map(parse).transpose()).collect()
    }
    Ok(match column.column_type {
        ColumnType::Integer => ColumnBuilder::Integer(parse_all(texts)?),
        ColumnType::Float => ColumnBuilder::Float(parse_all(texts)?),
        ColumnType::Text => ColumnBuilder::Text(parse_all(texts)?),
        ColumnType::Flag => ColumnBuilder::Flag(parse_all(texts)?),
        // lists are not written as CSV
        ColumnType::Floats => {
            return Err(ParseError::Cell(texts.iter().flatten().next().unwrap_or_default().into()));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::RunRow;
    use super::*;

    #[test]
    fn written_rows_are_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let run = |id: &str| RunRow { run_id: id.into(), repeat: 1, ..RunRow::default() };
        let mut rows_written = vec![
            RunRow {
                error: Some("a \"quoted\", two-\nline text".into()),
                overlap: Some(true),
                ..run("00123")
            },
            RunRow { overlap: Some(false), ..run("b") },
        ];
        rows_written[0].metrics.pose.pa_mpjpe_mm = Some(0.1 + 0.2);
        rows_written[1].metrics.disk.disk_peak_bytes = Some(0);
        write(folder.path(), &rows_written).unwrap();
        assert_eq!(read_rows::<RunRow>(folder.path()).unwrap(), rows_written);
        assert_eq!(read::<RunRow>(folder.path()).unwrap().height(), 2);
    }

    #[test]
    fn a_file_of_another_version_is_read_and_an_invalid_cell_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let path = csv_path::<RunRow>(folder.path());
        std::fs::write(&path, "no_such_column,frames,run_id\n1,60,a\n2,,b\n").unwrap();
        let read: Vec<RunRow> = read_rows(folder.path()).unwrap();
        assert_eq!((read[0].frames, read[1].frames, read[1].metrics.tracking.hota), (Some(60), None, None));
        std::fs::write(&path, "run_id,frames\na,sixty\n").unwrap();
        let error = read_rows::<RunRow>(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains("runs.csv") && error.contains("`frames`") && error.contains("`sixty`"),
            "{error}"
        );
    }

    #[test]
    fn names_and_numbers_that_a_row_cannot_hold_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = csv_path::<RunRow>(folder.path());
        for (header, cell) in [("outcome", "fine"), ("precision", "f8"), ("mode", "sideways"), ("seed", "-1")]
        {
            std::fs::write(&path, format!("run_id,{header}\na,{cell}\n")).unwrap();
            let error = read_rows::<RunRow>(folder.path()).unwrap_err().to_string();
            assert!(
                error.contains(&format!("`{header}`")) && error.contains(&format!("`{cell}`")),
                "{error}"
            );
        }
    }
}
