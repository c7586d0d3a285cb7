//! Compares convolutions with their definition in double precision.

use super::vector::Instructions;
use super::{BLOCK_PIXELS, ConvSpec, Convolution, Epilogue, MAX_TERMS, direct, winograd};
use proptest::prelude::*;

fn wavy(count: usize, phase: f32) -> Vec<f32> {
    (0..count).map(|index| (phase + index as f32 * 0.7).sin()).collect()
}

/// The definition.
fn exact(input: &[f32], weights: &[f32], bias: &[f32], spec: ConvSpec, [b, h, w]: [usize; 3]) -> Vec<f64> {
    let ConvSpec { inputs, outputs, kernel, stride, padding, groups } = spec;
    let (rows, columns) = (spec.output_length(h).unwrap(), spec.output_length(w).unwrap());
    let (each, per_group) = (inputs / groups, outputs / groups);
    let mut out = Vec::new();
    for (image, y, x, output) in (0..b * rows * columns * outputs).map(|index| {
        let (pixel, output) = (index / outputs, index % outputs);
        (pixel / (rows * columns), pixel / columns % rows, pixel % columns, output)
    }) {
        let mut sum = f64::from(bias[output]);
        for (ky, kx) in (0..kernel * kernel).map(|tap| (tap / kernel, tap % kernel)) {
            let (row, column) =
                ((y * stride + ky).wrapping_sub(padding), (x * stride + kx).wrapping_sub(padding));
            if row >= h || column >= w {
                continue;
            }
            for channel in 0..each {
                let from = ((image * h + row) * w + column) * inputs + output / per_group * each + channel;
                let weight = ((output * each + channel) * kernel + ky) * kernel + kx;
                sum += f64::from(input[from]) * f64::from(weights[weight]);
            }
        }
        out.push(sum);
    }
    out
}

const WINDOWS: [ConvSpec; 13] = {
    const fn spec(sizes: [usize; 6]) -> ConvSpec {
        let [inputs, outputs, kernel, stride, padding, groups] = sizes;
        ConvSpec { inputs, outputs, kernel, stride, padding, groups }
    }
    [
        spec([5, 3, 1, 1, 0, 1]),
        spec([5, 12, 3, 1, 1, 1]),
        spec([3, 33, 7, 2, 3, 1]),
        spec([96, 64, 3, 1, 1, 1]),
        spec([32, 40, 1, 2, 0, 1]),
        spec([32, 32, 3, 1, 1, 4]),
        spec([48, 96, 3, 2, 1, 3]),
        spec([6, 6, 3, 1, 1, 6]),
        spec([64, 17, 3, 1, 4, 1]),
        spec([32, 48, 3, 1, 0, 1]),
        spec([128, 32, 3, 1, 1, 1]),
        spec([128, 128, 3, 1, 1, 2]),
        spec([256, 20, 3, 2, 1, 2]),
    ]
};

#[test]
fn convolutions_match_their_definition_on_every_kind_of_processor() {
    for spec in WINDOWS {
        let size = [2, 7, 9];
        let input = wavy(2 * 7 * 9 * spec.inputs, 0.1);
        let (weights, bias) = (wavy(spec.outputs * spec.terms(), 0.2), wavy(spec.outputs, 0.3));
        let expected = exact(&input, &weights, &bias, spec, size);
        let added = wavy(expected.len(), 0.4);
        let packed = Convolution::pack(&weights, Some(&bias), spec);
        let mut wide: Option<Vec<f32>> = None;
        for instructions in Instructions::available() {
            let mut out = vec![f32::NAN; expected.len()];
            packed.run_with(&input, size, Epilogue::default(), &mut out, instructions);
            for (&out, &expected) in out.iter().zip(&expected) {
                let error = (f64::from(out) - expected).abs();
                assert!(error < 2e-5, "{spec:?} {instructions:?}: {out} for {expected}");
            }
            if instructions != Instructions::Portable {
                assert!(wide.as_ref().is_none_or(|wide| *wide == out), "{spec:?}: AVX-512 and AVX2 differ");
                wide = Some(out.clone());
            }
            let mut with_added = vec![f32::NAN; expected.len()];
            let epilogue = Epilogue { added: Some(&added), relu: true };
            packed.run_with(&input, size, epilogue, &mut with_added, instructions);
            for ((&fused, &out), &added) in with_added.iter().zip(&out).zip(&added) {
                assert_eq!(fused, (out + added).max(0.0));
            }
        }
    }
}

#[test]
fn an_image_does_not_depend_on_its_batch_nor_on_the_threads() {
    for spec in WINDOWS {
        let image = 30 * 11 * spec.inputs;
        let input = wavy(3 * image, 0.1);
        let packed = Convolution::pack(&wavy(spec.outputs * spec.terms(), 0.2), None, spec);
        let pixels = spec.output_length(30).unwrap() * spec.output_length(11).unwrap();
        let compute = |input: &[f32], images: usize, threads: usize| {
            let mut out = vec![f32::NAN; images * pixels * spec.outputs];
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| packed.run(input, [images, 30, 11], Epilogue::default(), &mut out));
            out
        };
        let all = compute(&input, 3, 2);
        assert!(all == compute(&input, 3, 1) && all == compute(&input, 3, 5));
        let alone: Vec<f32> = input.chunks(image).flat_map(|image| compute(image, 1, 2)).collect();
        assert!(all == alone, "{spec:?}");
    }
}

#[test]
fn nan_passes_through_the_activation() {
    let spec = WINDOWS[1];
    let mut input = wavy(7 * 9 * spec.inputs, 0.1);
    input[0] = f32::NAN;
    let packed = Convolution::pack(&wavy(spec.outputs * spec.terms(), 0.2), None, spec);
    for instructions in Instructions::available() {
        let mut out = vec![0.0; 7 * 9 * spec.outputs];
        packed.run_with(&input, [1, 7, 9], Epilogue { added: None, relu: true }, &mut out, instructions);
        // the pixels whose 3 x 3 window holds the first pixel
        for (pixel, values) in out.chunks(spec.outputs).enumerate() {
            let is_near = pixel / 9 < 2 && pixel % 9 < 2;
            assert!(values.iter().all(|value| value.is_nan() == is_near), "pixel {pixel}");
        }
    }
}

#[test]
fn packed_values_are_those_that_are_stored() {
    for spec in WINDOWS {
        let packed = Convolution::pack(&vec![0.5; spec.outputs * spec.terms()], None, spec);
        assert_eq!(packed.weights.len() + packed.bias.len(), spec.packed_values(), "{spec:?}");
    }
}

#[test]
fn a_thread_keeps_little_scratch() {
    let values = direct::scratch_len(MAX_TERMS, BLOCK_PIXELS) + winograd::most_scratch();
    assert!(values * size_of::<f32>() <= 3 << 19, "{values} values");
}

#[test]
fn a_transposed_convolution_moves_the_outputs_of_a_pointwise_one() {
    let (spec, c) = (ConvSpec { inputs: 9, outputs: 20, kernel: 1, stride: 1, padding: 0, groups: 1 }, 5);
    let packed = Convolution::pack(&wavy(180, 0.2), Some(&wavy(20, 0.3)), spec);
    // narrower and wider than a block
    for [b, h, w] in [[3, 4, 5], [1, 2, 2 * BLOCK_PIXELS + 3], [2, 30, BLOCK_PIXELS / 2], [0, 3, 3]] {
        let input = wavy(b * h * w * 9, 0.1);
        let (mut plain, mut quads) = (vec![f32::NAN; b * h * w * 20], vec![f32::NAN; b * h * w * 20]);
        packed.run(&input, [b, h, w], Epilogue::default(), &mut plain);
        packed.run_to_quads(&input, [b, h, w], Epilogue::default(), &mut quads);
        for (index, value) in quads.iter().enumerate() {
            let (row, column, channel) = (index / (2 * w * c), index / c % (2 * w), index % c);
            let part = row % 2 * 2 + column % 2;
            assert_eq!(*value, plain[(row / 2 * w + column / 2) * 20 + part * c + channel]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Images of a batch, parts of a batch and any number of threads give the same bits.
    #[test]
    fn a_batch_equals_its_parts_bit_for_bit(
        groups in 1usize..4,
        inputs in 1usize..5,
        outputs in 1usize..5,
        unit in prop::sample::select(vec![1usize, 8, 16, 32]),
        kernel in 1usize..4,
        stride in 1usize..3,
        padding in 0usize..2,
        height in 3usize..20,
        width in 3usize..20,
        images in 1usize..5,
        threads in 1usize..4,
    ) {
        let spec = ConvSpec {
            inputs: groups * inputs * unit,
            outputs: groups * outputs * unit,
            kernel,
            stride,
            padding,
            groups,
        };
        let packed = Convolution::pack(&wavy(spec.outputs * spec.terms(), 0.2), None, spec);
        let image = height * width * spec.inputs;
        let out = spec.output_length(height).unwrap() * spec.output_length(width).unwrap() * spec.outputs;
        let input = wavy(images * image, 0.1);
        let compute = |range: std::ops::Range<usize>, threads: usize| {
            let mut values = vec![f32::NAN; range.len() * out];
            let input = &input[range.start * image..range.end * image];
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let size = [range.len(), height, width];
            pool.install(|| packed.run(input, size, Epilogue { added: None, relu: true }, &mut values));
            values
        };
        let all = compute(0..images, threads);
        let middle = images / 2;
        let parts = [compute(0..middle, 1), compute(middle..images, 2)].concat();
        prop_assert!(all == parts, "{spec:?}");
        prop_assert!(all.iter().all(|value| value.is_finite()));
    }
}
