//! Lines and scattered points over two axes, in one picture or several.
//!
//! Must not know pages.

use super::super::quantity::Unit;
use super::Sheet;
use super::axis::{Axis, Zero};
use super::canvas::{Anchor, Canvas, text_width};
use super::data::{Panel, Plot, Point, Series};
use super::marks::{self, Field, LINE};
use super::palette::{Ink, Legend};
use crate::experiment::{FigureKind, FigureSpec};

/// More points than this on a line are thinned: a figure shows no more, and a page should load.
const LINE_POINTS: usize = 240;
/// Up to here every point of a line gets its mark.
const MARKED_POINTS: usize = 24;

/// Between pictures side by side.
const GAP: f64 = 28.0;

/// Draws `plot` for a sheet of the given form.
pub fn draw(plot: &Plot, spec: &FigureSpec, legend: &Legend, sheet: Sheet) -> Canvas {
    let names = legend.in_order(plot.names());
    let width = sheet.width();
    let several = plot.panels.len() > 1;
    let labels = if several || sheet == Sheet::Narrow || spec.kind == FigureKind::Scatter || names.len() < 2 {
        0.0
    } else {
        names.iter().map(|name| text_width(name)).fold(0.0, f64::max) + 22.0
    };
    let direct = labels > 0.0 && labels < 0.32 * width && lines_end_together(plot);
    let listed = if direct || names.len() < 2 { 0 } else { marks::legend_lines(&names, width) };
    let across = if sheet == Sheet::Narrow { 1 } else { side_by_side(plot.panels.len()) };
    let down = plot.panels.len().div_ceil(across).max(1);

    let y = y_axis(plot, spec);
    let gutter = marks::widest_tick(&y) + 12.0;
    let right = if direct { labels } else { 14.0 };
    let picture = [(width - gutter - right) / across as f64, sheet.picture_height(several)];
    let head = listed as f64 * LINE + if listed > 0 { 8.0 } else { 0.0 };
    let mut canvas = Canvas::new(width, head + down as f64 * picture[1]);
    if listed > 0 {
        marks::draw_legend(&mut canvas, [0.0, 0.0], width, &names, legend);
    }
    let x = x_axis(plot, picture[0] - GAP);
    for (index, panel) in plot.panels.iter().enumerate() {
        let (column, row) = (index % across, index / across);
        let left = gutter + column as f64 * picture[0];
        let top = head + row as f64 * picture[1];
        let title = LINE * if panel.name.is_some() { 2.0 } else { 1.0 };
        let field = Field {
            left,
            top: top + title + 12.0,
            right: left + picture[0] - if across > 1 { GAP } else { 0.0 },
            bottom: top + picture[1] - 2.0 * LINE - 4.0,
        };
        draw_panel(&mut canvas, &field, [&x, &y], panel, spec.kind, legend, column == 0);
        if let Some(name) = &panel.name {
            canvas.bold(
                [if column == 0 { 0.0 } else { left }, top + LINE / 2.0],
                name,
                Ink::Words,
                Anchor::Start,
            );
        }
        if column == 0 {
            canvas.text([0.0, top + title - LINE / 2.0], &y.title, Ink::Quiet, Anchor::Start);
        }
        if direct {
            label_ends(&mut canvas, &field, [&x, &y], panel, legend);
        }
    }
    canvas
}

/// How many of so many pictures stand side by side: no more than three; four stand in a square.
fn side_by_side(pictures: usize) -> usize {
    if pictures == 4 { 2 } else { pictures.clamp(1, 3) }
}

/// Whether all lines reach the right edge, nearly: only then can their names stand at their ends.
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
        // a megabyte more or less must not look like growth
        let amount = matches!(plot.y.unit, Unit::Bytes | Unit::Seconds);
        Axis::linear(&plot.y, &values, if amount { Zero::Always } else { Zero::WhenNear }, 5)
    }
}

fn x_axis(plot: &Plot, room: f64) -> Axis {
    let missing = plot.panels.iter().flat_map(|panel| &panel.series).flat_map(|series| &series.missing);
    let values: Vec<f64> = plot.points().map(|point| point.x).chain(missing.copied()).collect();
    let mut axis = Axis::linear(&plot.x, &values, Zero::WhenNear, if room < 300.0 { 4 } else { 6 });
    axis.end_at_values(&values);
    axis.tick_at_values(&plot.x, &values, room, text_width);
    axis
}

fn draw_panel(
    canvas: &mut Canvas,
    field: &Field,
    [x, y]: [&Axis; 2],
    panel: &Panel,
    kind: FigureKind,
    legend: &Legend,
    labelled: bool,
) {
    marks::draw_rows(canvas, field, y, labelled);
    marks::draw_foot(canvas, field, x);
    for series in &panel.series {
        let ink = legend.ink(&series.name);
        let shape = legend.shape(&series.name);
        let marked = kind == FigureKind::Scatter || series.points.len() <= MARKED_POINTS;
        if kind == FigureKind::Line && series.points.len() > 1 {
            let points: Vec<[f64; 2]> =
                thinned(&series.points, LINE_POINTS).into_iter().map(|value| field.at(x, y, value)).collect();
            canvas.line(&points, ink, if marked { 2.2 } else { 1.6 });
        }
        if !marked {
            continue;
        }
        for &x_missing in &series.missing {
            let at = field.at(x, y, [x_missing, y.high]);
            marks::draw_cross(canvas, at, ink, 4.0);
        }
        for point in &series.points {
            if kind == FigureKind::Scatter && point.interval.is_none() {
                // points alone: what shares its x need not be a repeat
                for &value in &point.repeats {
                    marks::draw_point(canvas, field.at(x, y, [point.x, value]), shape, ink, 4.0);
                }
                continue;
            }
            let at = field.at(x, y, [point.x, point.median]);
            let ends = [point.low, point.high].map(|end| field.at(x, y, [point.x, end])[1]);
            marks::draw_whisker(canvas, at[0], ends[0], ends[1], ink);
            marks::draw_point(canvas, at, shape, ink, 4.0);
        }
    }
}

/// The names of the lines at their right ends.
fn label_ends(canvas: &mut Canvas, field: &Field, [x, y]: [&Axis; 2], panel: &Panel, legend: &Legend) {
    let mut ends: Vec<(&Series, [f64; 2])> = Vec::new();
    for series in &panel.series {
        let Some(last) = series.points.last() else { continue };
        let end = field.at(x, y, [last.x, last.median]);
        // runs of one name have one label, at the end that reaches farthest
        match ends.iter_mut().find(|(known, _)| known.name == series.name) {
            Some(known) if known.1[0] < end[0] => known.1 = end,
            Some(_) => {}
            None => ends.push((series, end)),
        }
    }
    let wanted: Vec<f64> = ends.iter().map(|(_, end)| end[1]).collect();
    let placed = marks::spread_labels(&wanted, field.top, field.bottom);
    for ((series, end), level) in ends.iter().zip(placed) {
        let ink = legend.ink(&series.name);
        let start = field.right + 14.0;
        if (level - end[1]).abs() > 3.0 || field.right - end[0] > 12.0 {
            canvas.faint_line(&[[end[0] + 6.0, end[1]], [start - 3.0, level]], ink, 1.0, 0.5);
        }
        canvas.text([start, level], &series.name, ink, Anchor::Start);
    }
}

/// At most about `most` points of a line: of every stretch the smallest and the largest, so that no
/// peak is lost.
fn thinned(points: &[Point], most: usize) -> Vec<[f64; 2]> {
    if points.len() <= most {
        return points.iter().map(|point| [point.x, point.median]).collect();
    }
    let stretch = points.len().div_ceil(most / 2);
    let mut kept = Vec::with_capacity(most + 2);
    for piece in points.chunks(stretch) {
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
    // the line starts and ends where the measurement did
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
    fn four_pictures_stand_in_a_square() {
        assert_eq!([0, 1, 2, 3, 4, 5, 6].map(side_by_side), [1, 1, 2, 3, 2, 3, 3]);
    }

    #[test]
    fn thinning_keeps_peaks_and_ends() {
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
        let kept = thinned(&points, 240);
        assert!(kept.len() <= 244);
        assert!(kept.contains(&[4321.0, 99.0]));
        assert_eq!((kept[0][0], kept[kept.len() - 1][0]), (0.0, 9999.0));
        assert!(kept.windows(2).all(|pair| pair[0][0] < pair[1][0]));
    }
}
