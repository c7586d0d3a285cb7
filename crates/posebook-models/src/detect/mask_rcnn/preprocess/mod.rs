//! Prepares frames for a detector as detectron2's predictors do, and converts boxes to the network's pixels and back.
//!
//! In: a frame, RGB on the host, 8 bits per channel. Out: the network's input `(height, width, 3)` in the order of channels that
//! the configuration has: scaled ([`Geometry`]), normalized, and padded with zeros to the right and below. Padding comes after
//! normalization: padded pixels have the mean color.
//!
//! Both entry points, 4D-Humans' `DefaultPredictor_Lazy` (demo, gradio) and PHALP's predictors, scale by detectron2's
//! `ResizeShortestEdge`. It uses Pillow for 8-bit images, and all of them pass 8-bit images (torch's interpolation would
//! be used for other types). So [`resize`] is Pillow's.

mod geometry;
mod resample;

pub use geometry::Geometry;
pub use resample::resize;

use super::config::{ChannelOrder, Input};
use posebook_core::frame::FrameSize;
use rayon::prelude::*;

/// Mean of red, green and blue, 0 to 255: ImageNet's.
pub const MEAN: [f32; 3] = [123.675, 116.28, 103.53];
/// Standard deviation of red, green and blue.
pub const DEVIATION: [f32; 3] = [58.395, 57.12, 57.375];

/// The network's input for a frame: `padded.height * padded.width * 3` values.
///
/// # Panics
/// If `rgb` does not have the bytes of the geometry's frame, which is a bug of the caller.
pub fn prepare(input: &Input, geometry: &Geometry, rgb: &[u8]) -> Vec<f32> {
    let mut values = vec![0.0; geometry.padded.height * geometry.padded.width * 3];
    fill(input, geometry, rgb, &mut values);
    values
}

/// [`prepare`] into `values`, which are zeros.
pub(super) fn fill(input: &Input, geometry: &Geometry, rgb: &[u8], values: &mut [f32]) {
    let scaled_size = FrameSize::new(geometry.network.width, geometry.network.height);
    let scaled = resize(rgb, geometry.frame, scaled_size);
    // position in the network's input of red, green and blue
    let order = match input.channels {
        ChannelOrder::Rgb => [0, 1, 2],
        ChannelOrder::Bgr => [2, 1, 0],
    };
    let rows = values.par_chunks_mut(geometry.padded.width * 3);
    rows.zip(scaled.par_chunks(scaled_size.width * 3)).for_each(|(row, scaled)| {
        for (pixel, rgb) in row.chunks_exact_mut(3).zip(scaled.chunks_exact(3)) {
            for (channel, position) in order.into_iter().enumerate() {
                pixel[position] = (f32::from(rgb[channel]) - MEAN[channel]) / DEVIATION[channel];
            }
        }
    });
}
