//! Motion of pelvis, trunk, head and arms with the gait, and the gestures blended over it.
//!
//! Amplitudes of walking: pelvis 5 degrees about the vertical and 4 of list, trunk against it, arms 20 to 25
//! degrees each way (Murray 1964, 1967; Perry 1992). Runners lean and bend their elbows (Novacheck 1998). Does not
//! depend on the feet.

use super::Gait;
use super::limb::Limb;
use super::plan::Action;
use super::rotation::{Rotation, V3, mix, scale, unit};
use super::skeleton::{RestSkeleton, joint};
use posebook_core::random::RandomStream;
use std::f64::consts::TAU;

/// A person's style of holding and moving the upper body; angles in radians.
pub struct UpperBodyStyle {
    lean: f64,
    arms_out: f64,
    arms_swing: f64,
    elbows: f64,
    twist: f64,
    gaze: f64,
    /// Side of one-handed gestures: 0 left, 1 right.
    hand: usize,
    /// Phases of the slow sway of head and trunk, radians.
    sways: [f64; 6],
}

/// Target of a hand in a gesture, for the left side in the trunk's axes; the right side mirrors x.
struct Reach {
    direction: V3,
    /// Distance of the target from the shoulder, as a share of the arm's length.
    extent: f64,
    elbow: V3,
}

const fn reach(direction: V3, extent: f64, elbow: V3) -> Option<Reach> {
    Some(Reach { direction, extent, elbow })
}

impl UpperBodyStyle {
    /// A random style.
    pub fn sample(stream: &mut RandomStream) -> UpperBodyStyle {
        UpperBodyStyle {
            lean: stream.range(-0.03, 0.07),
            arms_out: stream.range(0.10, 0.26),
            arms_swing: stream.range(0.75, 1.25),
            elbows: stream.range(0.10, 0.32),
            twist: stream.range(0.15, 0.5),
            gaze: stream.range(0.1, 0.4),
            hand: usize::from(stream.bernoulli(0.8)),
            sways: std::array::from_fn(|_| stream.range(0.0, TAU)),
        }
    }

    /// Slow quasi-periodic sway between -1 and 1.
    fn sway(&self, which: usize, secs: f64) -> f64 {
        let (a, b) = (self.sways[which], self.sways[(which + 3) % 6]);
        0.6 * libm::sin(0.9 * secs + a) + 0.4 * libm::sin(1.71 * secs + b)
    }

    /// Rotation of the pelvis relative to the heading.
    pub fn pelvis(&self, gait: &Gait) -> Rotation {
        let (sine, cosine) = (libm::sin(TAU * gait.cycle), libm::cos(TAU * gait.cycle));
        let yaw = -0.09 * gait.intensity * cosine;
        let list = 0.055 * gait.intensity * sine;
        let tilt = 0.03 + 0.02 * gait.intensity + 0.07 * gait.run + 0.4 * gait.bend;
        Rotation::about_y(yaw) * Rotation::about_z(list) * Rotation::about_x(tilt)
    }

    /// Sets trunk, head and arms of `pose` at a time.
    pub fn upper(
        &self,
        secs: f64,
        gait: &Gait,
        actions: &[(Action, f64)],
        skeleton: &RestSkeleton,
        pose: &mut [Rotation; 24],
    ) {
        self.trunk_and_head(secs, gait, actions, pose);
        let cosine = libm::cos(TAU * gait.cycle);
        for side in [0, 1] {
            let forward = if side == 0 { -cosine } else { cosine } * gait.intensity;
            let [mut shoulder, mut elbow] = self.hanging(side, forward, secs, gait);
            for &(action, weight) in actions {
                let Some(goal) = gesture(action, side, self.hand, secs) else { continue };
                let [there, bent] = reaching(side, &goal, skeleton);
                shoulder = shoulder.blend(there, weight);
                elbow = elbow.blend(bent, weight);
            }
            pose[joint::SHOULDERS[side]] = shoulder;
            pose[joint::ELBOWS[side]] = elbow;
            let sign = if side == 0 { 1.0 } else { -1.0 };
            pose[joint::WRISTS[side]] = Rotation::about_z(-sign * (0.06 + 0.05 * self.sway(4, secs)));
            let lifted = raised(shoulder, side);
            pose[joint::COLLARS[side]] = Rotation::about_z(sign * (0.22 * lifted - 0.03));
        }
    }

    fn trunk_and_head(&self, secs: f64, gait: &Gait, actions: &[(Action, f64)], pose: &mut [Rotation; 24]) {
        let (sine, cosine) = (libm::sin(TAU * gait.cycle), libm::cos(TAU * gait.cycle));
        let trunk_yaw = mix(0.07, 0.16, gait.run) * gait.intensity * cosine;
        let yaw = trunk_yaw + 0.09 * gait.intensity * cosine + 0.03 * self.sway(0, secs);
        let list = -0.05 * gait.intensity * sine + 0.02 * self.sway(1, secs);
        let pitch = self.lean - 0.03 - 0.02 * gait.intensity + 0.6 * gait.bend + 0.015 * self.sway(2, secs);
        let share =
            Rotation::about_y(yaw / 3.0) * Rotation::about_z(list / 3.0) * Rotation::about_x(pitch / 3.0);
        for spine in joint::SPINE {
            pose[spine] = share;
        }
        let looks_down: f64 = actions.iter().map(|(action, weight)| weight * gaze_pitch(*action)).sum();
        let head_yaw = self.gaze * self.sway(3, secs) - trunk_yaw;
        let head_pitch =
            0.06 * self.sway(5, secs) + looks_down - 0.45 * gait.bend - 0.06 * gait.run - 0.5 * self.lean;
        let half = Rotation::about_y(head_yaw / 2.0) * Rotation::about_x(head_pitch / 2.0);
        pose[joint::NECK] = half;
        pose[joint::HEAD] = half;
    }

    /// Rotations of shoulder and elbow of a hanging, swinging arm; `forward` is -1 to 1.
    fn hanging(&self, side: usize, forward: f64, secs: f64, gait: &Gait) -> [Rotation; 2] {
        let sign = if side == 0 { 1.0 } else { -1.0 };
        let swing =
            mix(0.31, 0.55, gait.run) * self.arms_swing * forward + 0.04 + 0.03 * self.sway(side, secs);
        // arms of a bent trunk hang down from the shoulders
        let swing = swing + 0.75 * gait.bend;
        let down = std::f64::consts::FRAC_PI_2 - self.arms_out - 0.06 * gait.run;
        let elbow = mix(
            self.elbows + 0.08 * gait.intensity + 0.15 * forward.max(0.0),
            1.45 + 0.2 * forward,
            gait.run,
        );
        let turned_in = mix(self.twist, 0.5, gait.run);
        let shoulder = Rotation::about_x(-swing)
            * Rotation::about_y(-sign * turned_in)
            * Rotation::about_z(-sign * down);
        [shoulder, Rotation::about_y(-sign * elbow)]
    }
}

/// How far an upper arm is raised above the shoulder, 0 to 1.
fn raised(shoulder: Rotation, side: usize) -> f64 {
    let sign = if side == 0 { 1.0 } else { -1.0 };
    shoulder.apply([sign, 0.0, 0.0])[1].max(0.0)
}

fn reaching(side: usize, goal: &Reach, skeleton: &RestSkeleton) -> [Rotation; 2] {
    let mirror = |v: V3| if side == 0 { v } else { [-v[0], v[1], v[2]] };
    let [shoulder, elbow, wrist] = [joint::SHOULDERS[side], joint::ELBOWS[side], joint::WRISTS[side]];
    let arm = Limb {
        upper: skeleton.bone(shoulder, elbow),
        lower: skeleton.bone(elbow, wrist),
        bend_direction: [0.0, 0.0, -1.0],
    };
    let target = scale(unit(mirror(goal.direction)), goal.extent * arm.length());
    let [upper, lower] = arm.solve(target, mirror(goal.elbow));
    [upper, upper.inverse() * lower]
}

/// Target of the hand of `side`; `None` if the gesture does not use that arm.
fn gesture(action: Action, side: usize, hand: usize, secs: f64) -> Option<Reach> {
    let wave = libm::sin(TAU * 1.5 * secs);
    match action {
        Action::Wave if side == hand => reach([0.5 + 0.22 * wave, 0.85, 0.3], 0.72, [0.9, -0.6, -0.1]),
        Action::ReachUp if side == hand => reach([0.12, 0.95, 0.35], 0.96, [0.8, 0.1, -0.5]),
        Action::ReachForward if side == hand => reach([0.0, 0.08, 1.0], 0.96, [0.5, -0.85, 0.0]),
        Action::Phone if side == hand => reach([-0.38, -0.2, 0.9], 0.56, [0.45, -0.9, -0.2]),
        Action::PickUp => reach([-0.05, -0.45, 0.9], if side == hand { 0.97 } else { 0.8 }, [0.8, 0.1, 0.2]),
        Action::Crouch => reach([-0.05, -0.5, 0.85], 0.72, [0.9, -0.3, -0.1]),
        Action::HandsOnHips => reach([0.06, -0.98, 0.04], 0.78, [0.9, 0.0, -0.45]),
        Action::FoldArms => {
            let above = if side == hand { 0.1 } else { 0.0 };
            reach([-0.62, -0.55 + above, 0.62], 0.60, [0.75, -0.65, 0.15])
        }
        Action::Stretch => reach([0.18, 1.0, 0.05], 0.97, [0.9, 0.1, -0.3]),
        _ => None,
    }
}

fn gaze_pitch(action: Action) -> f64 {
    match action {
        Action::Phone => 0.45,
        Action::PickUp => 0.35,
        Action::Crouch => 0.15,
        Action::ReachUp | Action::Stretch => -0.3,
        _ => 0.0,
    }
}

/// How deep the actions bend the knees, 0 to 1.
pub fn crouch(actions: impl Iterator<Item = (Action, f64)>) -> f64 {
    let depth = |action| match action {
        Action::Crouch => 0.8,
        Action::PickUp => 0.95,
        _ => 0.0,
    };
    actions.map(|(action, weight)| weight * depth(action)).sum::<f64>().min(1.0)
}

/// How far the actions bend the trunk forward, radians.
pub fn bend(actions: impl Iterator<Item = (Action, f64)>) -> f64 {
    let angle = |action| match action {
        Action::Crouch => 0.55,
        Action::PickUp => 0.95,
        Action::Bow => 0.9,
        Action::ReachForward => 0.15,
        Action::Phone => 0.06,
        Action::Stretch => -0.12,
        _ => 0.0,
    };
    actions.map(|(action, weight)| weight * angle(action)).sum()
}
