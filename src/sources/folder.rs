//! A folder of pictures, as one video file: each picture's bytes are a packet of it.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::UNIX_EPOCH;

use super::{SourceError, key};
use crate::children;
use crate::ffmpeg;
use crate::files::WholeFile;

/// A kind of picture, and ffmpeg's name of its codec.
const KINDS: [(&str, &str); 3] = [("jpg", "mjpeg"), ("jpeg", "mjpeg"), ("png", "png")];

/// The pictures of `folder` as a video of `fps` frames a second, kept in `kept`; made where it is not there.
pub(super) fn join(folder: &Path, fps: f64, kept: &Path) -> Result<PathBuf, SourceError> {
    if !(fps.is_finite() && fps > 0.0) {
        return Err(SourceError::Fps(fps));
    }
    let (pictures, codec) = pictures(folder)?;
    let place = kept.join(format!("{}.mkv", key(name(folder), &made_from(folder, &pictures, fps)?)));
    if place.is_file() {
        return Ok(place);
    }
    let whole = WholeFile::create(&place).map_err(SourceError::disk(&place))?;
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-loglevel", "error", "-y", "-f", "image2pipe", "-c:v", codec]);
    command.args(["-framerate", &fps.to_string(), "-i", "pipe:0", "-c", "copy", "-f", "matroska"]);
    command.arg(ffmpeg::file(whole.beside()));
    let stdio = [Stdio::piped(), Stdio::null(), Stdio::piped()];
    let failed = |said: String| SourceError::Join { path: folder.to_path_buf(), said };
    let mut ffmpeg = children::spawn(&command, stdio, None).map_err(|error| failed(error.to_string()))?;
    let mut broken = None;
    if let Some(mut stdin) = ffmpeg.stdin.take() {
        for picture in &pictures {
            let bytes = fs::read(picture).map_err(SourceError::disk(picture));
            match bytes.map(|bytes| stdin.write_all(&bytes)) {
                Ok(Ok(())) => {}
                // ffmpeg ended: it says why
                Ok(Err(_)) => break,
                Err(error) => {
                    broken = Some(error);
                    break;
                }
            }
        }
    }
    let output = ffmpeg.wait_with_output().map_err(|error| failed(error.to_string()))?;
    match broken {
        Some(error) => Err(error),
        None if !output.status.success() => {
            Err(failed(String::from_utf8_lossy(&output.stderr).trim().into()))
        }
        None => whole.finish().map_err(SourceError::disk(&place)).map(|()| place),
    }
}

/// Endings of pictures that are not read.
const STRANGERS: [&str; 9] = ["gif", "webp", "bmp", "tif", "tiff", "heic", "heif", "avif", "jp2"];

/// The files of `folder` that are pictures of kinds that are not read, by their names' endings, in natural order.
pub(super) fn strangers(folder: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let entries = fs::read_dir(folder).map_err(SourceError::disk(folder))?;
    let is_strange = |path: &PathBuf| {
        let ending = path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
        ending.is_some_and(|ending| STRANGERS.contains(&ending.as_str()))
    };
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_strange).collect();
    found.sort_by(|a, b| natural(name(a), name(b)));
    Ok(found)
}

/// The files of `folder` that are pictures by their names' endings, in natural order, each with its codec.
pub(super) fn listed(folder: &Path) -> Result<Vec<(PathBuf, &'static str)>, SourceError> {
    let entries = fs::read_dir(folder).map_err(SourceError::disk(folder))?;
    let mut found: Vec<(PathBuf, &'static str)> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter_map(|path| kind_of(&path).map(|codec| (path, codec)))
        .collect();
    found.sort_by(|(a, _), (b, _)| natural(name(a), name(b)));
    if found.is_empty() { Err(SourceError::NoPictures(folder.to_path_buf())) } else { Ok(found) }
}

/// The pictures in natural order, and their codec: all of one kind and one size.
fn pictures(folder: &Path) -> Result<(Vec<PathBuf>, &'static str), SourceError> {
    let found = listed(folder)?;
    let Some((first, codec)) = found.first().cloned() else {
        return Err(SourceError::NoPictures(folder.to_path_buf()));
    };
    let wrong = |path: &Path, what: String| SourceError::Picture { path: path.to_path_buf(), what };
    let size_of =
        |path: &Path| image::image_dimensions(path).map_err(|error| wrong(path, format!("{error}")));
    let (width, height) = size_of(&first)?;
    for (path, other) in &found {
        if *other != codec {
            let what = "the folder has JPEG and PNG files; keep those of one kind in it".to_string();
            return Err(wrong(path, what));
        }
        let (w, h) = size_of(path)?;
        if (w, h) != (width, height) {
            let first = name(&first);
            let what =
                format!("this picture is {w}x{h}, and {first} is {width}x{height}; make them of one size");
            return Err(wrong(path, what));
        }
    }
    Ok((found.into_iter().map(|(path, _)| path).collect(), codec))
}

fn kind_of(path: &Path) -> Option<&'static str> {
    let ending = path.extension().and_then(OsStr::to_str)?.to_ascii_lowercase();
    KINDS.iter().find(|(kind, _)| *kind == ending).map(|(_, codec)| *codec)
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(OsStr::to_str).unwrap_or_default()
}

/// The order in which people count: `frame9` before `frame10`.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let (da, db) = (digits(a), digits(b));
        if da > 0 && db > 0 {
            let (na, nb) = (a[..da].trim_start_matches('0'), b[..db].trim_start_matches('0'));
            let order = na.len().cmp(&nb.len()).then_with(|| na.cmp(nb)).then_with(|| da.cmp(&db));
            if order != Ordering::Equal {
                return order;
            }
            (a, b) = (&a[da..], &b[db..]);
            continue;
        }
        let (mut ca, mut cb) = (a.chars(), b.chars());
        match (ca.next(), cb.next()) {
            (Some(x), Some(y)) if x == y => (a, b) = (ca.as_str(), cb.as_str()),
            (x, y) => return x.cmp(&y),
        }
    }
}

/// What the video follows from: every picture's name, size and time of change.
fn made_from(folder: &Path, pictures: &[PathBuf], fps: f64) -> Result<String, SourceError> {
    let folder = fs::canonicalize(folder).map_err(SourceError::disk(folder))?;
    let mut text = format!("{} at {fps}", folder.display());
    for path in pictures {
        let about = fs::metadata(path).map_err(SourceError::disk(path))?;
        let changed = about.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        text.push_str(&format!("\n{} {} {:?}", name(path), about.len(), changed));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_count_like_this() {
        let mut names =
            ["f10.png", "f9.png", "f09.png", "e.png", "f9a.png", "f.png", "f1b2.png", "f1b10.png"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(
            names,
            ["e.png", "f.png", "f1b2.png", "f1b10.png", "f9.png", "f9a.png", "f09.png", "f10.png"]
        );
    }

    fn picture(path: &Path, width: u32, shade: u8) {
        image::RgbImage::from_fn(width, 16, |x, y| image::Rgb([x as u8 * 9, y as u8 * 11, shade]))
            .save(path)
            .unwrap();
    }

    #[test]
    fn a_folder_is_a_video_of_its_pictures() {
        let folder = tempfile::tempdir().unwrap();
        let kept = tempfile::tempdir().unwrap();
        for n in [10, 9, 1] {
            picture(&folder.path().join(format!("{n}.png")), 24, n);
        }
        fs::write(folder.path().join("notes.txt"), "no picture").unwrap();
        let video = join(folder.path(), 12.5, kept.path()).unwrap();
        let output = Command::new("ffmpeg")
            .args(["-nostdin", "-loglevel", "error", "-i"])
            .arg(&video)
            .args(["-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"])
            .output()
            .unwrap();
        let shades: Vec<u8> = output.stdout.chunks(24 * 16 * 3).map(|frame| frame[2]).collect();
        assert_eq!(shades, [1, 9, 10]);
        assert_eq!(&output.stdout[3..6], [9, 0, 1], "pixels are the picture's own");
        let again = join(folder.path(), 12.5, kept.path()).unwrap();
        assert_eq!((again, fs::read_dir(kept.path()).unwrap().count()), (video, 1));
        join(folder.path(), 25.0, kept.path()).unwrap();
        assert_eq!(fs::read_dir(kept.path()).unwrap().count(), 2, "another rate is another video");
    }

    #[test]
    fn what_is_wrong_with_a_folder_is_told_by_file() {
        let folder = tempfile::tempdir().unwrap();
        let kept = tempfile::tempdir().unwrap();
        let told = |fps| join(folder.path(), fps, kept.path()).unwrap_err().to_string();
        assert!(told(30.0).contains("no pictures"), "{}", told(30.0));
        picture(&folder.path().join("1.png"), 24, 1);
        assert!(told(0.0).contains("more than 0"));
        picture(&folder.path().join("2.png"), 20, 1);
        assert!(told(30.0).contains("2.png: this picture is 20x16, and 1.png is 24x16"), "{}", told(30.0));
        fs::write(folder.path().join("2.png"), "no picture").unwrap();
        assert!(told(30.0).contains("2.png"), "{}", told(30.0));
        fs::remove_file(folder.path().join("2.png")).unwrap();
        picture(&folder.path().join("3.jpg"), 24, 1);
        assert!(told(30.0).contains("of one kind"), "{}", told(30.0));
        assert_eq!(fs::read_dir(kept.path()).unwrap().count(), 0);
    }
}
