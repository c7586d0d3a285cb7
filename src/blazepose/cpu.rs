//! The network on the CPU: our own kernels in f32, one crop at a time per set of buffers.
//!
//! Buffers are made once for each crop that is computed at the same time and kept for the next. A crop's numbers do not
//! depend on how many threads there are, nor on the crops beside it. Must not know pictures nor people.

use super::BlazePoseError;
use super::graph::{Graph, Node, Op, Window, pads, shape};
use super::plan::{Plan, Step};
use super::store::Source;
use crate::nn::conv::{self, Depthwise, Filter, Map, Pads, Shape, Threads};
use std::sync::{Mutex, PoisonError};

/// A network with its weights packed.
pub struct CpuNetwork {
    graph: Graph,
    plan: Plan,
    /// Of each step.
    kernels: Vec<Kernel>,
    /// Buffers that no crop is computed in.
    idle: Mutex<Vec<Buffers>>,
}

enum Kernel {
    Conv(Filter),
    Depthwise(Depthwise),
    None,
}

/// What one crop is computed in.
struct Buffers {
    slots: Vec<Vec<f32>>,
    padded: Vec<f32>,
}

/// A network's results for one crop, in the network's own units.
#[derive(Debug, Clone, Copy)]
pub struct Output<'a> {
    /// `(39, 5)`: x, y and z in pixels of the crop, logits of visibility and presence.
    pub landmarks: &'a [f32],
    /// Whether somebody is there, 0 to 1.
    pub presence: f32,
    /// `(256, 256)`: logits of the person's pixels.
    pub segmentation: &'a [f32],
    /// `(64, 64, 39)`: logits.
    pub heatmap: &'a [f32],
    /// `(39, 3)`: meters about the middle of the hips, in the crop's axes.
    pub world: &'a [f32],
}

impl CpuNetwork {
    /// Reads and packs the weights of a checked graph. Without fusing every node's result can be looked at
    /// ([`CpuNetwork::trace`]).
    ///
    /// # Errors
    /// If a tensor is missing, has another shape, or has a number that is not finite.
    pub fn load(graph: &Graph, weights: &mut impl Source, fuse: bool) -> Result<CpuNetwork, BlazePoseError> {
        let plan = Plan::of(graph, fuse);
        let mut kernels = Vec::with_capacity(plan.steps.len());
        for step in &plan.steps {
            kernels.push(match step.weights.and_then(|node| graph.nodes.get(node)) {
                Some(node) => kernel(graph, node, weights)?,
                None => Kernel::None,
            });
        }
        Ok(CpuNetwork { graph: graph.clone(), plan, kernels, idle: Mutex::new(Vec::new()) })
    }

    /// Bytes of the packed weights.
    #[cfg(test)]
    pub fn weights_bytes(&self) -> usize {
        let bytes = |kernel: &Kernel| match kernel {
            Kernel::Conv(filter) => filter.bytes(),
            Kernel::Depthwise(filter) => filter.bytes(),
            Kernel::None => 0,
        };
        self.kernels.iter().map(bytes).sum()
    }

    /// Computes one crop and hands the results to `read`.
    ///
    /// # Shapes
    /// `fill` writes the input, `(height, width, channels)` as the graph says.
    pub fn run<R>(
        &self,
        threads: Threads,
        fill: impl FnOnce(&mut [f32]),
        read: impl FnOnce(Output) -> R,
    ) -> R {
        self.computed(threads, fill, |_, _| {}, |buffers| read(self.output(buffers)))
    }

    /// Computes one crop and shows each node and its result to `visit`.
    pub fn trace(&self, fill: impl FnOnce(&mut [f32]), mut visit: impl FnMut(&Node, &[f32])) {
        let show = |step: &Step, values: &[f32]| visit(&self.graph.nodes[step.node], values);
        self.computed(Threads::One, fill, show, |_| ());
    }

    fn computed<R>(
        &self,
        threads: Threads,
        fill: impl FnOnce(&mut [f32]),
        mut visit: impl FnMut(&Step, &[f32]),
        read: impl FnOnce(&Buffers) -> R,
    ) -> R {
        let mut buffers = self.buffers();
        if let Some(slot) = self.plan.slots[0] {
            fill(&mut buffers.slots[slot][..shape(self.graph.input).len()]);
        }
        for (step, kernel) in self.plan.steps.iter().zip(&self.kernels) {
            self.compute(step, kernel, threads, &mut buffers);
            visit(step, self.value(&buffers, step.output));
        }
        let result = read(&buffers);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(buffers);
        result
    }

    /// Buffers that no other crop uses.
    fn buffers(&self) -> Buffers {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.unwrap_or_else(|| Buffers {
            slots: self.plan.slot_numbers.iter().map(|&numbers| vec![0.0; numbers]).collect(),
            padded: vec![0.0; self.plan.padded_numbers],
        })
    }

    fn value<'a>(&self, buffers: &'a Buffers, value: usize) -> &'a [f32] {
        let numbers = shape(self.graph.value_shape(value)).len();
        self.plan.slots[value].map_or(&[], |slot| &buffers.slots[slot][..numbers])
    }

    fn output<'a>(&self, buffers: &'a Buffers) -> Output<'a> {
        let of = self.graph.outputs;
        Output {
            landmarks: self.value(buffers, of.landmarks),
            presence: self.value(buffers, of.presence).first().copied().unwrap_or(f32::NAN),
            segmentation: self.value(buffers, of.segmentation),
            heatmap: self.value(buffers, of.heatmap),
            world: self.value(buffers, of.world),
        }
    }

    fn compute(&self, step: &Step, kernel: &Kernel, threads: Threads, buffers: &mut Buffers) {
        let Some(slot) = self.plan.slots[step.output] else { return };
        // the result's buffer is taken out, so that the others can be read
        let mut whole = std::mem::take(&mut buffers.slots[slot]);
        let mut padded = std::mem::take(&mut buffers.padded);
        let out = &mut whole[..shape(self.graph.value_shape(step.output)).len()];
        let input = self.value(buffers, step.input);
        let from = shape(self.graph.value_shape(step.input));
        let added = step.added.map(|value| self.value(buffers, value));
        match (&step.op, kernel) {
            (Op::Conv { window, activation }, Kernel::Conv(filter)) => {
                let input = with_zeros(input, from, window, &mut padded);
                conv::convolve(input, filter, window.stride, added, activation.clamp(), out, threads);
            }
            (Op::Depthwise { window, activation }, Kernel::Depthwise(filter)) => {
                let (zeros, clamp) = (pads(window.pads), activation.clamp());
                conv::depthwise(
                    Map { values: input, shape: from },
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
            (Op::Pad { pads: around, channels }, _) => conv::pad(input, from, pads(*around), *channels, out),
            (Op::MaxPool, _) => conv::max_pool(input, from, out),
            (Op::Resize, _) => conv::resize_twice(input, from, out, threads),
            (Op::Logistic, _) => out.iter_mut().zip(input).for_each(|(out, &x)| *out = conv::sigmoid(x)),
            (Op::Reshape, _) => out.copy_from_slice(input),
            // kernels are made of the same steps, so that this is never reached
            (Op::Conv { .. } | Op::Depthwise { .. }, _) => out.fill(f32::NAN),
        }
        buffers.slots[slot] = whole;
        buffers.padded = padded;
    }
}

fn kernel(graph: &Graph, node: &Node, weights: &mut impl Source) -> Result<Kernel, BlazePoseError> {
    let channels = graph.input_channels(node);
    let Some(weights_shape) = node.weights(channels) else { return Ok(Kernel::None) };
    let numbers = weights.numbers(&format!("{}.weight", node.name()), &weights_shape)?;
    let bias = weights.numbers(&format!("{}.bias", node.name()), &node.shape[2..])?;
    Ok(match node.op {
        Op::Conv { window, .. } => {
            Kernel::Conv(Filter::pack(&numbers, &bias, node.shape[2], window.kernel, channels))
        }
        Op::Depthwise { window, .. } => {
            Kernel::Depthwise(Depthwise::pack(&numbers, &bias, window.kernel, channels))
        }
        _ => Kernel::None,
    })
}

/// The input of a regular convolution with the zeros around it, copied only where there are some.
fn with_zeros<'a>(values: &'a [f32], shape: Shape, window: &Window, padded: &'a mut [f32]) -> Map<'a> {
    let zeros: Pads = pads(window.pads);
    if zeros.are_none() {
        return Map { values, shape };
    }
    let height = shape.height + zeros.top + zeros.bottom;
    let larger = Shape::new(height, shape.width + zeros.left + zeros.right, shape.channels);
    let out = &mut padded[..larger.len()];
    conv::pad(values, shape, zeros, 0, out);
    Map { values: out, shape: larger }
}
