//! Blocks of 8x8 samples, and how many of them an image in 4:2:0 has.

/// One block: samples or coefficients, row by row.
pub type Block = [i16; 64];

/// Samples along a side of a block.
pub const BLOCK_SIDE: usize = 8;

/// Counts of blocks and samples of a 4:2:0 image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Layout {
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
}

impl Layout {
    /// MCUs across and down. An MCU covers 16x16 pixels: four luma blocks and one block of each chroma component.
    pub fn mcus(self) -> (usize, usize) {
        (self.width.div_ceil(2 * BLOCK_SIDE), self.height.div_ceil(2 * BLOCK_SIDE))
    }

    /// Luma blocks across and down that contain pixels; the last MCUs may have more blocks than these.
    pub fn luma_blocks(self) -> (usize, usize) {
        (self.width.div_ceil(BLOCK_SIDE), self.height.div_ceil(BLOCK_SIDE))
    }

    /// Chroma samples across and down.
    pub fn chroma_size(self) -> (usize, usize) {
        (self.width.div_ceil(2), self.height.div_ceil(2))
    }
}
