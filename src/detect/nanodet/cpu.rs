//! The network on the CPU, over [`super::kernel`]'s convolutions: one picture at a time in buffers that are kept.
//!
//! Concatenations cost nothing: what is joined is written beside each other at once.

use super::architecture::{self as nanodet, Layer, NECK, STAGES, STEM, STRIDES, Stage};
use super::decode::Level;
use super::kernel::{Activation, Convolution, Map};
use rayon::prelude::*;
use std::ops::Range;

/// Hears what lies between the layers: the name of a layer, a map and the channels of it.
pub(super) type Observer<'a> = &'a mut dyn FnMut(&str, &Map, Range<usize>);

/// Weights, packed.
#[derive(Debug)]
pub(super) struct Network {
    stem: Convolution,
    stages: Vec<StageWeights>,
    laterals: Vec<Convolution>,
    heads: Vec<(Convolution, Convolution)>,
}

#[derive(Debug)]
struct StageWeights {
    stage: Stage,
    in_conv: Convolution,
    blocks: Vec<(Convolution, Convolution)>,
    out_conv: Convolution,
}

impl Network {
    /// `values` gives a layer's weight `(outputs, inputs, side, side)` and bias, of the layer's sizes.
    pub(super) fn load<E>(values: impl Fn(&Layer) -> Result<(Vec<f32>, Vec<f32>), E>) -> Result<Network, E> {
        let packed = |layer: Layer| {
            let (weight, bias) = values(&layer)?;
            let activation = if layer.leaky { Activation::Leaky } else { Activation::None };
            Ok(Convolution::new(&weight, &bias, (layer.inputs, layer.side, layer.stride), activation))
        };
        let stem = packed(nanodet::stem())?;
        let stages = STAGES.into_iter().map(|stage| {
            let block = |block| Ok((packed(stage.block_in(block))?, packed(stage.block_mid(block))?));
            Ok(StageWeights {
                stage,
                in_conv: packed(stage.in_conv())?,
                blocks: (0..stage.blocks).map(block).collect::<Result<_, E>>()?,
                out_conv: packed(stage.out_conv())?,
            })
        });
        let stages = stages.collect::<Result<_, E>>()?;
        let levels = 0..STRIDES.len();
        let head = |level| Ok((packed(nanodet::head_conv(level))?, packed(nanodet::head_out(level))?));
        Ok(Network {
            stem,
            stages,
            laterals: levels
                .clone()
                .map(|level| packed(nanodet::lateral(level)))
                .collect::<Result<_, E>>()?,
            heads: levels.map(head).collect::<Result<_, E>>()?,
        })
    }

    /// Numbers that are held.
    #[cfg(test)]
    pub(super) fn numbers(&self) -> usize {
        let pairs = self.stages.iter().flat_map(|stage| &stage.blocks).chain(&self.heads);
        let ends = self.stages.iter().flat_map(|stage| [&stage.in_conv, &stage.out_conv]);
        let layers = pairs.flat_map(|(first, second)| [first, second]).chain(ends).chain(&self.laterals);
        layers.chain([&self.stem]).map(Convolution::held).sum()
    }

    /// Computes the heads of the picture in `buffers.input`.
    pub(super) fn run(&self, buffers: &mut Buffers, mut observer: Option<Observer>) {
        let observed = observer.is_some();
        let mut observe = |name: &str, map: &Map, channels: Range<usize>| {
            if let Some(observer) = &mut observer {
                observer(name, map, channels);
            }
        };
        let Buffers { input, stem, pooled, stages, neck, hidden, heads } = buffers;
        self.stem.run(input, 0..3, stem, 0);
        observe("backbone.stem", stem, 0..STEM);
        max_pool(stem, pooled);
        observe("backbone.pool", pooled, 0..STEM);
        let mut before: &Map = pooled;
        for (weights, maps) in self.stages.iter().zip(stages.iter_mut()) {
            weights.run(before, maps);
            let channels = weights.stage.channels;
            observe(&format!("{}.in_conv", weights.stage.name), &maps.joined, channels..2 * channels);
            observe(&format!("{}.out_conv", weights.stage.name), &maps.joined, 0..channels);
            before = &maps.joined;
        }
        for ((lateral, maps), sum) in self.laterals.iter().zip(&stages[1..]).zip(neck.iter_mut()) {
            lateral.run(&maps.joined, 0..lateral.inputs, sum, 0);
        }
        let [fine, middle, coarse] = neck;
        if observed {
            let mut enlarged = Map::new(middle.height, middle.width, NECK, 0);
            add_enlarged(coarse, &mut enlarged);
            observe("neck.up.1", &enlarged, 0..NECK);
        }
        add_enlarged(coarse, middle);
        add_enlarged(middle, fine);
        if observed {
            let mut halved = Map::new(middle.height, middle.width, NECK, 0);
            add_halved(fine, &mut halved);
            observe("neck.down.0", &halved, 0..NECK);
        }
        add_halved(fine, middle);
        add_halved(middle, coarse);
        for (level, (conv, out)) in self.heads.iter().enumerate() {
            conv.run(&neck[level], 0..NECK, &mut hidden[level], 0);
            observe(&format!("head.{level}.conv"), &hidden[level], 0..NECK);
            out.run(&hidden[level], 0..NECK, &mut heads[level], 0);
        }
    }
}

impl StageWeights {
    fn run(&self, before: &Map, maps: &mut StageMaps) {
        let channels = self.stage.channels;
        let StageMaps { joined, blocks } = maps;
        // the second half of what the stage gives is its first convolution's output
        self.in_conv.run(before, 0..self.stage.inputs, joined, channels);
        for (index, (in_conv, mid_conv)) in self.blocks.iter().enumerate() {
            let half = channels / 2;
            let [even, odd] = blocks;
            let (from, to) = if index % 2 == 0 { (odd, even) } else { (even, odd) };
            if index == 0 {
                in_conv.run(joined, channels..2 * channels, to, half);
            } else {
                in_conv.run(from, 0..channels, to, half);
            }
            mid_conv.run_within(to, half..channels, 0);
        }
        let last = &blocks[(self.blocks.len() + 1) % 2];
        self.out_conv.run(last, 0..channels, joined, 0);
    }
}

/// What a stage writes to.
#[derive(Debug)]
struct StageMaps {
    /// The output: last convolution, then first.
    joined: Map,
    /// Outputs of the blocks by turns; a stage of one block needs one.
    blocks: [Map; 2],
}

/// All that a picture of one size passes through.
#[derive(Debug)]
pub(super) struct Buffers {
    /// Blue, green and red, normalized.
    pub(super) input: Map,
    stem: Map,
    pooled: Map,
    stages: [StageMaps; 4],
    neck: [Map; 3],
    hidden: [Map; 3],
    /// A head's output, each cell padded to whole panels.
    heads: [Map; 3],
}

/// A head's output channels, padded to whole panels of the kernel.
const HEAD_STEP: usize = nanodet::HEAD.next_multiple_of(super::kernel::PANEL);

impl Buffers {
    /// For an input whose sides are multiples of 32.
    pub(super) fn new(height: usize, width: usize) -> Buffers {
        let stages = STAGES.map(|stage| {
            let [joined, even, odd] = stage_maps(stage, height, width).map(|size| size.map());
            StageMaps { joined, blocks: [even, odd] }
        });
        let [stem, pooled] = front_maps(height, width).map(|size| size.map());
        let level = |border, channels| {
            STRIDES.map(|stride| Size::new(height / stride, width / stride, channels, border).map())
        };
        Buffers {
            input: Size::new(height, width, 3, 1).map(),
            stem,
            pooled,
            stages,
            neck: level(1, NECK),
            hidden: level(0, NECK),
            heads: level(0, HEAD_STEP),
        }
    }

    /// Numbers that [`Buffers::new`] holds.
    pub(super) fn numbers(height: usize, width: usize) -> usize {
        let levels = STRIDES.into_iter().flat_map(|stride| {
            [(NECK, 1), (NECK, 0), (HEAD_STEP, 0)]
                .map(|(channels, border)| Size::new(height / stride, width / stride, channels, border))
        });
        let stages = STAGES.into_iter().flat_map(|stage| stage_maps(stage, height, width));
        let sizes = [Size::new(height, width, 3, 1)].into_iter().chain(front_maps(height, width));
        sizes.chain(stages).chain(levels).map(Size::numbers).sum()
    }

    /// Height and width of the input.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.input.height, self.input.width)
    }

    /// What the heads gave.
    pub(super) fn levels(&self) -> [Level<'_>; 3] {
        self.heads.each_ref().map(|map| Level {
            height: map.height,
            width: map.width,
            step: map.channels,
            values: &map.values,
        })
    }
}

/// A map's sizes.
#[derive(Clone, Copy)]
struct Size {
    height: usize,
    width: usize,
    channels: usize,
    border: usize,
}

impl Size {
    fn new(height: usize, width: usize, channels: usize, border: usize) -> Size {
        Size { height, width, channels, border }
    }

    fn map(self) -> Map {
        Map::new(self.height, self.width, self.channels, self.border)
    }

    fn numbers(self) -> usize {
        Map::numbers(self.height, self.width, self.channels, self.border)
    }
}

fn front_maps(height: usize, width: usize) -> [Size; 2] {
    [Size::new(height / 2, width / 2, STEM, 0), Size::new(height / 4, width / 4, STEM, 1)]
}

fn stage_maps(stage: Stage, height: usize, width: usize) -> [Size; 3] {
    // the first stage works on quarters; each later one halves again
    let step = 4 << STAGES.iter().take_while(|other| other.name != stage.name).count();
    let size = |channels| Size::new(height / step, width / step, channels, 1);
    let second = if stage.blocks > 1 { size(stage.channels) } else { Size::new(0, 0, stage.channels, 0) };
    [size(2 * stage.channels), size(stage.channels), second]
}

/// The largest of 3 x 3 pixels around every second one.
fn max_pool(from: &Map, to: &mut Map) {
    let (channels, width) = (from.channels, to.width);
    rows(to).for_each(|(y, row)| {
        let above = (2 * y).saturating_sub(1);
        let below = (2 * y + 1).min(from.height - 1);
        for (x, pixel) in row.chunks_exact_mut(channels).take(width).enumerate() {
            pixel.fill(f32::NEG_INFINITY);
            for y in above..=below {
                let left = (2 * x).saturating_sub(1);
                let right = (2 * x + 1).min(from.width - 1);
                let start = from.row(y) + left * channels;
                let end = from.row(y) + (right + 1) * channels;
                for other in from.values[start..end].chunks_exact(channels) {
                    for (largest, value) in pixel.iter_mut().zip(other) {
                        *largest = largest.max(*value);
                    }
                }
            }
        }
    });
}

/// Adds `from`, enlarged twice (bilinear, half-pixel centers, edges repeated), to `to`.
fn add_enlarged(from: &Map, to: &mut Map) {
    let (channels, width) = (to.channels, to.width);
    rows(to).for_each(|(y, row)| {
        let (upper, lower, down) = between(y, from.height);
        for (x, pixel) in row.chunks_exact_mut(channels).take(width).enumerate() {
            let (left, right, across) = between(x, from.width);
            let at = |y: usize, x: usize| {
                let start = from.row(y) + x * channels;
                &from.values[start..start + channels]
            };
            let (a, b, c, d) = (at(upper, left), at(upper, right), at(lower, left), at(lower, right));
            for ((((value, a), b), c), d) in pixel.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                let (upper, lower) = (a + (b - a) * across, c + (d - c) * across);
                *value += upper + (lower - upper) * down;
            }
        }
    });
}

/// The two cells that cell `index` of twice as many lies between, and the share of the second.
fn between(index: usize, length: usize) -> (usize, usize, f32) {
    let last = length.saturating_sub(1);
    if index.is_multiple_of(2) {
        (index.div_euclid(2).saturating_sub(1), (index / 2).min(last), if index == 0 { 0.0 } else { 0.75 })
    } else {
        (index / 2, (index / 2 + 1).min(last), 0.25)
    }
}

/// Adds `from`, halved (the mean of 2 x 2), to `to`.
fn add_halved(from: &Map, to: &mut Map) {
    let (channels, width) = (to.channels, to.width);
    rows(to).for_each(|(y, row)| {
        for (x, pixel) in row.chunks_exact_mut(channels).take(width).enumerate() {
            let at = |y: usize, x: usize| {
                let start = from.row(y) + x * channels;
                &from.values[start..start + channels]
            };
            let (left, right) = (2 * x, 2 * x + 1);
            let (upper, lower) = (2 * y, 2 * y + 1);
            let (a, b, c, d) = (at(upper, left), at(upper, right), at(lower, left), at(lower, right));
            for ((((value, a), b), c), d) in pixel.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                let (upper, lower) = (a + (b - a) * 0.5, c + (d - c) * 0.5);
                *value += upper + (lower - upper) * 0.5;
            }
        }
    });
}

/// The rows of a map without its border, on all threads: number and numbers from the first pixel on.
fn rows(map: &mut Map) -> impl IndexedParallelIterator<Item = (usize, &mut [f32])> {
    let (step, border, height) = (map.row_step(), map.border, map.height);
    let (skipped, taken) = (border * map.channels, map.width * map.channels);
    let rows = map.values.par_chunks_mut(step.max(1)).skip(border).take(height).enumerate();
    rows.map(move |(y, row)| (y, &mut row[skipped..skipped + taken]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_an_enlarged_map_lie_between_two() {
        assert_eq!(between(0, 4), (0, 0, 0.0));
        assert_eq!(between(1, 4), (0, 1, 0.25));
        assert_eq!(between(2, 4), (0, 1, 0.75));
        assert_eq!(between(7, 4), (3, 3, 0.25));
        let mut from = Map::new(1, 2, 1, 1);
        let first = from.row(0);
        from.values[first..first + 2].copy_from_slice(&[1.0, 5.0]);
        let mut to = Map::new(2, 4, 1, 0);
        add_enlarged(&from, &mut to);
        assert_eq!(to.values, [1.0, 2.0, 4.0, 5.0, 1.0, 2.0, 4.0, 5.0]);
        add_halved(&to.clone(), &mut from);
        assert_eq!(from.values[first..first + 2], [2.5, 9.5]);
    }

    #[test]
    fn a_pool_does_not_see_its_border() {
        let mut from = Map::new(2, 4, 1, 0);
        from.values.copy_from_slice(&[-5.0, -4.0, -3.0, -2.0, -9.0, -8.0, -7.0, -1.0]);
        let mut to = Map::new(1, 2, 1, 1);
        max_pool(&from, &mut to);
        let first = to.row(0);
        assert_eq!(to.values[first..first + 2], [-4.0, -1.0]);
    }

    #[test]
    fn buffers_are_counted() {
        for (height, width) in [(32, 32), (384, 672)] {
            let Buffers { input, stem, pooled, stages, neck, hidden, heads } = Buffers::new(height, width);
            let stages = stages.into_iter().flat_map(|maps| [maps.joined].into_iter().chain(maps.blocks));
            let maps = [input, stem, pooled].into_iter().chain(stages).chain(neck).chain(hidden).chain(heads);
            let numbers: usize = maps.map(|map| map.values.len()).sum();
            assert_eq!(numbers, Buffers::numbers(height, width));
        }
    }
}
