//! MOTChallenge text, `frame,identity,left,top,width,height[,confidence[,class[,visibility]]]`, and the rules of
//! its benchmarks.
//!
//! One reader for everything that takes such files: scores (`metrics::mot`), truth and boxes of videos
//! (`dataset::mot`), boxes of pictures. [`Text`] turns bytes into lines, [`File`] lines into [`Row`]s,
//! [`Benchmark`] says what a row's columns mean. Must not know what the boxes are for beyond their [`Role`].

mod benchmark;
mod error;
mod file;
mod line;
mod text;

pub use benchmark::{Because, Benchmark, Kind, Role, Taken};
pub use error::MotError;
pub use file::File;
pub use line::Row;
pub use text::Text;
