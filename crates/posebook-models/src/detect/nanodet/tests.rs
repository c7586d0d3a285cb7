//! Tests the detector with generated weights: sizes, threads, batches and invalid input.

use super::*;
use posebook_core::random::stream;
use std::collections::HashMap;

/// Random weights, scaled to keep activations in range.
fn weights() -> HashMap<String, Tensor> {
    let specs = tensor_specs();
    let filled = specs.iter().enumerate().map(|(index, spec)| {
        let mut draw = stream(5, "nanodet: weights", &[index as u64]);
        let fan: usize = spec.shape[1..].iter().product();
        let scale = if spec.shape.len() > 1 { (2.0 / fan as f64).sqrt() } else { 0.1 };
        let count = spec.shape.iter().product::<usize>();
        let values: Vec<f32> = (0..count).map(|_| (scale * draw.range(-1.7, 1.7)) as f32).collect();
        (spec.key.clone(), Tensor::from_vec(values, spec.shape.as_slice(), &Device::Cpu).unwrap())
    });
    filled.collect()
}

fn builder(weights: HashMap<String, Tensor>) -> VarBuilder<'static> {
    VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu)
}

fn small() -> Settings {
    Settings { long_side: 96, ..Settings::default() }
}

fn noise(index: usize, width: usize, height: usize) -> Frame {
    let mut draw = stream(3, "nanodet: frame", &[index as u64]);
    let rgb = (0..width * height * 3).map(|_| draw.range(0.0, 256.0) as u8).collect();
    Frame::new(index, 0.0, width, height, rgb)
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn our_kernels_match_candle() {
    let weights = builder(weights());
    let ours = NanoDet::load(&weights, small()).unwrap();
    let candles = NanoDet::load_with_candle(&weights, small()).unwrap();
    let input = Tensor::randn(0f32, 1.0, (2, 3, 64, 96), &Device::Cpu).unwrap();
    let (a, b) = (ours.forward(&input).unwrap(), candles.forward(&input).unwrap());
    for (a, b) in a.iter().zip(&b) {
        assert_eq!(a.scores.dims(), [2, (64 / a.stride) * (96 / a.stride), 80]);
        for (a, b) in [(&a.scores, &b.scores), (&a.bins, &b.bins)] {
            let (a, b) = (values(a), values(b));
            let largest = b.iter().fold(1f32, |largest, value| largest.max(value.abs()));
            let error = a.iter().zip(&b).fold(0f32, |error, (a, b)| error.max((a - b).abs()));
            assert!(error < 1e-5 * largest, "{error} of {largest}");
        }
    }
    assert_eq!(ours.boxes(&input).unwrap().len(), 2);
    assert!(candles.activations(&input).unwrap().is_none());
    assert_eq!(ours.activations(&input).unwrap().unwrap()["backbone.stem"].dims(), [1, 32, 32, 48]);
}

#[test]
fn results_depend_neither_on_threads_nor_on_the_batch() {
    let detector = NanoDet::load(&builder(weights()), Settings { score: 0.5, ..small() }).unwrap();
    let frames: Vec<Frame> = (0..3).map(|index| noise(index, 90 - 7 * index, 60)).collect();
    let all: Vec<&Frame> = frames.iter().collect();
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| detector.detect(&all).unwrap())
    };
    let found = run(1);
    assert!(found.iter().any(|people| !people.is_empty()), "the random weights give detections");
    assert_eq!(found, run(2));
    assert_eq!(found, run(5));
    for (frame, found) in frames.iter().zip(&found) {
        assert_eq!(detector.detect(&[frame]).unwrap().concat(), *found);
        for person in found {
            assert_eq!(person.bbox.clipped_to(frame.width, frame.height), Some(person.bbox));
        }
    }
    assert_eq!(detector.detect(&[]).unwrap(), Vec::<Vec<Detection>>::new());
}

#[test]
fn images_of_any_size_are_accepted() {
    let detector = NanoDet::load(&builder(weights()), Settings { score: 1.0, ..small() }).unwrap();
    for (width, height) in [(1, 1), (1, 9), (5000, 1), (2, 3000), (33, 95)] {
        assert_eq!(detector.detect(&[&noise(0, width, height)]).unwrap(), [Vec::new()]);
    }
    for (width, height) in [(0, 0), (0, 7), (7, 0)] {
        let error = detector.detect(&[&noise(4, width, height)]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("frame 4 is {width} x {height} pixels")), "{error}");
    }
}

#[test]
fn small_boxes_and_those_above_the_maximum_number_are_removed() {
    let weights = builder(weights());
    let found = |settings| {
        let detector = NanoDet::load(&weights, settings).unwrap();
        detector.detect(&[&noise(0, 96, 64)]).unwrap().remove(0)
    };
    let all = found(Settings { score: 0.5, ..small() });
    assert!(all.len() > 2, "{}", all.len());
    assert!(all.is_sorted_by(|a, b| a.score >= b.score));
    assert_eq!(found(Settings { score: 0.5, most_people: 2, ..small() }), all[..2]);
    let min_width = f64::from(all[0].bbox.width());
    let large = found(Settings { score: 0.5, smallest_width: min_width, ..small() });
    let expected: Vec<_> =
        all.iter().filter(|found| f64::from(found.bbox.width()) >= min_width).cloned().collect();
    assert_eq!(large, expected);
}

#[test]
fn other_weights_are_rejected_with_the_first_invalid_tensor() {
    let rejection = |edit: &dyn Fn(&mut HashMap<String, Tensor>)| {
        let mut weights = weights();
        edit(&mut weights);
        NanoDet::load(&builder(weights), small()).unwrap_err().to_string()
    };
    let message = rejection(&|weights| weights.clear());
    assert!(message.contains("the tensor `backbone.stem.weight`"), "{message}");
    let message = rejection(&|weights| drop(weights.remove("head.1.out.bias")));
    assert!(message.contains("the tensor `head.1.out.bias`"), "{message}");
    let key = "neck.lateral.0.weight";
    let message = rejection(&|weights| {
        let other = Tensor::zeros((128, 64, 1, 1), DType::F32, &Device::Cpu).unwrap();
        weights.insert(key.into(), other);
    });
    assert!(message.contains(key) && message.contains("64"), "{message}");
    let message = rejection(&|weights| {
        let mut values = values(&weights["head.0.conv.bias"]);
        values[7] = f32::NAN;
        weights.insert("head.0.conv.bias".into(), Tensor::from_vec(values, 128, &Device::Cpu).unwrap());
    });
    assert!(message.contains("`head.0.conv.bias`: value 7 is NaN"), "{message}");
}

#[test]
fn settings_out_of_range_are_errors() {
    let message = |settings: Settings| settings.check().unwrap_err().to_string();
    assert!(
        message(Settings { long_side: 600, ..small() })
            .starts_with("detect.long_side is 600; set it to a multiple")
    );
    assert!(message(Settings { long_side: 0, ..small() }).contains("long_side is 0"));
    assert!(message(Settings { long_side: 8192, ..small() }).contains("4096"));
    assert!(message(Settings { score: f64::NAN, ..small() }).contains("detect.score is NaN"));
    assert!(message(Settings { overlap: 1.5, ..small() }).contains("detect.overlap"));
    assert!(message(Settings { most_people: 0, ..small() }).contains("most_people"));
    assert!(message(Settings { smallest_width: -1.0, ..small() }).contains("smallest_width"));
    assert!(Settings::default().check().is_ok());
}

#[test]
fn inputs_of_other_shapes_are_rejected() {
    let detector = NanoDet::load(&builder(weights()), small()).unwrap();
    for shape in [vec![3, 32, 32], vec![1, 1, 32, 32], vec![1, 3, 33, 32], vec![1, 3, 0, 32]] {
        let input = Tensor::zeros(shape.as_slice(), DType::F32, &Device::Cpu).unwrap();
        assert!(detector.forward(&input).unwrap_err().to_string().contains("multiples of 32"), "{shape:?}");
    }
}

#[test]
fn serialization_is_deterministic() {
    let tensors: std::collections::BTreeMap<_, _> = weights().into_iter().collect();
    let bytes = to_safetensors(&tensors).unwrap();
    assert_eq!(bytes, to_safetensors(&tensors).unwrap());
    let read = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).unwrap();
    assert_eq!(read.len(), tensor_specs().len());
    for (name, tensor) in &tensors {
        assert_eq!(values(&read[name]), values(tensor), "{name}");
    }
}

#[test]
fn the_footprint_equals_the_allocated_values() {
    let settings = small();
    let footprint = Footprint::new(90, 60, &settings);
    let detector = NanoDet::load(&builder(weights()), settings).unwrap();
    detector.detect(&[&noise(0, 90, 60)]).unwrap();
    let idle = detector.idle_buffers.lock().unwrap();
    let (height, width) = idle.as_ref().unwrap().size();
    assert_eq!((height, width), (64, 96));
    assert_eq!(footprint.buffers_bytes, 4 * Buffers::value_count(height, width) as u64);
    let Network::Cpu(network) = &detector.network else { panic!("the network should run on our kernels") };
    assert_eq!(footprint.weights_bytes, 4 * network.value_count() as u64);
    assert_eq!(footprint.peak_bytes(2) - footprint.peak_bytes(1), footprint.thread_bytes);
}
