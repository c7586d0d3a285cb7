//! What a forward pass on the CPU holds at its worst moment, from the architecture alone: weights and what grows
//! with the crops that go through at once.
//!
//! A moment is a point of the pass at which many buffers live together; it has a fixed part and one for each
//! crop, and the peak is that of the worst moment. Counted is what is asked of the heap (see
//! [`crate::memory`]), so that it is the same on every run; what the program itself holds comes on top, and so
//! does what the library of products keeps for each thread, once: as much as its second-level cache. On a
//! graphics card the same buffers live, and the pool's rounding and the libraries' workspaces come on top.
//!
//! `tests/footprint.rs` holds this against the heap as counted: whoever changes the forward pass changes it here.

use super::config::PATCH_PADDING;
use super::{Config, Precision};

/// What a number takes to which half precision is widened before it is computed with.
const WIDE: usize = 4;

/// A point of the forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    pub name: &'static str,
    /// Bytes that do not depend on the batch, without the weights.
    pub fixed_bytes: u64,
    /// Bytes for each crop of the batch, the crop itself included.
    pub crop_bytes: u64,
}

impl Moment {
    fn bytes(&self, batch: usize) -> u64 {
        self.fixed_bytes + batch as u64 * self.crop_bytes
    }
}

/// What a network holds in one precision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footprint {
    pub weights_bytes: u64,
    pub moments: Vec<Moment>,
}

impl Footprint {
    /// Of a network of these sizes.
    pub fn of(config: &Config, precision: Precision) -> Footprint {
        let sizes = Sizes::of(config, precision);
        let mut moments = vec![sizes.embedding(), sizes.rearranging(), sizes.head()];
        match precision {
            Precision::F32 => moments.extend(sizes.block()),
            Precision::Bf16 | Precision::F16 => moments.extend(sizes.block_in_half()),
        }
        Footprint { weights_bytes: (config.parameters() * sizes.number) as u64, moments }
    }

    /// The moment that holds most.
    pub fn worst(&self, batch: usize) -> Moment {
        let most = self.moments.iter().max_by_key(|moment| moment.bytes(batch));
        most.copied().unwrap_or(Moment { name: "nothing", fixed_bytes: 0, crop_bytes: 0 })
    }

    /// Most that a pass over `batch` crops holds, weights and crops included.
    pub fn peak_bytes(&self, batch: usize) -> u64 {
        self.weights_bytes + self.worst(batch).bytes(batch)
    }

    /// The most crops at once whose peak stays within `budget_bytes`; `None` if not even one does.
    pub fn largest_batch(&self, budget_bytes: u64) -> Option<usize> {
        let left = budget_bytes.checked_sub(self.weights_bytes)?;
        let fits = |moment: &Moment| Some(left.checked_sub(moment.fixed_bytes)? / moment.crop_bytes.max(1));
        let each: Option<Vec<u64>> = self.moments.iter().map(fits).collect();
        let batch = each?.into_iter().min()?;
        (batch > 0).then_some(batch as usize)
    }
}

/// What the moments are made of.
struct Sizes {
    /// Bytes of a number of the network's precision.
    number: usize,
    /// Bytes of a number as it is computed with, where that is another copy; else 0.
    widened: usize,
    crop: usize,
    image_size: usize,
    patch: usize,
    grid: (usize, usize),
    tokens: usize,
    dim: usize,
    hidden: usize,
    /// Keys of the decoder, all heads.
    inner: usize,
    head_dim: usize,
}

impl Sizes {
    fn of(config: &Config, precision: Precision) -> Sizes {
        let (backbone, head) = (&config.backbone, &config.head);
        let tokens = config.tokens();
        Sizes {
            number: precision.dtype().size_in_bytes(),
            widened: if precision == Precision::F32 { 0 } else { WIDE },
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

    /// A moment at which a crop, `numbers` numbers of each token and `widened` widened ones live, beside a
    /// widened weight of `weight` numbers.
    fn moment(&self, name: &'static str, numbers: usize, widened: usize, weight: usize) -> Moment {
        let each = self.tokens * (numbers * self.number + widened * self.widened);
        Moment {
            name,
            fixed_bytes: (weight * self.widened) as u64,
            crop_bytes: (self.crop * self.number + each) as u64,
        }
    }

    /// Patches being cut: the picture padded twice over, the patches in two orders.
    fn embedding(&self) -> Moment {
        let (padded, width) = (self.image_size + 2 * PATCH_PADDING, self.image_size / 4 * 3);
        let (rows, columns) = self.grid;
        let patches = 3 * rows * columns * self.patch * self.patch;
        let pictures = 3 * padded * (width + width + 2 * PATCH_PADDING);
        let numbers = self.crop + pictures + 2 * patches;
        Moment { name: "patches cut", fixed_bytes: 0, crop_bytes: (numbers * self.number) as u64 }
    }

    /// The backbone's end: tokens before the last norm, after it, and turned to a map.
    fn rearranging(&self) -> Moment {
        self.moment("last norm", 3 * self.dim, 0, 0)
    }

    /// The decoder reads one crop's features at a time: its own copy of them, keys and values together
    /// and apart.
    fn head(&self) -> Moment {
        let of_one = self.tokens * (self.dim + 4 * self.inner) * self.number;
        let product = self.tokens * (self.dim + 2 * self.inner) * self.widened
            + (self.dim * 2 * self.inner).max(self.head_dim * self.head_dim) * self.widened;
        Moment { fixed_bytes: (of_one + product) as u64, ..self.moment("decoder", self.dim, 0, 0) }
    }

    /// One of the backbone's blocks in single precision, where products are finished where they stand.
    fn block(&self) -> Vec<Moment> {
        let Sizes { dim, hidden, .. } = *self;
        vec![
            // the tokens, their norm; queries, keys and values
            self.moment("queries, keys, values", (2 + 3) * dim, 0, 0),
            // and what every token sees of the others
            self.moment("attention", (2 + 3 + 1) * dim, 0, 0),
            // the tokens as they came in and after attention, their norm, the hidden layer, its result
            self.moment("perceptron", 3 * dim + hidden + dim, 0, 0),
        ]
    }

    /// One of the backbone's blocks in half precision: every layer widens what it reads, weights too, computes
    /// in single precision, and rounds what it hands on.
    fn block_in_half(&self) -> Vec<Moment> {
        let Sizes { dim, hidden, .. } = *self;
        vec![
            self.moment("queries, keys, values", 2 * dim, (1 + 3) * dim, 3 * dim * dim),
            self.moment("queries, keys, values rounded", (2 + 3) * dim, 3 * dim, 0),
            self.moment("attention", (2 + 3) * dim, (3 + 1) * dim, 0),
            self.moment("hidden layer", 3 * dim, dim + hidden, dim * hidden),
            self.moment("hidden layer rounded", 3 * dim + hidden, hidden, 0),
            // the shortcut, the hidden layer and the result, widened
            self.moment("perceptron", 3 * dim + hidden, dim + hidden + dim, dim * hidden),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_that_of_the_worst_moment_and_a_budget_its_inverse() {
        let footprint = Footprint::of(&Config::hmr2(), Precision::F32);
        assert_eq!(footprint.weights_bytes, 4 * 670_459_194);
        assert_eq!(footprint.worst(1).name, "perceptron");
        for budget in [3u64 << 30, 4 << 30, 24 << 30] {
            let batch = footprint.largest_batch(budget).unwrap();
            assert!(footprint.peak_bytes(batch) <= budget && footprint.peak_bytes(batch + 1) > budget);
        }
        assert_eq!(footprint.largest_batch(2 << 30), None);
        assert_eq!(footprint.largest_batch(footprint.weights_bytes), None);
    }

    #[test]
    fn half_precision_halves_the_weights_and_not_the_rest() {
        let of = |precision| Footprint::of(&Config::hmr2(), precision);
        let (full, half) = (of(Precision::F32), of(Precision::Bf16));
        assert_eq!(full.weights_bytes, 2 * half.weights_bytes);
        assert!(half.peak_bytes(8) < full.peak_bytes(8));
    }
}
