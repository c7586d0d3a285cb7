//! Who is in a clip: looks, measures, and the way each goes. Must not know pictures.

use super::super::motion::{Figure, Plan, Walker};
use super::super::people::Look;
use super::spec::WalkersClip;
use super::variation::varied;
use crate::body::Body;

/// One person of a clip.
pub struct Actor {
    pub id: u32,
    pub look: Look,
    pub walker: Walker,
}

/// Ways are planned in blocks of so many seconds, so that a longer clip begins as a shorter one does.
const BLOCK_SECS: f64 = 120.0;
/// How near two people may come, metres, and for how long into the clip that is looked at.
const ROOM: f64 = 0.75;
const LOOKED_AT_SECS: f64 = 24.0;
const TRIES: u64 = 12;

/// The people of a clip, from 0 on: those with a part first.
pub fn cast(clip: &WalkersClip, body: &Body) -> Vec<Actor> {
    let secs = clip.frames as f64 / clip.fps;
    let horizon = BLOCK_SECS * ((secs + 10.0) / BLOCK_SECS).ceil();
    let mut actors: Vec<Actor> = Vec::new();
    for id in 0..clip.people {
        let look = Look::draw(clip.seed, id as u64);
        let figure = Figure::of_body(body, &look.betas);
        let walker = match clip.scene.person.get(id) {
            Some(part) => {
                let part = match clip.is_varied {
                    true => varied(part.plan(), clip.seed, id as u64),
                    false => part.plan(),
                };
                let plan = with_afterwards(part, clip, id as u64, horizon);
                Walker::new(clip.seed, id as u64, &plan, &figure)
            }
            None => roomiest(clip, id as u64, &figure, &actors, horizon),
        };
        actors.push(Actor { id: id as u32, look, walker });
    }
    actors
}

/// Of a few ways through the area the first that keeps clear of the others, else the one that does best.
fn roomiest(clip: &WalkersClip, id: u64, figure: &Figure, others: &[Actor], horizon: f64) -> Walker {
    let mut best: Option<(f64, Walker)> = None;
    for attempt in 0..TRIES {
        let plan = Plan::wander(clip.seed, id + 1000 * attempt, clip.scene.wander_area(), horizon);
        let walker = Walker::new(clip.seed, id, &plan, figure);
        let room = others.iter().map(|other| nearest(&walker, &other.walker)).fold(f64::INFINITY, f64::min);
        let better = best.as_ref().is_none_or(|(most, _)| room > *most);
        if better {
            best = Some((room, walker));
        }
        if room > ROOM {
            break;
        }
    }
    let (_, walker) = best.expect("there is one try at least");
    walker
}

/// The least distance between two people in the seconds that are looked at.
fn nearest(a: &Walker, b: &Walker) -> f64 {
    let at = |tick: i32| {
        let secs = f64::from(tick) * 0.125;
        let (p, q) = (a.place(secs), b.place(secs));
        libm::hypot(p[0] - q[0], p[1] - q[1])
    };
    (0..(LOOKED_AT_SECS / 0.125) as i32).map(at).fold(f64::INFINITY, f64::min)
}

/// A part, and what its player does when it is over.
fn with_afterwards(mut part: Plan, clip: &WalkersClip, id: u64, horizon: f64) -> Plan {
    let wandering = Plan::wander(clip.seed, id, clip.scene.wander_area(), horizon);
    part.stages.extend(wandering.stages);
    part
}
