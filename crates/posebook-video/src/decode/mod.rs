//! TODO-DOC decode

pub mod buffers;
pub mod decode_pass;
pub mod decoder;
pub mod frame_decoder;
pub mod planes;
