//! Benchmarks the network's speed on a device, compared with the device's matrix products alone and with PyTorch: crops
//! per second for each precision and batch size.
//!
//! [`measure`] times this implementation with synthetic weights; [`torch`] runs `tools/bench_torch.py`. Both return a
//! [`SpeedReport`], so results can be compared. Times are medians of several synchronized passes after warm-up.

mod network;
pub mod products;
pub mod torch;

pub use network::{SpeedRequest, measure};

use serde::{Deserialize, Serialize};
use std::time::Instant;

/// Results of one device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpeedReport {
    /// The device's name.
    pub device: String,
    /// The network: `vit-h`, or a smaller one for tests.
    pub network: String,
    /// Multiplications and additions in the matrix products of one crop.
    pub flop_per_crop: u64,
    /// PyTorch's version, if PyTorch was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub torch: Option<String>,
    /// Results per precision.
    pub precisions: Vec<PrecisionResults>,
    /// Measurements that were skipped at the deadline.
    #[serde(default)]
    pub skipped_for_time: Vec<String>,
    /// Duration of the benchmark, seconds.
    pub secs: f64,
}

/// Results of one precision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrecisionResults {
    /// Name of the precision, such as `bf16`.
    pub precision: String,
    /// One large square product: the practical maximum of the device.
    pub ceiling: Ceiling,
    /// The matrix products of one transformer block alone, per batch size.
    pub products: Vec<ProductRate>,
    /// The whole network, per mode and batch size.
    pub rows: Vec<SpeedRow>,
}

/// Rate of one large square matrix product.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ceiling {
    /// Rows and columns of the matrices.
    pub side: usize,
    /// Teraflops per second.
    pub tflops: f64,
}

/// Rate of a transformer block's matrix products.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ProductRate {
    /// Number of crops.
    pub batch: usize,
    /// Teraflops per second.
    pub tflops: f64,
}

/// Speed of the network in one precision, mode and batch size. All values are `None` if it failed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SpeedRow {
    /// `plain` or `flash` (attention of this implementation), `eager` or `compiled` (PyTorch).
    pub mode: String,
    /// Name of the precision.
    pub precision: String,
    /// Number of crops.
    pub batch: usize,
    /// Why the measurement failed.
    #[serde(default)]
    pub error: Option<String>,
    /// Crops per second, by the median.
    #[serde(default)]
    pub crops_per_sec: Option<f64>,
    /// Median time of a pass, seconds.
    #[serde(default)]
    pub secs_median: Option<f64>,
    /// Fastest pass, seconds.
    #[serde(default)]
    pub secs_min: Option<f64>,
    /// Slowest pass, seconds.
    #[serde(default)]
    pub secs_max: Option<f64>,
    /// Number of passes.
    #[serde(default)]
    pub passes: Option<usize>,
    /// Rate of the matrix products alone, comparable with [`Ceiling::tflops`].
    #[serde(default)]
    pub tflops: Option<f64>,
    /// Peak of bytes allocated by tensors, weights included.
    #[serde(default)]
    pub allocated_peak_bytes: Option<u64>,
    /// Peak of bytes reserved by the pool.
    #[serde(default)]
    pub reserved_peak_bytes: Option<u64>,
}

/// Sorted times of `passes` passes of `work`, seconds, after two warm-up passes. `work` must synchronize with the device.
fn time_passes<E>(passes: usize, mut work: impl FnMut() -> Result<(), E>) -> Result<Vec<f64>, E> {
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

/// Median of sorted values.
fn median(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { 0.5 * (sorted[half - 1] + sorted[half]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_of_sorted_times() {
        assert_eq!(median(&[1.0, 2.0, 9.0]), 2.0);
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), 3.0);
        let mut count = 0;
        let timed = time_passes(4, || {
            count += 1;
            Ok::<(), ()>(())
        });
        assert_eq!((timed.unwrap().len(), count), (4, 6));
    }
}
