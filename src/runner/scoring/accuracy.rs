//! Scores the bodies and tracks of a run against the ground truth.
//!
//! Input: the rows of the table `people` in the order of frames, and the ground truth of the clip. Output: the errors of
//! each row, and the accuracy columns of the run's row; `None` without ground truth. A body is compared with the
//! ground-truth person whose identity its provided box has; tracks are compared by their boxes. Scoring happens after the
//! run's process has ended, so that it does not affect what is measured.

use super::detections::DetectionCounts;
use crate::dataset::IgnoredBox;
use posebook_core::geometry::{self, Mat3, Vec3};
use posebook_core::person::{BBox, COMMON_JOINTS, PELVIS, SmplParams};
use posebook_core::truth::{TruthBody, TruthPerson};
use posebook_models::body::Body;
use posebook_notebook::tables::{PersonRow, RunRow};
use posebook_track::metrics::mot::remove_distractor_tracks;
use posebook_track::metrics::pose::{self, JointErrors};
use posebook_track::metrics::tracking::{self, TrackedBox};
use posebook_track::motchallenge::BoxKind;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// A keypoint is correct if its error is less than this share of the longer side of the box.
const PCK_SHARE: f32 = 0.1;

/// Ground truth of a clip.
#[derive(Clone, Copy)]
pub struct Truth<'a> {
    /// People by frame of the clip.
    pub people: &'a [Vec<TruthPerson>],
    /// Boxes by frame of the clip that need not be detected. A track on a distractor is not scored.
    pub ignored: &'a [Vec<IgnoredBox>],
    /// Whether the input boxes have the identities of the ground truth. False if they come from a separate file.
    pub boxes_have_truth_ids: bool,
}

impl<'a> Truth<'a> {
    fn people_in(&self, frame: usize) -> &'a [TruthPerson] {
        self.people.get(frame).map(Vec::as_slice).unwrap_or_default()
    }

    /// All boxes of a frame, clipped to the image, with their kinds. Boxes outside of the image are omitted.
    fn boxes_with_kinds(&self, frame: usize, width: usize, height: usize) -> Vec<(TrackedBox, BoxKind)> {
        let people = clipped_boxes(self.people_in(frame), width, height);
        let people = people.into_iter().map(|bbox| (bbox, BoxKind::Person));
        let ignored = self.ignored.get(frame).into_iter().flatten().filter_map(|ignored| {
            let tracked = TrackedBox::new(0, ignored.bbox.clipped_to(width, height)?);
            // the class of a distractor is not used here
            Some((tracked, if ignored.distractor { BoxKind::Distractor(0) } else { BoxKind::Flagged }))
        });
        people.chain(ignored).collect()
    }
}

/// Accumulates the errors of a run, person by person.
pub struct Accuracy<'a> {
    body: &'a Body,
    truth: Option<Truth<'a>>,
    tracks: BTreeMap<usize, Vec<TrackedBox>>,
    /// Boxes and scores of all detections by frame; only kept where there is ground truth.
    detections: BTreeMap<usize, Vec<(BBox, f32)>>,
    identities: BTreeSet<u64>,
    mpjpe_mm: Mean,
    pa_mpjpe_mm: Mean,
    pve_mm: Mean,
    accel_mm: Mean,
    keypoints: u64,
    keypoints_correct: u64,
    /// The last consecutive frames of each ground-truth identity, at most three.
    recent: HashMap<u32, VecDeque<JointPair>>,
}

/// Joints of one person in one frame, relative to the pelvis, meters.
struct JointPair {
    frame: usize,
    predicted: Vec<Vec3>,
    truth: Vec<Vec3>,
}

#[derive(Default)]
struct Mean {
    sum: f64,
    count: u64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    fn value(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

impl<'a> Accuracy<'a> {
    /// Without ground truth only tracks are counted.
    pub fn new(body: &'a Body, truth: Option<Truth<'a>>) -> Accuracy<'a> {
        Accuracy {
            body,
            truth,
            tracks: BTreeMap::new(),
            detections: BTreeMap::new(),
            identities: BTreeSet::new(),
            mpjpe_mm: Mean::default(),
            pa_mpjpe_mm: Mean::default(),
            pve_mm: Mean::default(),
            accel_mm: Mean::default(),
            keypoints: 0,
            keypoints_correct: 0,
            recent: HashMap::new(),
        }
    }

    /// Adds a person and fills the error columns of its row. Rows must come in the order of frames.
    pub fn add(&mut self, row: &mut PersonRow) {
        let frame = row.frame as usize;
        if self.truth.is_some() {
            self.detections.entry(frame).or_default().push((bbox_of(row), row.score));
        }
        if let Some(track) = row.track {
            self.identities.insert(track);
            self.tracks.entry(frame).or_default().push(TrackedBox::new(track, bbox_of(row)));
        }
        let truth = self.truth.filter(|truth| truth.boxes_have_truth_ids);
        let people = truth.map(|truth| truth.people_in(frame)).unwrap_or_default();
        let truth = people.iter().find(|truth| Some(u64::from(truth.id)) == row.truth_id);
        // a detection without a body has no errors
        let truth = truth.filter(|_| !row.joints_m.is_empty());
        if let Some((truth, body)) = truth.and_then(|truth| Some((truth, truth.body.as_ref()?))) {
            self.add_body(row, truth.id, body);
        }
    }

    fn add_body(&mut self, row: &mut PersonRow, id: u32, truth: &TruthBody) {
        let joints = points(&row.joints_m);
        let JointErrors { mpjpe_mm, pa_mpjpe_mm } = pose::joint_errors(&joints, &truth.joints_in_camera);
        self.mpjpe_mm.add(mpjpe_mm);
        row.mpjpe_mm = Some(mpjpe_mm);
        row.pa_mpjpe_mm = pa_mpjpe_mm;
        if let Some(error) = pa_mpjpe_mm {
            self.pa_mpjpe_mm.add(error);
        }
        if let Some(params) = params_of(row) {
            let (posed, posed_truth) = (self.body.pose(&params), self.body.pose(&truth.params));
            let (root, truth_root) = (posed.joints44[PELVIS], posed_truth.joints44[PELVIS]);
            self.pve_mm.add(pose::rooted_distance_mm(
                &posed.vertices,
                root,
                &posed_truth.vertices,
                truth_root,
            ));
        }
        self.add_keypoints(row, truth);
        self.add_acceleration(row.frame as usize, id, joints, truth);
    }

    fn add_keypoints(&mut self, row: &PersonRow, truth: &TruthBody) {
        let bbox = bbox_of(row);
        let tolerance = PCK_SHARE * bbox.width().max(bbox.height());
        for joint in COMMON_JOINTS {
            let (predicted, expected) =
                (&row.joints_px[joint * 2..joint * 2 + 2], truth.joints_in_image[joint]);
            let distance = (predicted[0] - expected[0]).hypot(predicted[1] - expected[1]);
            self.keypoints_correct += u64::from(distance < tolerance);
            self.keypoints += 1;
        }
    }

    /// Adds the acceleration error once the identity has three consecutive frames.
    fn add_acceleration(&mut self, frame: usize, id: u32, joints: Vec<Vec3>, truth: &TruthBody) {
        let common = |joints: &[Vec3]| -> Vec<Vec3> {
            COMMON_JOINTS.iter().map(|&joint| geometry::sub(joints[joint], joints[PELVIS])).collect()
        };
        let recent = self.recent.entry(id).or_default();
        if recent.back().is_some_and(|last| last.frame + 1 != frame) {
            recent.clear();
        }
        recent.push_back(JointPair {
            frame,
            predicted: common(&joints),
            truth: common(&truth.joints_in_camera),
        });
        if recent.len() == 3 {
            let predicted = [0, 1, 2].map(|index| recent[index].predicted.as_slice());
            let truth = [0, 1, 2].map(|index| recent[index].truth.as_slice());
            self.accel_mm.add(pose::acceleration_error_mm(predicted, truth));
            recent.pop_front();
        }
    }

    /// Fills the accuracy columns of the run's row. Tracks are scored over the row's range of frames, from `first_frame`.
    pub fn finish(self, row: &mut RunRow, first_frame: usize) {
        row.metrics.tracking.tracks = Some(self.identities.len() as u64);
        row.metrics.pose.mpjpe_mm = self.mpjpe_mm.value();
        row.metrics.pose.pa_mpjpe_mm = self.pa_mpjpe_mm.value();
        row.metrics.pose.pve_mm = self.pve_mm.value();
        row.metrics.pose.accel_mm_per_frame2 = self.accel_mm.value();
        let (correct, all) = (self.keypoints_correct, self.keypoints);
        row.metrics.pose.pck_10 = (all > 0).then(|| correct as f64 / all as f64);
        let Some(truth) = self.truth else { return };
        let side = |length: Option<u64>| length.map_or(usize::MAX, |length| length as usize);
        let (width, height) = (side(row.width), side(row.height));
        let frames =
            (first_frame..).step_by(row.every.max(1) as usize).take(row.frames.unwrap_or(0) as usize);
        let mut counts = DetectionCounts::default();
        for frame in frames.clone() {
            let clip = |bbox: BBox| bbox.clipped_to(width, height);
            let people: Vec<BBox> =
                truth.people_in(frame).iter().filter_map(|person| clip(person.bbox)).collect();
            let ignored = truth.ignored.get(frame).into_iter().flatten();
            let ignored: Vec<BBox> = ignored.filter_map(|ignored| clip(ignored.bbox)).collect();
            let detections = self.detections.get(&frame).map(Vec::as_slice).unwrap_or_default();
            counts.add_frame(&people, &ignored, detections);
        }
        row.metrics.detection = counts.columns();
        let tracks: Vec<Vec<TrackedBox>> = frames
            .clone()
            .map(|frame| {
                let mut tracks = self.tracks.get(&frame).cloned().unwrap_or_default();
                remove_distractor_tracks(&truth.boxes_with_kinds(frame, width, height), &mut tracks);
                tracks
            })
            .collect();
        let truth: Vec<Vec<TrackedBox>> =
            frames.map(|frame| clipped_boxes(truth.people_in(frame), width, height)).collect();
        // ground truth with an identity twice in one frame cannot be scored: the scores stay unknown
        let Ok(scores) = tracking::evaluate(&truth, &tracks) else { return };
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        row.metrics.tracking.hota = Some(scores.hota);
        row.metrics.tracking.det_a = Some(scores.deta);
        row.metrics.tracking.ass_a = Some(scores.assa);
        row.metrics.tracking.loc_a = Some(scores.loca);
        row.metrics.tracking.mota = Some(scores.mota);
        row.metrics.tracking.motp = Some(scores.motp);
        row.metrics.tracking.idf1 = Some(scores.idf1);
        row.metrics.tracking.idp = Some(scores.idp);
        row.metrics.tracking.idr = Some(scores.idr);
        row.metrics.tracking.id_switches = Some(scores.idsw);
        row.metrics.tracking.fragments = Some(scores.frag);
        row.metrics.tracking.mostly_tracked = Some(scores.mt);
        row.metrics.tracking.mostly_lost = Some(scores.ml);
        row.metrics.tracking.recall = share(scores.tp, scores.tp + scores.fn_);
        row.metrics.tracking.precision_of_boxes = share(scores.tp, scores.tp + scores.fp);
    }
}

/// Ground-truth boxes clipped to the image, as input boxes are. Boxes outside of the image are omitted.
fn clipped_boxes(people: &[TruthPerson], width: usize, height: usize) -> Vec<TrackedBox> {
    let clip = |person: &TruthPerson| {
        Some(TrackedBox::new(person.id.into(), person.bbox.clipped_to(width, height)?))
    };
    people.iter().filter_map(clip).collect()
}

/// The box of a row.
pub fn bbox_of(row: &PersonRow) -> BBox {
    BBox { x1: row.x1_px, y1: row.y1_px, x2: row.x2_px, y2: row.y2_px }
}

fn points(flat: &[f32]) -> Vec<Vec3> {
    flat.chunks_exact(3).map(|xyz| [xyz[0], xyz[1], xyz[2]]).collect()
}

/// The SMPL parameters of a row, if it has all of them.
pub fn params_of(row: &PersonRow) -> Option<SmplParams> {
    let matrix = |flat: &[f32]| -> Mat3 { std::array::from_fn(|i| std::array::from_fn(|j| flat[i * 3 + j])) };
    let mut poses = row.body_pose.chunks_exact(9).map(matrix);
    if row.body_pose.len() != 23 * 9 || row.global_orient.len() != 9 {
        return None;
    }
    Some(SmplParams {
        betas: row.betas.as_slice().try_into().ok()?,
        global_orient: matrix(&row.global_orient),
        body_pose: std::array::from_fn(|_| poses.next().unwrap_or_default()),
    })
}
