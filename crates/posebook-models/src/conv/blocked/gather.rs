//! Windows of the input, gathered for a block of output pixels (im2col): a row of terms for each pixel.

use super::ConvSpec;
use std::ops::Range;

/// A batch of maps and the size of its output.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    pub input: &'a [f32],
    pub height: usize,
    pub width: usize,
    pub out_height: usize,
    pub out_width: usize,
}

/// Where the gathered terms go: a row for each pixel, `stride` values apart.
pub struct Rows<'a> {
    pub values: &'a mut [f32],
    pub stride: usize,
}

/// Gathers the terms `range` of the windows of `pixels` output pixels, zeros where a window is beyond the map.
pub fn gather(
    batch: &Batch,
    spec: ConvSpec,
    group: usize,
    pixels: Range<usize>,
    range: Range<usize>,
    rows: &mut Rows,
) {
    if spec.groups > 1 {
        return gather_group(batch, spec, group, pixels, range, rows);
    }
    let (first, count) = (pixels.start, pixels.len());
    for (index, row) in rows.values.chunks_exact_mut(rows.stride).take(count).enumerate() {
        gather_window(batch, spec, first + index, range.clone(), &mut row[..range.len()]);
    }
}

/// One window of a convolution with one group: the columns of a kernel row follow each other in the map.
fn gather_window(batch: &Batch, spec: ConvSpec, pixel: usize, range: Range<usize>, to: &mut [f32]) {
    let &Batch { input, height, width, out_height, out_width } = batch;
    let (image, pixel) = (pixel / (out_height * out_width), pixel % (out_height * out_width));
    let (top, left) = (pixel / out_width * spec.stride, pixel % out_width * spec.stride);
    let run = spec.kernel * spec.inputs;
    let mut term = range.start;
    while term < range.end {
        let end = ((term / run + 1) * run).min(range.end);
        let to = &mut to[term - range.start..end - range.start];
        let row = (top + term / run).checked_sub(spec.padding).filter(|&row| row < height);
        if let Some(row) = row {
            let row = &input[(image * height + row) * width * spec.inputs..][..width * spec.inputs];
            copy(row, left * spec.inputs + term % run, spec.padding * spec.inputs, to);
        } else {
            to.fill(0.0);
        }
        term = end;
    }
}

/// Values of a map's row from `position` on, which counts from `padding` values before the row; zeros outside.
fn copy(row: &[f32], position: usize, padding: usize, to: &mut [f32]) {
    let zeros = padding.saturating_sub(position).min(to.len());
    let (before, inside) = to.split_at_mut(zeros);
    before.fill(0.0);
    let from = (position + zeros - padding.min(position + zeros)).min(row.len());
    let count = inside.len().min(row.len() - from);
    inside[..count].copy_from_slice(&row[from..from + count]);
    inside[count..].fill(0.0);
}

/// The windows of one group: tap by tap along the output rows, because a group has few channels.
fn gather_group(
    batch: &Batch,
    spec: ConvSpec,
    group: usize,
    pixels: Range<usize>,
    range: Range<usize>,
    rows: &mut Rows,
) {
    let &Batch { input, height, width, out_height, out_width } = batch;
    let ConvSpec { kernel, stride, padding, .. } = spec;
    let inputs = spec.inputs / spec.groups;
    let mut pixel = pixels.start;
    while pixel < pixels.end {
        // output pixels of one row
        let (image, at) = (pixel / (out_height * out_width), pixel % (out_height * out_width));
        let (y, x) = (at / out_width, at % out_width);
        let count = (out_width - x).min(pixels.end - pixel);
        let first_row = (pixel - pixels.start) * rows.stride;
        for tap in range.start / inputs..range.end.div_ceil(inputs) {
            let terms = range.start.max(tap * inputs)..range.end.min((tap + 1) * inputs);
            let (kernel_row, kernel_column) = (tap / kernel, tap % kernel);
            let to = &mut rows.values[first_row + terms.start - range.start..];
            // output columns whose tap is inside of the map
            let end = (width + padding).saturating_sub(kernel_column).div_ceil(stride);
            let start = padding.saturating_sub(kernel_column).div_ceil(stride);
            let row = (y * stride + kernel_row).checked_sub(padding).filter(|&row| row < height);
            let inside = match row {
                Some(_) => start.clamp(x, x + count) - x..end.clamp(x, x + count) - x,
                None => count..count,
            };
            let outside = (0..inside.start).chain(inside.end.max(inside.start)..count);
            outside.for_each(|index| to[index * rows.stride..][..terms.len()].fill(0.0));
            if inside.is_empty() {
                continue;
            }
            let column = (x + inside.start) * stride + kernel_column - padding;
            let pixel = (image * height + row.unwrap_or(0)) * width + column;
            let from = &input[pixel * spec.inputs + group * inputs + terms.start % inputs..];
            let to = &mut to[inside.start * rows.stride..];
            let strides = [stride * spec.inputs, rows.stride];
            match terms.len() {
                8 => copy_pixels::<8, 1>(from, to, strides, inside.len()),
                16 => copy_pixels::<16, 1>(from, to, strides, inside.len()),
                32 => copy_pixels::<32, 1>(from, to, strides, inside.len()),
                64 => copy_pixels::<32, 2>(from, to, strides, inside.len()),
                length => {
                    for index in 0..inside.len() {
                        let from = &from[index * strides[0]..][..length];
                        to[index * strides[1]..][..length].copy_from_slice(from);
                    }
                }
            }
        }
        pixel += count;
    }
}

/// `N` times `M` values of each of `count` pixels: lengths that the compiler knows need no call of `memcpy`.
fn copy_pixels<const N: usize, const M: usize>(
    from: &[f32],
    to: &mut [f32],
    [from_stride, to_stride]: [usize; 2],
    count: usize,
) {
    for index in 0..count {
        let from = &from[index * from_stride..][..N * M];
        let to = &mut to[index * to_stride..][..N * M];
        for (to, from) in to.as_chunks_mut::<N>().0.iter_mut().zip(from.as_chunks::<N>().0) {
            *to = *from;
        }
    }
}
