//! SQL (Polars' dialect) over the tables `runs`, `frames`, `memory` and `people` of a report's folder.
//!
//! The slope of a least-squares line, such as bytes per frame, is `covar_samp(y, x) / var(x)`.

use super::column::TableRow;
use super::grid::Grid;
use super::rows::{FrameRow, MemoryRow, PersonRow, RunRow};
use super::{TableError, csv, files};
use polars::prelude::*;
use polars::sql::{SQLContext, extract_table_identifiers};
use std::path::{Path, PathBuf};

/// The tables of one report's folder.
#[derive(Debug, Clone)]
pub struct ReportTables {
    folder: PathBuf,
}

impl ReportTables {
    /// The tables in `folder`. A table is read when a query names it.
    pub fn new(folder: &Path) -> ReportTables {
        ReportTables { folder: folder.to_path_buf() }
    }

    /// Runs the query `sql`. The rows have the order of the query, or any order if it has no `order by`.
    ///
    /// # Errors
    /// If the query is invalid, or a table that it names is missing or damaged.
    pub fn query(&self, sql: &str) -> Result<Grid, TableError> {
        Ok(Grid::from_frame(&self.run(sql)?))
    }

    fn run(&self, sql: &str) -> Result<DataFrame, TableError> {
        let mut context = SQLContext::new();
        let named = extract_table_identifiers(sql, false, true).map_err(invalid(sql))?;
        self.register::<RunRow>(&mut context, &named)?;
        self.register::<FrameRow>(&mut context, &named)?;
        self.register::<MemoryRow>(&mut context, &named)?;
        self.register::<PersonRow>(&mut context, &named)?;
        context.execute(sql).and_then(LazyFrame::collect).map_err(invalid(sql))
    }

    /// Runs a query for one number; `None` if the answer is null or has no rows.
    ///
    /// # Errors
    /// As [`ReportTables::query`], and if the answer is not one column of numbers with one row.
    pub fn query_number(&self, sql: &str) -> Result<Option<f64>, TableError> {
        let frame = self.run(sql)?;
        let not_a_number = |got: String| TableError::NotANumber { sql: normalize_whitespace(sql), got };
        if frame.width() != 1 || frame.height() > 1 {
            return Err(not_a_number(format!("{} columns and {} rows", frame.width(), frame.height())));
        }
        let column = &frame.columns()[0];
        if column.is_empty() || column.null_count() == 1 {
            return Ok(None);
        }
        let number = column.cast(&DataType::Float64).map_err(|error| not_a_number(error.to_string()))?;
        Ok(number.f64().map_err(|error| not_a_number(error.to_string()))?.get(0))
    }

    fn register<R: TableRow>(&self, context: &mut SQLContext, named: &[String]) -> Result<(), TableError> {
        if named.iter().any(|name| name == R::TABLE) {
            // reports in git have the table of runs as CSV only
            let only_csv =
                !files::parquet_path::<R>(&self.folder).exists() && csv::csv_path::<R>(&self.folder).exists();
            let table =
                if only_csv { csv::read::<R>(&self.folder) } else { files::read::<R>(&self.folder, None) };
            context.register(R::TABLE, table?.lazy());
        }
        Ok(())
    }
}

/// Checks the syntax, tables and columns of a query without data.
///
/// # Errors
/// If the query is invalid.
pub fn check_query(sql: &str) -> Result<(), TableError> {
    query_columns(sql).map(|_| ())
}

/// The names of the columns of a query's answer, found without data.
///
/// # Errors
/// As [`check_query`].
pub fn query_columns(sql: &str) -> Result<Vec<String>, TableError> {
    let mut context = SQLContext::new();
    context.register(RunRow::TABLE, files::empty_frame::<RunRow>().lazy());
    context.register(FrameRow::TABLE, files::empty_frame::<FrameRow>().lazy());
    context.register(MemoryRow::TABLE, files::empty_frame::<MemoryRow>().lazy());
    context.register(PersonRow::TABLE, files::empty_frame::<PersonRow>().lazy());
    let mut answer = context.execute(sql).map_err(invalid(sql))?;
    let schema = answer.collect_schema().map_err(invalid(sql))?;
    Ok(schema.iter_names().map(ToString::to_string).collect())
}

fn invalid(sql: &str) -> impl Fn(PolarsError) -> TableError + '_ {
    |error| {
        // the lines after the first are Polars' partial query plan
        let message = error.to_string().lines().next().unwrap_or_default().to_string();
        TableError::Query { sql: normalize_whitespace(sql), message }
    }
}

fn normalize_whitespace(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_core::labels::Outcome;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let mut rows = Vec::new();
        for (mode, per_frame) in [("extract-memory", 1000), ("stream-sequential", 0)] {
            for frames in [60, 120, 240] {
                for repeat in 1..=2 {
                    let mut row = RunRow {
                        mode: mode.parse().ok(),
                        outcome: Outcome::Ok,
                        repeat,
                        frames: Some(frames),
                        ..RunRow::default()
                    };
                    row.metrics.host.heap_peak_bytes = Some(5000 + frames * per_frame + repeat % 2);
                    rows.push(row);
                }
            }
        }
        rows.push(RunRow {
            mode: "stream-seek".parse().ok(),
            outcome: Outcome::TimedOut,
            ..RunRow::default()
        });
        files::write_with_csv(folder.path(), &rows).unwrap();
        folder
    }

    #[test]
    fn slopes_counts_and_means() {
        let folder = folder();
        let tables = ReportTables::new(folder.path());
        let slope = "select covar_samp(heap_peak_bytes, frames) / var(frames) as bytes_per_frame
                     from runs where outcome = 'ok' and mode = 'extract-memory'";
        let slope = tables.query_number(slope).unwrap().unwrap();
        assert!((slope - 1000.0).abs() < 1e-6, "{slope}");
        let by = "select mode, count(*) as runs, avg(heap_peak_bytes) as heap,
                         covar_samp(heap_peak_bytes, frames) / var(frames) as slope
                  from runs where outcome = 'ok' group by mode order by mode";
        let by = tables.query(by).unwrap();
        assert_eq!((by.rows.len(), by.columns.len()), (2, 4));
        assert_eq!(
            tables.query_number("select count(*) from runs where outcome <> 'ok'").unwrap(),
            Some(1.0)
        );
        assert_eq!(tables.query_number("select avg(hota) from runs").unwrap(), None);
        assert_eq!(tables.query_number("select hota from runs where mode = 'none'").unwrap(), None);
    }

    #[test]
    fn a_folder_with_only_the_csv_file_gives_the_same_answers() {
        let folder = folder();
        let sql = "select sum(heap_peak_bytes) from runs where outcome = 'ok'";
        let whole = ReportTables::new(folder.path()).query_number(sql).unwrap();
        std::fs::remove_file(files::parquet_path::<RunRow>(folder.path())).unwrap();
        assert_eq!(ReportTables::new(folder.path()).query_number(sql).unwrap(), whole);
        assert!(ReportTables::new(folder.path()).query("select frame from frames").is_err());
    }

    #[test]
    fn common_table_expressions_joins_and_cases_work() {
        let folder = folder();
        let tables = ReportTables::new(folder.path());
        let spread = "with one as (select mode, max(heap_peak_bytes) - min(heap_peak_bytes) as spread
                                   from runs where outcome = 'ok' group by mode)
                      select max(spread) from one where mode like 'stream%'";
        assert_eq!(tables.query_number(spread).unwrap(), Some(1.0));
        let join = "select max(a.heap_peak_bytes * 1.0 / b.heap_peak_bytes) from runs as a
                    join runs as b on a.frames = b.frames and a.repeat = b.repeat
                    where a.mode = 'extract-memory' and b.mode = 'stream-sequential'";
        assert!(tables.query_number(join).unwrap().unwrap() > 40.0);
        let case = "select sum(case when outcome = 'ok' then 0 else 1 end) from runs";
        assert_eq!(tables.query_number(case).unwrap(), Some(1.0));
    }

    #[test]
    fn invalid_queries_are_refused_without_data() {
        assert!(check_query("select mode, frames from runs join frames using (run_id)").is_ok());
        assert!(check_query("select avg(heap_peak_bytes) from run").unwrap_err().to_string().contains("run"));
        let error = check_query("select heap_peak from runs").unwrap_err().to_string();
        assert!(error.contains("heap_peak"), "{error}");
        assert!(check_query("selec 1").is_err());
        let folder = folder();
        let error =
            ReportTables::new(folder.path()).query_number("select mode, frames from runs").unwrap_err();
        assert!(error.to_string().contains("one number is needed"), "{error}");
    }
}
