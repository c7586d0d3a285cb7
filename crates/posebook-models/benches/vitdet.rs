//! Time of ViTDet-H's backbone for an image of 1024 x 1024 pixels: a windowed and a global block, compared with PyTorch. With
//! `-- memory`, the peak heap of a pass with several budgets (two blocks and the pyramid: more blocks need no more); with
//! `-- whole`, time and peak heap of the complete backbone.
//!
//! `just bench vitdet`. Rounds alternate between our blocks, PyTorch's (`vitdet_reference.py`, where `python3` has torch) and
//! a matrix product, so that other load affects all alike; medians are printed. Peak heap is counted, without weights and input.

use candle_core::{DType, Device, Module, Tensor};
use candle_nn::VarBuilder;
use posebook_core::memory::heap::{CountingAllocator, HeapInterval};
use posebook_models::detect::mask_rcnn::layers::{Loader, Operators};
use posebook_models::detect::mask_rcnn::vit::VitBackbone;
use posebook_models::detect::mask_rcnn::{Architecture, Backbone, Budget, Config, formula};
use posebook_models::nn::{
    Block, GridAttention, LayerNorm, Linear, Mlp, Reach, RelativePositions, SelfAttention,
    preallocate_scratch,
};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

#[global_allocator]
static HEAP: CountingAllocator = CountingAllocator;

const DIM: usize = 1280;
const HEADS: usize = 16;
/// Tokens of a row of the image, and of a row of a window.
const SIDE: usize = 64;
const WINDOW: usize = 14;
const ROUNDS: usize = 5;

fn random(shape: &[usize], scale: f64) -> Tensor {
    Tensor::randn(0f32, scale as f32, shape, &Device::Cpu).expect("there is memory")
}

fn linear(inputs: usize, outputs: usize) -> Linear {
    let weight = random(&[outputs, inputs], (inputs as f64).powf(-0.5));
    Linear::new(&weight, Some(random(&[outputs], 0.1))).expect("the shapes fit")
}

fn block(reach: Reach) -> Block<GridAttention> {
    let side = match reach {
        Reach::Global => SIDE,
        Reach::Window(side) => side,
    };
    let table = || random(&[2 * side - 1, DIM / HEADS], 0.1);
    let positions = RelativePositions::new(&table(), &table()).expect("the tables are odd");
    let projections = SelfAttention::new(linear(DIM, 3 * DIM), linear(DIM, DIM), HEADS);
    let norm = || {
        let weight = Tensor::ones(DIM, DType::F32, &Device::Cpu).expect("there is memory");
        LayerNorm::new(weight, random(&[DIM], 0.1), 1e-6)
    };
    let mlp = Mlp::new(linear(DIM, 4 * DIM), linear(4 * DIM, DIM));
    Block::new([norm(), norm()], GridAttention::new(projections, positions, reach, false), mlp)
}

fn forward(block: &Block<GridAttention>, x: &Tensor) -> Tensor {
    let normed = block.normed(x).expect("the shapes fit");
    let x = block.attention.forward_residual(&normed, x, u64::MAX).expect("the shapes fit");
    block.forward_mlp(&x).expect("the shapes fit")
}

/// Multiplications and additions of a block as the published network computes it, in billions.
fn gflop(reach: Reach) -> f64 {
    let (tokens, keys, side) = match reach {
        Reach::Global => (SIDE * SIDE, SIDE * SIDE, SIDE),
        Reach::Window(side) => (SIDE.div_ceil(side).pow(2) * side * side, side * side, side),
    };
    let attention = tokens * DIM * (4 * DIM + 2 * keys + 2 * side);
    2e-9 * (attention + SIDE * SIDE * 8 * DIM * DIM) as f64
}

/// Time of a run.
#[derive(Clone, Copy)]
struct Took {
    seconds: f64,
    /// Of all threads. Other programs that compete for the processor change it less than the seconds.
    processor_seconds: f64,
}

/// Processor seconds of this process so far, in hundredths; NaN where there is no `/proc`.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ticks = |index: usize| fields.clone().nth(index).and_then(|field| field.parse::<f64>().ok());
    ticks(11).zip(ticks(12)).map_or(f64::NAN, |(user, system)| (user + system) / 100.0)
}

fn time<T>(work: impl FnOnce() -> T) -> Took {
    let (began, processor) = (Instant::now(), processor_seconds());
    std::hint::black_box(work());
    Took { seconds: began.elapsed().as_secs_f64(), processor_seconds: processor_seconds() - processor }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Medians of each kind of time.
fn medians(times: &[Took]) -> Took {
    Took {
        seconds: median(times.iter().map(|time| time.seconds).collect()),
        processor_seconds: median(times.iter().map(|time| time.processor_seconds).collect()),
    }
}

/// A process that answers a line with the seconds of a run.
struct Torch(Child, BufReader<std::process::ChildStdout>);

impl Torch {
    fn start() -> Option<Torch> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/vitdet_reference.py");
        let mut child = Command::new("python3")
            .arg(script)
            .env("OMP_WAIT_POLICY", "passive") // threads that wait take no processor time
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let answers = BufReader::new(child.stdout.take()?);
        Some(Torch(child, answers))
    }

    fn time(&mut self, what: &str) -> Option<Took> {
        writeln!(self.0.stdin.as_mut()?, "{what}").ok()?;
        let mut line = String::new();
        self.1.read_line(&mut line).ok()?;
        let (seconds, processor_seconds) = line.trim().split_once(' ')?;
        Some(Took { seconds: seconds.parse().ok()?, processor_seconds: processor_seconds.parse().ok()? })
    }
}

impl Drop for Torch {
    fn drop(&mut self) {
        drop(self.0.stdin.take()); // the end of its input ends the process
        self.0.wait().ok();
    }
}

fn main() {
    match std::env::args().skip(1).find(|argument| !argument.starts_with('-')).as_deref() {
        Some("memory") => {
            for dtype in [DType::F32, DType::BF16] {
                backbone(Some(2), dtype, &[None, Some(256), Some(64), Some(16)]);
            }
        }
        Some("whole") => backbone(None, DType::F32, &[None]),
        _ => blocks(),
    }
}

/// The backbone of the published sizes, or with fewer blocks, of which the last one is global.
fn backbone(depth: Option<usize>, dtype: DType, budgets_mib: &[Option<u64>]) {
    preallocate_scratch();
    let mut config = Config::published(Architecture::Vitdet);
    let Backbone::Vit(sizes) = &mut config.backbone else { unreachable!("ViTDet has a transformer") };
    if let Some(depth) = depth {
        (sizes.depth, sizes.global_blocks) = (depth, vec![depth - 1]);
    }
    let sizes = sizes.clone();
    let weights = formula::weights("a", &config, dtype, &Device::Cpu).expect("there is memory");
    let loader =
        Loader::new(VarBuilder::from_tensors(weights, dtype, &Device::Cpu), dtype, Operators::Kernels);
    let network =
        VitBackbone::load(&sizes, config.channels, &loader.pp("backbone")).expect("the tensors fit");
    drop(loader);
    let side = sizes.image_side;
    let pixels = random(&[1, side, side, 3], 1.0).to_dtype(dtype).expect("there is memory");
    for &mib in budgets_mib {
        let budget = mib.map_or(Budget::default(), Budget::from_mib);
        let interval = HeapInterval::start();
        let took = time(|| network.forward(&pixels, budget, &mut |_, _| {}).expect("the image fits"));
        println!(
            "{dtype:?}, {} blocks, budget {}: {:.1} s, {:.1} s of the processors, heap {:.0} MiB",
            sizes.depth,
            mib.map_or("none".to_string(), |mib| format!("{mib} MiB")),
            took.seconds,
            took.processor_seconds,
            interval.peak_bytes() as f64 / f64::from(1 << 20),
        );
    }
}

fn blocks() {
    preallocate_scratch();
    let mut torch = Torch::start();
    let x = random(&[SIDE, SIDE, DIM], 1.0);
    let product = linear(DIM, 4 * DIM);
    let mut products = [Vec::new(), Vec::new()];
    for (name, reach) in [("window", Reach::Window(WINDOW)), ("global", Reach::Global)] {
        let block = block(reach);
        let interval = HeapInterval::start();
        forward(&block, &x);
        let mib = interval.peak_bytes() as f64 / f64::from(1 << 20);
        let mut ask = |what: &str| torch.as_mut().and_then(|torch| torch.time(what));
        ask(name);
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            times[0].push(time(|| forward(&block, &x)));
            products[0].push(time(|| product.forward(&x)));
            times[1].extend(ask(name));
            products[1].extend(ask("product"));
        }
        println!("{name} block, {:.0} GFLOP as published; heap {mib:.0} MiB", gflop(reach));
        print(&times, gflop(reach));
    }
    println!("product of 4096 x 1280 x 5120");
    print(&products, 2e-9 * (SIDE * SIDE * DIM * 4 * DIM) as f64);
}

/// Our times and PyTorch's.
fn print(times: &[Vec<Took>; 2], gflop: f64) {
    let [ours, theirs] = [medians(&times[0]), medians(&times[1])];
    for (who, took) in [("ours", ours), ("PyTorch", theirs)] {
        println!(
            "  {who:<8} {:.3} s, {:.0} GFLOP/s; {:.2} s of the processors",
            took.seconds,
            gflop / took.seconds,
            took.processor_seconds
        );
    }
    println!(
        "  ratio    {:.2}; {:.2} of processor time",
        ours.seconds / theirs.seconds,
        ours.processor_seconds / theirs.processor_seconds
    );
}
