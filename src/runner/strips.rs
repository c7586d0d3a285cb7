//! Film strips: a few frames of a run, as its mode delivered them, with what was found drawn over: a file each.

use super::execute::Ended;
use super::order::{self, Order};
use super::{Project, RunnerError, drawing};
use crate::body::Body;
use crate::experiment::{Cell, Experiment, FigureKind};
use crate::files::write_whole;
use crate::recovery::ModelSet;
use crate::render::overlay::Overlay;
use crate::render::picture::Picture;
use crate::report::{STRIPS, strip_file};
use crate::scratch;
use crate::tables::{PersonRow, RunRow, Tables, files};
use crate::video::{self, Probe};
use candle_core::Device;
use std::path::Path;

/// Moments in a strip.
const MOMENTS: usize = 3;
/// Width of a picture, pixels: a third of a page, on a screen of twice as many.
const WIDTH: usize = 480;
const JPEG_QUALITY: u8 = 82;

/// Draws the strip of every run that a figure of the experiment names, into the report's folder.
///
/// # Errors
/// If a table cannot be read or the disk refuses. A run whose clip cannot be read any more has no strip.
pub fn draw(
    project: &Project,
    experiment: &Experiment,
    report: &Path,
    runs: &[Ended],
) -> Result<(), RunnerError> {
    let wanted = wanted(experiment, report)?;
    for Ended { row, tables } in runs.iter().filter(|run| wanted.contains(&run.row.run_id)) {
        let Some(place) = tables else { continue };
        let moments = moments(row);
        let kept = |moment: usize| place.join("strip").join(format!("{moment}.jpg"));
        if moments.iter().any(|&moment| !kept(moment).exists()) {
            match strip(project, row, place, &moments) {
                Ok(pictures) => {
                    for (moment, bytes) in pictures {
                        let path = kept(moment);
                        write_whole(&path, &bytes).map_err(RunnerError::file(&path))?;
                    }
                }
                // the clip is gone: the report says that there is no strip
                Err(RunnerError::Video(_)) => continue,
                Err(error) => return Err(error),
            }
        }
        for moment in moments.into_iter().filter(|&moment| kept(moment).exists()) {
            let bytes = std::fs::read(kept(moment)).map_err(RunnerError::file(&kept(moment)))?;
            let path = report.join(STRIPS).join(strip_file(&row.run_id, moment as u64));
            write_whole(&path, &bytes).map_err(RunnerError::file(&path))?;
        }
    }
    Ok(())
}

/// The ids of runs that the experiment's strips name.
fn wanted(experiment: &Experiment, report: &Path) -> Result<Vec<String>, RunnerError> {
    let mut ids = Vec::new();
    for cell in &experiment.cells {
        let Cell::Figure(figure) = cell else { continue };
        if figure.spec.kind != FigureKind::Strip {
            continue;
        }
        let answer = Tables::of(report).sql(&figure.sql)?;
        let Ok(column) = answer.column(&figure.spec.x) else { continue };
        if let Ok(column) = column.str() {
            ids.extend(column.iter().flatten().map(str::to_string));
        }
    }
    Ok(ids)
}

/// A frame's number and its picture as a JPEG.
type Shot = (usize, Vec<u8>);

/// The pictures of one run; none if the run has no order any more.
fn strip(project: &Project, row: &RunRow, place: &Path, moments: &[usize]) -> Result<Vec<Shot>, RunnerError> {
    let Some(order) = read_order(place) else { return Ok(Vec::new()) };
    let body = ModelSet::load(&order.model)?.load_body()?;
    let mut overlay = Overlay::new(WIDTH);
    let probe = video::probe_at(&order.video, Some(order.fps))?;
    let scratch = project.work().join(scratch::name(&format!("strip-{}", row.run_id)));
    std::fs::create_dir_all(&scratch).map_err(RunnerError::file(&scratch))?;
    let mut pictures = Vec::new();
    for &moment in moments {
        let people = people_at(place, moment)?;
        let picture = picture(&probe, &order, moment, &scratch, &people, &mut overlay, &body);
        pictures.push(picture);
    }
    // scratch of a strip harms nobody where it cannot be removed
    let _ = std::fs::remove_dir_all(&scratch);
    let pictures: Vec<Option<Picture>> = pictures.into_iter().collect::<Result<_, _>>()?;
    let shots = moments
        .iter()
        .zip(pictures)
        .filter_map(|(&moment, picture)| Some((moment, picture?.jpeg(JPEG_QUALITY).ok()?)));
    Ok(shots.collect())
}

fn read_order(place: &Path) -> Option<Order> {
    serde_json::from_slice(&std::fs::read(order::order_in(place)).ok()?).ok()
}

/// Frames spread over the run's range, its edges left out.
fn moments(row: &RunRow) -> Vec<usize> {
    let (first, frames) = (row.first_frame.unwrap_or(0) as usize, row.frames.unwrap_or(0) as usize);
    let count = MOMENTS.min(frames);
    // of the frames that were read: others were not looked at
    (0..count).map(|at| first + (2 * at + 1) * frames / (2 * count) * row.every.max(1) as usize).collect()
}

fn people_at(place: &Path, frame: usize) -> Result<Vec<PersonRow>, RunnerError> {
    let mut people = Vec::new();
    for row in files::rows::<PersonRow>(place)? {
        let row = row?;
        match (row.frame as usize).cmp(&frame) {
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Equal => people.push(row),
            std::cmp::Ordering::Greater => break,
        }
    }
    Ok(people)
}

/// One frame, delivered the way the run was, drawn over.
fn picture(
    probe: &Probe,
    order: &Order,
    moment: usize,
    scratch: &Path,
    people: &[PersonRow],
    overlay: &mut Overlay,
    body: &Body,
) -> Result<Option<Picture>, RunnerError> {
    let settings = video::Settings {
        mode: order.settings.video.mode,
        loops: order.settings.video.loops,
        hwaccel: order.settings.video.hwaccel.clone(),
        start_frame: Some(moment as i64),
        end_frame: Some(moment as i64 + 1),
        ..video::Settings::default()
    };
    let mut source = video::open_probed(probe.clone(), &settings, scratch, &Device::Cpu)?;
    let Some(frame) = source.next_frame()? else { return Ok(None) };
    drawing::draw(overlay, &frame, people, body);
    Ok(Some(overlay.picture().clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_frames_that_were_read() {
        let row = |first, frames, every| RunRow {
            first_frame: Some(first),
            frames: Some(frames),
            every,
            ..RunRow::default()
        };
        assert_eq!(moments(&row(0, 90, 1)), [15, 45, 75]);
        // frames 10, 14, ..., 30
        assert_eq!(moments(&row(10, 6, 4)), [14, 22, 30]);
        assert_eq!(moments(&row(3, 1, 5)), [3]);
        assert_eq!(moments(&row(3, 0, 1)), [0; 0]);
    }
}
