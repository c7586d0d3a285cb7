//! MOTChallenge text, `frame,identity,left,top,width,height[,confidence[,class[,visibility]]]`, and the rules of
//! its benchmarks.
//!
//! All of the crate reads such files here: for scoring (`metrics::mot`), ground truth and boxes of videos (`dataset::mot`),
//! and boxes of images. [`DecodedText`] decodes bytes to lines, [`MotFile`] parses lines to [`MotRow`]s,
//! [`Benchmark`] gives the columns their meaning for a [`Role`].

mod benchmark;
mod error;
mod file;
mod line;
mod text;

pub use benchmark::{Benchmark, BenchmarkChoice, BoxKind, ChoiceReason, Role};
pub use error::MotError;
pub use file::MotFile;
pub use line::MotRow;
pub use text::DecodedText;
