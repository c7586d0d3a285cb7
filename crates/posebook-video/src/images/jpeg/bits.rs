//! Bit input and output of a JPEG scan, and Huffman coding (ITU-T T.81, annexes C and F).

use super::tables::HuffmanSpec;

/// Huffman codes by symbol: (code, length in bits).
pub struct HuffmanEncoder([(u16, u8); 256]);

impl HuffmanEncoder {
    /// The codes of `spec`.
    pub fn new(spec: &HuffmanSpec) -> HuffmanEncoder {
        let mut codes = [(0, 0); 256];
        for (symbol, code, length) in assign_codes(&spec.counts, spec.symbols) {
            codes[usize::from(symbol)] = (code, length);
        }
        HuffmanEncoder(codes)
    }
}

/// Each symbol with its code and code length, assigned as in annex C. Codes that do not fit the tree (damaged tables)
/// are left out.
fn assign_codes<'a>(counts: &'a [u8; 16], symbols: &'a [u8]) -> impl Iterator<Item = (u8, u16, u8)> + 'a {
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

/// Writes bits into a file, with a zero byte stuffed after every 0xff.
pub struct BitWriter<'f> {
    file: &'f mut Vec<u8>,
    /// Pending bits, right-aligned.
    buffer: u64,
    /// Number of pending bits.
    count: u32,
}

impl<'f> BitWriter<'f> {
    /// A writer that appends to `file`.
    pub fn new(file: &'f mut Vec<u8>) -> BitWriter<'f> {
        BitWriter { file, buffer: 0, count: 0 }
    }

    /// Writes the lowest `length` bits (at most 32) of `bits`; the other bits must be zero.
    #[inline]
    pub fn write_bits(&mut self, bits: u32, length: u32) {
        self.buffer = (self.buffer << length) | u64::from(bits);
        self.count += length;
        if self.count >= 32 {
            self.count -= 32;
            let word = (self.buffer >> self.count) as u32;
            let bytes = word.to_be_bytes();
            // words without 0xff, the common case, need no stuffing
            if bytes.contains(&0xff) {
                bytes.into_iter().for_each(|byte| self.write_byte(byte));
            } else {
                self.file.extend_from_slice(&bytes);
            }
        }
    }

    /// Writes the code of `symbol`, followed by the lowest `length` bits of `extra`.
    #[inline]
    pub fn write_symbol(&mut self, codes: &HuffmanEncoder, symbol: u8, extra: u32, length: u32) {
        let (code, code_length) = codes.0[usize::from(symbol)];
        self.write_bits(u32::from(code) << length | extra, u32::from(code_length) + length);
    }

    /// Pads the last byte with ones and writes it.
    pub fn finish(mut self) {
        let rest = self.count % 8;
        if rest > 0 {
            self.write_bits((1 << (8 - rest)) - 1, 8 - rest);
        }
        while self.count > 0 {
            self.count -= 8;
            self.write_byte((self.buffer >> self.count) as u8);
        }
    }

    fn write_byte(&mut self, byte: u8) {
        self.file.push(byte);
        if byte == 0xff {
            self.file.push(0);
        }
    }
}

/// Codes up to this length are decoded by one table lookup.
const LOOKUP_BITS: u32 = 10;

/// Symbols by Huffman code.
pub struct HuffmanDecoder {
    /// Indexed by the next [`LOOKUP_BITS`] bits: symbol and code length; length 0 for longer codes.
    lookup: Vec<(u8, u8)>,
    /// Longer codes, one entry for each length.
    long_codes: Vec<LongCodes>,
}

/// Consecutive codes of one length.
struct LongCodes {
    first: u16,
    last: u16,
    length: u8,
    /// Symbols of the codes `first` to `last`.
    symbols: Vec<u8>,
}

impl HuffmanDecoder {
    /// The decoder for `counts` codes of each length from 1 to 16 and their `symbols`, as a DHT segment has them.
    pub fn new(counts: &[u8; 16], symbols: &[u8]) -> HuffmanDecoder {
        let mut lookup = vec![(0, 0); 1 << LOOKUP_BITS];
        let mut long_codes: Vec<LongCodes> = Vec::new();
        for (symbol, code, length) in assign_codes(counts, symbols) {
            if let Some(rest) = LOOKUP_BITS.checked_sub(u32::from(length)) {
                let first = usize::from(code) << rest;
                lookup[first..first + (1 << rest)].fill((symbol, length));
                continue;
            }
            match long_codes.last_mut().filter(|codes| codes.length == length) {
                Some(codes) => {
                    codes.last = code;
                    codes.symbols.push(symbol);
                }
                None => long_codes.push(LongCodes { first: code, last: code, length, symbols: vec![symbol] }),
            }
        }
        HuffmanDecoder { lookup, long_codes }
    }
}

/// Reads the bits of a scan, without the stuffed bytes. After the scan's end it gives zeros and counts them.
pub struct BitReader<'f> {
    file: &'f [u8],
    /// Bits read ahead, right-aligned.
    buffer: u64,
    /// Number of bits read ahead.
    count: u32,
    /// Zero bits added after the end of the scan.
    padding: u32,
}

impl<'f> BitReader<'f> {
    /// A reader of the scan data at the start of `file`.
    pub fn new(file: &'f [u8]) -> BitReader<'f> {
        BitReader { file, buffer: 0, count: 0, padding: 0 }
    }

    /// Reads ahead to at least 57 bits; after the end of the scan they are zeros.
    #[inline]
    fn fill(&mut self) {
        while self.count <= 56 {
            let byte = match self.file {
                [0xff, 0, rest @ ..] => {
                    self.file = rest;
                    0xff
                }
                [0xff, ..] | [] => {
                    self.padding = self.padding.saturating_add(8);
                    0
                }
                [byte, rest @ ..] => {
                    self.file = rest;
                    *byte
                }
            };
            self.buffer = (self.buffer << 8) | u64::from(byte);
            self.count += 8;
        }
    }

    /// The next symbol; `None` if the bits are no code.
    #[inline]
    pub fn read_symbol(&mut self, decoder: &HuffmanDecoder) -> Option<u8> {
        if self.count < 32 {
            self.fill();
        }
        let next = (self.buffer >> (self.count - 16)) as u16;
        let (symbol, length) = decoder.lookup[usize::from(next >> (16 - LOOKUP_BITS))];
        if length > 0 {
            self.count -= u32::from(length);
            return Some(symbol);
        }
        decoder.long_codes.iter().find_map(|codes| {
            let code = next >> (16 - codes.length);
            let is_listed = (codes.first..=codes.last).contains(&code);
            let symbol = is_listed.then(|| codes.symbols[usize::from(code - codes.first)])?;
            self.count -= u32::from(codes.length);
            Some(symbol)
        })
    }

    /// A signed number of `length` bits, at most 15, in the standard's encoding (figure F.12). Call it after
    /// [`BitReader::read_symbol`], which leaves enough bits read ahead.
    #[inline]
    pub fn read_signed(&mut self, length: u8) -> i32 {
        if length == 0 {
            return 0;
        }
        self.count -= u32::from(length);
        let bits = (self.buffer >> self.count) as i32 & ((1 << length) - 1);
        if bits < 1 << (length - 1) { bits - (1 << length) + 1 } else { bits }
    }

    /// The next `length` bits, at most 16.
    #[inline]
    pub fn read_bits(&mut self, length: u32) -> u32 {
        if self.count < length {
            self.fill();
        }
        self.count -= length;
        (self.buffer >> self.count) as u32 & ((1 << length) - 1)
    }

    /// Skips to after the next restart marker; false if another marker comes first.
    pub fn skip_restart_marker(&mut self) -> bool {
        let rest = self.remaining();
        (self.buffer, self.count, self.padding) = (0, 0, 0);
        let filled = rest.iter().take_while(|&&byte| byte == 0xff).count();
        match rest.get(filled) {
            Some(0xd0..=0xd7) if filled > 0 => {
                self.file = &rest[filled + 1..];
                true
            }
            _ => false,
        }
    }

    /// The file from the marker that ends the scan on.
    pub fn remaining(&self) -> &'f [u8] {
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

    /// Whether more bits were read than the scan has.
    pub fn is_past_end(&self) -> bool {
        self.padding > self.count
    }
}
