//! What the network sees of one frame: its people's crops, cut where the frame's pixels are.
//!
//! Frames on the host are cut there, and the crops go to the device as bytes, once. Frames on a device are
//! cut on it: the interpolation of [`crate::warp`] falls apart into rows and columns, since squares are not
//! turned, and its sums are whole numbers below 2^24, which `f32` adds without rounding: both ways give
//! the same levels.
//!
//! Must not know what becomes of the crops.

use super::Hmr2Error;
use super::crop::{self, Square, levels};
use crate::frame::{Frame, Pixels};
use crate::person::{BBox, Detection};
use crate::warp::{Taps, axis_taps};
use candle_core::{DType, Device, Result, Tensor};
use rayon::prelude::*;

/// The people of one frame, ready for the network.
pub struct Sight {
    pub frame_index: usize,
    pub frame_width: usize,
    pub frame_height: usize,
    pub detections: Vec<Detection>,
    pub(super) squares: Vec<Square>,
    crops: Crops,
}

/// Levels of crops, `size * size * 3` each.
enum Crops {
    Host(Vec<Vec<u8>>),
    /// `(size, size, 3)` each, bytes.
    Device(Vec<Tensor>),
    /// The demo's, which rounds nothing: `(3, size, size)` each, normalised.
    Planes(Vec<Vec<f32>>),
}

impl Sight {
    /// Cuts out the people of a frame, `size` pixels each side.
    ///
    /// # Errors
    /// If a box is empty or no number, or the device fails.
    pub fn of(frame: &Frame, detections: &[Detection], size: usize) -> std::result::Result<Sight, Hmr2Error> {
        let squares = squares(frame, detections, Square::of_phalp)?;
        let crops = match frame.pixels() {
            Pixels::Host(_) => {
                Crops::Host(squares.par_iter().map(|square| square.cut(frame, size)).collect())
            }
            Pixels::Device(rgb) => {
                let cuts = squares.iter().map(|square| cut(rgb, square, size));
                Crops::Device(cuts.collect::<Result<_>>()?)
            }
        };
        let (frame_index, frame_width, frame_height) = (frame.index, frame.width, frame.height);
        Ok(Sight { frame_index, frame_width, frame_height, detections: detections.to_vec(), squares, crops })
    }

    /// Cuts out the people of a frame on the host as 4D-Humans' demo does: blurred where they shrink.
    ///
    /// # Errors
    /// If a box is empty or no number, or the frame is on a device.
    pub fn of_demo(
        frame: &Frame,
        detections: &[Detection],
        size: usize,
    ) -> std::result::Result<Sight, Hmr2Error> {
        let squares = squares(frame, detections, Square::of_demo)?;
        if matches!(frame.pixels(), Pixels::Device(_)) {
            return Err(candle_core::Error::Msg("the demo's crops are cut on the host".into()).into());
        }
        // one after the other: a blur uses all threads by itself
        let cut = |detection: &Detection| {
            let mut planes = vec![0.0; 3 * size * size];
            crop::demo(frame, &detection.bbox, size, &mut planes);
            planes
        };
        let crops = Crops::Planes(detections.iter().map(cut).collect());
        let (frame_index, frame_width, frame_height) = (frame.index, frame.width, frame.height);
        Ok(Sight { frame_index, frame_width, frame_height, detections: detections.to_vec(), squares, crops })
    }

    /// How many people there are.
    pub fn len(&self) -> usize {
        self.detections.len()
    }

    /// Whether nobody is there.
    pub fn is_empty(&self) -> bool {
        self.detections.is_empty()
    }

    /// Crop `at`, `size * size * 3`; none if it is on a device.
    pub(super) fn bytes(&self, at: usize) -> Option<&[u8]> {
        match &self.crops {
            Crops::Host(crops) => Some(&crops[at]),
            Crops::Device(_) | Crops::Planes(_) => None,
        }
    }

    /// Crop `at` as it goes into the network, `(3, size, size)`; none if it has to be normalised before.
    pub(super) fn planes(&self, at: usize) -> Option<&[f32]> {
        match &self.crops {
            Crops::Planes(crops) => Some(&crops[at]),
            Crops::Host(_) | Crops::Device(_) => None,
        }
    }

    /// Crop `at` as bytes on `device`, `(1, size, size, 3)`.
    pub(super) fn crop(&self, at: usize, size: usize, device: &Device) -> Result<Tensor> {
        match &self.crops {
            Crops::Host(crops) => Tensor::from_slice(&crops[at], (1, size, size, 3), device),
            Crops::Device(crops) => crops[at].unsqueeze(0)?.to_device(device),
            Crops::Planes(_) => candle_core::bail!("a batch is of PHALP's crops or of the demo's"),
        }
    }
}

/// The squares of a frame's people, by `of` their boxes.
fn squares(
    frame: &Frame,
    detections: &[Detection],
    of: fn(&BBox) -> Square,
) -> std::result::Result<Vec<Square>, Hmr2Error> {
    let square = |detection: &Detection| {
        let (square, bbox) = (of(&detection.bbox), detection.bbox);
        square.exists().then_some(square).ok_or(Hmr2Error::Box { frame: frame.index, bbox })
    };
    detections.iter().map(square).collect()
}

/// The square of a frame on its device: `(size, size, 3)`, bytes.
fn cut(rgb: &Tensor, square: &Square, size: usize) -> Result<Tensor> {
    let (height, width, _) = rgb.dims3()?;
    let [across, down] = axis_taps(&square.map(size), size);
    let device = rgb.device();
    let rows = rgb.index_select(&places(&down, height, device)?, 0)?; // (2 size, width, 3)
    let corners = rows.index_select(&places(&across, width, device)?, 1)?.to_dtype(DType::F32)?;
    let shares = |taps: &Taps, end: usize, shape: (usize, usize, usize)| {
        Tensor::from_vec(weights(taps, end), shape, device)
    };
    let corners = corners.broadcast_mul(&shares(&down, height, (2 * size, 1, 1))?)?;
    let corners = corners.broadcast_mul(&shares(&across, width, (1, 2 * size, 1))?)?;
    let sums = corners.reshape((size, 2, size, 2 * 3))?.sum(1)?.reshape((size, size, 2, 3))?.sum(2)?;
    // half a level up, as OpenCV rounds
    (((sums + 512.0)? * (1.0 / 1024.0))?.floor()?).to_dtype(DType::U8)
}

/// For each pixel of the crop the two it is read from; those outside are moved to the edge.
fn places(taps: &Taps, end: usize, device: &Device) -> Result<Tensor> {
    let inside = |at: i32| at.clamp(0, end as i32 - 1) as u32;
    let both: Vec<u32> =
        taps.iter().flat_map(|&(at, _)| [inside(at), inside(at.saturating_add(1))]).collect();
    Tensor::new(both, device)
}

/// Their weights, 32nds; nothing for those outside.
fn weights(taps: &Taps, end: usize) -> Vec<f32> {
    let inside = |at: i32, weight: i32| if (0..end as i32).contains(&at) { weight as f32 } else { 0.0 };
    let both = |&(at, part): &(i32, i32)| [inside(at, 32 - part), inside(at.saturating_add(1), part)];
    taps.iter().flat_map(both).collect()
}

/// Bytes to what the network takes, by a table: the same numbers as [`super::crop::normalize`] gives.
pub(super) struct Normalizer {
    /// (3 * 256), channel by channel.
    table: Tensor,
    /// (3, 1, 1): where each channel begins in it.
    starts: Tensor,
}

impl Normalizer {
    /// # Errors
    /// If the device has no room.
    pub fn new(dtype: DType, device: &Device) -> Result<Normalizer> {
        let table = Tensor::new(levels().as_flattened(), device)?.to_dtype(dtype)?;
        Ok(Normalizer { table, starts: Tensor::from_slice(&[0u32, 256, 512], (3, 1, 1), device)? })
    }

    /// # Shapes
    /// `(b, size, size, 3)` bytes to `(b, 3, size, size)`.
    pub fn forward(&self, crops: &Tensor) -> Result<Tensor> {
        let planes = crops.permute((0, 3, 1, 2))?.contiguous()?.to_dtype(DType::U32)?;
        let places = planes.broadcast_add(&self.starts)?;
        self.table.index_select(&places.flatten_all()?, 0)?.reshape(places.shape())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hmr2::crop::normalize;
    use crate::random::stream;

    fn frames(width: usize, height: usize) -> [Frame; 2] {
        let mut draws = stream(9, "sight", &[]);
        let rgb: Vec<u8> = (0..width * height * 3).map(|_| draws.bits() as u8).collect();
        let tensor = Tensor::from_slice(&rgb, (height, width, 3), &Device::Cpu).unwrap();
        [Frame::new(0, 0.0, width, height, rgb), Frame::on_device(0, 0.0, tensor).unwrap()]
    }

    #[test]
    fn a_crop_is_the_same_wherever_it_is_cut() {
        let [host, device] = frames(97, 61);
        let boxes = [
            [10.0, 5.0, 60.0, 55.0],
            [-20.0, -30.0, 45.5, 70.25],
            [80.3, 40.7, 120.0, 90.0],
            [30.0, 20.0, 34.0, 28.5],
            [500.0, 500.0, 600.0, 900.0],
        ];
        let detections: Vec<Detection> = boxes
            .into_iter()
            .map(|[x1, y1, x2, y2]| Detection { bbox: BBox { x1, y1, x2, y2 }, score: 1.0, truth_id: None })
            .collect();
        for size in [64, 256] {
            let (on_host, on_device) = (
                Sight::of(&host, &detections, size).unwrap(),
                Sight::of(&device, &detections, size).unwrap(),
            );
            for at in 0..boxes.len() {
                let bytes = |sight: &Sight| {
                    let crop = sight.crop(at, size, &Device::Cpu).unwrap();
                    crop.flatten_all().unwrap().to_vec1::<u8>().unwrap()
                };
                assert!(bytes(&on_host) == bytes(&on_device), "box {at} at {size} pixels");
            }
        }
    }

    #[test]
    fn the_table_normalizes_as_the_formula_does() {
        let rgb: Vec<u8> = (0..2 * 8 * 8 * 3).map(|i| (i * 37 % 256) as u8).collect();
        let crops = Tensor::from_slice(&rgb, (2, 8, 8, 3), &Device::Cpu).unwrap();
        let normalizer = Normalizer::new(DType::F32, &Device::Cpu).unwrap();
        let ours = normalizer.forward(&crops).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let mut theirs = vec![0.0; rgb.len()];
        for (rgb, out) in rgb.chunks(8 * 8 * 3).zip(theirs.chunks_mut(8 * 8 * 3)) {
            normalize(rgb, out);
        }
        assert_eq!(ours, theirs);
    }
}
