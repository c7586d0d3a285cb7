//! One scan of a file: its bits to coefficients, all at once or, progressively, some of them or some of their bits
//! (ITU-T T.81, F.2.2 and G.2; `jdhuff.c`, `jdphuff.c`).

use super::SIDE;
use super::bits::{Reader, Symbols};
use super::tables::ZIGZAG;
use super::whole::Component;

/// What a scan tells of its components' blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// All of them.
    Sequential,
    /// Their means, but for the lowest bits.
    Means,
    /// One more bit of their means.
    MeansRefined,
    /// Some of the other coefficients, but for the lowest bits.
    Rest,
    /// One more bit of those.
    RestRefined,
}

/// A scan's header.
pub struct Scan {
    pub pass: Pass,
    /// The coefficients that are told, in their order in a file.
    pub first: usize,
    pub last: usize,
    /// How many of the lowest bits are left to later scans.
    pub low: u32,
    /// Units from one restart to the next; 0 for none.
    pub restart: usize,
    /// Components, each with the numbers of its tables for means and for the rest.
    pub places: Vec<(usize, usize, usize)>,
}

type Tables = [Option<Symbols>; 4];

/// Reads a scan into the components' blocks; what lies behind it, or nothing if it is damaged.
pub fn read<'f>(
    scan: &Scan,
    components: &mut [Component],
    means: &Tables,
    rest: &Tables,
    data: &'f [u8],
) -> Option<&'f [u8]> {
    let mut reader = Reader::new(data);
    let mut states = vec![0i32; scan.places.len()];
    let mut run = 0;
    let (columns, rows) = units(scan, components);
    for unit in 0..columns * rows {
        if scan.restart > 0 && unit > 0 && unit % scan.restart == 0 {
            if reader.is_overdrawn() || !reader.restart() {
                return None;
            }
            states.fill(0);
            run = 0;
        }
        let (x, y) = (unit % columns, unit / columns);
        for (&(place, of_means, of_rest), mean) in scan.places.iter().zip(&mut states) {
            let component = &mut components[place];
            // a component alone goes block by block, whatever its sampling
            let (h, v) = if scan.places.len() == 1 { (1, 1) } else { component.sampling };
            let tables = (means.get(of_means)?.as_ref(), rest.get(of_rest)?.as_ref());
            for at in 0..h * v {
                let (x, y) = (x * h + at % h, y * v + at / h);
                let block = &mut component.blocks[y * component.across + x];
                scan.block(&mut reader, tables, mean, &mut run, block)?;
            }
        }
        if x + 1 == columns && reader.is_overdrawn() {
            return None;
        }
    }
    Some(reader.rest())
}

/// How many units of blocks there are across and down.
fn units(scan: &Scan, components: &[Component]) -> (usize, usize) {
    let component = &components[scan.places[0].0];
    match scan.places.len() {
        1 => (component.width.div_ceil(SIDE), component.height.div_ceil(SIDE)),
        _ => (component.across / component.sampling.0, component.down / component.sampling.1),
    }
}

impl Scan {
    /// Reads what the scan tells of one block.
    #[inline]
    fn block(
        &self,
        reader: &mut Reader,
        (means, rest): (Option<&Symbols>, Option<&Symbols>),
        mean: &mut i32,
        run: &mut u32,
        block: &mut [i16; 64],
    ) -> Option<()> {
        match self.pass {
            Pass::Sequential => {
                self.mean(reader, means?, mean, block)?;
                self.rest(reader, rest?, 1, run, block)
            }
            Pass::Means => self.mean(reader, means?, mean, block),
            Pass::MeansRefined => {
                block[0] |= (reader.bits(1) << self.low) as i16;
                Some(())
            }
            Pass::Rest => self.rest(reader, rest?, self.first, run, block),
            Pass::RestRefined => self.refine(reader, rest?, run, block),
        }
    }

    fn mean(
        &self,
        reader: &mut Reader,
        symbols: &Symbols,
        mean: &mut i32,
        block: &mut [i16; 64],
    ) -> Option<()> {
        let length = reader.symbol(symbols).filter(|&length| length <= 15)?;
        *mean = mean.wrapping_add(reader.number(length));
        block[0] = (*mean << self.low) as i16;
        Some(())
    }

    /// Coefficients from `first` on.
    fn rest(
        &self,
        reader: &mut Reader,
        symbols: &Symbols,
        first: usize,
        run: &mut u32,
        block: &mut [i16; 64],
    ) -> Option<()> {
        if *run > 0 {
            *run -= 1;
            return Some(());
        }
        let mut at = first;
        while at <= self.last {
            let symbol = reader.symbol(symbols)?;
            let (zeros, length) = (usize::from(symbol >> 4), symbol & 15);
            match (zeros, length) {
                (15, 0) => at += 16,
                (zeros, 0) => {
                    // the end of this block, and in a progressive file of some behind it
                    *run = if self.pass == Pass::Sequential { 0 } else { runs(reader, zeros) - 1 };
                    break;
                }
                _ => {
                    at += zeros;
                    let place = usize::from(*ZIGZAG.get(at)?);
                    block[place] = (reader.number(length) << self.low) as i16;
                    at += 1;
                }
            }
        }
        Some(())
    }

    /// One more bit of every coefficient that is not zero, and such as become one.
    fn refine(
        &self,
        reader: &mut Reader,
        symbols: &Symbols,
        run: &mut u32,
        block: &mut [i16; 64],
    ) -> Option<()> {
        let bit = 1i16 << self.low;
        let sharpen = |reader: &mut Reader, value: &mut i16| {
            if reader.bits(1) == 1 && *value & bit == 0 {
                *value = value.wrapping_add(if *value >= 0 { bit } else { -bit });
            }
        };
        let mut at = self.first;
        while *run == 0 && at <= self.last {
            let symbol = reader.symbol(symbols)?;
            let (mut zeros, length) = (usize::from(symbol >> 4), symbol & 15);
            let mut new = 0;
            if length > 0 {
                new = if reader.bits(1) == 1 { bit } else { -bit };
            } else if zeros < 15 {
                *run = runs(reader, zeros);
                break;
            }
            while at <= self.last {
                let value = &mut block[usize::from(ZIGZAG[at])];
                if *value != 0 {
                    sharpen(reader, value);
                } else if zeros == 0 {
                    *value = new;
                    break;
                } else {
                    zeros -= 1;
                }
                at += 1;
            }
            at += 1;
        }
        if *run > 0 {
            for &place in ZIGZAG.get(at..=self.last).unwrap_or_default() {
                let value = &mut block[usize::from(place)];
                if *value != 0 {
                    sharpen(reader, value);
                }
            }
            *run -= 1;
        }
        Some(())
    }
}

/// How many blocks end, this one included.
fn runs(reader: &mut Reader, bits: usize) -> u32 {
    (1 << bits) + if bits > 0 { reader.bits(bits as u32) } else { 0 }
}
