//! Benchmarks HMR2 at its published size: the complete network and each stage, the crop, and the body.
//!
//! `just bench hmr2`. First the complete network, compared with its matrix products alone (an upper bound of its
//! speed) and, where `python3` has torch, with PyTorch. Each round times all of them, ratios are taken within a
//! round, and medians are printed, so that other load on the machine affects all alike. Peak heap is counted, without
//! weights and crops. Then divan times each stage; the stages of a block run 32 times per pass. With a filter (`just
//! bench hmr2 stage`) the first part is skipped.

use candle_core::{DType, Device, Module, Tensor};
use candle_nn::VarBuilder;
use divan::Bencher;
use divan::counter::ItemsCount;
use posebook::speed::{self, products};
use posebook_core::frame::Frame;
use posebook_core::geometry::IDENTITY;
use posebook_core::memory::heap::{CountingAllocator, HeapInterval};
use posebook_core::person::{BBox, SmplParams};
use posebook_models::body::Body;
use posebook_models::hmr2::crop::{self, Square, normalize};
use posebook_models::hmr2::{BackboneConfig, Config, Network, Precision, formula};
use posebook_models::nn::{LayerNorm, Mlp, ScaledOperand, linear, packed_attention};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Instant;

#[global_allocator]
static HEAP: CountingAllocator = CountingAllocator;

const ROUNDS: usize = 3;
const BATCHES: [usize; 5] = [1, 2, 4, 8, 16];
/// Batch sizes for PyTorch, whose process makes new weights each time.
const TORCH_BATCHES: [usize; 2] = [1, 4];

fn main() {
    if !std::env::args().skip(1).any(|argument| !argument.starts_with('-')) {
        bench_network(Precision::F32, &BATCHES);
        bench_network(Precision::Bf16, &BATCHES[..1]);
        bench_network(Precision::F16, &BATCHES[..1]);
        compare_with_torch();
    }
    divan::main();
}

/// The network with weights from the formula; their values do not affect the time.
fn network(config: &Config, dtype: DType) -> Network {
    let weights =
        formula::weights("a", config, dtype, &Device::Cpu).expect("there is memory for the weights");
    Network::load(config, VarBuilder::from_tensors(weights, dtype, &Device::Cpu))
        .expect("every tensor is there")
}

fn crops(config: &Config, batch: usize, dtype: DType) -> Tensor {
    let (count, side) = (batch * 3 * config.image_size.pow(2), config.image_size);
    let values = formula::fill("a/input/bench", count, &[0.0], 2.0);
    let crops =
        Tensor::from_vec(values, (batch, 3, side, side), &Device::Cpu).expect("as many as the shape says");
    crops.to_dtype(dtype).expect("the type is known")
}

fn timed(work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    began.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// ViT-H and its matrix products alone, for each batch size.
fn bench_network(precision: Precision, batches: &[usize]) {
    let (config, dtype) = (Config::hmr2(), posebook_models::nn::dtype(precision));
    let network = network(&config, dtype);
    let gflop = config.flop_per_crop() as f64 / 1e9;
    println!("ViT-H in {}, {gflop:.1} GFLOP a crop, medians of {ROUNDS} rounds", precision.name());
    println!(
        "{:>6} {:>10} {:>9} {:>16} {:>9} {:>10}",
        "batch", "s a crop", "GFLOP/s", "products GFLOP/s", "of them", "heap MiB"
    );
    for &batch in batches {
        let crops = crops(&config, batch, dtype);
        let pass = || drop(network.forward(&crops).expect("the crops fit the network"));
        let interval = HeapInterval::start();
        pass();
        let heap = interval.peak_bytes() as f64 / f64::from(1 << 20);
        let (mut secs, mut rates, mut shares) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let rate =
                products::measure_block(&config, dtype, &Device::Cpu, batch, 3).expect("the products fit");
            secs.push(timed(pass) / batch as f64);
            rates.push(rate.tflops * 1e3);
            shares.push(gflop / secs[secs.len() - 1] / rates[rates.len() - 1]);
        }
        let (secs, rate, share) = (median(secs), median(rates), median(shares));
        println!(
            "{batch:>6} {secs:>10.3} {:>9.0} {rate:>16.0} {:>8.0}% {heap:>10.1}",
            gflop / secs,
            share * 100.0
        );
    }
    println!();
}

/// Our seconds for each batch size, and PyTorch's report of the same round.
type Round = ([f64; 2], speed::SpeedReport);

/// ViT-H and PyTorch, alternating.
fn compare_with_torch() {
    let config = Config::hmr2();
    let network = network(&config, DType::F32);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/bench_torch.py");
    let batches = TORCH_BATCHES.map(|batch| batch.to_string()).join(",");
    let arguments =
        ["--device", "cpu", "--precisions", "f32,bf16", "--compile", "none", "--repeats", "2", "--batches"];
    let arguments: Vec<String> = arguments.iter().map(ToString::to_string).chain([batches]).collect();
    let ours = |batch: usize| {
        let crops = crops(&config, batch, DType::F32);
        median((0..3).map(|_| timed(|| drop(network.forward(&crops).expect("the crops fit")))).collect())
    };
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let ours = TORCH_BATCHES.map(ours);
        match speed::torch::run_script(&script, &arguments) {
            Ok(theirs) => rounds.push((ours, theirs)),
            Err(error) => return println!("no comparison with PyTorch: {error}\n"),
        }
    }
    println!("ViT-H in f32 and PyTorch {}", rounds[0].1.torch.as_deref().unwrap_or("of an unknown version"));
    println!(
        "{:>6} {:>10} {:>14} {:>7} {:>15} {:>7}",
        "batch", "s a crop", "PyTorch's", "ratio", "PyTorch's bf16", "ratio"
    );
    for (index, batch) in TORCH_BATCHES.into_iter().enumerate() {
        let theirs = |precision: &str, (_, document): &Round| {
            let of = document.precisions.iter().find(|of| of.precision == precision);
            of.and_then(|of| of.rows.iter().find(|row| row.batch == batch)?.secs_median).unwrap_or(f64::NAN)
        };
        let each = |of: &dyn Fn(&Round) -> f64| median(rounds.iter().map(of).collect());
        let secs = each(&|round| round.0[index] / batch as f64);
        let [f32s, bf16s] =
            ["f32", "bf16"].map(|precision| each(&|round| theirs(precision, round) / batch as f64));
        let [of_f32, of_bf16] =
            ["f32", "bf16"].map(|precision| each(&|round| round.0[index] / theirs(precision, round)));
        println!("{batch:>6} {secs:>10.3} {f32s:>14.3} {of_f32:>7.2} {bf16s:>15.3} {of_bf16:>7.2}");
    }
    println!();
}

/// The stages of a block in order, and those before and after the blocks.
const STAGES: [&str; 8] =
    ["patches", "norm", "qkv", "attention", "proj + shortcut", "fc1 + gelu", "mlp + shortcut", "head"];

#[divan::bench(sample_count = 10, sample_size = 1, args = STAGES.iter().flat_map(|stage| [1, 4].map(|batch| (*stage, batch))))]
fn stage(bencher: Bencher, (name, batch): (&str, usize)) {
    let config = Config::hmr2();
    let (n, dim) = (config.tokens(), config.backbone.dim);
    let weights =
        |shape: &[usize]| formula::tensor("a/bench", shape, &[0.0], 0.05).expect("there is memory for it");
    let layer = |from: usize, to: usize| {
        let tensors = [("weight".to_string(), weights(&[to, from])), ("bias".to_string(), weights(&[to]))];
        let vb = VarBuilder::from_tensors(tensors.into(), DType::F32, &Device::Cpu);
        linear(from, to, vb).expect("both tensors are there")
    };
    let tokens = weights(&[batch, n, dim]);
    let bencher = bencher.counter(ItemsCount::new(batch));
    match name {
        "patches" => {
            let config = Config { backbone: BackboneConfig { depth: 0, ..config.backbone }, ..config };
            let (network, crops) = (network_without_blocks(&config), crops(&config, batch, DType::F32));
            let middle = crops
                .narrow(3, config.side_cut(), config.image_size - 2 * config.side_cut())
                .expect("it is wider");
            bencher
                .bench_local(|| network.backbone().forward(&middle, &mut |_, _| ()).expect("the crops fit"));
        }
        "norm" => {
            let tensors = [("weight".to_string(), weights(&[dim])), ("bias".to_string(), weights(&[dim]))];
            let vb = VarBuilder::from_tensors(tensors.into(), DType::F32, &Device::Cpu);
            let norm = LayerNorm::load(dim, 1e-6, vb).expect("both tensors are there");
            bencher.bench_local(|| norm.forward(&tokens).expect("the tokens fit"));
        }
        "qkv" => {
            let qkv = layer(dim, 3 * dim);
            bencher.bench_local(|| qkv.forward(&tokens).expect("the tokens fit"));
        }
        "attention" => {
            let packed = weights(&[batch, n, 3 * dim]);
            bencher.bench_local(|| {
                packed_attention(&packed, config.backbone.heads, ScaledOperand::Queries)
                    .expect("they are packed")
            });
        }
        "proj + shortcut" => {
            let proj = layer(dim, dim);
            bencher.bench_local(|| proj.forward_residual(&tokens, &tokens).expect("the tokens fit"));
        }
        "fc1 + gelu" => {
            let widen = layer(dim, config.backbone.mlp_ratio * dim);
            bencher.bench_local(|| widen.forward_gelu(&tokens).expect("the tokens fit"));
        }
        "mlp + shortcut" => {
            let hidden = config.backbone.mlp_ratio * dim;
            let tensors = [
                ("fc1.weight".to_string(), weights(&[hidden, dim])),
                ("fc1.bias".to_string(), weights(&[hidden])),
                ("fc2.weight".to_string(), weights(&[dim, hidden])),
                ("fc2.bias".to_string(), weights(&[dim])),
            ];
            let vb = VarBuilder::from_tensors(tensors.into(), DType::F32, &Device::Cpu);
            let mlp = Mlp::load(dim, hidden, ["fc1", "fc2"], vb).expect("all tensors are there");
            bencher.bench_local(|| mlp.forward_residual(&tokens, &tokens).expect("the tokens fit"));
        }
        _ => {
            let (rows, columns) = config.token_grid();
            let features = weights(&[1, dim, rows, columns]);
            let network = network_without_blocks(&Config {
                backbone: BackboneConfig { depth: 0, ..config.backbone },
                ..config
            });
            // the head runs one crop at a time
            bencher.bench_local(|| {
                for _ in 0..batch {
                    network.head().forward(&features, &mut |_, _| ()).expect("the features fit");
                }
            });
        }
    }
}

/// The network without its blocks, built once.
fn network_without_blocks(config: &Config) -> &'static Network {
    static NETWORK: OnceLock<Network> = OnceLock::new();
    NETWORK.get_or_init(|| network(config, DType::F32))
}

#[divan::bench(args = ["PHALP's", "the demo's, which blurs"])]
fn crop_out(bencher: Bencher, whose: &str) {
    let (width, height) = (1280, 720);
    let frame =
        Frame::new(0, 0.0, width, height, (0..width * height * 3).map(|index| (index * 7) as u8).collect());
    let bbox = BBox { x1: 500.3, y1: 20.2, x2: 800.9, y2: 710.7 };
    let mut out = vec![0.0; 3 * 256 * 256];
    match whose {
        "PHALP's" => bencher.bench_local(|| {
            normalize(&Square::phalp(&bbox).crop(&frame, 256), divan::black_box(&mut out));
        }),
        _ => bencher.bench_local(|| crop::demo_crop(&frame, &bbox, 256, divan::black_box(&mut out))),
    }
}

#[divan::bench]
fn body(bencher: Bencher) {
    let body = Body::built_in();
    let params = SmplParams { betas: [0.5; 10], global_orient: IDENTITY, body_pose: [IDENTITY; 23] };
    bencher.bench(|| body.pose(divan::black_box(&params)));
}
