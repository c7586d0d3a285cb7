//! Time to sample and to encode the textures of 1 and 8 people on the CPU, with all threads.
//!
//! `cargo bench -p posebook-models --bench appearance`. The built-in body from the front at HMR2's usual distance, with the
//! maps of its atlas; the encoder with the published numbers of channels (weights by formula), one with few channels, and the one
//! without weights.

use candle_core::{Device, Tensor};
use divan::{Bencher, black_box};
use posebook_core::appearance::{TextureEncoder, UvMap};
use posebook_core::geometry::Vec3;
use posebook_core::random::stream;
use posebook_models::appearance::encoder::Encoder;
use posebook_models::appearance::maps::UvMaps;
use posebook_models::appearance::sampler::{Picture, Scene};
use posebook_models::body::Body;
use rayon::prelude::*;
use std::collections::HashMap;

/// People of a frame.
const PEOPLE: [usize; 2] = [1, 8];
const CAMERA: [f32; 3] = [0.9, 0.0, 0.3];

fn main() {
    divan::main();
}

fn noise() -> Vec<u8> {
    let mut draws = stream(1, "crop", &[]);
    (0..256 * 256 * 3).map(|_| draws.next_u64() as u8).collect()
}

fn body_in_rest() -> (UvMaps, Vec<Vec3>) {
    let body = Body::built_in();
    (UvMaps::bake(&body).unwrap(), body.shape_vertices(&[0.0; 10]))
}

fn texture() -> UvMap {
    let (maps, vertices) = body_in_rest();
    let picture = Picture::from_crop(&noise(), None).unwrap();
    Scene::new(&maps, &vertices, CAMERA).unwrap().sample(&picture)
}

/// From vertices and a crop's bytes to a texture, depth map included.
#[divan::bench(args = PEOPLE)]
fn sample(bencher: Bencher, people: usize) {
    let ((maps, vertices), crop) = (body_in_rest(), noise());
    bencher.bench_local(|| {
        let sample = |_| {
            let picture = Picture::from_crop(black_box(&crop), None).unwrap();
            Scene::new(&maps, &vertices, CAMERA).unwrap().sample(&picture)
        };
        (0..people).into_par_iter().with_max_len(1).map(sample).collect::<Vec<_>>()
    });
}

/// Texel maps of a body, once per run.
#[divan::bench]
fn bake_maps() -> UvMaps {
    UvMaps::bake(&Body::built_in()).unwrap()
}

fn encode(bencher: Bencher, encoder: &Encoder, people: usize) {
    let maps = vec![texture(); people];
    bencher.bench_local(|| encoder.encode(black_box(&maps)).unwrap());
}

/// The published numbers of channels: 1.9 GFLOP per map.
#[divan::bench(args = PEOPLE)]
fn encode_published(bencher: Bencher, people: usize) {
    encode(bencher, &Encoder::from_formula("a").unwrap(), people);
}

/// Eight to 64 channels.
#[divan::bench(args = PEOPLE)]
fn encode_small(bencher: Bencher, people: usize) {
    let sizes = [(4, 8), (8, 16), (16, 32), (32, 64), (64, 64), (64, 16)];
    let names = ["conv1x", "conv2", "conv3", "conv4", "conv5", "conv5_1"];
    let mut tensors = HashMap::new();
    for (name, (inputs, outputs)) in names.into_iter().zip(sizes) {
        let kernel = Tensor::randn(0.0f32, 0.1, (outputs, inputs, 3, 3), &Device::Cpu).unwrap();
        tensors.insert(format!("encoding_head.{name}.weight"), kernel);
        let bias = Tensor::zeros(outputs, candle_core::DType::F32, &Device::Cpu).unwrap();
        tensors.insert(format!("encoding_head.{name}.bias"), bias);
    }
    encode(bencher, &Encoder::from_tensors(&tensors, None, "a benchmark", &Device::Cpu).unwrap(), people);
}

/// Mean colors, without weights.
#[divan::bench(args = PEOPLE)]
fn encode_raw(bencher: Bencher, people: usize) {
    encode(bencher, &Encoder::raw(), people);
}

/// The published numbers of channels with candle's own operators on the CPU, for comparison.
#[divan::bench(args = PEOPLE)]
fn encode_published_with_candle(bencher: Bencher, people: usize) {
    let tensors = posebook_models::appearance::encoder::formula_tensors("a").unwrap();
    let maps = Tensor::from_vec(
        vec![texture().values().to_vec(); people].concat(),
        (people, 4, 256, 256),
        &Device::Cpu,
    );
    let maps = maps.unwrap();
    let layer = |name: &str, part: &str| tensors[&format!("encoding_head.{name}.{part}")].clone();
    bencher.bench_local(|| {
        let mut values = maps.clone();
        for (index, name) in ["conv1x", "conv2", "conv3", "conv4", "conv5", "conv5_1"].into_iter().enumerate()
        {
            let bias = layer(name, "bias").reshape((1, (), 1, 1)).unwrap();
            values = values.conv2d(&layer(name, "weight"), 1, 1, 1, 1).unwrap();
            values = values.broadcast_add(&bias).unwrap().relu().unwrap();
            if index < 4 {
                values = values.max_pool2d(2).unwrap();
            }
        }
        values
    });
}
