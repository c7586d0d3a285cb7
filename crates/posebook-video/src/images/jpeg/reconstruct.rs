//! Coefficients to pixels for any JPEG: inverse DCT, chroma upsampling (`jdsample.c`), color conversion (`jdcolor.c`; CMYK
//! as OpenCV converts it).

use rayon::prelude::*;

use super::color::{upsample_2x2, ycc_to_rgb};
use super::component::Component;
use super::dct::inverse_dct;
use super::layout::BLOCK_SIDE;

/// Color space of an image's components.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColorSpace {
    /// One component.
    Gray,
    /// Red, green, blue.
    Rgb,
    /// YCbCr.
    Ycc,
    /// Cyan, magenta, yellow, black, stored inverted.
    Cmyk,
    /// CMYK with its first three components converted to YCbCr.
    Ycck,
}

/// Samples of one component.
struct Plane {
    samples: Vec<u8>,
    stride: usize,
    width: usize,
    height: usize,
    /// Pixels per sample, across and down.
    pixels_per_sample: (usize, usize),
}

/// The RGB bytes (`height * width * 3`) of an image.
///
/// # Errors
/// If a sampling factor does not divide the largest one.
pub fn to_rgb(
    components: Vec<Component>,
    width: usize,
    height: usize,
    space: ColorSpace,
) -> Result<Vec<u8>, String> {
    let h_max = components.iter().map(|component| component.sampling.0).max().unwrap_or(1);
    let v_max = components.iter().map(|component| component.sampling.1).max().unwrap_or(1);
    let planes: Result<Vec<Plane>, String> =
        components.into_iter().map(|component| Plane::new(component, h_max, v_max)).collect();
    let planes = planes?;
    let mut rgb = vec![0; width * height * 3];
    rgb.par_chunks_exact_mut(width * 3).enumerate().for_each_init(
        || (vec![Vec::new(); planes.len()], Vec::new()),
        |(rows, sums), (y, out)| {
            for (plane, row) in planes.iter().zip(rows.iter_mut()) {
                plane.upsample_row(y, sums, row);
            }
            let rows: Vec<&[u8]> = rows.iter().map(|row| &row[..width]).collect();
            convert_row(space, &rows, out);
        },
    );
    Ok(rgb)
}

impl Plane {
    fn new(component: Component, h_max: usize, v_max: usize) -> Result<Plane, String> {
        let Component { sampling: (h, v), width, height, blocks_across, blocks_down, quant, blocks, .. } =
            component;
        if !h_max.is_multiple_of(h) || !v_max.is_multiple_of(v) {
            return Err(format!("JPEG sampling factors {h}x{v} with {h_max}x{v_max} are not supported"));
        }
        let quant = quant.unwrap_or([1; 64]);
        let stride = blocks_across * BLOCK_SIDE;
        let mut samples = vec![0; stride * blocks_down * BLOCK_SIDE];
        let rows =
            samples.par_chunks_exact_mut(stride * BLOCK_SIDE).zip(blocks.par_chunks_exact(blocks_across));
        rows.for_each(|(out, blocks)| {
            for (index, block) in blocks.iter().enumerate() {
                inverse_dct(block, &quant, &mut out[index * BLOCK_SIDE..], stride);
            }
        });
        Ok(Plane { samples, stride, width, height, pixels_per_sample: (h_max / h, v_max / v) })
    }

    /// Row `y` of the samples.
    fn samples(&self, y: usize) -> &[u8] {
        &self.samples[y * self.stride..][..self.width]
    }

    /// Row `y` of the image, upsampled: at least as many values as the image is wide. `sums` is scratch space.
    fn upsample_row(&self, y: usize, sums: &mut Vec<u16>, out: &mut Vec<u8>) {
        let (across, down) = self.pixels_per_sample;
        out.resize(self.width * across, 0);
        let near = self.samples((y / down).min(self.height - 1));
        // with two pixel rows per sample, the other row to interpolate from: above for an even row, below for an odd one
        let neighbor = |y: usize| {
            let row = y / 2;
            self.samples(if y.is_multiple_of(2) {
                row.saturating_sub(1)
            } else {
                (row + 1).min(self.height - 1)
            })
        };
        match (across, down) {
            (1, 1) => out.copy_from_slice(near),
            (2, 1) if self.width > 2 => upsample_horizontal(near, out),
            (1, 2) => {
                let bias = if y.is_multiple_of(2) { 1 } else { 2 };
                for ((out, &near), &far) in out.iter_mut().zip(near).zip(neighbor(y)) {
                    *out = ((u16::from(near) * 3 + u16::from(far) + bias) >> 2) as u8;
                }
            }
            (2, 2) if self.width > 2 => {
                sums.resize(self.width, 0);
                upsample_2x2(near, neighbor(y), sums, out);
            }
            _ => out.iter_mut().enumerate().for_each(|(x, out)| *out = near[x / across]),
        }
    }
}

/// A row of samples to a row of twice its length: 3/4 of the nearer sample and 1/4 of the farther.
fn upsample_horizontal(near: &[u8], out: &mut [u8]) {
    let last = near.len() - 1;
    for (x, pair) in out.as_chunks_mut::<2>().0.iter_mut().enumerate() {
        let three = u16::from(near[x]) * 3;
        let before = if x == 0 { near[0].into() } else { (three + u16::from(near[x - 1]) + 1) >> 2 };
        let after = if x == last { near[last].into() } else { (three + u16::from(near[x + 1]) + 2) >> 2 };
        *pair = [before as u8, after as u8];
    }
}

/// Converts one row of components to RGB.
fn convert_row(space: ColorSpace, rows: &[&[u8]], out: &mut [u8]) {
    let pixels = out.as_chunks_mut::<3>().0;
    match (space, rows) {
        (ColorSpace::Gray, [gray]) => {
            pixels.iter_mut().zip(*gray).for_each(|(pixel, &gray)| *pixel = [gray; 3])
        }
        (ColorSpace::Rgb, [r, g, b]) => {
            for (((pixel, &r), &g), &b) in pixels.iter_mut().zip(*r).zip(*g).zip(*b) {
                *pixel = [r, g, b];
            }
        }
        (ColorSpace::Ycc, [luma, cb, cr]) => ycc_to_rgb(luma, cb, cr, out),
        (ColorSpace::Cmyk, [c, m, y, k]) => {
            for ((((pixel, &c), &m), &y), &k) in pixels.iter_mut().zip(*c).zip(*m).zip(*y).zip(*k) {
                *pixel = [c, m, y].map(|ink| ink_to_rgb(ink, k));
            }
        }
        (ColorSpace::Ycck, [luma, cb, cr, k]) => {
            ycc_to_rgb(luma, cb, cr, out);
            for (pixel, &k) in out.as_chunks_mut::<3>().0.iter_mut().zip(*k) {
                *pixel = pixel.map(|value| ink_to_rgb(255 - value, k));
            }
        }
        _ => {}
    }
}

/// OpenCV's conversion of one ink and black to an RGB value; both are stored inverted, as all programs do.
fn ink_to_rgb(ink: u8, black: u8) -> u8 {
    let (ink, black) = (i32::from(ink), i32::from(black));
    (black - (((255 - ink) * black) >> 8)) as u8
}
