//! A folder of pictures, or a single one, as a video: which files are its frames, in which order, and what they are
//! together.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::SourceError;
use super::header::{Header, Kind};
use super::order::natural;
use crate::provenance::{sha256_of_bytes, sha256_of_file};

/// Endings of pictures that are read; which kind a file is its content tells.
const READ: [&str; 3] = ["jpg", "jpeg", "png"];
/// Endings of pictures that are not read.
const NOT_READ: [&str; 9] = ["gif", "webp", "bmp", "tif", "tiff", "heic", "heif", "avif", "jp2"];

/// Whether what lies at `path` is read as pictures and not as a video file: a folder, or a file that is a JPEG or a
/// PNG by its name and by its content. An animation is a video.
pub fn is_pictures(path: &Path) -> bool {
    let is_named_so = || READ.iter().any(|known| ending(path) == OsStr::new(known));
    path.is_dir() || (is_named_so() && Header::of_path(path).is_ok_and(|header| !header.animated))
}

/// The pictures of a folder, or a single one.
#[derive(Debug, Clone, PartialEq)]
pub struct Pictures {
    /// In natural order; at least one.
    pub files: Vec<PathBuf>,
    /// What is left out and why, in words; nothing of files that are no pictures by name.
    pub left_out: Vec<String>,
}

/// Pictures that are all of one size.
#[derive(Debug, Clone, PartialEq)]
pub struct Frames {
    pub pictures: Pictures,
    /// Columns and rows as they are seen, turned by EXIF.
    pub width: usize,
    pub height: usize,
    /// Which kinds of files there are, such as `jpeg and png`.
    pub kinds: String,
}

impl Pictures {
    /// The files of `folder` whose names end in `.jpg`, `.jpeg` or `.png`, whatever letters are large; hidden ones
    /// (macOS writes `._NAME` beside files on other systems' disks) and folders are left out. A path that is no
    /// folder is a single picture.
    ///
    /// # Errors
    /// If the folder cannot be read, or has no pictures.
    pub fn of(folder: &Path) -> Result<Pictures, SourceError> {
        if !folder.is_dir() {
            return Ok(Pictures { files: vec![folder.to_path_buf()], left_out: Vec::new() });
        }
        let (mut files, mut others) = (Vec::new(), Vec::new());
        let (mut hidden, mut folders) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(folder).map_err(SourceError::disk(folder))? {
            let path = entry.map_err(SourceError::disk(folder))?.path();
            let ending = ending(&path);
            let is_of = |endings: &[&str]| endings.iter().any(|known| ending == OsStr::new(known));
            let (is_read, is_other) = (is_of(&READ), is_of(&NOT_READ));
            if !is_read && !is_other {
                continue;
            }
            match () {
                () if name(&path).starts_with(b".") => hidden.push(path),
                () if path.is_dir() => folders.push(path),
                () if is_read => files.push(path),
                () => others.push(path),
            }
        }
        for paths in [&mut files, &mut others, &mut hidden, &mut folders] {
            paths.sort_by(|a, b| natural(name(a), name(b)));
        }
        let mut left_out = Vec::new();
        left_out.extend(words(&hidden, "hidden"));
        left_out.extend(words(&folders, "no file but a folder"));
        if files.is_empty() {
            left_out.extend(words(
                &others,
                "of a kind that is not read; convert it with `ffmpeg -i FILE FILE.png`",
            ));
            return Err(SourceError::NoPictures { folder: folder.to_path_buf(), left_out });
        }
        left_out.extend(words(&others, "of a kind that is not read: pictures are read as JPEG and PNG"));
        Ok(Pictures { files, left_out })
    }

    /// Hash of the pictures' names, sizes and times of change, without reading them: what is kept about a folder
    /// is made again when it differs.
    ///
    /// # Errors
    /// If a picture is not there any more.
    pub fn state(&self) -> Result<String, SourceError> {
        let mut text = Vec::new();
        for path in &self.files {
            let about = fs::metadata(path).map_err(SourceError::disk(path))?;
            let changed = about.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            text.extend(format!("{} {changed:?} ", about.len()).bytes());
            text.extend(name(path));
            text.push(0);
        }
        Ok(sha256_of_bytes(&text))
    }

    /// SHA-256 of the folder as a video of `fps` frames a second: of a text with the line `fps FPS`, and for every
    /// picture, in order, the SHA-256 of its file, two blanks and its name, lines ended by a line feed.
    ///
    /// # Errors
    /// If a picture cannot be read.
    pub fn sha256(&self, fps: f64) -> Result<String, SourceError> {
        let mut text = format!("fps {fps}\n").into_bytes();
        for path in &self.files {
            let sha256 = sha256_of_file(path).map_err(SourceError::disk(path))?;
            text.extend(format!("{sha256}  ").bytes());
            text.extend(name(path));
            text.push(b'\n');
        }
        Ok(sha256_of_bytes(&text))
    }

    /// Bytes of all files.
    ///
    /// # Errors
    /// If a picture is not there any more.
    pub fn bytes(&self) -> Result<u64, SourceError> {
        let length =
            |path: &PathBuf| fs::metadata(path).map(|about| about.len()).map_err(SourceError::disk(path));
        self.files.iter().map(length).sum()
    }
}

impl Frames {
    /// The pictures of `folder`, each looked at by its header: JPEG and PNG in any mixture, of one size once they
    /// are turned upright.
    ///
    /// # Errors
    /// As [`Pictures::of`]; if a file is no JPEG or PNG by its content, or the sizes differ.
    pub fn of(folder: &Path) -> Result<Frames, SourceError> {
        let pictures = Pictures::of(folder)?;
        let mut first: Option<(&Path, Header)> = None;
        let (mut jpeg, mut png) = (false, false);
        for path in &pictures.files {
            let wrong = |what| SourceError::Picture { path: path.clone(), what };
            let header = Header::of_path(path).map_err(wrong)?;
            jpeg |= header.kind == Kind::Jpeg;
            png |= header.kind == Kind::Png;
            let (first_path, first_header) = *first.get_or_insert((path, header));
            if header.upright_size() != first_header.upright_size() {
                let (this, other) = (size_in_words(&header), size_in_words(&first_header));
                let first_name = first_path.file_name().unwrap_or_default().display();
                let what =
                    format!("this picture is {this}, and {first_name} is {other}; make them of one size");
                return Err(wrong(what));
            }
        }
        let Some((_, header)) = first else {
            return Err(SourceError::NoPictures {
                folder: folder.to_path_buf(),
                left_out: pictures.left_out,
            });
        };
        let (width, height) = header.upright_size();
        let kinds = match (jpeg, png) {
            (true, true) => "jpeg and png",
            (true, false) => "jpeg",
            _ => "png",
        };
        Ok(Frames { pictures, width, height, kinds: kinds.to_string() })
    }
}

fn size_in_words(header: &Header) -> String {
    let (width, height) = header.upright_size();
    let turned = if header.is_transposed() { " as its EXIF orientation turns it" } else { "" };
    format!("{width}x{height}{turned}")
}

/// That files are left out, and why.
fn words(paths: &[PathBuf], why: &str) -> Option<String> {
    match paths {
        [] => None,
        [one] => Some(format!("{} is left out: it is {why}", one.display())),
        [first, ..] => {
            Some(format!("{} and {} more are left out: each is {why}", first.display(), paths.len() - 1))
        }
    }
}

/// The ending of a file's name in small letters.
fn ending(path: &Path) -> std::ffi::OsString {
    path.extension().unwrap_or_default().to_ascii_lowercase()
}

/// The bytes of a file's name.
fn name(path: &Path) -> &[u8] {
    path.file_name().unwrap_or_default().as_encoded_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(path: &Path, width: u32, shade: u8) {
        image::RgbImage::from_fn(width, 16, |x, y| image::Rgb([x as u8 * 9, y as u8 * 11, shade]))
            .save(path)
            .unwrap();
    }

    fn names(pictures: &Pictures) -> Vec<String> {
        pictures.files.iter().map(|path| path.file_name().unwrap().display().to_string()).collect()
    }

    #[test]
    fn pictures_are_listed_in_order_and_the_rest_is_told() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["f10.png", "f9.PNG", "f2.jpg", "f1.JPEG"] {
            fs::write(folder.path().join(file), "").unwrap();
        }
        let pictures = Pictures::of(folder.path()).unwrap();
        assert_eq!(names(&pictures), ["f1.JPEG", "f2.jpg", "f9.PNG", "f10.png"]);
        assert_eq!(pictures.left_out, Vec::<String>::new());
        for file in ["._f2.jpg", "._f10.png", ".DS_Store", "notes.txt", "b.webp"] {
            fs::write(folder.path().join(file), "").unwrap();
        }
        fs::create_dir(folder.path().join("f3.png")).unwrap();
        let pictures = Pictures::of(folder.path()).unwrap();
        assert_eq!(names(&pictures), ["f1.JPEG", "f2.jpg", "f9.PNG", "f10.png"]);
        let [hidden, folders, others] = pictures.left_out.as_slice() else {
            panic!("{:?}", pictures.left_out)
        };
        assert!(hidden.ends_with("._f2.jpg and 1 more are left out: each is hidden"), "{hidden}");
        assert!(folders.ends_with("f3.png is left out: it is no file but a folder"), "{folders}");
        assert!(others.contains("b.webp is left out") && others.contains("read as JPEG and PNG"), "{others}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn names_that_are_not_utf_8_are_in_order_too() {
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir().unwrap();
        let expected: [&[u8]; 4] = [b"caf\xe9_1.png", b"caf\xe9_2.png", b"caf\xe9_10.png", b"caf\xea_1.png"];
        for number in [2, 0, 3, 1] {
            fs::write(folder.path().join(OsStr::from_bytes(expected[number])), "").unwrap();
        }
        let pictures = Pictures::of(folder.path()).unwrap();
        let found: Vec<&[u8]> = pictures.files.iter().map(|path| name(path)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_wrong_with_a_folder_is_told_by_file() {
        let folder = tempfile::tempdir().unwrap();
        let told = || Frames::of(folder.path()).unwrap_err().to_string();
        assert!(told().contains("no pictures"), "{}", told());
        fs::write(folder.path().join("1.webp"), "").unwrap();
        assert!(
            told().contains("1.webp is left out: it is of a kind that is not read; convert it"),
            "{}",
            told()
        );
        picture(&folder.path().join("1.png"), 24, 1);
        picture(&folder.path().join("2.png"), 20, 1);
        assert!(told().contains("2.png: this picture is 20x16, and 1.png is 24x16; make"), "{}", told());
        fs::write(folder.path().join("2.png"), "no picture").unwrap();
        assert!(told().contains("2.png: this is no picture"), "{}", told());
        fs::write(folder.path().join("2.png"), "").unwrap();
        assert!(told().contains("2.png: the file is empty"), "{}", told());
        fs::remove_file(folder.path().join("2.png")).unwrap();
        picture(&folder.path().join("3.jpg"), 24, 1);
        let frames = Frames::of(folder.path()).unwrap();
        assert_eq!((frames.width, frames.height, frames.kinds.as_str()), (24, 16, "jpeg and png"));
    }

    #[test]
    fn sizes_are_compared_as_pictures_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let with_exif = |name: &str, width, height, number| {
            let mut file = Vec::new();
            let mut encoder = image::codecs::png::PngEncoder::new(&mut file);
            image::ImageEncoder::set_exif_metadata(&mut encoder, super::super::header::exif(number, true))
                .unwrap();
            let pixels = vec![7; width as usize * height as usize];
            image::ImageEncoder::write_image(encoder, &pixels, width, height, image::ExtendedColorType::L8)
                .unwrap();
            fs::write(folder.path().join(name), file).unwrap();
        };
        with_exif("1.png", 24, 16, 1);
        with_exif("2.png", 16, 24, 6);
        with_exif("3.png", 24, 16, 3);
        let frames = Frames::of(folder.path()).unwrap();
        assert_eq!((frames.width, frames.height), (24, 16));
        with_exif("4.png", 24, 16, 8);
        let told = Frames::of(folder.path()).unwrap_err().to_string();
        let expected = "4.png: this picture is 16x24 as its EXIF orientation turns it, and 1.png is 24x16";
        assert!(told.contains(expected), "{told}");
    }

    #[test]
    fn a_single_picture_is_one_too_and_an_animation_is_a_video() {
        let stills = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/opencv/stills");
        let still = stills.join("exif-6.jpg");
        assert!(is_pictures(&stills) && is_pictures(&still) && !is_pictures(&stills.join("animated.png")));
        let frames = Frames::of(&still).unwrap();
        assert_eq!((frames.width, frames.height, frames.pictures.files), (7, 11, vec![still.clone()]));
        let folder = tempfile::tempdir().unwrap();
        let (other, missing) = (folder.path().join("a.mjpeg"), folder.path().join("a.jpg"));
        fs::copy(&still, &other).unwrap();
        assert!(!is_pictures(&other) && !is_pictures(&missing));
        fs::write(&missing, "no picture").unwrap();
        assert!(!is_pictures(&missing));
    }

    #[test]
    fn a_folder_is_known_by_its_pictures_and_its_rate() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("1.png"), "one").unwrap();
        fs::write(folder.path().join("2.png"), "two").unwrap();
        let pictures = || Pictures::of(folder.path()).unwrap();
        // sha256sum of the two files, and of a text of these three lines
        let text = "fps 12.5\n7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed  1.png\n\
                    3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3  2.png\n";
        assert_eq!(pictures().sha256(12.5).unwrap(), sha256_of_bytes(text.as_bytes()));
        assert_eq!(pictures().bytes().unwrap(), 6);
        let (sha256, state) = (pictures().sha256(25.0).unwrap(), pictures().state().unwrap());
        assert_ne!(sha256, pictures().sha256(12.5).unwrap());
        fs::rename(folder.path().join("2.png"), folder.path().join("3.png")).unwrap();
        assert_ne!((sha256, state), (pictures().sha256(25.0).unwrap(), pictures().state().unwrap()));
    }
}
