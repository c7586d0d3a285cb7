//! The people of a clip: appearance, skeleton and motion.

use super::spec::{Outfit, WalkersClip};
use super::variation::vary_plan;
use crate::motion::{Plan, RestSkeleton, Walker};
use crate::people::Appearance;
use posebook_models::body::Body;

/// One person of a clip.
pub struct Actor {
    /// Identity.
    pub id: u32,
    /// Body shape and clothes.
    pub appearance: Appearance,
    /// Motion.
    pub walker: Walker,
}

/// Plans are made in blocks of this length, so that a longer clip begins like a shorter one.
const BLOCK_SECS: f64 = 120.0;
/// Least distance between two people, meters; checked in the first seconds of a clip.
const MIN_DISTANCE: f64 = 0.75;
const CHECKED_SECS: f64 = 24.0;
/// Random plans that are tried for a person.
const ATTEMPTS: u64 = 12;

/// Creates the people of a clip, ids from 0: scripted ones first, then wandering ones.
pub fn create_actors(clip: &WalkersClip, body: &Body) -> Vec<Actor> {
    let secs = clip.frames as f64 / clip.fps;
    let horizon = BLOCK_SECS * ((secs + 10.0) / BLOCK_SECS).ceil();
    let mut actors: Vec<Actor> = Vec::new();
    for id in 0..clip.people {
        let mut appearance = Appearance::sample(clip.seed, id as u64);
        if let (Outfit::Same, Some(first)) = (clip.scene.outfit, actors.first()) {
            appearance.clothes = first.appearance.clothes.clone();
        }
        let skeleton = RestSkeleton::from_body(body, &appearance.betas);
        let walker = match clip.scene.person.get(id) {
            Some(script) => {
                let script = match clip.is_varied {
                    true => vary_plan(script.plan(), clip.seed, id as u64),
                    false => script.plan(),
                };
                let plan = then_wander(script, clip, id as u64, horizon);
                Walker::new(clip.seed, id as u64, &plan, &skeleton)
            }
            None => sample_separated_walker(clip, id as u64, &skeleton, &actors, horizon),
        };
        actors.push(Actor { id: id as u32, appearance, walker });
    }
    actors
}

/// Samples random plans through the area: the first at least [`MIN_DISTANCE`] from the other people, else the one of all
/// attempts that is farthest from them.
fn sample_separated_walker(
    clip: &WalkersClip,
    id: u64,
    skeleton: &RestSkeleton,
    others: &[Actor],
    horizon: f64,
) -> Walker {
    let mut best: Option<(f64, Walker)> = None;
    for attempt in 0..ATTEMPTS {
        let plan = Plan::wander(clip.seed, id + 1000 * attempt, clip.scene.wander_area(), horizon);
        let walker = Walker::new(clip.seed, id, &plan, skeleton);
        let distance =
            others.iter().map(|other| min_distance(&walker, &other.walker)).fold(f64::INFINITY, f64::min);
        let better = best.as_ref().is_none_or(|(most, _)| distance > *most);
        if better {
            best = Some((distance, walker));
        }
        if distance > MIN_DISTANCE {
            break;
        }
    }
    let (_, walker) = best.expect("there is at least one attempt");
    walker
}

/// Least distance between two people in the checked seconds.
fn min_distance(a: &Walker, b: &Walker) -> f64 {
    let at = |tick: i32| {
        let secs = f64::from(tick) * 0.125;
        let (p, q) = (a.position_at(secs), b.position_at(secs));
        libm::hypot(p[0] - q[0], p[1] - q[1])
    };
    (0..(CHECKED_SECS / 0.125) as i32).map(at).fold(f64::INFINITY, f64::min)
}

/// A scripted plan, continued by random wandering.
fn then_wander(mut script: Plan, clip: &WalkersClip, id: u64, horizon: f64) -> Plan {
    let wandering = Plan::wander(clip.seed, id, clip.scene.wander_area(), horizon);
    script.stages.extend(wandering.stages);
    script
}
