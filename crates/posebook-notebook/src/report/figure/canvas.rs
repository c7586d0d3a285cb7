//! A canvas for lines, shapes and text in pixels, drawn through Plotters' SVG backend.
//!
//! Plotters has integer coordinates, so everything is drawn ten times as large and the SVG's `viewBox` scales it back.

use super::palette::Color;
use plotters::backend::DrawingBackend as _;
use plotters::prelude::{IntoFont as _, RGBAColor, SVGBackend, ShapeStyle};
use plotters::style::TextStyle;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Drawn units per pixel.
const UNITS_PER_PIXEL: f64 = 10.0;
/// Font size of all figures, in pixels.
pub const FONT_SIZE: f64 = 13.0;

/// Which point of a text is placed at its position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Anchor {
    /// The left end.
    Start,
    /// The middle.
    Middle,
    /// The right end.
    End,
}

/// A drawing of `width` x `height` pixels, origin at the upper left.
pub struct Canvas {
    /// Width in pixels.
    pub width: f64,
    /// Height in pixels.
    pub height: f64,
    shapes: Vec<Shape>,
}

enum Shape {
    Line { points: Vec<[f64; 2]>, color: Color, width: f64, opacity: f64 },
    Area { points: Vec<[f64; 2]>, color: Color, opacity: f64 },
    Text { position: [f64; 2], text: String, color: Color, anchor: Anchor, bold: bool },
    Dot { position: [f64; 2], radius: f64, color: Color, opacity: f64 },
}

impl Canvas {
    /// An empty drawing.
    pub fn new(width: f64, height: f64) -> Canvas {
        Canvas { width, height, shapes: Vec::new() }
    }

    /// A line through `points`.
    pub fn line(&mut self, points: &[[f64; 2]], color: Color, width: f64) {
        self.shapes.push(Shape::Line { points: points.to_vec(), color, width, opacity: 1.0 });
    }

    /// A translucent line.
    pub fn faint_line(&mut self, points: &[[f64; 2]], color: Color, width: f64, opacity: f64) {
        self.shapes.push(Shape::Line { points: points.to_vec(), color, width, opacity });
    }

    /// A filled polygon.
    pub fn area(&mut self, points: &[[f64; 2]], color: Color, opacity: f64) {
        self.shapes.push(Shape::Area { points: points.to_vec(), color, opacity });
    }

    /// A filled rectangle between two opposite corners.
    pub fn rectangle(&mut self, a: [f64; 2], b: [f64; 2], color: Color, opacity: f64) {
        self.area(&[a, [b[0], a[1]], b, [a[0], b[1]]], color, opacity);
    }

    /// A filled circle.
    pub fn dot(&mut self, position: [f64; 2], radius: f64, color: Color, opacity: f64) {
        self.shapes.push(Shape::Dot { position, radius, color, opacity });
    }

    /// Text, vertically centered at `position`.
    pub fn text(&mut self, position: [f64; 2], text: &str, color: Color, anchor: Anchor) {
        self.shapes.push(Shape::Text { position, text: text.to_string(), color, anchor, bold: false });
    }

    /// Bold text, vertically centered at `position`.
    pub fn bold(&mut self, position: [f64; 2], text: &str, color: Color, anchor: Anchor) {
        self.shapes.push(Shape::Text { position, text: text.to_string(), color, anchor, bold: true });
    }

    /// The drawing as SVG elements, without the `<svg>` around them.
    pub fn elements(&self) -> String {
        let mut svg = String::new();
        {
            let size = ((self.width * UNITS_PER_PIXEL) as u32, (self.height * UNITS_PER_PIXEL) as u32);
            let mut backend = SVGBackend::with_string(&mut svg, size);
            for shape in &self.shapes {
                // writing to a string cannot fail
                draw(&mut backend, shape).expect("drawing into a string");
            }
            backend.present().expect("drawing into a string");
        }
        clean_svg(&svg)
    }

    /// The value of the SVG's `viewBox`.
    pub fn view_box(&self) -> String {
        format!("0 0 {} {}", (self.width * UNITS_PER_PIXEL) as u32, (self.height * UNITS_PER_PIXEL) as u32)
    }
}

/// Estimated width of `text` in pixels. An upper estimate, because sans-serif fonts differ.
pub fn text_width(text: &str) -> f64 {
    text.chars()
        .map(|c| match c {
            'i' | 'j' | 'l' | 't' | 'f' | 'r' | '.' | ',' | ' ' | '(' | ')' | 'I' | '-' => 0.38,
            'm' | 'w' | 'M' | 'W' | '%' => 0.95,
            c if c.is_uppercase() => 0.72,
            _ => 0.63,
        })
        .sum::<f64>()
        * FONT_SIZE
}

fn draw(backend: &mut SVGBackend, shape: &Shape) -> Result<(), impl std::error::Error + use<>> {
    let to_units =
        |[x, y]: [f64; 2]| ((x * UNITS_PER_PIXEL).round() as i32, (y * UNITS_PER_PIXEL).round() as i32);
    let rgba = |color: &Color, opacity: f64| {
        let [red, green, blue] = color.light_rgb();
        RGBAColor(red, green, blue, opacity)
    };
    match shape {
        Shape::Line { points, color, width, opacity } => {
            let stroke_width = (width * UNITS_PER_PIXEL).round() as u32;
            let style = ShapeStyle { color: rgba(color, *opacity), filled: false, stroke_width };
            backend.draw_path(points.iter().map(|&point| to_units(point)), &style)
        }
        Shape::Area { points, color, opacity } => {
            backend.fill_polygon(points.iter().map(|&point| to_units(point)), &rgba(color, *opacity))
        }
        Shape::Dot { position, radius, color, opacity } => {
            let style = ShapeStyle { color: rgba(color, *opacity), filled: true, stroke_width: 0 };
            backend.draw_circle(to_units(*position), (radius * UNITS_PER_PIXEL).round() as u32, &style, true)
        }
        Shape::Text { position, text, color, anchor, bold } => {
            let horizontal = match anchor {
                Anchor::Start => HPos::Left,
                Anchor::Middle => HPos::Center,
                Anchor::End => HPos::Right,
            };
            // Plotters divides font sizes by 1.24
            let font = ("sans-serif", FONT_SIZE * UNITS_PER_PIXEL * 1.24).into_font();
            let font = if *bold { font.style(plotters::style::FontStyle::Bold) } else { font };
            let color = rgba(color, 1.0);
            let style = TextStyle::from(font).color(&color).pos(Pos::new(horizontal, VPos::Center));
            backend.draw_text(text, &style, to_units(*position))
        }
    }
}

/// Plotters' elements, one per line, without `<svg>`, line breaks inside text and attributes with default values.
fn clean_svg(svg: &str) -> String {
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
    fn text_is_escaped_and_stays_on_its_line() {
        let mut canvas = Canvas::new(100.0, 50.0);
        canvas.text([10.0, 20.0], "a < b & \"c\"", Color::Text, Anchor::End);
        canvas.line(&[[0.0, 0.0], [1.25, 2.5]], Color::Grid, 1.5);
        let svg = canvas.elements();
        assert!(svg.contains(">a &lt; b &amp; &quot;c&quot;</text>\n"), "{svg}");
        assert!(svg.contains("points=\"0,0 13,25\""), "{svg}");
        assert!(svg.contains("stroke-width=\"15\""), "{svg}");
        assert_eq!(canvas.view_box(), "0 0 1000 500");
    }
}
