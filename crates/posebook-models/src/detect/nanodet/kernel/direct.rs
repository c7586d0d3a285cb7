//! Direct convolution: sums over the taps of the filter, each read from the padded map at a fixed offset.

use super::map::MapLayout;
use super::micro::{LEAKY_SLOPE, PANEL, SharedInput, SharedOutput, TILE, accumulate};
use rayon::prelude::*;

/// Pixels and panels of one parallel task. The result does not depend on them.
const TASK_PIXELS: usize = 512;
const TASK_PANELS: usize = 2;

/// Packed weights of a `side x side` filter.
pub(super) struct DirectFilter<'a> {
    pub(super) inputs: usize,
    pub(super) side: usize,
    pub(super) stride: usize,
    /// Whether a leaky ReLU follows.
    pub(super) leaky: bool,
    /// Whether the CPU has AVX2 and FMA.
    pub(super) avx2: bool,
    /// `(panels, PANEL)`.
    pub(super) bias: &'a [f32],
    /// `(panels, filter row, filter column, input, PANEL)`.
    pub(super) packed: &'a [f32],
}

impl DirectFilter<'_> {
    /// Computes output channels `to..` from input channels `from..`.
    pub(super) fn run(
        &self,
        input: &MapLayout,
        from: usize,
        input_values: &SharedInput,
        output: &MapLayout,
        to: usize,
        output_values: &SharedOutput,
    ) {
        let pad = self.side / 2;
        let (height, width) = (output.height, output.width);
        let panels = self.bias.len() / PANEL;
        let rows = TASK_PIXELS.div_ceil(width.max(1));
        let (row_tasks, panel_tasks) = (height.div_ceil(rows), panels.div_ceil(TASK_PANELS));
        let geometry = Geometry {
            side: self.side,
            inputs: self.inputs,
            tap_step: input.channels,
            row_step: input.row_step,
            pixel_step: self.stride * input.channels,
            output_step: output.channels,
            leaky: self.leaky,
        };
        let avx2 = self.avx2;
        (0..row_tasks * panel_tasks).into_par_iter().for_each(|task| {
            let (row_task, panel_task) = (task / panel_tasks, task % panel_tasks);
            for panel in panel_task * TASK_PANELS..((panel_task + 1) * TASK_PANELS).min(panels) {
                let taps = self.inputs * self.side * self.side * PANEL;
                let weights = &self.packed[panel * taps..(panel + 1) * taps];
                let bias = self.bias[panel * PANEL..].first_chunk::<PANEL>().copied().unwrap_or_default();
                for y in row_task * rows..((row_task + 1) * rows).min(height) {
                    // the filter's first tap is `pad` rows above and `pad` columns to the left
                    let first = (y * self.stride + input.border - pad) * input.row_step
                        + (input.border - pad) * input.channels
                        + from;
                    let output = output.first + y * output.row_step + to + panel * PANEL;
                    let row = Row { input: first, output, width };
                    geometry.row(&row, input_values, weights, &bias, output_values, avx2);
                }
            }
        });
    }
}

/// One output row of one panel of channels; indices into the maps' values.
struct Row {
    /// Index of the filter's first tap at the row's first pixel.
    input: usize,
    /// Index of the panel in the first pixel.
    output: usize,
    width: usize,
}

/// Index offsets of a convolution.
struct Geometry {
    /// Rows and columns of the filter.
    side: usize,
    inputs: usize,
    /// From a tap to the next one in its row.
    tap_step: usize,
    /// From an input row to the next.
    row_step: usize,
    /// From the input of an output pixel to that of the next.
    pixel_step: usize,
    /// From an output pixel to the next.
    output_step: usize,
    leaky: bool,
}

impl Geometry {
    fn row(
        &self,
        row: &Row,
        input_values: &SharedInput,
        weights: &[f32],
        bias: &[f32; PANEL],
        output_values: &SharedOutput,
        avx2: bool,
    ) {
        let taps = (input_values, weights, bias, avx2);
        for x in (0..row.width).step_by(TILE) {
            match row.width - x {
                1 => self.tile::<1>(row, x, taps, output_values),
                2 => self.tile::<2>(row, x, taps, output_values),
                3 => self.tile::<3>(row, x, taps, output_values),
                4 => self.tile::<4>(row, x, taps, output_values),
                5 => self.tile::<5>(row, x, taps, output_values),
                _ => self.tile::<TILE>(row, x, taps, output_values),
            }
        }
    }

    /// Computes `N` pixels from column `x` on.
    fn tile<const N: usize>(
        &self,
        row: &Row,
        x: usize,
        (input_values, weights, bias, avx2): (&SharedInput, &[f32], &[f32; PANEL], bool),
        output_values: &SharedOutput,
    ) {
        let mut sums = [*bias; N];
        let start = row.input + x * self.pixel_step;
        // if the taps of a row are contiguous, they are processed as one run
        let contiguous = self.tap_step == self.inputs;
        let (runs, run) = if contiguous { (1, self.side * self.inputs) } else { (self.side, self.inputs) };
        let mut weights = weights;
        for y in 0..self.side {
            for tap in 0..runs {
                let (current, remaining) = weights.split_at(run * PANEL);
                weights = remaining;
                let first = start + y * self.row_step + tap * self.tap_step;
                accumulate(&input_values.runs::<N>(first, self.pixel_step, run), current, &mut sums, avx2);
            }
        }
        for (pixel, mut sums) in sums.into_iter().enumerate() {
            if self.leaky {
                for sum in &mut sums {
                    *sum = sum.max(LEAKY_SLOPE * *sum);
                }
            }
            output_values.write(row.output + (x + pixel) * self.output_step, &sums);
        }
    }
}
