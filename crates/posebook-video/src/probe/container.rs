//! Reads a container's header with symphonia, for comparison with ffprobe's result.
//!
//! Symphonia supports MP4/MOV and Matroska/WebM. For MP4 it gives decode timestamps only (composition offsets and edit lists
//! are not read), so timestamps never come from here. Does not depend on ffmpeg.
//!
//! It finds what ffprobe as called here does not report: an MP4 with its header in front that was cut between two packets.
//! ffprobe lists fewer packets than declared without an error, as it does for an edit list.

use std::fs::File;
use std::path::Path;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::video::well_known as known;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatReader, Track, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream};

use crate::error::MAX_FRAMES;

/// Most packets of all tracks that are counted: those of the most frames, and as many of other tracks.
const MAX_PACKETS: usize = 2 * MAX_FRAMES;

/// A container's header as symphonia reads it.
#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    /// `isomp4` or `matroska`.
    pub name: String,
    /// ffmpeg's name of the video codec, where both know it.
    pub codec: Option<&'static str>,
    /// Width and height as stored, before rotation.
    pub size: Option<(usize, usize)>,
    pub duration_secs: Option<f64>,
    /// Whether there is an audio track.
    pub has_audio: bool,
}

/// Reads the header of the file at `path`; `None` where symphonia does not support the container.
pub fn read_file(path: &Path) -> Option<Container> {
    read_source(File::open(path).ok()?)
}

/// As [`read_file`] for an open source.
pub fn read_source(source: impl MediaSource + 'static) -> Option<Container> {
    let reader = open(source)?;
    let track = reader.first_track(TrackType::Video)?;
    let (codec, size) = match &track.codec_params {
        Some(CodecParameters::Video(video)) => {
            let size = video.width.zip(video.height).map(|(w, h)| (usize::from(w), usize::from(h)));
            (codec_name(video.codec), size)
        }
        _ => (None, None),
    };
    Some(Container {
        name: reader.format_info().short_name.to_string(),
        codec,
        size,
        duration_secs: duration_secs(track),
        has_audio: reader.first_track(TrackType::Audio).is_some(),
    })
}

/// Counts the packets of the first video track up to `most` by reading the file; ends early where the data end. `None` also
/// where there are more than [`MAX_PACKETS`] of all tracks before that: a crafted table can repeat the same bytes.
pub fn count_packets(path: &Path, most: usize) -> Option<usize> {
    count_packets_in_source(File::open(path).ok()?, most)
}

/// As [`count_packets`] for an open source.
pub fn count_packets_in_source(source: impl MediaSource + 'static, most: usize) -> Option<usize> {
    let mut reader = open(source)?;
    let id = reader.first_track(TrackType::Video)?.id;
    let (mut packets, mut of_all_tracks) = (0, 0);
    while packets < most {
        let Ok(Some(packet)) = reader.next_packet() else { break };
        packets += usize::from(packet.track_id == id);
        of_all_tracks += 1;
        if of_all_tracks > MAX_PACKETS {
            return None;
        }
    }
    Some(packets)
}

/// A reader of the container; `None` where symphonia does not support it.
fn open(source: impl MediaSource + 'static) -> Option<Box<dyn FormatReader>> {
    let stream = MediaSourceStream::new(Box::new(source), Default::default());
    symphonia::default::get_probe().probe(&Hint::new(), stream, Default::default(), Default::default()).ok()
}

fn duration_secs(track: &Track) -> Option<f64> {
    let base = track.time_base?;
    let ticks = track.duration?.get();
    Some(ticks as f64 * f64::from(base.numer.get()) / f64::from(base.denom.get()))
}

/// ffmpeg's name of a symphonia codec; `None` where ffmpeg's name is not known here.
fn codec_name(codec: symphonia::core::codecs::video::VideoCodecId) -> Option<&'static str> {
    let names = [
        (known::CODEC_ID_H264, "h264"),
        (known::CODEC_ID_HEVC, "hevc"),
        (known::CODEC_ID_VP8, "vp8"),
        (known::CODEC_ID_VP9, "vp9"),
        (known::CODEC_ID_AV1, "av1"),
        (known::CODEC_ID_MPEG4, "mpeg4"),
        (known::CODEC_ID_MPEG2, "mpeg2video"),
        (known::CODEC_ID_MJPEG, "mjpeg"),
    ];
    names.into_iter().find(|(id, _)| *id == codec).map(|(_, name)| name)
}
