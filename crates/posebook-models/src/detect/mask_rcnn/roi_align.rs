//! ROIAlign: the feature maps inside of each box, resampled to a square grid (He et al. 2017, as torchvision's with
//! `aligned=True` and a sampling ratio of 0).
//!
//! A cell of the grid is the mean of samples of the map, between which the map is linear along both axes. The weights of
//! a row and of a column of pixels are independent, so that the mean is taken along the columns first, and then along the
//! rows: a tenth of the operations of interpolating each sample. Sample positions are computed in `f32` as the original
//! does, because they decide which pixels count.

use super::boxes::Corners;
use super::layers::{Operators, rounded, with_values};
use crate::conv::blocked::add_weighted;
use candle_core::{DType, Device, Result, Tensor, bail};
use rayon::prelude::*;
use std::ops::Range;

/// Strides of the levels p2 to p5, pixels of the network's input.
const STRIDES: [f32; 4] = [4.0, 8.0, 16.0, 32.0];
/// Side of a box that belongs to p4, pixels: the side of ImageNet's pictures.
const CANONICAL_SIDE: f32 = 224.0;
/// Most samples of a cell along an axis. A box inside of the image has far fewer.
const MOST_SAMPLES: f32 = 65536.0;
/// Most values of the maps' parts that candle's operators gather at a time: 256 MiB.
const GATHERED_VALUES: usize = 1 << 26;

/// Index of the level that a box is taken from: 0 for p2, 3 for p5. Boxes without an area belong to p2.
pub fn level_of(corners: Corners) -> usize {
    let [left, top, right, bottom] = corners;
    let area = (right - left) * (bottom - top);
    let level = (4.0 + (area.sqrt() / CANONICAL_SIDE + 1e-8).log2()).floor();
    // NaN and minus infinity become 0
    (level - 2.0).clamp(0.0, 3.0) as usize
}

/// The weights of the pixels along one axis of a map, for each cell of the grid.
struct Axis {
    /// First pixel that has a weight.
    first: usize,
    /// Number of pixels from the first to the last that have one.
    count: usize,
    /// `(side, count)`.
    weights: Vec<f32>,
    /// Pixels with a weight, counted from `first`, of each cell.
    ranges: Vec<Range<usize>>,
}

impl Axis {
    /// The axis of a box from `from` to `to`, pixels of the network's input, on a map of `length` pixels. `None` where
    /// there is no sample, so that the result is zero.
    fn new(from: f32, to: f32, stride: f32, length: usize, side: usize) -> Result<Option<Axis>> {
        let scale = 1.0 / stride;
        // half a pixel: pixel 0 is at position 0 of the map, but its center is at half a pixel of the box
        let (start, end) = (from * scale - 0.5, to * scale - 0.5);
        let size = (end - start) / side as f32;
        let samples = size.ceil();
        if samples > MOST_SAMPLES {
            bail!("a box from {from} to {to} pixels is too long to be pooled");
        }
        // an empty box has none
        let samples = samples as usize;
        let mut taps: Vec<(usize, usize, f32)> = Vec::new();
        let last = length.saturating_sub(1);
        for cell in 0..side {
            for sample in 0..samples {
                let at = start + cell as f32 * size + (sample as f32 + 0.5) * size / samples as f32;
                // a pixel beyond the map counts as zero, nearer samples as the border
                if !(-1.0..=length as f32).contains(&at) {
                    continue;
                }
                let at = at.max(0.0);
                let low = at as usize;
                if low >= last {
                    taps.push((cell, last, 1.0));
                } else {
                    let weight = at - low as f32;
                    taps.extend([(cell, low, 1.0 - weight), (cell, low + 1, weight)]);
                }
            }
        }
        let pixels = || taps.iter().map(|&(_, pixel, _)| pixel);
        let (Some(first), Some(end)) = (pixels().min(), pixels().max().map(|last| last + 1)) else {
            return Ok(None);
        };
        let count = end - first;
        let mut weights = vec![0.0; side * count];
        let mut ranges = vec![0..0; side];
        for (cell, pixel, weight) in taps {
            let pixel = pixel - first;
            weights[cell * count + pixel] += weight / samples as f32;
            let range: &mut Range<usize> = &mut ranges[cell];
            let (start, end) = (range.start, range.end);
            *range = if start == end { pixel..pixel + 1 } else { start.min(pixel)..end.max(pixel + 1) };
        }
        Ok(Some(Axis { first, count, weights, ranges }))
    }

    /// Weights of the pixels in a cell's range.
    fn weights(&self, cell: usize) -> &[f32] {
        &self.weights[cell * self.count..][self.ranges[cell].clone()]
    }
}

/// The rows and the columns of a box on its level; `None` where no sample is inside of the map.
fn axes(corners: Corners, level: usize, map: &Tensor, side: usize) -> Result<Option<[Axis; 2]>> {
    let (_, h, w, _) = map.dims4()?;
    let [left, top, right, bottom] = corners;
    let rows = Axis::new(top, bottom, STRIDES[level], h, side)?;
    let columns = Axis::new(left, right, STRIDES[level], w, side)?;
    Ok(rows.zip(columns).map(|(rows, columns)| [rows, columns]))
}

/// The maps inside of each box, from the level that fits its size: `(n, side, side, c)`.
///
/// # Arguments
/// `levels`: p2 to p5, `(b, h, w, c)` each, with strides of 4, 8, 16 and 32 pixels. `image`: which image of the batch.
/// `boxes`: pixels of the network's input; the result of a box that is not finite is NaN, that of an empty one zero.
///
/// # Errors
/// If there are not four levels of the same channels, there is no such image, a box is longer than the maps by far, or
/// the device fails.
pub fn roi_align(
    levels: &[Tensor],
    image: usize,
    boxes: &[Corners],
    side: usize,
    operators: Operators,
) -> Result<Tensor> {
    let [p2, ..] = levels else { bail!("ROIAlign: no levels") };
    let (batch, _, _, channels) = p2.dims4()?;
    if levels.len() != STRIDES.len() || image >= batch || side == 0 || channels == 0 {
        bail!("ROIAlign: image {image} of {batch} of {} levels with {channels} channels", levels.len());
    }
    for level in levels {
        let (b, h, w, c) = level.dims4()?;
        if (b, c) != (batch, channels) || h == 0 || w == 0 || level.dtype() != p2.dtype() {
            bail!(
                "ROIAlign: a level of {:?} {:?} beside {:?} {:?}",
                level.dims(),
                level.dtype(),
                p2.dims(),
                p2.dtype()
            );
        }
    }
    let shape = (boxes.len(), side, side, channels);
    if boxes.is_empty() {
        return Tensor::zeros(shape, p2.dtype(), p2.device());
    }
    let levels = levels.iter().map(|level| level.narrow(0, image, 1)).collect::<Result<Vec<_>>>()?;
    if operators.use_kernels_on(p2.device()) {
        rounded(by_kernels(&levels, boxes, side, channels)?, shape, p2.dtype())
    } else {
        by_candle(&levels, boxes, side, channels)?.reshape(shape)
    }
}

/// Our own kernels.
fn by_kernels(levels: &[Tensor], boxes: &[Corners], side: usize, channels: usize) -> Result<Vec<f32>> {
    let mut out = vec![0.0; boxes.len() * side * side * channels];
    let mut results: Vec<(usize, &mut [f32])> = out.chunks_mut(side * side * channels).enumerate().collect();
    results.sort_by_key(|(index, _)| level_of(boxes[*index]));
    let mut rest = results.as_mut_slice();
    for (level, map) in levels.iter().enumerate() {
        let count = rest.iter().take_while(|(index, _)| level_of(boxes[*index]) == level).count();
        let (of_level, others) = std::mem::take(&mut rest).split_at_mut(count);
        rest = others;
        if of_level.is_empty() {
            continue;
        }
        let width = map.dim(2)?;
        with_values(map, |values| {
            of_level.par_iter_mut().try_for_each(|(index, out)| {
                let corners = boxes[*index];
                if corners.iter().any(|value| !value.is_finite()) {
                    out.fill(f32::NAN);
                } else if let Some(axes) = axes(corners, level, map, side)? {
                    pool(values, width, &axes, channels, out);
                }
                Ok(())
            })
        })?;
    }
    Ok(out)
}

/// The grid of one box: `out` is `(side, side, channels)`, zeros before.
fn pool(map: &[f32], width: usize, [rows, columns]: &[Axis; 2], channels: usize, out: &mut [f32]) {
    let side = columns.ranges.len();
    let mut means = vec![0.0; side * channels];
    for row in 0..rows.count {
        if rows.ranges.iter().all(|range| !range.contains(&row)) {
            continue;
        }
        means.fill(0.0);
        let pixels =
            &map[((rows.first + row) * width + columns.first) * channels..][..columns.count * channels];
        for (cell, mean) in means.chunks_exact_mut(channels).enumerate() {
            let range = columns.ranges[cell].clone();
            add_weighted(columns.weights(cell), &pixels[range.start * channels..range.end * channels], mean);
        }
        for (cell, out) in out.chunks_exact_mut(side * channels).enumerate() {
            if rows.ranges[cell].contains(&row) {
                add_weighted(&rows.weights[cell * rows.count + row..][..1], &means, out);
            }
        }
    }
}

/// Candle's operators: the part of the map under each box is gathered, and multiplied with the weights of both axes.
fn by_candle(levels: &[Tensor], boxes: &[Corners], side: usize, channels: usize) -> Result<Tensor> {
    let (device, dtype) = (levels[0].device(), levels[0].dtype());
    // results in the order of the levels, and where the result of each box is
    let mut results = Vec::new();
    let mut places = vec![0u32; boxes.len()];
    let mut done = 0;
    let zeros = Tensor::zeros((1, side * side * channels), dtype, device)?;
    let nan = (zeros.ones_like()? * f64::NAN)?;
    for (level, map) in levels.iter().enumerate() {
        let (_, h, w, _) = map.dims4()?;
        let mut pooled = Vec::new();
        for (index, &corners) in boxes.iter().enumerate() {
            if level_of(corners) != level {
                continue;
            }
            let is_finite = corners.iter().all(|value| value.is_finite());
            match if is_finite { axes(corners, level, map, side)? } else { None } {
                Some(axes) => pooled.push((index, axes)),
                None => {
                    results.push(if is_finite { zeros.clone() } else { nan.clone() });
                    places[index] = done;
                    done += 1;
                }
            }
        }
        let pixels = map.contiguous()?.reshape((h * w, channels))?;
        // boxes of similar sides together, because parts are gathered with the most rows and the most columns
        pooled.sort_by_key(|(_, [rows, columns])| (rows.count.ilog2(), columns.count));
        let mut rest = pooled.as_slice();
        while !rest.is_empty() {
            let (chunk, others) = rest.split_at(gathered_together(rest, side, channels));
            rest = others;
            for (index, _) in chunk {
                places[*index] = done;
                done += 1;
            }
            let axes: Vec<&[Axis; 2]> = chunk.iter().map(|(_, axes)| axes).collect();
            results.push(gather(&pixels, [h, w], &axes, side)?.reshape((chunk.len(), ()))?.to_dtype(dtype)?);
        }
    }
    let places = Tensor::from_vec(places, boxes.len(), &Device::Cpu)?.to_device(device)?;
    Tensor::cat(&results, 0)?.index_select(&places, 0)
}

/// How many of the first boxes are gathered at a time, all with the most rows and the most columns among them: at least one.
fn gathered_together(boxes: &[(usize, [Axis; 2])], side: usize, channels: usize) -> usize {
    let (mut most_rows, mut most_columns) = (0usize, 0usize);
    for (count, (_, [rows, columns])) in boxes.iter().enumerate() {
        most_rows = most_rows.max(rows.count);
        most_columns = most_columns.max(columns.count);
        // means along the columns have `side` columns, which may be more than those of the parts
        if (count + 1) * most_rows * most_columns.max(side) * channels > GATHERED_VALUES {
            return count.max(1);
        }
    }
    boxes.len()
}

/// The grids of some boxes on one level, in `f32`: `(n, side, side * channels)`. `pixels` is `(h w, channels)`.
fn gather(pixels: &Tensor, [h, w]: [usize; 2], axes: &[&[Axis; 2]], side: usize) -> Result<Tensor> {
    let (count, channels, device) = (axes.len(), pixels.dim(1)?, pixels.device());
    let largest = |axis: usize| axes.iter().map(|axes| axes[axis].count).max().unwrap_or(0);
    let (rows, columns) = (largest(0), largest(1));
    let mut indices = Vec::with_capacity(count * rows * columns);
    for [y, x] in axes {
        for row in 0..rows {
            let start = (y.first + row).min(h - 1) * w;
            indices.extend((0..columns).map(|column| (start + (x.first + column).min(w - 1)) as u32));
        }
    }
    let part = pixels.index_select(&Tensor::from_vec(indices, count * rows * columns, device)?, 0)?;
    let part = part.to_dtype(DType::F32)?;
    // `(n, side, length)`: the weights of an axis, zeros beyond its pixels
    let weights = |axis: usize, length: usize| {
        let mut all = Vec::with_capacity(count * side * length);
        for axes in axes {
            let axis = &axes[axis];
            for weights in axis.weights.chunks_exact(axis.count) {
                all.extend_from_slice(weights);
                all.resize(all.len() + length - axis.count, 0.0);
            }
        }
        Tensor::from_vec(all, (count, side, length), device)
    };
    // along the columns: each row of the part is a matrix of its own
    let x = weights(1, columns)?.unsqueeze(1)?.broadcast_as((count, rows, side, columns))?.contiguous()?;
    let x = x.reshape((count * rows, side, columns))?;
    let means = x.matmul(&part.reshape((count * rows, columns, channels))?)?;
    weights(0, rows)?.matmul(&means.reshape((count, rows, side * channels))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(dtype: DType) -> Vec<Tensor> {
        let level = |(index, side): (usize, usize)| {
            let (h, w) = (side, side + side / 4);
            let values: Vec<f32> =
                (0..2 * h * w * 6).map(|value| (value as f32 * 0.37 + index as f32).sin()).collect();
            Tensor::from_vec(values, (2, h, w, 6), &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
        };
        [64, 32, 16, 8].into_iter().enumerate().map(level).collect()
    }

    /// Boxes on every level, beyond the maps, empty, and inverted.
    const BOXES: [Corners; 9] = [
        [3.0, 5.0, 40.5, 60.25],
        [-30.0, -20.0, 100.0, 200.0],
        [0.0, 0.0, 320.0, 256.0],
        [10.0, 10.0, 10.0, 50.0],
        [90.0, 80.0, 40.0, 20.0],
        [300.0, 240.0, 390.0, 300.0],
        [-500.0, -500.0, -300.0, -100.0],
        [20.0, 30.0, 170.0, 250.0],
        [-600.0, -100.0, 700.0, 900.0],
    ];

    fn values(x: &Tensor) -> Vec<f32> {
        x.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    /// torchvision's definition of one value: the mean of bilinear samples.
    fn exact(
        map: &[f32],
        [h, w]: [usize; 2],
        stride: f32,
        corners: Corners,
        at: [usize; 3],
        side: usize,
    ) -> f64 {
        let start = |axis: usize| corners[axis] / stride - 0.5;
        let size = |axis: usize| ((corners[axis + 2] / stride - 0.5) - start(axis)) / side as f32;
        let samples = |axis: usize| size(axis).ceil().max(0.0) as usize;
        let (mut sum, count) = (0.0, (samples(0) * samples(1)).max(1));
        let position = |axis: usize, sample: usize| {
            let cell = at[1 - axis] as f32;
            start(axis) + cell * size(axis) + (sample as f32 + 0.5) * size(axis) / samples(axis) as f32
        };
        for (iy, ix) in (0..samples(1)).flat_map(|iy| (0..samples(0)).map(move |ix| (iy, ix))) {
            let (y, x) = (position(1, iy), position(0, ix));
            if y < -1.0 || y > h as f32 || x < -1.0 || x > w as f32 {
                continue;
            }
            let clamped = |at: f32, length: usize| f64::from(at).clamp(0.0, length as f64 - 1.0);
            let (y, x) = (clamped(y, h), clamped(x, w));
            let value = |row: f64, column: f64| {
                let (row, column) = ((row as usize).min(h - 1), (column as usize).min(w - 1));
                f64::from(map[(row * w + column) * 6 + at[2]])
            };
            let (fy, fx) = (y.fract(), x.fract());
            sum += (1.0 - fy) * ((1.0 - fx) * value(y, x) + fx * value(y, x + 1.0))
                + fy * ((1.0 - fx) * value(y + 1.0, x) + fx * value(y + 1.0, x + 1.0));
        }
        sum / count as f64
    }

    #[test]
    fn grids_match_their_definition_with_either_operators() {
        let levels = levels(DType::F32);
        let image: Vec<Vec<f32>> = levels.iter().map(|level| values(&level.get(1).unwrap())).collect();
        for operators in [Operators::Kernels, Operators::Candle] {
            let out = values(&roi_align(&levels, 1, &BOXES, 7, operators).unwrap());
            for (index, out) in out.iter().enumerate() {
                let (channel, column, row) = (index % 6, index / 6 % 7, index / 42 % 7);
                let corners = BOXES[index / 294];
                let level = level_of(corners);
                let (_, h, w, _) = levels[level].dims4().unwrap();
                let expected =
                    exact(&image[level], [h, w], STRIDES[level], corners, [row, column, channel], 7);
                let error = (f64::from(*out) - expected).abs();
                assert!(error < 1e-5, "{operators:?} {corners:?}: {out} for {expected}");
            }
        }
    }

    #[test]
    fn half_precision_rounds_only_the_result() {
        for dtype in [DType::BF16, DType::F16] {
            let half = levels(dtype);
            let wide: Vec<Tensor> = half.iter().map(|level| level.to_dtype(DType::F32).unwrap()).collect();
            let expected =
                roi_align(&wide, 0, &BOXES, 14, Operators::Kernels).unwrap().to_dtype(dtype).unwrap();
            let ours = roi_align(&half, 0, &BOXES, 14, Operators::Kernels).unwrap();
            assert_eq!((ours.dtype(), values(&ours)), (dtype, values(&expected)));
            let theirs = values(&roi_align(&half, 0, &BOXES, 14, Operators::Candle).unwrap());
            assert!(theirs.iter().zip(values(&ours)).all(|(a, b)| (a - b).abs() < 5e-3));
        }
    }

    #[test]
    fn a_box_does_not_depend_on_the_others() {
        let levels = levels(DType::F32);
        for operators in [Operators::Kernels, Operators::Candle] {
            let all = roi_align(&levels, 0, &BOXES, 7, operators).unwrap();
            for (index, corners) in BOXES.iter().enumerate() {
                let alone = values(&roi_align(&levels, 0, &[*corners], 7, operators).unwrap());
                let among = values(&all.get(index).unwrap());
                match operators {
                    Operators::Kernels => assert!(alone == among),
                    // the products of more boxes may sum in another order
                    Operators::Candle => assert!(alone.iter().zip(among).all(|(a, b)| (a - b).abs() < 1e-6)),
                }
            }
        }
    }

    #[test]
    fn levels_change_at_powers_of_two_of_the_canonical_side() {
        let square = |side: f32| level_of([7.0, 9.0, 7.0 + side, 9.0 + side]);
        let levels = [111.0, 112.0, 223.0, 224.0, 447.0, 448.0, 5000.0, 1.0, 0.0, -3.0];
        assert_eq!(levels.map(square), [0, 1, 1, 2, 2, 3, 3, 0, 0, 0]);
        assert_eq!(level_of([0.0, 0.0, -2.0, 5.0]), 0);
        assert_eq!(level_of([f32::NAN; 4]), 0);
    }

    #[test]
    fn boxes_that_are_not_finite_give_nan_and_huge_ones_an_error() {
        let levels = levels(DType::F32);
        let boxes = [[0.0, 0.0, f32::INFINITY, 5.0], [1.0, f32::NAN, 2.0, 3.0], BOXES[0]];
        for operators in [Operators::Kernels, Operators::Candle] {
            let out = values(&roi_align(&levels, 0, &boxes, 2, operators).unwrap());
            assert!(
                out[..48].iter().all(|value| value.is_nan()) && out[48..].iter().all(|value| !value.is_nan())
            );
            assert!(roi_align(&levels, 0, &[[0.0, 0.0, 1e30, 5.0]], 7, operators).is_err());
            assert_eq!(roi_align(&levels, 0, &[], 7, operators).unwrap().dims(), [0, 7, 7, 6]);
            assert!(roi_align(&levels, 2, &BOXES, 7, operators).is_err());
            assert!(roi_align(&levels[..3], 0, &BOXES, 7, operators).is_err());
        }
    }
}
