//! The tfjs graph of NanoDet-g to named tensors.
//!
//! The graph is followed from its outputs back to its input, and every operator on the way has to be the one that the
//! architecture has there: so that no weight is taken for another's, whatever the nodes' names are. Batch norms were
//! folded into the convolutions by whoever published the file. Filters are turned from HWIO to OIHW.

use super::NanoDetError;
use super::architecture::{self as nanodet, CLASSES, Layer, STAGES, STRIDES, Stage};
use super::kernel::LEAKY_SLOPE;
use crate::tfjs::{Input, Model, Node};
use candle_core::{DType, Device, Tensor};
use safetensors::tensor::TensorView;
use std::collections::{BTreeMap, HashMap};

/// NanoDet-g's tensors out of its tfjs model, by name: those of [`super::tensor_specs`], f32, on the CPU.
///
/// # Errors
/// If the model is another network; the message names the first node that differs.
pub fn convert(model: &Model) -> Result<BTreeMap<String, Tensor>, NanoDetError> {
    let mut walk = Walk { model, tensors: BTreeMap::new() };
    walk.whole()?;
    Ok(walk.tensors)
}

/// The bytes of a safetensors file of [`convert`]'s tensors. The same tensors give the same bytes.
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
    // one key alone: the order of several is not the same on every run
    let metadata = HashMap::from([("network".to_string(), "nanodet-g".to_string())]);
    Ok(safetensors::serialize(views, Some(metadata))?)
}

struct Walk<'m> {
    model: &'m Model,
    tensors: BTreeMap<String, Tensor>,
}

impl<'m> Walk<'m> {
    fn whole(&mut self) -> Result<(), NanoDetError> {
        // the outputs are the scores of the three levels, then the bins
        let mut necks = Vec::new();
        for level in 0..STRIDES.len() {
            necks.push(self.head(level)?);
        }
        let [fine, middle, coarse] = necks[..] else {
            return Err(another("Identity", "head", "it is missing"));
        };
        // neck: up twice, then down twice
        let (lateral_0, up_1) = self.sum(fine, "neck.up.0")?;
        let (sum_1, down_0) = self.sum(middle, "neck.down.0")?;
        let (lateral_2, down_1) = self.sum(coarse, "neck.down.1")?;
        self.same(self.resized(down_0, "neck.down.0")?, fine, "neck.down.0")?;
        self.same(self.resized(down_1, "neck.down.1")?, middle, "neck.down.1")?;
        self.same(self.resized(up_1, "neck.up.0")?, sum_1, "neck.up.0")?;
        let (lateral_1, up_2) = self.sum(sum_1, "neck.up.1")?;
        self.same(self.resized(up_2, "neck.up.1")?, lateral_2, "neck.up.1")?;
        let outputs = [
            self.convolution(lateral_0, &nanodet::lateral(0))?,
            self.convolution(lateral_1, &nanodet::lateral(1))?,
            self.convolution(lateral_2, &nanodet::lateral(2))?,
        ];
        // backbone, the last stage first
        let [first, second, third, fourth] = &STAGES;
        let source = self.stage(outputs[2], fourth)?;
        self.same(source, outputs[1], fourth.name)?;
        let source = self.stage(source, third)?;
        self.same(source, outputs[0], third.name)?;
        let source = self.stage(source, second)?;
        let pool = self.stage(source, first)?;
        let stem = self.pooled(pool)?;
        let input = self.convolution(stem, &nanodet::stem())?;
        self.is(input, "Placeholder", "input")
    }

    /// Follows the head of a level, and gives the neck's node before it.
    fn head(&mut self, level: usize) -> Result<&'m Node, NanoDetError> {
        let layer = nanodet::head_out(level);
        let split = |walk: &Self, name: String, sigmoid: bool, output: usize| {
            let identity = walk
                .model
                .node(&name)
                .ok_or_else(|| another(&name, &layer.name, "the graph has no such output"))?;
            let mut node = walk.behind(identity, 0)?;
            walk.is(node, "Reshape", &layer.name)?;
            if sigmoid {
                node = walk.behind(node, 0)?;
                walk.is(node, "Sigmoid", &layer.name)?;
            }
            let input =
                node.inputs.first().ok_or_else(|| another(&node.name, &layer.name, "it takes nothing"))?;
            if input.output != output {
                return Err(another(&node.name, &layer.name, format!("it takes output {}", input.output)));
            }
            let split = walk.behind(node, 0)?;
            walk.is(split, "SplitV", &layer.name)?;
            Ok(split)
        };
        let scores = if level == 0 { "Identity".to_string() } else { format!("Identity_{level}") };
        let scores = split(self, scores, true, 0)?;
        let bins = split(self, format!("Identity_{}", level + STRIDES.len()), false, 1)?;
        self.same(bins, scores, &layer.name)?;
        let sizes = self.constant(scores, 1, &layer.name)?.integers().unwrap_or_default().to_vec();
        if sizes != [CLASSES as i32, (nanodet::HEAD - CLASSES) as i32] {
            return Err(another(&scores.name, &layer.name, format!("it splits into {sizes:?}")));
        }
        let node = self.behind(scores, 0)?;
        let node = self.convolution(node, &layer)?;
        self.convolution(node, &nanodet::head_conv(level))
    }

    /// Follows a stage, and gives the node before it.
    fn stage(&mut self, end: &'m Node, stage: &Stage) -> Result<&'m Node, NanoDetError> {
        let (out, entry) = self.concatenated(end, stage.name)?;
        let mut node = self.convolution(out, &stage.out_conv())?;
        for block in (0..stage.blocks).rev() {
            let (mid, first) = self.concatenated(node, stage.name)?;
            let before = self.convolution(mid, &stage.block_mid(block))?;
            self.same(before, first, stage.name)?;
            node = self.convolution(first, &stage.block_in(block))?;
        }
        self.same(node, entry, stage.name)?;
        self.convolution(entry, &stage.in_conv())
    }

    /// Keeps the weights of the convolution whose output `node` is, and gives what it takes.
    fn convolution(&mut self, node: &'m Node, layer: &Layer) -> Result<&'m Node, NanoDetError> {
        let mut node = node;
        if layer.leaky {
            self.is(node, "LeakyRelu", &layer.name)?;
            let slope = node.float("alpha").unwrap_or(0.2);
            if (slope - f64::from(LEAKY_SLOPE)).abs() > 1e-6 {
                return Err(another(
                    &node.name,
                    &layer.name,
                    format!("its slope is {slope} and should be 0.1"),
                ));
            }
            node = self.behind(node, 0)?;
        }
        if !matches!(node.op.as_str(), "Add" | "AddV2" | "BiasAdd") {
            return Err(another(&node.name, &layer.name, format!("it is {} and should add a bias", node.op)));
        }
        let bias = self.tensor(node, &layer.bias(), &[layer.outputs])?;
        node = self.behind(node, 0)?;
        self.is(node, "Conv2D", &layer.name)?;
        let step = layer.stride as i64;
        let stride = node.ints("strides").unwrap_or_default();
        let plain = node.text("padding") == Some("VALID")
            && node.text("data_format").unwrap_or("NHWC") == "NHWC"
            && node.ints("dilations").is_none_or(|steps| steps.iter().all(|step| *step == 1));
        if stride != [1, step, step, 1] || !plain {
            let reason = format!("strides {stride:?} or padding are not those of a stride of {step}");
            return Err(another(&node.name, &layer.name, reason));
        }
        let shape = [layer.side, layer.side, layer.inputs, layer.outputs];
        let weight = self.tensor(node, &layer.weight(), &shape)?;
        self.tensors.insert(layer.weight(), weight.permute((3, 2, 0, 1))?.contiguous()?);
        self.tensors.insert(layer.bias(), bias);
        node = self.behind(node, 0)?;
        if layer.side > 1 { self.padded(node, "Pad", &layer.name) } else { Ok(node) }
    }

    /// What is pooled (3 x 3, a stride of 2, a border that never wins).
    fn pooled(&self, pool: &'m Node) -> Result<&'m Node, NanoDetError> {
        let layer = "backbone.pool";
        self.is(pool, "MaxPool", layer)?;
        let fits = pool.ints("ksize") == Some(&[1, 3, 3, 1][..])
            && pool.ints("strides") == Some(&[1, 2, 2, 1][..])
            && pool.text("padding") == Some("VALID");
        if !fits {
            return Err(another(&pool.name, layer, "it should take 3 x 3 pixels with a stride of 2"));
        }
        let pad = self.behind(pool, 0)?;
        if self.constant(pad, 2, layer)?.floats() != Some(&[f32::NEG_INFINITY]) {
            return Err(another(&pad.name, layer, "its border should be minus infinity"));
        }
        self.padded(pad, "PadV2", layer)
    }

    /// What is padded with one pixel on every side (NCHW).
    fn padded(&self, pad: &'m Node, op: &str, layer: &str) -> Result<&'m Node, NanoDetError> {
        self.is(pad, op, layer)?;
        let widths = self.constant(pad, 1, layer)?.integers().unwrap_or_default();
        if widths != [0, 0, 0, 0, 1, 1, 1, 1] {
            return Err(another(&pad.name, layer, format!("it pads by {widths:?}")));
        }
        self.behind(pad, 0)
    }

    /// What a bilinear resize takes (half-pixel centers; sizes are those of the level that it is added to).
    fn resized(&self, node: &'m Node, layer: &str) -> Result<&'m Node, NanoDetError> {
        self.is(node, "ResizeBilinear", layer)?;
        if node.bool("half_pixel_centers") != Some(true) || node.bool("align_corners") == Some(true) {
            return Err(another(&node.name, layer, "it should have half-pixel centers"));
        }
        self.behind(node, 0)
    }

    fn sum(&self, node: &'m Node, layer: &str) -> Result<(&'m Node, &'m Node), NanoDetError> {
        if !matches!(node.op.as_str(), "Add" | "AddV2") {
            return Err(another(&node.name, layer, format!("it is {} and should be Add", node.op)));
        }
        Ok((self.behind(node, 0)?, self.behind(node, 1)?))
    }

    fn concatenated(&self, node: &'m Node, layer: &str) -> Result<(&'m Node, &'m Node), NanoDetError> {
        self.is(node, "ConcatV2", layer)?;
        if node.inputs.len() != 3 || self.constant(node, 2, layer)?.integers() != Some(&[1]) {
            return Err(another(&node.name, layer, "it should join two tensors along their channels"));
        }
        Ok((self.behind(node, 0)?, self.behind(node, 1)?))
    }

    fn is(&self, node: &Node, op: &str, layer: &str) -> Result<(), NanoDetError> {
        let found = &node.op;
        if found == op {
            Ok(())
        } else {
            Err(another(&node.name, layer, format!("it is {found} and should be {op}")))
        }
    }

    fn same(&self, found: &Node, expected: &Node, layer: &str) -> Result<(), NanoDetError> {
        if std::ptr::eq(found, expected) {
            return Ok(());
        }
        Err(another(&found.name, layer, format!("`{}` should stand here", expected.name)))
    }

    fn input(&self, node: &'m Node, index: usize) -> Result<&'m Input, NanoDetError> {
        node.inputs.get(index).ok_or_else(|| another(&node.name, "", format!("it has no input {index}")))
    }

    /// The node that gives an input, transpositions (which change the layout alone) left out.
    fn behind(&self, node: &'m Node, index: usize) -> Result<&'m Node, NanoDetError> {
        let mut input = self.input(node, index)?;
        loop {
            let node = self
                .model
                .node(&input.node)
                .ok_or_else(|| another(&input.node, "", "the graph has no such node"))?;
            if node.op != "Transpose" {
                return Ok(node);
            }
            // the graph has no cycles
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
        let missing = || another(&node.name, layer, format!("its input `{name}` should be a constant"));
        self.model.weight(name).ok_or_else(missing)
    }

    /// The constant that a node takes beside its input, as a tensor of this shape.
    fn tensor(&self, node: &'m Node, name: &str, shape: &[usize]) -> Result<Tensor, NanoDetError> {
        let weight = self.constant(node, 1, name)?;
        let Some(values) = weight.floats().filter(|_| weight.shape == shape) else {
            let reason = format!("its constant is {:?} and should be {shape:?}, f32", weight.shape);
            return Err(another(&node.name, name, reason));
        };
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            let reason = format!("value {at} of its constant is not finite");
            return Err(another(&node.name, name, reason));
        }
        Ok(Tensor::from_slice(values, shape, &Device::Cpu)?)
    }
}

fn another(node: &str, layer: &str, reason: impl Into<String>) -> NanoDetError {
    NanoDetError::Graph { node: node.to_string(), layer: layer.to_string(), reason: reason.into() }
}
