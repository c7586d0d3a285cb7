//! From a query's rows to what a figure draws: panels of series of points, repeats put together.
//!
//! Besides the columns that the figure names, two are understood where a query gives them: `panel`
//! makes small pictures side by side, and `run_id` keeps runs apart in a line (samples over time).
//! Must not know how it is drawn.

use super::super::format;
use super::super::grid::{Grid, Value};
use super::super::quantity::{Quantity, Unit};
use crate::experiment::{FigureKind, FigureSpec};

/// Repeats of one point: the median stands for them, the smallest and largest are the whiskers.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    pub x: f64,
    pub median: f64,
    pub low: f64,
    pub high: f64,
    pub repeats: Vec<f64>,
    /// The ends of the whisker where the query gives them; else the smallest and the largest repeat are.
    pub interval: Option<[f64; 2]>,
}

/// Something that was done, in a time line.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Its position among the plot's `categories`: who did it.
    pub lane: usize,
    pub from: f64,
    pub until: f64,
    /// The value of the figure's `by`; empty without one.
    pub name: String,
}

/// One line, or one row of bars.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The value of the figure's `by`; empty without one.
    pub name: String,
    /// For lines: in the order of x. A series that was measured nowhere has none.
    pub points: Vec<Point>,
    /// Where a line was to be measured and gave no number (a failed run, say).
    pub missing: Vec<f64>,
}

/// One picture of a figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    pub name: Option<String>,
    pub series: Vec<Series>,
}

/// What a figure draws.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    pub panels: Vec<Panel>,
    /// The bars of a time line, which has no panels.
    pub spans: Vec<Span>,
    /// The names of `x` where it is no number (bars): a point's `x` is the index among them. The lanes of a
    /// time line.
    pub categories: Vec<String>,
    pub x: Quantity,
    pub y: Quantity,
    /// Rows without a number to draw.
    pub skipped: usize,
    /// The most repeats that any point has.
    pub repeats: usize,
}

/// The rows' columns that a figure reads.
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
    /// In words, if a column that the figure names is not in the answer, or holds text where numbers
    /// are needed.
    pub fn of(spec: &FigureSpec, grid: &Grid) -> Result<Plot, String> {
        let columns = Columns::of(spec, grid)?;
        if !spec.order.is_empty() && spec.by.is_none() {
            return Err(
                "the figure gives an `order` of the values of `by`, and names no column for `by`".into()
            );
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
            added.map_err(|column| {
                format!(
                    "column `{}` holds text, and a figure of this kind needs numbers there",
                    grid.columns[column]
                )
            })?;
        }
        plot.finish();
        plot.put_in_order(&spec.order);
        Ok(plot)
    }

    /// Adds one bar of a time line; the error is the column whose text should be a number.
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

    /// Puts one row where it belongs; the error is the column whose text should be a number.
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
        let at = match self.panels.iter().position(|panel| panel.name == panel_name) {
            Some(at) => at,
            None => {
                self.panels.push(Panel { name: panel_name, series: Vec::new() });
                self.panels.len() - 1
            }
        };
        let series_name = name(columns.by).unwrap_or_default();
        // a run's own line has its id behind a mark that no name contains, until `finish`
        let key = match name(columns.run) {
            Some(run) if !categorical => format!("{series_name}\u{0}{run}"),
            _ => series_name,
        };
        let panel = &mut self.panels[at];
        let series = match panel.series.iter().position(|series| series.name == key) {
            Some(at) => &mut panel.series[at],
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
                Ok(at) => series.points[at].repeats.push(y),
                Err(at) => {
                    let point = Point { x, median: y, low: y, high: y, repeats: vec![y], interval };
                    series.points.insert(at, point);
                }
            },
            (x, _) => {
                series.missing.extend(x);
                self.skipped += 1;
            }
        }
        Ok(())
    }

    fn finish(&mut self) {
        for series in self.panels.iter_mut().flat_map(|panel| &mut panel.series) {
            if let Some((name, _)) = series.name.split_once('\u{0}') {
                series.name = name.to_string();
            }
            series.missing.sort_by(f64::total_cmp);
            series.missing.dedup();
            series.missing.retain(|x| series.points.iter().all(|point| point.x != *x));
            for point in &mut series.points {
                point.repeats.sort_by(f64::total_cmp);
                point.median = format::quantile(&point.repeats, 0.5);
                [point.low, point.high] =
                    point.interval.unwrap_or([point.repeats[0], point.repeats[point.repeats.len() - 1]]);
                self.repeats = self.repeats.max(point.repeats.len());
            }
        }
    }

    /// Puts series into the order that the figure asks for; others follow as they are.
    fn put_in_order(&mut self, order: &[String]) {
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

    /// The names of the series, each once, in the order of their first appearance.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for series in self.panels.iter().flat_map(|panel| &panel.series) {
            if !series.name.is_empty() {
                position_or_push(&mut names, series.name.clone());
            }
        }
        names
    }

    /// What the figure shows, for those who cannot see it.
    pub fn summary(&self, kind: FigureKind) -> String {
        let kind_name = match kind {
            FigureKind::Line => "Line chart",
            FigureKind::Scatter => "Scatter plot",
            FigureKind::Bar => "Bar chart",
            FigureKind::Stack => "Stacked bar chart",
            FigureKind::Timeline => return self.timeline_in_words(),
            FigureKind::Strip => "Film strip",
        };
        let mut text = format!("{kind_name} of {} by {}.", self.y.label, self.x.label);
        for panel in &self.panels {
            for series in panel.series.iter().take(24) {
                let place = [panel.name.as_deref().unwrap_or_default(), &series.name];
                let place: Vec<&str> = place.into_iter().filter(|part| !part.is_empty()).collect();
                let place = if place.is_empty() { String::new() } else { format!("{}: ", place.join(", ")) };
                text.push_str(&format!(" {place}{}.", self.range_in_words(series)));
            }
        }
        text
    }

    fn timeline_in_words(&self) -> String {
        let mut text = "Time line.".to_string();
        for (lane, name) in self.categories.iter().enumerate() {
            let of_lane = self.spans.iter().filter(|span| span.lane == lane);
            let busy: f64 = of_lane.clone().map(|span| span.until - span.from).sum();
            let bars = format::count(of_lane.count(), "bar", "bars");
            text.push_str(&format!(" {name}: {bars}, {} in all.", self.x.show(busy)));
        }
        text
    }

    fn range_in_words(&self, series: &Series) -> String {
        let (Some(first), Some(last)) = (series.points.first(), series.points.last()) else {
            return "not measured".to_string();
        };
        if !self.categories.is_empty() {
            let parts: Vec<String> = series
                .points
                .iter()
                .map(|point| format!("{} {}", self.categories[point.x as usize], self.y.show(point.median)))
                .collect();
            return parts.join(", ");
        }
        if first.x == last.x {
            return format!("{} at {}", self.y.show(first.median), self.x.show(first.x));
        }
        let largest = series.points.iter().map(|point| point.high).fold(f64::NEG_INFINITY, f64::max);
        format!(
            "from {} at {} to {} at {}, largest {}",
            self.y.show(first.median),
            self.x.show(first.x),
            self.y.show(last.median),
            self.x.show(last.x),
            self.y.show(largest)
        )
    }
}

impl Columns {
    fn of(spec: &FigureSpec, grid: &Grid) -> Result<Columns, String> {
        let find = |name: &str, role: &str| {
            grid.position(name).ok_or_else(|| {
                let nearest = grid.columns.iter().min_by_key(|column| strsim::levenshtein(column, name));
                let hint = nearest.map_or(String::new(), |column| format!("; did you mean `{column}`?"));
                format!("the figure's {role} `{name}` is not among the columns of its query{hint}")
            })
        };
        let y = spec.y.as_deref().ok_or("the figure names no column for `y`")?;
        let named = [Some(spec.x.as_str()), Some(y), spec.by.as_deref()];
        let end =
            |name: &Option<String>, role: &str| name.as_deref().map(|name| find(name, role)).transpose();
        let interval = end(&spec.low, "low")?.zip(end(&spec.high, "high")?).map(|(low, high)| [low, high]);
        let silent = |name: &str| if named.contains(&Some(name)) { None } else { grid.position(name) };
        Ok(Columns {
            x: find(&spec.x, "x")?,
            y: find(y, "y")?,
            by: spec.by.as_deref().map(|by| find(by, "by")).transpose()?,
            panel: silent("panel"),
            run: silent("run_id"),
            until: end(&spec.until, "until")?,
            interval,
        })
    }
}

/// The number in a column, `None` when unknown or infinite; the error is the column that holds text.
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

/// What an axis measures: the column's own unit under the label that was given; the label's unit
/// where the column has none.
fn quantity(label: Option<&str>, column: &str) -> Quantity {
    let own = Quantity::of_column(column);
    let Some(label) = label else { return own };
    let given = Quantity::of_column(label);
    // a label of one word is a label, even if it looks like a column's name with a unit
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
        let plot = Plot::of(&spec(FigureKind::Line), &grid(&rows)).unwrap();
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
    fn an_interval_takes_the_place_of_the_repeats_and_spans_have_lanes() {
        let columns = ["mode", "frames", "heap_peak_bytes", "a", "b"].map(String::from).to_vec();
        let row = |mode: &str, numbers: [f64; 4]| {
            [Value::Text(mode.into())].into_iter().chain(numbers.map(Value::Number)).collect()
        };
        let grid =
            Grid { columns, rows: vec![row("m", [60.0, 5.0, 4.0, 9.0]), row("n", [61.0, 5.0, 7.0, 6.0])] };
        let (low, high) = (Some("a".into()), Some("b".into()));
        let plot = Plot::of(&FigureSpec { low, high, ..spec(FigureKind::Line) }, &grid).unwrap();
        let point = &plot.panels[0].series[0].points[0];
        assert_eq!((point.low, point.median, point.high), (4.0, 5.0, 9.0));
        let (y, until) = (Some("mode".into()), Some("b".into()));
        let line =
            FigureSpec { x: "a".into(), y, until, by: Some("frames".into()), ..spec(FigureKind::Timeline) };
        let plot = Plot::of(&line, &grid).unwrap();
        // what ended before it began was never measured
        assert_eq!((plot.spans.len(), plot.skipped, plot.categories.len()), (1, 1, 2));
        assert_eq!(plot.spans[0], Span { lane: 0, from: 4.0, until: 9.0, name: "60".into() });
        assert_eq!(plot.summary(FigureKind::Timeline), "Time line. m: 1 bar, 5 in all. n: 0 bars, 0 in all.");
    }

    #[test]
    fn a_wrong_column_is_named_with_its_neighbour() {
        let mut wrong = spec(FigureKind::Line);
        wrong.y = Some("heap_peak_byte".into());
        let message = Plot::of(&wrong, &grid(&[])).unwrap_err();
        assert_eq!(
            message,
            "the figure's y `heap_peak_byte` is not among the columns of its query; did you mean `heap_peak_bytes`?"
        );
        wrong = spec(FigureKind::Line);
        wrong.x = "mode".into();
        let message = Plot::of(&wrong, &grid(&[("a", 1.0, None)])).unwrap_err();
        assert_eq!(message, "column `mode` holds text, and a figure of this kind needs numbers there");
    }

    #[test]
    fn series_stand_in_the_order_that_is_asked_for() {
        let rows = [
            ("decode", 1.0, Some(1.0)),
            ("load", 1.0, Some(2.0)),
            ("track", 2.0, Some(1.0)),
            ("open", 2.0, None),
        ];
        let named = |order: &[&str]| {
            let order = order.iter().map(|name| name.to_string()).collect();
            Plot::of(&FigureSpec { order, ..spec(FigureKind::Stack) }, &grid(&rows)).unwrap().names()
        };
        assert_eq!(named(&[]), ["decode", "load", "track", "open"]);
        assert_eq!(named(&["load", "open", "nothing"]), ["load", "open", "decode", "track"]);
        let lost = FigureSpec { order: vec!["load".into()], by: None, ..spec(FigureKind::Stack) };
        assert!(Plot::of(&lost, &grid(&rows)).unwrap_err().contains("names no column for `by`"));
    }

    #[test]
    fn panels_and_runs_are_kept_apart() {
        let mut grid = grid(&[("a", 1.0, Some(1.0)), ("a", 1.0, Some(2.0)), ("a", 1.0, Some(3.0))]);
        grid.columns.push("panel".into());
        grid.columns.push("run_id".into());
        for (row, (panel, run)) in grid.rows.iter_mut().zip([("720p", "x"), ("720p", "y"), ("360p", "z")]) {
            row.push(Value::Text(panel.into()));
            row.push(Value::Text(run.into()));
        }
        let plot = Plot::of(&spec(FigureKind::Line), &grid).unwrap();
        assert_eq!(plot.panels.len(), 2);
        assert_eq!(plot.panels[0].series.len(), 2);
        assert_eq!((plot.repeats, plot.names()), (1, vec!["a".to_string()]));
    }
}
