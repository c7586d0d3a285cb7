//! Golden 03: the region proposal networks of `vitdet` (two convolutions) and `x101` (one) on formula maps.

use super::golden::Golden;
use super::inputs;
use candle_core::{DType, Device, Tensor};
use posebook_models::detect::mask_rcnn::boxes::{NetworkSize, decode};
use posebook_models::detect::mask_rcnn::layers::{Loader, Operators};
use posebook_models::detect::mask_rcnn::rpn::{Rpn, anchors::LevelAnchors};
use posebook_models::detect::mask_rcnn::{Architecture, Config};
use std::path::Path;

pub fn run(set: &str, folder: &Path) {
    let golden = Golden::open(folder, "03_rpn");
    for (name, architecture) in [("two_conv", Architecture::Vitdet), ("one_conv", Architecture::X101)] {
        for operators in [Operators::Kernels, Operators::Candle] {
            network(set, &golden, name, architecture, operators);
        }
    }
}

fn network(set: &str, golden: &Golden, name: &str, architecture: Architecture, operators: Operators) {
    println!("{name}, {operators:?}");
    let config = Config::small(architecture);
    let loader = Loader::new(inputs::weights(set, architecture), DType::F32, operators);
    let loader = loader.pp("proposal_generator.rpn_head");
    let rpn = Rpn::load(&config.rpn, config.channels, &loader).unwrap();
    let pyramid = inputs::pyramid(set, "rpn");
    for (level, map) in pyramid.iter().enumerate() {
        let of_level = |what: &str| format!("{name}_{what}_p{}", level + 2);
        let (logits, deltas) = rpn.head(map).unwrap();
        golden.compare_map(&of_level("logits"), &logits, 5e-5);
        golden.compare_map(&of_level("deltas"), &deltas, 5e-5);

        let anchors = LevelAnchors::new(level, map.dim(2).unwrap());
        let deltas = deltas.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let deltas = deltas.as_chunks::<4>().0;
        let anchors: Vec<[f32; 4]> = (0..deltas.len()).map(|index| anchors.get(index)).collect();
        let decoded: Vec<[f32; 4]> =
            anchors.iter().zip(deltas).map(|(&anchor, &deltas)| decode(anchor, deltas, [1.0; 4])).collect();
        golden.compare(&of_level("anchors"), &boxes(&anchors), 0.0);
        golden.compare(&of_level("decoded"), &boxes(&decoded).unsqueeze(0).unwrap(), 1e-3);
    }

    let (height, width) = inputs::HEAD_SIZE;
    let proposals = rpn.propose(&pyramid, &[NetworkSize { height, width }]).unwrap();
    let corners: Vec<[f32; 4]> = proposals[0].iter().map(|proposal| proposal.corners).collect();
    let logits: Vec<f32> = proposals[0].iter().map(|proposal| proposal.logit).collect();
    golden.compare_boxes(&format!("{name}_proposals"), &corners, 1e-3);
    golden.compare_values(&format!("{name}_proposal_logits"), &logits, 5e-5);
}

fn boxes(corners: &[[f32; 4]]) -> Tensor {
    Tensor::from_slice(corners.as_flattened(), (corners.len(), 4), &Device::Cpu).unwrap()
}
