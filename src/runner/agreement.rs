//! How far each run agrees with the same point computed in single precision on frames read losslessly in
//! sequence: what a mode or a precision changes in the answer, and not only in memory and time.

use super::RunnerError;
use super::death::Outcome;
use super::execute::Ended;
use crate::metrics::agreement::{Comparison, Sighting};
use crate::person::BBox;
use crate::tables::{PersonRow, RunRow, TableError, files};
use polars::prelude::{DataFrame, PolarsError, PolarsResult};
use std::collections::HashMap;

/// Precisions that may serve as the reference, best first: rounded least.
const PRECISIONS: [&str; 3] = ["f32", "f16", "bf16"];
/// Modes that may serve as the reference, best first.
const REFERENCES: [&str; 5] =
    ["stream-sequential", "stream-indexed", "extract-png", "extract-memory", "stream-seek"];

/// Fills the columns of agreement of every run that ended well and has a reference among `runs`.
///
/// # Errors
/// If a table of people cannot be read.
pub fn fill(runs: &mut [Ended]) -> Result<(), RunnerError> {
    let points: Vec<Option<String>> = runs.iter().map(point).collect();
    let mut references: HashMap<&str, usize> = HashMap::new();
    let rank = |at: usize| {
        let row = &runs[at].row;
        let mode = REFERENCES.iter().position(|mode| *mode == row.mode)?;
        Some((PRECISIONS.iter().position(|precision| *precision == row.precision)?, mode))
    };
    for (at, point) in points.iter().enumerate() {
        let Some(point) = point.as_deref().filter(|_| rank(at).is_some()) else { continue };
        let best = references.entry(point).or_insert(at);
        if rank(at) < rank(*best) {
            *best = at;
        }
    }
    let mut loaded: Option<(usize, Vec<Vec<Sighting>>)> = None;
    for (at, point) in points.iter().enumerate() {
        let Some(&reference) = point.as_deref().and_then(|point| references.get(point)) else { continue };
        if reference == at {
            continue;
        }
        let end = |row: &RunRow| {
            (row.first_frame.unwrap_or(0) + row.frames.unwrap_or(0) * row.every.max(1)) as usize
        };
        // a preset of PHALP's may end before the video does
        let frames = end(&runs[at].row).min(end(&runs[reference].row));
        if loaded.as_ref().is_none_or(|(which, _)| *which != reference) {
            loaded = Some((reference, sightings(&runs[reference])?));
        }
        let Some((_, theirs)) = &loaded else { continue };
        let ours = sightings(&runs[at])?;
        let mut comparison = Comparison::default();
        let nobody = Vec::new();
        for frame in 0..frames {
            comparison.add(ours.get(frame).unwrap_or(&nobody), theirs.get(frame).unwrap_or(&nobody));
        }
        let agreement = comparison.finish();
        let reference_run_id = runs[reference].row.run_id.clone();
        let row = &mut runs[at].row;
        row.reference_run_id = Some(reference_run_id);
        row.agree_box_mean_px = agreement.box_mean_px;
        row.agree_box_max_px = agreement.box_largest_px;
        row.agree_joint_mean_mm = agreement.joint_mean_mm;
        row.agree_joint_max_mm = agreement.joint_largest_mm;
        row.agree_identities = agreement.identities_alike;
    }
    Ok(())
}

/// What changes how frames are delivered, where a run ends and where its results go, but not what is found in a
/// frame.
const DELIVERY: [&str; 8] =
    ["mode", "preset", "overlap", "hwaccel", "patience_secs", "start_time", "end_frame", "end_time"];

/// What two runs must share to be compared: everything but [`DELIVERY`] and the precision. `None` for a run that
/// failed.
fn point(run: &Ended) -> Option<String> {
    let row = &run.row;
    if row.outcome != Outcome::Ok.name() || run.tables.is_none() {
        return None;
    }
    let mut settings: serde_json::Value = serde_json::from_str(&row.settings).ok()?;
    let video = settings.get_mut("video")?.as_object_mut()?;
    for key in DELIVERY {
        video.shift_remove(key);
    }
    // -1 and the first frame are one
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

/// Who a run saw, by frame of the clip.
fn sightings(run: &Ended) -> Result<Vec<Vec<Sighting>>, RunnerError> {
    let Some(folder) = &run.tables else { return Ok(Vec::new()) };
    let columns = ["frame", "track", "x1_px", "y1_px", "x2_px", "y2_px", "joints_m"];
    let table = files::read::<PersonRow>(folder, Some(&columns))?;
    let damaged = |error: PolarsError| TableError::Damaged {
        path: files::parquet_path::<PersonRow>(folder),
        message: error.to_string(),
    };
    Ok(by_frame(&table).map_err(damaged)?)
}

fn by_frame(table: &DataFrame) -> PolarsResult<Vec<Vec<Sighting>>> {
    let frames = table.column("frame")?.i64()?;
    let tracks = table.column("track")?.i64()?;
    let joints = table.column("joints_m")?.list()?;
    let corner = |name: &str| table.column(name)?.f64().cloned();
    let corners = [corner("x1_px")?, corner("y1_px")?, corner("x2_px")?, corner("y2_px")?];
    let mut all: Vec<Vec<Sighting>> = Vec::new();
    for row in 0..table.height() {
        let frame = frames.get(row).unwrap_or(0) as usize;
        if all.len() <= frame {
            all.resize_with(frame + 1, Vec::new);
        }
        let [x1, y1, x2, y2] = corners.each_ref().map(|corner| corner.get(row).unwrap_or(f64::NAN) as f32);
        let flat = joints.get_as_series(row);
        let flat: Vec<f32> = match &flat {
            Some(series) => series.f32()?.into_no_null_iter().collect(),
            None => Vec::new(),
        };
        all[frame].push(Sighting {
            bbox: BBox { x1, y1, x2, y2 },
            track_id: tracks.get(row).and_then(|track| u32::try_from(track).ok()),
            joints: flat.chunks_exact(3).map(|at| [at[0], at[1], at[2]]).collect(),
        });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::files::TableWriter;
    use std::path::Path;

    fn run(folder: &Path, mode: &str, shift: f32) -> Ended {
        let place = folder.join(mode);
        let mut people = TableWriter::create(&place).unwrap();
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
            precision: "f32".into(),
            run_id: mode.into(),
            mode: mode.into(),
            outcome: "ok".into(),
            settings,
            frames: Some(3),
            ..RunRow::default()
        };
        Ended { row, tables: Some(place) }
    }

    #[test]
    fn every_mode_is_held_against_the_sequential_stream() {
        let folder = tempfile::tempdir().unwrap();
        let mut runs = vec![
            run(folder.path(), "extract-jpeg", 4.0),
            run(folder.path(), "stream-seek", 0.0),
            run(folder.path(), "stream-sequential", 0.0),
        ];
        fill(&mut runs).unwrap();
        let jpeg = &runs[0].row;
        assert_eq!(jpeg.reference_run_id.as_deref(), Some("stream-sequential"));
        assert_eq!((jpeg.agree_box_max_px, jpeg.agree_box_mean_px), (Some(4.0), Some(1.0)));
        assert_eq!(jpeg.agree_identities, Some(1.0));
        assert_eq!(runs[1].row.agree_joint_max_mm, Some(0.0));
        assert_eq!(runs[2].row.reference_run_id, None);
    }

    #[test]
    fn every_precision_is_held_against_single_precision() {
        let folder = tempfile::tempdir().unwrap();
        let mut runs = Vec::new();
        for (precision, shift) in [("bf16", 2.0), ("f16", 1.0), ("f32", 0.0)] {
            let mut ended = run(&folder.path().join(precision), "stream-sequential", shift);
            ended.row.run_id = precision.into();
            ended.row.precision = precision.into();
            ended.row.settings = ended.row.settings.replace("f32", precision);
            runs.push(ended);
        }
        fill(&mut runs).unwrap();
        assert_eq!(runs[0].row.reference_run_id.as_deref(), Some("f32"));
        assert!((runs[0].row.agree_joint_max_mm.unwrap() - 20.0 * 3f64.sqrt()).abs() < 1e-4);
        assert!((runs[1].row.agree_joint_mean_mm.unwrap() - 10.0 * 3f64.sqrt()).abs() < 1e-4);
        assert_eq!(runs[2].row.reference_run_id, None);
        // without single precision there is half of it, and another seed is another question
        runs[2].row.settings = runs[2].row.settings.replace("\"seed\":1", "\"seed\":2");
        fill(&mut runs).unwrap();
        assert_eq!(runs[0].row.reference_run_id.as_deref(), Some("f16"));
    }

    #[test]
    fn a_preset_that_ends_earlier_is_compared_over_the_frames_that_both_have() {
        let folder = tempfile::tempdir().unwrap();
        let mut short = run(folder.path(), "stream-seek", 0.0);
        short.row.settings =
            "{\"seed\":1,\"results\":\"accumulate\",\"video\":{\"preset\":\"phalp-stream\",\"end_time\":10},\"hmr2\":{}}"
                .into();
        short.row.frames = Some(2);
        let mut runs = vec![short, run(folder.path(), "stream-sequential", 0.0)];
        fill(&mut runs).unwrap();
        assert_eq!(runs[0].row.agree_identities, Some(1.0));
        // another first frame has another history behind it
        runs[0].row.first_frame = Some(1);
        runs[0].row.reference_run_id = None;
        fill(&mut runs).unwrap();
        assert_eq!(runs[0].row.reference_run_id, None);
    }
}
