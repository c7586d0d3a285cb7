//! The decoder of JPEG files from any program: baseline, extended and progressive; gray, RGB, YCbCr, CMYK and YCCK; any
//! sampling; restart markers; quantization tables of 8 and 16 bits.
//!
//! First all coefficients are collected ([`super::scan`]), then converted to pixels ([`super::reconstruct`]). Where the
//! standard leaves a choice, this follows libjpeg-turbo, with one exception: a damaged or truncated file is an error.
//! Arithmetic coding, 12-bit samples and the lossless process are rejected with a message that names them.

use super::bits::HuffmanDecoder;
use super::component::Component;
use super::layout::BLOCK_SIDE;
use super::reconstruct::{self, ColorSpace};
use super::scan::{self, HuffmanTables, ScanComponent, ScanHeader, ScanKind};
use super::tables::ZIGZAG;

/// A decoded image.
pub struct Decoded {
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// `height * width * 3` bytes.
    pub rgb: Vec<u8>,
}

/// What the segments read so far say.
#[derive(Default)]
struct Decoder {
    progressive: bool,
    width: usize,
    height: usize,
    components: Vec<Component>,
    quant_tables: [Option<[u16; 64]>; 4],
    dc_tables: HuffmanTables,
    ac_tables: HuffmanTables,
    /// MCUs from one restart marker to the next; 0 for none.
    restart_interval: usize,
    /// Whether there is a JFIF segment.
    is_jfif: bool,
    /// The color transform that an Adobe segment names.
    adobe_transform: Option<u8>,
    /// Scans read so far.
    scans: usize,
}

/// Most scans of a file. Programs write about a dozen; a crafted file can make each scan expensive with a few bytes.
const MAX_SCANS: usize = 500;
const DAMAGED: &str = "the JPEG is damaged";
const CUT_SHORT: &str = "the JPEG is damaged or cut short";

/// Decodes a file. `check_size` gets width and height before memory for the pixels is allocated.
///
/// # Errors
/// If the file is damaged, cut short or of a kind that is not read, or `check_size` rejects its size.
pub fn decode_any(
    file: &[u8],
    check_size: impl Fn(usize, usize) -> Result<(), String>,
) -> Result<Decoded, String> {
    let mut decoder = Decoder::default();
    let mut rest = file.get(2..).unwrap_or_default();
    loop {
        let Some((kind, after)) = next_marker(rest) else {
            // some programs omit the end marker; nothing is missing if every component had its scan
            if !decoder.progressive && decoder.has_all_components() {
                break;
            }
            return Err(CUT_SHORT.into());
        };
        rest = after;
        if kind == 0xd9 {
            break;
        }
        // markers without a segment
        if matches!(kind, 0x01 | 0xd0..=0xd8) {
            continue;
        }
        let (segment, after) = split_segment(rest).ok_or(CUT_SHORT)?;
        rest = after;
        match kind {
            0xda => rest = decoder.read_scan(segment, rest)?,
            0xc0..=0xc2 => decoder.read_frame_header(kind, segment, file.len(), &check_size)?,
            0xc4 => decoder.read_huffman_tables(segment).ok_or(DAMAGED)?,
            0xdb => decoder.read_quant_tables(segment).ok_or(DAMAGED)?,
            0xdd => {
                let interval = u16::from_be_bytes(*segment.first_chunk().ok_or(DAMAGED)?);
                decoder.restart_interval = interval.into();
            }
            0xc3 | 0xc5..=0xc7 | 0xcb | 0xcd..=0xcf => {
                return Err("lossless and hierarchical JPEGs are not supported; save the image again as baseline JPEG".into());
            }
            0xc9 | 0xca => {
                return Err(
                    "JPEGs with arithmetic coding are not supported; save the image again as baseline JPEG"
                        .into(),
                );
            }
            _ => decoder.read_application_segment(kind, segment),
        }
    }
    decoder.finish()
}

/// The next marker's code and the bytes after it; bytes before it are skipped.
fn next_marker(mut file: &[u8]) -> Option<(u8, &[u8])> {
    loop {
        let position = file.iter().position(|&byte| byte == 0xff)?;
        file = &file[position..];
        let (&kind, rest) = file[1..].split_first()?;
        match kind {
            // a stuffed byte of data
            0 => file = rest,
            // a fill byte
            0xff => file = &file[1..],
            _ => return Some((kind, rest)),
        }
    }
}

/// The payload of the segment at the front, and the bytes after the segment.
fn split_segment(file: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::from(u16::from_be_bytes(*file.first_chunk()?));
    let (segment, rest) = file.split_at_checked(length)?;
    Some((segment.get(2..)?, rest))
}

impl Decoder {
    /// Notes a JFIF (APP0) or Adobe (APP14) segment.
    fn read_application_segment(&mut self, kind: u8, segment: &[u8]) {
        match (kind, segment) {
            (0xe0, [b'J', b'F', b'I', b'F', 0, ..]) => self.is_jfif = true,
            (0xee, [b'A', b'd', b'o', b'b', b'e', _, _, _, _, _, _, transform, ..]) => {
                self.adobe_transform = Some(*transform);
            }
            _ => {}
        }
    }

    /// A DQT segment.
    fn read_quant_tables(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((&info, rest)) = segment.split_first() {
            let bytes = if info >> 4 == 0 { 1 } else { 2 };
            let (values, rest) = rest.split_at_checked(64 * bytes)?;
            let mut table = [0; 64];
            for (&index, value) in ZIGZAG.iter().zip(values.chunks_exact(bytes)) {
                table[usize::from(index)] = value.iter().fold(0, |sum, &byte| sum << 8 | u16::from(byte));
            }
            *self.quant_tables.get_mut(usize::from(info & 15))? = Some(table);
            segment = rest;
        }
        Some(())
    }

    /// A DHT segment.
    fn read_huffman_tables(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((&info, rest)) = segment.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>()?;
            let (symbols, rest) =
                rest.split_at_checked(counts.iter().map(|&count| usize::from(count)).sum())?;
            let tables = if info >> 4 == 0 { &mut self.dc_tables } else { &mut self.ac_tables };
            *tables.get_mut(usize::from(info & 15))? = Some(HuffmanDecoder::new(counts, symbols));
            segment = rest;
        }
        Some(())
    }

    /// An SOF segment: the image's size and components.
    fn read_frame_header(
        &mut self,
        kind: u8,
        segment: &[u8],
        file_bytes: usize,
        check_size: impl Fn(usize, usize) -> Result<(), String>,
    ) -> Result<(), String> {
        let &[bits, h1, h0, w1, w0, count, ref components @ ..] = segment else { return Err(DAMAGED.into()) };
        if !self.components.is_empty() {
            return Err("the JPEG has two frame headers".into());
        }
        if bits != 8 {
            return Err(format!("JPEGs of {bits} bits are not supported; save the image again with 8 bits"));
        }
        let [width, height] = [[w1, w0], [h1, h0]].map(|side| usize::from(u16::from_be_bytes(side)));
        check_size(width, height)?;
        let (components, _) = components.as_chunks::<3>();
        if components.len() != usize::from(count) || !matches!(count, 1 | 3 | 4) {
            return Err(format!("JPEGs with {count} components are not supported"));
        }
        let samplings =
            components.iter().map(|[_, factors, _]| (usize::from(factors >> 4), usize::from(factors & 15)));
        let samplings: Vec<(usize, usize)> = samplings.collect();
        if samplings.iter().any(|&(h, v)| !(1..=4).contains(&h) || !(1..=4).contains(&v)) {
            return Err(DAMAGED.into());
        }
        let h_max = samplings.iter().map(|&(h, _)| h).max().unwrap_or(1);
        let v_max = samplings.iter().map(|&(_, v)| v).max().unwrap_or(1);
        let mcus = (width.div_ceil(BLOCK_SIDE * h_max), height.div_ceil(BLOCK_SIDE * v_max));
        let blocks: usize = samplings.iter().map(|&(h, v)| mcus.0 * h * mcus.1 * v).sum();
        // every block takes at least one bit: a smaller file cannot hold the image it declares
        if blocks / 8 > file_bytes {
            return Err(CUT_SHORT.into());
        }
        let component = |(&[id, _, table], &(h, v)): (&[u8; 3], &(usize, usize))| Component {
            id,
            sampling: (h, v),
            width: (width * h).div_ceil(h_max),
            height: (height * v).div_ceil(v_max),
            blocks_across: mcus.0 * h,
            blocks_down: mcus.1 * v,
            quant_table: usize::from(table),
            quant: None,
            blocks: vec![[0; 64]; mcus.0 * h * mcus.1 * v],
        };
        self.components = components.iter().zip(&samplings).map(component).collect();
        (self.progressive, self.width, self.height) = (kind == 0xc2, width, height);
        Ok(())
    }

    /// Reads an SOS segment and the scan data after it; returns the file after the scan.
    fn read_scan<'f>(&mut self, segment: &[u8], data: &'f [u8]) -> Result<&'f [u8], String> {
        self.scans += 1;
        if self.scans > MAX_SCANS {
            return Err(format!("JPEGs of more than {MAX_SCANS} scans are not supported"));
        }
        let (&count, info) = segment.split_first().ok_or(DAMAGED)?;
        let (members, info) = info.split_at_checked(2 * usize::from(count)).ok_or(DAMAGED)?;
        let &[first, last, bits, ..] = info else { return Err(DAMAGED.into()) };
        let mut components: Vec<ScanComponent> = Vec::new();
        for &[id, tables] in members.as_chunks::<2>().0 {
            let index = self.components.iter().position(|component| component.id == id).ok_or(DAMAGED)?;
            if components.iter().any(|other| other.index == index) {
                return Err(DAMAGED.into());
            }
            let (dc_table, ac_table) = (usize::from(tables >> 4), usize::from(tables & 15));
            components.push(ScanComponent { index, dc_table, ac_table });
            let component = &mut self.components[index];
            // the table at the component's first scan counts: later ones may replace it for other components
            let quant = self.quant_tables.get(component.quant_table).copied().flatten();
            component.quant = component.quant.or(quant);
        }
        let kind = match (self.progressive, first, bits >> 4) {
            (false, _, _) => ScanKind::Sequential,
            (true, 0, 0) => ScanKind::DcFirst,
            (true, 0, _) => ScanKind::DcRefine,
            (true, _, 0) => ScanKind::AcFirst,
            (true, _, _) => ScanKind::AcRefine,
        };
        let is_sequential = kind == ScanKind::Sequential;
        let (first, last) = if is_sequential { (0, 63) } else { (first, last) };
        let is_valid =
            first <= last && last < 64 && bits & 15 < 14 && (first > 0 || is_sequential || last == 0);
        if components.is_empty() || components.len() > 4 || !is_valid || (first > 0 && components.len() > 1) {
            return Err(DAMAGED.into());
        }
        let scan = ScanHeader {
            kind,
            spectral_start: first.into(),
            spectral_end: last.into(),
            approximation_low: if is_sequential { 0 } else { u32::from(bits & 15) },
            restart_interval: self.restart_interval,
            components,
        };
        scan::decode_scan(&scan, &mut self.components, &self.dc_tables, &self.ac_tables, data)
            .ok_or_else(|| CUT_SHORT.to_string())
    }

    /// Whether every component was in a scan.
    fn has_all_components(&self) -> bool {
        !self.components.is_empty() && self.components.iter().all(|component| component.quant.is_some())
    }

    /// The color space, by libjpeg's rules.
    fn color_space(&self) -> ColorSpace {
        let ids: Vec<u8> = self.components.iter().map(|component| component.id).collect();
        match (ids.as_slice(), self.is_jfif, self.adobe_transform) {
            ([_], _, _) => ColorSpace::Gray,
            ([_, _, _], true, _) => ColorSpace::Ycc,
            ([_, _, _], false, Some(0)) => ColorSpace::Rgb,
            ([b'R', b'G', b'B'], false, None) => ColorSpace::Rgb,
            ([_, _, _], _, _) => ColorSpace::Ycc,
            (_, _, Some(2)) => ColorSpace::Ycck,
            _ => ColorSpace::Cmyk,
        }
    }

    fn finish(self) -> Result<Decoded, String> {
        if !self.has_all_components() {
            return Err(CUT_SHORT.into());
        }
        let space = self.color_space();
        let (width, height) = (self.width, self.height);
        let rgb = reconstruct::to_rgb(self.components, width, height, space)?;
        Ok(Decoded { width, height, rgb })
    }
}
