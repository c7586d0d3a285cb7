//! Weights and inputs from a formula: a hash of a name and an index.
//!
//! It fills a network of any size with the same bits everywhere, so that the outputs of the original implementation
//! can be compared with ours without sharing weights.

use super::Config;
use crate::nn::TensorSpec;
use candle_core::{DType, Device, Result, Tensor};
use half::{bf16, f16};
use rayon::prelude::*;
use std::collections::HashMap;

/// 64-bit FNV-1a over the bytes of `text`.
fn fnv1a64(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ byte as u64).wrapping_mul(0x100_0000_01B3))
}

/// One step of SplitMix64.
fn splitmix64(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A 53-bit integer for element `index` of the tensor `name`.
pub fn hash(name: &str, index: u64) -> u64 {
    splitmix64(fnv1a64(name).wrapping_add(index)) >> 11
}

/// Integers below `bound`.
pub fn integers_below(name: &str, count: usize, bound: u64) -> Vec<u64> {
    (0..count as u64).map(|index| hash(name, index) % bound).collect()
}

/// `offset + scale * t` with `t` in `[-1, 1)`, each converted by `convert`; offsets repeat along the flat index.
fn generate<T: Send>(
    name: &str,
    count: usize,
    offsets: &[f64],
    scale: f64,
    convert: impl Fn(f64) -> T + Sync,
) -> Vec<T> {
    let start = fnv1a64(name);
    let unit = 2f64.powi(-52);
    let scaled = |index: usize| {
        let bits = splitmix64(start.wrapping_add(index as u64)) >> 11;
        scale * (bits as f64 * unit - 1.0)
    };
    let all = (0..count).into_par_iter();
    match offsets {
        // the case of nearly all tensors; a remainder costs more than the hash
        &[offset] => all.map(|index| convert(offset + scaled(index))).collect(),
        offsets => all.map(|index| convert(offsets[index % offsets.len()] + scaled(index))).collect(),
    }
}

/// `offset + scale * t` with `t` in `[-1, 1)`; offsets repeat along the flat index.
pub fn fill_f64(name: &str, count: usize, offsets: &[f64], scale: f64) -> Vec<f64> {
    generate(name, count, offsets, scale, |value| value)
}

/// [`fill_f64`], rounded to single precision.
pub fn fill(name: &str, count: usize, offsets: &[f64], scale: f64) -> Vec<f32> {
    generate(name, count, offsets, scale, |value| value as f32)
}

/// [`fill`] as a tensor on the CPU.
///
/// # Errors
/// If there is not enough memory.
pub fn tensor(name: &str, shape: &[usize], offsets: &[f64], scale: f64) -> Result<Tensor> {
    Tensor::from_vec(fill(name, shape.iter().product(), offsets, scale), shape, &Device::Cpu)
}

/// Offsets and scale of a weight: the first rule that matches its key.
fn init_rule(spec: &TensorSpec) -> (&'static [f64], f64) {
    let key = spec.key.as_str();
    let ends = |endings: &[&str]| endings.iter().any(|ending| key.ends_with(ending));
    let fan = |gain: f64| gain * (3.0 / spec.shape[1..].iter().product::<usize>() as f64).sqrt();
    if ends(&["init_body_pose"]) {
        (&[1.0, 0.0, 0.0, 0.0, 1.0, 0.0], 0.05)
    } else if ends(&["init_betas"]) {
        (&[0.0], 0.3)
    } else if ends(&["init_cam"]) {
        (&[0.9, 0.0, 0.0], 0.05)
    } else if ends(&["norm1.weight", "norm2.weight", "last_norm.weight", ".norm.weight"]) {
        (&[1.0], 0.1)
    } else if ends(&["norm1.bias", "norm2.bias", "last_norm.bias", ".norm.bias"]) {
        (&[0.0], 0.05)
    } else if ends(&["backbone.pos_embed"]) {
        (&[0.0], 0.2)
    } else if ends(&["transformer.pos_embedding"]) {
        (&[0.0], 0.5)
    } else if ends(&["qkv.weight", "to_q.weight", "to_kv.weight"]) {
        (&[0.0], fan(1.5))
    } else if ends(&["decpose.weight"]) {
        (&[0.0], fan(0.3))
    } else if ends(&["decshape.weight"]) {
        (&[0.0], fan(0.5))
    } else if ends(&["deccam.weight"]) {
        (&[0.0], fan(0.1))
    } else if ends(&[".weight"]) {
        (&[0.0], fan(0.5))
    } else {
        (&[0.0], 0.1)
    }
}

/// The weights of the golden set `set` for a network, keyed as in the state dict. Values are rounded to single
/// precision first, as a file of weights would be, and then to `dtype`. Each tensor is filled in its final buffer;
/// only for another device a copy is made, one tensor at a time.
///
/// # Errors
/// If the device has not enough memory.
pub fn weights(set: &str, config: &Config, dtype: DType, device: &Device) -> Result<HashMap<String, Tensor>> {
    let filled = |spec: TensorSpec| {
        let (offsets, scale) = init_rule(&spec);
        let (name, count) = (format!("{set}/{}", spec.key), spec.shape.iter().product());
        let shape = spec.shape.as_slice();
        let tensor = match dtype {
            DType::BF16 => {
                let round = |value| bf16::from_f32(value as f32);
                Tensor::from_vec(generate(&name, count, offsets, scale, round), shape, &Device::Cpu)?
            }
            DType::F16 => {
                let round = |value| f16::from_f32(value as f32);
                Tensor::from_vec(generate(&name, count, offsets, scale, round), shape, &Device::Cpu)?
            }
            _ => tensor(&name, shape, offsets, scale)?.to_dtype(dtype)?,
        };
        Ok((spec.key, tensor.to_device(device)?))
    };
    config.tensors().into_iter().map(filled).collect()
}

/// The small network of the goldens.
pub fn small_config() -> Config {
    let mut config = Config::hmr2();
    (config.backbone.dim, config.backbone.depth, config.backbone.heads) = (64, 3, 4);
    let head = &mut config.head;
    (head.dim, head.depth, head.heads, head.dim_head, head.mlp_dim) = (64, 2, 4, 16, 64);
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formula_gives_its_published_values() {
        assert_eq!(fnv1a64(""), 14695981039346656037);
        assert_eq!(fnv1a64("a/backbone.blocks.0.attn.qkv.weight"), 13610169567608288607);
        assert_eq!((hash("a/x", 0), hash("a/x", 3)), (1202042648676152, 5487870780683102));
        let weights = weights("a", &small_config(), DType::F32, &Device::Cpu).unwrap();
        let positions = weights["backbone.pos_embed"].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(positions[..2], [-0.039_989_71, 0.068_943_43]);
        let qkv =
            weights["backbone.blocks.2.attn.qkv.weight"].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(qkv[..2], [0.299_383_9, 0.246_990_53]);
    }

    #[test]
    fn half_precision_is_single_precision_rounded() {
        let read =
            |tensor: &Tensor| tensor.flatten_all().unwrap().to_dtype(DType::F32).unwrap().to_vec1::<f32>();
        let full = weights("a", &small_config(), DType::F32, &Device::Cpu).unwrap();
        for dtype in [DType::BF16, DType::F16] {
            for (key, half) in weights("a", &small_config(), dtype, &Device::Cpu).unwrap() {
                let rounded = full[&key].to_dtype(dtype).unwrap();
                assert_eq!(read(&half).unwrap(), read(&rounded).unwrap(), "{key}");
            }
        }
    }
}
