//! Feet: where each stands, when it lifts, how it swings.
//!
//! Every foothold is planned before the first frame, under the place where the body will be in the
//! middle of the stance; between two footholds a foot does not move. What the joints do follows from it
//! (`pelvis`, `limb`). The roll of the foot over heel and ball, and the shares of stance and swing, are
//! those of normal gait (Perry, Gait Analysis, 1992: 62% stance at a free speed; Novacheck 1998 for
//! running). Must not know hips and knees.

use super::course::{Course, Ground, Move, RUN_FROM};
use super::figure::{Figure, joint};
use super::rotation::{Rotation, V3, add, mix, scale, smoothstep, sub};

/// A place where a foot stands for a while.
#[derive(Debug, Clone, Copy)]
struct Foothold {
    lands_secs: f64,
    /// Infinite for the last one.
    lifts_secs: f64,
    /// Under the ankle, `[x, z]`.
    place: [f64; 2],
    yaw: f64,
    /// How far the foot's gait was from standing when it landed: 0 standing to 1 brisk walk.
    vigour: f64,
    /// 0 walking to 1 running.
    run: f64,
}

/// One foot at one time.
#[derive(Debug, Clone, Copy)]
pub struct Foot {
    /// The ankle, world, metres.
    pub ankle: V3,
    /// The foot from its rest axes (flat, toes along +z) into the world.
    pub turn: Rotation,
    /// How far the toes are bent up against the foot, radians.
    pub toes: f64,
    /// Radians about y.
    pub yaw: f64,
    /// Whether the foot bears weight.
    pub stands: bool,
}

/// One side's footholds in order of time.
pub struct Track {
    holds: Vec<Foothold>,
    ankle_height: f64,
    /// From the ankle to the ball and to the heel of a flat foot, foot axes.
    ball: V3,
    heel: V3,
}

/// How far the body gets from a foot that stands, in lengths of a leg.
const FARTHEST: f64 = 0.7;

/// How someone places the feet, all of it differing a little from person to person.
#[derive(Debug, Clone, Copy)]
pub struct Habit {
    /// Radians that the toes point outward.
    pub toe_out: f64,
    /// Half the distance between the feet's lines, metres: standing, walking.
    pub half_width: [f64; 2],
    /// A factor on lift and roll of the feet.
    pub lift: f64,
}

/// How far the gait is from standing: 0 up to 0.15 m/s, 1 from 1.3 m/s.
pub fn vigour(speed: f64) -> f64 {
    smoothstep(0.15, 1.3, speed)
}

/// 0 walking to 1 running.
pub fn running(speed: f64) -> f64 {
    smoothstep(RUN_FROM[0], RUN_FROM[1], speed)
}

/// The share of a cycle for which a foot is in the air.
fn swing_share(speed: f64) -> f64 {
    mix(mix(0.30, 0.39, vigour(speed)), 0.66, running(speed))
}

impl Track {
    /// Plans the footholds of `side` (0 left, 1 right) along a course.
    pub fn plan(course: &Course, side: usize, habit: &Habit, figure: &Figure) -> Track {
        let first = hold(course.at(f64::NEG_INFINITY), side, habit, f64::NEG_INFINITY);
        let longest = FARTHEST * figure.leg_length();
        let mut holds = vec![first];
        for way in &course.moves {
            for step in (0..way.steps).filter(|step| (way.first_side + step) % 2 == side) {
                add_step(&mut holds, course, way, step, side, habit, longest);
            }
        }
        let [ankle, ball] = [joint::ANKLES[side], joint::FEET[side]];
        let ankle_height = figure.ankle_height(side);
        let to_ball = figure.bone(ankle, ball);
        Track {
            holds,
            ankle_height,
            ball: [to_ball[0], 0.015 - ankle_height, to_ball[2]],
            heel: [0.0, -ankle_height, -0.045],
        }
    }

    /// The foot at a time.
    pub fn at(&self, secs: f64, habit: &Habit) -> Foot {
        let next = self.holds.partition_point(|hold| hold.lands_secs <= secs);
        let here = &self.holds[next - 1];
        if secs <= here.lifts_secs || next == self.holds.len() {
            return self.standing(here, secs, habit);
        }
        self.swinging(here, &self.holds[next], secs, habit)
    }

    /// A foot on the ground rolls from the heel to flat, and over the ball into the air.
    fn standing(&self, hold: &Foothold, secs: f64, habit: &Habit) -> Foot {
        let stance = hold.lifts_secs - hold.lands_secs;
        let settle = (0.3 * stance).min(0.13);
        let strike = strike_pitch(hold) * (1.0 - smoothstep(0.0, 1.0, (secs - hold.lands_secs) / settle));
        let roll_secs = (mix(0.48, 0.6, hold.run) * stance).min(0.4);
        let rolled = (1.0 - (hold.lifts_secs - secs) / roll_secs).clamp(0.0, 1.0);
        let rise = push_pitch(hold, habit) * rolled * rolled;
        let pitch = strike - rise;
        let turn = Rotation::about_y(hold.yaw) * Rotation::about_x(-pitch);
        let flat = [hold.place[0], self.ankle_height, hold.place[1]];
        let pivot = if pitch > 0.0 { self.heel } else { self.ball };
        let moved = sub(Rotation::about_y(hold.yaw).apply(pivot), turn.apply(pivot));
        Foot { ankle: add(flat, moved), turn, toes: (-pitch).max(0.0) * 0.8, yaw: hold.yaw, stands: true }
    }

    fn swinging(&self, from: &Foothold, to: &Foothold, secs: f64, habit: &Habit) -> Foot {
        let whole = to.lands_secs - from.lifts_secs;
        let w = ((secs - from.lifts_secs) / whole).clamp(0.0, 1.0);
        let lifted = self.standing(from, from.lifts_secs, habit);
        let landed = self.standing(to, to.lands_secs, habit);
        let along = w * w * (3.0 - 2.0 * w);
        let distance = libm::hypot(to.place[0] - from.place[0], to.place[1] - from.place[1]);
        let walking = 0.03 + 0.05 * smoothstep(0.1, 1.2, distance);
        let running = 0.06 + 0.13 * distance.min(2.5);
        let lift = mix(walking, running, to.run) * habit.lift;
        let bump = 6.75 * w * (1.0 - w) * (1.0 - w);
        let mut ankle = add(scale(lifted.ankle, 1.0 - along), scale(landed.ankle, along));
        ankle[1] += lift * bump;
        let (down, up) = (push_pitch(from, habit), strike_pitch(to));
        let trailing =
            down * (1.0 + 0.25 * to.run * bump) * (1.0 - smoothstep(0.0, mix(0.62, 0.8, to.run), w));
        let pitch = up * smoothstep(0.55, 0.95, w) - trailing;
        let yaw = mix(from.yaw, to.yaw, along);
        Foot {
            ankle,
            turn: Rotation::about_y(yaw) * Rotation::about_x(-pitch),
            toes: lifted.toes * (1.0 - smoothstep(0.0, 0.4, w)),
            yaw,
            stands: false,
        }
    }
}

/// Toes up at the heel's strike, radians.
fn strike_pitch(hold: &Foothold) -> f64 {
    mix(0.33 * hold.vigour, 0.08, hold.run)
}

/// Heel up at the moment of lifting, radians.
fn push_pitch(hold: &Foothold, habit: &Habit) -> f64 {
    mix(0.12 + 0.75 * hold.vigour, 0.95, hold.run) * habit.lift.min(1.1)
}

/// A foothold of `side` beside the body at `ground`.
fn hold(ground: Ground, side: usize, habit: &Habit, lands_secs: f64) -> Foothold {
    let (vigour, run) = (vigour(ground.speed), running(ground.speed));
    let sign = if side == 0 { 1.0 } else { -1.0 };
    let aside = sign * mix(habit.half_width[0], habit.half_width[1], vigour);
    let (sine, cosine) = (libm::sin(ground.heading), libm::cos(ground.heading));
    // the middle of the foot, not the ankle, is under the body: the ankle is a little behind
    let back = -0.025;
    let place = [
        ground.position[0] + aside * cosine + back * sine,
        ground.position[1] - aside * sine + back * cosine,
    ];
    let yaw = ground.heading + sign * habit.toe_out;
    Foothold { lands_secs, lifts_secs: f64::INFINITY, place, yaw, vigour, run }
}

/// When the body is `longest` metres from a foothold, or `usual` if that comes first: a runner who brakes
/// must not stand longer than the leg is long.
fn left_behind(course: &Course, place: [f64; 2], earliest: f64, usual: f64, longest: f64) -> f64 {
    let mut secs = earliest;
    while secs < usual {
        let body = course.at(secs).position;
        if libm::hypot(body[0] - place[0], body[1] - place[1]) > longest {
            return secs;
        }
        secs += 1.0 / 60.0;
    }
    usual
}

fn add_step(
    holds: &mut Vec<Foothold>,
    course: &Course,
    way: &Move,
    step: usize,
    side: usize,
    habit: &Habit,
    longest: f64,
) {
    let landing = way.first_phase + (step + 1) as f64 / 2.0;
    // the last landing is the move's end to the bit, whatever the rounding of the phase
    let lands_secs = if step + 1 == way.steps { way.ends_secs } else { course.time_of_phase(landing) };
    let swing = swing_share(course.at(course.time_of_phase(landing - 0.2)).speed);
    let previous = holds.len() - 1;
    let earliest = (holds[previous].lands_secs + 0.05).max(way.starts_secs);
    let usual = course.time_of_phase(landing - swing).max(earliest).min(lands_secs - 0.05);
    holds[previous].lifts_secs = left_behind(course, holds[previous].place, earliest, usual, longest);
    let ground = if step + 2 >= way.steps {
        Ground { speed: 0.0, ..course.at(way.ends_secs) }
    } else {
        let next_swing = swing_share(course.at(lands_secs).speed);
        course.at(course.time_of_phase(landing + (1.0 - next_swing) / 2.0))
    };
    holds.push(hold(ground, side, habit, lands_secs));
}
