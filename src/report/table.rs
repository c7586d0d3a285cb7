//! A query's rows as a table to read: one unit and one precision per column, unknown as a dash.
//!
//! Must not know where on the page it stands.

use super::format::{self, ABSENT};
use super::grid::{Grid, Value};
use super::markup;
use super::quantity::{Quantity, Unit};
use maud::{Markup, html};

/// A table of finished texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    pub heads: Vec<String>,
    /// Which columns are numbers, to be aligned at the right.
    pub numeric: Vec<bool>,
    pub rows: Vec<Vec<String>>,
}

/// Numbers of one column that differ by more than this get units and digits of their own.
const WIDE: f64 = 1e4;

impl Shown {
    pub fn of(grid: &Grid) -> Shown {
        let mut shown =
            Shown { heads: Vec::new(), numeric: Vec::new(), rows: vec![Vec::new(); grid.rows.len()] };
        for (at, name) in grid.columns.iter().enumerate() {
            let values: Vec<&Value> = grid.rows.iter().map(|row| &row[at]).collect();
            let column = Column::of(name, &values);
            shown.heads.push(column.head.clone());
            shown.numeric.push(column.numeric);
            for (row, value) in shown.rows.iter_mut().zip(values) {
                row.push(column.text(value));
            }
        }
        shown
    }

    /// As HTML; on a narrow page it scrolls by itself. `label` is for those who cannot see it.
    pub fn html(&self, label: &str) -> Markup {
        html! {
            div.table role="region" aria-label=(label) tabindex="0" {
                table {
                    thead { tr { @for (head, numeric) in self.heads.iter().zip(&self.numeric) {
                        th scope="col" class=[numeric.then_some("n")] { (unbroken(head)) }
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

    /// As a Markdown table whose source is aligned too.
    pub fn markdown(&self) -> String {
        let escape =
            |row: &[String]| row.iter().map(|cell| markup::markdown_escaped(cell)).collect::<Vec<_>>();
        let heads = escape(&self.heads);
        let rows: Vec<Vec<String>> = self.rows.iter().map(|row| escape(row)).collect();
        let width = |at: usize| {
            rows.iter().chain([&heads]).map(|row| row[at].chars().count()).max().unwrap_or(0).max(3)
        };
        let widths: Vec<usize> = (0..heads.len()).map(width).collect();
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
        let mut out = line(&heads);
        out.push_str(&format!("| {} |\n", rule.collect::<Vec<_>>().join(" | ")));
        rows.iter().for_each(|row| out.push_str(&line(row)));
        out
    }
}

/// A head that is broken between its words alone.
fn unbroken(head: &str) -> String {
    head.replace('-', "\u{2011}")
}

fn class_of(cell: &str, numeric: bool) -> Option<&'static str> {
    match (numeric, cell == ABSENT) {
        (true, false) => Some("n"),
        (true, true) => Some("n absent"),
        (false, true) => Some("absent"),
        (false, false) => None,
    }
}

/// How one column's values become text.
struct Column {
    head: String,
    numeric: bool,
    quantity: Quantity,
    /// Factor and decimals shared by all values; `None` when each has its own.
    shared: Option<(f64, usize)>,
    /// Hashes are shortened.
    hash: bool,
}

impl Column {
    fn of(name: &str, values: &[&Value]) -> Column {
        let quantity = Quantity::of_column(name);
        let hash = name.ends_with("sha256") || name.ends_with("git_hash");
        let text = values.iter().any(|value| matches!(value, Value::Text(_) | Value::Bool(_)));
        let numbers: Vec<f64> =
            values.iter().filter_map(|value| value.number()).filter(|number| number.is_finite()).collect();
        if text || numbers.is_empty() {
            let head = quantity.heading(&if numbers.is_empty() && !text {
                quantity.shown_unit(0.0).0
            } else {
                String::new()
            });
            return Column { head, numeric: !text, quantity, shared: None, hash };
        }
        let mut sizes: Vec<f64> =
            numbers.iter().map(|number| number.abs()).filter(|size| *size > 0.0).collect();
        sizes.sort_by(f64::total_cmp);
        let (smallest, largest) =
            (sizes.first().copied().unwrap_or(0.0), sizes.last().copied().unwrap_or(0.0));
        let whole = numbers.iter().all(|number| number.fract() == 0.0);
        let (unit, factor) = quantity.shown_unit(largest);
        if largest > WIDE * smallest && !(whole && matches!(quantity.unit, Unit::None | Unit::Word(_)))
            || largest >= 1e12
        {
            let head = quantity.label.clone();
            return Column { head, numeric: true, quantity, shared: None, hash };
        }
        let middle = if sizes.is_empty() { 0.0 } else { format::quantile(&sizes, 0.5) };
        let places = if whole && factor == 1.0 { 0 } else { format::decimals_for(middle * factor, 3).min(6) };
        Column {
            head: quantity.heading(&unit),
            numeric: true,
            quantity,
            shared: Some((factor, places)),
            hash,
        }
    }

    fn text(&self, value: &Value) -> String {
        match (value, self.shared) {
            (Value::Null, _) => ABSENT.to_string(),
            (Value::Number(0.0), Some(_)) => "0".to_string(),
            (Value::Number(number), Some((factor, places))) if number.is_finite() => {
                let text = format::decimals(number * factor, places);
                // a value that its column's precision would hide says more of itself
                let hidden = *number != 0.0 && !text.bytes().any(|byte| (b'1'..=b'9').contains(&byte));
                if hidden { format::significant(number * factor, 1) } else { text }
            }
            (Value::Number(number), _) => self.quantity.show(*number),
            (Value::Bool(yes), _) => if *yes { "yes" } else { "no" }.to_string(),
            (Value::Text(text), _) if self.hash => text.chars().take(12).collect(),
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
        let shown = Shown::of(&grid(
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
        let shown = Shown::of(&grid(
            &["error"],
            vec![vec![Value::Text("<b>no & \"yes\"".into())], vec![Value::Null]],
        ));
        let html = shown.html("errors").into_string();
        assert!(html.contains("&lt;b&gt;no &amp; &quot;yes&quot;"), "{html}");
        assert!(html.contains("class=\"absent\">–"), "{html}");
    }

    #[test]
    fn an_empty_answer_is_a_table_of_heads() {
        let shown = Shown::of(&grid(&["mode", "wall_secs"], Vec::new()));
        assert_eq!(shown.markdown().lines().count(), 2);
    }
}
