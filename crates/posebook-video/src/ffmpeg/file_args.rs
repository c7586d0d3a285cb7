//! Arguments by which ffmpeg and ffprobe read exactly one file: a path is always a file name, and no other file is opened.
//!
//! ffmpeg parses a name such as `12:30.mp4`, `pipe:0` or `concat:a|b` as a URL and `-i` as an option; some formats (HLS
//! playlists, DASH manifests, lists for `concat`) name other files, which it would open.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Supported formats, by ffmpeg's names: all of versions 5.1 to 7.0 with audio, video, images or subtitles in the file itself.
/// Excluded are formats that name other files or URLs (`hls`, `dash`, `concat`, `imf`, `sdp`, `mlv`, `webm_dash_manifest`,
/// ...), devices, text rendered as video (`tty`) and raw samples without a header.
const FORMATS: &str = "\
    3dostr 4xm aa aac aax ac3 ac4 ace acm act adp ads adx aea afc aiff aix alias_pix alp amr amrnb amrwb anm \
    apac apc ape apm apng argo_asf argo_brp argo_cvg asf asf_o ass ast au av1 avi avr avs avs2 avs3 \
    bethsoftvid bfi bfstm bink binka bitpacked bmp_pipe bmv boa bonk brender_pix brstm c93 caf cavsvideo cdg \
    cdxl cine codec2 cri_pipe dcstr dds_pipe derf dfa dhav dirac dnxhd dpx_pipe dsf dsicin dss dts dtshd dv \
    dxa ea ea_cdata eac3 epaf evc exr_pipe film_cpk filmstrip fits flac flic flv frm fsb fwse g723_1 gdv \
    gem_pipe genh gif gif_pipe gsm gxf h261 h263 h264 hca hcom hdr_pipe hevc hnm iamf ico idcin iff ifv ilbc \
    image2pipe ingenient ipmovie ipu ircam iss iv8 ivf ivr j2k_pipe jpeg_pipe jpegls_pipe jpegxl_anim \
    jpegxl_pipe jv kux kvag laf live_flv lmlm4 loas luodat lvf lxf m4v matroska mca mgsts mjpeg mjpeg_2000 \
    mlp mm mmf mods moflex mov mp3 mpc mpc8 mpeg mpegts mpegvideo mpjpeg msf msnwctcp msp mtaf mtv musx mv \
    mvi mxf mxg nc nistsphere nsp nsv nut nuv obu ogg oma osq paf pam_pipe pbm_pipe pcx_pipe pdv pfm_pipe \
    pgm_pipe pgmyuv_pipe pgx_pipe phm_pipe photocd_pipe pictor_pipe pmp png_pipe pp_bnk ppm_pipe psd_pipe \
    psxstr pva pvf qcp qdraw_pipe qoa qoi_pipe r3d rawvideo redspark rka rl2 rm roq rpl rsd rso s337m sbc \
    scd sdns sds sdx ser sga sgi_pipe shn siff simbiosis_imx smjpeg smk smush sol sox spdif srt sunrast_pipe \
    svag svs swf tak thp tiertexseq tiff_pipe tmv truehd tta txd ty usm v210 v210x vag vbn_pipe vc1 vc1test \
    vividas vivo vmd voc vpk vqf vvc w64 wady wav wavarc wc3movie webp_pipe webvtt wsaud wsd wsvqa wtv wv \
    wve xa xbm_pipe xmd xmv xpm_pipe xvag xwd_pipe xwma yop yuv4mpegpipe";
/// The format of a single image with a known extension; with a `%` in the name it reads a sequence of files.
const SINGLE_IMAGE: &str = "image2";

/// ffmpeg's message about an excluded format, as in `[hls,applehttp @ 0x55] Format not on whitelist 'mov,avi'`.
const NOT_ON_WHITELIST: &str = "Format not on whitelist";
/// Newer versions' message about an HLS playlist with another extension; they read it as nothing else.
const HLS_WITH_OTHER_EXTENSION: &str = "Not detecting m3u8/hls";

/// The arguments, including `-i`, by which ffmpeg or ffprobe reads the file at `path` and no other.
pub fn input_args(path: &Path) -> Vec<OsString> {
    let mut formats: String = FORMATS.split_whitespace().collect::<Vec<_>>().join(",");
    let mut arguments: Vec<OsString> = ["-protocol_whitelist", "file,pipe"].map(OsString::from).into();
    if !has_percent(path) {
        formats.push(',');
        formats.push_str(SINGLE_IMAGE);
    } else if let Some(format) = image_format(path) {
        arguments.extend(["-f", format].map(OsString::from));
    }
    arguments.extend(["-format_whitelist".into(), formats.into(), "-i".into(), file_url(path)]);
    arguments
}

/// `path` as an argument that ffmpeg takes for a file, whatever its name, to read or to write. ffmpeg does not decode what
/// follows `file:`.
pub fn file_url(path: &Path) -> OsString {
    let mut argument = OsString::from("file:");
    argument.push(path);
    argument
}

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
        "image2" => "a pattern of image names",
        _ => return Some(format!("its format, which ffmpeg calls `{format}`, is not supported as a video")),
    };
    Some(format!(
        "it is {kind}: a text file that names other files, which are not opened; give the video itself, or make one \
         file of it with `ffmpeg -i IN -c copy OUT.mkv`"
    ))
}

/// Whether ffmpeg might take the path for a pattern of file names.
fn has_percent(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().contains(&b'%')
}

/// The format that reads an image whatever its name, if the first bytes are those of a PNG or JPEG.
fn image_format(path: &Path) -> Option<&'static str> {
    let mut start = [0; 8];
    File::open(path).and_then(|mut file| file.read_exact(&mut start)).ok()?;
    match start {
        [0x89, b'P', b'N', b'G', ..] => Some("png_pipe"),
        [0xff, 0xd8, 0xff, ..] => Some("jpeg_pipe"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Output};

    fn make(folder: &Path, arguments: &str) {
        let mut command = Command::new("ffmpeg");
        command.current_dir(folder).args(["-nostdin", "-loglevel", "error", "-y"]);
        assert!(command.args(arguments.split(' ')).status().unwrap().success(), "{arguments}");
    }

    /// ffprobe's output for a file, run in `folder`.
    fn ffprobe(folder: &Path, path: &Path) -> Output {
        let mut command = Command::new("ffprobe");
        command.current_dir(folder).args(["-v", "error", "-show_entries", "stream=width", "-of", "csv=p=0"]);
        command.args(input_args(path)).output().unwrap()
    }

    #[test]
    fn any_name_is_taken_for_a_file() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), "-f lavfi -i testsrc2=size=64x48:rate=25 -frames:v 2 -c:v mpeg4 a.mp4");
        make(folder.path(), "-f lavfi -i testsrc2=size=32x48:rate=25 -frames:v 1 a.png");
        for name in [
            "12:30.mp4",
            "-dash.mp4",
            "-i",
            "-",
            "data:x",
            "http:x.mp4",
            "file:x.mp4",
            "pipe:0",
            "concat:a.mp4|a.mp4",
            "subfile,,start,0,end,9,,:a.mp4",
            "100%d.mp4",
            "f%03d.mp4",
            "new\nline.mp4",
            "back\\slash.mp4",
            "what?.mp4",
            "br[1-3].mp4",
            " lead.mp4",
            "trail.mp4 ",
            "q'u\"ote.mp4",
            "caf\u{e9} \u{202e}gp4.mp4",
            "1e5",
        ] {
            std::fs::copy(folder.path().join("a.mp4"), folder.path().join(name)).unwrap();
            let output = ffprobe(folder.path(), Path::new(name));
            assert_eq!(output.stdout, b"64\n", "{name}: {}", String::from_utf8_lossy(&output.stderr));
        }
        // with the other names ffmpeg would read a sequence of images
        for name in ["single.png", "f%03d.png", "%d.jpg", "100%.png"] {
            std::fs::copy(folder.path().join("a.png"), folder.path().join(name)).unwrap();
            let output = ffprobe(folder.path(), &folder.path().join(name));
            assert_eq!(output.stdout, b"32\n", "{name}: {}", String::from_utf8_lossy(&output.stderr));
        }
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
            }
        }
        assert_eq!(unsupported_format("moov atom not found"), None);
        let newer = "Not detecting m3u8/hls with non standard extension and non standard mime type";
        assert!(unsupported_format(newer).unwrap().contains("HLS playlist"));
        let other = unsupported_format("[tty @ 0x1] Format not on whitelist 'mov'").unwrap();
        assert!(other.contains("`tty`"), "{other}");
    }
}
