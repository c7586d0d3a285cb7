//! The cells of a notebook: text, tables, figures and claims, checked.

use serde::{Deserialize, Serialize};

/// One block of the notebook, in the order of the file.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Markdown.
    Text(String),
    Table(Table),
    Figure(Figure),
    Claim(Claim),
}

impl Cell {
    /// The cell's query, where it has one.
    pub fn sql(&self) -> Option<&str> {
        match self {
            Cell::Text(_) => None,
            Cell::Table(table) => Some(&table.sql),
            Cell::Figure(figure) => Some(&figure.sql),
            Cell::Claim(claim) => Some(&claim.sql),
        }
    }
}

impl Cell {
    /// What the cell cannot do without.
    pub fn needs(&self) -> Option<Needs> {
        match self {
            Cell::Text(_) => None,
            Cell::Table(table) => table.needs,
            Cell::Figure(figure) => figure.needs,
            Cell::Claim(claim) => claim.needs,
        }
    }
}

/// What a cell cannot be answered without. Where it is missing the cell says so, and nothing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Needs {
    /// A run on a graphics card.
    Cuda,
    /// A run of the published network, whose weights have to be imported.
    Hmr2,
    /// The whole experiment, and not the smaller one of `--quick`.
    Whole,
}

impl Needs {
    /// What is missing, in words.
    pub fn missing(self) -> &'static str {
        match self {
            Needs::Cuda => "no graphics card",
            Needs::Hmr2 => "HMR2's weights are not imported here",
            Needs::Whole => "the quick version leaves it out",
        }
    }
}

/// What a query gave, as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    pub title: String,
    /// Markdown under the table.
    pub note: Option<String>,
    pub sql: String,
    pub needs: Option<Needs>,
}

/// What a query gave, drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    pub spec: FigureSpec,
    pub sql: String,
    pub needs: Option<Needs>,
}

/// How a figure is drawn. The columns that it names come from the cell's query.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FigureSpec {
    pub title: String,
    pub kind: FigureKind,
    /// The column along the horizontal axis (for `strip`: the column with the run's id; for `timeline`: when
    /// something began).
    pub x: String,
    /// For `timeline`: the column that says when it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The column along the vertical axis (for `timeline`: who was at work); `strip` has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
    /// The column that tells one line, colour or strip from another (for `timeline`: what stands on a bar).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The values of `by` in the order that layers, lines and bars are drawn and listed in. Those that are not
    /// named follow, in the order of the query's answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<String>,
    /// The columns with the ends of an interval around `y`: whiskers in place of the smallest and the largest
    /// repeat. Both or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x_label: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y_label: Option<String>,
    /// A vertical axis by powers of ten.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub log_y: bool,
    /// Markdown under the figure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The kinds of figure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FigureKind {
    /// Points joined in the order of `x`.
    #[default]
    Line,
    /// Points alone.
    Scatter,
    /// Bars side by side, one group per `x`.
    Bar,
    /// Bars upon each other, one stack per `x`, one layer per `by`.
    Stack,
    /// Who was at work from when to when: a lane per `y`, a bar per row.
    Timeline,
    /// The film strip of every run that the query names.
    Strip,
}

/// A statement with the numbers that would refute it.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    pub statement: String,
    /// Who says so, and where.
    pub source: Option<String>,
    /// Gives one number.
    pub sql: String,
    pub holds: Holds,
    pub expect: Verdict,
    pub needs: Option<Needs>,
}

/// The range in which a claim's number must lie: every bound that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holds {
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
    /// What the number counts.
    pub unit: String,
}

impl Holds {
    /// Whether at least one bound is given: without any, nothing could refute the claim.
    pub fn has_bound(&self) -> bool {
        [self.below, self.above, self.at_most, self.at_least, self.equals].iter().any(Option::is_some)
    }

    /// The verdict on `number`. A number that is not there, or not a number, is [`Verdict::Unknown`].
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

    /// The bounds in words, such as `below 1024 bytes per frame`.
    pub fn in_words(&self) -> String {
        let bounds = [
            ("below", self.below),
            ("above", self.above),
            ("at most", self.at_most),
            ("at least", self.at_least),
            ("exactly", self.equals),
        ];
        let words: Vec<String> =
            bounds.iter().filter_map(|(word, bound)| bound.map(|bound| format!("{word} {bound}"))).collect();
        format!("{} {}", words.join(" and "), self.unit)
    }
}

/// What became of a claim.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    #[default]
    Holds,
    Refuted,
    /// The query gave no number: the runs that it needs failed or were not run. Never expected.
    #[serde(skip_deserializing)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_holds_within_all_its_bounds() {
        let holds = Holds {
            at_least: Some(0.98),
            at_most: Some(1.02),
            unit: "of a frame".into(),
            ..Holds::default()
        };
        assert_eq!(holds.verdict(Some(1.02)), Verdict::Holds);
        assert_eq!(holds.verdict(Some(1.03)), Verdict::Refuted);
        assert_eq!(holds.verdict(None), Verdict::Unknown);
        assert_eq!(holds.verdict(Some(f64::NAN)), Verdict::Unknown);
        assert_eq!(holds.in_words(), "at most 1.02 and at least 0.98 of a frame");
    }
}
