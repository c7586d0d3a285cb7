//! How a graph is computed on the CPU: which nodes become one step, and which buffer holds which value.
//!
//! Zeros around a map become part of the convolution that reads them, and a sum becomes part of the convolution whose
//! result it adds to. Values that never live at the same time share a buffer.
//! Must not know weights, nor kernels.

use super::graph::{Activation, Graph, Node, Op};

/// A step of the computation.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The node whose result the step makes.
    pub node: usize,
    /// The node whose weights the step uses, if any.
    pub weights: Option<usize>,
    pub op: Op,
    /// The value that the step reads first.
    pub input: usize,
    /// The value that is added: of a sum, or of a convolution with a sum.
    pub added: Option<usize>,
    /// The value that the step makes.
    pub output: usize,
}

/// Steps and buffers.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// The buffer of each value; values that are never made have none.
    pub slots: Vec<Option<usize>>,
    /// Numbers that each buffer holds.
    pub slot_numbers: Vec<usize>,
    /// Numbers of the largest input of a convolution with zeros around it.
    pub padded_numbers: usize,
}

impl Plan {
    /// Plans a checked graph. Without fusing, every node is a step of its own, and its result is there after it.
    pub fn of(graph: &Graph, fuse: bool) -> Plan {
        let steps = if fuse { fused(graph) } else { graph.nodes.iter().enumerate().map(single).collect() };
        let (slots, slot_numbers) = buffers(graph, &steps);
        let padded = |step: &Step| match &step.op {
            Op::Conv { window, .. } if window.pads != [0; 4] => {
                let ([height, width, channels], pads) = (graph.value_shape(step.input), window.pads);
                (height + pads[0] + pads[2]) * (width + pads[1] + pads[3]) * channels
            }
            _ => 0,
        };
        let padded_numbers = steps.iter().map(padded).max().unwrap_or(0);
        Plan { steps, slots, slot_numbers, padded_numbers }
    }

    /// Bytes of all buffers.
    pub fn bytes(&self) -> usize {
        (self.slot_numbers.iter().sum::<usize>() + self.padded_numbers) * size_of::<f32>()
    }
}

fn single((index, node): (usize, &Node)) -> Step {
    let weights = matches!(node.op, Op::Conv { .. } | Op::Depthwise { .. }).then_some(index);
    let added = node.inputs.get(1).copied();
    Step { node: index, weights, op: node.op, input: node.inputs[0], added, output: index + 1 }
}

/// How many nodes and outputs read each value.
fn readers(graph: &Graph) -> Vec<usize> {
    let mut readers = vec![0; graph.nodes.len() + 1];
    let read = graph.nodes.iter().flat_map(|node| node.inputs.iter().copied()).chain(graph.output_values());
    read.for_each(|value| readers[value] += 1);
    readers
}

fn fused(graph: &Graph) -> Vec<Step> {
    let readers = readers(graph);
    let mut steps: Vec<Step> = Vec::with_capacity(graph.nodes.len());
    for (index, node) in graph.nodes.iter().enumerate() {
        let mut step = single((index, node));
        match node.op {
            Op::Conv { .. } | Op::Depthwise { .. } => take_padding(graph, &readers, &mut steps, &mut step),
            Op::Add { activation } => take_sum(&readers, &mut steps, &mut step, activation),
            _ => {}
        }
        steps.push(step);
    }
    steps
}

/// Makes zeros around a map part of the convolution that alone reads them.
fn take_padding(graph: &Graph, readers: &[usize], steps: &mut Vec<Step>, step: &mut Step) {
    let Some(position) = steps.iter().position(|earlier| earlier.output == step.input) else { return };
    let Op::Pad { pads: around, channels: 0 } = steps[position].op else { return };
    let (Op::Conv { window, .. } | Op::Depthwise { window, .. }) = &mut step.op else { return };
    // a kernel that lies in zeros alone has nothing to read
    let [height, width, _] = graph.value_shape(steps[position].input);
    let reaches = around[0].max(around[2]) < window.kernel[0].min(height + 1)
        && around[1].max(around[3]) < window.kernel[1].min(width + 1);
    if readers[step.input] == 1 && window.pads == [0; 4] && reaches {
        window.pads = around;
        step.input = steps[position].input;
        steps.remove(position);
    }
}

/// Makes a sum part of the convolution that made one of its values and that nothing else reads.
fn take_sum(readers: &[usize], steps: &mut Vec<Step>, step: &mut Step, of_sum: Activation) {
    let Some(second) = step.added else { return };
    for (value, other) in [(step.input, second), (second, step.input)] {
        let Some(position) = steps.iter().position(|earlier| earlier.output == value) else { continue };
        let Op::Conv { window, activation: Activation::None } = steps[position].op else { continue };
        if readers[value] != 1 || value == other || steps[position].added.is_some() {
            continue;
        }
        let conv = steps.remove(position);
        step.op = Op::Conv { window, activation: of_sum };
        (step.weights, step.input, step.added) = (conv.weights, conv.input, Some(other));
        return;
    }
}

/// Gives each value a buffer: the largest first, each into the first buffer that is free while it lives.
fn buffers(graph: &Graph, steps: &[Step]) -> (Vec<Option<usize>>, Vec<usize>) {
    // of each value the step that makes it and the last that reads it, counted from 1; the input is there before
    let mut lives: Vec<Option<[usize; 2]>> = vec![None; graph.nodes.len() + 1];
    lives[0] = Some([0, 0]);
    for (time, step) in steps.iter().enumerate() {
        lives[step.output] = Some([time + 1, time + 1]);
        for value in std::iter::once(step.input).chain(step.added) {
            if let Some(life) = &mut lives[value] {
                life[1] = time + 1;
            }
        }
    }
    for value in graph.output_values() {
        if let Some(life) = &mut lives[value] {
            life[1] = steps.len() + 1;
        }
    }
    let numbers = |value: usize| graph.value_shape(value).iter().product::<usize>();
    let mut order: Vec<usize> = (0..lives.len()).filter(|&value| lives[value].is_some()).collect();
    order.sort_by_key(|&value| (std::cmp::Reverse(numbers(value)), value));
    let mut slots = vec![None; lives.len()];
    let mut occupied: Vec<Vec<[usize; 2]>> = Vec::new();
    let mut slot_numbers = Vec::new();
    for value in order {
        let Some([from, to]) = lives[value] else { continue };
        let is_free = |lives: &Vec<[usize; 2]>| lives.iter().all(|&[first, last]| to < first || last < from);
        let slot = occupied.iter().position(is_free).unwrap_or_else(|| {
            occupied.push(Vec::new());
            slot_numbers.push(numbers(value));
            occupied.len() - 1
        });
        occupied[slot].push([from, to]);
        slots[value] = Some(slot);
    }
    (slots, slot_numbers)
}

#[cfg(test)]
mod tests {
    use super::super::test_network::{small_graph, with_everything};
    use super::*;

    #[test]
    fn zeros_and_sums_become_part_of_convolutions() {
        let graph = small_graph(&with_everything());
        let plan = Plan::of(&graph, true);
        assert_eq!(plan.steps.iter().filter(|step| matches!(step.op, Op::Add { .. })).count(), 0);
        let zeros = |step: &&Step| matches!(step.op, Op::Pad { channels: 0, .. });
        assert_eq!(plan.steps.iter().filter(zeros).count(), 0);
        assert!(plan.steps.iter().any(|step| matches!(step.op, Op::Conv { .. }) && step.added.is_some()));
        assert!(plan.bytes() < Plan::of(&graph, false).bytes());
    }

    #[test]
    fn values_that_live_together_have_buffers_of_their_own() {
        let graph = small_graph(&with_everything());
        for fuse in [false, true] {
            let plan = Plan::of(&graph, fuse);
            let mut holds: Vec<Option<usize>> = vec![None; plan.slot_numbers.len()];
            let slot = |value: usize| plan.slots[value].unwrap();
            holds[slot(0)] = Some(0);
            for step in &plan.steps {
                for value in std::iter::once(step.input).chain(step.added) {
                    assert_eq!(holds[slot(value)], Some(value), "step {step:?} reads what was overwritten");
                    assert_ne!(slot(value), slot(step.output));
                }
                let numbers: usize = graph.value_shape(step.output).iter().product();
                assert!(numbers <= plan.slot_numbers[slot(step.output)]);
                holds[slot(step.output)] = Some(step.output);
            }
            for value in graph.output_values() {
                assert_eq!(holds[slot(value)], Some(value));
            }
        }
    }
}
