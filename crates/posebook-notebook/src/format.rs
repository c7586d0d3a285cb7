//! Formats numbers as text for reports: significant digits, binary prefixes, durations.
//!
//! In: a number in its base unit (bytes, seconds). Out: text with a typographic minus sign and commas between thousands.

/// Placeholder for a missing value. Missing values are never shown as zero.
pub const ABSENT: &str = "–";

/// `value` with `digits` significant digits, thousands separated by commas.
///
/// Integers below 1e12 keep all their digits. Values from 1e12 on and below 1e-4 are written with a power of ten.
/// NaN is [`ABSENT`].
pub fn significant(value: f64, digits: usize) -> String {
    if value.is_nan() {
        return ABSENT.to_string();
    }
    if value.is_infinite() {
        return if value > 0.0 { "∞".to_string() } else { "−∞".to_string() };
    }
    let size = value.abs();
    if size == 0.0 {
        return "0".to_string();
    }
    if !(1e-4..1e12).contains(&size) {
        return power_of_ten(value, digits);
    }
    if value.fract() == 0.0 && size < 1e12 {
        return decimals(value, 0);
    }
    decimals(value, decimals_for(value, digits))
}

/// `value` with at most `digits` significant digits, without trailing zeros after the point.
pub fn trimmed(value: f64, digits: usize) -> String {
    let text = significant(value, digits);
    if !text.contains('.') || text.contains('×') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

/// The number of decimals that gives `digits` significant digits of `value` after rounding.
pub fn decimals_for(value: f64, digits: usize) -> usize {
    if value == 0.0 || !value.is_finite() {
        return 0;
    }
    // formatted first: 999.96 rounds to 1000, which its logarithm does not show
    let text = format!("{:.*e}", digits.saturating_sub(1), value.abs());
    let exponent: i32 = text.split_once('e').and_then(|(_, power)| power.parse().ok()).unwrap_or(0);
    (digits as i32 - 1 - exponent).clamp(0, 12) as usize
}

/// `value` with exactly `places` decimals, a minus sign (U+2212) and commas between thousands.
pub fn decimals(value: f64, places: usize) -> String {
    let text = format!("{:.*}", places, value.abs());
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text.as_str(), None),
    };
    let negative = value < 0.0 && text.bytes().any(|byte| (b'1'..=b'9').contains(&byte));
    let mut out = String::from(if negative { "−" } else { "" });
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

fn power_of_ten(value: f64, digits: usize) -> String {
    let text = format!("{:.*e}", digits.saturating_sub(1), value.abs());
    let (mantissa, power) = text.split_once('e').unwrap_or((&text, "0"));
    let sign = if value < 0.0 { "−" } else { "" };
    let raised: String = power
        .chars()
        .map(|c| match c {
            '-' => '⁻',
            digit => ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][digit as usize - '0' as usize],
        })
        .collect();
    format!("{sign}{mantissa} × 10{raised}")
}

/// The binary unit in which `bytes` is displayed, and its size in bytes.
pub fn byte_unit(bytes: f64) -> (&'static str, f64) {
    const UNITS: [(&str, f64); 4] =
        [("TiB", 1099511627776.0), ("GiB", 1073741824.0), ("MiB", 1048576.0), ("KiB", 1024.0)];
    // 1000 KiB is displayed as 0.98 MiB
    UNITS.into_iter().find(|(_, size)| bytes.abs() >= 0.97 * size).unwrap_or(("bytes", 1.0))
}

/// The unit in which a duration of `secs` seconds is displayed, and its length in seconds.
pub fn second_unit(secs: f64) -> (&'static str, f64) {
    match secs.abs() {
        0.0 => ("s", 1.0),
        s if s < 0.97e-3 => ("µs", 1e-6),
        s if s < 0.97 => ("ms", 1e-3),
        s if s < 300.0 => ("s", 1.0),
        s if s < 3.0 * 3600.0 => ("min", 60.0),
        _ => ("h", 3600.0),
    }
}

/// `12.3 MiB`
pub fn bytes(value: f64) -> String {
    let (unit, size) = byte_unit(value);
    format!("{} {unit}", significant(value / size, 3))
}

/// `340 ms`, `12.3 s`, `4 min 05 s`, `1 h 20 min`
pub fn seconds(value: f64) -> String {
    let whole = value.round();
    if value.is_finite() && (300.0..3600.0).contains(&whole) {
        return format!("{} min {:02} s", (whole / 60.0).floor(), whole % 60.0);
    }
    if value.is_finite() && whole >= 3600.0 {
        let minutes = (value / 60.0).round();
        return format!("{} h {:02} min", (minutes / 60.0).floor(), minutes % 60.0);
    }
    let (unit, size) = second_unit(value);
    format!("{} {unit}", significant(value / size, 3))
}

/// `1 run`, `3 runs`
pub fn count(number: usize, one: &str, many: &str) -> String {
    format!("{} {}", decimals(number as f64, 0), if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_significant_digits() {
        let shown: Vec<String> = [0.0, 0.123456, 12.3456, 999.96, 1234.5, 1300.0, -0.5, 1234567.0]
            .iter()
            .map(|&x| significant(x, 3))
            .collect();
        assert_eq!(shown, ["0", "0.123", "12.3", "1,000", "1,234", "1,300", "−0.500", "1,234,567"]);
        assert_eq!(significant(f64::NAN, 3), "–");
        assert_eq!(significant(f64::INFINITY, 3), "∞");
        assert_eq!(significant(3.21e-9, 3), "3.21 × 10⁻⁹");
        assert_eq!(significant(-6.02214e23, 3), "−6.02 × 10²³");
        assert_eq!(decimals(-0.001, 1), "0.0");
    }

    #[test]
    fn sizes_and_durations_have_units() {
        let shown: Vec<String> =
            [0.0, 512.0, 1020.0, 12.3 * 1048576.0, 8.0 * 1073741824.0].iter().map(|&x| bytes(x)).collect();
        assert_eq!(shown, ["0 bytes", "512 bytes", "0.996 KiB", "12.3 MiB", "8 GiB"]);
        let shown: Vec<String> =
            [0.0, 3.4e-5, 0.034, 2.5, 299.0, 305.0, 4800.0].iter().map(|&x| seconds(x)).collect();
        assert_eq!(shown, ["0 s", "34 µs", "34 ms", "2.50 s", "299 s", "5 min 05 s", "1 h 20 min"]);
    }
}
