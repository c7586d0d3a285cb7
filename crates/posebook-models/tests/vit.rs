//! ViTDet's backbone on the CPU: batches, budgets, operators, precisions, other image sizes and bad input.
//!
//! `tests/mask_rcnn.rs` compares it with the original.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use posebook_models::detect::mask_rcnn::layers::{Loader, Operators};
use posebook_models::detect::mask_rcnn::vit::{VitBackbone, absolute_positions, relative_positions};
use posebook_models::detect::mask_rcnn::{Architecture, Backbone, Budget, Config, Vit, formula};
use std::collections::HashMap;

/// PyTorch's `interpolate(mode="linear")` of the squares of 0 to 4 to 7 and to 3 values.
const LINEAR_7: [f32; 7] = [0.0, 0.571_428_54, 1.857_143_2, 4.0, 7.571_429_3, 12.0, 16.0];
const LINEAR_3: [f32; 3] = [0.333_333_3, 4.0, 13.666_667];
/// PyTorch's `interpolate(mode="bicubic", align_corners=False)` of the squares of 0 to 8, as 3 x 3, to 2 x 5 values.
const BICUBIC_2_5: [f32; 10] = [
    0.883_594,
    1.624_751_6,
    3.238_281_3,
    5.931_813,
    7.784_97,
    29.061_472,
    33.800_316,
    42.050_78,
    51.381_256,
    57.232_105,
];

const BUDGETS: [Budget; 3] =
    [Budget { bytes: None }, Budget { bytes: Some(1) }, Budget { bytes: Some(600_000) }];

fn sizes(config: &Config) -> Vit {
    match &config.backbone {
        Backbone::Vit(sizes) => sizes.clone(),
        other => panic!("{other:?}"),
    }
}

fn weights() -> HashMap<String, Tensor> {
    formula::weights("a", &Config::small(Architecture::Vitdet), DType::F32, &Device::Cpu).unwrap()
}

fn load(
    sizes: &Vit,
    weights: HashMap<String, Tensor>,
    dtype: DType,
    operators: Operators,
) -> candle_core::Result<VitBackbone> {
    let loader = Loader::new(VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu), dtype, operators);
    VitBackbone::load(sizes, Config::small(Architecture::Vitdet).channels, &loader.pp("backbone"))
}

fn small(dtype: DType, operators: Operators) -> VitBackbone {
    load(&sizes(&Config::small(Architecture::Vitdet)), weights(), dtype, operators).unwrap()
}

fn pixels(images: usize, height: usize, width: usize) -> Tensor {
    let value = |index: usize| ((index * index % 9973) as f32 * 0.7 + index as f32 * 0.01).sin() * 2.0;
    let values: Vec<f32> = (0..images * height * width * 3).map(value).collect();
    Tensor::from_vec(values, (images, height, width, 3), &Device::Cpu).unwrap()
}

fn forward(network: &VitBackbone, pixels: &Tensor, budget: Budget) -> Vec<Tensor> {
    network.forward(pixels, budget, &mut |_, _| {}).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    values(tensor).into_iter().map(f32::to_bits).collect()
}

fn largest_difference(a: &[Tensor], b: &[Tensor]) -> f32 {
    assert_eq!(a.len(), b.len());
    let of_level = |(a, b): (&Tensor, &Tensor)| {
        assert_eq!(a.dims(), b.dims());
        values(a).iter().zip(values(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    a.iter().zip(b).map(of_level).fold(0.0, f32::max)
}

#[test]
fn a_batch_equals_its_images_alone() {
    for operators in [Operators::Kernels, Operators::Candle] {
        let network = small(DType::F32, operators);
        let images = pixels(3, 128, 192);
        let together = forward(&network, &images, Budget::default());
        let strides = together.iter().map(|map| map.dims().to_vec()).collect::<Vec<_>>();
        assert_eq!(strides[0], [3, 32, 48, 32]);
        assert_eq!(strides[4], [3, 2, 3, 32]);
        for image in 0..3 {
            let alone = forward(&network, &images.narrow(0, image, 1).unwrap(), Budget::default());
            for (together, alone) in together.iter().zip(&alone) {
                assert_eq!(bits(&together.narrow(0, image, 1).unwrap()), bits(alone), "{operators:?}");
            }
        }
    }
}

#[test]
fn a_budget_changes_no_bit() {
    // 16 x 16 tokens, 3 x 3 windows of which two in a row are padded; 20 x 9 tokens
    for (height, width) in [(256, 256), (320, 144)] {
        for operators in [Operators::Kernels, Operators::Candle] {
            let network = small(DType::F32, operators);
            let pixels = pixels(1, height, width);
            let [whole, smallest, small] = BUDGETS.map(|budget| forward(&network, &pixels, budget));
            for level in 0..5 {
                assert_eq!(bits(&whole[level]), bits(&smallest[level]), "p{} {operators:?}", level + 2);
                assert_eq!(bits(&whole[level]), bits(&small[level]), "p{} {operators:?}", level + 2);
            }
        }
    }
}

#[test]
fn kernels_and_candles_operators_agree() {
    for (height, width) in [(256, 256), (96, 400), (32, 32), (272, 112)] {
        let pixels = pixels(1, height, width);
        let [ours, theirs] = [Operators::Kernels, Operators::Candle]
            .map(|operators| forward(&small(DType::F32, operators), &pixels, Budget::default()));
        let difference = largest_difference(&ours, &theirs);
        assert!(difference < 5e-5, "{width}x{height}: {difference}");
    }
}

#[test]
fn half_precision_is_near_single_precision() {
    let pixels = pixels(2, 128, 160);
    let exact = forward(&small(DType::F32, Operators::Kernels), &pixels, Budget::default());
    // 8 and 11 bits, four blocks
    for (dtype, tolerance) in [(DType::BF16, 0.25), (DType::F16, 0.03)] {
        for operators in [Operators::Kernels, Operators::Candle] {
            let network = small(dtype, operators);
            let pixels = pixels.to_dtype(dtype).unwrap();
            let maps = forward(&network, &pixels, Budget::default());
            assert!(maps.iter().all(|map| map.dtype() == dtype));
            let difference = largest_difference(&maps, &exact);
            println!("{dtype:?} {operators:?}: {difference}");
            assert!(difference < tolerance, "{dtype:?} {operators:?}: {difference}");
            let chunked = forward(&network, &pixels, BUDGETS[1]);
            assert!(maps.iter().zip(&chunked).all(|(a, b)| bits(a) == bits(b)), "{dtype:?} {operators:?}");
        }
    }
}

#[test]
fn tables_are_resized_as_pytorch_does_it() {
    let tensor = |values: &[f32], shape: &[usize]| Tensor::from_slice(values, shape, &Device::Cpu).unwrap();
    let close = |ours: Tensor, expected: &[f32]| {
        let ours = values(&ours);
        assert_eq!(ours.len(), expected.len());
        assert!(ours.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{ours:?} {expected:?}");
    };
    let table = tensor(&[0.0, 1.0, 4.0, 9.0, 16.0], &[5, 1]);
    close(relative_positions(&table, 3).unwrap(), &[0.0, 1.0, 4.0, 9.0, 16.0]);
    close(relative_positions(&table, 4).unwrap(), &LINEAR_7);
    close(relative_positions(&table, 2).unwrap(), &LINEAR_3);
    assert!(relative_positions(&table, 0).is_err());
    let square: Vec<f32> =
        (0..10).map(|index| if index == 0 { 99.0 } else { (index as f32 - 1.0).powi(2) }).collect();
    close(absolute_positions(&tensor(&square, &[1, 10, 1]), 2, 5).unwrap(), &BICUBIC_2_5);
    assert!(absolute_positions(&tensor(&square[..9], &[1, 9, 1]), 2, 5).is_err());
    assert!(absolute_positions(&tensor(&square[..1], &[1, 1, 1]), 2, 5).is_err());
}

#[test]
fn what_does_not_fit_is_an_error() {
    let network = small(DType::F32, Operators::Kernels);
    let error =
        |pixels: Tensor| network.forward(&pixels, Budget::default(), &mut |_, _| {}).unwrap_err().to_string();
    assert!(error(pixels(1, 256, 250)).contains("250x256"));
    assert!(error(pixels(1, 0, 16)).contains("16x0"));
    // a single token cannot be pooled to half its size, nor can the original's
    error(pixels(1, 16, 16));
    error(Tensor::zeros((1, 32, 32, 4), DType::F32, &Device::Cpu).unwrap());
    error(Tensor::zeros((32, 32, 3), DType::F32, &Device::Cpu).unwrap());
    error(Tensor::zeros((0, 32, 32, 3), DType::F32, &Device::Cpu).unwrap());
    assert!(
        network
            .attention(4, &Tensor::zeros((1, 2, 2, 64), DType::F32, &Device::Cpu).unwrap(), BUDGETS[0])
            .is_err()
    );

    let good = sizes(&Config::small(Architecture::Vitdet));
    let refused =
        |sizes: Vit| load(&sizes, weights(), DType::F32, Operators::Kernels).unwrap_err().to_string();
    refused(Vit { heads: 5, ..good.clone() });
    refused(Vit { heads: 0, ..good.clone() });
    refused(Vit { patch: 0, ..good.clone() });
    refused(Vit { window: 0, ..good.clone() });
    // tables for windows of another size, and a block that is global in the weights alone
    assert!(refused(Vit { window: 7, ..good.clone() }).contains("rel_pos_h"));
    assert!(refused(Vit { global_blocks: vec![1], ..good.clone() }).contains("rel_pos_h"));
    let mut missing = weights();
    missing.remove("backbone.simfp_2.3.bias").unwrap();
    let error = load(&good, missing, DType::F32, Operators::Kernels).unwrap_err().to_string();
    assert!(error.contains("simfp_2.3.bias"), "{error}");
}

#[test]
fn a_pixel_that_is_not_a_number_is_seen_everywhere() {
    for operators in [Operators::Kernels, Operators::Candle] {
        let network = small(DType::F32, operators);
        let mut broken = values(&pixels(1, 64, 64));
        broken[1000] = f32::NAN;
        let maps =
            forward(&network, &Tensor::from_vec(broken, (1, 64, 64, 3), &Device::Cpu).unwrap(), BUDGETS[0]);
        // a global block spreads it to every token
        assert!(values(&maps[2]).iter().all(|value| value.is_nan()), "{operators:?}");
    }
}
