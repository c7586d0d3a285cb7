//! Colors of figures: distinguishable with any color vision, and the same for a mode in all figures of a page.
//!
//! Each color has a value for light and one for dark pages. SVG files hold the light one; on a page the style sheet
//! replaces both. Series also differ in the shape of their markers.

use std::collections::BTreeMap;

/// A color by its use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Color {
    /// Titles, values.
    Text,
    /// Ticks and axis titles.
    Muted,
    /// Axis lines.
    Axis,
    /// Grid lines.
    Grid,
    /// The background, for gaps and halos.
    Background,
    /// A series, `0..SERIES`.
    Series(usize),
    /// A layer of a stack, `0..LAYERS`: muted colors, different from those of series.
    Layer(usize),
}

/// Number of series colors; further series share the last one (gray).
const SERIES: usize = 8;

/// Name in the style sheet, color on light pages, color on dark pages.
const BASE_COLORS: [(&str, &str, &str); 5] = [
    ("text", "#1B1F24", "#E8EAED"),
    ("muted", "#59626D", "#A3ACB7"),
    ("axis", "#8A929B", "#767F89"),
    ("grid", "#E4E6E3", "#2E343B"),
    ("background", "#FFFFFF", "#1A1E23"),
];
const SERIES_COLORS: [(&str, &str, &str); SERIES] = [
    ("s0", "#1266B8", "#6CB2F2"),
    ("s1", "#C6420F", "#FF9166"),
    ("s2", "#117A65", "#45C9AC"),
    ("s3", "#7D3C98", "#CE9BE8"),
    ("s4", "#8F6400", "#E2B540"),
    ("s5", "#B4246F", "#F78FC2"),
    ("s6", "#3E4C9E", "#A0AEF5"),
    ("s7", "#5D666F", "#AEB7C0"),
];

/// Number of layer colors; further layers share the last one.
const LAYERS: usize = 7;
const LAYER_COLORS: [(&str, &str, &str); LAYERS] = [
    ("t0", "#33475B", "#BCCBDA"),
    ("t1", "#5F7F9E", "#86A5C4"),
    ("t2", "#9DB7CD", "#527699"),
    ("t3", "#CDAA68", "#DCBE86"),
    ("t4", "#94703A", "#A98450"),
    ("t5", "#5C5D48", "#8B8D77"),
    ("t6", "#A5A99C", "#6C7169"),
];

impl Color {
    fn row(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Color::Text => BASE_COLORS[0],
            Color::Muted => BASE_COLORS[1],
            Color::Axis => BASE_COLORS[2],
            Color::Grid => BASE_COLORS[3],
            Color::Background => BASE_COLORS[4],
            Color::Series(index) => SERIES_COLORS[index.min(SERIES - 1)],
            Color::Layer(index) => LAYER_COLORS[index.min(LAYERS - 1)],
        }
    }

    /// Red, green and blue on a light page.
    pub fn light_rgb(self) -> [u8; 3] {
        let hex = self.row().1;
        let channel = |start: usize| u8::from_str_radix(&hex[start..start + 2], 16).unwrap_or(0);
        [channel(1), channel(3), channel(5)]
    }

    fn all() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
        BASE_COLORS.into_iter().chain(SERIES_COLORS).chain(LAYER_COLORS)
    }
}

/// The colors as CSS variables, for a light (`false`) or dark page.
pub fn variables(dark: bool) -> String {
    Color::all()
        .map(|(name, light, on_dark)| format!("--color-{name}:{};", if dark { on_dark } else { light }))
        .collect()
}

/// Replaces the colors of a drawing by the style sheet's variables.
pub fn with_variables(mut svg: String) -> String {
    for (name, light, _) in Color::all() {
        for property in ["fill", "stroke"] {
            let literal = format!("{property}=\"{light}\"");
            svg = svg.replace(&literal, &format!("style=\"{property}:var(--color-{name})\""));
        }
    }
    svg
}

/// Assigns colors to the series and layers of all figures of a page.
#[derive(Debug, Clone, Default)]
pub struct Legend {
    colors: BTreeMap<String, usize>,
    order: Vec<String>,
    layers: Vec<String>,
}

/// Video modes have the same colors in every experiment: extraction is warm, streaming is cool.
const MODES: [(&str, usize); 7] = [
    ("stream-sequential", 0),
    ("extract-jpeg", 1),
    ("stream-seek", 2),
    ("extract-memory", 3),
    ("extract-png", 4),
    ("extract-device", 5),
    ("stream-indexed", 6),
];

impl Legend {
    /// Assigns colors to series and to layers of stacks, in the order of their first appearance.
    pub fn new(series: impl IntoIterator<Item = String>, layers: impl IntoIterator<Item = String>) -> Legend {
        let mut legend = Legend::default();
        for name in layers {
            if !legend.layers.contains(&name) {
                legend.layers.push(name);
            }
        }
        for name in series {
            if legend.colors.contains_key(&name) {
                continue;
            }
            let normalized = name.replace([' ', '_', '/', ':'], "-");
            let known = MODES.iter().find(|(mode, _)| *mode == normalized).map(|(_, color)| *color);
            let taken: Vec<usize> = legend.colors.values().copied().collect();
            let free = (0..SERIES - 1).find(|color| !taken.contains(color)).unwrap_or(SERIES - 1);
            legend.order.push(name.clone());
            legend.colors.insert(name, known.unwrap_or(free));
        }
        legend
    }

    /// The color of a series; gray for an unknown one.
    pub fn color(&self, name: &str) -> Color {
        Color::Series(self.colors.get(name).copied().unwrap_or(SERIES - 1))
    }

    /// `names` in the order of the legend.
    pub fn sorted(&self, mut names: Vec<String>) -> Vec<String> {
        names.sort_by_key(|name| self.order.iter().position(|known| known == name));
        names
    }

    /// The color of a layer of a stack.
    pub fn layer_color(&self, name: &str) -> Color {
        Color::Layer(self.layers.iter().position(|known| known == name).unwrap_or(LAYERS - 1))
    }

    /// The marker of a series, as the index of its color.
    pub fn marker(&self, name: &str) -> usize {
        self.colors.get(name).copied().unwrap_or(SERIES - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn luminance(hex: &str) -> f64 {
        let channel = |start: usize| {
            let value = f64::from(u8::from_str_radix(&hex[start..start + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    /// WCAG 2 requires a contrast of 4.5 between text and background. Names of series are text in their color.
    #[test]
    fn text_has_enough_contrast_on_light_and_dark_pages() {
        let contrast = |a: f64, b: f64| (a.max(b) + 0.05) / (a.min(b) + 0.05);
        let background = (luminance(BASE_COLORS[4].1), luminance(BASE_COLORS[4].2));
        for (name, light, dark) in BASE_COLORS[..2].iter().chain(&SERIES_COLORS) {
            let (light, dark) =
                (contrast(luminance(light), background.0), contrast(luminance(dark), background.1));
            assert!(light >= 4.5 && dark >= 4.5, "{name}: {light:.1} on light, {dark:.1} on dark");
        }
    }

    #[test]
    fn a_mode_has_the_same_color_in_all_figures() {
        let one = Legend::new(["extract-jpeg", "stream-seek"].map(String::from), []);
        let other = Legend::new(["stream-seek", "something", "extract-jpeg"].map(String::from), []);
        assert_eq!(one.color("extract-jpeg"), other.color("extract-jpeg"));
        assert_eq!(one.color("stream-seek"), Color::Series(2));
        assert_eq!(other.color("something"), Color::Series(0));
    }

    #[test]
    fn all_colors_are_different() {
        let mut light: Vec<&str> = Color::all().map(|color| color.1).collect();
        light.sort_unstable();
        light.dedup();
        assert_eq!(light.len(), BASE_COLORS.len() + SERIES + LAYERS);
    }
}
