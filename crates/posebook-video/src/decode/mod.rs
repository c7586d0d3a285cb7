//! Decodes the selected frames of a probed video, in order, to 8-bit RGB.
//!
//! In: a [`Probe`](crate::Probe), a [`Selection`](crate::Selection) and [`decoder::DecodeOptions`]. Out: one frame at a time,
//! written to a buffer of the caller. [`frame_decoder`] is what the modes use; it reads a video file with [`decoder`], which
//! runs ffmpeg with the arguments of a [`decode_pass`], or a folder of images with [`image_reader`]. [`buffers`] allocates
//! frame buffers.

pub mod buffers;
pub mod decode_pass;
pub mod decoder;
pub mod frame_decoder;
pub mod image_reader;
