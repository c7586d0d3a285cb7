//! The rows of a query as plain values, from which tables and figures of a report are made.

use polars::prelude::{AnyValue, DataFrame};

/// One value of a query's answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Unknown; NaN becomes this, too.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number: an integer (exact up to 2^53) or a float.
    Number(f64),
    /// Text, or the printed form of any other type.
    Text(String),
}

/// Named columns and rows of values.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Grid {
    /// Column names.
    pub columns: Vec<String>,
    /// Rows, each as long as `columns`.
    pub rows: Vec<Vec<Value>>,
}

impl Value {
    /// The value as a number; truth values are 0 and 1.
    pub fn number(&self) -> Option<f64> {
        match self {
            Value::Number(number) => Some(*number),
            Value::Bool(yes) => Some(f64::from(u8::from(*yes))),
            Value::Null | Value::Text(_) => None,
        }
    }

    /// The value if it is text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            Value::Null | Value::Bool(_) | Value::Number(_) => None,
        }
    }

    /// The value as the name of a category; `None` for null.
    pub fn name(&self) -> Option<String> {
        match self {
            Value::Null => None,
            Value::Bool(yes) => Some(if *yes { "yes" } else { "no" }.to_string()),
            Value::Number(number) => Some(crate::format::significant(*number, 6)),
            Value::Text(text) => Some(text.clone()),
        }
    }
}

impl Grid {
    /// Converts a data frame. Numbers become `f64`; types other than numbers, text and truth values become their printed
    /// form.
    pub(super) fn from_frame(frame: &DataFrame) -> Grid {
        let columns = frame.columns();
        let rows = (0..frame.height())
            .map(|row| {
                columns.iter().map(|column| column.get(row).map_or(Value::Null, |v| convert(&v))).collect()
            })
            .collect();
        Grid { columns: columns.iter().map(|column| column.name().to_string()).collect(), rows }
    }

    /// Sorts the rows by all columns, left to right, so that a query without `order by` gives the same page every time.
    /// `run_id` is compared last, because it is a hash.
    pub fn sorted(mut self) -> Grid {
        let mut columns: Vec<usize> = (0..self.columns.len()).collect();
        columns.sort_by_key(|&column| self.columns[column] == "run_id");
        self.rows.sort_by(|a, b| {
            let unequal =
                columns.iter().map(|&column| compare(&a[column], &b[column])).find(|order| order.is_ne());
            unequal.unwrap_or(std::cmp::Ordering::Equal)
        });
        self
    }

    /// The index of a column.
    pub fn position(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|name| name == column)
    }
}

fn convert(value: &AnyValue) -> Value {
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

/// Orders null before truth values before numbers before text.
fn compare(a: &Value, b: &Value) -> std::cmp::Ordering {
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

    /// Run ids are hashes: another build would give another order of rows.
    #[test]
    fn run_ids_are_compared_last() {
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
    fn all_number_types_are_converted_and_nan_is_null() {
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
