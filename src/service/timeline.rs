//! Tables of an ended job as the page shows them: tracks, memory and stages over time.
//!
//! In: the folder of results. Out: for each track the ranges of the overlay's frames in which it was detected or only predicted;
//! at most [`MAX_SAMPLES`] samples of memory; the time of each stage and what it waited for. Jobs without a run (`reconstruct`)
//! have none of these, and the tracks of several runs (experiments) are not shown.

use super::table_error;
use posebook_notebook::tables::files::{parquet_path, read_rows};
use posebook_notebook::tables::{FrameRow, MemoryRow, PersonRow, RunRow, TableRow};
use posebook_serve::backend::{MemorySample, StageTime, Timeline, TrackRow};
use posebook_synth::render::Colors;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// Most samples of memory: more than a page has pixels.
const MAX_SAMPLES: usize = 2000;
/// PHALP's default number of frames after which a track that is not detected is deleted.
pub(super) const DEFAULT_MAX_AGE: u64 = 50;

/// The rows of a table; none if there is no such table.
fn rows<R: TableRow>(results: &Path) -> io::Result<impl Iterator<Item = io::Result<R>>> {
    let rows = read_rows::<R>(results).map_err(table_error)?;
    Ok(rows.map(|row| row.map_err(table_error)))
}

fn runs(results: &Path) -> io::Result<Vec<RunRow>> {
    rows::<RunRow>(results)?.collect()
}

/// The tracks of the job's run. Empty unless there is exactly one.
///
/// # Errors
/// If a table cannot be read.
pub fn tracks(results: &Path) -> io::Result<Timeline> {
    let runs = runs(results)?;
    let [run] = runs.as_slice() else { return Ok(Timeline::default()) };
    let settings: Value = serde_json::from_str(&run.settings).unwrap_or_default();
    let colors: Colors = serde_json::from_value(settings["render"]["colors"].clone()).unwrap_or_default();
    let max_age = settings["phalp"]["max_age_track"].as_u64().unwrap_or(DEFAULT_MAX_AGE);
    // number of a frame in the video to its position in the overlay
    let (mut positions, mut cuts) = (BTreeMap::new(), Vec::new());
    for (position, row) in rows::<FrameRow>(results)?.enumerate() {
        let row = row?;
        positions.insert(row.frame, position as u64);
        if position > 0 && row.shot == Some(true) {
            cuts.push(position as u64);
        }
    }
    let mut seen: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
    for row in rows::<PersonRow>(results)? {
        let row = row?;
        let (Some(track), Some(&position)) = (row.track, positions.get(&row.frame)) else { continue };
        let ranges = seen.entry(track).or_default();
        match ranges.last_mut() {
            Some((_, end)) if *end >= position => *end = position + 1,
            _ => ranges.push((position, position + 1)),
        }
    }
    let frames = positions.len() as u64;
    let every = run.every.max(1);
    let fps = settings["render"]["fps"].as_f64().or(run.fps.map(|fps| fps / every as f64));
    let track = |(id, observed): (u64, Vec<(u64, u64)>)| TrackRow {
        id,
        color: css_color(colors.of_track(id)),
        predicted: predicted(&observed, max_age, frames),
        observed,
    };
    Ok(Timeline {
        fps: fps.unwrap_or(0.0),
        frames,
        first_frame: positions.keys().next().copied().unwrap_or(0),
        every,
        cuts,
        tracks: seen.into_iter().map(track).collect(),
    })
}

/// The ranges in which a track exists and is not detected: after each range of detections until the next, at most `max_age`
/// frames, as the tracker deletes it then.
fn predicted(observed: &[(u64, u64)], max_age: u64, frames: u64) -> Vec<(u64, u64)> {
    let starts = observed.iter().skip(1).map(|range| range.0).chain([frames]);
    let gaps = observed.iter().zip(starts).map(|((_, end), next)| (*end, next.min(end + max_age)));
    gaps.filter(|(start, end)| start < end).collect()
}

fn css_color([red, green, blue]: [u8; 3]) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// Memory over time. Of several runs, which are made one after the other, each starts where the one before ended. Where there
/// are more than [`MAX_SAMPLES`] samples, each one is the maximum of those in its interval.
///
/// # Errors
/// If the table cannot be read.
pub fn memory(results: &Path) -> io::Result<Vec<MemorySample>> {
    let path = parquet_path::<MemoryRow>(results);
    let count = if path.is_file() { rows::<MemoryRow>(results)?.count() } else { 0 };
    let per_sample = count.div_ceil(MAX_SAMPLES).max(1);
    let (mut run, mut started, mut last) = (None, 0.0, 0.0);
    let mut samples: Vec<MemorySample> = Vec::new();
    for (index, row) in rows::<MemoryRow>(results)?.enumerate() {
        let row = row?;
        if run.as_ref() != Some(&row.run_id) {
            started = last;
            run = Some(row.run_id.clone());
        }
        last = started + row.secs;
        let sample = MemorySample {
            seconds: last,
            heap_bytes: row.heap_bytes,
            process_bytes: row.process_bytes,
            device_bytes: row.device_process_bytes.or(row.device_used_bytes),
            disk_bytes: row.disk_bytes,
        };
        match samples.last_mut() {
            Some(largest) if index % per_sample != 0 => {
                largest.heap_bytes = largest.heap_bytes.max(sample.heap_bytes);
                largest.process_bytes = largest.process_bytes.max(sample.process_bytes);
                largest.device_bytes = largest.device_bytes.max(sample.device_bytes);
                largest.disk_bytes = largest.disk_bytes.max(sample.disk_bytes);
            }
            _ => samples.push(sample),
        }
    }
    Ok(samples)
}

/// Times of the stages of the job's run. Empty unless there is exactly one.
///
/// The decoder runs beside the networks and waits while its queue is full; detection, body recovery and tracking take turns in
/// one thread, which waits for decoded frames; rows and the overlay are written beside them.
///
/// # Errors
/// If a table cannot be read.
pub fn stages(results: &Path) -> io::Result<Vec<StageTime>> {
    let runs = runs(results)?;
    let [run] = runs.as_slice() else { return Ok(Vec::new()) };
    let timing = &run.metrics.timing;
    let (mut decoding, mut is_decoded) = (0.0, false);
    let (mut first, mut last) = (f64::INFINITY, 0.0_f64);
    for row in rows::<FrameRow>(results)? {
        let row = row?;
        if let (Some(from), Some(to)) = (row.decode_from_secs, row.decode_to_secs) {
            (decoding, is_decoded) = (decoding + (to - from).max(0.0), true);
            first = first.min(from);
        }
        last = last.max(row.followed_at_secs);
    }
    let units = run.frames_done;
    let stage = |name: &str, busy: Option<f64>| {
        busy.map(|busy_seconds| StageTime {
            stage: name.to_string(),
            busy_seconds,
            waiting_seconds: None,
            waits_for: None,
            units,
        })
    };
    let waits = |stage: Option<StageTime>, seconds: Option<f64>, other: &str| {
        let seconds = seconds.map(|seconds| seconds.max(0.0));
        let waits_for = seconds.is_some().then(|| other.to_string());
        stage.map(|stage| StageTime { waiting_seconds: seconds, waits_for, ..stage })
    };
    let overlaps = run.overlap == Some(true);
    let span = (last > first).then_some(last - first);
    let opening = timing.open_secs;
    let is_extracted = run.mode.is_some_and(|mode| mode.name().starts_with("extract"));
    let without_units = |stage: Option<StageTime>| stage.map(|stage| StageTime { units: None, ..stage });
    let decode = stage("decode", is_decoded.then_some(decoding));
    let decode = waits(decode, span.filter(|_| overlaps).map(|span| span - decoding), "detect");
    let all = [
        without_units(stage("models", timing.setup_secs)),
        if is_extracted { stage("extract", opening) } else { without_units(stage("open", opening)) },
        decode,
        waits(stage("detect", timing.detect_secs), timing.decode_secs, "decode"),
        stage("recover", timing.recover_secs),
        stage("track", timing.track_secs),
        stage("write", timing.write_secs),
    ];
    Ok(all.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_notebook::tables::files::TableWriter;
    use posebook_notebook::tables::metrics::{RunMetrics, Timing};

    fn write<R: TableRow>(results: &Path, rows: impl IntoIterator<Item = R>) {
        let mut writer = TableWriter::create(results).unwrap();
        rows.into_iter().for_each(|row| writer.push(row).unwrap());
        writer.finish().unwrap();
    }

    #[test]
    fn gaps_and_ends_of_a_track_are_predicted_until_its_greatest_age() {
        assert_eq!(predicted(&[(2, 4), (6, 7)], 50, 10), [(4, 6), (7, 10)]);
        assert_eq!(predicted(&[(2, 4)], 3, 10), [(4, 7)]);
        assert_eq!(predicted(&[(2, 10)], 3, 10), []);
    }

    /// Every second frame from 10 on.
    #[test]
    fn tracks_are_in_frames_of_the_overlay() {
        let folder = tempfile::tempdir().unwrap();
        let results = folder.path();
        assert_eq!(tracks(results).unwrap(), Timeline::default());
        let settings = r#"{"phalp":{"max_age_track":2},"render":{"colors":"phalp"}}"#.to_string();
        write(results, [RunRow { settings, every: 2, fps: Some(30.0), ..RunRow::default() }]);
        let frame = |frame| FrameRow { frame, shot: Some(frame == 10 || frame == 16), ..FrameRow::default() };
        write(results, (10..24).step_by(2).map(frame));
        let person = |(frame, track)| PersonRow { frame, track, ..PersonRow::default() };
        let people = [(10, None), (10, Some(1)), (12, Some(1)), (12, Some(2)), (16, Some(1)), (18, Some(2))];
        write(results, people.map(person));
        let found = tracks(results).unwrap();
        assert_eq!((found.fps, found.frames, found.first_frame, found.every), (15.0, 7, 10, 2));
        assert_eq!(found.cuts, [3]);
        let [one, two] = found.tracks.as_slice() else { panic!("{found:?}") };
        assert_eq!(
            (one.id, &one.observed[..], &one.predicted[..]),
            (1, &[(0, 2), (3, 4)][..], &[(2, 3), (4, 6)][..])
        );
        assert_eq!(
            (two.id, &two.observed[..], &two.predicted[..]),
            (2, &[(1, 2), (4, 5)][..], &[(2, 4), (5, 7)][..])
        );
        assert_eq!(one.color, "#ff0156");
    }

    #[test]
    fn long_runs_keep_the_peaks_of_memory() {
        let folder = tempfile::tempdir().unwrap();
        let sample = |run: &str, n: u64| MemoryRow {
            run_id: run.into(),
            secs: n as f64 / 10.0,
            heap_bytes: Some(if n == 1234 { 9000 } else { n }),
            ..MemoryRow::default()
        };
        let both = (0..5000).map(|n| sample("a", n)).chain((0..5000).map(|n| sample("b", n)));
        write(folder.path(), both);
        let samples = memory(folder.path()).unwrap();
        assert_eq!(samples.len(), 2000);
        assert_eq!(samples.iter().filter_map(|sample| sample.heap_bytes).filter(|&b| b == 9000).count(), 2);
        assert!(samples.is_sorted_by(|a, b| a.seconds < b.seconds));
        assert!((samples[1999].seconds - 999.4).abs() < 1e-9, "{}", samples[1999].seconds);
        assert_eq!(memory(tempfile::tempdir().unwrap().path()).unwrap(), []);
    }

    #[test]
    fn stages_say_what_they_wait_for() {
        let folder = tempfile::tempdir().unwrap();
        let timing = Timing {
            setup_secs: Some(1.0),
            open_secs: Some(0.5),
            decode_secs: Some(0.25),
            detect_secs: Some(2.0),
            ..Timing::default()
        };
        let metrics = RunMetrics { timing, ..RunMetrics::default() };
        let run = RunRow { overlap: Some(true), frames_done: Some(2), metrics, ..RunRow::default() };
        write(folder.path(), [run]);
        let frame = |frame: u64| FrameRow {
            frame,
            decode_from_secs: Some(frame as f64),
            decode_to_secs: Some(frame as f64 + 0.5),
            followed_at_secs: frame as f64 + 2.0,
            ..FrameRow::default()
        };
        write(folder.path(), [frame(0), frame(1)]);
        let stages = stages(folder.path()).unwrap();
        let names: Vec<&str> = stages.iter().map(|stage| stage.stage.as_str()).collect();
        assert_eq!(names, ["models", "open", "decode", "detect"]);
        assert_eq!((stages[2].busy_seconds, stages[2].waiting_seconds), (1.0, Some(2.0)));
        assert_eq!((stages[3].waiting_seconds, stages[3].waits_for.as_deref()), (Some(0.25), Some("decode")));
        assert_eq!(stages[3].units, Some(2));
    }
}
