//! A first pose in closed form: the directions between world points give each joint's rotation.
//!
//! A limb's bones leave their twist open; the axis about which elbow or knee bends closes it, and where the limb
//! is nearly straight, an axis that the trunk or the foot gives. Must not know pictures or iterations.

use super::FitError;
use super::linear::{
    IDENTITY, Matrix, Vector, add, apply, apply_transposed, cross, exp, frame, limited, log, middle,
    multiply, norm, scale, smallest_turn, sub, transpose, unit,
};
use super::model::{Posed, at};
use crate::body::SKELETON;
use crate::landmarks::point;

/// The head's turn against the chest at most, radians.
const HEAD_LIMIT: f64 = 1.4;
const ANKLE_LIMIT: f64 = 1.0;
const WRIST_LIMIT: f64 = 1.2;
/// Sines of the bend between which a limb's own hinge takes over from the substitute.
const KNEE_FADE: (f64, f64) = (0.15, 0.5);
const ELBOW_FADE: (f64, f64) = (0.15, 0.45);
/// Lengths of a trunk from the middle of the hips to that of the shoulders that can be a person's, meters.
const TRUNK_M: std::ops::RangeInclusive<f64> = 0.01..=3.0;
/// Visibility from which the points of the hand turn the wrist.
const WRIST_VISIBLE: f64 = 0.5;

/// World points of a person; `None` where one is missing.
pub(super) struct Observed<'a> {
    pub world: &'a [Option<Vector>],
    pub visibility: &'a [f64],
}

impl Observed<'_> {
    fn point(&self, index: usize) -> Option<Vector> {
        self.world[index]
    }

    /// From one point to another.
    fn along(&self, from: usize, to: usize) -> Option<Vector> {
        Some(sub(self.world[to]?, self.world[from]?))
    }
}

/// One side's joints and landmarks.
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
    /// The elbow's hinge in rest pose.
    elbow_axis: Vector,
    seen: Seen,
}

/// Landmarks of one side.
struct Seen {
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
    heel: at::LEFT_HEEL,
    toe: at::LEFT_TOE,
    elbow_axis: [0.0, -1.0, 0.0],
    seen: Seen {
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
    heel: at::RIGHT_HEEL,
    toe: at::RIGHT_TOE,
    elbow_axis: [0.0, 1.0, 0.0],
    seen: Seen {
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

/// Rotations (24, each relative to its parent) that turn the bones of `rest` along the observed points.
///
/// `rest` is the body at rest with the shape to start from. A limb whose points are missing keeps the rest pose.
///
/// # Errors
/// If shoulders or hips are missing or span no plane, or the body's own do not.
pub(super) fn solve(rest: &Posed, observed: &Observed<'_>) -> Result<[Matrix; SKELETON], FitError> {
    let mut turns = [IDENTITY; SKELETON];
    let (pelvis, chest) = trunk(rest, observed)?;
    turns[0] = pelvis;
    let third = scale(log(&multiply(&transpose(&pelvis), &chest)), 1.0 / 3.0);
    for spine in [3, 6, 9] {
        turns[spine] = exp(third);
    }
    if let Some(turn) = head(rest, observed, &chest) {
        let half = exp(scale(limited(turn, HEAD_LIMIT), 0.5));
        (turns[12], turns[15]) = (half, half);
    }
    for side in [&LEFT, &RIGHT] {
        // a missing part ends its limb: the joints below keep the rest pose
        let _ = leg(&mut turns, side, rest, observed, &pelvis);
        let _ = arm(&mut turns, side, rest, observed, &chest);
    }
    Ok(turns)
}

/// World rotations of pelvis and chest.
fn trunk(rest: &Posed, observed: &Observed<'_>) -> Result<(Matrix, Matrix), FitError> {
    let corner = |index: usize, name: &'static str| {
        observed.point(index).ok_or(FitError::Missing { name, space: "world" })
    };
    let hips = [corner(point::LEFT_HIP, "left hip")?, corner(point::RIGHT_HIP, "right hip")?];
    let shoulders =
        [corner(point::LEFT_SHOULDER, "left shoulder")?, corner(point::RIGHT_SHOULDER, "right shoulder")?];
    let length = norm(sub(middle(shoulders[0], shoulders[1]), middle(hips[0], hips[1])));
    if !TRUNK_M.contains(&length) {
        return Err(FitError::Degenerate {
            what: "the trunk is shorter than 1 cm or longer than 3 m in the world",
        });
    }
    let frames = |hips: [Vector; 2], shoulders: [Vector; 2]| {
        let up = sub(middle(shoulders[0], shoulders[1]), middle(hips[0], hips[1]));
        Some([frame(up, sub(hips[0], hips[1]))?, frame(up, sub(shoulders[0], shoulders[1]))?])
    };
    let own = frames([rest.places[1], rest.places[2]], [rest.places[16], rest.places[17]]);
    let own = own.ok_or(FitError::Rest { body_part: "the trunk" })?;
    let seen = frames(hips, shoulders).ok_or(FitError::Degenerate {
        what: "shoulders and hips lie on one line or in one point of the world",
    })?;
    Ok((multiply(&seen[0], &transpose(&own[0])), multiply(&seen[1], &transpose(&own[1]))))
}

/// The head's rotation vector relative to the chest.
fn head(rest: &Posed, observed: &Observed<'_>, chest: &Matrix) -> Option<Vector> {
    let frame_of =
        |left: Vector, right: Vector, nose: Vector| frame(sub(left, right), sub(nose, middle(left, right)));
    let own = frame_of(rest.points[at::LEFT_EAR], rest.points[at::RIGHT_EAR], rest.points[at::NOSE])?;
    let seen = frame_of(
        observed.point(point::LEFT_EAR)?,
        observed.point(point::RIGHT_EAR)?,
        observed.point(point::NOSE)?,
    )?;
    let world = multiply(&seen, &transpose(&own));
    Some(log(&multiply(&transpose(chest), &world)))
}

fn leg(
    turns: &mut [Matrix; SKELETON],
    side: &Side,
    rest: &Posed,
    observed: &Observed<'_>,
    pelvis: &Matrix,
) -> Option<()> {
    let seen = &side.seen;
    let thigh = unit(observed.along(seen.hip, seen.knee)?)?;
    let shin = observed.along(seen.knee, seen.ankle).and_then(unit);
    let foot = observed.along(seen.heel, seen.toe).and_then(unit);
    let pelvis_axis = apply(pelvis, X);
    let by_foot = shin.zip(foot).and_then(|(shin, foot)| unit(cross(scale(shin, -1.0), foot)));
    let substitute = by_foot.map_or(pelvis_axis, |axis| scale(add(axis, pelvis_axis), 0.5));
    let hinge = hinge(thigh, shin, substitute, KNEE_FADE);
    let bone = |from: usize, to: usize| sub(rest.places[to], rest.places[from]);
    let hip = turned(thigh, hinge, bone(side.hip, side.knee), X)?;
    turns[side.hip] = relative(pelvis, &hip);
    let knee = turned(shin?, hinge, bone(side.knee, side.ankle), X)?;
    turns[side.knee] = relative(&hip, &knee);
    let own_foot = sub(rest.points[side.toe], rest.points[side.heel]);
    let ankle = turned(foot?, hinge, own_foot, X)?;
    turns[side.ankle] = exp(limited(log(&relative(&knee, &ankle)), ANKLE_LIMIT));
    Some(())
}

fn arm(
    turns: &mut [Matrix; SKELETON],
    side: &Side,
    rest: &Posed,
    observed: &Observed<'_>,
    chest: &Matrix,
) -> Option<()> {
    let seen = &side.seen;
    let upper = unit(observed.along(seen.shoulder, seen.elbow)?)?;
    let fore = observed.along(seen.elbow, seen.wrist).and_then(unit);
    let bone = |from: usize, to: usize| sub(rest.places[to], rest.places[from]);
    let own_upper = bone(side.shoulder, side.elbow);
    let carry = smallest_turn(apply(chest, own_upper), upper)?;
    let substitute = apply(&carry, apply(chest, side.elbow_axis));
    let hinge = hinge(upper, fore, substitute, ELBOW_FADE);
    let shoulder = turned(upper, hinge, own_upper, side.elbow_axis)?;
    turns[side.shoulder] = relative(chest, &shoulder);
    let elbow = turned(fore?, hinge, bone(side.elbow, side.wrist), side.elbow_axis)?;
    turns[side.elbow] = relative(&shoulder, &elbow);
    if observed.visibility[seen.wrist] < WRIST_VISIBLE {
        return Some(());
    }
    let (index, little) = (observed.point(seen.index_finger)?, observed.point(seen.little_finger)?);
    let hand = sub(middle(index, little), observed.point(seen.wrist)?);
    let wrist = turned(hand, sub(index, little), bone(side.wrist, side.hand), Z)?;
    turns[side.wrist] = exp(limited(log(&relative(&elbow, &wrist)), WRIST_LIMIT));
    Some(())
}

/// The axis that a limb of two unit bones bends about: their own where they bend enough.
fn hinge(first: Vector, second: Option<Vector>, substitute: Vector, (from, to): (f64, f64)) -> Vector {
    let Some(second) = second else { return substitute };
    let own = cross(first, second);
    let sine = norm(own);
    let t = ((sine - from) / (to - from)).clamp(0.0, 1.0);
    let share = t * t * (3.0 - 2.0 * t);
    match unit(own) {
        Some(own) => add(scale(own, share), scale(substitute, 1.0 - share)),
        None => substitute,
    }
}

/// The rotation that brings a rest bone and its hinge onto the observed ones.
fn turned(bone: Vector, hinge: Vector, own_bone: Vector, own_hinge: Vector) -> Option<Matrix> {
    Some(multiply(&frame(bone, hinge)?, &transpose(&frame(own_bone, own_hinge)?)))
}

fn relative(parent: &Matrix, world: &Matrix) -> Matrix {
    let columns = transpose(world).map(|column| apply_transposed(parent, column));
    transpose(&columns)
}
