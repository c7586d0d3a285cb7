//! Axes: range, ticks and scale for a list of values.

use super::super::quantity::{Quantity, Unit};
use crate::format;

/// A scale from values to fractions of the axis' length.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// Value at the start.
    pub low: f64,
    /// Value at the end.
    pub high: f64,
    /// Whether the scale is logarithmic.
    pub log: bool,
    /// Values (as stored) and their labels.
    pub ticks: Vec<(f64, String)>,
    /// Label and unit.
    pub title: String,
}

/// Whether an axis includes zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZeroPolicy {
    /// Always: for lengths and amounts.
    Always,
    /// Unless all values are close together and far from zero: for positions.
    WhenNear,
}

impl Axis {
    /// A linear axis over `values` with about `tick_count` ticks.
    pub fn linear(quantity: &Quantity, values: &[f64], zero: ZeroPolicy, tick_count: usize) -> Axis {
        let (mut low, mut high) = extent(values);
        let far_from_zero = low > 0.75 * high || high < 0.75 * low;
        if zero == ZeroPolicy::Always || !far_from_zero {
            (low, high) = (low.min(0.0), high.max(0.0));
        }
        if low == high {
            (low, high) = if high == 0.0 { (0.0, 1.0) } else { widened(low, high) };
        }
        let (unit, factor) = quantity.display_unit(low.abs().max(high.abs()));
        let step = nice_step((high - low) * factor / tick_count.max(1) as f64, &unit, quantity);
        let first = (low * factor / step + 1e-9).floor() as i64;
        let last = (high * factor / step - 1e-9).ceil().max(first as f64 + 1.0) as i64;
        let places = format::decimals_for(step, 1);
        let ticks = (first..=last)
            .map(|n| n as f64 * step)
            .map(|shown| (shown / factor, tick_text(shown, places, step)))
            .collect();
        Axis {
            low: first as f64 * step / factor,
            high: last as f64 * step / factor,
            log: false,
            ticks,
            title: quantity.heading(&unit),
        }
    }

    /// A logarithmic axis over the positive `values` with about `tick_count` ticks.
    pub fn logarithmic(quantity: &Quantity, values: &[f64], tick_count: usize) -> Axis {
        let positive: Vec<f64> = values.iter().copied().filter(|value| *value > 0.0).collect();
        let (low, high) = if positive.is_empty() { (1.0, 10.0) } else { extent(&positive) };
        let base = quantity.base_per_stored;
        let tick_values = log_ticks(low * base, high * base, tick_count, quantity.unit == Unit::Bytes);
        let (unit, _) = if quantity.unit == Unit::None || matches!(quantity.unit, Unit::Word(_)) {
            quantity.display_unit(high)
        } else {
            (String::new(), 1.0)
        };
        let ticks: Vec<(f64, String)> =
            tick_values.iter().map(|&value| (value / base, log_tick_text(value, quantity))).collect();
        let title = match &quantity.per {
            Some(per) if unit.is_empty() => format!("{} per {per}", quantity.label),
            _ => quantity.heading(&unit),
        };
        let ends = (tick_values[0] / base, tick_values[tick_values.len() - 1] / base);
        Axis { low: ends.0.min(low), high: ends.1.max(high), log: true, ticks, title }
    }

    /// Ends the axis at the largest value instead of the tick above it, which uses the width better.
    pub fn trim_to_values(&mut self, values: &[f64]) {
        let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max).max(0.0);
        if largest > self.low {
            self.high = largest;
            self.ticks.retain(|tick| tick.0 <= largest + 1e-9 * largest.abs());
        }
    }

    /// Places the ticks at the values themselves, if these are few and their labels fit. `length` is the axis' length,
    /// `width` the width of a label, both in pixels.
    pub fn place_ticks_at_values(
        &mut self,
        quantity: &Quantity,
        values: &[f64],
        length: f64,
        width: fn(&str) -> f64,
    ) {
        let mut distinct: Vec<f64> = values.to_vec();
        distinct.sort_by(f64::total_cmp);
        distinct.dedup();
        if distinct.is_empty() || distinct.len() > 8 {
            return;
        }
        let (_, factor) = quantity.display_unit(self.high);
        let ticks: Vec<(f64, String)> =
            distinct.iter().map(|&value| (value, format::significant(value * factor, 3))).collect();
        let fits = ticks.windows(2).all(|pair| {
            let gap = (self.fraction(pair[1].0) - self.fraction(pair[0].0)) * length;
            gap > (width(&pair[0].1) + width(&pair[1].1)) / 2.0 + 8.0
        });
        if fits {
            self.ticks = ticks;
        }
    }

    /// The position of `value` between the axis' ends, 0 to 1.
    pub fn fraction(&self, value: f64) -> f64 {
        let fraction = if self.log {
            (value.max(f64::MIN_POSITIVE).ln() - self.low.ln()) / (self.high.ln() - self.low.ln())
        } else {
            (value - self.low) / (self.high - self.low)
        };
        if fraction.is_finite() { fraction.clamp(0.0, 1.0) } else { 0.0 }
    }
}

fn extent(values: &[f64]) -> (f64, f64) {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if low.is_finite() && high.is_finite() { (low, high) } else { (0.0, 1.0) }
}

fn widened(low: f64, high: f64) -> (f64, f64) {
    let by = low.abs() * 0.1;
    (low - by, high + by)
}

/// A round step near `rough`: 1, 2 or 5 times a power of ten, at least 0.8 times `rough`; for minutes 2, 5, 10, 15, 30 or
/// 60, at least `rough` if possible.
fn nice_step(rough: f64, unit: &str, quantity: &Quantity) -> f64 {
    if quantity.unit == Unit::Seconds && unit == "min" && rough > 1.0 {
        let steps = [2.0, 5.0, 10.0, 15.0, 30.0, 60.0];
        return steps.into_iter().find(|step| *step >= rough).unwrap_or(60.0);
    }
    let power = 10f64.powf(rough.max(f64::MIN_POSITIVE).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    let step = steps.into_iter().find(|step| step * power >= rough * 0.8).unwrap_or(10.0) * power;
    // bytes are integers
    if quantity.unit == Unit::Bytes && quantity.per.is_none() && unit == "bytes" {
        step.max(1.0)
    } else {
        step
    }
}

fn tick_text(shown: f64, places: usize, step: f64) -> String {
    if shown == 0.0 {
        return "0".to_string();
    }
    if shown.abs() >= 1e9 || step < 1e-5 {
        return format::significant(shown, 3);
    }
    format::decimals(shown, places)
}

/// Tick values from at or below `low` to at or above `high`: powers of two for bytes, otherwise the series 1, 2, 5 or
/// powers of ten.
fn log_ticks(low: f64, high: f64, tick_count: usize, is_bytes: bool) -> Vec<f64> {
    if is_bytes {
        let (first, last) = (low.log2().floor() as i32, high.log2().ceil() as i32);
        let stride = ((last - first) as f64 / tick_count.max(1) as f64).ceil().max(1.0) as i32;
        let first = first.div_euclid(stride) * stride;
        let count = (last - first).max(1).div_ceil_by(stride);
        return (0..=count).map(|n| 2f64.powi(first + n * stride)).collect();
    }
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let decades = (last - first).max(1);
    if decades <= 2 {
        let all: Vec<f64> = (first..=first + decades)
            .flat_map(|power| [1.0, 2.0, 5.0].map(|mantissa| mantissa * 10f64.powi(power)))
            .collect();
        let start = all.iter().rposition(|value| *value <= low * (1.0 + 1e-9)).unwrap_or(0);
        let end = all.iter().position(|value| *value >= high * (1.0 - 1e-9)).unwrap_or(all.len() - 1);
        return all[start..=end.max(start + 1)].to_vec();
    }
    let stride = (decades as f64 / tick_count.max(1) as f64).ceil().max(1.0) as i32;
    (0..=decades.div_ceil_by(stride)).map(|n| 10f64.powi(first + n * stride)).collect()
}

fn log_tick_text(value: f64, quantity: &Quantity) -> String {
    let (unit, size) = match quantity.unit {
        Unit::Bytes => format::byte_unit(value),
        Unit::Seconds => format::second_unit(value),
        _ => return format::significant(value, 3),
    };
    // tick values are round numbers in their unit
    let shown = (value / size * 1e6).round() / 1e6;
    format!("{shown} {unit}")
}

/// Integer division that rounds up.
trait DivCeilBy {
    fn div_ceil_by(self, by: i32) -> i32;
}

impl DivCeilBy for i32 {
    fn div_ceil_by(self, by: i32) -> i32 {
        (self + by - 1) / by
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|tick| tick.1.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        let bytes = Quantity::from_column_name("heap_peak_bytes");
        let axis = Axis::linear(&bytes, &[9.0e7, 8.6e8], ZeroPolicy::WhenNear, 5);
        assert_eq!(texts(&axis), ["0", "200", "400", "600", "800", "1,000"]);
        assert_eq!(axis.title, "heap peak (MiB)");
        let axis = Axis::logarithmic(&bytes, &[9.0e7, 8.6e8], 5);
        assert_eq!(texts(&axis), ["64 MiB", "128 MiB", "256 MiB", "512 MiB", "1 GiB"]);
        let seconds = Quantity::from_column_name("wall_secs");
        let axis = Axis::linear(&seconds, &[0.0, 0.34], ZeroPolicy::Always, 4);
        assert_eq!((texts(&axis), axis.title.as_str()), (vec!["0", "100", "200", "300", "400"], "wall (ms)"));
        let axis = Axis::linear(&seconds, &[30.0, 3000.0], ZeroPolicy::Always, 4);
        assert_eq!(texts(&axis), ["0", "15", "30", "45", "60"]);
        let hota = Quantity::from_column_name("hota");
        let axis = Axis::linear(&hota, &[0.81, 0.84], ZeroPolicy::WhenNear, 4);
        assert_eq!(texts(&axis), ["0.81", "0.82", "0.83", "0.84"]);
        let axis = Axis::logarithmic(&hota, &[1e-6, 1e7], 5);
        assert_eq!(axis.ticks.len(), 6);
    }

    #[test]
    fn an_axis_of_equal_or_no_values_has_a_range() {
        let plain = Quantity::from_column_name("n");
        for values in [vec![], vec![0.0], vec![5.0], vec![-3.0, -3.0], vec![1e300], vec![1e-300]] {
            for axis in [
                Axis::linear(&plain, &values, ZeroPolicy::WhenNear, 5),
                Axis::linear(&plain, &values, ZeroPolicy::Always, 5),
                Axis::logarithmic(&plain, &values, 5),
            ] {
                assert!(
                    axis.low < axis.high && axis.ticks.len() > 1 && axis.ticks.len() < 30,
                    "{values:?} {axis:?}"
                );
                assert!(values.iter().all(|value| (0.0..=1.0).contains(&axis.fraction(*value))));
            }
        }
    }

    #[test]
    fn few_distinct_values_are_the_ticks() {
        let frames = Quantity::from_column_name("frames");
        let values = [60.0, 120.0, 240.0, 480.0];
        let mut axis = Axis::linear(&frames, &values, ZeroPolicy::WhenNear, 5);
        axis.place_ticks_at_values(&frames, &values, 600.0, |text| text.len() as f64 * 7.0);
        assert_eq!(texts(&axis), ["60", "120", "240", "480"]);
        axis.place_ticks_at_values(&frames, &[1.0, 480.0], 10.0, |text| text.len() as f64 * 7.0);
        assert_eq!(texts(&axis), ["60", "120", "240", "480"]);
    }
}
