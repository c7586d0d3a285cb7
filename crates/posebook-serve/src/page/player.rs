//! The overlay video, and below it the timeline: one lane per track in the color that the overlay gives it.
//!
//! Frames in which the person was detected are filled, those in which it was only predicted are hatched, others are empty.
//! Cuts between shots are lines through all lanes.

use super::format;
use crate::backend::{Timeline, TrackRow};
use crate::job::{Job, ResultFile};
use maud::{Markup, html};

/// The video of a job's results that is shown: the overlay, or else any video.
pub fn overlay(job: &Job) -> Option<&ResultFile> {
    let is_video = |file: &&ResultFile| file.media_type.starts_with("video/");
    let mut videos = job.files.iter().filter(is_video);
    let first = videos.clone().next();
    videos.find(|file| file.name.contains("overlay")).or(first)
}

/// The player. `video` is the address of the overlay.
pub fn player(video: Option<&str>, timeline: Option<&Timeline>) -> Markup {
    html! {
        @if let Some(address) = video {
            video #video controls preload="metadata" playsinline src=(address) {}
            p #video-error .error hidden { "This browser cannot play the overlay. It is among the downloads." }
        }
        @if let Some(timeline) = timeline.filter(|timeline| timeline.frames > 0) {
            (lanes(timeline, video.is_some()))
        }
    }
}

fn lanes(timeline: &Timeline, has_video: bool) -> Markup {
    let fps = if timeline.fps.is_finite() && timeline.fps > 0.0 { timeline.fps } else { 0.0 };
    let last = timeline.frames - 1;
    let time = |frame: u64| if fps > 0.0 { format::seconds(frame as f64 / fps) } else { String::new() };
    html! {
        p #readout .readout { (timeline.frames) " frames" @if fps > 0.0 { " · " (time(timeline.frames)) } }
        svg.defs width="0" height="0" aria-hidden="true" {
            defs { @for track in &timeline.tracks { (hatching(track)) } }
        }
        div #timeline .timeline data-frames=(timeline.frames) data-fps=(fps)
            data-first=(timeline.first_frame) data-every=(timeline.every) {
            span.corner { (timeline.tracks.len()) " track" @if timeline.tracks.len() != 1 { "s" } }
            div #seek .lane.ruler
                role=[has_video.then_some("slider")] tabindex=[has_video.then_some("0")] aria-label="Frame"
                aria-valuemin="0" aria-valuemax=(last) aria-valuenow="0" {
                svg width="100%" height="100%" aria-hidden="true" { (cuts(timeline)) }
                span.from { (time(0)) }
                span.until { (time(timeline.frames)) }
            }
            @for track in &timeline.tracks { (lane(track, timeline)) }
            div #playhead .playhead aria-hidden="true" hidden {}
        }
        p.hint {
            span.meaning {
                svg.key width="24" height="8" aria-hidden="true" { rect.observed width="24" height="8" {} } " detected"
            }
            span.meaning {
                svg.key width="24" height="8" aria-hidden="true" { rect width="24" height="8" fill="url(#hatch-key)" {} }
                " predicted only"
            }
            @if !timeline.cuts.is_empty() {
                span.meaning {
                    svg.key width="8" height="12" aria-hidden="true" { line.cut x1="4" x2="4" y1="0" y2="12" {} } " cut"
                }
            }
            @if has_video {
                span.needs-script {
                    "Click a lane to go there. "
                    span.keys {
                        "Keys on the ruler: " kbd { "←" } " " kbd { "→" } " one frame, with " kbd { "Shift" } " ten; on the video: "
                        kbd { "," } " " kbd { "." } " one frame."
                    }
                }
            }
        }
        svg.defs width="0" height="0" aria-hidden="true" { defs { (pattern("hatch-key", "#808080")) } }
    }
}

fn lane(track: &TrackRow, timeline: &Timeline) -> Markup {
    let frames =
        |ranges: &[(u64, u64)]| ranges.iter().map(|(from, end)| end.saturating_sub(*from)).sum::<u64>();
    let (observed, predicted) = (frames(&track.observed), frames(&track.predicted));
    let described = format!("detected in {observed} frames, predicted only in {predicted}");
    let is_cut_off = |&(from, end): &(u64, u64)| end > from && from < timeline.frames;
    html! {
        button.track type="button" aria-pressed="false" data-track=(track.id) title=(described) {
            svg width="10" height="10" aria-hidden="true" { rect width="10" height="10" rx="2" fill=(color(track)) {} }
            span.hidden-text { "Track " } (track.id) span.hidden-text { ": " (described) ". Show this track only" }
        }
        svg.lane data-track=(track.id) width="100%" aria-hidden="true" {
            @for range in track.observed.iter().filter(|range| is_cut_off(range)) {
                (stretch(*range, timeline.frames, "observed", color(track)))
            }
            @for range in track.predicted.iter().filter(|range| is_cut_off(range)) {
                (stretch(*range, timeline.frames, "predicted", &format!("url(#hatch-{})", track.id)))
            }
            (cuts(timeline))
        }
    }
}

fn stretch((from, end): (u64, u64), frames: u64, class: &str, fill: &str) -> Markup {
    let end = end.min(frames);
    html! {
        rect .(class) x={ (percent(from, frames)) "%" } width={ (percent(end - from, frames)) "%" } y="15%" height="70%"
            fill=(fill) {}
    }
}

fn cuts(timeline: &Timeline) -> Markup {
    html! {
        @for cut in timeline.cuts.iter().filter(|cut| **cut < timeline.frames) {
            @let x = format!("{}%", percent(*cut, timeline.frames));
            line.cut x1=(x) x2=(x) y1="0" y2="100%" {}
        }
    }
}

fn hatching(track: &TrackRow) -> Markup {
    pattern(&format!("hatch-{}", track.id), color(track))
}

fn pattern(id: &str, color: &str) -> Markup {
    html! {
        pattern id=(id) patternUnits="userSpaceOnUse" width="5" height="5" patternTransform="rotate(45)" {
            rect width="5" height="5" fill=(color) fill-opacity="0.2" {}
            rect width="2" height="5" fill=(color) {}
        }
    }
}

/// The track's color if it is one, else gray: the value becomes an attribute that could name another resource.
fn color(track: &TrackRow) -> &str {
    let is_color = track
        .color
        .strip_prefix('#')
        .is_some_and(|digits| digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    if is_color { &track.color } else { "#808080" }
}

/// Percent with three places: a frame of an hour of video.
fn percent(part: u64, whole: u64) -> f64 {
    (100_000.0 * part as f64 / whole as f64).round() / 1000.0
}
