//! Time of fitting a body, on one thread.
//!
//! `just bench fit`. The landmarks are those of a posed body with noise, so that all steps are needed.

use divan::Bencher;
use posebook_core::geometry::{IDENTITY, add, rotation_from_axis_angle, scale, sub};
use posebook_core::landmarks::{LANDMARKS, Landmarks, SCORED_LANDMARKS, point};
use posebook_core::person::SmplParams;
use posebook_core::random::stream;
use posebook_models::body::Body;
use posebook_models::fit::smooth::{BodySmoother, Smoothing};
use posebook_models::fit::{Fitter, Settings};

fn main() {
    divan::main();
}

fn person() -> SmplParams {
    let mut params = SmplParams { betas: [0.3; 10], global_orient: IDENTITY, body_pose: [IDENTITY; 23] };
    params.global_orient = rotation_from_axis_angle([2.9, 0.2, 0.1]);
    params.body_pose[3] = rotation_from_axis_angle([0.6, 0.0, 0.0]);
    params.body_pose[15] = rotation_from_axis_angle([0.0, 0.2, -1.1]);
    params.body_pose[17] = rotation_from_axis_angle([0.0, -0.7, 0.0]);
    params
}

/// The landmarks of a posed body with 20 mm of noise.
fn landmarks(body: &Body) -> Landmarks {
    let posed = body.pose(&person());
    let mut draws = stream(1, "bench fit", &[]);
    let mut world = [[0.0; 3]; LANDMARKS];
    let joints = [5, 2, 6, 3, 7, 4, 12, 9, 13, 10, 14, 11];
    let vertices = [(0, 0), (2, 16), (5, 15), (7, 18), (8, 17), (29, 21), (30, 24), (31, 19), (32, 22)];
    for (landmark, joint) in SCORED_LANDMARKS.into_iter().zip(joints).chain(vertices) {
        world[landmark] = posed.joints44[joint].map(|x| x + 0.02 * draws.normal() as f32);
    }
    for finger in 17..23 {
        world[finger] = world[15 + (finger + 1) % 2].map(|x| x + 0.05 * draws.normal() as f32);
    }
    let pixels = world.map(|[x, y, _]| [300.0 * x + 640.0, 300.0 * y + 360.0]);
    let root = scale(add(world[point::LEFT_HIP], world[point::RIGHT_HIP]), 0.5);
    let world = world.map(|at| sub(at, root));
    Landmarks { pixels, world, visibility: [0.9; LANDMARKS], presence: 1.0 }
}

/// One person with the default settings.
#[divan::bench]
fn fit(bencher: Bencher) {
    let body = Body::built_in();
    let fitter = Fitter::new(&body).expect("the built-in body has SMPL's skeleton");
    let (landmarks, settings) = (landmarks(&body), Settings::default());
    bencher.bench_local(|| fitter.fit(&landmarks, None, &settings));
}

/// The closed form only, with camera and deviations.
#[divan::bench]
fn closed_form(bencher: Bencher) {
    let body = Body::built_in();
    let fitter = Fitter::new(&body).expect("the built-in body has SMPL's skeleton");
    let settings = Settings { steps: 0, ..Settings::default() };
    let landmarks = landmarks(&body);
    bencher.bench_local(|| fitter.fit(&landmarks, None, &settings));
}

/// The preparation that is done once per body.
#[divan::bench]
fn prepare(bencher: Bencher) {
    let body = Body::built_in();
    bencher.bench_local(|| Fitter::new(&body));
}

/// One frame of one track.
#[divan::bench]
fn smooth(bencher: Bencher) {
    let mut smoother = BodySmoother::new(Smoothing::default()).expect("the defaults are valid");
    let person = person();
    let mut frame = 0;
    bencher.bench_local(|| {
        frame += 1;
        smoother.push(f64::from(frame) / 30.0, &person, [0.1, 0.2, 30.0])
    });
}
