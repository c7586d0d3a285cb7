//! Anti-aliased lines, discs, rectangles and text on an image.

use super::font;
use super::rgb_image::RgbImage;

/// Black or white, whichever is more legible on `background`.
pub fn contrasting_color(background: [u8; 3]) -> [u8; 3] {
    let [r, g, b] = background.map(|channel| channel as u32);
    if 299 * r + 587 * g + 114 * b > 140_000 { [16, 16, 20] } else { [255, 255, 255] }
}

impl RgbImage {
    /// A line with round ends; `thickness` and positions in pixels. Nothing is drawn if a position is not finite.
    pub fn draw_line(&mut self, from: [f32; 2], to: [f32; 2], thickness: f32, color: [u8; 3], opacity: f32) {
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
    pub fn fill_disc(&mut self, center: [f32; 2], radius: f32, color: [u8; 3], opacity: f32) {
        self.draw_line(center, center, 2.0 * radius, color, opacity);
    }

    /// A filled rectangle between two corners with anti-aliased edges.
    pub fn fill_rectangle(&mut self, from: [f32; 2], to: [f32; 2], color: [u8; 3], opacity: f32) {
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

    /// A line of text with its top left corner at the integer pixel (`left`, `top`). The font's dots are `scale` pixels apart
    /// and joined by round strokes; unknown characters become question marks.
    pub fn draw_text(&mut self, text: &str, left: i32, top: i32, scale: usize, color: [u8; 3]) {
        let thickness = STROKE * scale as f32;
        let height = (font::HEIGHT * scale) as i32;
        font::letters(text, |column, width, strokes| {
            let left = left + (column * scale) as i32;
            // strokes extend beyond their dots
            for (x, y) in (-1..=height).flat_map(|y| (-1..=(width * scale) as i32).map(move |x| (x, y))) {
                let point = [x as f32 + 0.5, y as f32 + 0.5].map(|pixel| pixel / scale as f32);
                let nearest =
                    strokes.iter().map(|stroke| distance(point, stroke)).fold(f32::INFINITY, f32::min);
                let cover = thickness / 2.0 + 0.5 - nearest * scale as f32;
                self.blend(left + x, top + y, color, cover.clamp(0.0, 1.0));
            }
        });
    }
}

/// Thickness of a letter's strokes, in dots.
const STROKE: f32 = 1.25;

/// Distance of a point from a stroke.
fn distance(point: [f32; 2], [from, to]: &font::Stroke) -> f32 {
    let (dx, dy) = (to[0] - from[0], to[1] - from[1]);
    let (px, py) = (point[0] - from[0], point[1] - from[1]);
    let along = ((px * dx + py * dy) / (dx * dx + dy * dy).max(1e-6)).clamp(0.0, 1.0);
    let (off_x, off_y) = (px - along * dx, py - along * dy);
    (off_x * off_x + off_y * off_y).sqrt()
}

/// Width of a line of text, pixels.
pub fn text_width(text: &str, scale: usize) -> usize {
    font::width(text) * scale
}

/// Height of a line of text from the top of capitals to the end of descenders, pixels.
pub fn text_height(scale: usize) -> usize {
    font::HEIGHT * scale
}

/// The text, truncated with two dots if it is wider than `width` pixels.
pub fn shorten(text: &str, scale: usize, width: usize) -> String {
    if text_width(text, scale) <= width {
        return text.to_owned();
    }
    let mut truncated = text.to_owned();
    while truncated.pop().is_some() {
        let short = format!("{}..", truncated.trim_end());
        if text_width(&short, scale) <= width {
            return short;
        }
    }
    String::new()
}

/// Integer pixel range between two positions, within `0..length`; `None` if empty.
fn span(from: f32, to: f32, length: usize) -> Option<[i32; 2]> {
    let (first, end) = (from.floor().max(0.0) as i32, to.ceil().min(length as f32) as i32);
    (first < end).then_some([first, end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn light(image: &RgbImage) -> f32 {
        image.rgb.iter().step_by(3).map(|&byte| byte as f32 / 255.0).sum()
    }

    #[test]
    fn a_line_covers_its_area_at_any_angle() {
        for [dx, dy] in [[60.0, 0.0], [0.0, 60.0], [36.0, 48.0], [55.0, 24.0]] {
            let mut image = RgbImage::filled(100, 100, [0; 3]);
            image.draw_line([20.3, 21.7], [20.3 + dx, 21.7 + dy], 3.0, [255; 3], 1.0);
            let area = 60.0 * 3.0 + std::f32::consts::PI * 2.25;
            assert!((light(&image) / area - 1.0).abs() < 0.04, "{}", light(&image));
        }
    }

    #[test]
    fn drawing_is_clipped_at_the_edges() {
        let mut image = RgbImage::filled(10, 8, [0; 3]);
        image.draw_line([-50.0, -50.0], [60.0, 60.0], 2.0, [255; 3], 1.0);
        image.draw_line([f32::NAN, 0.0], [5.0, 5.0], 2.0, [255; 3], 1.0);
        image.fill_rectangle([-5.0, 5.0], [50.0, 90.0], [255; 3], 1.0);
        image.draw_text("outside", -20, -3, 2, [255; 3]);
        image.fill_disc([500.0, 3.0], 4.0, [255; 3], 1.0);
        assert_eq!(image.rgb.len(), 240);
        assert_eq!(image.rgb[(7 * 10 + 9) * 3], 255);
    }

    /// At twice the size, strokes have the full color along their center, and letters do not touch.
    #[test]
    fn letters_are_thick_and_apart() {
        let mut image = RgbImage::filled(30, 22, [0; 3]);
        image.draw_text("II", 2, 2, 2, [255; 3]);
        let at = |x: usize, y: usize| image.rgb[(y * image.width + x) * 3];
        // the second of three columns of dots is the stem: pixels 4 and 5
        assert_eq!([at(4, 8), at(5, 8)], [255; 2]);
        assert!(at(3, 8) > 0 && at(2, 8) == 0, "{} {}", at(3, 8), at(2, 8));
        // one dot of space between the letters
        assert_eq!([at(8, 8), at(9, 8)], [0; 2]);
    }

    #[test]
    fn long_text_is_shortened() {
        assert_eq!(shorten("stream", 1, 100), "stream");
        let short = shorten("stream sequential", 1, 50);
        assert!(short.ends_with("..") && text_width(&short, 1) <= 50, "{short}");
    }
}
