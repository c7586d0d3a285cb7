//! Convolutional backbones and the region proposal network: batches, budgets, sizes and precisions.

use super::backbone::BackboneNetwork;
use super::boxes::NetworkSize;
use super::layers::{Loader, Operators};
use super::rpn::Rpn;
use super::{Architecture, Budget, Config, formula};
use crate::hmr2::formula::tensor;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;

const BOTH: [Architecture; 2] = [Architecture::Regnety, Architecture::X101];

/// A small backbone with weights by formula.
fn network(architecture: Architecture, dtype: DType) -> BackboneNetwork {
    let config = Config::small(architecture);
    let loader = loader(architecture, dtype).pp("backbone");
    BackboneNetwork::load(&config.backbone, config.channels, &loader).unwrap()
}

fn loader(architecture: Architecture, dtype: DType) -> Loader<'static> {
    let config = Config::small(architecture);
    let weights = formula::weights("a", &config, DType::F32, &Device::Cpu).unwrap();
    Loader::new(VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu), dtype, Operators::Kernels)
}

fn pixels(images: usize, height: usize, width: usize) -> Tensor {
    tensor("pixels", &[images, height, width, 3], &[0.0], 2.0).unwrap()
}

fn values(map: &Tensor) -> Vec<f32> {
    map.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn a_batch_equals_its_images_alone() {
    for architecture in BOTH {
        let backbone = network(architecture, DType::F32);
        let batch = pixels(3, 96, 64);
        let together = backbone.forward(&batch, Budget::default()).unwrap();
        // one image at a time, because nothing fits
        let budgeted = backbone.forward(&batch, Budget { bytes: Some(1) }).unwrap();
        for image in 0..3 {
            let alone = backbone.forward(&batch.narrow(0, image, 1).unwrap(), Budget::default()).unwrap();
            for (level, alone) in alone.iter().enumerate() {
                let of_batch = |maps: &[Tensor]| values(&maps[level].narrow(0, image, 1).unwrap());
                assert!(values(alone) == of_batch(&together), "{architecture:?} p{} of {image}", level + 2);
                assert!(values(alone) == of_batch(&budgeted), "{architecture:?} p{} of {image}", level + 2);
            }
        }
    }
}

#[test]
fn levels_halve_and_the_last_is_rounded_up() {
    for architecture in BOTH {
        let backbone = network(architecture, DType::F32);
        for (height, width, p6) in [(32, 32, (1, 1)), (160, 32, (3, 1)), (64, 224, (1, 4))] {
            let pyramid = backbone.forward(&pixels(1, height, width), Budget::default()).unwrap();
            assert_eq!(pyramid.len(), 5);
            for (level, map) in pyramid[..4].iter().enumerate() {
                assert_eq!(map.dims(), [1, height >> (level + 2), width >> (level + 2), 32]);
            }
            assert_eq!(pyramid[4].dims(), [1, p6.0, p6.1, 32]);
            assert!(pyramid.iter().all(|map| values(map).iter().all(|value| value.is_finite())));
        }
    }
}

#[test]
fn sides_that_are_no_multiples_of_32_are_refused() {
    for architecture in BOTH {
        let backbone = network(architecture, DType::F32);
        for (images, height, width) in [(1, 33, 64), (1, 64, 48), (0, 64, 64), (1, 0, 32)] {
            let pixels = Tensor::zeros((images, height, width, 3), DType::F32, &Device::Cpu).unwrap();
            let error = backbone.forward(&pixels, Budget::default()).unwrap_err().to_string();
            assert!(error.contains("multiples of 32"), "{error}");
        }
    }
}

#[test]
fn half_precision_is_close_to_single() {
    for architecture in BOTH {
        let pixels = pixels(1, 96, 128);
        let expected = network(architecture, DType::F32).forward(&pixels, Budget::default()).unwrap();
        for (dtype, tolerance) in [(DType::BF16, 0.03), (DType::F16, 0.004)] {
            let backbone = network(architecture, dtype);
            let pyramid = backbone.forward(&pixels.to_dtype(dtype).unwrap(), Budget::default()).unwrap();
            for (map, expected) in pyramid.iter().zip(&expected) {
                assert_eq!(map.dtype(), dtype);
                let (map, expected) = (values(map), values(expected));
                let norm = |values: &mut dyn Iterator<Item = f32>| {
                    values.map(|value| f64::from(value).powi(2)).sum::<f64>().sqrt()
                };
                let error = norm(&mut map.iter().zip(&expected).map(|(a, b)| a - b))
                    / norm(&mut expected.iter().copied());
                println!("{architecture:?} {dtype:?} {error:.1e}");
                assert!(error < tolerance, "{architecture:?} {dtype:?}: relative error {error:.2e}");
            }
        }
    }
}

#[test]
fn images_of_a_batch_have_the_proposals_that_they_have_alone() {
    let config = Config::small(Architecture::Regnety);
    let rpn = Rpn::load(
        &config.rpn,
        config.channels,
        &loader(Architecture::Regnety, DType::F32).pp("proposal_generator.rpn_head"),
    )
    .unwrap();
    let level = |level: usize| {
        let shape = [2, 96usize.div_ceil(1 << level), 128usize.div_ceil(1 << level), 32];
        tensor(&format!("level{level}"), &shape, &[0.0], 1.0).unwrap()
    };
    let pyramid: Vec<Tensor> = (2..=6).map(level).collect();
    let sizes = [NetworkSize { height: 90, width: 120 }, NetworkSize { height: 40, width: 128 }];
    let together = rpn.propose(&pyramid, &sizes).unwrap();
    for (image, proposals) in together.iter().enumerate() {
        let alone: Vec<Tensor> = pyramid.iter().map(|map| map.narrow(0, image, 1).unwrap()).collect();
        assert_eq!(&rpn.propose(&alone, &sizes[image..=image]).unwrap()[0], proposals);
        assert!(!proposals.is_empty() && proposals.len() <= config.rpn.proposals);
        for pair in proposals.windows(2) {
            assert!(pair[0].logit >= pair[1].logit);
        }
        for proposal in proposals {
            let [x1, y1, x2, y2] = proposal.corners;
            assert!(0.0 <= x1 && x1 < x2 && x2 <= sizes[image].width as f32, "{proposal:?}");
            assert!(0.0 <= y1 && y1 < y2 && y2 <= sizes[image].height as f32, "{proposal:?}");
        }
    }
    assert!(rpn.propose(&pyramid, &sizes[..1]).is_err());

    let nan: Vec<Tensor> = pyramid.iter().map(|map| (map * f64::NAN).unwrap()).collect();
    let message = rpn.propose(&nan, &sizes).unwrap_err().to_string();
    assert!(message.contains("image 0 of the batch are not finite"), "{message}");
}
