//! The network of a model set and its sizes and cost.

use crate::blazepose::Variant;
use crate::hmr2::{Config, MatrixProduct};

/// Side of BlazePose's crop, pixels.
const BLAZEPOSE_SIDE: usize = 256;

/// A network's architecture.
#[derive(Debug, Clone, PartialEq)]
pub enum Architecture {
    /// HMR2: a vision transformer and a transformer decoder with these sizes.
    Hmr2(Config),
    /// BlazePose; a body is fitted to its landmarks.
    BlazePose(Variant),
}

impl Architecture {
    /// HMR2's configuration; `None` for another network.
    pub fn hmr2(&self) -> Option<&Config> {
        match self {
            Architecture::Hmr2(config) => Some(config),
            Architecture::BlazePose(_) => None,
        }
    }

    /// Display name of the network.
    pub fn name(&self) -> String {
        match self {
            Architecture::Hmr2(_) => "HMR2".to_string(),
            Architecture::BlazePose(variant) => format!("BlazePose {}", variant.name()),
        }
    }

    /// Number of trainable parameters.
    pub fn parameter_count(&self) -> usize {
        match self {
            Architecture::Hmr2(config) => config.parameters(),
            Architecture::BlazePose(variant) => variant.parameter_count(),
        }
    }

    /// Side of the square crop, pixels.
    pub fn image_size(&self) -> usize {
        match self {
            Architecture::Hmr2(config) => config.image_size,
            Architecture::BlazePose(_) => BLAZEPOSE_SIDE,
        }
    }

    /// Floating-point operations of the matrix products for one crop; a multiply-add counts as two.
    pub fn flop_per_crop(&self) -> u64 {
        match self {
            Architecture::Hmr2(config) => config.flop_per_crop(),
            // multiplications and additions of the published graphs, including depthwise convolutions
            Architecture::BlazePose(Variant::Lite) => 400_000_000,
            Architecture::BlazePose(Variant::Full) => 780_000_000,
            Architecture::BlazePose(Variant::Heavy) => 3_840_000_000,
        }
    }

    /// The largest matrix product of a crop; used to measure the machine's throughput.
    pub fn largest_product(&self) -> Option<MatrixProduct> {
        match self {
            Architecture::Hmr2(config) => {
                config.block_products().into_iter().max_by_key(|product| product.flop())
            }
            // pixels and channels of the layer with the most operations
            Architecture::BlazePose(_) => Some(MatrixProduct { rows: 64 * 64, inputs: 96, outputs: 48 }),
        }
    }
}
