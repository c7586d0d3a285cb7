//! Axes: from values to a range, ticks that people would choose, and positions.
//!
//! Must not know shapes nor colours.

use super::super::format;
use super::super::quantity::{Quantity, Unit};

/// A scale from values to a share of the axis' length.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    pub low: f64,
    pub high: f64,
    pub log: bool,
    /// Values (as stored) and what is written beside them.
    pub ticks: Vec<(f64, String)>,
    /// Label and unit.
    pub title: String,
}

/// Whether an axis must start at zero to be honest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zero {
    /// Lengths are compared: always.
    Always,
    /// Positions are compared: unless all values lie close together and far from zero.
    WhenNear,
}

impl Axis {
    /// A linear axis over `values` with about `wanted` ticks.
    pub fn linear(quantity: &Quantity, values: &[f64], zero: Zero, wanted: usize) -> Axis {
        let (mut low, mut high) = extent(values);
        let far_from_zero = low > 0.75 * high || high < 0.75 * low;
        if zero == Zero::Always || !far_from_zero {
            (low, high) = (low.min(0.0), high.max(0.0));
        }
        if low == high {
            (low, high) = if high == 0.0 { (0.0, 1.0) } else { widened(low, high) };
        }
        let (unit, factor) = quantity.shown_unit(low.abs().max(high.abs()));
        let step = nice_step((high - low) * factor / wanted.max(1) as f64, &unit, quantity);
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

    /// A logarithmic axis over the positive ones of `values`.
    pub fn logarithmic(quantity: &Quantity, values: &[f64], wanted: usize) -> Axis {
        let positive: Vec<f64> = values.iter().copied().filter(|value| *value > 0.0).collect();
        let (low, high) = if positive.is_empty() { (1.0, 10.0) } else { extent(&positive) };
        let base = quantity.base_from_stored;
        let ladder = ladder(low * base, high * base, wanted, quantity.unit == Unit::Bytes);
        let (unit, _) = if quantity.unit == Unit::None || matches!(quantity.unit, Unit::Word(_)) {
            quantity.shown_unit(high)
        } else {
            (String::new(), 1.0)
        };
        let ticks: Vec<(f64, String)> =
            ladder.iter().map(|&rung| (rung / base, rung_text(rung, quantity))).collect();
        let title = match &quantity.per {
            Some(per) if unit.is_empty() => format!("{} per {per}", quantity.label),
            _ => quantity.heading(&unit),
        };
        let ends = (ladder[0] / base, ladder[ladder.len() - 1] / base);
        Axis { low: ends.0.min(low), high: ends.1.max(high), log: true, ticks, title }
    }

    /// Ends at the largest value instead of the tick above it: a picture should use its paper.
    pub fn end_at_values(&mut self, values: &[f64]) {
        let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max).max(0.0);
        if largest > self.low {
            self.high = largest;
            self.ticks.retain(|tick| tick.0 <= largest + 1e-9 * largest.abs());
        }
    }

    /// Puts ticks at the values themselves, where there are few: a sweep's points are the best ticks.
    /// `room` is how many pixels the axis has, `width` how many a tick's text takes.
    pub fn tick_at_values(&mut self, quantity: &Quantity, values: &[f64], room: f64, width: fn(&str) -> f64) {
        let mut distinct: Vec<f64> = values.to_vec();
        distinct.sort_by(f64::total_cmp);
        distinct.dedup();
        if distinct.is_empty() || distinct.len() > 8 {
            return;
        }
        let (_, factor) = quantity.shown_unit(self.high);
        let ticks: Vec<(f64, String)> =
            distinct.iter().map(|&value| (value, format::significant(value * factor, 3))).collect();
        let fits = ticks.windows(2).all(|pair| {
            let gap = (self.share(pair[1].0) - self.share(pair[0].0)) * room;
            gap > (width(&pair[0].1) + width(&pair[1].1)) / 2.0 + 8.0
        });
        if fits {
            self.ticks = ticks;
        }
    }

    /// Where `value` lies between the axis' ends, 0 to 1.
    pub fn share(&self, value: f64) -> f64 {
        let share = if self.log {
            (value.max(f64::MIN_POSITIVE).ln() - self.low.ln()) / (self.high.ln() - self.low.ln())
        } else {
            (value - self.low) / (self.high - self.low)
        };
        if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 }
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

/// The smallest of 1, 2, 5 times a power of ten (1, 2, 5, 10, 15, 30 minutes) that is at least `rough`.
fn nice_step(rough: f64, unit: &str, quantity: &Quantity) -> f64 {
    if quantity.unit == Unit::Seconds && unit == "min" && rough > 1.0 {
        let steps = [2.0, 5.0, 10.0, 15.0, 30.0, 60.0];
        return steps.into_iter().find(|step| *step >= rough).unwrap_or(60.0);
    }
    let power = 10f64.powf(rough.max(f64::MIN_POSITIVE).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    let step = steps.into_iter().find(|step| step * power >= rough * 0.8).unwrap_or(10.0) * power;
    // there is no half byte
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

/// Rungs from at or under `low` to at or above `high`: powers of two for bytes, else 1-2-5 or powers of ten.
fn ladder(low: f64, high: f64, wanted: usize, bytes: bool) -> Vec<f64> {
    if bytes {
        let (first, last) = (low.log2().floor() as i32, high.log2().ceil() as i32);
        let stride = ((last - first) as f64 / wanted.max(1) as f64).ceil().max(1.0) as i32;
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
        let start = all.iter().rposition(|rung| *rung <= low * (1.0 + 1e-9)).unwrap_or(0);
        let end = all.iter().position(|rung| *rung >= high * (1.0 - 1e-9)).unwrap_or(all.len() - 1);
        return all[start..=end.max(start + 1)].to_vec();
    }
    let stride = (decades as f64 / wanted.max(1) as f64).ceil().max(1.0) as i32;
    (0..=decades.div_ceil_by(stride)).map(|n| 10f64.powi(first + n * stride)).collect()
}

fn rung_text(rung: f64, quantity: &Quantity) -> String {
    let (unit, size) = match quantity.unit {
        Unit::Bytes => format::byte_unit(rung),
        Unit::Seconds => format::second_unit(rung),
        _ => return format::significant(rung, 3),
    };
    // a rung is a round number in its unit: no digits after it
    let shown = (rung / size * 1e6).round() / 1e6;
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
    fn ticks_that_people_would_choose() {
        let bytes = Quantity::of_column("heap_peak_bytes");
        let axis = Axis::linear(&bytes, &[9.0e7, 8.6e8], Zero::WhenNear, 5);
        assert_eq!(texts(&axis), ["0", "200", "400", "600", "800", "1,000"]);
        assert_eq!(axis.title, "heap peak (MiB)");
        let axis = Axis::logarithmic(&bytes, &[9.0e7, 8.6e8], 5);
        assert_eq!(texts(&axis), ["64 MiB", "128 MiB", "256 MiB", "512 MiB", "1 GiB"]);
        let seconds = Quantity::of_column("wall_secs");
        let axis = Axis::linear(&seconds, &[0.0, 0.34], Zero::Always, 4);
        assert_eq!((texts(&axis), axis.title.as_str()), (vec!["0", "100", "200", "300", "400"], "wall (ms)"));
        let axis = Axis::linear(&seconds, &[30.0, 3000.0], Zero::Always, 4);
        assert_eq!(texts(&axis), ["0", "15", "30", "45", "60"]);
        let hota = Quantity::of_column("hota");
        let axis = Axis::linear(&hota, &[0.81, 0.84], Zero::WhenNear, 4);
        assert_eq!(texts(&axis), ["0.81", "0.82", "0.83", "0.84"]);
        let axis = Axis::logarithmic(&hota, &[1e-6, 1e7], 5);
        assert_eq!(axis.ticks.len(), 6);
    }

    #[test]
    fn a_range_of_nothing_is_still_a_range() {
        let plain = Quantity::of_column("n");
        for values in [vec![], vec![0.0], vec![5.0], vec![-3.0, -3.0], vec![1e300], vec![1e-300]] {
            for axis in [
                Axis::linear(&plain, &values, Zero::WhenNear, 5),
                Axis::linear(&plain, &values, Zero::Always, 5),
                Axis::logarithmic(&plain, &values, 5),
            ] {
                assert!(
                    axis.low < axis.high && axis.ticks.len() > 1 && axis.ticks.len() < 30,
                    "{values:?} {axis:?}"
                );
                assert!(values.iter().all(|value| (0.0..=1.0).contains(&axis.share(*value))));
            }
        }
    }

    #[test]
    fn a_sweeps_points_are_its_ticks() {
        let frames = Quantity::of_column("frames");
        let values = [60.0, 120.0, 240.0, 480.0];
        let mut axis = Axis::linear(&frames, &values, Zero::WhenNear, 5);
        axis.tick_at_values(&frames, &values, 600.0, |text| text.len() as f64 * 7.0);
        assert_eq!(texts(&axis), ["60", "120", "240", "480"]);
        axis.tick_at_values(&frames, &[1.0, 480.0], 10.0, |text| text.len() as f64 * 7.0);
        assert_eq!(texts(&axis), ["60", "120", "240", "480"]);
    }
}
