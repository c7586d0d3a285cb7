//! Entropy decoding of one scan into the components' coefficients: sequential (all coefficients) or progressive (some of
//! the coefficients or some of their bits). ITU-T T.81, F.2.2 and G.2; `jdhuff.c`, `jdphuff.c`.

use super::bits::{BitReader, HuffmanDecoder};
use super::component::Component;
use super::layout::{BLOCK_SIDE, Block};
use super::tables::ZIGZAG;

/// Which part of the coefficients a scan contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanKind {
    /// All coefficients.
    Sequential,
    /// The DC coefficients without their lowest bits.
    DcFirst,
    /// One more bit of the DC coefficients.
    DcRefine,
    /// A band of AC coefficients without their lowest bits.
    AcFirst,
    /// One more bit of a band of AC coefficients.
    AcRefine,
}

/// A scan's header.
pub struct ScanHeader {
    /// Which part of the coefficients the scan contains.
    pub kind: ScanKind,
    /// First coefficient of the scan, in zigzag order.
    pub spectral_start: usize,
    /// Last coefficient of the scan, in zigzag order.
    pub spectral_end: usize,
    /// Number of lowest bits that are left to later scans, below 14.
    pub approximation_low: u32,
    /// MCUs from one restart marker to the next; 0 for none.
    pub restart_interval: usize,
    /// The scan's components; at least one.
    pub components: Vec<ScanComponent>,
}

/// A component of a scan.
pub struct ScanComponent {
    /// Its index among the image's components.
    pub index: usize,
    /// Index of its Huffman table for DC coefficients.
    pub dc_table: usize,
    /// Index of its Huffman table for AC coefficients.
    pub ac_table: usize,
}

/// The Huffman tables of a file, by index.
pub type HuffmanTables = [Option<HuffmanDecoder>; 4];

/// Reads a scan into the components' blocks. Returns the file from the marker after the scan on; `None` if the scan is
/// damaged.
pub fn decode_scan<'f>(
    scan: &ScanHeader,
    components: &mut [Component],
    dc_tables: &HuffmanTables,
    ac_tables: &HuffmanTables,
    data: &'f [u8],
) -> Option<&'f [u8]> {
    let mut reader = BitReader::new(data);
    let mut last_dc = vec![0i32; scan.components.len()];
    let mut end_of_band_run = 0;
    let (columns, rows) = mcus(scan, components);
    for mcu in 0..columns * rows {
        if scan.restart_interval > 0 && mcu > 0 && mcu % scan.restart_interval == 0 {
            if reader.is_past_end() || !reader.skip_restart_marker() {
                return None;
            }
            last_dc.fill(0);
            end_of_band_run = 0;
        }
        let (x, y) = (mcu % columns, mcu / columns);
        for (member, last_dc) in scan.components.iter().zip(&mut last_dc) {
            let component = &mut components[member.index];
            // a scan of one component goes block by block, whatever its sampling
            let (h, v) = if scan.components.len() == 1 { (1, 1) } else { component.sampling };
            let tables = (dc_tables.get(member.dc_table)?.as_ref(), ac_tables.get(member.ac_table)?.as_ref());
            for n in 0..h * v {
                let (x, y) = (x * h + n % h, y * v + n / h);
                let block = &mut component.blocks[y * component.blocks_across + x];
                scan.read_block(&mut reader, tables, last_dc, &mut end_of_band_run, block)?;
            }
        }
        if x + 1 == columns && reader.is_past_end() {
            return None;
        }
    }
    Some(reader.remaining())
}

/// MCUs of the scan across and down; in a scan of one component an MCU is one block.
fn mcus(scan: &ScanHeader, components: &[Component]) -> (usize, usize) {
    let component = &components[scan.components[0].index];
    match scan.components.len() {
        1 => (component.width.div_ceil(BLOCK_SIDE), component.height.div_ceil(BLOCK_SIDE)),
        _ => (component.blocks_across / component.sampling.0, component.blocks_down / component.sampling.1),
    }
}

impl ScanHeader {
    /// Reads the scan's part of one block. `last_dc` is the component's previous DC value, `end_of_band_run` the number of
    /// blocks that a progressive scan has declared to be without further coefficients.
    #[inline]
    fn read_block(
        &self,
        reader: &mut BitReader,
        (dc, ac): (Option<&HuffmanDecoder>, Option<&HuffmanDecoder>),
        last_dc: &mut i32,
        end_of_band_run: &mut u32,
        block: &mut Block,
    ) -> Option<()> {
        match self.kind {
            ScanKind::Sequential => {
                self.read_dc(reader, dc?, last_dc, block)?;
                self.read_ac(reader, ac?, 1, end_of_band_run, block)
            }
            ScanKind::DcFirst => self.read_dc(reader, dc?, last_dc, block),
            ScanKind::DcRefine => {
                block[0] |= (reader.read_bits(1) << self.approximation_low) as i16;
                Some(())
            }
            ScanKind::AcFirst => self.read_ac(reader, ac?, self.spectral_start, end_of_band_run, block),
            ScanKind::AcRefine => self.refine_ac(reader, ac?, end_of_band_run, block),
        }
    }

    /// The DC coefficient. Differences of a damaged file may add up beyond 32 bits: that is an error, as in libjpeg-turbo.
    fn read_dc(
        &self,
        reader: &mut BitReader,
        decoder: &HuffmanDecoder,
        last_dc: &mut i32,
        block: &mut Block,
    ) -> Option<()> {
        let length = reader.read_symbol(decoder).filter(|&length| length <= 15)?;
        *last_dc = last_dc.checked_add(reader.read_signed(length))?;
        block[0] = (*last_dc << self.approximation_low) as i16;
        Some(())
    }

    /// AC coefficients from zigzag index `first` on.
    fn read_ac(
        &self,
        reader: &mut BitReader,
        decoder: &HuffmanDecoder,
        first: usize,
        end_of_band_run: &mut u32,
        block: &mut Block,
    ) -> Option<()> {
        if *end_of_band_run > 0 {
            *end_of_band_run -= 1;
            return Some(());
        }
        let mut index = first;
        while index <= self.spectral_end {
            let symbol = reader.read_symbol(decoder)?;
            let (zeros, length) = (usize::from(symbol >> 4), symbol & 15);
            match (zeros, length) {
                (15, 0) => index += 16,
                (zeros, 0) => {
                    // end of block; in a progressive scan possibly of several blocks
                    *end_of_band_run = match self.kind {
                        ScanKind::Sequential => 0,
                        _ => read_end_of_band_run(reader, zeros) - 1,
                    };
                    break;
                }
                _ => {
                    index += zeros;
                    let position = usize::from(*ZIGZAG.get(index)?);
                    block[position] = (reader.read_signed(length) << self.approximation_low) as i16;
                    index += 1;
                }
            }
        }
        Some(())
    }

    /// One more bit of every nonzero AC coefficient, and coefficients that become nonzero with this bit.
    fn refine_ac(
        &self,
        reader: &mut BitReader,
        decoder: &HuffmanDecoder,
        end_of_band_run: &mut u32,
        block: &mut Block,
    ) -> Option<()> {
        let bit = 1i16 << self.approximation_low;
        let refine = |reader: &mut BitReader, value: &mut i16| {
            if reader.read_bits(1) == 1 && *value & bit == 0 {
                // overflows only in a damaged file
                *value = value.saturating_add(if *value >= 0 { bit } else { -bit });
            }
        };
        let mut index = self.spectral_start;
        while *end_of_band_run == 0 && index <= self.spectral_end {
            let symbol = reader.read_symbol(decoder)?;
            let (mut zeros, length) = (usize::from(symbol >> 4), symbol & 15);
            let mut new = 0;
            if length > 0 {
                new = if reader.read_bits(1) == 1 { bit } else { -bit };
            } else if zeros < 15 {
                *end_of_band_run = read_end_of_band_run(reader, zeros);
                break;
            }
            while index <= self.spectral_end {
                let value = &mut block[usize::from(ZIGZAG[index])];
                if *value != 0 {
                    refine(reader, value);
                } else if zeros == 0 {
                    *value = new;
                    break;
                } else {
                    zeros -= 1;
                }
                index += 1;
            }
            index += 1;
        }
        if *end_of_band_run > 0 {
            for &position in ZIGZAG.get(index..=self.spectral_end).unwrap_or_default() {
                let value = &mut block[usize::from(position)];
                if *value != 0 {
                    refine(reader, value);
                }
            }
            *end_of_band_run -= 1;
        }
        Some(())
    }
}

/// Number of blocks whose band ends, this one included: `bits` is below 15.
fn read_end_of_band_run(reader: &mut BitReader, bits: usize) -> u32 {
    (1 << bits) + if bits > 0 { reader.read_bits(bits as u32) } else { 0 }
}
