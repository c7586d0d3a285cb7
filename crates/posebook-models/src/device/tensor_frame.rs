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

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: FrameSize = FrameSize::new(5, 3);

    fn rgb() -> Vec<u8> {
        (0..5 * 3 * 3).map(|index| index * 5).collect()
    }

    /// Pixels of another library than candle.
    #[derive(Debug)]
    struct ForeignPixels;

    impl DevicePixels for ForeignPixels {
        fn size(&self) -> FrameSize {
            SIZE
        }

        fn to_host(&self) -> std::result::Result<Vec<u8>, DeviceCopyError> {
            Err(DeviceCopyError { message: "the device is gone".into(), is_out_of_memory: false })
        }

        fn as_any(&self) -> &dyn Any {
            self
        }
    }

    #[test]
    fn pixels_survive_the_way_to_a_tensor_and_back() {
        let pixels = uploader(&Device::Cpu).upload(SIZE, &rgb()).unwrap();
        let frame = Frame::on_device(7, 0.25, pixels);
        assert_eq!((frame.size(), frame.index, frame.time_secs), (SIZE, 7, 0.25));
        assert_eq!(frame_tensor(&frame).unwrap().unwrap().dims(), [3, 5, 3]);
        assert!(frame.rgb().is_empty());
        assert_eq!(*copy_to_host(&frame).unwrap(), rgb());
        assert_eq!(frame.to_host().unwrap().rgb(), rgb());
    }

    #[test]
    fn a_view_of_a_tensor_is_copied_in_the_order_of_a_frame() {
        let columns_first = Tensor::from_vec(rgb(), (5, 3, 3), &Device::Cpu).unwrap();
        let frame = frame_from_tensor(0, 0.0, columns_first.transpose(0, 1).unwrap()).unwrap();
        assert_eq!(frame.size(), SIZE);
        let host = frame.to_host().unwrap();
        assert_eq!(host.pixel(1, 2), [75, 80, 85]);
    }

    #[test]
    fn a_frame_on_the_host_has_no_tensor_and_is_not_copied() {
        let frame = Frame::new(0, 0.0, 5, 3, rgb());
        assert!(frame_tensor(&frame).unwrap().is_none());
        assert!(matches!(copy_to_host(&frame).unwrap(), Cow::Borrowed(pixels) if pixels == rgb()));
    }

    #[test]
    fn another_shape_type_or_length_is_an_error() {
        let zeros = |shape: &[usize], dtype| Tensor::zeros(shape, dtype, &Device::Cpu).unwrap();
        for (tensor, says) in [
            (zeros(&[3, 5, 4], DType::U8), "[3, 5, 4]"),
            (zeros(&[3, 5, 3], DType::F32), "F32"),
            (zeros(&[3, 5], DType::U8), "[3, 5]"),
        ] {
            let message = frame_from_tensor(0, 0.0, tensor).unwrap_err().to_string();
            assert!(message.contains(says), "{message}");
        }
        let error = uploader(&Device::Cpu).upload(SIZE, &rgb()[1..]).unwrap_err();
        assert!(!error.is_out_of_memory, "{error}");
    }

    #[test]
    fn pixels_of_another_library_are_an_error() {
        let frame = Frame::on_device(7, 0.0, Box::new(ForeignPixels));
        let message = frame_tensor(&frame).unwrap_err().to_string();
        assert!(message.contains("frame 7"), "{message}");
        assert!(copy_to_host(&frame).unwrap_err().to_string().contains("the device is gone"));
    }

    #[test]
    fn a_full_device_is_recognized() {
        let is_full = |message: &str| copy_error(candle_core::Error::Msg(message.into())).is_out_of_memory;
        assert!(is_full("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")"));
        assert!(!is_full("DriverError(CUDA_ERROR_LAUNCH_FAILED, \"unspecified launch failure\")"));
    }
}
