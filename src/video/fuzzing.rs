//! What reads other people's bytes without starting a program, for the fuzz targets in `fuzz/` and for
//! nobody else.

use std::io::Cursor;

use super::container;
use super::facts::facts_of;
use super::listing::{FrameList, PacketList};

/// ffprobe's account of a file.
pub fn facts(answer: &[u8]) -> bool {
    facts_of(answer, String::new()).is_ok()
}

/// ffprobe's list of packets, and its list of frames: how many there are.
pub fn listing(lines: &[u8]) -> (usize, usize) {
    let text = String::from_utf8_lossy(lines);
    let (mut packets, mut frames) = (PacketList::default(), FrameList::default());
    for line in text.lines() {
        if packets.take(line).is_err() || frames.take(line).is_err() {
            break;
        }
    }
    (packets.finish(String::new()).packed.len(), frames.finish(String::new()).packed.len())
}

/// A container as symphonia reads it: whether it does, and how many packets it counts.
pub fn container(bytes: &[u8]) -> (bool, Option<usize>) {
    let source = || Cursor::new(bytes.to_vec());
    (container::read_from(source()).is_some(), container::count_packets_from(source()))
}

/// A picture of an extraction.
pub fn picture(bytes: &[u8]) -> bool {
    let mut rgb = vec![0; 64 * 48 * 3];
    super::jpeg::decode(bytes, &mut rgb).is_ok()
}

/// A picture of any kind: whether it can be read.
pub fn still(bytes: &[u8]) -> bool {
    super::still::decode(bytes).is_ok()
}
