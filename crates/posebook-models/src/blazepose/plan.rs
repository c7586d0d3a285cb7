//! Plans the execution of a graph on the CPU: fuses nodes to steps and assigns values to buffers.
//!
//! Zero padding is fused into the convolution that reads it, and an addition into the convolution that computes one of its
//! inputs. Values whose lifetimes do not overlap share a buffer.

use super::graph::{Activation, Graph, Node, Op};

/// A step of the execution: one node or several fused ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The node whose output the step computes.
    pub node: usize,
    /// The node whose weights the step uses, if any.
    pub weights: Option<usize>,
    /// The operation; padding and activation may come from fused nodes.
    pub op: Op,
    /// The first input value.
    pub input: usize,
    /// The second input of an addition, which may be fused into a convolution.
    pub added: Option<usize>,
    /// The output value.
    pub output: usize,
}

/// An execution plan: steps and buffers.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// In execution order.
    pub steps: Vec<Step>,
    /// Index of each value's buffer; `None` for values that are never stored.
    pub slots: Vec<Option<usize>>,
    /// Length of each buffer, values.
    pub slot_lens: Vec<usize>,
    /// Length of the scratch buffer for zero-padded inputs, values.
    pub padded_len: usize,
}

impl Plan {
    /// Plans a checked graph. Without `fuse` every node is a step, and its output is available after it.
    pub fn new(graph: &Graph, fuse: bool) -> Plan {
        let steps =
            if fuse { fuse_steps(graph) } else { graph.nodes.iter().enumerate().map(unfused_step).collect() };
        let (slots, slot_lens) = assign_buffers(graph, &steps);
        let padded_input_len = |step: &Step| match &step.op {
            Op::Conv { window, .. } if window.pads != [0; 4] => {
                let ([height, width, channels], pads) = (graph.value_shape(step.input), window.pads);
                (height + pads[0] + pads[2]) * (width + pads[1] + pads[3]) * channels
            }
            _ => 0,
        };
        let padded_len = steps.iter().map(padded_input_len).max().unwrap_or(0);
        Plan { steps, slots, slot_lens, padded_len }
    }

    /// Size of all buffers in bytes.
    pub fn bytes(&self) -> usize {
        (self.slot_lens.iter().sum::<usize>() + self.padded_len) * size_of::<f32>()
    }
}

fn unfused_step((index, node): (usize, &Node)) -> Step {
    let weights = matches!(node.op, Op::Conv { .. } | Op::Depthwise { .. }).then_some(index);
    let added = node.inputs.get(1).copied();
    Step { node: index, weights, op: node.op, input: node.inputs[0], added, output: index + 1 }
}

/// Number of nodes and outputs that read each value.
fn reader_counts(graph: &Graph) -> Vec<usize> {
    let mut counts = vec![0; graph.nodes.len() + 1];
    let values = graph.nodes.iter().flat_map(|node| node.inputs.iter().copied()).chain(graph.output_values());
    values.for_each(|value| counts[value] += 1);
    counts
}

fn fuse_steps(graph: &Graph) -> Vec<Step> {
    let reader_counts = reader_counts(graph);
    let mut steps: Vec<Step> = Vec::with_capacity(graph.nodes.len());
    for (index, node) in graph.nodes.iter().enumerate() {
        let mut step = unfused_step((index, node));
        match node.op {
            Op::Conv { .. } | Op::Depthwise { .. } => {
                fuse_padding(graph, &reader_counts, &mut steps, &mut step)
            }
            Op::Add { activation } => fuse_add(&reader_counts, &mut steps, &mut step, activation),
            _ => {}
        }
        steps.push(step);
    }
    steps
}

/// Fuses zero padding into the convolution that is its only reader.
fn fuse_padding(graph: &Graph, reader_counts: &[usize], steps: &mut Vec<Step>, step: &mut Step) {
    let Some(position) = steps.iter().position(|earlier| earlier.output == step.input) else { return };
    let Op::Pad { pads, channels: 0 } = steps[position].op else { return };
    let (Op::Conv { window, .. } | Op::Depthwise { window, .. }) = &mut step.op else { return };
    // the kernel must never lie completely in the padding
    let [height, width, _] = graph.value_shape(steps[position].input);
    let reaches_input = pads[0].max(pads[2]) < window.kernel[0].min(height + 1)
        && pads[1].max(pads[3]) < window.kernel[1].min(width + 1);
    if reader_counts[step.input] == 1 && window.pads == [0; 4] && reaches_input {
        window.pads = pads;
        step.input = steps[position].input;
        steps.remove(position);
    }
}

/// Fuses an addition into a convolution that computes one of its inputs, if nothing else reads that input.
fn fuse_add(reader_counts: &[usize], steps: &mut Vec<Step>, step: &mut Step, activation: Activation) {
    let Some(second) = step.added else { return };
    for (value, other) in [(step.input, second), (second, step.input)] {
        let Some(position) = steps.iter().position(|earlier| earlier.output == value) else { continue };
        let Op::Conv { window, activation: Activation::None } = steps[position].op else { continue };
        if reader_counts[value] != 1 || value == other || steps[position].added.is_some() {
            continue;
        }
        let conv = steps.remove(position);
        step.op = Op::Conv { window, activation };
        (step.weights, step.input, step.added) = (conv.weights, conv.input, Some(other));
        return;
    }
}

/// Assigns a buffer to each value: largest first, each to the first buffer that is free during its lifetime.
fn assign_buffers(graph: &Graph, steps: &[Step]) -> (Vec<Option<usize>>, Vec<usize>) {
    // for each value the steps that compute it and read it last, counted from 1; the input exists before step 1
    let mut lifetimes: Vec<Option<[usize; 2]>> = vec![None; graph.nodes.len() + 1];
    lifetimes[0] = Some([0, 0]);
    for (time, step) in steps.iter().enumerate() {
        lifetimes[step.output] = Some([time + 1, time + 1]);
        for value in std::iter::once(step.input).chain(step.added) {
            if let Some(lifetime) = &mut lifetimes[value] {
                lifetime[1] = time + 1;
            }
        }
    }
    for value in graph.output_values() {
        if let Some(lifetime) = &mut lifetimes[value] {
            lifetime[1] = steps.len() + 1;
        }
    }
    let len = |value: usize| graph.value_shape(value).iter().product::<usize>();
    let mut order: Vec<usize> = (0..lifetimes.len()).filter(|&value| lifetimes[value].is_some()).collect();
    order.sort_by_key(|&value| (std::cmp::Reverse(len(value)), value));
    let mut slots = vec![None; lifetimes.len()];
    let mut occupied: Vec<Vec<[usize; 2]>> = Vec::new();
    let mut slot_lens = Vec::new();
    for value in order {
        let Some([from, to]) = lifetimes[value] else { continue };
        let is_free =
            |lifetimes: &Vec<[usize; 2]>| lifetimes.iter().all(|&[first, last]| to < first || last < from);
        let slot = occupied.iter().position(is_free).unwrap_or_else(|| {
            occupied.push(Vec::new());
            slot_lens.push(len(value));
            occupied.len() - 1
        });
        occupied[slot].push([from, to]);
        slots[value] = Some(slot);
    }
    (slots, slot_lens)
}

#[cfg(test)]
mod tests {
    use super::super::test_network::{all_operators_network, parse_graph};
    use super::*;

    #[test]
    fn padding_and_additions_are_fused_into_convolutions() {
        let graph = parse_graph(&all_operators_network());
        let plan = Plan::new(&graph, true);
        assert_eq!(plan.steps.iter().filter(|step| matches!(step.op, Op::Add { .. })).count(), 0);
        let zeros = |step: &&Step| matches!(step.op, Op::Pad { channels: 0, .. });
        assert_eq!(plan.steps.iter().filter(zeros).count(), 0);
        assert!(plan.steps.iter().any(|step| matches!(step.op, Op::Conv { .. }) && step.added.is_some()));
        assert!(plan.bytes() < Plan::new(&graph, false).bytes());
    }

    #[test]
    fn values_with_overlapping_lifetimes_have_separate_buffers() {
        let graph = parse_graph(&all_operators_network());
        for fuse in [false, true] {
            let plan = Plan::new(&graph, fuse);
            let mut contents: Vec<Option<usize>> = vec![None; plan.slot_lens.len()];
            let slot = |value: usize| plan.slots[value].unwrap();
            contents[slot(0)] = Some(0);
            for step in &plan.steps {
                for value in std::iter::once(step.input).chain(step.added) {
                    assert_eq!(
                        contents[slot(value)],
                        Some(value),
                        "step {step:?} reads an overwritten value"
                    );
                    assert_ne!(slot(value), slot(step.output));
                }
                let len: usize = graph.value_shape(step.output).iter().product();
                assert!(len <= plan.slot_lens[slot(step.output)]);
                contents[slot(step.output)] = Some(step.output);
            }
            for value in graph.output_values() {
                assert_eq!(contents[slot(value)], Some(value));
            }
        }
    }
}
