//! The people of an ended job, row by row.
//!
//! In: the folder of results with `people.parquet`, and which rows are wanted. Out: one JSON array, one JSON object a line, CSV, or
//! Parquet. Columns and their order are those of the table. One batch of rows is in memory at a time.
//!
//! In CSV a column that holds a list is a JSON array in one cell. `frame` of images is the image's position, from 0.

use super::table_error;
use posebook_core::scratch;
use posebook_notebook::tables::files::{TableWriter, parquet_path, read_rows};
use posebook_notebook::tables::{ImagePersonRow, PersonRow, RunRow, TableRow};
use posebook_serve::backend::{PeopleFilter, PeopleFormat};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A row that is in a frame and may be on a track.
trait InFrame: TableRow {
    fn frame(&self) -> u64;
    fn track(&self) -> Option<u64>;
}

impl InFrame for PersonRow {
    fn frame(&self) -> u64 {
        self.frame
    }

    fn track(&self) -> Option<u64> {
        self.track
    }
}

impl InFrame for ImagePersonRow {
    fn frame(&self) -> u64 {
        self.number.saturating_sub(1)
    }

    fn track(&self) -> Option<u64> {
        None
    }
}

/// Writes the people of `results` that `filter` selects to `out`.
///
/// # Errors
/// If there is no table of people, it cannot be read, or `out` cannot be written.
pub fn write(
    results: &Path,
    filter: &PeopleFilter,
    format: PeopleFormat,
    out: &mut dyn Write,
) -> io::Result<()> {
    // `reconstruct` has no table of runs, and other columns
    if parquet_path::<RunRow>(results).is_file() {
        write_rows::<PersonRow>(results, filter, format, out)
    } else {
        write_rows::<ImagePersonRow>(results, filter, format, out)
    }
}

fn write_rows<R: InFrame>(
    results: &Path,
    filter: &PeopleFilter,
    format: PeopleFormat,
    out: &mut dyn Write,
) -> io::Result<()> {
    if !parquet_path::<R>(results).is_file() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the job has no table of people"));
    }
    let is_wanted = |row: &R| {
        let frame = row.frame();
        filter.frame.is_none_or(|wanted| frame == wanted)
            && filter.from.is_none_or(|from| frame >= from)
            && filter.to.is_none_or(|to| frame < to)
            && filter.track.is_none_or(|track| row.track() == Some(track))
    };
    let rows = read_rows::<R>(results).map_err(table_error)?.map(|row| row.map_err(table_error));
    let mut rows = rows.filter(|row| row.as_ref().map_or(true, is_wanted));
    match format {
        PeopleFormat::Json => {
            out.write_all(b"[")?;
            for (index, row) in rows.enumerate() {
                out.write_all(if index == 0 { b"\n" } else { b",\n" })?;
                serde_json::to_writer(&mut *out, &row?)?;
            }
            out.write_all(b"\n]\n")
        }
        PeopleFormat::Ndjson => rows.try_for_each(|row| {
            serde_json::to_writer(&mut *out, &row?)?;
            out.write_all(b"\n")
        }),
        PeopleFormat::Csv => {
            let names: Vec<&str> = R::columns().iter().map(|column| column.name).collect();
            out.write_all((names.join(",") + "\n").as_bytes())?;
            rows.try_for_each(|row| out.write_all(csv_line(&row?)?.as_bytes()))
        }
        PeopleFormat::Parquet if *filter == PeopleFilter::default() => {
            io::copy(&mut File::open(parquet_path::<R>(results))?, out).map(|_| ())
        }
        PeopleFormat::Parquet => {
            let folder = TemporaryFolder::beside(results)?;
            let mut writer = TableWriter::<R>::create(&folder.0).map_err(table_error)?;
            rows.try_for_each(|row| writer.push(row?).map_err(table_error))?;
            writer.finish().map_err(table_error)?;
            io::copy(&mut File::open(parquet_path::<R>(&folder.0))?, out).map(|_| ())
        }
    }
}

/// A row as a line of CSV.
fn csv_line<R: TableRow>(row: &R) -> io::Result<String> {
    let cells = serde_json::to_value(row)?;
    let cells = R::columns().iter().map(|column| csv_cell(&cells[column.name]));
    Ok(cells.collect::<Vec<_>>().join(",") + "\n")
}

fn csv_cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.contains([',', '"', '\n', '\r']) => quoted(text),
        Value::String(text) => text.clone(),
        // lists hold 32-bit floats, so that their shortest form is exact
        Value::Array(values) => {
            let number = |value: &Value| {
                value.as_f64().map_or_else(|| "null".to_string(), |number| (number as f32).to_string())
            };
            quoted(&format!("[{}]", values.iter().map(number).collect::<Vec<_>>().join(",")))
        }
        other => other.to_string(),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// A folder next to the results, removed on drop.
struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    fn beside(results: &Path) -> io::Result<TemporaryFolder> {
        let folder = scratch::temporary_path(&results.with_file_name("people"));
        fs::create_dir_all(&folder)?;
        Ok(TemporaryFolder(folder))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // what cannot be removed only takes space
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let results = folder.path().join("files");
        fs::create_dir(&results).unwrap();
        TableWriter::<RunRow>::create(&results).unwrap().finish().unwrap();
        let mut writer = TableWriter::create(&results).unwrap();
        for frame in 0..6 {
            for track in [None, Some(1), Some(2)] {
                let betas = if track.is_some() { vec![0.1, f32::MIN_POSITIVE] } else { Vec::new() };
                let row = PersonRow {
                    run_id: "a,\"b\"".into(),
                    frame,
                    track,
                    score: 0.3,
                    truth_id: None,
                    betas,
                    ..PersonRow::default()
                };
                writer.push(row).unwrap();
            }
        }
        writer.finish().unwrap();
        folder
    }

    fn written(folder: &Path, filter: PeopleFilter, format: PeopleFormat) -> Vec<u8> {
        let mut out = Vec::new();
        write(&folder.join("files"), &filter, format, &mut out).unwrap();
        out
    }

    #[test]
    fn every_format_has_the_same_rows() {
        let folder = results();
        let filter = PeopleFilter { track: Some(2), from: Some(1), to: Some(5), ..PeopleFilter::default() };
        let text = |format| String::from_utf8(written(folder.path(), filter, format)).unwrap();
        let all: Vec<Value> = serde_json::from_str(&text(PeopleFormat::Json)).unwrap();
        let frames: Vec<u64> = all.iter().map(|row| row["frame"].as_u64().unwrap()).collect();
        assert_eq!(frames, [1, 2, 3, 4]);
        assert_eq!((&all[0]["track"], &all[0]["truth_id"]), (&Value::from(2), &Value::Null));
        let keys: Vec<&String> = all[0].as_object().unwrap().keys().collect();
        let columns: Vec<&str> = PersonRow::columns().iter().map(|column| column.name).collect();
        assert_eq!(keys, columns);
        let lines: Vec<Value> =
            text(PeopleFormat::Ndjson).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines, all);
        let csv = text(PeopleFormat::Csv);
        let mut csv = csv.lines();
        assert_eq!(csv.next().unwrap(), columns.join(","));
        let first = csv.next().unwrap();
        assert!(first.starts_with("\"a,\"\"b\"\"\",1,"), "{first}");
        assert!(first.contains("\"[0.1,0.000000000000000000000000000000000000011754944]\""), "{first}");
        assert_eq!(csv.count(), 3);
        let other = tempfile::tempdir().unwrap();
        let parquet = written(folder.path(), filter, PeopleFormat::Parquet);
        fs::write(parquet_path::<PersonRow>(other.path()), parquet).unwrap();
        let rows: Vec<PersonRow> = read_rows(other.path()).unwrap().map(Result::unwrap).collect();
        assert_eq!(rows.iter().map(|row| row.frame).collect::<Vec<_>>(), frames);
        assert_eq!(rows[0].betas, [0.1, f32::MIN_POSITIVE]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary folder is left");
    }

    #[test]
    fn the_whole_table_is_the_file_itself_and_an_empty_selection_is_valid() {
        let folder = results();
        let whole = written(folder.path(), PeopleFilter::default(), PeopleFormat::Parquet);
        assert_eq!(whole, fs::read(folder.path().join("files/people.parquet")).unwrap());
        let nobody = PeopleFilter { frame: Some(99), ..PeopleFilter::default() };
        let empty = written(folder.path(), nobody, PeopleFormat::Json);
        assert_eq!(serde_json::from_slice::<Vec<Value>>(&empty).unwrap(), Vec::<Value>::new());
        let missing = write(&folder.path().join("gone"), &nobody, PeopleFormat::Json, &mut Vec::new());
        assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
