use super::*;
use posebook_core::random;

fn numbers(purpose: &str, len: usize) -> Vec<f32> {
    let mut draws = random::stream(5, purpose, &[len as u64]);
    (0..len).map(|_| draws.range(-1.0, 1.0) as f32).collect()
}

/// A convolution by its definition, in f64: `weights(output, ky, kx, input)` over groups of one or all channels.
#[expect(clippy::too_many_arguments, reason = "the definition has as many")]
fn by_definition(
    input: &[f32],
    shape: Shape,
    weights: &dyn Fn(usize, usize, usize, usize) -> Option<f32>,
    bias: &[f32],
    kernel: [usize; 2],
    stride: [usize; 2],
    pads: Padding,
    clamp: Clamp,
) -> Vec<f32> {
    let [height, width] = output_size(shape, pads, kernel, stride).unwrap();
    let mut out = Vec::new();
    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
        for (output, &bias) in bias.iter().enumerate() {
            let mut sum = f64::from(bias);
            for (ky, kx) in (0..kernel[0]).flat_map(|ky| (0..kernel[1]).map(move |kx| (ky, kx))) {
                let row = (y * stride[0] + ky).checked_sub(pads.top).filter(|&row| row < shape.height);
                let column =
                    (x * stride[1] + kx).checked_sub(pads.left).filter(|&column| column < shape.width);
                let (Some(row), Some(column)) = (row, column) else { continue };
                for channel in 0..shape.channels {
                    let value = input[(row * shape.width + column) * shape.channels + channel];
                    let weight = weights(output, ky, kx, channel).unwrap_or(0.0);
                    sum += f64::from(value) * f64::from(weight);
                }
            }
            out.push((sum as f32).clamp(clamp.low, clamp.high));
        }
    }
    out
}

fn assert_near(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= 2e-5, "{what}: value {index} is {a}, not {b}");
    }
}

#[test]
fn regular_convolutions_match_their_definition() {
    for (height, width, inputs, outputs, kernel, stride) in [
        (5, 7, 3, 24, [3, 3], [2, 2]),
        (4, 9, 8, 1, [3, 3], [1, 1]),
        (3, 4, 24, 40, [1, 1], [1, 1]),
        (2, 2, 16, 39, [2, 2], [1, 1]),
        (6, 5, 4, 8, [5, 3], [1, 2]),
        (1, 29, 6, 56, [1, 1], [1, 1]),
        (9, 6, 5, 65, [1, 1], [2, 2]),
    ] {
        let what = format!("{height}x{width}, {inputs} to {outputs}, {kernel:?} by {stride:?}");
        let shape = Shape::new(height, width, inputs);
        let input = numbers("input", shape.len());
        let weights = numbers("weights", outputs * kernel[0] * kernel[1] * inputs);
        let bias = numbers("bias", outputs);
        let at = |o: usize, ky: usize, kx: usize, i: usize| {
            Some(weights[((o * kernel[0] + ky) * kernel[1] + kx) * inputs + i])
        };
        let no_clamp = Clamp::NONE;
        let expected = by_definition(&input, shape, &at, &bias, kernel, stride, Padding::default(), no_clamp);
        let filter = Filter::pack(&weights, &bias, outputs, kernel, inputs);
        let mut out = vec![f32::NAN; expected.len()];
        convolve(
            FeatureMap { values: &input, shape },
            &filter,
            stride,
            None,
            no_clamp,
            &mut out,
            Threads::One,
        );
        assert_near(&out, &expected, &what);
        let added = numbers("added", out.len());
        let sums: Vec<f32> = expected.iter().zip(&added).map(|(a, b)| (a + b).clamp(0.0, 6.0)).collect();
        let mut pooled = vec![f32::NAN; expected.len()];
        convolve(
            FeatureMap { values: &input, shape },
            &filter,
            stride,
            Some(&added),
            Clamp::RELU6,
            &mut pooled,
            Threads::Pool,
        );
        assert_near(&pooled, &sums, &what);
    }
}

#[test]
fn depthwise_convolutions_match_their_definition() {
    for (height, width, channels, kernel, stride) in [
        (7, 9, 8, [3, 3], [1, 1]),
        (8, 8, 24, [5, 5], [1, 1]),
        (8, 8, 16, [3, 3], [2, 2]),
        (7, 5, 16, [5, 5], [2, 2]),
        (2, 2, 40, [5, 5], [1, 1]),
        (6, 11, 3, [3, 3], [1, 1]),
        (5, 12, 8, [2, 4], [1, 3]),
    ] {
        let what = format!("{height}x{width}x{channels}, {kernel:?} by {stride:?}");
        let shape = Shape::new(height, width, channels);
        let input = numbers("input", shape.len());
        let weights = numbers("weights", kernel[0] * kernel[1] * channels);
        let bias = numbers("bias", channels);
        let at = |o: usize, ky: usize, kx: usize, i: usize| {
            (o == i).then(|| weights[(ky * kernel[1] + kx) * channels + i])
        };
        let pads = Padding::same([height, width], kernel, stride);
        let expected = by_definition(&input, shape, &at, &bias, kernel, stride, pads, Clamp::RELU6);
        let filter = Depthwise::pack(&weights, &bias, kernel, channels);
        for threads in [Threads::One, Threads::Pool] {
            let mut out = vec![f32::NAN; expected.len()];
            depthwise(
                FeatureMap { values: &input, shape },
                &filter,
                stride,
                pads,
                Clamp::RELU6,
                &mut out,
                threads,
            );
            assert_near(&out, &expected, &what);
        }
    }
}

#[test]
fn same_padding_is_larger_below_and_right() {
    let pads = Padding::same([8, 8], [3, 3], [2, 2]);
    assert_eq!(pads, Padding { top: 0, left: 0, bottom: 1, right: 1 });
    assert_eq!(Padding::same([8, 9], [5, 3], [1, 2]), Padding { top: 2, left: 1, bottom: 2, right: 1 });
    assert_eq!(output_size(Shape::new(8, 8, 1), pads, [3, 3], [2, 2]), Some([4, 4]));
    assert_eq!(output_size(Shape::new(2, 2, 1), Padding::default(), [3, 3], [1, 1]), None);
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let shape = Shape::new(37, 41, 24);
    let input = numbers("input", shape.len());
    let filter = Filter::pack(&numbers("weights", 64 * 24), &numbers("bias", 64), 64, [1, 1], 24);
    let run = |threads| {
        let mut out = vec![0.0; 37 * 41 * 64];
        convolve(FeatureMap { values: &input, shape }, &filter, [1, 1], None, Clamp::RELU, &mut out, threads);
        out
    };
    assert!(run(Threads::One) == run(Threads::Pool));
}

#[test]
fn clamping_keeps_nan() {
    let filter = Filter::pack(&[1.0; 8], &[0.0; 8], 8, [1, 1], 1);
    let mut out = [0.0; 8];
    convolve(
        FeatureMap { values: &[f32::NAN], shape: Shape::new(1, 1, 1) },
        &filter,
        [1, 1],
        None,
        Clamp::RELU6,
        &mut out,
        Threads::One,
    );
    assert!(out.iter().all(|value| value.is_nan()));
    let mut out = [0.0; 9];
    add(&[f32::NAN; 9], &[1.0; 9], Clamp::RELU6, &mut out, Threads::One);
    assert!(out.iter().all(|value| value.is_nan()));
}

#[test]
fn upsampling_uses_half_pixel_centers() {
    // one row of two pixels: output centers are a quarter of a pixel from the source's; edges are repeated
    let mut out = vec![0.0; 8];
    upsample_2x(&[0.0, 8.0], Shape::new(1, 2, 1), &mut out, Threads::One);
    assert_eq!(out, [0.0, 2.0, 6.0, 8.0, 0.0, 2.0, 6.0, 8.0]);
    let shape = Shape::new(3, 2, 11);
    let values = numbers("map", shape.len());
    let mut out = vec![0.0; 4 * shape.len()];
    upsample_2x(&values, shape, &mut out, Threads::Pool);
    // row 3 is a quarter of the way from row 1 to row 2, column 2 three quarters of the way from column 0 to 1
    let at = |y: usize, x: usize| values[(y * 2 + x) * 11 + 9];
    let expected = 0.75 * (0.25 * at(1, 0) + 0.75 * at(1, 1)) + 0.25 * (0.25 * at(2, 0) + 0.75 * at(2, 1));
    assert!((out[(3 * 4 + 2) * 11 + 9] - expected).abs() < 1e-6);
}

#[test]
fn padding_adds_zeros_around_and_after_the_channels() {
    let values = [1.0, 2.0, 3.0, 4.0];
    let mut out = vec![9.0; 3 * 4 * 2];
    let pads = Padding { top: 1, left: 2, bottom: 0, right: 0 };
    pad(&values, Shape::new(2, 2, 1), pads, 1, &mut out);
    let rows = [[0.0; 8], [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 0.0, 3.0, 0.0, 4.0, 0.0]];
    assert_eq!(out, rows.concat());
}

#[test]
fn max_pooling_keeps_the_largest_of_four() {
    let values = [1.0, -1.0, 5.0, -2.0, 9.0, 9.0, 0.0, -3.0, 2.0, -4.0, 9.0, 9.0];
    let mut out = vec![0.0; 2];
    max_pool(&values, Shape::new(2, 3, 2), &mut out);
    assert_eq!(out, [5.0, -1.0]);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn portable_and_avx2_lanes_agree() {
    use super::lanes::{Avx2Lanes, LANES, Lanes, PortableLanes};
    if !(is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")) {
        return crate::test_skip::skip("this processor has no AVX2 and FMA", true);
    }
    fn compute<L: Lanes>([a, b, c]: [&[f32; LANES]; 3]) -> [f32; LANES] {
        let sum = L::load(a).multiply_add(L::load(b), L::load(c)).add(L::splat(0.25));
        let mut out = [0.0; LANES];
        sum.clamp(L::splat(-0.5), L::splat(0.75)).store(&mut out);
        out
    }
    let mut values = numbers("lanes", 3 * LANES);
    values[3] = f32::NAN;
    let parts = values.as_chunks::<LANES>().0;
    let inputs = [&parts[0], &parts[1], &parts[2]];
    let [avx2, portable] = [compute::<Avx2Lanes>(inputs), compute::<PortableLanes>(inputs)];
    assert!(avx2[3].is_nan() && portable[3].is_nan());
    assert!(
        avx2.iter().zip(portable).all(|(a, b)| a.is_nan() || (a - b).abs() < 1e-6),
        "{avx2:?} {portable:?}"
    );
}
