//! Draws line charts and scatter plots, in one panel or several.

use super::super::quantity::Unit;
use super::Layout;
use super::axis::{Axis, ZeroPolicy};
use super::canvas::{Anchor, Canvas, text_width};
use super::marks::{self, LINE_HEIGHT, PlotArea};
use super::palette::{Color, Legend};
use super::plot::{Panel, Plot, Point, Series};
use crate::cell::{FigureKind, FigureSpec};

/// Lines with more points than this are downsampled, which keeps pages small.
const LINE_POINTS: usize = 240;
/// Lines with at most this many points have markers.
const MARKED_POINTS: usize = 24;

/// Horizontal gap between panels in pixels.
const GAP: f64 = 28.0;

/// Draws `plot`.
pub fn draw(plot: &Plot, spec: &FigureSpec, legend: &Legend, layout: Layout) -> Canvas {
    let names = legend.sorted(plot.names());
    let width = layout.width();
    let several = plot.panels.len() > 1;
    let labels = if several || layout == Layout::Narrow || spec.kind == FigureKind::Scatter || names.len() < 2
    {
        0.0
    } else {
        names.iter().map(|name| text_width(name)).fold(0.0, f64::max) + 22.0
    };
    let label_at_ends = labels > 0.0 && labels < 0.32 * width && lines_end_together(plot);
    let legend_lines =
        if label_at_ends || names.len() < 2 { 0 } else { marks::legend_line_count(&names, width) };
    let columns = if layout == Layout::Narrow { 1 } else { panels_per_row(plot.panels.len()) };
    let rows = plot.panels.len().div_ceil(columns).max(1);

    let y = y_axis(plot, spec);
    let gutter = marks::widest_tick(&y) + 12.0;
    let right = if label_at_ends { labels } else { 14.0 };
    let panel_size = [(width - gutter - right) / columns as f64, layout.panel_height(several)];
    let head = legend_lines as f64 * LINE_HEIGHT + if legend_lines > 0 { 8.0 } else { 0.0 };
    let mut canvas = Canvas::new(width, head + rows as f64 * panel_size[1]);
    if legend_lines > 0 {
        marks::draw_legend(&mut canvas, [0.0, 0.0], width, &names, legend);
    }
    let x = x_axis(plot, panel_size[0] - GAP);
    for (index, panel) in plot.panels.iter().enumerate() {
        let (column, row) = (index % columns, index / columns);
        let left = gutter + column as f64 * panel_size[0];
        let top = head + row as f64 * panel_size[1];
        let title = LINE_HEIGHT * if panel.name.is_some() { 2.0 } else { 1.0 };
        let area = PlotArea {
            left,
            top: top + title + 12.0,
            right: left + panel_size[0] - if columns > 1 { GAP } else { 0.0 },
            bottom: top + panel_size[1] - 2.0 * LINE_HEIGHT - 4.0,
        };
        draw_panel(&mut canvas, &area, [&x, &y], panel, spec.kind, legend, column == 0);
        if let Some(name) = &panel.name {
            canvas.bold(
                [if column == 0 { 0.0 } else { left }, top + LINE_HEIGHT / 2.0],
                name,
                Color::Text,
                Anchor::Start,
            );
        }
        if column == 0 {
            canvas.text([0.0, top + title - LINE_HEIGHT / 2.0], &y.title, Color::Muted, Anchor::Start);
        }
        if label_at_ends {
            label_ends(&mut canvas, &area, [&x, &y], panel, legend);
        }
    }
    canvas
}

/// The number of panels in a row: at most three; four panels form a square.
fn panels_per_row(panels: usize) -> usize {
    if panels == 4 { 2 } else { panels.clamp(1, 3) }
}

/// Whether all lines end near the right edge, so that their names can be placed at their ends.
fn lines_end_together(plot: &Plot) -> bool {
    let ends =
        plot.panels.iter().flat_map(|panel| &panel.series).filter_map(|series| Some(series.points.last()?.x));
    let (mut first, mut last) = (f64::INFINITY, f64::NEG_INFINITY);
    for end in ends {
        (first, last) = (first.min(end), last.max(end));
    }
    let start = plot.points().map(|point| point.x).fold(f64::INFINITY, f64::min);
    last - first <= 0.1 * (last - start)
}

fn y_axis(plot: &Plot, spec: &FigureSpec) -> Axis {
    let values: Vec<f64> = plot.points().flat_map(|point| [point.low, point.high]).collect();
    if spec.log_y {
        Axis::logarithmic(&plot.y, &values, 6)
    } else {
        // amounts start at zero, so that small changes do not look like growth
        let is_amount = matches!(plot.y.unit, Unit::Bytes | Unit::Seconds);
        Axis::linear(&plot.y, &values, if is_amount { ZeroPolicy::Always } else { ZeroPolicy::WhenNear }, 5)
    }
}

fn x_axis(plot: &Plot, length: f64) -> Axis {
    let missing = plot.panels.iter().flat_map(|panel| &panel.series).flat_map(|series| &series.missing);
    let values: Vec<f64> = plot.points().map(|point| point.x).chain(missing.copied()).collect();
    let mut axis = Axis::linear(&plot.x, &values, ZeroPolicy::WhenNear, if length < 300.0 { 4 } else { 6 });
    axis.trim_to_values(&values);
    axis.place_ticks_at_values(&plot.x, &values, length, text_width);
    axis
}

fn draw_panel(
    canvas: &mut Canvas,
    area: &PlotArea,
    [x, y]: [&Axis; 2],
    panel: &Panel,
    kind: FigureKind,
    legend: &Legend,
    labeled: bool,
) {
    marks::draw_y_grid(canvas, area, y, labeled);
    marks::draw_x_axis(canvas, area, x);
    for series in &panel.series {
        let color = legend.color(&series.name);
        let shape = legend.marker(&series.name);
        let marked = kind == FigureKind::Scatter || series.points.len() <= MARKED_POINTS;
        if kind == FigureKind::Line && series.points.len() > 1 {
            let points: Vec<[f64; 2]> = downsample(&series.points, LINE_POINTS)
                .into_iter()
                .map(|value| area.to_pixels(x, y, value))
                .collect();
            canvas.line(&points, color, if marked { 2.2 } else { 1.6 });
        }
        if !marked {
            continue;
        }
        for &x_missing in &series.missing {
            let position = area.to_pixels(x, y, [x_missing, y.high]);
            marks::draw_cross(canvas, position, color, 4.0);
        }
        for point in &series.points {
            if kind == FigureKind::Scatter && point.interval.is_none() {
                // in a scatter plot points with the same x need not be repeats
                for &value in &point.repeats {
                    marks::draw_point(canvas, area.to_pixels(x, y, [point.x, value]), shape, color, 4.0);
                }
                continue;
            }
            let position = area.to_pixels(x, y, [point.x, point.median]);
            let ends = [point.low, point.high].map(|end| area.to_pixels(x, y, [point.x, end])[1]);
            marks::draw_whisker(canvas, position[0], ends[0], ends[1], color);
            marks::draw_point(canvas, position, shape, color, 4.0);
        }
    }
}

/// Draws the names of the lines at their right ends.
fn label_ends(canvas: &mut Canvas, area: &PlotArea, [x, y]: [&Axis; 2], panel: &Panel, legend: &Legend) {
    let mut ends: Vec<(&Series, [f64; 2])> = Vec::new();
    for series in &panel.series {
        let Some(last) = series.points.last() else { continue };
        let end = area.to_pixels(x, y, [last.x, last.median]);
        // several runs of a name share the label of the longest line
        match ends.iter_mut().find(|(known, _)| known.name == series.name) {
            Some(known) if known.1[0] < end[0] => known.1 = end,
            Some(_) => {}
            None => ends.push((series, end)),
        }
    }
    let positions: Vec<f64> = ends.iter().map(|(_, end)| end[1]).collect();
    let placed = marks::spread_labels(&positions, area.top, area.bottom);
    for ((series, end), level) in ends.iter().zip(placed) {
        let color = legend.color(&series.name);
        let start = area.right + 14.0;
        if (level - end[1]).abs() > 3.0 || area.right - end[0] > 12.0 {
            canvas.faint_line(&[[end[0] + 6.0, end[1]], [start - 3.0, level]], color, 1.0, 0.5);
        }
        canvas.text([start, level], &series.name, color, Anchor::Start);
    }
}

/// Reduces a line to about `max_points` points: the minimum and the maximum of every window, so that no peak is lost.
fn downsample(points: &[Point], max_points: usize) -> Vec<[f64; 2]> {
    if points.len() <= max_points {
        return points.iter().map(|point| [point.x, point.median]).collect();
    }
    let window = points.len().div_ceil(max_points / 2);
    let mut kept = Vec::with_capacity(max_points + 2);
    for piece in points.chunks(window) {
        let by_height = |a: &&Point, b: &&Point| a.median.total_cmp(&b.median);
        let (Some(low), Some(high)) = (piece.iter().min_by(by_height), piece.iter().max_by(by_height)) else {
            continue;
        };
        let (first, second) = if low.x <= high.x { (low, high) } else { (high, low) };
        kept.push([first.x, first.median]);
        if first != second {
            kept.push([second.x, second.median]);
        }
    }
    // the line keeps its first and last x
    let (first, last) = (&points[0], &points[points.len() - 1]);
    if kept[0][0] != first.x {
        kept.insert(0, [first.x, first.median]);
    }
    if kept[kept.len() - 1][0] != last.x {
        kept.push([last.x, last.median]);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_panels_form_a_square() {
        assert_eq!([0, 1, 2, 3, 4, 5, 6].map(panels_per_row), [1, 1, 2, 3, 2, 3, 3]);
    }

    #[test]
    fn downsampling_keeps_peaks_and_ends() {
        let point = |x: usize, y: f64| Point {
            x: x as f64,
            median: y,
            low: y,
            high: y,
            repeats: vec![y],
            interval: None,
        };
        let mut points: Vec<Point> = (0..10_000).map(|x| point(x, (x % 7) as f64)).collect();
        points[4321].median = 99.0;
        let kept = downsample(&points, 240);
        assert!(kept.len() <= 244);
        assert!(kept.contains(&[4321.0, 99.0]));
        assert_eq!((kept[0][0], kept[kept.len() - 1][0]), (0.0, 9999.0));
        assert!(kept.windows(2).all(|pair| pair[0][0] < pair[1][0]));
    }
}
