//! Formats the rows of a query as a table: one unit and one precision per column, a dash for missing values.

use super::markup;
use super::quantile::quantile;
use super::quantity::{Quantity, Unit};
use crate::format::{self, ABSENT};
use crate::tables::{Grid, Value};
use maud::{Markup, html};

/// A table of formatted cells.
#[derive(Debug, Clone, PartialEq)]
pub struct FormattedTable {
    /// Column headings with units.
    pub headings: Vec<String>,
    /// For each column whether it holds numbers, which are right-aligned.
    pub numeric: Vec<bool>,
    /// Rows of formatted cells.
    pub rows: Vec<Vec<String>>,
}

/// If the numbers of a column differ by more than this factor, each gets its own unit and precision.
const WIDE_RATIO: f64 = 1e4;

impl FormattedTable {
    /// Formats the rows of `grid`.
    pub fn new(grid: &Grid) -> FormattedTable {
        let mut table = FormattedTable {
            headings: Vec::new(),
            numeric: Vec::new(),
            rows: vec![Vec::new(); grid.rows.len()],
        };
        for (index, name) in grid.columns.iter().enumerate() {
            let values: Vec<&Value> = grid.rows.iter().map(|row| &row[index]).collect();
            let column = ColumnFormat::new(name, &values);
            table.headings.push(column.heading.clone());
            table.numeric.push(column.numeric);
            for (row, value) in table.rows.iter_mut().zip(values) {
                row.push(column.format(value));
            }
        }
        table
    }

    /// The table as HTML, scrollable on narrow pages. `label` is its accessible name.
    pub fn html(&self, label: &str) -> Markup {
        html! {
            div.table role="region" aria-label=(label) tabindex="0" {
                table {
                    thead { tr { @for (heading, numeric) in self.headings.iter().zip(&self.numeric) {
                        th scope="col" class=[numeric.then_some("n")] { (with_hard_hyphens(heading)) }
                    } } }
                    tbody { @for row in &self.rows { tr {
                        @for (cell, numeric) in row.iter().zip(&self.numeric) {
                            td class=[class_of(cell, *numeric)] { (cell) }
                        }
                    } } }
                }
            }
        }
    }

    /// The table as Markdown, with aligned source.
    pub fn markdown(&self) -> String {
        let escape =
            |row: &[String]| row.iter().map(|cell| markup::escape_markdown(cell)).collect::<Vec<_>>();
        let headings = escape(&self.headings);
        let rows: Vec<Vec<String>> = self.rows.iter().map(|row| escape(row)).collect();
        let width = |index: usize| {
            rows.iter().chain([&headings]).map(|row| row[index].chars().count()).max().unwrap_or(0).max(3)
        };
        let widths: Vec<usize> = (0..headings.len()).map(width).collect();
        let line = |cells: &[String]| {
            let padded = cells.iter().zip(&widths).zip(&self.numeric).map(|((cell, &width), numeric)| {
                if *numeric { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            });
            format!("| {} |\n", padded.collect::<Vec<_>>().join(" | "))
        };
        let rule = widths.iter().zip(&self.numeric).map(|(&width, numeric)| {
            let dashes = "-".repeat(width - usize::from(*numeric));
            if *numeric { format!("{dashes}:") } else { dashes }
        });
        let mut out = line(&headings);
        out.push_str(&format!("| {} |\n", rule.collect::<Vec<_>>().join(" | ")));
        rows.iter().for_each(|row| out.push_str(&line(row)));
        out
    }
}

/// A heading with non-breaking hyphens, so that lines break only between words.
fn with_hard_hyphens(heading: &str) -> String {
    heading.replace('-', "\u{2011}")
}

fn class_of(cell: &str, numeric: bool) -> Option<&'static str> {
    match (numeric, cell == ABSENT) {
        (true, false) => Some("n"),
        (true, true) => Some("n absent"),
        (false, true) => Some("absent"),
        (false, false) => None,
    }
}

/// How the values of one column are formatted.
struct ColumnFormat {
    heading: String,
    numeric: bool,
    quantity: Quantity,
    /// Factor and decimals shared by all values; `None` if each value has its own.
    shared: Option<(f64, usize)>,
    /// Whether values are hashes, which are shortened.
    is_hash: bool,
}

impl ColumnFormat {
    fn new(name: &str, values: &[&Value]) -> ColumnFormat {
        let quantity = Quantity::from_column_name(name);
        let is_hash = name.ends_with("sha256") || name.ends_with("git_hash");
        let text = values.iter().any(|value| matches!(value, Value::Text(_) | Value::Bool(_)));
        let numbers: Vec<f64> =
            values.iter().filter_map(|value| value.number()).filter(|number| number.is_finite()).collect();
        if text || numbers.is_empty() {
            let heading = quantity.heading(&if numbers.is_empty() && !text {
                quantity.display_unit(0.0).0
            } else {
                String::new()
            });
            return ColumnFormat { heading, numeric: !text, quantity, shared: None, is_hash };
        }
        let mut sizes: Vec<f64> =
            numbers.iter().map(|number| number.abs()).filter(|size| *size > 0.0).collect();
        sizes.sort_by(f64::total_cmp);
        let (smallest, largest) =
            (sizes.first().copied().unwrap_or(0.0), sizes.last().copied().unwrap_or(0.0));
        let whole = numbers.iter().all(|number| number.fract() == 0.0);
        let (unit, factor) = quantity.display_unit(largest);
        if largest > WIDE_RATIO * smallest && !(whole && matches!(quantity.unit, Unit::None | Unit::Word(_)))
            || largest >= 1e12
        {
            let heading = quantity.label.clone();
            return ColumnFormat { heading, numeric: true, quantity, shared: None, is_hash };
        }
        let middle = if sizes.is_empty() { 0.0 } else { quantile(&sizes, 0.5) };
        let places = if whole && factor == 1.0 { 0 } else { format::decimals_for(middle * factor, 3).min(6) };
        ColumnFormat {
            heading: quantity.heading(&unit),
            numeric: true,
            quantity,
            shared: Some((factor, places)),
            is_hash,
        }
    }

    fn format(&self, value: &Value) -> String {
        match (value, self.shared) {
            (Value::Null, _) => ABSENT.to_string(),
            (Value::Number(0.0), Some(_)) => "0".to_string(),
            (Value::Number(number), Some((factor, places))) if number.is_finite() => {
                let text = format::decimals(number * factor, places);
                // a value that would round to 0 gets one significant digit
                let hidden = *number != 0.0 && !text.bytes().any(|byte| (b'1'..=b'9').contains(&byte));
                if hidden { format::significant(number * factor, 1) } else { text }
            }
            (Value::Number(number), _) => self.quantity.format(*number),
            (Value::Bool(yes), _) => if *yes { "yes" } else { "no" }.to_string(),
            (Value::Text(text), _) if self.is_hash => text.chars().take(12).collect(),
            (Value::Text(text), _) => text.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(columns: &[&str], rows: Vec<Vec<Value>>) -> Grid {
        Grid { columns: columns.iter().map(ToString::to_string).collect(), rows }
    }

    #[test]
    fn a_column_has_one_unit_and_one_precision() {
        let text = |text: &str| Value::Text(text.into());
        let shown = FormattedTable::new(&grid(
            &["mode", "frames", "heap_peak_bytes", "hota", "bytes_per_frame"],
            vec![
                vec![
                    text("a|b"),
                    Value::Number(60.0),
                    Value::Number(1.2e8),
                    Value::Number(0.8123),
                    Value::Number(691200.4),
                ],
                vec![text("c"), Value::Number(1300.0), Value::Number(9.0e8), Value::Null, Value::Number(0.0)],
                vec![
                    Value::Null,
                    Value::Null,
                    Value::Number(3.0e8),
                    Value::Number(0.00001),
                    Value::Number(-3.0),
                ],
            ],
        ));
        insta::assert_snapshot!(shown.markdown(), @r"
        | mode | frames | heap peak (MiB) |        HOTA |             memory |
        | ---- | -----: | --------------: | ----------: | -----------------: |
        | a\|b |     60 |             114 |       0.812 |  675 KiB per frame |
        | c    |  1,300 |             858 |           – |  0 bytes per frame |
        | –    |      – |             286 | 1.00 × 10⁻⁵ | −3 bytes per frame |
        ");
    }

    #[test]
    fn html_is_escaped() {
        let shown = FormattedTable::new(&grid(
            &["error"],
            vec![vec![Value::Text("<b>no & \"yes\"".into())], vec![Value::Null]],
        ));
        let html = shown.html("errors").into_string();
        assert!(html.contains("&lt;b&gt;no &amp; &quot;yes&quot;"), "{html}");
        assert!(html.contains("class=\"absent\">–"), "{html}");
    }

    #[test]
    fn an_empty_answer_is_a_table_of_headings() {
        let shown = FormattedTable::new(&grid(&["mode", "wall_secs"], Vec::new()));
        assert_eq!(shown.markdown().lines().count(), 2);
    }
}
