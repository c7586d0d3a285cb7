//! Procedural human motion: a plan, a seed and a body's measures give a pose for every time.
//!
//! The feet come first: footholds are planned along the way (`feet`), legs reach for them by inverse
//! kinematics (`limb`), the pelvis rides as high as the legs let it, which gives the rise and fall of
//! walking by itself (the inverted pendulum; Perry 1992). Pelvis, trunk and arms turn with the phase of
//! the gait as measured (Perry 1992; Murray 1964), gestures are laid over it (`upper`). Any time can be
//! asked for, in any order, at the same price.
//!
//! World axes: y up, the ground at y = 0, metres. Must not know cameras, pictures, clothes.
//!
//! ```ignore
//! let figure = Figure::of_body(&body, &betas);
//! let plan = Plan::wander(seed, person, area, 10.0);
//! let walker = Walker::new(seed, person, &plan, &figure);
//! let stance = walker.at(3.2);
//! ```

mod course;
mod feet;
pub mod figure;
mod limb;
mod plan;
mod rotation;
mod upper;

pub use figure::Figure;
pub use plan::{Action, Area, Plan, Stage};
pub use rotation::{Rotation, V3};

use crate::geometry::{Mat3, Vec3, multiply};
use crate::person::SmplParams;
use crate::random;
use course::Course;
use feet::{Habit, Track};
use figure::joint;
use limb::Limb;
use rotation::{add, mix, scale, sub};
use std::f64::consts::TAU;
use upper::Manner;

/// A person on the way through a plan.
pub struct Walker {
    figure: Figure,
    course: Course,
    tracks: [Track; 2],
    habit: Habit,
    manner: Manner,
}

/// A body at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Stance {
    /// From SMPL's rest axes into the world.
    pub world_from_body: Mat3,
    /// Joints 1 to 23, each relative to its parent.
    pub body_pose: [Mat3; 23],
    /// The pelvis joint, metres.
    pub pelvis_in_world: Vec3,
    /// Whether the left and the right foot bear weight; neither in a runner's flight.
    pub feet_down: [bool; 2],
}

impl Stance {
    /// SMPL's parameters with the orientation in the axes of a camera.
    pub fn params_in_camera(&self, betas: [f32; 10], camera_from_world: &Mat3) -> SmplParams {
        let global_orient = multiply(camera_from_world, &self.world_from_body);
        SmplParams { betas, global_orient, body_pose: self.body_pose }
    }
}

/// The gait at one time, as the parts of the body need it.
#[derive(Debug, Clone, Copy)]
struct Gait {
    /// 0 at the strike of the left heel, 0.5 at that of the right one; in cycles.
    cycle: f64,
    /// 0 standing to 1 brisk walk.
    vigour: f64,
    /// 0 walking to 1 running.
    run: f64,
    /// How far down the knees are bent, 0 to 1.
    crouch: f64,
    /// How far forward the trunk is bent, radians.
    bend: f64,
}

impl Walker {
    /// Plans every step. `seed` and `person` give the person's own ways of moving.
    pub fn new(seed: u64, person: u64, plan: &Plan, figure: &Figure) -> Walker {
        let mut stream = random::stream(seed, "dataset/motion/habit", &[person]);
        let habit = Habit {
            toe_out: stream.range(0.02, 0.22),
            half_width: [stream.range(0.085, 0.12), stream.range(0.045, 0.07)],
            lift: stream.range(0.9, 1.2),
        };
        let legs = (0.85 / figure.leg_length()).sqrt();
        let cadence = stream.range(0.94, 1.06) * legs;
        let manner = Manner::draw(&mut stream);
        let course = Course::of(plan, cadence);
        let tracks = [0, 1].map(|side| Track::plan(&course, side, &habit, figure));
        Walker { figure: figure.clone(), course, tracks, habit, manner }
    }

    /// When the plan is at its end, in seconds; the person stands from then on.
    pub fn ends_secs(&self) -> f64 {
        self.course.ends_secs()
    }

    /// Where the person is at a time, `[x, z]` on the ground, metres.
    pub fn place(&self, secs: f64) -> [f64; 2] {
        self.course.at(secs).position
    }

    /// The body at a time, in seconds of the plan's clock.
    pub fn at(&self, secs: f64) -> Stance {
        let ground = self.course.at(secs);
        let side = self.course.moves.iter().rev().find(|m| m.starts_secs <= secs);
        let first_left = side.is_none_or(|m| m.first_side == 0);
        let strike = side.map_or(0.0, |m| m.first_phase) + if first_left { 0.5 } else { 1.0 };
        let gait = Gait {
            cycle: ground.phase - strike,
            vigour: feet::vigour(ground.speed),
            run: feet::running(ground.speed),
            crouch: upper::crouch(self.course.actions(secs)),
            bend: upper::bend(self.course.actions(secs)),
        };
        let feet = [0, 1].map(|side| self.tracks[side].at(secs, &self.habit));
        let pelvis_turn = Rotation::about_y(ground.heading) * self.manner.pelvis(&gait);
        let pelvis = self.pelvis(&ground, &gait, &feet, pelvis_turn);
        let mut pose = [Rotation::NONE; 24];
        for side in [0, 1] {
            self.leg(side, &feet[side], pelvis, pelvis_turn, &mut pose);
        }
        let actions: Vec<(Action, f64)> = self.course.actions(secs).collect();
        self.manner.upper(secs, &gait, &actions, &self.figure, &mut pose);
        Stance {
            world_from_body: pelvis_turn.matrix(),
            body_pose: std::array::from_fn(|i| pose[i + 1].matrix()),
            pelvis_in_world: pelvis.map(|x| x as f32),
            feet_down: feet.map(|foot| foot.stands),
        }
    }

    /// The pelvis: over the way, swaying to the leg that bears, as high as both legs let it be.
    fn pelvis(&self, ground: &course::Ground, gait: &Gait, feet: &[feet::Foot; 2], turn: Rotation) -> V3 {
        let heading = Rotation::about_y(ground.heading);
        let sway = 0.022 * gait.vigour * (1.0 - 0.7 * gait.run) * libm::sin(TAU * gait.cycle);
        let forward = -0.16 * gait.crouch - 0.1 * gait.bend;
        let over = add([ground.position[0], 0.0, ground.position[1]], heading.apply([sway, 0.0, forward]));
        let reach = self.figure.leg_length();
        let hips = self.figure.bone(joint::PELVIS, joint::HIPS[0])[1];
        let standing = reach + self.figure.ankle_height(0) - hips;
        // runners ride lower and rise into the flight that follows each push
        let bounce = gait.run * (0.055 + 0.035 * libm::cos(2.0 * TAU * (gait.cycle - 0.17)));
        let mut height = standing - 0.006 - 0.012 * gait.vigour - bounce - 0.47 * reach * gait.crouch;
        for side in [0, 1] {
            let hip = add(over, turn.apply(self.figure.bone(joint::PELVIS, joint::HIPS[side])));
            let foot = &feet[side];
            let longest = 0.992 * self.figure.leg(side).iter().sum::<f64>();
            let aside = libm::hypot(foot.ankle[0] - hip[0], foot.ankle[2] - hip[2]);
            let room = (longest * longest - aside * aside).max(0.04).sqrt();
            height = smooth_min(height, foot.ankle[1] + room - hip[1], 0.03);
        }
        add(over, [0.0, height, 0.0])
    }

    fn leg(
        &self,
        side: usize,
        foot: &feet::Foot,
        pelvis: V3,
        pelvis_turn: Rotation,
        pose: &mut [Rotation; 24],
    ) {
        let [hip, knee, ankle] = [joint::HIPS[side], joint::KNEES[side], joint::ANKLES[side]];
        let upper = self.figure.bone(hip, knee);
        let leg = Limb { upper, lower: self.figure.bone(knee, ankle), bump: [0.0, 0.0, 1.0] };
        let root = add(pelvis, pelvis_turn.apply(self.figure.bone(joint::PELVIS, hip)));
        let pelvis_forward = pelvis_turn.apply([0.0, 0.0, 1.0]);
        let foot_forward = Rotation::about_y(foot.yaw).apply([0.0, 0.0, 1.0]);
        let forward = add(scale(pelvis_forward, 0.5), scale(foot_forward, 0.5));
        let [thigh, shank] = leg.towards(sub(foot.ankle, root), forward);
        pose[hip] = pelvis_turn.inverse() * thigh;
        pose[knee] = thigh.inverse() * shank;
        pose[ankle] = shank.inverse() * foot.turn;
        pose[joint::FEET[side]] = Rotation::about_x(-foot.toes);
    }
}

/// The smaller of two, rounded off where they are closer than `width`.
fn smooth_min(a: f64, b: f64, width: f64) -> f64 {
    let h = (0.5 + 0.5 * (b - a) / width).clamp(0.0, 1.0);
    mix(b, a, h) - width * h * (1.0 - h)
}

#[cfg(test)]
mod tests;
