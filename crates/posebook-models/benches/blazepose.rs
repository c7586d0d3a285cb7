//! Time and memory of BlazePose lite, full and heavy for one crop on one thread, compared with tflite's built-in kernels.
//!
//! `cargo bench -p posebook-models --bench blazepose [-- FOLDER]`; FOLDER contains the published `pose_landmark_*.tflite` and defaults to that
//! of `posebook model fetch blazepose`. Our kernels and tflite (if `python3` has `tflite_runtime`) run in alternating
//! rounds, so that other load affects both. Prints the best of three medians of 15 crops, and the measured heap bytes with
//! the prediction of [`posebook_models::blazepose::Footprint`].

use candle_core::{DType, Device};
use posebook_core::memory::heap::{self, CountingAllocator, HeapInterval};
use posebook_models::blazepose::{Network, Output, Variant, convert};
use posebook_models::tflite::Model;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

#[global_allocator]
static HEAP: CountingAllocator = CountingAllocator;

/// Crops per round.
const CROPS: usize = 15;
const ROUNDS: usize = 3;

/// Prints the median milliseconds of the built-in kernels on one thread.
const TFLITE: &str = r"
import sys, time, statistics, numpy as np
from tflite_runtime.interpreter import Interpreter, OpResolverType as R
net = Interpreter(sys.argv[1], num_threads=1, experimental_op_resolver_type=R.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
net.allocate_tensors()
net.set_tensor(0, np.full((1, 256, 256, 3), 0.5, np.float32))
net.invoke()
took = []
for _ in range(int(sys.argv[2])):
    start = time.perf_counter(); net.invoke(); took.append(1e3 * (time.perf_counter() - start))
print(statistics.median(took))
";

fn main() {
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).map(PathBuf::from);
    let fetched = || posebook_core::fetch::model_folder("blazepose").ok().filter(|folder| folder.is_dir());
    let Some(folder) = folder.or_else(fetched) else {
        println!(
            "blazepose: run `posebook model fetch blazepose` first, or give the folder with pose_landmark_*.tflite"
        );
        return;
    };
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().unwrap();
    for variant in Variant::ALL {
        let path = folder.join(variant.tflite_name());
        let file = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let converted = convert(&Model::parse(&file).unwrap()).unwrap();
        drop(file);
        let before = heap::current_bytes();
        let network = Network::from_converted(&converted, &Device::Cpu, DType::F32).unwrap();
        let weights_bytes = heap::current_bytes() - before;
        let interval = HeapInterval::start();
        crop(&network);
        let crop_bytes = interval.peak_bytes();
        let mut rounds = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            rounds[0].push(ours(&network));
            rounds[1].extend(tflite(&path));
        }
        let [ours, theirs] = rounds.map(|times| times.into_iter().reduce(f64::min));
        let theirs = theirs.map_or("not installed".to_string(), |ms| format!("{ms:.1} ms"));
        let footprint = network.footprint();
        println!(
            "{}: {:.1} ms a crop, tflite {theirs}; weights {weights_bytes} bytes (predicted: {}), crop {crop_bytes} (predicted: {})",
            variant.name(),
            ours.unwrap_or(f64::NAN),
            footprint.weights_bytes,
            footprint.crop_bytes,
        );
    }
}

fn crop(network: &Network) -> f32 {
    let read = |_: usize, output: Output| output.presence;
    network.run(1, |_, input| input.fill(0.5), read).unwrap()[0]
}

/// Median milliseconds of a crop.
fn ours(network: &Network) -> f64 {
    let mut times_ms: Vec<f64> = (0..CROPS)
        .map(|_| {
            let start = Instant::now();
            std::hint::black_box(crop(network));
            1e3 * start.elapsed().as_secs_f64()
        })
        .collect();
    times_ms.sort_by(f64::total_cmp);
    times_ms[CROPS / 2]
}

fn tflite(path: &Path) -> Option<f64> {
    let output =
        Command::new("python3").args(["-c", TFLITE]).arg(path).arg(CROPS.to_string()).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
