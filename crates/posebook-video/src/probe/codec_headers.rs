//! Whether the codec headers of a track state the same color properties and layout from start to end.
//!
//! H.264 and HEVC have sequence parameter sets, AV1 sequence headers and VP9 key-frame headers, in the container's header
//! and in the packets. In a file concatenated without re-encoding they may differ from part to part. All packets are read,
//! none is decoded. What cannot be parsed counts as changing. Does not depend on ffmpeg.

use std::fs::File;
use std::path::Path;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::video::VideoCodecParameters;
use symphonia::core::formats::TrackType;
use symphonia::core::io::MediaSource;

use super::container::{codec_name, open};

/// Whether the first video track of `path` has the given codec (ffmpeg's name), size (width, height) and at least `frames`
/// packets, and all its headers are equal.
pub fn are_constant(path: &Path, codec: &str, size: (usize, usize), frames: usize) -> bool {
    File::open(path).is_ok_and(|file| are_constant_in_source(file, codec, size, frames).unwrap_or(false))
}

/// As [`are_constant`] for an open source; `None` where headers cannot be parsed.
fn are_constant_in_source(
    source: impl MediaSource + 'static,
    codec: &str,
    (width, height): (usize, usize),
    frames: usize,
) -> Option<bool> {
    let mut reader = open(source)?;
    let track = reader.first_track(TrackType::Video)?;
    let id = track.id;
    let Some(CodecParameters::Video(video)) = &track.codec_params else { return None };
    let same_size =
        video.width.map(usize::from) == Some(width) && video.height.map(usize::from) == Some(height);
    // symphonia does not report the codec of AV1 and VP9 in MP4
    if codec_name(video.codec).is_some_and(|name| name != codec) || !same_size {
        return None;
    }
    let mut headers = Headers::from_container(codec, video)?;
    let mut packets = 0;
    while let Some(packet) = reader.next_packet().ok()? {
        if packet.track_id == id {
            packets += 1;
            headers.read_packet(&packet.data)?;
            if headers.has_changed {
                return Some(false);
            }
        }
    }
    Some(packets >= frames && headers.first.is_some())
}

/// Collects the headers of a track.
struct Headers {
    syntax: Syntax,
    /// The first header.
    first: Option<Vec<u8>>,
    /// Whether a later header differed from the first.
    has_changed: bool,
}

/// How packets are divided into units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Syntax {
    /// NAL units, each after its length in `length_bytes` bytes.
    H264 { length_bytes: usize },
    /// NAL units, each after its length in `length_bytes` bytes.
    Hevc { length_bytes: usize },
    /// Frames or superframes.
    Vp9,
    /// Open bitstream units.
    Av1,
}

impl Headers {
    /// Starts with the headers in the container's header; `None` for other codecs and where that cannot be parsed.
    fn from_container(codec: &str, video: &VideoCodecParameters) -> Option<Headers> {
        let record = video.extra_data.first().map_or(&[][..], |extra| &extra.data[..]);
        let syntax = match codec {
            "h264" => Syntax::H264 { length_bytes: usize::from(record.get(4)? & 3) + 1 },
            "hevc" => Syntax::Hevc { length_bytes: usize::from(record.get(21)? & 3) + 1 },
            "vp9" => Syntax::Vp9,
            "av1" => Syntax::Av1,
            _ => return None,
        };
        let mut headers = Headers { syntax, first: None, has_changed: false };
        match syntax {
            Syntax::H264 { .. } => headers.read_avc_record(record)?,
            Syntax::Hevc { .. } => headers.read_hevc_record(record)?,
            // the packets repeat what the record says
            Syntax::Vp9 | Syntax::Av1 => (),
        }
        Some(headers)
    }

    /// The parameter sets of an `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15, 5.3.3.1.2).
    fn read_avc_record(&mut self, record: &[u8]) -> Option<()> {
        let (&count, mut rest) = record.get(5..)?.split_first()?;
        for _ in 0..count & 0x1f {
            self.read_nal_unit(split_length_prefixed(&mut rest, 2)?);
        }
        Some(())
    }

    /// The parameter sets of an `HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15, 8.3.3.1.2).
    fn read_hevc_record(&mut self, record: &[u8]) -> Option<()> {
        let (&arrays, mut rest) = record.get(22..)?.split_first()?;
        for _ in 0..arrays {
            let [_, high, low, units @ ..] = rest else { return None };
            rest = units;
            for _ in 0..u16::from_be_bytes([*high, *low]) {
                self.read_nal_unit(split_length_prefixed(&mut rest, 2)?);
            }
        }
        Some(())
    }

    /// Reads the headers in a packet; `None` where it cannot be divided into units.
    fn read_packet(&mut self, packet: &[u8]) -> Option<()> {
        match self.syntax {
            Syntax::H264 { length_bytes } | Syntax::Hevc { length_bytes } => {
                let mut rest = packet;
                while !rest.is_empty() {
                    self.read_nal_unit(split_length_prefixed(&mut rest, length_bytes)?);
                }
            }
            Syntax::Vp9 => {
                vp9_frames(packet)?.into_iter().try_for_each(|frame| self.read_vp9_frame(frame))?
            }
            Syntax::Av1 => self.read_av1_units(packet)?,
        }
        Some(())
    }

    /// A NAL unit of H.264 or HEVC.
    fn read_nal_unit(&mut self, unit: &[u8]) {
        let is_parameter_set = match (self.syntax, unit.first()) {
            (Syntax::H264 { .. }, Some(first)) => first & 0x1f == 7,
            (Syntax::Hevc { .. }, Some(first)) => (first >> 1) & 0x3f == 33,
            _ => false,
        };
        if is_parameter_set {
            self.note_header(unit);
        }
    }

    /// A frame of VP9 (its uncompressed header, 6.2 of the specification).
    fn read_vp9_frame(&mut self, frame: &[u8]) -> Option<()> {
        let mut bits = BitReader { bytes: frame, position: 0 };
        if bits.read(2)? != 2 {
            return None;
        }
        let profile = bits.read(1)? + 2 * bits.read(1)?;
        if profile == 3 {
            bits.read(1)?;
        }
        if bits.read(1)? == 1 {
            // shows an earlier frame again
            return Some(());
        }
        let (is_inter, is_shown) = (bits.read(1)? == 1, bits.read(1)? == 1);
        let _is_resilient = bits.read(1)?;
        if is_inter {
            // an intra-only frame may state other color properties than a key frame
            self.has_changed |= !is_shown && bits.read(1)? == 1;
            return Some(());
        }
        if bits.read(24)? != 0x49_8342 {
            return None;
        }
        let depth = if profile >= 2 { bits.read(1)? } else { 0 };
        let (space, range) = (bits.read(3)?, bits.read(1)?);
        self.note_header(&[profile as u8, depth as u8, space as u8, range as u8]);
        Some(())
    }

    /// The units of an AV1 packet (5.3 of the specification).
    fn read_av1_units(&mut self, packet: &[u8]) -> Option<()> {
        let mut rest = packet;
        while let Some((&first, after)) = rest.split_first() {
            rest = if first & 4 > 0 { after.get(1..)? } else { after };
            let mut length = rest.len();
            if first & 2 > 0 {
                // LEB128, at most eight bytes
                let mut number = 0u64;
                for index in 0..8 {
                    let (&byte, after) = rest.split_first()?;
                    rest = after;
                    number |= u64::from(byte & 0x7f) << (7 * index);
                    if byte & 0x80 == 0 {
                        break;
                    }
                }
                length = usize::try_from(number).ok()?;
            }
            let (unit, after) = rest.split_at_checked(length)?;
            rest = after;
            if (first >> 3) & 0xf == 1 {
                self.note_header(unit);
            }
        }
        Some(())
    }

    /// Compares a header with the first one.
    fn note_header(&mut self, header: &[u8]) {
        match &self.first {
            Some(first) => self.has_changed |= first != header,
            None => self.first = Some(header.to_vec()),
        }
    }
}

/// Splits off the front of `rest` a part that follows its length, a big-endian number of `length_bytes` bytes.
fn split_length_prefixed<'a>(rest: &mut &'a [u8], length_bytes: usize) -> Option<&'a [u8]> {
    let (length, after) = rest.split_at_checked(length_bytes)?;
    let length = length.iter().fold(0, |length, &byte| (length << 8) | usize::from(byte));
    let (part, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(part)
}

/// The frames in a packet of VP9: one, or those that an index at the packet's end lists (Annex B of the specification).
fn vp9_frames(packet: &[u8]) -> Option<Vec<&[u8]>> {
    let &marker = packet.last()?;
    let (frames, size_bytes) = (usize::from(marker & 7) + 1, usize::from((marker >> 3) & 3) + 1);
    let index = packet.len().checked_sub(2 + frames * size_bytes);
    let Some(index) = index.filter(|&index| marker >> 5 == 6 && packet[index] == marker) else {
        return Some(vec![packet]);
    };
    let mut rest = packet;
    let sizes = packet[index + 1..packet.len() - 1].chunks_exact(size_bytes);
    let mut found = Vec::with_capacity(frames);
    for size in sizes {
        let size = size.iter().rev().fold(0, |size, &byte| (size << 8) | usize::from(byte));
        let (frame, after) = rest.split_at_checked(size)?;
        rest = after;
        // a frame of size 0 was dropped by the encoder
        found.extend((!frame.is_empty()).then_some(frame));
    }
    Some(found)
}

/// Reads bits, most significant first.
struct BitReader<'a> {
    bytes: &'a [u8],
    /// In bits.
    position: usize,
}

impl BitReader<'_> {
    fn read(&mut self, count: usize) -> Option<u32> {
        (0..count).try_fold(0, |number, _| {
            let bit = (self.bytes.get(self.position / 8)? >> (7 - self.position % 8)) & 1;
            self.position += 1;
            Some((number << 1) | u32::from(bit))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Cursor;

    use super::*;
    use crate::tests::clips::{clip, ffmpeg};

    fn constant(bytes: Vec<u8>, codec: &str) -> Option<bool> {
        are_constant_in_source(Cursor::new(bytes), codec, (64, 64), 1)
    }

    #[test]
    fn repeated_headers_are_constant_and_different_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let source = "-f lavfi -i testsrc2=size=64x64:rate=25 -frames:v 8 -pix_fmt yuv420p";
        // `info=0`: x265's list of options makes a record longer than the 1 KiB that symphonia reads
        let x265 =
            "-c:v libx265 -preset ultrafast -x265-params log-level=none:info=0:repeat-headers=1:keyint=4";
        for (codec, encoder, containers) in [
            ("h264", "-c:v libx264 -g 4".to_string(), ["mp4", "mkv"]),
            ("hevc", x265.to_string(), ["mp4", "mkv"]),
            ("vp9", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 4".into(), ["mp4", "webm"]),
            ("av1", "-c:v libsvtav1 -preset 12 -g 4".into(), ["mp4", "mkv"]),
        ] {
            if codec == "av1" && !clip("av1.mp4").has_encoders() {
                continue;
            }
            for container in containers {
                let path = |name: &str| format!("{codec}-{name}.{container}");
                for (name, matrix) in [("a", "bt709"), ("b", "smpte170m")] {
                    ffmpeg(folder.path(), &format!("{source} {encoder} -colorspace {matrix} {}", path(name)));
                    let bytes = fs::read(folder.path().join(path(name))).unwrap();
                    assert_eq!(constant(bytes.clone(), codec), Some(true), "{codec} in {container}");
                    assert_eq!(constant(bytes, "mpeg4"), None, "{codec} in {container}");
                }
                let list = format!("file {}\nfile {}\n", path("a"), path("b"));
                fs::write(folder.path().join("list.txt"), list).unwrap();
                ffmpeg(folder.path(), &format!("-f concat -i list.txt -c copy {}", path("both")));
                let bytes = fs::read(folder.path().join(path("both"))).unwrap();
                assert_eq!(constant(bytes, codec), Some(false), "{codec} in {container}");
            }
        }
    }

    #[test]
    fn packets_that_cannot_be_divided_into_units_are_rejected() {
        let headers = |syntax| Headers { syntax, first: None, has_changed: false };
        let four = Syntax::H264 { length_bytes: 4 };
        assert_eq!(headers(four).read_packet(&[0, 0, 0, 2, 0x67, 1]), Some(()));
        assert_eq!(headers(four).read_packet(&[0, 0, 0, 3, 0x67, 1]), None);
        assert_eq!(headers(four).read_packet(&[0, 0]), None);
        assert_eq!(headers(Syntax::Vp9).read_packet(&[]), None);
        assert_eq!(headers(Syntax::Vp9).read_packet(&[0]), None);
        assert_eq!(headers(Syntax::Av1).read_packet(&[0x0a, 5, 1]), None);
        let mut twice = headers(four);
        twice.read_packet(&[0, 0, 0, 2, 0x67, 1, 0, 0, 0, 2, 0x67, 1]).unwrap();
        assert!(!twice.has_changed);
        twice.read_packet(&[0, 0, 0, 2, 0x67, 2]).unwrap();
        assert!(twice.has_changed);
    }

    #[test]
    fn frames_of_a_superframe_are_found_by_its_index() {
        // two frames of two bytes and of one, sizes in one byte each
        let packet = [10, 11, 12, 0xc1, 2, 1, 0xc1];
        assert_eq!(vp9_frames(&packet).unwrap(), [&[10, 11][..], &[12][..]]);
        assert_eq!(vp9_frames(&[10, 11]).unwrap(), [&[10, 11][..]]);
        assert!(vp9_frames(&[0xc1, 9, 9, 0xc1]).is_none());
    }
}
