//! Compares our kernels with candle's operators, and folded norms with their definition.

use super::*;
use candle_core::{D, IndexOp};
use std::collections::HashMap;

fn wavy(shape: &[usize], phase: f32) -> Tensor {
    let count = shape.iter().product::<usize>();
    let values: Vec<f32> = (0..count).map(|index| (phase + index as f32 * 0.7).sin()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn loader(tensors: &[(&str, Tensor)], dtype: DType, operators: Operators) -> Loader<'static> {
    let tensors: HashMap<String, Tensor> =
        tensors.iter().map(|(name, tensor)| ((*name).to_string(), tensor.clone())).collect();
    Loader::new(VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu), dtype, operators)
}

fn values(x: &Tensor) -> Vec<f32> {
    x.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_close(a: &Tensor, b: &Tensor, relative: f32, what: &str) {
    assert_eq!((a.dims(), a.dtype()), (b.dims(), b.dtype()), "{what}");
    let (a, b) = (values(a), values(b));
    let largest = b.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    for (a, b) in a.iter().zip(&b) {
        assert!((a - b).abs() <= relative * largest, "{what}: {a} for {b}");
    }
}

const SPECS: [ConvSpec; 6] = [
    ConvSpec { inputs: 6, outputs: 10, kernel: 3, stride: 1, padding: 1, groups: 1 },
    ConvSpec { inputs: 3, outputs: 8, kernel: 7, stride: 2, padding: 3, groups: 1 },
    ConvSpec { inputs: 12, outputs: 16, kernel: 1, stride: 1, padding: 0, groups: 1 },
    ConvSpec { inputs: 12, outputs: 16, kernel: 1, stride: 2, padding: 0, groups: 1 },
    ConvSpec { inputs: 32, outputs: 32, kernel: 3, stride: 2, padding: 1, groups: 4 },
    ConvSpec { inputs: 32, outputs: 64, kernel: 3, stride: 1, padding: 1, groups: 1 },
];

/// Relative tolerance of a precision: rounding the result, and candle's rounding of intermediate results.
fn tolerance(dtype: DType) -> f32 {
    match dtype {
        DType::BF16 => 1.6e-2,
        DType::F16 => 2e-3,
        _ => 4e-6,
    }
}

#[test]
fn convolutions_match_candles_in_every_precision() {
    for dtype in [DType::F32, DType::BF16, DType::F16] {
        for spec in SPECS {
            let ConvSpec { inputs, outputs, kernel, groups, .. } = spec;
            let tensors = [
                ("weight", wavy(&[outputs, inputs / groups, kernel, kernel], 0.2)),
                ("bias", wavy(&[outputs], 0.3)),
            ];
            let x = wavy(&[2, 9, 11, inputs], 0.1).to_dtype(dtype).unwrap();
            for activation in [Activation::None, Activation::Relu] {
                let load = |operators| loader(&tensors, dtype, operators).conv(spec, activation).unwrap();
                let (ours, theirs) = (load(Operators::Kernels), load(Operators::Candle));
                let what = format!("{spec:?} {dtype:?} {activation:?}");
                let expected = theirs.forward(&x).unwrap();
                assert_close(&ours.forward(&x).unwrap(), &expected, tolerance(dtype), &what);
                let added = wavy(expected.dims(), 0.7).to_dtype(dtype).unwrap();
                let expected = theirs.forward_add(&x, &added).unwrap();
                assert_close(&ours.forward_add(&x, &added).unwrap(), &expected, tolerance(dtype), &what);
            }
            let without =
                loader(&tensors[..1], dtype, Operators::Kernels).conv_no_bias(spec, Activation::None);
            let candle = loader(&tensors[..1], dtype, Operators::Candle).conv_no_bias(spec, Activation::None);
            let expected = candle.unwrap().forward(&x).unwrap();
            assert_close(&without.unwrap().forward(&x).unwrap(), &expected, tolerance(dtype), "no bias");
        }
    }
}

#[test]
fn a_folded_batch_norm_is_the_norm_of_the_convolution() {
    let spec = SPECS[0];
    let norm = [
        ("norm.weight", wavy(&[10], 0.4)),
        ("norm.bias", wavy(&[10], 0.5)),
        ("norm.running_mean", wavy(&[10], 0.6)),
        // one variance is so small that epsilon counts
        ("norm.running_var", (wavy(&[10], 0.7).sqr().unwrap() * 1e-3).unwrap()),
    ];
    let mut tensors = norm.to_vec();
    tensors.push(("weight", wavy(&[10, 6, 3, 3], 0.2)));
    let x = wavy(&[1, 5, 6, 6], 0.1);
    for operators in [Operators::Kernels, Operators::Candle] {
        let loader = loader(&tensors, DType::F32, operators);
        let plain = loader.conv_no_bias(spec, Activation::None).unwrap().forward(&x).unwrap();
        let part = |index: usize| norm[index].1.to_dtype(DType::F64).unwrap();
        let deviation = (part(3) + BATCH_NORM_EPSILON).unwrap().sqrt().unwrap();
        let normalized = plain.to_dtype(DType::F64).unwrap().broadcast_sub(&part(2)).unwrap();
        let normalized = normalized.broadcast_div(&deviation).unwrap();
        let expected = normalized.broadcast_mul(&part(0)).unwrap().broadcast_add(&part(1)).unwrap();
        let expected = expected.to_dtype(DType::F32).unwrap();
        let folded = loader.conv_batch_norm(&loader.pp("norm"), spec, Activation::None).unwrap();
        assert_close(&folded.forward(&x).unwrap(), &expected, 1e-6, "folded");
    }
    assert!(
        loader(&tensors[..4], DType::F32, Operators::Kernels).conv_no_bias(spec, Activation::None).is_err()
    );
}

#[test]
fn a_transposed_convolution_writes_four_pixels_for_each() {
    let tensors = [("weight", wavy(&[6, 5, 2, 2], 0.2)), ("bias", wavy(&[5], 0.3))];
    for dtype in [DType::F32, DType::BF16, DType::F16] {
        let x = wavy(&[2, 3, 4, 6], 0.1).to_dtype(dtype).unwrap();
        for activation in [Activation::None, Activation::Relu] {
            let load = |operators| loader(&tensors, dtype, operators).deconv(6, 5, activation).unwrap();
            let ours = load(Operators::Kernels).forward(&x).unwrap();
            let theirs = load(Operators::Candle).forward(&x).unwrap();
            assert_close(&ours, &theirs, tolerance(dtype), "ours");
            assert_eq!(ours.dims(), [2, 6, 8, 5]);
            // the definition, of one pixel in each of the four positions
            if dtype == DType::F32 && activation == Activation::None {
                for (y, column) in [(4, 6), (4, 7), (5, 6), (5, 7)] {
                    let pixel = values(&x.i((1, y / 2, column / 2)).unwrap());
                    let out = values(&ours.i((1, y, column)).unwrap());
                    for (output, &out) in out.iter().enumerate() {
                        let weight = |input: usize| {
                            tensors[0]
                                .1
                                .i((input, output, y % 2, column % 2))
                                .unwrap()
                                .to_scalar::<f32>()
                                .unwrap()
                        };
                        let sum: f32 =
                            pixel.iter().enumerate().map(|(input, value)| value * weight(input)).sum();
                        let expected = sum + values(&tensors[1].1)[output];
                        assert!((out - expected).abs() < 1e-5);
                    }
                }
            }
        }
        let layer = loader(&tensors, dtype, Operators::Kernels).deconv(6, 5, Activation::None).unwrap();
        assert!(layer.forward(&wavy(&[1, 3, 4, 5], 0.0)).is_err());
    }
}

#[test]
fn nan_passes_through_the_activation() {
    let spec = SPECS[2];
    let tensors = [("weight", wavy(&[16, 12, 1, 1], 0.2)), ("bias", wavy(&[16], 0.3))];
    let mut input = values(&wavy(&[1, 2, 3, 12], 0.1));
    input[13] = f32::NAN;
    let x = Tensor::from_vec(input, (1, 2, 3, 12), &Device::Cpu).unwrap();
    for operators in [Operators::Kernels, Operators::Candle] {
        for dtype in [DType::F32, DType::BF16, DType::F16] {
            let layer = loader(&tensors, dtype, operators).conv(spec, Activation::Relu).unwrap();
            let out = layer.forward(&x.to_dtype(dtype).unwrap()).unwrap();
            let is_nan: Vec<bool> = values(&out.max(D::Minus1).unwrap()).iter().map(|x| x.is_nan()).collect();
            let all = values(&out);
            assert!(all[16..32].iter().all(|value| value.is_nan()), "{operators:?} {dtype:?} {is_nan:?}");
            assert!(all[..16].iter().chain(&all[32..]).all(|value| *value >= 0.0));
        }
    }
}

#[test]
fn maps_of_other_shapes_are_refused() {
    let tensors = [("weight", wavy(&[10, 6, 3, 3], 0.2)), ("bias", wavy(&[10], 0.3))];
    for operators in [Operators::Kernels, Operators::Candle] {
        let loader = loader(&tensors, DType::F32, operators);
        let layer = loader.conv(SPECS[0], Activation::None).unwrap();
        let message = |x: &Tensor| layer.forward(x).unwrap_err().to_string();
        assert!(message(&wavy(&[1, 4, 4, 5], 0.1)).contains("5 channels for a kernel of 6"));
        assert!(layer.forward(&wavy(&[4, 4, 6], 0.1)).is_err());
        let x = wavy(&[1, 4, 4, 6], 0.1);
        assert!(layer.forward_add(&x, &wavy(&[1, 4, 5, 10], 0.1)).is_err());
        assert_eq!(layer.forward(&x.narrow(0, 0, 0).unwrap()).unwrap().dims(), [0, 4, 4, 10]);
        let unpadded = loader.conv(ConvSpec { padding: 0, ..SPECS[0] }, Activation::None).unwrap();
        assert!(
            unpadded.forward(&wavy(&[1, 2, 4, 6], 0.1)).unwrap_err().to_string().contains("does not fit")
        );
        for impossible in [ConvSpec { groups: 4, ..SPECS[0] }, ConvSpec { stride: 0, ..SPECS[0] }] {
            assert!(loader.conv(impossible, Activation::None).is_err());
        }
    }
}
