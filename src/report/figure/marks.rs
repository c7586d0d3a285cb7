//! What pictures have in common: axes with grids, points of many shapes, legends.
//!
//! Must not know which kind of figure uses them.

use super::axis::Axis;
use super::canvas::{Anchor, Canvas, TYPE_SIZE, text_width};
use super::palette::{Ink, Legend};

/// Height of a line of words.
pub const LINE: f64 = 20.0;

/// The rectangle that the data are drawn in, pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
}

impl Field {
    pub fn width(&self) -> f64 {
        self.right - self.left
    }

    /// Where a pair of values lies.
    pub fn at(&self, x: &Axis, y: &Axis, value: [f64; 2]) -> [f64; 2] {
        [
            self.left + x.share(value[0]) * self.width(),
            self.bottom - y.share(value[1]) * (self.bottom - self.top),
        ]
    }
}

/// The widest tick text of an axis.
pub fn widest_tick(axis: &Axis) -> f64 {
    axis.ticks.iter().map(|tick| text_width(&tick.1)).fold(0.0, f64::max)
}

/// Horizontal grid lines, with their values at the left where `labelled`.
pub fn draw_rows(canvas: &mut Canvas, field: &Field, y: &Axis, labelled: bool) {
    for (value, text) in &y.ticks {
        let level = field.bottom - y.share(*value) * (field.bottom - field.top);
        canvas.line(&[[field.left, level], [field.right, level]], Ink::Grid, 1.0);
        if labelled {
            canvas.text([field.left - 8.0, level], text, Ink::Quiet, Anchor::End);
        }
    }
}

/// The horizontal axis: its line, ticks, their values and its title.
pub fn draw_foot(canvas: &mut Canvas, field: &Field, x: &Axis) {
    canvas.line(&[[field.left, field.bottom], [field.right, field.bottom]], Ink::Axis, 1.0);
    for (value, text) in &x.ticks {
        let at = field.left + x.share(*value) * field.width();
        canvas.line(&[[at, field.bottom], [at, field.bottom + 5.0]], Ink::Axis, 1.0);
        canvas.text([at, field.bottom + 15.0], text, Ink::Quiet, Anchor::Middle);
    }
    let middle = (field.left + field.right) / 2.0;
    canvas.text([middle, field.bottom + 15.0 + LINE], &x.title, Ink::Quiet, Anchor::Middle);
}

/// A point whose shape goes with its ink: circle, square, diamond, two triangles, dash, in turn.
pub fn draw_point(canvas: &mut Canvas, [x, y]: [f64; 2], shape: usize, ink: Ink, radius: f64) {
    let r = radius;
    match shape % 6 {
        0 => canvas.dot([x, y], r, ink, 1.0),
        1 => canvas.rectangle([x - 0.87 * r, y - 0.87 * r], [x + 0.87 * r, y + 0.87 * r], ink, 1.0),
        2 => canvas.area(
            &[[x, y - 1.25 * r], [x + 1.25 * r, y], [x, y + 1.25 * r], [x - 1.25 * r, y]],
            ink,
            1.0,
        ),
        3 => canvas.area(
            &[[x, y - 1.2 * r], [x + 1.15 * r, y + 0.9 * r], [x - 1.15 * r, y + 0.9 * r]],
            ink,
            1.0,
        ),
        4 => canvas.area(
            &[[x, y + 1.2 * r], [x + 1.15 * r, y - 0.9 * r], [x - 1.15 * r, y - 0.9 * r]],
            ink,
            1.0,
        ),
        _ => canvas.area(
            &[
                [x - 1.4 * r, y - 0.6 * r],
                [x + 1.4 * r, y - 0.6 * r],
                [x + 1.4 * r, y + 0.6 * r],
                [x - 1.4 * r, y + 0.6 * r],
            ],
            ink,
            1.0,
        ),
    }
}

/// A cross: here something was to be measured, and was not.
pub fn draw_cross(canvas: &mut Canvas, [x, y]: [f64; 2], ink: Ink, arm: f64) {
    canvas.line(&[[x - arm, y - arm], [x + arm, y + arm]], ink, 1.8);
    canvas.line(&[[x - arm, y + arm], [x + arm, y - arm]], ink, 1.8);
}

/// A whisker from `low` to `high` at `x` (pixels), with caps.
pub fn draw_whisker(canvas: &mut Canvas, x: f64, low: f64, high: f64, ink: Ink) {
    if (low - high).abs() < 1.0 {
        return;
    }
    canvas.faint_line(&[[x, low], [x, high]], ink, 1.5, 0.8);
    for end in [low, high] {
        canvas.faint_line(&[[x - 3.5, end], [x + 3.5, end]], ink, 1.5, 0.8);
    }
}

/// How many lines a legend of `names` takes within `width`.
pub fn legend_lines(names: &[String], width: f64) -> usize {
    legend_places(names, width).last().map_or(0, |place| (place[1] / LINE) as usize + 1)
}

fn legend_places(names: &[String], width: f64) -> Vec<[f64; 2]> {
    let (mut x, mut line) = (0.0, 0.0);
    names
        .iter()
        .map(|name| {
            let entry = text_width(name) + 18.0;
            if x > 0.0 && x + entry > width {
                (x, line) = (0.0, line + 1.0);
            }
            let place = [x, line * LINE];
            x += entry + 16.0;
            place
        })
        .collect()
}

/// The colours of layers with their names, line after line from the upper left corner.
pub fn draw_layer_legend(canvas: &mut Canvas, width: f64, names: &[String], legend: &Legend) {
    for (name, [x, y]) in names.iter().zip(legend_places(names, width)) {
        let middle = y + LINE / 2.0;
        canvas.rectangle([x, middle - 5.5], [x + 11.0, middle + 5.5], legend.layer(name), 1.0);
        canvas.text([x + 17.0, middle], name, Ink::Words, Anchor::Start);
    }
}

/// Names with their marks, line after line from the upper left corner.
pub fn draw_legend(canvas: &mut Canvas, corner: [f64; 2], width: f64, names: &[String], legend: &Legend) {
    for (name, place) in names.iter().zip(legend_places(names, width)) {
        let at = [corner[0] + place[0] + 6.0, corner[1] + place[1] + LINE / 2.0];
        draw_point(canvas, at, legend.shape(name), legend.ink(name), 4.5);
        canvas.text([at[0] + 11.0, at[1]], name, Ink::Words, Anchor::Start);
    }
}

/// Moves labels apart so that no two are nearer than a line of type, keeping their order and staying
/// between `top` and `bottom` where there is room. Gives each label's height.
pub fn spread_labels(wanted: &[f64], top: f64, bottom: f64) -> Vec<f64> {
    let gap = TYPE_SIZE + 3.0;
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]));
    let mut placed = vec![0.0; wanted.len()];
    let mut free = top;
    for &index in &order {
        placed[index] = wanted[index].max(free);
        free = placed[index] + gap;
    }
    // what was pushed beyond the bottom pushes back upwards
    let mut limit = bottom;
    for &index in order.iter().rev() {
        placed[index] = f64::min(placed[index], limit);
        limit = placed[index] - gap;
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_do_not_overlap() {
        let placed = spread_labels(&[100.0, 98.0, 101.0, 10.0], 0.0, 110.0);
        let mut sorted = placed.clone();
        sorted.sort_by(f64::total_cmp);
        assert!(sorted.windows(2).all(|pair| pair[1] - pair[0] >= TYPE_SIZE + 2.9), "{placed:?}");
        assert!(placed.iter().all(|at| (0.0..=110.0).contains(at)));
        assert!(placed[1] < placed[0] && placed[0] < placed[2]);
        assert_eq!(placed[3], 10.0);
    }

    #[test]
    fn a_legend_wraps() {
        let names: Vec<String> = ["stream sequential", "extract memory", "x"].map(String::from).to_vec();
        assert_eq!(legend_lines(&names, 1000.0), 1);
        assert_eq!(legend_lines(&names, 200.0), 2);
        assert_eq!(legend_lines(&[], 200.0), 0);
    }
}
