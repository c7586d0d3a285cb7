//! Feature pyramid network: the maps of a network's stages, from fine to coarse, to maps of equal channels.
//!
//! In: four maps `(b, h, w, c)` with strides 4, 8, 16 and 32. Out: p2 to p6, each `(b, h, w, out)`. Each coarser map is
//! enlarged twofold without interpolation and added to the finer one; there is no activation. Sources: Lin et al. 2017 and
//! detectron2's `FPN` with `LastLevelMaxPool`.

use super::budget::Budget;
use super::config::Norm;
use super::layers::{Activation, Conv2d, ConvSpec, Loader, subsample_2x, upsample_2x};
use candle_core::{Result, Tensor, bail};

/// Stride of the coarsest map, which is also what the sides of an image have to be a multiple of: then each map is exactly
/// twice as large as the next one. p6 alone may be rounded up.
pub const LARGEST_STRIDE: usize = 32;

/// The convolutions of a pyramid.
#[derive(Debug)]
pub(super) struct Fpn {
    /// The lateral and the output convolution of p2 to p5.
    levels: Vec<(Conv2d, Conv2d)>,
}

impl Fpn {
    /// Reads `fpn_lateral2` to `fpn_output5`. `widths`: channels of the four maps; `norm`: [`Norm::Batch`] without a bias,
    /// or [`Norm::None`] with one.
    pub(super) fn load(widths: &[usize], out_channels: usize, norm: Norm, loader: &Loader) -> Result<Fpn> {
        if widths.len() != 4 {
            bail!("a feature pyramid is made of four stages, not {}", widths.len());
        }
        let conv = |name: String, spec: ConvSpec| {
            let loader = loader.pp(name);
            match norm {
                Norm::None => loader.conv(spec, Activation::None),
                Norm::Batch => loader.conv_batch_norm(&loader.pp("norm"), spec, Activation::None),
                Norm::Layer => bail!("a feature pyramid has no layer norms"),
            }
        };
        let level = |(level, &width): (usize, &usize)| {
            let lateral = ConvSpec {
                inputs: width,
                outputs: out_channels,
                kernel: 1,
                stride: 1,
                padding: 0,
                groups: 1,
            };
            let output = ConvSpec { inputs: out_channels, kernel: 3, padding: 1, ..lateral };
            Ok((
                conv(format!("fpn_lateral{}", level + 2), lateral)?,
                conv(format!("fpn_output{}", level + 2), output)?,
            ))
        };
        Ok(Fpn { levels: widths.iter().enumerate().map(level).collect::<Result<_>>()? })
    }

    /// p2 to p6 of the stages' maps, finest first. `on_activation` gets each level as `p2` to `p6`.
    pub(super) fn forward(
        &self,
        mut stages: Vec<Tensor>,
        on_activation: &mut dyn FnMut(&str, &Tensor),
    ) -> Result<Vec<Tensor>> {
        let mut pyramid = Vec::with_capacity(self.levels.len() + 1);
        let mut coarser: Option<Tensor> = None;
        for (lateral, output) in self.levels.iter().rev() {
            let Some(map) = stages.pop() else {
                bail!("a feature pyramid needs a map of each of its levels")
            };
            let merged = match coarser {
                None => lateral.forward(&map)?,
                Some(coarser) => lateral.forward_add(&map, &upsample_2x(&coarser)?)?,
            };
            // a stage's map is the largest buffer here, and is not needed again
            drop(map);
            pyramid.push(output.forward(&merged)?);
            coarser = Some(merged);
        }
        pyramid.reverse();
        if let Some(p5) = pyramid.last() {
            pyramid.push(subsample_2x(p5)?);
        }
        for (level, map) in pyramid.iter().enumerate() {
            on_activation(&format!("p{}", level + 2), map);
        }
        Ok(pyramid)
    }
}

/// Runs `forward` on as many images at a time as `budget` allows, and joins the levels. An image's result does not depend on
/// the other ones. `values_per_pixel`: values that the largest buffers of a pass hold for each pixel of an image.
///
/// # Errors
/// If `pixels` is not `(b, h, w, 3)` with sides that are positive multiples of [`LARGEST_STRIDE`], or `forward` fails.
pub(super) fn in_chunks(
    pixels: &Tensor,
    budget: Budget,
    values_per_pixel: usize,
    mut forward: impl FnMut(&Tensor) -> Result<Vec<Tensor>>,
) -> Result<Vec<Tensor>> {
    let (images, height, width, channels) = pixels.dims4()?;
    let is_multiple = |side: usize| side > 0 && side.is_multiple_of(LARGEST_STRIDE);
    if images == 0 || channels != 3 || !is_multiple(height) || !is_multiple(width) {
        bail!(
            "images are (b, h, w, 3) with sides that are multiples of {LARGEST_STRIDE}, not {:?}",
            pixels.shape()
        );
    }
    let image_bytes = height * width * values_per_pixel * pixels.dtype().size_in_bytes();
    let chunk = budget.chunk(images, image_bytes);
    if chunk == images {
        return forward(pixels);
    }
    let mut levels: Vec<Vec<Tensor>> = Vec::new();
    for start in (0..images).step_by(chunk) {
        let pyramid = forward(&pixels.narrow(0, start, chunk.min(images - start))?.contiguous()?)?;
        levels.resize_with(pyramid.len(), Vec::new);
        levels.iter_mut().zip(pyramid).for_each(|(level, map)| level.push(map));
    }
    levels.iter().map(|maps| Tensor::cat(maps, 0)).collect()
}
