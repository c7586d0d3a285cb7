//! The cells of a notebook: texts, tables, figures and claims.
//!
//! [`CellToml`] is a cell as it is in a file; [`Cell::from_toml`] checks it, its query included, and gives a [`Cell`].

mod toml_form;

pub use toml_form::{CellToml, InvalidCell};

use serde::{Deserialize, Serialize};

/// One block of the notebook, in the order of the file.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Markdown.
    Text(String),
    /// The rows of a query.
    Table(Table),
    /// A drawing of the rows of a query.
    Figure(Figure),
    /// A statement that a number supports or refutes.
    Claim(Claim),
}

impl Cell {
    /// The query of a table, figure or claim.
    pub fn sql(&self) -> Option<&str> {
        match self {
            Cell::Text(_) => None,
            Cell::Table(table) => Some(&table.sql),
            Cell::Figure(figure) => Some(&figure.sql),
            Cell::Claim(claim) => Some(&claim.sql),
        }
    }

    /// What the cell requires of the runs.
    pub fn requirement(&self) -> Option<Requirement> {
        match self {
            Cell::Text(_) => None,
            Cell::Table(table) => table.needs,
            Cell::Figure(figure) => figure.needs,
            Cell::Claim(claim) => claim.needs,
        }
    }
}

/// What a cell requires of the runs. A cell whose requirement is not met is shown as not measured, which is no failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Requirement {
    /// A run on a GPU.
    Cuda,
    /// A run of the published HMR2 network, whose weights have to be imported.
    Hmr2,
    /// A run of a published detector with imported weights.
    Detectors,
    /// The full experiment, not the smaller one of `--quick`.
    #[serde(rename = "whole")]
    FullSize,
}

impl Requirement {
    /// Why the requirement is not met.
    pub fn missing_reason(self) -> &'static str {
        match self {
            Requirement::Cuda => "no GPU",
            Requirement::Hmr2 => "HMR2's weights are not imported here",
            Requirement::Detectors => "no published detector's weights are imported here",
            Requirement::FullSize => "not part of the quick version",
        }
    }
}

/// A table of the rows of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Title above the table.
    pub title: String,
    /// Markdown below the table.
    pub note: Option<String>,
    /// The query.
    pub sql: String,
    /// What the table requires of the runs.
    pub needs: Option<Requirement>,
}

/// A drawing of the rows of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// How it is drawn.
    pub spec: FigureSpec,
    /// The query.
    pub sql: String,
    /// What the figure requires of the runs.
    pub needs: Option<Requirement>,
}

/// How a figure is drawn. Columns are those of the cell's query.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FigureSpec {
    /// Title above the figure.
    pub title: String,
    /// Kind of chart.
    pub kind: FigureKind,
    /// Column of the horizontal axis (`strip`: the run id; `timeline`: start time of an activity).
    pub x: String,
    /// `timeline` only: column with the end time of an activity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Column of the vertical axis (`timeline`: the worker, one lane each); `strip` has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
    /// Column that names series or layers (`timeline`: text on the bars; `strip`: captions).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Order of the values of `by` in the drawing and its legend. Other values follow in the order of the query.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<String>,
    /// Column with the lower end of an interval around `y`. With `high`, whiskers show this interval instead of the
    /// range of repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<String>,
    /// Column with the upper end of the interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<String>,
    /// Label of the horizontal axis; without it the column's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x_label: Option<String>,
    /// Label of the vertical axis; without it the column's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y_label: Option<String>,
    /// Whether the vertical axis is logarithmic.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub log_y: bool,
    /// Markdown below the figure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Kinds of figures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FigureKind {
    /// Points connected in the order of `x`.
    #[default]
    Line,
    /// Unconnected points.
    Scatter,
    /// Grouped bars, one group per `x`.
    Bar,
    /// Stacked bars, one stack per `x`, one layer per `by`.
    Stack,
    /// Activities over time: one lane per `y`, one bar per row.
    Timeline,
    /// Selected frames of every run that the query names.
    #[serde(rename = "strip")]
    ContactSheet,
}

/// A statement with the range of numbers that supports it.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// The statement, as inline Markdown.
    pub statement: String,
    /// Origin of the statement.
    pub source: Option<String>,
    /// A query for one number.
    pub sql: String,
    /// The range of numbers for which the claim holds.
    pub holds: Bounds,
    /// The expected verdict.
    pub expect: Verdict,
    /// What the claim requires of the runs.
    pub needs: Option<Requirement>,
}

/// The range of numbers for which a claim holds: all given bounds must be met.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// The number is less than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
    /// The number is greater than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
    /// The number is this or less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// The number is this or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// The number is exactly this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<f64>,
    /// Unit of the number.
    pub unit: String,
}

impl Bounds {
    /// Whether at least one bound is given. Without one no number could refute the claim.
    fn has_bound(&self) -> bool {
        [self.below, self.above, self.at_most, self.at_least, self.equals].iter().any(Option::is_some)
    }

    /// The verdict on `number`; [`Verdict::Unknown`] for a missing number and for NaN.
    pub fn verdict(&self, number: Option<f64>) -> Verdict {
        let Some(number) = number.filter(|number| !number.is_nan()) else { return Verdict::Unknown };
        let within = |bound: Option<f64>, holds: fn(f64, f64) -> bool| bound.is_none_or(|b| holds(number, b));
        let all = within(self.below, |n, b| n < b)
            && within(self.above, |n, b| n > b)
            && within(self.at_most, |n, b| n <= b)
            && within(self.at_least, |n, b| n >= b)
            && within(self.equals, |n, b| n == b);
        if all { Verdict::Holds } else { Verdict::Refuted }
    }

    /// The bounds as text, such as `below 1024 bytes per frame`.
    pub fn describe(&self) -> String {
        let bounds = [
            ("below", self.below),
            ("above", self.above),
            ("at most", self.at_most),
            ("at least", self.at_least),
            ("exactly", self.equals),
        ];
        let parts: Vec<String> =
            bounds.iter().filter_map(|(word, bound)| bound.map(|bound| format!("{word} {bound}"))).collect();
        format!("{} {}", parts.join(" and "), self.unit)
    }
}

/// Result of the test of a claim.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The number is within the bounds.
    #[default]
    Holds,
    /// The number is outside of the bounds.
    Refuted,
    /// The query gave no number, because its runs failed or were not made. Cannot be expected.
    #[serde(skip_deserializing)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_holds_if_all_bounds_are_met() {
        let holds = Bounds {
            at_least: Some(0.98),
            at_most: Some(1.02),
            unit: "of a frame".into(),
            ..Bounds::default()
        };
        assert_eq!(holds.verdict(Some(1.02)), Verdict::Holds);
        assert_eq!(holds.verdict(Some(1.03)), Verdict::Refuted);
        assert_eq!(holds.verdict(None), Verdict::Unknown);
        assert_eq!(holds.verdict(Some(f64::NAN)), Verdict::Unknown);
        assert_eq!(holds.describe(), "at most 1.02 and at least 0.98 of a frame");
    }
}
