//! Predicts the peak heap memory of a forward pass on the CPU from the architecture.
//!
//! In: a [`Config`] and a precision; out: bytes of the weights and of each phase of the pass. A phase is a point of
//! the pass at which many buffers are live. It has a fixed part and a part per crop; the peak is that of the largest
//! phase. Counted are heap allocations (see [`posebook_core::memory`]), which are the same in every run. Not counted are the
//! program's own memory and `gemm`'s scratch, the size of the second-level cache per thread. On a GPU the same
//! buffers are live; the pool's rounding and the libraries' workspaces come on top.
//!
//! `tests/footprint.rs` compares the prediction with the counted heap; change both with the forward pass.

use super::config::PATCH_PADDING;
use super::{Config, Precision};

/// Bytes of a value that is widened from half precision.
const F32_BYTES: usize = 4;

/// A point of the forward pass at which many buffers are live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phase {
    /// What is computed there.
    pub name: &'static str,
    /// Bytes that do not depend on the batch, without the weights.
    pub fixed_bytes: u64,
    /// Bytes for each crop of the batch, the crop itself included.
    pub crop_bytes: u64,
}

impl Phase {
    fn bytes(&self, batch: usize) -> u64 {
        self.fixed_bytes + batch as u64 * self.crop_bytes
    }
}

/// The memory of a network in one precision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footprint {
    /// Bytes of the weights.
    pub weights_bytes: u64,
    /// The points of the pass that may be the peak.
    pub phases: Vec<Phase>,
}

impl Footprint {
    /// The footprint of a network of these sizes.
    pub fn new(config: &Config, precision: Precision) -> Footprint {
        let sizes = Sizes::new(config, precision);
        let mut phases = vec![sizes.embedding(), sizes.last_norm(), sizes.head()];
        match precision {
            Precision::F32 => phases.extend(sizes.block()),
            Precision::Bf16 | Precision::F16 => phases.extend(sizes.block_in_half()),
        }
        Footprint { weights_bytes: (config.parameters() * sizes.value_bytes) as u64, phases }
    }

    /// The phase with the most live memory.
    pub fn peak_phase(&self, batch: usize) -> Phase {
        let largest = self.phases.iter().max_by_key(|phase| phase.bytes(batch));
        largest.copied().unwrap_or(Phase { name: "nothing", fixed_bytes: 0, crop_bytes: 0 })
    }

    /// Peak bytes of a pass over `batch` crops, including weights and crops.
    pub fn peak_bytes(&self, batch: usize) -> u64 {
        self.weights_bytes + self.peak_phase(batch).bytes(batch)
    }

    /// The largest batch whose peak is at most `budget_bytes`; `None` if one crop is too much.
    pub fn largest_batch(&self, budget_bytes: u64) -> Option<usize> {
        let left = budget_bytes.checked_sub(self.weights_bytes)?;
        let fits = |phase: &Phase| Some(left.checked_sub(phase.fixed_bytes)? / phase.crop_bytes.max(1));
        let each: Option<Vec<u64>> = self.phases.iter().map(fits).collect();
        let batch = each?.into_iter().min()?;
        (batch > 0).then_some(batch as usize)
    }
}

/// Sizes of the buffers.
struct Sizes {
    /// Bytes of a value in the network's precision.
    value_bytes: usize,
    /// Bytes of a widened value where values are widened before computing; else 0.
    widened_bytes: usize,
    /// Values of a crop.
    crop: usize,
    image_size: usize,
    patch: usize,
    grid: (usize, usize),
    tokens: usize,
    dim: usize,
    hidden: usize,
    /// Values of a key of the decoder, all heads.
    inner: usize,
    head_dim: usize,
}

impl Sizes {
    fn new(config: &Config, precision: Precision) -> Sizes {
        let (backbone, head) = (&config.backbone, &config.head);
        let tokens = config.tokens();
        Sizes {
            value_bytes: crate::nn::dtype(precision).size_in_bytes(),
            widened_bytes: if precision == Precision::F32 { 0 } else { F32_BYTES },
            crop: 3 * config.image_size * config.image_size,
            image_size: config.image_size,
            patch: backbone.patch_size,
            grid: config.token_grid(),
            tokens,
            dim: backbone.dim,
            hidden: backbone.dim * backbone.mlp_ratio,
            inner: head.heads * head.dim_head,
            head_dim: head.dim,
        }
    }

    /// A phase with these live buffers: the crop, `values` values and `widened` widened values of each token, and a
    /// widened weight of `weight` values.
    fn phase(&self, name: &'static str, values: usize, widened: usize, weight: usize) -> Phase {
        let of_tokens = self.tokens * (values * self.value_bytes + widened * self.widened_bytes);
        Phase {
            name,
            fixed_bytes: (weight * self.widened_bytes) as u64,
            crop_bytes: (self.crop * self.value_bytes + of_tokens) as u64,
        }
    }

    /// Patch embedding: the image padded twice, the patches in two orders.
    fn embedding(&self) -> Phase {
        let (padded, width) = (self.image_size + 2 * PATCH_PADDING, self.image_size / 4 * 3);
        let (rows, columns) = self.grid;
        let patches = 3 * rows * columns * self.patch * self.patch;
        let padded_images = 3 * padded * (width + width + 2 * PATCH_PADDING);
        let values = self.crop + padded_images + 2 * patches;
        Phase { name: "patch embedding", fixed_bytes: 0, crop_bytes: (values * self.value_bytes) as u64 }
    }

    /// The end of the backbone: tokens before and after the last norm, and as a map.
    fn last_norm(&self) -> Phase {
        self.phase("last norm", 3 * self.dim, 0, 0)
    }

    /// The decoder, one crop at a time: a copy of its features, keys and values joined and separated.
    fn head(&self) -> Phase {
        let of_one_crop = self.tokens * (self.dim + 4 * self.inner) * self.value_bytes;
        let product = self.tokens * (self.dim + 2 * self.inner) * self.widened_bytes
            + (self.dim * 2 * self.inner).max(self.head_dim * self.head_dim) * self.widened_bytes;
        Phase { fixed_bytes: (of_one_crop + product) as u64, ..self.phase("decoder", self.dim, 0, 0) }
    }

    /// A block of the backbone in single precision, with fused epilogues.
    fn block(&self) -> Vec<Phase> {
        let Sizes { dim, hidden, .. } = *self;
        vec![
            // tokens, norm; queries, keys and values
            self.phase("queries, keys, values", (2 + 3) * dim, 0, 0),
            // and the output of attention
            self.phase("attention", (2 + 3 + 1) * dim, 0, 0),
            // tokens before and after attention, norm, hidden layer, result
            self.phase("MLP", 3 * dim + hidden + dim, 0, 0),
        ]
    }

    /// A block of the backbone in half precision: every layer widens its inputs and weights, computes in single
    /// precision, and rounds its result.
    fn block_in_half(&self) -> Vec<Phase> {
        let Sizes { dim, hidden, .. } = *self;
        vec![
            self.phase("queries, keys, values", 2 * dim, (1 + 3) * dim, 3 * dim * dim),
            self.phase("queries, keys, values rounded", (2 + 3) * dim, 3 * dim, 0),
            self.phase("attention", (2 + 3) * dim, (3 + 1) * dim, 0),
            self.phase("hidden layer", 3 * dim, dim + hidden, dim * hidden),
            self.phase("hidden layer rounded", 3 * dim + hidden, hidden, 0),
            // residual, hidden layer and result, widened
            self.phase("MLP", 3 * dim + hidden, dim + hidden + dim, dim * hidden),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_that_of_the_worst_moment_and_a_budget_its_inverse() {
        let footprint = Footprint::new(&Config::hmr2(), Precision::F32);
        assert_eq!(footprint.weights_bytes, 4 * 670_459_194);
        assert_eq!(footprint.peak_phase(1).name, "MLP");
        for budget in [3u64 << 30, 4 << 30, 24 << 30] {
            let batch = footprint.largest_batch(budget).unwrap();
            assert!(footprint.peak_bytes(batch) <= budget && footprint.peak_bytes(batch + 1) > budget);
        }
        assert_eq!(footprint.largest_batch(2 << 30), None);
        assert_eq!(footprint.largest_batch(footprint.weights_bytes), None);
    }

    #[test]
    fn half_precision_halves_the_weights_only() {
        let footprint = |precision| Footprint::new(&Config::hmr2(), precision);
        let (full, half) = (footprint(Precision::F32), footprint(Precision::Bf16));
        assert_eq!(full.weights_bytes, 2 * half.weights_bytes);
        assert!(half.peak_bytes(8) < full.peak_bytes(8));
    }
}
