//! Why ffmpeg or ffprobe did not open a file: from its error output, and from the file's first bytes, to a sentence that says
//! what the file is and what to do.
//!
//! In: standard error of a program that was given [`super::file_args::input_args`], or a path. Out: messages.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// ffmpeg's message about an excluded format, as in `[hls,applehttp @ 0x55] Format not on whitelist 'mov,avi'`.
const NOT_ON_WHITELIST: &str = "Format not on whitelist";
/// Newer versions' message about an HLS playlist with another extension; they read it as nothing else.
const HLS_WITH_OTHER_EXTENSION: &str = "Not detecting m3u8/hls";
/// ffmpeg's message about a frame that is too large, followed by its size: `Picture size 30000x30000 is invalid`, or
/// `... exceeds specified max pixel count`.
const PICTURE_SIZE: &str = "Picture size ";
/// Bytes at the start of a file by which a text that names other files is recognized.
const TEXT_BYTES: u64 = 1024;

/// A message about an excluded format, if `stderr` of ffmpeg or ffprobe says that the file has one.
pub fn unsupported_format(stderr: &str) -> Option<String> {
    let format = match stderr.split_once(NOT_ON_WHITELIST) {
        Some((before, _)) => before.rsplit_once('[')?.1.split([']', ' ']).next()?,
        None if stderr.contains(HLS_WITH_OTHER_EXTENSION) => "hls",
        None => return None,
    };
    let kind = match format.split(',').next()? {
        "hls" => "an HLS playlist",
        "dash" | "webm_dash_manifest" => "a DASH manifest",
        "concat" => "a list of files for ffmpeg's `concat`",
        "imf" => "an IMF composition playlist",
        "sdp" | "rtp" | "rtsp" | "sap" => "a description of a network stream (SDP)",
        "vobsub" => "an index of subtitles (VobSub)",
        "image2" => {
            return Some(
                "its name is a pattern of image names for ffmpeg; rename it to a name without `%`".into(),
            );
        }
        "svg_pipe" => {
            return Some("it is a drawing (SVG); export it as a PNG and give that".into());
        }
        _ => return Some(format!("its format, which ffmpeg calls `{format}`, is not supported as a video")),
    };
    Some(names_other_files(kind))
}

/// A message about a text that names other files, recognized by its first bytes; `None` if the file is none that is known.
/// For files that ffmpeg does not recognize.
pub fn playlist(path: &Path) -> Option<String> {
    let mut start = Vec::new();
    File::open(path).ok()?.take(TEXT_BYTES).read_to_end(&mut start).ok()?;
    let text = String::from_utf8_lossy(&start).to_lowercase();
    // a byte order mark may precede the text
    let text = text.trim_start_matches(|c: char| c == '\u{feff}' || c.is_whitespace());
    let kinds = [
        ("#extm3u", "an HLS playlist"),
        ("ffconcat version", "a list of files for ffmpeg's `concat`"),
        ("v=0\n", "a description of a network stream (SDP)"),
        ("v=0\r\n", "a description of a network stream (SDP)"),
        ("[playlist]", "a playlist (PLS)"),
        ("[reference]", "a playlist (ASX)"),
        ("<asx", "a playlist (ASX)"),
        ("rtsptext", "a description of a network stream (RTSP)"),
        ("file://", "a list of addresses"),
        ("http://", "a list of addresses"),
        ("https://", "a list of addresses"),
        ("rtsp://", "a list of addresses"),
    ];
    let documents = [
        ("<mpd", "a DASH manifest"),
        ("<compositionplaylist", "an IMF composition playlist"),
        ("<assetmap", "an IMF asset map"),
        ("<smoothstreamingmedia", "a Smooth Streaming manifest"),
        ("<playlist", "a playlist (XSPF)"),
        ("<smil", "a SMIL presentation"),
    ];
    let is_document = text.starts_with('<');
    let named = kinds.iter().find(|(word, _)| text.starts_with(word));
    let named = named.or_else(|| documents.iter().find(|(word, _)| is_document && text.contains(word)));
    named.map(|(_, kind)| names_other_files(kind))
}

fn names_other_files(kind: &str) -> String {
    format!(
        "it is {kind}: a text file that names other files, which are not opened; give the video itself, or make one \
         file of it with `ffmpeg -i IN -c copy OUT.mkv`"
    )
}

/// Width and height of the frames that ffmpeg or ffprobe refused to decode for their size; `None` if it refused none.
pub fn refused_size(stderr: &str) -> Option<(usize, usize)> {
    let (_, after) = stderr.split_once(PICTURE_SIZE)?;
    let (width, height) = after.split(' ').next()?.split_once('x')?;
    Some((width.parse().ok()?, height.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffmpeg::file_args::input_args;
    use std::process::{Command, Output};

    /// ffprobe's output for a file, run in `folder`.
    fn ffprobe(folder: &Path, path: &Path) -> Output {
        let mut command = Command::new("ffprobe");
        command.current_dir(folder).args(["-v", "error", "-show_entries", "stream=width", "-of", "csv=p=0"]);
        command.args(input_args(path)).output().unwrap()
    }

    fn make(folder: &Path, arguments: &str) {
        let mut command = Command::new("ffmpeg");
        command.current_dir(folder).args(["-nostdin", "-loglevel", "error", "-y"]);
        assert!(command.args(arguments.split(' ')).status().unwrap().success(), "{arguments}");
    }

    #[test]
    fn a_file_that_names_other_files_is_rejected_with_a_message() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), "-f lavfi -i testsrc2=size=64x48:rate=25 -frames:v 2 -c:v libx264 a.ts");
        make(folder.path(), "-i a.ts -c copy a.mp4");
        let hls = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.08,\na.ts\n#EXT-X-ENDLIST\n";
        let dash = "<?xml version=\"1.0\"?>\n<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" \
                    mediaPresentationDuration=\"PT0.08S\" profiles=\"urn:mpeg:dash:profile:isoff-on-demand:2011\">\
                    <Period><AdaptationSet mimeType=\"video/mp4\"><Representation id=\"1\" bandwidth=\"9\">\
                    <BaseURL>a.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>";
        let list = "ffconcat version 1.0\nfile a.mp4\n";
        let sdp = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n";
        for (text, ending, kind) in [
            (hls, "m3u8", "HLS playlist"),
            (dash, "mpd", "DASH manifest"),
            (list, "ffconcat", "list of files"),
            (sdp, "sdp", "network stream"),
        ] {
            for name in [format!("x.{ending}"), "x.mp4".to_string(), "x".to_string(), "x%d.mp4".to_string()] {
                std::fs::write(folder.path().join(&name), text).unwrap();
                let output = ffprobe(folder.path(), Path::new(&name));
                let stderr = String::from_utf8_lossy(&output.stderr);
                let message = unsupported_format(&stderr).unwrap_or_default();
                assert!(output.stdout.is_empty() && message.contains(kind), "{name}: {stderr}");
                let by_content = playlist(&folder.path().join(&name)).unwrap_or_default();
                assert_eq!(by_content, message, "{name}");
            }
        }
        assert_eq!(unsupported_format("moov atom not found"), None);
        let newer = "Not detecting m3u8/hls with non standard extension and non standard mime type";
        assert!(unsupported_format(newer).unwrap().contains("HLS playlist"));
        let other = unsupported_format("[tty @ 0x1] Format not on whitelist 'mov'").unwrap();
        assert!(other.contains("`tty`"), "{other}");
        assert_eq!(playlist(&folder.path().join("a.mp4")), None);
        assert_eq!(playlist(&folder.path().join("missing")), None);
    }

    #[test]
    fn the_size_of_a_refused_frame_is_read_from_ffmpegs_message() {
        for stderr in [
            "[png] [IMGUTILS] Picture size 30000x30000 is invalid; [png] Invalid image size",
            "[vp9 @ 0x1] Picture size 30000x30000 exceeds specified max pixel count 150994944, see the documentation",
        ] {
            assert_eq!(refused_size(stderr), Some((30_000, 30_000)), "{stderr}");
        }
        for stderr in ["", "moov atom not found", "Picture size ", "Picture size axb is invalid"] {
            assert_eq!(refused_size(stderr), None, "{stderr}");
        }
    }
}
