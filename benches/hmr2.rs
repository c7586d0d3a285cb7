//! What a person costs: the crop, the network at three sizes, the body.
//!
//! `cargo bench --bench hmr2`; the network's time is that of the whole batch.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use divan::Bencher;
use posebook::body::Body;
use posebook::frame::Frame;
use posebook::geometry::IDENTITY;
use posebook::hmr2::crop::{Square, normalize};
use posebook::hmr2::{Config, Network};
use posebook::person::{BBox, SmplParams};
use posebook::random::stream;
use std::collections::HashMap;

fn main() {
    divan::main();
}

/// The sizes of `models/tiny.toml`, of a network between, and of the published one with two of its blocks.
fn config(name: &str) -> Config {
    let mut config = Config::hmr2();
    let (backbone, head) = (&mut config.backbone, &mut config.head);
    match name {
        "tiny" => {
            config.image_size = 128;
            (backbone.dim, backbone.depth, backbone.heads) = (192, 6, 3);
            (head.dim, head.depth, head.heads, head.dim_head, head.mlp_dim) = (192, 3, 4, 48, 384);
        }
        "small" => {
            (backbone.dim, backbone.depth, backbone.heads) = (384, 12, 6);
            (head.dim, head.depth, head.mlp_dim) = (512, 3, 512);
        }
        _ => (backbone.depth, head.depth) = (2, 1),
    }
    config
}

fn network(config: &Config) -> Network {
    let weights: HashMap<String, Tensor> = config
        .tensors()
        .into_iter()
        .map(|spec| {
            let mut draws = stream(1, &spec.key, &[]);
            let scale = 1.0 / (spec.shape[1..].iter().product::<usize>() as f64).sqrt();
            let n = spec.shape.iter().product();
            let values: Vec<f32> = (0..n).map(|_| draws.range(-scale, scale) as f32).collect();
            (
                spec.key,
                Tensor::from_vec(values, spec.shape, &Device::Cpu).expect("as many values as the shape says"),
            )
        })
        .collect();
    let weights = VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu);
    Network::load(config, weights).expect("every tensor is there")
}

#[divan::bench(max_time = 5, args = [("tiny", 1), ("tiny", 8), ("small", 1), ("ViT-H, 2 of 32 blocks", 1)])]
fn forward(bencher: Bencher, (name, batch): (&str, usize)) {
    let config = config(name);
    let network = network(&config);
    let shape = (batch, 3, config.image_size, config.image_size);
    let crops = Tensor::zeros(shape, DType::F32, &Device::Cpu).expect("zeros");
    bencher.bench(|| network.forward(&crops).expect("the crops fit the network"));
}

#[divan::bench(args = [128, 256])]
fn crop(bencher: Bencher, size: usize) {
    let (width, height) = (1280, 720);
    let frame = Frame::new(0, 0.0, width, height, (0..width * height * 3).map(|at| (at * 7) as u8).collect());
    let square = Square::of_phalp(&BBox { x1: 500.3, y1: 100.2, x2: 700.9, y2: 650.7 });
    let mut out = vec![0.0; 3 * size * size];
    bencher.bench_local(|| normalize(&square.cut(&frame, size), divan::black_box(&mut out)));
}

#[divan::bench]
fn body(bencher: Bencher) {
    let body = Body::stand_in();
    let params = SmplParams { betas: [0.5; 10], global_orient: IDENTITY, body_pose: [IDENTITY; 23] };
    bencher.bench(|| body.pose(divan::black_box(&params)));
}
