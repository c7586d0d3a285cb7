//! The people of a video frame by frame, as one JSON value, in the form of the older wrapper of PHALP.
//!
//! In: the folder of results. Out: `{"fps", "width", "height", "frame_count", "frames": [...]}` with one entry for every processed
//! frame, people or none: `{"frame", "time", "people": [...]}`. A person has `track_id`, `observed`, `confidence`, `bbox` (left,
//! top, right, bottom in pixels), `smpl` (`betas`, `global_orient`, `body_pose`), `camera` (scale, x, y in the crop), `translation`
//! (meters), `joints_3d` (meters) and `joints_2d` (pixels).
//!
//! People on tracks only. Until the tracker deletes a track whose person is not detected, the person stays as last detected,
//! with `observed` false and a confidence that falls to 0.

use super::table_error;
use super::timeline::DEFAULT_MAX_AGE;
use posebook_notebook::tables::files::read_rows;
use posebook_notebook::tables::{FrameRow, PersonRow, RunRow, TableError};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// Most people in all frames together: 15 KB of memory each. Larger results are read row by row.
const MAX_PEOPLE: usize = 20_000;

/// The people of the job's run by frame.
///
/// # Errors
/// If there is not exactly one run, a table cannot be read, or there are too many people for one JSON value.
pub fn json(results: &Path) -> io::Result<Value> {
    let runs: Result<Vec<RunRow>, TableError> = read_rows(results).map_err(table_error)?.collect();
    let runs = runs.map_err(table_error)?;
    let [run] = runs.as_slice() else {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the job has not the frames of one video"));
    };
    let settings: Value = serde_json::from_str(&run.settings).unwrap_or_default();
    let max_age = settings["phalp"]["max_age_track"].as_u64().unwrap_or(DEFAULT_MAX_AGE);
    let mut people = read_rows::<PersonRow>(results).map_err(table_error)?.peekable();
    // last row of each track that is not deleted, and the number of frames since
    let mut tracks: BTreeMap<u64, (PersonRow, u64)> = BTreeMap::new();
    let (mut frames, mut written) = (Vec::new(), 0);
    for frame in read_rows::<FrameRow>(results).map_err(table_error)? {
        let frame = frame.map_err(table_error)?;
        tracks.values_mut().for_each(|(_, age)| *age += 1);
        tracks.retain(|_, (_, age)| *age <= max_age);
        let is_before =
            |row: &Result<PersonRow, TableError>| row.as_ref().map_or(true, |row| row.frame <= frame.frame);
        while let Some(row) = people.next_if(is_before) {
            let row = row.map_err(table_error)?;
            if let Some(track) = row.track.filter(|_| row.frame == frame.frame && !row.joints_m.is_empty()) {
                tracks.insert(track, (PersonRow { appearance: Vec::new(), ..row }, 0));
            }
        }
        written += tracks.len();
        if written > MAX_PEOPLE {
            let message = format!(
                "more than {MAX_PEOPLE} people in all frames are too many for one answer; read them row by row, from \
                 /v1/jobs/ID/people"
            );
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        let people: Vec<Value> =
            tracks.iter().map(|(track, (row, age))| person(*track, row, *age, max_age)).collect();
        frames.push(json!({ "frame": frame.frame, "time": frame.time_secs, "people": people }));
    }
    Ok(json!({
        "fps": run.fps,
        "width": run.width,
        "height": run.height,
        "frame_count": frames.len(),
        "frames": frames,
    }))
}

/// One person; `age` is the number of frames since it was detected.
fn person(track: u64, row: &PersonRow, age: u64, max_age: u64) -> Value {
    let left = 1.0 - age as f64 / (max_age + 1) as f64;
    let points =
        |values: &[f32], size: usize| values.chunks_exact(size).map(|point| json!(point)).collect::<Vec<_>>();
    json!({
        "track_id": track,
        "observed": age == 0,
        "confidence": f64::from(row.score) * left,
        "bbox": [row.x1_px, row.y1_px, row.x2_px, row.y2_px],
        "smpl": {
            "betas": row.betas,
            "global_orient": points(&row.global_orient, 3),
            "body_pose": row.body_pose.chunks_exact(9).map(|matrix| points(matrix, 3)).collect::<Vec<_>>(),
        },
        "camera": row.crop_camera,
        "translation": row.translation_m,
        "joints_3d": points(&row.joints_m, 3),
        "joints_2d": points(&row.joints_px, 2),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_notebook::tables::TableRow;
    use posebook_notebook::tables::files::TableWriter;

    fn write<R: TableRow>(results: &Path, rows: impl IntoIterator<Item = R>) {
        let mut writer = TableWriter::create(results).unwrap();
        rows.into_iter().for_each(|row| writer.push(row).unwrap());
        writer.finish().unwrap();
    }

    #[test]
    fn every_frame_is_there_and_a_lost_person_fades() {
        let folder = tempfile::tempdir().unwrap();
        let results = folder.path();
        assert_eq!(json(results).unwrap_err().kind(), io::ErrorKind::NotFound);
        let settings = r#"{"phalp":{"max_age_track":1}}"#.to_string();
        write(results, [RunRow { settings, width: Some(64), fps: Some(25.0), ..RunRow::default() }]);
        write(results, (0..4).map(|frame| FrameRow { frame, ..FrameRow::default() }));
        let row = |frame, track| PersonRow {
            frame,
            track,
            score: 1.0,
            joints_m: vec![0.5; 6],
            body_pose: vec![1.0; 18],
            ..PersonRow::default()
        };
        write(results, [row(0, None), row(0, Some(7)), row(1, Some(7))]);
        let value = json(results).unwrap();
        let frames = value["frames"].as_array().unwrap();
        let shown: Vec<Vec<(u64, bool, f64)>> = frames
            .iter()
            .map(|frame| {
                let people = frame["people"].as_array().unwrap().iter();
                let shown = |person: &Value| {
                    let observed = person["observed"].as_bool().unwrap();
                    (person["track_id"].as_u64().unwrap(), observed, person["confidence"].as_f64().unwrap())
                };
                people.map(shown).collect()
            })
            .collect();
        assert_eq!(shown, [vec![(7, true, 1.0)], vec![(7, true, 1.0)], vec![(7, false, 0.5)], vec![]]);
        let person = &frames[0]["people"][0];
        assert_eq!(person["joints_3d"], json!([[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]));
        assert_eq!(
            person["smpl"]["body_pose"][1],
            json!([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
        );
        assert_eq!((&value["width"], &value["frame_count"]), (&json!(64), &json!(4)));
    }

    #[test]
    fn too_many_people_for_one_answer_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), [RunRow::default()]);
        write(folder.path(), (0..2001).map(|frame| FrameRow { frame, ..FrameRow::default() }));
        let row = |track| PersonRow { track: Some(track), joints_m: vec![0.0; 3], ..PersonRow::default() };
        let rows = (0..2001).flat_map(|frame| (0..10).map(move |track| PersonRow { frame, ..row(track) }));
        write(folder.path(), rows);
        let error = json(folder.path()).unwrap_err().to_string();
        assert!(error.contains("20000 people") && error.contains("/v1/jobs/ID/people"), "{error}");
    }
}
