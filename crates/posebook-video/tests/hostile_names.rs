//! File names that ffmpeg, a shell, a terminal or a page could take for something else: a file of any name is probed, decoded,
//! extracted and scanned, gives its audio, and is written, with a relative and an absolute path.

#[path = "../../../tests/common/ffmpeg.rs"]
mod ffmpeg_clips;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

use ffmpeg_clips::ffmpeg;
use posebook_video as video;
use posebook_video::{
    AudioSegment, Encoder, EncoderSettings, FrameGeometry, Probe, Selection, Settings, Timeline,
};
use rayon::prelude::*;
use tempfile::TempDir;

const FRAMES: usize = 6;
/// Names that are most likely to be taken for something else; read in every mode.
const WORST: [&str; 6] = ["a:b.mp4", "-i.mp4", "%d.mp4", "new\nline.mp4", "pipe:0", "file:x.mp4"];

/// The working directory of all tests of this file, so that names can be given relative to it: with `clip.mp4` and
/// `picture.png`. It is removed after the last test that uses it.
fn working_directory() -> Arc<TempDir> {
    static FOLDER: Mutex<Weak<TempDir>> = Mutex::new(Weak::new());
    let mut current = FOLDER.lock().unwrap();
    if let Some(folder) = current.upgrade() {
        return folder;
    }
    let folder = Arc::new(tempfile::tempdir().unwrap());
    ffmpeg(
        folder.path(),
        &format!(
            "-f lavfi -i testsrc2=size=64x48:rate=25 -f lavfi -i sine=duration=0.24 -frames:v {FRAMES} -c:v libx264 -g 3 \
             -bf 0 -c:a aac clip.mp4"
        ),
    );
    ffmpeg(folder.path(), "-f lavfi -i testsrc2=size=64x48:rate=25 -frames:v 1 picture.png");
    std::env::set_current_dir(folder.path()).unwrap();
    *current = Arc::downgrade(&folder);
    folder
}

fn names() -> Vec<OsString> {
    let mut names: Vec<OsString> = WORST.map(OsString::from).into();
    names.extend(
        [
            "12:30.mp4",
            "-",
            "-i",
            "%03d.mp4",
            "100%.mp4",
            "a\r\nSet-Cookie: x=1.mp4",
            "tab\t\u{1b}[31m\u{7f}.mp4",
            "q'u\"o`te.mp4",
            "back\\slash.mp4",
            "\u{202e}4pm.clip",
            "data:x.mp4",
            "concat:clip.mp4|clip.mp4",
            "subfile,,start,0,end,9,,:clip.mp4",
            "lavfi",
            "$(touch x).mp4",
            "${7*7}.mp4",
            "\"><img src=x onerror=alert(1)>.mp4",
            "~",
            "*.mp4",
            " lead",
            "trail.mp4 ",
            "x.m3u8",
        ]
        .map(OsString::from),
    );
    // 255 bytes, the longest name there is
    names.push(format!("{}abc.mp4", "\u{1f938}".repeat(62)).into());
    assert_eq!(names.last().map(|name| name.len()), Some(255));
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::ffi::OsStringExt;
        names.push(OsString::from_vec(b"caf\xe9 \xff%d.mp4".to_vec()));
    }
    names
}

/// The bytes of all frames that a mode gives.
fn frames(path: &Path, mode: &str) -> Vec<Vec<u8>> {
    let scratch = tempfile::tempdir().unwrap();
    let settings = Settings { mode: Some(mode.parse().unwrap()), ..Settings::default() };
    let mut source =
        video::open(path, &settings, scratch.path(), None).unwrap_or_else(|error| panic!("{error}"));
    let mut frames = Vec::new();
    while let Some(frame) = source.next_frame().unwrap_or_else(|error| panic!("{error}")) {
        frames.push(frame.rgb().to_vec());
    }
    frames
}

/// Writes the video and its audio to `to`.
fn write_overlay(probe: &Probe, frames: &[Vec<u8>], to: &Path) {
    let selection = Selection::all(0..probe.frames());
    let timeline = Timeline::from_selection(probe, &selection);
    let audio = AudioSegment::for_selection(probe, &selection);
    assert!(audio.is_some(), "{}", probe.path.display());
    let settings = EncoderSettings::default();
    let encoder =
        Encoder::create(to, FrameGeometry::from_probe(probe), &timeline, settings, audio.as_ref()).unwrap();
    let mut encoder = encoder;
    for frame in frames {
        encoder.write_rgb(frame).unwrap_or_else(|error| panic!("{error}"));
    }
    encoder.finish().unwrap_or_else(|error| panic!("{error}"));
    assert!(fs::metadata(to).is_ok_and(|metadata| metadata.len() > 1000), "{}", to.display());
}

#[test]
fn a_video_of_any_name_is_read_and_written() {
    let directory = working_directory();
    let folder = directory.path();
    let expected = frames(Path::new("clip.mp4"), "stream-sequential");
    assert_eq!(expected.len(), FRAMES);
    let clip = fs::read("clip.mp4").unwrap();
    let [inputs, outputs] = ["videos", "overlays"].map(|name| folder.join(name));
    fs::create_dir_all(&inputs).unwrap();
    fs::create_dir_all(&outputs).unwrap();
    names().par_iter().enumerate().for_each(|(number, name)| {
        // in the working directory, so that the name is all of the path
        fs::write(name, &clip).unwrap();
        let relative = Path::new(name);
        let probe = video::probe(relative).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((probe.frames(), probe.has_audio), (FRAMES, true), "{name:?}");
        assert_eq!(frames(relative, "stream-sequential"), expected, "{name:?}");
        // all kinds of names, but not all of them
        if number % 4 == 0 || name.len() == 255 || name.to_str().is_none() {
            write_overlay(&probe, &expected, &outputs.join(name));
        }
        if WORST.iter().any(|worst| *name == **worst) {
            let absolute = inputs.join(name);
            fs::rename(relative, &absolute).unwrap();
            for mode in ["stream-seek", "stream-indexed", "extract-memory", "extract-png"] {
                assert_eq!(frames(&absolute, mode), expected, "{name:?} in {mode}");
            }
            let probe = video::probe(&absolute).unwrap();
            let scanned = video::shots::scan_file(&probe, video::shots::Settings::default(), None, |_| true);
            assert_eq!(scanned.unwrap(), Vec::<usize>::new(), "{name:?}");
            // the overlay's path is relative as well, and replaces the file
            write_overlay(&probe, &expected, relative);
            let overlay = video::probe(relative).unwrap();
            assert_eq!((overlay.frames(), overlay.has_audio), (FRAMES, true), "{name:?}");
        }
        let _ = fs::remove_file(relative);
    });
    let written = fs::read_dir(&outputs).unwrap().map(|entry| entry.unwrap().file_name());
    assert!({ written }.all(|name| names().contains(&name)), "an overlay has another name");
    assert!(!folder.join("x").exists(), "a shell ran a name");
}

#[test]
fn images_of_any_name_are_read_as_frames() {
    let directory = working_directory();
    let folder = directory.path();
    let picture = fs::read("picture.png").unwrap();
    let expected = still_rgb(Path::new("picture.png"));
    for (number, name) in names().iter().enumerate() {
        // a folder of this name, with a picture of this name
        let images = PathBuf::from(format!("images{number}")).join(name);
        fs::create_dir_all(folder.join(&images)).unwrap();
        let mut file = name.clone();
        if file.len() > 250 {
            file = "\u{1f938}".repeat(62).into();
        }
        file.push(".png");
        // hidden files are left out of a folder
        let file = images.join(if file.as_encoded_bytes().starts_with(b".") { "x.png".into() } else { file });
        fs::write(&file, &picture).unwrap();
        for path in [&images, &file] {
            assert_eq!(
                frames(path, "stream-sequential"),
                std::slice::from_ref(&expected),
                "{}",
                path.display()
            );
        }
    }
}

/// The pixels of a single image.
fn still_rgb(path: &Path) -> Vec<u8> {
    video::still::read(path, 0).unwrap().frame.rgb().to_vec()
}

#[test]
fn an_animation_and_single_images_with_a_pattern_for_a_name_are_one_file() {
    let _directory = working_directory();
    let folder = PathBuf::from("patterns");
    fs::create_dir_all(&folder).unwrap();
    ffmpeg(&folder, "-f lavfi -i testsrc2=size=64x48:rate=25 -frames:v 3 a.gif");
    ffmpeg(&folder, "-f lavfi -i testsrc2=size=64x48:rate=25 -frames:v 1 a.bmp");
    // the files that the patterns would name have another size
    for name in ["1.gif", "01.gif", "1.bmp"] {
        let other = "-f lavfi -i testsrc2=size=32x32:rate=25 -frames:v 1";
        ffmpeg(&folder, &format!("{other} {name}"));
    }
    for (name, count) in [("%d.gif", 3), ("%02d.gif", 3), ("%d.bmp", 1)] {
        let from = if count == 3 { "a.gif" } else { "a.bmp" };
        fs::copy(folder.join(from), folder.join(name)).unwrap();
        let read = frames(&folder.join(name), "stream-sequential");
        assert!(read.len() == count && read[0].len() == 64 * 48 * 3, "{name}: {} frames", read.len());
    }
}

/// Files that this process has open are not open in ffmpeg.
#[cfg(target_os = "linux")]
#[test]
fn a_decoder_has_its_pipes_and_the_video_open_and_nothing_else() {
    let _directory = working_directory();
    ffmpeg(Path::new("."), "-f lavfi -i testsrc2=size=640x360:rate=25 -frames:v 100 -c:v libx264 long.mp4");
    let secret = fs::File::open("picture.png").unwrap();
    let settings = Settings::default();
    let mut source = video::open(Path::new("long.mp4"), &settings, Path::new("."), None).unwrap();
    assert!(source.next_frame().unwrap().is_some());
    let [pid] = source.decoder_pids()[..] else { panic!("one decoder") };
    let open: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .map(|entry| fs::read_link(entry.unwrap().path()).unwrap().display().to_string())
        .collect();
    let is_expected = |target: &String| {
        let kernel = ["pipe:", "socket:", "anon_inode:", "/dev/null"];
        kernel.iter().any(|start| target.starts_with(start)) || target.ends_with("/long.mp4")
    };
    assert!(open.iter().all(is_expected), "{open:?}");
    drop(secret);
}
