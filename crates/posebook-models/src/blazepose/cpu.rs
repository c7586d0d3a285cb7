//! Executes the network on the CPU with our own f32 kernels; each set of buffers processes one crop at a time.
//!
//! Buffers are allocated for each crop that is processed concurrently and reused for later crops. The outputs of a crop do
//! not depend on the number of threads or on other crops.

use super::BlazePoseError;
use super::graph::{Graph, Node, Op, Window, to_pads, to_shape};
use super::plan::{Plan, Step};
use super::store::WeightSource;
use crate::conv::{self, Depthwise, FeatureMap, Filter, Padding, Shape, Threads};
use std::sync::{Mutex, PoisonError};

/// A network with packed weights.
pub struct CpuNetwork {
    graph: Graph,
    plan: Plan,
    /// One kernel for each step of the plan.
    kernels: Vec<Kernel>,
    /// Buffers that are not in use.
    idle: Mutex<Vec<Buffers>>,
}

enum Kernel {
    Conv(Filter),
    Depthwise(Depthwise),
    None,
}

/// Scratch memory for one crop.
struct Buffers {
    slots: Vec<Vec<f32>>,
    padded: Vec<f32>,
}

/// The network's outputs for one crop, not decoded.
#[derive(Debug, Clone, Copy)]
pub struct Output<'a> {
    /// `(39, 5)`: x, y and z in pixels of the crop, logits of visibility and presence.
    pub landmarks: &'a [f32],
    /// Probability that the crop shows a person, 0 to 1.
    pub presence: f32,
    /// `(256, 256)`: logits of the person's pixels.
    pub segmentation: &'a [f32],
    /// `(64, 64, 39)`: logits.
    pub heatmap: &'a [f32],
    /// `(39, 3)`: meters relative to the midpoint of the hips, in the crop's axes.
    pub world: &'a [f32],
}

impl CpuNetwork {
    /// Reads and packs the weights of a checked graph. Without `fuse` the output of every node is available
    /// ([`CpuNetwork::trace`]).
    ///
    /// # Errors
    /// If a tensor is missing, has another shape, or has a value that is not finite.
    pub fn load(
        graph: &Graph,
        weights: &mut impl WeightSource,
        fuse: bool,
    ) -> Result<CpuNetwork, BlazePoseError> {
        let plan = Plan::new(graph, fuse);
        let mut kernels = Vec::with_capacity(plan.steps.len());
        for step in &plan.steps {
            kernels.push(match step.weights.and_then(|node| graph.nodes.get(node)) {
                Some(node) => load_kernel(graph, node, weights)?,
                None => Kernel::None,
            });
        }
        Ok(CpuNetwork { graph: graph.clone(), plan, kernels, idle: Mutex::new(Vec::new()) })
    }

    /// Size of the packed weights in bytes.
    #[cfg(test)]
    pub fn weights_bytes(&self) -> usize {
        let bytes = |kernel: &Kernel| match kernel {
            Kernel::Conv(filter) => filter.bytes(),
            Kernel::Depthwise(filter) => filter.bytes(),
            Kernel::None => 0,
        };
        self.kernels.iter().map(bytes).sum()
    }

    /// Processes one crop and passes the outputs to `read`.
    ///
    /// # Shapes
    /// `fill` writes the input, `(height, width, channels)` as in [`Graph::input`].
    pub fn run<R>(
        &self,
        threads: Threads,
        fill: impl FnOnce(&mut [f32]),
        read: impl FnOnce(Output) -> R,
    ) -> R {
        self.execute(threads, fill, |_, _| {}, |buffers| read(self.output(buffers)))
    }

    /// Processes one crop and calls `visit` with each node and its output.
    pub fn trace(&self, fill: impl FnOnce(&mut [f32]), mut visit: impl FnMut(&Node, &[f32])) {
        let visit_step = |step: &Step, values: &[f32]| visit(&self.graph.nodes[step.node], values);
        self.execute(Threads::One, fill, visit_step, |_| ());
    }

    fn execute<R>(
        &self,
        threads: Threads,
        fill: impl FnOnce(&mut [f32]),
        mut visit: impl FnMut(&Step, &[f32]),
        read: impl FnOnce(&Buffers) -> R,
    ) -> R {
        let mut buffers = self.acquire_buffers();
        if let Some(slot) = self.plan.slots[0] {
            fill(&mut buffers.slots[slot][..to_shape(self.graph.input).len()]);
        }
        for (step, kernel) in self.plan.steps.iter().zip(&self.kernels) {
            self.execute_step(step, kernel, threads, &mut buffers);
            visit(step, self.value(&buffers, step.output));
        }
        let result = read(&buffers);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(buffers);
        result
    }

    /// Takes idle buffers or allocates new ones.
    fn acquire_buffers(&self) -> Buffers {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.unwrap_or_else(|| Buffers {
            slots: self.plan.slot_lens.iter().map(|&len| vec![0.0; len]).collect(),
            padded: vec![0.0; self.plan.padded_len],
        })
    }

    fn value<'a>(&self, buffers: &'a Buffers, value: usize) -> &'a [f32] {
        let len = to_shape(self.graph.value_shape(value)).len();
        self.plan.slots[value].map_or(&[], |slot| &buffers.slots[slot][..len])
    }

    fn output<'a>(&self, buffers: &'a Buffers) -> Output<'a> {
        let outputs = self.graph.outputs;
        Output {
            landmarks: self.value(buffers, outputs.landmarks),
            presence: self.value(buffers, outputs.presence).first().copied().unwrap_or(f32::NAN),
            segmentation: self.value(buffers, outputs.segmentation),
            heatmap: self.value(buffers, outputs.heatmap),
            world: self.value(buffers, outputs.world),
        }
    }

    fn execute_step(&self, step: &Step, kernel: &Kernel, threads: Threads, buffers: &mut Buffers) {
        let Some(slot) = self.plan.slots[step.output] else { return };
        // move the output buffer out, so that the others can be borrowed
        let mut slot_values = std::mem::take(&mut buffers.slots[slot]);
        let mut padded = std::mem::take(&mut buffers.padded);
        let out = &mut slot_values[..to_shape(self.graph.value_shape(step.output)).len()];
        let input = self.value(buffers, step.input);
        let from = to_shape(self.graph.value_shape(step.input));
        let added = step.added.map(|value| self.value(buffers, value));
        match (&step.op, kernel) {
            (Op::Conv { window, activation }, Kernel::Conv(filter)) => {
                let input = pad_input(input, from, window, &mut padded);
                conv::convolve(input, filter, window.stride, added, activation.clamp(), out, threads);
            }
            (Op::Depthwise { window, activation }, Kernel::Depthwise(filter)) => {
                let (zeros, clamp) = (to_pads(window.pads), activation.clamp());
                conv::depthwise(
                    FeatureMap { values: input, shape: from },
                    filter,
                    window.stride,
                    zeros,
                    clamp,
                    out,
                    threads,
                );
            }
            (Op::Add { activation }, _) => {
                conv::add(input, added.unwrap_or(input), activation.clamp(), out, threads)
            }
            (Op::Pad { pads, channels }, _) => conv::pad(input, from, to_pads(*pads), *channels, out),
            (Op::MaxPool, _) => conv::max_pool(input, from, out),
            (Op::Resize, _) => conv::upsample_2x(input, from, out, threads),
            (Op::Logistic, _) => out.iter_mut().zip(input).for_each(|(out, &x)| *out = conv::sigmoid(x)),
            (Op::Reshape, _) => out.copy_from_slice(input),
            // unreachable: kernels are created from the same steps
            (Op::Conv { .. } | Op::Depthwise { .. }, _) => out.fill(f32::NAN),
        }
        buffers.slots[slot] = slot_values;
        buffers.padded = padded;
    }
}

fn load_kernel(
    graph: &Graph,
    node: &Node,
    weights: &mut impl WeightSource,
) -> Result<Kernel, BlazePoseError> {
    let channels = graph.input_channels(node);
    let Some(weights_shape) = node.weight_shape(channels) else { return Ok(Kernel::None) };
    let weight = weights.read_tensor(&format!("{}.weight", node.name()), &weights_shape)?;
    let bias = weights.read_tensor(&format!("{}.bias", node.name()), &node.shape[2..])?;
    Ok(match node.op {
        Op::Conv { window, .. } => {
            Kernel::Conv(Filter::pack(&weight, &bias, node.shape[2], window.kernel, channels))
        }
        Op::Depthwise { window, .. } => {
            Kernel::Depthwise(Depthwise::pack(&weight, &bias, window.kernel, channels))
        }
        _ => Kernel::None,
    })
}

/// The input of a regular convolution, zero-padded into `padded` if the window has padding.
fn pad_input<'a>(values: &'a [f32], shape: Shape, window: &Window, padded: &'a mut [f32]) -> FeatureMap<'a> {
    let zeros: Padding = to_pads(window.pads);
    if zeros.is_zero() {
        return FeatureMap { values, shape };
    }
    let height = shape.height + zeros.top + zeros.bottom;
    let padded_shape = Shape::new(height, shape.width + zeros.left + zeros.right, shape.channels);
    let out = &mut padded[..padded_shape.len()];
    conv::pad(values, shape, zeros, 0, out);
    FeatureMap { values: out, shape: padded_shape }
}
