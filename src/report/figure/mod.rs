//! Figures: a query's rows to SVG, drawn twice, for a wide page and for a phone.
//!
//! The wide drawing is also a file of its own. Must not know the page around it.

mod axis;
mod bar;
mod canvas;
pub mod data;
mod line;
mod marks;
pub mod palette;
mod timeline;

use super::markup::escaped;
use canvas::{Anchor, Canvas, TYPE_SIZE};
use data::Plot;
use palette::{Ink, Legend};

use crate::experiment::{FigureKind, FigureSpec};

/// The two forms that a figure is drawn in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sheet {
    Wide,
    Narrow,
}

impl Sheet {
    fn width(self) -> f64 {
        match self {
            Sheet::Wide => 760.0,
            Sheet::Narrow => 340.0,
        }
    }

    fn picture_height(self, several: bool) -> f64 {
        match (self, several) {
            (Sheet::Wide, false) => 380.0,
            (Sheet::Wide, true) => 330.0,
            (Sheet::Narrow, _) => 290.0,
        }
    }
}

/// A figure, drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawing {
    /// Elements for the page, coloured by the style sheet's variables.
    pub wide: String,
    pub narrow: String,
    /// A file of its own on white paper.
    pub file: Vec<u8>,
}

/// Draws `plot`; `summary` is its description for those who cannot see it.
pub fn draw(plot: &Plot, spec: &FigureSpec, legend: &Legend, summary: &str) -> Drawing {
    let on = |sheet: Sheet| {
        if plot.points().next().is_none() && plot.spans.is_empty() {
            return nothing(plot, sheet);
        }
        match spec.kind {
            FigureKind::Line | FigureKind::Scatter => line::draw(plot, spec, legend, sheet),
            FigureKind::Timeline => timeline::draw(plot, legend, sheet),
            FigureKind::Bar | FigureKind::Stack | FigureKind::Strip => bar::draw(plot, spec, legend, sheet),
        }
    };
    let (wide, narrow) = (on(Sheet::Wide), on(Sheet::Narrow));
    Drawing {
        file: file(&wide, &spec.title, summary).into_bytes(),
        wide: inline(&wide, "wide", &spec.title, summary),
        narrow: inline(&narrow, "narrow", &spec.title, summary),
    }
}

/// Says that there is nothing to draw.
fn nothing(plot: &Plot, sheet: Sheet) -> Canvas {
    let mut canvas = Canvas::new(sheet.width(), 90.0);
    let words =
        if plot.panels.is_empty() { "The query gave no rows" } else { "Not measured: no row has a number" };
    canvas.text([sheet.width() / 2.0, 45.0], words, Ink::Quiet, Anchor::Middle);
    canvas
}

const FONTS: &str = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif";

fn inline(canvas: &Canvas, class: &str, title: &str, summary: &str) -> String {
    let elements = palette::with_variables(canvas.elements()).replace(" font-family=\"sans-serif\"", "");
    let size = format!("{}", TYPE_SIZE * 10.0);
    let elements = elements.replace(&format!(" font-size=\"{size}\""), "");
    format!(
        "<svg class=\"{class}\" viewBox=\"{}\" role=\"img\" aria-label=\"{}\" font-size=\"{size}\">\n{elements}</svg>",
        canvas.view_box(),
        escaped(&format!("{title}. {summary}")),
    )
}

fn file(canvas: &Canvas, title: &str, summary: &str) -> String {
    let margin = 16.0;
    let (width, height) = (canvas.width + 2.0 * margin, canvas.height + 2.0 * margin);
    let elements = canvas.elements().replace(" font-family=\"sans-serif\"", "");
    let elements = elements.replace(&format!(" font-size=\"{}\"", TYPE_SIZE * 10.0), "");
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"{} {} {} {}\" \
         role=\"img\" font-family=\"{FONTS}\" font-size=\"{}\" stroke-linejoin=\"round\" stroke-linecap=\"round\">\n\
         <title>{}</title>\n<desc>{}</desc>\n\
         <rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"#FFFFFF\"/>\n{elements}</svg>\n",
        -margin * 10.0,
        -margin * 10.0,
        width * 10.0,
        height * 10.0,
        TYPE_SIZE * 10.0,
        escaped(title),
        escaped(summary),
        -margin * 10.0,
        -margin * 10.0,
        width * 10.0,
        height * 10.0,
    )
}
