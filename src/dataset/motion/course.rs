//! Where a person is at a time: the plan walked through once, in steps of 1/120 s.
//!
//! Gives the way over the ground (position, heading, speed), the phase of the gait in cycles of two
//! steps, and when which action has what weight. Must not know limbs.

use super::plan::{Action, Plan, Stage};
use super::rotation::{mix, smoothstep};
use std::f64::consts::{PI, TAU};

const TICK_SECS: f64 = 1.0 / 120.0;
/// From this speed on (m/s) a person runs; between the two walking turns into running.
pub const RUN_FROM: [f64; 2] = [1.75, 2.2];

/// How someone moves over the ground, at one time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ground {
    /// `[x, z]`, metres, world.
    pub position: [f64; 2],
    /// Radians about y; 0 along +z.
    pub heading: f64,
    /// Metres a second.
    pub speed: f64,
    /// Cycles of two steps since the start; a whole number of half cycles when both feet stand.
    pub phase: f64,
}

/// From standing to standing: `steps` steps between two times.
#[derive(Debug, Clone, Copy)]
pub struct Move {
    pub starts_secs: f64,
    pub ends_secs: f64,
    pub first_phase: f64,
    pub steps: usize,
    /// The side that steps first: 0 left, 1 right.
    pub first_side: usize,
}

/// A plan, walked through.
pub struct Course {
    starts_secs: f64,
    ticks: Vec<Ground>,
    pub moves: Vec<Move>,
    actions: Vec<(f64, f64, Action)>,
}

/// A way of several legs as a dense line, each point with its distance from the start and its speed.
struct Way {
    points: Vec<[f64; 2]>,
    at: Vec<f64>,
    speeds: Vec<f64>,
    actions: Vec<(f64, f64, Action)>,
}

impl Course {
    /// Walks through `plan`; `cadence` is the person's own factor to the usual number of steps a second.
    pub fn of(plan: &Plan, cadence: f64) -> Course {
        let facing = plan.facing.or_else(|| first_heading(plan)).unwrap_or(0.0);
        let start = Ground { position: plan.from, heading: facing, ..Ground::default() };
        let mut course = Course {
            starts_secs: plan.starts_secs,
            ticks: vec![start],
            moves: Vec::new(),
            actions: Vec::new(),
        };
        let mut stages = plan.stages.as_slice();
        while let Some(first) = stages.first() {
            match first {
                Stage::Stay { secs, doing } => {
                    course.stay(*secs, *doing);
                    stages = &stages[1..];
                }
                Stage::Go { .. } => {
                    let together =
                        stages.iter().take_while(|stage| matches!(stage, Stage::Go { .. })).count();
                    let way = Way::through(course.last().position, &stages[..together]);
                    course.go(&way, cadence);
                    stages = &stages[together..];
                }
            }
        }
        course
    }

    fn last(&self) -> Ground {
        self.ticks[self.ticks.len() - 1]
    }

    fn now(&self) -> f64 {
        self.starts_secs + (self.ticks.len() - 1) as f64 * TICK_SECS
    }

    /// When the plan is at its end, seconds.
    pub fn ends_secs(&self) -> f64 {
        self.now()
    }

    fn stay(&mut self, secs: f64, doing: Option<Action>) {
        let from = self.now();
        let still = Ground { speed: 0.0, ..self.last() };
        let ticks = libm::round(secs / TICK_SECS) as usize;
        self.ticks.extend(std::iter::repeat_n(still, ticks));
        self.actions.extend(doing.map(|action| (from, self.now(), action)));
    }

    fn go(&mut self, way: &Way, cadence: f64) {
        let first = self.ticks.len() - 1;
        let starts_secs = self.now();
        let mut here = self.last();
        let (mut done, mut turning) = (0.0, 0.0);
        let mut when_at: Vec<(f64, f64)> = Vec::new();
        let total = way.at[way.at.len() - 1];
        // two minutes are far more than any way of a clip takes
        for _ in 0..(120.0 / TICK_SECS) as usize {
            if total - done < 0.01 {
                break;
            }
            let ahead = way.heading(done);
            let error = wrapped(ahead - here.heading);
            let wanted = (3.5 * error).clamp(-2.6, 2.6);
            turning += f64::clamp(wanted - turning, -14.0 * TICK_SECS, 14.0 * TICK_SECS);
            here.heading += turning * TICK_SECS;
            let facing = ((libm::cos(error) - 0.2) / 0.6).clamp(0.0, 1.0);
            let braking = (2.0 * 1.1 * (total - done)).sqrt() + 0.1;
            // nobody leans into a bend with more than 4.5 m/s2
            let bend = 4.5 / turning.abs().max(way.turn_ahead(done, here.heading)).max(0.1);
            let target = (way.speed(done) * facing).min(braking).min(bend);
            here.speed += f64::clamp(target - here.speed, -3.0 * TICK_SECS, 2.2 * TICK_SECS);
            done += here.speed * TICK_SECS;
            here.position = way.point(done);
            let turn_rate = (turning.abs() / (2.0 * 0.75)).min(0.85);
            here.phase += TICK_SECS * (stride_frequency(here.speed.max(0.35)) * cadence).max(turn_rate);
            self.ticks.push(here);
            when_at.push((done, self.now()));
        }
        self.whole_steps(first, starts_secs);
        for &(from, to, action) in &way.actions {
            let when = |distance: f64| {
                when_at.iter().find(|(d, _)| *d >= distance).map_or(self.now(), |(_, secs)| *secs)
            };
            self.actions.push((when(from), when(to), action));
        }
    }

    /// Stretches the phase of the way that begins at tick `first` so that it ends with a whole step.
    fn whole_steps(&mut self, first: usize, starts_secs: f64) {
        let begun = self.ticks[first].phase;
        let cycles = self.last().phase - begun;
        if cycles <= 0.0 {
            return;
        }
        let steps = libm::round(cycles * 2.0).max(2.0);
        let stretch = steps / 2.0 / cycles;
        for tick in &mut self.ticks[first..] {
            tick.phase = begun + (tick.phase - begun) * stretch;
        }
        let turned =
            wrapped(self.ticks[(first + 60).min(self.ticks.len() - 1)].heading - self.ticks[first].heading);
        self.moves.push(Move {
            starts_secs,
            ends_secs: self.now(),
            first_phase: begun,
            steps: steps as usize,
            // who turns to the left (a growing heading turns +z to +x, the left side) begins with the left
            first_side: usize::from(turned < 0.0),
        });
    }

    /// The state at a time.
    pub fn at(&self, secs: f64) -> Ground {
        let ticks = ((secs - self.starts_secs) / TICK_SECS).clamp(0.0, (self.ticks.len() - 1) as f64);
        let before = (ticks as usize).min(self.ticks.len().saturating_sub(2));
        let after = (before + 1).min(self.ticks.len() - 1);
        let (a, b, weight) = (self.ticks[before], self.ticks[after], ticks - before as f64);
        Ground {
            position: [0, 1].map(|i| mix(a.position[i], b.position[i], weight)),
            heading: mix(a.heading, b.heading, weight),
            speed: mix(a.speed, b.speed, weight),
            phase: mix(a.phase, b.phase, weight),
        }
    }

    /// The first time at which the phase is reached.
    pub fn time_of_phase(&self, phase: f64) -> f64 {
        let after = self.ticks.partition_point(|tick| tick.phase < phase);
        if after == 0 {
            return self.starts_secs;
        }
        if after == self.ticks.len() {
            return self.now();
        }
        let (a, b) = (self.ticks[after - 1].phase, self.ticks[after].phase);
        let weight = (phase - a) / (b - a);
        self.starts_secs + (after as f64 - 1.0 + weight) * TICK_SECS
    }

    /// The actions under way at a time, with weights that rise and fall within half a second.
    pub fn actions(&self, secs: f64) -> impl Iterator<Item = (Action, f64)> + '_ {
        self.actions.iter().filter_map(move |&(from, to, action)| {
            let ease = (0.45 * (to - from)).min(0.65);
            let weight = smoothstep(from, from + ease, secs) * (1.0 - smoothstep(to - ease, to, secs));
            (weight > 0.0).then_some((action, weight))
        })
    }
}

/// Cycles a second at a speed: steps get both longer and quicker (Grieve and Gear 1966); runners keep
/// their cadence and lengthen the step.
pub fn stride_frequency(speed: f64) -> f64 {
    let walking = 0.94 * libm::pow(speed / 1.4, 0.58);
    let running = 1.32 + 0.06 * (speed - 2.5);
    mix(walking, running, smoothstep(RUN_FROM[0], RUN_FROM[1], speed))
}

fn wrapped(angle: f64) -> f64 {
    angle - TAU * libm::floor((angle + PI) / TAU)
}

fn first_heading(plan: &Plan) -> Option<f64> {
    plan.stages.iter().find_map(|stage| match stage {
        Stage::Go { to, .. } => {
            let to = to.first()?;
            Some(libm::atan2(to[0] - plan.from[0], to[1] - plan.from[1]))
        }
        Stage::Stay { .. } => None,
    })
}

impl Way {
    /// A Catmull-Rom curve through the stages' points.
    fn through(from: [f64; 2], stages: &[Stage]) -> Way {
        let mut knots = vec![(from, 0.0)];
        let mut doings = Vec::new();
        for stage in stages {
            if let Stage::Go { to, speed, doing } = stage {
                let begin = knots.len() - 1;
                knots.extend(to.iter().map(|&point| (point, *speed)));
                doings.extend(doing.map(|action| (begin, knots.len() - 1, action)));
            }
        }
        let mut way = Way { points: vec![from], at: vec![0.0], speeds: vec![], actions: vec![] };
        let mut knots_at = vec![0.0];
        for k in 0..knots.len() - 1 {
            let point = |i: isize| knots[(k as isize + i).clamp(0, knots.len() as isize - 1) as usize].0;
            let [p0, p1, p2, p3] = [point(-1), point(0), point(1), point(2)];
            let pieces = (libm::hypot(p2[0] - p1[0], p2[1] - p1[1]) / 0.04).max(1.0) as usize;
            for piece in 1..=pieces {
                let u = piece as f64 / pieces as f64;
                way.push([0, 1].map(|i| catmull_rom([p0[i], p1[i], p2[i], p3[i]], u)), knots[k + 1].1);
            }
            knots_at.push(way.at[way.at.len() - 1]);
        }
        way.speeds.insert(0, way.speeds.first().copied().unwrap_or(0.0));
        way.actions = doings.into_iter().map(|(a, b, action)| (knots_at[a], knots_at[b], action)).collect();
        way
    }

    fn push(&mut self, point: [f64; 2], speed: f64) {
        let last = self.points[self.points.len() - 1];
        self.at.push(self.at[self.at.len() - 1] + libm::hypot(point[0] - last[0], point[1] - last[1]));
        self.points.push(point);
        self.speeds.push(speed);
    }

    fn index(&self, distance: f64) -> usize {
        self.at.partition_point(|&at| at < distance).min(self.at.len() - 1)
    }

    fn speed(&self, distance: f64) -> f64 {
        self.speeds[self.index(distance)]
    }

    fn point(&self, distance: f64) -> [f64; 2] {
        let after = self.index(distance).max(1).min(self.points.len() - 1);
        let before = after.saturating_sub(1);
        let length = self.at[after] - self.at[before];
        let weight = if length > 0.0 { ((distance - self.at[before]) / length).clamp(0.0, 1.0) } else { 1.0 };
        [0, 1].map(|i| mix(self.points[before][i], self.points[after][i], weight))
    }

    /// How fast the heading will have to change within the next metre, radians a second at 2.5 m/s.
    fn turn_ahead(&self, distance: f64, heading: f64) -> f64 {
        wrapped(self.heading(distance + 1.0) - heading).abs() * 2.5 / 1.4
    }

    /// Where the way goes over the next 40 cm.
    fn heading(&self, distance: f64) -> f64 {
        let total = self.at[self.at.len() - 1];
        let from = distance.min(total - 0.1).max(0.0);
        let (a, b) = (self.point(from), self.point((from + 0.4).min(total)));
        libm::atan2(b[0] - a[0], b[1] - a[1])
    }
}

fn catmull_rom([p0, p1, p2, p3]: [f64; 4], u: f64) -> f64 {
    let (a, b) = (2.0 * p1, p2 - p0);
    let (c, d) = (2.0 * p0 - 5.0 * p1 + 4.0 * p2 - p3, 3.0 * p1 - p0 - 3.0 * p2 + p3);
    0.5 * (a + u * (b + u * (c + u * d)))
}
