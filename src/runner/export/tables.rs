//! A `.pkl` of PHALP as tables, as boxes, and as people to be scored.

use super::results::{PklOrTables, Results, ResultsError};
use super::rows::{joints_px, rows_of};
use super::{Progress, RunnerError};
use crate::runner::project::progress::ProgressListener;
use posebook_core::frame::FrameSize;
use posebook_core::labels::Outcome;
use posebook_export::ExportFrame;
use posebook_notebook::tables::files::{TableWriter, parquet_path, write_with_csv};
use posebook_notebook::tables::{FrameRow, PersonRow, RunRow};
use posebook_track::metrics::views::ViewPerson;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Digits of a run's id.
const ID_DIGITS: usize = 12;

/// Writes the tables of people, frames and the run of the `.pkl` `path` into `folder`, and returns the run's row. Entries of
/// lost tracks are left out: a row is a person who was seen.
///
/// # Errors
/// If the file cannot be read or holds nobody, or a table exists already or cannot be written.
pub fn convert_to_tables(
    path: &Path,
    folder: &Path,
    options: &PklOrTables,
    interrupt: &AtomicBool,
    listener: &mut dyn ProgressListener,
) -> Result<RunRow, RunnerError> {
    let tables =
        [parquet_path::<RunRow>(folder), parquet_path::<FrameRow>(folder), parquet_path::<PersonRow>(folder)];
    if let Some(path) = tables.into_iter().find(|table| table.exists()) {
        return Err(ResultsError::Exists { path }.into());
    }
    let results = Results::open(path, options)?;
    let bytes = std::fs::read(path).map_err(RunnerError::file(path))?;
    let digest: String = Sha256::digest(&bytes).iter().fold(String::new(), |mut text, byte| {
        // writing to a string does not fail
        let _ = write!(text, "{byte:02x}");
        text
    });
    drop(bytes);
    let run_id = &digest[..ID_DIGITS];
    let (mut frames, mut people) = (TableWriter::create(folder)?, TableWriter::create(folder)?);
    let (mut size, mut count) = (None, 0);
    let mut progress = Progress::start("convert", results.frames(), interrupt, listener);
    results.for_each(&mut |frame| {
        progress.advance(&frame)?;
        let rows = rows_of(run_id, &frame);
        frames.push(frame_row(run_id, &frame, rows.len()))?;
        size = size.or((!frame.people.is_empty()).then_some(frame.size));
        count += 1;
        Ok(rows.into_iter().try_for_each(|row| people.push(row))?)
    })?;
    let size: FrameSize = size.ok_or_else(|| ResultsError::Nobody { path: path.to_path_buf() })?;
    frames.finish()?;
    people.finish()?;
    let row = RunRow {
        run_id: run_id.into(),
        experiment: "convert".into(),
        outcome: Outcome::Ok,
        repeat: 1,
        settings: "{}".into(),
        dataset: results.video().source.clone(),
        clip: results.video().name.clone(),
        width: Some(size.width as u64),
        height: Some(size.height as u64),
        first_frame: Some(0),
        frames: Some(count),
        frames_done: Some(count),
        every: 1,
        loops: 1,
        fps: Some(results.video().fps),
        model: "PHALP's results".into(),
        remarks: Some(format!("converted from {}", path.display())),
        results: "stream".into(),
        ..RunRow::default()
    };
    write_with_csv(folder, std::slice::from_ref(&row))?;
    Ok(row)
}

fn frame_row(run_id: &str, frame: &ExportFrame, people: usize) -> FrameRow {
    FrameRow {
        run_id: run_id.into(),
        frame: frame.index,
        time_secs: frame.time_secs,
        people: people as u64,
        shot: Some(frame.shot),
        ..FrameRow::default()
    }
}

/// The boxes of a `.pkl` as MOTChallenge text: `frame,id,left,top,width,height,confidence`, frames from 1.
///
/// # Errors
/// If the file cannot be read.
pub fn pkl_boxes_as_mot(path: &Path) -> Result<String, RunnerError> {
    let mut text = String::new();
    Results::open(path, &PklOrTables::default())?.for_each(&mut |frame| {
        for person in frame.people.iter().filter(|person| person.tracked_time == 0) {
            let (bbox, number) = (person.bbox, frame.index + 1);
            let (width, height) = (bbox.width(), bbox.height());
            // writing to a string does not fail
            let _ = writeln!(
                text,
                "{number},{},{},{},{width},{height},{}",
                person.id, bbox.x1, bbox.y1, person.score
            );
        }
        Ok(())
    })?;
    Ok(text)
}

/// The people of a `.pkl`, to be scored against calibrated views.
///
/// # Errors
/// If the file cannot be read.
pub fn pkl_people_for_views(path: &Path) -> Result<Vec<ViewPerson>, RunnerError> {
    let mut people = Vec::new();
    Results::open(path, &PklOrTables::default())?.for_each(&mut |frame| {
        let FrameSize { width, height } = frame.size;
        for person in frame.people.iter().filter(|person| person.tracked_time == 0) {
            let pixels = joints_px(person, width, height);
            people.push(ViewPerson {
                frame: frame.index,
                joints_m: person.joints.clone(),
                joints_px: pixels.as_chunks::<2>().0.to_vec(),
            });
        }
        Ok(())
    })?;
    Ok(people)
}
