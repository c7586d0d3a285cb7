//! JPEG exactly as OpenCV has it: `cv2.imwrite`'s bytes and `cv2.imread`'s pixels.
//!
//! PHALP extracts frames with `cv2.imwrite` and reads them back with `cv2.imread`, and both are
//! libjpeg-turbo with its defaults. The standard leaves a codec much freedom: how colours are rounded, how
//! four chroma samples become one, what fills the blocks that stick out of the picture, in which precision
//! the transform is done, how chroma is widened again. Other crates choose otherwise, which costs up to
//! dozens of levels at a pixel; so these choices are made here as libjpeg-turbo makes them:
//!
//! - RGB to YCbCr in 16-bit fixed point (`jccolor.c`), the inverse likewise (`jdcolor.c`);
//! - chroma halved both ways by a box with alternating bias (`jcsample.c`), widened by a triangle filter
//!   (`jdsample.c`, "fancy upsampling");
//! - the accurate integer transform both ways (`jfdctint.c`, `jidctint.c`: Loeffler, Ligtenberg and
//!   Moschytz 1989), division rounded half away from zero (`jcdctmgr.c`);
//! - annex K's quantisation and Huffman tables; edges repeated, blocks outside the picture empty
//!   (`jcprepct.c`, `jccoefct.c`).
//!
//! The tests hold bytes and pixels against digests of OpenCV's. Extracted frames are read as they are written
//! (baseline, 4:2:0; [`decode`]) and other JPEGs refused; pictures that people have are of every kind, and
//! [`whole`] reads those. Must not know where the files lie.

mod bits;
mod color;
mod dct;
mod decode;
mod encode;
mod paint;
mod scan;
mod tables;
mod whole;

pub(super) use decode::decode;
pub(super) use encode::encode;
pub(super) use whole::decode_whole;

#[cfg(test)]
mod tests;

/// Samples of a block, row by row.
type Block = [i16; 64];

/// Side of a block.
const SIDE: usize = 8;

/// How many blocks and samples a picture has.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Layout {
    width: usize,
    height: usize,
}

impl Layout {
    /// Units of 16x16 pixels in a row and in a column: four blocks of luma and one of each chroma.
    fn units(self) -> (usize, usize) {
        (self.width.div_ceil(2 * SIDE), self.height.div_ceil(2 * SIDE))
    }

    /// Blocks of luma in a row and in a column that hold pixels; the last units may have more.
    fn luma_blocks(self) -> (usize, usize) {
        (self.width.div_ceil(SIDE), self.height.div_ceil(SIDE))
    }

    /// Samples of chroma in a row and in a column.
    fn chroma(self) -> (usize, usize) {
        (self.width.div_ceil(2), self.height.div_ceil(2))
    }
}
