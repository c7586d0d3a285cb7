//! Golden 02: pieces of the vision transformer alone, then the small network's activations and pyramid.

use super::golden::Golden;
use super::inputs;
use candle_core::{DType, Device, Tensor};
use posebook_models::detect::mask_rcnn::layers::{Loader, Operators};
use posebook_models::detect::mask_rcnn::vit::{
    RelativePositions, VitBackbone, absolute_positions, window_partition,
};
use posebook_models::detect::mask_rcnn::{Architecture, Backbone, Budget, Config, Vit};
use std::collections::HashMap;
use std::path::Path;

pub fn run(set: &str, folder: &Path) {
    let golden = Golden::open(folder, "02_vit");
    pieces(set, &golden);
    for operators in [Operators::Kernels, Operators::Candle] {
        network(set, &golden, operators);
    }
}

fn input(set: &str, name: &str, shape: &[usize], scale: f64) -> Tensor {
    let values = inputs::values(set, name, shape.iter().product(), 0.0, scale);
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn pieces(set: &str, golden: &Golden) {
    let table = input(set, "abspos.pos", &[1, 197, 8], 1.0);
    for side in [64, 16, 14] {
        let positions = absolute_positions(&table, side, side).unwrap().unsqueeze(0).unwrap();
        golden.compare(&format!("abspos_{side}"), &positions, 2e-5);
    }
    let map = Tensor::arange(1f32, 4097.0, &Device::Cpu).unwrap().reshape((64, 64, 1)).unwrap();
    golden.compare("window_part", &window_partition(&map, 14).unwrap(), 0.0);
    let positions =
        RelativePositions::new(&input(set, "relpos.h", &[9, 8], 1.0), &input(set, "relpos.w", &[7, 8], 1.0));
    let scores = positions.unwrap().scores(&input(set, "relpos.q", &[2, 20, 8], 1.5)).unwrap();
    golden.compare("relpos", &scores, 2e-5);
}

/// The small network's sizes.
fn sizes(config: &Config) -> &Vit {
    match &config.backbone {
        Backbone::Vit(sizes) => sizes,
        other => panic!("{other:?}"),
    }
}

fn network(set: &str, golden: &Golden, operators: Operators) {
    println!("{operators:?}");
    let config = Config::small(Architecture::Vitdet);
    let sizes = sizes(&config);
    let loader = Loader::new(inputs::weights(set, Architecture::Vitdet), DType::F32, operators);
    let network = VitBackbone::load(sizes, config.channels, &loader.pp("backbone")).unwrap();
    let mut activations: HashMap<String, Tensor> = HashMap::new();
    let pixels = inputs::vit_pixels(set);
    let maps = network
        .forward(&pixels, Budget::default(), &mut |name, tensor| {
            activations.insert(name.to_string(), tensor.clone());
        })
        .unwrap();
    golden.compare("patch", &activations["patch"], 2e-5);
    for index in 0..sizes.depth {
        attention(golden, &network, sizes, index, &activations);
        golden.compare(&format!("block{index}"), &activations[&format!("block{index}")], 1e-4);
    }
    assert_eq!(maps.len(), 5);
    for (level, map) in (2..).zip(&maps) {
        golden.compare_map(&format!("p{level}"), map, 2e-5);
    }
}

/// The attention of a block, from its input. The golden's has windows, and in them the tokens beyond the map, which nothing
/// reads afterwards; ours has only those of the map, so that the others are not compared.
fn attention(
    golden: &Golden,
    network: &VitBackbone,
    sizes: &Vit,
    index: usize,
    activations: &HashMap<String, Tensor>,
) {
    // the first block's input is the patches with their positions
    let tokens = match index {
        0 => network.add_positions(&activations["patch"]).unwrap(),
        _ => activations[&format!("block{}", index - 1)].clone(),
    };
    let ours = network.attention(index, &tokens, Budget::default()).unwrap();
    let name = format!("attn{index}");
    if sizes.global_blocks.contains(&index) {
        return golden.compare(&name, &ours, 1e-4);
    }
    let (_, rows, columns, _) = ours.dims4().unwrap();
    let partition = |map: &Tensor| window_partition(&map.squeeze(0).unwrap(), sizes.window).unwrap();
    let inside = partition(&Tensor::ones((1, rows, columns, sizes.dim), DType::F32, &Device::Cpu).unwrap());
    let outside = (1.0 - &inside).unwrap();
    // the golden has every fourth window
    let windows = inside.dim(0).unwrap();
    let mut filled = Vec::new();
    for (stored, window) in (0..windows).step_by(4).enumerate() {
        let theirs = golden.tensor(&name).get(stored).unwrap();
        filled.push((theirs * outside.get(window).unwrap()).unwrap());
    }
    let filled = Tensor::stack(&filled, 0).unwrap();
    let indices: Vec<u32> = (0..windows as u32).step_by(4).collect();
    let count = indices.len();
    let indices = Tensor::from_vec(indices, count, &Device::Cpu).unwrap();
    let ours = (partition(&ours).index_select(&indices, 0).unwrap() + filled).unwrap();
    golden.compare_values(&name, &ours.flatten_all().unwrap().to_vec1().unwrap(), 1e-4);
}
