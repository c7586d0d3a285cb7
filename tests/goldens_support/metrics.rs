//! HMR2's golden 08: pose metrics.

use crate::golden::{Golden, sets};
use posebook::geometry::Vec3;
use posebook::metrics::pose::{self, Keypoints, Similarity};
use posebook::person::JOINTS;

fn bodies(golden: &Golden, key: &str) -> Vec<Vec<Vec3>> {
    let numbers = golden.f32(key);
    let points: Vec<Vec3> = numbers.chunks_exact(3).map(|point| [point[0], point[1], point[2]]).collect();
    points.chunks_exact(JOINTS).map(<[Vec3]>::to_vec).collect()
}

/// The cases in which all predicted points coincide. The reference gives NaN where their mean is exact in
/// f32, and rounding noise where it is not; here the error is undefined in all of them.
const COLLAPSED: [usize; 3] = [7, 9, 10];

#[test]
fn errors_of_joints() {
    for set in sets("hmr2") {
        let golden = set.golden("08_metrics");
        let (predicted, truth) = (bodies(&golden, "pred"), bodies(&golden, "gt"));
        let pairs = || predicted.iter().zip(&truth);
        let plain: Vec<f32> = pairs().map(|(p, t)| pose::mean_distance_mm(p, t) as f32).collect();
        golden.close("mpjpe_mm", &plain, 1e-3);

        let want = golden.f32("pa_mpjpe_mm");
        let mut worst = 0f64;
        for (case, (p, t)) in pairs().enumerate() {
            let error = pose::pa_mpjpe_mm(p, t);
            if COLLAPSED.contains(&case) {
                assert_eq!(error, None, "{} case {case}", set.name);
                continue;
            }
            let off = (error.unwrap() - f64::from(want[case])).abs();
            assert!(off < 1e-3, "{} case {case}: {error:?}, not {}", set.name, want[case]);
            worst = worst.max(off);
        }
        println!("{}/08_metrics pa_mpjpe_mm largest error {worst:.1e} mm", set.name);

        let aligned = golden.f32("aligned_single");
        for (case, (p, t)) in pairs().enumerate().filter(|(case, _)| !COLLAPSED.contains(case)) {
            let transform = Similarity::between(p, t).unwrap();
            let ours = p.iter().flat_map(|&point| transform.apply(point));
            for (ours, theirs) in ours.zip(&aligned[case * JOINTS * 3..]) {
                assert!(
                    (ours - f64::from(*theirs)).abs() < 1e-5,
                    "{} case {case}: {ours}, not {theirs}",
                    set.name
                );
            }
        }

        let evaluated: Vec<_> = pairs().take(5).map(|(p, t)| pose::joint_errors(p, t)).collect();
        let rooted: Vec<f32> = evaluated.iter().map(|errors| errors.mpjpe_mm as f32).collect();
        golden.close("evaluator_mode_mpjpe", &rooted, 1e-3);
        let aligned: Vec<f32> = evaluated.iter().map(|errors| errors.pa_mpjpe_mm.unwrap() as f32).collect();
        golden.close("evaluator_mode_re", &aligned, 1e-3);
    }
}

#[test]
fn correct_keypoints() {
    for set in sets("hmr2") {
        let golden = set.golden("08_metrics");
        let planar = |key: &str, width: usize| -> Vec<Vec<f32>> {
            golden.f32(key).chunks_exact(JOINTS * width).map(<[f32]>::to_vec).collect()
        };
        let points = |body: &[f32], width: usize| -> Vec<[f32; 2]> {
            body.chunks_exact(width).map(|point| [point[0], point[1]]).collect()
        };
        let predicted: Vec<_> = planar("pred2d", 2).iter().map(|body| points(body, 2)).collect();
        let truth: Vec<_> = planar("gt2d", 3).iter().map(|body| points(body, 3)).collect();
        let confidence: Vec<Vec<f32>> = planar("gt2d", 3)
            .iter()
            .map(|body| body.chunks_exact(3).map(|point| point[2]).collect())
            .collect();
        let (box_size, scale) = (golden.f32("box_size"), golden.f32("_scale"));
        let people: Vec<Keypoints> = (0..predicted.len())
            .map(|at| Keypoints {
                predicted: &predicted[at],
                truth: &truth[at],
                confidence: &confidence[at],
                scale: box_size[at] / (scale[2 * at] * 200.0).max(scale[2 * at + 1] * 200.0),
            })
            .collect();
        for threshold in [0.05f32, 0.1] {
            let share = pose::pck(&people, threshold);
            let want =
                |name: String| golden.json["pck"]["metrics"].get(name).map(|value| value.as_f64().unwrap());
            for (joint, ours) in share.per_joint.iter().enumerate() {
                assert_eq!(*ours, want(format!("kp{joint}_pck_{threshold}")), "{} joint {joint}", set.name);
            }
            let mean = want(format!("kpAvg_pck_{threshold}")).unwrap();
            assert!((share.mean.unwrap() - mean).abs() < 1e-12, "{}: {:?}, not {mean}", set.name, share.mean);
        }
        let squares: Vec<f32> = people.iter().map(|person| pose::keypoint_l2(person) as f32).collect();
        golden.close("mode_kpl2", &squares, 1e-7);
    }
}
