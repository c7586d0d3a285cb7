//! Label and unit of a column, parsed from its name.
//!
//! Column names end with their units (`heap_peak_bytes`, `wall_secs`, `pa_mpjpe_mm`, `bytes_per_frame`), so that an
//! experiment's SQL is the only place that states them. A unit in brackets (`"heap peak (MiB)"`) is parsed too.

use crate::format;

/// How the numbers of a column are scaled for display.
#[derive(Debug, Clone, PartialEq)]
pub enum Unit {
    /// Displayed with binary prefixes.
    Bytes,
    /// Displayed in µs, ms, s, min or h.
    Seconds,
    /// Displayed unscaled, followed by this unit.
    Word(String),
    /// No unit.
    None,
}

/// Label and unit of a column.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantity {
    /// Text for a heading or an axis: `heap peak`.
    pub label: String,
    /// Unit of the values.
    pub unit: Unit,
    /// The denominator: `frame` in `bytes_per_frame`.
    pub per: Option<String>,
    /// Factor from a stored value to bytes or seconds (1 for other units).
    pub base_per_stored: f64,
}

const MIB: f64 = 1048576.0;

fn parse_unit(word: &str) -> Option<(Unit, f64)> {
    let word_unit = |text: &str| Some((Unit::Word(text.to_string()), 1.0));
    match word {
        "bytes" | "byte" | "b" => Some((Unit::Bytes, 1.0)),
        "kib" => Some((Unit::Bytes, 1024.0)),
        "mib" => Some((Unit::Bytes, MIB)),
        "gib" => Some((Unit::Bytes, 1024.0 * MIB)),
        "secs" | "seconds" | "sec" | "s" => Some((Unit::Seconds, 1.0)),
        "ms" | "millis" => Some((Unit::Seconds, 1e-3)),
        "us" | "micros" => Some((Unit::Seconds, 1e-6)),
        "mm" => word_unit("mm"),
        "metres" | "m" => word_unit("m"),
        "px" | "pixels" => word_unit("px"),
        "fps" => word_unit("frames/s"),
        // decimal megabytes (file sizes) are displayed unscaled
        "mb" => word_unit("MB"),
        "gb" => word_unit("GB"),
        "percent" | "%" => word_unit("%"),
        _ => None,
    }
}

impl Quantity {
    /// Parses the name of a column.
    pub fn from_column_name(name: &str) -> Quantity {
        if let Some((label, bracket)) = name.strip_suffix(')').and_then(|name| name.rsplit_once('(')) {
            let (head, per) = split_per(&bracket.trim().to_lowercase(), " per ");
            if let Some((unit, factor)) = parse_unit(&head) {
                return Quantity { label: label.trim().to_string(), unit, per, base_per_stored: factor };
            }
        }
        if name.contains(' ') {
            // a heading written in the experiment: used unchanged
            return Quantity { label: name.to_string(), unit: Unit::None, per: None, base_per_stored: 1.0 };
        }
        // `frames_per_sec` has a unit symbol of its own
        let renamed = name.strip_suffix("frames_per_sec").map(|head| format!("{head}fps"));
        let (head, per) = split_per(renamed.as_deref().unwrap_or(name), "_per_");
        let mut words: Vec<&str> = head.split('_').filter(|word| !word.is_empty()).collect();
        let found = words.last().and_then(|last| parse_unit(&last.to_lowercase()));
        // a single letter (`s`, `m`, `b`) is ambiguous: a unit needs at least two letters
        let (unit, factor) = match found {
            Some(unit) if words.last().is_some_and(|last| last.len() > 1) => {
                words.pop();
                unit
            }
            _ => (Unit::None, 1.0),
        };
        let label = if words.is_empty() { default_label(&unit) } else { label_from_words(&words) };
        Quantity { label, unit, per, base_per_stored: factor }
    }

    /// The display unit for values around `stored`: its name, and the factor from a stored to a displayed value.
    pub fn display_unit(&self, stored: f64) -> (String, f64) {
        let base = stored * self.base_per_stored;
        let (name, factor) = match &self.unit {
            Unit::Bytes => {
                let (name, size) = format::byte_unit(base);
                (name.to_string(), self.base_per_stored / size)
            }
            Unit::Seconds => {
                let (name, size) = format::second_unit(base);
                (name.to_string(), self.base_per_stored / size)
            }
            Unit::Word(word) => (word.clone(), 1.0),
            Unit::None => (String::new(), 1.0),
        };
        (self.with_per(&name), factor)
    }

    /// One value with its unit, three significant digits.
    pub fn format(&self, stored: f64) -> String {
        let base = stored * self.base_per_stored;
        let text = match &self.unit {
            Unit::Bytes => format::bytes(base),
            Unit::Seconds if self.per.is_none() => format::seconds(base),
            Unit::Seconds => {
                let (unit, size) = format::second_unit(base);
                format!("{} {unit}", format::significant(base / size, 3))
            }
            Unit::Word(word) if word == "%" => format!("{}%", format::significant(stored, 3)),
            Unit::Word(word) => format!("{} {word}", format::significant(stored, 3)),
            Unit::None => format::significant(stored, 3),
        };
        self.with_per(&text)
    }

    /// `heap peak (MiB)`, or the label alone where there is no unit.
    pub fn heading(&self, display_unit: &str) -> String {
        match display_unit.trim() {
            "" => self.label.clone(),
            unit if unit.starts_with("per ") => format!("{} {unit}", self.label),
            unit => format!("{} ({unit})", self.label),
        }
    }

    fn with_per(&self, text: &str) -> String {
        match &self.per {
            Some(per) => format!("{text} per {per}").trim_start().to_string(),
            None => text.to_string(),
        }
    }
}

fn split_per(name: &str, separator: &str) -> (String, Option<String>) {
    match name.split_once(separator) {
        Some((head, tail)) => {
            let per = tail.replace('_', " ");
            let per = per.strip_suffix('2').map_or(per.clone(), |unit| format!("{unit}²"));
            (head.to_string(), Some(per))
        }
        None => (name.to_string(), None),
    }
}

/// The label of a column whose name is only a unit.
fn default_label(unit: &Unit) -> String {
    match unit {
        Unit::Bytes => "memory",
        Unit::Seconds => "time",
        Unit::Word(word) if word == "frames/s" => "speed",
        Unit::Word(word) if word == "%" => "share",
        _ => "length",
    }
    .to_string()
}

/// The words of a column name as a label, with abbreviations in their usual spelling.
fn label_from_words(words: &[&str]) -> String {
    let joined = words.join(" ");
    let joined = joined.replace("pa mpjpe", "PA-MPJPE").replace("sha256", "SHA-256");
    joined
        .split(' ')
        .map(|word| match word {
            "hota" | "idf1" | "mota" | "mpjpe" | "pve" | "cpu" | "gpu" | "motp" | "idp" | "idr" | "pck"
            | "csv" | "jpeg" | "png" | "hmr2" | "phalp" => word.to_uppercase(),
            "id" => "ID".to_string(),
            "deta" => "DetA".to_string(),
            "assa" => "AssA".to_string(),
            "loca" => "LocA".to_string(),
            word => word.to_string(),
        })
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heading(name: &str, value: f64) -> String {
        let quantity = Quantity::from_column_name(name);
        quantity.heading(&quantity.display_unit(value).0)
    }

    #[test]
    fn units_are_parsed_from_column_names() {
        assert_eq!(heading("heap_peak_bytes", 3e8), "heap peak (MiB)");
        assert_eq!(heading("host_peak_mib", 3000.0), "host peak (GiB)");
        assert_eq!(heading("pa_mpjpe_mm", 50.0), "PA-MPJPE (mm)");
        assert_eq!(heading("bytes_per_frame", 64.0), "memory (bytes per frame)");
        assert_eq!(heading("heap_slope_bytes_per_frame", 64.0), "heap slope (bytes per frame)");
        assert_eq!(heading("switches_per_track", 1.0), "switches per track");
        assert_eq!(heading("wall_secs", 12.0), "wall (s)");
        assert_eq!(heading("frames_per_sec", 12.0), "speed (frames/s)");
        assert_eq!(heading("decode_frames_per_sec", 12.0), "decode (frames/s)");
        assert_eq!(heading("file (MB)", 12.0), "file (MB)");
        assert_eq!(heading("accel_mm_per_frame2", 12.0), "accel (mm per frame²)");
        assert_eq!(heading("heap peak (MiB)", 2.0), "heap peak (MiB)");
        assert_eq!(heading("mode", 0.0), "mode");
        assert_eq!(heading("HOTA of all", 0.0), "HOTA of all");
    }

    #[test]
    fn values_are_formatted_with_their_units() {
        assert_eq!(Quantity::from_column_name("heap_peak_bytes").format(3e8), "286 MiB");
        assert_eq!(Quantity::from_column_name("ms_per_frame").format(1500.0), "1.50 s per frame");
        assert_eq!(Quantity::from_column_name("mota").format(0.5), "0.500");
        assert_eq!(Quantity::from_column_name("lost_percent").format(12.5), "12.5%");
        assert_eq!(Quantity::from_column_name("frames_per_sec").format(33.91), "33.9 frames/s");
        assert_eq!(Quantity::from_column_name("file (MB)").format(36.31), "36.3 MB");
    }
}
