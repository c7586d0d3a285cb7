//! Networks.

pub mod blazepose;
pub mod body;
pub mod detect;
pub mod device;
pub mod fit;
pub mod hmr2;
pub mod import;
pub mod nn;
pub mod pickle;
pub mod recovery;
pub mod tfjs;
pub mod tflite;
pub mod warp;

#[cfg(test)]
#[path = "../../../tests/common/skip.rs"]
mod test_skip;
