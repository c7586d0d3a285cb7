//! How fast the network runs on a device, beside what the device's matrix products alone allow and
//! beside PyTorch: crops a second for each precision and batch.
//!
//! [`measure`] times ours on weights by formula, [`torch`] runs `tools/bench_torch.py`; both give one
//! [`Document`], so that they can be put side by side. Times are medians of several passes, each waited
//! for, after warm-up. Must not know runs, tables or pages.

mod network;
pub mod products;
pub mod torch;

pub use network::{Wish, measure};

use serde::{Deserialize, Serialize};
use std::time::Instant;

/// Everything measured on one device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// The device's name.
    pub device: String,
    /// The network's: `vit-h`, or a smaller one to try things with.
    pub network: String,
    /// Multiplications and additions in one crop's matrix products.
    pub flop_per_crop: u64,
    /// PyTorch's version, where it was PyTorch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub torch: Option<String>,
    pub precisions: Vec<OfPrecision>,
    /// What there was no time for.
    #[serde(default)]
    pub skipped_for_time: Vec<String>,
    pub secs: f64,
}

/// What was measured in one precision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OfPrecision {
    pub precision: String,
    /// One large square product: what the device gives at best.
    pub ceiling: Ceiling,
    /// The products of one block alone, in the network's own shapes.
    pub products: Vec<Rate>,
    pub rows: Vec<Row>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ceiling {
    pub side: usize,
    pub tflops: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    pub batch: usize,
    pub tflops: f64,
}

/// One batch of one precision in one way.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Row {
    /// `plain` or `flash` (ours), `eager` or `compiled` (PyTorch's).
    pub mode: String,
    pub precision: String,
    pub batch: usize,
    /// Why there are no numbers.
    #[serde(default)]
    pub error: Option<String>,
    #[serde(default)]
    pub crops_per_sec: Option<f64>,
    #[serde(default)]
    pub secs_median: Option<f64>,
    #[serde(default)]
    pub secs_min: Option<f64>,
    #[serde(default)]
    pub secs_max: Option<f64>,
    #[serde(default)]
    pub passes: Option<usize>,
    /// Of the matrix products alone, so that it can be held against [`Ceiling::tflops`].
    #[serde(default)]
    pub tflops: Option<f64>,
    /// Most bytes that tensors held, weights included.
    #[serde(default)]
    pub allocated_peak_bytes: Option<u64>,
    /// Most bytes that the pool held for them.
    #[serde(default)]
    pub reserved_peak_bytes: Option<u64>,
}

/// Seconds of `passes` passes of `work`, sorted, after two that do not count. `work` has to wait for the
/// device.
fn seconds<E>(passes: usize, mut work: impl FnMut() -> Result<(), E>) -> Result<Vec<f64>, E> {
    for _ in 0..2 {
        work()?;
    }
    let mut seconds = Vec::with_capacity(passes);
    for _ in 0..passes.max(1) {
        let start = Instant::now();
        work()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds)
}

/// The middle of sorted numbers.
fn median(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { 0.5 * (sorted[half - 1] + sorted[half]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[1.0, 2.0, 9.0]), 2.0);
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), 3.0);
        let mut count = 0;
        let timed = seconds(4, || {
            count += 1;
            Ok::<(), ()>(())
        });
        assert_eq!((timed.unwrap().len(), count), (4, 6));
    }
}
