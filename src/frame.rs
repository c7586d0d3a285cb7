//! One decoded video frame, and the buffers that frames are recycled through.
//!
//! Must not know where a frame comes from nor what is seen in it.

use std::sync::mpsc::Sender;

/// A decoded frame: RGB, 8 bits a channel, rows top to bottom, no padding (`height * width * 3` bytes).
///
/// The pixels may belong to a pool of buffers allocated once (see [`Frame::pooled`]); dropping the
/// frame hands them back, so that a stream of any length holds a fixed number of bytes.
#[derive(Debug)]
pub struct Frame {
    /// Position in presentation order, counted from the start of the clip (not of the range read).
    pub index: usize,
    /// Presentation time in seconds from the clip's first frame.
    pub time_secs: f64,
    pub width: usize,
    pub height: usize,
    rgb: Vec<u8>,
    home: Option<Sender<Vec<u8>>>,
}

impl Frame {
    /// A frame that owns its pixels alone.
    ///
    /// # Panics
    /// If `rgb` is not `width * height * 3` bytes long: a frame of another size is a bug of its maker.
    pub fn new(index: usize, time_secs: f64, width: usize, height: usize, rgb: Vec<u8>) -> Frame {
        assert_eq!(rgb.len(), width * height * 3, "a frame's bytes do not match its size");
        Frame { index, time_secs, width, height, rgb, home: None }
    }

    /// A frame whose buffer goes back through `home` when the frame is dropped.
    pub fn pooled(mut self, home: Sender<Vec<u8>>) -> Frame {
        self.home = Some(home);
        self
    }

    /// The pixels, `height * width * 3` bytes.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// Red, green and blue at column `x` of row `y`.
    pub fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        let at = (y * self.width + x) * 3;
        [self.rgb[at], self.rgb[at + 1], self.rgb[at + 2]]
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            // the pool may be gone already: then the buffer is simply freed
            let _ = home.send(std::mem::take(&mut self.rgb));
        }
    }
}
