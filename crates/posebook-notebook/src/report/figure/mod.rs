//! Draws figures as SVG from the rows of a query, in two layouts: for wide and for narrow pages.
//!
//! The wide drawing is also a separate file.

mod axis;
mod bar;
mod canvas;
mod line;
mod marks;
pub mod palette;
pub mod plot;
mod timeline;

use super::markup::escape_html;
use canvas::{Anchor, Canvas, FONT_SIZE};
use palette::{Color, Legend};
use plot::Plot;

use crate::cell::{FigureKind, FigureSpec};

/// For which pages a figure is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Desktop pages.
    Wide,
    /// Phones.
    Narrow,
}

impl Layout {
    /// Width in pixels.
    fn width(self) -> f64 {
        match self {
            Layout::Wide => 760.0,
            Layout::Narrow => 340.0,
        }
    }

    /// Height of one panel in pixels.
    fn panel_height(self, several: bool) -> f64 {
        match (self, several) {
            (Layout::Wide, false) => 380.0,
            (Layout::Wide, true) => 330.0,
            (Layout::Narrow, _) => 290.0,
        }
    }
}

/// A drawn figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawing {
    /// Inline SVG for wide pages, with the colors of the style sheet's variables.
    pub wide: String,
    /// Inline SVG for narrow pages.
    pub narrow: String,
    /// A separate SVG file with a white background.
    pub file: Vec<u8>,
}

/// Draws `plot`; `summary` is its text alternative.
pub fn draw(plot: &Plot, spec: &FigureSpec, legend: &Legend, summary: &str) -> Drawing {
    let on = |layout: Layout| {
        if plot.points().next().is_none() && plot.spans.is_empty() {
            return empty_figure(plot, layout);
        }
        match spec.kind {
            FigureKind::Line | FigureKind::Scatter => line::draw(plot, spec, legend, layout),
            FigureKind::Timeline => timeline::draw(plot, legend, layout),
            FigureKind::Bar | FigureKind::Stack | FigureKind::ContactSheet => {
                bar::draw(plot, spec, legend, layout)
            }
        }
    };
    let (wide, narrow) = (on(Layout::Wide), on(Layout::Narrow));
    Drawing {
        file: file(&wide, &spec.title, summary).into_bytes(),
        wide: inline(&wide, "wide", &spec.title, summary),
        narrow: inline(&narrow, "narrow", &spec.title, summary),
    }
}

/// A drawing with the reason why it is empty.
fn empty_figure(plot: &Plot, layout: Layout) -> Canvas {
    let mut canvas = Canvas::new(layout.width(), 90.0);
    let reason =
        if plot.panels.is_empty() { "The query gave no rows" } else { "Not measured: no row has a number" };
    canvas.text([layout.width() / 2.0, 45.0], reason, Color::Muted, Anchor::Middle);
    canvas
}

const FONTS: &str = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif";

fn inline(canvas: &Canvas, class: &str, title: &str, summary: &str) -> String {
    let elements = palette::with_variables(canvas.elements()).replace(" font-family=\"sans-serif\"", "");
    let size = format!("{}", FONT_SIZE * 10.0);
    let elements = elements.replace(&format!(" font-size=\"{size}\""), "");
    format!(
        "<svg class=\"{class}\" viewBox=\"{}\" role=\"img\" aria-label=\"{}\" font-size=\"{size}\">\n{elements}</svg>",
        canvas.view_box(),
        escape_html(&format!("{title}. {summary}")),
    )
}

fn file(canvas: &Canvas, title: &str, summary: &str) -> String {
    let margin = 16.0;
    let (width, height) = (canvas.width + 2.0 * margin, canvas.height + 2.0 * margin);
    let elements = canvas.elements().replace(" font-family=\"sans-serif\"", "");
    let elements = elements.replace(&format!(" font-size=\"{}\"", FONT_SIZE * 10.0), "");
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"{} {} {} {}\" \
         role=\"img\" font-family=\"{FONTS}\" font-size=\"{}\" stroke-linejoin=\"round\" stroke-linecap=\"round\">\n\
         <title>{}</title>\n<desc>{}</desc>\n\
         <rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"#FFFFFF\"/>\n{elements}</svg>\n",
        -margin * 10.0,
        -margin * 10.0,
        width * 10.0,
        height * 10.0,
        FONT_SIZE * 10.0,
        escape_html(title),
        escape_html(summary),
        -margin * 10.0,
        -margin * 10.0,
        width * 10.0,
        height * 10.0,
    )
}
