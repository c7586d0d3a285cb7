//! 3 x 3 convolutions with stride 1 by Winograd's minimal filtering F(2 x 2, 3 x 3) (Lavin and Gray 2016): 16 instead of 36
//! products for 2 x 2 outputs.
//!
//! Tiles of 4 x 4 inputs and the weights are transformed, multiplied (a matrix product over the channels for each of the 16
//! positions), and transformed back to 2 x 2 outputs. Tiles start at the first pixel of each image, and each is a row of
//! the products, so that results do not depend on the batch. Weights are transformed in double precision.

use super::direct::{Job, row_stride};
use super::gather::Batch;
use super::tile::{self, ROWS, Tile, WIDTHS};
use super::vector::{Instructions, Vector};
use super::{ConvSpec, Convolution, Panel};
use rayon::prelude::*;
use std::cell::RefCell;
use std::ops::Range;

/// Values of a transformed tile or filter.
const POSITIONS: usize = 16;
/// Side of an input tile, pixels.
const SIDE: usize = 4;
/// Side of a tile's outputs, pixels.
const STEP: usize = 2;
/// Input channels: with fewer the transforms cost too much, with more a block is too large for the second-level cache.
const INPUTS: std::ops::RangeInclusive<usize> = 32..=1024;
/// Channels that the widest register holds: numbers of channels have to be multiples of it.
const LANES: usize = 16;
/// Transformed values of a block of tiles, so that they stay in the second-level cache.
const BLOCK_VALUES: usize = 3 << 16;

/// The pixels outside of the map, and the start of sums.
static ZEROS: [f32; *INPUTS.end()] = [0.0; *INPUTS.end()];

thread_local! {
    /// Transformed inputs and products of one block.
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Whether a convolution is computed by this module.
pub fn fits(spec: ConvSpec) -> bool {
    let ConvSpec { inputs, outputs, kernel, stride, padding, groups } = spec;
    let sizes = (kernel, stride, groups) == (3, 1, 1) && padding <= 1;
    sizes && INPUTS.contains(&inputs) && inputs.is_multiple_of(LANES) && outputs.is_multiple_of(LANES)
}

/// Transformed values of an output channel.
pub fn values(inputs: usize) -> usize {
    POSITIONS * inputs
}

/// Transforms weights `(outputs, inputs, 3, 3)` of the channels of a panel to `(position, input, width)`.
pub fn pack(weights: &[f32], inputs: usize, panel: &Panel, packed: &mut Vec<f32>) {
    const TRANSFORM: [[f64; 3]; SIDE] = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];
    for position in 0..POSITIONS {
        let (down, across) = (&TRANSFORM[position / SIDE], &TRANSFORM[position % SIDE]);
        for input in 0..inputs {
            packed.extend((panel.first..panel.first + panel.width).map(|output| {
                let filter = &weights[(output * inputs + input) * 9..][..9];
                let taps = filter.iter().enumerate();
                taps.map(|(tap, &value)| down[tap / 3] * across[tap % 3] * f64::from(value)).sum::<f64>()
                    as f32
            }));
        }
    }
}

/// Tiles of a block.
fn block_tiles(inputs: usize) -> usize {
    (BLOCK_VALUES / (POSITIONS * row_stride(inputs)) / ROWS).clamp(1, 8) * ROWS
}

/// Values of the scratch of a block.
fn scratch_len(inputs: usize, tiles: usize) -> usize {
    POSITIONS * tiles * (row_stride(inputs) + WIDTHS[0])
}

/// The most values of the scratch of a block.
#[cfg(test)]
pub fn most_scratch() -> usize {
    INPUTS.map(|inputs| scratch_len(inputs, block_tiles(inputs))).max().unwrap_or(0)
}

/// An output that blocks write to at the same time, each its own pixels.
struct SharedOut {
    start: *mut f32,
    length: usize,
}

#[expect(unsafe_code, reason = "holds a pointer, which is not `Sync` by itself")]
// SAFETY: blocks write pixels of different tiles, and nothing reads the output before all are done
unsafe impl Sync for SharedOut {}

/// All output pixels, on all threads.
pub fn run(job: &Job, out: &mut [f32]) {
    if out.is_empty() {
        return;
    }
    let Batch { input, height, width, out_height, out_width } = job.batch;
    let image = height * width * job.convolution.spec.inputs;
    let images = input.len() / image;
    let (down, across) = (out_height.div_ceil(STEP), out_width.div_ceil(STEP));
    let tiles = images * down * across;
    let share = tiles.div_ceil(2 * rayon::current_num_threads()).next_multiple_of(ROWS);
    let block = block_tiles(job.convolution.spec.inputs).min(share);
    let out = SharedOut { start: out.as_mut_ptr(), length: out.len() };
    (0..tiles.div_ceil(block)).into_par_iter().for_each(|index| {
        let range = index * block..((index + 1) * block).min(tiles);
        SCRATCH.with_borrow_mut(|scratch| Block { job, down, across, tiles: range }.run(scratch, &out));
    });
}

/// Some tiles, counted along the rows of each image.
struct Block<'a> {
    job: &'a Job<'a>,
    /// Tiles of an image from top to bottom.
    down: usize,
    /// Tiles of a row.
    across: usize,
    tiles: Range<usize>,
}

impl Block<'_> {
    fn run(&self, scratch: &mut Vec<f32>, out: &SharedOut) {
        let Convolution { spec, panels, weights, .. } = self.job.convolution;
        let (inputs, stride) = (spec.inputs, row_stride(spec.inputs));
        let rows = self.tiles.len().next_multiple_of(ROWS);
        let needed = scratch_len(inputs, rows);
        if scratch.len() < needed {
            scratch.resize(needed, 0.0);
        }
        let (transformed, products) = scratch.split_at_mut(POSITIONS * rows * stride);
        for (index, tile) in self.tiles.clone().enumerate() {
            let pixels = self.pixels(tile);
            transform_input(
                &pixels,
                inputs,
                &mut transformed[index * stride..],
                rows * stride,
                self.job.instructions,
            );
        }
        // rows beyond the tiles are multiplied, but not used; zeros, because old values may be subnormal, which is slow
        for position in transformed.chunks_exact_mut(rows * stride) {
            position[self.tiles.len() * stride..].fill(0.0);
        }
        for panel in panels {
            let kernel = tile::kernel(panel.width, self.job.instructions);
            let weights = &weights[panel.weights..][..POSITIONS * inputs * panel.width];
            let positions =
                transformed.chunks_exact(rows * stride).zip(weights.chunks_exact(inputs * panel.width));
            for (position, (left, right)) in positions.enumerate() {
                for row in (0..rows).step_by(ROWS) {
                    let left = &left[row * stride..(row + ROWS) * stride];
                    let out = &mut products[(position * rows + row) * panel.width..][..ROWS * panel.width];
                    let tile = Tile {
                        left: left.as_ptr(),
                        left_stride: stride,
                        right: right.as_ptr(),
                        terms: inputs,
                        out: out.as_mut_ptr(),
                        out_stride: panel.width,
                        bias: ZEROS.as_ptr(),
                        added: std::ptr::null(),
                        relu: false,
                    };
                    #[expect(unsafe_code, reason = "calls a kernel through pointers into the slices above")]
                    // SAFETY: the slices have the lengths that the kernel asks for; `instructions` were detected
                    unsafe {
                        kernel(&tile);
                    }
                }
            }
            for (index, tile) in self.tiles.clone().enumerate() {
                self.write(tile, panel, &products[index * panel.width..], rows * panel.width, out);
            }
        }
    }

    /// Image, row and column of a tile's first output.
    fn place(&self, tile: usize) -> [usize; 3] {
        let (image, tile) = (tile / (self.down * self.across), tile % (self.down * self.across));
        [image, tile / self.across * STEP, tile % self.across * STEP]
    }

    /// The inputs of a tile, zeros outside of the map.
    fn pixels(&self, tile: usize) -> [&[f32]; POSITIONS] {
        let Batch { input, height, width, .. } = self.job.batch;
        let ConvSpec { inputs, padding, .. } = self.job.convolution.spec;
        let [image, y, x] = self.place(tile);
        std::array::from_fn(|position| {
            let row = (y + position / SIDE).checked_sub(padding).filter(|&row| row < height);
            let column = (x + position % SIDE).checked_sub(padding).filter(|&column| column < width);
            match (row, column) {
                (Some(row), Some(column)) => {
                    &input[((image * height + row) * width + column) * inputs..][..inputs]
                }
                _ => &ZEROS[..inputs],
            }
        })
    }

    /// Transforms a panel's products of a tile to outputs and writes those that are inside of the map.
    fn write(&self, tile: usize, panel: &Panel, products: &[f32], step: usize, out: &SharedOut) {
        let Batch { out_height, out_width, .. } = self.job.batch;
        let Convolution { spec, bias, .. } = self.job.convolution;
        let [image, y, x] = self.place(tile);
        let mut target = Output {
            out: [std::ptr::null_mut(); STEP * STEP],
            added: [std::ptr::null(); STEP * STEP],
            bias: &bias[panel.bias..][..panel.width],
            relu: self.job.epilogue.relu,
        };
        for at in 0..STEP * STEP {
            let (row, column) = (y + at / STEP, x + at % STEP);
            if row < out_height && column < out_width {
                let start = ((image * out_height + row) * out_width + column) * spec.outputs + panel.first;
                assert!(start + panel.width <= out.length, "a pixel outside of the output");
                target.out[at] = out.start.wrapping_add(start);
                if let Some(added) = self.job.epilogue.added {
                    target.added[at] = added[start..start + panel.width].as_ptr();
                }
            }
        }
        transform_output(products, step, &target, self.job.instructions);
    }
}

/// Where the outputs of a tile go.
struct Output<'a> {
    /// Of each of the four pixels; null outside of the map.
    out: [*mut f32; STEP * STEP],
    /// Null adds nothing.
    added: [*const f32; STEP * STEP],
    /// As many values as the panel is wide.
    bias: &'a [f32],
    relu: bool,
}

/// Compiles a function for every kind of processor.
macro_rules! for_all_instructions {
    ($name:ident, $body:ident, ($($arg:ident: $type:ty),*)) => {
        fn $name($($arg: $type,)* instructions: Instructions) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f")]
            #[expect(unsafe_code, reason = "reads and writes through pointers")]
            unsafe fn avx512($($arg: $type),*) {
                // SAFETY: guaranteed by the caller
                unsafe { $body::<std::arch::x86_64::__m512>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            #[expect(unsafe_code, reason = "reads and writes through pointers")]
            unsafe fn avx2($($arg: $type),*) {
                // SAFETY: guaranteed by the caller
                unsafe { $body::<std::arch::x86_64::__m256>($($arg),*) }
            }
            #[expect(unsafe_code, reason = "calls code compiled for the processor")]
            // SAFETY: the instructions were detected; the bodies check lengths, and `Output` refers to whole pixels
            unsafe {
                match instructions {
                    #[cfg(target_arch = "x86_64")]
                    Instructions::Avx512 => avx512($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    Instructions::Avx2 => avx2($($arg),*),
                    Instructions::Portable => $body::<[f32; 4]>($($arg),*),
                }
            }
        }
    };
}

for_all_instructions!(
    transform_input,
    transform_input_lanes,
    (pixels: &[&[f32]; POSITIONS], inputs: usize, out: &mut [f32], step: usize)
);
for_all_instructions!(
    transform_output,
    transform_output_lanes,
    (products: &[f32], step: usize, target: &Output)
);

/// Transforms an input tile: position `p` of channel `c` is written to `out[p * step + c]`.
///
/// # Safety
/// The processor must have the register's instructions.
#[inline(always)]
#[expect(unsafe_code, reason = "reads and writes through pointers")]
#[expect(
    clippy::needless_range_loop,
    reason = "closures are not compiled for the instructions of their function"
)]
unsafe fn transform_input_lanes<V: Vector>(
    pixels: &[&[f32]; POSITIONS],
    inputs: usize,
    out: &mut [f32],
    step: usize,
) {
    assert!(inputs.is_multiple_of(V::LANES) && (POSITIONS - 1) * step + inputs <= out.len());
    assert!(pixels.iter().all(|pixel| pixel.len() == inputs));
    // SAFETY: the lengths are checked above
    unsafe {
        for channel in (0..inputs).step_by(V::LANES) {
            let mut columns = [[V::splat(0.0); SIDE]; SIDE];
            for column in 0..SIDE {
                let a = V::load(pixels[column].as_ptr().add(channel));
                let b = V::load(pixels[SIDE + column].as_ptr().add(channel));
                let c = V::load(pixels[2 * SIDE + column].as_ptr().add(channel));
                let d = V::load(pixels[3 * SIDE + column].as_ptr().add(channel));
                columns[column] = [a.sub(c), b.add(c), c.sub(b), b.sub(d)];
            }
            for row in 0..SIDE {
                let (a, b, c, d) = (columns[0][row], columns[1][row], columns[2][row], columns[3][row]);
                let out = out.as_mut_ptr().add(row * SIDE * step + channel);
                a.sub(c).store(out);
                b.add(c).store(out.add(step));
                c.sub(b).store(out.add(2 * step));
                b.sub(d).store(out.add(3 * step));
            }
        }
    }
}

/// Transforms the products of a tile, `step` values apart, to its four outputs, adds the bias and what else is added.
///
/// # Safety
/// The processor must have the register's instructions, and the pointers of `target` must refer to as many values as it
/// has biases, or be null.
#[inline(always)]
#[expect(unsafe_code, reason = "reads and writes through pointers")]
#[expect(
    clippy::needless_range_loop,
    reason = "closures are not compiled for the instructions of their function"
)]
unsafe fn transform_output_lanes<V: Vector>(products: &[f32], step: usize, target: &Output) {
    let width = target.bias.len();
    assert!(width.is_multiple_of(V::LANES) && (POSITIONS - 1) * step + width <= products.len());
    // SAFETY: the length is checked above; the caller guarantees the pointers
    unsafe {
        for lane in (0..width).step_by(V::LANES) {
            let mut columns = [[V::splat(0.0); STEP]; SIDE];
            for column in 0..SIDE {
                let from = products.as_ptr().add(column * step + lane);
                let a = V::load(from);
                let b = V::load(from.add(SIDE * step));
                let c = V::load(from.add(2 * SIDE * step));
                let d = V::load(from.add(3 * SIDE * step));
                columns[column] = [a.add(b).add(c), b.sub(c).sub(d)];
            }
            let bias = V::load(target.bias.as_ptr().add(lane));
            for row in 0..STEP {
                let (a, b, c, d) = (columns[0][row], columns[1][row], columns[2][row], columns[3][row]);
                let values = [a.add(b).add(c), b.sub(c).sub(d)];
                for at in 0..STEP {
                    let (out, added) = (target.out[row * STEP + at], target.added[row * STEP + at]);
                    if out.is_null() {
                        continue;
                    }
                    let mut value = values[at].add(bias);
                    if !added.is_null() {
                        value = value.add(V::load(added.add(lane)));
                    }
                    if target.relu {
                        value = value.relu();
                    }
                    value.store(out.add(lane));
                }
            }
        }
    }
}
