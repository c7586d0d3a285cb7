//! Files made to harm whoever reads them: they name other files, or claim sizes that no memory holds. None is read beyond
//! its own bytes, and the error comes before much memory is taken.

mod crafted;
#[path = "../../../tests/common/ffmpeg.rs"]
mod ffmpeg_clips;
#[path = "crafted/limits.rs"]
mod limits;

use std::fs;
use std::path::Path;

use crafted::{alias, chunk, content_of, png, replaced, table, with_box, zlib_of_zeros};
use ffmpeg_clips::ffmpeg;
use limits::{check_memory, outcome, read};
use posebook_video as video;
use posebook_video::{Settings, VideoErrorKind, still};

const SOURCE: &str = "-f lavfi -i testsrc2=size=320x300:rate=25 -frames:v 5";

/// Names and contents of tables of an MP4.
type Tables = Vec<(&'static [u8; 4], Vec<u8>)>;

/// A named pipe without a writer: a program that opens it waits.
fn fifo(path: &Path) {
    use nix::sys::stat::Mode;
    nix::unistd::mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
}

/// Texts that name `other`, and what they are.
fn playlists(other: &str) -> Vec<(String, &'static str)> {
    let hls = format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.2,\n{other}\n#EXT-X-ENDLIST\n");
    let variants = format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=9\n{other}\n");
    let key = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-KEY:METHOD=AES-128,URI=\"{other}\"\n#EXTINF:0.2,\n{other}\n\
         #EXT-X-ENDLIST\n"
    );
    let dash = format!(
        "<?xml version=\"1.0\"?>\n<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" \
         mediaPresentationDuration=\"PT0.2S\" profiles=\"urn:mpeg:dash:profile:isoff-on-demand:2011\"><Period>\
         <AdaptationSet mimeType=\"video/mp4\"><Representation id=\"1\" bandwidth=\"9\"><BaseURL>{other}</BaseURL>\
         </Representation></AdaptationSet></Period></MPD>"
    );
    let imf = format!(
        "<?xml version=\"1.0\"?>\n<CompositionPlaylist \
         xmlns=\"http://www.smpte-ra.org/schemas/2067-3/2016\"><Id>{other}</Id></CompositionPlaylist>"
    );
    vec![
        (hls.clone(), "HLS playlist"),
        (format!("\u{feff}{hls}"), "HLS playlist"),
        (variants, "HLS playlist"),
        (key, "HLS playlist"),
        (format!("#EXTM3U\n{other}\n"), "HLS playlist"),
        (dash, "DASH manifest"),
        (format!("ffconcat version 1.0\nfile '{other}'\n"), "list of files"),
        (imf, "IMF composition playlist"),
        (
            "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n".into(),
            "SDP",
        ),
        (format!("[playlist]\nFile1={other}\nNumberOfEntries=1\n"), "PLS"),
        (format!("<asx version=\"3.0\"><entry><ref href=\"{other}\"/></entry></asx>"), "ASX"),
    ]
}

#[test]
fn a_file_that_names_other_files_is_refused_and_they_are_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("uploads")).unwrap();
    // whoever opens one of these waits, and is stopped with another error
    for other in ["uploads/other.mp4", "above.mp4"] {
        fifo(&folder.path().join(other));
    }
    let absolute = folder.path().join("above.mp4").display().to_string();
    let url = format!("file://{absolute}");
    for other in ["other.mp4", "../above.mp4", &absolute, &format!("file:{absolute}"), &url] {
        for (text, kind) in playlists(other) {
            // without an extension, too
            for name in ["x.mp4", "x"].into_iter().take(if other == "other.mp4" { 2 } else { 1 }) {
                let path = folder.path().join("uploads").join(name);
                fs::write(&path, &text).unwrap();
                let error = read(&path, folder.path()).unwrap_err();
                let message = error.to_string();
                assert!(
                    matches!(error.kind, VideoErrorKind::RefusedFormat(_)),
                    "{kind} with {other}: {message}"
                );
                assert!(message.contains(kind) && message.contains("give the video itself"), "{message}");
            }
        }
    }
}

#[test]
fn a_file_replaced_by_a_playlist_after_it_was_probed_gives_no_frame_of_another_file() {
    let folder = tempfile::tempdir().unwrap();
    ffmpeg(folder.path(), &format!("{SOURCE} -c:v libx264 -g 2 -bf 0 a.ts"));
    ffmpeg(
        folder.path(),
        "-f lavfi -i color=red:size=320x300:rate=25 -frames:v 5 -c:v libx264 -bf 0 other.ts",
    );
    let path = folder.path().join("a.ts");
    let probe = video::probe(&path).unwrap();
    let other = folder.path().join("other.ts").display().to_string();
    for (text, kind) in playlists(&other) {
        if !matches!(kind, "DASH manifest" | "list of files") && !text.starts_with("#EXTM3U\n#EXT-X-TARGET") {
            continue;
        }
        fs::write(&path, text).unwrap();
        for mode in ["stream-sequential", "stream-seek", "extract-png"] {
            let settings = Settings { mode: Some(mode.parse().unwrap()), ..Settings::default() };
            let source = video::open_probed(probe.clone(), &settings, folder.path(), None);
            let frame = source.and_then(|mut source| source.next_frame().map(|frame| frame.is_some()));
            assert!(frame.is_err(), "{mode}: a frame of the other file");
        }
    }
}

#[test]
fn a_movie_whose_data_are_in_another_file_does_not_open_it() {
    let folder = tempfile::tempdir().unwrap();
    ffmpeg(folder.path(), &format!("{SOURCE} -c:v libx264 a.mov"));
    let whole = fs::read(folder.path().join("a.mov")).unwrap();
    let other = folder.path().join("other.mov");
    fifo(&other);
    let references = [b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"];
    for path in [other.display().to_string(), "other.mov".into(), "../other.mov".into()] {
        let bytes = with_box(&whole, &references, &alias("other.mov", &path));
        let crafted = folder.path().join("x.mov");
        fs::write(&crafted, bytes).unwrap();
        // ffmpeg understands the reference
        let mut ffprobe = std::process::Command::new("ffprobe");
        let stderr = ffprobe
            .args(["-v", "warning"])
            .args(video::file_args::input_args(&crafted))
            .output()
            .unwrap()
            .stderr;
        let stderr = String::from_utf8_lossy(&stderr);
        assert!(stderr.contains("external track") && stderr.contains("other.mov"), "{path}: {stderr}");
        // it may read the file's own data at the claimed positions, or nothing
        let outcome = outcome(&crafted, folder.path());
        assert!(!outcome.contains("stalled"), "{path}: {outcome}");
    }
}

#[test]
fn an_image_name_or_a_drawing_opens_no_second_file() {
    let folder = tempfile::tempdir().unwrap();
    // ffmpeg reads the planes of `x.Y` from `x.U` and `x.V`, and a sequence from a name with a number
    for other in ["x.U", "x.V", "1.png", "01.jpg", "secret.png"] {
        fifo(&folder.path().join(other));
    }
    let svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\" width=\"9\" \
               height=\"9\"><image width=\"9\" height=\"9\" xlink:href=\"secret.png\"/></svg>";
    let luma = vec![7; 352 * 288];
    for (name, content) in
        [("x.Y", luma.as_slice()), ("x.y", &luma), ("x.svg", svg.as_bytes()), ("x.svgz", svg.as_bytes())]
    {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        let outcome = outcome(&path, folder.path());
        assert_eq!(outcome, "error: not a video", "{name}");
    }
    for name in ["%d.png", "%02d.jpg"] {
        fs::write(folder.path().join(name), "no image").unwrap();
        assert_eq!(outcome(&folder.path().join(name), folder.path()), "error: not a video", "{name}");
    }
}

/// The file's frames of 320 x 300 pixels claim to be 30000 x 30000.
fn huge(name: &str, bytes: &[u8]) -> Vec<u8> {
    let (from, to) = ([320u16, 300], [30_000u16, 30_000]);
    let big_endian = |[width, height]: [u16; 2]| [width.to_be_bytes(), height.to_be_bytes()].concat();
    if name.ends_with(".mkv") && !name.starts_with("jpeg") {
        // elements PixelWidth and PixelHeight
        let [(w0, h0), (w1, h1)] = [from, to].map(|[w, h]| (w.to_be_bytes(), h.to_be_bytes()));
        let width = replaced(bytes, &[&[0xb0, 0x82][..], &w0].concat(), &[&[0xb0, 0x82][..], &w1].concat());
        return replaced(&width, &[&[0xba, 0x82][..], &h0].concat(), &[&[0xba, 0x82][..], &h1].concat());
    }
    if name.starts_with("jpeg") {
        // the frame header of each image: height, then width
        let header = |[w, h]: [u16; 2]| [&[0xff, 0xc0, 0, 17, 8][..], &big_endian([h, w])].concat();
        return replaced(bytes, &header(from), &header(to));
    }
    replaced(bytes, &big_endian(from), &big_endian(to))
}

#[test]
fn frames_that_claim_30000_by_30000_pixels_are_refused_or_have_their_true_size() {
    let folder = tempfile::tempdir().unwrap();
    let options = [
        ("h264.mp4", "-c:v libx264", false),
        ("h264.mkv", "-c:v libx264", false),
        ("jpeg.mp4", "-c:v mjpeg", true),
        ("jpeg.mkv", "-c:v mjpeg", true),
        ("raw.mov", "-c:v rawvideo -pix_fmt rgb24", true),
        ("raw.mkv", "-c:v rawvideo -pix_fmt yuv420p", true),
        ("ffv1.mkv", "-c:v ffv1", true),
    ];
    for (name, encoder, is_refused) in options {
        ffmpeg(folder.path(), &format!("{SOURCE} {encoder} {name}"));
        let path = folder.path().join(name);
        fs::write(&path, huge(name, &fs::read(&path).unwrap())).unwrap();
        let read = read(&path, folder.path());
        match read {
            Ok(frames) => assert!(!is_refused && frames == 5, "{name}: {frames} frames"),
            Err(error) => {
                assert!(is_refused, "{name}: {error}");
                let is_named = error.to_string().contains("30000x30000");
                assert!(is_named && matches!(error.kind, VideoErrorKind::TooLarge { .. }), "{name}: {error}");
            }
        }
    }
    check_memory(256);
}

#[test]
fn a_compressed_image_of_a_gigabyte_is_refused_before_it_is_decoded() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    fs::create_dir(&images).unwrap();
    // 16000 x 16000 with four bytes each: 1 GiB in a file of 1 MB
    for (size, bits, color) in [((16_000, 16_000), 8, 6), ((30_000, 30_000), 1, 0)] {
        let row = 1 + (size.0 as usize * bits * if color == 6 { 4 } else { 1 }).div_ceil(8);
        let pixels = zlib_of_zeros((row * size.1 as usize).div_ceil(1 << 20));
        let file = png(size, bits as u8, color, &[], &pixels);
        assert!(file.len() < 2 << 20);
        // as a video by ffmpeg, as one image of a folder, and as a single image
        for path in [folder.path().join("x.mp4"), images.join("1.png")] {
            fs::write(&path, &file).unwrap();
        }
        for path in [folder.path().join("x.mp4"), images.clone(), images.join("1.png")] {
            let error = read(&path, folder.path()).unwrap_err();
            assert!(matches!(error.kind, VideoErrorKind::TooLarge { .. }), "{size:?}: {error}");
        }
    }
    let message = still::read(&images.join("1.png"), 0).unwrap_err().to_string();
    assert!(message.contains("30000x30000 pixels are too many"), "{message}");
    check_memory(256);
}

#[test]
fn a_color_profile_or_text_that_unpacks_to_a_gigabyte_is_not_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    let pixels = {
        use std::io::Write;
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&[0, 10, 20, 30, 0, 40, 50, 60]).unwrap();
        encoder.finish().unwrap()
    };
    // this crate does not unpack them; ffmpeg does, within its limits
    let (bomb, small) = (zlib_of_zeros(1024), zlib_of_zeros(32));
    for (kind, head) in
        [(b"iCCP", &b"profile\0\0"[..]), (b"zTXt", b"text\0\0"), (b"iTXt", b"text\0\x01\0\0\0")]
    {
        let block = chunk(kind, &[head, &bomb].concat());
        let path = folder.path().join("1.png");
        fs::write(&path, png((1, 2), 8, 2, &[block], &pixels)).unwrap();
        let image = still::read(&path, 0).unwrap().frame;
        assert_eq!(image.rgb(), [10, 20, 30, 40, 50, 60]);
        assert_eq!(read(&path, folder.path()).unwrap(), 1);
        let block = chunk(kind, &[head, &small].concat());
        fs::write(folder.path().join("x.mp4"), png((1, 2), 8, 2, &[block], &pixels)).unwrap();
        assert_eq!(read(&folder.path().join("x.mp4"), folder.path()).unwrap(), 1);
    }
    check_memory(256);
}

#[test]
fn claims_of_billions_of_frames_are_errors_in_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    ffmpeg(folder.path(), &format!("{SOURCE} -c:v libx264 -bf 0 a.mp4"));
    ffmpeg(folder.path(), "-i a.mp4 -c copy a.avi");
    let whole = fs::read(folder.path().join("a.mp4")).unwrap();
    let numbers = |numbers: &[u32]| numbers.iter().flat_map(|n| n.to_be_bytes()).collect::<Vec<u8>>();
    let huge = 0x7fff_ffff;
    // each table alone, then all of them in agreement
    let claims: Vec<(&str, Tables)> = vec![
        ("sizes of 1 byte", vec![(b"stsz", numbers(&[0, 1, huge]))]),
        ("sizes that are missing", vec![(b"stsz", numbers(&[0, 0, huge]))]),
        ("durations", vec![(b"stts", numbers(&[0, 1, huge, 512]))]),
        ("durations that are missing", vec![(b"stts", numbers(&[0, huge]))]),
        ("no durations", vec![(b"stts", numbers(&[0, 0]))]),
        ("durations of 0", vec![(b"stts", numbers(&[0, 1, 5, 0]))]),
        ("durations of 2^32 - 1", vec![(b"stts", numbers(&[0, 1, 5, u32::MAX]))]),
        ("positions that are missing", vec![(b"stco", numbers(&[0, huge]))]),
        ("chunks", vec![(b"stsc", numbers(&[0, 1, 1, huge, 1]))]),
        (
            "everything",
            vec![
                (b"stsz", numbers(&[0, 1, huge])),
                (b"stts", numbers(&[0, 1, huge, 512])),
                (b"stsc", numbers(&[0, 1, 1, huge, 1])),
            ],
        ),
        (
            "a million",
            vec![
                (b"stsz", numbers(&[0, 1, 1 << 20])),
                (b"stts", numbers(&[0, 1, 1 << 20, 512])),
                (b"stsc", numbers(&[0, 1, 1, 1 << 20, 1])),
            ],
        ),
    ];
    for (claim, tables) in claims {
        let mut bytes = whole.clone();
        for (name, content) in &tables {
            bytes = with_box(&bytes, &table(name), content);
        }
        let path = folder.path().join("x.mp4");
        fs::write(&path, bytes).unwrap();
        println!("{claim}: {}", outcome(&path, folder.path()));
    }
    // a time scale of 0 and the largest
    let header = [b"moov", b"trak", b"mdia", b"mdhd"];
    for scale in [0, u32::MAX] {
        let mut content = content_of(&whole, &header).to_vec();
        content[12..16].copy_from_slice(&scale.to_be_bytes());
        fs::write(folder.path().join("x.mp4"), with_box(&whole, &header, &content)).unwrap();
        println!("time scale {scale}: {}", outcome(&folder.path().join("x.mp4"), folder.path()));
    }
    let mut avi = fs::read(folder.path().join("a.avi")).unwrap();
    let at = |name: &[u8], avi: &[u8]| avi.windows(4).position(|four| four == name).unwrap() + 8;
    let (main, stream) = (at(b"avih", &avi), at(b"strh", &avi));
    avi[main + 16..main + 20].copy_from_slice(&(1u32 << 31).to_le_bytes());
    avi[stream + 32..stream + 36].copy_from_slice(&(1u32 << 31).to_le_bytes());
    let path = folder.path().join("x.avi");
    fs::write(&path, avi).unwrap();
    assert_eq!(read(&path, folder.path()).unwrap(), 5);
    let notes = video::probe(&path).unwrap().notes;
    assert!(notes.iter().any(|note| note.contains("declares 2147483648 frames")), "{notes:?}");
    check_memory(256);
}

#[test]
fn the_boxes_of_a_crafted_file_are_those_that_ffmpeg_writes() {
    let folder = tempfile::tempdir().unwrap();
    ffmpeg(folder.path(), &format!("{SOURCE} -c:v libx264 -bf 0 a.mp4"));
    let bytes = fs::read(folder.path().join("a.mp4")).unwrap();
    // version and flags, one entry, five frames of 512 ticks
    assert_eq!(content_of(&bytes, &table(b"stts")), [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 2, 0]);
}
