//! The theoretical cost of a pass: the operations of its convolutions and matrix products.
//!
//! In: the sizes of a detector and of its padded input; out: operations of each part. The figures are those of
//! `manifest_full.json` of the goldens, which were counted on the original.

use super::config::{Backbone, BoxHead, Config, MaskHead, RegNetY, ResNeXt, Vit};

/// Side of the maps that the box heads read, cells.
const BOX_SIDE: usize = 7;
/// Side of the maps that the mask head reads, cells.
const MASK_SIDE: usize = 14;
/// Positions of a 3 x 3 convolution.
const KERNEL: usize = 9;
/// Values for an anchor's position: logits and boxes of three anchors.
const ANCHOR_VALUES: usize = 3 * (1 + 4);
/// Input pixels of a cell of p2, the finest level, on each side.
const FINEST_STRIDE: usize = 4;
/// Levels that the backbone computes, p2 to p5; p6 is p5 at every second position.
const LEVELS: usize = 4;

/// Multiplications and additions of a pass over one image, each counted as one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// From pixels to feature maps, without the pyramid.
    pub backbone: u64,
    /// The feature pyramid.
    pub pyramid: u64,
    /// The region proposal network.
    pub proposals: u64,
    /// The box heads with the largest number of proposals.
    pub boxes: u64,
    /// The mask head for one detection.
    pub mask: u64,
}

impl Cost {
    /// Operations of a pass that finds `detections` people.
    pub fn total(&self, detections: usize) -> u64 {
        self.backbone + self.pyramid + self.proposals + self.boxes + self.mask * detections as u64
    }
}

impl Config {
    /// The cost of a pass over one image of the network's input size after padding, pixels.
    pub fn cost(&self, height: usize, width: usize) -> Cost {
        let levels: Vec<Map> =
            (0..LEVELS).map(|level| Map { height, width }.reduced(FINEST_STRIDE << level)).collect();
        let (backbone, pyramid) = match &self.backbone {
            Backbone::Vit(vit) => {
                let tokens = Map { height, width }.reduced(vit.patch);
                (vit_cost(vit, tokens), simple_pyramid_cost(vit.dim, self.channels, tokens, &levels))
            }
            Backbone::Regnety(regnet) => {
                (regnet_cost(regnet, Map { height, width }), fpn_cost(&regnet.widths, self.channels, &levels))
            }
            Backbone::Resnext(resnext) => {
                let widths: Vec<usize> = (0..LEVELS).map(|stage| resnext.first_width << stage).collect();
                (resnext_cost(resnext, Map { height, width }), fpn_cost(&widths, self.channels, &levels))
            }
        };
        let coarsest = levels.last().map(|level| level.reduced(2));
        let cells: usize = levels.iter().chain(&coarsest).map(Map::cells).sum();
        let position = self.rpn.convolutions * KERNEL * self.channels.pow(2) + self.channels * ANCHOR_VALUES;
        Cost {
            backbone: operations(backbone),
            pyramid: operations(pyramid),
            proposals: operations(cells * position),
            boxes: operations(self.rpn.proposals * box_cost(&self.box_head, self.channels, self.classes)),
            mask: operations(mask_cost(&self.mask_head, self.channels, self.classes)),
        }
    }
}

/// Operations of products of two numbers that are added up.
fn operations(products: usize) -> u64 {
    2 * products as u64
}

/// Sides of a feature map.
#[derive(Debug, Clone, Copy)]
struct Map {
    height: usize,
    width: usize,
}

impl Map {
    /// The map with every `stride`-th position.
    fn reduced(self, stride: usize) -> Map {
        Map { height: self.height.div_ceil(stride), width: self.width.div_ceil(stride) }
    }

    fn cells(&self) -> usize {
        self.height * self.width
    }
}

/// Products of a vision transformer over a grid of tokens.
fn vit_cost(vit: &Vit, grid: Map) -> usize {
    let (tokens, dim) = (grid.cells(), vit.dim);
    let mlp = 2 * tokens * dim * dim * vit.mlp_ratio;
    // tokens of `count` windows, padding included
    let attention = |count: usize, window: Map| {
        let tokens = window.cells();
        let linear = count * tokens * 4 * dim * dim;
        let scores_and_values = 2 * count * tokens * tokens * dim;
        let relative_positions = count * tokens * (window.height + window.width) * dim;
        linear + scores_and_values + relative_positions
    };
    let windows = grid.reduced(vit.window.max(1)).cells();
    let in_windows = attention(windows, Map { height: vit.window, width: vit.window });
    let embedding = tokens * 3 * vit.patch * vit.patch * dim;
    let global = vit.global_blocks.len();
    let blocks = global * attention(1, grid) + vit.depth.saturating_sub(global) * in_windows;
    embedding + blocks + vit.depth * mlp
}

/// Products of the pyramid that is computed from a vision transformer's last map.
fn simple_pyramid_cost(dim: usize, channels: usize, grid: Map, levels: &[Map]) -> usize {
    // a transposed convolution of 2 x 2 from each position
    let doubled = |cells: usize, inputs: usize| cells * inputs * (inputs / 2) * 4;
    let transposed = 2 * doubled(grid.cells(), dim) + doubled(4 * grid.cells(), dim / 2);
    let inputs = [dim / 4, dim / 2, dim, dim];
    transposed + fpn_cost(&inputs, channels, levels)
}

/// Products of a 1 x 1 and a 3 x 3 convolution on every level.
fn fpn_cost(inputs: &[usize], channels: usize, levels: &[Map]) -> usize {
    let level =
        |(level, inputs): (&Map, &usize)| level.cells() * (inputs * channels + KERNEL * channels * channels);
    levels.iter().zip(inputs).map(level).sum()
}

fn regnet_cost(regnet: &RegNetY, image: Map) -> usize {
    let mut map = image.reduced(2);
    let mut products = map.cells() * 3 * KERNEL * regnet.stem;
    let mut inputs = regnet.stem;
    for (&width, &depth) in regnet.widths.iter().zip(&regnet.depths) {
        for block in 0..depth {
            let before = map;
            if block == 0 {
                map = map.reduced(2);
                products += map.cells() * inputs * width;
            }
            products += before.cells() * inputs * width;
            products += map.cells() * width * (KERNEL * regnet.group_width + width);
            products += 2 * regnet.squeezed(inputs) * width;
            inputs = width;
        }
    }
    products
}

fn resnext_cost(resnext: &ResNeXt, image: Map) -> usize {
    const STEM_KERNEL: usize = 7 * 7;
    let stem = image.reduced(2);
    let mut products = stem.cells() * 3 * STEM_KERNEL * resnext.stem;
    let mut map = stem.reduced(2);
    let mut inputs = resnext.stem;
    for (stage, &blocks) in resnext.blocks.iter().enumerate() {
        let (outputs, group_width) = (resnext.first_width << stage, resnext.group_width << stage);
        let width = resnext.groups * group_width;
        for block in 0..blocks {
            let before = map;
            if block == 0 {
                map = map.reduced(if stage == 0 { 1 } else { 2 });
            }
            if inputs != outputs {
                products += map.cells() * inputs * outputs;
            }
            products += before.cells() * inputs * width;
            products += map.cells() * width * (KERNEL * group_width + outputs);
            inputs = outputs;
        }
    }
    products
}

/// Products of all box heads for one proposal.
fn box_cost(head: &BoxHead, channels: usize, classes: usize) -> usize {
    let cells = BOX_SIDE * BOX_SIDE;
    let mut products = cells * head.convolutions * KERNEL * channels * channels;
    let mut inputs = channels * cells;
    for _ in 0..head.layers {
        products += inputs * head.width;
        inputs = head.width;
    }
    let boxes = if head.stages > 1 { 1 } else { classes };
    head.stages * (products + inputs * (classes + 1 + 4 * boxes))
}

/// Products of the mask head for one detection.
fn mask_cost(head: &MaskHead, channels: usize, classes: usize) -> usize {
    let cells = MASK_SIDE * MASK_SIDE;
    let convolutions = cells * head.convolutions * KERNEL * channels * channels;
    convolutions + cells * 4 * channels * channels + 4 * cells * channels * classes
}

#[cfg(test)]
mod tests {
    use super::super::config::Architecture;
    use super::*;

    /// In GFLOP: backbone without and with pyramid, proposals, boxes and a hundred masks, at the published input sizes.
    const COUNTED: [(Architecture, [usize; 2], [f64; 5]); 3] = [
        (Architecture::Vitdet, [1024, 1024], [5953.57, 6156.24, 206.63, 771.23, 105.97]),
        (Architecture::Regnety, [800, 1344], [170.14, 283.16, 211.90, 257.72, 105.97]),
        (Architecture::X101, [800, 1344], [703.37, 825.17, 106.29, 28.61, 105.97]),
    ];

    #[test]
    fn the_cost_is_that_counted_on_the_original() {
        for (architecture, [height, width], counted) in COUNTED {
            let cost = Config::published(architecture).cost(height, width);
            let found =
                [cost.backbone, cost.backbone + cost.pyramid, cost.proposals, cost.boxes, 100 * cost.mask];
            for (found, counted) in found.into_iter().zip(counted) {
                let found = found as f64 / 1e9;
                assert!((found - counted).abs() < 0.006, "{architecture:?}: {found} and not {counted} GFLOP");
            }
            assert_eq!(cost.total(100) - cost.total(99), cost.mask);
        }
    }
}
