//! Whether a track's decoder is told the same of colors and layout all along, by the headers inside its packets.
//!
//! H.264 and HEVC carry sequence parameter sets, AV1 sequence headers and VP9 key frames of their own, in the container's
//! header and among the packets. Where clips were joined without decoding, those of the second say otherwise than those of
//! the first. All packets are read, none is decoded. What cannot be followed counts as changing. Must not know ffmpeg.

use std::fs::File;
use std::path::Path;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::video::VideoCodecParameters;
use symphonia::core::formats::TrackType;
use symphonia::core::io::MediaSource;

use super::container::{name_of, open};

/// Whether the first video track of `path` is one of `codec` (ffmpeg's name), `size` and at least `frames` packets, whose
/// headers all say the same.
pub(super) fn are_constant(path: &Path, codec: &str, size: (usize, usize), frames: usize) -> bool {
    File::open(path).is_ok_and(|file| are_constant_in(file, codec, size, frames).unwrap_or(false))
}

/// As [`are_constant`], of what is opened already; `None` where headers cannot be followed.
fn are_constant_in(
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
    // of MP4's AV1 and VP9 symphonia does not tell the codec
    if name_of(video.codec).is_some_and(|name| name != codec) || !same_size {
        return None;
    }
    let mut headers = Headers::of(codec, video)?;
    let mut packets = 0;
    while let Some(packet) = reader.next_packet().ok()? {
        if packet.track_id == id {
            packets += 1;
            headers.take(&packet.data)?;
            if headers.change {
                return Some(false);
            }
        }
    }
    Some(packets >= frames && headers.first.is_some())
}

/// Headers as packets bring them.
struct Headers {
    syntax: Syntax,
    /// The first header that was seen.
    first: Option<Vec<u8>>,
    change: bool,
}

/// How packets are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Syntax {
    /// Units that begin with their length, a number of so many bytes.
    H264 {
        length_bytes: usize,
    },
    Hevc {
        length_bytes: usize,
    },
    Vp9,
    Av1,
}

impl Headers {
    /// Those of the container's header; `None` for other codecs and where that cannot be read.
    fn of(codec: &str, video: &VideoCodecParameters) -> Option<Headers> {
        let record = video.extra_data.first().map_or(&[][..], |extra| &extra.data[..]);
        let syntax = match codec {
            "h264" => Syntax::H264 { length_bytes: usize::from(record.get(4)? & 3) + 1 },
            "hevc" => Syntax::Hevc { length_bytes: usize::from(record.get(21)? & 3) + 1 },
            "vp9" => Syntax::Vp9,
            "av1" => Syntax::Av1,
            _ => return None,
        };
        let mut headers = Headers { syntax, first: None, change: false };
        match syntax {
            Syntax::H264 { .. } => headers.take_avc_record(record)?,
            Syntax::Hevc { .. } => headers.take_hevc_record(record)?,
            // the rest of the record repeats what the packets say
            Syntax::Vp9 | Syntax::Av1 => (),
        }
        Some(headers)
    }

    /// The parameter sets of an `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15, 5.3.3.1.2).
    fn take_avc_record(&mut self, record: &[u8]) -> Option<()> {
        let (&count, mut rest) = record.get(5..)?.split_first()?;
        for _ in 0..count & 0x1f {
            self.take_unit(part(&mut rest, 2)?);
        }
        Some(())
    }

    /// The parameter sets of an `HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15, 8.3.3.1.2).
    fn take_hevc_record(&mut self, record: &[u8]) -> Option<()> {
        let (&arrays, mut rest) = record.get(22..)?.split_first()?;
        for _ in 0..arrays {
            let [_, high, low, units @ ..] = rest else { return None };
            rest = units;
            for _ in 0..u16::from_be_bytes([*high, *low]) {
                self.take_unit(part(&mut rest, 2)?);
            }
        }
        Some(())
    }

    /// The headers in a packet; `None` where it is not divided as it should be.
    fn take(&mut self, packet: &[u8]) -> Option<()> {
        match self.syntax {
            Syntax::H264 { length_bytes } | Syntax::Hevc { length_bytes } => {
                let mut rest = packet;
                while !rest.is_empty() {
                    self.take_unit(part(&mut rest, length_bytes)?);
                }
            }
            Syntax::Vp9 => {
                vp9_frames(packet)?.into_iter().try_for_each(|frame| self.take_vp9_frame(frame))?
            }
            Syntax::Av1 => self.take_av1_units(packet)?,
        }
        Some(())
    }

    /// A unit of H.264 or HEVC.
    fn take_unit(&mut self, unit: &[u8]) {
        let is_parameter_set = match (self.syntax, unit.first()) {
            (Syntax::H264 { .. }, Some(first)) => first & 0x1f == 7,
            (Syntax::Hevc { .. }, Some(first)) => (first >> 1) & 0x3f == 33,
            _ => false,
        };
        if is_parameter_set {
            self.take_header(unit);
        }
    }

    /// A frame of VP9 (its uncompressed header, 6.2 of the specification).
    fn take_vp9_frame(&mut self, frame: &[u8]) -> Option<()> {
        let mut bits = Bits { bytes: frame, at: 0 };
        if bits.take(2)? != 2 {
            return None;
        }
        let profile = bits.take(1)? + 2 * bits.take(1)?;
        if profile == 3 {
            bits.take(1)?;
        }
        if bits.take(1)? == 1 {
            // shows a frame again that was decoded before
            return Some(());
        }
        let (is_inter, is_shown) = (bits.take(1)? == 1, bits.take(1)? == 1);
        let _is_resilient = bits.take(1)?;
        if is_inter {
            // an intra-only frame says other things of its colors than a key frame
            self.change |= !is_shown && bits.take(1)? == 1;
            return Some(());
        }
        if bits.take(24)? != 0x49_8342 {
            return None;
        }
        let depth = if profile >= 2 { bits.take(1)? } else { 0 };
        let (space, range) = (bits.take(3)?, bits.take(1)?);
        self.take_header(&[profile as u8, depth as u8, space as u8, range as u8]);
        Some(())
    }

    /// The units of an AV1 packet (5.3 of the specification).
    fn take_av1_units(&mut self, packet: &[u8]) -> Option<()> {
        let mut rest = packet;
        while let Some((&first, after)) = rest.split_first() {
            rest = if first & 4 > 0 { after.get(1..)? } else { after };
            let mut length = rest.len();
            if first & 2 > 0 {
                length = 0;
                for place in 0..8 {
                    let (&byte, after) = rest.split_first()?;
                    rest = after;
                    length |= usize::from(byte & 0x7f) << (7 * place);
                    if byte & 0x80 == 0 {
                        break;
                    }
                }
            }
            let (unit, after) = rest.split_at_checked(length)?;
            rest = after;
            if (first >> 3) & 0xf == 1 {
                self.take_header(unit);
            }
        }
        Some(())
    }

    fn take_header(&mut self, header: &[u8]) {
        match &self.first {
            Some(first) => self.change |= first != header,
            None => self.first = Some(header.to_vec()),
        }
    }
}

/// Takes a part off `rest` that begins with its length, a number of `length_bytes`.
fn part<'a>(rest: &mut &'a [u8], length_bytes: usize) -> Option<&'a [u8]> {
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
        // a frame of no bytes stands for one that is left out
        found.extend((!frame.is_empty()).then_some(frame));
    }
    Some(found)
}

/// Bits of bytes, the highest first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Option<u32> {
        (0..count).try_fold(0, |number, _| {
            let bit = (self.bytes.get(self.at / 8)? >> (7 - self.at % 8)) & 1;
            self.at += 1;
            Some((number << 1) | u32::from(bit))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Cursor;

    use super::super::clips::{clip, ffmpeg};
    use super::*;

    fn constant(bytes: Vec<u8>, codec: &str) -> Option<bool> {
        are_constant_in(Cursor::new(bytes), codec, (64, 64), 1)
    }

    #[test]
    fn headers_that_repeat_are_constant_and_others_change() {
        let folder = tempfile::tempdir().unwrap();
        let source = "-f lavfi -i testsrc2=size=64x64:rate=25 -frames:v 8 -pix_fmt yuv420p";
        // `info=0`: x265's list of its options makes a record longer than the 1 KiB that symphonia reads
        let x265 =
            "-c:v libx265 -preset ultrafast -x265-params log-level=none:info=0:repeat-headers=1:keyint=4";
        for (codec, encoder, containers) in [
            ("h264", "-c:v libx264 -g 4".to_string(), ["mp4", "mkv"]),
            ("hevc", x265.to_string(), ["mp4", "mkv"]),
            ("vp9", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 4".into(), ["mp4", "webm"]),
            ("av1", "-c:v libsvtav1 -preset 12 -g 4".into(), ["mp4", "mkv"]),
        ] {
            if codec == "av1" && !clip("av1.mp4").can_be_made() {
                continue;
            }
            for container in containers {
                let part = |name: &str| format!("{codec}-{name}.{container}");
                for (name, matrix) in [("a", "bt709"), ("b", "smpte170m")] {
                    ffmpeg(folder.path(), &format!("{source} {encoder} -colorspace {matrix} {}", part(name)));
                    let bytes = fs::read(folder.path().join(part(name))).unwrap();
                    assert_eq!(constant(bytes.clone(), codec), Some(true), "{codec} in {container}");
                    assert_eq!(constant(bytes, "mpeg4"), None, "{codec} in {container}");
                }
                let list = format!("file {}\nfile {}\n", part("a"), part("b"));
                fs::write(folder.path().join("list.txt"), list).unwrap();
                ffmpeg(folder.path(), &format!("-f concat -i list.txt -c copy {}", part("both")));
                let bytes = fs::read(folder.path().join(part("both"))).unwrap();
                assert_eq!(constant(bytes, codec), Some(false), "{codec} in {container}");
            }
        }
    }

    #[test]
    fn packets_that_are_not_divided_as_they_should_be_are_not_followed() {
        let headers = |syntax| Headers { syntax, first: None, change: false };
        let four = Syntax::H264 { length_bytes: 4 };
        assert_eq!(headers(four).take(&[0, 0, 0, 2, 0x67, 1]), Some(()));
        assert_eq!(headers(four).take(&[0, 0, 0, 3, 0x67, 1]), None);
        assert_eq!(headers(four).take(&[0, 0]), None);
        assert_eq!(headers(Syntax::Vp9).take(&[]), None);
        assert_eq!(headers(Syntax::Vp9).take(&[0]), None);
        assert_eq!(headers(Syntax::Av1).take(&[0x0a, 5, 1]), None);
        let mut twice = headers(four);
        twice.take(&[0, 0, 0, 2, 0x67, 1, 0, 0, 0, 2, 0x67, 1]).unwrap();
        assert!(!twice.change);
        twice.take(&[0, 0, 0, 2, 0x67, 2]).unwrap();
        assert!(twice.change);
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
