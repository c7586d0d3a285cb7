//! Draws timelines: one lane per worker, one bar per activity; gaps are waiting times.

use super::Layout;
use super::axis::{Axis, ZeroPolicy};
use super::canvas::{Anchor, Canvas, text_width};
use super::marks::{self, LINE_HEIGHT, PlotArea};
use super::palette::{Color, Legend};
use super::plot::Plot;

const LANE: f64 = 34.0;
const BAR: f64 = 22.0;
/// Horizontal padding of a bar's text.
const TEXT_PADDING: f64 = 3.0;

/// Draws the spans of `plot`.
pub fn draw(plot: &Plot, legend: &Legend, layout: Layout) -> Canvas {
    let width = layout.width();
    let widest = plot.categories.iter().map(|lane| text_width(lane)).fold(0.0, f64::max);
    let height = plot.categories.len() as f64 * LANE;
    let area = PlotArea { left: widest + 12.0, top: 4.0, right: width - 10.0, bottom: 4.0 + height };
    let mut canvas = Canvas::new(width, area.bottom + 2.0 * LINE_HEIGHT + 12.0);
    let first = plot.spans.iter().map(|span| span.from).fold(f64::INFINITY, f64::min);
    let ends: Vec<f64> = plot.spans.iter().flat_map(|span| [span.from - first, span.until - first]).collect();
    let mut axis =
        Axis::linear(&plot.x, &ends, ZeroPolicy::Always, if layout == Layout::Narrow { 4 } else { 7 });
    axis.trim_to_values(&ends);
    let to_x = |time: f64| area.left + axis.fraction(time - first) * area.width();
    for (value, _) in &axis.ticks {
        let x = area.left + axis.fraction(*value) * area.width();
        canvas.line(&[[x, area.top], [x, area.bottom]], Color::Grid, 1.0);
    }
    for (lane, name) in plot.categories.iter().enumerate() {
        let middle = area.top + (lane as f64 + 0.5) * LANE;
        canvas.text([area.left - 10.0, middle], name, Color::Text, Anchor::End);
        let color = legend.color(name);
        for span in plot.spans.iter().filter(|span| span.lane == lane) {
            // very short activities are widened to a visible line
            let (from, until) = (to_x(span.from), to_x(span.until).max(to_x(span.from) + 1.4));
            canvas.rectangle([from, middle - BAR / 2.0], [until, middle + BAR / 2.0], color, 1.0);
            if until - from > 4.0 {
                // a thin gap between adjacent bars
                canvas.line(
                    &[[until, middle - BAR / 2.0], [until, middle + BAR / 2.0]],
                    Color::Background,
                    1.0,
                );
            }
            if text_width(&span.name) + 2.0 * TEXT_PADDING < until - from {
                canvas.text([(from + until) / 2.0, middle], &span.name, Color::Background, Anchor::Middle);
            }
        }
    }
    marks::draw_x_axis(&mut canvas, &area, &axis);
    canvas
}
