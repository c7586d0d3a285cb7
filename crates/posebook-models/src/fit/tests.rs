//! Tests of the fit: round trips of random poses, and missing, wrong or degenerate landmarks.

use super::linear::{exp, multiply};
use super::*;
use crate::body::PosedBody;
use posebook_core::geometry::{Vec3, add, apply, norm, scale, sub};
use posebook_core::landmarks::{LANDMARKS, point};
use posebook_core::random::{RandomStream, stream};
use std::sync::LazyLock;

static BODY: LazyLock<Body> = LazyLock::new(Body::built_in);
static FITTER: LazyLock<Fitter> = LazyLock::new(|| Fitter::new(&BODY).unwrap());

/// Camera of every round trip: pixels per meter, and the origin's projection.
const SCALE: f32 = 220.0;
const OFFSET: [f32; 2] = [400.0, 300.0];

/// A plausible pose from any viewpoint: within joint limits, with little twist of limbs.
fn random_person(draws: &mut RandomStream) -> SmplParams {
    let about = |v: [f64; 3]| exp(v);
    let mut rotations = [linear::IDENTITY; 24];
    // the body's y is up and its z to the front; the camera's y is down and its z away
    let upright = about([std::f64::consts::PI, 0.0, 0.0]);
    let side = about([0.0, draws.range(-3.1, 3.1), 0.0]);
    let lean = about([draws.range(-0.4, 0.4), 0.0, draws.range(-0.4, 0.4)]);
    rotations[0] = multiply(&upright, &multiply(&lean, &side));
    for spine in [3, 6, 9] {
        rotations[spine] =
            about([draws.range(-0.05, 0.15), draws.range(-0.1, 0.1), draws.range(-0.06, 0.06)]);
    }
    for neck in [12, 15] {
        rotations[neck] = about([draws.range(-0.15, 0.25), draws.range(-0.35, 0.35), draws.range(-0.1, 0.1)]);
    }
    for (left, sign) in [(true, 1.0), (false, -1.0)] {
        let joint = |of_left: usize| if left { of_left } else { of_left + 1 };
        // moving thighs forward is a negative rotation about x, bending knees a positive one
        rotations[joint(1)] =
            about([draws.range(-1.3, 0.3), draws.range(-0.2, 0.2), sign * draws.range(-0.1, 0.4)]);
        rotations[joint(4)] = about([draws.range(0.0, 1.6), 0.0, 0.0]);
        rotations[joint(7)] = about([draws.range(-0.3, 0.4), draws.range(-0.1, 0.1), 0.0]);
        rotations[joint(13)] = about([0.0, 0.0, sign * draws.range(-0.1, 0.1)]);
        // lowering the left arm is a negative rotation about z, bending the elbow forward a negative one about y
        let down = about([0.0, 0.0, sign * draws.range(-1.4, 0.3)]);
        let swing = about([draws.range(-0.8, 0.8), sign * draws.range(-0.6, 0.2), 0.0]);
        rotations[joint(16)] = multiply(&swing, &down);
        rotations[joint(18)] = about([0.0, sign * draws.range(-1.8, 0.0), 0.0]);
        rotations[joint(20)] =
            about([draws.range(-0.2, 0.2), draws.range(-0.2, 0.2), draws.range(-0.3, 0.3)]);
    }
    SmplParams {
        betas: std::array::from_fn(|_| draws.normal() as f32),
        global_orient: narrow(&rotations[0]),
        body_pose: std::array::from_fn(|joint| narrow(&rotations[joint + 1])),
    }
}

/// The exact landmarks of a posed body.
fn landmarks_of(params: &SmplParams) -> (Landmarks, PosedBody) {
    let posed = BODY.pose(params);
    let mut world = [[0.0; 3]; LANDMARKS];
    for (index, joint) in model::JOINT_POINTS.into_iter().enumerate() {
        world[SCORED_LANDMARKS[index]] = posed.joints24[joint];
    }
    let openpose = [(0, 0), (2, 16), (5, 15), (7, 18), (8, 17), (29, 21), (30, 24), (31, 19), (32, 22)];
    for (landmark, joint44) in openpose {
        world[landmark] = posed.joints44[joint44];
    }
    let chain = [0, 3, 6, 9];
    let mut wrists = [params.global_orient; 2];
    for (wrist, arm) in wrists.iter_mut().zip([[13, 16, 18, 20], [14, 17, 19, 21]]) {
        for joint in chain[1..].iter().chain(&arm) {
            *wrist = posebook_core::geometry::multiply(wrist, &params.body_pose[joint - 1]);
        }
    }
    for (side, wrist) in wrists.iter().enumerate() {
        let across = scale(apply(wrist, [0.0, 0.0, 1.0]), 0.03);
        let hand = posed.joints24[22 + side];
        world[point::LEFT_INDEX_FINGER + side] = add(hand, across);
        world[point::LEFT_LITTLE_FINGER + side] = sub(hand, across);
    }
    let pixels = world.map(|at| [0, 1].map(|axis| SCALE * at[axis] + OFFSET[axis]));
    let root = scale(add(world[point::LEFT_HIP], world[point::RIGHT_HIP]), 0.5);
    let world = world.map(|at| sub(at, root));
    (Landmarks { pixels, world, visibility: [1.0; LANDMARKS], presence: 1.0 }, posed)
}

/// Mean distances of joints and vertices, both relative to the midpoint of the hips, in millimeters.
fn errors(fitted: &SmplParams, truth: &PosedBody) -> [f32; 2] {
    let posed = BODY.pose(fitted);
    let root = |joints: &[Vec3]| scale(add(joints[1], joints[2]), 0.5);
    let (from, to) = (root(&posed.joints24), root(&truth.joints24));
    let mean = |a: &[Vec3], b: &[Vec3]| {
        let sum: f32 = a.iter().zip(b).map(|(a, b)| norm(sub(sub(*a, from), sub(*b, to)))).sum();
        1000.0 * sum / a.len() as f32
    };
    [mean(&posed.joints24, &truth.joints24), mean(&posed.vertices, &truth.vertices)]
}

/// Mean errors of 40 round trips with Gaussian noise on each coordinate of world points, and image points.
fn round_trips([world_m, image_m]: [f64; 2], settings: &Settings) -> [f32; 2] {
    let mut sums = [0.0; 2];
    for trip in 0..40 {
        let mut draws = stream(12, "round trip", &[trip]);
        let (mut landmarks, posed) = landmarks_of(&random_person(&mut draws));
        for at in &mut landmarks.world {
            *at = at.map(|x| x + (world_m * draws.normal()) as f32);
        }
        for at in &mut landmarks.pixels {
            *at = at.map(|x| x + SCALE * (image_m * draws.normal()) as f32);
        }
        let fit = FITTER.fit(&landmarks, None, settings).unwrap();
        let [joints, vertices] = errors(&fit.params, &posed);
        sums = [sums[0] + joints / 40.0, sums[1] + vertices / 40.0];
    }
    sums
}

#[test]
fn exact_points_reproduce_the_body() {
    let [joints, vertices] = round_trips([0.0; 2], &Settings::default());
    let first = round_trips([0.0; 2], &Settings { steps: 0, ..Settings::default() });
    println!("exact points: joints {joints} mm, vertices {vertices} mm, closed form alone {first:?}");
    assert!(joints < 10.0 && vertices < 14.0, "{joints} {vertices}");
    assert!(
        first[0] < 50.0 && first[0] > joints,
        "the closed form is close, and the steps improve it: {first:?}"
    );
}

#[test]
fn noise_is_not_amplified() {
    for (image_m, most) in [(0.0, 27.0), (0.012, 30.0), (0.03, 42.0)] {
        let [joints, vertices] = round_trips([0.03, image_m], &Settings::default());
        println!("30 mm of noise, {image_m} m in the image: joints {joints} mm, vertices {vertices} mm");
        // the mean length of such noise is 48 mm
        assert!(joints < most, "{joints}");
    }
}

#[test]
fn the_camera_is_recovered() {
    let (landmarks, posed) = landmarks_of(&random_person(&mut stream(4, "camera", &[])));
    let fit = FITTER.fit(&landmarks, None, &Settings::default()).unwrap();
    assert!((fit.scale_px_per_m / f64::from(SCALE) - 1.0).abs() < 0.03, "{}", fit.scale_px_per_m);
    let knee = posed.joints24[4];
    let again = BODY.pose(&fit.params).joints24[4];
    for axis in 0..2 {
        let expected = f64::from(SCALE * knee[axis] + OFFSET[axis]);
        let found = fit.scale_px_per_m * f64::from(again[axis]) + fit.offset_px[axis];
        assert!((expected - found).abs() < 6.0, "{expected} {found}");
    }
    assert!(fit.residual_px < 6.0 && fit.residual_mm < 25.0, "{} {}", fit.residual_px, fit.residual_mm);
}

#[test]
fn a_tracks_shape_reduces_the_error() {
    // one person in 30 poses: with the running mean the errors are smaller than without
    let betas: [f32; 10] = std::array::from_fn(|beta| if beta % 2 == 0 { 1.2 } else { -0.8 });
    let mut track = TrackBetas::new();
    let [mut with, mut without] = [0.0; 2];
    for frame in 0..30 {
        let mut draws = stream(9, "track", &[frame]);
        let (landmarks, posed) = landmarks_of(&SmplParams { betas, ..random_person(&mut draws) });
        let fit = FITTER.fit(&landmarks, track.prior(), &Settings::default()).unwrap();
        track.push(&fit.params.betas);
        let alone = FITTER.fit(&landmarks, None, &Settings::default()).unwrap();
        with += errors(&fit.params, &posed)[0];
        without += errors(&alone.params, &posed)[0];
    }
    assert!(with < without, "{with} {without}");
}

#[test]
fn people_upside_down_and_from_behind_are_fitted() {
    let mut draws = stream(5, "upside down", &[]);
    let person = random_person(&mut draws);
    for turn in [[0.0, 0.0, std::f64::consts::PI], [0.0, std::f64::consts::PI, 0.0], [1.5, 0.0, 0.0]] {
        let global_orient = posebook_core::geometry::multiply(&narrow(&exp(turn)), &person.global_orient);
        let (landmarks, posed) = landmarks_of(&SmplParams { global_orient, ..person.clone() });
        let fit = FITTER.fit(&landmarks, None, &Settings::default()).unwrap();
        let [joints, _] = errors(&fit.params, &posed);
        assert!(joints < 20.0, "{turn:?}: {joints} mm");
    }
}

#[test]
fn hidden_points_have_less_weight_and_more_uncertainty() {
    let person = random_person(&mut stream(6, "hidden", &[]));
    let (mut landmarks, posed) = landmarks_of(&person);
    let visible = FITTER.fit(&landmarks, None, &Settings::default()).unwrap();
    for leg in [point::LEFT_KNEE, point::LEFT_ANKLE, point::LEFT_HEEL, point::LEFT_TOE] {
        landmarks.visibility[leg] = 0.0;
    }
    let hidden = FITTER.fit(&landmarks, None, &Settings::default()).unwrap();
    // indices in SCORED_LANDMARKS: 8 is the left knee, 10 the left ankle, 11 the right
    for joint in [8, 10] {
        assert!(hidden.deviation_mm[joint] > 1.2 * visible.deviation_mm[joint], "{:?}", hidden.deviation_mm);
    }
    assert!(hidden.deviation_mm[10] > 1.2 * hidden.deviation_mm[11], "{:?}", hidden.deviation_mm);
    for (leg, at) in [(point::LEFT_KNEE, 0.4), (point::LEFT_ANKLE, 0.8)] {
        landmarks.world[leg] = [f32::NAN; 3];
        landmarks.pixels[leg] = [f32::INFINITY; 2];
        landmarks.visibility[leg] = f32::NAN;
        let missing = FITTER.fit(&landmarks, None, &Settings::default()).unwrap();
        let [joints, _] = errors(&missing.params, &posed);
        assert!(joints < 400.0 * at, "{joints}");
    }
    let alone = FITTER.fit(&landmarks, None, &Settings::default()).unwrap();
    assert!(alone.deviation_mm[10] > hidden.deviation_mm[10], "{:?}", alone.deviation_mm);
}

#[test]
fn degenerate_landmarks_are_errors() {
    let (valid, _) = landmarks_of(&random_person(&mut stream(7, "degenerate", &[])));
    let fit = |change: &dyn Fn(&mut Landmarks)| {
        let mut landmarks = valid.clone();
        change(&mut landmarks);
        FITTER.fit(&landmarks, None, &Settings::default())
    };
    let one_point = fit(&|l| l.world = [[0.3; 3]; LANDMARKS]);
    assert!(matches!(one_point, Err(FitError::Degenerate { .. })), "{one_point:?}");
    let one_pixel = fit(&|l| l.pixels = [[5.0; 2]; LANDMARKS]);
    assert!(matches!(one_pixel, Err(FitError::Degenerate { .. })), "{one_pixel:?}");
    let line = fit(&|l| l.world = std::array::from_fn(|at| [0.0, 0.1 * at as f32, 0.0]));
    assert!(matches!(line, Err(FitError::Degenerate { .. })), "{line:?}");
    let giant = fit(&|l| l.world = l.world.map(|at| scale(at, 10.0)));
    assert!(matches!(giant, Err(FitError::Degenerate { .. })), "{giant:?}");
    let mirrored = fit(&|l| l.pixels = l.pixels.map(|[x, y]| [1000.0 - x, 1000.0 - y]));
    assert!(matches!(mirrored, Err(FitError::Degenerate { .. })), "{mirrored:?}");
    let hip = fit(&|l| l.world[point::LEFT_HIP][1] = f32::NAN).unwrap_err();
    assert_eq!(hip, FitError::Missing { name: "left hip", space: "world" });
    let no_pixels = fit(&|l| l.pixels = [[f32::NAN; 2]; LANDMARKS]).unwrap_err();
    assert!(matches!(no_pixels, FitError::Missing { space: "image", .. }), "{no_pixels}");
    let settings = Settings { steps: 1000, ..Settings::default() };
    assert!(matches!(
        FITTER.fit(&valid, None, &settings),
        Err(FitError::InvalidSetting { name: "steps", .. })
    ));
}

#[test]
fn random_landmarks_never_give_nan() {
    let mut fitted = 0;
    for case in 0..200 {
        let mut draws = stream(8, "noise", &[case]);
        let size = [1e-30, 1e-2, 0.3, 1.0, 1e4, 1e18, 3e38][case as usize % 7];
        let mut number = || if draws.bernoulli(0.1) { 0.0 } else { (size * draws.normal()) as f32 };
        let mut landmarks = Landmarks {
            pixels: std::array::from_fn(|_| [number(), number()]),
            world: std::array::from_fn(|_| [number(), number(), number()]),
            visibility: std::array::from_fn(|_| number()),
            presence: 1.0,
        };
        if case % 5 == 0 {
            landmarks.world[case as usize % LANDMARKS] = [f32::NAN; 3];
        }
        // the result is an error or, by `Fit::is_finite`, finite
        if let Ok(fit) = FITTER.fit(&landmarks, Some(&[f32::NAN; 10]), &Settings::default()) {
            fitted += 1;
            let rotation = fit.params.global_orient;
            let length: f32 = rotation.as_flattened().iter().map(|x| x * x).sum();
            assert!((length - 3.0).abs() < 1e-3, "case {case}: {rotation:?}");
            assert!(
                fit.params.betas.iter().all(|beta| beta.abs() <= 5.0),
                "case {case}: {:?}",
                fit.params.betas
            );
        }
    }
    assert!(fitted > 10, "some of them have a fit: {fitted}");
}
