//! Tests the conversion with a graph like the published one: with transpositions, paddings and meaningless names.

use super::architecture::{self as nanodet, Layer, STAGES, STRIDES};
use super::convert;
use crate::tfjs::Model;
use serde_json::{Value, json};

/// Builder of a graph with f32 weights.
#[derive(Default)]
struct Graph {
    nodes: Vec<Value>,
    weights: Vec<Value>,
    bytes: Vec<u8>,
}

impl Graph {
    fn node(&mut self, op: &str, inputs: &[&str], attributes: Value) -> String {
        let name = format!("n{}", self.nodes.len());
        self.named(&name, op, inputs, attributes);
        name
    }

    fn named(&mut self, name: &str, op: &str, inputs: &[&str], attributes: Value) {
        self.nodes.push(json!({ "name": name, "op": op, "input": inputs, "attr": attributes }));
    }

    fn constant(&mut self, shape: &[usize], dtype: &str, words: Vec<[u8; 4]>) -> String {
        let name = self.node("Const", &[], json!({}));
        self.weights.push(json!({ "name": name, "shape": shape, "dtype": dtype }));
        self.bytes.extend(words.as_flattened());
        name
    }

    fn integers(&mut self, shape: &[usize], values: &[i32]) -> String {
        self.constant(shape, "int32", values.iter().map(|value| value.to_le_bytes()).collect())
    }

    fn floats(&mut self, shape: &[usize], values: &[f32]) -> String {
        self.constant(shape, "float32", values.iter().map(|value| value.to_le_bytes()).collect())
    }

    fn transposed(&mut self, x: &str) -> String {
        let order = self.integers(&[4], &[0, 2, 3, 1]);
        self.node("Transpose", &[x, &order], json!({}))
    }

    fn padded(&mut self, x: &str, border: Option<f32>) -> String {
        let widths = self.integers(&[4, 2], &[0, 0, 0, 0, 1, 1, 1, 1]);
        match border {
            None => self.node("Pad", &[x, &widths], json!({})),
            Some(border) => {
                let border = self.floats(&[], &[border]);
                self.node("PadV2", &[x, &widths, &border], json!({}))
            }
        }
    }

    /// A layer; each weight is its own index.
    fn convolution(&mut self, x: &str, layer: &Layer) -> String {
        let x = if layer.side > 1 { self.padded(x, None) } else { x.to_string() };
        let x = self.transposed(&x);
        let Layer { inputs, outputs, side, stride, .. } = *layer;
        let values: Vec<f32> = (0..side * side * inputs * outputs).map(|index| index as f32).collect();
        let weight = self.floats(&[side, side, inputs, outputs], &values);
        let bias = self.floats(&[outputs], &(0..outputs).map(|index| -(index as f32)).collect::<Vec<_>>());
        let strides = ["1".to_string(), stride.to_string(), stride.to_string(), "1".to_string()];
        let attributes = json!({ "padding": { "s": "VkFMSUQ=" }, "strides": { "list": { "i": strides } } });
        let x = self.node("Conv2D", &[&x, &weight], attributes);
        let x = self.node("Add", &[&x, &bias], json!({}));
        let x = self.transposed(&x);
        if layer.leaky { self.node("LeakyRelu", &[&x], json!({ "alpha": { "f": 0.1 } })) } else { x }
    }

    fn concatenated(&mut self, a: &str, b: &str) -> String {
        let axis = self.integers(&[], &[1]);
        self.node("ConcatV2", &[a, b, &axis], json!({}))
    }

    fn resized(&mut self, x: &str) -> String {
        let size = self.integers(&[2], &[26, 26]);
        let x = self.transposed(x);
        let x = self.node("ResizeBilinear", &[&x, &size], json!({ "half_pixel_centers": { "b": true } }));
        self.transposed(&x)
    }

    fn sum(&mut self, a: &str, b: &str) -> String {
        self.node("Add", &[a, b], json!({}))
    }

    /// The graph of NanoDet-g.
    fn nanodet() -> Graph {
        let mut graph = Graph::default();
        let input = graph.node("Placeholder", &[], json!({}));
        let x = graph.convolution(&input, &nanodet::stem());
        let x = graph.padded(&x, Some(f32::NEG_INFINITY));
        let attributes = json!({ "padding": { "s": "VkFMSUQ=" },
            "ksize": { "list": { "i": ["1", "3", "3", "1"] } }, "strides": { "list": { "i": ["1", "2", "2", "1"] } } });
        let mut x = graph.node("MaxPool", &[&x], attributes);
        let mut outputs = Vec::new();
        for stage in STAGES {
            let first = graph.convolution(&x, &stage.in_conv());
            let mut inner = first.clone();
            for block in 0..stage.blocks {
                let half = graph.convolution(&inner, &stage.block_in(block));
                let mid = graph.convolution(&half, &stage.block_mid(block));
                inner = graph.concatenated(&mid, &half);
            }
            let out = graph.convolution(&inner, &stage.out_conv());
            x = graph.concatenated(&out, &first);
            outputs.push(x.clone());
        }
        let lateral = |graph: &mut Graph, level: usize| {
            graph.convolution(&outputs[level + 1], &nanodet::lateral(level))
        };
        let (fine, middle, coarse) = (lateral(&mut graph, 0), lateral(&mut graph, 1), lateral(&mut graph, 2));
        let up = graph.resized(&coarse);
        let middle = graph.sum(&middle, &up);
        let up = graph.resized(&middle);
        let fine = graph.sum(&fine, &up);
        let down = graph.resized(&fine);
        let middle = graph.sum(&middle, &down);
        let down = graph.resized(&middle);
        let coarse = graph.sum(&coarse, &down);
        for (level, sum) in [fine, middle, coarse].into_iter().enumerate() {
            let x = graph.convolution(&sum, &nanodet::head_conv(level));
            let x = graph.convolution(&x, &nanodet::head_out(level));
            let (sizes, axis) = (graph.integers(&[2], &[80, 44]), graph.integers(&[], &[1]));
            let split = graph.node("SplitV", &[&x, &sizes, &axis], json!({}));
            let sigmoid = graph.node("Sigmoid", &[&split], json!({}));
            let shape = graph.integers(&[3], &[1, 80, -1]);
            let scores = graph.node("Reshape", &[&sigmoid, &shape], json!({}));
            let bins = graph.node("Reshape", &[&format!("{split}:1"), &shape], json!({}));
            let name = if level == 0 { "Identity".to_string() } else { format!("Identity_{level}") };
            graph.named(&name, "Identity", &[&scores], json!({}));
            graph.named(&format!("Identity_{}", level + STRIDES.len()), "Identity", &[&bins], json!({}));
        }
        graph
    }

    fn model(&self) -> Model {
        let json = json!({
            "modelTopology": { "node": self.nodes },
            "weightsManifest": [{ "paths": ["nanodet.bin"], "weights": self.weights }],
        });
        Model::from_bytes(&serde_json::to_vec(&json).unwrap(), &[&self.bytes]).unwrap()
    }

    /// The node with the given operator and index among those with this operator.
    fn nth(&mut self, op: &str, index: usize) -> &mut Value {
        self.nodes.iter_mut().filter(|node| node["op"] == op).nth(index).unwrap()
    }
}

fn rejection(edit: impl FnOnce(&mut Graph)) -> String {
    let mut graph = Graph::nanodet();
    edit(&mut graph);
    convert(&graph.model()).unwrap_err().to_string()
}

#[test]
fn every_filter_is_transposed_and_named() {
    let tensors = convert(&Graph::nanodet().model()).unwrap();
    let specs = super::tensor_specs();
    assert_eq!(tensors.len(), specs.len());
    for spec in specs {
        assert_eq!(tensors[&spec.key].dims(), spec.shape, "{}", spec.key);
    }
    let layer = nanodet::head_conv(1);
    let weight = tensors[&layer.weight()].get(5).unwrap().get(7).unwrap();
    let expected = (2 * 3 + 1) * 128 * 128 + 7 * 128 + 5;
    assert_eq!(weight.get(2).unwrap().get(1).unwrap().to_scalar::<f32>().unwrap(), expected as f32);
    assert_eq!(tensors[&layer.bias()].get(9).unwrap().to_scalar::<f32>().unwrap(), -9.0);
}

#[test]
fn other_graphs_are_rejected_with_the_first_unexpected_node() {
    let message = rejection(|graph| graph.nth("Conv2D", 0)["attr"]["strides"]["list"]["i"][1] = json!("1"));
    assert!(message.contains("`backbone.stem`") && message.contains("strides [1, 1, 2, 1]"), "{message}");
    let message = rejection(|graph| graph.nth("LeakyRelu", 3)["attr"]["alpha"]["f"] = json!(0.2));
    assert!(message.contains("its slope is 0.2"), "{message}");
    let message = rejection(|graph| graph.nth("MaxPool", 0)["op"] = json!("AvgPool"));
    assert!(message.contains("it is AvgPool and should be MaxPool"), "{message}");
    let message =
        rejection(|graph| graph.nth("ResizeBilinear", 2)["attr"]["half_pixel_centers"]["b"] = json!(false));
    assert!(message.contains("half-pixel"), "{message}");
    let message = rejection(|graph| graph.nth("Identity", 2)["name"] = json!("Output"));
    assert!(message.contains("the graph has no such output"), "{message}");
    let message = rejection(|graph| {
        let swapped = graph.nth("ConcatV2", 1);
        let (a, b) = (swapped["input"][0].clone(), swapped["input"][1].clone());
        (swapped["input"][0], swapped["input"][1]) = (b, a);
    });
    assert!(message.contains("backbone.stage1"), "{message}");
    let message = rejection(|graph| {
        let infinite = f32::INFINITY.to_le_bytes();
        // the stem's filter follows eight words of padding widths and four of a permutation
        graph.bytes[48..52].copy_from_slice(&infinite);
    });
    assert!(message.contains("backbone.stem") && message.contains("not finite"), "{message}");
    let message = rejection(|graph| {
        let weight =
            graph.weights.iter_mut().find(|weight| weight["shape"] == json!([1, 1, 128, 124])).unwrap();
        weight["shape"] = json!([1, 128, 1, 124]);
    });
    assert!(message.contains("head.0.out.weight") && message.contains("[1, 128, 1, 124]"), "{message}");
}
