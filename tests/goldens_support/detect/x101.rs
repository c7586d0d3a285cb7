//! Golden 09: the backbone of `x101` on a map of formula values.

use super::golden::Golden;
use super::inputs;
use candle_core::{DType, Tensor};
use posebook_models::detect::mask_rcnn::layers::{Activation, ConvSpec, Loader, Operators};
use posebook_models::detect::mask_rcnn::resnext::ResNeXtBackbone;
use posebook_models::detect::mask_rcnn::{Architecture, Backbone, Budget, Config};
use std::collections::HashMap;
use std::path::Path;

const TOLERANCE: f64 = 1.5e-4;

pub fn run(set: &str, folder: &Path) {
    let golden = Golden::open(folder, "09_x101_backbone");
    for operators in [Operators::Kernels, Operators::Candle] {
        println!("{operators:?}");
        network(set, &golden, operators);
    }
}

fn network(set: &str, golden: &Golden, operators: Operators) {
    let config = Config::small(Architecture::X101);
    let Backbone::Resnext(sizes) = &config.backbone else { panic!("another backbone") };
    let loader = Loader::new(inputs::weights(set, Architecture::X101), DType::F32, operators).pp("backbone");
    let backbone = ResNeXtBackbone::load(sizes, config.channels, &loader).unwrap();
    let pixels = inputs::fpn_pixels(set);
    let mut maps: HashMap<String, Tensor> = HashMap::new();
    let pyramid = backbone
        .forward(&pixels, Budget::default(), &mut |name, map| {
            maps.insert(name.to_string(), map.clone());
        })
        .unwrap();
    for name in ["stem", "res2.0", "res2.2", "res3.0", "res3.3", "res4.0", "res4.5", "res5.0", "res5.2"] {
        golden.compare_map(name, &maps[name], TOLERANCE);
    }

    // the golden's maps of single convolutions are before the activation, which our convolutions include
    let block = loader.pp("bottom_up.res3.0");
    let middle = sizes.groups * sizes.group_width * 2;
    let single = |name: &str, spec, input: &Tensor| {
        let loader = block.pp(name);
        let conv = loader.conv_batch_norm(&loader.pp("norm"), spec, Activation::None).unwrap();
        golden.compare_map(&format!("res3.0.{name}"), &conv.forward(input).unwrap(), TOLERANCE);
    };
    let narrow =
        ConvSpec { inputs: sizes.first_width, outputs: middle, kernel: 1, stride: 1, padding: 0, groups: 1 };
    single("conv1", narrow, &maps["res2.2"]);
    let grouped =
        ConvSpec { inputs: middle, kernel: 3, stride: 2, padding: 1, groups: sizes.groups, ..narrow };
    single("conv2", grouped, &maps["res3.0.conv1"]);

    for (level, map) in pyramid.iter().enumerate() {
        golden.compare_map(&format!("p{}", level + 2), map, TOLERANCE);
    }
}
