//! The graph of a network: operators in the order in which they are computed, with the shapes that they give.
//!
//! Must not know how operators are computed, nor from which file the graph came.

use super::BlazePoseError;
use crate::nn::conv::{Clamp, Pads, Shape, output_size};
use serde::{Deserialize, Serialize};

/// Most nodes of a graph, and most numbers of one feature map or of one operator's weights: several times those of
/// BlazePose heavy.
const MOST_NODES: usize = 4096;
const MOST_NUMBERS: usize = 1 << 26;
const MOST_LENGTH: usize = 1 << 14;

/// A network without its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Graph {
    /// Height, width and channels of the input, value 0.
    pub input: [usize; 3],
    /// Node `n` makes value `n + 1`.
    pub nodes: Vec<Node>,
    pub outputs: Outputs,
}

/// The values that are a pose network's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outputs {
    pub landmarks: usize,
    pub presence: usize,
    pub segmentation: usize,
    pub heatmap: usize,
    pub world: usize,
}

/// An operator of the graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// The operator's number in the file that it comes from; names of weights start with it.
    pub number: usize,
    pub op: Op,
    /// Values that it is computed from; all of earlier nodes.
    pub inputs: Vec<usize>,
    /// Height, width and channels of its result.
    pub shape: [usize; 3],
}

/// A convolution's kernel, stride and the zeros around its input (top, left, bottom, right).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub pads: [usize; 4],
}

/// What a node computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Op {
    /// Weights `(channels out, kernel rows, kernel columns, channels in)` and a bias.
    Conv { window: Window, activation: Activation },
    /// Weights `(1, kernel rows, kernel columns, channels)` and a bias.
    Depthwise { window: Window, activation: Activation },
    /// The sum of two values.
    Add { activation: Activation },
    /// Zeros around (top, left, bottom, right), and channels of zeros after the last.
    Pad { pads: [usize; 4], channels: usize },
    /// The largest of 2 x 2 values.
    MaxPool,
    /// Twice the height and width, linear, half-pixel centers.
    Resize,
    /// `1 / (1 + exp(-x))`.
    Logistic,
    /// The same values as one row of channels.
    Reshape,
}

/// A function applied to a node's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    None,
    Relu,
    Relu6,
}

impl Activation {
    pub fn clamp(self) -> Clamp {
        match self {
            Activation::None => Clamp::NONE,
            Activation::Relu => Clamp::RELU,
            Activation::Relu6 => Clamp::RELU6,
        }
    }
}

/// Zeros around a map from how they are stored.
pub fn pads([top, left, bottom, right]: [usize; 4]) -> Pads {
    Pads { top, left, bottom, right }
}

/// A map's shape from how it is stored.
pub fn shape([height, width, channels]: [usize; 3]) -> Shape {
    Shape { height, width, channels }
}

impl Op {
    /// The name of the operator's kind in tflite files, in small letters.
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
    /// `opNNN_kind`: the number of three digits, then the kind.
    pub fn name(&self) -> String {
        format!("op{:03}_{}", self.number, self.op.name())
    }

    /// The shape of the node's weights where it has some; its bias has as many numbers as the result channels.
    pub fn weights(&self, input_channels: usize) -> Option<[usize; 4]> {
        match self.op {
            Op::Conv { window, .. } => {
                Some([self.shape[2], window.kernel[0], window.kernel[1], input_channels])
            }
            Op::Depthwise { window, .. } => Some([1, window.kernel[0], window.kernel[1], self.shape[2]]),
            _ => None,
        }
    }

    /// The shape that the operator gives, except that a convolution's channels are its weights'.
    fn expected(&self, inputs: &[[usize; 3]]) -> Result<[usize; 3], String> {
        let [height, width, channels] = *inputs.first().ok_or("has no input")?;
        let windowed = |window: &Window, channels: usize| {
            let lengths = [window.kernel, window.stride].concat();
            if lengths.iter().any(|length| !(1..=MOST_LENGTH).contains(length)) {
                return Err(format!("has the window {window:?}"));
            }
            check_pads(&window.pads)?;
            let [rows, columns] =
                output_size(shape(inputs[0]), pads(window.pads), window.kernel, window.stride)
                    .ok_or_else(|| format!("has the window {window:?}, larger than its input"))?;
            Ok([rows, columns, channels])
        };
        Ok(match &self.op {
            Op::Conv { window, .. } => windowed(window, self.shape[2])?,
            Op::Depthwise { window, .. } => windowed(window, channels)?,
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
    match pads.iter().all(|&pad| pad <= MOST_LENGTH) {
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

    /// The outputs' values, in the order of [`Outputs`].
    pub fn output_values(&self) -> [usize; 5] {
        let of = self.outputs;
        [of.landmarks, of.presence, of.segmentation, of.heatmap, of.world]
    }

    /// How many numbers all weights and biases have.
    pub fn parameters(&self) -> usize {
        let of = |node: &Node| match node.weights(self.input_channels(node)) {
            Some(weights) => weights.iter().product::<usize>() + node.shape[2],
            None => 0,
        };
        self.nodes.iter().map(of).sum()
    }

    /// Whether every node follows from earlier values and has the shape that it says.
    ///
    /// # Errors
    /// Names the first node that does not.
    pub fn check(&self) -> Result<(), BlazePoseError> {
        let wrong = |problem: String| BlazePoseError::Graph { problem };
        if self.nodes.len() > MOST_NODES {
            return Err(wrong(format!("it has {} nodes, more than {MOST_NODES}", self.nodes.len())));
        }
        check_size(&self.input).map_err(|problem| wrong(format!("its input {problem}")))?;
        for (index, node) in self.nodes.iter().enumerate() {
            self.check_node(index, node).map_err(|problem| wrong(format!("{} {problem}", node.name())))?;
        }
        match self.output_values().iter().find(|&&value| value > self.nodes.len()) {
            Some(value) => Err(wrong(format!("its output is value {value} of {}", self.nodes.len() + 1))),
            None => Ok(()),
        }
    }

    fn check_node(&self, index: usize, node: &Node) -> Result<(), String> {
        check_size(&node.shape)?;
        if let Some(later) = node.inputs.iter().find(|&&value| value > index) {
            return Err(format!("is computed from value {later}, which comes later"));
        }
        let wanted = if matches!(node.op, Op::Add { .. }) { 2 } else { 1 };
        if node.inputs.len() != wanted {
            return Err(format!("has {} inputs instead of {wanted}", node.inputs.len()));
        }
        let inputs: Vec<[usize; 3]> = node.inputs.iter().map(|&value| self.value_shape(value)).collect();
        let expected = node.expected(&inputs)?;
        if expected != node.shape {
            return Err(format!("gives {expected:?}, not {:?}", node.shape));
        }
        match node.weights(inputs[0][2]) {
            Some(weights) => check_size(&weights),
            None => Ok(()),
        }
    }
}

/// Whether a shape has numbers, and not absurdly many.
fn check_size(lengths: &[usize]) -> Result<(), String> {
    let numbers = lengths.iter().try_fold(1usize, |product, &length| product.checked_mul(length));
    match numbers.is_some_and(|numbers| (1..=MOST_NUMBERS).contains(&numbers)) {
        true => Ok(()),
        false => Err(format!("has the shape {lengths:?}")),
    }
}
