//! Draws contact sheets: a few frames of a run, as its video mode delivered them, with its results drawn over them.
//!
//! Input: the runs that figures of the kind `strip` select. Output: one JPEG file per frame, stored with the run and
//! copied into the report's folder.

use super::people;
use crate::experiment::Experiment;
use crate::runner::job::{self, JobSpec};
use crate::runner::store::ended::EndedRun;
use crate::runner::{Project, RunnerError};
use posebook_core::files::write_atomically;
use posebook_core::scratch;
use posebook_models::body::Body;
use posebook_models::recovery::ModelSet;
use posebook_notebook::cell::{Cell, FigureKind};
use posebook_notebook::report::{CONTACT_SHEET_FOLDER, sheet_image_name};
use posebook_notebook::tables::{PersonRow, ReportTables, RunRow, files};
use posebook_synth::render::RgbImage;
use posebook_synth::render::overlay::Overlay;
use posebook_video as video;
use posebook_video::Probe;
use posebook_video::encode_jpeg;
use std::path::Path;

/// Frames on one contact sheet.
const FRAMES_PER_SHEET: usize = 3;
/// Width of an image in pixels: a third of a page's width at two pixels per CSS pixel.
const WIDTH: usize = 480;
const JPEG_QUALITY: u8 = 82;
/// Folder of the images in a stored run's folder.
const STORED_IMAGES: &str = "strip";

/// Draws the contact sheet of every run that a figure of the experiment selects, into the report's folder.
///
/// # Errors
/// If a table cannot be read or a file not be written. A run whose clip can no longer be decoded has no sheet.
pub fn draw(
    project: &Project,
    experiment: &Experiment,
    report: &Path,
    runs: &[EndedRun],
) -> Result<(), RunnerError> {
    let selected = selected_run_ids(experiment, report)?;
    for EndedRun { row, tables } in runs.iter().filter(|run| selected.contains(&run.row.run_id)) {
        let Some(folder) = tables else { continue };
        let frames = sampled_frames(row);
        let stored = |frame: usize| folder.join(STORED_IMAGES).join(format!("{frame}.jpg"));
        if frames.iter().any(|&frame| !stored(frame).exists()) {
            match draw_sheet(project, row, folder, &frames) {
                Ok(images) => {
                    for (frame, bytes) in images {
                        let path = stored(frame);
                        write_atomically(&path, &bytes).map_err(RunnerError::file(&path))?;
                    }
                }
                // the clip is gone: the report says that the sheet is missing
                Err(RunnerError::Video(_)) => continue,
                Err(error) => return Err(error),
            }
        }
        for frame in frames.into_iter().filter(|&frame| stored(frame).exists()) {
            let bytes = std::fs::read(stored(frame)).map_err(RunnerError::file(&stored(frame)))?;
            let path = report.join(CONTACT_SHEET_FOLDER).join(sheet_image_name(&row.run_id, frame as u64));
            write_atomically(&path, &bytes).map_err(RunnerError::file(&path))?;
        }
    }
    Ok(())
}

/// Ids of the runs that the experiment's contact sheets select.
fn selected_run_ids(experiment: &Experiment, report: &Path) -> Result<Vec<String>, RunnerError> {
    let mut ids = Vec::new();
    for cell in &experiment.cells {
        let Cell::Figure(figure) = cell else { continue };
        if figure.spec.kind != FigureKind::ContactSheet {
            continue;
        }
        let answer = ReportTables::new(report).query(&figure.sql)?;
        let Some(column) = answer.position(&figure.spec.x) else { continue };
        ids.extend(answer.rows.iter().filter_map(|row| row[column].text().map(str::to_string)));
    }
    Ok(ids)
}

/// A frame's index and its image as JPEG.
type SheetImage = (usize, Vec<u8>);

/// The images of one run; none if the run's job is no longer readable.
fn draw_sheet(
    project: &Project,
    row: &RunRow,
    folder: &Path,
    frames: &[usize],
) -> Result<Vec<SheetImage>, RunnerError> {
    let Some(job) = read_job(folder) else { return Ok(Vec::new()) };
    let body = ModelSet::load(&job.model)?.load_body()?;
    let mut overlay = Overlay::new(WIDTH);
    let probe = video::probe_with_fps(&job.video, Some(job.fps))?;
    let scratch = project.work().join(scratch::temporary_name(&format!("strip-{}", row.run_id)));
    std::fs::create_dir_all(&scratch).map_err(RunnerError::file(&scratch))?;
    let mut drawn = Vec::new();
    for &frame in frames {
        let people = people_in_frame(folder, frame)?;
        drawn.push(draw_frame(&probe, &job, frame, &scratch, &people, &mut overlay, &body));
    }
    // what cannot be removed only takes space
    let _ = std::fs::remove_dir_all(&scratch);
    let drawn: Vec<Option<RgbImage>> = drawn.into_iter().collect::<Result<_, _>>()?;
    let mut images = Vec::new();
    for (&frame, image) in frames.iter().zip(drawn) {
        if let Some(image) = image {
            images.push((frame, encode_jpeg(&image.rgb, image.width, image.height, JPEG_QUALITY)?));
        }
    }
    Ok(images)
}

fn read_job(folder: &Path) -> Option<JobSpec> {
    serde_json::from_slice(&std::fs::read(job::job_path(folder)).ok()?).ok()
}

/// Frames spread evenly over the run's range, its ends excluded. Only frames that the run read.
fn sampled_frames(row: &RunRow) -> Vec<usize> {
    let (first, frames) = (row.first_frame.unwrap_or(0) as usize, row.frames.unwrap_or(0) as usize);
    let count = FRAMES_PER_SHEET.min(frames);
    let every = row.every.max(1) as usize;
    (0..count).map(|index| first + (2 * index + 1) * frames / (2 * count) * every).collect()
}

fn people_in_frame(folder: &Path, frame: usize) -> Result<Vec<PersonRow>, RunnerError> {
    let mut people = Vec::new();
    for row in files::read_rows::<PersonRow>(folder)? {
        let row = row?;
        match (row.frame as usize).cmp(&frame) {
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Equal => people.push(row),
            std::cmp::Ordering::Greater => break,
        }
    }
    Ok(people)
}

/// One frame in the run's video mode, with `people` drawn over it; `None` if the video has no such frame.
fn draw_frame(
    probe: &Probe,
    job: &JobSpec,
    frame: usize,
    scratch: &Path,
    people: &[PersonRow],
    overlay: &mut Overlay,
    body: &Body,
) -> Result<Option<RgbImage>, RunnerError> {
    let settings = video::Settings {
        mode: job.settings.video.mode,
        loops: job.settings.video.loops,
        hwaccel: job.settings.video.hwaccel.clone(),
        start_frame: Some(frame as i64),
        end_frame: Some(frame as i64 + 1),
        ..video::Settings::default()
    };
    let mut source = video::open_probed(probe.clone(), &settings, scratch, None)?;
    let Some(frame) = source.next_frame()? else { return Ok(None) };
    people::draw(overlay, &frame, people, body);
    Ok(Some(overlay.image().clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sampled_frames_are_frames_that_were_read() {
        let row = |first, frames, every| RunRow {
            first_frame: Some(first),
            frames: Some(frames),
            every,
            ..RunRow::default()
        };
        assert_eq!(sampled_frames(&row(0, 90, 1)), [15, 45, 75]);
        // frames 10, 14, ..., 30
        assert_eq!(sampled_frames(&row(10, 6, 4)), [14, 22, 30]);
        assert_eq!(sampled_frames(&row(3, 1, 5)), [3]);
        assert_eq!(sampled_frames(&row(3, 0, 1)), [0; 0]);
    }
}
