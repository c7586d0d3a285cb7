//! Memory of reading weights and of a forward pass, compared with the prediction that `posebook model show` prints.
//!
//! The heap counters are per process, so the tests run one at a time.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use posebook_core::memory::heap::{self, CountingAllocator, HeapInterval};
use posebook_models::hmr2::Footprint;
use posebook_models::hmr2::{Config, Network, Precision, formula};
use posebook_models::nn::{TensorSpec, checkpoint, preallocate_scratch};
use std::sync::{Mutex, MutexGuard, PoisonError};

#[global_allocator]
static HEAP: CountingAllocator = CountingAllocator;

/// Held by the test that is counting.
static COUNTING: Mutex<()> = Mutex::new(());

fn lock_heap() -> MutexGuard<'static, ()> {
    COUNTING.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn weights_are_read_without_a_second_copy() {
    let _lock = lock_heap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let shapes = [("a", 300_000usize), ("b", 2_000_000), ("c", 700_000)];
    let tensors = shapes.map(|(key, n)| (key, Tensor::arange(0f32, n as f32, &Device::Cpu).unwrap()));
    candle_core::safetensors::save(&tensors.into_iter().collect(), &path).unwrap();
    let expected: Vec<TensorSpec> =
        shapes.iter().map(|(key, n)| TensorSpec { key: key.to_string(), shape: vec![*n] }).collect();
    // starts the threads before anything is counted
    drop(checkpoint::read(&path, &expected, DType::F32, &Device::Cpu).unwrap());
    for dtype in [DType::F32, DType::BF16] {
        let values_bytes = 3_000_000 * dtype.size_in_bytes() as i64;
        let before = heap::current_bytes();
        let interval = HeapInterval::start();
        let read = checkpoint::read(&path, &expected, dtype, &Device::Cpu).unwrap();
        let (held, peak) = (heap::current_bytes() - before, interval.peak_bytes());
        // names, shapes and the header: nothing that grows with the values
        for (what, bytes) in [("held", held), ("peak", peak)] {
            let excess = bytes as i64 - values_bytes;
            assert!(
                (0..16 << 10).contains(&excess),
                "{dtype:?}: {what} is {excess} bytes more than the values"
            );
        }
        drop(read);
    }
}

/// Similar to the published network, so that its peak is in the same phases.
fn config() -> Config {
    let mut config = Config::hmr2();
    (config.backbone.dim, config.backbone.depth, config.backbone.heads) = (512, 2, 8);
    let head = &mut config.head;
    (head.dim, head.depth, head.heads, head.dim_head, head.mlp_dim) = (256, 2, 4, 64, 256);
    config
}

#[test]
fn the_predicted_peak_matches_the_counted_heap() {
    let _lock = lock_heap();
    let config = config();
    for precision in [Precision::F32, Precision::Bf16, Precision::F16] {
        let (dtype, device) = (posebook_models::nn::dtype(precision), Device::Cpu);
        let footprint = Footprint::new(&config, precision);
        let weights = formula::weights("a", &config, dtype, &device).unwrap();
        let network = Network::load(&config, VarBuilder::from_tensors(weights, dtype, &device)).unwrap();
        let pass = |batch: usize| {
            let interval = HeapInterval::start();
            let crops = Tensor::zeros((batch, 3, 256, 256), dtype, &device).unwrap();
            network.forward(&crops).unwrap();
            interval.peak_bytes()
        };
        // the first pass allocates what libraries keep
        pass(1);
        for batch in [1, 2, 4, 8] {
            let (counted, predicted) = (pass(batch), footprint.peak_bytes(batch) - footprint.weights_bytes);
            let error = predicted as f64 / counted as f64 - 1.0;
            let (phase, name) = (footprint.peak_phase(batch).name, precision.name());
            println!(
                "{name} batch {batch}: {counted} bytes counted, {predicted} predicted ({phase}), {:+.1}%",
                100.0 * error
            );
            assert!(
                error.abs() < 0.05,
                "{name} batch {batch}: {counted} bytes counted, {predicted} predicted"
            );
        }
    }
}

/// The batch size decides how `gemm` computes a product, and whether that needs a thread's scratch buffer. With
/// preallocated scratch no batch size allocates more.
#[test]
fn preallocated_scratch_is_enough_for_every_batch_size() {
    let _lock = lock_heap();
    let mut config = config();
    (config.image_size, config.backbone.dim, config.backbone.heads) = (128, 192, 3);
    let device = Device::Cpu;
    let weights = formula::weights("a", &config, DType::F32, &device).unwrap();
    let network = Network::load(&config, VarBuilder::from_tensors(weights, DType::F32, &device)).unwrap();
    // new threads, which have computed nothing yet
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    pool.install(|| {
        preallocate_scratch();
        let before = heap::current_bytes();
        for batch in [2, 1, 3, 1, 8, 5] {
            network.forward(&Tensor::zeros((batch, 3, 128, 128), DType::F32, &device).unwrap()).unwrap();
            let growth = heap::current_bytes() as i64 - before as i64;
            assert!(growth.abs() < 64 << 10, "after a batch of {batch} the heap holds {growth} bytes more");
        }
    });
}
