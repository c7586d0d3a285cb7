//! The decoder of extracted frames: reads only files as [`super::encode`] writes them, into a buffer of known size.

use super::bits::{BitReader, HuffmanDecoder};
use super::color::{upsample_2x2, ycc_to_rgb};
use super::dct::inverse_dct;
use super::layout::{BLOCK_SIDE, Block, Layout};
use super::tables::ZIGZAG;

/// Most bits of a DC difference at 8 bits per sample.
const MAX_DC_BITS: u8 = 11;

/// Fills `rgb` with the pixels of a JPEG as [`super::encode`] writes it; false if the image has another number of pixels.
///
/// # Errors
/// If the file is damaged, or a JPEG of another kind.
pub fn decode_extracted(file: &[u8], rgb: &mut [u8]) -> Result<bool, String> {
    let (header, scan) =
        Header::read(file).ok_or("the image is damaged, or not a JPEG that posebook wrote")?;
    let Layout { width, height } = header.layout;
    if rgb.len() != width * height * 3 {
        return Ok(false);
    }
    let planes = header.decode_scan(scan).ok_or("the image's data are damaged or cut short")?;
    planes.write_rgb(header.layout, rgb);
    Ok(true)
}

/// The content of the segments before the scan data.
struct Header {
    layout: Layout,
    /// Quantization tables of luma and chroma, row by row.
    quant_tables: [[u8; 64]; 2],
    /// Huffman tables: luma DC and AC, chroma DC and AC.
    huffman: [HuffmanDecoder; 4],
}

/// Splits `count` bytes off the front of `from`.
fn take<'f>(from: &mut &'f [u8], count: usize) -> Option<&'f [u8]> {
    let (taken, rest) = from.split_at_checked(count)?;
    *from = rest;
    Some(taken)
}

impl Header {
    /// The header and the bytes after it; `None` if it is not as [`super::encode`] writes it.
    fn read(mut file: &[u8]) -> Option<(Header, &[u8])> {
        let mut layout = None;
        let mut quant_tables = [None; 2];
        let mut huffman = [None, None, None, None];
        if take(&mut file, 2)? != [0xff, 0xd8] {
            return None;
        }
        loop {
            let &[0xff, kind, high, low] = take(&mut file, 4)? else { return None };
            let length = usize::from(u16::from_be_bytes([high, low])).checked_sub(2)?;
            let segment = take(&mut file, length)?;
            match kind {
                0xe0 => {}
                0xdb => {
                    let (&number, zigzag) = segment.split_first()?;
                    let zigzag: &[u8; 64] = zigzag.try_into().ok()?;
                    let mut table = [0; 64];
                    ZIGZAG.iter().zip(zigzag).for_each(|(index, &value)| table[usize::from(*index)] = value);
                    *quant_tables.get_mut(usize::from(number))? = Some(table);
                }
                0xc0 => {
                    let &[8, h1, h0, w1, w0, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1] = segment else {
                        return None;
                    };
                    let [width, height] = [[w1, w0], [h1, h0]].map(|side| u16::from_be_bytes(side).into());
                    layout = Some(Layout { width, height }).filter(|_| width > 0 && height > 0);
                }
                0xc4 => {
                    let (&number, table) = segment.split_first()?;
                    let (counts, symbols) = table.split_first_chunk::<16>()?;
                    let index = match number {
                        0x00 => 0,
                        0x10 => 1,
                        0x01 => 2,
                        0x11 => 3,
                        _ => return None,
                    };
                    huffman[index] = Some(HuffmanDecoder::new(counts, symbols));
                }
                0xda => {
                    let [luma, chroma] = quant_tables;
                    let [luma_dc, luma_ac, chroma_dc, chroma_ac] = huffman;
                    let header = Header {
                        layout: layout?,
                        quant_tables: [luma?, chroma?],
                        huffman: [luma_dc?, luma_ac?, chroma_dc?, chroma_ac?],
                    };
                    return Some((header, file));
                }
                _ => return None,
            }
        }
    }

    /// The samples of all three components; `None` if the scan is damaged.
    fn decode_scan(&self, scan: &[u8]) -> Option<Planes> {
        let (columns, rows) = self.layout.mcus();
        let mut planes = Planes::new(columns, rows);
        let mut reader = BitReader::new(scan);
        let mut last_dc = [0i32; 3];
        let mut block: Block = [0; 64];
        for mcu in 0..rows * columns {
            let (row, column) = (mcu / columns, mcu % columns);
            for (x, y) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                self.read_block(&mut reader, 0, &mut last_dc[0], &mut block)?;
                let stride = planes.luma_stride;
                let start = (row * 2 + y) * BLOCK_SIDE * stride + (column * 2 + x) * BLOCK_SIDE;
                inverse_dct(&block, &self.quant_tables[0], &mut planes.luma[start..], stride);
            }
            for (n, last_dc) in last_dc[1..].iter_mut().enumerate() {
                self.read_block(&mut reader, 2, last_dc, &mut block)?;
                let stride = planes.chroma_stride;
                let start = row * BLOCK_SIDE * stride + column * BLOCK_SIDE;
                inverse_dct(&block, &self.quant_tables[1], &mut planes.chroma[n][start..], stride);
            }
            if reader.is_past_end() {
                return None;
            }
        }
        Some(planes)
    }

    /// Reads the quantized coefficients of a block with the Huffman tables `table` (DC) and `table + 1` (AC).
    fn read_block(
        &self,
        reader: &mut BitReader,
        table: usize,
        last_dc: &mut i32,
        block: &mut Block,
    ) -> Option<()> {
        block.fill(0);
        let length = reader.read_symbol(&self.huffman[table]).filter(|&length| length <= MAX_DC_BITS)?;
        let dc = i16::try_from(*last_dc + reader.read_signed(length)).ok()?;
        *last_dc = dc.into();
        block[0] = dc;
        let ac = &self.huffman[table + 1];
        let mut index = 1;
        while index < 64 {
            let symbol = reader.read_symbol(ac)?;
            let (zeros, length) = (usize::from(symbol >> 4), symbol & 15);
            match (zeros, length) {
                (0, 0) => break,
                (15, 0) => index += 16,
                (_, 0) => return None,
                _ => {
                    index += zeros;
                    block[usize::from(*ZIGZAG.get(index)?)] = reader.read_signed(length) as i16;
                    index += 1;
                }
            }
        }
        Some(())
    }
}

/// The samples of an image; rows and columns are padded to whole MCUs.
struct Planes {
    luma: Vec<u8>,
    chroma: [Vec<u8>; 2],
    luma_stride: usize,
    chroma_stride: usize,
}

impl Planes {
    fn new(columns: usize, rows: usize) -> Planes {
        let samples = columns * rows * BLOCK_SIDE * BLOCK_SIDE;
        Planes {
            luma: vec![0; samples * 4],
            chroma: [vec![0; samples], vec![0; samples]],
            luma_stride: columns * BLOCK_SIDE * 2,
            chroma_stride: columns * BLOCK_SIDE,
        }
    }

    /// Upsamples the chroma and converts to RGB.
    fn write_rgb(&self, layout: Layout, rgb: &mut [u8]) {
        let (half_width, half_height) = layout.chroma_size();
        let mut sums = vec![0; half_width];
        let mut full_chroma = [vec![0; half_width * 2], vec![0; half_width * 2]];
        for (y, row) in rgb.chunks_exact_mut(layout.width * 3).enumerate() {
            let near = y / 2;
            // the other row to interpolate from: above for an even pixel row, below for an odd one
            let far = if y % 2 == 0 { near.saturating_sub(1) } else { (near + 1).min(half_height - 1) };
            for (chroma, full) in self.chroma.iter().zip(&mut full_chroma) {
                let samples = |y: usize| &chroma[y * self.chroma_stride..][..half_width];
                upsample_2x2(samples(near), samples(far), &mut sums, full);
            }
            let luma = &self.luma[y * self.luma_stride..][..layout.width];
            ycc_to_rgb(luma, &full_chroma[0], &full_chroma[1], row);
        }
    }
}
