//! A decoded video frame: RGB pixels in host memory or on a device such as a GPU.
//!
//! A decoder makes [`Frame`]s; networks read them by [`Frame::rgb`] or [`Frame::pixels`]. A frame's buffer can return to a
//! pool when the frame is dropped ([`Frame::pooled`]).
//!
//! Frames on a device are possible without a dependency on a GPU library: the library that runs networks implements
//! [`FrameUploader`] and [`DevicePixels`], the decoder calls them as trait objects, and the library gets its own type back by
//! [`DevicePixels::as_any`].

use serde::{Deserialize, Serialize};
use std::any::Any;
use std::fmt;
use std::sync::mpsc::Sender;
use std::time::Instant;

/// Width and height of a frame, pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FrameSize {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl FrameSize {
    /// A size from width and height, in this order.
    #[inline]
    pub const fn new(width: usize, height: usize) -> FrameSize {
        FrameSize { width, height }
    }

    /// The side of the smallest square that contains the frame.
    #[inline]
    pub fn longer_side(self) -> usize {
        self.width.max(self.height)
    }
}

impl fmt::Display for FrameSize {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "{}x{}", self.width, self.height)
    }
}

/// A decoded frame: RGB, 8 bits per channel, rows top to bottom, no padding (`height * width * 3` bytes).
///
/// The pixels are in host memory, or on a device if the frame was made by [`Frame::on_device`]. Host memory may belong to
/// a pool of buffers ([`Frame::pooled`]): dropping the frame returns its buffer, so that a stream of any length uses a
/// fixed number of bytes.
#[derive(Debug)]
pub struct Frame {
    /// Position in presentation order, counted from the start of the clip (not of the range that is read).
    pub index: usize,
    /// Presentation time in seconds from the clip's first frame.
    pub time_secs: f64,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// When the frame was decoded; `None` if its source did not measure that.
    pub decoded: Option<DecodeSpan>,
    pixels: PixelStorage,
    /// The pool that gets the buffer when the frame is dropped.
    pool: Option<Sender<Vec<u8>>>,
}

/// Time span of a frame's decoding, seeking included; for a frame extracted to a file, of reading that file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeSpan {
    /// When the source started on this frame.
    pub started: Instant,
    /// When its last pixel was available.
    pub ended: Instant,
}

#[derive(Debug)]
enum PixelStorage {
    Host(Vec<u8>),
    Device(Box<dyn DevicePixels>),
}

/// The pixels of a frame in the memory of a device. The library that runs networks implements it.
pub trait DevicePixels: fmt::Debug + Send + Sync {
    /// Width and height of the frame, pixels.
    fn size(&self) -> FrameSize;

    /// Copies the pixels to host memory: `height * width * 3` bytes, in the order of [`Frame`].
    ///
    /// # Errors
    /// If the copy fails.
    fn to_host(&self) -> Result<Vec<u8>, DeviceCopyError>;

    /// `self`, which the implementation downcasts to its own type.
    fn as_any(&self) -> &dyn Any;
}

/// Copies frames from host memory to a device. The library that runs networks implements it.
pub trait FrameUploader: Send + Sync {
    /// Copies `rgb`, the `height * width * 3` bytes of a frame of `size`, to the device.
    ///
    /// # Errors
    /// If the copy fails, usually because the device's memory is full.
    fn upload(&self, size: FrameSize, rgb: &[u8]) -> Result<Box<dyn DevicePixels>, DeviceCopyError>;
}

/// A frame could not be copied to or from a device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DeviceCopyError {
    /// What failed, in the words of the device's library.
    pub message: String,
    /// Whether the device's memory was full.
    pub is_out_of_memory: bool,
}

/// A frame's pixels, in host memory or on a device.
#[derive(Debug, Clone, Copy)]
pub enum Pixels<'a> {
    /// Host memory: `height * width * 3` bytes.
    Host(&'a [u8]),
    /// The memory of a device.
    Device(&'a dyn DevicePixels),
}

impl Frame {
    /// A frame in host memory that owns its pixels.
    ///
    /// # Panics
    /// If `rgb` is not `width * height * 3` bytes long, which is a bug of the caller.
    pub fn new(index: usize, time_secs: f64, width: usize, height: usize, rgb: Vec<u8>) -> Frame {
        assert_eq!(rgb.len(), width * height * 3, "a frame's bytes do not match its size");
        Frame { index, time_secs, width, height, decoded: None, pixels: PixelStorage::Host(rgb), pool: None }
    }

    /// A frame whose pixels are on a device; it has their size.
    pub fn on_device(index: usize, time_secs: f64, pixels: Box<dyn DevicePixels>) -> Frame {
        let FrameSize { width, height } = pixels.size();
        Frame {
            index,
            time_secs,
            width,
            height,
            decoded: None,
            pixels: PixelStorage::Device(pixels),
            pool: None,
        }
    }

    /// Width and height, pixels.
    #[inline]
    pub fn size(&self) -> FrameSize {
        FrameSize::new(self.width, self.height)
    }

    /// This frame, whose buffer is sent to `pool` when the frame is dropped. Pixels on a device are not sent.
    pub fn pooled(mut self, pool: Sender<Vec<u8>>) -> Frame {
        self.pool = Some(pool);
        self
    }

    /// This frame, whose decoding started at `started` and has just ended.
    pub fn with_decode_start(mut self, started: Instant) -> Frame {
        self.decoded = Some(DecodeSpan { started, ended: Instant::now() });
        self
    }

    /// The pixels.
    #[inline]
    pub fn pixels(&self) -> Pixels<'_> {
        match &self.pixels {
            PixelStorage::Host(rgb) => Pixels::Host(rgb),
            PixelStorage::Device(pixels) => Pixels::Device(pixels.as_ref()),
        }
    }

    /// The pixels in host memory, `height * width * 3` bytes; empty for a frame on a device, which [`Frame::to_host`]
    /// copies.
    #[inline]
    pub fn rgb(&self) -> &[u8] {
        match &self.pixels {
            PixelStorage::Host(rgb) => rgb,
            PixelStorage::Device(_) => &[],
        }
    }

    /// The frame with its pixels in host memory; unchanged if they are there already.
    ///
    /// # Errors
    /// If the copy from the device fails.
    pub fn to_host(self) -> Result<Frame, DeviceCopyError> {
        match &self.pixels {
            PixelStorage::Host(_) => Ok(self),
            PixelStorage::Device(pixels) => {
                let rgb = pixels.to_host()?;
                let mut host = Frame::new(self.index, self.time_secs, self.width, self.height, rgb);
                host.decoded = self.decoded;
                Ok(host)
            }
        }
    }

    /// A copy of the pixels in host memory, `height * width * 3` bytes.
    ///
    /// # Errors
    /// If the copy from the device fails.
    pub fn copy_rgb(&self) -> Result<Vec<u8>, DeviceCopyError> {
        match &self.pixels {
            PixelStorage::Host(rgb) => Ok(rgb.clone()),
            PixelStorage::Device(pixels) => pixels.to_host(),
        }
    }

    /// Red, green and blue at column `x` of row `y`, both of which have to be inside the frame.
    ///
    /// # Panics
    /// If the frame is on a device, or the position is beyond the last pixel.
    #[inline]
    pub fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        let (rgb, at) = (self.rgb(), (y * self.width + x) * 3);
        [rgb[at], rgb[at + 1], rgb[at + 2]]
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        if let (Some(pool), PixelStorage::Host(rgb)) = (self.pool.take(), &mut self.pixels) {
            // fails if the pool was dropped: then the buffer is freed
            let _ = pool.send(std::mem::take(rgb));
        }
    }
}
