//! Arguments by which ffmpeg and ffprobe read exactly one file: a path is always a file name, and no other file is opened.
//!
//! ffmpeg parses a name such as `12:30.mp4`, `pipe:0` or `concat:a|b` as a URL and `-i` as an option; some formats (HLS
//! playlists, DASH manifests, lists for `concat`) name other files, which it would open.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::MAX_PIXELS;

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
/// Extensions that [`SINGLE_IMAGE`] is not used for: with `.y` it reads two further files, and an SVG is a document that may
/// name others.
const NOT_SINGLE_IMAGES: [&str; 3] = ["y", "svg", "svgz"];

/// Most pixels of a frame that ffmpeg decodes. It is above `MAX_PIXELS`, because a codec pads a frame to whole blocks. The
/// check comes before a frame is allocated.
const MAX_CODED_PIXELS: usize = MAX_PIXELS + MAX_PIXELS / 8;
/// Limit of the heap and stacks of a process of ffmpeg or ffprobe that reads a file (4 GiB), so that a malformed file
/// cannot exhaust memory. For [`posebook_core::children::spawn`].
pub const MAX_DATA_BYTES: u64 = 4 << 30;
/// Limit of a single allocation of ffmpeg or ffprobe: 1 GiB, more than a frame of the largest accepted size.
const MAX_ALLOCATION_BYTES: &str = "1073741824";

/// Arguments that limit a single allocation of ffmpeg or ffprobe, for the start of the command line.
pub const LIMIT_ARGS: [&str; 2] = ["-max_alloc", MAX_ALLOCATION_BYTES];

/// The arguments, including `-i`, by which ffmpeg or ffprobe reads the file at `path` and no other, and no frame of more
/// than about `MAX_PIXELS`.
pub fn input_args(path: &Path) -> Vec<OsString> {
    let mut formats: String = FORMATS.split_whitespace().collect::<Vec<_>>().join(",");
    let mut arguments: Vec<OsString> = ["-protocol_whitelist", "file,pipe"].map(OsString::from).into();
    arguments.extend(["-max_pixels".into(), MAX_CODED_PIXELS.to_string().into()]);
    if !has_percent(path) {
        if !has_extension(path, &NOT_SINGLE_IMAGES) {
            formats.push(',');
            formats.push_str(SINGLE_IMAGE);
        }
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

/// Whether ffmpeg might take the path for a pattern of file names.
fn has_percent(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().contains(&b'%')
}

/// Whether the path has one of these extensions, in upper or lower case.
fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension().is_some_and(|found| extensions.iter().any(|known| found.eq_ignore_ascii_case(known)))
}

/// The format that reads an image whatever its name, by its first bytes: PNG, JPEG, BMP, TIFF or WebP.
fn image_format(path: &Path) -> Option<&'static str> {
    let mut start = Vec::new();
    File::open(path).ok()?.take(12).read_to_end(&mut start).ok()?;
    match start.as_slice() {
        [0x89, b'P', b'N', b'G', ..] => Some("png_pipe"),
        [0xff, 0xd8, 0xff, ..] => Some("jpeg_pipe"),
        [b'B', b'M', ..] => Some("bmp_pipe"),
        [b'I', b'I', b'*', 0, ..] | [b'M', b'M', 0, b'*', ..] => Some("tiff_pipe"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P'] => Some("webp_pipe"),
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
}
