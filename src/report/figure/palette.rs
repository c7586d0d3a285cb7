//! Colours: told apart with any kind of colour vision, the same mode the same colour all over a page.
//!
//! Each ink has one colour for light paper and one for dark; the light one is what a figure's file
//! holds, and the page's style sheet replaces both. Series are told apart by the shape of their
//! points too. Must not know figures.

use std::collections::BTreeMap;

/// What something is drawn with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ink {
    /// Titles, values.
    Words,
    /// Ticks and axis titles.
    Quiet,
    Axis,
    Grid,
    /// The paper itself, for halos.
    Paper,
    /// A series, `0..SERIES`.
    Series(usize),
    /// A layer of a stack, `0..LAYERS`: quiet tones that are no mode's colour.
    Layer(usize),
}

/// How many series have a colour of their own; later ones share the last (grey).
pub const SERIES: usize = 8;

/// Name in the style sheet, on light paper, on dark paper.
const INKS: [(&str, &str, &str); 5] = [
    ("words", "#1B1F24", "#E8EAED"),
    ("quiet", "#59626D", "#A3ACB7"),
    ("axis", "#8A929B", "#767F89"),
    ("grid", "#E4E6E3", "#2E343B"),
    ("paper", "#FFFFFF", "#1A1E23"),
];
const SERIES_INKS: [(&str, &str, &str); SERIES] = [
    ("s0", "#1266B8", "#6CB2F2"),
    ("s1", "#C6420F", "#FF9166"),
    ("s2", "#117A65", "#45C9AC"),
    ("s3", "#7D3C98", "#CE9BE8"),
    ("s4", "#8F6400", "#E2B540"),
    ("s5", "#B4246F", "#F78FC2"),
    ("s6", "#3E4C9E", "#A0AEF5"),
    ("s7", "#5D666F", "#AEB7C0"),
];

/// How many layers of a stack have a colour of their own.
pub const LAYERS: usize = 7;
const LAYER_INKS: [(&str, &str, &str); LAYERS] = [
    ("t0", "#33475B", "#BCCBDA"),
    ("t1", "#5F7F9E", "#86A5C4"),
    ("t2", "#9DB7CD", "#527699"),
    ("t3", "#CDAA68", "#DCBE86"),
    ("t4", "#94703A", "#A98450"),
    ("t5", "#5C5D48", "#8B8D77"),
    ("t6", "#A5A99C", "#6C7169"),
];

impl Ink {
    fn row(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Ink::Words => INKS[0],
            Ink::Quiet => INKS[1],
            Ink::Axis => INKS[2],
            Ink::Grid => INKS[3],
            Ink::Paper => INKS[4],
            Ink::Series(index) => SERIES_INKS[index.min(SERIES - 1)],
            Ink::Layer(index) => LAYER_INKS[index.min(LAYERS - 1)],
        }
    }

    /// Red, green and blue on light paper.
    pub fn on_paper(self) -> [u8; 3] {
        let hex = self.row().1;
        let channel = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap_or(0);
        [channel(1), channel(3), channel(5)]
    }

    fn all() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
        INKS.into_iter().chain(SERIES_INKS).chain(LAYER_INKS)
    }
}

/// The inks as CSS variables, for light (`false`) or dark paper.
pub fn variables(dark: bool) -> String {
    Ink::all()
        .map(|(name, light, night)| format!("--ink-{name}:{};", if dark { night } else { light }))
        .collect()
}

/// Replaces the light colours of a drawing by the style sheet's variables.
pub fn with_variables(mut svg: String) -> String {
    for (name, light, _) in Ink::all() {
        for property in ["fill", "stroke"] {
            let literal = format!("{property}=\"{light}\"");
            svg = svg.replace(&literal, &format!("style=\"{property}:var(--ink-{name})\""));
        }
    }
    svg
}

/// Which series has which ink, for a whole page.
#[derive(Debug, Clone, Default)]
pub struct Legend {
    inks: BTreeMap<String, usize>,
    order: Vec<String>,
    layers: Vec<String>,
}

/// The video modes come first and keep their colours in every experiment: what extracts is warm,
/// what streams is cool.
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
    /// Inks for series and for layers of stacks, in the order of their first appearance.
    pub fn of(series: impl IntoIterator<Item = String>, layers: impl IntoIterator<Item = String>) -> Legend {
        let mut legend = Legend::default();
        for name in layers {
            if !legend.layers.contains(&name) {
                legend.layers.push(name);
            }
        }
        for name in series {
            if legend.inks.contains_key(&name) {
                continue;
            }
            let spelled = name.replace([' ', '_', '/', ':'], "-");
            let known = MODES.iter().find(|(mode, _)| *mode == spelled).map(|(_, ink)| *ink);
            let taken: Vec<usize> = legend.inks.values().copied().collect();
            let free = (0..SERIES - 1).find(|ink| !taken.contains(ink)).unwrap_or(SERIES - 1);
            legend.order.push(name.clone());
            legend.inks.insert(name, known.unwrap_or(free));
        }
        legend
    }

    /// The ink of a series; grey for one that nobody announced.
    pub fn ink(&self, name: &str) -> Ink {
        Ink::Series(self.inks.get(name).copied().unwrap_or(SERIES - 1))
    }

    /// `names` in the order that all figures of the page list them in.
    pub fn in_order(&self, mut names: Vec<String>) -> Vec<String> {
        names.sort_by_key(|name| self.order.iter().position(|known| known == name));
        names
    }

    /// The ink of a layer of a stack.
    pub fn layer(&self, name: &str) -> Ink {
        Ink::Layer(self.layers.iter().position(|known| known == name).unwrap_or(LAYERS - 1))
    }

    /// The index of a series among the inks, which also chooses the shape of its points.
    pub fn shape(&self, name: &str) -> usize {
        self.inks.get(name).copied().unwrap_or(SERIES - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn luminance(hex: &str) -> f64 {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    /// WCAG 2: words need a contrast of 4.5 with their paper; series' names are words.
    #[test]
    fn every_word_can_be_read_on_both_papers() {
        let contrast = |a: f64, b: f64| (a.max(b) + 0.05) / (a.min(b) + 0.05);
        let paper = (luminance(INKS[4].1), luminance(INKS[4].2));
        for (name, light, dark) in INKS[..2].iter().chain(&SERIES_INKS) {
            let (light, dark) = (contrast(luminance(light), paper.0), contrast(luminance(dark), paper.1));
            assert!(light >= 4.5 && dark >= 4.5, "{name}: {light:.1} on light, {dark:.1} on dark paper");
        }
    }

    #[test]
    fn a_mode_keeps_its_colour() {
        let one = Legend::of(["extract-jpeg", "stream-seek"].map(String::from), []);
        let other = Legend::of(["stream-seek", "something", "extract-jpeg"].map(String::from), []);
        assert_eq!(one.ink("extract-jpeg"), other.ink("extract-jpeg"));
        assert_eq!(one.ink("stream-seek"), Ink::Series(2));
        assert_eq!(other.ink("something"), Ink::Series(0));
    }

    #[test]
    fn no_two_inks_share_a_colour() {
        let mut light: Vec<&str> = Ink::all().map(|ink| ink.1).collect();
        light.sort_unstable();
        light.dedup();
        assert_eq!(light.len(), INKS.len() + SERIES + LAYERS);
    }
}
