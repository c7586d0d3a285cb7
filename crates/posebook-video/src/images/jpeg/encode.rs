//! The encoder: RGB pixels to the bytes of a baseline 4:2:0 file, as `cv2.imwrite` writes it.

use super::bits::{BitWriter, HuffmanEncoder};
use super::color::{downsample_2x2, rgb_to_ycc};
use super::dct::{Quantizer, forward_dct};
use super::layout::{BLOCK_SIDE, Block, Layout};
use super::tables::{HUFFMAN_SPECS, ZIGZAG, quant_tables};

/// An image that a JPEG cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a JPEG side cannot have {side} pixels; supported are 1 to 65535")]
pub struct JpegSizeError {
    /// The width or height in pixels.
    pub side: usize,
}

/// The bytes of the JPEG file that OpenCV's `cv2.imwrite` writes for an image at `quality` (1 to 100): baseline, chroma
/// subsampled 4:2:0.
///
/// # Shapes
/// `rgb`: `height * width * 3`, row by row.
///
/// # Errors
/// If a side is 0 or longer than a JPEG's 65,535 pixels.
pub fn encode_jpeg(rgb: &[u8], width: usize, height: usize, quality: u8) -> Result<Vec<u8>, JpegSizeError> {
    let mut file = Vec::new();
    encode(rgb, width, height, quality, &mut file)?;
    Ok(file)
}

/// As [`encode_jpeg`], replacing the content of `file`.
pub fn encode(
    rgb: &[u8],
    width: usize,
    height: usize,
    quality: u8,
    file: &mut Vec<u8>,
) -> Result<(), JpegSizeError> {
    for side in [width, height] {
        if !(1..=usize::from(u16::MAX)).contains(&side) {
            return Err(JpegSizeError { side });
        }
    }
    let layout = Layout { width, height };
    let quant_tables = quant_tables(quality);
    file.clear();
    write_header(layout, &quant_tables, file);
    let mut scan = ScanWriter::new(layout, &quant_tables, file);
    let mut samples = McuRow::new(layout);
    for mcu_row in 0..layout.mcus().1 {
        samples.fill(rgb, mcu_row);
        scan.write_mcu_row(&samples, mcu_row);
    }
    scan.writer.finish();
    file.extend([0xff, 0xd9]);
    Ok(())
}

/// Writes everything before the scan data, in libjpeg's order.
fn write_header(layout: Layout, quant_tables: &[[u8; 64]; 2], file: &mut Vec<u8>) {
    file.extend([0xff, 0xd8, 0xff, 0xe0, 0, 16]);
    file.extend(*b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
    for (number, table) in (0u8..).zip(quant_tables) {
        file.extend([0xff, 0xdb, 0, 67, number]);
        file.extend(ZIGZAG.map(|index| table[usize::from(index)]));
    }
    let [height, width] = [layout.height, layout.width].map(|side| (side as u16).to_be_bytes());
    file.extend([0xff, 0xc0, 0, 17, 8, height[0], height[1], width[0], width[1], 3]);
    file.extend([1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1]);
    for (spec, number) in HUFFMAN_SPECS.iter().zip([0x00, 0x10, 0x01, 0x11]) {
        file.extend([0xff, 0xc4]);
        file.extend((19 + spec.symbols.len() as u16).to_be_bytes());
        file.push(number);
        file.extend(spec.counts);
        file.extend(spec.symbols);
    }
    file.extend([0xff, 0xda, 0, 12, 3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0]);
}

/// The samples of one row of MCUs: 16 rows of luma, 8 rows of each chroma component.
struct McuRow {
    layout: Layout,
    luma: Vec<u8>,
    chroma: [Vec<u8>; 2],
    luma_stride: usize,
    chroma_stride: usize,
    /// Full-resolution chroma of two pixel rows: upper Cb and Cr, lower Cb and Cr.
    full_chroma: [Vec<u8>; 4],
}

impl McuRow {
    fn new(layout: Layout) -> McuRow {
        let luma_stride = layout.luma_blocks().0 * BLOCK_SIDE;
        let chroma_stride = layout.mcus().0 * BLOCK_SIDE;
        McuRow {
            layout,
            luma: vec![0; luma_stride * 2 * BLOCK_SIDE],
            chroma: std::array::from_fn(|_| vec![0; chroma_stride * BLOCK_SIDE]),
            luma_stride,
            chroma_stride,
            full_chroma: std::array::from_fn(|_| vec![0; chroma_stride * 2]),
        }
    }

    /// Converts the pixels of MCU row `mcu_row`. Below the image the last row of samples is repeated, of chroma the last
    /// *subsampled* row.
    fn fill(&mut self, rgb: &[u8], mcu_row: usize) {
        let Layout { width, height } = self.layout;
        for pair in 0..BLOCK_SIDE {
            let first = (mcu_row * BLOCK_SIDE + pair) * 2;
            let (previous, current) = self.luma.split_at_mut(pair * 2 * self.luma_stride);
            let (upper, rest) = current.split_at_mut(self.luma_stride);
            let lower = &mut rest[..self.luma_stride];
            let out = pair * self.chroma_stride..(pair + 1) * self.chroma_stride;
            if first >= height {
                let last = &previous[previous.len() - self.luma_stride..];
                upper.copy_from_slice(last);
                lower.copy_from_slice(last);
                for chroma in &mut self.chroma {
                    chroma.copy_within(out.start - self.chroma_stride..out.start, out.start);
                }
                continue;
            }
            let row = |y: usize| &rgb[y * width * 3..(y + 1) * width * 3];
            let [upper_cb, upper_cr, lower_cb, lower_cr] = &mut self.full_chroma;
            rgb_to_ycc(row(first), upper, upper_cb, upper_cr);
            rgb_to_ycc(row((first + 1).min(height - 1)), lower, lower_cb, lower_cr);
            downsample_2x2(upper_cb, lower_cb, &mut self.chroma[0][out.clone()]);
            downsample_2x2(upper_cr, lower_cr, &mut self.chroma[1][out]);
        }
    }
}

/// Encodes blocks into the scan.
struct ScanWriter<'f> {
    layout: Layout,
    /// Of luma and chroma.
    quantizers: [Quantizer; 2],
    /// In the order of [`HUFFMAN_SPECS`].
    codes: [HuffmanEncoder; 4],
    writer: BitWriter<'f>,
    /// The previous DC coefficient of each component.
    last_dc: [i16; 3],
}

impl<'f> ScanWriter<'f> {
    fn new(layout: Layout, quant_tables: &[[u8; 64]; 2], file: &'f mut Vec<u8>) -> ScanWriter<'f> {
        ScanWriter {
            layout,
            quantizers: [Quantizer::new(&quant_tables[0]), Quantizer::new(&quant_tables[1])],
            codes: HUFFMAN_SPECS.each_ref().map(HuffmanEncoder::new),
            writer: BitWriter::new(file),
            last_dc: [0; 3],
        }
    }

    /// Encodes one row of MCUs.
    fn write_mcu_row(&mut self, samples: &McuRow, mcu_row: usize) {
        let (columns, rows) = self.layout.luma_blocks();
        for mcu in 0..self.layout.mcus().0 {
            for (x, y) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                let column = mcu * 2 + x;
                if column < columns && mcu_row * 2 + y < rows {
                    let start = y * BLOCK_SIDE * samples.luma_stride + column * BLOCK_SIDE;
                    let block = self.transform(&samples.luma[start..], samples.luma_stride, 0);
                    self.write_block(&block, 0);
                } else {
                    // outside the image: the previous DC coefficient and no others
                    let mut block = [0; 64];
                    block[0] = self.last_dc[0];
                    self.write_block(&block, 0);
                }
            }
            for (n, chroma) in samples.chroma.iter().enumerate() {
                let block = self.transform(&chroma[mcu * BLOCK_SIDE..], samples.chroma_stride, 1);
                self.write_block(&block, n + 1);
            }
        }
    }

    /// The quantized coefficients of the block at the start of `samples`.
    fn transform(&self, samples: &[u8], stride: usize, table: usize) -> Block {
        let mut block = [0; 64];
        for (row, samples) in block.chunks_exact_mut(BLOCK_SIDE).zip(samples.chunks(stride)) {
            for (out, &sample) in row.iter_mut().zip(samples) {
                *out = i16::from(sample) - 128;
            }
        }
        forward_dct(&mut block);
        self.quantizers[table].quantize(&mut block);
        block
    }

    /// Huffman-codes a block of component 0 (luma), 1 or 2 (chroma).
    fn write_block(&mut self, block: &Block, component: usize) {
        let [dc, ac] = match component {
            0 => [&self.codes[0], &self.codes[1]],
            _ => [&self.codes[2], &self.codes[3]],
        };
        let (length, bits) = encode_signed(block[0] - self.last_dc[component]);
        self.last_dc[component] = block[0];
        self.writer.write_symbol(dc, length as u8, bits, length);
        let mut zeros = 0;
        for index in &ZIGZAG[1..] {
            let value = block[usize::from(*index)];
            if value == 0 {
                zeros += 1;
                continue;
            }
            while zeros > 15 {
                self.writer.write_symbol(ac, 0xf0, 0, 0);
                zeros -= 16;
            }
            let (length, bits) = encode_signed(value);
            self.writer.write_symbol(ac, (zeros << 4) | length as u8, bits, length);
            zeros = 0;
        }
        if zeros > 0 {
            self.writer.write_symbol(ac, 0, 0, 0);
        }
    }
}

/// Bit length and bits of a signed number in the standard's encoding (figure F.12 reversed): a negative number is written
/// as itself minus one.
fn encode_signed(value: i16) -> (u32, u32) {
    let length = u32::from(value.unsigned_abs()).checked_ilog2().map_or(0, |log| log + 1);
    let bits = i32::from(value) - i32::from(value < 0);
    (length, bits as u32 & ((1 << length) - 1))
}
