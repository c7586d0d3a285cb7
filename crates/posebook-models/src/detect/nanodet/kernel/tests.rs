//! Compares convolutions with their definition in double precision.

use super::*;
use posebook_core::random::stream;

/// Runs a convolution on random values and returns the largest error; the input has `channels` unused channels before and
/// after those used.
fn compare(
    sizes: (usize, usize, usize, usize),
    (height, width): (usize, usize),
    channels: usize,
    avx2: bool,
) -> f64 {
    let (inputs, outputs, side, stride) = sizes;
    let mut draw = stream(7, "convolution", &[inputs as u64, outputs as u64, height as u64]);
    let mut noise = |count: usize| (0..count).map(|_| draw.range(-1.0, 1.0) as f32).collect::<Vec<f32>>();
    let (weight, bias) = (noise(outputs * inputs * side * side), noise(outputs));
    let convolution = Convolution::new(&weight, &bias, (inputs, side, stride), Activation::Leaky);
    let mut input = PaddedMap::new(height, width, inputs + 2 * channels, 1);
    for y in 0..height {
        let start = input.row(y);
        let values = noise(width * input.channels);
        input.values[start..start + values.len()].copy_from_slice(&values);
    }
    let (out_height, out_width) = (convolution.output_length(height), convolution.output_length(width));
    let mut output = PaddedMap::new(out_height, out_width, outputs.next_multiple_of(PANEL) + PANEL, 1);
    convolution.run_with(&input, channels..channels + inputs, &mut output, PANEL, avx2);
    let value = |y: isize, x: isize, channel: usize| {
        let inside = (0..height as isize).contains(&y) && (0..width as isize).contains(&x);
        if !inside {
            return 0.0;
        }
        f64::from(input.values[input.row(y as usize) + x as usize * input.channels + channels + channel])
    };
    let mut largest: f64 = 0.0;
    for y in 0..out_height {
        for x in 0..out_width {
            for o in 0..outputs {
                let mut sum = f64::from(bias[o]);
                for (tap, i) in (0..side * side).flat_map(|tap| (0..inputs).map(move |i| (tap, i))) {
                    let row = (y * stride + tap / side) as isize - (side / 2) as isize;
                    let column = (x * stride + tap % side) as isize - (side / 2) as isize;
                    sum += value(row, column, i) * f64::from(weight[(o * inputs + i) * side * side + tap]);
                }
                let expected = sum.max(f64::from(LEAKY_SLOPE) * sum);
                let found = output.values[output.row(y) + x * output.channels + PANEL + o];
                largest = largest.max((f64::from(found) - expected).abs());
            }
        }
    }
    let border = |y: usize| output.row(y) - output.channels;
    assert!(
        (0..out_height)
            .all(|y| output.values[border(y)..border(y) + output.channels] == vec![0.0; output.channels])
    );
    largest
}

#[test]
fn convolutions_match_their_definition() {
    if !has_avx2() {
        assert!(
            std::env::var_os("CI").is_none() || !cfg!(target_arch = "x86_64"),
            "the AVX2 kernels have to be tested in CI: the CPU has no AVX2 and FMA"
        );
        println!("skipped: the AVX2 kernels are not tested, the CPU has no AVX2 and FMA");
    }
    for size in [(7, 13), (8, 8), (1, 1), (2, 30), (5, 3)] {
        for sizes in
            [(3, 32, 3, 2), (16, 28, 1, 1), (16, 16, 3, 2), (16, 16, 3, 1), (64, 48, 3, 1), (5, 7, 3, 1)]
        {
            for (channels, avx2) in [(0, false), (0, has_avx2()), (3, has_avx2())] {
                let error = compare(sizes, size, channels, avx2);
                assert!(error < 1e-5, "{sizes:?} {size:?} {avx2}: {error}");
            }
        }
    }
}

#[test]
fn run_within_equals_run_on_separate_maps() {
    let mut draw = stream(7, "within", &[]);
    let mut noise = |count: usize| (0..count).map(|_| draw.range(-1.0, 1.0) as f32).collect::<Vec<f32>>();
    let (weight, bias) = (noise(32 * 32 * 9), noise(32));
    let convolution = Convolution::new(&weight, &bias, (32, 3, 1), Activation::None);
    let mut map = PaddedMap::new(6, 9, 64, 1);
    for y in 0..6 {
        let start = map.row(y);
        let values = noise(9 * 64);
        map.values[start..start + values.len()].copy_from_slice(&values);
    }
    let mut separate = map.clone();
    convolution.run(&map, 32..64, &mut separate, 0);
    convolution.run_within(&mut map, 32..64, 0);
    assert_eq!(map, separate);
}
