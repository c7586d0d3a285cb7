//! A sheet to draw on: lines, shapes and words in pixels, through Plotters' SVG backend.
//!
//! Plotters' coordinates are whole numbers, so everything is drawn ten times as large and the SVG's
//! `viewBox` scales it back. Must not know what is drawn.

use super::palette::Ink;
use plotters::backend::DrawingBackend as _;
use plotters::prelude::{IntoFont as _, RGBAColor, SVGBackend, ShapeStyle};
use plotters::style::TextStyle;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Drawn units per pixel.
const FINE: f64 = 10.0;
/// The type on every figure, in pixels.
pub const TYPE_SIZE: f64 = 13.0;

/// Which point of a text stands at its position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

/// A sheet of `width` x `height` pixels, origin at the upper left.
pub struct Canvas {
    pub width: f64,
    pub height: f64,
    marks: Vec<Mark>,
}

enum Mark {
    Line { points: Vec<[f64; 2]>, ink: Ink, width: f64, opacity: f64 },
    Area { points: Vec<[f64; 2]>, ink: Ink, opacity: f64 },
    Text { at: [f64; 2], text: String, ink: Ink, anchor: Anchor, bold: bool },
    Dot { at: [f64; 2], radius: f64, ink: Ink, opacity: f64 },
}

impl Canvas {
    pub fn new(width: f64, height: f64) -> Canvas {
        Canvas { width, height, marks: Vec::new() }
    }

    /// A line through `points`.
    pub fn line(&mut self, points: &[[f64; 2]], ink: Ink, width: f64) {
        self.marks.push(Mark::Line { points: points.to_vec(), ink, width, opacity: 1.0 });
    }

    /// A line that lets what is under it shine through.
    pub fn faint_line(&mut self, points: &[[f64; 2]], ink: Ink, width: f64, opacity: f64) {
        self.marks.push(Mark::Line { points: points.to_vec(), ink, width, opacity });
    }

    /// A filled polygon.
    pub fn area(&mut self, points: &[[f64; 2]], ink: Ink, opacity: f64) {
        self.marks.push(Mark::Area { points: points.to_vec(), ink, opacity });
    }

    /// A filled rectangle between two opposite corners.
    pub fn rectangle(&mut self, a: [f64; 2], b: [f64; 2], ink: Ink, opacity: f64) {
        self.area(&[a, [b[0], a[1]], b, [a[0], b[1]]], ink, opacity);
    }

    /// A filled circle.
    pub fn dot(&mut self, at: [f64; 2], radius: f64, ink: Ink, opacity: f64) {
        self.marks.push(Mark::Dot { at, radius, ink, opacity });
    }

    /// Words, vertically centred at `at`.
    pub fn text(&mut self, at: [f64; 2], text: &str, ink: Ink, anchor: Anchor) {
        self.marks.push(Mark::Text { at, text: text.to_string(), ink, anchor, bold: false });
    }

    /// Bold words, vertically centred at `at`.
    pub fn bold(&mut self, at: [f64; 2], text: &str, ink: Ink, anchor: Anchor) {
        self.marks.push(Mark::Text { at, text: text.to_string(), ink, anchor, bold: true });
    }

    /// The drawing as SVG elements, without the `<svg>` around them.
    pub fn elements(&self) -> String {
        let mut svg = String::new();
        {
            let size = ((self.width * FINE) as u32, (self.height * FINE) as u32);
            let mut backend = SVGBackend::with_string(&mut svg, size);
            for mark in &self.marks {
                // a backend that writes into a string has nothing that can fail
                draw(&mut backend, mark).expect("drawing into a string");
            }
            backend.present().expect("drawing into a string");
        }
        tidied(&svg)
    }

    /// The side of the drawing in its own units, for a `viewBox`.
    pub fn view_box(&self) -> String {
        format!("0 0 {} {}", (self.width * FINE) as u32, (self.height * FINE) as u32)
    }
}

/// About how wide `text` is on a figure, in pixels: sans-serif faces differ, so a little too wide.
pub fn text_width(text: &str) -> f64 {
    text.chars()
        .map(|c| match c {
            'i' | 'j' | 'l' | 't' | 'f' | 'r' | '.' | ',' | ' ' | '(' | ')' | 'I' | '-' => 0.38,
            'm' | 'w' | 'M' | 'W' | '%' => 0.95,
            c if c.is_uppercase() => 0.72,
            _ => 0.63,
        })
        .sum::<f64>()
        * TYPE_SIZE
}

fn draw(backend: &mut SVGBackend, mark: &Mark) -> Result<(), impl std::error::Error + use<>> {
    let whole = |[x, y]: [f64; 2]| ((x * FINE).round() as i32, (y * FINE).round() as i32);
    let color = |ink: &Ink, opacity: f64| {
        let [red, green, blue] = ink.on_paper();
        RGBAColor(red, green, blue, opacity)
    };
    match mark {
        Mark::Line { points, ink, width, opacity } => {
            let stroke_width = (width * FINE).round() as u32;
            let style = ShapeStyle { color: color(ink, *opacity), filled: false, stroke_width };
            backend.draw_path(points.iter().map(|&point| whole(point)), &style)
        }
        Mark::Area { points, ink, opacity } => {
            backend.fill_polygon(points.iter().map(|&point| whole(point)), &color(ink, *opacity))
        }
        Mark::Dot { at, radius, ink, opacity } => {
            let style = ShapeStyle { color: color(ink, *opacity), filled: true, stroke_width: 0 };
            backend.draw_circle(whole(*at), (radius * FINE).round() as u32, &style, true)
        }
        Mark::Text { at, text, ink, anchor, bold } => {
            let horizontal = match anchor {
                Anchor::Start => HPos::Left,
                Anchor::Middle => HPos::Center,
                Anchor::End => HPos::Right,
            };
            // Plotters divides a size by 1.24 before it writes it
            let font = ("sans-serif", TYPE_SIZE * FINE * 1.24).into_font();
            let font = if *bold { font.style(plotters::style::FontStyle::Bold) } else { font };
            let color = color(ink, 1.0);
            let style = TextStyle::from(font).color(&color).pos(Pos::new(horizontal, VPos::Center));
            backend.draw_text(text, &style, whole(*at))
        }
    }
}

/// Plotters' elements, one a line, without its `<svg>`, its line breaks inside words and its
/// attributes that say nothing.
fn tidied(svg: &str) -> String {
    let mut out = String::with_capacity(svg.len());
    for line in svg.lines() {
        if line.starts_with("<svg") || line.starts_with("</svg") {
            continue;
        }
        out.push_str(&line.replace(" opacity=\"1\"", "").replace(" \"/>", "\"/>"));
        let inside_text = line.starts_with("<text") || !line.starts_with('<');
        if !inside_text {
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_escaped_and_stay_on_their_line() {
        let mut canvas = Canvas::new(100.0, 50.0);
        canvas.text([10.0, 20.0], "a < b & \"c\"", Ink::Words, Anchor::End);
        canvas.line(&[[0.0, 0.0], [1.25, 2.5]], Ink::Grid, 1.5);
        let svg = canvas.elements();
        assert!(svg.contains(">a &lt; b &amp; &quot;c&quot;</text>\n"), "{svg}");
        assert!(svg.contains("points=\"0,0 13,25\""), "{svg}");
        assert!(svg.contains("stroke-width=\"15\""), "{svg}");
        assert_eq!(canvas.view_box(), "0 0 1000 500");
    }
}
