//! Reads the header of an image file without decoding it: JPEG or PNG, size, and EXIF orientation.
//!
//! The format is recognized by the first bytes, not by the name. The orientation is found as OpenCV finds it: in a JPEG in
//! the first EXIF block with one, before the first scan; in a PNG in the first intact `eXIf` chunk, before or after the
//! pixels.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Cursor, ErrorKind, Read, Seek};
use std::path::Path;

/// The longest `eXIf` chunk that is read, in bytes; in a JPEG EXIF has at most 64 KiB.
const MAX_EXIF_BYTES: u32 = 1 << 20;
/// EXIF tag of the orientation.
const ORIENTATION: u16 = 0x0112;
const JPEG_TRUNCATED: &str = "the JPEG is damaged or cut short";
const PNG_TRUNCATED: &str = "the PNG is damaged or cut short";

/// Supported image formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageFormat {
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
}

impl ImageFormat {
    /// Recognizes the format by a file's first bytes (twelve are enough).
    ///
    /// # Errors
    /// If it is neither JPEG nor PNG: what it is, where that is known, and what to do.
    pub fn detect(file: &[u8]) -> Result<ImageFormat, String> {
        match file {
            [] => Err("the file is empty".into()),
            [0xff, 0xd8, 0xff, ..] => Ok(ImageFormat::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Ok(ImageFormat::Png),
            _ => Err(unsupported_message(file)),
        }
    }
}

/// The message about a file that is neither JPEG nor PNG.
fn unsupported_message(file: &[u8]) -> String {
    let is = |offset: usize, bytes: &[u8]| file.get(offset..offset + bytes.len()) == Some(bytes);
    let kind = if is(0, b"GIF8") {
        "a GIF"
    } else if is(0, b"RIFF") && is(8, b"WEBP") {
        "a WebP image"
    } else if is(0, b"BM") {
        "a BMP image"
    } else if is(0, b"II*\0") || is(0, b"MM\0*") {
        "a TIFF image"
    } else if is(4, b"ftypavif") || is(4, b"ftypheic") || is(4, b"ftypmif1") || is(4, b"ftypheix") {
        "a HEIF or AVIF image"
    } else if is(4, b"ftyp") {
        "a video; use `posebook track` for videos"
    } else {
        return "this is not an image: neither JPEG nor PNG by its first bytes".into();
    };
    let hint =
        if kind.starts_with("a video") { "" } else { "; convert it: `ffmpeg -i FILE -frames:v 1 FILE.png`" };
    format!("this is {kind}; supported images are JPEG and PNG{hint}")
}

/// The header of an image file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageHeader {
    /// The file's format.
    pub format: ImageFormat,
    /// Pixels across as stored, before EXIF rotation.
    pub width: usize,
    /// Pixels down as stored, before EXIF rotation.
    pub height: usize,
    /// EXIF orientation, 1 to 8; 1 where the file has none.
    pub orientation: u16,
    /// Whether the file is an animation (PNG with an `acTL` chunk).
    pub animated: bool,
}

impl ImageHeader {
    /// Reads the header of the file at `path`.
    ///
    /// # Errors
    /// If the file cannot be read, is neither JPEG nor PNG, or ends before its size; the message does not have the path.
    pub fn read_file(path: &Path) -> Result<ImageHeader, String> {
        // reading from a pipe would block
        if !fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err("this is not a regular file; leave it out of the folder".into());
        }
        let file = File::open(path).map_err(unreadable)?;
        ImageHeader::read(&mut BufReader::new(file))
    }

    /// Reads the header of a file in memory.
    ///
    /// # Errors
    /// As [`ImageHeader::read_file`].
    pub fn from_bytes(file: &[u8]) -> Result<ImageHeader, String> {
        ImageHeader::read(&mut Cursor::new(file))
    }

    /// Width and height in pixels with the EXIF orientation applied.
    pub fn displayed_size(&self) -> (usize, usize) {
        if self.is_transposed() { (self.height, self.width) } else { (self.width, self.height) }
    }

    /// Whether the EXIF orientation exchanges width and height.
    pub fn is_transposed(&self) -> bool {
        (5..=8).contains(&self.orientation)
    }

    fn read(file: &mut (impl BufRead + Seek)) -> Result<ImageHeader, String> {
        let mut first = Vec::new();
        file.take(12).read_to_end(&mut first).map_err(unreadable)?;
        let format = ImageFormat::detect(&first)?;
        let (read, cut): (fn(&mut _) -> _, _) = match format {
            ImageFormat::Jpeg => (read_jpeg, JPEG_TRUNCATED),
            ImageFormat::Png => (read_png, PNG_TRUNCATED),
        };
        let signature_bytes = if format == ImageFormat::Jpeg { 2 } else { 8 };
        let found = file.seek_relative(signature_bytes - first.len() as i64).and_then(|()| read(file));
        let found = found.or_else(|error| match error.kind() {
            ErrorKind::UnexpectedEof => Ok(None),
            _ => Err(unreadable(error)),
        })?;
        let HeaderFields { size: (width, height), orientation, animated } = found.ok_or(cut)?;
        let orientation = orientation.filter(|value| (1..=8).contains(value)).unwrap_or(1);
        Ok(ImageHeader { format, width, height, orientation, animated })
    }
}

fn unreadable(error: std::io::Error) -> String {
    format!("cannot read the image: {error}")
}

/// Fields found in a file.
struct HeaderFields {
    /// Width and height as stored.
    size: (usize, usize),
    /// EXIF orientation as stored.
    orientation: Option<u16>,
    animated: bool,
}

/// Reads segments up to the first scan; `None` if no frame header precedes it.
fn read_jpeg(file: &mut (impl BufRead + Seek)) -> std::io::Result<Option<HeaderFields>> {
    let (mut size, mut orientation) = (None, None);
    loop {
        let kind = next_marker(file)?;
        match kind {
            // first scan or end of image
            0xd9 | 0xda => return Ok(size.map(|size| HeaderFields { size, orientation, animated: false })),
            // markers without a segment
            0x01 | 0xd0..=0xd8 => continue,
            _ => {}
        }
        let length = i64::from(u16::from_be_bytes(bytes(file)?)) - 2;
        let consumed = match kind {
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
        file.seek_relative(length - consumed)?;
    }
}

/// The code of the next marker; bytes before it are skipped.
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

/// Reads chunks up to the end, so that an `eXIf` chunk after the pixels is found; `None` if the first chunk is not `IHDR`.
fn read_png(file: &mut (impl BufRead + Seek)) -> std::io::Result<Option<HeaderFields>> {
    let (mut size, mut orientation, mut has_exif, mut animated) = (None, None, false, false);
    loop {
        let (length, kind) = match bytes::<8>(file) {
            Ok([a, b, c, d, kind @ ..]) => (u32::from_be_bytes([a, b, c, d]), kind),
            // the decoder reports missing data
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
            b"eXIf" if !has_exif && length <= MAX_EXIF_BYTES => {
                let mut block = vec![0; length as usize];
                file.read_exact(&mut block)?;
                let sum = u32::from_be_bytes(bytes(file)?);
                let mut expected = flate2::Crc::new();
                expected.update(&kind);
                expected.update(&block);
                has_exif = expected.sum() == sum && is_tiff(&block);
                orientation = exif_orientation(&block).filter(|_| has_exif);
                rest = 0;
            }
            _ => {}
        }
        file.seek_relative(rest)?;
    }
    Ok(size.map(|size| HeaderFields { size, orientation, animated }))
}

/// The next `N` bytes.
fn bytes<const N: usize>(file: &mut impl Read) -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes).map(|()| bytes)
}

/// Whether an EXIF block begins with a TIFF header.
fn is_tiff(exif: &[u8]) -> bool {
    exif.starts_with(b"II*\0") || exif.starts_with(b"MM\0*")
}

/// The orientation in an EXIF block that begins with its TIFF header. The declared type of the entry is ignored, as in OpenCV. `None` if there is none.
fn exif_orientation(exif: &[u8]) -> Option<u16> {
    if !is_tiff(exif) {
        return None;
    }
    let is_little_endian = exif[0] == b'I';
    let short = |offset: usize| -> Option<u16> {
        let bytes = exif.get(offset..offset.checked_add(2)?)?.try_into().ok()?;
        Some(if is_little_endian { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let long = |offset: usize| -> Option<usize> {
        let bytes = exif.get(offset..offset.checked_add(4)?)?.try_into().ok()?;
        Some(if is_little_endian { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) } as usize)
    };
    let directory = long(4)?;
    let entries = usize::from(short(directory)?);
    // 12 bytes each, after their number
    let mut offsets = (0..entries).map_while(|entry| directory.checked_add(2 + entry * 12));
    let entry = offsets.find(|&offset| short(offset) == Some(ORIENTATION))?;
    short(entry.checked_add(8)?)
}

/// An EXIF block with only an orientation.
#[cfg(test)]
pub fn exif(value: u16, little: bool) -> Vec<u8> {
    let short = |value: u16| if little { value.to_le_bytes() } else { value.to_be_bytes() };
    let long = |value: u32| if little { value.to_le_bytes() } else { value.to_be_bytes() };
    let mut block = if little { b"II*\0".to_vec() } else { b"MM\0*".to_vec() };
    block.extend(long(8));
    block.extend(short(1));
    block.extend([short(ORIENTATION), short(3)].concat());
    block.extend(long(1));
    block.extend([short(value), [0; 2]].concat());
    block.extend(long(0));
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A JPEG of 32x16 pixels up to its first scan, with EXIF segments before and after the frame header.
    fn jpeg(before: &[Vec<u8>], after: &[Vec<u8>]) -> Vec<u8> {
        let app1 = |data: &Vec<u8>| {
            [&[0xff, 0xe1][..], &(data.len() as u16 + 2).to_be_bytes(), data.as_slice()].concat()
        };
        let size = [0xff, 0xc0, 0, 11, 8, 0, 16, 0, 32, 1, 1, 0x11, 0];
        let mut file = vec![0xff, 0xd8];
        file.extend(before.iter().flat_map(app1));
        file.extend(size);
        file.extend(after.iter().flat_map(app1));
        file.extend([0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0]);
        file
    }

    fn exif_in_jpeg(value: u16) -> Vec<u8> {
        [b"Exif\0\0".to_vec(), exif(value, true)].concat()
    }

    fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let mut sum = flate2::Crc::new();
        sum.update(kind);
        sum.update(data);
        [&(data.len() as u32).to_be_bytes()[..], kind, data, &sum.sum().to_be_bytes()].concat()
    }

    fn png(before: &[Vec<u8>], after: &[Vec<u8>]) -> Vec<u8> {
        let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
        file.extend(chunk(b"IHDR", &[0, 0, 0, 32, 0, 0, 0, 16, 8, 2, 0, 0, 0]));
        file.extend(before.concat());
        file.extend(chunk(b"IDAT", &[1, 2, 3]));
        file.extend(after.concat());
        file.extend(chunk(b"IEND", &[]));
        file
    }

    fn orientation(file: &[u8]) -> u16 {
        let header = ImageHeader::from_bytes(file).unwrap();
        assert_eq!((header.width, header.height), (32, 16));
        let displayed = if header.orientation > 4 { (16, 32) } else { (32, 16) };
        assert_eq!(header.displayed_size(), displayed);
        header.orientation
    }

    // the expected values are those of OpenCV 5.0
    #[test]
    fn the_orientation_of_a_jpeg_is_its_first_before_the_scan() {
        let exif = exif_in_jpeg;
        assert_eq!(orientation(&jpeg(&[], &[])), 1);
        assert_eq!(orientation(&jpeg(&[exif(6)], &[])), 6);
        assert_eq!(orientation(&jpeg(&[], &[exif(6)])), 6, "after the frame header");
        assert_eq!(orientation(&jpeg(&[exif(3), exif(6)], &[])), 3);
        assert_eq!(orientation(&jpeg(&[b"http://ns.adobe.com/xap/1.0/\0".to_vec(), exif(6)], &[])), 6);
        assert_eq!(orientation(&jpeg(&[b"Exif\0\0ABCD".to_vec(), exif(6)], &[])), 6, "no TIFF block");
        let cut = exif(6)[..6 + 15].to_vec();
        assert_eq!(orientation(&jpeg(&[cut, exif(3)], &[])), 3);
        assert_eq!(orientation(&jpeg(&[exif(0), exif(6)], &[])), 1, "no such orientation");
        assert_eq!(orientation(&jpeg(&[exif(9)], &[])), 1);
        let mut long = exif(6);
        long[6 + 12] = 4;
        assert_eq!(orientation(&jpeg(&[long], &[])), 6, "of another type");
        let after_the_scan = [jpeg(&[], &[]), jpeg(&[exif(6)], &[])].concat();
        assert_eq!(orientation(&after_the_scan), 1, "another image's");
    }

    #[test]
    fn the_orientation_of_a_png_is_in_its_first_intact_chunk() {
        let exif_chunk = |value| chunk(b"eXIf", &exif(value, false));
        assert_eq!(orientation(&png(&[], &[])), 1);
        assert_eq!(orientation(&png(&[exif_chunk(6)], &[])), 6);
        assert_eq!(orientation(&png(&[], &[exif_chunk(6)])), 6, "after the pixels");
        assert_eq!(orientation(&png(&[exif_chunk(3)], &[exif_chunk(6)])), 3);
        assert_eq!(orientation(&png(&[chunk(b"eXIf", &exif_in_jpeg(6))], &[])), 1, "with a JPEG's prefix");
        let mut damaged = exif_chunk(6);
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(orientation(&png(&[damaged], &[])), 1, "with a wrong checksum");
    }

    #[test]
    fn truncated_headers_are_errors() {
        let file = jpeg(&[exif_in_jpeg(6)], &[]);
        for length in 3..file.len() - 8 {
            assert_eq!(ImageHeader::from_bytes(&file[..length]).unwrap_err(), JPEG_TRUNCATED, "{length}");
        }
        let file = png(&[], &[]);
        for length in 8..24 {
            assert_eq!(ImageHeader::from_bytes(&file[..length]).unwrap_err(), PNG_TRUNCATED, "{length}");
        }
        assert!(!ImageHeader::from_bytes(&file[..24]).unwrap().animated);
        assert!(ImageHeader::from_bytes(&png(&[chunk(b"acTL", &[0; 8])], &[])).unwrap().animated);
        assert_eq!(ImageHeader::from_bytes(b"").unwrap_err(), "the file is empty");
        assert!(ImageHeader::from_bytes(b"BM\x46\0\0\0").unwrap_err().contains("a BMP image"));
    }

    #[test]
    fn damaged_exif_blocks_have_no_orientation() {
        for little in [true, false] {
            let whole = exif(6, little);
            assert_eq!(exif_orientation(&whole), Some(6));
            for length in 0..20 {
                assert_eq!(exif_orientation(&whole[..length]), None, "{length} bytes");
            }
            let mut invalid = whole;
            invalid[4..8].fill(0xff);
            assert_eq!(exif_orientation(&invalid), None);
        }
    }
}
