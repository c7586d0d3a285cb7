//! Memory over time as a chart. Labels are HTML and lines are SVG that stretches, so that text keeps its size at every width.

use super::format;
use crate::backend::MemorySample;
use maud::{Markup, html};
use posebook_core::fetch::format_size;

/// More points than pixels make the page large and the chart no better: of each group, the largest value is drawn.
const POINTS: usize = 600;

/// A line of the chart: its class in the stylesheet, its name, and its value of a sample.
type Line = (&'static str, &'static str, fn(&MemorySample) -> Option<u64>);

const LINES: [Line; 4] = [
    ("heap", "heap", |sample| sample.heap_bytes),
    ("process", "process", |sample| sample.process_bytes),
    ("device", "device", |sample| sample.device_bytes),
    ("disk", "disk", |sample| sample.disk_bytes),
];

/// A value at a time.
#[derive(Debug, Clone, Copy)]
struct Point {
    seconds: f64,
    bytes: u64,
}

/// The chart with its legend; nothing if no sample has a value.
pub fn chart(samples: &[MemorySample]) -> Option<Markup> {
    let samples: Vec<&MemorySample> = samples.iter().filter(|sample| sample.seconds.is_finite()).collect();
    let end = samples.iter().map(|sample| sample.seconds).fold(0.0, f64::max);
    let lines: Vec<(&Line, Vec<Point>, Point)> =
        LINES.iter().filter_map(|line| series(line, &samples)).collect();
    let (peak_line, _, peak) = lines.iter().max_by_key(|(_, _, peak)| peak.bytes)?;
    let top = round_top(peak.bytes);
    let x = |point: &Point| if end > 0.0 { 1000.0 * point.seconds / end } else { 0.0 };
    let y = |point: &Point| 1000.0 - 1000.0 * point.bytes as f64 / top as f64;
    let caption =
        format!("Peak: {}, {} after {}", peak_line.1, format_size(peak.bytes), format::seconds(peak.seconds));
    Some(html! {
        figure.memory {
            div.plot {
                div.y aria-hidden="true" { @for part in [4, 3, 2, 1, 0] { span { (format_size(top / 4 * part)) } } }
                svg role="img" aria-label={ "Memory over time. " (caption) } {
                    @for part in 0..=4 {
                        @let height = format!("{}%", 25 * part);
                        line.grid x1="0" x2="100%" y1=(height) y2=(height) {}
                    }
                    svg viewBox="0 0 1000 1000" preserveAspectRatio="none" width="100%" height="100%" overflow="visible" {
                        @for (line, points, _) in &lines { polyline .line .(line.0) points=(polyline(points, &x, &y)) {} }
                    }
                    circle.peak cx={ (tenth(x(peak) / 10.0)) "%" } cy={ (tenth(y(peak) / 10.0)) "%" } r="4" {}
                }
                div.x aria-hidden="true" { @for part in [0.0, 0.5, 1.0] { span { (format::seconds(end * part)) } } }
            }
            figcaption { (caption) }
            table.legend {
                thead { tr { th scope="col" { "memory" } th scope="col" { "peak" } th scope="col" { "after" } } }
                tbody {
                    @for (line, _, peak) in &lines {
                        tr {
                            th scope="row" {
                                svg width="24" height="8" aria-hidden="true" { line.line.(line.0) x1="0" x2="24" y1="4" y2="4" {} }
                                " " (line.1)
                            }
                            td { (format_size(peak.bytes)) }
                            td { (format::seconds(peak.seconds)) }
                        }
                    }
                }
            }
        }
    })
}

/// The points of a line, thinned, and its peak; nothing if all values are zero.
fn series<'a>(line: &'a Line, samples: &[&MemorySample]) -> Option<(&'a Line, Vec<Point>, Point)> {
    let points: Vec<Point> = samples
        .iter()
        .filter_map(|sample| line.2(sample).map(|bytes| Point { seconds: sample.seconds.max(0.0), bytes }))
        .collect();
    let thinned: Vec<Point> =
        points.chunks(points.len().div_ceil(POINTS).max(1)).filter_map(largest).collect();
    let peak = largest(&thinned).filter(|peak| peak.bytes > 0)?;
    Some((line, thinned, peak))
}

/// The first point with the largest value.
fn largest(points: &[Point]) -> Option<Point> {
    points.iter().copied().reduce(|best, point| if point.bytes > best.bytes { point } else { best })
}

fn polyline(points: &[Point], x: &dyn Fn(&Point) -> f64, y: &dyn Fn(&Point) -> f64) -> String {
    let texts: Vec<String> =
        points.iter().map(|point| format!("{},{}", tenth(x(point)), tenth(y(point)))).collect();
    texts.join(" ")
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// The next value above `bytes` whose quarters are round: 1, 2, 4, 6, 8 or 10 times a power of ten.
fn round_top(bytes: u64) -> u64 {
    let bytes = bytes.clamp(4, u64::MAX / 100);
    let power = 10_u64.pow(bytes.ilog10());
    [1, 2, 4, 6, 8].into_iter().map(|times| times * power).find(|top| *top >= bytes).unwrap_or(10 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_of_the_axis_is_the_next_round_value() {
        let given = [0, 4, 999_000, 1_000_000, 1_000_001, 2_500_000, 8_100_000_000, u64::MAX];
        let tops = given.map(round_top);
        assert_eq!(tops[..7], [4, 4, 1_000_000, 1_000_000, 2_000_000, 4_000_000, 10_000_000_000]);
    }

    #[test]
    fn thinning_keeps_the_peak() {
        let samples: Vec<MemorySample> = (0..10_000)
            .map(|index| MemorySample {
                seconds: f64::from(index) * 0.02,
                heap_bytes: Some(if index == 7_321 { 5_000_000 } else { 1_000_000 }),
                ..MemorySample::default()
            })
            .collect();
        let text = chart(&samples).unwrap().into_string();
        assert!(text.contains("Peak: heap, 5.0 MB after 2 min 26 s"), "{text}");
        assert!(text.len() < 20_000, "{} bytes", text.len());
    }

    #[test]
    fn without_values_there_is_no_chart() {
        assert!(chart(&[]).is_none());
        assert!(chart(&[MemorySample { seconds: 1.0, ..MemorySample::default() }]).is_none());
    }

    #[test]
    fn values_that_are_not_numbers_are_left_out() {
        let samples = [
            MemorySample { seconds: f64::NAN, heap_bytes: Some(9), ..MemorySample::default() },
            MemorySample { seconds: 0.0, heap_bytes: Some(5), ..MemorySample::default() },
        ];
        let text = chart(&samples).unwrap().into_string();
        assert!(!text.contains("NaN"), "{text}");
    }
}
