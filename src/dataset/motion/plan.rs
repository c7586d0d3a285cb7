//! What a person is going to do: walk here, run there, stay and wave.
//!
//! A plan is what a scene's TOML says, or what [`Plan::wander`] draws. Points lie on the ground as
//! `[x, z]` in metres, in the world's axes (y up). Must not know how a body does it.

use crate::random::{self, Stream};
use serde::{Deserialize, Serialize};

/// A person's doings, one after the other; before the first the person stands, after the last too.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// When the first stage begins, in seconds of the clip; negative for one who is on the way already.
    pub starts_secs: f64,
    pub from: [f64; 2],
    /// Where the person looks at first, radians about y (0 along +z); `None`: where the way goes.
    pub facing: Option<f64>,
    pub stages: Vec<Stage>,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// Through the points `to` at `speed` metres a second; from 2.2 on the person runs. Stages of this
    /// kind that follow each other are one way, without a stop between.
    Go { to: Vec<[f64; 2]>, speed: f64, doing: Option<Action> },
    /// On the spot for `secs` seconds.
    Stay { secs: f64, doing: Option<Action> },
}

/// What the upper body does meanwhile. `crouch` and `pick_up` bend the knees as well and need a
/// person who stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Wave,
    ReachUp,
    ReachForward,
    PickUp,
    Crouch,
    Phone,
    HandsOnHips,
    FoldArms,
    Stretch,
    Bow,
}

impl Action {
    pub const STANDING: [Action; 10] = [
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
    pub const WALKING: [Action; 3] = [Action::Wave, Action::Phone, Action::ReachForward];
}

/// A rectangle of ground, `[x, z]` in metres.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Area {
    pub low: [f64; 2],
    pub high: [f64; 2],
}

impl Area {
    fn point(&self, stream: &mut Stream) -> [f64; 2] {
        [0, 1].map(|i| stream.range(self.low[i], self.high[i]))
    }
}

impl Plan {
    /// A plan of `person` under `seed` that lasts from 0 to `secs` at least: ways through `area` at all
    /// speeds, stops, gestures.
    pub fn wander(seed: u64, person: u64, area: Area, secs: f64) -> Plan {
        let mut stream = random::stream(seed, "dataset/motion/wander", &[person]);
        let starts_secs = -stream.range(0.5, 4.0);
        let from = area.point(&mut stream);
        let (mut at, mut time, mut stages) = (from, starts_secs, Vec::new());
        while time < secs + 2.0 {
            if stream.chance(0.68) {
                let speed =
                    if stream.chance(0.22) { stream.range(2.4, 3.6) } else { stream.range(0.7, 1.65) };
                let points = 1 + stream.below(2);
                let to: Vec<[f64; 2]> = (0..points).map(|_| away_from(at, &area, &mut stream)).collect();
                let doing = (speed < 1.7 && stream.chance(0.2)).then(|| pick(&Action::WALKING, &mut stream));
                for point in &to {
                    time += libm::hypot(point[0] - at[0], point[1] - at[1]) / speed;
                    at = *point;
                }
                stages.push(Stage::Go { to, speed, doing });
            } else {
                let stay = stream.range(1.2, 3.5);
                let doing = stream.chance(0.85).then(|| pick(&Action::STANDING, &mut stream));
                time += stay;
                stages.push(Stage::Stay { secs: stay, doing });
            }
        }
        let facing = stream.chance(0.5).then(|| stream.range(-3.1, 3.1));
        Plan { starts_secs, from, facing, stages }
    }
}

/// A point of `area` that is worth a walk from `at`: the farthest of three.
fn away_from(at: [f64; 2], area: &Area, stream: &mut Stream) -> [f64; 2] {
    let distance = |p: &[f64; 2]| libm::hypot(p[0] - at[0], p[1] - at[1]);
    let first = area.point(stream);
    (0..2)
        .map(|_| area.point(stream))
        .fold(first, |best, p| if distance(&p) > distance(&best) { p } else { best })
}

fn pick(from: &[Action], stream: &mut Stream) -> Action {
    from[stream.below(from.len())]
}
