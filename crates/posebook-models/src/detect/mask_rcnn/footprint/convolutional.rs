//! Phases of the convolutional backbones.

use super::super::config::{RegNetY, ResNeXt};
use super::{Footprint, Job, Live, Phase};

/// Sizes of a residual block.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockSizes {
    inputs: usize,
    /// Channels of the maps inside.
    middle: usize,
    outputs: usize,
    stride: usize,
    /// Whether the first inner map is live until the end of the block.
    keeps_first: bool,
}

/// Sizes of a backbone of residual blocks.
#[derive(Debug)]
pub(super) struct Stages {
    stem: usize,
    /// Whether a pooling that halves the map follows the stem.
    is_pooled: bool,
    stages: Vec<Vec<BlockSizes>>,
}

pub(super) fn regnet(sizes: &RegNetY) -> Stages {
    let mut inputs = sizes.stem;
    let mut block = |outputs: usize, index: usize| {
        let stride = if index == 0 { 2 } else { 1 };
        let block = BlockSizes { inputs, middle: outputs, outputs, stride, keeps_first: false };
        inputs = outputs;
        block
    };
    let stages = sizes.widths.iter().zip(&sizes.depths);
    let stages = stages.map(|(&width, &depth)| (0..depth).map(|index| block(width, index)).collect());
    Stages { stem: sizes.stem, is_pooled: false, stages: stages.collect() }
}

pub(super) fn resnext(sizes: &ResNeXt) -> Stages {
    let mut inputs = sizes.stem;
    let mut block = |stage: usize, index: usize| {
        let (outputs, middle) = (sizes.first_width << stage, (sizes.groups * sizes.group_width) << stage);
        let stride = if stage > 0 && index == 0 { 2 } else { 1 };
        let block = BlockSizes { inputs, middle, outputs, stride, keeps_first: true };
        inputs = outputs;
        block
    };
    let stages = sizes.blocks.iter().enumerate();
    let stages = stages.map(|(stage, &blocks)| (0..blocks).map(|index| block(stage, index)).collect());
    Stages { stem: sizes.stem, is_pooled: true, stages: stages.collect() }
}

impl Footprint {
    /// Phases of the backbone and its pyramid; a budget divides the batch. `chunk_values`: values per pixel that it counts.
    pub(super) fn convolutional(&self, sizes: &Stages, chunk_values: usize, job: Job) -> Vec<Phase> {
        let image_bytes = job.pixels() * chunk_values * self.value_bytes;
        let together = job.budget.chunk(job.batch, image_bytes);
        let pyramid = self.pyramid(job);
        // the pixels of the batch, and the maps of the images before
        let around = 3 * job.pixels() * job.batch + pyramid * (job.batch - together);
        let of_batch = |live: Live| Live {
            kept: around + live.kept * together,
            reads: live.reads * together,
            writes: live.writes * together,
            touched: live.touched * together,
            single: live.single * together,
        };
        let mut phases = Vec::new();
        let mut add = |name, live: Live| phases.push(self.phase(name, of_batch(live)));
        let held = self.blocks(sizes, job, &mut add);
        self.feature_pyramid(&held, job, &mut add);
        if together < job.batch {
            let kept = 3 * job.pixels() * job.batch + 2 * pyramid * job.batch;
            phases.push(self.phase("joining the batch", Live { kept, ..Live::default() }));
        }
        phases
    }

    /// Values of the maps of the stages.
    fn blocks(&self, sizes: &Stages, job: Job, add: &mut impl FnMut(&'static str, Live)) -> Vec<usize> {
        let mut pixels = job.pixels() / 4;
        let stem = sizes.stem * pixels;
        add("stem", Live::convolution(stem, 3 * job.pixels(), stem));
        if sizes.is_pooled {
            pixels /= 4;
            add("stem", Live { kept: stem + stem / 4, ..Live::default() });
        }
        let mut held: Vec<usize> = Vec::new();
        for blocks in &sizes.stages {
            for (index, block) in blocks.iter().enumerate() {
                let smaller = pixels / (block.stride * block.stride);
                let (first, second) = (block.middle * pixels, block.middle * smaller);
                let (x, out) = (block.inputs * pixels, block.outputs * smaller);
                let has_shortcut = block.inputs != block.outputs || block.stride != 1;
                // the input of a stage's first block is the map of the stage before
                let is_held = index == 0 && !held.is_empty();
                let base = held.iter().sum::<usize>() + if is_held { 0 } else { x };
                add("first convolution", Live::convolution(base + first, x, first));
                add("grouped convolution", Live::convolution(base + first + second, first, second));
                let kept_first = if block.keeps_first { first } else { 0 };
                let shortcut = if has_shortcut { out } else { 0 };
                let kept = base + kept_first + second + shortcut + out;
                add("end of a block", Live::convolution(kept, second + out, out));
                pixels = smaller;
            }
            let outputs = blocks.last().map_or(0, |block| block.outputs);
            held.push(outputs * pixels);
        }
        held
    }

    /// The feature pyramid network, from p5 to p2. `held`: values of the maps of the stages.
    fn feature_pyramid(&self, held: &[usize], job: Job, add: &mut impl FnMut(&'static str, Live)) {
        let map = |level: usize| self.config.channels * (job.height >> level) * (job.width >> level);
        let mut done = 0;
        for (index, &of_stage) in held.iter().enumerate().rev() {
            let (level, finer) = (index + 2, held[..index].iter().sum::<usize>());
            let (coarser, enlarged) =
                if index + 1 < held.len() { (map(level + 1), map(level)) } else { (0, 0) };
            let kept = finer + of_stage + done + coarser + enlarged + map(level);
            add("feature pyramid", Live::convolution(kept, of_stage + enlarged, map(level)));
            let kept = finer + done + 2 * map(level);
            add("feature pyramid", Live::convolution(kept, map(level), map(level)));
            done += map(level);
        }
    }
}
