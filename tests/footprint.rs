//! Memory to the byte: what reading weights holds, and what a forward pass holds against what
//! `posebook model show` says it does.
//!
//! The heap is the process' own, so that these take turns.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use posebook::hmr2::footprint::Footprint;
use posebook::hmr2::{Config, Network, Precision, formula};
use posebook::memory::heap::{self, Counting, Stretch};
use posebook::nn::{TensorSpec, checkpoint, make_scratch};
use std::sync::{Mutex, MutexGuard, PoisonError};

#[global_allocator]
static HEAP: Counting = Counting;

/// Who may count.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn weights_are_read_without_a_second_copy() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let shapes = [("a", 300_000usize), ("b", 2_000_000), ("c", 700_000)];
    let tensors = shapes.map(|(key, n)| (key, Tensor::arange(0f32, n as f32, &Device::Cpu).unwrap()));
    candle_core::safetensors::save(&tensors.into_iter().collect(), &path).unwrap();
    let wanted: Vec<TensorSpec> =
        shapes.iter().map(|(key, n)| TensorSpec { key: key.to_string(), shape: vec![*n] }).collect();
    // the threads are there before anything is counted
    drop(checkpoint::read(&path, &wanted, DType::F32, &Device::Cpu).unwrap());
    for dtype in [DType::F32, DType::BF16] {
        let numbers = 3_000_000 * dtype.size_in_bytes() as i64;
        let before = heap::current_bytes();
        let stretch = Stretch::begin();
        let read = checkpoint::read(&path, &wanted, dtype, &Device::Cpu).unwrap();
        let (held, peak) = (heap::current_bytes() - before, stretch.peak_bytes());
        // names, shapes and the header: nothing that grows with the numbers
        for (what, bytes) in [("held", held), ("peak", peak)] {
            let more = bytes as i64 - numbers;
            assert!((0..16 << 10).contains(&more), "{dtype:?}: {what} is {more} bytes more than the numbers");
        }
        drop(read);
    }
}

/// Of a kind with the published network, so that the same moments are the worst.
fn config() -> Config {
    let mut config = Config::hmr2();
    (config.backbone.dim, config.backbone.depth, config.backbone.heads) = (512, 2, 8);
    let head = &mut config.head;
    (head.dim, head.depth, head.heads, head.dim_head, head.mlp_dim) = (256, 2, 4, 64, 256);
    config
}

#[test]
fn a_forward_pass_holds_what_is_said() {
    let _turn = turn();
    let config = config();
    for precision in [Precision::F32, Precision::Bf16, Precision::F16] {
        let (dtype, device) = (precision.dtype(), Device::Cpu);
        let footprint = Footprint::of(&config, precision);
        let weights = formula::weights("a", &config, dtype, &device).unwrap();
        let network = Network::load(&config, VarBuilder::from_tensors(weights, dtype, &device)).unwrap();
        let pass = |batch: usize| {
            let stretch = Stretch::begin();
            let crops = Tensor::zeros((batch, 3, 256, 256), dtype, &device).unwrap();
            network.forward(&crops).unwrap();
            stretch.peak_bytes()
        };
        // libraries make themselves at home in the first one
        pass(1);
        for batch in [1, 2, 4, 8] {
            let (counted, said) = (pass(batch), footprint.peak_bytes(batch) - footprint.weights_bytes);
            let off = said as f64 / counted as f64 - 1.0;
            let (worst, name) = (footprint.worst(batch).name, precision.name());
            println!(
                "{name} batch {batch}: {counted} bytes counted, {said} said ({worst}), {:+.1}%",
                100.0 * off
            );
            assert!(off.abs() < 0.05, "{name} batch {batch}: {counted} bytes counted, {said} said");
        }
    }
}

/// Crops of one or of several people take different ways through the library of products, and some of these need a
/// thread's scratch: a network that has made it beforehand leaves nothing behind after any batch.
#[test]
fn no_batch_leaves_scratch_behind() {
    let _turn = turn();
    let mut config = config();
    (config.image_size, config.backbone.dim, config.backbone.heads) = (128, 192, 3);
    let device = Device::Cpu;
    let weights = formula::weights("a", &config, DType::F32, &device).unwrap();
    let network = Network::load(&config, VarBuilder::from_tensors(weights, DType::F32, &device)).unwrap();
    // threads of its own, which have computed nothing yet
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    pool.install(|| {
        make_scratch();
        let before = heap::current_bytes();
        for batch in [2, 1, 3, 1, 8, 5] {
            network.forward(&Tensor::zeros((batch, 3, 128, 128), DType::F32, &device).unwrap()).unwrap();
            let left = heap::current_bytes() as i64 - before as i64;
            assert!(left.abs() < 64 << 10, "after a batch of {batch}: {left} bytes are left behind");
        }
    });
}
