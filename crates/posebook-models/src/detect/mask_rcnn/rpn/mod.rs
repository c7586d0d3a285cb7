//! Region proposal network: boxes that may contain an object of any class.
//!
//! In: the maps p2 to p6 of images, `(b, h, w, c)`. Out: each image's proposals, best first. Sources: Ren et al. 2015 and
//! detectron2's `StandardRPNHead` and `RPN`.

pub mod anchors;
pub mod selection;

pub use selection::Proposal;

use super::boxes::{NetworkSize, decode};
use super::config;
use super::layers::{Activation, Conv2d, ConvSpec, Loader};
use anchors::{LevelAnchors, PER_POSITION};
use candle_core::{DType, Result, Tensor, bail};
use rayon::prelude::*;

/// Deltas are used as they are.
const WEIGHTS: [f32; 4] = [1.0; 4];

/// The head, shared by all levels, and how many boxes are selected.
#[derive(Debug)]
pub struct Rpn {
    convolutions: Vec<Conv2d>,
    logits: Conv2d,
    deltas: Conv2d,
    per_level: usize,
    proposals: usize,
}

/// The head's output on one level, on the host, of one image after the other.
struct Level {
    logits: Vec<f32>,
    /// Four to a logit.
    deltas: Vec<[f32; 4]>,
    /// Logits of an image.
    anchors: usize,
    /// Columns of the map.
    columns: usize,
}

impl Level {
    /// Whether an anchor of an image has a finite logit and finite deltas.
    fn has_finite(&self, image: usize) -> bool {
        let of_image = image * self.anchors..(image + 1) * self.anchors;
        let mut pairs = self.logits[of_image.clone()].iter().zip(&self.deltas[of_image]);
        pairs.any(|(logit, deltas)| logit.is_finite() && deltas.iter().all(|delta| delta.is_finite()))
    }
}

impl Rpn {
    /// Reads the head of maps with `channels`.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    pub fn load(sizes: &config::Rpn, channels: usize, loader: &Loader) -> Result<Rpn> {
        let conv = |outputs, kernel: usize, name: String, activation| {
            let padding = kernel / 2;
            let spec = ConvSpec { inputs: channels, outputs, kernel, stride: 1, padding, groups: 1 };
            loader.pp(name).conv(spec, activation)
        };
        // the original names a single convolution `conv`, several ones `conv.conv0`, `conv.conv1`
        let name = |index| if sizes.convolutions == 1 { "conv".into() } else { format!("conv.conv{index}") };
        let convolutions =
            (0..sizes.convolutions).map(|index| conv(channels, 3, name(index), Activation::Relu));
        Ok(Rpn {
            convolutions: convolutions.collect::<Result<_>>()?,
            logits: conv(PER_POSITION, 1, "objectness_logits".into(), Activation::None)?,
            deltas: conv(4 * PER_POSITION, 1, "anchor_deltas".into(), Activation::None)?,
            per_level: sizes.per_level,
            proposals: sizes.proposals,
        })
    }

    /// Logits `(b, h, w, 3)` and deltas `(b, h, w, 12)` (anchors outermost) of a level.
    ///
    /// # Errors
    /// If the device fails.
    pub fn head(&self, level: &Tensor) -> Result<(Tensor, Tensor)> {
        let mut x = level.clone();
        for convolution in &self.convolutions {
            x = convolution.forward(&x)?;
        }
        Ok((self.logits.forward(&x)?, self.deltas.forward(&x)?))
    }

    /// Proposals of each image, best first, clipped to its size without padding. Boxes and logits that are not finite are
    /// dropped, as in detectron2.
    ///
    /// # Errors
    /// If the number of `sizes` differs from the number of images, all logits or deltas of an image are not finite (the
    /// precision is too small), or the device fails.
    pub fn propose(&self, pyramid: &[Tensor], sizes: &[NetworkSize]) -> Result<Vec<Vec<Proposal>>> {
        let mut levels = Vec::with_capacity(pyramid.len());
        for map in pyramid {
            let (images, rows, columns, _) = map.dims4()?;
            if images != sizes.len() {
                bail!("{} sizes for {images} images", sizes.len());
            }
            let (logits, deltas) = self.head(map)?;
            levels.push(Level {
                logits: to_host(&logits)?,
                deltas: to_host(&deltas)?.as_chunks().0.to_vec(),
                anchors: rows * columns * PER_POSITION,
                columns,
            });
        }
        for image in 0..sizes.len() {
            let has_finite = levels.iter().any(|level| level.has_finite(image));
            if !has_finite && levels.iter().any(|level| level.anchors > 0) {
                bail!(
                    "the proposals of image {image} of the batch are not finite; use another precision, or import the weights again"
                );
            }
        }
        Ok(sizes.par_iter().enumerate().map(|(image, &size)| self.select(&levels, image, size)).collect())
    }

    fn select(&self, levels: &[Level], image: usize, size: NetworkSize) -> Vec<Proposal> {
        let candidates = |(index, level): (usize, &Level)| {
            let anchors = LevelAnchors::new(index, level.columns);
            let of_image = image * level.anchors..(image + 1) * level.anchors;
            let (logits, deltas) = (&level.logits[of_image.clone()], &level.deltas[of_image]);
            let proposal = |index: usize| Proposal {
                corners: decode(anchors.get(index), deltas[index], WEIGHTS),
                logit: logits[index],
            };
            selection::best(logits, self.per_level).into_iter().map(proposal).collect()
        };
        let candidates: Vec<Vec<Proposal>> = levels.iter().enumerate().map(candidates).collect();
        selection::select(&candidates, size, self.proposals)
    }
}

/// Values in single precision, in which boxes are computed whatever the network's precision is.
fn to_host(values: &Tensor) -> Result<Vec<f32>> {
    values.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}
