//! JPEG, bit-identical to OpenCV: [`encode`] writes the bytes of `cv2.imwrite`, the decoders give the pixels of
//! `cv2.imread`.
//!
//! PHALP extracts frames with `cv2.imwrite` and reads them back with `cv2.imread`; both are libjpeg-turbo with its
//! defaults. The JPEG standard leaves several choices to a codec (rounding of the color conversion, chroma subsampling
//! and upsampling, padding of partial blocks, precision of the DCT), and other crates choose differently, which changes
//! a pixel by up to dozens of 8-bit values. This module makes libjpeg-turbo's choices:
//!
//! - RGB to YCbCr and back in 16-bit fixed point (`jccolor.c`, `jdcolor.c`);
//! - chroma subsampled 2x2 by a box filter with alternating bias (`jcsample.c`), upsampled by a triangle filter
//!   (`jdsample.c`, "fancy upsampling");
//! - the accurate integer DCT in both directions (`jfdctint.c`, `jidctint.c`: Loeffler, Ligtenberg and Moschytz 1989),
//!   quantization rounded half away from zero (`jcdctmgr.c`);
//! - the quantization and Huffman tables of annex K; edge samples repeated, blocks outside the image with a DC
//!   coefficient only (`jcprepct.c`, `jccoefct.c`).
//!
//! The crate `libjpeg-turbo-rs` 0.9.0 encoded 1,020 images to the same bytes and decoded all but 24 of 1,624 files to the
//! same pixels, but it panics on those 24: valid CMYK files with subsampled inks, which OpenCV reads
//! (`cmyk-subsampled.jpg` of the goldens).
//! It also accepts damaged files that are an error here, and its authors state no guarantee of memory safety.
//!
//! Two decoders: [`decode_extracted`] reads only what [`encode`] writes (baseline, 4:2:0) into a given buffer;
//! [`decode_any`] reads JPEG files from other programs. The tests compare bytes and pixels with digests of OpenCV's.

mod baseline;
mod bits;
mod color;
mod component;
mod dct;
mod encode;
mod general;
mod layout;
mod reconstruct;
mod scan;
mod tables;

pub use baseline::decode_extracted;
pub use encode::{JpegSizeError, encode, encode_jpeg};
pub use general::decode_any;

#[cfg(test)]
mod tests;
