//! Drawing functions shared by all kinds of figure: axes, grids, markers, legends.

use super::axis::Axis;
use super::canvas::{Anchor, Canvas, FONT_SIZE, text_width};
use super::palette::{Color, Legend};

/// Height of a line of text in pixels.
pub const LINE_HEIGHT: f64 = 20.0;

/// The rectangle in which the data are drawn, in pixels of the canvas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlotArea {
    /// Left edge.
    pub left: f64,
    /// Upper edge.
    pub top: f64,
    /// Right edge.
    pub right: f64,
    /// Lower edge.
    pub bottom: f64,
}

impl PlotArea {
    /// Width in pixels.
    pub fn width(&self) -> f64 {
        self.right - self.left
    }

    /// The pixel position of a pair of values.
    pub fn to_pixels(self, x: &Axis, y: &Axis, value: [f64; 2]) -> [f64; 2] {
        [
            self.left + x.fraction(value[0]) * self.width(),
            self.bottom - y.fraction(value[1]) * (self.bottom - self.top),
        ]
    }
}

/// The widest tick text of an axis.
pub fn widest_tick(axis: &Axis) -> f64 {
    axis.ticks.iter().map(|tick| text_width(&tick.1)).fold(0.0, f64::max)
}

/// Horizontal grid lines, with their values at the left if `labeled`.
pub fn draw_y_grid(canvas: &mut Canvas, area: &PlotArea, y: &Axis, labeled: bool) {
    for (value, text) in &y.ticks {
        let level = area.bottom - y.fraction(*value) * (area.bottom - area.top);
        canvas.line(&[[area.left, level], [area.right, level]], Color::Grid, 1.0);
        if labeled {
            canvas.text([area.left - 8.0, level], text, Color::Muted, Anchor::End);
        }
    }
}

/// The horizontal axis with ticks, tick labels and title.
pub fn draw_x_axis(canvas: &mut Canvas, area: &PlotArea, x: &Axis) {
    canvas.line(&[[area.left, area.bottom], [area.right, area.bottom]], Color::Axis, 1.0);
    for (value, text) in &x.ticks {
        let tick = area.left + x.fraction(*value) * area.width();
        canvas.line(&[[tick, area.bottom], [tick, area.bottom + 5.0]], Color::Axis, 1.0);
        canvas.text([tick, area.bottom + 15.0], text, Color::Muted, Anchor::Middle);
    }
    let middle = (area.left + area.right) / 2.0;
    canvas.text([middle, area.bottom + 15.0 + LINE_HEIGHT], &x.title, Color::Muted, Anchor::Middle);
}

/// A marker. `shape` modulo 6 selects circle, square, diamond, one of two triangles, or dash.
pub fn draw_point(canvas: &mut Canvas, [x, y]: [f64; 2], shape: usize, color: Color, radius: f64) {
    let r = radius;
    match shape % 6 {
        0 => canvas.dot([x, y], r, color, 1.0),
        1 => canvas.rectangle([x - 0.87 * r, y - 0.87 * r], [x + 0.87 * r, y + 0.87 * r], color, 1.0),
        2 => canvas.area(
            &[[x, y - 1.25 * r], [x + 1.25 * r, y], [x, y + 1.25 * r], [x - 1.25 * r, y]],
            color,
            1.0,
        ),
        3 => canvas.area(
            &[[x, y - 1.2 * r], [x + 1.15 * r, y + 0.9 * r], [x - 1.15 * r, y + 0.9 * r]],
            color,
            1.0,
        ),
        4 => canvas.area(
            &[[x, y + 1.2 * r], [x + 1.15 * r, y - 0.9 * r], [x - 1.15 * r, y - 0.9 * r]],
            color,
            1.0,
        ),
        _ => canvas.area(
            &[
                [x - 1.4 * r, y - 0.6 * r],
                [x + 1.4 * r, y - 0.6 * r],
                [x + 1.4 * r, y + 0.6 * r],
                [x - 1.4 * r, y + 0.6 * r],
            ],
            color,
            1.0,
        ),
    }
}

/// A cross, which marks a missing value.
pub fn draw_cross(canvas: &mut Canvas, [x, y]: [f64; 2], color: Color, arm: f64) {
    canvas.line(&[[x - arm, y - arm], [x + arm, y + arm]], color, 1.8);
    canvas.line(&[[x - arm, y + arm], [x + arm, y - arm]], color, 1.8);
}

/// A whisker from `low` to `high` at `x` (pixels), with caps.
pub fn draw_whisker(canvas: &mut Canvas, x: f64, low: f64, high: f64, color: Color) {
    if (low - high).abs() < 1.0 {
        return;
    }
    canvas.faint_line(&[[x, low], [x, high]], color, 1.5, 0.8);
    for end in [low, high] {
        canvas.faint_line(&[[x - 3.5, end], [x + 3.5, end]], color, 1.5, 0.8);
    }
}

/// The number of lines of a legend of `names` within `width` pixels.
pub fn legend_line_count(names: &[String], width: f64) -> usize {
    legend_positions(names, width).last().map_or(0, |position| (position[1] / LINE_HEIGHT) as usize + 1)
}

fn legend_positions(names: &[String], width: f64) -> Vec<[f64; 2]> {
    let (mut x, mut line) = (0.0, 0.0);
    names
        .iter()
        .map(|name| {
            let entry = text_width(name) + 18.0;
            if x > 0.0 && x + entry > width {
                (x, line) = (0.0, line + 1.0);
            }
            let position = [x, line * LINE_HEIGHT];
            x += entry + 16.0;
            position
        })
        .collect()
}

/// The legend of a stack: colors of layers with their names, wrapped at `width`.
pub fn draw_layer_legend(canvas: &mut Canvas, width: f64, names: &[String], legend: &Legend) {
    for (name, [x, y]) in names.iter().zip(legend_positions(names, width)) {
        let middle = y + LINE_HEIGHT / 2.0;
        canvas.rectangle([x, middle - 5.5], [x + 11.0, middle + 5.5], legend.layer_color(name), 1.0);
        canvas.text([x + 17.0, middle], name, Color::Text, Anchor::Start);
    }
}

/// The legend of series: markers with names, wrapped at `width`, from `corner` on.
pub fn draw_legend(canvas: &mut Canvas, corner: [f64; 2], width: f64, names: &[String], legend: &Legend) {
    for (name, [x, y]) in names.iter().zip(legend_positions(names, width)) {
        let center = [corner[0] + x + 6.0, corner[1] + y + LINE_HEIGHT / 2.0];
        draw_point(canvas, center, legend.marker(name), legend.color(name), 4.5);
        canvas.text([center[0] + 11.0, center[1]], name, Color::Text, Anchor::Start);
    }
}

/// Moves labels apart so that they do not overlap, keeping their order and, if there is space, staying between `top` and
/// `bottom`. Returns the y position of each label.
pub fn spread_labels(positions: &[f64], top: f64, bottom: f64) -> Vec<f64> {
    let gap = FONT_SIZE + 3.0;
    let mut order: Vec<usize> = (0..positions.len()).collect();
    order.sort_by(|&a, &b| positions[a].total_cmp(&positions[b]));
    let mut placed = vec![0.0; positions.len()];
    let mut free = top;
    for &index in &order {
        placed[index] = positions[index].max(free);
        free = placed[index] + gap;
    }
    // labels beyond the bottom are moved up again
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
        assert!(sorted.windows(2).all(|pair| pair[1] - pair[0] >= FONT_SIZE + 2.9), "{placed:?}");
        assert!(placed.iter().all(|y| (0.0..=110.0).contains(y)));
        assert!(placed[1] < placed[0] && placed[0] < placed[2]);
        assert_eq!(placed[3], 10.0);
    }

    #[test]
    fn a_legend_wraps() {
        let names: Vec<String> = ["stream sequential", "extract memory", "x"].map(String::from).to_vec();
        assert_eq!(legend_line_count(&names, 1000.0), 1);
        assert_eq!(legend_line_count(&names, 200.0), 2);
        assert_eq!(legend_line_count(&[], 200.0), 0);
    }
}
