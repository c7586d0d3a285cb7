//! Converts a parsed tflite model to our own [`Graph`] and a list of weight tensors.

use super::graph::{Activation, Graph, Node, Op, Outputs, Window};
use super::variant::{HEATMAP_SHAPE, LANDMARK_VALUES, Variant, WORLD_VALUES};
use super::{BlazePoseError, ConvertedNetwork, WeightTensor};
use crate::conv;
use crate::tflite::{self, DType, Kind, Model, Padding};
use half::f16;
use std::collections::HashMap;

/// Maximum size of all weights: a crafted file may use the same buffer for many operators. Heavy has 27 MB.
const MAX_WEIGHT_BYTES: usize = 1 << 27;

/// Converts a tflite model of BlazePose GHUM lite, full or heavy.
///
/// Weights keep their stored precision (f16). The result depends only on the file.
///
/// # Errors
/// [`BlazePoseError::UnsupportedNetwork`] if the file holds another network or a weight that is not finite.
pub fn convert(model: &Model) -> Result<ConvertedNetwork, BlazePoseError> {
    let unsupported = |problem: String| BlazePoseError::UnsupportedNetwork { problem };
    let (graph, weights) = convert_graph(model)?;
    let parameters = graph.parameter_count();
    let Some(variant) = Variant::from_parameter_count(parameters) else {
        return Err(unsupported(format!("it has {parameters} weights")));
    };
    variant.check(&graph).map_err(unsupported)?;
    Ok(ConvertedNetwork { variant, graph, weights })
}

/// Converts a pose network of any size; also used for the small networks of tests.
pub(super) fn convert_graph(model: &Model) -> Result<(Graph, Vec<WeightTensor>), BlazePoseError> {
    let unsupported = |problem: String| BlazePoseError::UnsupportedNetwork { problem };
    let [input] = model.inputs[..] else {
        return Err(unsupported(format!("it has {} inputs instead of 1", model.inputs.len())));
    };
    let input_shape = map_shape(model, input).map_err(unsupported)?;
    let mut builder = GraphBuilder {
        model,
        values: HashMap::from([(input, 0)]),
        constants: HashMap::new(),
        nodes: Vec::new(),
        weights: Vec::new(),
        weight_bytes: 0,
    };
    for (number, operator) in model.operators.iter().enumerate() {
        let named = |problem| unsupported(format!("its operator {number} {problem}"));
        builder.add_operator(number, operator).map_err(named)?;
    }
    let outputs = builder.find_outputs(input_shape).map_err(unsupported)?;
    let graph = Graph { input: input_shape, nodes: builder.nodes, outputs };
    graph.check().map_err(|error| unsupported(error.to_string()))?;
    Ok((graph, builder.weights))
}

struct GraphBuilder<'a> {
    model: &'a Model<'a>,
    /// Graph value of each tensor.
    values: HashMap<usize, usize>,
    /// For each output of DEQUANTIZE the tensor with the stored data.
    constants: HashMap<usize, usize>,
    nodes: Vec<Node>,
    weights: Vec<WeightTensor>,
    weight_bytes: usize,
}

/// Height, width and channels of a tensor with batch size 1.
fn map_shape(model: &Model, tensor: usize) -> Result<[usize; 3], String> {
    match model.tensor(tensor).map(|tensor| tensor.shape.as_slice()) {
        Some(&[1, height, width, channels]) => Ok([height, width, channels]),
        Some(&[1, channels]) => Ok([1, 1, channels]),
        other => Err(format!("has a value of the shape {other:?}")),
    }
}

fn activation(from: tflite::Activation) -> Activation {
    match from {
        tflite::Activation::None => Activation::None,
        tflite::Activation::Relu => Activation::Relu,
        tflite::Activation::Relu6 => Activation::Relu6,
    }
}

impl<'a> GraphBuilder<'a> {
    fn add_operator(&mut self, number: usize, operator: &tflite::Operator) -> Result<(), String> {
        let tensors: Vec<usize> = operator.inputs.iter().flatten().copied().collect();
        let [output] = operator.outputs[..] else {
            return Err(format!("has {} outputs", operator.outputs.len()));
        };
        let first = *tensors.first().ok_or("has no input")?;
        if operator.kind == Kind::Dequantize {
            self.constants.insert(output, first);
            return Ok(());
        }
        let shape = map_shape(self.model, output)?;
        let mut inputs = vec![self.value(first)?];
        let op = match operator.kind {
            Kind::Dequantize => return Ok(()),
            Kind::Conv2d { stride, padding, activation: from } => {
                let (window, activation) = (self.window(&tensors, stride, padding)?, activation(from));
                Op::Conv { window, activation }
            }
            Kind::DepthwiseConv2d { multiplier: 1, stride, padding, activation: from } => {
                let (window, activation) = (self.window(&tensors, stride, padding)?, activation(from));
                Op::Depthwise { window, activation }
            }
            Kind::Add { activation: from } => {
                inputs.push(self.value(*tensors.get(1).ok_or("has one input")?)?);
                Op::Add { activation: activation(from) }
            }
            Kind::Pad => self.pad_op(&tensors)?,
            Kind::MaxPool2d {
                size: [2, 2], stride: [2, 2], activation: tflite::Activation::None, ..
            } => Op::MaxPool,
            Kind::ResizeBilinear { align_corners: false, half_pixel_centers: true } => Op::Resize,
            Kind::Logistic => Op::Logistic,
            Kind::Reshape => Op::Reshape,
            other => return Err(format!("is {other:?}, which BlazePose does not use")),
        };
        let node = Node { number, op, inputs, shape };
        if matches!(op, Op::Conv { .. } | Op::Depthwise { .. }) {
            self.add_weights(&node, &tensors)?;
        }
        self.nodes.push(node);
        self.values.insert(output, self.nodes.len());
        Ok(())
    }

    fn value(&self, tensor: usize) -> Result<usize, String> {
        self.values
            .get(&tensor)
            .copied()
            .ok_or_else(|| format!("reads tensor {tensor}, which nothing computes"))
    }

    /// The tensor with the data of an operator's constant input.
    fn constant(&self, tensors: &[usize], input: usize) -> Result<&'a tflite::Tensor<'a>, String> {
        let tensor = *tensors.get(input).ok_or_else(|| format!("lacks input {input}"))?;
        let tensor = self.constants.get(&tensor).copied().unwrap_or(tensor);
        let found = self.model.tensor(tensor).filter(|found| !found.data.is_empty());
        found.ok_or_else(|| format!("lacks the data of tensor {tensor}"))
    }

    fn window(&self, tensors: &[usize], stride: [usize; 2], padding: Padding) -> Result<Window, String> {
        let shape = &self.constant(tensors, 1)?.shape;
        let &[_, rows, columns, _] = shape.as_slice() else {
            return Err(format!("has weights of the shape {shape:?}"));
        };
        let kernel = [rows, columns];
        let [height, width, _] = map_shape(self.model, tensors[0])?;
        let pads = match padding {
            Padding::Same => conv::Padding::same([height, width], kernel, stride),
            Padding::Valid => conv::Padding::default(),
        };
        Ok(Window { kernel, stride, pads: [pads.top, pads.left, pads.bottom, pads.right] })
    }

    /// Converts PAD; its constant input is `(4, 2)` i32: zeros before and after each axis.
    fn pad_op(&self, tensors: &[usize]) -> Result<Op, String> {
        let found = self.constant(tensors, 1)?;
        if found.dtype != DType::I32 || found.shape != [4, 2] {
            return Err(format!("pads by {:?} of the shape {:?}", found.dtype, found.shape));
        }
        let mut pads = [0; 8];
        for (pad, bytes) in pads.iter_mut().zip(found.data.as_chunks::<4>().0) {
            let number = i32::from_le_bytes(*bytes);
            *pad = usize::try_from(number).map_err(|_| format!("pads by {number}"))?;
        }
        match pads {
            [0, 0, top, bottom, left, right, 0, channels] => {
                Ok(Op::Pad { pads: [top, left, bottom, right], channels })
            }
            _ => Err(format!("pads by {pads:?}")),
        }
    }

    fn add_weights(&mut self, node: &Node, tensors: &[usize]) -> Result<(), String> {
        let channels = map_shape(self.model, tensors[0])?[2];
        let shape = node.weight_shape(channels).map(Vec::from).unwrap_or_default();
        for (input, what, shape) in [(1, "weight", shape), (2, "bias", vec![node.shape[2]])] {
            let found = self.constant(tensors, input)?;
            if found.shape != shape {
                return Err(format!("has a {what} of the shape {:?} instead of {shape:?}", found.shape));
            }
            check_finite(found)?;
            self.weight_bytes = self.weight_bytes.saturating_add(found.data.len());
            if self.weight_bytes > MAX_WEIGHT_BYTES {
                return Err(format!("brings the weights to {} bytes", self.weight_bytes));
            }
            let weights = WeightTensor {
                name: format!("{}.{what}", node.name()),
                shape,
                is_half: found.dtype == DType::F16,
                bytes: found.data.to_vec(),
            };
            self.weights.push(weights);
        }
        Ok(())
    }

    /// Identifies the outputs by their shapes.
    fn find_outputs(&self, [height, width, _]: [usize; 3]) -> Result<Outputs, String> {
        let find = |what: &str, shape: [usize; 3]| {
            let has_shape = |&&tensor: &&usize| map_shape(self.model, tensor) == Ok(shape);
            let mut matching = self.model.outputs.iter().filter(has_shape);
            match (matching.next(), matching.next()) {
                (Some(&tensor), None) => self.value(tensor),
                (None, _) => Err(format!("it has no output of the shape {shape:?} ({what})")),
                _ => Err(format!("it has several outputs of the shape {shape:?} ({what})")),
            }
        };
        Ok(Outputs {
            landmarks: find("landmarks", [1, 1, LANDMARK_VALUES])?,
            presence: find("presence", [1, 1, 1])?,
            segmentation: find("segmentation", [height, width, 1])?,
            heatmap: find("heatmap", [height / 4, width / 4, HEATMAP_SHAPE[2]])?,
            world: find("world", [1, 1, WORLD_VALUES])?,
        })
    }
}

/// Returns an error if a tensor has a value that is not finite.
fn check_finite(tensor: &tflite::Tensor) -> Result<(), String> {
    let not_finite = match tensor.dtype {
        DType::F16 => {
            tensor.data.as_chunks().0.iter().position(|bytes| !f16::from_le_bytes(*bytes).is_finite())
        }
        DType::F32 => {
            tensor.data.as_chunks().0.iter().position(|bytes| !f32::from_le_bytes(*bytes).is_finite())
        }
        DType::I32 => return Err(format!("has weights ({}) of type i32", tensor.name)),
    };
    match not_finite {
        Some(index) => Err(format!("has weights ({}) whose value {index} is not finite", tensor.name)),
        None => Ok(()),
    }
}
