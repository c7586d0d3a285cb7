//! People to draw: on their ways through the world, now and then bent further than any way would.

use super::Drawing;
use crate::body::{Body, Posed};
use crate::dataset::motion::{Area, Figure, Plan, Walker};
use crate::dataset::people::Look;
use crate::geometry::{IDENTITY, Mat3, Vec3, multiply, norm, scale};
use crate::person::SmplParams;
use crate::random::{Stream, stream};

/// How long a way is, seconds.
const WAY_SECS: f64 = 8.0;
/// Half the side of the ground that ways go through, metres.
const HALF: f64 = 4.0;

/// A person with looks and a way, from which many pictures are taken.
pub struct Walk {
    pub look: Look,
    walker: Walker,
}

/// A person at one moment, in world axes around the pelvis.
pub struct Moment {
    /// With the orientation from SMPL's rest axes into the world.
    pub params: SmplParams,
    pub pelvis_in_world: Vec3,
}

impl Walk {
    /// The walk `number` under `seed`.
    pub fn draw(body: &Body, seed: u64, number: u64) -> Walk {
        let look = Look::draw(seed, number);
        let figure = Figure::of_body(body, &look.betas);
        let area = Area { low: [-HALF; 2], high: [HALF; 2] };
        let plan = Plan::wander(seed, number, area, WAY_SECS);
        Walk { look, walker: Walker::new(seed, number, &plan, &figure) }
    }

    /// The person at a random time of the way, bent further or not.
    pub fn moment(&self, drawing: &Drawing, draws: &mut Stream) -> Moment {
        let stance = self.walker.at(draws.range(0.0, WAY_SECS));
        let mut params = SmplParams {
            betas: self.look.betas,
            global_orient: stance.world_from_body,
            body_pose: stance.body_pose,
        };
        if draws.chance(drawing.bent) {
            bend(&mut params, drawing.bend, draws);
        }
        Moment { params, pelvis_in_world: stance.pelvis_in_world }
    }
}

impl Moment {
    /// The posed body in camera axes, its pelvis joint at `pelvis_in_camera`, and its parameters there.
    pub fn seen(
        &self,
        body: &Body,
        camera_from_world: &Mat3,
        pelvis_in_camera: Vec3,
    ) -> (SmplParams, Posed, Vec3) {
        let mut params = self.params.clone();
        params.global_orient = multiply(camera_from_world, &params.global_orient);
        let posed = body.pose(&params);
        let translation = crate::geometry::sub(pelvis_in_camera, posed.joints24[0]);
        (params, posed, translation)
    }
}

/// Bends every joint a little, arms and legs more, and leans the body.
fn bend(params: &mut SmplParams, size: f64, draws: &mut Stream) {
    const LIMBS: [usize; 8] = [1, 2, 4, 5, 16, 17, 18, 19];
    let strongly = draws.chance(0.3);
    for joint in 1..24 {
        let limb = LIMBS.contains(&joint);
        let angle = size
            * if limb && strongly {
                2.5
            } else if limb {
                1.2
            } else {
                0.5
            };
        let turn = random_turn(draws, angle);
        params.body_pose[joint - 1] = multiply(&params.body_pose[joint - 1], &turn);
    }
    params.global_orient = multiply(&params.global_orient, &random_turn(draws, 0.7 * size));
}

/// A rotation about a random axis, of `size` radians about each (deviation).
fn random_turn(draws: &mut Stream, size: f64) -> Mat3 {
    let vector: Vec3 = std::array::from_fn(|_| (size * draws.normal()) as f32);
    let angle = norm(vector);
    if angle < 1e-6 {
        return IDENTITY;
    }
    let axis = scale(vector, 1.0 / angle);
    let (sine, cosine) = (libm::sinf(angle), libm::cosf(angle));
    let k = [[0.0, -axis[2], axis[1]], [axis[2], 0.0, -axis[0]], [-axis[1], axis[0], 0.0]];
    let square = multiply(&k, &k);
    std::array::from_fn(|i| {
        std::array::from_fn(|j| IDENTITY[i][j] + sine * k[i][j] + (1.0 - cosine) * square[i][j])
    })
}

/// A stream of draws for one purpose of training.
pub fn draws(seed: u64, purpose: &str, number: u64) -> Stream {
    stream(seed, &format!("train/{purpose}"), &[number])
}
