//! Reads from ffprobe what the container and the codec headers say about a video stream: size, time base, frame rate, color
//! properties.

use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use super::listing::wait_for_ffprobe;
use crate::error::VideoErrorKind;
use crate::ffmpeg::child::{StderrCollector, ffprobe_command, spawn_ffprobe};
use crate::ffmpeg::file_args::input_args;
use crate::ffmpeg::refused;

/// Properties of the first video track that is not a cover image.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamInfo {
    /// ffmpeg's name of the container format.
    pub container: String,
    /// ffmpeg's name of the codec.
    pub codec: String,
    /// Pixels across, as stored (before rotation).
    pub width: usize,
    /// Pixels down, as stored (before rotation).
    pub height: usize,
    /// Counter-clockwise rotation for display in degrees, in (-180, 180].
    pub rotation_degrees: i32,
    /// Sample aspect ratio as stored, width to height; `None` where the file gives none or an invalid one.
    pub sample_aspect: Option<(u32, u32)>,
    /// Length of a timestamp's tick in seconds, as a fraction.
    pub time_base: (i64, i64),
    /// Mean frame rate by the container, where it gives one.
    pub fps: Option<f64>,
    /// Number of frames by the container, where it gives one.
    pub declared_frames: Option<usize>,
    /// Whether there is an audio track.
    pub has_audio: bool,
    /// A note on video tracks that are not read; `None` if there are none.
    pub other_tracks: Option<String>,
    /// ffmpeg's name of the pixel format, such as `yuv420p`.
    pub pixel_format: Option<String>,
    /// Whether frames come as pairs of fields, which may be in packets of their own.
    pub interlaced: bool,
    /// Whether decode order differs from display order (B-frames).
    pub reorders_frames: bool,
    /// ffprobe's version.
    pub ffmpeg_version: String,
}

#[derive(Deserialize)]
struct FfprobeOutput {
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

/// Runs ffprobe on the file at `path`.
///
/// # Errors
/// As [`parse`]; if ffprobe is missing, is killed or gives no output for `stall_timeout`.
pub fn read(path: &Path, stall_timeout: Duration) -> Result<StreamInfo, VideoErrorKind> {
    let mut command = ffprobe_command();
    command.args(["-show_program_version", "-of", "json", "-show_entries"]);
    command.arg(
        "stream=codec_type,codec_name,width,height,sample_aspect_ratio,avg_frame_rate,time_base,nb_frames,field_order,\
         has_b_frames,pix_fmt:stream_disposition=attached_pic:stream_side_data=rotation:format=format_name",
    );
    command.args(input_args(path));
    let (output, stderr) = run(command, stall_timeout)?;
    parse(&output, stderr).map_err(|kind| match kind {
        // ffmpeg takes some playlists for subtitles, and others for nothing
        VideoErrorKind::NotAVideo(_) | VideoErrorKind::RefusedFormat(_) => {
            match (refused::playlist(path), &kind) {
                (Some(message), _) => VideoErrorKind::RefusedFormat(message),
                // ffprobe ends where it cannot start a decoder
                (None, VideoErrorKind::NotAVideo(stderr)) => {
                    let size = refused::refused_size(stderr);
                    size.map_or(kind, |(width, height)| VideoErrorKind::TooLarge { width, height })
                }
                _ => kind,
            }
        }
        kind => kind,
    })
}

/// Parses ffprobe's JSON output; `stderr` is its error output.
///
/// # Errors
/// If the output is not what ffprobe writes, or the file has no usable video track.
pub fn parse(output: &[u8], stderr: String) -> Result<StreamInfo, VideoErrorKind> {
    let output: FfprobeOutput =
        serde_json::from_slice(output).map_err(|_| VideoErrorKind::NotAVideo(stderr.clone()))?;
    let Some(format) = output.format else {
        return Err(refused::unsupported_format(&stderr)
            .map_or(VideoErrorKind::NotAVideo(stderr), VideoErrorKind::RefusedFormat));
    };
    let tracks = |kind| output.streams.iter().filter(move |track| track.codec_type.as_deref() == Some(kind));
    let audio = tracks("audio").count();
    let videos: Vec<(usize, &Track)> =
        tracks("video").enumerate().filter(|(_, track)| track.disposition.attached_pic == 0).collect();
    let Some(&(_, video)) = videos.first() else {
        return Err(match (output.streams.len(), audio) {
            (0, _) => VideoErrorKind::NoFrames,
            (_, 0) => VideoErrorKind::NoVideoTrack("other tracks".into()),
            _ => VideoErrorKind::NoVideoTrack("audio".into()),
        });
    };
    let (Some(width @ 1..), Some(height @ 1..), Some(time_base)) =
        (video.width, video.height, video.time_base.as_deref().and_then(parse_fraction))
    else {
        return Err(VideoErrorKind::NotAVideo(format!("the video track has no size or time base; {stderr}")));
    };
    let rotation = video.side_data_list.iter().find_map(|data| data.rotation).unwrap_or(0.0);
    Ok(StreamInfo {
        container: format.format_name,
        codec: video.codec_name.clone().unwrap_or_else(|| "unknown".into()),
        width,
        height,
        rotation_degrees: rotation.round() as i32,
        sample_aspect: video.sample_aspect_ratio.as_deref().and_then(parse_aspect),
        time_base,
        fps: video.avg_frame_rate.as_deref().and_then(parse_fraction).map(|(n, d)| n as f64 / d as f64),
        declared_frames: video.nb_frames.as_deref().and_then(|n| n.parse().ok()),
        has_audio: audio > 0,
        other_tracks: other_tracks(&videos),
        pixel_format: video.pix_fmt.clone(),
        interlaced: !matches!(video.field_order.as_deref(), None | Some("progressive" | "unknown")),
        reorders_frames: video.has_b_frames.is_some_and(|frames| frames > 0),
        ffmpeg_version: output.program_version.version,
    })
}

/// A note on all video tracks except the first; each comes with its index among the file's video tracks.
fn other_tracks(videos: &[(usize, &Track)]) -> Option<String> {
    let describe = |track: &Track| {
        let frames = track.nb_frames.as_ref().map_or(String::new(), |frames| format!(", frames: {frames}"));
        let codec = track.codec_name.as_deref().unwrap_or("unknown");
        format!("{codec}, {}x{}{frames}", track.width.unwrap_or(0), track.height.unwrap_or(0))
    };
    let (&(_, first), others) = videos.split_first()?;
    let &(index, _) = others.first()?;
    let mut not_read: Vec<String> =
        others.iter().take(MAX_NAMED_TRACKS).map(|(_, track)| format!("({})", describe(track))).collect();
    if others.len() > MAX_NAMED_TRACKS {
        not_read.push(format!("{} more", others.len() - MAX_NAMED_TRACKS));
    }
    Some(format!(
        "the file has {} video tracks; the first is read ({}) and not {}: to read another, copy it with `ffmpeg -i IN \
         -map 0:v:{index} -c copy OUT`",
        videos.len(),
        describe(first),
        not_read.join(", ")
    ))
}

/// Most tracks that a note names.
const MAX_NAMED_TRACKS: usize = 8;
/// Largest numerator or denominator: ffmpeg's own have 32 bits.
const MAX_FRACTION_PART: i64 = 1 << 32;
/// Most bytes of ffprobe's output.
const MAX_OUTPUT_BYTES: u64 = 1 << 22;

/// Parses an aspect ratio such as `40:33`; `None` for `0:1`, which means unknown.
fn parse_aspect(text: &str) -> Option<(u32, u32)> {
    let (width, height) = text.split_once(':')?;
    match (width.parse().ok()?, height.parse().ok()?) {
        (width @ 1.., height @ 1..) => Some((width, height)),
        _ => None,
    }
}

/// Parses a fraction such as `30000/1001`; `None` where a part is missing, not positive or too large.
fn parse_fraction(text: &str) -> Option<(i64, i64)> {
    let (numerator, denominator) = text.split_once('/')?;
    match (numerator.parse().ok()?, denominator.parse().ok()?) {
        (n @ 1..=MAX_FRACTION_PART, d @ 1..=MAX_FRACTION_PART) => Some((n, d)),
        _ => None,
    }
}

/// Runs `command` to its end; returns its output and the tail of its error output.
fn run(command: Command, stall_timeout: Duration) -> Result<(Vec<u8>, String), VideoErrorKind> {
    let mut child = spawn_ffprobe(&command, stall_timeout)?;
    let stderr = child.take_stderr().map(StderrCollector::spawn);
    let mut output = Vec::new();
    if let Some(stdout) = child.take_stdout() {
        stdout.take(MAX_OUTPUT_BYTES).read_to_end(&mut output).map_err(VideoErrorKind::pipe)?;
    }
    let stderr = wait_for_ffprobe(child, stderr)?;
    Ok((output, stderr))
}
