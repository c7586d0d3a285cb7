//! Tests of the heads on small networks whose weights are from a formula.

use super::*;
use crate::detect::mask_rcnn::boxes::{Corners, NetworkSize};
use crate::detect::mask_rcnn::layers::{Loader, Operators};
use crate::detect::mask_rcnn::{Architecture, Budget, Config, formula};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use proptest::prelude::*;
use std::collections::HashMap;

const SIZE: NetworkSize = NetworkSize { height: 175, width: 256 };
const THRESHOLDS: Thresholds = Thresholds { score: 0.05, overlap: 0.5, most: 100 };

struct Heads {
    boxes: BoxHeads,
    masks: MaskHead,
    config: Config,
}

impl Heads {
    fn new(architecture: Architecture, dtype: DType, operators: Operators) -> Heads {
        Heads::of_weights(architecture, dtype, operators, |_| {})
    }

    /// As [`Heads::new`], after `change` of the weights.
    fn of_weights(
        architecture: Architecture,
        dtype: DType,
        operators: Operators,
        change: impl FnOnce(&mut HashMap<String, Tensor>),
    ) -> Heads {
        let config = Config::small(architecture);
        let mut weights = formula::weights("t", &config, DType::F32, &Device::Cpu).unwrap();
        change(&mut weights);
        let variables = VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu);
        let loader = Loader::new(variables, dtype, operators).pp("roi_heads");
        let (channels, classes) = (config.channels, config.classes);
        let boxes = BoxHeads::load(&config.box_head, channels, classes, &loader).unwrap();
        Heads { boxes, masks: MaskHead::load(&config.mask_head, channels, classes, &loader).unwrap(), config }
    }

    fn refine(&self, pyramid: &[Tensor], proposals: &[Corners], budget: Budget) -> Refined {
        self.boxes.refine(pyramid, 0, proposals, SIZE, budget, &mut |_, _| {}).unwrap()
    }

    fn detect(&self, pyramid: &[Tensor], proposals: &[Corners]) -> Vec<Found> {
        self.boxes.detect(pyramid, 0, proposals, SIZE, THRESHOLDS, Budget::default()).unwrap()
    }
}

/// p2 to p6 of `images` images of 256 x 256 pixels.
fn pyramid(images: usize, dtype: DType) -> Vec<Tensor> {
    let level = |level: usize| {
        let side = 256 >> level;
        let value = |index: usize| ((index as f32 * 0.73 + level as f32).sin() * 43_758.547).fract() * 1.5;
        let values: Vec<f32> = (0..images * side * side * 32).map(value).collect();
        Tensor::from_vec(values, (images, side, side, 32), &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
    };
    (2..=6).map(level).collect()
}

/// Boxes of all sizes inside the image.
fn proposals(count: usize) -> Vec<Corners> {
    let unit = |index: usize| ((index as f32 + 1.0) * 12.9898).sin().abs() * 43_758.547 % 1.0;
    (0..count)
        .map(|index| {
            let [x, y, w, h] = [0, 1, 2, 3].map(|part| unit(4 * index + part));
            let (w, h) = (4.0 + 240.0 * w * w, 4.0 + 160.0 * h * h);
            let (x, y) = (x * (256.0 - w), y * (175.0 - h));
            [x, y, x + w, y + h]
        })
        .collect()
}

fn bits(refined: &Refined) -> Vec<u32> {
    let boxes = refined.stages.iter().flat_map(|stage| stage.boxes.as_flattened());
    refined.scores.iter().chain(boxes).map(|value| value.to_bits()).collect()
}

#[test]
fn nothing_comes_of_nothing() {
    for architecture in Architecture::ALL {
        let heads = Heads::new(architecture, DType::F32, Operators::Kernels);
        let pyramid = pyramid(1, DType::F32);
        assert_eq!(heads.detect(&pyramid, &[]), []);
        let refined = heads.refine(&pyramid, &[], Budget::from_mib(1));
        assert!(refined.scores.is_empty() && refined.boxes().is_empty());
        let masks = heads.masks.probabilities(&pyramid, 0, &[], &[], Budget::default()).unwrap();
        assert!(masks.is_empty());
        let certain = Thresholds { score: 1.0, ..THRESHOLDS };
        let proposals = proposals(20);
        let found = heads.boxes.detect(&pyramid, 0, &proposals, SIZE, certain, Budget::default());
        assert_eq!(found.unwrap(), [], "no score is above 1");
    }
}

#[test]
fn a_thousand_proposals_give_the_hundred_best_in_order() {
    let heads = Heads::new(Architecture::Regnety, DType::F32, Operators::Kernels);
    let proposals = proposals(1000);
    let pyramid = pyramid(1, DType::F32);
    let loose = Thresholds { score: 0.0, overlap: 0.99, most: 100 };
    let found = heads.boxes.detect(&pyramid, 0, &proposals, SIZE, loose, Budget::default()).unwrap();
    assert_eq!(found.len(), 100);
    assert!(found.windows(2).all(|pair| pair[0].score >= pair[1].score));
    let all = Thresholds { most: usize::MAX, ..loose };
    let all = heads.boxes.detect(&pyramid, 0, &proposals, SIZE, all, Budget::default()).unwrap();
    assert!(all.len() > 1000, "{}: proposals become detections of several classes", all.len());
    assert_eq!(found, all[..100]);
}

#[test]
fn an_image_of_a_batch_equals_the_image_alone() {
    let pyramid = pyramid(2, DType::F32);
    let alone: Vec<Tensor> = pyramid.iter().map(|level| level.narrow(0, 1, 1).unwrap()).collect();
    let proposals = proposals(30);
    for architecture in Architecture::ALL {
        let heads = Heads::new(architecture, DType::F32, Operators::Kernels);
        let of_batch = heads.boxes.refine(&pyramid, 1, &proposals, SIZE, Budget::default(), &mut |_, _| {});
        let expected = heads.refine(&alone, &proposals, Budget::default());
        assert_eq!(bits(&of_batch.unwrap()), bits(&expected));
        let masks = |pyramid: &[Tensor], image: usize| {
            let budget = Budget::default();
            heads.masks.probabilities(pyramid, image, &proposals[..3], &[0, 5, 2], budget).unwrap()
        };
        assert_eq!(masks(&pyramid, 1), masks(&alone, 0));
        assert!(
            heads.boxes.refine(&pyramid, 2, &proposals, SIZE, Budget::default(), &mut |_, _| {}).is_err()
        );
    }
}

#[test]
fn empty_proposals_stay_in() {
    let empty = [[20.0, 30.0, 20.0, 60.0], [256.0, 175.0, 256.0, 175.0]];
    let mut proposals = proposals(10);
    proposals.extend(empty);
    for architecture in Architecture::ALL {
        let heads = Heads::new(architecture, DType::F32, Operators::Kernels);
        let refined = heads.refine(&pyramid(1, DType::F32), &proposals, Budget::default());
        assert_eq!(refined.scores.len(), 12 * (heads.config.classes + 1));
        assert!(refined.scores.iter().all(|score| score.is_finite()));
        let sums = refined.scores.chunks_exact(heads.config.classes + 1).map(|row| row.iter().sum::<f32>());
        sums.for_each(|sum| assert!((sum - 1.0).abs() < 1e-5, "{sum}"));
    }
}

/// The value at which a proposal's scores or boxes are not finite: the bias of a layer.
fn break_weight(weights: &mut HashMap<String, Tensor>, key: &str, value: f32) {
    let bias = weights[key].ones_like().unwrap();
    weights.insert(key.to_string(), (bias * f64::from(value)).unwrap());
}

#[test]
fn output_that_is_not_finite_is_an_error() {
    for (architecture, key) in [
        (Architecture::Vitdet, "roi_heads.box_predictor.0.cls_score.bias"),
        (Architecture::Vitdet, "roi_heads.box_predictor.1.bbox_pred.bias"),
        (Architecture::Vitdet, "roi_heads.box_predictor.2.bbox_pred.bias"),
        (Architecture::Vitdet, "roi_heads.box_head.1.fc1.bias"),
        (Architecture::Vitdet, "roi_heads.box_head.1.conv2.norm.bias"),
        (Architecture::X101, "roi_heads.box_head.fc2.bias"),
        (Architecture::Regnety, "roi_heads.box_predictor.bbox_pred.bias"),
        (Architecture::Regnety, "roi_heads.box_head.conv1.norm.bias"),
    ] {
        for operators in [Operators::Kernels, Operators::Candle] {
            let change = |weights: &mut HashMap<String, Tensor>| break_weight(weights, key, f32::NAN);
            let heads = Heads::of_weights(architecture, DType::F32, operators, change);
            let (pyramid, proposals) = (pyramid(1, DType::F32), proposals(5));
            let found = heads.boxes.detect(&pyramid, 0, &proposals, SIZE, THRESHOLDS, Budget::default());
            assert!(
                matches!(found, Err(HeadError::NotFinite { head: "box" })),
                "{key} {operators:?}: {found:?}"
            );
        }
    }
    for architecture in Architecture::ALL {
        let change = |weights: &mut HashMap<String, Tensor>| {
            break_weight(weights, "roi_heads.mask_head.deconv.bias", f32::NAN)
        };
        let heads = Heads::of_weights(architecture, DType::F32, Operators::Kernels, change);
        let masks =
            heads.masks.probabilities(&pyramid(1, DType::F32), 0, &proposals(2), &[0, 1], Budget::default());
        assert!(matches!(masks, Err(HeadError::NotFinite { head: "mask" })));
    }
}

#[test]
fn proposals_that_are_not_finite_are_dropped_and_the_others_stay() {
    let pyramid = pyramid(1, DType::F32);
    for architecture in Architecture::ALL {
        let heads = Heads::new(architecture, DType::F32, Operators::Kernels);
        let good = proposals(6);
        let mut mixed = good.clone();
        mixed.insert(2, [f32::NAN, 1.0, 20.0, 30.0]);
        mixed.push([0.0, f32::NEG_INFINITY, 20.0, 30.0]);
        let expected = heads.detect(&pyramid, &good);
        assert!(!expected.is_empty());
        assert_eq!(heads.detect(&pyramid, &mixed), expected);
        let only_bad = [[f32::NAN; 4]];
        let found = heads.boxes.detect(&pyramid, 0, &only_bad, SIZE, THRESHOLDS, Budget::default());
        assert!(matches!(found, Err(HeadError::NotFinite { .. })));
    }
}

#[test]
fn a_mask_of_a_class_that_does_not_exist_is_an_error() {
    let heads = Heads::new(Architecture::X101, DType::F32, Operators::Kernels);
    let masks = heads.masks.probabilities(&pyramid(1, DType::F32), 0, &proposals(1), &[6], Budget::default());
    assert!(matches!(masks, Err(HeadError::Device(_))));
    let masks = heads.masks.probabilities(&pyramid(1, DType::F32), 0, &proposals(2), &[0], Budget::default());
    assert!(matches!(masks, Err(HeadError::Device(_))), "fewer classes than boxes");
}

#[test]
fn probabilities_are_those_of_the_classes_logits() {
    for architecture in Architecture::ALL {
        let heads = Heads::new(architecture, DType::F32, Operators::Kernels);
        let (pyramid, boxes, classes) = (pyramid(1, DType::F32), proposals(6), [5, 0, 3, 3, 1, 2]);
        let masks = heads.masks.probabilities(&pyramid, 0, &boxes, &classes, Budget::default()).unwrap();
        let logits = heads.masks.logits(heads.masks.pool(&pyramid, 0, &boxes).unwrap()).unwrap();
        let logits: Vec<f32> = logits.flatten_all().unwrap().to_vec1().unwrap();
        for (index, (mask, class)) in masks.iter().zip(classes).enumerate() {
            for (pixel, probability) in mask.iter().enumerate() {
                let logit = logits[(index * 784 + pixel) * 6 + class];
                assert!((probability - 1.0 / (1.0 + (-logit).exp())).abs() < 2e-6);
            }
        }
    }
}

#[test]
fn half_precision_and_candles_operators_are_close() {
    let (boxes, classes) = (proposals(8), [0, 1, 2, 3, 4, 5, 0, 1]);
    for architecture in Architecture::ALL {
        let outputs = |dtype: DType, operators: Operators| {
            let heads = Heads::new(architecture, dtype, operators);
            let pyramid = pyramid(1, dtype);
            let refined = heads.refine(&pyramid, &boxes, Budget::default());
            let masks = heads.masks.probabilities(&pyramid, 0, &boxes, &classes, Budget::default());
            (refined.scores.clone(), masks.unwrap().concat())
        };
        let (scores, masks) = outputs(DType::F32, Operators::Kernels);
        let mean =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f32>() / a.len() as f32;
        for (dtype, operators, tolerance) in [
            (DType::F32, Operators::Candle, 1e-5),
            (DType::F16, Operators::Kernels, 3e-3),
            (DType::BF16, Operators::Kernels, 3e-2),
        ] {
            let (other_scores, other_masks) = outputs(dtype, operators);
            let errors = [mean(&scores, &other_scores), mean(&masks, &other_masks)];
            assert!(errors.iter().all(|&error| error < tolerance), "{architecture:?} {dtype:?}: {errors:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// The bits do not depend on how many proposals are computed together, nor on which.
    #[test]
    fn chunks_and_permutations_give_the_same_bits(
        architecture in prop::sample::select(&Architecture::ALL[..]),
        count in 1usize..90,
        kib in 1u64..4000,
        order in any::<prop::sample::Index>(),
    ) {
        let heads = Heads::new(architecture, DType::F32, Operators::Kernels);
        let (pyramid, all) = (pyramid(1, DType::F32), proposals(count));
        let whole = heads.refine(&pyramid, &all, Budget::default());
        let budget = Budget { bytes: Some(kib << 10) };
        prop_assert_eq!(bits(&heads.refine(&pyramid, &all, budget)), bits(&whole));

        // a rotation, and the reversed order
        let first = order.index(count);
        let mut moved: Vec<usize> = (0..count).collect();
        moved.rotate_left(first);
        moved.reverse();
        let boxes: Vec<Corners> = moved.iter().map(|&index| all[index]).collect();
        let permuted = heads.refine(&pyramid, &boxes, budget);
        let columns = heads.config.classes + 1;
        for (row, &index) in moved.iter().enumerate() {
            prop_assert_eq!(&permuted.scores[row * columns..][..columns], &whole.scores[index * columns..][..columns]);
            let per_proposal = whole.boxes().len() / count;
            prop_assert_eq!(&permuted.boxes()[row * per_proposal..][..per_proposal], &whole.boxes()[index * per_proposal..][..per_proposal]);
        }

        let few = &all[..count.min(12)];
        let classes: Vec<usize> = (0..few.len()).map(|index| index % heads.config.classes).collect();
        let masks = |budget: Budget| heads.masks.probabilities(&pyramid, 0, few, &classes, budget).unwrap();
        prop_assert_eq!(masks(budget), masks(Budget::default()));
    }
}
