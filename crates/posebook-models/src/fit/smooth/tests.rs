//! Tests of the filters' documented properties: lag, jitter, and restarts.

use super::super::linear::{log, norm};
use super::filter::VectorFilter;
use super::*;
use posebook_core::geometry::{
    IDENTITY, multiply as multiply32, norm as norm32, rotation_from_axis_angle, sub as sub32,
};
use posebook_core::random::stream;

const FRAME_SECS: f64 = 1.0 / 30.0;

fn body(angle: f32) -> SmplParams {
    let turn = rotation_from_axis_angle([0.2 * angle, angle, -0.4 * angle]);
    SmplParams { betas: [0.5; 10], global_orient: turn, body_pose: [turn; 23] }
}

fn max_difference(a: &Mat3, b: &Mat3) -> f32 {
    a.as_flattened().iter().zip(b.as_flattened()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn constant_input_is_unchanged() {
    let mut smoother = BodySmoother::new(Smoothing::default()).unwrap();
    for frame in 0..100 {
        let (smooth, place) = smoother.push(f64::from(frame) * FRAME_SECS, &body(0.8), [0.1, 0.2, 30.0]);
        assert!(max_difference(&smooth.global_orient, &body(0.8).global_orient) < 1e-6);
        assert!(norm32(sub32(place, [0.1, 0.2, 30.0])) < 1e-5);
        assert!((smooth.betas[3] - 0.5).abs() < 1e-6);
    }
}

#[test]
fn uniform_motion_lags_less_than_a_frame() {
    let mut smoother = BodySmoother::new(Smoothing::default()).unwrap();
    let at = |frame: i32| [frame as f32 * 1.0 * FRAME_SECS as f32, 0.0, 30.0];
    let angle = |frame: i32| frame as f32 * 3.0 * FRAME_SECS as f32;
    let mut last = None;
    for frame in 0..60 {
        last = Some(smoother.push(f64::from(frame) * FRAME_SECS, &body(angle(frame)), at(frame)));
    }
    let (smooth, place) = last.unwrap();
    let lag = (at(59)[0] - place[0]) / (at(1)[0] - at(0)[0]);
    assert!((0.0..1.0).contains(&lag), "{lag} frames at 1 m/s");
    let arc =
        |a: &Mat3, b: &Mat3| norm(log(&widen_matrix(&multiply32(a, &posebook_core::geometry::transpose(b)))));
    let behind = arc(&body(angle(59)).body_pose[7], &smooth.body_pose[7]);
    let per_frame = arc(&body(angle(1)).body_pose[7], &body(angle(0)).body_pose[7]);
    assert!(behind / per_frame < 1.0, "{} frames", behind / per_frame);
}

#[test]
fn a_step_is_followed_within_four_frames() {
    let (mut filter, smoothing) = (VectorFilter::new([0.0; 3]), Smoothing::default());
    let mut frames = 0;
    while filter.push([0.3, 0.0, 0.0], 1.0, FRAME_SECS, &smoothing)[0] < 0.9 * 0.3 {
        frames += 1;
    }
    assert!((1..4).contains(&frames), "{frames} frames");
}

#[test]
fn jitter_is_reduced_by_more_than_half() {
    let mut draws = stream(3, "jitter", &[]);
    let raw: Vec<Vec3> = (0..200).map(|_| [0; 3].map(|_| (0.01 * draws.normal()) as f32)).collect();
    let (mut filter, smoothing) = (VectorFilter::new(widen(raw[0])), Smoothing::default());
    let mut smooth = vec![raw[0]];
    for &at in &raw[1..] {
        smooth.push(filter.push(widen(at), 1.0, FRAME_SECS, &smoothing).map(|x| x as f32));
    }
    let jitter = |points: &[Vec3]| -> f32 {
        points.windows(3).map(|w| norm32(sub32(sub32(w[2], w[1]), sub32(w[1], w[0])))).sum()
    };
    assert!(jitter(&smooth) < 0.5 * jitter(&raw), "{} {}", jitter(&smooth), jitter(&raw));
}

#[test]
fn gaps_shots_and_repeated_times_restart_the_filter() {
    let mut smoother = BodySmoother::new(Smoothing::default()).unwrap();
    let far = (body(2.0), [3.0, 0.0, 20.0]);
    let after = |smoother: &mut BodySmoother, time: f64| smoother.push(time, &far.0, far.1);
    let begin = |smoother: &mut BodySmoother| {
        smoother.reset();
        smoother.push(1.0, &body(0.0), [0.0, 0.0, 20.0]);
    };
    for time in [1.26, 1.0, 0.5, f64::NAN] {
        begin(&mut smoother);
        assert_eq!(after(&mut smoother, time), far, "{time}");
    }
    begin(&mut smoother);
    let inside = after(&mut smoother, 1.24);
    assert_ne!(inside, far);
    begin(&mut smoother);
    smoother.reset();
    assert_eq!(after(&mut smoother, 1.01), far);
    let broken = SmplParams { betas: [f32::NAN; 10], ..body(0.0) };
    begin(&mut smoother);
    assert!(smoother.push(1.01, &broken, [0.0, 0.0, 20.0]).0.betas[0].is_nan());
    assert_eq!(after(&mut smoother, 1.02), far, "it does not affect later bodies");
}

#[test]
fn rotations_stay_rotations() {
    let mut draws = stream(4, "rotations", &[]);
    let mut smoother = BodySmoother::new(Smoothing::default()).unwrap();
    for frame in 0..500 {
        let turn = rotation_from_axis_angle([0; 3].map(|_| (2.0 * draws.normal()) as f32));
        let person = SmplParams { betas: [0.0; 10], global_orient: turn, body_pose: [turn; 23] };
        let (smooth, _) = smoother.push(f64::from(frame) * FRAME_SECS, &person, [0.0, 0.0, 10.0]);
        let product =
            multiply32(&smooth.global_orient, &posebook_core::geometry::transpose(&smooth.global_orient));
        assert!(max_difference(&product, &IDENTITY) < 1e-5, "frame {frame}: {product:?}");
    }
}

#[test]
fn jitter_of_depth_does_not_move_the_person_in_the_image() {
    let mut draws = stream(5, "depth", &[]);
    let mut smoother = BodySmoother::new(Smoothing::default()).unwrap();
    let (mut raw, mut smooth) = (Vec::new(), Vec::new());
    for frame in 0..100 {
        // a point at the edge of the image; its ray jitters by a millimeter, its depth by a meter
        let depth = 40.0 + draws.normal() as f32;
        let ray = [0.2 + 2.5e-5 * draws.normal() as f32, 0.1];
        let place = [ray[0] * depth, ray[1] * depth, depth];
        let (_, at) = smoother.push(f64::from(frame) * FRAME_SECS, &body(0.0), place);
        assert!((at[1] / at[2] - 0.1).abs() < 1e-5);
        raw.push(ray[0]);
        smooth.push(at[0] / at[2]);
    }
    let jitter = |x: &[f32]| -> f32 { x.windows(3).map(|w| (w[2] - 2.0 * w[1] + w[0]).abs()).sum() };
    assert!(jitter(&smooth) < 0.5 * jitter(&raw), "{} {}", jitter(&smooth), jitter(&raw));
    let behind = smoother.push(100.0 * FRAME_SECS, &body(0.0), [0.0, 0.0, -1.0]);
    assert_eq!(behind.1, [0.0, 0.0, -1.0]);
}

#[test]
fn invalid_settings_are_errors() {
    for smoothing in [
        Smoothing { min_cutoff_hz: 0.0, ..Smoothing::default() },
        Smoothing { beta: -1.0, ..Smoothing::default() },
        Smoothing { max_gap_secs: f64::INFINITY, ..Smoothing::default() },
    ] {
        let message = BodySmoother::new(smoothing).unwrap_err().to_string();
        assert!(message.contains("smoothing."), "{message}");
    }
}
