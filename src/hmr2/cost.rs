//! What a forward pass costs on paper: operations of the matrix products, and bytes that move between them.

use super::Config;
use super::config::{BETAS, CAMERA, POSE};

/// A product of a network's activations with one of its weights: `(rows, from) x (from, to)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Product {
    /// Rows for one crop.
    pub rows: usize,
    pub from: usize,
    pub to: usize,
}

impl Product {
    /// Multiplications and additions for one crop.
    pub fn flop(&self) -> u64 {
        2 * (self.rows * self.from * self.to) as u64
    }
}

impl Config {
    /// Patches that the backbone sees of a crop.
    pub fn tokens(&self) -> usize {
        let (rows, columns) = self.token_grid();
        rows * columns
    }

    /// The products of one of the backbone's blocks with its weights.
    pub fn block_products(&self) -> [Product; 4] {
        let (rows, dim) = (self.tokens(), self.backbone.dim);
        let hidden = dim * self.backbone.mlp_ratio;
        [(dim, 3 * dim), (dim, dim), (dim, hidden), (hidden, dim)].map(|(from, to)| Product {
            rows,
            from,
            to,
        })
    }

    /// Multiplications and additions of all matrix products of one crop, attention's included.
    pub fn flop_per_crop(&self) -> u64 {
        let (n, dim, head) = (self.tokens(), self.backbone.dim, &self.head);
        let inner = head.heads * head.dim_head;
        let product = |rows, from, to| Product { rows, from, to }.flop();
        let weights: u64 = self.block_products().iter().map(Product::flop).sum();
        let block = weights + 2 * product(n, dim, n); // scores, and values by their shares
        let embedding = product(n, 3 * self.backbone.patch_size.pow(2), dim);
        // over one token every share is 1, so that only its values are computed
        let to_self = product(1, head.dim, inner) + product(1, inner, head.dim);
        let to_context = product(1, head.dim, inner)
            + product(n, dim, 2 * inner)
            + 2 * product(1, inner, n)
            + product(1, inner, head.dim);
        let layer = to_self + to_context + 2 * product(1, head.dim, head.mlp_dim);
        let read_out = product(1, head.dim, POSE + BETAS + CAMERA);
        embedding + self.backbone.depth as u64 * block + head.depth as u64 * layer + read_out
    }

    /// Bytes that one crop's tokens move to and from memory between the products of one block, at
    /// `size` bytes a number, each operator reading and writing once; attention as separate operators or
    /// as one.
    ///
    /// On an H100 (some 3 TB/s) this and not the products decides how near to its ceiling HMR2 comes:
    /// in bf16 0.87 GB a crop take 0.29 ms, beside 0.32 ms of products; with attention as one operator
    /// 0.63 GB, 0.21 ms.
    pub fn block_bytes(&self, size: usize, fused_attention: bool) -> u64 {
        let (n, dim) = (self.tokens(), self.backbone.dim);
        let (hidden, scores) = (dim * self.backbone.mlp_ratio, self.backbone.heads * n);
        let norms = 2 * 2 * dim;
        let biases = 2 * (3 * dim + dim + hidden + dim);
        let gelu = 2 * hidden;
        let shortcuts = 2 * 3 * dim;
        // queries, keys, values apart; the scale; scores written, softmax, shares read; heads put together
        let attention = if fused_attention { 4 * dim } else { 2 * 3 * dim + 2 * dim + 4 * scores + 2 * dim };
        (n * size * (norms + biases + gelu + shortcuts + attention)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_network_costs_what_is_said_of_it() {
        let config = Config::hmr2();
        assert_eq!(config.tokens(), 192);
        let linear: u64 = config.block_products().iter().map(Product::flop).sum();
        assert_eq!(32 * linear, 241_591_910_400);
        let all = config.flop_per_crop() as f64 / 1e9;
        assert!((248.0..252.0).contains(&all), "{all} GFLOP");
    }

    #[test]
    fn one_operator_for_attention_saves_a_quarter_of_the_bytes() {
        let config = Config::hmr2();
        let [apart, fused] = [false, true].map(|fused| config.block_bytes(2, fused) as f64 * 32.0 / 1e9);
        assert!((0.86..0.89).contains(&apart) && (0.62..0.64).contains(&fused), "{apart} and {fused} GB");
    }
}
