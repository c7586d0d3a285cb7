//! Single images: JPEG and PNG, with the pixels and bytes that OpenCV reads and writes.
//!
//! [`still`] reads an image file of a user, [`format`] writes and reads the frames of an extraction; both use the JPEG codec
//! in [`jpeg`]. [`header`] reads an image's size and orientation without decoding it. Nothing here runs a program.

pub mod format;
pub mod header;
pub mod jpeg;
pub mod still;
