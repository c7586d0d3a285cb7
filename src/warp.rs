//! Pictures cut out and resized to the last bit as OpenCV 4's `warpAffine` does with `INTER_LINEAR`.
//!
//! OpenCV 4 knows coordinates to 1/32 of a pixel and weights to 1/1024; 4D-Humans was released on it
//! (OpenCV 5 computes exactly, and differs by up to 7 levels). Outside a picture everything is 0, or the pixels at
//! the edge are repeated ([`Picture::with_edges_repeated`]).
//! Must not know what is in a picture.

use rayon::prelude::*;
use std::ops::Range;

/// Bits of a coordinate's fraction while it is computed, and of the fraction that is kept.
const FINE_BITS: u32 = 10;
const KEPT_BITS: u32 = 5;
const KEPT: i32 = 1 << KEPT_BITS;

/// Interleaved channels, rows from top to bottom.
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a, T, const C: usize> {
    pixels: &'a [[T; C]],
    width: usize,
    height: usize,
    /// Where the upper left pixel lies: elsewhere than at zero in a part of a larger picture.
    left: i32,
    top: i32,
    /// Whether a pixel outside has the value of the nearest one inside; else it is 0.
    repeats_edges: bool,
}

/// A part of a picture, pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub columns: Range<usize>,
    pub rows: Range<usize>,
}

impl Part {
    /// What is read of a picture of `width` by `height` pixels for a crop of `size` pixels.
    pub fn read_by(map: &Affine, size: usize, width: usize, height: usize) -> Part {
        let span = |taps: &Taps, end: usize| {
            let end = end as i32;
            let first = taps.iter().map(|&(at, _)| at).min().unwrap_or(0).clamp(0, end);
            let last = taps.iter().map(|&(at, _)| at.saturating_add(2)).max().unwrap_or(0).clamp(first, end);
            first as usize..last as usize
        };
        let [across, down] = axis_taps(map, size);
        Part { columns: span(&across, width), rows: span(&down, height) }
    }
}

impl<'a, T, const C: usize> Picture<'a, T, C> {
    /// # Panics
    /// If `values` is not `height * width * C` long.
    pub fn new(values: &'a [T], width: usize, height: usize) -> Picture<'a, T, C> {
        let (pixels, rest) = values.as_chunks::<C>();
        assert!(
            rest.is_empty() && pixels.len() == width * height,
            "a picture's values do not match its size"
        );
        Picture { pixels, width, height, left: 0, top: 0, repeats_edges: false }
    }

    /// The same pixels as a part of a larger picture that is black everywhere else.
    pub fn at(self, left: usize, top: usize) -> Picture<'a, T, C> {
        Picture { left: left as i32, top: top as i32, ..self }
    }

    /// The same pixels, those at the edge repeated outside (OpenCV's `BORDER_REPLICATE`).
    pub fn with_edges_repeated(self) -> Picture<'a, T, C> {
        Picture { repeats_edges: true, ..self }
    }
}

/// Two rows of a matrix that takes a point of the picture to a point of the crop.
pub type Affine = [[f64; 3]; 2];

/// The map from a square of the picture to a crop of `size` pixels: the square's centre goes to
/// `size / 2` and the ends of its half axes to `size`, whole-pixel centres, no half-pixel shift.
/// Found like OpenCV's `getAffineTransform`, by elimination, so that its rounding is the same.
pub fn crop_from_picture(center: [f32; 2], side: f32, size: usize) -> Affine {
    let (half, size) = (side * 0.5, size as f32);
    let [x, y] = center;
    let from = [[x, y], [x, y + half], [x + half, y]];
    let to = [[size * 0.5, size * 0.5], [size * 0.5, size], [size, size * 0.5]];
    let mut rows = [[0.0; 7]; 6];
    for (pair, (from, to)) in rows.chunks_exact_mut(2).zip(from.iter().zip(&to)) {
        let point = [from[0] as f64, from[1] as f64, 1.0];
        pair[0][..3].copy_from_slice(&point);
        pair[1][3..6].copy_from_slice(&point);
        (pair[0][6], pair[1][6]) = (to[0] as f64, to[1] as f64);
    }
    let [a, b, c, d, e, f] = solved(rows);
    [[a, b, c], [d, e, f]]
}

/// Solves six equations, the right side in the last column, by elimination with partial pivoting.
fn solved(mut rows: [[f64; 7]; 6]) -> [f64; 6] {
    for column in 0..6 {
        let mut pivot = column;
        for row in column + 1..6 {
            if rows[row][column].abs() > rows[pivot][column].abs() {
                pivot = row;
            }
        }
        rows.swap(column, pivot);
        let upper = rows[column];
        let scale = -1.0 / upper[column];
        for lower in &mut rows[column + 1..] {
            let factor = lower[column] * scale;
            for (value, &above) in lower.iter_mut().zip(&upper).skip(column + 1) {
                *value += factor * above;
            }
        }
    }
    let mut x = [0.0; 6];
    for row in (0..6).rev() {
        let rest = (row + 1..6).fold(rows[row][6], |rest, column| rest - rows[row][column] * x[column]);
        x[row] = rest / rows[row][row];
    }
    x
}

/// The way back, with `warpAffine`'s own order of operations.
fn inverse(map: &Affine) -> Affine {
    let [[a, b, c], [d, e, f]] = *map;
    let determinant = a * e - b * d;
    let scale = if determinant == 0.0 { 0.0 } else { 1.0 / determinant };
    let (a, b, d, e) = (e * scale, b * -scale, d * -scale, a * scale);
    [[a, b, -a * c - b * f], [d, e, -d * c - e * f]]
}

/// One point to read: the upper left pixel and 32nds of a pixel beyond it.
struct Tap {
    x: i32,
    y: i32,
    right: i32,
    below: i32,
}

/// Along one axis of a crop, for each of its pixels: the pixel to read and 32nds of a pixel beyond it.
pub type Taps = Vec<(i32, i32)>;

/// The taps across and down of a map that does not turn: those of the first row and the first column.
pub fn axis_taps(map: &Affine, size: usize) -> [Taps; 2] {
    let (mut across, mut down) = (Vec::with_capacity(size), Vec::with_capacity(size));
    for_each_tap(map, size, |index, tap| {
        if index < size {
            across.push((tap.x, tap.right));
        }
        if index % size == 0 {
            down.push((tap.y, tap.below));
        }
    });
    [across, down]
}

/// Calls `visit(index, tap)` for every pixel of the crop, row by row.
fn for_each_tap(map: &Affine, size: usize, mut visit: impl FnMut(usize, Tap)) {
    let [across, down] = inverse(map);
    let fine = |value: f64| (value * f64::from(1 << FINE_BITS)).round_ties_even() as i32;
    let half = 1 << (FINE_BITS - KEPT_BITS - 1);
    let steps: Vec<(i32, i32)> =
        (0..size).map(|x| (fine(across[0] * x as f64), fine(down[0] * x as f64))).collect();
    for y in 0..size {
        let start_x = fine(across[1] * y as f64 + across[2]).saturating_add(half);
        let start_y = fine(down[1] * y as f64 + down[2]).saturating_add(half);
        for (x, &(step_x, step_y)) in steps.iter().enumerate() {
            let at_x = start_x.saturating_add(step_x) >> (FINE_BITS - KEPT_BITS);
            let at_y = start_y.saturating_add(step_y) >> (FINE_BITS - KEPT_BITS);
            let whole = |at: i32| (at >> KEPT_BITS).clamp(i16::MIN.into(), i16::MAX.into());
            let tap =
                Tap { x: whole(at_x), y: whole(at_y), right: at_x & (KEPT - 1), below: at_y & (KEPT - 1) };
            visit(y * size + x, tap);
        }
    }
}

impl<T: Copy + Default, const C: usize> Picture<'_, T, C> {
    /// The four pixels of a tap: upper left, upper right, lower left, lower right.
    #[inline(always)]
    fn corners(&self, tap: &Tap) -> [[T; C]; 4] {
        let (left, top) = (tap.x - self.left, tap.y - self.top);
        let (x, y) = (left as usize, top as usize);
        if left >= 0 && top >= 0 && x + 1 < self.width && y + 1 < self.height {
            let at = y * self.width + x;
            let (upper, lower) =
                (&self.pixels[at..at + 2], &self.pixels[at + self.width..at + self.width + 2]);
            return [upper[0], upper[1], lower[0], lower[1]];
        }
        [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(right, below)| self.pixel(left + right, top + below))
    }

    fn pixel(&self, x: i32, y: i32) -> [T; C] {
        let inside = |at: i32, end: usize| match self.repeats_edges {
            true => end.checked_sub(1).map(|last| (at.max(0) as usize).min(last)),
            false => usize::try_from(at).ok().filter(|&at| at < end),
        };
        match (inside(x, self.width), inside(y, self.height)) {
            (Some(x), Some(y)) => self.pixels[y * self.width + x],
            _ => [T::default(); C],
        }
    }
}

/// The crop of a picture of bytes, `size * size * C`, rounded to whole levels.
pub fn warp_u8<const C: usize>(picture: Picture<u8, C>, map: &Affine, size: usize) -> Vec<u8> {
    let mut crop = vec![[0; C]; size * size];
    for_each_tap(map, size, |at, tap| {
        let corners = picture.corners(&tap);
        let (right, below) = (tap.right, tap.below);
        let weights =
            [(KEPT - right) * (KEPT - below), right * (KEPT - below), (KEPT - right) * below, right * below];
        for (channel, value) in crop[at].iter_mut().enumerate() {
            let sum: i32 =
                corners.iter().zip(weights).map(|(pixel, weight)| i32::from(pixel[channel]) * weight).sum();
            // weights are 1024ths here; OpenCV's are 32 times as large and round at the same place
            *value = ((sum + 512) >> 10) as u8;
        }
    });
    crop.into_flattened()
}

/// The crop of a picture of real numbers, `size * size * C`, unrounded.
pub fn warp_f64<const C: usize>(picture: Picture<f64, C>, map: &Affine, size: usize) -> Vec<f64> {
    let mut crop = vec![[0.0; C]; size * size];
    for_each_tap(map, size, |at, tap| {
        let corners = picture.corners(&tap);
        let [right, below] = [tap.right, tap.below].map(|part| f64::from(part) / f64::from(KEPT));
        let weights =
            [(1.0 - right) * (1.0 - below), right * (1.0 - below), (1.0 - right) * below, right * below];
        for (channel, value) in crop[at].iter_mut().enumerate() {
            *value = corners.iter().zip(weights).map(|(pixel, weight)| pixel[channel] * weight).sum();
        }
    });
    crop.into_flattened()
}

/// A picture blurred with a Gaussian of deviation `sigma` pixels, its borders repeated
/// (`skimage.filters.gaussian`: cut at four deviations, columns first, then rows).
pub fn blurred<const C: usize>(picture: Picture<u8, C>, sigma: f64) -> Vec<f64> {
    blurred_part(picture, sigma, &Part { columns: 0..picture.width, rows: 0..picture.height })
}

/// A part of the blurred picture, to the last bit what [`blurred`] has there: of a photograph, only what a
/// crop reads need be blurred.
pub fn blurred_part<const C: usize>(picture: Picture<u8, C>, sigma: f64, part: &Part) -> Vec<f64> {
    let (width, height) = (picture.width, picture.height);
    let (columns, rows) = (part.columns.clone(), part.rows.clone());
    if columns.is_empty() || rows.is_empty() {
        return Vec::new();
    }
    let kernel = half_gaussian(sigma);
    let radius = kernel.len() - 1;
    // the columns that the part's pixels are made of
    let (first, end) = (columns.start.saturating_sub(radius), (columns.end + radius).min(width));
    let row = |y: usize| &picture.pixels[y * width + first..y * width + end];
    let mut out = vec![[0.0; C]; columns.len() * rows.len()];
    out.par_chunks_exact_mut(columns.len()).zip(rows).for_each(|(out, y)| {
        let mut line: Vec<[f64; C]> =
            row(y).iter().map(|pixel| pixel.map(|value| f64::from(value) * kernel[0])).collect();
        for (away, &weight) in kernel.iter().enumerate().skip(1).rev() {
            let (above, below) = (row(y.saturating_sub(away)), row((y + away).min(height - 1)));
            for (sum, (above, below)) in line.iter_mut().zip(above.iter().zip(below)) {
                (0..C).for_each(|c| sum[c] += (f64::from(above[c]) + f64::from(below[c])) * weight);
            }
        }
        // borders repeated, so that every pixel has all its neighbours
        let (left, right) = (radius - (columns.start - first), radius - (end - columns.end));
        line.extend(std::iter::repeat_n(line[line.len() - 1], right));
        line.splice(0..0, std::iter::repeat_n(line[0], left));
        for (sum, here) in out.iter_mut().zip(&line[radius..]) {
            *sum = here.map(|value| value * kernel[0]);
        }
        for (away, &weight) in kernel.iter().enumerate().skip(1).rev() {
            let (before, after) = (&line[radius - away..], &line[radius + away..]);
            for (sum, (before, after)) in out.iter_mut().zip(before.iter().zip(after)) {
                (0..C).for_each(|c| sum[c] += (before[c] + after[c]) * weight);
            }
        }
    });
    out.into_flattened()
}

/// The middle of a Gaussian kernel and one side of it, the whole summing to one.
fn half_gaussian(sigma: f64) -> Vec<f64> {
    let radius = (4.0 * sigma + 0.5) as usize;
    let bell: Vec<f64> = (0..=radius).map(|x| libm::exp(-0.5 / (sigma * sigma) * (x * x) as f64)).collect();
    let total = bell[0] + 2.0 * bell[1..].iter().sum::<f64>();
    bell.into_iter().map(|value| value / total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient(width: usize, height: usize) -> Vec<u8> {
        (0..width * height).map(|at| ((at % width) * 3 + (at / width) * 7) as u8).collect()
    }

    #[test]
    fn a_crop_of_the_same_size_is_a_copy() {
        let values = gradient(12, 8);
        let map = crop_from_picture([4.0, 4.0], 8.0, 8);
        let crop = warp_u8(Picture::<_, 1>::new(&values, 12, 8), &map, 8);
        let copy: Vec<u8> = (0..8).flat_map(|y| values[y * 12..y * 12 + 8].to_vec()).collect();
        assert_eq!(crop, copy);
        let reals: Vec<f64> = values.iter().map(|&value| value.into()).collect();
        let unrounded = warp_f64(Picture::<_, 1>::new(&reals, 12, 8), &map, 8);
        assert!(unrounded.iter().zip(&copy).all(|(a, &b)| *a == f64::from(b)));
    }

    #[test]
    fn outside_is_black() {
        let values = vec![200; 30];
        let map = crop_from_picture([-50.0, 3.0], 10.0, 16);
        assert!(warp_u8(Picture::<_, 3>::new(&values, 5, 2), &map, 16).iter().all(|&value| value == 0));
        let far = crop_from_picture([1e9, -1e9], 1e7, 16);
        assert!(warp_u8(Picture::<_, 3>::new(&values, 5, 2), &far, 16).iter().all(|&value| value == 0));
    }

    #[test]
    fn a_blur_keeps_a_plain_picture() {
        let values = vec![77; 3 * 40];
        let out = blurred(Picture::<_, 3>::new(&values, 8, 5), 2.3);
        assert!(out.iter().all(|value| (value - 77.0).abs() < 1e-9));
    }

    #[test]
    fn a_part_is_blurred_as_the_whole_is() {
        let (width, height) = (40, 31);
        let values: Vec<u8> = (0..width * height * 3).map(|i| (i * 89 % 251) as u8).collect();
        let picture = Picture::<_, 3>::new(&values, width, height);
        let whole = blurred(picture, 1.7);
        for (center, side) in
            [([20.0, 15.0], 9.5), ([2.0, 29.0], 14.0), ([39.0, 1.0], 60.0), ([900.0, 0.0], 9.0)]
        {
            let map = crop_from_picture(center, side, 16);
            let part = Part::read_by(&map, 16, width, height);
            let some = blurred_part(picture, 1.7, &part);
            let smooth = Picture::<_, 3>::new(&some, part.columns.len(), part.rows.len());
            let smooth = smooth.at(part.columns.start, part.rows.start);
            let expected = warp_f64(Picture::<_, 3>::new(&whole, width, height), &map, 16);
            assert!(warp_f64(smooth, &map, 16) == expected, "{center:?}, {side}");
        }
    }
}
