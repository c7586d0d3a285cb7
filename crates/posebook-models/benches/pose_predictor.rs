//! Time of predicting the poses of 50 tracks, with untrained weights of the size that is known of the published ones.
//!
//! `just bench pose_predictor`.

use divan::Bencher;
use posebook_core::appearance::{POSE_VECTOR_LENGTH, PoseHistory, PosePredictor};
use posebook_models::pose_predictor::{FormulaNetwork, PoseTransformer, Settings, SmoothingWindow};

fn main() {
    divan::main();
}

/// Poses near the mean of the formula's normalization.
fn poses(count: usize) -> Vec<[f32; POSE_VECTOR_LENGTH]> {
    let value = |pose: usize, index: usize| {
        let identity = if index < 216 && (index % 9).is_multiple_of(4) { 1.0 } else { 0.0 };
        identity + 0.05 * ((pose * POSE_VECTOR_LENGTH + index) as f32 * 0.7).sin()
    };
    (0..count).map(|pose| std::array::from_fn(|index| value(pose, index))).collect()
}

/// Histories of seven consecutive frames.
#[divan::bench(args = [1, 5, 50], sample_count = 10)]
fn predict(bencher: Bencher, tracks: usize) {
    let predictor = PoseTransformer::from_formula("a", FormulaNetwork::Pp256, &Settings::default())
        .expect("weights by formula are valid");
    let poses = poses(7 * tracks);
    let histories: Vec<PoseHistory<'_>> = poses
        .chunks(7)
        .map(|poses| PoseHistory {
            poses: poses.iter().collect(),
            frames: (10..17).collect(),
            frames_since_match: 0,
        })
        .collect();
    bencher.bench_local(|| predictor.predict(&histories).expect("the histories are valid"));
}

/// Time to smooth a track of 150 frames; window and step are PHALP's.
#[divan::bench(sample_count = 5)]
fn smooth(bencher: Bencher) {
    let predictor = PoseTransformer::from_formula("a", FormulaNetwork::Pp256, &Settings::default())
        .expect("weights by formula are valid");
    let poses = poses(150);
    let poses: Vec<_> = poses.iter().map(Some).collect();
    let window = SmoothingWindow { step: 32, window: 32 };
    bencher.bench_local(|| predictor.smooth(&poses, window).expect("the poses are valid"));
}
