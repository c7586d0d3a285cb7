//! Entry points for the fuzz targets in `fuzz/`: the parsers of untrusted bytes that start no program.

use std::io::Cursor;

use crate::error::MAX_FRAMES;
use crate::probe::container;
use crate::probe::listing::{FrameParser, PacketParser};
use crate::probe::stream_info::parse;

/// Parses ffprobe's JSON description of a file; whether it is valid.
pub fn stream_info(json: &[u8]) -> bool {
    parse(json, String::new()).is_ok()
}

/// Parses ffprobe's lines of packets and of frames; the number of frames found in each.
pub fn listing(lines: &[u8]) -> (usize, usize) {
    let text = String::from_utf8_lossy(lines);
    let (mut packets, mut frames) = (PacketParser::default(), FrameParser::default());
    for line in text.lines() {
        if packets.push_line(line).is_err() || frames.push_line(line).is_err() {
            break;
        }
    }
    (packets.finish(String::new()).frames.len(), frames.finish(String::new()).frames.len())
}

/// Parses a container with symphonia; whether it is valid, and the number of packets.
pub fn container(bytes: &[u8]) -> (bool, Option<usize>) {
    let source = || Cursor::new(bytes.to_vec());
    (container::read_source(source()).is_some(), container::count_packets_in_source(source(), MAX_FRAMES))
}

/// Decodes a JPEG of an extraction, 64 x 48 pixels; whether it is valid.
pub fn extracted_jpeg(bytes: &[u8]) -> bool {
    let mut rgb = vec![0; 64 * 48 * 3];
    crate::images::jpeg::decode_extracted(bytes, &mut rgb).is_ok()
}

/// Decodes an image of any supported kind; whether it is valid.
pub fn still_image(bytes: &[u8]) -> bool {
    crate::images::still::decode(bytes).is_ok()
}
