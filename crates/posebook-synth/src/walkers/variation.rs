//! Variation of scripted plans under another seed than the file's own.
//!
//! Wandering depends on the seed anyway. Scripted people would otherwise repeat the same motion for every seed, and
//! repetitions over seeds would not be independent.

use crate::motion::{Plan, Stage};
use posebook_core::random::stream;

/// Largest shift of a position along each axis, meters.
const SHIFT_M: f64 = 0.5;
/// Largest shift of the start, seconds.
const START_SECS: f64 = 0.4;
/// Largest relative change of a speed, and of a stay.
const SPEED_SHARE: f64 = 0.15;
const STAY_SHARE: f64 = 0.3;

/// `plan` varied for person `id` under `seed`: similar routes with other positions, times and speeds.
pub fn vary_plan(mut plan: Plan, seed: u64, id: u64) -> Plan {
    let mut random = stream(seed, "part", &[id]);
    let mut factor = |share: f64| 1.0 + random.range(-share, share);
    let times: Vec<(f64, f64)> =
        plan.stages.iter().map(|_| (factor(SPEED_SHARE), factor(STAY_SHARE))).collect();
    plan.starts_secs += START_SECS * (factor(1.0) - 1.0);
    let mut shifted =
        |[x, z]: [f64; 2]| [x + SHIFT_M * (factor(1.0) - 1.0), z + SHIFT_M * (factor(1.0) - 1.0)];
    plan.from = shifted(plan.from);
    for (stage, (speed_factor, stay_factor)) in plan.stages.iter_mut().zip(times) {
        match stage {
            Stage::Go { to, speed, .. } => {
                to.iter_mut().for_each(|point| *point = shifted(*point));
                *speed *= speed_factor;
            }
            Stage::Stay { secs, .. } => *secs *= stay_factor,
        }
    }
    plan
}
