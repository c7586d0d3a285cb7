//! Extracts resized crops of images, bit-identical to OpenCV 4's `warpAffine` with `INTER_LINEAR`; also Gaussian blur.
//!
//! OpenCV 4 rounds coordinates to 1/32 of a pixel and weights to 1/1024; 4D-Humans was released on it
//! (OpenCV 5 does not round, and differs by up to 7 of 255). Outside of the image pixels are 0, or the edge pixels are
//! repeated ([`ImageView::with_replicated_edges`]).

use rayon::prelude::*;
use std::ops::Range;

/// Fraction bits of intermediate coordinates.
const FINE_BITS: u32 = 10;
/// Fraction bits of the final coordinates.
const FRACTION_BITS: u32 = 5;
/// Subpixel positions per pixel.
const FRACTIONS: i32 = 1 << FRACTION_BITS;

/// A borrowed image with interleaved channels, rows from top to bottom.
#[derive(Debug, Clone, Copy)]
pub struct ImageView<'a, T, const C: usize> {
    pixels: &'a [[T; C]],
    width: usize,
    height: usize,
    /// Position of the upper left pixel; not zero if this is a region of a larger image.
    left: i32,
    top: i32,
    /// Whether a pixel outside has the value of the nearest pixel inside; otherwise it is 0.
    replicates_edges: bool,
}

/// A rectangular region of an image, pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRegion {
    /// Columns of the region.
    pub columns: Range<usize>,
    /// Rows of the region.
    pub rows: Range<usize>,
}

impl ImageRegion {
    /// The region of an image of `width` x `height` pixels that a crop of `size` x `size` pixels reads. `map` must not
    /// rotate.
    pub fn source_of_crop(map: &Affine, size: usize, width: usize, height: usize) -> ImageRegion {
        let span = |taps: &Taps, end: usize| {
            let end = end as i32;
            let first = taps.iter().map(|&(pixel, _)| pixel).min().unwrap_or(0).clamp(0, end);
            let last =
                taps.iter().map(|&(pixel, _)| pixel.saturating_add(2)).max().unwrap_or(0).clamp(first, end);
            first as usize..last as usize
        };
        let [across, down] = axis_taps(map, size);
        ImageRegion { columns: span(&across, width), rows: span(&down, height) }
    }
}

impl<'a, T, const C: usize> ImageView<'a, T, C> {
    /// An image of `width` x `height` pixels.
    ///
    /// # Panics
    /// If `values` is not `height * width * C` long.
    pub fn new(values: &'a [T], width: usize, height: usize) -> ImageView<'a, T, C> {
        let (pixels, rest) = values.as_chunks::<C>();
        assert!(rest.is_empty() && pixels.len() == width * height, "an image's values do not match its size");
        ImageView { pixels, width, height, left: 0, top: 0, replicates_edges: false }
    }

    /// The same pixels as a region of a larger image that is black elsewhere.
    pub fn with_origin(self, left: usize, top: usize) -> ImageView<'a, T, C> {
        ImageView { left: left as i32, top: top as i32, ..self }
    }

    /// The same image with its edge pixels repeated outside (OpenCV's `BORDER_REPLICATE`).
    pub fn with_replicated_edges(self) -> ImageView<'a, T, C> {
        ImageView { replicates_edges: true, ..self }
    }
}

/// A 2 x 3 matrix that maps a point of the image to a point of the crop.
pub type Affine = [[f64; 3]; 2];

/// The transform from a square of the image to a crop of `size` pixels: maps the square's center to `size / 2` and its
/// right and lower side to `size`; pixel centers are at integers. Computed by elimination like OpenCV's
/// `getAffineTransform`, with the same rounding.
pub fn affine_to_crop(center: [f32; 2], side: f32, size: usize) -> Affine {
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
    let [a, b, c, d, e, f] = solve(rows);
    [[a, b, c], [d, e, f]]
}

/// Solves six linear equations, with the right-hand side in the last column, by elimination with partial pivoting.
fn solve(mut rows: [[f64; 7]; 6]) -> [f64; 6] {
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

/// The inverse transform, with `warpAffine`'s order of operations.
fn invert(map: &Affine) -> Affine {
    let [[a, b, c], [d, e, f]] = *map;
    let determinant = a * e - b * d;
    let scale = if determinant == 0.0 { 0.0 } else { 1.0 / determinant };
    let (a, b, d, e) = (e * scale, b * -scale, d * -scale, a * scale);
    [[a, b, -a * c - b * f], [d, e, -d * c - e * f]]
}

/// A source position: the upper left of four pixels, and the fractions to the right and below in 1/32 pixel.
struct Tap {
    x: i32,
    y: i32,
    fraction_x: i32,
    fraction_y: i32,
}

/// For each pixel along one axis of a crop: the first source pixel, and the fraction in 1/32 pixel.
pub type Taps = Vec<(i32, i32)>;

/// The horizontal and vertical taps of a transform without rotation.
pub fn axis_taps(map: &Affine, size: usize) -> [Taps; 2] {
    let (mut across, mut down) = (Vec::with_capacity(size), Vec::with_capacity(size));
    for_each_tap(map, size, |index, tap| {
        if index < size {
            across.push((tap.x, tap.fraction_x));
        }
        if index % size == 0 {
            down.push((tap.y, tap.fraction_y));
        }
    });
    [across, down]
}

/// Calls `visit(index, tap)` for every pixel of the crop, row by row.
fn for_each_tap(map: &Affine, size: usize, mut visit: impl FnMut(usize, Tap)) {
    let [across, down] = invert(map);
    let fine = |value: f64| (value * f64::from(1 << FINE_BITS)).round_ties_even() as i32;
    let half = 1 << (FINE_BITS - FRACTION_BITS - 1);
    let steps: Vec<(i32, i32)> =
        (0..size).map(|x| (fine(across[0] * x as f64), fine(down[0] * x as f64))).collect();
    for y in 0..size {
        let start_x = fine(across[1] * y as f64 + across[2]).saturating_add(half);
        let start_y = fine(down[1] * y as f64 + down[2]).saturating_add(half);
        for (x, &(step_x, step_y)) in steps.iter().enumerate() {
            let fixed_x = start_x.saturating_add(step_x) >> (FINE_BITS - FRACTION_BITS);
            let fixed_y = start_y.saturating_add(step_y) >> (FINE_BITS - FRACTION_BITS);
            let pixel = |fixed: i32| (fixed >> FRACTION_BITS).clamp(i16::MIN.into(), i16::MAX.into());
            let tap = Tap {
                x: pixel(fixed_x),
                y: pixel(fixed_y),
                fraction_x: fixed_x & (FRACTIONS - 1),
                fraction_y: fixed_y & (FRACTIONS - 1),
            };
            visit(y * size + x, tap);
        }
    }
}

impl<T: Copy + Default, const C: usize> ImageView<'_, T, C> {
    /// The four pixels of a tap: upper left, upper right, lower left, lower right.
    #[inline(always)]
    fn corners(&self, tap: &Tap) -> [[T; C]; 4] {
        let (left, top) = (tap.x - self.left, tap.y - self.top);
        let (x, y) = (left as usize, top as usize);
        if left >= 0 && top >= 0 && x + 1 < self.width && y + 1 < self.height {
            let start = y * self.width + x;
            let (upper, lower) =
                (&self.pixels[start..start + 2], &self.pixels[start + self.width..start + self.width + 2]);
            return [upper[0], upper[1], lower[0], lower[1]];
        }
        [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(right, below)| self.pixel(left + right, top + below))
    }

    fn pixel(&self, x: i32, y: i32) -> [T; C] {
        let inside = |index: i32, end: usize| match self.replicates_edges {
            true => end.checked_sub(1).map(|last| (index.max(0) as usize).min(last)),
            false => usize::try_from(index).ok().filter(|&index| index < end),
        };
        match (inside(x, self.width), inside(y, self.height)) {
            (Some(x), Some(y)) => self.pixels[y * self.width + x],
            _ => [T::default(); C],
        }
    }
}

/// Extracts a crop of 8-bit values, `size * size * C`, rounded.
pub fn warp_u8<const C: usize>(image: ImageView<u8, C>, map: &Affine, size: usize) -> Vec<u8> {
    let mut crop = vec![[0; C]; size * size];
    for_each_tap(map, size, |index, tap| {
        let corners = image.corners(&tap);
        let (right, below) = (tap.fraction_x, tap.fraction_y);
        let weights = [
            (FRACTIONS - right) * (FRACTIONS - below),
            right * (FRACTIONS - below),
            (FRACTIONS - right) * below,
            right * below,
        ];
        for (channel, value) in crop[index].iter_mut().enumerate() {
            let sum: i32 =
                corners.iter().zip(weights).map(|(pixel, weight)| i32::from(pixel[channel]) * weight).sum();
            // weights are 1024ths here; OpenCV's are 32 times as large, with the same rounding
            *value = ((sum + 512) >> 10) as u8;
        }
    });
    crop.into_flattened()
}

/// Extracts a crop of floating-point values, `size * size * C`, not rounded.
pub fn warp_f64<const C: usize>(image: ImageView<f64, C>, map: &Affine, size: usize) -> Vec<f64> {
    let mut crop = vec![[0.0; C]; size * size];
    for_each_tap(map, size, |index, tap| {
        let corners = image.corners(&tap);
        let [right, below] =
            [tap.fraction_x, tap.fraction_y].map(|fraction| f64::from(fraction) / f64::from(FRACTIONS));
        let weights =
            [(1.0 - right) * (1.0 - below), right * (1.0 - below), (1.0 - right) * below, right * below];
        for (channel, value) in crop[index].iter_mut().enumerate() {
            *value = corners.iter().zip(weights).map(|(pixel, weight)| pixel[channel] * weight).sum();
        }
    });
    crop.into_flattened()
}

/// Gaussian blur with standard deviation `sigma` pixels and repeated borders (as `skimage.filters.gaussian`: truncated at
/// four deviations, columns first, then rows).
pub fn gaussian_blur<const C: usize>(image: ImageView<u8, C>, sigma: f64) -> Vec<f64> {
    gaussian_blur_region(image, sigma, &ImageRegion { columns: 0..image.width, rows: 0..image.height })
}

/// A region of the blurred image, bit-identical to [`gaussian_blur`]: of a large image only what a crop reads needs to be
/// blurred.
pub fn gaussian_blur_region<const C: usize>(
    image: ImageView<u8, C>,
    sigma: f64,
    region: &ImageRegion,
) -> Vec<f64> {
    let (width, height) = (image.width, image.height);
    let (columns, rows) = (region.columns.clone(), region.rows.clone());
    if columns.is_empty() || rows.is_empty() {
        return Vec::new();
    }
    let kernel = half_gaussian(sigma);
    let radius = kernel.len() - 1;
    // source columns of the region
    let (first, end) = (columns.start.saturating_sub(radius), (columns.end + radius).min(width));
    let row = |y: usize| &image.pixels[y * width + first..y * width + end];
    let mut out = vec![[0.0; C]; columns.len() * rows.len()];
    out.par_chunks_exact_mut(columns.len()).zip(rows).for_each(|(out, y)| {
        let mut line: Vec<[f64; C]> =
            row(y).iter().map(|pixel| pixel.map(|value| f64::from(value) * kernel[0])).collect();
        for (distance, &weight) in kernel.iter().enumerate().skip(1).rev() {
            let (above, below) = (row(y.saturating_sub(distance)), row((y + distance).min(height - 1)));
            for (sum, (above, below)) in line.iter_mut().zip(above.iter().zip(below)) {
                (0..C).for_each(|c| sum[c] += (f64::from(above[c]) + f64::from(below[c])) * weight);
            }
        }
        // repeat the borders, so that every pixel has all its neighbors
        let (left, right) = (radius - (columns.start - first), radius - (end - columns.end));
        line.extend(std::iter::repeat_n(line[line.len() - 1], right));
        line.splice(0..0, std::iter::repeat_n(line[0], left));
        for (sum, here) in out.iter_mut().zip(&line[radius..]) {
            *sum = here.map(|value| value * kernel[0]);
        }
        for (distance, &weight) in kernel.iter().enumerate().skip(1).rev() {
            let (before, after) = (&line[radius - distance..], &line[radius + distance..]);
            for (sum, (before, after)) in out.iter_mut().zip(before.iter().zip(after)) {
                (0..C).for_each(|c| sum[c] += (before[c] + after[c]) * weight);
            }
        }
    });
    out.into_flattened()
}

/// The center and one side of a Gaussian kernel; the complete kernel sums to one.
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
        (0..width * height).map(|index| ((index % width) * 3 + (index / width) * 7) as u8).collect()
    }

    #[test]
    fn a_crop_of_the_same_size_is_a_copy() {
        let values = gradient(12, 8);
        let map = affine_to_crop([4.0, 4.0], 8.0, 8);
        let crop = warp_u8(ImageView::<_, 1>::new(&values, 12, 8), &map, 8);
        let copy: Vec<u8> = (0..8).flat_map(|y| values[y * 12..y * 12 + 8].to_vec()).collect();
        assert_eq!(crop, copy);
        let floats: Vec<f64> = values.iter().map(|&value| value.into()).collect();
        let unrounded = warp_f64(ImageView::<_, 1>::new(&floats, 12, 8), &map, 8);
        assert!(unrounded.iter().zip(&copy).all(|(a, &b)| *a == f64::from(b)));
    }

    #[test]
    fn outside_is_black() {
        let values = vec![200; 30];
        let map = affine_to_crop([-50.0, 3.0], 10.0, 16);
        assert!(warp_u8(ImageView::<_, 3>::new(&values, 5, 2), &map, 16).iter().all(|&value| value == 0));
        let far = affine_to_crop([1e9, -1e9], 1e7, 16);
        assert!(warp_u8(ImageView::<_, 3>::new(&values, 5, 2), &far, 16).iter().all(|&value| value == 0));
    }

    #[test]
    fn blurring_does_not_change_a_uniform_image() {
        let values = vec![77; 3 * 40];
        let out = gaussian_blur(ImageView::<_, 3>::new(&values, 8, 5), 2.3);
        assert!(out.iter().all(|value| (value - 77.0).abs() < 1e-9));
    }

    #[test]
    fn a_blurred_region_equals_that_of_the_blurred_image() {
        let (width, height) = (40, 31);
        let values: Vec<u8> = (0..width * height * 3).map(|i| (i * 89 % 251) as u8).collect();
        let image = ImageView::<_, 3>::new(&values, width, height);
        let full = gaussian_blur(image, 1.7);
        for (center, side) in
            [([20.0, 15.0], 9.5), ([2.0, 29.0], 14.0), ([39.0, 1.0], 60.0), ([900.0, 0.0], 9.0)]
        {
            let map = affine_to_crop(center, side, 16);
            let region = ImageRegion::source_of_crop(&map, 16, width, height);
            let blurred = gaussian_blur_region(image, 1.7, &region);
            let view = ImageView::<_, 3>::new(&blurred, region.columns.len(), region.rows.len());
            let view = view.with_origin(region.columns.start, region.rows.start);
            let expected = warp_f64(ImageView::<_, 3>::new(&full, width, height), &map, 16);
            assert!(warp_f64(view, &map, 16) == expected, "{center:?}, {side}");
        }
    }
}
