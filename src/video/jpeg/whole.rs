//! Any JPEG that people have, to the pixels that OpenCV gives: in one scan or many, progressive or not, grey, RGB,
//! YCbCr, CMYK and YCCK, with any sampling, restarts, tables of 8 and 16 bits.
//!
//! Coefficients are gathered first ([`super::scan`]), then turned into pixels ([`super::paint`]). What libjpeg-turbo
//! does where the standard leaves a choice is done here, with one exception: a file that is damaged or cut short is
//! an error. Arithmetic coding, 12 bits and the lossless process are refused by name.

use super::SIDE;
use super::bits::Symbols;
use super::paint::{self, Space};
use super::scan::{self, Pass, Scan};
use super::tables::ZIGZAG;

/// A decoded picture.
pub struct Decoded {
    pub width: usize,
    pub height: usize,
    /// `height * width * 3` bytes.
    pub rgb: Vec<u8>,
}

/// One of the picture's components.
pub(super) struct Component {
    pub id: u8,
    /// How often it is sampled across and down, against the others.
    pub sampling: (usize, usize),
    /// Samples across and down that belong to the picture.
    pub width: usize,
    pub height: usize,
    /// Blocks across and down, filled up to whole units of all components.
    pub across: usize,
    pub down: usize,
    /// Which table its coefficients were divided by, and the table itself once a scan has begun.
    table: usize,
    pub steps: Option<[u16; 64]>,
    pub blocks: Vec<[i16; 64]>,
}

/// Tables and facts that stand between the scans.
#[derive(Default)]
struct State {
    progressive: bool,
    width: usize,
    height: usize,
    components: Vec<Component>,
    steps: [Option<[u16; 64]>; 4],
    means: [Option<Symbols>; 4],
    rest: [Option<Symbols>; 4],
    /// Units from one restart to the next; 0 for none.
    restart: usize,
    jfif: bool,
    adobe: Option<u8>,
    scans: usize,
}

/// The most scans that a file may have: programs write a dozen, and a few bytes can ask for much work in each.
const MOST_SCANS: usize = 500;
const DAMAGED: &str = "the JPEG is damaged";
const CUT_SHORT: &str = "the JPEG is damaged or cut short";

/// Decodes a file whose size is agreed to by `check`.
///
/// # Errors
/// If the file is damaged, cut short or of a kind that is not read, or `check` refuses its size.
pub fn decode_whole(
    file: &[u8],
    check: impl Fn(usize, usize) -> Result<(), String>,
) -> Result<Decoded, String> {
    let mut state = State::default();
    let mut rest = file.get(2..).unwrap_or_default();
    loop {
        let Some((kind, after)) = marker(rest) else {
            // some writers forget the end; where every component has been seen whole nothing is missing
            if !state.progressive && state.is_whole() {
                break;
            }
            return Err(CUT_SHORT.into());
        };
        rest = after;
        if kind == 0xd9 {
            break;
        }
        // a restart out of place, or a marker without a segment
        if matches!(kind, 0x01 | 0xd0..=0xd8) {
            continue;
        }
        let (segment, after) = segment(rest).ok_or(CUT_SHORT)?;
        rest = after;
        match kind {
            0xda => rest = state.scan(segment, rest)?,
            0xc0..=0xc2 => state.frame(kind, segment, file.len(), &check)?,
            0xc4 => state.symbols(segment).ok_or(DAMAGED)?,
            0xdb => state.quantisation(segment).ok_or(DAMAGED)?,
            0xdd => state.restart = usize::from(u16::from_be_bytes(*segment.first_chunk().ok_or(DAMAGED)?)),
            0xc3 | 0xc5..=0xc7 | 0xcb | 0xcd..=0xcf => {
                return Err("JPEGs of the lossless or hierarchical process are not read".into());
            }
            0xc9 | 0xca => return Err("JPEGs with arithmetic coding are not read; write it anew".into()),
            _ => state.about(kind, segment),
        }
    }
    state.finish()
}

/// The next marker's kind, and what lies behind it; what lies before it is passed over.
fn marker(mut file: &[u8]) -> Option<(u8, &[u8])> {
    loop {
        let at = file.iter().position(|&byte| byte == 0xff)?;
        file = &file[at..];
        let (&kind, rest) = file[1..].split_first()?;
        match kind {
            // a byte of data, or one that fills up
            0 => file = rest,
            0xff => file = &file[1..],
            _ => return Some((kind, rest)),
        }
    }
}

/// The segment at the front, without its length, and what lies behind.
fn segment(file: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::from(u16::from_be_bytes(*file.first_chunk()?));
    let (segment, rest) = file.split_at_checked(length)?;
    Some((segment.get(2..)?, rest))
}

impl State {
    /// What a segment of an application tells.
    fn about(&mut self, kind: u8, segment: &[u8]) {
        match (kind, segment) {
            (0xe0, [b'J', b'F', b'I', b'F', 0, ..]) => self.jfif = true,
            (0xee, [b'A', b'd', b'o', b'b', b'e', _, _, _, _, _, _, transform, ..]) => {
                self.adobe = Some(*transform);
            }
            _ => {}
        }
    }

    fn quantisation(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((&about, rest)) = segment.split_first() {
            let bytes = if about >> 4 == 0 { 1 } else { 2 };
            let (values, rest) = rest.split_at_checked(64 * bytes)?;
            let mut table = [0; 64];
            for (&at, value) in ZIGZAG.iter().zip(values.chunks_exact(bytes)) {
                table[usize::from(at)] = value.iter().fold(0, |sum, &byte| sum << 8 | u16::from(byte));
            }
            *self.steps.get_mut(usize::from(about & 15))? = Some(table);
            segment = rest;
        }
        Some(())
    }

    fn symbols(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((&about, rest)) = segment.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>()?;
            let (named, rest) =
                rest.split_at_checked(counts.iter().map(|&count| usize::from(count)).sum())?;
            let tables = if about >> 4 == 0 { &mut self.means } else { &mut self.rest };
            *tables.get_mut(usize::from(about & 15))? = Some(Symbols::of(counts, named));
            segment = rest;
        }
        Some(())
    }

    /// The picture's size and components.
    fn frame(
        &mut self,
        kind: u8,
        segment: &[u8],
        file_bytes: usize,
        check: impl Fn(usize, usize) -> Result<(), String>,
    ) -> Result<(), String> {
        let &[bits, h1, h0, w1, w0, count, ref components @ ..] = segment else { return Err(DAMAGED.into()) };
        if !self.components.is_empty() {
            return Err("the JPEG has two pictures in one".into());
        }
        if bits != 8 {
            return Err(format!("JPEGs of {bits} bits are not read; write it anew with 8"));
        }
        let [width, height] = [[w1, w0], [h1, h0]].map(|side| usize::from(u16::from_be_bytes(side)));
        check(width, height)?;
        let (components, _) = components.as_chunks::<3>();
        if components.len() != usize::from(count) || !matches!(count, 1 | 3 | 4) {
            return Err(format!("a JPEG of {count} components"));
        }
        let samplings =
            components.iter().map(|[_, both, _]| (usize::from(both >> 4), usize::from(both & 15)));
        let samplings: Vec<(usize, usize)> = samplings.collect();
        if samplings.iter().any(|&(h, v)| !(1..=4).contains(&h) || !(1..=4).contains(&v)) {
            return Err(DAMAGED.into());
        }
        let h_most = samplings.iter().map(|&(h, _)| h).max().unwrap_or(1);
        let v_most = samplings.iter().map(|&(_, v)| v).max().unwrap_or(1);
        let units = (width.div_ceil(SIDE * h_most), height.div_ceil(SIDE * v_most));
        let blocks: usize = samplings.iter().map(|&(h, v)| units.0 * h * units.1 * v).sum();
        // every block takes a bit: what is smaller promises a picture that it cannot hold
        if blocks / 8 > file_bytes {
            return Err(CUT_SHORT.into());
        }
        let component = |(&[id, _, table], &(h, v)): (&[u8; 3], &(usize, usize))| Component {
            id,
            sampling: (h, v),
            width: (width * h).div_ceil(h_most),
            height: (height * v).div_ceil(v_most),
            across: units.0 * h,
            down: units.1 * v,
            table: usize::from(table),
            steps: None,
            blocks: vec![[0; 64]; units.0 * h * units.1 * v],
        };
        self.components = components.iter().zip(&samplings).map(component).collect();
        (self.progressive, self.width, self.height) = (kind == 0xc2, width, height);
        Ok(())
    }

    /// Takes in a scan; what lies behind it.
    fn scan<'f>(&mut self, segment: &[u8], data: &'f [u8]) -> Result<&'f [u8], String> {
        self.scans += 1;
        if self.scans > MOST_SCANS {
            return Err(format!("a JPEG of more than {MOST_SCANS} scans is not read"));
        }
        let (&count, about) = segment.split_first().ok_or(DAMAGED)?;
        let (named, about) = about.split_at_checked(2 * usize::from(count)).ok_or(DAMAGED)?;
        let &[first, last, bits, ..] = about else { return Err(DAMAGED.into()) };
        let mut places = Vec::new();
        for &[id, tables] in named.as_chunks::<2>().0 {
            let place = self.components.iter().position(|component| component.id == id).ok_or(DAMAGED)?;
            if places.iter().any(|&(other, _, _)| other == place) {
                return Err(DAMAGED.into());
            }
            places.push((place, usize::from(tables >> 4), usize::from(tables & 15)));
            let component = &mut self.components[place];
            // a table may be replaced for later scans of other components
            let steps = self.steps.get(component.table).copied().flatten();
            component.steps = component.steps.or(steps);
        }
        let pass = match (self.progressive, first, bits >> 4) {
            (false, _, _) => Pass::Sequential,
            (true, 0, 0) => Pass::Means,
            (true, 0, _) => Pass::MeansRefined,
            (true, _, 0) => Pass::Rest,
            (true, _, _) => Pass::RestRefined,
        };
        let (first, last) = if pass == Pass::Sequential { (0, 63) } else { (first, last) };
        let is_right = first <= last
            && last < 64
            && bits & 15 < 14
            && (first > 0 || pass == Pass::Sequential || last == 0);
        if places.is_empty() || places.len() > 4 || !is_right || (first > 0 && places.len() > 1) {
            return Err(DAMAGED.into());
        }
        let scan = Scan {
            pass,
            first: first.into(),
            last: last.into(),
            low: if pass == Pass::Sequential { 0 } else { u32::from(bits & 15) },
            restart: self.restart,
            places,
        };
        scan::read(&scan, &mut self.components, &self.means, &self.rest, data)
            .ok_or_else(|| CUT_SHORT.to_string())
    }

    /// Whether every component was in a scan.
    fn is_whole(&self) -> bool {
        !self.components.is_empty() && self.components.iter().all(|component| component.steps.is_some())
    }

    fn space(&self) -> Space {
        let ids: Vec<u8> = self.components.iter().map(|component| component.id).collect();
        match (ids.as_slice(), self.jfif, self.adobe) {
            ([_], _, _) => Space::Grey,
            ([_, _, _], true, _) => Space::Ycc,
            ([_, _, _], false, Some(0)) => Space::Rgb,
            ([b'R', b'G', b'B'], false, None) => Space::Rgb,
            ([_, _, _], _, _) => Space::Ycc,
            (_, _, Some(2)) => Space::Ycck,
            _ => Space::Cmyk,
        }
    }

    fn finish(self) -> Result<Decoded, String> {
        if !self.is_whole() {
            return Err(CUT_SHORT.into());
        }
        let space = self.space();
        let (width, height) = (self.width, self.height);
        let rgb = paint::paint(self.components, width, height, space)?;
        Ok(Decoded { width, height, rgb })
    }
}
