//! A summary of results: frames, people, shots, and the tracks with their lengths.

use super::results::Results;
use crate::runner::RunnerError;
use std::collections::BTreeMap;
use std::fmt::Write;

/// One track in numbers.
struct TrackLine {
    first: u64,
    last: u64,
    people: u64,
    score_sum: f64,
}

/// Describes `results` as text: a line of totals, then a line for each track.
///
/// # Errors
/// If the results cannot be read.
pub fn summarize(results: &Results) -> Result<String, RunnerError> {
    let mut tracks: BTreeMap<u64, TrackLine> = BTreeMap::new();
    let (mut frames, mut people, mut shots, mut with_appearance) = (0u64, 0u64, 0u64, 0u64);
    results.for_each(&mut |frame| {
        frames += 1;
        shots += u64::from(frame.shot);
        for person in frame.people.iter().filter(|person| person.tracked_time == 0) {
            people += 1;
            with_appearance += u64::from(person.embedding.is_some());
            let new = TrackLine { first: frame.index, last: frame.index, people: 0, score_sum: 0.0 };
            let track = tracks.entry(person.id).or_insert(new);
            (track.last, track.people) = (frame.index, track.people + 1);
            track.score_sum += f64::from(person.score);
        }
        Ok(())
    })?;
    let mut text = format!(
        "{}: {frames} frames, {people} people on {} tracks, {with_appearance} with appearance, {shots} shot changes\n",
        results.video().name,
        tracks.len()
    );
    if let Some(summary) = results.pkl_summary() {
        // writing to a string does not fail
        let _ = writeln!(text, "{} entries of lost tracks are not counted", summary.ghosts);
    }
    if !tracks.is_empty() {
        let _ = writeln!(
            text,
            "{:>6} {:>7} {:>7} {:>7} {:>7} {:>6}",
            "track", "first", "last", "seen", "gaps", "score"
        );
    }
    for (id, TrackLine { first, last, people, score_sum }) in &tracks {
        let (gaps, score) = ((last - first + 1).saturating_sub(*people), score_sum / *people as f64);
        let _ = writeln!(text, "{id:>6} {first:>7} {last:>7} {people:>7} {gaps:>7} {score:>6.2}");
    }
    Ok(text)
}
