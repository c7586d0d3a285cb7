//! Converts the tfjs graph of NanoDet-g to named tensors.
//!
//! The graph is traversed from its outputs to its input, and every operator is compared with the architecture, so that
//! weights are identified by structure and not by node names. The publisher of the file has folded batch norms into the
//! convolutions. Filters are transposed from HWIO to OIHW.

use super::NanoDetError;
use super::architecture::{self as nanodet, CLASSES, Layer, STAGES, STRIDES, Stage};
use super::kernel::LEAKY_SLOPE;
use crate::tfjs::{Input, Model, Node};
use candle_core::{DType, Device, Tensor};
use safetensors::tensor::TensorView;
use std::collections::{BTreeMap, HashMap};

/// Extracts NanoDet-g's tensors ([`super::tensor_specs`], f32, on the CPU) from its tfjs model, by name.
///
/// # Errors
/// If the model is another network; the message names the first unexpected node.
pub fn convert(model: &Model) -> Result<BTreeMap<String, Tensor>, NanoDetError> {
    let mut traversal = Traversal { model, tensors: BTreeMap::new() };
    traversal.run()?;
    Ok(traversal.tensors)
}

/// Serializes [`convert`]'s tensors to safetensors. Equal tensors give equal bytes.
///
/// # Errors
/// If a tensor is not f32.
pub fn to_safetensors(tensors: &BTreeMap<String, Tensor>) -> Result<Vec<u8>, NanoDetError> {
    let mut bytes = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        if tensor.dtype() != DType::F32 {
            let reason = format!("it is {:?} and should be f32", tensor.dtype());
            return Err(NanoDetError::Weights { tensor: name.clone(), reason });
        }
        let values = tensor.flatten_all()?.to_vec1::<f32>()?;
        bytes.push(values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
    }
    let mut views = Vec::with_capacity(tensors.len());
    for ((name, tensor), bytes) in tensors.iter().zip(&bytes) {
        views.push((name, TensorView::new(safetensors::Dtype::F32, tensor.dims().to_vec(), bytes)?));
    }
    // a single key, because the order of several keys is not deterministic
    let metadata = HashMap::from([("network".to_string(), "nanodet-g".to_string())]);
    Ok(safetensors::serialize(views, Some(metadata))?)
}

/// Traversal of the graph that collects the tensors.
struct Traversal<'m> {
    model: &'m Model,
    tensors: BTreeMap<String, Tensor>,
}

impl<'m> Traversal<'m> {
    fn run(&mut self) -> Result<(), NanoDetError> {
        // the graph's outputs are the scores of the three levels, then the bins
        let mut necks = Vec::new();
        for level in 0..STRIDES.len() {
            necks.push(self.head(level)?);
        }
        let [fine, middle, coarse] = necks[..] else {
            return Err(mismatch("Identity", "head", "it is missing"));
        };
        // neck: two upsamplings, then two downsamplings
        let (lateral_0, up_1) = self.sum(fine, "neck.up.0")?;
        let (sum_1, down_0) = self.sum(middle, "neck.down.0")?;
        let (lateral_2, down_1) = self.sum(coarse, "neck.down.1")?;
        self.expect_node(self.resized(down_0, "neck.down.0")?, fine, "neck.down.0")?;
        self.expect_node(self.resized(down_1, "neck.down.1")?, middle, "neck.down.1")?;
        self.expect_node(self.resized(up_1, "neck.up.0")?, sum_1, "neck.up.0")?;
        let (lateral_1, up_2) = self.sum(sum_1, "neck.up.1")?;
        self.expect_node(self.resized(up_2, "neck.up.1")?, lateral_2, "neck.up.1")?;
        let outputs = [
            self.convolution(lateral_0, &nanodet::lateral(0))?,
            self.convolution(lateral_1, &nanodet::lateral(1))?,
            self.convolution(lateral_2, &nanodet::lateral(2))?,
        ];
        // backbone, the last stage first
        let [first, second, third, fourth] = &STAGES;
        let source = self.stage(outputs[2], fourth)?;
        self.expect_node(source, outputs[1], fourth.name)?;
        let source = self.stage(source, third)?;
        self.expect_node(source, outputs[0], third.name)?;
        let source = self.stage(source, second)?;
        let pool = self.stage(source, first)?;
        let stem = self.pooled(pool)?;
        let input = self.convolution(stem, &nanodet::stem())?;
        self.expect_op(input, "Placeholder", "input")
    }

    /// Traverses the head of a level; returns its input node, a neck output.
    fn head(&mut self, level: usize) -> Result<&'m Node, NanoDetError> {
        let layer = nanodet::head_out(level);
        let find_split = |traversal: &Self, name: String, sigmoid: bool, output: usize| {
            let identity = traversal
                .model
                .node(&name)
                .ok_or_else(|| mismatch(&name, &layer.name, "the graph has no such output"))?;
            let mut node = traversal.source(identity, 0)?;
            traversal.expect_op(node, "Reshape", &layer.name)?;
            if sigmoid {
                node = traversal.source(node, 0)?;
                traversal.expect_op(node, "Sigmoid", &layer.name)?;
            }
            let input =
                node.inputs.first().ok_or_else(|| mismatch(&node.name, &layer.name, "it has no input"))?;
            if input.output != output {
                return Err(mismatch(
                    &node.name,
                    &layer.name,
                    format!("its input is output {}", input.output),
                ));
            }
            let split = traversal.source(node, 0)?;
            traversal.expect_op(split, "SplitV", &layer.name)?;
            Ok(split)
        };
        let scores = if level == 0 { "Identity".to_string() } else { format!("Identity_{level}") };
        let scores = find_split(self, scores, true, 0)?;
        let bins = find_split(self, format!("Identity_{}", level + STRIDES.len()), false, 1)?;
        self.expect_node(bins, scores, &layer.name)?;
        let sizes = self.constant(scores, 1, &layer.name)?.integers().unwrap_or_default().to_vec();
        if sizes != [CLASSES as i32, (nanodet::HEAD - CLASSES) as i32] {
            return Err(mismatch(&scores.name, &layer.name, format!("it splits into {sizes:?}")));
        }
        let node = self.source(scores, 0)?;
        let node = self.convolution(node, &layer)?;
        self.convolution(node, &nanodet::head_conv(level))
    }

    /// Traverses a stage; returns its input node.
    fn stage(&mut self, end: &'m Node, stage: &Stage) -> Result<&'m Node, NanoDetError> {
        let (out, entry) = self.concatenated(end, stage.name)?;
        let mut node = self.convolution(out, &stage.out_conv())?;
        for block in (0..stage.blocks).rev() {
            let (mid, first) = self.concatenated(node, stage.name)?;
            let block_input = self.convolution(mid, &stage.block_mid(block))?;
            self.expect_node(block_input, first, stage.name)?;
            node = self.convolution(first, &stage.block_in(block))?;
        }
        self.expect_node(node, entry, stage.name)?;
        self.convolution(entry, &stage.in_conv())
    }

    /// Stores the weights of the convolution with the output `node`; returns its input node.
    fn convolution(&mut self, node: &'m Node, layer: &Layer) -> Result<&'m Node, NanoDetError> {
        let mut node = node;
        if layer.leaky {
            self.expect_op(node, "LeakyRelu", &layer.name)?;
            let slope = node.float("alpha").unwrap_or(0.2);
            if (slope - f64::from(LEAKY_SLOPE)).abs() > 1e-6 {
                return Err(mismatch(
                    &node.name,
                    &layer.name,
                    format!("its slope is {slope} and should be 0.1"),
                ));
            }
            node = self.source(node, 0)?;
        }
        if !matches!(node.op.as_str(), "Add" | "AddV2" | "BiasAdd") {
            return Err(mismatch(
                &node.name,
                &layer.name,
                format!("it is {} and should add a bias", node.op),
            ));
        }
        let bias = self.tensor(node, &layer.bias(), &[layer.outputs])?;
        node = self.source(node, 0)?;
        self.expect_op(node, "Conv2D", &layer.name)?;
        let expected_stride = layer.stride as i64;
        let stride = node.ints("strides").unwrap_or_default();
        let is_supported = node.text("padding") == Some("VALID")
            && node.text("data_format").unwrap_or("NHWC") == "NHWC"
            && node.ints("dilations").is_none_or(|steps| steps.iter().all(|step| *step == 1));
        if stride != [1, expected_stride, expected_stride, 1] || !is_supported {
            let reason =
                format!("strides {stride:?} or padding are not those of a stride of {expected_stride}");
            return Err(mismatch(&node.name, &layer.name, reason));
        }
        let shape = [layer.side, layer.side, layer.inputs, layer.outputs];
        let weight = self.tensor(node, &layer.weight(), &shape)?;
        self.tensors.insert(layer.weight(), weight.permute((3, 2, 0, 1))?.contiguous()?);
        self.tensors.insert(layer.bias(), bias);
        node = self.source(node, 0)?;
        if layer.side > 1 { self.padded(node, "Pad", &layer.name) } else { Ok(node) }
    }

    /// The input of max pooling (3 x 3, stride 2, padded with minus infinity).
    fn pooled(&self, pool: &'m Node) -> Result<&'m Node, NanoDetError> {
        let layer = "backbone.pool";
        self.expect_op(pool, "MaxPool", layer)?;
        let fits = pool.ints("ksize") == Some(&[1, 3, 3, 1][..])
            && pool.ints("strides") == Some(&[1, 2, 2, 1][..])
            && pool.text("padding") == Some("VALID");
        if !fits {
            return Err(mismatch(&pool.name, layer, "it should take 3 x 3 pixels with a stride of 2"));
        }
        let pad = self.source(pool, 0)?;
        if self.constant(pad, 2, layer)?.floats() != Some(&[f32::NEG_INFINITY]) {
            return Err(mismatch(&pad.name, layer, "its border should be minus infinity"));
        }
        self.padded(pad, "PadV2", layer)
    }

    /// The input of a padding with one pixel on every side (NCHW).
    fn padded(&self, pad: &'m Node, op: &str, layer: &str) -> Result<&'m Node, NanoDetError> {
        self.expect_op(pad, op, layer)?;
        let widths = self.constant(pad, 1, layer)?.integers().unwrap_or_default();
        if widths != [0, 0, 0, 0, 1, 1, 1, 1] {
            return Err(mismatch(&pad.name, layer, format!("it pads by {widths:?}")));
        }
        self.source(pad, 0)
    }

    /// The input of a bilinear resize (half-pixel centers; the size is that of the level that it is added to).
    fn resized(&self, node: &'m Node, layer: &str) -> Result<&'m Node, NanoDetError> {
        self.expect_op(node, "ResizeBilinear", layer)?;
        if node.bool("half_pixel_centers") != Some(true) || node.bool("align_corners") == Some(true) {
            return Err(mismatch(&node.name, layer, "it should have half-pixel centers"));
        }
        self.source(node, 0)
    }

    /// The inputs of an addition.
    fn sum(&self, node: &'m Node, layer: &str) -> Result<(&'m Node, &'m Node), NanoDetError> {
        if !matches!(node.op.as_str(), "Add" | "AddV2") {
            return Err(mismatch(&node.name, layer, format!("it is {} and should be Add", node.op)));
        }
        Ok((self.source(node, 0)?, self.source(node, 1)?))
    }

    /// The inputs of a concatenation along the channels.
    fn concatenated(&self, node: &'m Node, layer: &str) -> Result<(&'m Node, &'m Node), NanoDetError> {
        self.expect_op(node, "ConcatV2", layer)?;
        if node.inputs.len() != 3 || self.constant(node, 2, layer)?.integers() != Some(&[1]) {
            return Err(mismatch(
                &node.name,
                layer,
                "it should concatenate two tensors along their channels",
            ));
        }
        Ok((self.source(node, 0)?, self.source(node, 1)?))
    }

    fn expect_op(&self, node: &Node, op: &str, layer: &str) -> Result<(), NanoDetError> {
        let found = &node.op;
        if found == op {
            Ok(())
        } else {
            Err(mismatch(&node.name, layer, format!("it is {found} and should be {op}")))
        }
    }

    fn expect_node(&self, found: &Node, expected: &Node, layer: &str) -> Result<(), NanoDetError> {
        if std::ptr::eq(found, expected) {
            return Ok(());
        }
        Err(mismatch(&found.name, layer, format!("`{}` is expected here", expected.name)))
    }

    fn input(&self, node: &'m Node, index: usize) -> Result<&'m Input, NanoDetError> {
        node.inputs.get(index).ok_or_else(|| mismatch(&node.name, "", format!("it has no input {index}")))
    }

    /// The node that computes an input; skips transpositions, which only change the layout.
    fn source(&self, node: &'m Node, index: usize) -> Result<&'m Node, NanoDetError> {
        let mut input = self.input(node, index)?;
        loop {
            let node = self
                .model
                .node(&input.node)
                .ok_or_else(|| mismatch(&input.node, "", "the graph has no such node"))?;
            if node.op != "Transpose" {
                return Ok(node);
            }
            // terminates: the graph has no cycles
            input = self.input(node, 0)?;
        }
    }

    fn constant(
        &self,
        node: &'m Node,
        index: usize,
        layer: &str,
    ) -> Result<&'m crate::tfjs::Weight, NanoDetError> {
        let name = &self.input(node, index)?.node;
        let missing = || mismatch(&node.name, layer, format!("its input `{name}` should be a constant"));
        self.model.weight(name).ok_or_else(missing)
    }

    /// The constant second input of a node, as a tensor of the given shape.
    fn tensor(&self, node: &'m Node, name: &str, shape: &[usize]) -> Result<Tensor, NanoDetError> {
        let weight = self.constant(node, 1, name)?;
        let Some(values) = weight.floats().filter(|_| weight.shape == shape) else {
            let reason = format!("its constant is {:?} and should be {shape:?}, f32", weight.shape);
            return Err(mismatch(&node.name, name, reason));
        };
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            let reason = format!("value {index} of its constant is not finite");
            return Err(mismatch(&node.name, name, reason));
        }
        Ok(Tensor::from_slice(values, shape, &Device::Cpu)?)
    }
}

fn mismatch(node: &str, layer: &str, reason: impl Into<String>) -> NanoDetError {
    NanoDetError::Graph { node: node.to_string(), layer: layer.to_string(), reason: reason.into() }
}
