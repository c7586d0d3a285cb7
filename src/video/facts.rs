//! What ffprobe says of a video's tracks.
//!
//! Must not know what the facts are used for.

use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use super::child::{Complaints, ffprobe, start_ffprobe};
use super::error::Fault;
use super::listing::end;
use crate::ffmpeg::{input, refused};

/// The facts of the first video track that is no cover picture.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Facts {
    pub container: String,
    pub codec: String,
    /// As stored, before rotation.
    pub width: usize,
    pub height: usize,
    /// Counter-clockwise degrees by which the picture is turned for display, in (-180, 180].
    pub rotation_degrees: i32,
    /// Width and height of a pixel, as stored; `None` where the file does not say, or says nonsense.
    pub sample_aspect: Option<(u32, u32)>,
    /// Length of a tick of the timestamps in seconds, as a fraction.
    pub time_base: (i64, i64),
    /// Mean frame rate by the container, where it says one.
    pub fps: Option<f64>,
    /// Frames promised by the header, where it promises.
    pub promised: Option<usize>,
    pub has_audio: bool,
    /// Video tracks beside the one that is read, in words.
    pub other_tracks: Option<String>,
    /// How the samples of the pictures are meant.
    pub colours: Tags,
    pub ffmpeg_version: String,
}

/// What a track says of its pictures' samples, in ffmpeg's words; `None` where it says nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Tags {
    pub pixel_format: Option<String>,
    pub space: Option<String>,
    pub range: Option<String>,
    pub chroma_location: Option<String>,
    /// Whether frames come as pairs of fields, which may travel in packets of their own.
    pub interlaced: bool,
    /// Whether frames are decoded in another order than shown (B-frames).
    pub reorders: bool,
}

#[derive(Deserialize)]
struct Answer {
    program_version: Version,
    #[serde(default)]
    streams: Vec<Track>,
    format: Option<Format>,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

#[derive(Deserialize)]
struct Format {
    format_name: String,
}

#[derive(Deserialize)]
struct Track {
    codec_type: Option<String>,
    codec_name: Option<String>,
    width: Option<usize>,
    height: Option<usize>,
    avg_frame_rate: Option<String>,
    sample_aspect_ratio: Option<String>,
    time_base: Option<String>,
    nb_frames: Option<String>,
    field_order: Option<String>,
    has_b_frames: Option<u8>,
    pix_fmt: Option<String>,
    color_space: Option<String>,
    color_range: Option<String>,
    chroma_location: Option<String>,
    #[serde(default)]
    disposition: Disposition,
    #[serde(default)]
    side_data_list: Vec<SideData>,
}

#[derive(Deserialize, Default)]
struct Disposition {
    #[serde(default)]
    attached_pic: u8,
}

#[derive(Deserialize)]
struct SideData {
    rotation: Option<f64>,
}

/// Asks ffprobe for the facts.
pub(super) fn facts(path: &Path, patience: Duration) -> Result<Facts, Fault> {
    let mut command = ffprobe();
    command.args(["-show_program_version", "-of", "json", "-show_entries"]);
    command.arg(
        "stream=codec_type,codec_name,width,height,sample_aspect_ratio,avg_frame_rate,time_base,nb_frames,field_order,\
         has_b_frames,pix_fmt,color_space,color_range,chroma_location:stream_disposition=attached_pic:stream_side_data=rotation:format=format_name",
    );
    command.args(input(path));
    let (answer, said) = run(command, patience)?;
    facts_of(&answer, said)
}

/// The facts in ffprobe's answer, beside which it `said` what is wrong.
pub(super) fn facts_of(answer: &[u8], said: String) -> Result<Facts, Fault> {
    let answer: Answer = serde_json::from_slice(answer).map_err(|_| Fault::NotAVideo(said.clone()))?;
    let Some(format) = answer.format else {
        return Err(refused(&said).map_or(Fault::NotAVideo(said), Fault::NotRead));
    };
    let tracks = |kind| answer.streams.iter().filter(move |track| track.codec_type.as_deref() == Some(kind));
    let audio = tracks("audio").count();
    let videos: Vec<(usize, &Track)> =
        tracks("video").enumerate().filter(|(_, track)| track.disposition.attached_pic == 0).collect();
    let Some(&(_, video)) = videos.first() else {
        return Err(match (answer.streams.len(), audio) {
            (0, _) => Fault::NoFrames,
            (_, 0) => Fault::NoVideoTrack("other tracks".into()),
            _ => Fault::NoVideoTrack("audio".into()),
        });
    };
    let (Some(width @ 1..), Some(height @ 1..), Some(time_base)) =
        (video.width, video.height, video.time_base.as_deref().and_then(fraction))
    else {
        return Err(Fault::NotAVideo(format!("the video track has no size or time base; {said}")));
    };
    let rotation = video.side_data_list.iter().find_map(|data| data.rotation).unwrap_or(0.0);
    Ok(Facts {
        container: format.format_name,
        codec: video.codec_name.clone().unwrap_or_else(|| "unknown".into()),
        width,
        height,
        rotation_degrees: rotation.round() as i32,
        sample_aspect: video.sample_aspect_ratio.as_deref().and_then(aspect),
        time_base,
        fps: video.avg_frame_rate.as_deref().and_then(fraction).map(|(n, d)| n as f64 / d as f64),
        promised: video.nb_frames.as_deref().and_then(|n| n.parse().ok()),
        has_audio: audio > 0,
        other_tracks: other_tracks(&videos),
        colours: Tags {
            pixel_format: video.pix_fmt.clone(),
            space: video.color_space.clone(),
            range: video.color_range.clone(),
            chroma_location: video.chroma_location.clone(),
            interlaced: !matches!(video.field_order.as_deref(), None | Some("progressive" | "unknown")),
            reorders: video.has_b_frames.is_some_and(|frames| frames > 0),
        },
        ffmpeg_version: answer.program_version.version,
    })
}

/// A note on all video tracks but the first, each with its number among the file's video tracks.
fn other_tracks(videos: &[(usize, &Track)]) -> Option<String> {
    let words = |track: &Track| {
        let frames = track.nb_frames.as_ref().map_or(String::new(), |frames| format!(", frames: {frames}"));
        let codec = track.codec_name.as_deref().unwrap_or("unknown");
        format!("{codec}, {}x{}{frames}", track.width.unwrap_or(0), track.height.unwrap_or(0))
    };
    let (&(_, first), others) = videos.split_first()?;
    let &(number, _) = others.first()?;
    let left_out: Vec<String> = others.iter().map(|(_, track)| format!("({})", words(track))).collect();
    Some(format!(
        "the file has {} video tracks; the first is read ({}) and not {}: to read another, copy it with `ffmpeg -i IN \
         -map 0:v:{number} -c copy OUT`",
        videos.len(),
        words(first),
        left_out.join(", ")
    ))
}

/// Largest side of a fraction: ffmpeg's own have 32 bits.
const LARGEST_SIDE: i64 = 1 << 32;
/// Most bytes of ffprobe's answer about a file.
const ANSWER_BYTES: u64 = 1 << 22;

/// `40:33`; `None` for `0:1`, by which a file says that it does not know.
fn aspect(text: &str) -> Option<(u32, u32)> {
    let (width, height) = text.split_once(':')?;
    match (width.parse().ok()?, height.parse().ok()?) {
        (width @ 1.., height @ 1..) => Some((width, height)),
        _ => None,
    }
}

/// `30000/1001`; `None` where a side is zero, missing or beyond reason.
fn fraction(text: &str) -> Option<(i64, i64)> {
    let (numerator, denominator) = text.split_once('/')?;
    match (numerator.parse().ok()?, denominator.parse().ok()?) {
        (n @ 1..=LARGEST_SIDE, d @ 1..=LARGEST_SIDE) => Some((n, d)),
        _ => None,
    }
}

/// Runs `command` to its end: its output and its last complaints.
fn run(command: Command, patience: Duration) -> Result<(Vec<u8>, String), Fault> {
    let mut child = start_ffprobe(&command, patience)?;
    let complaints = child.take_stderr().map(Complaints::listen);
    let mut answer = Vec::new();
    if let Some(stdout) = child.take_stdout() {
        stdout.take(ANSWER_BYTES).read_to_end(&mut answer).map_err(Fault::pipe)?;
    }
    let said = end(child, complaints)?;
    Ok((answer, said))
}
