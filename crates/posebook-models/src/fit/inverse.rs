//! Computes the initial pose in closed form: each joint's rotation follows from the directions between world landmarks.
//!
//! The direction of a limb's bone does not determine its twist. The twist is taken from the hinge axis of the elbow or
//! knee, or from the trunk or foot if the limb is nearly straight. Input: world landmarks and the body at rest; output:
//! rotations.

use super::FitError;
use super::linear::{
    IDENTITY, Matrix, Vector, add, apply, apply_transposed, clamp_norm, cross, exp, frame, log, midpoint,
    multiply, norm, scale, shortest_rotation, sub, transpose, unit,
};
use super::model::{PosedPoints, point_index};
use crate::body::NUM_JOINTS;
use posebook_core::landmarks::point;

/// Maximum rotation of the head relative to the chest.
const HEAD_LIMIT_RAD: f64 = 1.4;
/// Maximum rotation of the ankle.
const ANKLE_LIMIT_RAD: f64 = 1.0;
/// Maximum rotation of the wrist.
const WRIST_LIMIT_RAD: f64 = 1.2;
/// Sines of the bend angle between which the hinge axis is blended from the substitute to the limb's own.
const KNEE_BLEND: (f64, f64) = (0.15, 0.5);
const ELBOW_BLEND: (f64, f64) = (0.15, 0.45);
/// Plausible lengths of a trunk, from the midpoint of the hips to that of the shoulders, meters.
const TRUNK_M: std::ops::RangeInclusive<f64> = 0.01..=3.0;
/// Minimum visibility of the wrist for its rotation to be computed from the points of the hand.
const MIN_WRIST_VISIBILITY: f64 = 0.5;

/// World landmarks of a person; `None` if missing.
pub(super) struct Observed<'a> {
    pub world: &'a [Option<Vector>],
    pub visibility: &'a [f64],
}

impl Observed<'_> {
    fn point(&self, index: usize) -> Option<Vector> {
        self.world[index]
    }

    /// The vector from one landmark to another.
    fn vector(&self, from: usize, to: usize) -> Option<Vector> {
        Some(sub(self.world[to]?, self.world[from]?))
    }
}

/// Joints, points and landmarks of one side of the body.
struct Side {
    hip: usize,
    knee: usize,
    ankle: usize,
    shoulder: usize,
    elbow: usize,
    wrist: usize,
    hand: usize,
    heel: usize,
    toe: usize,
    /// The elbow's hinge axis in rest pose.
    elbow_axis: Vector,
    landmarks: SideLandmarks,
}

/// Landmark indices of one side.
struct SideLandmarks {
    hip: usize,
    knee: usize,
    ankle: usize,
    heel: usize,
    toe: usize,
    shoulder: usize,
    elbow: usize,
    wrist: usize,
    index_finger: usize,
    little_finger: usize,
}

const LEFT: Side = Side {
    hip: 1,
    knee: 4,
    ankle: 7,
    shoulder: 16,
    elbow: 18,
    wrist: 20,
    hand: 22,
    heel: point_index::LEFT_HEEL,
    toe: point_index::LEFT_TOE,
    elbow_axis: [0.0, -1.0, 0.0],
    landmarks: SideLandmarks {
        hip: point::LEFT_HIP,
        knee: point::LEFT_KNEE,
        ankle: point::LEFT_ANKLE,
        heel: point::LEFT_HEEL,
        toe: point::LEFT_TOE,
        shoulder: point::LEFT_SHOULDER,
        elbow: point::LEFT_ELBOW,
        wrist: point::LEFT_WRIST,
        index_finger: point::LEFT_INDEX_FINGER,
        little_finger: point::LEFT_LITTLE_FINGER,
    },
};

const RIGHT: Side = Side {
    hip: 2,
    knee: 5,
    ankle: 8,
    shoulder: 17,
    elbow: 19,
    wrist: 21,
    hand: 23,
    heel: point_index::RIGHT_HEEL,
    toe: point_index::RIGHT_TOE,
    elbow_axis: [0.0, 1.0, 0.0],
    landmarks: SideLandmarks {
        hip: point::RIGHT_HIP,
        knee: point::RIGHT_KNEE,
        ankle: point::RIGHT_ANKLE,
        heel: point::RIGHT_HEEL,
        toe: point::RIGHT_TOE,
        shoulder: point::RIGHT_SHOULDER,
        elbow: point::RIGHT_ELBOW,
        wrist: point::RIGHT_WRIST,
        index_finger: point::RIGHT_INDEX_FINGER,
        little_finger: point::RIGHT_LITTLE_FINGER,
    },
};

const X: Vector = [1.0, 0.0, 0.0];
const Z: Vector = [0.0, 0.0, 1.0];

/// Computes 24 rotations, each relative to its parent, that align the bones of `rest` with the observed points.
///
/// `rest` is the body in rest pose with the initial shape. A limb with missing points keeps the rest pose.
///
/// # Errors
/// If shoulders or hips are missing or do not span a plane, or if the body's own do not.
pub(super) fn solve(rest: &PosedPoints, observed: &Observed<'_>) -> Result<[Matrix; NUM_JOINTS], FitError> {
    let mut rotations = [IDENTITY; NUM_JOINTS];
    let (pelvis, chest) = trunk(rest, observed)?;
    rotations[0] = pelvis;
    let third = scale(log(&multiply(&transpose(&pelvis), &chest)), 1.0 / 3.0);
    for spine in [3, 6, 9] {
        rotations[spine] = exp(third);
    }
    if let Some(rotation) = head(rest, observed, &chest) {
        let half = exp(scale(clamp_norm(rotation, HEAD_LIMIT_RAD), 0.5));
        (rotations[12], rotations[15]) = (half, half);
    }
    for side in [&LEFT, &RIGHT] {
        // after a missing landmark the remaining joints of the limb keep the rest pose
        let _ = leg(&mut rotations, side, rest, observed, &pelvis);
        let _ = arm(&mut rotations, side, rest, observed, &chest);
    }
    Ok(rotations)
}

/// World rotations of pelvis and chest.
fn trunk(rest: &PosedPoints, observed: &Observed<'_>) -> Result<(Matrix, Matrix), FitError> {
    let landmark = |index: usize, name: &'static str| {
        observed.point(index).ok_or(FitError::Missing { name, space: "world" })
    };
    let hips = [landmark(point::LEFT_HIP, "left hip")?, landmark(point::RIGHT_HIP, "right hip")?];
    let shoulders = [
        landmark(point::LEFT_SHOULDER, "left shoulder")?,
        landmark(point::RIGHT_SHOULDER, "right shoulder")?,
    ];
    let length = norm(sub(midpoint(shoulders[0], shoulders[1]), midpoint(hips[0], hips[1])));
    if !TRUNK_M.contains(&length) {
        return Err(FitError::Degenerate {
            what: "the trunk is shorter than 1 cm or longer than 3 m in the world",
        });
    }
    let frames = |hips: [Vector; 2], shoulders: [Vector; 2]| {
        let up = sub(midpoint(shoulders[0], shoulders[1]), midpoint(hips[0], hips[1]));
        Some([frame(up, sub(hips[0], hips[1]))?, frame(up, sub(shoulders[0], shoulders[1]))?])
    };
    let rest_frames = frames([rest.joints[1], rest.joints[2]], [rest.joints[16], rest.joints[17]]);
    let rest_frames = rest_frames.ok_or(FitError::Rest { body_part: "the trunk" })?;
    let observed_frames = frames(hips, shoulders).ok_or(FitError::Degenerate {
        what: "shoulders and hips are on one line or in one point in the world",
    })?;
    Ok((
        multiply(&observed_frames[0], &transpose(&rest_frames[0])),
        multiply(&observed_frames[1], &transpose(&rest_frames[1])),
    ))
}

/// The head's rotation vector relative to the chest.
fn head(rest: &PosedPoints, observed: &Observed<'_>, chest: &Matrix) -> Option<Vector> {
    let frame_of =
        |left: Vector, right: Vector, nose: Vector| frame(sub(left, right), sub(nose, midpoint(left, right)));
    let rest_frame = frame_of(
        rest.points[point_index::LEFT_EAR],
        rest.points[point_index::RIGHT_EAR],
        rest.points[point_index::NOSE],
    )?;
    let observed_frame = frame_of(
        observed.point(point::LEFT_EAR)?,
        observed.point(point::RIGHT_EAR)?,
        observed.point(point::NOSE)?,
    )?;
    let world = multiply(&observed_frame, &transpose(&rest_frame));
    Some(log(&multiply(&transpose(chest), &world)))
}

fn leg(
    rotations: &mut [Matrix; NUM_JOINTS],
    side: &Side,
    rest: &PosedPoints,
    observed: &Observed<'_>,
    pelvis: &Matrix,
) -> Option<()> {
    let landmarks = &side.landmarks;
    let thigh = unit(observed.vector(landmarks.hip, landmarks.knee)?)?;
    let shin = observed.vector(landmarks.knee, landmarks.ankle).and_then(unit);
    let foot = observed.vector(landmarks.heel, landmarks.toe).and_then(unit);
    let pelvis_axis = apply(pelvis, X);
    let foot_hinge = shin.zip(foot).and_then(|(shin, foot)| unit(cross(scale(shin, -1.0), foot)));
    let substitute = foot_hinge.map_or(pelvis_axis, |axis| scale(add(axis, pelvis_axis), 0.5));
    let hinge = hinge(thigh, shin, substitute, KNEE_BLEND);
    let bone = |from: usize, to: usize| sub(rest.joints[to], rest.joints[from]);
    let hip = align_rotation(thigh, hinge, bone(side.hip, side.knee), X)?;
    rotations[side.hip] = relative(pelvis, &hip);
    let knee = align_rotation(shin?, hinge, bone(side.knee, side.ankle), X)?;
    rotations[side.knee] = relative(&hip, &knee);
    let rest_foot = sub(rest.points[side.toe], rest.points[side.heel]);
    let ankle = align_rotation(foot?, hinge, rest_foot, X)?;
    rotations[side.ankle] = exp(clamp_norm(log(&relative(&knee, &ankle)), ANKLE_LIMIT_RAD));
    Some(())
}

fn arm(
    rotations: &mut [Matrix; NUM_JOINTS],
    side: &Side,
    rest: &PosedPoints,
    observed: &Observed<'_>,
    chest: &Matrix,
) -> Option<()> {
    let landmarks = &side.landmarks;
    let upper = unit(observed.vector(landmarks.shoulder, landmarks.elbow)?)?;
    let fore = observed.vector(landmarks.elbow, landmarks.wrist).and_then(unit);
    let bone = |from: usize, to: usize| sub(rest.joints[to], rest.joints[from]);
    let rest_upper = bone(side.shoulder, side.elbow);
    let swing = shortest_rotation(apply(chest, rest_upper), upper)?;
    let substitute = apply(&swing, apply(chest, side.elbow_axis));
    let hinge = hinge(upper, fore, substitute, ELBOW_BLEND);
    let shoulder = align_rotation(upper, hinge, rest_upper, side.elbow_axis)?;
    rotations[side.shoulder] = relative(chest, &shoulder);
    let elbow = align_rotation(fore?, hinge, bone(side.elbow, side.wrist), side.elbow_axis)?;
    rotations[side.elbow] = relative(&shoulder, &elbow);
    if observed.visibility[landmarks.wrist] < MIN_WRIST_VISIBILITY {
        return Some(());
    }
    let (index, little) = (observed.point(landmarks.index_finger)?, observed.point(landmarks.little_finger)?);
    let hand = sub(midpoint(index, little), observed.point(landmarks.wrist)?);
    let wrist = align_rotation(hand, sub(index, little), bone(side.wrist, side.hand), Z)?;
    rotations[side.wrist] = exp(clamp_norm(log(&relative(&elbow, &wrist)), WRIST_LIMIT_RAD));
    Some(())
}

/// The axis about which a limb of two unit bone vectors bends; blended with `substitute` if it is nearly straight.
fn hinge(first: Vector, second: Option<Vector>, substitute: Vector, (from, to): (f64, f64)) -> Vector {
    let Some(second) = second else { return substitute };
    let axis = cross(first, second);
    let sine = norm(axis);
    let t = ((sine - from) / (to - from)).clamp(0.0, 1.0);
    let weight = t * t * (3.0 - 2.0 * t);
    match unit(axis) {
        Some(axis) => add(scale(axis, weight), scale(substitute, 1.0 - weight)),
        None => substitute,
    }
}

/// The rotation that maps a rest bone and its hinge axis to the observed ones.
fn align_rotation(bone: Vector, hinge: Vector, rest_bone: Vector, rest_hinge: Vector) -> Option<Matrix> {
    Some(multiply(&frame(bone, hinge)?, &transpose(&frame(rest_bone, rest_hinge)?)))
}

/// The rotation relative to the parent.
fn relative(parent: &Matrix, world: &Matrix) -> Matrix {
    let columns = transpose(world).map(|column| apply_transposed(parent, column));
    transpose(&columns)
}
