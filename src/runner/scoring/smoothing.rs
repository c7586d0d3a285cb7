//! Smooths bodies along their tracks, in the order of frames: for the overlay and for the `smooth_*` columns.

use super::accuracy::{bbox_of, params_of};
use posebook_core::geometry::{Vec3, add, project};
use posebook_core::person::{BBox, SmplParams, pixel_from_square};
use posebook_models::body::Body;
use posebook_models::fit::smooth::{BodySmoother, Smoothing};
use posebook_models::hmr2::camera::{FOCAL_LENGTH, HMAR_IMAGE_SIZE};
use posebook_notebook::tables::PersonRow;
use std::collections::HashMap;

/// Smooths the rows of one run, which must come in the order of frames.
pub struct TrackSmoother<'a> {
    filter: &'a Smoothing,
    body: &'a Body,
    tracks: HashMap<u64, Track>,
}

struct Track {
    smoother: BodySmoother,
    bbox: BBox,
}

/// A smoothed body.
struct Smoothed {
    params: SmplParams,
    translation: Vec3,
    joints: Vec<Vec3>,
}

impl<'a> TrackSmoother<'a> {
    /// A smoother before the first row.
    pub fn new(filter: &'a Smoothing, body: &'a Body) -> TrackSmoother<'a> {
        TrackSmoother { filter, body, tracks: HashMap::new() }
    }

    /// Fills the smoothed columns of the row.
    pub fn fill(&mut self, row: &mut PersonRow) {
        if let Some(smoothed) = self.smooth(row) {
            row.smooth_joints_m = smoothed.joints.into_flattened();
            row.smooth_translation_m = smoothed.translation.to_vec();
        }
    }

    /// Replaces the row's body by the smoothed one, in a frame of `width` by `height` pixels.
    pub fn replace(&mut self, row: &mut PersonRow, width: usize, height: usize) {
        let Some(Smoothed { params, translation, joints }) = self.smooth(row) else { return };
        row.betas = params.betas.to_vec();
        row.global_orient = params.global_orient.as_flattened().to_vec();
        row.body_pose = params.body_pose.as_flattened().as_flattened().to_vec();
        row.translation_m = translation.to_vec();
        let focal = FOCAL_LENGTH / HMAR_IMAGE_SIZE as f32;
        let pixel = |joint: Vec3| {
            let in_square = project(add(joint, translation), [focal; 2], [0.5; 2]);
            pixel_from_square(in_square, width, height)
        };
        row.joints_px = joints.iter().copied().chain([[0.0; 3]]).flat_map(pixel).collect();
        row.joints_m = joints.into_flattened();
    }

    /// Smooths the body of a row given the earlier bodies of its track; `None` without a track or a body.
    fn smooth(&mut self, row: &PersonRow) -> Option<Smoothed> {
        let (track, params) = (row.track?, params_of(row)?);
        let &[x, y, z] = row.translation_m.as_slice() else { return None };
        let bbox = bbox_of(row);
        let state = match self.tracks.get_mut(&track) {
            Some(state) => state,
            None => {
                let smoother = BodySmoother::new(*self.filter).ok()?;
                self.tracks.entry(track).or_insert(Track { smoother, bbox })
            }
        };
        // a track that jumps (a cut, an identity switch) starts again
        if state.bbox.iou(&bbox) <= 0.0 {
            state.smoother.reset();
        }
        state.bbox = bbox;
        let (params, translation) = state.smoother.push(row.time_secs, &params, [x, y, z]);
        let joints = self.body.pose(&params).joints44;
        Some(Smoothed { params, translation, joints })
    }
}
