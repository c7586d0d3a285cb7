//! Procedural human motion: a plan, a seed and a body's measurements give a pose for every time.
//!
//! Footholds are planned along the route first (`feet`); the legs reach for them by inverse kinematics (`limb`);
//! the pelvis is as high as the legs allow, which produces the rise and fall of walking (inverted pendulum; Perry
//! 1992). Pelvis, trunk and arms rotate with the phase of the gait as measured (Perry 1992; Murray 1964), and
//! gestures are blended over that (`upper`). Times can be sampled in any order at the same cost.
//!
//! World axes: y up, the ground at y = 0, meters. Does not depend on cameras, images or clothes.
//!
//! ```ignore
//! use posebook_synth::motion::{Plan, RestSkeleton, Walker};
//!
//! let skeleton = RestSkeleton::from_body(&body, &betas);
//! let plan = Plan::wander(seed, person, area, 10.0);
//! let walker = Walker::new(seed, person, &plan, &skeleton);
//! let pose = walker.pose_at(3.2);
//! ```

mod feet;
mod limb;
mod plan;
mod rotation;
mod skeleton;
mod trajectory;
mod upper;

pub use plan::{Action, Area, Plan, Stage};
pub use rotation::V3;
pub use skeleton::RestSkeleton;

use feet::{FootTrack, GaitStyle};
use limb::Limb;
use posebook_core::geometry::{Mat3, Vec3, multiply};
use posebook_core::person::SmplParams;
use posebook_core::random;
use rotation::{Rotation, add, mix, scale, sub};
use skeleton::joint;
use std::f64::consts::TAU;
use trajectory::Trajectory;
use upper::UpperBodyStyle;

/// A person executing a plan.
pub struct Walker {
    skeleton: RestSkeleton,
    trajectory: Trajectory,
    feet: [FootTrack; 2],
    gait_style: GaitStyle,
    upper_body: UpperBodyStyle,
}

/// A body's pose at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct WalkerPose {
    /// Rotation from SMPL's rest axes to world axes.
    pub world_from_body: Mat3,
    /// Rotations of joints 1 to 23, each relative to its parent.
    pub body_pose: [Mat3; 23],
    /// Position of the pelvis joint, meters.
    pub pelvis_in_world: Vec3,
    /// Whether the left and the right foot bear weight; neither in the flight phase of running.
    pub feet_down: [bool; 2],
}

impl WalkerPose {
    /// SMPL parameters with the orientation in camera axes.
    pub fn params_in_camera(&self, betas: [f32; 10], camera_from_world: &Mat3) -> SmplParams {
        let global_orient = multiply(camera_from_world, &self.world_from_body);
        SmplParams { betas, global_orient, body_pose: self.body_pose }
    }
}

/// State of the gait at one time.
#[derive(Debug, Clone, Copy)]
struct Gait {
    /// Gait cycles: 0 at the strike of the left heel, 0.5 at that of the right one.
    cycle: f64,
    /// 0 standing to 1 brisk walking.
    intensity: f64,
    /// 0 walking to 1 running.
    run: f64,
    /// How deep the knees are bent, 0 to 1.
    crouch: f64,
    /// Forward bend of the trunk, radians.
    bend: f64,
}

impl Walker {
    /// Plans every step. `seed` and `person` determine the person's gait style.
    pub fn new(seed: u64, person: u64, plan: &Plan, skeleton: &RestSkeleton) -> Walker {
        let mut stream = random::stream(seed, "dataset/motion/habit", &[person]);
        let gait_style = GaitStyle {
            toe_out: stream.range(0.02, 0.22),
            half_width: [stream.range(0.085, 0.12), stream.range(0.045, 0.07)],
            lift: stream.range(0.9, 1.2),
        };
        let legs = (0.85 / skeleton.leg_length()).sqrt();
        let cadence = stream.range(0.94, 1.06) * legs;
        let upper_body = UpperBodyStyle::sample(&mut stream);
        let trajectory = Trajectory::from_plan(plan, cadence);
        let feet = [0, 1].map(|side| FootTrack::plan(&trajectory, side, &gait_style, skeleton));
        Walker { skeleton: skeleton.clone(), trajectory, feet, gait_style, upper_body }
    }

    /// End of the plan, seconds; the person stands still from then on.
    pub fn ends_secs(&self) -> f64 {
        self.trajectory.ends_secs()
    }

    /// Position on the ground at a time, `[x, z]`, meters.
    pub fn position_at(&self, secs: f64) -> [f64; 2] {
        self.trajectory.sample(secs).position
    }

    /// The pose at a time, in seconds of the plan's clock.
    pub fn pose_at(&self, secs: f64) -> WalkerPose {
        let ground = self.trajectory.sample(secs);
        let side = self.trajectory.segments.iter().rev().find(|m| m.starts_secs <= secs);
        let first_left = side.is_none_or(|m| m.first_side == 0);
        let strike = side.map_or(0.0, |m| m.first_phase) + if first_left { 0.5 } else { 1.0 };
        let gait = Gait {
            cycle: ground.phase - strike,
            intensity: feet::intensity(ground.speed),
            run: feet::running(ground.speed),
            crouch: upper::crouch(self.trajectory.actions(secs)),
            bend: upper::bend(self.trajectory.actions(secs)),
        };
        let feet = [0, 1].map(|side| self.feet[side].sample(secs, &self.gait_style));
        let pelvis_turn = Rotation::about_y(ground.heading) * self.upper_body.pelvis(&gait);
        let pelvis = self.pelvis(&ground, &gait, &feet, pelvis_turn);
        let mut pose = [Rotation::IDENTITY; 24];
        for side in [0, 1] {
            self.leg(side, &feet[side], pelvis, pelvis_turn, &mut pose);
        }
        let actions: Vec<(Action, f64)> = self.trajectory.actions(secs).collect();
        self.upper_body.upper(secs, &gait, &actions, &self.skeleton, &mut pose);
        WalkerPose {
            world_from_body: pelvis_turn.matrix(),
            body_pose: std::array::from_fn(|i| pose[i + 1].matrix()),
            pelvis_in_world: pelvis.map(|x| x as f32),
            feet_down: feet.map(|foot| foot.bears_weight),
        }
    }

    /// Position of the pelvis: above the route, swaying to the supporting leg, as high as both legs allow.
    fn pelvis(
        &self,
        ground: &trajectory::GroundState,
        gait: &Gait,
        feet: &[feet::Foot; 2],
        turn: Rotation,
    ) -> V3 {
        let heading = Rotation::about_y(ground.heading);
        let sway = 0.022 * gait.intensity * (1.0 - 0.7 * gait.run) * libm::sin(TAU * gait.cycle);
        let forward = -0.16 * gait.crouch - 0.1 * gait.bend;
        let above_ground =
            add([ground.position[0], 0.0, ground.position[1]], heading.apply([sway, 0.0, forward]));
        let leg_length = self.skeleton.leg_length();
        let hips = self.skeleton.bone(joint::PELVIS, joint::HIPS[0])[1];
        let standing = leg_length + self.skeleton.ankle_height(0) - hips;
        // in running the pelvis is lower and rises into the flight phase after each push
        let bounce = gait.run * (0.055 + 0.035 * libm::cos(2.0 * TAU * (gait.cycle - 0.17)));
        let mut height = standing - 0.006 - 0.012 * gait.intensity - bounce - 0.47 * leg_length * gait.crouch;
        for side in [0, 1] {
            let hip = add(above_ground, turn.apply(self.skeleton.bone(joint::PELVIS, joint::HIPS[side])));
            let foot = &feet[side];
            let longest = 0.992 * self.skeleton.leg(side).iter().sum::<f64>();
            let horizontal = libm::hypot(foot.ankle[0] - hip[0], foot.ankle[2] - hip[2]);
            let leg_height = (longest * longest - horizontal * horizontal).max(0.04).sqrt();
            height = smooth_min(height, foot.ankle[1] + leg_height - hip[1], 0.03);
        }
        add(above_ground, [0.0, height, 0.0])
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
        let upper = self.skeleton.bone(hip, knee);
        let leg = Limb { upper, lower: self.skeleton.bone(knee, ankle), bend_direction: [0.0, 0.0, 1.0] };
        let root = add(pelvis, pelvis_turn.apply(self.skeleton.bone(joint::PELVIS, hip)));
        let pelvis_forward = pelvis_turn.apply([0.0, 0.0, 1.0]);
        let foot_forward = Rotation::about_y(foot.yaw).apply([0.0, 0.0, 1.0]);
        let forward = add(scale(pelvis_forward, 0.5), scale(foot_forward, 0.5));
        let [thigh, shank] = leg.solve(sub(foot.ankle, root), forward);
        pose[hip] = pelvis_turn.inverse() * thigh;
        pose[knee] = thigh.inverse() * shank;
        pose[ankle] = shank.inverse() * foot.rotation;
        pose[joint::FEET[side]] = Rotation::about_x(-foot.toes);
    }
}

/// Smooth minimum: rounded off where the values are closer than `width`.
fn smooth_min(a: f64, b: f64, width: f64) -> f64 {
    let h = (0.5 + 0.5 * (b - a) / width).clamp(0.0, 1.0);
    mix(b, a, h) - width * h * (1.0 - h)
}

#[cfg(test)]
mod tests;
