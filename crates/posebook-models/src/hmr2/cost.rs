//! The theoretical cost of a forward pass: the operations of its matrix products.

use super::Config;
use super::config::{CAMERA_SIZE, NUM_BETAS, POSE_SIZE};

/// A product of activations and a weight: `(rows, inputs) x (inputs, outputs)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MatrixProduct {
    /// Rows for one crop.
    pub rows: usize,
    /// Values of an activation before the product.
    pub inputs: usize,
    /// Values of an activation after the product.
    pub outputs: usize,
}

impl MatrixProduct {
    /// Multiplications and additions for one crop.
    pub fn flop(&self) -> u64 {
        2 * (self.rows * self.inputs * self.outputs) as u64
    }
}

impl Config {
    /// Number of patches of a crop.
    pub fn tokens(&self) -> usize {
        let (rows, columns) = self.token_grid();
        rows * columns
    }

    /// The products of one of the backbone's blocks with its weights.
    pub fn block_products(&self) -> [MatrixProduct; 4] {
        let (rows, dim) = (self.tokens(), self.backbone.dim);
        let hidden = dim * self.backbone.mlp_ratio;
        let shapes = [(dim, 3 * dim), (dim, dim), (dim, hidden), (hidden, dim)];
        shapes.map(|(inputs, outputs)| MatrixProduct { rows, inputs, outputs })
    }

    /// Multiplications and additions of all matrix products for one crop, including those of attention.
    pub fn flop_per_crop(&self) -> u64 {
        let (n, dim, head) = (self.tokens(), self.backbone.dim, &self.head);
        let inner = head.heads * head.dim_head;
        let product = |rows, inputs, outputs| MatrixProduct { rows, inputs, outputs }.flop();
        let weights: u64 = self.block_products().iter().map(MatrixProduct::flop).sum();
        let block = weights + 2 * product(n, dim, n); // scores, and the weighted values
        let embedding = product(n, 3 * self.backbone.patch_size.pow(2), dim);
        // self-attention over one token has only weights of 1, so that only its values are computed
        let self_attention = product(1, head.dim, inner) + product(1, inner, head.dim);
        let cross_attention = product(1, head.dim, inner)
            + product(n, dim, 2 * inner)
            + 2 * product(1, inner, n)
            + product(1, inner, head.dim);
        let layer = self_attention + cross_attention + 2 * product(1, head.dim, head.mlp_dim);
        let outputs = product(1, head.dim, POSE_SIZE + NUM_BETAS + CAMERA_SIZE);
        embedding + self.backbone.depth as u64 * block + head.depth as u64 * layer + outputs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_network_has_its_published_cost() {
        let config = Config::hmr2();
        assert_eq!(config.tokens(), 192);
        let linear: u64 = config.block_products().iter().map(MatrixProduct::flop).sum();
        assert_eq!(32 * linear, 241_591_910_400);
        let all = config.flop_per_crop() as f64 / 1e9;
        assert!((248.0..252.0).contains(&all), "{all} GFLOP");
    }
}
