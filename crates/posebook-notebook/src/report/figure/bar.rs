//! Draws horizontal bars, grouped or stacked. Horizontal bars leave room for their names, also on phones.

use super::Layout;
use super::axis::{Axis, ZeroPolicy};
use super::canvas::{Anchor, Canvas, text_width};
use super::marks::{self, LINE_HEIGHT, PlotArea};
use super::palette::{Color, Legend};
use super::plot::{Plot, Point, Series};
use crate::cell::{FigureKind, FigureSpec};

const BAR: f64 = 18.0;
const STEP: f64 = 25.0;
/// Height of a group's heading with the gap above it.
const HEADING: f64 = 32.0;
/// Height of a name above its bar with the gap above it.
const NAME_ABOVE: f64 = 24.0;

/// One bar or stack.
struct BarRow<'a> {
    name: String,
    /// The heading of a group, above its first bar.
    heading: Option<String>,
    layers: Vec<(&'a str, Option<&'a Point>)>,
    stacked: bool,
}

/// Draws `plot`.
pub fn draw(plot: &Plot, spec: &FigureSpec, legend: &Legend, layout: Layout) -> Canvas {
    let stacked = spec.kind == FigureKind::Stack;
    let width = layout.width();
    let names = plot.names();
    let legend_lines = if stacked { marks::legend_line_count(&names, width) } else { 0 };
    let head = if legend_lines > 0 { legend_lines as f64 * LINE_HEIGHT + 10.0 } else { 0.0 };
    let axis = value_axis(plot, spec, stacked);
    let panels: Vec<Vec<BarRow>> =
        plot.panels.iter().map(|panel| rows(plot, &panel.series, stacked)).collect();
    let widest = panels.iter().flatten().map(|row| text_width(&row.name)).fold(0.0, f64::max);
    let above = widest > 0.34 * width;
    let left = if above { 0.0 } else { widest + 12.0 };
    let value_width =
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
    let foot = 2.0 * LINE_HEIGHT + 8.0;
    let mut canvas =
        Canvas::new(width, head + heights.iter().sum::<f64>() + foot * panels.len().max(1) as f64);
    if legend_lines > 0 {
        marks::draw_layer_legend(&mut canvas, width, &names, legend);
    }
    let mut top = head;
    for ((panel, rows), height) in plot.panels.iter().zip(&panels).zip(&heights) {
        let mut area = PlotArea { left, top, right: width - value_width, bottom: top + height };
        if let Some(name) = &panel.name {
            canvas.bold([0.0, top + LINE_HEIGHT / 2.0], name, Color::Text, Anchor::Start);
            area.top += 28.0;
        }
        draw_columns(&mut canvas, &area, &axis);
        draw_rows(&mut canvas, &area, &axis, rows, plot, legend, above);
        top += height + foot;
    }
    canvas
}

fn row_height(row: &BarRow, above: bool) -> f64 {
    let heading = if row.heading.is_some() { HEADING } else { 0.0 };
    let name = if above && !row.name.is_empty() { NAME_ABOVE } else { 0.0 };
    STEP + heading + name
}

/// The rows of one panel: a stack per category, or a group of bars per category.
fn rows<'a>(plot: &'a Plot, series: &'a [Series], stacked: bool) -> Vec<BarRow<'a>> {
    let point = |series: &'a Series, index: usize| series.points.iter().find(|point| point.x == index as f64);
    let grouped = !stacked && series.iter().any(|series| !series.name.is_empty());
    // series that equal the categories need no groups
    let is_by_category = grouped
        && series
            .iter()
            .all(|series| series.points.iter().all(|p| plot.categories[p.x as usize] == series.name));
    let mut rows = Vec::new();
    for (index, category) in plot.categories.iter().enumerate() {
        if stacked {
            let layers = series.iter().map(|series| (series.name.as_str(), point(series, index))).collect();
            rows.push(BarRow { name: category.clone(), heading: None, layers, stacked });
        } else if !grouped || is_by_category {
            let own = series.iter().find(|series| !is_by_category || series.name == *category);
            let layers = vec![(category.as_str(), own.and_then(|series| point(series, index)))];
            rows.push(BarRow { name: category.clone(), heading: None, layers, stacked });
        } else {
            // bars without a row are left out; bars without a number are shown as not measured
            let present = series
                .iter()
                .filter(|series| point(series, index).is_some() || series.missing.contains(&(index as f64)));
            for (bar, series) in present.enumerate() {
                let heading = (bar == 0).then(|| category.clone());
                let layers = vec![(series.name.as_str(), point(series, index))];
                rows.push(BarRow { name: series.name.clone(), heading, layers, stacked });
            }
        }
    }
    rows
}

fn value_axis(plot: &Plot, spec: &FigureSpec, stacked: bool) -> Axis {
    let mut values: Vec<f64> = plot.points().flat_map(|point| [point.low, point.high]).collect();
    if stacked {
        let mut add = |series: &[Series]| {
            for index in 0..plot.categories.len() {
                let parts =
                    series.iter().flat_map(|series| &series.points).filter(|point| point.x == index as f64);
                values.push(parts.map(|point| point.median).sum());
            }
        };
        plot.panels.iter().for_each(|panel| add(&panel.series));
    }
    if spec.log_y && !stacked {
        return Axis::logarithmic(&plot.y, &values, 5);
    }
    let mut axis = Axis::linear(&plot.y, &values, ZeroPolicy::Always, 4);
    axis.trim_to_values(&values);
    axis
}

/// Vertical grid lines with their values underneath.
fn draw_columns(canvas: &mut Canvas, area: &PlotArea, axis: &Axis) {
    let mut free = f64::NEG_INFINITY;
    for (value, text) in &axis.ticks {
        let x = area.left + axis.fraction(*value) * area.width();
        canvas.line(&[[x, area.top], [x, area.bottom]], Color::Grid, 1.0);
        let half = text_width(text) / 2.0;
        if x - half > free {
            canvas.text([x, area.bottom + 12.0], text, Color::Muted, Anchor::Middle);
            free = x + half + 6.0;
        }
    }
    let middle = (area.left + area.right) / 2.0;
    canvas.text([middle, area.bottom + 12.0 + LINE_HEIGHT], &axis.title, Color::Muted, Anchor::Middle);
}

fn draw_rows(
    canvas: &mut Canvas,
    area: &PlotArea,
    axis: &Axis,
    rows: &[BarRow],
    plot: &Plot,
    legend: &Legend,
    above: bool,
) {
    let zero = if axis.log { area.left } else { area.left + axis.fraction(0.0) * area.width() };
    let mut top = area.top;
    for row in rows {
        if let Some(heading) = &row.heading {
            canvas.bold([0.0, top + HEADING - LINE_HEIGHT / 2.0 - 2.0], heading, Color::Text, Anchor::Start);
            top += HEADING;
        }
        if above && !row.name.is_empty() {
            canvas.text(
                [area.left, top + NAME_ABOVE - LINE_HEIGHT / 2.0 + 1.0],
                &row.name,
                Color::Text,
                Anchor::Start,
            );
            top += NAME_ABOVE;
        }
        let middle = top + STEP / 2.0;
        if !above {
            canvas.text([area.left - 10.0, middle], &row.name, Color::Text, Anchor::End);
        }
        draw_layers(canvas, area, axis, row, [zero, middle], plot, legend);
        // drawn per bar, so that it does not cross the headings
        canvas.line(&[[zero, top], [zero, top + STEP]], Color::Axis, 1.0);
        top += STEP;
    }
}

/// Draws the layers of one row from its zero on, the whiskers, and the value at the end.
fn draw_layers(
    canvas: &mut Canvas,
    area: &PlotArea,
    axis: &Axis,
    row: &BarRow,
    [zero, middle]: [f64; 2],
    plot: &Plot,
    legend: &Legend,
) {
    let to_x = |value: f64| area.left + axis.fraction(value) * area.width();
    let (top, bottom) = (middle - BAR / 2.0, middle + BAR / 2.0);
    let stacked = row.stacked;
    let mut sum = 0.0;
    let mut reach = zero;
    for (name, point) in &row.layers {
        let Some(point) = point else { continue };
        let start = if sum == 0.0 { zero } else { to_x(sum) };
        let end = to_x(sum + point.median);
        let color = if stacked { legend.layer_color(name) } else { legend.color(name) };
        canvas.rectangle([start, top], [end, bottom], color, 1.0);
        if stacked && end - start > 1.5 {
            // a thin gap between layers
            canvas.line(&[[end, top], [end, bottom]], Color::Background, 1.0);
        }
        let ends = [to_x(point.low), to_x(point.high)];
        if !stacked && ends[1] - ends[0] > 1.0 {
            // whiskers have an outline, because they overlap their bars
            for (color, thickness) in [(Color::Background, 3.6), (Color::Text, 1.2)] {
                canvas.line(&[[ends[0], middle], [ends[1], middle]], color, thickness);
                for end in ends {
                    canvas.line(&[[end, middle - 4.0], [end, middle + 4.0]], color, thickness);
                }
            }
            reach = reach.max(ends[1]);
        }
        reach = reach.max(end);
        sum += point.median;
    }
    let known = row.layers.iter().any(|(_, point)| point.is_some());
    let color = if known { Color::Text } else { Color::Muted };
    canvas.text([reach + 7.0, middle], &value_text(plot, row), color, Anchor::Start);
}

fn value_text(plot: &Plot, row: &BarRow) -> String {
    let known: Vec<f64> =
        row.layers.iter().filter_map(|(_, point)| point.map(|point| point.median)).collect();
    if known.is_empty() {
        return "not measured".to_string();
    }
    plot.y.format(known.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::{Grid, Value};

    /// A combination without a row differs from one without a number.
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
        let plot = Plot::from_grid(&spec, &grid).unwrap();
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
