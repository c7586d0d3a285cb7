//! The encoder of textures in the program is the one that its manifest describes.

use candle_core::Device;
use posebook_core::appearance::{EMBEDDING_LENGTH, TextureEncoder, UV_TEXELS, UvMap};
use posebook_core::provenance::sha256_of_bytes;
use posebook_models::appearance::encoder::{Encoder, TINY_FILE};
use std::path::PathBuf;

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(TINY_FILE)
}

#[test]
fn the_file_has_the_hash_in_its_manifest() {
    let manifest = std::fs::read_to_string(file().with_extension("toml")).unwrap();
    let manifest: toml::Table = toml::from_str(&manifest).unwrap();
    let bytes = std::fs::read(file()).unwrap();
    assert_eq!(manifest["sha256"].as_str(), Some(sha256_of_bytes(&bytes).as_str()));
    assert!(bytes.len() < 200_000);
}

#[test]
fn it_tells_two_colors_apart_and_not_two_equal_ones() {
    let encoder = Encoder::tiny(None, &Device::Cpu).unwrap();
    // a map with all texels seen, of one color that varies in stripes
    let map = |red: f32, blue: f32| {
        let mut map = UvMap::empty();
        for texel in 0..UV_TEXELS {
            let stripe = if texel / 8 % 2 == 0 { 0.1 } else { -0.1 };
            let values = [red + stripe, stripe, blue + stripe, 1.0];
            values
                .iter()
                .enumerate()
                .for_each(|(plane, value)| map.values_mut()[plane * UV_TEXELS + texel] = *value);
        }
        map
    };
    let embeddings = encoder.encode(&[map(0.3, -0.3), map(-0.3, 0.3), map(0.28, -0.3)]).unwrap();
    assert!(embeddings.iter().all(|embedding| embedding.len() == EMBEDDING_LENGTH));
    let distance = |a: usize, b: usize| {
        let square: f32 = embeddings[a].iter().zip(&embeddings[b]).map(|(a, b)| (a - b).powi(2)).sum();
        100.0 * square / 1e6
    };
    assert!(
        distance(0, 1) > 10.0 * distance(0, 2) && distance(0, 2) > 0.0,
        "{} {}",
        distance(0, 1),
        distance(0, 2)
    );
}
