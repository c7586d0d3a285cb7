//! BlazePose's goldens: the networks on a made picture and on people, and the same network of another publisher.
//!
//! The weights are read from the published tflite files, converted, written and read back, as a user has them.

use crate::formula::hash;
use candle_core::{DType, Device};
use posebook::blazepose::decode::{Decoded, decode};
use posebook::blazepose::graph::{Graph, Node};
use posebook::blazepose::{Converted, Footprint, Network, Output, Region, Variant, convert, scaled, trace};
use posebook::tflite::Model;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;

/// Side of the network's input, pixels.
const SIDE: usize = 256;
/// Values that are kept of a long tensor, and of one inside the network.
const KEPT: usize = 1024;
const KEPT_INSIDE: usize = 512;

/// Checks one set of goldens: `golden_folder` holds `01_network_full.safetensors` and the like, `tflite_folder` the
/// published files, `media` the pictures with people. Without pictures the people are left out, and a line says so.
///
/// # Panics
/// Where a number is further from the golden than the goldens' README allows.
pub fn run(set: &str, golden_folder: &Path, tflite_folder: &Path, media: Option<&Path>) {
    for variant in Variant::ALL {
        let file = std::fs::read(tflite_folder.join(variant.tflite_name())).unwrap();
        let converted = convert(&Model::parse(&file).unwrap()).unwrap();
        assert_eq!(converted.variant, variant);
        let network = written_and_read(&converted);
        assert_eq!(network.footprint(), Footprint::of_variant(variant), "{}", variant.name());
        let checks = Checks { set, folder: golden_folder, variant, network: &network };
        let made = checks.made_picture("");
        let tensors = Network::through_tensors(&converted, &Device::Cpu, DType::F32).unwrap();
        Checks { network: &tensors, ..checks }.made_picture("candle's ");
        checks.inner_values(&converted);
        if variant == Variant::Full {
            checks.other_publisher(&made);
        }
        match media {
            Some(media) => checks.people(media),
            None => {
                println!("blazepose/{set}: people of {} are left out, no pictures were given", variant.name())
            }
        }
    }
}

fn written_and_read(converted: &Converted) -> Network {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blazepose.safetensors");
    converted.write(&path).unwrap();
    Network::load(&path, &Device::Cpu, DType::F32).unwrap()
}

/// A network's results, kept.
struct Kept {
    numbers: HashMap<&'static str, Vec<f32>>,
    decoded: Decoded,
}

#[derive(Clone, Copy)]
struct Checks<'a> {
    set: &'a str,
    folder: &'a Path,
    variant: Variant,
    network: &'a Network,
}

/// The numbers of a golden file, as f64.
fn golden_numbers(path: &Path) -> HashMap<String, Vec<f64>> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let numbers = |name: &str| {
        let tensor = tensors.tensor(name).unwrap();
        let bytes = tensor.data();
        match tensor.dtype() {
            Dtype::F32 => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes).into()).collect(),
            Dtype::F64 => bytes.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect(),
            Dtype::U8 => bytes.iter().map(|&byte| byte.into()).collect(),
            other => panic!("{name} is {other:?}"),
        }
    };
    tensors.names().into_iter().map(|name| (name.to_string(), numbers(name))).collect()
}

/// The made picture of 256 x 256 pixels: slanted stripes and noise, RGB.
fn made_picture(name: &str) -> Vec<u8> {
    let phase: Vec<u64> = (0..3).map(|channel| hash(&format!("{name}.phase"), channel) % 512).collect();
    let level = |at: usize| {
        let (x, y, channel) = (at / 3 % SIDE, at / 3 / SIDE, at % 3);
        let q = (x * (3 + channel) + y * (2 + 2 * channel)) as u64 + phase[channel];
        let q = q % 512;
        let slope = if q < 256 { q } else { 511 - q };
        (slope * 3 / 4 + hash(name, at as u64) % 49) as u8
    };
    (0..SIDE * SIDE * 3).map(level).collect()
}

/// The names of a node and of the sums that its values are the last to be read by, one after the other.
fn sums_after(graph: &Graph, node: &Node) -> Vec<String> {
    let mut names = vec![node.name()];
    let mut at = graph.nodes.iter().position(|other| other == node).unwrap();
    while let Some(next) = graph.nodes.iter().rposition(|other| other.inputs.contains(&(at + 1))) {
        if graph.nodes[next].op.name() != "add" {
            break;
        }
        names.push(graph.nodes[next].name());
        at = next;
    }
    names
}

impl Checks<'_> {
    fn run(&self, crop: &[u8], region: &Region) -> Kept {
        let read = |_: usize, output: Output| Kept {
            numbers: HashMap::from([
                ("landmarks", output.landmarks.to_vec()),
                ("presence", vec![output.presence]),
                ("segmentation", output.segmentation.to_vec()),
                ("heatmap", output.heatmap.to_vec()),
                ("world", output.world.to_vec()),
            ]),
            decoded: decode(&output, region),
        };
        self.network.run(1, |_, input| scaled(crop, input), read).unwrap().remove(0)
    }

    /// The values of `all` that golden `golden` keeps of its tensor `tensor`.
    fn kept(&self, golden: &str, tensor: &str, all: &[f32], most: usize) -> Vec<f64> {
        let name = format!("{}/{golden}/{tensor}.index", self.set);
        let size = all.len();
        let at = |k: usize| if size <= most { k } else { (hash(&name, k as u64) % size as u64) as usize };
        (0..size.min(most)).map(|k| all[at(k)].into()).collect()
    }

    /// Compares, prints the largest error, and panics where it is more than what is allowed.
    fn hold(&self, what: &str, found: &[f64], golden: &[f64], allowed: f64) {
        assert_eq!(found.len(), golden.len(), "{what}");
        let off = |(a, b): (&f64, &f64)| if a.is_finite() { (a - b).abs() } else { f64::INFINITY };
        let error = found.iter().zip(golden).map(off).fold(0.0, f64::max);
        let share = 100.0 * error / allowed;
        println!("blazepose/{}: {what}: {error:.3e}, {share:.1}% of {allowed:.1e}", self.set);
        assert!(error <= allowed, "{what} of set {} is off by {error}, more than {allowed}", self.set);
    }

    /// The five outputs against those of a golden whose tensors' names start with `prefix`.
    fn hold_outputs(
        &self,
        golden_name: &str,
        whose: &str,
        prefix: &str,
        golden: &HashMap<String, Vec<f64>>,
        kept: &Kept,
    ) {
        // of this one picture full sees nobody at all, and its numbers depend on the last bits
        let unsure = self.set == "b" && self.variant == Variant::Full && prefix.is_empty();
        for (tensor, allowed) in [
            ("landmarks", if unsure { 0.5 } else { 0.01 }),
            ("presence", 1e-4),
            ("segmentation", 0.0),
            ("heatmap", 3e-3),
            ("world", if unsure { 4e-3 } else { 1e-4 }),
        ] {
            let golden = &golden[&format!("{prefix}{tensor}")];
            let found = self.kept(golden_name, tensor, &kept.numbers[tensor], KEPT);
            let largest = golden.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
            let allowed = if tensor == "segmentation" { 0.005 * largest } else { allowed };
            self.hold(&format!("{golden_name} {whose}{tensor}"), &found, golden, allowed);
        }
    }

    fn name(&self, stem: &str) -> String {
        format!("{stem}_{}", self.variant.name())
    }

    /// Golden 01: the outputs for the made picture.
    fn made_picture(&self, whose: &str) -> Kept {
        let name = self.name("01_network");
        let golden = golden_numbers(&self.folder.join(format!("{name}.safetensors")));
        let crop = made_picture(&format!("{}/input/crop", self.set));
        let kept = self.run(&crop, &Region { center: [128.0; 2], side: 256.0, rotation: 0.0 });
        self.hold_outputs(&name, whose, "", &golden, &kept);
        kept
    }

    /// Golden 01: operators inside the network.
    fn inner_values(&self, converted: &Converted) {
        let name = self.name("01_network");
        let golden = golden_numbers(&self.folder.join(format!("{name}.safetensors")));
        let crop = made_picture(&format!("{}/input/crop", self.set));
        // tflite adds in place: what it then shows of an operator is the sum that its values went into, or the sum's
        // sum. Of each operator its values and those of such sums, in their order
        let mut replaced: HashMap<String, Vec<String>> = HashMap::new();
        for node in converted.graph.nodes.iter().filter(|node| golden.contains_key(&node.name())) {
            for sum in sums_after(&converted.graph, node) {
                replaced.entry(sum).or_default().push(node.name());
            }
        }
        let mut values: HashMap<String, Vec<Vec<f64>>> = HashMap::new();
        let fill = |input: &mut [f32]| scaled(&crop, input);
        trace(converted, fill, |node, found| {
            for key in replaced.get(&node.name()).into_iter().flatten() {
                values.entry(key.clone()).or_default().push(self.kept(&name, key, found, KEPT_INSIDE));
            }
        })
        .unwrap();
        let outputs = converted.graph.output_values();
        let nodes = converted.graph.nodes.iter().enumerate();
        // outputs are held with tolerances of their own
        let is_output: HashMap<String, bool> =
            nodes.map(|(index, node)| (node.name(), outputs.contains(&(index + 1)))).collect();
        for (key, golden) in golden.iter().filter(|(key, _)| key.starts_with("op") && !is_output[*key]) {
            let candidates = values.get(key).unwrap_or_else(|| panic!("the network has no {key}"));
            let distance =
                |found: &[f64]| found.iter().zip(golden).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            let distances: Vec<f64> = candidates.iter().map(|found| distance(found)).collect();
            let nearest =
                (0..candidates.len()).min_by(|&a, &b| distances[a].total_cmp(&distances[b])).unwrap();
            // relative to the largest value: in f64 the goldens' own values near 0 are off by more than 1e-4 of
            // themselves, above all those of sums
            let largest = golden.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
            let is_sum = nearest > 0 || key.ends_with("add");
            let unsure = self.set == "b" && self.variant == Variant::Full;
            let times = if is_sum { 2.0 } else { 1.0 } * if unsure { 50.0 } else { 1.0 };
            let allowed = times * (1e-4 + 1e-4 * largest);
            let what = format!("{name} {key}{}", [" + sum"].repeat(nearest).concat());
            self.hold(&what, &candidates[nearest], golden, allowed);
        }
    }

    /// Golden 04: the same weights with other rounding, run by tfjs.
    fn other_publisher(&self, kept: &Kept) {
        let golden = golden_numbers(&self.folder.join("04_tfjs_full.safetensors"));
        for (theirs, ours, allowed) in [("ld_3d", "landmarks", 0.2), ("world_3d", "world", 5e-4)] {
            let found: Vec<f64> = kept.numbers[ours].iter().map(|&number| number.into()).collect();
            self.hold(&format!("04_tfjs_full {theirs}"), &found, &golden[theirs], allowed);
        }
    }

    /// Golden 02: people in pictures, from the crop to the region of the next frame.
    fn people(&self, media: &Path) {
        let stem = self.name("02_people");
        let golden = golden_numbers(&self.folder.join(format!("{stem}.safetensors")));
        let text = std::fs::read_to_string(self.folder.join(format!("{stem}.json"))).unwrap();
        let about: Value = serde_json::from_str(&text).unwrap();
        for (person, facts) in about["meta"]["people"].as_object().unwrap() {
            let picture = image::open(media.join(facts["picture"].as_str().unwrap())).unwrap().to_rgb8();
            let number = |value: &Value| value.as_f64().unwrap();
            let roi = &facts["roi"];
            let region = Region {
                center: [number(&roi["center"][0]), number(&roi["center"][1])],
                side: number(&roi["side"]),
                rotation: number(&roi["rotation"]),
            };
            let (width, height) = (picture.width() as usize, picture.height() as usize);
            let crop = region.cut(picture.as_raw(), width, height);
            self.hold_crop(
                &format!("{stem}/{person}"),
                &about["tensors"][format!("{person}.crop")],
                &crop,
                &golden[&format!("{person}.crop")],
            );
            let kept = self.run(&crop, &region);
            self.hold_outputs(&format!("{stem}/{person}"), "", &format!("{person}."), &golden, &kept);
            self.hold_decoded(&format!("{stem}/{person}"), &region, &kept.decoded, |tensor| {
                &golden[&format!("{person}.{tensor}")]
            });
        }
    }

    fn hold_crop(&self, name: &str, facts: &Value, crop: &[u8], golden: &[f64]) {
        let levels: Vec<f32> = crop.iter().map(|&level| level.into()).collect();
        self.hold(&format!("{name} crop"), &self.kept(name, "crop", &levels, KEPT), golden, 1e-9);
        let sum: u64 = crop.iter().map(|&level| u64::from(level)).sum();
        let mut crc = flate2::Crc::new();
        crc.update(crop);
        assert_eq!(
            (Some(sum), Some(crc.sum().into())),
            (facts["sum"].as_u64(), facts["crc32"].as_u64()),
            "{name}"
        );
    }

    fn hold_decoded<'b>(
        &self,
        name: &str,
        region: &Region,
        decoded: &Decoded,
        golden: impl Fn(&str) -> &'b Vec<f64>,
    ) {
        let pixel = 0.02 * region.side / SIDE as f64;
        let next = &decoded.next_region;
        let affine = region.crop_from_frame();
        let depths: Vec<f64> = decoded.points.iter().map(|point| point[2] * region.side).collect();
        let next_numbers = [next.center[0], next.center[1], next.side];
        let (place, rotation) = golden("next_roi").split_at(3);
        self.hold(&format!("{name} affine"), affine.as_flattened(), golden("affine"), 1e-9);
        self.hold(&format!("{name} refined"), decoded.points.as_flattened(), golden("refined"), 2e-4);
        self.hold(&format!("{name} pixels"), decoded.pixels.as_flattened(), golden("pixels"), pixel);
        self.hold(&format!("{name} z_pixels"), &depths, golden("z_pixels"), pixel);
        self.hold(
            &format!("{name} world_upright"),
            decoded.world.as_flattened(),
            golden("world_upright"),
            1e-4,
        );
        self.hold(&format!("{name} next_roi"), &next_numbers, place, pixel);
        self.hold(&format!("{name} next_roi rotation"), &[next.rotation], rotation, 4e-4);
    }
}
