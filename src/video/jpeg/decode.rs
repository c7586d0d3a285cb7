//! A file's bytes to pixels.

use super::bits::{Reader, Symbols};
use super::color::{to_rgb, widen};
use super::dct::back;
use super::tables::ZIGZAG;
use super::{Layout, SIDE};

/// Longest code of a mean's difference in a picture of 8 bits; of any other coefficient it is one less.
const LONGEST: u8 = 11;

/// Fills `rgb` with the pixels of a JPEG as this module writes them; false if it holds another number of
/// pixels.
///
/// # Errors
/// If the file is damaged, or a JPEG of another kind.
pub fn decode(file: &[u8], rgb: &mut [u8]) -> Result<bool, String> {
    let (header, scan) = Header::read(file).ok_or("the picture is damaged, or no JPEG of posebook's kind")?;
    let Layout { width, height } = header.layout;
    if rgb.len() != width * height * 3 {
        return Ok(false);
    }
    let planes = header.planes(scan).ok_or("the picture's data are damaged or cut short")?;
    planes.paint(header.layout, rgb);
    Ok(true)
}

/// What stands before the scan.
struct Header {
    layout: Layout,
    /// Of luma and chroma, row by row.
    steps: [[u8; 64]; 2],
    /// Luma's means and rest, chroma's means and rest.
    symbols: [Symbols; 4],
}

/// Takes `count` bytes off the front.
fn take<'f>(from: &mut &'f [u8], count: usize) -> Option<&'f [u8]> {
    let (taken, rest) = from.split_at_checked(count)?;
    *from = rest;
    Some(taken)
}

impl Header {
    /// The header and what lies behind it; `None` if it is not as this module writes it.
    fn read(mut file: &[u8]) -> Option<(Header, &[u8])> {
        let mut layout = None;
        let mut steps = [None; 2];
        let mut symbols = [None, None, None, None];
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
                    ZIGZAG.iter().zip(zigzag).for_each(|(at, &step)| table[usize::from(*at)] = step);
                    *steps.get_mut(usize::from(number))? = Some(table);
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
                    let (counts, named) = table.split_first_chunk::<16>()?;
                    let place = match number {
                        0x00 => 0,
                        0x10 => 1,
                        0x01 => 2,
                        0x11 => 3,
                        _ => return None,
                    };
                    symbols[place] = Some(Symbols::of(counts, named));
                }
                0xda => {
                    let [luma, chroma] = steps;
                    let [a, b, c, d] = symbols;
                    let header =
                        Header { layout: layout?, steps: [luma?, chroma?], symbols: [a?, b?, c?, d?] };
                    return Some((header, file));
                }
                _ => return None,
            }
        }
    }

    /// The samples of all three components; `None` if the scan is damaged.
    fn planes(&self, scan: &[u8]) -> Option<Planes> {
        let (columns, rows) = self.layout.units();
        let mut planes = Planes::new(columns, rows);
        let mut reader = Reader::new(scan);
        let mut means = [0i32; 3];
        let mut block = [0i16; 64];
        for unit in 0..rows * columns {
            let (row, column) = (unit / columns, unit % columns);
            for (x, y) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                self.block(&mut reader, 0, &mut means[0], &mut block)?;
                let stride = planes.luma_stride;
                let at = (row * 2 + y) * SIDE * stride + (column * 2 + x) * SIDE;
                back(&block, &self.steps[0], &mut planes.luma[at..], stride);
            }
            for (n, mean) in means[1..].iter_mut().enumerate() {
                self.block(&mut reader, 2, mean, &mut block)?;
                let stride = planes.chroma_stride;
                let at = row * SIDE * stride + column * SIDE;
                back(&block, &self.steps[1], &mut planes.chroma[n][at..], stride);
            }
            if reader.is_overdrawn() {
                return None;
            }
        }
        Some(planes)
    }

    /// Reads a block by the tables at `table` and behind.
    fn block(&self, reader: &mut Reader, table: usize, mean: &mut i32, block: &mut [i16; 64]) -> Option<()> {
        block.fill(0);
        let length = reader.symbol(&self.symbols[table]).filter(|&length| length <= LONGEST)?;
        *mean += reader.number(length);
        block[0] = i16::try_from(*mean).ok()?;
        let rest = &self.symbols[table + 1];
        let mut at = 1;
        while at < 64 {
            let symbol = reader.symbol(rest)?;
            let (zeros, length) = (usize::from(symbol >> 4), symbol & 15);
            match (zeros, length) {
                (0, 0) => break,
                (15, 0) => at += 16,
                (_, 0) => return None,
                _ => {
                    at += zeros;
                    let place = usize::from(*ZIGZAG.get(at)?);
                    block[place] = reader.number(length) as i16;
                    at += 1;
                }
            }
        }
        Some(())
    }
}

/// The samples of a picture, each row filled up to whole units.
struct Planes {
    luma: Vec<u8>,
    chroma: [Vec<u8>; 2],
    luma_stride: usize,
    chroma_stride: usize,
}

impl Planes {
    fn new(columns: usize, rows: usize) -> Planes {
        let samples = columns * rows * SIDE * SIDE;
        Planes {
            luma: vec![0; samples * 4],
            chroma: [vec![0; samples], vec![0; samples]],
            luma_stride: columns * SIDE * 2,
            chroma_stride: columns * SIDE,
        }
    }

    fn paint(&self, layout: Layout, rgb: &mut [u8]) {
        let (half_width, half_height) = layout.chroma();
        let mut sums = vec![0; half_width];
        let mut full = [vec![0; half_width * 2], vec![0; half_width * 2]];
        for (y, row) in rgb.chunks_exact_mut(layout.width * 3).enumerate() {
            let near = y / 2;
            // the row of chroma beyond: above for an upper row, below for a lower one
            let far = if y % 2 == 0 { near.saturating_sub(1) } else { (near + 1).min(half_height - 1) };
            for (chroma, full) in self.chroma.iter().zip(&mut full) {
                let samples = |y: usize| &chroma[y * self.chroma_stride..][..half_width];
                widen(samples(near), samples(far), &mut sums, full);
            }
            to_rgb(&self.luma[y * self.luma_stride..][..layout.width], &full[0], &full[1], row);
        }
    }
}
