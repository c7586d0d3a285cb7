//! Rows of people as people to export, and back.

use crate::runner::scoring::accuracy::{bbox_of, params_of};
use posebook_core::frame::FrameSize;
use posebook_core::geometry::Vec3;
use posebook_core::person::{FrameMask, JOINTS, pixel_from_square, square_from_pixel};
use posebook_export::{ExportFrame, ExportPerson};
use posebook_notebook::tables::PersonRow;

/// The person of a row on a track; `Ok(None)` where the row has no track or no body.
///
/// # Errors
/// The column that is incomplete.
pub(super) fn person_of(row: &PersonRow, size: FrameSize) -> Result<Option<ExportPerson>, &'static str> {
    let Some(id) = row.track.filter(|_| !row.joints_m.is_empty()) else { return Ok(None) };
    let joints: Vec<Vec3> = row.joints_m.as_chunks::<3>().0.to_vec();
    let points = row.joints_px.as_chunks::<2>().0;
    if joints.len() != JOINTS || points.len() != JOINTS + 1 {
        return Err("joints_m or joints_px");
    }
    let in_square = |point: &[f32; 2]| square_from_pixel(*point, size.width, size.height);
    let mask = row.mask_counts.as_ref();
    Ok(Some(ExportPerson {
        id,
        tracked_time: 0,
        detection: row.person,
        bbox: bbox_of(row),
        score: row.score,
        params: params_of(row).ok_or("betas, global_orient or body_pose")?,
        crop_camera: row.crop_camera.as_slice().try_into().map_err(|_| "crop_camera")?,
        translation: row.translation_m.as_slice().try_into().map_err(|_| "translation_m")?,
        joints,
        joints_in_square: points.iter().map(in_square).collect(),
        mask: mask.map(|counts| FrameMask { width: size.width, height: size.height, counts: counts.clone() }),
        embedding: (!row.appearance.is_empty()).then(|| row.appearance.as_slice().into()),
        keypoints: Vec::new(),
    }))
}

/// The rows of a frame's people who were seen in it.
pub(super) fn rows_of(run_id: &str, frame: &ExportFrame) -> Vec<PersonRow> {
    let FrameSize { width, height } = frame.size;
    let seen = frame.people.iter().filter(|person| person.tracked_time == 0);
    let row = |person: &ExportPerson| PersonRow {
        run_id: run_id.into(),
        frame: frame.index,
        time_secs: frame.time_secs,
        person: person.detection,
        track: Some(person.id),
        x1_px: person.bbox.x1,
        y1_px: person.bbox.y1,
        x2_px: person.bbox.x2,
        y2_px: person.bbox.y2,
        score: person.score,
        betas: person.params.betas.to_vec(),
        global_orient: person.params.global_orient.as_flattened().to_vec(),
        body_pose: person.params.body_pose.as_flattened().as_flattened().to_vec(),
        crop_camera: person.crop_camera.to_vec(),
        translation_m: person.translation.to_vec(),
        joints_m: person.joints.as_flattened().to_vec(),
        joints_px: joints_px(person, width, height),
        mask_counts: person.mask.as_ref().map(|mask| mask.counts.clone()),
        appearance: person.embedding.as_deref().map_or_else(Vec::new, <[f32]>::to_vec),
        ..PersonRow::default()
    };
    seen.map(row).collect()
}

/// The 45 points in pixels of the frame.
pub(super) fn joints_px(person: &ExportPerson, width: usize, height: usize) -> Vec<f32> {
    person.joints_in_square.iter().flat_map(|&point| pixel_from_square(point, width, height)).collect()
}
