use super::candle_network::CandleNetwork;
use super::cpu::CpuNetwork;
use super::plan::Plan;
use super::store::WeightsFile;
use super::test_network::{all_operators_network, parse_graph};
use super::*;
use crate::conv::Threads;
use crate::tflite::Model;
use candle_core::{DType, Device};
use posebook_core::random;

/// A small network with the variant of a published one.
fn small() -> ConvertedNetwork {
    let bytes = all_operators_network().write();
    let (graph, weights) = convert::convert_graph(&Model::parse(&bytes).unwrap()).unwrap();
    ConvertedNetwork { variant: Variant::Lite, graph, weights }
}

fn input(seed: u64, graph: &Graph) -> Vec<f32> {
    let mut draws = random::stream(seed, "blazepose.input", &[]);
    (0..graph.input.iter().product()).map(|_| draws.uniform() as f32).collect()
}

/// All outputs, concatenated.
fn concatenated(output: Output) -> Vec<f32> {
    [output.landmarks, &[output.presence], output.segmentation, output.heatmap, output.world].concat()
}

fn on_cpu(converted: &ConvertedNetwork, fuse: bool, threads: Threads, seed: u64) -> Vec<f32> {
    let mut weights = converted;
    let network = CpuNetwork::load(&converted.graph, &mut weights, fuse).unwrap();
    let crop = input(seed, &converted.graph);
    network.run(threads, |input| input.copy_from_slice(&crop), concatenated)
}

#[test]
fn fusing_and_threads_do_not_change_the_outputs() {
    let small = small();
    let unfused = on_cpu(&small, false, Threads::One, 1);
    let fused = on_cpu(&small, true, Threads::One, 1);
    assert!(unfused.iter().all(|value| value.is_finite()));
    assert!(unfused.iter().zip(&fused).all(|(a, b)| (a - b).abs() < 1e-5 * a.abs().max(1.0)));
    assert_eq!(fused, on_cpu(&small, true, Threads::Pool, 1));
    assert_ne!(fused, on_cpu(&small, true, Threads::One, 2));
}

#[test]
fn candle_gives_the_same_outputs_for_single_crops_and_batches() {
    let small = small();
    let mut weights = &small;
    let network = CandleNetwork::load(&small.graph, &mut weights, &Device::Cpu, DType::F32).unwrap();
    let batch = network.run([input(1, &small.graph), input(2, &small.graph)].concat(), 2).unwrap();
    for crop in 0..2 {
        let ours = on_cpu(&small, true, Threads::One, crop as u64 + 1);
        let found = concatenated(batch.crop_output(crop, 2));
        assert_eq!(found.len(), ours.len());
        for (index, (a, b)) in found.iter().zip(&ours).enumerate() {
            assert!(
                (a - b).abs() < 2e-5 * b.abs().max(1.0),
                "crop {crop}, value {index}: {a} instead of {b}"
            );
        }
    }
}

#[test]
fn buffers_are_reused() {
    let small = small();
    let mut weights = &small;
    let network = CpuNetwork::load(&small.graph, &mut weights, true).unwrap();
    let crop = input(3, &small.graph);
    let run = || {
        network.run(
            Threads::One,
            |input| input.copy_from_slice(&crop),
            |output| (output.landmarks.as_ptr() as usize, concatenated(output)),
        )
    };
    let (first, again) = (run(), run());
    assert!(first == again);
    assert_eq!(network.weights_bytes() as u64, Footprint::from_graph(&small.graph).weights_bytes);
}

#[test]
fn a_written_file_is_deterministic_and_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.safetensors");
    let small = small();
    small.write(&path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), self::small().to_bytes().unwrap());
    let mut stored = WeightsFile::open(&path).unwrap();
    assert_eq!(stored.graph, small.graph);
    let graph = stored.graph.clone();
    let network = CpuNetwork::load(&graph, &mut stored, true).unwrap();
    let crop = input(1, &graph);
    let found = network.run(Threads::One, |input| input.copy_from_slice(&crop), concatenated);
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
        let mut stored = WeightsFile::open(&path)?;
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
            let index = draws.below(header);
            bytes[index] = draws.below(256) as u8;
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
fn other_networks_are_rejected() {
    let rejection = |file: &crate::tflite::test_file::TestFile| {
        let bytes = file.write();
        convert(&Model::parse(&bytes).unwrap()).unwrap_err().to_string()
    };
    let error = rejection(&all_operators_network());
    assert!(error.contains("not BlazePose GHUM") && error.contains("weights"), "{error}");
    let error = rejection(&crate::tflite::test_file::two_convolutions());
    assert!(error.contains("no output"), "{error}");
    let mut file = all_operators_network();
    let weights = file.tensors.iter_mut().find(|tensor| tensor.dtype == 1).unwrap();
    weights.data[4..6].copy_from_slice(&half::f16::INFINITY.to_le_bytes());
    let error = rejection(&file);
    assert!(error.contains("value 2 is not finite"), "{error}");
    let mut file = all_operators_network();
    file.outputs.pop();
    assert!(rejection(&file).contains("no output of the shape [1, 1, 117] (world)"));
}

#[test]
fn damaged_tflite_files_never_panic() {
    let bytes = all_operators_network().write();
    for round in 0..4_000 {
        let mut draws = random::stream(13, "blazepose.tflite", &[round]);
        let mut damaged = bytes.clone();
        for _ in 0..1 + draws.below(3) {
            let index = draws.below(damaged.len());
            damaged[index] = draws.below(256) as u8;
        }
        if let Ok(model) = Model::parse(&damaged)
            && let Ok((graph, _)) = convert::convert_graph(&model)
        {
            Plan::new(&graph, true);
        }
    }
}

#[test]
fn the_test_network_has_every_operator() {
    let graph = parse_graph(&all_operators_network());
    let mut names: Vec<&str> = graph.nodes.iter().map(|node| node.op.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 8, "{names:?}");
}
