//! One color component of an image while its scans are decoded.

use super::layout::Block;

/// A color component and its coefficients.
pub struct Component {
    /// Identifier that scans use for it.
    pub id: u8,
    /// Horizontal and vertical sampling factor, 1 to 4.
    pub sampling: (usize, usize),
    /// Samples across that belong to the image.
    pub width: usize,
    /// Samples down that belong to the image.
    pub height: usize,
    /// Blocks across, including the padding to whole MCUs.
    pub blocks_across: usize,
    /// Blocks down, including the padding to whole MCUs.
    pub blocks_down: usize,
    /// Index of its quantization table.
    pub quant_table: usize,
    /// The quantization table, row by row; set by the component's first scan.
    pub quant: Option<[u16; 64]>,
    /// Quantized coefficients, block row by block row.
    pub blocks: Vec<Block>,
}
