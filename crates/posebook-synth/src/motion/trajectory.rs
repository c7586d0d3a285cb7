//! A person's trajectory over the ground: the plan simulated once in steps of 1/120 s.
//!
//! Gives position, heading and speed, the phase of the gait in cycles of two steps, and the weights of the actions
//! at a time. Does not depend on limbs.

use super::plan::{Action, Plan, Stage};
use super::rotation::{mix, smoothstep};
use std::f64::consts::{PI, TAU};

const TICK_SECS: f64 = 1.0 / 120.0;
/// Below the first speed (m/s) a person walks, above the second runs; between them the gaits are blended.
pub const RUN_TRANSITION: [f64; 2] = [1.75, 2.2];

/// A person's movement over the ground at one time.
#[derive(Debug, Clone, Copy, Default)]
pub struct GroundState {
    /// World position `[x, z]`, meters.
    pub position: [f64; 2],
    /// Radians about y; 0 along +z.
    pub heading: f64,
    /// Meters per second.
    pub speed: f64,
    /// Gait cycles of two steps since the start; a multiple of 0.5 while the person stands still.
    pub phase: f64,
}

/// A walk from standing to standing in `steps` steps.
#[derive(Debug, Clone, Copy)]
pub struct WalkSegment {
    /// Start, seconds.
    pub starts_secs: f64,
    /// End, seconds.
    pub ends_secs: f64,
    /// Phase at the start, cycles.
    pub first_phase: f64,
    /// Number of steps.
    pub steps: usize,
    /// Side of the first step: 0 left, 1 right.
    pub first_side: usize,
}

/// A simulated plan.
pub struct Trajectory {
    starts_secs: f64,
    ticks: Vec<GroundState>,
    /// Walks from standing to standing, in order of time.
    pub segments: Vec<WalkSegment>,
    actions: Vec<(f64, f64, Action)>,
}

/// A route through several points as a dense polyline; each point has its distance from the start and its speed.
struct Route {
    points: Vec<[f64; 2]>,
    distances: Vec<f64>,
    speeds: Vec<f64>,
    actions: Vec<(f64, f64, Action)>,
}

impl Trajectory {
    /// Simulates `plan`; `cadence` is the person's factor to the usual step frequency.
    pub fn from_plan(plan: &Plan, cadence: f64) -> Trajectory {
        let facing = plan.facing.or_else(|| first_heading(plan)).unwrap_or(0.0);
        let start = GroundState { position: plan.from, heading: facing, ..GroundState::default() };
        let mut trajectory = Trajectory {
            starts_secs: plan.starts_secs,
            ticks: vec![start],
            segments: Vec::new(),
            actions: Vec::new(),
        };
        let mut stages = plan.stages.as_slice();
        while let Some(first) = stages.first() {
            match first {
                Stage::Stay { secs, doing } => {
                    trajectory.stay(*secs, *doing);
                    stages = &stages[1..];
                }
                Stage::Go { .. } => {
                    let count = stages.iter().take_while(|stage| matches!(stage, Stage::Go { .. })).count();
                    let route = Route::through(trajectory.last().position, &stages[..count]);
                    trajectory.go(&route, cadence);
                    stages = &stages[count..];
                }
            }
        }
        trajectory
    }

    fn last(&self) -> GroundState {
        self.ticks[self.ticks.len() - 1]
    }

    fn now(&self) -> f64 {
        self.starts_secs + (self.ticks.len() - 1) as f64 * TICK_SECS
    }

    /// End of the plan, seconds.
    pub fn ends_secs(&self) -> f64 {
        self.now()
    }

    fn stay(&mut self, secs: f64, doing: Option<Action>) {
        let from = self.now();
        let still = GroundState { speed: 0.0, ..self.last() };
        let ticks = libm::round(secs / TICK_SECS) as usize;
        self.ticks.extend(std::iter::repeat_n(still, ticks));
        self.actions.extend(doing.map(|action| (from, self.now(), action)));
    }

    fn go(&mut self, route: &Route, cadence: f64) {
        let first = self.ticks.len() - 1;
        let starts_secs = self.now();
        let mut state = self.last();
        let (mut traveled, mut turn_rate) = (0.0, 0.0);
        let mut times: Vec<(f64, f64)> = Vec::new();
        let total = route.distances[route.distances.len() - 1];
        // longer than any route of a clip
        for _ in 0..(120.0 / TICK_SECS) as usize {
            if total - traveled < 0.01 {
                break;
            }
            let ahead = route.heading(traveled);
            let error = wrap_angle(ahead - state.heading);
            let turn_rate_target = (3.5 * error).clamp(-2.6, 2.6);
            turn_rate += f64::clamp(turn_rate_target - turn_rate, -14.0 * TICK_SECS, 14.0 * TICK_SECS);
            state.heading += turn_rate * TICK_SECS;
            let facing = ((libm::cos(error) - 0.2) / 0.6).clamp(0.0, 1.0);
            let braking = (2.0 * 1.1 * (total - traveled)).sqrt() + 0.1;
            // limits the centripetal acceleration to 4.5 m/s2
            let bend = 4.5 / turn_rate.abs().max(route.turn_ahead(traveled, state.heading)).max(0.1);
            let target = (route.speed(traveled) * facing).min(braking).min(bend);
            state.speed += f64::clamp(target - state.speed, -3.0 * TICK_SECS, 2.2 * TICK_SECS);
            traveled += state.speed * TICK_SECS;
            state.position = route.point(traveled);
            let turning_frequency = (turn_rate.abs() / (2.0 * 0.75)).min(0.85);
            state.phase +=
                TICK_SECS * (stride_frequency(state.speed.max(0.35)) * cadence).max(turning_frequency);
            self.ticks.push(state);
            times.push((traveled, self.now()));
        }
        self.align_to_whole_steps(first, starts_secs);
        for &(from, to, action) in &route.actions {
            let when = |distance: f64| {
                times.iter().find(|(d, _)| *d >= distance).map_or(self.now(), |(_, secs)| *secs)
            };
            self.actions.push((when(from), when(to), action));
        }
    }

    /// Rescales the phase from tick `first` on so that it ends with a whole step.
    fn align_to_whole_steps(&mut self, first: usize, starts_secs: f64) {
        let begun = self.ticks[first].phase;
        let cycles = self.last().phase - begun;
        if cycles <= 0.0 {
            return;
        }
        let steps = libm::round(cycles * 2.0).max(2.0);
        let factor = steps / 2.0 / cycles;
        for tick in &mut self.ticks[first..] {
            tick.phase = begun + (tick.phase - begun) * factor;
        }
        let turned = wrap_angle(
            self.ticks[(first + 60).min(self.ticks.len() - 1)].heading - self.ticks[first].heading,
        );
        self.segments.push(WalkSegment {
            starts_secs,
            ends_secs: self.now(),
            first_phase: begun,
            steps: steps as usize,
            // a person turning left (a growing heading turns +z to +x, the left side) starts with the left foot
            first_side: usize::from(turned < 0.0),
        });
    }

    /// The state at a time, interpolated.
    pub fn sample(&self, secs: f64) -> GroundState {
        let ticks = ((secs - self.starts_secs) / TICK_SECS).clamp(0.0, (self.ticks.len() - 1) as f64);
        let before = (ticks as usize).min(self.ticks.len().saturating_sub(2));
        let after = (before + 1).min(self.ticks.len() - 1);
        let (a, b, weight) = (self.ticks[before], self.ticks[after], ticks - before as f64);
        GroundState {
            position: [0, 1].map(|i| mix(a.position[i], b.position[i], weight)),
            heading: mix(a.heading, b.heading, weight),
            speed: mix(a.speed, b.speed, weight),
            phase: mix(a.phase, b.phase, weight),
        }
    }

    /// The first time at which the phase reaches `phase`.
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

    /// The actions at a time, with weights that rise and fall within 0.65 s.
    pub fn actions(&self, secs: f64) -> impl Iterator<Item = (Action, f64)> + '_ {
        self.actions.iter().filter_map(move |&(from, to, action)| {
            let ease = (0.45 * (to - from)).min(0.65);
            let weight = smoothstep(from, from + ease, secs) * (1.0 - smoothstep(to - ease, to, secs));
            (weight > 0.0).then_some((action, weight))
        })
    }
}

/// Gait cycles per second at a speed: steps get longer and quicker (Grieve and Gear 1966); runners keep their
/// cadence and lengthen the step.
fn stride_frequency(speed: f64) -> f64 {
    let walking = 0.94 * libm::pow(speed / 1.4, 0.58);
    let running = 1.32 + 0.06 * (speed - 2.5);
    mix(walking, running, smoothstep(RUN_TRANSITION[0], RUN_TRANSITION[1], speed))
}

fn wrap_angle(angle: f64) -> f64 {
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

impl Route {
    /// Catmull-Rom spline through the stages' points.
    fn through(from: [f64; 2], stages: &[Stage]) -> Route {
        let mut knots = vec![(from, 0.0)];
        let mut actions = Vec::new();
        for stage in stages {
            if let Stage::Go { to, speed, doing } = stage {
                let begin = knots.len() - 1;
                knots.extend(to.iter().map(|&point| (point, *speed)));
                actions.extend(doing.map(|action| (begin, knots.len() - 1, action)));
            }
        }
        let mut route = Route { points: vec![from], distances: vec![0.0], speeds: vec![], actions: vec![] };
        let mut knots_at = vec![0.0];
        for k in 0..knots.len() - 1 {
            let point = |i: isize| knots[(k as isize + i).clamp(0, knots.len() as isize - 1) as usize].0;
            let [p0, p1, p2, p3] = [point(-1), point(0), point(1), point(2)];
            let pieces = (libm::hypot(p2[0] - p1[0], p2[1] - p1[1]) / 0.04).max(1.0) as usize;
            for piece in 1..=pieces {
                let u = piece as f64 / pieces as f64;
                route.push([0, 1].map(|i| catmull_rom([p0[i], p1[i], p2[i], p3[i]], u)), knots[k + 1].1);
            }
            knots_at.push(route.distances[route.distances.len() - 1]);
        }
        route.speeds.insert(0, route.speeds.first().copied().unwrap_or(0.0));
        route.actions =
            actions.into_iter().map(|(a, b, action)| (knots_at[a], knots_at[b], action)).collect();
        route
    }

    fn push(&mut self, point: [f64; 2], speed: f64) {
        let last = self.points[self.points.len() - 1];
        self.distances.push(
            self.distances[self.distances.len() - 1] + libm::hypot(point[0] - last[0], point[1] - last[1]),
        );
        self.points.push(point);
        self.speeds.push(speed);
    }

    fn index(&self, distance: f64) -> usize {
        self.distances.partition_point(|&at| at < distance).min(self.distances.len() - 1)
    }

    fn speed(&self, distance: f64) -> f64 {
        self.speeds[self.index(distance)]
    }

    fn point(&self, distance: f64) -> [f64; 2] {
        let after = self.index(distance).max(1).min(self.points.len() - 1);
        let before = after.saturating_sub(1);
        let length = self.distances[after] - self.distances[before];
        let weight =
            if length > 0.0 { ((distance - self.distances[before]) / length).clamp(0.0, 1.0) } else { 1.0 };
        [0, 1].map(|i| mix(self.points[before][i], self.points[after][i], weight))
    }

    /// Change of heading within the next meter, as radians per second at 2.5 m/s.
    fn turn_ahead(&self, distance: f64, heading: f64) -> f64 {
        wrap_angle(self.heading(distance + 1.0) - heading).abs() * 2.5 / 1.4
    }

    /// Heading of the next 40 cm.
    fn heading(&self, distance: f64) -> f64 {
        let total = self.distances[self.distances.len() - 1];
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
