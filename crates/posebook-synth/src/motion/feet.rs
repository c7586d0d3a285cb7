//! Plans where each foot stands, when it lifts, and how it swings.
//!
//! Every foothold is planned before the first frame, below the body's position at the middle of the stance phase;
//! between lifting and landing only the swing moves a foot. The joints follow from it (`pelvis`, `limb`). The roll
//! of the foot over heel and ball, and the shares of stance and swing, are those of normal gait (Perry, Gait
//! Analysis, 1992: 62% stance at a free speed; Novacheck 1998 for running). Does not depend on hips and knees.

use super::rotation::{Rotation, V3, add, mix, scale, smoothstep, sub};
use super::skeleton::{RestSkeleton, joint};
use super::trajectory::{GroundState, RUN_TRANSITION, Trajectory, WalkSegment};

/// A position where a foot stands for a while.
#[derive(Debug, Clone, Copy)]
struct Foothold {
    lands_secs: f64,
    /// Infinite for the last foothold.
    lifts_secs: f64,
    /// Position below the ankle, `[x, z]`.
    position: [f64; 2],
    yaw: f64,
    /// Gait intensity at landing: 0 standing to 1 brisk walking.
    intensity: f64,
    /// 0 walking to 1 running.
    run: f64,
}

/// Pose of one foot at one time.
#[derive(Debug, Clone, Copy)]
pub struct Foot {
    /// Ankle in world axes, meters.
    pub ankle: V3,
    /// Rotation from the foot's rest axes (flat, toes along +z) to world axes.
    pub rotation: Rotation,
    /// Upward bend of the toes against the foot, radians.
    pub toes: f64,
    /// Radians about y.
    pub yaw: f64,
    /// Whether the foot is on the ground.
    pub bears_weight: bool,
}

/// Footholds of one foot in order of time.
pub struct FootTrack {
    footholds: Vec<Foothold>,
    ankle_height: f64,
    /// Offsets from the ankle to the ball and to the heel of a flat foot, in foot axes.
    ball: V3,
    heel: V3,
}

/// Largest distance of the body from a standing foot, in leg lengths.
const MAX_REACH: f64 = 0.7;

/// A person's gait style.
#[derive(Debug, Clone, Copy)]
pub struct GaitStyle {
    /// Outward rotation of the feet, radians.
    pub toe_out: f64,
    /// Half the distance between the feet's lines, meters: standing, walking.
    pub half_width: [f64; 2],
    /// Factor on lift and roll of the feet.
    pub lift: f64,
}

/// Gait intensity: 0 up to 0.15 m/s, 1 from 1.3 m/s.
pub fn intensity(speed: f64) -> f64 {
    smoothstep(0.15, 1.3, speed)
}

/// 0 walking to 1 running.
pub fn running(speed: f64) -> f64 {
    smoothstep(RUN_TRANSITION[0], RUN_TRANSITION[1], speed)
}

/// Share of a gait cycle in which a foot is in the air.
fn swing_share(speed: f64) -> f64 {
    mix(mix(0.30, 0.39, intensity(speed)), 0.66, running(speed))
}

impl FootTrack {
    /// Plans the footholds of `side` (0 left, 1 right) along a trajectory.
    pub fn plan(
        trajectory: &Trajectory,
        side: usize,
        style: &GaitStyle,
        skeleton: &RestSkeleton,
    ) -> FootTrack {
        let first = foothold_at(trajectory.sample(f64::NEG_INFINITY), side, style, f64::NEG_INFINITY);
        let longest = MAX_REACH * skeleton.leg_length();
        let mut footholds = vec![first];
        for segment in &trajectory.segments {
            for step in (0..segment.steps).filter(|step| (segment.first_side + step) % 2 == side) {
                add_step(&mut footholds, trajectory, segment, step, side, style, longest);
            }
        }
        let [ankle, ball] = [joint::ANKLES[side], joint::FEET[side]];
        let ankle_height = skeleton.ankle_height(side);
        let to_ball = skeleton.bone(ankle, ball);
        FootTrack {
            footholds,
            ankle_height,
            ball: [to_ball[0], 0.015 - ankle_height, to_ball[2]],
            heel: [0.0, -ankle_height, -0.045],
        }
    }

    /// Pose of the foot at a time.
    pub fn sample(&self, secs: f64, style: &GaitStyle) -> Foot {
        let next = self.footholds.partition_point(|foothold| foothold.lands_secs <= secs);
        let here = &self.footholds[next - 1];
        if secs <= here.lifts_secs || next == self.footholds.len() {
            return self.standing(here, secs, style);
        }
        self.swinging(here, &self.footholds[next], secs, style)
    }

    /// Pose of a foot on the ground: it rolls from the heel to flat, and over the ball into the air.
    fn standing(&self, foothold: &Foothold, secs: f64, style: &GaitStyle) -> Foot {
        let stance = foothold.lifts_secs - foothold.lands_secs;
        let settle = (0.3 * stance).min(0.13);
        let strike =
            strike_pitch(foothold) * (1.0 - smoothstep(0.0, 1.0, (secs - foothold.lands_secs) / settle));
        let roll_secs = (mix(0.48, 0.6, foothold.run) * stance).min(0.4);
        let rolled = (1.0 - (foothold.lifts_secs - secs) / roll_secs).clamp(0.0, 1.0);
        let rise = push_pitch(foothold, style) * rolled * rolled;
        let pitch = strike - rise;
        let rotation = Rotation::about_y(foothold.yaw) * Rotation::about_x(-pitch);
        let flat = [foothold.position[0], self.ankle_height, foothold.position[1]];
        let pivot = if pitch > 0.0 { self.heel } else { self.ball };
        let moved = sub(Rotation::about_y(foothold.yaw).apply(pivot), rotation.apply(pivot));
        Foot {
            ankle: add(flat, moved),
            rotation,
            toes: (-pitch).max(0.0) * 0.8,
            yaw: foothold.yaw,
            bears_weight: true,
        }
    }

    fn swinging(&self, from: &Foothold, to: &Foothold, secs: f64, style: &GaitStyle) -> Foot {
        let swing_secs = to.lands_secs - from.lifts_secs;
        let w = ((secs - from.lifts_secs) / swing_secs).clamp(0.0, 1.0);
        let lifted = self.standing(from, from.lifts_secs, style);
        let landed = self.standing(to, to.lands_secs, style);
        let along = w * w * (3.0 - 2.0 * w);
        let distance = libm::hypot(to.position[0] - from.position[0], to.position[1] - from.position[1]);
        let walking = 0.03 + 0.05 * smoothstep(0.1, 1.2, distance);
        let running = 0.06 + 0.13 * distance.min(2.5);
        let lift = mix(walking, running, to.run) * style.lift;
        let bump = 6.75 * w * (1.0 - w) * (1.0 - w);
        let mut ankle = add(scale(lifted.ankle, 1.0 - along), scale(landed.ankle, along));
        ankle[1] += lift * bump;
        let (down, up) = (push_pitch(from, style), strike_pitch(to));
        let trailing =
            down * (1.0 + 0.25 * to.run * bump) * (1.0 - smoothstep(0.0, mix(0.62, 0.8, to.run), w));
        let pitch = up * smoothstep(0.55, 0.95, w) - trailing;
        let yaw = mix(from.yaw, to.yaw, along);
        Foot {
            ankle,
            rotation: Rotation::about_y(yaw) * Rotation::about_x(-pitch),
            toes: lifted.toes * (1.0 - smoothstep(0.0, 0.4, w)),
            yaw,
            bears_weight: false,
        }
    }
}

/// Upward pitch of the foot at heel strike, radians.
fn strike_pitch(foothold: &Foothold) -> f64 {
    mix(0.33 * foothold.intensity, 0.08, foothold.run)
}

/// Upward pitch of the heel at lifting, radians.
fn push_pitch(foothold: &Foothold, style: &GaitStyle) -> f64 {
    mix(0.12 + 0.75 * foothold.intensity, 0.95, foothold.run) * style.lift.min(1.1)
}

/// The foothold of `side` for the body at `ground`.
fn foothold_at(ground: GroundState, side: usize, style: &GaitStyle, lands_secs: f64) -> Foothold {
    let (intensity, run) = (intensity(ground.speed), running(ground.speed));
    let sign = if side == 0 { 1.0 } else { -1.0 };
    let lateral = sign * mix(style.half_width[0], style.half_width[1], intensity);
    let (sine, cosine) = (libm::sin(ground.heading), libm::cos(ground.heading));
    // the middle of the foot, not the ankle, is below the body: the ankle is slightly behind
    let back = -0.025;
    let position = [
        ground.position[0] + lateral * cosine + back * sine,
        ground.position[1] - lateral * sine + back * cosine,
    ];
    let yaw = ground.heading + sign * style.toe_out;
    Foothold { lands_secs, lifts_secs: f64::INFINITY, position, yaw, intensity, run }
}

/// Time at which the body is `longest` meters from a foothold, or `usual` if that is earlier: a braking runner must
/// not stand longer than the leg can reach.
fn lift_time(trajectory: &Trajectory, position: [f64; 2], earliest: f64, usual: f64, longest: f64) -> f64 {
    let mut secs = earliest;
    while secs < usual {
        let body = trajectory.sample(secs).position;
        if libm::hypot(body[0] - position[0], body[1] - position[1]) > longest {
            return secs;
        }
        secs += 1.0 / 60.0;
    }
    usual
}

fn add_step(
    footholds: &mut Vec<Foothold>,
    trajectory: &Trajectory,
    segment: &WalkSegment,
    step: usize,
    side: usize,
    style: &GaitStyle,
    longest: f64,
) {
    let landing = segment.first_phase + (step + 1) as f64 / 2.0;
    // the last landing is exactly the segment's end, regardless of the rounding of the phase
    let lands_secs =
        if step + 1 == segment.steps { segment.ends_secs } else { trajectory.time_of_phase(landing) };
    let swing = swing_share(trajectory.sample(trajectory.time_of_phase(landing - 0.2)).speed);
    let previous = footholds.len() - 1;
    let earliest = (footholds[previous].lands_secs + 0.05).max(segment.starts_secs);
    let usual = trajectory.time_of_phase(landing - swing).max(earliest).min(lands_secs - 0.05);
    footholds[previous].lifts_secs =
        lift_time(trajectory, footholds[previous].position, earliest, usual, longest);
    let ground = if step + 2 >= segment.steps {
        GroundState { speed: 0.0, ..trajectory.sample(segment.ends_secs) }
    } else {
        let next_swing = swing_share(trajectory.sample(lands_secs).speed);
        trajectory.sample(trajectory.time_of_phase(landing + (1.0 - next_swing) / 2.0))
    };
    footholds.push(foothold_at(ground, side, style, lands_secs));
}
