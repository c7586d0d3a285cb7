//! The strip of stages: what each one did, how fast, and for which stage it waited.

use super::format;
use crate::backend::StageTime;
use maud::{Markup, html};

/// The strip.
pub fn strip(stages: &[StageTime]) -> Markup {
    let total = |stage: &StageTime| finite(stage.busy_seconds) + stage.waiting_seconds.map_or(0.0, finite);
    let longest = stages.iter().map(total).fold(0.0, f64::max);
    html! {
        ol.strip { @for stage in stages { li { (item(stage, longest)) } } }
        p.hint {
            span.meaning {
                svg.key width="24" height="8" aria-hidden="true" { rect.busy width="24" height="8" {} } " working"
            }
            span.meaning {
                svg.key width="24" height="8" aria-hidden="true" { rect.waiting width="24" height="8" {} } " waiting"
            }
            "All bars have the same scale."
        }
    }
}

fn item(stage: &StageTime, longest: f64) -> Markup {
    let busy = finite(stage.busy_seconds);
    let waiting = stage.waiting_seconds.map(finite);
    let percent = |seconds: f64| if longest > 0.0 { 100.0 * seconds / longest } else { 0.0 };
    // a stage that took no measurable time has no rate
    let rate = stage.units.filter(|_| busy >= 0.05).map(|units| units as f64 / busy);
    html! {
        h3 { (stage.stage) }
        svg.bar width="100%" height="8" aria-hidden="true" {
            rect.track width="100%" height="8" {}
            rect.busy width={ (rounded(percent(busy))) "%" } height="8" {}
            @if let Some(waiting) = waiting {
                rect.waiting x={ (rounded(percent(busy))) "%" } width={ (rounded(percent(waiting))) "%" } height="8" {}
            }
        }
        p { b { (format::seconds(busy)) } " working" }
        @if let Some(units) = stage.units {
            p { (units) " units" @if let Some(rate) = rate { ", " (format!("{rate:.1}")) "/s" } }
        }
        @if let Some(waiting) = waiting {
            p {
                (format::seconds(waiting)) " waiting"
                @if let Some(other) = &stage.waits_for { " for " b { (other) } }
            }
        }
    }
}

fn finite(seconds: f64) -> f64 {
    if seconds.is_finite() { seconds.max(0.0) } else { 0.0 }
}

/// Two places are finer than a pixel of any screen.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
