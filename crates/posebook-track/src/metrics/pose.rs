//! Body errors: points in meters, errors in millimeters, sums in f64.
//!
//! Definitions are those of 4D-Humans' evaluation (`hmr2/utils/pose_utils.py`) where it has one.

pub use super::rigid::Similarity;
use posebook_core::geometry::Vec3;
use posebook_core::person::{COMMON_JOINTS, JOINTS, PELVIS};

const MM_PER_METER: f64 = 1000.0;

fn distance(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

/// Mean distance of pairs of points, without alignment.
///
/// # Panics
/// If the slices are empty or differ in length.
pub fn mean_distance_mm(predicted: &[Vec3], truth: &[Vec3]) -> f64 {
    rooted_distance_mm(predicted, [0.0; 3], truth, [0.0; 3])
}

/// Mean distance of pairs of points, each side relative to its own root: MPJPE for joints, PVE for vertices.
///
/// # Panics
/// If the slices are empty or differ in length.
pub fn rooted_distance_mm(predicted: &[Vec3], predicted_root: Vec3, truth: &[Vec3], truth_root: Vec3) -> f64 {
    assert!(!truth.is_empty() && predicted.len() == truth.len(), "points come in pairs");
    let from =
        |point: Vec3, root: Vec3| std::array::from_fn(|axis| f64::from(point[axis]) - f64::from(root[axis]));
    let pairs = predicted.iter().zip(truth);
    MM_PER_METER * mean(pairs.map(|(p, t)| distance(from(*p, predicted_root), from(*t, truth_root))))
}

/// Mean distance after the best similarity transform of the prediction (PA-MPJPE).
///
/// `None` if all predicted points coincide (see [`Similarity::between`]).
pub fn pa_mpjpe_mm(predicted: &[Vec3], truth: &[Vec3]) -> Option<f64> {
    let truth_from_predicted = Similarity::between(predicted, truth)?;
    let pairs = predicted.iter().zip(truth);
    Some(MM_PER_METER * mean(pairs.map(|(p, t)| distance(truth_from_predicted.apply(*p), t.map(f64::from)))))
}

/// Joint errors of one body.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JointErrors {
    /// MPJPE: mean distance of the 14 common joints, both sides relative to the pelvis.
    pub mpjpe_mm: f64,
    /// The same after the best similarity transform; `None` where that is undefined.
    pub pa_mpjpe_mm: Option<f64>,
}

/// Joint errors over the 14 common joints of two bodies of 44 joints.
///
/// # Panics
/// If a side has fewer than 44 joints.
pub fn joint_errors(predicted: &[Vec3], truth: &[Vec3]) -> JointErrors {
    assert!(predicted.len() >= JOINTS && truth.len() >= JOINTS, "a body has {JOINTS} joints");
    let common = |joints: &[Vec3]| COMMON_JOINTS.map(|joint| joints[joint]);
    let (from, to) = (common(predicted), common(truth));
    JointErrors {
        mpjpe_mm: rooted_distance_mm(&from, predicted[PELVIS], &to, truth[PELVIS]),
        pa_mpjpe_mm: pa_mpjpe_mm(&from, &to),
    }
}

/// Mean distance of the accelerations of three consecutive frames, in mm per frame squared (Kanazawa et al., CVPR
/// 2019). The mean over a track's inner frames is its acceleration error.
///
/// # Panics
/// If the frames are empty or differ in length.
pub fn acceleration_error_mm(predicted: [&[Vec3]; 3], truth: [&[Vec3]; 3]) -> f64 {
    let count = truth[0].len();
    assert!(
        count > 0 && predicted.iter().chain(&truth).all(|frame| frame.len() == count),
        "joints come in pairs"
    );
    let acceleration = |frames: [&[Vec3]; 3], joint: usize| -> [f64; 3] {
        let [before, now, after] = frames.map(|frame| frame[joint].map(f64::from));
        std::array::from_fn(|axis| before[axis] - 2.0 * now[axis] + after[axis])
    };
    MM_PER_METER
        * mean((0..count).map(|joint| distance(acceleration(predicted, joint), acceleration(truth, joint))))
}

/// Jitter of a track's joints: mean over joints and inner frames of the length of the second difference `before - 2
/// now + after`, in mm per frame squared.
///
/// The frames have to be consecutive; the value depends on the frame rate (at half the rate the same motion has
/// four times the second difference, the same noise as much). `None` with fewer than three frames.
///
/// # Panics
/// If frames are empty or differ in length.
pub fn jitter_mm_per_frame2(frames: &[&[Vec3]]) -> Option<f64> {
    if frames.len() < 3 {
        return None;
    }
    let still = vec![[0.0; 3]; frames[0].len()];
    let inner =
        frames.windows(3).map(|three| acceleration_error_mm([three[0], three[1], three[2]], [&still; 3]));
    Some(mean(inner))
}

/// 2D joints of one person, predicted and ground truth.
#[derive(Debug, Clone, Copy)]
pub struct Keypoints<'a> {
    /// Predicted positions, pixels.
    pub predicted: &'a [[f32; 2]],
    /// Ground truth positions, pixels.
    pub truth: &'a [[f32; 2]],
    /// Confidence of the ground truth joints; only those above 0.5 count.
    pub confidence: &'a [f32],
    /// Coordinates are multiplied by this before they are compared: one over the person's size.
    pub scale: f32,
}

/// Percentage of correct keypoints, as a share.
#[derive(Debug, Clone, PartialEq)]
pub struct Pck {
    /// For each joint; `None` where no person has it visible.
    pub per_joint: Vec<Option<f64>>,
    /// Mean over the joints that are visible in at least one person.
    pub mean: Option<f64>,
}

/// Share of joints closer to the ground truth than `threshold` (strictly; in f32, as in the reference).
pub fn pck(people: &[Keypoints<'_>], threshold: f32) -> Pck {
    let joints = people.first().map_or(0, |person| person.truth.len());
    let of_joint = |joint: usize| -> Option<f64> {
        let visible = people.iter().filter(|person| person.confidence[joint] > 0.5);
        let near = visible.map(|person| {
            let offset = |axis: usize| {
                person.predicted[joint][axis] * person.scale - person.truth[joint][axis] * person.scale
            };
            (offset(0) * offset(0) + offset(1) * offset(1)).sqrt() < threshold
        });
        let near: Vec<bool> = near.collect();
        let correct = near.iter().filter(|&&correct| correct).count();
        (!near.is_empty()).then(|| correct as f64 / near.len() as f64)
    };
    let per_joint: Vec<Option<f64>> = (0..joints).map(of_joint).collect();
    let visible_shares: Vec<f64> = per_joint.iter().flatten().copied().collect();
    let average = (!visible_shares.is_empty()).then(|| mean(visible_shares.iter().copied()));
    Pck { per_joint, mean: average }
}

/// Mean over a person's joints of confidence times squared distance, unscaled.
///
/// # Panics
/// If there are no joints.
pub fn keypoint_l2(person: &Keypoints<'_>) -> f64 {
    let joints = person.predicted.iter().zip(person.truth).zip(person.confidence);
    mean(joints.map(|(([x, y], [true_x, true_y]), confidence)| {
        let square = |a: f32, b: f32| (f64::from(a) - f64::from(b)).powi(2);
        f64::from(*confidence) * (square(*x, *true_x) + square(*y, *true_y))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn points(count: usize) -> impl Strategy<Value = Vec<Vec3>> {
        prop::collection::vec([-1.0f32..1.0, -1.0f32..1.0, -1.0f32..1.0], count)
    }

    /// Rotates by `angle` about the first axis, then by twice that about the last.
    fn rotated(point: Vec3, angle: f32) -> Vec3 {
        let [x, y, z] = point;
        let (sine, cosine) = angle.sin_cos();
        let (y, z) = (cosine * y - sine * z, sine * y + cosine * z);
        let (sine, cosine) = (2.0 * angle).sin_cos();
        [cosine * x - sine * y, sine * x + cosine * y, z]
    }

    proptest! {
        #[test]
        fn pa_mpjpe_is_invariant_to_similarities(predicted in points(14), truth in points(14), angle in 0.0f32..6.3,
                                         scale in 0.3f32..3.0, shift in [-5.0f32..5.0, -5.0f32..5.0, -5.0f32..5.0]) {
            let moved: Vec<Vec3> = predicted.iter().map(|&point| {
                let rotated = rotated(point, angle);
                std::array::from_fn(|axis| scale * rotated[axis] + shift[axis])
            }).collect();
            let (before, after) = (pa_mpjpe_mm(&predicted, &truth).unwrap(), pa_mpjpe_mm(&moved, &truth).unwrap());
            prop_assert!((before - after).abs() < 0.02, "{} {}", before, after);
            prop_assert!(pa_mpjpe_mm(&moved, &predicted).unwrap() < 0.02);
        }

        #[test]
        fn the_similarity_minimizes_the_squared_error(predicted in points(20), truth in points(20)) {
            // any change of the transform must increase the sum of squared distances
            let transform = Similarity::between(&predicted, &truth).unwrap();
            let squares = |placed: &dyn Fn(Vec3) -> [f64; 3]| -> f64 {
                predicted.iter().zip(&truth).map(|(p, t)| distance(placed(*p), t.map(f64::from)).powi(2)).sum()
            };
            let best = squares(&|point| transform.apply(point));
            prop_assert!(best <= squares(&|point| point.map(f64::from)) + 1e-9);
            let nudged = Similarity { scale: transform.scale * 1.01, ..transform };
            prop_assert!(best <= squares(&|point| nudged.apply(point)) + 1e-9);
            let determinant = {
                let [a, b, c] = transform.rotation;
                a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0]) + a[2] * (b[0] * c[1] - b[1] * c[0])
            };
            prop_assert!((determinant - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn a_mirror_image_is_not_aligned() {
        let truth = [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0f32]];
        let mirrored = truth.map(|[x, y, z]| [-x, y, z]);
        assert!(pa_mpjpe_mm(&mirrored, &truth).unwrap() > 100.0);
    }

    #[test]
    fn a_collapsed_body_has_no_pa_mpjpe() {
        let truth = [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 2.0, 0.0f32]];
        assert_eq!(pa_mpjpe_mm(&[[0.1, 0.2, 0.3]; 3], &truth), None);
        assert!(pa_mpjpe_mm(&truth, &[[0.1, 0.2, 0.3]; 3]).unwrap() < 1e-3);
    }

    #[test]
    fn constant_speed_has_no_acceleration_error() {
        let walk = |speed: f32| [0.0, 1.0, 2.0].map(|frame: f32| vec![[frame * speed, 0.0, 0.0]; 3]);
        let (slow, fast) = (walk(0.1), walk(0.3));
        let frames = |walk: &[Vec<Vec3>; 3]| {
            acceleration_error_mm([&walk[0], &walk[1], &walk[2]], [&slow[0], &slow[1], &slow[2]])
        };
        assert!(frames(&fast) < 1e-3);
        let still = vec![[0.0; 3]; 3];
        let jump = vec![[0.01, 0.0, 0.0]; 3];
        let error = acceleration_error_mm([&still, &jump, &still], [&still, &still, &still]);
        assert!((error - 20.0).abs() < 1e-3);
    }

    #[test]
    fn jitter_is_the_second_difference() {
        let at = |x: f32| vec![[x, 0.0, 0.0], [0.0, x, 0.0]];
        let frames = [at(0.0), at(0.1), at(0.2), at(0.31)];
        let track: Vec<&[Vec3]> = frames.iter().map(Vec::as_slice).collect();
        // the inner frames have second differences of 0 and 10 mm
        assert!((jitter_mm_per_frame2(&track).unwrap() - 5.0).abs() < 1e-3);
        assert_eq!(jitter_mm_per_frame2(&track[..2]), None);
    }

    #[test]
    fn keypoints_on_the_threshold_are_wrong() {
        let person = Keypoints {
            predicted: &[[0.25, 0.0], [0.0, 0.0], [9.0, 9.0]],
            truth: &[[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]],
            confidence: &[1.0, 0.51, 0.5],
            scale: 1.0,
        };
        let share = pck(&[person], 0.25);
        assert_eq!(share.per_joint, [Some(0.0), Some(1.0), None]);
        assert_eq!(share.mean, Some(0.5));
    }
}
