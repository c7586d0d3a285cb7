//! A query's answer as plain rows: what tables, figures and claims are made of.
//!
//! The only file of the report that knows Polars' types. Must not know what is drawn from it.

use polars::prelude::{AnyValue, DataFrame};

/// One value. NaN counts as [`Value::Null`]: both say that nothing is known.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
}

/// Named columns and rows of values, every row as long as `columns`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Grid {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Value>>,
}

impl Value {
    pub fn number(&self) -> Option<f64> {
        match self {
            Value::Number(number) => Some(*number),
            Value::Bool(yes) => Some(f64::from(u8::from(*yes))),
            Value::Null | Value::Text(_) => None,
        }
    }

    /// The value as the name of a category; `None` when unknown.
    pub fn name(&self) -> Option<String> {
        match self {
            Value::Null => None,
            Value::Bool(yes) => Some(if *yes { "yes" } else { "no" }.to_string()),
            Value::Number(number) => Some(super::format::significant(*number, 6)),
            Value::Text(text) => Some(text.clone()),
        }
    }
}

impl Grid {
    /// Copies an answer out of Polars. Text stays text, every kind of number becomes an `f64`
    /// (whole numbers are exact up to 2^53), anything else its printed form.
    pub fn from_frame(frame: &DataFrame) -> Grid {
        let columns = frame.columns();
        let rows = (0..frame.height())
            .map(|row| {
                columns.iter().map(|column| column.get(row).map_or(Value::Null, |v| plain(&v))).collect()
            })
            .collect();
        Grid { columns: columns.iter().map(|column| column.name().to_string()).collect(), rows }
    }

    /// Sorts the rows by all columns, left to right: for queries that do not say an order, so that
    /// the same tables give the same page. A run's id says nothing, and is compared last.
    pub fn sorted(mut self) -> Grid {
        let mut columns: Vec<usize> = (0..self.columns.len()).collect();
        columns.sort_by_key(|&column| self.columns[column] == "run_id");
        self.rows.sort_by(|a, b| {
            let unequal = columns.iter().map(|&at| order(&a[at], &b[at])).find(|order| order.is_ne());
            unequal.unwrap_or(std::cmp::Ordering::Equal)
        });
        self
    }

    /// Where a column stands.
    pub fn position(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|name| name == column)
    }
}

fn plain(value: &AnyValue) -> Value {
    match value {
        AnyValue::Null => Value::Null,
        AnyValue::Boolean(yes) => Value::Bool(*yes),
        AnyValue::String(text) => Value::Text((*text).to_string()),
        AnyValue::StringOwned(text) => Value::Text(text.to_string()),
        other => match other.extract::<f64>() {
            Some(number) if number.is_nan() => Value::Null,
            Some(number) => Value::Number(number),
            None => Value::Text(other.to_string()),
        },
    }
}

/// Unknown before truth values before numbers before text.
fn order(a: &Value, b: &Value) -> std::cmp::Ordering {
    let rank = |value: &Value| match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::Text(_) => 3,
    };
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.total_cmp(b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        _ => rank(a).cmp(&rank(b)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polars::prelude::{Column, NamedFrom, Series};

    /// Runs' ids are hashes: another build would put the rows into another order.
    #[test]
    fn a_runs_id_is_compared_last() {
        let text = |text: &str| Value::Text(text.to_string());
        let columns = ["run_id", "mode"].map(String::from).to_vec();
        let rows = vec![
            vec![text("1f"), text("seek")],
            vec![text("9a"), text("jpeg")],
            vec![text("2b"), text("seek")],
        ];
        let grid = Grid { columns, rows }.sorted();
        let ids: Vec<Option<String>> = grid.rows.iter().map(|row| row[0].name()).collect();
        assert_eq!(ids.iter().flatten().collect::<Vec<_>>(), ["9a", "1f", "2b"]);
    }

    #[test]
    fn every_kind_of_number_and_no_nan() {
        let frame = DataFrame::new_infer_height(vec![
            Column::from(Series::new("mode".into(), ["b", "a"])),
            Column::from(Series::new("frames".into(), [60_i64, 120])),
            Column::from(Series::new("mib".into(), [f64::NAN, 1.5])),
            Column::from(Series::new("ok".into(), [Some(true), None])),
        ])
        .unwrap();
        let grid = Grid::from_frame(&frame).sorted();
        let text = |text: &str| Value::Text(text.to_string());
        assert_eq!(grid.columns, ["mode", "frames", "mib", "ok"]);
        assert_eq!(grid.rows[0], [text("a"), Value::Number(120.0), Value::Number(1.5), Value::Null]);
        assert_eq!(grid.rows[1], [text("b"), Value::Number(60.0), Value::Null, Value::Bool(true)]);
    }
}
