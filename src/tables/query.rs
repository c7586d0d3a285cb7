//! SQL over the tables of a folder: Polars' own dialect, with `runs`, `frames`, `memory`, `people`.
//!
//! A slope is `covar_samp(y, x) / var(x)`: the least-squares line's, which is what "bytes per frame"
//! asks for.

use super::column::Row;
use super::rows::{FrameRow, MemoryRow, PersonRow, RunRow};
use super::{TableError, csv, files};
use polars::prelude::*;
use polars::sql::{SQLContext, extract_table_identifiers};
use std::path::{Path, PathBuf};

/// The tables of one report folder.
#[derive(Debug, Clone)]
pub struct Tables {
    folder: PathBuf,
}

impl Tables {
    /// The tables in `folder`. They are read when a query names them.
    pub fn of(folder: &Path) -> Tables {
        Tables { folder: folder.to_path_buf() }
    }

    /// What `sql` answers.
    ///
    /// # Errors
    /// If the query is wrong, or a table that it names is missing or damaged.
    pub fn sql(&self, sql: &str) -> Result<DataFrame, TableError> {
        let mut context = SQLContext::new();
        let named = extract_table_identifiers(sql, false, true).map_err(wrong(sql))?;
        self.register::<RunRow>(&mut context, &named)?;
        self.register::<FrameRow>(&mut context, &named)?;
        self.register::<MemoryRow>(&mut context, &named)?;
        self.register::<PersonRow>(&mut context, &named)?;
        context.execute(sql).and_then(LazyFrame::collect).map_err(wrong(sql))
    }

    /// The one number that `sql` answers; `None` for null and for no rows.
    ///
    /// # Errors
    /// As [`Tables::sql`], and if the answer is not one column of numbers with one row.
    pub fn number(&self, sql: &str) -> Result<Option<f64>, TableError> {
        let frame = self.sql(sql)?;
        let several = |got: String| TableError::NotANumber { sql: tidy(sql), got };
        if frame.width() != 1 || frame.height() > 1 {
            return Err(several(format!("{} columns and {} rows", frame.width(), frame.height())));
        }
        let column = &frame.columns()[0];
        if column.is_empty() || column.null_count() == 1 {
            return Ok(None);
        }
        let number = column.cast(&DataType::Float64).map_err(|error| several(error.to_string()))?;
        Ok(number.f64().map_err(|error| several(error.to_string()))?.get(0))
    }

    fn register<R: Row>(&self, context: &mut SQLContext, named: &[String]) -> Result<(), TableError> {
        if named.iter().any(|name| name == R::TABLE) {
            // a report that git keeps has its table of runs as CSV alone
            let only_csv =
                !files::parquet_path::<R>(&self.folder).exists() && csv::csv_path::<R>(&self.folder).exists();
            let table =
                if only_csv { csv::read::<R>(&self.folder) } else { files::read::<R>(&self.folder, None) };
            context.register(R::TABLE, table?.lazy());
        }
        Ok(())
    }
}

/// Checks a query without any data: its grammar, its tables, its columns.
///
/// # Errors
/// Says what is wrong with it.
pub fn check(sql: &str) -> Result<(), TableError> {
    columns(sql).map(|_| ())
}

/// The names of the columns that `sql` answers, found without any data.
///
/// # Errors
/// As [`check`].
pub fn columns(sql: &str) -> Result<Vec<String>, TableError> {
    let mut context = SQLContext::new();
    context.register(RunRow::TABLE, files::empty::<RunRow>().lazy());
    context.register(FrameRow::TABLE, files::empty::<FrameRow>().lazy());
    context.register(MemoryRow::TABLE, files::empty::<MemoryRow>().lazy());
    context.register(PersonRow::TABLE, files::empty::<PersonRow>().lazy());
    let mut answer = context.execute(sql).map_err(wrong(sql))?;
    let schema = answer.collect_schema().map_err(wrong(sql))?;
    Ok(schema.iter_names().map(ToString::to_string).collect())
}

fn wrong(sql: &str) -> impl Fn(PolarsError) -> TableError + '_ {
    |error| {
        // what follows the first line is the plan that polars had made so far
        let message = error.to_string().lines().next().unwrap_or_default().to_string();
        TableError::Query { sql: tidy(sql), message }
    }
}

fn tidy(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let mut rows = Vec::new();
        for (mode, per_frame) in [("extract memory", 1000), ("stream sequential", 0)] {
            for frames in [60, 120, 240] {
                for repeat in 1..=2 {
                    rows.push(RunRow {
                        mode: mode.into(),
                        outcome: "ok".into(),
                        repeat,
                        frames: Some(frames),
                        heap_peak_bytes: Some(5000 + frames * per_frame + repeat % 2),
                        ..RunRow::default()
                    });
                }
            }
        }
        rows.push(RunRow { mode: "stream seek".into(), outcome: "timed_out".into(), ..RunRow::default() });
        files::write_with_csv(folder.path(), &rows).unwrap();
        folder
    }

    #[test]
    fn slopes_counts_and_means() {
        let folder = folder();
        let tables = Tables::of(folder.path());
        let slope = "select covar_samp(heap_peak_bytes, frames) / var(frames) as bytes_per_frame
                     from runs where outcome = 'ok' and mode = 'extract memory'";
        let slope = tables.number(slope).unwrap().unwrap();
        assert!((slope - 1000.0).abs() < 1e-6, "{slope}");
        let by = "select mode, count(*) as runs, avg(heap_peak_bytes) as heap,
                         covar_samp(heap_peak_bytes, frames) / var(frames) as slope
                  from runs where outcome = 'ok' group by mode order by mode";
        let by = tables.sql(by).unwrap();
        assert_eq!((by.height(), by.width()), (2, 4));
        assert_eq!(tables.number("select count(*) from runs where outcome <> 'ok'").unwrap(), Some(1.0));
        assert_eq!(tables.number("select avg(hota) from runs").unwrap(), None);
        assert_eq!(tables.number("select hota from runs where mode = 'none'").unwrap(), None);
    }

    #[test]
    fn a_folder_with_the_csv_alone_gives_the_same_answers() {
        let folder = folder();
        let sql = "select sum(heap_peak_bytes) from runs where outcome = 'ok'";
        let whole = Tables::of(folder.path()).number(sql).unwrap();
        std::fs::remove_file(files::parquet_path::<RunRow>(folder.path())).unwrap();
        assert_eq!(Tables::of(folder.path()).number(sql).unwrap(), whole);
        assert!(Tables::of(folder.path()).sql("select frame from frames").is_err());
    }

    #[test]
    fn the_dialect_has_what_claims_need() {
        let folder = folder();
        let tables = Tables::of(folder.path());
        let spread = "with one as (select mode, max(heap_peak_bytes) - min(heap_peak_bytes) as spread
                                   from runs where outcome = 'ok' group by mode)
                      select max(spread) from one where mode like 'stream%'";
        assert_eq!(tables.number(spread).unwrap(), Some(1.0));
        let join = "select max(a.heap_peak_bytes * 1.0 / b.heap_peak_bytes) from runs as a
                    join runs as b on a.frames = b.frames and a.repeat = b.repeat
                    where a.mode = 'extract memory' and b.mode = 'stream sequential'";
        assert!(tables.number(join).unwrap().unwrap() > 40.0);
        let case = "select sum(case when outcome = 'ok' then 0 else 1 end) from runs";
        assert_eq!(tables.number(case).unwrap(), Some(1.0));
    }

    #[test]
    fn wrong_queries_are_refused_without_data() {
        assert!(check("select mode, frames from runs join frames using (run_id)").is_ok());
        assert!(check("select avg(heap_peak_bytes) from run").unwrap_err().to_string().contains("run"));
        let error = check("select heap_peak from runs").unwrap_err().to_string();
        assert!(error.contains("heap_peak"), "{error}");
        assert!(check("selec 1").is_err());
        let folder = folder();
        let error = Tables::of(folder.path()).number("select mode, frames from runs").unwrap_err();
        assert!(error.to_string().contains("one number is needed"), "{error}");
    }
}
