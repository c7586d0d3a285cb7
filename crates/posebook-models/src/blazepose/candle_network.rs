//! Executes the network with candle, for GPUs: batches of crops, channels first (NCHW).
//!
//! A depthwise convolution is computed as a sum of shifted maps times one weight per channel, because candle executes
//! grouped convolutions one group at a time. On the CPU this is slower than our own kernels; tests compare both.

use super::BlazePoseError;
use super::graph::{Activation, Graph, Node, Op, Window};
use super::store::WeightSource;
use candle_core::{DType, Device, Result, Tensor};
use std::collections::HashMap;

/// A network with its weights on a device.
pub struct CandleNetwork {
    graph: Graph,
    device: Device,
    dtype: DType,
    /// Weights and bias of each node that has them, by node index.
    weights: HashMap<usize, [Tensor; 2]>,
    /// For each value the last node that reads it.
    last_reader: Vec<usize>,
}

/// The five outputs of a batch in f32 in host memory, crop after crop; shapes as in [`super::Output`].
pub struct BatchOutput {
    pub landmarks: Vec<f32>,
    pub presence: Vec<f32>,
    pub segmentation: Vec<f32>,
    pub heatmap: Vec<f32>,
    pub world: Vec<f32>,
}

impl CandleNetwork {
    /// Loads the weights of a checked graph to a device.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape, if a value is not finite, or if the device fails.
    pub fn load(
        graph: &Graph,
        source: &mut impl WeightSource,
        device: &Device,
        dtype: DType,
    ) -> std::result::Result<CandleNetwork, BlazePoseError> {
        let mut weights = HashMap::new();
        for (index, node) in graph.nodes.iter().enumerate() {
            let Some(shape) = node.weight_shape(graph.input_channels(node)) else { continue };
            let numbers = source.read_tensor(&format!("{}.weight", node.name()), &shape)?;
            let bias = source.read_tensor(&format!("{}.bias", node.name()), &node.shape[2..])?;
            let kernel = Tensor::from_vec(numbers, &shape, &Device::Cpu)?;
            // (out, in, rows, columns) of a regular convolution, (1, channels, rows, columns) of a depthwise one
            let kernel = kernel.permute((0, 3, 1, 2))?.contiguous()?;
            let bias = Tensor::from_vec(bias, (1, node.shape[2], 1, 1), &Device::Cpu)?;
            let to_device = |tensor: Tensor| tensor.to_device(device)?.to_dtype(dtype);
            weights.insert(index, [to_device(kernel)?, to_device(bias)?]);
        }
        let mut last_reader = vec![0; graph.nodes.len() + 1];
        for (index, node) in graph.nodes.iter().enumerate() {
            node.inputs.iter().for_each(|&value| last_reader[value] = index);
        }
        graph.output_values().iter().for_each(|&value| last_reader[value] = graph.nodes.len());
        Ok(CandleNetwork { graph: graph.clone(), device: device.clone(), dtype, weights, last_reader })
    }

    /// Runs a batch of `crops` crops.
    ///
    /// # Shapes
    /// `inputs` `(crops, height, width, channels)` as in [`Graph::input`].
    ///
    /// # Errors
    /// If the device fails, or if `inputs` has another length.
    pub fn run(&self, inputs: Vec<f32>, crops: usize) -> Result<BatchOutput> {
        let [height, width, channels] = self.graph.input;
        let input = Tensor::from_vec(inputs, (crops, height, width, channels), &Device::Cpu)?;
        let input =
            input.to_device(&self.device)?.to_dtype(self.dtype)?.permute((0, 3, 1, 2))?.contiguous()?;
        let mut values: Vec<Option<Tensor>> = vec![None; self.graph.nodes.len() + 1];
        values[0] = Some(input);
        for (index, node) in self.graph.nodes.iter().enumerate() {
            let result = {
                let inputs: Vec<&Tensor> =
                    node.inputs.iter().filter_map(|&value| values[value].as_ref()).collect();
                self.compute(index, node, &inputs)?
            };
            values[index + 1] = Some(result);
            for &value in node.inputs.iter().filter(|&&value| self.last_reader[value] == index) {
                values[value] = None;
            }
        }
        let to_host = |value: usize| -> Result<Vec<f32>> {
            let Some(tensor) = &values[value] else { candle_core::bail!("value {value} was not computed") };
            let tensor = tensor.permute((0, 2, 3, 1))?.to_dtype(DType::F32)?.contiguous()?;
            tensor.flatten_all()?.to_vec1()
        };
        let outputs = self.graph.outputs;
        Ok(BatchOutput {
            landmarks: to_host(outputs.landmarks)?,
            presence: to_host(outputs.presence)?,
            segmentation: to_host(outputs.segmentation)?,
            heatmap: to_host(outputs.heatmap)?,
            world: to_host(outputs.world)?,
        })
    }

    fn compute(&self, index: usize, node: &Node, inputs: &[&Tensor]) -> Result<Tensor> {
        let Some(&input) = inputs.first() else { candle_core::bail!("{} has no input", node.name()) };
        match (&node.op, self.weights.get(&index)) {
            (Op::Conv { window, activation }, Some([kernel, bias])) => {
                let [rows, columns] = window.stride;
                if rows != columns {
                    candle_core::bail!("{} has the stride {rows} by {columns}", node.name());
                }
                let sums = pad(input, window.pads)?.conv2d(kernel, 0, rows, 1, 1)?;
                activate(sums.broadcast_add(bias)?, *activation)
            }
            (Op::Depthwise { window, activation }, Some([kernel, bias])) => {
                activate(depthwise(input, kernel, window)?.broadcast_add(bias)?, *activation)
            }
            (Op::Add { activation }, _) => {
                let Some(&second) = inputs.get(1) else {
                    candle_core::bail!("{} has no second input", node.name())
                };
                activate((input + second)?, *activation)
            }
            (Op::Pad { pads, channels }, _) => pad(input, *pads)?.pad_with_zeros(1, 0, *channels),
            (Op::MaxPool, _) => input.max_pool2d(2),
            (Op::Resize, _) => upsample(&upsample(input, 2)?, 3),
            (Op::Logistic, _) => (input.neg()?.exp()? + 1.0)?.recip(),
            (Op::Reshape, _) => {
                let (crops, len) = (input.dim(0)?, node.shape[2]);
                // the graph's layout has channels innermost
                input.permute((0, 2, 3, 1))?.contiguous()?.reshape((crops, len, 1, 1))
            }
            _ => candle_core::bail!("{} has no weights", node.name()),
        }
    }
}

fn activate(values: Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        Activation::None => Ok(values),
        Activation::Relu => values.relu(),
        Activation::Relu6 => values.clamp(0f32, 6f32),
    }
}

/// Zero padding: top, left, bottom, right.
fn pad(map: &Tensor, [top, left, bottom, right]: [usize; 4]) -> Result<Tensor> {
    map.pad_with_zeros(2, top, bottom)?.pad_with_zeros(3, left, right)
}

/// A depthwise convolution as a sum over the kernel's weights.
///
/// # Shapes
/// `map` `(crops, channels, height, width)`, `kernel` `(1, channels, rows, columns)`.
fn depthwise(map: &Tensor, kernel: &Tensor, window: &Window) -> Result<Tensor> {
    let [rows, columns] = window.stride;
    let [_, _, height, width]: [usize; 4] = padded_shape(map, window)?;
    let [out_height, out_width] =
        [(height - window.kernel[0]) / rows + 1, (width - window.kernel[1]) / columns + 1];
    // pad to a multiple of the stride, so that the map can be split into the stride's phases
    let map = pad(map, window.pads)?;
    let (bottom, right) = ((rows - height % rows) % rows, (columns - width % columns) % columns);
    let map = pad(&map, [0, 0, bottom, right])?;
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

fn padded_shape(map: &Tensor, window: &Window) -> Result<[usize; 4]> {
    let (crops, channels, height, width) = map.dims4()?;
    let [top, left, bottom, right] = window.pads;
    Ok([crops, channels, height + top + bottom, width + left + right])
}

/// 2x linear upsampling along an axis with half-pixel centers, edges repeated.
fn upsample(map: &Tensor, axis: usize) -> Result<Tensor> {
    let len = map.dim(axis)?;
    let before = Tensor::cat(&[&map.narrow(axis, 0, 1)?, &map.narrow(axis, 0, len - 1)?], axis);
    let after = Tensor::cat(&[&map.narrow(axis, 1, len - 1)?, &map.narrow(axis, len - 1, 1)?], axis);
    let (before, after) = match len {
        1 => (map.clone(), map.clone()),
        _ => (before?, after?),
    };
    let center = (map * 0.75)?;
    let pair = Tensor::stack(&[(&center + (before * 0.25)?)?, (center + (after * 0.25)?)?], axis + 1)?;
    let mut shape = map.dims().to_vec();
    shape[axis] *= 2;
    pair.reshape(shape)
}
