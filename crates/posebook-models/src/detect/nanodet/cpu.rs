//! Runs the network on the CPU with [`super::kernel`]'s convolutions: one image at a time, in reusable buffers.
//!
//! Concatenations are free: layers write directly to their channels of the concatenated map.

use super::architecture::{self as nanodet, Layer, NECK, STAGES, STEM, STRIDES, Stage};
use super::decode::Level;
use super::kernel::{Activation, Convolution, PaddedMap};
use rayon::prelude::*;
use std::ops::Range;

/// Callback for layer outputs: layer name, map, and the layer's channels in the map.
pub(super) type ActivationCallback<'a> = &'a mut dyn FnMut(&str, &PaddedMap, Range<usize>);

/// The network with packed weights.
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
    /// `values` returns a layer's weight `(outputs, inputs, side, side)` and bias.
    pub(super) fn load<E>(values: impl Fn(&Layer) -> Result<(Vec<f32>, Vec<f32>), E>) -> Result<Network, E> {
        let pack = |layer: Layer| {
            let (weight, bias) = values(&layer)?;
            let activation = if layer.leaky { Activation::Leaky } else { Activation::None };
            Ok(Convolution::new(&weight, &bias, (layer.inputs, layer.side, layer.stride), activation))
        };
        let stem = pack(nanodet::stem())?;
        let stages = STAGES.into_iter().map(|stage| {
            let block = |block| Ok((pack(stage.block_in(block))?, pack(stage.block_mid(block))?));
            Ok(StageWeights {
                stage,
                in_conv: pack(stage.in_conv())?,
                blocks: (0..stage.blocks).map(block).collect::<Result<_, E>>()?,
                out_conv: pack(stage.out_conv())?,
            })
        });
        let stages = stages.collect::<Result<_, E>>()?;
        let levels = 0..STRIDES.len();
        let head = |level| Ok((pack(nanodet::head_conv(level))?, pack(nanodet::head_out(level))?));
        Ok(Network {
            stem,
            stages,
            laterals: levels.clone().map(|level| pack(nanodet::lateral(level))).collect::<Result<_, E>>()?,
            heads: levels.map(head).collect::<Result<_, E>>()?,
        })
    }

    /// Number of packed weights and biases.
    #[cfg(test)]
    pub(super) fn value_count(&self) -> usize {
        let pairs = self.stages.iter().flat_map(|stage| &stage.blocks).chain(&self.heads);
        let ends = self.stages.iter().flat_map(|stage| [&stage.in_conv, &stage.out_conv]);
        let layers = pairs.flat_map(|(first, second)| [first, second]).chain(ends).chain(&self.laterals);
        layers.chain([&self.stem]).map(Convolution::stored_len).sum()
    }

    /// Computes the heads' outputs for the image in `buffers.input`.
    pub(super) fn run(&self, buffers: &mut Buffers, mut on_activation: Option<ActivationCallback>) {
        let has_callback = on_activation.is_some();
        let mut report = |name: &str, map: &PaddedMap, channels: Range<usize>| {
            if let Some(on_activation) = &mut on_activation {
                on_activation(name, map, channels);
            }
        };
        let Buffers { input, stem, pooled, stages, neck, hidden, heads } = buffers;
        self.stem.run(input, 0..3, stem, 0);
        report("backbone.stem", stem, 0..STEM);
        max_pool(stem, pooled);
        report("backbone.pool", pooled, 0..STEM);
        let mut previous: &PaddedMap = pooled;
        for (weights, maps) in self.stages.iter().zip(stages.iter_mut()) {
            weights.run(previous, maps);
            let channels = weights.stage.channels;
            report(&format!("{}.in_conv", weights.stage.name), &maps.concatenated, channels..2 * channels);
            report(&format!("{}.out_conv", weights.stage.name), &maps.concatenated, 0..channels);
            previous = &maps.concatenated;
        }
        for ((lateral, maps), sum) in self.laterals.iter().zip(&stages[1..]).zip(neck.iter_mut()) {
            lateral.run(&maps.concatenated, 0..lateral.inputs, sum, 0);
        }
        let [fine, middle, coarse] = neck;
        if has_callback {
            let mut upsampled = PaddedMap::new(middle.height, middle.width, NECK, 0);
            add_upsampled(coarse, &mut upsampled);
            report("neck.up.1", &upsampled, 0..NECK);
        }
        add_upsampled(coarse, middle);
        add_upsampled(middle, fine);
        if has_callback {
            let mut downsampled = PaddedMap::new(middle.height, middle.width, NECK, 0);
            add_downsampled(fine, &mut downsampled);
            report("neck.down.0", &downsampled, 0..NECK);
        }
        add_downsampled(fine, middle);
        add_downsampled(middle, coarse);
        for (level, (conv, out)) in self.heads.iter().enumerate() {
            conv.run(&neck[level], 0..NECK, &mut hidden[level], 0);
            report(&format!("head.{level}.conv"), &hidden[level], 0..NECK);
            out.run(&hidden[level], 0..NECK, &mut heads[level], 0);
        }
    }
}

impl StageWeights {
    fn run(&self, input: &PaddedMap, maps: &mut StageMaps) {
        let channels = self.stage.channels;
        let StageMaps { concatenated, blocks } = maps;
        // the output of the first convolution is the second half of the stage's output
        self.in_conv.run(input, 0..self.stage.inputs, concatenated, channels);
        for (index, (in_conv, mid_conv)) in self.blocks.iter().enumerate() {
            let half = channels / 2;
            let [even, odd] = blocks;
            let (from, to) = if index % 2 == 0 { (odd, even) } else { (even, odd) };
            if index == 0 {
                in_conv.run(concatenated, channels..2 * channels, to, half);
            } else {
                in_conv.run(from, 0..channels, to, half);
            }
            mid_conv.run_within(to, half..channels, 0);
        }
        let last = &blocks[(self.blocks.len() + 1) % 2];
        self.out_conv.run(last, 0..channels, concatenated, 0);
    }
}

/// The maps of a stage.
#[derive(Debug)]
struct StageMaps {
    /// The stage's output: channels of the last convolution, then of the first.
    concatenated: PaddedMap,
    /// Outputs of the blocks, alternating; a stage with one block needs one.
    blocks: [PaddedMap; 2],
}

/// All maps for one input size.
#[derive(Debug)]
pub(super) struct Buffers {
    /// Normalized blue, green and red.
    pub(super) input: PaddedMap,
    stem: PaddedMap,
    pooled: PaddedMap,
    stages: [StageMaps; 4],
    neck: [PaddedMap; 3],
    hidden: [PaddedMap; 3],
    /// Outputs of the heads; channels padded to whole panels.
    heads: [PaddedMap; 3],
}

/// Output channels of a head, padded to whole panels of the kernel.
const HEAD_STEP: usize = nanodet::HEAD.next_multiple_of(super::kernel::PANEL);

impl Buffers {
    /// Allocates maps for an input whose height and width are multiples of 32.
    pub(super) fn new(height: usize, width: usize) -> Buffers {
        let stages = STAGES.map(|stage| {
            let [concatenated, even, odd] = stage_maps(stage, height, width).map(|size| size.allocate());
            StageMaps { concatenated, blocks: [even, odd] }
        });
        let [stem, pooled] = front_maps(height, width).map(|size| size.allocate());
        let level = |border, channels| {
            STRIDES.map(|stride| MapSize::new(height / stride, width / stride, channels, border).allocate())
        };
        Buffers {
            input: MapSize::new(height, width, 3, 1).allocate(),
            stem,
            pooled,
            stages,
            neck: level(1, NECK),
            hidden: level(0, NECK),
            heads: level(0, HEAD_STEP),
        }
    }

    /// Number of values that [`Buffers::new`] allocates.
    pub(super) fn value_count(height: usize, width: usize) -> usize {
        let levels = STRIDES.into_iter().flat_map(|stride| {
            [(NECK, 1), (NECK, 0), (HEAD_STEP, 0)]
                .map(|(channels, border)| MapSize::new(height / stride, width / stride, channels, border))
        });
        let stages = STAGES.into_iter().flat_map(|stage| stage_maps(stage, height, width));
        let sizes = [MapSize::new(height, width, 3, 1)].into_iter().chain(front_maps(height, width));
        sizes.chain(stages).chain(levels).map(MapSize::value_count).sum()
    }

    /// Height and width of the input.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.input.height, self.input.width)
    }

    /// The outputs of the heads.
    pub(super) fn levels(&self) -> [Level<'_>; 3] {
        self.heads.each_ref().map(|map| Level {
            height: map.height,
            width: map.width,
            step: map.channels,
            values: &map.values,
        })
    }
}

/// The dimensions of a map.
#[derive(Clone, Copy)]
struct MapSize {
    height: usize,
    width: usize,
    channels: usize,
    border: usize,
}

impl MapSize {
    fn new(height: usize, width: usize, channels: usize, border: usize) -> MapSize {
        MapSize { height, width, channels, border }
    }

    fn allocate(self) -> PaddedMap {
        PaddedMap::new(self.height, self.width, self.channels, self.border)
    }

    fn value_count(self) -> usize {
        PaddedMap::value_count(self.height, self.width, self.channels, self.border)
    }
}

fn front_maps(height: usize, width: usize) -> [MapSize; 2] {
    [MapSize::new(height / 2, width / 2, STEM, 0), MapSize::new(height / 4, width / 4, STEM, 1)]
}

fn stage_maps(stage: Stage, height: usize, width: usize) -> [MapSize; 3] {
    // the first stage works at a quarter of the resolution; each later one halves it again
    let step = 4 << STAGES.iter().take_while(|other| other.name != stage.name).count();
    let size = |channels| MapSize::new(height / step, width / step, channels, 1);
    let second = if stage.blocks > 1 { size(stage.channels) } else { MapSize::new(0, 0, stage.channels, 0) };
    [size(2 * stage.channels), size(stage.channels), second]
}

/// 3 x 3 max pooling with stride 2.
fn max_pool(from: &PaddedMap, to: &mut PaddedMap) {
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

/// Adds `from`, upsampled 2x (bilinear, half-pixel centers, edges repeated), to `to`.
fn add_upsampled(from: &PaddedMap, to: &mut PaddedMap) {
    let (channels, width) = (to.channels, to.width);
    rows(to).for_each(|(y, row)| {
        let (upper, lower, down) = neighbors(y, from.height);
        for (x, pixel) in row.chunks_exact_mut(channels).take(width).enumerate() {
            let (left, right, across) = neighbors(x, from.width);
            let pixel_at = |y: usize, x: usize| {
                let start = from.row(y) + x * channels;
                &from.values[start..start + channels]
            };
            let (a, b, c, d) = (
                pixel_at(upper, left),
                pixel_at(upper, right),
                pixel_at(lower, left),
                pixel_at(lower, right),
            );
            for ((((value, a), b), c), d) in pixel.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                let (upper, lower) = (a + (b - a) * across, c + (d - c) * across);
                *value += upper + (lower - upper) * down;
            }
        }
    });
}

/// For a 2x upsampled cell the indices of its two source cells, and the weight of the second.
fn neighbors(index: usize, length: usize) -> (usize, usize, f32) {
    let last = length.saturating_sub(1);
    if index.is_multiple_of(2) {
        (index.div_euclid(2).saturating_sub(1), (index / 2).min(last), if index == 0 { 0.0 } else { 0.75 })
    } else {
        (index / 2, (index / 2 + 1).min(last), 0.25)
    }
}

/// Adds `from`, downsampled 2x (mean of 2 x 2), to `to`.
fn add_downsampled(from: &PaddedMap, to: &mut PaddedMap) {
    let (channels, width) = (to.channels, to.width);
    rows(to).for_each(|(y, row)| {
        for (x, pixel) in row.chunks_exact_mut(channels).take(width).enumerate() {
            let pixel_at = |y: usize, x: usize| {
                let start = from.row(y) + x * channels;
                &from.values[start..start + channels]
            };
            let (left, right) = (2 * x, 2 * x + 1);
            let (upper, lower) = (2 * y, 2 * y + 1);
            let (a, b, c, d) = (
                pixel_at(upper, left),
                pixel_at(upper, right),
                pixel_at(lower, left),
                pixel_at(lower, right),
            );
            for ((((value, a), b), c), d) in pixel.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                let (upper, lower) = (a + (b - a) * 0.5, c + (d - c) * 0.5);
                *value += upper + (lower - upper) * 0.5;
            }
        }
    });
}

/// Parallel iterator over the rows of a map without its border: row index and values.
fn rows(map: &mut PaddedMap) -> impl IndexedParallelIterator<Item = (usize, &mut [f32])> {
    let (step, border, height) = (map.row_step(), map.border, map.height);
    let (skipped, taken) = (border * map.channels, map.width * map.channels);
    let rows = map.values.par_chunks_mut(step.max(1)).skip(border).take(height).enumerate();
    rows.map(move |(y, row)| (y, &mut row[skipped..skipped + taken]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upsampling_interpolates_between_two_cells() {
        assert_eq!(neighbors(0, 4), (0, 0, 0.0));
        assert_eq!(neighbors(1, 4), (0, 1, 0.25));
        assert_eq!(neighbors(2, 4), (0, 1, 0.75));
        assert_eq!(neighbors(7, 4), (3, 3, 0.25));
        let mut from = PaddedMap::new(1, 2, 1, 1);
        let first = from.row(0);
        from.values[first..first + 2].copy_from_slice(&[1.0, 5.0]);
        let mut to = PaddedMap::new(2, 4, 1, 0);
        add_upsampled(&from, &mut to);
        assert_eq!(to.values, [1.0, 2.0, 4.0, 5.0, 1.0, 2.0, 4.0, 5.0]);
        add_downsampled(&to.clone(), &mut from);
        assert_eq!(from.values[first..first + 2], [2.5, 9.5]);
    }

    #[test]
    fn max_pooling_ignores_the_border() {
        let mut from = PaddedMap::new(2, 4, 1, 0);
        from.values.copy_from_slice(&[-5.0, -4.0, -3.0, -2.0, -9.0, -8.0, -7.0, -1.0]);
        let mut to = PaddedMap::new(1, 2, 1, 1);
        max_pool(&from, &mut to);
        let first = to.row(0);
        assert_eq!(to.values[first..first + 2], [-4.0, -1.0]);
    }

    #[test]
    fn value_count_equals_the_allocated_values() {
        for (height, width) in [(32, 32), (384, 672)] {
            let Buffers { input, stem, pooled, stages, neck, hidden, heads } = Buffers::new(height, width);
            let stages =
                stages.into_iter().flat_map(|maps| [maps.concatenated].into_iter().chain(maps.blocks));
            let maps = [input, stem, pooled].into_iter().chain(stages).chain(neck).chain(hidden).chain(heads);
            let values: usize = maps.map(|map| map.values.len()).sum();
            assert_eq!(values, Buffers::value_count(height, width));
        }
    }
}
