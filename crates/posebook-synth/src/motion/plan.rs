//! What a person does: walk, run, stay, gesture.
//!
//! A plan comes from a scene's TOML or from [`Plan::wander`]. Points on the ground are `[x, z]` in meters, world
//! axes (y up). Does not depend on bodies.

use posebook_core::random::{self, RandomStream};
use serde::{Deserialize, Serialize};

/// A person's activities in sequence; before and after them the person stands still.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Start of the first stage, seconds of the clip; negative for a person already moving when the clip starts.
    pub starts_secs: f64,
    /// Start position.
    pub from: [f64; 2],
    /// Initial heading, radians about y (0 along +z); `None`: that of the route.
    pub facing: Option<f64>,
    /// The activities.
    pub stages: Vec<Stage>,
}

/// One activity.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// Moves through the points `to` at `speed` meters per second; from 2.2 on the person runs. Consecutive stages
    /// of this kind form one route without a stop.
    Go {
        /// Points of the route.
        to: Vec<[f64; 2]>,
        /// Meters per second.
        speed: f64,
        /// Gesture.
        doing: Option<Action>,
    },
    /// Stays in place for `secs` seconds.
    Stay {
        /// Duration, seconds.
        secs: f64,
        /// Gesture.
        doing: Option<Action>,
    },
}

/// A gesture of the upper body. `crouch` and `pick_up` also bend the knees, and need a person who stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Waves with one hand.
    Wave,
    /// Reaches up with one hand.
    ReachUp,
    /// Reaches forward with one hand.
    ReachForward,
    /// Picks something up from the ground.
    PickUp,
    /// Crouches.
    Crouch,
    /// Looks at a phone.
    Phone,
    /// Hands on hips.
    HandsOnHips,
    /// Folded arms.
    FoldArms,
    /// Stretches both arms up.
    Stretch,
    /// Bows.
    Bow,
}

impl Action {
    /// Gestures of a person who stays.
    const STANDING: [Action; 10] = [
        Action::Wave,
        Action::ReachUp,
        Action::ReachForward,
        Action::PickUp,
        Action::Crouch,
        Action::Phone,
        Action::HandsOnHips,
        Action::FoldArms,
        Action::Stretch,
        Action::Bow,
    ];
    /// Gestures of a walking person.
    const WALKING: [Action; 3] = [Action::Wave, Action::Phone, Action::ReachForward];
}

/// A rectangle of the ground, `[x, z]` in meters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Area {
    /// Least coordinates.
    pub low: [f64; 2],
    /// Largest coordinates.
    pub high: [f64; 2],
}

impl Area {
    fn point(&self, stream: &mut RandomStream) -> [f64; 2] {
        [0, 1].map(|i| stream.range(self.low[i], self.high[i]))
    }
}

impl Plan {
    /// A random plan of `person` under `seed` that lasts from 0 to at least `secs`: routes through `area` at all
    /// speeds, stops, gestures.
    pub fn wander(seed: u64, person: u64, area: Area, secs: f64) -> Plan {
        let mut stream = random::stream(seed, "dataset/motion/wander", &[person]);
        let starts_secs = -stream.range(0.5, 4.0);
        let from = area.point(&mut stream);
        let (mut at, mut time, mut stages) = (from, starts_secs, Vec::new());
        while time < secs + 2.0 {
            if stream.bernoulli(0.68) {
                let speed =
                    if stream.bernoulli(0.22) { stream.range(2.4, 3.6) } else { stream.range(0.7, 1.65) };
                let points = 1 + stream.below(2);
                let to: Vec<[f64; 2]> = (0..points).map(|_| away_from(at, &area, &mut stream)).collect();
                let doing =
                    (speed < 1.7 && stream.bernoulli(0.2)).then(|| pick(&Action::WALKING, &mut stream));
                for point in &to {
                    time += libm::hypot(point[0] - at[0], point[1] - at[1]) / speed;
                    at = *point;
                }
                stages.push(Stage::Go { to, speed, doing });
            } else {
                let stay = stream.range(1.2, 3.5);
                let doing = stream.bernoulli(0.85).then(|| pick(&Action::STANDING, &mut stream));
                time += stay;
                stages.push(Stage::Stay { secs: stay, doing });
            }
        }
        let facing = stream.bernoulli(0.5).then(|| stream.range(-3.1, 3.1));
        Plan { starts_secs, from, facing, stages }
    }
}

/// A destination in `area`: the farthest from `at` of three random points.
fn away_from(at: [f64; 2], area: &Area, stream: &mut RandomStream) -> [f64; 2] {
    let distance = |p: &[f64; 2]| libm::hypot(p[0] - at[0], p[1] - at[1]);
    let first = area.point(stream);
    (0..2)
        .map(|_| area.point(stream))
        .fold(first, |best, p| if distance(&p) > distance(&best) { p } else { best })
}

fn pick(from: &[Action], stream: &mut RandomStream) -> Action {
    from[stream.below(from.len())]
}
