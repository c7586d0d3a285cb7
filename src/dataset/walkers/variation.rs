//! The same parts played otherwise: what another seed than the file's own changes about a script.
//!
//! Who wanders goes by the seed anyway. Who has a part would else go the same ways whatever the seed, and
//! repeats over seeds would be repeats of one walk. Must not know pictures.

use super::super::motion::{Plan, Stage};
use crate::random::stream;

/// How far a place moves at most along each axis, metres.
const PLACE_M: f64 = 0.5;
/// How much earlier or later a part begins at most.
const START_SECS: f64 = 0.4;
/// The most by which a speed or a stay changes, as a share.
const SPEED_SHARE: f64 = 0.15;
const STAY_SHARE: f64 = 0.3;

/// `plan` as the person `id` plays it under `seed`: along much the same way, at other places, times and speeds.
pub fn varied(mut plan: Plan, seed: u64, id: u64) -> Plan {
    let mut draws = stream(seed, "part", &[id]);
    let mut about = |share: f64| 1.0 + draws.range(-share, share);
    let times: Vec<(f64, f64)> =
        plan.stages.iter().map(|_| (about(SPEED_SHARE), about(STAY_SHARE))).collect();
    plan.starts_secs += START_SECS * (about(1.0) - 1.0);
    let mut moved = |[x, z]: [f64; 2]| [x + PLACE_M * (about(1.0) - 1.0), z + PLACE_M * (about(1.0) - 1.0)];
    plan.from = moved(plan.from);
    for (stage, (faster, longer)) in plan.stages.iter_mut().zip(times) {
        match stage {
            Stage::Go { to, speed, .. } => {
                to.iter_mut().for_each(|place| *place = moved(*place));
                *speed *= faster;
            }
            Stage::Stay { secs, .. } => *secs *= longer,
        }
    }
    plan
}
