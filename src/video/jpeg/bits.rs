//! Bits in and out, and the Huffman codes over them.

use super::tables::Spec;

/// Codes by symbol: what to write.
pub struct Codes([(u16, u8); 256]);

impl Codes {
    pub fn of(spec: &Spec) -> Codes {
        let mut codes = [(0, 0); 256];
        for (symbol, code, length) in in_order(&spec.counts, spec.symbols) {
            codes[usize::from(symbol)] = (code, length);
        }
        Codes(codes)
    }
}

/// Every symbol with its code and the code's length, as annex C assigns them. Codes that do not fit the
/// tree are left out.
fn in_order<'a>(counts: &'a [u8; 16], symbols: &'a [u8]) -> impl Iterator<Item = (u8, u16, u8)> + 'a {
    let lengths = (1u8..=16).zip(counts).flat_map(|(length, &count)| (0..count).map(move |_| length));
    let mut next = 0u32;
    let mut before = 0;
    symbols.iter().zip(lengths).map_while(move |(&symbol, length)| {
        next <<= length - before;
        before = length;
        let code = u16::try_from(next).ok().filter(|_| next < 1 << length)?;
        next += 1;
        Some((symbol, code, length))
    })
}

/// Bits gathered into bytes, a zero stuffed behind every 0xff.
pub struct Writer<'f> {
    file: &'f mut Vec<u8>,
    held: u64,
    count: u32,
}

impl<'f> Writer<'f> {
    pub fn new(file: &'f mut Vec<u8>) -> Writer<'f> {
        Writer { file, held: 0, count: 0 }
    }

    /// Writes the lowest `length` bits of `bits`, at most 32, the others being zero.
    #[inline]
    pub fn put(&mut self, bits: u32, length: u32) {
        self.held = (self.held << length) | u64::from(bits);
        self.count += length;
        if self.count >= 32 {
            self.count -= 32;
            let word = (self.held >> self.count) as u32;
            let bytes = word.to_be_bytes();
            // a byte of ones is rare; the usual word goes out at once
            if bytes.contains(&0xff) {
                bytes.into_iter().for_each(|byte| self.byte(byte));
            } else {
                self.file.extend_from_slice(&bytes);
            }
        }
    }

    /// Writes a symbol by its code, and after it the lowest `length` bits of `extra`.
    #[inline]
    pub fn symbol(&mut self, codes: &Codes, symbol: u8, extra: u32, length: u32) {
        let (code, of) = codes.0[usize::from(symbol)];
        self.put(u32::from(code) << length | extra, u32::from(of) + length);
    }

    /// Fills the last byte with ones.
    pub fn finish(mut self) {
        let rest = self.count % 8;
        if rest > 0 {
            self.put((1 << (8 - rest)) - 1, 8 - rest);
        }
        while self.count > 0 {
            self.count -= 8;
            self.byte((self.held >> self.count) as u8);
        }
    }

    fn byte(&mut self, byte: u8) {
        self.file.push(byte);
        if byte == 0xff {
            self.file.push(0);
        }
    }
}

/// Bits that are looked up at once.
const LOOK: u32 = 10;

/// Symbols by code: what was read.
pub struct Symbols {
    /// By the next bits: the symbol, and the code's length; 0 for codes that are longer.
    short: Vec<(u8, u8)>,
    /// Longer codes, aligned to 16 bits: the first and the last of each length.
    long: Vec<(u16, u16, u8, Vec<u8>)>,
}

impl Symbols {
    pub fn of(counts: &[u8; 16], symbols: &[u8]) -> Symbols {
        let mut short = vec![(0, 0); 1 << LOOK];
        let mut long: Vec<(u16, u16, u8, Vec<u8>)> = Vec::new();
        for (symbol, code, length) in in_order(counts, symbols) {
            if let Some(rest) = LOOK.checked_sub(u32::from(length)) {
                let first = usize::from(code) << rest;
                short[first..first + (1 << rest)].fill((symbol, length));
                continue;
            }
            match long.last_mut().filter(|(_, _, of, _)| *of == length) {
                Some((_, last, _, named)) => {
                    *last = code;
                    named.push(symbol);
                }
                None => long.push((code, code, length, vec![symbol])),
            }
        }
        Symbols { short, long }
    }
}

/// Bits of a scan.
pub struct Reader<'f> {
    file: &'f [u8],
    held: u64,
    count: u32,
    /// Bits made up behind the end of the scan.
    beyond: u32,
}

impl<'f> Reader<'f> {
    pub fn new(file: &'f [u8]) -> Reader<'f> {
        Reader { file, held: 0, count: 0, beyond: 0 }
    }

    /// Makes sure of 32 bits; behind the end they are zeros.
    #[inline]
    fn fill(&mut self) {
        while self.count <= 56 {
            let byte = match self.file {
                [0xff, 0, rest @ ..] => {
                    self.file = rest;
                    0xff
                }
                [0xff, ..] | [] => {
                    self.beyond += 8;
                    0
                }
                [byte, rest @ ..] => {
                    self.file = rest;
                    *byte
                }
            };
            self.held = (self.held << 8) | u64::from(byte);
            self.count += 8;
        }
    }

    /// The next symbol; `None` where no code fits.
    #[inline]
    pub fn symbol(&mut self, symbols: &Symbols) -> Option<u8> {
        if self.count < 32 {
            self.fill();
        }
        let next = (self.held >> (self.count - 16)) as u16;
        let (symbol, length) = symbols.short[usize::from(next >> (16 - LOOK))];
        if length > 0 {
            self.count -= u32::from(length);
            return Some(symbol);
        }
        symbols.long.iter().find_map(|(first, last, length, named)| {
            let code = next >> (16 - length);
            let symbol = (*first..=*last).contains(&code).then(|| named[usize::from(code - first)])?;
            self.count -= u32::from(*length);
            Some(symbol)
        })
    }

    /// A number of `length` bits, at most 15, in the standard's way of writing signs (figure F.12). To be
    /// called after [`Reader::symbol`], which leaves enough bits.
    #[inline]
    pub fn number(&mut self, length: u8) -> i32 {
        if length == 0 {
            return 0;
        }
        self.count -= u32::from(length);
        let bits = (self.held >> self.count) as i32 & ((1 << length) - 1);
        if bits < 1 << (length - 1) { bits - (1 << length) + 1 } else { bits }
    }

    /// The next `length` bits, at most 16.
    #[inline]
    pub fn bits(&mut self, length: u32) -> u32 {
        if self.count < length {
            self.fill();
        }
        self.count -= length;
        (self.held >> self.count) as u32 & ((1 << length) - 1)
    }

    /// Goes on behind the next restart, wherever it lies; false if something else comes.
    pub fn restart(&mut self) -> bool {
        let rest = self.rest();
        (self.held, self.count, self.beyond) = (0, 0, 0);
        let filled = rest.iter().take_while(|&&byte| byte == 0xff).count();
        match rest.get(filled) {
            Some(0xd0..=0xd7) if filled > 0 => {
                self.file = &rest[filled + 1..];
                true
            }
            _ => false,
        }
    }

    /// What lies behind the scan, from the next marker on.
    pub fn rest(&self) -> &'f [u8] {
        let mut file = self.file;
        while let Some(at) = file.iter().position(|&byte| byte == 0xff) {
            file = &file[at..];
            match file {
                [0xff, 0, rest @ ..] => file = rest,
                _ => return file,
            }
        }
        &[]
    }

    /// Whether more bits were taken than the scan has.
    pub fn is_overdrawn(&self) -> bool {
        self.beyond > self.count
    }
}
