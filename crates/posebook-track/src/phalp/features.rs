//! What the tracker stores about a person, and the vectors that the reference packs it into.

use super::cues::PoseDistance;
use posebook_core::appearance::{Appearance, UvMap};
use posebook_core::frame::FrameSize;
use posebook_core::geometry::Vec3;
use posebook_core::person::{BBox, JOINTS, Person, SmplParams, square_from_pixel};
use std::sync::Arc;

/// Values in a pose vector: 9 of the global orientation, 207 of the body pose (23 matrices, row-major), 10 betas, 3
/// of the camera.
pub const POSE_LENGTH: usize = 229;
/// Values of a pose vector that enter the pose distance: all but the camera.
const COMPARED_LENGTH: usize = POSE_LENGTH - 3;
/// Values in a location vector: 45 points in the padded square (x, y), then the camera three times.
pub const LOCATION_LENGTH: usize = 99;
/// Values of the joints that the pose cue can compare: the 44 joints and the body's origin, which is always zero.
pub const JOINTS_LENGTH: usize = 3 * (JOINTS + 1);
/// Focal length of PHALP's camera divided by the side of its image, both in pixels.
pub const FOCAL_PER_SIDE: f64 = 5000.0 / 256.0;
/// The depth in a pose vector is in units of this many meters.
const DEPTH_SCALE: f32 = 200.0;
/// Height that a person is assumed to have where only a box is known, meters.
const ASSUMED_HEIGHT: f32 = 1.7;

/// The reference's pose vector (`smpl_to_pose_camera_vector`); `translation` in meters.
pub fn pose_vector(params: &SmplParams, translation: Vec3) -> [f32; POSE_LENGTH] {
    let mut vector = [0.0; POSE_LENGTH];
    let matrices = std::iter::once(&params.global_orient).chain(&params.body_pose);
    let camera = [translation[0], translation[1], translation[2] / DEPTH_SCALE];
    let values = matrices.flatten().flatten().chain(&params.betas).chain(&camera);
    for (slot, value) in vector.iter_mut().zip(values) {
        *slot = *value;
    }
    vector
}

/// Inverse of [`pose_vector`]: the parameters, and the translation in meters.
///
/// The reference's `pose_camera_vector_to_smpl` scales the depth inside its argument, so that unpacking twice gives
/// a depth 200 times too large. Here the argument is not changed.
pub fn params_from_pose_vector(vector: &[f32; POSE_LENGTH]) -> (SmplParams, Vec3) {
    let matrix = |offset: usize| {
        std::array::from_fn(|row| std::array::from_fn(|column| vector[offset + row * 3 + column]))
    };
    let params = SmplParams {
        global_orient: matrix(0),
        body_pose: std::array::from_fn(|joint| matrix(9 + joint * 9)),
        betas: std::array::from_fn(|index| vector[216 + index]),
    };
    (params, [vector[226], vector[227], vector[228] * DEPTH_SCALE])
}

/// The reference's location vector (`loca`): 45 points in units of the padded square, then the translation (meters)
/// three times.
///
/// # Panics
/// If there are not 45 points.
pub fn location_vector(joints_in_square: &[[f32; 2]], translation: Vec3) -> [f32; LOCATION_LENGTH] {
    assert_eq!(joints_in_square.len(), 45, "a location vector holds 45 points");
    let mut vector = [0.0; LOCATION_LENGTH];
    let values = joints_in_square.iter().flatten().chain(translation.iter().cycle().take(9));
    for (slot, value) in vector.iter_mut().zip(values) {
        *slot = *value;
    }
    vector
}

/// Location of a person: the two parts of a location vector that the tracker uses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Location {
    /// The body's origin in the image padded to a square, in units of the square's side.
    pub in_square: [f32; 2],
    /// The body's origin in the axes of PHALP's camera, meters.
    pub in_camera: Vec3,
}

/// What the pose cue compares of a person.
#[derive(Debug, Clone, PartialEq)]
pub enum Pose {
    /// SMPL's parameters and the camera, as [`pose_vector`] packs them; the camera is not compared.
    Smpl(Arc<[f32; POSE_LENGTH]>),
    /// The joints relative to the body's origin, then the origin: (45, 3), meters.
    Joints(Arc<[f32; JOINTS_LENGTH]>),
}

impl Pose {
    /// The pose of `person`.
    fn of(person: &Person, kind: PoseDistance) -> Pose {
        match kind {
            PoseDistance::Smpl => Pose::from(pose_vector(&person.params, person.translation)),
            PoseDistance::Joints => {
                let mut joints = [0.0; JOINTS_LENGTH];
                for (slot, value) in joints.iter_mut().zip(person.joints.iter().take(JOINTS).flatten()) {
                    *slot = *value;
                }
                Pose::Joints(Arc::new(joints))
            }
        }
    }

    /// A pose with all values zero.
    pub fn zero(kind: PoseDistance) -> Pose {
        match kind {
            PoseDistance::Smpl => Pose::from([0.0; POSE_LENGTH]),
            PoseDistance::Joints => Pose::Joints(Arc::new([0.0; JOINTS_LENGTH])),
        }
    }

    /// All values.
    pub fn values(&self) -> &[f32] {
        match self {
            Pose::Smpl(vector) => &vector[..],
            Pose::Joints(joints) => &joints[..],
        }
    }

    /// The values that are compared.
    fn compared(&self) -> &[f32] {
        match self {
            Pose::Smpl(vector) => &vector[..COMPARED_LENGTH],
            Pose::Joints(joints) => &joints[..],
        }
    }

    /// Squared distance (`get_pose_distance`).
    ///
    /// Summed in f64; the reference expands the square in f32, with an error of about 5e-5.
    ///
    /// # Panics
    /// If one is a pose vector and the other joints.
    pub fn squared_distance(&self, other: &Pose) -> f64 {
        let (a, b) = (self.compared(), other.compared());
        assert_eq!(a.len(), b.len(), "a pose vector and joints cannot be compared");
        squared_distance(a, b)
    }
}

impl From<[f32; POSE_LENGTH]> for Pose {
    fn from(vector: [f32; POSE_LENGTH]) -> Pose {
        Pose::Smpl(Arc::new(vector))
    }
}

/// Sum of the squared differences of two vectors of the same length, in f64.
pub(super) fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    // independent sums, which the compiler computes in parallel
    const LANES: usize = 8;
    let square = |(a, b): (&f32, &f32)| {
        let difference = f64::from(*a) - f64::from(*b);
        difference * difference
    };
    let mut sums = [0.0; LANES];
    let (a_lanes, b_lanes) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f64 = a_lanes.remainder().iter().zip(b_lanes.remainder()).map(square).sum();
    for (a, b) in a_lanes.zip(b_lanes) {
        for (sum, pair) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += square(pair);
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// A detected person as the tracker stores it.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// Frame index; the time axis of the tracker's regressions.
    pub frame_index: usize,
    /// What the pose cue compares.
    pub pose: Pose,
    /// Location.
    pub location: Location,
    /// Texture and embedding, if the texture cue needs them. A track takes them out when it stores the observation.
    pub appearance: Option<Appearance>,
    /// Confidence of the detection, 0 to 1; weights its texture.
    pub score: f32,
    /// Identity in the ground truth, only used with `use_gt`. `None` equals `None`: the reference gives all people
    /// without an identity the same one.
    pub ground_truth: Option<u32>,
    /// A person of annotated identity confirms its track at once, as annotated boxes do in the reference.
    pub annotated: bool,
}

impl Observation {
    /// The tracker's features of `person`; `None` if the body's origin or a joint is missing or a value is not finite.
    pub fn from_person(frame_index: usize, person: &Person, kind: PoseDistance) -> Option<Observation> {
        let in_square = *person.joints_in_square.get(JOINTS)?;
        if kind == PoseDistance::Joints && person.joints.len() < JOINTS {
            return None;
        }
        let observation = Observation {
            score: person.detection.score,
            ground_truth: person.detection.input_id,
            appearance: person.appearance.clone(),
            ..Observation::at(
                frame_index,
                Pose::of(person, kind),
                Location { in_square, in_camera: person.translation },
            )
        };
        observation.is_finite().then_some(observation)
    }

    /// The tracker's features of a person of whom only the box is known, in a frame of `size`; `None` if the box is empty
    /// or not finite.
    ///
    /// The body's origin is taken to be at the center of the box, and the person to be 1.7 m tall and as high as the box,
    /// which gives the depth. The pose is zero: such observations have a pose distance of 0 to each other. PHALP
    /// has no counterpart to this.
    pub fn from_box(
        frame_index: usize,
        size: FrameSize,
        bbox: &BBox,
        kind: PoseDistance,
    ) -> Option<Observation> {
        if bbox.area() <= 0.0 {
            return None;
        }
        let in_square = square_from_pixel(bbox.center(), size.width, size.height);
        let focal = FOCAL_PER_SIDE as f32;
        let depth = focal * ASSUMED_HEIGHT * size.longer_side() as f32 / bbox.height();
        let [x, y] = in_square.map(|coordinate| (coordinate - 0.5) * depth / focal);
        let location = Location { in_square, in_camera: [x, y, depth] };
        let observation = Observation::at(frame_index, Pose::zero(kind), location);
        observation.is_finite().then_some(observation)
    }

    /// A person of score 1 without appearance, identity and annotation.
    pub fn at(frame_index: usize, pose: Pose, location: Location) -> Observation {
        Observation {
            frame_index,
            pose,
            location,
            appearance: None,
            score: 1.0,
            ground_truth: None,
            annotated: false,
        }
    }

    /// Whether all values but those of the appearance are finite.
    fn is_finite(&self) -> bool {
        let Location { in_square, in_camera } = &self.location;
        let mut values = self.pose.values().iter().chain(in_square).chain(in_camera).chain([&self.score]);
        values.all(|value| value.is_finite())
    }
}

/// A track's prediction for the next frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// What the pose cue compares.
    pub pose: Pose,
    /// Location.
    pub location: Location,
    /// Widths of the prediction intervals: x and y in units of the square, depth as a factor.
    ///
    /// A track with a single match has no regression yet; the reference then uses its location in the camera as if
    /// it were this interval, and so does this field.
    pub interval: [f32; 3],
    /// The track's texture map, mixed from its matches; `None` if the texture cue does not need it.
    pub texture: Option<Arc<UvMap>>,
    /// The embedding of the last match; `None` if it has none.
    pub embedding: Option<Arc<[f32]>>,
}

impl Prediction {
    /// The prediction for a track with a single match, or without location prediction: no change. Without appearance.
    pub fn stationary(observation: &Observation) -> Prediction {
        Prediction {
            pose: observation.pose.clone(),
            location: observation.location,
            interval: observation.location.in_camera,
            texture: None,
            embedding: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpacking_does_not_change_the_vector() {
        let vector: [f32; POSE_LENGTH] = std::array::from_fn(|index| index as f32);
        let (params, translation) = params_from_pose_vector(&vector);
        assert_eq!(translation, [226.0, 227.0, 228.0 * 200.0]);
        assert_eq!(params.body_pose[22][2][2], 215.0);
        assert_eq!(params.betas[0], 216.0);
        assert_eq!(pose_vector(&params, translation), vector);
    }

    #[test]
    fn a_box_gives_a_location_at_its_center() {
        let size = FrameSize::new(640, 360);
        let bbox = BBox { x1: 300.0, y1: 100.0, x2: 340.0, y2: 260.0 };
        let observation = Observation::from_box(3, size, &bbox, PoseDistance::Smpl).unwrap();
        assert_eq!(observation.location.in_square, [0.5, 0.5]);
        let [x, y, depth] = observation.location.in_camera;
        assert_eq!([x, y], [0.0; 2]);
        // a person of 1.7 m at this depth is as high as the box: a quarter of the square
        assert!((5000.0 / 256.0 * 1.7 / depth - 0.25).abs() < 1e-6);
        assert!(observation.pose.values().iter().all(|&value| value == 0.0));
        for broken in [BBox { x2: 300.0, ..bbox }, BBox { y2: 90.0, ..bbox }, BBox { x1: f32::NAN, ..bbox }] {
            assert_eq!(Observation::from_box(3, size, &broken, PoseDistance::Joints), None);
        }
    }

    #[test]
    fn the_camera_does_not_enter_the_pose_distance() {
        let a = [0.0; POSE_LENGTH];
        let mut b = a;
        b[228] = 9.0;
        b[225] = 0.5;
        b[3] = 2.0;
        assert_eq!(Pose::from(a).squared_distance(&Pose::from(b)), 4.25);
    }
}
