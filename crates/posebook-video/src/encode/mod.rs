//! Writes overlay videos: RGB frames with their display times, and the source's audio, as an H.264 MP4 file.
//!
//! [`encoder`] runs ffmpeg and gives it the frames in the container [`ivf`], which has a timestamp for every frame; [`audio`]
//! says which part of the source's audio belongs to the frames.

pub mod audio;
pub mod encoder;
pub mod ivf;
