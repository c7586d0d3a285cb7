//! One decoded video frame, and the buffers that frames are recycled through.
//!
//! Must not know where a frame comes from nor what is seen in it.

use candle_core::Tensor;
use std::sync::mpsc::Sender;
use std::time::Instant;

/// A decoded frame: RGB, 8 bits a channel, rows top to bottom, no padding (`height * width * 3` bytes).
///
/// The pixels may belong to a pool of buffers allocated once (see [`Frame::pooled`]); dropping the
/// frame hands them back, so that a stream of any length holds a fixed number of bytes. Or they lie on
/// another device ([`Frame::on_device`]).
#[derive(Debug)]
pub struct Frame {
    /// Position in presentation order, counted from the start of the clip (not of the range read).
    pub index: usize,
    /// Presentation time in seconds from the clip's first frame.
    pub time_secs: f64,
    pub width: usize,
    pub height: usize,
    /// When the pixels were made, where their source measured it.
    pub decoded: Option<Decoded>,
    pixels: Held,
    home: Option<Sender<Vec<u8>>>,
}

/// When a frame was decoded, seeking included; for an extracted frame, when its file was read back. A
/// frame that was kept decoded has no such span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// When the source turned to this frame.
    pub began: Instant,
    /// When its last pixel was there.
    pub ended: Instant,
}

#[derive(Debug)]
enum Held {
    Host(Vec<u8>),
    Device(Tensor),
}

/// Where a frame's pixels are.
#[derive(Debug, Clone, Copy)]
pub enum Pixels<'a> {
    /// `height * width * 3` bytes.
    Host(&'a [u8]),
    /// `(height, width, 3)`, bytes.
    Device(&'a Tensor),
}

impl Frame {
    /// A frame that owns its pixels alone.
    ///
    /// # Panics
    /// If `rgb` is not `width * height * 3` bytes long: a frame of another size is a bug of its maker.
    pub fn new(index: usize, time_secs: f64, width: usize, height: usize, rgb: Vec<u8>) -> Frame {
        assert_eq!(rgb.len(), width * height * 3, "a frame's bytes do not match its size");
        Frame { index, time_secs, width, height, decoded: None, pixels: Held::Host(rgb), home: None }
    }

    /// A frame whose pixels are a tensor on some device.
    ///
    /// # Shapes
    /// `rgb` `(height, width, 3)`, bytes.
    ///
    /// # Errors
    /// If the tensor has other axes.
    pub fn on_device(index: usize, time_secs: f64, rgb: Tensor) -> candle_core::Result<Frame> {
        let (height, width, channels) = rgb.dims3()?;
        if channels != 3 || rgb.dtype() != candle_core::DType::U8 {
            candle_core::bail!("a frame is (height, width, 3) bytes, not {:?} {:?}", rgb.dims(), rgb.dtype());
        }
        Ok(Frame { index, time_secs, width, height, decoded: None, pixels: Held::Device(rgb), home: None })
    }

    /// A frame whose buffer goes back through `home` when the frame is dropped.
    pub fn pooled(mut self, home: Sender<Vec<u8>>) -> Frame {
        self.home = Some(home);
        self
    }

    /// A frame whose decoding began at `began` and has just ended.
    pub fn decoded_since(mut self, began: Instant) -> Frame {
        self.decoded = Some(Decoded { began, ended: Instant::now() });
        self
    }

    /// The pixels, wherever they are.
    pub fn pixels(&self) -> Pixels<'_> {
        match &self.pixels {
            Held::Host(rgb) => Pixels::Host(rgb),
            Held::Device(rgb) => Pixels::Device(rgb),
        }
    }

    /// The pixels, `height * width * 3` bytes; empty if they are on another device
    /// ([`Frame::brought_to_host`]).
    pub fn rgb(&self) -> &[u8] {
        match &self.pixels {
            Held::Host(rgb) => rgb,
            Held::Device(_) => &[],
        }
    }

    /// The frame with its pixels on the host.
    ///
    /// # Errors
    /// If the device does not give them out.
    pub fn brought_to_host(self) -> candle_core::Result<Frame> {
        match &self.pixels {
            Held::Host(_) => Ok(self),
            Held::Device(rgb) => {
                let rgb = rgb.flatten_all()?.to_vec1::<u8>()?;
                let mut host = Frame::new(self.index, self.time_secs, self.width, self.height, rgb);
                host.decoded = self.decoded;
                Ok(host)
            }
        }
    }

    /// Red, green and blue at column `x` of row `y` of a frame on the host.
    pub fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        let (rgb, at) = (self.rgb(), (y * self.width + x) * 3);
        [rgb[at], rgb[at + 1], rgb[at + 2]]
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        if let (Some(home), Held::Host(rgb)) = (self.home.take(), &mut self.pixels) {
            // the pool may be gone already: then the buffer is simply freed
            let _ = home.send(std::mem::take(rgb));
        }
    }
}
