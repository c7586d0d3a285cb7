//! MOTChallenge text, `frame,identity,left,top,width,height[,confidence[,class[,visibility]]]`, and the rules of
//! its benchmarks.
//!
//! [`DecodedText`] decodes bytes to lines, [`MotFile`] parses lines to [`MotRow`]s, [`Benchmark`] gives the columns their
//! meaning for a [`Role`]: ground truth, tracks or detections. [`metrics::mot`](crate::metrics::mot) scores such files.

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
