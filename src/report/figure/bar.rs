//! Bars, side by side or upon each other: lying, so that names can be read, on a phone too.
//!
//! Must not know pages.

use super::Sheet;
use super::axis::{Axis, Zero};
use super::canvas::{Anchor, Canvas, text_width};
use super::data::{Plot, Point, Series};
use super::marks::{self, Field, LINE};
use super::palette::{Ink, Legend};
use crate::experiment::{FigureKind, FigureSpec};

const BAR: f64 = 18.0;
const STEP: f64 = 25.0;
/// A group's heading, and the gap to the group before.
const HEADING: f64 = 32.0;
/// A name above its bar, and the gap to the bar before.
const NAME_ABOVE: f64 = 24.0;

/// One lying bar or stack.
struct Row<'a> {
    name: String,
    /// A heading above the row: the first of its group.
    heading: Option<String>,
    layers: Vec<(&'a str, Option<&'a Point>)>,
    stacked: bool,
}

/// Draws `plot` for a sheet of the given form.
pub fn draw(plot: &Plot, spec: &FigureSpec, legend: &Legend, sheet: Sheet) -> Canvas {
    let stacked = spec.kind == FigureKind::Stack;
    let width = sheet.width();
    let names = plot.names();
    let listed = if stacked { marks::legend_lines(&names, width) } else { 0 };
    let head = if listed > 0 { listed as f64 * LINE + 10.0 } else { 0.0 };
    let axis = value_axis(plot, spec, stacked);
    let panels: Vec<Vec<Row>> = plot.panels.iter().map(|panel| rows(plot, &panel.series, stacked)).collect();
    let widest = panels.iter().flatten().map(|row| text_width(&row.name)).fold(0.0, f64::max);
    let above = widest > 0.34 * width;
    let left = if above { 0.0 } else { widest + 12.0 };
    let value_room =
        panels.iter().flatten().map(|row| text_width(&value_text(plot, row))).fold(40.0, f64::max) + 14.0;
    let heights: Vec<f64> = plot
        .panels
        .iter()
        .zip(&panels)
        .map(|(panel, rows)| {
            rows.iter().map(|row| row_height(row, above)).sum::<f64>()
                + if panel.name.is_some() { 28.0 } else { 0.0 }
        })
        .collect();
    let foot = 2.0 * LINE + 8.0;
    let mut canvas =
        Canvas::new(width, head + heights.iter().sum::<f64>() + foot * panels.len().max(1) as f64);
    if listed > 0 {
        marks::draw_layer_legend(&mut canvas, width, &names, legend);
    }
    let mut top = head;
    for ((panel, rows), height) in plot.panels.iter().zip(&panels).zip(&heights) {
        let mut field = Field { left, top, right: width - value_room, bottom: top + height };
        if let Some(name) = &panel.name {
            canvas.bold([0.0, top + LINE / 2.0], name, Ink::Words, Anchor::Start);
            field.top += 28.0;
        }
        draw_columns(&mut canvas, &field, &axis);
        draw_rows(&mut canvas, &field, &axis, rows, plot, legend, above);
        top += height + foot;
    }
    canvas
}

fn row_height(row: &Row, above: bool) -> f64 {
    let heading = if row.heading.is_some() { HEADING } else { 0.0 };
    let name = if above && !row.name.is_empty() { NAME_ABOVE } else { 0.0 };
    STEP + heading + name
}

/// The rows of one panel: a stack per category, or a group of bars per category.
fn rows<'a>(plot: &'a Plot, series: &'a [Series], stacked: bool) -> Vec<Row<'a>> {
    let point = |series: &'a Series, at: usize| series.points.iter().find(|point| point.x == at as f64);
    let grouped = !stacked && series.iter().any(|series| !series.name.is_empty());
    // bars that are coloured by their own category need no groups of one
    let same = grouped
        && series
            .iter()
            .all(|series| series.points.iter().all(|p| plot.categories[p.x as usize] == series.name));
    let mut rows = Vec::new();
    for (at, category) in plot.categories.iter().enumerate() {
        if stacked {
            let layers = series.iter().map(|series| (series.name.as_str(), point(series, at))).collect();
            rows.push(Row { name: category.clone(), heading: None, layers, stacked });
        } else if !grouped || same {
            let own = series.iter().find(|series| !same || series.name == *category);
            let layers = vec![(category.as_str(), own.and_then(|series| point(series, at)))];
            rows.push(Row { name: category.clone(), heading: None, layers, stacked });
        } else {
            // a bar that the query has no row of was never asked for, which is not to be without a number
            let asked = series
                .iter()
                .filter(|series| point(series, at).is_some() || series.missing.contains(&(at as f64)));
            for (index, series) in asked.enumerate() {
                let heading = (index == 0).then(|| category.clone());
                let layers = vec![(series.name.as_str(), point(series, at))];
                rows.push(Row { name: series.name.clone(), heading, layers, stacked });
            }
        }
    }
    rows
}

fn value_axis(plot: &Plot, spec: &FigureSpec, stacked: bool) -> Axis {
    let mut values: Vec<f64> = plot.points().flat_map(|point| [point.low, point.high]).collect();
    if stacked {
        let mut add = |series: &[Series]| {
            for at in 0..plot.categories.len() {
                let parts =
                    series.iter().flat_map(|series| &series.points).filter(|point| point.x == at as f64);
                values.push(parts.map(|point| point.median).sum());
            }
        };
        plot.panels.iter().for_each(|panel| add(&panel.series));
    }
    if spec.log_y && !stacked {
        return Axis::logarithmic(&plot.y, &values, 5);
    }
    let mut axis = Axis::linear(&plot.y, &values, Zero::Always, 4);
    axis.end_at_values(&values);
    axis
}

/// Vertical grid lines with their values underneath.
fn draw_columns(canvas: &mut Canvas, field: &Field, axis: &Axis) {
    let mut free = f64::NEG_INFINITY;
    for (value, text) in &axis.ticks {
        let at = field.left + axis.share(*value) * field.width();
        canvas.line(&[[at, field.top], [at, field.bottom]], Ink::Grid, 1.0);
        let half = text_width(text) / 2.0;
        if at - half > free {
            canvas.text([at, field.bottom + 12.0], text, Ink::Quiet, Anchor::Middle);
            free = at + half + 6.0;
        }
    }
    let middle = (field.left + field.right) / 2.0;
    canvas.text([middle, field.bottom + 12.0 + LINE], &axis.title, Ink::Quiet, Anchor::Middle);
}

fn draw_rows(
    canvas: &mut Canvas,
    field: &Field,
    axis: &Axis,
    rows: &[Row],
    plot: &Plot,
    legend: &Legend,
    above: bool,
) {
    let zero = if axis.log { field.left } else { field.left + axis.share(0.0) * field.width() };
    let mut top = field.top;
    for row in rows {
        if let Some(heading) = &row.heading {
            canvas.bold([0.0, top + HEADING - LINE / 2.0 - 2.0], heading, Ink::Words, Anchor::Start);
            top += HEADING;
        }
        if above && !row.name.is_empty() {
            canvas.text(
                [field.left, top + NAME_ABOVE - LINE / 2.0 + 1.0],
                &row.name,
                Ink::Words,
                Anchor::Start,
            );
            top += NAME_ABOVE;
        }
        let middle = top + STEP / 2.0;
        if !above {
            canvas.text([field.left - 10.0, middle], &row.name, Ink::Words, Anchor::End);
        }
        draw_layers(canvas, field, axis, row, [zero, middle], plot, legend);
        // beside the bars alone: it would run through the headings
        canvas.line(&[[zero, top], [zero, top + STEP]], Ink::Axis, 1.0);
        top += STEP;
    }
}

/// The layers of one row from its zero on, whiskers of repeats, and the value at the end.
fn draw_layers(
    canvas: &mut Canvas,
    field: &Field,
    axis: &Axis,
    row: &Row,
    [zero, middle]: [f64; 2],
    plot: &Plot,
    legend: &Legend,
) {
    let place = |value: f64| field.left + axis.share(value) * field.width();
    let (top, bottom) = (middle - BAR / 2.0, middle + BAR / 2.0);
    let stacked = row.stacked;
    let mut sum = 0.0;
    let mut reach = zero;
    for (name, point) in &row.layers {
        let Some(point) = point else { continue };
        let start = if sum == 0.0 { zero } else { place(sum) };
        let end = place(sum + point.median);
        let ink = if stacked { legend.layer(name) } else { legend.ink(name) };
        canvas.rectangle([start, top], [end, bottom], ink, 1.0);
        if stacked && end - start > 1.5 {
            // a hair of paper between layers
            canvas.line(&[[end, top], [end, bottom]], Ink::Paper, 1.0);
        }
        let ends = [place(point.low), place(point.high)];
        if !stacked && ends[1] - ends[0] > 1.0 {
            // on a rim of paper: most of a whisker lies on its bar
            for (ink, thickness) in [(Ink::Paper, 3.6), (Ink::Words, 1.2)] {
                canvas.line(&[[ends[0], middle], [ends[1], middle]], ink, thickness);
                for end in ends {
                    canvas.line(&[[end, middle - 4.0], [end, middle + 4.0]], ink, thickness);
                }
            }
            reach = reach.max(ends[1]);
        }
        reach = reach.max(end);
        sum += point.median;
    }
    let known = row.layers.iter().any(|(_, point)| point.is_some());
    let ink = if known { Ink::Words } else { Ink::Quiet };
    canvas.text([reach + 7.0, middle], &value_text(plot, row), ink, Anchor::Start);
}

fn value_text(plot: &Plot, row: &Row) -> String {
    let known: Vec<f64> =
        row.layers.iter().filter_map(|(_, point)| point.map(|point| point.median)).collect();
    if known.is_empty() {
        return "not measured".to_string();
    }
    plot.y.show(known.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::super::super::grid::{Grid, Value};
    use super::*;

    /// What the query never asks for is not the same as what gave no number.
    #[test]
    fn a_bar_without_a_row_is_left_out() {
        let row = |frames: &str, mode: &str, secs: Option<f64>| {
            let secs = secs.map_or(Value::Null, Value::Number);
            vec![Value::Text(frames.to_string()), Value::Text(mode.to_string()), secs]
        };
        let columns = ["frames", "mode", "wall_secs"].map(String::from).to_vec();
        let grid = Grid {
            columns,
            rows: vec![row("59", "seek", Some(6.3)), row("60", "jpeg", Some(1.7)), row("60", "memory", None)],
        };
        let spec = FigureSpec {
            kind: FigureKind::Bar,
            x: "frames".into(),
            y: Some("wall_secs".into()),
            by: Some("mode".into()),
            ..FigureSpec::default()
        };
        let plot = Plot::of(&spec, &grid).unwrap();
        let rows = rows(&plot, &plot.panels[0].series, false);
        let shown: Vec<(Option<&str>, &str, String)> = rows
            .iter()
            .map(|row| (row.heading.as_deref(), row.name.as_str(), value_text(&plot, row)))
            .collect();
        let expected = [
            (Some("59"), "seek", "6.30 s".to_string()),
            (Some("60"), "jpeg", "1.70 s".to_string()),
            (None, "memory", "not measured".to_string()),
        ];
        assert_eq!(shown, expected);
    }
}
