//! Which network a model set holds, and its sizes.

use crate::blazepose::Variant;
use crate::hmr2::Config;
use crate::hmr2::cost::Product;

/// Side of BlazePose's crop, pixels.
const BLAZEPOSE_SIDE: usize = 256;

/// A network's architecture.
#[derive(Debug, Clone, PartialEq)]
pub enum Architecture {
    /// HMR2: a vision transformer and a decoder, of these sizes.
    Hmr2(Config),
    /// BlazePose, to whose landmarks a body is fitted.
    BlazePose(Variant),
}

impl Architecture {
    /// HMR2's sizes; `None` for another network.
    pub fn hmr2(&self) -> Option<&Config> {
        match self {
            Architecture::Hmr2(config) => Some(config),
            Architecture::BlazePose(_) => None,
        }
    }

    /// The network's name for people.
    pub fn name(&self) -> String {
        match self {
            Architecture::Hmr2(_) => "HMR2".to_string(),
            Architecture::BlazePose(variant) => format!("BlazePose {}", variant.name()),
        }
    }

    /// Trainable numbers.
    pub fn parameters(&self) -> usize {
        match self {
            Architecture::Hmr2(config) => config.parameters(),
            Architecture::BlazePose(variant) => variant.parameters(),
        }
    }

    /// Side of the square crop, pixels.
    pub fn image_size(&self) -> usize {
        match self {
            Architecture::Hmr2(config) => config.image_size,
            Architecture::BlazePose(_) => BLAZEPOSE_SIDE,
        }
    }

    /// Floating-point operations of the products for one crop; a product and a sum are two.
    pub fn flop_per_crop(&self) -> u64 {
        match self {
            Architecture::Hmr2(config) => config.flop_per_crop(),
            // multiplications and additions of the published graphs, depthwise convolutions included
            Architecture::BlazePose(Variant::Lite) => 400_000_000,
            Architecture::BlazePose(Variant::Full) => 780_000_000,
            Architecture::BlazePose(Variant::Heavy) => 3_840_000_000,
        }
    }

    /// The largest matrix product that a crop needs, which the machine's rate is measured with.
    pub fn largest_product(&self) -> Option<Product> {
        match self {
            Architecture::Hmr2(config) => {
                config.block_products().into_iter().max_by_key(|product| product.flop())
            }
            // pixels of the layer with most operations, and its channels
            Architecture::BlazePose(_) => Some(Product { rows: 64 * 64, from: 96, to: 48 }),
        }
    }
}
