//! People in motion, with random perturbations of their poses.

use super::SynthesisSettings;
use crate::motion::{Area, Plan, RestSkeleton, Walker};
use crate::people::Appearance;
use posebook_core::geometry::{IDENTITY, Mat3, Vec3, multiply, norm, scale};
use posebook_core::person::SmplParams;
use posebook_core::random::{RandomStream, stream};
use posebook_models::body::{Body, PosedBody};

/// Duration of a walk, seconds.
const WALK_SECS: f64 = 8.0;
/// Half the side of the walking area, meters.
const AREA_HALF_SIDE: f64 = 4.0;

/// A person with an appearance and a walk, used for several crops.
pub struct Walk {
    pub appearance: Appearance,
    walker: Walker,
}

/// A person at one time, in world axes.
pub struct PersonState {
    /// The orientation maps SMPL's rest axes to world axes.
    pub params: SmplParams,
    pub pelvis_in_world: Vec3,
}

impl Walk {
    /// The walk `number` of a seed.
    pub fn generate(body: &Body, seed: u64, number: u64) -> Walk {
        let appearance = Appearance::sample(seed, number);
        let skeleton = RestSkeleton::from_body(body, &appearance.betas);
        let area = Area { low: [-AREA_HALF_SIDE; 2], high: [AREA_HALF_SIDE; 2] };
        let plan = Plan::wander(seed, number, area, WALK_SECS);
        Walk { appearance, walker: Walker::new(seed, number, &plan, &skeleton) }
    }

    /// The person at a random time, with a perturbed pose or not.
    pub fn random_state(&self, drawing: &SynthesisSettings, draws: &mut RandomStream) -> PersonState {
        let pose = self.walker.pose_at(draws.range(0.0, WALK_SECS));
        let mut params = SmplParams {
            betas: self.appearance.betas,
            global_orient: pose.world_from_body,
            body_pose: pose.body_pose,
        };
        if draws.bernoulli(drawing.bent) {
            perturb_pose(&mut params, drawing.bend, draws);
        }
        PersonState { params, pelvis_in_world: pose.pelvis_in_world }
    }
}

impl PersonState {
    /// Poses the body in camera axes with its pelvis at `pelvis_in_camera`: parameters, body and translation.
    pub fn in_camera(
        &self,
        body: &Body,
        camera_from_world: &Mat3,
        pelvis_in_camera: Vec3,
    ) -> (SmplParams, PosedBody, Vec3) {
        let mut params = self.params.clone();
        params.global_orient = multiply(camera_from_world, &params.global_orient);
        let posed = body.pose(&params);
        let translation = posebook_core::geometry::sub(pelvis_in_camera, posed.joints24[0]);
        (params, posed, translation)
    }
}

/// Perturbs every joint rotation (limbs more) and the orientation.
pub fn perturb_pose(params: &mut SmplParams, size: f64, draws: &mut RandomStream) {
    const LIMBS: [usize; 8] = [1, 2, 4, 5, 16, 17, 18, 19];
    let strongly = draws.bernoulli(0.3);
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
        let rotation = random_rotation(draws, angle);
        params.body_pose[joint - 1] = multiply(&params.body_pose[joint - 1], &rotation);
    }
    params.global_orient = multiply(&params.global_orient, &random_rotation(draws, 0.7 * size));
}

/// A rotation vector with a deviation of `size` radians per axis, as a matrix.
fn random_rotation(draws: &mut RandomStream, size: f64) -> Mat3 {
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

/// A random stream for one purpose of training.
pub fn random_stream(seed: u64, purpose: &str, number: u64) -> RandomStream {
    stream(seed, &format!("train/{purpose}"), &[number])
}
