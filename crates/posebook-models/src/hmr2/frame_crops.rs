//! The crops of the people of one frame, extracted on the device that holds the frame.
//!
//! In: a frame and its detections; out: [`FrameCrops`]. Frames on the host are cropped there, and the crops are sent
//! to the device once, as bytes. Frames on a GPU are cropped there: squares are not rotated, so the interpolation of
//! [`crate::warp`] separates into rows and columns, and its sums are integers below 2^24, which `f32` adds without
//! rounding. Both give the same bytes.

use super::crop::{self, Square, normalization_table};
use super::mask::MaskError;
use super::{BoxAspect, Hmr2Error};
use crate::device::frame_tensor;
use crate::warp::{Affine, Taps, axis_taps};
use candle_core::{DType, Device, Result, Tensor};
use posebook_core::frame::Frame;
use posebook_core::person::{BBox, Detection};
use rayon::prelude::*;

/// The detections of one frame and their crops.
pub struct FrameCrops {
    /// Index of the frame.
    pub frame_index: usize,
    /// Width of the frame, pixels.
    pub frame_width: usize,
    /// Height of the frame, pixels.
    pub frame_height: usize,
    /// The detections, in the order of the crops.
    pub detections: Vec<Detection>,
    pub(super) squares: Vec<Square>,
    crops: Crops,
}

/// The pixels of crops.
enum Crops {
    /// RGB bytes, `size * size * 3` each.
    Host(Vec<Vec<u8>>),
    /// RGB bytes on a device, `(size, size, 3)` each.
    Device(Vec<Tensor>),
    /// The demo's crops, not rounded: `(3, size, size)` each, normalized.
    Planes(Vec<Vec<f32>>),
}

impl FrameCrops {
    /// Extracts PHALP's crops of all detections, of `size` pixels a side, from boxes widened as `aspect` says.
    ///
    /// # Errors
    /// If a box has no area or is not finite, or the device fails.
    pub fn extract(
        frame: &Frame,
        detections: &[Detection],
        size: usize,
        aspect: BoxAspect,
    ) -> std::result::Result<FrameCrops, Hmr2Error> {
        let squares = squares(frame, detections, |bbox| Square::around(bbox, aspect.ratio()))?;
        let crops = match frame_tensor(frame)? {
            None => Crops::Host(squares.par_iter().map(|square| square.crop(frame, size)).collect()),
            Some(rgb) => {
                let crops = squares.iter().map(|square| crop_on_device(rgb, square, size));
                Crops::Device(crops.collect::<Result<_>>()?)
            }
        };
        Ok(FrameCrops::new(frame, detections, squares, crops))
    }

    /// Extracts the crops of 4D-Humans' demo, which blurs where a crop shrinks, of a frame on the host.
    ///
    /// # Errors
    /// If a box has no area or is not finite, or the frame is on a device.
    pub fn extract_demo(
        frame: &Frame,
        detections: &[Detection],
        size: usize,
    ) -> std::result::Result<FrameCrops, Hmr2Error> {
        let squares = squares(frame, detections, Square::demo)?;
        if frame_tensor(frame)?.is_some() {
            return Err(candle_core::Error::Msg("the demo's crops need a frame on the host".into()).into());
        }
        // one after the other: a blur uses all threads
        let extract = |detection: &Detection| {
            let mut planes = vec![0.0; 3 * size * size];
            crop::demo_crop(frame, &detection.bbox, size, &mut planes);
            planes
        };
        let crops = Crops::Planes(detections.iter().map(extract).collect());
        Ok(FrameCrops::new(frame, detections, squares, crops))
    }

    fn new(frame: &Frame, detections: &[Detection], squares: Vec<Square>, crops: Crops) -> FrameCrops {
        FrameCrops {
            frame_index: frame.index,
            frame_width: frame.width,
            frame_height: frame.height,
            detections: detections.to_vec(),
            squares,
            crops,
        }
    }

    /// The map from pixels of the frame to pixels of the crop at `index`, if it has `size` pixels a side.
    pub fn affine(&self, index: usize, size: usize) -> Affine {
        self.squares[index].affine(size)
    }

    /// The detection's mask in the crop at `index`, if it has `size` pixels a side: as bytes, see [`Square::crop_mask`]. `None`
    /// without a mask.
    ///
    /// # Errors
    /// If the mask is not one of the frame.
    pub fn copy_mask(&self, index: usize, size: usize) -> std::result::Result<Option<Vec<u8>>, Hmr2Error> {
        let Some(mask) = &self.detections[index].mask else { return Ok(None) };
        let error = |source| Hmr2Error::Mask { frame: self.frame_index, source };
        if (mask.width, mask.height) != (self.frame_width, self.frame_height) {
            return Err(error(MaskError::Size { width: self.frame_width, height: self.frame_height }));
        }
        self.squares[index].crop_frame_mask(mask, size).map(Some).map_err(error)
    }

    /// Number of detections.
    pub fn len(&self) -> usize {
        self.detections.len()
    }

    /// Whether there are no detections.
    pub fn is_empty(&self) -> bool {
        self.detections.is_empty()
    }

    /// A copy of the RGB bytes of a crop, `size * size * 3`, on the host; `None` for the demo's crops, which are normalized.
    ///
    /// # Errors
    /// If the device fails.
    pub fn copy_rgb(&self, index: usize) -> std::result::Result<Option<Vec<u8>>, Hmr2Error> {
        Ok(match &self.crops {
            Crops::Host(crops) => Some(crops[index].clone()),
            Crops::Device(crops) => Some(crops[index].flatten_all()?.to_vec1()?),
            Crops::Planes(_) => None,
        })
    }

    /// The bytes of a crop, `size * size * 3`; `None` if it is on a device or normalized already.
    pub(super) fn bytes(&self, index: usize) -> Option<&[u8]> {
        match &self.crops {
            Crops::Host(crops) => Some(&crops[index]),
            Crops::Device(_) | Crops::Planes(_) => None,
        }
    }

    /// A normalized crop, `(3, size, size)`; `None` if it is not normalized yet.
    pub(super) fn planes(&self, index: usize) -> Option<&[f32]> {
        match &self.crops {
            Crops::Planes(crops) => Some(&crops[index]),
            Crops::Host(_) | Crops::Device(_) => None,
        }
    }

    /// A crop as bytes on `device`, `(1, size, size, 3)`.
    pub(super) fn crop(&self, index: usize, size: usize, device: &Device) -> Result<Tensor> {
        match &self.crops {
            Crops::Host(crops) => Tensor::from_slice(&crops[index], (1, size, size, 3), device),
            Crops::Device(crops) => crops[index].unsqueeze(0)?.to_device(device),
            Crops::Planes(_) => candle_core::bail!("a batch mixes PHALP's crops and the demo's"),
        }
    }
}

/// The squares of a frame's detections, computed by `to_square` from their boxes.
fn squares(
    frame: &Frame,
    detections: &[Detection],
    to_square: impl Fn(&BBox) -> Square,
) -> std::result::Result<Vec<Square>, Hmr2Error> {
    let square = |detection: &Detection| {
        let (square, bbox) = (to_square(&detection.bbox), detection.bbox);
        square.is_valid().then_some(square).ok_or(Hmr2Error::Box { frame: frame.index, bbox })
    };
    detections.iter().map(square).collect()
}

/// Crops a frame on its device: `(size, size, 3)`, bytes.
fn crop_on_device(rgb: &Tensor, square: &Square, size: usize) -> Result<Tensor> {
    let (height, width, _) = rgb.dims3()?;
    let [columns, rows] = axis_taps(&square.affine(size), size);
    let device = rgb.device();
    let row_pairs = rgb.index_select(&tap_indices(&rows, height, device)?, 0)?; // (2 size, width, 3)
    let corners = row_pairs.index_select(&tap_indices(&columns, width, device)?, 1)?.to_dtype(DType::F32)?;
    let weights = |taps: &Taps, end: usize, shape: (usize, usize, usize)| {
        Tensor::from_vec(tap_weights(taps, end), shape, device)
    };
    let corners = corners.broadcast_mul(&weights(&rows, height, (2 * size, 1, 1))?)?;
    let corners = corners.broadcast_mul(&weights(&columns, width, (1, 2 * size, 1))?)?;
    let sums = corners.reshape((size, 2, size, 2 * 3))?.sum(1)?.reshape((size, size, 2, 3))?.sum(2)?;
    // plus a half, then floor: OpenCV's rounding
    (((sums + 512.0)? * (1.0 / 1024.0))?.floor()?).to_dtype(DType::U8)
}

/// Indices of the two source pixels of each pixel of the crop; those outside are moved to the edge.
fn tap_indices(taps: &Taps, end: usize, device: &Device) -> Result<Tensor> {
    let clamp = |index: i32| index.clamp(0, end as i32 - 1) as u32;
    let pairs = taps.iter().flat_map(|&(index, _)| [clamp(index), clamp(index.saturating_add(1))]);
    Tensor::new(pairs.collect::<Vec<u32>>(), device)
}

/// Their weights, in 32nds; 0 for those outside.
fn tap_weights(taps: &Taps, end: usize) -> Vec<f32> {
    let weight = |index: i32, weight: i32| if (0..end as i32).contains(&index) { weight as f32 } else { 0.0 };
    let pair =
        |&(index, part): &(i32, i32)| [weight(index, 32 - part), weight(index.saturating_add(1), part)];
    taps.iter().flat_map(pair).collect()
}

/// Normalizes bytes by a table lookup; same values as [`super::crop::normalize`].
pub(super) struct Normalizer {
    /// `(3 * 256)`, channel by channel.
    table: Tensor,
    /// `(3, 1, 1)`: offset of each channel in the table.
    offsets: Tensor,
}

impl Normalizer {
    /// The tables on a device, in a precision.
    ///
    /// # Errors
    /// If the device has not enough memory.
    pub fn new(dtype: DType, device: &Device) -> Result<Normalizer> {
        let table = Tensor::new(normalization_table().as_flattened(), device)?.to_dtype(dtype)?;
        Ok(Normalizer { table, offsets: Tensor::from_slice(&[0u32, 256, 512], (3, 1, 1), device)? })
    }

    /// Normalizes a batch.
    ///
    /// # Shapes
    /// `(b, size, size, 3)` bytes to `(b, 3, size, size)`.
    pub fn forward(&self, crops: &Tensor) -> Result<Tensor> {
        let planes = crops.permute((0, 3, 1, 2))?.contiguous()?.to_dtype(DType::U32)?;
        let indices = planes.broadcast_add(&self.offsets)?;
        self.table.index_select(&indices.flatten_all()?, 0)?.reshape(indices.shape())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hmr2::crop::normalize;
    use posebook_core::random::stream;

    fn frames(width: usize, height: usize) -> [Frame; 2] {
        let mut draws = stream(9, "frames", &[]);
        let rgb: Vec<u8> = (0..width * height * 3).map(|_| draws.next_u64() as u8).collect();
        let tensor = Tensor::from_slice(&rgb, (height, width, 3), &Device::Cpu).unwrap();
        [Frame::new(0, 0.0, width, height, rgb), crate::device::frame_from_tensor(0, 0.0, tensor).unwrap()]
    }

    #[test]
    fn crops_on_host_and_device_are_equal() {
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
            .map(|[x1, y1, x2, y2]| Detection {
                bbox: BBox { x1, y1, x2, y2 },
                score: 1.0,
                input_id: None,
                mask: None,
            })
            .collect();
        for size in [64, 256] {
            let (on_host, on_device) = (
                FrameCrops::extract(&host, &detections, size, BoxAspect::default()).unwrap(),
                FrameCrops::extract(&device, &detections, size, BoxAspect::default()).unwrap(),
            );
            for index in 0..boxes.len() {
                let bytes = |crops: &FrameCrops| {
                    let crop = crops.crop(index, size, &Device::Cpu).unwrap();
                    crop.flatten_all().unwrap().to_vec1::<u8>().unwrap()
                };
                assert!(bytes(&on_host) == bytes(&on_device), "box {index} at {size} pixels");
                let copies = [&on_host, &on_device].map(|crops| crops.copy_rgb(index).unwrap().unwrap());
                assert!(copies.iter().all(|copy| *copy == bytes(&on_host)));
            }
        }
    }

    #[test]
    fn the_table_lookup_equals_normalize() {
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
