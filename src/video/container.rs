//! What the container says of its tracks, read by symphonia: an account that ffprobe's is held against.
//!
//! Symphonia reads MP4/MOV and Matroska/WebM. Of MP4 it gives decode times only (composition offsets
//! and edit lists are not read), so times never come from here. Must not know ffmpeg.

use std::fs::File;
use std::path::Path;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::video::well_known as known;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatReader, Track, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream};

/// What symphonia makes of a container.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Container {
    /// `isomp4` or `matroska`.
    pub name: String,
    /// The video codec, by ffmpeg's name for it, where both know it.
    pub codec: Option<&'static str>,
    /// Width and height as stored, before rotation.
    pub size: Option<(usize, usize)>,
    pub duration_secs: Option<f64>,
    pub has_audio: bool,
}

/// Reads the header of `path`; `None` where symphonia has no reader for the container.
pub(super) fn read(path: &Path) -> Option<Container> {
    read_from(File::open(path).ok()?)
}

/// As [`read`], of what is opened already.
pub(super) fn read_from(source: impl MediaSource + 'static) -> Option<Container> {
    let reader = open(source)?;
    let track = reader.first_track(TrackType::Video)?;
    let (codec, size) = match &track.codec_params {
        Some(CodecParameters::Video(video)) => {
            let size = video.width.zip(video.height).map(|(w, h)| (usize::from(w), usize::from(h)));
            (name_of(video.codec), size)
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

/// Counts the video packets by reading the file through; ends early where the data end.
pub(super) fn count_packets(path: &Path) -> Option<usize> {
    count_packets_from(File::open(path).ok()?)
}

/// As [`count_packets`], of what is opened already.
pub(super) fn count_packets_from(source: impl MediaSource + 'static) -> Option<usize> {
    let mut reader = open(source)?;
    let id = reader.first_track(TrackType::Video)?.id;
    let mut packets = 0;
    while let Ok(Some(packet)) = reader.next_packet() {
        packets += usize::from(packet.track_id == id);
    }
    Some(packets)
}

pub(super) fn open(source: impl MediaSource + 'static) -> Option<Box<dyn FormatReader>> {
    let stream = MediaSourceStream::new(Box::new(source), Default::default());
    symphonia::default::get_probe().probe(&Hint::new(), stream, Default::default(), Default::default()).ok()
}

fn duration_secs(track: &Track) -> Option<f64> {
    let base = track.time_base?;
    let ticks = track.duration?.get();
    Some(ticks as f64 * f64::from(base.numer.get()) / f64::from(base.denom.get()))
}

/// ffmpeg's name of a codec, where both know it.
pub(super) fn name_of(codec: symphonia::core::codecs::video::VideoCodecId) -> Option<&'static str> {
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
