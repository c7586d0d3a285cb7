//! Tensors of a configuration, the formula that fills them, and inputs against `manifest_*.json` and `formula_check.json`.

use super::golden::{json, values_of};
use super::inputs;
use candle_core::{DType, Device, Tensor};
use posebook_models::detect::mask_rcnn::{Architecture, Config, formula};
use serde_json::Value;
use std::path::Path;

/// Compares with the files beside the sets' folders. The values they hold are those of set `a`, whatever `set` is.
pub fn run(_set: &str, folder: &Path) {
    let goldens = folder.parent().unwrap();
    if !goldens.join("manifest_full.json").is_file() {
        println!("skipped: {} has no manifests beside its sets", goldens.display());
        return;
    }
    tensors_of_published_sizes(&json(&goldens.join("manifest_full.json")));
    rules_of_small_sizes(&json(&goldens.join("manifest_small.json")));
    values_of_the_formula(&json(&goldens.join("formula_check.json")));
}

fn shape(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|side| side.as_u64().unwrap() as usize).collect()
}

fn tensors_of_published_sizes(manifest: &Value) {
    for architecture in Architecture::ALL {
        let config = Config::published(architecture);
        let expected = &manifest[architecture.name()];
        let shapes = expected["shapes"].as_object().unwrap();
        let specs = config.tensors();
        for spec in &specs {
            assert_eq!(shapes.get(&spec.key).map(shape).as_ref(), Some(&spec.shape), "{}", spec.key);
        }
        let used = shapes.keys().filter(|key| !key.ends_with("num_batches_tracked")).count();
        assert_eq!(specs.len(), used, "{}: number of tensors", architecture.name());
        assert_eq!(config.parameters() as u64, expected["parameters"].as_u64().unwrap());
        println!("{:<8} {} tensors, {} parameters", architecture.name(), specs.len(), config.parameters());
    }
}

fn rules_of_small_sizes(manifest: &Value) {
    for architecture in Architecture::ALL {
        let expected = manifest[architecture.name()]["tensors"].as_array().unwrap();
        let used: Vec<&Value> = expected.iter().filter(|entry| entry["rule"] != "tracked").collect();
        let specs = Config::small(architecture).tensors();
        assert_eq!(specs.len(), used.len(), "{}: number of tensors", architecture.name());
        for (spec, entry) in specs.iter().zip(used) {
            assert_eq!(
                (spec.key.as_str(), &spec.shape),
                (entry["key"].as_str().unwrap(), &shape(&entry["shape"]))
            );
            let rule = formula::rule(architecture, spec);
            let offsets: Vec<f64> = match entry["offset"].as_array() {
                Some(offsets) => offsets.iter().map(|offset| offset.as_f64().unwrap()).collect(),
                None => vec![entry["offset"].as_f64().unwrap()],
            };
            // serde_json rounds the last bit of a number differently
            let scale = entry["scale"].as_f64().unwrap();
            assert!((rule.scale - scale).abs() <= 1e-15 * scale, "{}: {} {scale}", spec.key, rule.scale);
            assert_eq!(rule.offsets, offsets, "{}", spec.key);
        }
    }
}

/// First values, mean and length of each tensor.
fn values_of_the_formula(check: &Value) {
    let set = "a";
    let mut compared = 0;
    for architecture in Architecture::ALL {
        let weights = formula::weights(set, &Config::small(architecture), DType::F32, &Device::Cpu).unwrap();
        let prefix = format!("{set}/{}/", architecture.name());
        for (name, expected) in check["weights"].as_object().unwrap() {
            if let Some(key) = name.strip_prefix(&prefix) {
                same(name, &values_of(&weights[key]), expected);
                compared += 1;
            }
        }
    }
    assert_eq!(compared, check["weights"].as_object().unwrap().len());

    let expected = check["inputs"].as_object().unwrap();
    let ours = all_inputs(set);
    assert_eq!(ours.len(), expected.len(), "number of inputs");
    for (name, values) in ours {
        let name = format!("{set}/{name}");
        same(&name, &values, expected.get(&name).unwrap_or_else(|| panic!("{name}")));
    }
    for (name, expected) in check["images"].as_object().unwrap() {
        let picture = inputs::image(set, name.strip_prefix("a/").unwrap());
        assert_eq!(vec![picture.height, picture.width, 3], shape(&expected["shape"]), "{name}");
        assert_eq!(
            picture.bgr[..12].iter().map(|&v| Value::from(v)).collect::<Vec<_>>(),
            *expected["first"].as_array().unwrap()
        );
        assert_eq!(
            picture.bgr.iter().map(|&value| u64::from(value)).sum::<u64>(),
            expected["sum"].as_u64().unwrap()
        );
    }
}

fn same(name: &str, values: &[f32], expected: &Value) {
    assert_eq!(values.len(), shape(&expected["shape"]).iter().product::<usize>(), "{name}");
    for (ours, expected) in values.iter().zip(expected["first"].as_array().unwrap()) {
        let expected = expected.as_f64().unwrap();
        // the given boxes are in double precision
        assert!((f64::from(*ours) - expected).abs() <= expected.abs() * 6e-8, "{name}: {ours} {expected}");
    }
    let sum = |f: fn(f64) -> f64| values.iter().map(|&value| f(f64::from(value))).sum::<f64>();
    let (mean, length) = (sum(|value| value) / values.len() as f64, sum(|value| value * value).sqrt());
    let (their_mean, their_length) = (expected["mean"].as_f64().unwrap(), expected["l2"].as_f64().unwrap());
    assert!((mean - their_mean).abs() < 1e-6 * their_length.max(1.0), "{name}: {mean} {their_mean}");
    assert!((length - their_length).abs() < 1e-6 * their_length.max(1.0), "{name}: {length} {their_length}");
}

/// Every input of `make_inputs.py` by its name, in the original's order of axes.
fn all_inputs(set: &str) -> Vec<(String, Vec<f32>)> {
    let map = |tensor: &Tensor| values_of(&tensor.permute((0, 3, 1, 2)).unwrap());
    let flat = |boxes: Vec<[f32; 4]>| boxes.as_flattened().to_vec();
    let float = |indices: Vec<usize>| indices.into_iter().map(|index| index as f32).collect::<Vec<f32>>();
    let mut all: Vec<(String, Vec<f32>)> = Vec::new();
    let mut add = |name: &str, values: Vec<f32>| all.push((name.to_string(), values));
    add("vitdet.x", map(&inputs::vit_pixels(set)));
    add("abspos.pos", inputs::values(set, "abspos.pos", 197 * 8, 0.0, 1.0));
    add("window.x", (0..64 * 64).map(|index| index as f32).collect());
    add("relpos.q", inputs::values(set, "relpos.q", 2 * 20 * 8, 0.0, 1.5));
    add("relpos.h", inputs::values(set, "relpos.h", 9 * 8, 0.0, 1.0));
    add("relpos.w", inputs::values(set, "relpos.w", 7 * 8, 0.0, 1.0));
    let (boxes, deltas) = inputs::deltas(set);
    add("deltas.d", flat(deltas));
    add("deltas.boxes", flat(boxes));
    let (boxes, scores, classes) = inputs::suppression(set);
    add("nms.boxes", flat(boxes));
    add("nms.scores", scores);
    add("nms.classes", float(classes));
    for tag in ["rpn", "heads"] {
        for (level, values) in inputs::pyramid(set, tag).iter().enumerate() {
            add(&format!("{tag}.p{}", level + 2), map(values));
        }
    }
    add("heads.proposals", flat(inputs::head_proposals(set)));
    for (level, values) in inputs::region_pyramid(set).iter().enumerate() {
        add(&format!("roi.p{}", level + 2), map(values));
    }
    add("roi.boxes", flat(inputs::region_boxes(set)));
    let (boxes, classes) = inputs::mask_boxes(set);
    add("mask.boxes", flat(boxes));
    add("mask.classes", float(classes));
    let (masks, boxes) = inputs::pasted(set);
    add("paste.masks", masks.concat());
    add("paste.boxes", flat(boxes));
    for name in inputs::end_to_end(Architecture::X101) {
        let boxes = inputs::given(set, name);
        add(&format!("given.{name}"), boxes.as_flattened().iter().map(|&value| value as f32).collect());
    }
    all
}
