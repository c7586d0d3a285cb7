//! A convolution as a product of gathered windows and packed weights, block by block.

use super::gather::{Batch, Rows, gather};
use super::tile::{self, ROWS, Tile, WIDTHS};
use super::vector::Instructions;
use super::{BLOCK_PIXELS, Convolution, Epilogue, MAX_TERMS, Panel};
use rayon::prelude::*;
use std::cell::RefCell;
use std::ops::Range;

thread_local! {
    /// Gathered windows of one block; reused, because allocating is slower than computing a small block.
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

thread_local! {
    /// The outputs of one block of a transposed convolution, before they are moved to their place.
    static QUADS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Values of a tile.
const TILE_LEN: usize = ROWS * WIDTHS[0];
/// Pixels that are a multiple of this many bytes apart are in few sets of the first-level cache.
const CONFLICT_BYTES: usize = 2048;
/// Values of a cache line.
const LINE: usize = 16;

/// Values of the scratch of a block.
pub fn scratch_len(terms: usize, pixels: usize) -> usize {
    pixels * row_stride(terms) + 2 * TILE_LEN
}

/// Elements from one pixel's gathered terms to the next one's: an odd number of cache lines, so that the rows of a tile do
/// not compete for the same lines of the first-level cache.
pub fn row_stride(terms: usize) -> usize {
    (terms.div_ceil(LINE) | 1) * LINE
}

/// A convolution that is being computed.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    pub convolution: &'a Convolution,
    pub batch: Batch<'a>,
    pub epilogue: Epilogue<'a>,
    pub instructions: Instructions,
}

impl Job<'_> {
    /// All output pixels, on all threads.
    pub fn run(&self, out: &mut [f32]) {
        let outputs = self.convolution.spec.outputs;
        let pixels = out.len() / outputs;
        // small outputs are divided more finely, so that every thread has work
        let share = pixels.div_ceil(2 * rayon::current_num_threads()).next_multiple_of(ROWS);
        let block = share.clamp(ROWS, BLOCK_PIXELS);
        out.par_chunks_mut(block * outputs)
            .enumerate()
            .for_each(|(index, out)| self.block(index * block, out));
    }

    /// As [`Job::run`], with the four parts of each pixel's outputs in 2 x 2 pixels.
    pub fn run_to_quads(&self, out: &mut [f32]) {
        let outputs = self.convolution.spec.outputs;
        let row = self.batch.width * outputs;
        if out.is_empty() {
            return;
        }
        // whole rows, at least one
        let rows = (BLOCK_PIXELS / self.batch.width).max(1);
        out.par_chunks_mut(rows * row).enumerate().for_each(|(index, out)| {
            QUADS.with_borrow_mut(|quads| {
                quads.resize(BLOCK_PIXELS * outputs, 0.0);
                let pixels = out.len() / outputs;
                for start in (0..pixels).step_by(BLOCK_PIXELS) {
                    let count = BLOCK_PIXELS.min(pixels - start);
                    let quads = &mut quads[..count * outputs];
                    self.block(index * rows * self.batch.width + start, quads);
                    for (pixel, values) in quads.chunks_exact(outputs).enumerate() {
                        let (y, x) = ((start + pixel) / self.batch.width, (start + pixel) % self.batch.width);
                        let (upper, lower) = values.split_at(outputs / 2);
                        let at = y * row + x * outputs / 2;
                        out[at..at + outputs / 2].copy_from_slice(upper);
                        let at = at + row / 2;
                        out[at..at + outputs / 2].copy_from_slice(lower);
                    }
                }
            });
        });
    }

    /// The output pixels from `first` on, as many as `out` holds, on the calling thread.
    pub fn block(&self, first: usize, out: &mut [f32]) {
        let spec = self.convolution.spec;
        let pixels = out.len() / spec.outputs;
        let terms = spec.terms();
        let chunk = terms.div_ceil(terms.div_ceil(MAX_TERMS));
        let stride = row_stride(chunk);
        let rows = pixels.next_multiple_of(ROWS);
        // whole tiles that are read where they are
        let skipped = if self.is_in_place() { pixels / ROWS * ROWS } else { 0 };
        SCRATCH.with_borrow_mut(|scratch| {
            let needed = scratch_len(chunk, rows);
            if scratch.len() < needed {
                scratch.resize(needed, 0.0);
            }
            let (tiles, gathered) = scratch.split_at_mut(2 * TILE_LEN);
            let panels = self.convolution.panels.chunk_by(|a, b| a.group == b.group);
            for panels in panels {
                let Some(group) = panels.first().map(|panel| panel.group) else { continue };
                for start in (0..terms).step_by(chunk) {
                    let range = start..(start + chunk).min(terms);
                    let (pixels, range_of) = (skipped..pixels, range.clone());
                    let mut rows = Rows { values: &mut gathered[skipped * stride..rows * stride], stride };
                    gather(
                        &self.batch,
                        spec,
                        group,
                        first + pixels.start..first + pixels.end,
                        range_of,
                        &mut rows,
                    );
                    rows.values[pixels.len() * stride..].fill(0.0);
                    for panel in panels {
                        self.panel(panel, range.clone(), (gathered, stride), tiles, first, out);
                    }
                }
            }
        });
    }

    /// Whether windows are read where they are: those of a pointwise convolution, unless the pixels of a tile would compete
    /// for the same lines of the first-level cache.
    fn is_in_place(&self) -> bool {
        let spec = self.convolution.spec;
        let is_pointwise = (spec.kernel, spec.stride, spec.padding, spec.groups) == (1, 1, 0, 1);
        is_pointwise && !(spec.inputs * size_of::<f32>()).is_multiple_of(CONFLICT_BYTES)
    }

    /// One panel of channels of all pixels of a block, for some terms.
    fn panel(
        &self,
        panel: &Panel,
        range: Range<usize>,
        (gathered, stride): (&[f32], usize),
        tiles: &mut [f32],
        first: usize,
        out: &mut [f32],
    ) {
        let Convolution { spec, weights, bias, .. } = self.convolution;
        let (outputs, pixels, terms) = (spec.outputs, out.len() / spec.outputs, spec.terms());
        let weights = &weights[panel.weights..][..terms * panel.width];
        let weights = &weights[range.start * panel.width..range.end * panel.width];
        let bias = &bias[panel.bias..][..panel.width];
        let is_last = range.end == terms;
        let added =
            self.epilogue.added.filter(|_| is_last).map(|added| &added[first * outputs..][..out.len()]);
        let kernel = tile::kernel(panel.width, self.instructions);
        let in_place = self.is_in_place();
        let (sums, added_tile) = tiles.split_at_mut(TILE_LEN);
        for pixel in (0..pixels).step_by(ROWS) {
            let count = ROWS.min(pixels - pixel);
            let (left, left_stride) = if in_place && count == ROWS {
                let from = (first + pixel) * spec.inputs + range.start;
                let length = (ROWS - 1) * spec.inputs + range.len();
                (&self.batch.input[from..from + length], spec.inputs)
            } else {
                (&gathered[pixel * stride..(pixel + ROWS) * stride], stride)
            };
            assert!(range.len() <= left_stride && panel.first + panel.count <= outputs);
            let is_whole = count == ROWS && panel.count == panel.width;
            let at = pixel * outputs + panel.first;
            let mut job = Tile {
                left: left.as_ptr(),
                left_stride,
                right: weights.as_ptr(),
                terms: range.len(),
                out: std::ptr::null_mut(),
                out_stride: outputs,
                bias: if range.start == 0 { bias.as_ptr() } else { std::ptr::null() },
                added: std::ptr::null(),
                relu: is_last && self.epilogue.relu,
            };
            if is_whole {
                let length = (ROWS - 1) * outputs + panel.width;
                job.out = out[at..at + length].as_mut_ptr();
                job.added = added.map_or(std::ptr::null(), |added| added[at..at + length].as_ptr());
                #[expect(unsafe_code, reason = "calls a kernel through pointers into the slices above")]
                // SAFETY: `left` has `ROWS` rows of at least `terms` values, `weights` and `bias` as many as the panel's
                // width asks for, and `out` and `added` were sliced to the tile's length; `instructions` were detected
                unsafe {
                    kernel(&job);
                }
                continue;
            }
            // a tile at the edge of the output: computed aside
            let width = panel.width;
            if range.start > 0 {
                copy_tile(&out[at..], outputs, sums, width, [count, panel.count]);
            }
            if let Some(added) = added {
                copy_tile(&added[at..], outputs, added_tile, width, [count, panel.count]);
                job.added = added_tile.as_ptr();
            }
            job.out = sums.as_mut_ptr();
            job.out_stride = width;
            #[expect(unsafe_code, reason = "calls a kernel through pointers into the slices above")]
            // SAFETY: as above; `sums` and `added_tile` have `ROWS` rows of the widest panel
            unsafe {
                kernel(&job);
            }
            copy_tile(sums, width, &mut out[at..], outputs, [count, panel.count]);
        }
    }
}

/// Copies a tile of `rows` x `columns` values between two row-major matrices, whose rows start every `from_stride` and
/// `to_stride` values.
fn copy_tile(
    from: &[f32],
    from_stride: usize,
    to: &mut [f32],
    to_stride: usize,
    [rows, columns]: [usize; 2],
) {
    for (from, to) in from.chunks(from_stride).zip(to.chunks_mut(to_stride)).take(rows) {
        to[..columns].copy_from_slice(&from[..columns]);
    }
}
