//! How right a run was, worked out after its process has ended, so that the measuring is not measured.
//!
//! Bodies are compared by the truth's identity that a given box carries, tracks by their boxes. What
//! has no truth is `None`.

use crate::body::Body;
use crate::dataset::{PassedOver, TruthBody, TruthPerson};
use crate::geometry::{self, Mat3, Vec3};
use crate::metrics::mot::leave_out_distracted;
use crate::metrics::pose::{self, JointErrors};
use crate::metrics::tracking::{self, TrackedBox};
use crate::motchallenge::Kind;
use crate::person::{BBox, COMMON_JOINTS, PELVIS, SmplParams};
use crate::tables::{PersonRow, RunRow};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// Keypoints nearer than this share of the box' longer side are correct.
const PCK_SHARE: f32 = 0.1;

/// The truth of a clip.
#[derive(Clone, Copy)]
pub struct Truth<'a> {
    /// By frame of the clip.
    pub people: &'a [Vec<TruthPerson>],
    /// By frame of the clip: what is no person to be found. A track on a distractor is left out of the scores.
    pub passed_over: &'a [Vec<PassedOver>],
    /// Whether given boxes carry the truth's identities: not if they come from a file of their own.
    pub same_ids: bool,
}

impl<'a> Truth<'a> {
    fn at(&self, frame: usize) -> &'a [TruthPerson] {
        self.people.get(frame).map(Vec::as_slice).unwrap_or_default()
    }

    /// All boxes of a frame as far as they lie in the picture, with what they are.
    fn kinds(&self, frame: usize, width: usize, height: usize) -> Vec<(TrackedBox, Kind)> {
        let people = boxes(self.at(frame), width, height).into_iter().map(|of| (of, Kind::Person));
        let passed_over = self.passed_over.get(frame).into_iter().flatten().filter_map(|of| {
            let tracked = TrackedBox::new(0, of.bbox.inside(width, height)?);
            // which class it is matters no more
            Some((tracked, if of.distractor { Kind::Distractor(0) } else { Kind::Flagged }))
        });
        people.chain(passed_over).collect()
    }
}

/// Errors as people come in, frame by frame.
pub struct Accuracy<'a> {
    body: &'a Body,
    truth: Option<Truth<'a>>,
    tracks: BTreeMap<usize, Vec<TrackedBox>>,
    identities: BTreeSet<u64>,
    mpjpe_mm: Mean,
    pa_mpjpe_mm: Mean,
    pve_mm: Mean,
    accel_mm: Mean,
    /// Correct ones, and all.
    keypoints: [u64; 2],
    /// The last frames in a row of each true identity.
    last: HashMap<u32, VecDeque<Moment>>,
}

/// The joints of one person in one frame, relative to the pelvis: ours and the truth's.
struct Moment {
    frame: usize,
    ours: Vec<Vec3>,
    theirs: Vec<Vec3>,
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
    /// Starts with the truth of a clip, by frame; `None` without one.
    pub fn new(body: &'a Body, truth: Option<Truth<'a>>) -> Accuracy<'a> {
        Accuracy {
            body,
            truth,
            tracks: BTreeMap::new(),
            identities: BTreeSet::new(),
            mpjpe_mm: Mean::default(),
            pa_mpjpe_mm: Mean::default(),
            pve_mm: Mean::default(),
            accel_mm: Mean::default(),
            keypoints: [0, 0],
            last: HashMap::new(),
        }
    }

    /// Adds a person, in the order of frames, and writes its own errors into its row.
    pub fn add(&mut self, row: &mut PersonRow) {
        let frame = row.frame as usize;
        if let Some(track) = row.track {
            self.identities.insert(track);
            self.tracks.entry(frame).or_default().push(TrackedBox::new(track, bbox_of(row)));
        }
        let truth = self.truth.filter(|truth| truth.same_ids);
        let people = truth.map(|truth| truth.at(frame)).unwrap_or_default();
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
            let (ours, theirs) = (self.body.pose(&params), self.body.pose(&truth.params));
            let roots = (ours.joints44[PELVIS], theirs.joints44[PELVIS]);
            self.pve_mm.add(pose::rooted_distance_mm(&ours.vertices, roots.0, &theirs.vertices, roots.1));
        }
        self.add_keypoints(row, truth);
        self.add_motion(row.frame as usize, id, joints, truth);
    }

    fn add_keypoints(&mut self, row: &PersonRow, truth: &TruthBody) {
        let bbox = bbox_of(row);
        let near = PCK_SHARE * bbox.width().max(bbox.height());
        for joint in COMMON_JOINTS {
            let (ours, theirs) = (&row.joints_px[joint * 2..joint * 2 + 2], truth.joints_in_image[joint]);
            let distance = (ours[0] - theirs[0]).hypot(ours[1] - theirs[1]);
            self.keypoints[0] += u64::from(distance < near);
            self.keypoints[1] += 1;
        }
    }

    /// Accelerations need three frames in a row.
    fn add_motion(&mut self, frame: usize, id: u32, joints: Vec<Vec3>, truth: &TruthBody) {
        let common = |joints: &[Vec3]| -> Vec<Vec3> {
            COMMON_JOINTS.iter().map(|&joint| geometry::sub(joints[joint], joints[PELVIS])).collect()
        };
        let last = self.last.entry(id).or_default();
        if last.back().is_some_and(|moment| moment.frame + 1 != frame) {
            last.clear();
        }
        last.push_back(Moment { frame, ours: common(&joints), theirs: common(&truth.joints_in_camera) });
        if last.len() == 3 {
            let ours = [0, 1, 2].map(|at| last[at].ours.as_slice());
            let theirs = [0, 1, 2].map(|at| last[at].theirs.as_slice());
            self.accel_mm.add(pose::acceleration_error_mm(ours, theirs));
            last.pop_front();
        }
    }

    /// Writes what came out into the run's row, whose range of frames it is measured over.
    pub fn finish(self, row: &mut RunRow, first_frame: usize) {
        row.tracks = Some(self.identities.len() as u64);
        row.mpjpe_mm = self.mpjpe_mm.value();
        row.pa_mpjpe_mm = self.pa_mpjpe_mm.value();
        row.pve_mm = self.pve_mm.value();
        row.accel_mm_per_frame2 = self.accel_mm.value();
        let [near, all] = self.keypoints;
        row.pck_10 = (all > 0).then(|| near as f64 / all as f64);
        let Some(truth) = self.truth else { return };
        let side = |length: Option<u64>| length.map_or(usize::MAX, |length| length as usize);
        let (width, height) = (side(row.width), side(row.height));
        let frames =
            (first_frame..).step_by(row.every.max(1) as usize).take(row.frames.unwrap_or(0) as usize);
        let tracks: Vec<Vec<TrackedBox>> = frames
            .clone()
            .map(|frame| {
                let mut tracks = self.tracks.get(&frame).cloned().unwrap_or_default();
                leave_out_distracted(&truth.kinds(frame, width, height), &mut tracks);
                tracks
            })
            .collect();
        let truth: Vec<Vec<TrackedBox>> = frames.map(|frame| boxes(truth.at(frame), width, height)).collect();
        // an identity twice in a frame: such a truth cannot be scored, and stays unknown
        let Ok(scores) = tracking::evaluate(&truth, &tracks) else { return };
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        row.hota = Some(scores.hota);
        row.det_a = Some(scores.deta);
        row.ass_a = Some(scores.assa);
        row.loc_a = Some(scores.loca);
        row.mota = Some(scores.mota);
        row.motp = Some(scores.motp);
        row.idf1 = Some(scores.idf1);
        row.idp = Some(scores.idp);
        row.idr = Some(scores.idr);
        row.id_switches = Some(scores.idsw);
        row.fragments = Some(scores.frag);
        row.mostly_tracked = Some(scores.mt);
        row.mostly_lost = Some(scores.ml);
        row.recall = share(scores.tp, scores.tp + scores.fn_);
        row.precision_of_boxes = share(scores.tp, scores.tp + scores.fp);
    }
}

/// True boxes as far as they lie in the picture, as given boxes do.
fn boxes(people: &[TruthPerson], width: usize, height: usize) -> Vec<TrackedBox> {
    let inside =
        |person: &TruthPerson| Some(TrackedBox::new(person.id.into(), person.bbox.inside(width, height)?));
    people.iter().filter_map(inside).collect()
}

/// The box of a row.
pub fn bbox_of(row: &PersonRow) -> BBox {
    BBox { x1: row.x1_px, y1: row.y1_px, x2: row.x2_px, y2: row.y2_px }
}

fn points(flat: &[f32]) -> Vec<Vec3> {
    flat.chunks_exact(3).map(|at| [at[0], at[1], at[2]]).collect()
}

/// The SMPL parameters of a row, if it has all of them.
pub fn params_of(row: &PersonRow) -> Option<SmplParams> {
    let matrix = |at: &[f32]| -> Mat3 { std::array::from_fn(|i| std::array::from_fn(|j| at[i * 3 + j])) };
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
