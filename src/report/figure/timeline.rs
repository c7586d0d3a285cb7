//! Time lines: who was at work from when to when, a lane each; gaps are waiting.
//!
//! Must not know pages.

use super::Sheet;
use super::axis::{Axis, Zero};
use super::canvas::{Anchor, Canvas, text_width};
use super::data::Plot;
use super::marks::{self, Field, LINE};
use super::palette::{Ink, Legend};

const LANE: f64 = 34.0;
const BAR: f64 = 22.0;
/// Between a bar's words and its ends.
const AIR: f64 = 3.0;

/// Draws the spans of `plot` for a sheet of the given form.
pub fn draw(plot: &Plot, legend: &Legend, sheet: Sheet) -> Canvas {
    let width = sheet.width();
    let widest = plot.categories.iter().map(|lane| text_width(lane)).fold(0.0, f64::max);
    let height = plot.categories.len() as f64 * LANE;
    let field = Field { left: widest + 12.0, top: 4.0, right: width - 10.0, bottom: 4.0 + height };
    let mut canvas = Canvas::new(width, field.bottom + 2.0 * LINE + 12.0);
    let first = plot.spans.iter().map(|span| span.from).fold(f64::INFINITY, f64::min);
    let ends: Vec<f64> = plot.spans.iter().flat_map(|span| [span.from - first, span.until - first]).collect();
    let mut axis = Axis::linear(&plot.x, &ends, Zero::Always, if sheet == Sheet::Narrow { 4 } else { 7 });
    axis.end_at_values(&ends);
    let place = |moment: f64| field.left + axis.share(moment - first) * field.width();
    for (value, _) in &axis.ticks {
        let at = field.left + axis.share(*value) * field.width();
        canvas.line(&[[at, field.top], [at, field.bottom]], Ink::Grid, 1.0);
    }
    for (lane, name) in plot.categories.iter().enumerate() {
        let middle = field.top + (lane as f64 + 0.5) * LANE;
        canvas.text([field.left - 10.0, middle], name, Ink::Words, Anchor::End);
        let ink = legend.ink(name);
        for span in plot.spans.iter().filter(|span| span.lane == lane) {
            // what took next to no time is a line that can be seen
            let (from, until) = (place(span.from), place(span.until).max(place(span.from) + 1.4));
            canvas.rectangle([from, middle - BAR / 2.0], [until, middle + BAR / 2.0], ink, 1.0);
            if until - from > 4.0 {
                // a hair of paper between what follows at once
                canvas.line(&[[until, middle - BAR / 2.0], [until, middle + BAR / 2.0]], Ink::Paper, 1.0);
            }
            if text_width(&span.name) + 2.0 * AIR < until - from {
                canvas.text([(from + until) / 2.0, middle], &span.name, Ink::Paper, Anchor::Middle);
            }
        }
    }
    marks::draw_foot(&mut canvas, &field, &axis);
    canvas
}
