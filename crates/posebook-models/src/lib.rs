//! Recovers people from images: boxes, landmarks, SMPL bodies and cameras; and everything that networks need for it.
//!
//! From a frame to a body:
//!
//! | module | in | out |
//! |---|---|---|
//! | [`detect`] | a frame, or provided boxes | detections: boxes with scores |
//! | [`recovery`] | frames with detections; a file of `models/` | people with SMPL parameters, joints and translations |
//! | [`hmr2`] | crops of people | SMPL parameters and a camera for each |
//! | [`blazepose`] | a frame and boxes | 33 landmarks of each person, in the image and in meters |
//! | [`fit`] | landmarks | the SMPL parameters and the camera that explain them; smoothed along a track |
//! | [`body`] | SMPL parameters | vertices and joints, meters |
//! | [`appearance`] | a crop of a person, and their posed body | a texture map and its embedding |
//! | [`pose_predictor`] | the last poses of tracks | their poses in the next frame; a smoothed track |
//!
//! What they are made of:
//!
//! | module | in | out |
//! |---|---|---|
//! | [`nn`] | tensors and weights | tensors: linear layers, norms and attention, with gradients; weights from safetensors |
//! | `conv` | feature maps and packed weights | feature maps: convolutions on the CPU |
//! | [`warp`] | an image, an affine map | a crop with the same bytes as OpenCV's |
//! | [`device`] | `auto`, `cpu` or `cuda:0` | an opened device and its memory; frames as tensors on it |
//!
//! Published weights:
//!
//! | module | in | out |
//! |---|---|---|
//! | [`import`] | 4D-Humans' checkpoint, SMPL's files; fetched files of BlazePose and NanoDet | safetensors files and a manifest |
//! | [`pickle`] | untrusted `.pkl`, `.npz` and PyTorch files | arrays and tensors, without executing anything |
//! | [`tflite`] | an untrusted `.tflite` file | tensors and operators |
//! | [`tfjs`] | an untrusted TensorFlow.js model | weights and graph |
//!
//! [`recovery`] is the entry for a pipeline: [`ModelSet`](recovery::ModelSet) is a file of `models/`, and
//! [`BodyNetwork`](recovery::BodyNetwork) runs its network. Frames, boxes and people are the types of `posebook_core`.
//!
//! The crate does not depend on video files, tracking, tables or the command line, and fetches nothing from the network.
//!
//! Features: `cuda` adds candle's CUDA kernels and opens GPUs (needs a CUDA 13 toolkit to build), `flash-attn` adds fused
//! attention to it. Without them every module is there, and a GPU is an error that says what to build.

pub mod appearance;
pub mod blazepose;
pub mod body;
mod conv;
pub mod detect;
pub mod device;
pub mod fit;
pub mod hmr2;
pub mod import;
pub mod nn;
pub mod pickle;
pub mod pose_predictor;
pub mod recovery;
pub mod tfjs;
pub mod tflite;
pub mod warp;

#[cfg(test)]
#[path = "../../../tests/common/skip.rs"]
mod test_skip;
