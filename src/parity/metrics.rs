//! Golden 08: pose metrics.

use super::check::{CheckRecorder, Tolerance};
use super::golden::{Golden, GoldenSet};
use super::{ParityError, Stage};
use posebook_core::geometry::Vec3;
use posebook_core::person::JOINTS;
use posebook_track::metrics::pose::{self, Keypoints, Similarity};

const MILLIMETERS: Tolerance = Tolerance::Absolute(1e-3);
/// Cases in which all predicted points coincide. The reference gives NaN where their mean is exact in `f32`, and
/// rounding noise where it is not; here the error is undefined in all of them.
const COLLAPSED: [usize; 3] = [7, 9, 10];
/// Number of people that the reference's `Evaluator` was run on.
const EVALUATED: usize = 5;

fn bodies(golden: &Golden, key: &str) -> Result<Vec<Vec<Vec3>>, ParityError> {
    Ok(golden.rows::<3>(key)?.chunks_exact(JOINTS).map(<[Vec3]>::to_vec).collect())
}

/// The values of all cases that are not [`COLLAPSED`].
fn without_collapsed<T: Clone>(by_case: &[T]) -> Vec<T> {
    let cases = by_case.iter().enumerate().filter(|(case, _)| !COLLAPSED.contains(case));
    cases.map(|(_, value)| value.clone()).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Compares MPJPE, PA-MPJPE and aligned points.
pub fn joints(set: &GoldenSet, checks: &mut CheckRecorder) -> Result<(), ParityError> {
    let golden = set.golden(Stage::Metrics, "08_metrics")?;
    let (predicted, truth) = (bodies(&golden, "pred")?, bodies(&golden, "gt")?);
    let pairs = || predicted.iter().zip(&truth);
    let errors_mm: Vec<f32> = pairs().map(|(p, t)| pose::mean_distance_mm(p, t) as f32).collect();
    checks.compare_tensor(&golden, "mpjpe_mm", &errors_mm, MILLIMETERS, "mm")?;

    let errors: Vec<Option<f64>> = pairs().map(|(p, t)| pose::pa_mpjpe_mm(p, t)).collect();
    let ours: Vec<f64> =
        without_collapsed(&errors).into_iter().map(|error| error.unwrap_or(f64::NAN)).collect();
    let theirs = without_collapsed(&golden.f64("pa_mpjpe_mm")?);
    checks.compare(&golden, "pa_mpjpe_mm", &ours, &theirs, MILLIMETERS, "mm")?;
    let defined = COLLAPSED.iter().filter(|&&case| errors[case].is_some()).count();
    checks.record_mismatches(&golden, "pa_mpjpe_mm, undefined cases", defined, COLLAPSED.len());

    let aligned: Vec<Vec<f64>> = pairs()
        .map(|(p, t)| match Similarity::between(p, t) {
            Some(transform) => p.iter().flat_map(|&point| transform.apply(point)).collect(),
            None => vec![f64::NAN; p.len() * 3],
        })
        .collect();
    for key in ["aligned_single", "aligned_batched"] {
        let theirs: Vec<Vec<f64>> = golden.f64(key)?.chunks_exact(JOINTS * 3).map(<[f64]>::to_vec).collect();
        let (ours, theirs) = (without_collapsed(&aligned).concat(), without_collapsed(&theirs).concat());
        checks.compare(&golden, key, &ours, &theirs, Tolerance::Absolute(1e-5), "m")?;
    }

    let evaluated: Vec<_> = pairs().take(EVALUATED).map(|(p, t)| pose::joint_errors(p, t)).collect();
    let rooted: Vec<f64> = evaluated.iter().map(|errors| errors.mpjpe_mm).collect();
    let aligned: Vec<f64> = evaluated.iter().map(|errors| errors.pa_mpjpe_mm.unwrap_or(f64::NAN)).collect();
    for (name, of_each) in [("mode_mpjpe", rooted), ("mode_re", aligned)] {
        let key = format!("evaluator_{name}");
        checks.compare(&golden, &key, &of_each, &golden.f64(&key)?, MILLIMETERS, "mm")?;
        let expected = [golden.metadata_number(&format!("/evaluator/metrics/{name}"))?];
        checks.compare(&golden, &format!("{key}, mean"), &[mean(&of_each)], &expected, MILLIMETERS, "mm")?;
    }
    Ok(())
}

/// Compares PCK and 2D keypoint errors.
pub fn keypoints(set: &GoldenSet, checks: &mut CheckRecorder) -> Result<(), ParityError> {
    let golden = set.golden(Stage::Metrics, "08_metrics")?;
    let predicted = golden.rows::<2>("pred2d")?;
    let observed = golden.rows::<3>("gt2d")?;
    let truth: Vec<[f32; 2]> = observed.iter().map(|&[x, y, _]| [x, y]).collect();
    let confidence: Vec<f32> = observed.iter().map(|&[_, _, confidence]| confidence).collect();
    let (box_size, scale) = (golden.f32("box_size")?, golden.rows::<2>("_scale")?);
    let people: Vec<Keypoints> = (0..box_size.len())
        .map(|person| {
            let joints = person * JOINTS..(person + 1) * JOINTS;
            Keypoints {
                predicted: &predicted[joints.clone()],
                truth: &truth[joints.clone()],
                confidence: &confidence[joints],
                scale: box_size[person] / (scale[person][0] * 200.0).max(scale[person][1] * 200.0),
            }
        })
        .collect();
    for threshold in [0.05f32, 0.1] {
        let share = pose::pck(&people, threshold);
        let expected = |joint: usize| {
            golden
                .find_metadata(&format!("/pck/metrics/kp{joint}_pck_{threshold}"))
                .and_then(serde_json::Value::as_f64)
        };
        let mismatches =
            share.per_joint.iter().enumerate().filter(|(joint, ours)| **ours != expected(*joint)).count();
        checks.record_mismatches(&golden, &format!("pck_{threshold}"), mismatches, share.per_joint.len());
        let theirs = [golden.metadata_number(&format!("/pck/metrics/kpAvg_pck_{threshold}"))?];
        let ours = [share.mean.unwrap_or(f64::NAN)];
        let rounding = Tolerance::Absolute(1e-12);
        checks.compare(&golden, &format!("pck_{threshold}, mean"), &ours, &theirs, rounding, "")?;
    }
    let squares: Vec<f64> = people.iter().map(pose::keypoint_l2).collect();
    let theirs = golden.f64("mode_kpl2")?;
    checks.compare(&golden, "mode_kpl2", &squares, &theirs, Tolerance::Absolute(1e-7), "")?;
    Ok(())
}
