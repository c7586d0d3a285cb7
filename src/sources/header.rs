//! What the header of a picture's file tells without decoding it: JPEG or PNG, its size, and how it is turned for
//! display by EXIF.
//!
//! What a file is is told by its first bytes and not by its name. The orientation is found as OpenCV finds it:
//! in a JPEG it is in the first block that has one, before the first scan; in a PNG in the first whole `eXIf`
//! chunk, before or behind the pixels. Must not know how pixels are decoded.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Cursor, ErrorKind, Read, Seek};
use std::path::Path;

/// The longest `eXIf` chunk that is looked at, bytes; one in a JPEG has 64 KiB at most.
const LONGEST_EXIF: u32 = 1 << 20;
/// EXIF's tag of the orientation.
const ORIENTATION: u16 = 0x0112;
const JPEG_CUT: &str = "the JPEG is damaged or cut short";
const PNG_CUT: &str = "the PNG is damaged or cut short";

/// The kinds of pictures that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Jpeg,
    Png,
}

impl Kind {
    /// The kind by a file's first bytes (twelve are enough).
    ///
    /// # Errors
    /// If it is neither: what it is, where that is known, and what to do.
    pub fn of(file: &[u8]) -> Result<Kind, String> {
        match file {
            [] => Err("the file is empty".into()),
            [0xff, 0xd8, 0xff, ..] => Ok(Kind::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Ok(Kind::Png),
            _ => Err(other_kind(file)),
        }
    }
}

/// What is said of a file that is neither JPEG nor PNG.
fn other_kind(file: &[u8]) -> String {
    let is = |at: usize, bytes: &[u8]| file.get(at..at + bytes.len()) == Some(bytes);
    let kind = if is(0, b"GIF8") {
        "a GIF"
    } else if is(0, b"RIFF") && is(8, b"WEBP") {
        "a WebP picture"
    } else if is(0, b"BM") {
        "a BMP picture"
    } else if is(0, b"II*\0") || is(0, b"MM\0*") {
        "a TIFF picture"
    } else if is(4, b"ftypavif") || is(4, b"ftypheic") || is(4, b"ftypmif1") || is(4, b"ftypheix") {
        "a HEIF or AVIF picture"
    } else if is(4, b"ftyp") {
        "a video; `posebook track` takes those"
    } else {
        return "this is no picture: neither JPEG nor PNG by its first bytes".into();
    };
    let hint =
        if kind.starts_with("a video") { "" } else { "; convert it: `ffmpeg -i FILE -frames:v 1 FILE.png`" };
    format!("this is {kind}; pictures are read as JPEG and PNG{hint}")
}

/// What a picture's header tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub kind: Kind,
    /// Columns and rows as stored, before the picture is turned.
    pub width: usize,
    pub height: usize,
    /// EXIF's number of the orientation: 1 to 8, 1 where the file has none.
    pub orientation: u16,
    /// Whether it is an animation (PNG's `acTL`), of which the first picture is read.
    pub animated: bool,
}

impl Header {
    /// The header of the file at `path`.
    ///
    /// # Errors
    /// If it cannot be read, is neither JPEG nor PNG, or ends before its size: what is wrong, without the path.
    pub fn of_path(path: &Path) -> Result<Header, String> {
        // a pipe would be waited for
        if !fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err("this is not a regular file; leave it out of the folder".into());
        }
        let file = File::open(path).map_err(unreadable)?;
        Header::read(&mut BufReader::new(file))
    }

    /// The header of a file in memory.
    ///
    /// # Errors
    /// As [`Header::of_path`].
    pub fn of_bytes(file: &[u8]) -> Result<Header, String> {
        Header::read(&mut Cursor::new(file))
    }

    /// Columns and rows of the picture as it is seen, after it is turned.
    pub fn upright_size(&self) -> (usize, usize) {
        if self.is_transposed() { (self.height, self.width) } else { (self.width, self.height) }
    }

    /// Whether stored rows are columns of the picture as it is seen.
    pub fn is_transposed(&self) -> bool {
        (5..=8).contains(&self.orientation)
    }

    fn read(file: &mut (impl BufRead + Seek)) -> Result<Header, String> {
        let mut first = Vec::new();
        file.take(12).read_to_end(&mut first).map_err(unreadable)?;
        let kind = Kind::of(&first)?;
        let (read, cut): (fn(&mut _) -> _, _) = match kind {
            Kind::Jpeg => (read_jpeg, JPEG_CUT),
            Kind::Png => (read_png, PNG_CUT),
        };
        let behind_signature = if kind == Kind::Jpeg { 2 } else { 8 };
        let found = file.seek_relative(behind_signature - first.len() as i64).and_then(|()| read(file));
        let found = found.or_else(|error| match error.kind() {
            ErrorKind::UnexpectedEof => Ok(None),
            _ => Err(unreadable(error)),
        })?;
        let Found { size: (width, height), orientation, animated } = found.ok_or(cut)?;
        let orientation = orientation.filter(|number| (1..=8).contains(number)).unwrap_or(1);
        Ok(Header { kind, width, height, orientation, animated })
    }
}

fn unreadable(error: std::io::Error) -> String {
    format!("cannot read the picture: {error}")
}

/// What was found in a file.
struct Found {
    /// Columns and rows as stored.
    size: (usize, usize),
    /// The orientation's number as the file has it.
    orientation: Option<u16>,
    animated: bool,
}

/// Reads segments up to the first scan; `None` where there is no size before it.
fn read_jpeg(file: &mut (impl BufRead + Seek)) -> std::io::Result<Option<Found>> {
    let (mut size, mut orientation) = (None, None);
    loop {
        let kind = next_marker(file)?;
        match kind {
            // the first scan, the end
            0xd9 | 0xda => return Ok(size.map(|size| Found { size, orientation, animated: false })),
            // markers without a segment
            0x01 | 0xd0..=0xd8 => continue,
            _ => {}
        }
        let length = i64::from(u16::from_be_bytes(bytes(file)?)) - 2;
        let passed = match kind {
            _ if length < 0 => return Ok(None),
            0xc0..=0xcf if !matches!(kind, 0xc4 | 0xc8 | 0xcc) && size.is_none() && length >= 5 => {
                let [_bits, h1, h0, w1, w0] = bytes(file)?;
                size = Some((u16::from_be_bytes([w1, w0]).into(), u16::from_be_bytes([h1, h0]).into()));
                5
            }
            0xe1 if orientation.is_none() => {
                let mut segment = vec![0; length as usize];
                file.read_exact(&mut segment)?;
                orientation = segment.strip_prefix(b"Exif\0\0").and_then(exif_orientation);
                length
            }
            _ => 0,
        };
        file.seek_relative(length - passed)?;
    }
}

/// The kind of the next marker; what lies before it is passed over.
fn next_marker(file: &mut impl BufRead) -> std::io::Result<u8> {
    loop {
        while bytes(file)? != [0xff] {}
        let [mut kind] = bytes(file)?;
        while kind == 0xff {
            [kind] = bytes(file)?;
        }
        if kind != 0 {
            return Ok(kind);
        }
    }
}

/// Reads chunks up to the end, so that an `eXIf` behind the pixels is seen; `None` where the first is no header.
fn read_png(file: &mut (impl BufRead + Seek)) -> std::io::Result<Option<Found>> {
    let (mut size, mut orientation, mut exif_seen, mut animated) = (None, None, false, false);
    loop {
        let (length, kind) = match bytes::<8>(file) {
            Ok([a, b, c, d, kind @ ..]) => (u32::from_be_bytes([a, b, c, d]), kind),
            // the decoder tells whether something is missing
            Err(error) if error.kind() == ErrorKind::UnexpectedEof && size.is_some() => break,
            Err(error) => return Err(error),
        };
        let mut rest = i64::from(length) + 4;
        match &kind {
            b"IEND" => break,
            b"IHDR" if size.is_none() && length >= 8 => {
                let [width, height] =
                    [bytes(file)?, bytes(file)?].map(|side| u32::from_be_bytes(side) as usize);
                size = Some((width, height));
                rest -= 8;
            }
            _ if size.is_none() => return Ok(None),
            b"acTL" => animated = true,
            b"eXIf" if !exif_seen && length <= LONGEST_EXIF => {
                let mut block = vec![0; length as usize];
                file.read_exact(&mut block)?;
                let sum = u32::from_be_bytes(bytes(file)?);
                let mut expected = flate2::Crc::new();
                expected.update(&kind);
                expected.update(&block);
                exif_seen = expected.sum() == sum && is_tiff(&block);
                orientation = exif_orientation(&block).filter(|_| exif_seen);
                rest = 0;
            }
            _ => {}
        }
        file.seek_relative(rest)?;
    }
    Ok(size.map(|size| Found { size, orientation, animated }))
}

fn bytes<const N: usize>(file: &mut impl Read) -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes).map(|()| bytes)
}

fn is_tiff(exif: &[u8]) -> bool {
    exif.starts_with(b"II*\0") || exif.starts_with(b"MM\0*")
}

/// The orientation's number in an EXIF block that begins with its TIFF header, whatever type it is said to have;
/// `None` where there is none.
fn exif_orientation(exif: &[u8]) -> Option<u16> {
    if !is_tiff(exif) {
        return None;
    }
    let little = exif[0] == b'I';
    let short = |at: usize| -> Option<u16> {
        let bytes = exif.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let long = |at: usize| -> Option<usize> {
        let bytes = exif.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) } as usize)
    };
    let directory = long(4)?;
    let entries = usize::from(short(directory)?);
    let mut places = (0..entries).map(|entry| directory + 2 + entry * 12);
    let place = places.find(|&at| short(at) == Some(ORIENTATION))?;
    short(place + 8)
}

/// An EXIF block with nothing but an orientation.
#[cfg(test)]
pub(crate) fn exif(number: u16, little: bool) -> Vec<u8> {
    let short = |value: u16| if little { value.to_le_bytes() } else { value.to_be_bytes() };
    let long = |value: u32| if little { value.to_le_bytes() } else { value.to_be_bytes() };
    let mut block = if little { b"II*\0".to_vec() } else { b"MM\0*".to_vec() };
    block.extend(long(8));
    block.extend(short(1));
    block.extend([short(ORIENTATION), short(3)].concat());
    block.extend(long(1));
    block.extend([short(number), [0; 2]].concat());
    block.extend(long(0));
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A JPEG of 32x16 pixels up to its first scan, with segments of EXIF before and behind the size.
    fn jpeg(before: &[Vec<u8>], behind: &[Vec<u8>]) -> Vec<u8> {
        let app1 = |data: &Vec<u8>| {
            [&[0xff, 0xe1][..], &(data.len() as u16 + 2).to_be_bytes(), data.as_slice()].concat()
        };
        let size = [0xff, 0xc0, 0, 11, 8, 0, 16, 0, 32, 1, 1, 0x11, 0];
        let mut file = vec![0xff, 0xd8];
        file.extend(before.iter().flat_map(app1));
        file.extend(size);
        file.extend(behind.iter().flat_map(app1));
        file.extend([0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0]);
        file
    }

    fn exif_in_jpeg(number: u16) -> Vec<u8> {
        [b"Exif\0\0".to_vec(), exif(number, true)].concat()
    }

    fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let mut sum = flate2::Crc::new();
        sum.update(kind);
        sum.update(data);
        [&(data.len() as u32).to_be_bytes()[..], kind, data, &sum.sum().to_be_bytes()].concat()
    }

    fn png(before: &[Vec<u8>], behind: &[Vec<u8>]) -> Vec<u8> {
        let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
        file.extend(chunk(b"IHDR", &[0, 0, 0, 32, 0, 0, 0, 16, 8, 2, 0, 0, 0]));
        file.extend(before.concat());
        file.extend(chunk(b"IDAT", &[1, 2, 3]));
        file.extend(behind.concat());
        file.extend(chunk(b"IEND", &[]));
        file
    }

    fn orientation(file: &[u8]) -> u16 {
        let header = Header::of_bytes(file).unwrap();
        assert_eq!((header.width, header.height), (32, 16));
        let seen = if header.orientation > 4 { (16, 32) } else { (32, 16) };
        assert_eq!(header.upright_size(), seen);
        header.orientation
    }

    // what is expected here is what OpenCV 5.0 made of such files
    #[test]
    fn a_jpeg_is_turned_by_its_first_orientation_before_the_scan() {
        let exif = exif_in_jpeg;
        assert_eq!(orientation(&jpeg(&[], &[])), 1);
        assert_eq!(orientation(&jpeg(&[exif(6)], &[])), 6);
        assert_eq!(orientation(&jpeg(&[], &[exif(6)])), 6, "behind the size");
        assert_eq!(orientation(&jpeg(&[exif(3), exif(6)], &[])), 3);
        assert_eq!(orientation(&jpeg(&[b"http://ns.adobe.com/xap/1.0/\0".to_vec(), exif(6)], &[])), 6);
        assert_eq!(orientation(&jpeg(&[b"Exif\0\0ABCD".to_vec(), exif(6)], &[])), 6, "no TIFF block");
        let cut = exif(6)[..6 + 15].to_vec();
        assert_eq!(orientation(&jpeg(&[cut, exif(3)], &[])), 3);
        assert_eq!(orientation(&jpeg(&[exif(0), exif(6)], &[])), 1, "no such number");
        assert_eq!(orientation(&jpeg(&[exif(9)], &[])), 1);
        let mut long = exif(6);
        long[6 + 12] = 4;
        assert_eq!(orientation(&jpeg(&[long], &[])), 6, "of another type");
        let behind_the_scan = [jpeg(&[], &[]), jpeg(&[exif(6)], &[])].concat();
        assert_eq!(orientation(&behind_the_scan), 1, "another picture's");
    }

    #[test]
    fn a_png_is_turned_by_its_first_whole_chunk_wherever_it_is() {
        let exif = |number| chunk(b"eXIf", &super::exif(number, false));
        assert_eq!(orientation(&png(&[], &[])), 1);
        assert_eq!(orientation(&png(&[exif(6)], &[])), 6);
        assert_eq!(orientation(&png(&[], &[exif(6)])), 6, "behind the pixels");
        assert_eq!(orientation(&png(&[exif(3)], &[exif(6)])), 3);
        assert_eq!(orientation(&png(&[chunk(b"eXIf", &exif_in_jpeg(6))], &[])), 1, "with a JPEG's prefix");
        let mut damaged = exif(6);
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(orientation(&png(&[damaged], &[])), 1, "with a wrong sum");
    }

    #[test]
    fn headers_that_end_early_are_told() {
        let file = jpeg(&[exif_in_jpeg(6)], &[]);
        for length in 3..file.len() - 8 {
            assert_eq!(Header::of_bytes(&file[..length]).unwrap_err(), JPEG_CUT, "{length}");
        }
        let file = png(&[], &[]);
        for length in 8..24 {
            assert_eq!(Header::of_bytes(&file[..length]).unwrap_err(), PNG_CUT, "{length}");
        }
        assert!(!Header::of_bytes(&file[..24]).unwrap().animated);
        assert!(Header::of_bytes(&png(&[chunk(b"acTL", &[0; 8])], &[])).unwrap().animated);
        assert_eq!(Header::of_bytes(b"").unwrap_err(), "the file is empty");
        assert!(Header::of_bytes(b"BM\x46\0\0\0").unwrap_err().contains("a BMP picture"));
    }

    #[test]
    fn damaged_blocks_change_nothing() {
        for little in [true, false] {
            let whole = exif(6, little);
            assert_eq!(exif_orientation(&whole), Some(6));
            for length in 0..20 {
                assert_eq!(exif_orientation(&whole[..length]), None, "{length} bytes");
            }
            let mut wild = whole;
            wild[4..8].fill(0xff);
            assert_eq!(exif_orientation(&wild), None);
        }
    }
}
