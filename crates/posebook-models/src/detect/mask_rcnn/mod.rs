//! The published person detectors: Mask R-CNN with the backbones ViTDet-H, RegNetY-4GF and ResNeXt-101.
//!
//! Input: frames of any size, or a frame with boxes. Output: people with scores and masks, best first.

mod backbone;
#[cfg(test)]
mod backbone_tests;
pub mod boxes;
mod budget;
mod config;
mod cost;
mod detector;
mod error;
mod footprint;
pub mod formula;
mod fpn;
pub mod heads;
pub mod layers;
pub mod nms;
mod options;
pub mod paste;
pub mod preprocess;
pub mod regnet;
pub mod resnext;
pub mod roi_align;
pub mod rpn;
mod simple_pyramid;
mod specs;
mod squeeze_excite;
mod validate;
pub mod vit;
mod weights;

pub use budget::Budget;
pub use config::{
    Architecture, Backbone, BoxHead, ChannelOrder, Config, Input, InputPadding, MaskHead, Norm, RegNetY,
    ResNeXt, Rpn, Vit,
};
pub use cost::Cost;
pub use detector::{DetectedObject, FrameOutputs, MaskRcnn};
pub use error::MaskRcnnError;
pub use footprint::{Footprint, Phase};
pub use options::Options;
