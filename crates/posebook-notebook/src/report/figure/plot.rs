//! Converts the rows of a query into panels of series of points, with repeats of a point combined.
//!
//! Besides the columns that the figure names, two optional ones are used: `panel` splits the figure into panels side by
//! side, and `run_id` keeps the lines of different runs apart (for samples over time).

use super::super::quantile::quantile;
use super::super::quantity::{Quantity, Unit};
use crate::cell::{FigureKind, FigureSpec};
use crate::format;
use crate::tables::{Grid, Value};

/// Why rows cannot be plotted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlotError {
    /// The figure has no column for its vertical axis.
    #[error("the figure names no column for `y`")]
    NoY,
    /// An order of series without a column that names them.
    #[error("the figure has an `order` for the values of `by`, but names no column for `by`")]
    OrderWithoutBy,
    /// A column is not in the answer of the query.
    #[error(
        "the figure's {role} `{column}` is not among the columns of its query{}",
        nearest.as_ref().map_or(String::new(), |nearest| format!("; did you mean `{nearest}`?"))
    )]
    MissingColumn {
        /// The figure's key.
        role: &'static str,
        /// The column that it names.
        column: String,
        /// The most similar column.
        nearest: Option<String>,
    },
    /// A column of text where the figure needs numbers.
    #[error("column `{column}` holds text, and a figure of this kind needs numbers there")]
    TextColumn {
        /// The column.
        column: String,
    },
}

/// The repeats of one point, drawn as their median with whiskers.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Horizontal value, or the index of a category.
    pub x: f64,
    /// Median of the repeats.
    pub median: f64,
    /// Lower end of the whisker.
    pub low: f64,
    /// Upper end of the whisker.
    pub high: f64,
    /// All values, sorted.
    pub repeats: Vec<f64>,
    /// Ends of the whisker from the query; without them the smallest and the largest repeat are used.
    pub interval: Option<[f64; 2]>,
}

/// One activity in a timeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Index of its lane among the plot's `categories`.
    pub lane: usize,
    /// Start.
    pub from: f64,
    /// End.
    pub until: f64,
    /// The value of the figure's `by`; empty without one.
    pub name: String,
}

/// One line, or one row of bars.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The value of the figure's `by`; empty without one.
    pub name: String,
    /// Points sorted by x; empty if nothing was measured.
    pub points: Vec<Point>,
    /// Values of x without a number, for example of failed runs.
    pub missing: Vec<f64>,
}

/// One panel of a figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// The value of the column `panel`, if there is one.
    pub name: Option<String>,
    /// Lines or rows of bars.
    pub series: Vec<Series>,
}

/// The data of a figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    /// Panels side by side.
    pub panels: Vec<Panel>,
    /// The bars of a timeline, which has no panels.
    pub spans: Vec<Span>,
    /// Names of the categories of bars (a point's `x` is an index into them), or of the lanes of a timeline.
    pub categories: Vec<String>,
    /// Label and unit of the horizontal axis.
    pub x: Quantity,
    /// Label and unit of the vertical axis.
    pub y: Quantity,
    /// Number of rows without a number to draw.
    pub skipped: usize,
    /// The largest number of repeats of a point.
    pub repeats: usize,
}

/// Indices of the columns that a figure uses.
struct Columns {
    x: usize,
    y: usize,
    by: Option<usize>,
    panel: Option<usize>,
    run: Option<usize>,
    until: Option<usize>,
    interval: Option<[usize; 2]>,
}

impl Plot {
    /// Reads the rows of `grid` as `spec` says.
    ///
    /// # Errors
    /// If a column that the figure names is missing, or holds text where numbers are needed.
    pub fn from_grid(spec: &FigureSpec, grid: &Grid) -> Result<Plot, PlotError> {
        let columns = Columns::find(spec, grid)?;
        if !spec.order.is_empty() && spec.by.is_none() {
            return Err(PlotError::OrderWithoutBy);
        }
        let categorical = matches!(spec.kind, FigureKind::Bar | FigureKind::Stack);
        let label = |given: &Option<String>, column: usize| quantity(given.as_deref(), &grid.columns[column]);
        let mut plot = Plot {
            panels: Vec::new(),
            spans: Vec::new(),
            categories: Vec::new(),
            x: label(&spec.x_label, columns.x),
            y: label(&spec.y_label, columns.y),
            skipped: 0,
            repeats: 0,
        };
        for row in &grid.rows {
            let added = match columns.until {
                Some(until) => plot.add_span(row, &columns, until),
                None => plot.add(row, &columns, categorical, spec.log_y),
            };
            added.map_err(|column| PlotError::TextColumn { column: grid.columns[column].clone() })?;
        }
        plot.combine_repeats();
        plot.apply_order(&spec.order);
        Ok(plot)
    }

    /// Adds one bar of a timeline. The error is the index of a column with text instead of a number.
    fn add_span(&mut self, row: &[Value], columns: &Columns, until: usize) -> Result<(), usize> {
        let lane = row[columns.y].name().unwrap_or_else(|| format::ABSENT.to_string());
        let lane = position_or_push(&mut self.categories, lane);
        match (number(row, columns.x)?, number(row, until)?) {
            (Some(from), Some(until)) if until >= from => {
                let name = columns.by.and_then(|by| row[by].name()).unwrap_or_default();
                self.spans.push(Span { lane, from, until, name });
            }
            _ => self.skipped += 1,
        }
        Ok(())
    }

    /// Adds one row to its panel and series. The error is the index of a column with text instead of a number.
    fn add(&mut self, row: &[Value], columns: &Columns, categorical: bool, log: bool) -> Result<(), usize> {
        let name = |column: Option<usize>| column.and_then(|column| row[column].name());
        let x = if categorical {
            let category = row[columns.x].name().unwrap_or_else(|| format::ABSENT.to_string());
            Some(position_or_push(&mut self.categories, category) as f64)
        } else {
            number(row, columns.x)?
        };
        let y = number(row, columns.y)?.filter(|y| !log || *y > 0.0);
        let panel_name = name(columns.panel);
        let index = match self.panels.iter().position(|panel| panel.name == panel_name) {
            Some(index) => index,
            None => {
                self.panels.push(Panel { name: panel_name, series: Vec::new() });
                self.panels.len() - 1
            }
        };
        let series_name = name(columns.by).unwrap_or_default();
        // lines of single runs have the run id appended until `combine_repeats`
        let key = match name(columns.run) {
            Some(run) if !categorical => format!("{series_name}\u{0}{run}"),
            _ => series_name,
        };
        let panel = &mut self.panels[index];
        let series = match panel.series.iter().position(|series| series.name == key) {
            Some(index) => &mut panel.series[index],
            None => {
                panel.series.push(Series { name: key, points: Vec::new(), missing: Vec::new() });
                panel.series.last_mut().expect("just pushed")
            }
        };
        let interval = match columns.interval {
            Some([low, high]) => number(row, low)?.zip(number(row, high)?).map(|(low, high)| [low, high]),
            None => None,
        };
        match (x, y) {
            (Some(x), Some(y)) => match series.points.binary_search_by(|point| point.x.total_cmp(&x)) {
                Ok(index) => series.points[index].repeats.push(y),
                Err(index) => {
                    let point = Point { x, median: y, low: y, high: y, repeats: vec![y], interval };
                    series.points.insert(index, point);
                }
            },
            (x, _) => {
                series.missing.extend(x);
                self.skipped += 1;
            }
        }
        Ok(())
    }

    /// Sorts repeats and missing values, and computes medians and whiskers.
    fn combine_repeats(&mut self) {
        for series in self.panels.iter_mut().flat_map(|panel| &mut panel.series) {
            if let Some((name, _)) = series.name.split_once('\u{0}') {
                series.name = name.to_string();
            }
            series.missing.sort_by(f64::total_cmp);
            series.missing.dedup();
            series.missing.retain(|x| series.points.iter().all(|point| point.x != *x));
            for point in &mut series.points {
                point.repeats.sort_by(f64::total_cmp);
                point.median = quantile(&point.repeats, 0.5);
                [point.low, point.high] =
                    point.interval.unwrap_or([point.repeats[0], point.repeats[point.repeats.len() - 1]]);
                self.repeats = self.repeats.max(point.repeats.len());
            }
        }
    }

    /// Sorts series by the figure's `order`; series that it does not name follow in their present order.
    fn apply_order(&mut self, order: &[String]) {
        for panel in &mut self.panels {
            panel.series.sort_by_key(|series| {
                order.iter().position(|name| *name == series.name).unwrap_or(order.len())
            });
        }
    }

    /// All points of all panels.
    pub fn points(&self) -> impl Iterator<Item = &Point> {
        self.panels.iter().flat_map(|panel| &panel.series).flat_map(|series| &series.points)
    }

    /// The distinct names of the series, in the order of their first appearance.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for series in self.panels.iter().flat_map(|panel| &panel.series) {
            if !series.name.is_empty() {
                position_or_push(&mut names, series.name.clone());
            }
        }
        names
    }

    /// The text alternative of the figure.
    pub fn summary(&self, kind: FigureKind) -> String {
        let kind_name = match kind {
            FigureKind::Line => "Line chart",
            FigureKind::Scatter => "Scatter plot",
            FigureKind::Bar => "Bar chart",
            FigureKind::Stack => "Stacked bar chart",
            FigureKind::Timeline => return self.timeline_summary(),
            FigureKind::ContactSheet => "Contact sheet",
        };
        let mut text = format!("{kind_name} of {} by {}.", self.y.label, self.x.label);
        for panel in &self.panels {
            for series in panel.series.iter().take(24) {
                let name = [panel.name.as_deref().unwrap_or_default(), &series.name];
                let name: Vec<&str> = name.into_iter().filter(|part| !part.is_empty()).collect();
                let name = if name.is_empty() { String::new() } else { format!("{}: ", name.join(", ")) };
                text.push_str(&format!(" {name}{}.", self.series_summary(series)));
            }
        }
        text
    }

    fn timeline_summary(&self) -> String {
        let mut text = "Timeline.".to_string();
        for (lane, name) in self.categories.iter().enumerate() {
            let spans = self.spans.iter().filter(|span| span.lane == lane);
            let busy: f64 = spans.clone().map(|span| span.until - span.from).sum();
            let bars = format::count(spans.count(), "bar", "bars");
            text.push_str(&format!(" {name}: {bars}, {} in all.", self.x.format(busy)));
        }
        text
    }

    fn series_summary(&self, series: &Series) -> String {
        let (Some(first), Some(last)) = (series.points.first(), series.points.last()) else {
            return "not measured".to_string();
        };
        if !self.categories.is_empty() {
            let parts: Vec<String> = series
                .points
                .iter()
                .map(|point| format!("{} {}", self.categories[point.x as usize], self.y.format(point.median)))
                .collect();
            return parts.join(", ");
        }
        if first.x == last.x {
            return format!("{} at {}", self.y.format(first.median), self.x.format(first.x));
        }
        let largest = series.points.iter().map(|point| point.high).fold(f64::NEG_INFINITY, f64::max);
        format!(
            "from {} at {} to {} at {}, largest {}",
            self.y.format(first.median),
            self.x.format(first.x),
            self.y.format(last.median),
            self.x.format(last.x),
            self.y.format(largest)
        )
    }
}

impl Columns {
    fn find(spec: &FigureSpec, grid: &Grid) -> Result<Columns, PlotError> {
        let find = |name: &str, role: &'static str| {
            grid.position(name).ok_or_else(|| {
                let nearest = grid.columns.iter().min_by_key(|column| strsim::levenshtein(column, name));
                PlotError::MissingColumn { role, column: name.to_string(), nearest: nearest.cloned() }
            })
        };
        let y = spec.y.as_deref().ok_or(PlotError::NoY)?;
        let named = [Some(spec.x.as_str()), Some(y), spec.by.as_deref()];
        let optional = |name: &Option<String>, role: &'static str| {
            name.as_deref().map(|name| find(name, role)).transpose()
        };
        let interval =
            optional(&spec.low, "low")?.zip(optional(&spec.high, "high")?).map(|(low, high)| [low, high]);
        let implicit = |name: &str| if named.contains(&Some(name)) { None } else { grid.position(name) };
        Ok(Columns {
            x: find(&spec.x, "x")?,
            y: find(y, "y")?,
            by: optional(&spec.by, "by")?,
            panel: implicit("panel"),
            run: implicit("run_id"),
            until: optional(&spec.until, "until")?,
            interval,
        })
    }
}

/// The number in a column; `None` if it is null or infinite. The error is the index of a column with text.
fn number(row: &[Value], column: usize) -> Result<Option<f64>, usize> {
    match &row[column] {
        Value::Text(_) => Err(column),
        value => Ok(value.number().filter(|number| number.is_finite())),
    }
}

fn position_or_push(names: &mut Vec<String>, name: String) -> usize {
    names.iter().position(|known| *known == name).unwrap_or_else(|| {
        names.push(name);
        names.len() - 1
    })
}

/// Label and unit of an axis. The unit is the column's, or that of `label` if the column has none.
fn quantity(label: Option<&str>, column: &str) -> Quantity {
    let own = Quantity::from_column_name(column);
    let Some(label) = label else { return own };
    let given = Quantity::from_column_name(label);
    // only a unit in brackets is parsed from a label, whose other words may look like units
    let text = if label.ends_with(')') { given.label.clone() } else { label.to_string() };
    if own.unit == Unit::None && own.per.is_none() && label.ends_with(')') {
        return Quantity { label: text, ..given };
    }
    Quantity { label: text, ..own }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(kind: FigureKind) -> FigureSpec {
        FigureSpec {
            title: "t".into(),
            kind,
            x: "frames".into(),
            y: Some("heap_peak_bytes".into()),
            by: Some("mode".into()),
            y_label: Some("heap, at most".into()),
            ..FigureSpec::default()
        }
    }

    fn grid(rows: &[(&str, f64, Option<f64>)]) -> Grid {
        let row = |(mode, frames, heap): &(&str, f64, Option<f64>)| {
            vec![
                Value::Text(mode.to_string()),
                Value::Number(*frames),
                heap.map_or(Value::Null, Value::Number),
            ]
        };
        Grid {
            columns: ["mode", "frames", "heap_peak_bytes"].map(String::from).to_vec(),
            rows: rows.iter().map(row).collect(),
        }
    }

    #[test]
    fn repeats_become_a_median_with_whiskers() {
        let rows = [
            ("a", 120.0, Some(9.0)),
            ("a", 60.0, Some(3.0)),
            ("a", 60.0, Some(1.0)),
            ("a", 60.0, Some(2.0)),
            ("b", 60.0, None),
        ];
        let plot = Plot::from_grid(&spec(FigureKind::Line), &grid(&rows)).unwrap();
        let series = &plot.panels[0].series;
        let point = &series[0].points[0];
        assert_eq!((point.x, point.low, point.median, point.high), (60.0, 1.0, 2.0, 3.0));
        assert_eq!(
            (series[1].name.as_str(), series[1].points.len(), &series[1].missing[..]),
            ("b", 0, &[60.0][..])
        );
        assert_eq!(
            (plot.skipped, plot.repeats, plot.names()),
            (1, 3, vec!["a".to_string(), "b".to_string()])
        );
        assert_eq!(
            plot.summary(FigureKind::Line),
            "Line chart of heap, at most by frames. a: from 2 bytes at 60 to 9 bytes at 120, largest 9 bytes. b: not measured."
        );
    }

    #[test]
    fn whiskers_can_be_an_interval_and_spans_have_lanes() {
        let columns = ["mode", "frames", "heap_peak_bytes", "a", "b"].map(String::from).to_vec();
        let row = |mode: &str, numbers: [f64; 4]| {
            [Value::Text(mode.into())].into_iter().chain(numbers.map(Value::Number)).collect()
        };
        let grid =
            Grid { columns, rows: vec![row("m", [60.0, 5.0, 4.0, 9.0]), row("n", [61.0, 5.0, 7.0, 6.0])] };
        let (low, high) = (Some("a".into()), Some("b".into()));
        let plot = Plot::from_grid(&FigureSpec { low, high, ..spec(FigureKind::Line) }, &grid).unwrap();
        let point = &plot.panels[0].series[0].points[0];
        assert_eq!((point.low, point.median, point.high), (4.0, 5.0, 9.0));
        let (y, until) = (Some("mode".into()), Some("b".into()));
        let line =
            FigureSpec { x: "a".into(), y, until, by: Some("frames".into()), ..spec(FigureKind::Timeline) };
        let plot = Plot::from_grid(&line, &grid).unwrap();
        // a span that ends before it starts is skipped
        assert_eq!((plot.spans.len(), plot.skipped, plot.categories.len()), (1, 1, 2));
        assert_eq!(plot.spans[0], Span { lane: 0, from: 4.0, until: 9.0, name: "60".into() });
        assert_eq!(plot.summary(FigureKind::Timeline), "Timeline. m: 1 bar, 5 in all. n: 0 bars, 0 in all.");
    }

    #[test]
    fn a_missing_column_is_reported_with_the_most_similar_one() {
        let mut wrong = spec(FigureKind::Line);
        wrong.y = Some("heap_peak_byte".into());
        let message = Plot::from_grid(&wrong, &grid(&[])).unwrap_err().to_string();
        assert_eq!(
            message,
            "the figure's y `heap_peak_byte` is not among the columns of its query; did you mean `heap_peak_bytes`?"
        );
        wrong = spec(FigureKind::Line);
        wrong.x = "mode".into();
        let message = Plot::from_grid(&wrong, &grid(&[("a", 1.0, None)])).unwrap_err().to_string();
        assert_eq!(message, "column `mode` holds text, and a figure of this kind needs numbers there");
    }

    #[test]
    fn series_have_the_declared_order() {
        let rows = [
            ("decode", 1.0, Some(1.0)),
            ("load", 1.0, Some(2.0)),
            ("track", 2.0, Some(1.0)),
            ("open", 2.0, None),
        ];
        let named = |order: &[&str]| {
            let order = order.iter().map(|name| name.to_string()).collect();
            Plot::from_grid(&FigureSpec { order, ..spec(FigureKind::Stack) }, &grid(&rows)).unwrap().names()
        };
        assert_eq!(named(&[]), ["decode", "load", "track", "open"]);
        assert_eq!(named(&["load", "open", "nothing"]), ["load", "open", "decode", "track"]);
        let without_by = FigureSpec { order: vec!["load".into()], by: None, ..spec(FigureKind::Stack) };
        assert_eq!(Plot::from_grid(&without_by, &grid(&rows)), Err(PlotError::OrderWithoutBy));
    }

    #[test]
    fn panels_and_runs_are_separate() {
        let mut grid = grid(&[("a", 1.0, Some(1.0)), ("a", 1.0, Some(2.0)), ("a", 1.0, Some(3.0))]);
        grid.columns.push("panel".into());
        grid.columns.push("run_id".into());
        for (row, (panel, run)) in grid.rows.iter_mut().zip([("720p", "x"), ("720p", "y"), ("360p", "z")]) {
            row.push(Value::Text(panel.into()));
            row.push(Value::Text(run.into()));
        }
        let plot = Plot::from_grid(&spec(FigureKind::Line), &grid).unwrap();
        assert_eq!(plot.panels.len(), 2);
        assert_eq!(plot.panels[0].series.len(), 2);
        assert_eq!((plot.repeats, plot.names()), (1, vec!["a".to_string()]));
    }
}
