//! Anti-aliased lines, discs, boxes and text on a picture. Must not know what they mean.

use super::font;
use super::picture::Picture;

/// Dark or light, whichever is read better on `background`.
pub fn ink_on(background: [u8; 3]) -> [u8; 3] {
    let [r, g, b] = background.map(|channel| channel as u32);
    if 299 * r + 587 * g + 114 * b > 140_000 { [16, 16, 20] } else { [255, 255, 255] }
}

impl Picture {
    /// A line with round ends; `thickness` and positions in pixels. Nothing is drawn for what is not finite.
    pub fn line(&mut self, from: [f32; 2], to: [f32; 2], thickness: f32, color: [u8; 3], opacity: f32) {
        if !from.iter().chain(&to).all(|value| value.is_finite()) {
            return;
        }
        let (dx, dy) = (to[0] - from[0], to[1] - from[1]);
        let squared = (dx * dx + dy * dy).max(1e-12);
        let reach = thickness / 2.0 + 1.0;
        let Some([left, right]) = span(from[0].min(to[0]) - reach, from[0].max(to[0]) + reach, self.width)
        else {
            return;
        };
        let Some([top, bottom]) = span(from[1].min(to[1]) - reach, from[1].max(to[1]) + reach, self.height)
        else {
            return;
        };
        for y in top..bottom {
            for x in left..right {
                let (px, py) = (x as f32 + 0.5 - from[0], y as f32 + 0.5 - from[1]);
                let along = ((px * dx + py * dy) / squared).clamp(0.0, 1.0);
                let (off_x, off_y) = (px - along * dx, py - along * dy);
                let cover = thickness / 2.0 + 0.5 - (off_x * off_x + off_y * off_y).sqrt();
                self.blend(x, y, color, cover.clamp(0.0, thickness.min(1.0)) * opacity);
            }
        }
    }

    /// A filled disc.
    pub fn disc(&mut self, center: [f32; 2], radius: f32, color: [u8; 3], opacity: f32) {
        self.line(center, center, 2.0 * radius, color, opacity);
    }

    /// A filled rectangle between two corners, edges blended.
    pub fn rectangle(&mut self, from: [f32; 2], to: [f32; 2], color: [u8; 3], opacity: f32) {
        let (Some([left, right]), Some([top, bottom])) =
            (span(from[0], to[0] + 1.0, self.width), span(from[1], to[1] + 1.0, self.height))
        else {
            return;
        };
        let cover =
            |i: i32, low: f32, high: f32| (high.min(i as f32 + 1.0) - low.max(i as f32)).clamp(0.0, 1.0);
        for y in top..bottom {
            let rows = cover(y, from[1], to[1]);
            for x in left..right {
                self.blend(x, y, color, rows * cover(x, from[0], to[0]) * opacity);
            }
        }
    }

    /// A line of text, its top left corner at whole pixels `left`, `top`; the font's dots lie `scale` pixels
    /// apart and are joined by round strokes. What the font lacks becomes a question mark.
    pub fn text(&mut self, text: &str, left: i32, top: i32, scale: usize, color: [u8; 3]) {
        let thickness = STROKE * scale as f32;
        let height = (font::HEIGHT * scale) as i32;
        font::letters(text, |column, width, strokes| {
            let left = left + (column * scale) as i32;
            // strokes reach over the edge of their dots
            for (x, y) in (-1..=height).flat_map(|y| (-1..=(width * scale) as i32).map(move |x| (x, y))) {
                let at = [x as f32 + 0.5, y as f32 + 0.5].map(|pixel| pixel / scale as f32);
                let nearest = strokes.iter().map(|stroke| distance(at, stroke)).fold(f32::INFINITY, f32::min);
                let cover = thickness / 2.0 + 0.5 - nearest * scale as f32;
                self.blend(left + x, top + y, color, cover.clamp(0.0, 1.0));
            }
        });
    }
}

/// Thickness of a letter's strokes, in dots.
const STROKE: f32 = 1.25;

/// How far `at` is from a stroke.
fn distance(at: [f32; 2], [from, to]: &font::Stroke) -> f32 {
    let (dx, dy) = (to[0] - from[0], to[1] - from[1]);
    let (px, py) = (at[0] - from[0], at[1] - from[1]);
    let along = ((px * dx + py * dy) / (dx * dx + dy * dy).max(1e-6)).clamp(0.0, 1.0);
    let (off_x, off_y) = (px - along * dx, py - along * dy);
    (off_x * off_x + off_y * off_y).sqrt()
}

/// Width of a line of text, pixels.
pub fn text_width(text: &str, scale: usize) -> usize {
    font::width(text) * scale
}

/// Height of a line of text from the capitals' top to the descenders' end, pixels.
pub fn text_height(scale: usize) -> usize {
    font::HEIGHT * scale
}

/// The text, cut off with two dots where it is wider than `width` pixels.
pub fn shortened(text: &str, scale: usize, width: usize) -> String {
    if text_width(text, scale) <= width {
        return text.to_owned();
    }
    let mut kept = text.to_owned();
    while kept.pop().is_some() {
        let short = format!("{}..", kept.trim_end());
        if text_width(&short, scale) <= width {
            return short;
        }
    }
    String::new()
}

/// Whole pixels between two positions, within `0..length`.
fn span(from: f32, to: f32, length: usize) -> Option<[i32; 2]> {
    let (first, end) = (from.floor().max(0.0) as i32, to.ceil().min(length as f32) as i32);
    (first < end).then_some([first, end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn light(picture: &Picture) -> f32 {
        picture.rgb.iter().step_by(3).map(|&byte| byte as f32 / 255.0).sum()
    }

    #[test]
    fn a_line_has_its_area_at_any_angle() {
        for [dx, dy] in [[60.0, 0.0], [0.0, 60.0], [36.0, 48.0], [55.0, 24.0]] {
            let mut picture = Picture::filled(100, 100, [0; 3]);
            picture.line([20.3, 21.7], [20.3 + dx, 21.7 + dy], 3.0, [255; 3], 1.0);
            let area = 60.0 * 3.0 + std::f32::consts::PI * 2.25;
            assert!((light(&picture) / area - 1.0).abs() < 0.04, "{}", light(&picture));
        }
    }

    #[test]
    fn drawing_beyond_the_edge_is_cut_off() {
        let mut picture = Picture::filled(10, 8, [0; 3]);
        picture.line([-50.0, -50.0], [60.0, 60.0], 2.0, [255; 3], 1.0);
        picture.line([f32::NAN, 0.0], [5.0, 5.0], 2.0, [255; 3], 1.0);
        picture.rectangle([-5.0, 5.0], [50.0, 90.0], [255; 3], 1.0);
        picture.text("outside", -20, -3, 2, [255; 3]);
        picture.disc([500.0, 3.0], 4.0, [255; 3], 1.0);
        assert_eq!(picture.rgb.len(), 240);
        assert_eq!(picture.rgb[(7 * 10 + 9) * 3], 255);
    }

    /// At twice the size a stroke has pixels of the full colour along its middle, and no letter touches the next.
    #[test]
    fn letters_are_thick_and_apart() {
        let mut picture = Picture::filled(30, 22, [0; 3]);
        picture.text("II", 2, 2, 2, [255; 3]);
        let at = |x: usize, y: usize| picture.rgb[(y * picture.width + x) * 3];
        // the second of three columns of dots is the stem: pixels 4 and 5
        assert_eq!([at(4, 8), at(5, 8)], [255; 2]);
        assert!(at(3, 8) > 0 && at(2, 8) == 0, "{} {}", at(3, 8), at(2, 8));
        // between the letters lies a dot of air
        assert_eq!([at(8, 8), at(9, 8)], [0; 2]);
    }

    #[test]
    fn long_text_is_shortened() {
        assert_eq!(shortened("stream", 1, 100), "stream");
        let short = shortened("stream sequential", 1, 50);
        assert!(short.ends_with("..") && text_width(&short, 1) <= 50, "{short}");
    }
}
