//! The detectors on unusual input: batches, budgets, frames of any size, weights that cannot be used.

#[allow(dead_code, reason = "the goldens use the rest")]
#[path = "../../../tests/goldens_support/detect/inputs.rs"]
mod inputs;

use candle_core::{DType, Device, Tensor};
use posebook_core::frame::Frame;
use posebook_core::person::{BBox, Detection};
use posebook_models::detect::mask_rcnn::{
    Architecture, Backbone, Budget, Config, MaskRcnn, MaskRcnnError, Options, formula,
};
use posebook_models::hmr2::Precision;
use posebook_models::hmr2::mask::mask_of_counts;
use std::collections::HashMap;

const CPU: Device = Device::Cpu;
/// Low, so that there are many detections.
const SCORE: f64 = 0.05;

fn weights(config: &Config) -> HashMap<String, Tensor> {
    formula::weights("a", config, DType::F32, &CPU).unwrap()
}

fn load(config: &Config, options: Options) -> MaskRcnn {
    MaskRcnn::load(config, weights(config), &CPU, options).unwrap()
}

fn small(architecture: Architecture, options: Options) -> MaskRcnn {
    let config = Config::small(architecture);
    let mut weights = weights(&config);
    if architecture == Architecture::X101 {
        // the formula's weights make one class certain everywhere: the original uses this network for given boxes alone
        let key = "roi_heads.box_predictor.cls_score.weight";
        let softer = (&weights[key] * 0.02).unwrap();
        weights.insert(key.into(), softer);
    }
    MaskRcnn::load(&config, weights, &CPU, Options { score: SCORE, ..options }).unwrap()
}

/// Three pictures of one size, one of another, and again one of the first size.
fn frames() -> Vec<Frame> {
    let names = ["photo", "photo_v", "photo_r", "tall", "photo"];
    names.iter().enumerate().map(|(index, name)| inputs::image("a", name).frame(index)).collect()
}

fn references(frames: &[Frame]) -> Vec<&Frame> {
    frames.iter().collect()
}

#[test]
fn a_batch_equals_its_images_alone() {
    let frames = frames();
    for architecture in Architecture::ALL {
        let alone = small(architecture, Options::default()).detect(&references(&frames)).unwrap();
        assert!(alone.iter().all(|people| !people.is_empty()));
        for batch in [2, 3, 8] {
            let detector = small(architecture, Options { batch, ..Options::default() });
            assert_eq!(
                detector.detect(&references(&frames)).unwrap(),
                alone,
                "{architecture:?} batch {batch}"
            );
        }
    }
}

#[test]
fn a_budget_does_not_change_results() {
    let frames = frames();
    for architecture in Architecture::ALL {
        let whole = small(architecture, Options { batch: 3, ..Options::default() });
        let whole = whole.detect(&references(&frames)).unwrap();
        assert!(whole.iter().all(|people| !people.is_empty()));
        for bytes in [1 << 20, 1] {
            let budget = Budget { bytes: Some(bytes) };
            let detector = small(architecture, Options { batch: 3, budget, ..Options::default() });
            assert_eq!(
                detector.detect(&references(&frames)).unwrap(),
                whole,
                "{architecture:?} {bytes} bytes"
            );
        }
    }
}

#[test]
fn frames_of_any_size_have_detections_inside_them() {
    for architecture in Architecture::ALL {
        let detector = small(architecture, Options::default());
        for (width, height) in [(1, 1), (5000, 3), (3, 5000), (2, 1), (31, 33), (255, 257)] {
            check_inside(&detector, inputs::image_of_size("a", "size", height, width).frame(7));
        }
    }
    // 8K
    check_inside(
        &small(Architecture::Regnety, Options::default()),
        inputs::image_of_size("a", "size", 4320, 7680).frame(0),
    );
}

fn check_inside(detector: &MaskRcnn, frame: Frame) {
    let (width, height) = (frame.width, frame.height);
    let people = detector.detect(&[&frame]).unwrap().remove(0);
    for person in &people {
        let BBox { x1, y1, x2, y2 } = person.bbox;
        assert!(0.0 <= x1 && x1 < x2 && x2 <= width as f32, "{width}x{height}: {:?}", person.bbox);
        assert!(0.0 <= y1 && y1 < y2 && y2 <= height as f32, "{width}x{height}: {:?}", person.bbox);
        assert!(f64::from(person.score) > SCORE && person.score <= 1.0);
        let mask = person.mask.as_ref().unwrap();
        assert_eq!((mask.width, mask.height), (width, height));
    }
    let whole = BBox { x1: 0.0, y1: 0.0, x2: width as f32, y2: height as f32 };
    let found = detector.detect_in_boxes(&frame, &[whole]).unwrap().remove(0).unwrap();
    let mask = found.mask.unwrap();
    assert_eq!(mask_of_counts(&mask.counts, width, height).unwrap().len(), width * height);
}

#[test]
fn a_frame_without_pixels_is_refused() {
    let detector = small(Architecture::Regnety, Options::default());
    let (empty, other) = (Frame::new(5, 0.0, 0, 9, Vec::new()), inputs::image("a", "tiny").frame(4));
    let errors = [
        detector.detect(&[&other, &empty]).map(drop).unwrap_err(),
        detector.detect_in_boxes(&empty, &[]).map(drop).unwrap_err(),
        detector.outputs(&empty).map(drop).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.to_string(), "frame 5 has 0x9 pixels: nothing can be detected in it");
    }
    assert_eq!(detector.detect(&[]).unwrap(), Vec::<Vec<Detection>>::new());
}

#[test]
fn nothing_is_found_above_every_score() {
    for architecture in Architecture::ALL {
        let detector = load(&Config::small(architecture), Options { score: 1.0, ..Options::default() });
        assert_eq!(detector.detect(&references(&frames())).unwrap(), vec![Vec::new(); 5]);
        let black = Frame::new(0, 0.0, 64, 48, vec![0; 64 * 48 * 3]);
        assert_eq!(detector.detect(&[&black]).unwrap(), [[]]);
    }
}

#[test]
fn of_thousands_of_candidates_the_best_hundred_are_kept() {
    for architecture in [Architecture::Vitdet, Architecture::Regnety] {
        let mut config = Config::small(architecture);
        (config.rpn.per_level, config.rpn.proposals, config.box_head.overlap) = (1000, 1000, 1.0);
        let detector = load(&config, Options { score: 0.0, ..Options::default() });
        let outputs = detector.outputs(&inputs::image("a", "photo").frame(0)).unwrap();
        assert!(outputs.proposals.len() > 500, "{} proposals", outputs.proposals.len());
        assert_eq!(outputs.scores.len(), outputs.proposals.len() * 7);
        assert_eq!(outputs.objects.len(), 100);
        let scores: Vec<f32> = outputs.objects.iter().map(|object| object.detection.score).collect();
        assert!(scores.is_sorted_by(|a, b| a >= b));
        // the best of all classes but the background
        let mut all: Vec<f32> = outputs.scores.chunks_exact(7).flat_map(|row| row[..6].to_vec()).collect();
        all.sort_by(|a, b| b.total_cmp(a));
        assert_eq!(scores, all[..100]);
    }
}

#[test]
fn half_precision_computes_nearly_the_same_maps() {
    let frame = inputs::image("a", "photo").frame(0);
    for architecture in Architecture::ALL {
        let exact = small(architecture, Options::default()).outputs(&frame).unwrap();
        for (precision, tolerance) in [(Precision::Bf16, 0.05), (Precision::F16, 0.01)] {
            let half =
                small(architecture, Options { precision, ..Options::default() }).outputs(&frame).unwrap();
            for (level, (exact, half)) in exact.pyramid.iter().zip(&half.pyramid).enumerate() {
                let half = half.to_dtype(DType::F32).unwrap();
                let length =
                    |x: &Tensor| x.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
                let error = length(&(exact - half).unwrap()) / length(exact);
                println!("{architecture:?} {} p{}: relative error {error:.4}", precision.name(), level + 2);
                assert!(error < tolerance, "{architecture:?} {} p{}: {error}", precision.name(), level + 2);
            }
            assert!(!half.objects.is_empty());
        }
    }
}

#[test]
fn given_boxes_keep_their_places() {
    let detector = small(Architecture::X101, Options::default());
    let frame = inputs::image("a", "photo").frame(3);
    let bbox = |x1: f32, y1: f32, x2: f32, y2: f32| BBox { x1, y1, x2, y2 };
    let good = bbox(40.0, 30.0, 130.0, 200.0);
    let boxes = [
        bbox(f32::NAN, 0.0, 10.0, 10.0),
        good,
        bbox(400.0, 10.0, 500.0, 90.0),
        bbox(20.0, 20.0, 20.0, 60.0),
        bbox(-1e30, -1e30, 1e30, 1e30),
        bbox(0.0, 0.0, f32::INFINITY, 10.0),
        good,
    ];
    let found = detector.detect_in_boxes(&frame, &boxes).unwrap();
    let is_found: Vec<bool> = found.iter().map(Option::is_some).collect();
    assert_eq!(is_found, [false, true, false, false, true, false, true]);
    assert_eq!(found[1], found[6]);
    assert_eq!(found[4].as_ref().unwrap().bbox, bbox(0.0, 0.0, 352.0, 240.0));
    assert_eq!(found[1].as_ref().unwrap().score, 1.0);
    // alone as among others
    assert_eq!(detector.detect_in_boxes(&frame, &[good]).unwrap(), [found[1].clone()]);
    assert_eq!(detector.detect_in_boxes(&frame, &[]).unwrap(), []);
    assert_eq!(detector.detect_in_boxes(&frame, &boxes[..1]).unwrap(), [None]);
}

#[test]
fn weights_that_cannot_be_used_are_refused() {
    let config = Config::small(Architecture::Regnety);
    let refused = |change: &dyn Fn(&mut HashMap<String, Tensor>)| {
        let mut weights = weights(&config);
        change(&mut weights);
        match MaskRcnn::load(&config, weights, &CPU, Options::default()) {
            Err(MaskRcnnError::Weights(reason)) => reason,
            other => panic!("{other:?}"),
        }
    };
    let filled = |shape: &[usize], value: f32| Tensor::full(value, shape, &CPU).unwrap();
    let fc = "roi_heads.box_head.fc1.weight";
    let set = |key: &'static str, tensor: Tensor| {
        move |weights: &mut HashMap<String, Tensor>| {
            weights.insert(key.to_string(), tensor.clone());
        }
    };

    let reason = refused(&|weights| drop(weights.remove(fc)));
    assert_eq!(reason, format!("tensors are missing: {fc}"));
    let reason = refused(&|weights| weights.retain(|key, _| !key.starts_with("roi_heads.mask_head.")));
    assert!(reason.contains("no mask head"), "{reason}");
    let reason = refused(&|weights| weights.clear());
    assert!(reason.starts_with("tensors are missing: ") && reason.ends_with(" more"), "{reason}");
    let reason = refused(&set(fc, filled(&[64, 7], 0.1)));
    assert_eq!(reason, format!("{fc} is [64, 7], the configuration needs [64, 1568]"));
    let reason = refused(&|weights| {
        let mut other = config.clone();
        other.classes = 80;
        *weights = self::weights(&other);
    });
    assert_eq!(reason, "they know 80 classes, the configuration has 6");
    let mut values = vec![0.1f32; 64 * 1568];
    values[70_000] = f32::NAN;
    let reason = refused(&set(fc, Tensor::from_vec(values, (64, 1568), &CPU).unwrap()));
    assert_eq!(reason, format!("{fc} has a value that is not finite"));
    let reason = refused(&set(fc, filled(&[64, 1568], f32::INFINITY).to_dtype(DType::BF16).unwrap()));
    assert_eq!(reason, format!("{fc} has a value that is not finite"));
    let reason = refused(&set(fc, filled(&[64, 1568], 1.0).to_dtype(DType::I64).unwrap()));
    assert!(reason.contains("I64"), "{reason}");
    let variance = "backbone.bottom_up.stem.bn.running_var";
    let reason = refused(&set(variance, filled(&[16], -0.5)));
    assert_eq!(reason, format!("{variance} has a negative variance"));

    // weights of another detector
    let mut weights = weights(&Config::small(Architecture::X101));
    weights.insert("pixel_mean".into(), filled(&[3], 1.0));
    let error = MaskRcnn::load(&config, weights, &CPU, Options::default()).unwrap_err();
    assert!(error.to_string().contains("backbone.bottom_up.stem.conv.weight"), "{error}");
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let mut config = Config::small(Architecture::Vitdet);
    if let Backbone::Vit(vit) = &mut config.backbone {
        vit.heads = 7;
    }
    let error = MaskRcnn::load(&config, HashMap::new(), &CPU, Options::default()).unwrap_err();
    assert!(matches!(error, MaskRcnnError::Config(_)), "{error}");
}

#[test]
fn tensors_that_the_detector_does_not_have_are_ignored() {
    let config = Config::small(Architecture::X101);
    let mut weights = weights(&config);
    weights.insert("pixel_mean".into(), Tensor::full(f32::NAN, 3, &CPU).unwrap());
    weights.insert(
        "proposal_generator.anchor_generator.cell_anchors.0".into(),
        Tensor::ones((3, 4), DType::F32, &CPU).unwrap(),
    );
    MaskRcnn::load(&config, weights, &CPU, Options::default()).unwrap();
}

#[test]
fn output_that_is_not_finite_is_an_error_of_its_frame() {
    // finite weights whose products overflow
    for (architecture, keys) in [
        (
            Architecture::Vitdet,
            ["backbone.net.blocks.3.mlp.fc1.weight", "backbone.net.blocks.3.mlp.fc2.weight"],
        ),
        (
            Architecture::Regnety,
            ["backbone.bottom_up.stem.conv.weight", "backbone.bottom_up.s1.b1.f.a.weight"],
        ),
        (Architecture::X101, ["backbone.fpn_lateral5.weight", "backbone.fpn_output5.weight"]),
    ] {
        let config = Config::small(architecture);
        let mut weights = weights(&config);
        for key in keys {
            let large = (&weights[key] * 1e30).unwrap();
            weights.insert(key.into(), large);
        }
        let detector =
            MaskRcnn::load(&config, weights, &CPU, Options { batch: 4, ..Options::default() }).unwrap();
        let frame = inputs::image("a", "tiny").frame(12);
        let result = detector.detect(&[&frame]);
        assert!(
            matches!(result, Err(MaskRcnnError::NotFinite { frame: 12 })),
            "{architecture:?}: {result:?}"
        );
    }
}

#[test]
fn a_detector_can_be_sent_and_shared() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<MaskRcnn>();
}
