//! The summary of a tracked video as Markdown: frames, outcome, memory, scores and tracks.

use super::super::RunnerError;
use posebook_core::labels::VideoMode;
use posebook_notebook::tables::{PersonRow, RunRow, files};
use posebook_video::Probe;
use std::collections::BTreeMap;
use std::path::Path;

/// First and last frame of a track, and the number of frames in which it was detected.
struct Span {
    first: u64,
    last: u64,
    frames: u64,
}

/// The summary's text. `source` is the video as the user named it.
///
/// # Errors
/// If the table of people in `folder` cannot be read.
pub(super) fn summary(
    folder: &Path,
    source: &Path,
    row: &RunRow,
    probe: &Probe,
    notes: &[String],
) -> Result<String, RunnerError> {
    let mut spans = BTreeMap::new();
    for person in files::read_rows::<PersonRow>(folder)? {
        let person = person?;
        let Some(track) = person.track else { continue };
        let span = spans.entry(track).or_insert(Span { first: person.frame, last: person.frame, frames: 0 });
        span.last = person.frame;
        span.frames += 1;
    }
    let mut lines = vec![format!("# {}", row.clip), String::new()];
    let mut add = |line: String| lines.push(line);
    let Probe { width, height, .. } = probe;
    add(format!("- video: {}, {width}x{height}, {}", source.display(), probe.rate()));
    notes.iter().for_each(|note| add(format!("- note: {note}")));
    add(format!("- {}, delivered by {}", describe_frames(row), row.mode.map_or("", VideoMode::name)));
    let error = row.error.as_ref().map_or(String::new(), |error| format!(" ({error})"));
    add(format!("- outcome: {}{error}", row.outcome));
    let metrics = &row.metrics;
    let people = metrics.tracking.people.unwrap_or(0);
    add(format!("- people: {people} detections, {} tracks", spans.len()));
    for (name, bytes) in [
        ("heap", metrics.host.heap_peak_bytes),
        ("process", metrics.host.process_peak_bytes),
        ("decoder", metrics.host.decoder_peak_bytes),
        ("use of the GPU's memory pool", metrics.device.device_peak_bytes),
        ("share of the GPU's memory", metrics.device.device_process_peak_bytes),
        ("scratch files", metrics.disk.disk_peak_bytes),
    ] {
        if let Some(bytes) = bytes {
            add(format!("- largest {name}: {:.1} MiB", bytes as f64 / (1024.0 * 1024.0)));
        }
    }
    if let Some(secs) = metrics.timing.wall_secs {
        add(format!("- {secs:.1} s in all"));
    }
    let scores = &metrics.tracking;
    for (name, value) in [("HOTA", scores.hota), ("IDF1", scores.idf1), ("MOTA", scores.mota)] {
        if let Some(value) = value {
            add(format!("- {name}: {value:.3}"));
        }
    }
    if !spans.is_empty() {
        add("\n| track | first frame | last frame | frames detected |\n|---:|---:|---:|---:|".to_string());
    }
    for (track, Span { first, last, frames }) in spans {
        add(format!("| {track} | {first} | {last} | {frames} |"));
    }
    Ok(lines.join("\n") + "\n")
}

/// The processed frames, such as `frames 30 to 79 (the end excluded), one of every 2`.
fn describe_frames(row: &RunRow) -> String {
    let (first, frames) = (row.first_frame.unwrap_or(0), row.frames.unwrap_or(0));
    let every = row.every.max(1);
    let end = first + frames.saturating_sub(1) * every + frames.min(1);
    let steps = if every > 1 { format!(", one of every {every}") } else { String::new() };
    format!("frames {first} to {end} (the end excluded){steps}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_the_processed_frames() {
        let text = |first_frame, frames, every| {
            describe_frames(&RunRow { first_frame, frames, every, ..RunRow::default() })
        };
        assert_eq!(text(Some(30), Some(25), 2), "frames 30 to 79 (the end excluded), one of every 2");
        assert_eq!(text(Some(3), Some(4), 1), "frames 3 to 7 (the end excluded)");
        assert_eq!(text(None, Some(0), 5), "frames 0 to 0 (the end excluded), one of every 5");
    }
}
