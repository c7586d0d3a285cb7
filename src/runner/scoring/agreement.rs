//! Compares each run with its reference run: the same point computed in single precision on frames that were read
//! losslessly and in sequence.
//!
//! Fills the `agree_*` columns, which show what a video mode or a precision changes in the results.

use crate::runner::RunnerError;
use crate::runner::store::ended::EndedRun;
use posebook_core::labels::Outcome;
use posebook_core::labels::{Precision, VideoMode};
use posebook_core::person::BBox;
use posebook_notebook::tables::{PersonRow, RunRow, files};
use posebook_track::metrics::agreement::{Comparison, TrackedPerson};
use std::collections::HashMap;

/// Precisions of a reference run, most exact first.
const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::F16, Precision::Bf16];
/// Video modes of a reference run, preferred first.
const REFERENCE_MODES: [VideoMode; 5] = [
    VideoMode::StreamSequential,
    VideoMode::StreamIndexed,
    VideoMode::ExtractPng,
    VideoMode::ExtractMemory,
    VideoMode::StreamSeek,
];

/// Fills the agreement columns of every finished run that has a reference run among `runs`.
///
/// # Errors
/// If a table of people cannot be read.
pub fn fill_columns(runs: &mut [EndedRun]) -> Result<(), RunnerError> {
    let keys: Vec<Option<String>> = runs.iter().map(comparison_key).collect();
    let mut references: HashMap<&str, usize> = HashMap::new();
    let rank = |index: usize| {
        let row = &runs[index].row;
        let mode = REFERENCE_MODES.iter().position(|&mode| Some(mode) == row.mode)?;
        Some((PRECISIONS.iter().position(|precision| *precision == row.precision)?, mode))
    };
    for (index, key) in keys.iter().enumerate() {
        let Some(key) = key.as_deref().filter(|_| rank(index).is_some()) else { continue };
        let best = references.entry(key).or_insert(index);
        if rank(index) < rank(*best) {
            *best = index;
        }
    }
    let mut loaded: Option<(usize, Vec<Vec<TrackedPerson>>)> = None;
    for (index, key) in keys.iter().enumerate() {
        let Some(&reference) = key.as_deref().and_then(|key| references.get(key)) else { continue };
        if reference == index {
            continue;
        }
        let end = |row: &RunRow| {
            (row.first_frame.unwrap_or(0) + row.frames.unwrap_or(0) * row.every.max(1)) as usize
        };
        // a preset of PHALP may end before the video does
        let frames = end(&runs[index].row).min(end(&runs[reference].row));
        if loaded.as_ref().is_none_or(|(loaded, _)| *loaded != reference) {
            loaded = Some((reference, read_people(&runs[reference])?));
        }
        let Some((_, theirs)) = &loaded else { continue };
        let ours = read_people(&runs[index])?;
        let mut comparison = Comparison::default();
        let no_people = Vec::new();
        for frame in 0..frames {
            comparison.add(ours.get(frame).unwrap_or(&no_people), theirs.get(frame).unwrap_or(&no_people));
        }
        let agreement = comparison.finish();
        let reference_run_id = runs[reference].row.run_id.clone();
        let columns = &mut runs[index].row.metrics.agreement;
        columns.reference_run_id = Some(reference_run_id);
        columns.agree_box_mean_px = agreement.box_mean_px;
        columns.agree_box_max_px = agreement.box_largest_px;
        columns.agree_joint_mean_mm = agreement.joint_mean_mm;
        columns.agree_joint_max_mm = agreement.joint_largest_mm;
        columns.agree_identities = agreement.identities_alike;
    }
    Ok(())
}

/// Keys of the table `video` that change how frames are delivered or where a run ends, but not the results of a frame.
const DELIVERY_KEYS: [&str; 8] =
    ["mode", "preset", "overlap", "hwaccel", "patience_secs", "start_time", "end_frame", "end_time"];

/// What two runs must share to be compared: everything except [`DELIVERY_KEYS`] and the precision. `None` for a run
/// that failed.
fn comparison_key(run: &EndedRun) -> Option<String> {
    let row = &run.row;
    if row.outcome != Outcome::Ok || run.tables.is_none() {
        return None;
    }
    let mut settings: serde_json::Value = serde_json::from_str(&row.settings).ok()?;
    let video = settings.get_mut("video")?.as_object_mut()?;
    for key in DELIVERY_KEYS {
        video.shift_remove(key);
    }
    // -1 also means the first frame; `first_frame` is compared below
    video.shift_remove("start_frame");
    let settings = settings.as_object_mut()?;
    settings.shift_remove("results");
    if let Some(hmr2) = settings.get_mut("hmr2").and_then(serde_json::Value::as_object_mut) {
        hmr2.shift_remove("precision");
    }
    let settings = serde_json::Value::Object(std::mem::take(settings));
    let first = row.first_frame.unwrap_or(0);
    Some(format!("{settings} {} {:?} {} {first}", row.clip, row.clip_sha256, row.repeat))
}

/// The people of a run, by frame of the clip.
fn read_people(run: &EndedRun) -> Result<Vec<Vec<TrackedPerson>>, RunnerError> {
    let Some(folder) = &run.tables else { return Ok(Vec::new()) };
    // a table that does not exist would be read as one without rows
    let path = files::parquet_path::<PersonRow>(folder);
    std::fs::metadata(&path).map_err(RunnerError::file(&path))?;
    let mut all: Vec<Vec<TrackedPerson>> = Vec::new();
    for row in files::read_rows::<PersonRow>(folder)? {
        let row = row?;
        let frame = row.frame as usize;
        if all.len() <= frame {
            all.resize_with(frame + 1, Vec::new);
        }
        let [x1, y1, x2, y2] = [row.x1_px, row.y1_px, row.x2_px, row.y2_px];
        all[frame].push(TrackedPerson {
            bbox: BBox { x1, y1, x2, y2 },
            track_id: row.track,
            joints: row.joints_m.chunks_exact(3).map(|xyz| [xyz[0], xyz[1], xyz[2]]).collect(),
        });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_notebook::tables::files::TableWriter;
    use std::path::Path;

    fn run(folder: &Path, mode: &str, shift: f32) -> EndedRun {
        let tables = folder.join(mode);
        let mut people = TableWriter::create(&tables).unwrap();
        for frame in 0..3 {
            let row = PersonRow {
                frame,
                track: Some(1),
                x1_px: 10.0 + shift,
                x2_px: 50.0,
                y2_px: 90.0,
                joints_m: vec![shift / 100.0; 132],
                ..PersonRow::default()
            };
            people.push(row).unwrap();
        }
        people.finish().unwrap();
        let settings =
            format!("{{\"seed\":1,\"video\":{{\"mode\":\"{mode}\"}},\"hmr2\":{{\"precision\":\"f32\"}}}}");
        let row = RunRow {
            run_id: mode.into(),
            mode: mode.parse().ok(),
            outcome: Outcome::Ok,
            settings,
            frames: Some(3),
            ..RunRow::default()
        };
        EndedRun { row, tables: Some(tables) }
    }

    #[test]
    fn every_mode_is_compared_with_the_sequential_stream() {
        let folder = tempfile::tempdir().unwrap();
        let mut runs = vec![
            run(folder.path(), "extract-jpeg", 4.0),
            run(folder.path(), "stream-seek", 0.0),
            run(folder.path(), "stream-sequential", 0.0),
        ];
        fill_columns(&mut runs).unwrap();
        let jpeg = &runs[0].row.metrics.agreement;
        assert_eq!(jpeg.reference_run_id.as_deref(), Some("stream-sequential"));
        assert_eq!((jpeg.agree_box_max_px, jpeg.agree_box_mean_px), (Some(4.0), Some(1.0)));
        assert_eq!(jpeg.agree_identities, Some(1.0));
        assert_eq!(runs[1].row.metrics.agreement.agree_joint_max_mm, Some(0.0));
        assert_eq!(runs[2].row.metrics.agreement.reference_run_id, None);
    }

    #[test]
    fn a_missing_table_of_people_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let mut runs =
            vec![run(folder.path(), "stream-seek", 0.0), run(folder.path(), "stream-sequential", 0.0)];
        std::fs::remove_file(folder.path().join("stream-seek/people.parquet")).unwrap();
        let error = fill_columns(&mut runs).unwrap_err().to_string();
        assert!(error.contains("people.parquet"), "{error}");
    }

    #[test]
    fn every_precision_is_compared_with_single_precision() {
        let folder = tempfile::tempdir().unwrap();
        let mut runs = Vec::new();
        for (precision, shift) in [("bf16", 2.0), ("f16", 1.0), ("f32", 0.0)] {
            let mut ended = run(&folder.path().join(precision), "stream-sequential", shift);
            ended.row.run_id = precision.into();
            ended.row.precision = precision.parse().unwrap();
            ended.row.settings = ended.row.settings.replace("f32", precision);
            runs.push(ended);
        }
        fill_columns(&mut runs).unwrap();
        assert_eq!(runs[0].row.metrics.agreement.reference_run_id.as_deref(), Some("f32"));
        assert!(
            (runs[0].row.metrics.agreement.agree_joint_max_mm.unwrap() - 20.0 * 3f64.sqrt()).abs() < 1e-4
        );
        assert!(
            (runs[1].row.metrics.agreement.agree_joint_mean_mm.unwrap() - 10.0 * 3f64.sqrt()).abs() < 1e-4
        );
        assert_eq!(runs[2].row.metrics.agreement.reference_run_id, None);
        // without single precision f16 is the reference; another seed is another point
        runs[2].row.settings = runs[2].row.settings.replace("\"seed\":1", "\"seed\":2");
        fill_columns(&mut runs).unwrap();
        assert_eq!(runs[0].row.metrics.agreement.reference_run_id.as_deref(), Some("f16"));
    }

    #[test]
    fn a_preset_that_ends_earlier_is_compared_over_the_common_frames() {
        let folder = tempfile::tempdir().unwrap();
        let mut short = run(folder.path(), "stream-seek", 0.0);
        short.row.settings =
            "{\"seed\":1,\"results\":\"accumulate\",\"video\":{\"preset\":\"phalp-stream\",\"end_time\":10},\"hmr2\":{}}"
                .into();
        short.row.frames = Some(2);
        let mut runs = vec![short, run(folder.path(), "stream-sequential", 0.0)];
        fill_columns(&mut runs).unwrap();
        assert_eq!(runs[0].row.metrics.agreement.agree_identities, Some(1.0));
        // with another first frame the tracker has another history
        runs[0].row.first_frame = Some(1);
        runs[0].row.metrics.agreement.reference_run_id = None;
        fill_columns(&mut runs).unwrap();
        assert_eq!(runs[0].row.metrics.agreement.reference_run_id, None);
    }
}
