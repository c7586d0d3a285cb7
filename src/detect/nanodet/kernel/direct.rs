//! Convolutions without any rearrangement: every tap of a filter is a number at a fixed distance.

use super::LEAKY_SLOPE;
use super::map::Shape;
use super::micro::{PANEL, Place, Read, TILE, accumulate};
use rayon::prelude::*;

/// Pixels and panels that one thread takes at a time; constants, although no result depends on them.
const TASK_PIXELS: usize = 512;
const TASK_PANELS: usize = 2;

/// A filter of `side x side`, packed.
pub(super) struct Filter<'a> {
    pub(super) inputs: usize,
    pub(super) side: usize,
    pub(super) stride: usize,
    pub(super) leaky: bool,
    /// Whether the processor has AVX2 and FMA.
    pub(super) wide: bool,
    /// `(panels, PANEL)`.
    pub(super) bias: &'a [f32],
    /// `(panels, row of the filter, column, input, PANEL)`.
    pub(super) packed: &'a [f32],
}

impl Filter<'_> {
    /// Computes channels `to..` of the output from channels `from..` of the input.
    pub(super) fn run(
        &self,
        input: &Shape,
        from: usize,
        read: &Read,
        output: &Shape,
        to: usize,
        place: &Place,
    ) {
        let pad = self.side / 2;
        let (height, width) = (output.height, output.width);
        let panels = self.bias.len() / PANEL;
        let rows = TASK_PIXELS.div_ceil(width.max(1));
        let (row_tasks, panel_tasks) = (height.div_ceil(rows), panels.div_ceil(TASK_PANELS));
        let geometry = Geometry {
            taps: self.side,
            inputs: self.inputs,
            tap_step: input.channels,
            row_step: input.row_step,
            pixel_step: self.stride * input.channels,
            output_step: output.channels,
            leaky: self.leaky,
        };
        let wide = self.wide;
        (0..row_tasks * panel_tasks).into_par_iter().for_each(|task| {
            let (row_task, panel_task) = (task / panel_tasks, task % panel_tasks);
            for panel in panel_task * TASK_PANELS..((panel_task + 1) * TASK_PANELS).min(panels) {
                let taps = self.inputs * self.side * self.side * PANEL;
                let weights = &self.packed[panel * taps..(panel + 1) * taps];
                let bias = self.bias[panel * PANEL..].first_chunk::<PANEL>().copied().unwrap_or_default();
                for y in row_task * rows..((row_task + 1) * rows).min(height) {
                    // the filter's first row lies `pad` rows above, its first column `pad` to the left
                    let first = (y * self.stride + input.border - pad) * input.row_step
                        + (input.border - pad) * input.channels
                        + from;
                    let output = output.first + y * output.row_step + to + panel * PANEL;
                    let row = Row { input: first, output, width };
                    geometry.row(&row, read, weights, &bias, place, wide);
                }
            }
        });
    }
}

/// One row of the output, for one panel of channels.
struct Row {
    /// Where the filter's first tap at the row's first pixel is.
    input: usize,
    /// Where the first pixel's panel starts.
    output: usize,
    width: usize,
}

/// Distances, in numbers.
struct Geometry {
    /// Side of the filter.
    taps: usize,
    inputs: usize,
    /// From a tap to the next of its row.
    tap_step: usize,
    /// From a row of the input to the next.
    row_step: usize,
    /// From one output pixel's input to the next's.
    pixel_step: usize,
    /// From one pixel of the output to the next.
    output_step: usize,
    leaky: bool,
}

impl Geometry {
    fn row(&self, row: &Row, read: &Read, weights: &[f32], bias: &[f32; PANEL], place: &Place, wide: bool) {
        let taps = (read, weights, bias, wide);
        for x in (0..row.width).step_by(TILE) {
            match row.width - x {
                1 => self.tile::<1>(row, x, taps, place),
                2 => self.tile::<2>(row, x, taps, place),
                3 => self.tile::<3>(row, x, taps, place),
                4 => self.tile::<4>(row, x, taps, place),
                5 => self.tile::<5>(row, x, taps, place),
                _ => self.tile::<TILE>(row, x, taps, place),
            }
        }
    }

    /// `N` pixels from column `x` on.
    fn tile<const N: usize>(
        &self,
        row: &Row,
        x: usize,
        (read, weights, bias, wide): (&Read, &[f32], &[f32; PANEL], bool),
        place: &Place,
    ) {
        let mut sums = [*bias; N];
        let start = row.input + x * self.pixel_step;
        // taps of a row that lie one after the other are one run
        let joined = self.tap_step == self.inputs;
        let (runs, run) = if joined { (1, self.taps * self.inputs) } else { (self.taps, self.inputs) };
        let mut weights = weights;
        for y in 0..self.taps {
            for tap in 0..runs {
                let (here, behind) = weights.split_at(run * PANEL);
                weights = behind;
                let at = start + y * self.row_step + tap * self.tap_step;
                accumulate(&read.runs::<N>(at, self.pixel_step, run), here, &mut sums, wide);
            }
        }
        for (pixel, mut sums) in sums.into_iter().enumerate() {
            if self.leaky {
                for sum in &mut sums {
                    *sum = sum.max(LEAKY_SLOPE * *sum);
                }
            }
            place.write(row.output + (x + pixel) * self.output_step, &sums);
        }
    }
}
