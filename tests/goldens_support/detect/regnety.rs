//! Golden 08: the backbone of `regnety` on a map of formula values.

use super::golden::Golden;
use super::inputs;
use candle_core::{DType, Tensor};
use posebook_models::detect::mask_rcnn::layers::{Activation, ConvSpec, Loader, Operators};
use posebook_models::detect::mask_rcnn::regnet::RegNetBackbone;
use posebook_models::detect::mask_rcnn::{Architecture, Backbone, Budget, Config};
use std::collections::HashMap;
use std::path::Path;

const TOLERANCE: f64 = 5e-5;

pub fn run(set: &str, folder: &Path) {
    let golden = Golden::open(folder, "08_regnety_backbone");
    for operators in [Operators::Kernels, Operators::Candle] {
        println!("{operators:?}");
        network(set, &golden, operators);
    }
}

fn network(set: &str, golden: &Golden, operators: Operators) {
    let config = Config::small(Architecture::Regnety);
    let Backbone::Regnety(sizes) = &config.backbone else { panic!("another backbone") };
    let loader =
        Loader::new(inputs::weights(set, Architecture::Regnety), DType::F32, operators).pp("backbone");
    let backbone = RegNetBackbone::load(sizes, config.channels, &loader).unwrap();
    let pixels = inputs::fpn_pixels(set);
    let mut maps: HashMap<String, Tensor> = HashMap::new();
    let pyramid = backbone
        .forward(&pixels, Budget::default(), &mut |name, map| {
            maps.insert(name.to_string(), map.clone());
        })
        .unwrap();
    for name in
        ["stem", "s1.b1.gate", "s1.b1", "s2.b1", "s3.b1", "s3.b2.gate", "s3.b2", "s3.b3", "s4.b1", "s4.b2"]
    {
        golden.compare_map(name, &maps[name], TOLERANCE);
    }

    // a block adds the shortcut in its last convolution, so the branch alone is computed here
    let branch = loader.pp("bottom_up.s3.b2.f");
    let width = sizes.widths[2];
    let spec = ConvSpec { inputs: width, outputs: width, kernel: 1, stride: 1, padding: 0, groups: 1 };
    let last = branch.pp("c").conv_batch_norm(&branch.pp("c_bn"), spec, Activation::None).unwrap();
    golden.compare_map("s3.b2.f", &last.forward(&maps["s3.b2.gated"]).unwrap(), TOLERANCE);

    for (level, map) in pyramid.iter().enumerate() {
        golden.compare_map(&format!("p{}", level + 2), map, TOLERANCE);
    }
}
