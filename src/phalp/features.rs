//! What the tracker remembers of a person, and the vectors that the reference packs it into.

use crate::geometry::Vec3;
use crate::person::{Person, SmplParams};

/// Numbers in a pose vector: 9 of the global orientation, 207 of the body pose (23 matrices, row-major),
/// 10 betas, 3 of the camera.
pub const POSE_LENGTH: usize = 229;
/// The numbers of a pose vector that poses are compared by: all but the camera.
const COMPARED: usize = POSE_LENGTH - 3;
/// Numbers in a place vector: 45 points in the padded square (x, y), then the camera three times.
pub const PLACE_LENGTH: usize = 99;
/// The depth in a pose vector is in units of this many metres.
const DEPTH_UNIT: f32 = 200.0;

/// The pose vector of the reference (`smpl_to_pose_camera_vector`); `translation` in metres.
pub fn pose_vector(params: &SmplParams, translation: Vec3) -> [f32; POSE_LENGTH] {
    let mut vector = [0.0; POSE_LENGTH];
    let matrices = std::iter::once(&params.global_orient).chain(&params.body_pose);
    let camera = [translation[0], translation[1], translation[2] / DEPTH_UNIT];
    let numbers = matrices.flatten().flatten().chain(&params.betas).chain(&camera);
    for (slot, number) in vector.iter_mut().zip(numbers) {
        *slot = *number;
    }
    vector
}

/// What [`pose_vector`] packed: the parameters, and the translation in metres.
///
/// The reference's `pose_camera_vector_to_smpl` scales the depth inside its argument, so that
/// unpacking twice gives a depth 200 times too large. Here the argument is left as it was.
pub fn params_from_pose_vector(vector: &[f32; POSE_LENGTH]) -> (SmplParams, Vec3) {
    let matrix =
        |at: usize| std::array::from_fn(|row| std::array::from_fn(|column| vector[at + row * 3 + column]));
    let params = SmplParams {
        global_orient: matrix(0),
        body_pose: std::array::from_fn(|joint| matrix(9 + joint * 9)),
        betas: std::array::from_fn(|at| vector[216 + at]),
    };
    (params, [vector[226], vector[227], vector[228] * DEPTH_UNIT])
}

/// The place vector of the reference (`loca`): 45 points in units of the padded square, then the
/// translation (metres) three times.
///
/// # Panics
/// If there are not 45 points.
pub fn place_vector(joints_in_square: &[[f32; 2]], translation: Vec3) -> [f32; PLACE_LENGTH] {
    assert_eq!(joints_in_square.len(), 45, "a place vector holds 45 points");
    let mut vector = [0.0; PLACE_LENGTH];
    let numbers = joints_in_square.iter().flatten().chain(translation.iter().cycle().take(9));
    for (slot, number) in vector.iter_mut().zip(numbers) {
        *slot = *number;
    }
    vector
}

/// Where a person stood: the two parts of a place vector that the tracker reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// The body's origin in the picture padded to a square, in units of the square's side.
    pub in_square: [f32; 2],
    /// The same before PHALP's camera, metres.
    pub in_camera: Vec3,
}

/// A person as the tracker sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// The frame's number: time in the tracker's regressions.
    pub frame_index: usize,
    /// A pose vector, [`POSE_LENGTH`] numbers.
    pub pose: Box<[f32; POSE_LENGTH]>,
    pub place: Place,
    /// A person of known identity confirms its track at once, as annotated boxes do in the reference.
    pub annotated: bool,
}

impl Observation {
    /// What the tracker needs of `person`; `None` when the body's origin is missing or a number is not finite.
    pub fn of(frame_index: usize, person: &Person) -> Option<Observation> {
        let place = Place {
            in_square: *person.joints_in_square.get(crate::person::JOINTS)?,
            in_camera: person.translation,
        };
        let pose = Box::new(pose_vector(&person.params, person.translation));
        let numbers = pose.iter().chain(&place.in_square).chain(&place.in_camera);
        numbers.copied().all(f32::is_finite).then_some(Observation {
            frame_index,
            pose,
            place,
            annotated: false,
        })
    }
}

/// What a track expects to see in the next frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    pub pose: Box<[f32; POSE_LENGTH]>,
    pub place: Place,
    /// How wide the prediction is: x and y in units of the square, depth as a factor.
    ///
    /// A track that was seen once has no prediction yet; the reference then reads its place in the
    /// camera as if it were this interval, and so it stands here.
    pub interval: [f32; 3],
}

impl Expected {
    /// What is expected of a person that was seen once, or whose location is not foretold: the same again.
    pub fn again(seen: &Observation) -> Expected {
        Expected { pose: seen.pose.clone(), place: seen.place, interval: seen.place.in_camera }
    }
}

/// The squared distance between two pose vectors, their cameras left out (`get_pose_distance`).
///
/// Summed in f64; the reference expands the square in f32, which costs it about 5e-5.
pub(super) fn pose_distance(a: &[f32; POSE_LENGTH], b: &[f32; POSE_LENGTH]) -> f64 {
    let difference = |(a, b): (&f32, &f32)| f64::from(*a) - f64::from(*b);
    a.iter().zip(b).take(COMPARED).map(difference).map(|difference| difference * difference).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpacking_leaves_the_vector_as_it_was() {
        let vector: [f32; POSE_LENGTH] = std::array::from_fn(|at| at as f32);
        let (params, translation) = params_from_pose_vector(&vector);
        assert_eq!(translation, [226.0, 227.0, 228.0 * 200.0]);
        assert_eq!(params.body_pose[22][2][2], 215.0);
        assert_eq!(params.betas[0], 216.0);
        assert_eq!(pose_vector(&params, translation), vector);
    }

    #[test]
    fn the_camera_plays_no_part_in_the_pose() {
        let a = [0.0; POSE_LENGTH];
        let mut b = a;
        b[228] = 9.0;
        b[225] = 0.5;
        assert_eq!(pose_distance(&a, &b), 0.25);
    }
}
