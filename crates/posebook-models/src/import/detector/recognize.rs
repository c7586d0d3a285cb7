//! Recognizes the network of a checkpoint by the names and shapes of its tensors.

use crate::detect::mask_rcnn::Config;
use crate::import::checkpoint_reader::CheckpointReader;
use std::collections::BTreeSet;

/// Classes without the background that the predictor of a checkpoint has, as a network of these sizes names it; `None` if it has
/// none.
pub fn classes(source: &CheckpointReader, config: &Config) -> Option<usize> {
    let name = match config.box_head.stages {
        1 => "roi_heads.box_predictor.cls_score.weight",
        _ => "roi_heads.box_predictor.0.cls_score.weight",
    };
    source.shape(name)?.first()?.checked_sub(1)
}

/// Describes the network that a checkpoint looks like; `None` if it is unknown.
pub fn looks_like(source: &CheckpointReader) -> Option<String> {
    let names: BTreeSet<&str> = source.names().into_iter().collect();
    let has = |start: &str| names.range(start..).next().is_some_and(|name| name.starts_with(start));
    let size = |name: &str, axis: usize| source.shape(name).and_then(|shape| shape.get(axis)).copied();
    let blocks = |start: &str| (0..1000).take_while(|block| has(&format!("{start}{block}."))).count();
    let backbone = if has("backbone.net.blocks.") {
        let dim = size("backbone.net.pos_embed", 2).or(size("backbone.net.blocks.0.norm1.weight", 0));
        format!("ViTDet-{}", vit_letter(dim))
    } else if has("backbone.bottom_up.s1.b1.") {
        let kind = if has("backbone.bottom_up.s1.b1.f.se.") { "RegNetY" } else { "RegNetX" };
        let width = |stage: usize| size(&format!("backbone.bottom_up.s{stage}.b1.f.c.weight"), 0);
        let widths: Vec<String> = (1..=4).filter_map(width).map(|width| width.to_string()).collect();
        format!("{kind} with widths {}", widths.join(", "))
    } else if has("backbone.bottom_up.res2.") {
        let conv = "backbone.bottom_up.res2.0.conv2.weight";
        resnet(blocks("backbone.bottom_up.res4."), size(conv, 0), size(conv, 1))
    } else if has("backbone.res2.") {
        let conv = "backbone.res2.0.conv2.weight";
        let name = resnet(blocks("backbone.res4."), size(conv, 0), size(conv, 1));
        format!("{name} without a feature pyramid")
    } else if has("backbone.bottom_up.blocks.") {
        "MViTv2".into()
    } else if has("backbone.bottom_up.layers.") {
        "a Swin transformer".into()
    } else if has("smpl_head.") {
        return Some("HMR2's checkpoint, which `posebook model import hmr2` imports".into());
    } else if has("blocks.0.") || has("res2.0.") || has("stem.conv1.") {
        return Some("a backbone alone, as it is trained before detection".into());
    } else {
        return None;
    };
    let heads = if !has("roi_heads.") {
        "without box heads"
    } else if has("roi_heads.keypoint_head.") {
        "with a keypoint head"
    } else if has("roi_heads.box_predictor.0.") {
        "with a cascade of box heads"
    } else {
        "with one box head"
    };
    let mask = if has("roi_heads.") && !has("roi_heads.mask_head.") { " and no mask head" } else { "" };
    let classes = ["roi_heads.box_predictor.cls_score.weight", "roi_heads.box_predictor.0.cls_score.weight"];
    let classes = classes.iter().find_map(|name| size(name, 0)).and_then(|outputs| outputs.checked_sub(1));
    let classes = classes.map(|classes| format!(", {classes} classes")).unwrap_or_default();
    Some(format!("{backbone} {heads}{mask}{classes}"))
}

/// The letter of a vision transformer by the values of a token.
fn vit_letter(dim: Option<usize>) -> String {
    match dim {
        Some(768) => "B".into(),
        Some(1024) => "L".into(),
        Some(1280) => "H".into(),
        Some(dim) => format!("({dim} values a token)"),
        None => "(unknown size)".into(),
    }
}

/// The name of a ResNet by its blocks in the fourth stage, and the outputs and inputs of its first grouped convolution.
fn resnet(blocks: usize, outputs: Option<usize>, inputs: Option<usize>) -> String {
    let depth = match blocks {
        6 => "50".to_string(),
        23 => "101".to_string(),
        36 => "152".to_string(),
        blocks => format!("({blocks} blocks in res4)"),
    };
    match outputs.zip(inputs.filter(|inputs| *inputs > 0)) {
        Some((outputs, inputs)) if outputs > inputs => {
            format!("ResNeXt-{depth} {}x{inputs}d", outputs / inputs)
        }
        _ => format!("ResNet-{depth}"),
    }
}
