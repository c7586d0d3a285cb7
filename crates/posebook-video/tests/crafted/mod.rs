//! Makes hostile files: takes a small valid file and changes fields, so that they state wrong sizes, rates or counts.

/// The bytes of an MP4 box: size, name, content.
fn mp4_box(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    [&(content.len() as u32 + 8).to_be_bytes()[..], name, content].concat()
}

/// The position and length of the first box at `path` (names from the outermost to the innermost) within `bytes`, with those
/// of the boxes around it.
fn find_boxes(bytes: &[u8], path: &[&[u8; 4]]) -> Vec<(usize, usize)> {
    let (mut at, mut end, mut found) = (0, bytes.len(), Vec::new());
    for (depth, name) in path.iter().enumerate() {
        let length = loop {
            assert!(at + 8 <= end, "no box {}", String::from_utf8_lossy(*name));
            let length = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
            if bytes[at + 4..at + 8] == **name {
                break length;
            }
            at += length;
        };
        found.push((at, length));
        (at, end) = (at + 8, at + length);
        assert!(depth < path.len());
    }
    found
}

/// `bytes` with another content of the box at `path`. The boxes around it get their new lengths. The data must precede the
/// box, as ffmpeg writes them by default, so that their positions stay.
pub fn with_box(bytes: &[u8], path: &[&[u8; 4]], content: &[u8]) -> Vec<u8> {
    let boxes = find_boxes(bytes, path);
    let &(at, length) = boxes.last().unwrap();
    let new = mp4_box(path[path.len() - 1], content);
    let mut result = [&bytes[..at], &new, &bytes[at + length..]].concat();
    for &(around, around_length) in &boxes[..boxes.len() - 1] {
        let total = (around_length + new.len() - length) as u32;
        result[around..around + 4].copy_from_slice(&total.to_be_bytes());
    }
    result
}

/// The content of the box at `path`.
pub fn content_of<'b>(bytes: &'b [u8], path: &[&[u8; 4]]) -> &'b [u8] {
    let &(at, length) = find_boxes(bytes, path).last().unwrap();
    &bytes[at + 8..at + length]
}

/// The boxes around the tables of an MP4's first track.
pub const TABLES: [&[u8; 4]; 5] = [b"moov", b"trak", b"mdia", b"minf", b"stbl"];

/// The path of a table of the first track.
pub fn table(name: &'static [u8; 4]) -> Vec<&'static [u8; 4]> {
    [&TABLES[..], &[name]].concat()
}

/// A reference to another file, as QuickTime writes it in a `dref` box (an alias record with a name and a full path).
pub fn alias(name: &str, path: &str) -> Vec<u8> {
    let mut record = vec![0; 10];
    // volume, then name of the file: a length and a fixed number of bytes each
    for (text, bytes) in [("disk", 27), (name, 63)] {
        record.push(text.len() as u8);
        record.extend(text.bytes().chain(std::iter::repeat(0)).take(bytes));
        record.extend(if bytes == 27 { vec![0; 12] } else { vec![0; 16] });
    }
    // levels from and to, flags
    record.extend([0, 1, 0, 1]);
    record.extend([0; 16]);
    for (kind, text) in [(2u16, path), (18, path)] {
        record.extend(kind.to_be_bytes());
        record.extend((text.len() as u16).to_be_bytes());
        record.extend(text.bytes());
        record.extend(vec![0; text.len() % 2]);
    }
    record.extend([0xff, 0xff, 0, 0]);
    // version and flags 0: the data are in another file
    let entry = mp4_box(b"alis", &[vec![0; 4], record].concat());
    [&[0, 0, 0, 0, 0, 0, 0, 1], entry.as_slice()].concat()
}

/// `bytes` with every occurrence of `from` replaced by `to`, of the same length.
///
/// # Panics
/// If there is none.
pub fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let (mut result, mut found) = (bytes.to_vec(), 0);
    for at in 0..=bytes.len() - from.len() {
        if bytes[at..].starts_with(from) {
            result[at..at + from.len()].copy_from_slice(to);
            found += 1;
        }
    }
    assert!(found > 0, "no {from:02x?}");
    result
}

/// A zlib stream of `mebibytes` MiB of zeros: about 1 KiB each, made without compressing all of them.
pub fn zlib_of_zeros(mebibytes: usize) -> Vec<u8> {
    let zeros = vec![0; 1 << 20];
    let mut block = Vec::with_capacity(1 << 14);
    // a block that does not refer to those before it can be repeated
    let mut compress = flate2::Compress::new(flate2::Compression::best(), false);
    compress.compress_vec(&zeros, &mut block, flate2::FlushCompress::Full).unwrap();
    let mut stream = vec![0x78, 0xda];
    (0..mebibytes).for_each(|_| stream.extend(&block));
    // the last block, empty, and the Adler-32 of zeros
    stream.extend([3, 0]);
    let sum = ((mebibytes << 20) % 65_521) as u32;
    stream.extend((sum << 16 | 1).to_be_bytes());
    stream
}

/// A chunk of a PNG.
pub fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut sum = flate2::Crc::new();
    sum.update(kind);
    sum.update(data);
    [&(data.len() as u32).to_be_bytes()[..], kind, data, &sum.sum().to_be_bytes()].concat()
}

/// A PNG with the given size, bits per sample, color type, further chunks, and compressed pixels.
pub fn png(size: (u32, u32), bits: u8, color: u8, chunks: &[Vec<u8>], pixels: &[u8]) -> Vec<u8> {
    let header = [&size.0.to_be_bytes()[..], &size.1.to_be_bytes(), &[bits, color, 0, 0, 0]].concat();
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    file.extend(chunk(b"IHDR", &header));
    file.extend(chunks.concat());
    file.extend(chunk(b"IDAT", pixels));
    file.extend(chunk(b"IEND", &[]));
    file
}
