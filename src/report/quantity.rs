//! What a column measures, read off its name: a label for people, and a unit.
//!
//! Names carry their units (`heap_peak_bytes`, `wall_secs`, `pa_mpjpe_mm`, `bytes_per_frame`), so
//! that SQL in an experiment needs no second place to say them. A unit in brackets
//! (`"heap peak (MiB)"`) is understood too. Must not know where the values come from.

use super::format;

/// How numbers of a column are scaled for reading.
#[derive(Debug, Clone, PartialEq)]
pub enum Unit {
    /// Shown with binary prefixes.
    Bytes,
    /// Shown in µs, ms, s, min or h.
    Seconds,
    /// Shown as they are, with this word.
    Word(String),
    None,
}

/// What a column measures.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantity {
    /// For a heading or an axis: `heap peak`.
    pub label: String,
    pub unit: Unit,
    /// `frame` in `bytes_per_frame`.
    pub per: Option<String>,
    /// Multiplies a stored value to give bytes or seconds (1 for all else).
    pub base_from_stored: f64,
}

const MIB: f64 = 1048576.0;

fn unit_of_word(word: &str) -> Option<(Unit, f64)> {
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
        // decimal megabytes, as files are told in, are shown as they are
        "mb" => word_unit("MB"),
        "gb" => word_unit("GB"),
        "percent" | "%" => word_unit("%"),
        _ => None,
    }
}

impl Quantity {
    /// What a column of this name measures.
    pub fn of_column(name: &str) -> Quantity {
        if let Some((label, bracket)) = name.strip_suffix(')').and_then(|name| name.rsplit_once('(')) {
            let (head, per) = split_per(&bracket.trim().to_lowercase(), " per ");
            if let Some((unit, factor)) = unit_of_word(&head) {
                return Quantity { label: label.trim().to_string(), unit, per, base_from_stored: factor };
            }
        }
        if name.contains(' ') {
            // a heading chosen by the experiment: left as it is
            return Quantity { label: name.to_string(), unit: Unit::None, per: None, base_from_stored: 1.0 };
        }
        // `frames_per_sec` is a unit that has a name
        let renamed = name.strip_suffix("frames_per_sec").map(|head| format!("{head}fps"));
        let (head, per) = split_per(renamed.as_deref().unwrap_or(name), "_per_");
        let mut words: Vec<&str> = head.split('_').filter(|word| !word.is_empty()).collect();
        let found = words.last().and_then(|last| unit_of_word(&last.to_lowercase()));
        // `s`, `m`, `b` alone or after a short word may be anything: only words of two letters count
        let (unit, factor) = match found {
            Some(unit) if words.last().is_some_and(|last| last.len() > 1) => {
                words.pop();
                unit
            }
            _ => (Unit::None, 1.0),
        };
        let label = if words.is_empty() { bare_label(&unit) } else { spelled(&words) };
        Quantity { label, unit, per, base_from_stored: factor }
    }

    /// The unit that values around `stored` are best shown in: its name, and what a stored value is
    /// multiplied by.
    pub fn shown_unit(&self, stored: f64) -> (String, f64) {
        let base = stored * self.base_from_stored;
        let (name, factor) = match &self.unit {
            Unit::Bytes => {
                let (name, size) = format::byte_unit(base);
                (name.to_string(), self.base_from_stored / size)
            }
            Unit::Seconds => {
                let (name, size) = format::second_unit(base);
                (name.to_string(), self.base_from_stored / size)
            }
            Unit::Word(word) => (word.clone(), 1.0),
            Unit::None => (String::new(), 1.0),
        };
        (self.with_per(&name), factor)
    }

    /// One value with its unit, three significant digits.
    pub fn show(&self, stored: f64) -> String {
        let base = stored * self.base_from_stored;
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
    pub fn heading(&self, shown_unit: &str) -> String {
        match shown_unit.trim() {
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

fn bare_label(unit: &Unit) -> String {
    match unit {
        Unit::Bytes => "memory",
        Unit::Seconds => "time",
        Unit::Word(word) if word == "frames/s" => "speed",
        Unit::Word(word) if word == "%" => "share",
        _ => "length",
    }
    .to_string()
}

/// Words of a name as people write them: abbreviations in capitals.
fn spelled(words: &[&str]) -> String {
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
        let quantity = Quantity::of_column(name);
        quantity.heading(&quantity.shown_unit(value).0)
    }

    #[test]
    fn names_carry_units() {
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
    fn values_are_shown_with_them() {
        assert_eq!(Quantity::of_column("heap_peak_bytes").show(3e8), "286 MiB");
        assert_eq!(Quantity::of_column("ms_per_frame").show(1500.0), "1.50 s per frame");
        assert_eq!(Quantity::of_column("mota").show(0.5), "0.500");
        assert_eq!(Quantity::of_column("lost_percent").show(12.5), "12.5%");
        assert_eq!(Quantity::of_column("frames_per_sec").show(33.91), "33.9 frames/s");
        assert_eq!(Quantity::of_column("file (MB)").show(36.31), "36.3 MB");
    }
}
