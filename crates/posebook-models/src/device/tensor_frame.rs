//! Frames whose pixels are tensors: copies them to a device and finds the tensor of a frame.

use super::GpuErrorKind;
use candle_core::{DType, Device, Result, Tensor};
use posebook_core::frame::{DeviceCopyError, DevicePixels, Frame, FrameSize, FrameUploader, Pixels};
use std::any::Any;
use std::borrow::Cow;
use std::sync::Arc;

/// Pixels as a tensor `(height, width, 3)`, bytes.
#[derive(Debug)]
struct TensorPixels {
    rgb: Tensor,
    size: FrameSize,
}

impl DevicePixels for TensorPixels {
    fn size(&self) -> FrameSize {
        self.size
    }

    fn to_host(&self) -> std::result::Result<Vec<u8>, DeviceCopyError> {
        self.rgb.flatten_all().and_then(|rgb| rgb.to_vec1()).map_err(copy_error)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Copies frames to a candle device.
#[derive(Debug, Clone)]
struct TensorUploader(Device);

impl FrameUploader for TensorUploader {
    fn upload(
        &self,
        size: FrameSize,
        rgb: &[u8],
    ) -> std::result::Result<Box<dyn DevicePixels>, DeviceCopyError> {
        let rgb = Tensor::from_slice(rgb, (size.height, size.width, 3), &self.0).map_err(copy_error)?;
        Ok(Box::new(TensorPixels { rgb, size }))
    }
}

/// An uploader to `device`, as video sources take it.
pub fn uploader(device: &Device) -> Arc<dyn FrameUploader> {
    Arc::new(TensorUploader(device.clone()))
}

fn copy_error(error: candle_core::Error) -> DeviceCopyError {
    let message = error.to_string();
    let is_out_of_memory = GpuErrorKind::from_message(&message) == Some(GpuErrorKind::OutOfMemory);
    DeviceCopyError { message, is_out_of_memory }
}

/// A frame whose pixels are a tensor on some device.
///
/// # Shapes
/// `rgb` `(height, width, 3)`, bytes.
///
/// # Errors
/// If the tensor has another shape or type.
pub fn frame_from_tensor(index: usize, time_secs: f64, rgb: Tensor) -> Result<Frame> {
    let (height, width, channels) = rgb.dims3()?;
    if channels != 3 || rgb.dtype() != DType::U8 {
        candle_core::bail!("a frame is (height, width, 3) bytes, not {:?} {:?}", rgb.dims(), rgb.dtype());
    }
    let size = FrameSize::new(width, height);
    Ok(Frame::on_device(index, time_secs, Box::new(TensorPixels { rgb, size })))
}

/// The tensor of a frame on a device, `(height, width, 3)` bytes; `None` for a frame on the host.
///
/// # Errors
/// If the frame is on a device of another library.
pub fn frame_tensor(frame: &Frame) -> Result<Option<&Tensor>> {
    match frame.pixels() {
        Pixels::Host(_) => Ok(None),
        Pixels::Device(pixels) => match pixels.as_any().downcast_ref::<TensorPixels>() {
            Some(pixels) => Ok(Some(&pixels.rgb)),
            None => candle_core::bail!("the pixels of frame {} are not a candle tensor", frame.index),
        },
    }
}

/// A frame's pixels on the host, `height * width * 3` bytes; copied if they are on a device.
///
/// # Errors
/// If the copy fails.
pub fn copy_to_host(frame: &Frame) -> Result<Cow<'_, [u8]>> {
    match frame.pixels() {
        Pixels::Host(rgb) => Ok(Cow::Borrowed(rgb)),
        Pixels::Device(pixels) => Ok(Cow::Owned(pixels.to_host().map_err(candle_core::Error::wrap)?)),
    }
}
