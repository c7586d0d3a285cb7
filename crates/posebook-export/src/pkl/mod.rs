//! The `.pkl` of PHALP and of 4D-Humans' `track.py`: `results/demo_<video>.pkl`.
//!
//! A zlib stream of a pickled dictionary with one entry per frame, each a dictionary of lists with one element per track
//!. [`PklWriter`] writes it frame by frame; [`Ghosts`] adds the entries of lost tracks as
//! PHALP does; [`read`] reads files of the original and of this crate, as data: nothing in them is executed.
//!
//! Not copied from the original: people twice in the first frames (boxes with classes), and the 31 keys of videos that are
//! too short to be rendered.

mod entry;
mod ghosts;
mod keys;
mod opcodes;
mod pickler;
mod reader;
mod settings;
mod values;
mod writer;

pub use ghosts::Ghosts;
pub use keys::{FrameKey, KeyKind, frame_key};
pub use reader::{PklFrame, PklSummary, ReadLimits, is_pkl, read, video_name};
pub use settings::PklSettings;
pub use writer::PklWriter;

#[cfg(test)]
mod tests;
