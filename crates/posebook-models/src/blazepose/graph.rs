//! The graph of a network: operators in execution order with their output shapes. Serialized as JSON in the weights file.
//!
//! Independent of the file format that the graph was converted from and of the backend that executes it.

use super::BlazePoseError;
use crate::conv::{Clamp, Padding, Shape, output_size};
use serde::{Deserialize, Serialize};

// limits on untrusted files, several times the values of BlazePose heavy
const MAX_NODES: usize = 4096;
/// Maximum size of one feature map or of one operator's weights.
const MAX_VALUES: usize = 1 << 26;
const MAX_LENGTH: usize = 1 << 14;

/// A network without its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Graph {
    /// Height, width and channels of the input, value 0.
    pub input: [usize; 3],
    /// Node `n` computes value `n + 1`.
    pub nodes: Vec<Node>,
    /// Which values are the outputs.
    pub outputs: Outputs,
}

/// Indices of the values that are a pose network's outputs; see [`super::Output`] for their contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outputs {
    /// 39 points with visibility and presence.
    pub landmarks: usize,
    /// Person probability.
    pub presence: usize,
    /// Segmentation logits.
    pub segmentation: usize,
    /// Heatmap logits.
    pub heatmap: usize,
    /// 39 world points.
    pub world: usize,
}

/// An operator of the graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// The operator's index in the tflite file; names of weights start with it.
    pub number: usize,
    /// The operation.
    pub op: Op,
    /// Input values; each is the network's input or computed by an earlier node.
    pub inputs: Vec<usize>,
    /// Height, width and channels of the output.
    pub shape: [usize; 3],
}

/// A convolution's kernel size, stride and zero padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    /// Vertical and horizontal stride.
    pub stride: [usize; 2],
    /// Zero padding: top, left, bottom, right.
    pub pads: [usize; 4],
}

/// The operation of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Op {
    /// Weights `(channels out, kernel rows, kernel columns, channels in)` and a bias.
    Conv {
        /// Kernel, stride, padding.
        window: Window,
        /// Applied to the output.
        activation: Activation,
    },
    /// Weights `(1, kernel rows, kernel columns, channels)` and a bias.
    Depthwise {
        /// Kernel, stride, padding.
        window: Window,
        /// Applied to the output.
        activation: Activation,
    },
    /// The sum of two values.
    Add {
        /// Applied to the output.
        activation: Activation,
    },
    /// Zero padding of rows and columns, and of channels at the end.
    Pad {
        /// Top, left, bottom, right.
        pads: [usize; 4],
        /// Number of zero channels that are appended.
        channels: usize,
    },
    /// 2 x 2 max pooling, stride 2.
    MaxPool,
    /// 2x bilinear upsampling, half-pixel centers.
    Resize,
    /// `1 / (1 + exp(-x))`.
    Logistic,
    /// Flattens to `(1, 1, channels)`.
    Reshape,
}

/// Activation function of a node's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// Identity.
    None,
    /// `max(0, x)`.
    Relu,
    /// `min(6, max(0, x))`.
    Relu6,
}

impl Activation {
    /// The activation as limits of the output.
    pub(super) fn clamp(self) -> Clamp {
        match self {
            Activation::None => Clamp::NONE,
            Activation::Relu => Clamp::RELU,
            Activation::Relu6 => Clamp::RELU6,
        }
    }
}

/// Converts the stored padding to that of `conv`.
pub fn to_pads([top, left, bottom, right]: [usize; 4]) -> Padding {
    Padding { top, left, bottom, right }
}

/// Converts a stored shape to that of `conv`.
pub fn to_shape([height, width, channels]: [usize; 3]) -> Shape {
    Shape { height, width, channels }
}

impl Op {
    /// The operator's name in tflite files, lower case.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Conv { .. } => "conv_2d",
            Op::Depthwise { .. } => "depthwise_conv_2d",
            Op::Add { .. } => "add",
            Op::Pad { .. } => "pad",
            Op::MaxPool => "max_pool_2d",
            Op::Resize => "resize_bilinear",
            Op::Logistic => "logistic",
            Op::Reshape => "reshape",
        }
    }
}

impl Node {
    /// `opNNN_kind`: the zero-padded number, then [`Op::name`].
    pub fn name(&self) -> String {
        format!("op{:03}_{}", self.number, self.op.name())
    }

    /// The shape of the node's weights, if it has weights; the bias has one value per output channel.
    pub fn weight_shape(&self, input_channels: usize) -> Option<[usize; 4]> {
        match self.op {
            Op::Conv { window, .. } => {
                Some([self.shape[2], window.kernel[0], window.kernel[1], input_channels])
            }
            Op::Depthwise { window, .. } => Some([1, window.kernel[0], window.kernel[1], self.shape[2]]),
            _ => None,
        }
    }

    /// The output shape that follows from the input shapes; the channels of a regular convolution are taken from the node.
    fn output_shape(&self, inputs: &[[usize; 3]]) -> Result<[usize; 3], String> {
        let [height, width, channels] = *inputs.first().ok_or("has no input")?;
        let windowed_shape = |window: &Window, channels: usize| {
            let lengths = [window.kernel, window.stride].concat();
            if lengths.iter().any(|length| !(1..=MAX_LENGTH).contains(length)) {
                return Err(format!("has the window {window:?}"));
            }
            check_pads(&window.pads)?;
            let [rows, columns] =
                output_size(to_shape(inputs[0]), to_pads(window.pads), window.kernel, window.stride)
                    .ok_or_else(|| format!("has the window {window:?}, larger than its input"))?;
            Ok([rows, columns, channels])
        };
        Ok(match &self.op {
            Op::Conv { window, .. } => windowed_shape(window, self.shape[2])?,
            Op::Depthwise { window, .. } => windowed_shape(window, channels)?,
            Op::Add { .. } => match inputs {
                [a, b] if a == b => *a,
                _ => return Err(format!("adds values of the shapes {inputs:?}")),
            },
            Op::Pad { pads, channels: more } => {
                check_pads(pads)?;
                check_pads(&[*more; 4])?;
                [height + pads[0] + pads[2], width + pads[1] + pads[3], channels + more]
            }
            Op::MaxPool if height % 2 == 0 && width % 2 == 0 => [height / 2, width / 2, channels],
            Op::MaxPool => return Err(format!("halves {height} rows and {width} columns")),
            Op::Resize => [2 * height, 2 * width, channels],
            Op::Logistic => [height, width, channels],
            Op::Reshape => [1, 1, height * width * channels],
        })
    }
}

fn check_pads(pads: &[usize; 4]) -> Result<(), String> {
    match pads.iter().all(|&pad| pad <= MAX_LENGTH) {
        true => Ok(()),
        false => Err(format!("is padded by {pads:?}")),
    }
}

impl Graph {
    /// The shape of a value.
    pub fn value_shape(&self, value: usize) -> [usize; 3] {
        match value.checked_sub(1).and_then(|node| self.nodes.get(node)) {
            Some(node) => node.shape,
            None => self.input,
        }
    }

    /// The channels of a node's first input.
    pub fn input_channels(&self, node: &Node) -> usize {
        node.inputs.first().map_or(0, |&value| self.value_shape(value)[2])
    }

    /// Indices of the output values, in the order of [`Outputs`].
    pub fn output_values(&self) -> [usize; 5] {
        let Outputs { landmarks, presence, segmentation, heatmap, world } = self.outputs;
        [landmarks, presence, segmentation, heatmap, world]
    }

    /// Total number of weights and biases.
    pub fn parameter_count(&self) -> usize {
        let count = |node: &Node| match node.weight_shape(self.input_channels(node)) {
            Some(weights) => weights.iter().product::<usize>() + node.shape[2],
            None => 0,
        };
        self.nodes.iter().map(count).sum()
    }

    /// Validates the graph: nodes read earlier values only, and their shapes are consistent.
    ///
    /// # Errors
    /// [`BlazePoseError::InvalidGraph`] with the first invalid node.
    pub fn check(&self) -> Result<(), BlazePoseError> {
        let invalid = |problem: String| BlazePoseError::InvalidGraph { problem };
        if self.nodes.len() > MAX_NODES {
            return Err(invalid(format!("it has {} nodes, more than {MAX_NODES}", self.nodes.len())));
        }
        check_size(&self.input).map_err(|problem| invalid(format!("its input {problem}")))?;
        for (index, node) in self.nodes.iter().enumerate() {
            self.check_node(index, node).map_err(|problem| invalid(format!("{} {problem}", node.name())))?;
        }
        match self.output_values().iter().find(|&&value| value > self.nodes.len()) {
            Some(value) => Err(invalid(format!("its output is value {value} of {}", self.nodes.len() + 1))),
            None => Ok(()),
        }
    }

    fn check_node(&self, index: usize, node: &Node) -> Result<(), String> {
        check_size(&node.shape)?;
        if let Some(later) = node.inputs.iter().find(|&&value| value > index) {
            return Err(format!("is computed from value {later}, which comes later"));
        }
        let expected_inputs = if matches!(node.op, Op::Add { .. }) { 2 } else { 1 };
        if node.inputs.len() != expected_inputs {
            return Err(format!("has {} inputs instead of {expected_inputs}", node.inputs.len()));
        }
        let inputs: Vec<[usize; 3]> = node.inputs.iter().map(|&value| self.value_shape(value)).collect();
        let expected = node.output_shape(&inputs)?;
        if expected != node.shape {
            return Err(format!("gives {expected:?}, not {:?}", node.shape));
        }
        match node.weight_shape(inputs[0][2]) {
            Some(weights) => check_size(&weights),
            None => Ok(()),
        }
    }
}

/// Rejects empty and very large shapes.
fn check_size(lengths: &[usize]) -> Result<(), String> {
    let len = lengths.iter().try_fold(1usize, |product, &length| product.checked_mul(length));
    match len.is_some_and(|len| (1..=MAX_VALUES).contains(&len)) {
        true => Ok(()),
        false => Err(format!("has the shape {lengths:?}")),
    }
}
