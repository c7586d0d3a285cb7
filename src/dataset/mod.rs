//! Datasets: video clips and their ground truth.
//!
//! In: a TOML file of one of three kinds, and changed settings. `walkers` are people that [`posebook_synth::walkers`]
//! draws, with complete ground truth; `files` are the user's videos; `footage` is fetched from published packages, and
//! views of one scene may have 3D ground truth ([`views`]). Out, for all kinds the same: a video file, ground truth
//! ([`TruthReader`]) and input boxes ([`BoxReader`]), both read frame by frame, so that a run has one frame's people in
//! memory at a time. [`mot`] converts MOTChallenge files into both, [`coco`] reads and writes
//! detections; [`ImageList`] reads PHALP's .pkl of frames and boxes.
//!
//! ```ignore
//! let dataset = Dataset::load(Path::new("datasets/walkers.toml"), &changes)?;
//! for spec in dataset.clips() {
//!     let clip = spec.prepare(&cache, &mut |done, of| bar.set(done, of))?;
//!     let mut truth = clip.truth.map(|file| file.open()).transpose()?;
//! }
//! ```
//!
//! Does not depend on networks or runs.

mod box_pickle;
mod boxes;
mod cache;
mod clip;
pub mod coco;
mod drawn;
mod error;
mod file_clip;
mod footage;
mod footage_source;
mod frame_hash;
mod frame_lines;
mod image_list;
mod load;
pub mod mot;
mod record;
#[cfg(test)]
mod tests;
mod truth;
pub mod views;

pub use boxes::{BoxFile, BoxReader, BoxSource, BoxWriter};
pub use clip::{CachedClip, Clip, ClipSource, ClipSpec};
pub use error::DatasetError;
pub use file_clip::{FileClip, FileClipSpec, FilesDataset};
pub use footage::{FootageClipSpec, FootageDataset, ViewsSpec};
pub use footage_source::{FootageClip, FootageSource};
pub use frame_hash::{DrawnLock, RecordOutcome};
pub use image_list::ImageList;
pub use load::Dataset;
pub use record::Progress;
pub use truth::{IgnoredBox, TruthFile, TruthReader, TruthWriter};
