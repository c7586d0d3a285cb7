//! Interface between a [`FrameSource`](crate::FrameSource) and what delivers its frames.

use posebook_core::frame::Frame;

use crate::error::VideoError;

/// Delivers the selected frames of a video to the consumer, in order.
pub trait FrameDelivery: Send {
    /// Does the work that precedes the first frame, once; later calls do nothing. After an error there are no frames.
    fn prepare(&mut self) -> Result<(), VideoError>;

    /// The next frame, `None` after the last and after an error. Prepares first where that was not done.
    fn next_frame(&mut self) -> Result<Option<Frame>, VideoError>;

    /// Peak bytes of host memory in the buffers of frames, delivered ones included.
    fn frame_buffer_bytes(&self) -> u64;
}
