//! The network through candle's tensors, for graphics cards: any number of crops at once, channels first (NCHW).
//!
//! Depthwise convolutions are sums of shifted maps times one weight per channel, because candle runs a convolution of
//! many groups group by group. On the CPU this is slower than our own kernels, and serves to test both.
//! Must not know pictures nor people.

use super::BlazePoseError;
use super::graph::{Activation, Graph, Node, Op, Window};
use super::store::Source;
use candle_core::{DType, Device, Result, Tensor};
use std::collections::HashMap;

/// A network with its weights on a device.
pub struct TensorNetwork {
    graph: Graph,
    device: Device,
    dtype: DType,
    /// Of each node: weights and bias.
    weights: HashMap<usize, [Tensor; 2]>,
    /// Of each value, the last node that reads it.
    last_reader: Vec<usize>,
}

/// The five outputs of a batch, in f32 on the host, crop after crop.
pub struct BatchOutput {
    pub landmarks: Vec<f32>,
    pub presence: Vec<f32>,
    pub segmentation: Vec<f32>,
    pub heatmap: Vec<f32>,
    pub world: Vec<f32>,
}

impl TensorNetwork {
    /// Reads the weights of a checked graph onto a device.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape, if a number is not finite, or if the device refuses.
    pub fn load(
        graph: &Graph,
        source: &mut impl Source,
        device: &Device,
        dtype: DType,
    ) -> std::result::Result<TensorNetwork, BlazePoseError> {
        let mut weights = HashMap::new();
        for (index, node) in graph.nodes.iter().enumerate() {
            let Some(shape) = node.weights(graph.input_channels(node)) else { continue };
            let numbers = source.numbers(&format!("{}.weight", node.name()), &shape)?;
            let bias = source.numbers(&format!("{}.bias", node.name()), &node.shape[2..])?;
            let kernel = Tensor::from_vec(numbers, &shape, &Device::Cpu)?;
            // (out, in, rows, columns) of a regular convolution, (1, channels, rows, columns) of a depthwise one
            let kernel = kernel.permute((0, 3, 1, 2))?.contiguous()?;
            let bias = Tensor::from_vec(bias, (1, node.shape[2], 1, 1), &Device::Cpu)?;
            let moved = |tensor: Tensor| tensor.to_device(device)?.to_dtype(dtype);
            weights.insert(index, [moved(kernel)?, moved(bias)?]);
        }
        let mut last_reader = vec![0; graph.nodes.len() + 1];
        for (index, node) in graph.nodes.iter().enumerate() {
            node.inputs.iter().for_each(|&value| last_reader[value] = index);
        }
        graph.output_values().iter().for_each(|&value| last_reader[value] = graph.nodes.len());
        Ok(TensorNetwork { graph: graph.clone(), device: device.clone(), dtype, weights, last_reader })
    }

    /// Computes `crops`: inputs one after the other.
    ///
    /// # Shapes
    /// `inputs` `(crops, height, width, channels)` as the graph says.
    ///
    /// # Errors
    /// If the device fails, or if the numbers are not those of so many crops.
    pub fn run(&self, inputs: Vec<f32>, crops: usize) -> Result<BatchOutput> {
        let [height, width, channels] = self.graph.input;
        let input = Tensor::from_vec(inputs, (crops, height, width, channels), &Device::Cpu)?;
        let input =
            input.to_device(&self.device)?.to_dtype(self.dtype)?.permute((0, 3, 1, 2))?.contiguous()?;
        let mut values: Vec<Option<Tensor>> = vec![None; self.graph.nodes.len() + 1];
        values[0] = Some(input);
        for (index, node) in self.graph.nodes.iter().enumerate() {
            let result = {
                let inputs: Vec<&Tensor> = node.inputs.iter().filter_map(|&at| values[at].as_ref()).collect();
                self.compute(index, node, &inputs)?
            };
            values[index + 1] = Some(result);
            for &value in node.inputs.iter().filter(|&&value| self.last_reader[value] == index) {
                values[value] = None;
            }
        }
        let numbers = |value: usize| -> Result<Vec<f32>> {
            let Some(tensor) = &values[value] else { candle_core::bail!("value {value} was not computed") };
            let tensor = tensor.permute((0, 2, 3, 1))?.to_dtype(DType::F32)?.contiguous()?;
            tensor.flatten_all()?.to_vec1()
        };
        let of = self.graph.outputs;
        Ok(BatchOutput {
            landmarks: numbers(of.landmarks)?,
            presence: numbers(of.presence)?,
            segmentation: numbers(of.segmentation)?,
            heatmap: numbers(of.heatmap)?,
            world: numbers(of.world)?,
        })
    }

    fn compute(&self, index: usize, node: &Node, inputs: &[&Tensor]) -> Result<Tensor> {
        let Some(&input) = inputs.first() else { candle_core::bail!("{} lost its input", node.name()) };
        match (&node.op, self.weights.get(&index)) {
            (Op::Conv { window, activation }, Some([kernel, bias])) => {
                let [rows, columns] = window.stride;
                if rows != columns {
                    candle_core::bail!("{} has the stride {rows} by {columns}", node.name());
                }
                let sums = surrounded(input, window.pads)?.conv2d(kernel, 0, rows, 1, 1)?;
                activated(sums.broadcast_add(bias)?, *activation)
            }
            (Op::Depthwise { window, activation }, Some([kernel, bias])) => {
                activated(depthwise(input, kernel, window)?.broadcast_add(bias)?, *activation)
            }
            (Op::Add { activation }, _) => {
                let Some(&second) = inputs.get(1) else {
                    candle_core::bail!("{} lost an input", node.name())
                };
                activated((input + second)?, *activation)
            }
            (Op::Pad { pads, channels }, _) => surrounded(input, *pads)?.pad_with_zeros(1, 0, *channels),
            (Op::MaxPool, _) => input.max_pool2d(2),
            (Op::Resize, _) => enlarged(&enlarged(input, 2)?, 3),
            (Op::Logistic, _) => (input.neg()?.exp()? + 1.0)?.recip(),
            (Op::Reshape, _) => {
                let (crops, numbers) = (input.dim(0)?, node.shape[2]);
                // channels are innermost in the order that is kept
                input.permute((0, 2, 3, 1))?.contiguous()?.reshape((crops, numbers, 1, 1))
            }
            _ => candle_core::bail!("{} lost its weights", node.name()),
        }
    }
}

fn activated(values: Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        Activation::None => Ok(values),
        Activation::Relu => values.relu(),
        Activation::Relu6 => values.clamp(0f32, 6f32),
    }
}

/// Zeros around a map: top, left, bottom, right.
fn surrounded(map: &Tensor, [top, left, bottom, right]: [usize; 4]) -> Result<Tensor> {
    map.pad_with_zeros(2, top, bottom)?.pad_with_zeros(3, left, right)
}

/// A depthwise convolution as a sum over the kernel's weights.
///
/// # Shapes
/// `map` `(crops, channels, height, width)`, `kernel` `(1, channels, rows, columns)`.
fn depthwise(map: &Tensor, kernel: &Tensor, window: &Window) -> Result<Tensor> {
    let [rows, columns] = window.stride;
    let [_, _, height, width]: [usize; 4] = surrounded_size(map, window)?;
    let [out_height, out_width] =
        [(height - window.kernel[0]) / rows + 1, (width - window.kernel[1]) / columns + 1];
    // so many rows and columns that every phase of the stride is whole
    let map = surrounded(map, window.pads)?;
    let (below, right) = ((rows - height % rows) % rows, (columns - width % columns) % columns);
    let map = surrounded(&map, [0, 0, below, right])?;
    let (crops, channels, height, width) = map.dims4()?;
    let phases = map.reshape(&[crops, channels, height / rows, rows, width / columns, columns][..])?;
    let mut sum: Option<Tensor> = None;
    for (ky, kx) in (0..window.kernel[0]).flat_map(|ky| (0..window.kernel[1]).map(move |kx| (ky, kx))) {
        let phase = phases.narrow(5, kx % columns, 1)?.squeeze(5)?.narrow(3, ky % rows, 1)?.squeeze(3)?;
        let part = phase.narrow(2, ky / rows, out_height)?.narrow(3, kx / columns, out_width)?;
        let part = part.broadcast_mul(&kernel.narrow(2, ky, 1)?.narrow(3, kx, 1)?)?;
        sum = Some(match sum {
            Some(sum) => (sum + part)?,
            None => part,
        });
    }
    sum.ok_or_else(|| candle_core::Error::Msg("a depthwise convolution has no weights".into()))
}

fn surrounded_size(map: &Tensor, window: &Window) -> Result<[usize; 4]> {
    let (crops, channels, height, width) = map.dims4()?;
    let [top, left, bottom, right] = window.pads;
    Ok([crops, channels, height + top + bottom, width + left + right])
}

/// A map of twice the length along an axis: a quarter of the way from the old pixels to their neighbors, the last ones
/// repeated.
fn enlarged(map: &Tensor, axis: usize) -> Result<Tensor> {
    let len = map.dim(axis)?;
    let before = Tensor::cat(&[&map.narrow(axis, 0, 1)?, &map.narrow(axis, 0, len - 1)?], axis);
    let after = Tensor::cat(&[&map.narrow(axis, 1, len - 1)?, &map.narrow(axis, len - 1, 1)?], axis);
    let (before, after) = match len {
        1 => (map.clone(), map.clone()),
        _ => (before?, after?),
    };
    let near = (map * 0.75)?;
    let pair = Tensor::stack(&[(&near + (before * 0.25)?)?, (near + (after * 0.25)?)?], axis + 1)?;
    let mut shape = map.dims().to_vec();
    shape[axis] *= 2;
    pair.reshape(shape)
}
