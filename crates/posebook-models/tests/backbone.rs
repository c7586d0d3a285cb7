//! Compares the backbone's blocks with an independent implementation, candle-transformers' ViT.

use candle_core::{DType, Device, Module, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::vit;
use posebook_core::random::stream;
use posebook_models::hmr2::{Config, Network};
use std::collections::HashMap;

/// A non-square grid of tokens, three heads, and several blocks.
const SIZES: &str = r#"
    image_size = 128
    backbone = { patch_size = 16, dim = 96, depth = 4, heads = 3, mlp_ratio = 4 }
    head = { dim = 32, depth = 1, heads = 2, dim_head = 16, mlp_dim = 64 }
"#;

/// Random weights, large enough for a peaked softmax, so that errors in attention are visible.
fn weights(config: &Config) -> HashMap<String, Tensor> {
    let mut source = stream(7, "weights of the backbone's test", &[]);
    let tensor =
        |shape: Vec<usize>, mean: f64, deviation: f64, source: &mut posebook_core::random::RandomStream| {
            let count = shape.iter().product();
            let values: Vec<f32> = (0..count).map(|_| (mean + deviation * source.normal()) as f32).collect();
            Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
        };
    let distribution =
        |key: &str| if key.contains("norm") && key.ends_with("weight") { (1.0, 0.1) } else { (0.0, 0.15) };
    let specs = config.tensors().into_iter();
    specs
        .map(|spec| {
            let (mean, deviation) = distribution(&spec.key);
            (spec.key, tensor(spec.shape, mean, deviation, &mut source))
        })
        .collect()
}

/// Blocks `1..depth` under candle-transformers' names.
fn rename_weights(ours: &HashMap<String, Tensor>, depth: usize, dim: usize) -> HashMap<String, Tensor> {
    let mut theirs = HashMap::new();
    for block in 1..depth {
        for part in ["weight", "bias"] {
            let get = |name: &str| ours[&format!("backbone.blocks.{block}.{name}.{part}")].clone();
            let layer = format!("layer.{}", block - 1);
            let qkv = get("attn.qkv");
            for (row, name) in ["query", "key", "value"].into_iter().enumerate() {
                let rows = qkv.narrow(0, row * dim, dim).unwrap();
                theirs.insert(format!("{layer}.attention.attention.{name}.{part}"), rows);
            }
            for (from, to) in [
                ("attn.proj", "attention.output.dense"),
                ("mlp.fc1", "intermediate.dense"),
                ("mlp.fc2", "output.dense"),
                ("norm1", "layernorm_before"),
                ("norm2", "layernorm_after"),
            ] {
                theirs.insert(format!("{layer}.{to}.{part}"), get(from));
            }
        }
    }
    theirs
}

#[test]
fn blocks_agree_with_an_independent_vit() {
    let config: Config = toml::from_str(SIZES).unwrap();
    let sizes = &config.backbone;
    let ours = weights(&config);
    let builder = |tensors| VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    let network = Network::load(&config, builder(ours.clone())).unwrap();

    let mut source = stream(8, "crops of the backbone's test", &[]);
    let pixels: Vec<f32> = (0..2 * 3 * 128 * 128).map(|_| source.normal() as f32).collect();
    let crops = Tensor::from_vec(pixels, (2, 3, 128, 128), &Device::Cpu).unwrap();
    let (mut first, mut last) = (None, None);
    network
        .forward_with_activations(&crops, &mut |name, tensor| match name {
            "block0" => first = Some(tensor.clone()),
            "block3" => last = Some(tensor.clone()),
            _ => {}
        })
        .unwrap();

    let vit = vit::Config {
        hidden_size: sizes.dim,
        num_hidden_layers: sizes.depth - 1,
        num_attention_heads: sizes.heads,
        intermediate_size: sizes.dim * sizes.mlp_ratio,
        hidden_act: candle_nn::Activation::Gelu,
        layer_norm_eps: 1e-6,
        image_size: 128,
        patch_size: 16,
        num_channels: 3,
        qkv_bias: true,
    };
    let encoder = vit::Encoder::new(&vit, builder(rename_weights(&ours, sizes.depth, sizes.dim))).unwrap();
    let expected = encoder.forward(&first.unwrap()).unwrap();
    let scale = expected.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    let difference = (last.unwrap() - expected).unwrap().abs().unwrap().max_all().unwrap();
    let difference = difference.to_scalar::<f32>().unwrap();
    // single precision has 24 bits; three blocks of sums over a few hundred terms leave about 20
    assert!(difference < scale * 1e-6 * 2.0, "{difference} of {scale}");
}
