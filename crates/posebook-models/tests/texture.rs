//! Compares textures and their embeddings with 4D-Humans' texture sampler and HMAR's encoding head (`tests/goldens/phalp`,
//! set `a`): golden 1 (encoder), 2 (embeddings of what two maps have in common) and 11 (sampler).
//!
//! Tolerances are those of the goldens' README. Texels whose visibility depends on rounding (`unsure`) are left out of exact
//! comparisons.

mod texture_support;

use posebook_core::appearance::{TextureEncoder, UvMap};
use posebook_models::appearance::encoder::Encoder;
use posebook_models::appearance::maps::UvMaps;
use posebook_models::appearance::sampler::{DepthMap, Picture, Scene, process_texel};
use posebook_models::body::Body;
use serde_json::Value;
use std::sync::LazyLock;
use texture_support::*;

static ENCODER: LazyLock<Encoder> = LazyLock::new(|| Encoder::from_formula("a").unwrap());

fn map(values: Vec<f32>) -> UvMap {
    UvMap::from_values(values).unwrap()
}

/// Adds to the sums of a statistic: count, sum, sum of squares, largest magnitude.
#[derive(Default)]
struct Statistics {
    count: usize,
    sum: f64,
    squares: f64,
    largest: f64,
}

impl Statistics {
    fn add(&mut self, values: &[f32]) {
        for value in values.iter().map(|&value| f64::from(value)) {
            self.count += 1;
            self.sum += value;
            self.squares += value * value;
            self.largest = self.largest.max(value.abs());
        }
    }

    fn assert_close(&self, golden: &Value, what: &str) {
        let found = [self.sum / self.count as f64, self.squares.sqrt(), self.largest];
        for (key, (found, tolerance)) in
            ["mean", "l2", "absmax"].into_iter().zip(found.into_iter().zip([1e-5, 1e-3, 1e-4]))
        {
            let expected = number(&golden[key]);
            assert!((found - expected).abs() < tolerance, "{key} of {what}: {found}, not {expected}");
        }
    }
}

#[test]
fn embeddings_equal_those_of_hmars_encoding_head() {
    let (goldens, statistics) =
        (Goldens::load("g1_encoding.safetensors"), &json("g1_6.json")["encoding_head"]);
    let maps = [map(uv_static("a/enc/0", 32, 0.55)), map(uv_static("a/enc/1", 16, 0.3))];
    let names = ["conv1x", "conv2", "conv3", "conv4", "conv5", "conv5_1"];
    let mut found: Vec<Statistics> = names.map(|_| Statistics::default()).into();
    let mut embeddings = Vec::new();
    for map in &maps {
        let embedding = ENCODER.encode_observed(map, &mut |name, [height, width, channels], values| {
            let layer = names.iter().position(|other| *other == name).unwrap();
            let shape = numbers(&statistics["conv_outputs_before_relu"][name]["shape"]);
            assert_eq!(shape, [2, channels, height, width].map(|length| length as f64));
            found[layer].add(values);
        });
        embeddings.push(embedding.unwrap());
    }
    for (name, found) in names.iter().zip(&found) {
        found.assert_close(&statistics["conv_outputs_before_relu"][*name], name);
    }
    // alone and in a batch, with and without a callback: the same bits
    assert!(ENCODER.encode(&maps).unwrap() == embeddings);
    let all = embeddings.concat();
    let difference = largest_difference(&all, &goldens.floats("enc/embedding"));
    assert!(difference < 1e-4, "embeddings differ by {difference}");
    let mut of_embeddings = Statistics::default();
    of_embeddings.add(&all);
    of_embeddings.assert_close(&statistics["embedding"], "the embeddings");
    let zeros = all.iter().filter(|&&value| value == 0.0).count() as f64 / all.len() as f64;
    assert!((zeros - number(&statistics["zero_fraction"])).abs() < 1e-3, "{zeros}");
    let empty = ENCODER.encode(&[map(vec![0.0; 4 * TEXELS])]).unwrap().remove(0);
    let difference = largest_difference(&empty, &goldens.floats("enc/embedding_zero_input"));
    assert!(difference < 1e-4, "the embedding of zeros differs by {difference}");
}

#[test]
fn raw_textures_are_processed_as_in_hmar() {
    let (goldens, golden) =
        (Goldens::load("g1_encoding.safetensors"), &json("g1_6.json")["process_uv_image"]);
    let raw = uv_raw("a/rawuv");
    let mut processed = vec![0.0; raw.len()];
    for (raw, out) in raw.chunks(4 * TEXELS).zip(processed.chunks_mut(4 * TEXELS)) {
        for texel in 0..TEXELS {
            let values = process_texel(std::array::from_fn(|plane| raw[plane * TEXELS + texel]));
            (0..4).for_each(|plane| out[plane * TEXELS + texel] = values[plane]);
        }
    }
    let at = goldens.indices("process_uv/idx");
    let pick = |values: &[f32]| at.iter().map(|&index| values[index]).collect::<Vec<f32>>();
    assert_eq!(pick(&raw), goldens.floats("process_uv/in"));
    let difference = largest_difference(&pick(&processed), &goldens.floats("process_uv/out"));
    assert!(difference < 1e-7, "{difference}");
    for (image, out) in processed.chunks(4 * TEXELS).enumerate() {
        let sum: f64 = out[..3 * TEXELS].iter().map(|&value| f64::from(value)).sum();
        let expected = number(&golden["rgb_sum_per_image"][image]);
        assert!((sum - expected).abs() < 1e-2, "image {image}: {sum}, not {expected}");
    }
    let masks = || processed.chunks(4 * TEXELS).flat_map(|out| &out[3 * TEXELS..]);
    for (value, key) in [(-1.0, "-1.0"), (1.0, "1.0")] {
        let count = masks().filter(|&&mask| mask == value).count();
        assert_eq!(count as f64, number(&golden["mask_values"][key]));
    }
}

/// Both maps with zeros, mask included, where not both masks are above 0.5; and the share of seen texels in both.
fn common_part(mut track: Vec<f32>, mut detection: Vec<f32>) -> ([UvMap; 2], f64) {
    let mut common = 0;
    for texel in 0..TEXELS {
        let mask = 3 * TEXELS + texel;
        if track[mask] > 0.5 && detection[mask] > 0.5 {
            common += 1;
            continue;
        }
        for plane in 0..4 {
            (track[plane * TEXELS + texel], detection[plane * TEXELS + texel]) = (0.0, 0.0);
        }
    }
    ([map(track), map(detection)], f64::from(common) / (2.0 * TEXELS as f64))
}

#[test]
fn embeddings_of_the_common_part_of_two_maps_equal_phalps() {
    let (goldens, all) = (Goldens::load("g2_uv_distance.safetensors"), &json("g1_6.json")["uv_distance"]);
    let (a, b) = (uv_static("a/uvd/t", 32, 0.6), uv_static("a/uvd/d", 32, 0.6));
    let half = |map: &[f32], keeps_right: bool| {
        let mut map = map.to_vec();
        for (index, value) in map.iter_mut().enumerate() {
            if (index % SIDE >= 128) != keeps_right {
                *value = if index < 3 * TEXELS { 0.0 } else { -1.0 };
            }
        }
        map
    };
    let mut fraction = a.clone();
    for (texel, mask) in fraction[3 * TEXELS..].iter_mut().enumerate().filter(|(_, mask)| **mask > 0.0) {
        *mask = if texel % SIDE < 128 { 0.4 } else { 0.6 };
    }
    let double: Vec<f32> = a.iter().map(|&value| (f64::from(value) * 0.9999) as f32).collect();
    let cases = [
        ("partial", a.clone(), b.clone()),
        ("same", a.clone(), a.clone()),
        ("none", half(&a, false), half(&b, true)),
        ("frac", fraction, b.clone()),
        ("f64", double, b),
    ];
    for (name, track, detection) in cases {
        let golden = &all[name];
        let (maps, overlap) = common_part(track, detection);
        assert_eq!(overlap, number(&golden["overlap"]), "{name}");
        let embeddings: Vec<Vec<f32>> = ENCODER
            .encode(&maps)
            .unwrap()
            .into_iter()
            .map(|embedding| embedding.into_iter().map(|value| value / 1e3).collect())
            .collect();
        for (embedding, key) in embeddings.iter().zip(["t_emb", "d_emb"]) {
            let difference = largest_difference(embedding, &goldens.floats(&format!("uvd/{name}/{key}")));
            assert!(difference < 1e-7, "{key} of {name} differs by {difference}");
        }
        let squares: f64 =
            embeddings[0].iter().zip(&embeddings[1]).map(|(t, d)| f64::from(t - d).powi(2)).sum();
        let (found, expected) = (100.0 * squares, number(&golden["texture_distance"]));
        assert!((found - expected).abs() < 1e-4 * expected.max(1e-3), "{name}: {found}, not {expected}");
    }
}

#[test]
fn the_baked_atlas_equals_the_reference_bake() {
    let goldens = Goldens::load("g11_atlas.safetensors");
    let faces = goldens.signed("fmap");
    let maps = UvMaps::bake(&Body::built_in()).unwrap();
    let mut found = vec![-1i64; TEXELS];
    maps.texels().iter().for_each(|texel| found[texel.index as usize] = texel.face.into());
    let wrong = found.iter().zip(&faces).filter(|(found, expected)| found != expected).count();
    assert_eq!(wrong, 0, "texels show another face");
    assert_eq!(maps.texels().len(), 40_535);
    let weights: Vec<f32> = maps.texels().iter().flat_map(|texel| texel.weights).collect();
    let difference = largest_difference(&weights, &goldens.floats("bmap_at_valid"));
    assert!(difference < 1e-6, "weights differ by {difference}");
}

/// The maps, the mesh and the picture of a case.
fn maps_of_case(case: &str, kind: &str) -> UvMaps {
    let body = Body::built_in();
    let name = format!("a/tex/{}", case.split_once('_').unwrap().1);
    if case.starts_with("body") {
        return match kind {
            "atlas" => UvMaps::bake(&body).unwrap(),
            _ => {
                let (faces, weights) = random_map(&name, body.faces.len());
                UvMaps::from_values(&faces, &weights, &body.faces, body.vertex_count(), case).unwrap()
            }
        };
    }
    let (mesh, vertex_count) = (tube_faces(), 272);
    let (faces, weights) = match kind {
        "grid" => tube_grid_map(&name),
        _ => random_map(&name, mesh.len()),
    };
    UvMaps::from_values(&faces, &weights, &mesh, vertex_count, case).unwrap()
}

fn check_case(case: &str, golden: &Value, goldens: &Goldens) {
    let floats = |key: &str| goldens.floats(&format!("{case}/{key}"));
    let maps = maps_of_case(case, golden["map"].as_str().unwrap());
    assert_eq!(maps.texels().len() as f64, number(&golden["valid"]), "{case}");
    let vertices: Vec<[f32; 3]> = floats("verts").as_chunks::<3>().0.to_vec();
    let camera = numbers(&golden["camera"]);
    let scene = Scene::new(&maps, &vertices, std::array::from_fn(|index| camera[index] as f32)).unwrap();
    check_depth(case, golden, scene.depth(), goldens);

    let picture =
        Picture::from_planes(&picture(&format!("a/tex/{}", case.split_once('_').unwrap().1))).unwrap();
    let texture = scene.sample(&picture);
    let (visible, unsure) =
        (goldens.bits(&format!("{case}/visible")), goldens.bits(&format!("{case}/unsure")));
    let mut texel_at = vec![None; TEXELS];
    maps.texels().iter().for_each(|texel| texel_at[texel.index as usize] = Some(texel));

    // visibility, exact where it does not depend on rounding
    let mut visible_sure = 0;
    for index in (0..TEXELS).filter(|&index| !unsure[index]) {
        let is_visible = texel_at[index].is_some_and(|texel| scene.view(texel).is_visible());
        assert_eq!(is_visible, visible[index], "visibility of texel {index} of {case}");
        visible_sure += usize::from(is_visible);
    }
    assert_eq!(visible_sure as f64, number(&golden["visible_sure"]), "{case}");

    // the listed texels
    let at = goldens.indices(&format!("{case}/texel_at"));
    let views: Vec<_> = at.iter().map(|&index| scene.view(texel_at[index].unwrap())).collect();
    let compare = |key: &str, found: Vec<f32>, tolerance: f32| {
        let difference = largest_difference(&found, &floats(key));
        assert!(difference < tolerance, "{key} of {case} differs by {difference}");
    };
    // as grid_sample takes positions: -1 to 1 from edge to edge
    let positions = views.iter().flat_map(|view| view.position.map(|value| ((value - 127.5) / 128.0) as f32));
    compare("proj", positions.collect(), 5e-6);
    compare("point_z", views.iter().map(|view| view.depth as f32).collect(), 2e-5);
    compare("rend_z", views.iter().map(|view| view.drawn_depth as f32).collect(), 3e-3);
    compare("rgba", views.iter().flat_map(|view| picture.interpolated(view.position)).collect(), 1e-4);
    let processed =
        |index: usize| std::array::from_fn::<f32, 4, _>(|plane| texture.values()[plane * TEXELS + index]);
    let expected = floats("uv_vector");
    for (&index, expected) in at.iter().zip(expected.chunks(4)).filter(|(index, _)| !unsure[**index]) {
        let found = processed(index);
        assert_eq!(found[3], expected[3], "mask of texel {index} of {case}");
        let difference = largest_difference(&found, expected);
        assert!(difference < 2e-5, "texel {index} of {case} differs by {difference}");
    }
    check_sums(case, golden, &texture, &unsure);
    if goldens.has(&format!("{case}/embedding")) {
        let mut sure = texture;
        for index in (0..TEXELS).filter(|&index| unsure[index]) {
            (0..4).for_each(|plane| sure.values_mut()[plane * TEXELS + index] = [0.0, 0.0, 0.0, -1.0][plane]);
        }
        compare("embedding", ENCODER.encode(&[sure]).unwrap().remove(0), 2e-4);
    }
}

fn check_depth(case: &str, golden: &Value, depth: &DepthMap, goldens: &Goldens) {
    let depths = depth.depths();
    let found: Vec<f32> =
        goldens.indices(&format!("{case}/depth_at")).into_iter().map(|index| depths[index]).collect();
    let difference = largest_difference(&found, &goldens.floats(&format!("{case}/depth")));
    assert!(difference < 1e-4, "depths of {case} differ by {difference}");
    let drawn = || depths.iter().copied().filter(|&depth| depth != 100.0).map(f64::from);
    assert_eq!(drawn().count() as f64, number(&golden["drawn_pixels"]), "drawn pixels of {case}");
    let (sum, expected) = (drawn().sum::<f64>(), number(&golden["depth_sum_drawn"]));
    assert!((sum - expected).abs() <= 1e-7 * expected, "depths of {case} sum to {sum}, not {expected}");
    let least = depths.iter().copied().fold(f32::INFINITY, f32::min);
    assert!((f64::from(least) - number(&golden["depth_min"])).abs() < 1e-4, "{case}: {least}");
    if let Some(expected) = golden["depth_max_drawn"].as_f64() {
        let largest = drawn().fold(0.0, f64::max);
        assert!((largest - expected).abs() < 1e-4, "{case}: {largest}");
    }
}

/// Checks counts and sums over all texels except those whose visibility depends on rounding (`unsure`).
fn check_sums(case: &str, golden: &Value, texture: &UvMap, unsure: &[bool]) {
    let sure = |index: &usize| !unsure[*index];
    let on = (0..TEXELS).filter(sure).filter(|&index| texture.mask()[index] == 1.0).count();
    assert_eq!(on as f64, number(&golden["mask_on_sure"]), "{case}");
    for plane in 0..3 {
        let values =
            || (0..TEXELS).filter(sure).map(|index| f64::from(texture.values()[plane * TEXELS + index]));
        for (key, found) in
            [("uv_sum_sure", values().sum::<f64>()), ("uv_abs_sum_sure", values().map(f64::abs).sum())]
        {
            let expected = number(&golden[key][plane]);
            assert!((found - expected).abs() < 2e-3, "{key} of {case}: {found}, not {expected}");
        }
    }
    let first = (0..TEXELS).filter(sure).find(|&index| texture.mask()[index] == 1.0);
    match (first, &golden["uv_first_on_sure"]) {
        (None, Value::Null) => (),
        (Some(index), golden) => {
            assert_eq!(numbers(&golden[0]), [index / SIDE, index % SIDE].map(|at| at as f64), "{case}");
            let expected: Vec<f32> = numbers(&golden[1]).into_iter().map(|value| value as f32).collect();
            let found = std::array::from_fn::<f32, 4, _>(|plane| texture.values()[plane * TEXELS + index]);
            assert!(largest_difference(&found, &expected) < 2e-5, "{case}");
        }
        (first, golden) => panic!("the first texel of {case} is {first:?}, not {golden}"),
    }
}

#[test]
fn textures_equal_those_of_4d_humans_sampler() {
    let (cases, goldens) = (json("g11_texture.json"), Goldens::load("g11_texture.safetensors"));
    let cases = cases.as_object().unwrap();
    assert_eq!(cases.len(), 11);
    for (case, golden) in cases {
        check_case(case, golden, &goldens);
    }
}
