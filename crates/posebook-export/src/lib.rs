//! Writes tracked bodies in the formats of other programs, and reads PHALP's `.pkl`.
//!
//! | module | in | out |
//! |---|---|---|
//! | [`frames`] | | the common input: frames with people, one at a time, and what is known of the video |
//! | [`formats`] | the name of a format, a path | a [`FrameSink`] that writes it |
//! | [`pkl`] | frames, or a `.pkl` | `demo_<video>.pkl` as PHALP and 4D-Humans write it, or frames |
//! | [`gltf`] | frames, a body | `.glb`: one skinned, animated mesh per track |
//! | [`amass`] | frames, a body | `.npz` with AMASS's keys: one track |
//! | [`bvh`] | frames, a body | BVH: one track |
//! | [`csv`], [`mot`] | frames | joints as CSV; boxes as MOTChallenge text |
//!
//! Frames are passed one by one. `.pkl`, CSV and MOTChallenge text hold one frame and the last entry of each living track
//! in memory. glTF, npz and BVH demand all keys of a track at once, or their number before the first: [`motion`] holds
//! 404 bytes per person and frame.
//!
//! The crate does not depend on tracking, tables, video files or the command line.

pub mod amass;
pub mod bvh;
pub mod csv;
mod error;
pub mod formats;
pub mod frames;
pub mod gltf;
pub mod mot;
pub mod motion;
pub mod pkl;
pub mod rle;
pub mod rotation;
mod text_file;
mod track_files;

pub use error::ExportError;
pub use formats::{Format, Options};
pub use frames::{ExportFrame, ExportPerson, Exported, FrameSink, VideoInfo};
