use super::cpu::CpuNetwork;
use super::plan::Plan;
use super::store::Stored;
use super::tensors::TensorNetwork;
use super::test_network::{small_graph, with_everything};
use super::*;
use crate::nn::conv::Threads;
use crate::random;
use crate::tflite::Model;
use candle_core::{DType, Device};

/// A small network under the name of a published one.
fn small() -> Converted {
    let bytes = with_everything().write();
    let (graph, weights) = convert::translated(&Model::parse(&bytes).unwrap()).unwrap();
    Converted { variant: Variant::Lite, graph, weights }
}

fn input(seed: u64, graph: &graph::Graph) -> Vec<f32> {
    let mut draws = random::stream(seed, "blazepose.input", &[]);
    (0..graph.input.iter().product()).map(|_| draws.unit() as f32).collect()
}

/// All outputs, one after the other.
fn joined(output: Output) -> Vec<f32> {
    [output.landmarks, &[output.presence], output.segmentation, output.heatmap, output.world].concat()
}

fn on_cpu(converted: &Converted, fuse: bool, threads: Threads, seed: u64) -> Vec<f32> {
    let mut weights = converted;
    let network = CpuNetwork::load(&converted.graph, &mut weights, fuse).unwrap();
    let crop = input(seed, &converted.graph);
    network.run(threads, |input| input.copy_from_slice(&crop), joined)
}

#[test]
fn joined_steps_and_threads_give_the_same_numbers() {
    let small = small();
    let plain = on_cpu(&small, false, Threads::One, 1);
    let fused = on_cpu(&small, true, Threads::One, 1);
    assert!(plain.iter().all(|number| number.is_finite()));
    assert!(plain.iter().zip(&fused).all(|(a, b)| (a - b).abs() < 1e-5 * a.abs().max(1.0)));
    assert_eq!(fused, on_cpu(&small, true, Threads::Pool, 1));
    assert_ne!(fused, on_cpu(&small, true, Threads::One, 2));
}

#[test]
fn candle_gives_the_same_numbers_and_a_batch_those_of_each_crop() {
    let small = small();
    let mut weights = &small;
    let network = TensorNetwork::load(&small.graph, &mut weights, &Device::Cpu, DType::F32).unwrap();
    let batch = network.run([input(1, &small.graph), input(2, &small.graph)].concat(), 2).unwrap();
    for crop in 0..2 {
        let ours = on_cpu(&small, true, Threads::One, crop as u64 + 1);
        let found = joined(batch.of(crop, 2));
        assert_eq!(found.len(), ours.len());
        for (index, (a, b)) in found.iter().zip(&ours).enumerate() {
            assert!(
                (a - b).abs() < 2e-5 * b.abs().max(1.0),
                "crop {crop}, number {index}: {a} instead of {b}"
            );
        }
    }
}

#[test]
fn buffers_are_used_again() {
    let small = small();
    let mut weights = &small;
    let network = CpuNetwork::load(&small.graph, &mut weights, true).unwrap();
    let crop = input(3, &small.graph);
    let run = || {
        network.run(
            Threads::One,
            |input| input.copy_from_slice(&crop),
            |output| (output.landmarks.as_ptr() as usize, joined(output)),
        )
    };
    let (first, again) = (run(), run());
    assert!(first == again);
    assert_eq!(network.weights_bytes() as u64, Footprint::of(&small.graph).weights_bytes);
}

#[test]
fn a_file_is_written_the_same_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.safetensors");
    let small = small();
    small.write(&path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), super::tests::small().to_bytes().unwrap());
    let mut stored = Stored::open(&path).unwrap();
    assert_eq!(stored.graph, small.graph);
    let graph = stored.graph.clone();
    let network = CpuNetwork::load(&graph, &mut stored, true).unwrap();
    let crop = input(1, &graph);
    let found = network.run(Threads::One, |input| input.copy_from_slice(&crop), joined);
    assert_eq!(found, on_cpu(&small, true, Threads::One, 1));
    // it is not one of the published networks
    let error = Network::load(&path, &Device::Cpu, DType::F32).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("not that of lite"), "{error}");
}

#[test]
fn damaged_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.safetensors");
    let whole = small().to_bytes().unwrap();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let load = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let mut stored = Stored::open(&path)?;
        let graph = stored.graph.clone();
        CpuNetwork::load(&graph, &mut stored, true)
    };
    assert!(load(&whole).is_ok());
    for len in (0..header).step_by(97).chain(header..header + 5).chain([whole.len() - 1]) {
        assert!(load(&whole[..len]).is_err(), "{len} bytes");
    }
    for round in 0..1_000 {
        let mut draws = random::stream(11, "blazepose.damaged", &[round]);
        let mut bytes = whole.clone();
        for _ in 0..1 + draws.below(3) {
            let at = draws.below(header);
            bytes[at] = draws.below(256) as u8;
        }
        if let Ok(network) = load(&bytes) {
            network.run(Threads::One, |_| {}, |output| assert!(output.presence.is_finite()));
        }
    }
    let nan = header + 64;
    let mut bytes = whole.clone();
    bytes[nan..nan + 2].copy_from_slice(&half::f16::NAN.to_le_bytes());
    let error = load(&bytes).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("not finite"), "{error}");
}

#[test]
fn other_networks_are_refused() {
    let refused = |file: &crate::tflite::test_file::TestFile| {
        let bytes = file.write();
        convert(&Model::parse(&bytes).unwrap()).unwrap_err().to_string()
    };
    let error = refused(&with_everything());
    assert!(error.contains("not BlazePose GHUM") && error.contains("weights"), "{error}");
    let error = refused(&crate::tflite::test_file::two_convolutions());
    assert!(error.contains("no output"), "{error}");
    let mut file = with_everything();
    let weights = file.tensors.iter_mut().find(|tensor| tensor.dtype == 1).unwrap();
    weights.data[4..6].copy_from_slice(&half::f16::INFINITY.to_le_bytes());
    let error = refused(&file);
    assert!(error.contains("value 2 is not finite"), "{error}");
    let mut file = with_everything();
    file.outputs.pop();
    assert!(refused(&file).contains("no output of the shape [1, 1, 117] (world)"));
}

#[test]
fn damaged_tflite_files_never_panic() {
    let bytes = with_everything().write();
    for round in 0..4_000 {
        let mut draws = random::stream(13, "blazepose.tflite", &[round]);
        let mut hostile = bytes.clone();
        for _ in 0..1 + draws.below(3) {
            let at = draws.below(hostile.len());
            hostile[at] = draws.below(256) as u8;
        }
        if let Ok(model) = Model::parse(&hostile)
            && let Ok((graph, _)) = convert::translated(&model)
        {
            Plan::of(&graph, true);
        }
    }
}

#[test]
fn the_small_network_has_every_operator() {
    let graph = small_graph(&with_everything());
    let mut names: Vec<&str> = graph.nodes.iter().map(|node| node.op.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 8, "{names:?}");
}
