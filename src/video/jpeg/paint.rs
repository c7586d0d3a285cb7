//! Coefficients to pixels: the transform back, chroma widened to the picture's size, colours (`jdsample.c`,
//! `jdcolor.c`; what OpenCV makes of CMYK).

use rayon::prelude::*;

use super::SIDE;
use super::color::{to_rgb, widen};
use super::dct::back;
use super::whole::Component;

/// What a picture's components are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    Grey,
    Rgb,
    Ycc,
    Cmyk,
    Ycck,
}

/// Samples of one component.
struct Plane {
    samples: Vec<u8>,
    stride: usize,
    width: usize,
    height: usize,
    /// How many pixels a sample covers, across and down.
    covers: (usize, usize),
}

/// The RGB bytes of a picture.
pub fn paint(
    components: Vec<Component>,
    width: usize,
    height: usize,
    space: Space,
) -> Result<Vec<u8>, String> {
    let h_most = components.iter().map(|component| component.sampling.0).max().unwrap_or(1);
    let v_most = components.iter().map(|component| component.sampling.1).max().unwrap_or(1);
    let planes: Result<Vec<Plane>, String> =
        components.into_iter().map(|component| Plane::new(component, h_most, v_most)).collect();
    let planes = planes?;
    let mut rgb = vec![0; width * height * 3];
    rgb.par_chunks_exact_mut(width * 3).enumerate().for_each_init(
        || (vec![Vec::new(); planes.len()], Vec::new()),
        |(rows, sums), (y, out)| {
            for (plane, row) in planes.iter().zip(rows.iter_mut()) {
                plane.row(y, sums, row);
            }
            let rows: Vec<&[u8]> = rows.iter().map(|row| &row[..width]).collect();
            colour(space, &rows, out);
        },
    );
    Ok(rgb)
}

impl Plane {
    fn new(component: Component, h_most: usize, v_most: usize) -> Result<Plane, String> {
        let Component { sampling: (h, v), width, height, across, down, steps, blocks, .. } = component;
        if !h_most.is_multiple_of(h) || !v_most.is_multiple_of(v) {
            return Err(format!(
                "a JPEG whose components are sampled {h}x{v} and {h_most}x{v_most} is not read"
            ));
        }
        let steps = steps.unwrap_or([1; 64]);
        let stride = across * SIDE;
        let mut samples = vec![0; stride * down * SIDE];
        let rows = samples.par_chunks_exact_mut(stride * SIDE).zip(blocks.par_chunks_exact(across));
        rows.for_each(|(out, blocks)| {
            for (at, block) in blocks.iter().enumerate() {
                back(block, &steps, &mut out[at * SIDE..], stride);
            }
        });
        Ok(Plane { samples, stride, width, height, covers: (h_most / h, v_most / v) })
    }

    fn samples(&self, y: usize) -> &[u8] {
        &self.samples[y * self.stride..][..self.width]
    }

    /// Row `y` of the picture: at least as many values as the picture is wide.
    fn row(&self, y: usize, sums: &mut Vec<u16>, out: &mut Vec<u8>) {
        let (across, down) = self.covers;
        out.resize(self.width * across, 0);
        let near = self.samples((y / down).min(self.height - 1));
        // the row beyond where a sample covers two: above for an upper row, below for a lower one
        let beyond = |y: usize| {
            let at = y / 2;
            self.samples(if y.is_multiple_of(2) {
                at.saturating_sub(1)
            } else {
                (at + 1).min(self.height - 1)
            })
        };
        match (across, down) {
            (1, 1) => out.copy_from_slice(near),
            (2, 1) if self.width > 2 => widen_across(near, out),
            (1, 2) => {
                let bias = if y.is_multiple_of(2) { 1 } else { 2 };
                for ((out, &near), &far) in out.iter_mut().zip(near).zip(beyond(y)) {
                    *out = ((u16::from(near) * 3 + u16::from(far) + bias) >> 2) as u8;
                }
            }
            (2, 2) if self.width > 2 => {
                sums.resize(self.width, 0);
                widen(near, beyond(y), sums, out);
            }
            _ => out.iter_mut().enumerate().for_each(|(x, out)| *out = near[x / across]),
        }
    }
}

/// A row of halved chroma to one of twice its length: three quarters of the nearer sample and one of the farther.
fn widen_across(near: &[u8], out: &mut [u8]) {
    let last = near.len() - 1;
    for (x, pair) in out.as_chunks_mut::<2>().0.iter_mut().enumerate() {
        let three = u16::from(near[x]) * 3;
        let before = if x == 0 { near[0].into() } else { (three + u16::from(near[x - 1]) + 1) >> 2 };
        let after = if x == last { near[last].into() } else { (three + u16::from(near[x + 1]) + 2) >> 2 };
        *pair = [before as u8, after as u8];
    }
}

fn colour(space: Space, rows: &[&[u8]], out: &mut [u8]) {
    let pixels = out.as_chunks_mut::<3>().0;
    match (space, rows) {
        (Space::Grey, [grey]) => pixels.iter_mut().zip(*grey).for_each(|(pixel, &grey)| *pixel = [grey; 3]),
        (Space::Rgb, [r, g, b]) => {
            for (((pixel, &r), &g), &b) in pixels.iter_mut().zip(*r).zip(*g).zip(*b) {
                *pixel = [r, g, b];
            }
        }
        (Space::Ycc, [luma, blue, red]) => to_rgb(luma, blue, red, out),
        (Space::Cmyk, [c, m, y, k]) => {
            for ((((pixel, &c), &m), &y), &k) in pixels.iter_mut().zip(*c).zip(*m).zip(*y).zip(*k) {
                *pixel = [c, m, y].map(|ink| under_black(ink, k));
            }
        }
        (Space::Ycck, [luma, blue, red, k]) => {
            to_rgb(luma, blue, red, out);
            for (pixel, &k) in out.as_chunks_mut::<3>().0.iter_mut().zip(*k) {
                *pixel = pixel.map(|value| under_black(255 - value, k));
            }
        }
        _ => {}
    }
}

/// What OpenCV makes of an ink and of black, both stored the other way round, as every program does.
fn under_black(ink: u8, black: u8) -> u8 {
    let (ink, black) = (i32::from(ink), i32::from(black));
    (black - (((255 - ink) * black) >> 8)) as u8
}
