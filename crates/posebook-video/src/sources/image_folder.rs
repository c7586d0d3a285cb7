//! A folder of images, or a single image, as a video: which files are its frames, in which order, and their common size and
//! format.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use posebook_core::provenance::{sha256_of_bytes, sha256_of_file};

use super::SourceError;
use super::natural_order;
use crate::error::Printable;
use crate::images::header::{ImageFormat, ImageHeader};

/// Extensions of supported images; the format itself is recognized by the content.
const SUPPORTED: [&str; 3] = ["jpg", "jpeg", "png"];
/// Extensions of images in unsupported formats.
const UNSUPPORTED: [&str; 9] = ["gif", "webp", "bmp", "tif", "tiff", "heic", "heif", "avif", "jp2"];

/// Whether `path` is read as images and not as a video file: a folder, or a file that is a JPEG or PNG by its extension and
/// its content. An animation is a video.
pub fn is_image_source(path: &Path) -> bool {
    let has_extension = || SUPPORTED.iter().any(|known| extension(path) == OsStr::new(known));
    path.is_dir() || (has_extension() && ImageHeader::read_file(path).is_ok_and(|header| !header.animated))
}

/// The image files of a folder, or a single image.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageFiles {
    /// In natural order; at least one.
    pub files: Vec<PathBuf>,
    /// Messages about files that are left out although their extension is that of an image.
    pub left_out: Vec<String>,
}

/// Images of one size.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageSequence {
    /// The files.
    pub images: ImageFiles,
    /// Pixels across, with EXIF orientation applied.
    pub width: usize,
    /// Pixels down, with EXIF orientation applied.
    pub height: usize,
    /// The formats, such as `jpeg and png`.
    pub formats: String,
}

impl ImageFiles {
    /// Lists the files of `folder` with the extensions `.jpg`, `.jpeg` or `.png` in upper or lower case. Hidden files (macOS
    /// writes `._NAME` files on other systems' disks) and folders are left out. A path that is not a folder is a single image.
    ///
    /// # Errors
    /// If the folder cannot be read, or has no images.
    pub fn list(folder: &Path) -> Result<ImageFiles, SourceError> {
        if !folder.is_dir() {
            return Ok(ImageFiles { files: vec![folder.to_path_buf()], left_out: Vec::new() });
        }
        let (mut files, mut others) = (Vec::new(), Vec::new());
        let (mut hidden, mut folders) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(folder).map_err(SourceError::io(folder))? {
            let path = entry.map_err(SourceError::io(folder))?.path();
            let extension = extension(&path);
            let is_one_of = |known: &[&str]| known.iter().any(|known| extension == OsStr::new(known));
            let (is_supported, is_unsupported) = (is_one_of(&SUPPORTED), is_one_of(&UNSUPPORTED));
            if !is_supported && !is_unsupported {
                continue;
            }
            match () {
                () if file_name_bytes(&path).starts_with(b".") => hidden.push(path),
                () if path.is_dir() => folders.push(path),
                () if is_supported => files.push(path),
                () => others.push(path),
            }
        }
        for paths in [&mut files, &mut others, &mut hidden, &mut folders] {
            paths.sort_by(|a, b| natural_order::compare(file_name_bytes(a), file_name_bytes(b)));
        }
        let mut left_out = Vec::new();
        left_out.extend(left_out_message(&hidden, "hidden"));
        left_out.extend(left_out_message(&folders, "a folder and not a file"));
        if files.is_empty() {
            left_out.extend(left_out_message(
                &others,
                "in an unsupported format; convert it with `ffmpeg -i FILE FILE.png`",
            ));
            return Err(SourceError::NoImages { folder: folder.to_path_buf(), left_out });
        }
        left_out.extend(left_out_message(&others, "in an unsupported format: supported are JPEG and PNG"));
        Ok(ImageFiles { files, left_out })
    }

    /// A hash of the images' names, sizes and modification times, without reading them, for the validation of caches.
    ///
    /// # Errors
    /// If an image no longer exists.
    pub fn state_hash(&self) -> Result<String, SourceError> {
        let mut text = Vec::new();
        for path in &self.files {
            let metadata = fs::metadata(path).map_err(SourceError::io(path))?;
            let changed = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            text.extend(format!("{} {changed:?} ", metadata.len()).bytes());
            text.extend(file_name_bytes(path));
            text.push(0);
        }
        Ok(sha256_of_bytes(&text))
    }

    /// SHA-256 of the images as a video of `fps` frames per second. It is that of a text with the line `fps FPS` and for
    /// every image, in order, a line with the SHA-256 of its file, two spaces and its name; lines end with a line feed.
    ///
    /// # Errors
    /// If an image cannot be read.
    pub fn sha256(&self, fps: f64) -> Result<String, SourceError> {
        let mut text = format!("fps {fps}\n").into_bytes();
        for path in &self.files {
            let sha256 = sha256_of_file(path).map_err(SourceError::io(path))?;
            text.extend(format!("{sha256}  ").bytes());
            text.extend(file_name_bytes(path));
            text.push(b'\n');
        }
        Ok(sha256_of_bytes(&text))
    }

    /// Bytes of all files.
    ///
    /// # Errors
    /// If an image no longer exists.
    pub fn bytes(&self) -> Result<u64, SourceError> {
        let length =
            |path: &PathBuf| fs::metadata(path).map(|metadata| metadata.len()).map_err(SourceError::io(path));
        self.files.iter().map(length).sum()
    }
}

impl ImageSequence {
    /// Lists the images of `folder` and reads their headers. JPEG and PNG may be mixed; all must have the same size after
    /// their EXIF orientation is applied.
    ///
    /// # Errors
    /// As [`ImageFiles::list`]; if a file is not a JPEG or PNG by its content, or the sizes differ.
    pub fn open(folder: &Path) -> Result<ImageSequence, SourceError> {
        let images = ImageFiles::list(folder)?;
        let mut first: Option<(&Path, ImageHeader)> = None;
        let (mut jpeg, mut png) = (false, false);
        for path in &images.files {
            let wrong = |reason| SourceError::Image { path: path.clone(), reason };
            let header = ImageHeader::read_file(path).map_err(wrong)?;
            jpeg |= header.format == ImageFormat::Jpeg;
            png |= header.format == ImageFormat::Png;
            let (first_path, first_header) = *first.get_or_insert((path, header));
            if header.displayed_size() != first_header.displayed_size() {
                let (this, other) = (describe_size(&header), describe_size(&first_header));
                let first_name = first_path.file_name().unwrap_or_default().display();
                let reason = format!(
                    "this image has {this} pixels, and {first_name} has {other}; make them of one size"
                );
                return Err(wrong(reason));
            }
        }
        let Some((_, header)) = first else {
            return Err(SourceError::NoImages { folder: folder.to_path_buf(), left_out: images.left_out });
        };
        let (width, height) = header.displayed_size();
        let formats = match (jpeg, png) {
            (true, true) => "jpeg and png",
            (true, false) => "jpeg",
            _ => "png",
        };
        Ok(ImageSequence { images, width, height, formats: formats.to_string() })
    }
}

fn describe_size(header: &ImageHeader) -> String {
    let (width, height) = header.displayed_size();
    let rotated = if header.is_transposed() { " (after EXIF rotation)" } else { "" };
    format!("{width}x{height}{rotated}")
}

fn printable(path: &Path) -> String {
    Printable(&path.to_string_lossy()).to_string()
}

/// A message that files are left out, and why; `None` if there are none.
fn left_out_message(paths: &[PathBuf], reason: &str) -> Option<String> {
    match paths {
        [] => None,
        [one] => Some(format!("{} is left out: it is {reason}", printable(one))),
        [first, ..] => {
            Some(format!("{} and {} more are left out: each is {reason}", printable(first), paths.len() - 1))
        }
    }
}

/// The extension of a file's name in lower case.
fn extension(path: &Path) -> std::ffi::OsString {
    path.extension().unwrap_or_default().to_ascii_lowercase()
}

/// The bytes of a file's name.
fn file_name_bytes(path: &Path) -> &[u8] {
    path.file_name().unwrap_or_default().as_encoded_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_image(path: &Path, width: u32, shade: u8) {
        image::RgbImage::from_fn(width, 16, |x, y| image::Rgb([x as u8 * 9, y as u8 * 11, shade]))
            .save(path)
            .unwrap();
    }

    fn names(images: &ImageFiles) -> Vec<String> {
        images.files.iter().map(|path| path.file_name().unwrap().display().to_string()).collect()
    }

    #[test]
    fn images_are_listed_in_natural_order_and_the_rest_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["f10.png", "f9.PNG", "f2.jpg", "f1.JPEG"] {
            fs::write(folder.path().join(file), "").unwrap();
        }
        let images = ImageFiles::list(folder.path()).unwrap();
        assert_eq!(names(&images), ["f1.JPEG", "f2.jpg", "f9.PNG", "f10.png"]);
        assert_eq!(images.left_out, Vec::<String>::new());
        for file in ["._f2.jpg", "._f10.png", ".DS_Store", "notes.txt", "b.webp"] {
            fs::write(folder.path().join(file), "").unwrap();
        }
        fs::create_dir(folder.path().join("f3.png")).unwrap();
        let images = ImageFiles::list(folder.path()).unwrap();
        assert_eq!(names(&images), ["f1.JPEG", "f2.jpg", "f9.PNG", "f10.png"]);
        let [hidden, folders, others] = images.left_out.as_slice() else { panic!("{:?}", images.left_out) };
        assert!(hidden.ends_with("._f2.jpg and 1 more are left out: each is hidden"), "{hidden}");
        assert!(folders.ends_with("f3.png is left out: it is a folder and not a file"), "{folders}");
        assert!(
            others.contains("b.webp is left out") && others.contains("supported are JPEG and PNG"),
            "{others}"
        );
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
        let images = ImageFiles::list(folder.path()).unwrap();
        let found: Vec<&[u8]> = images.files.iter().map(|path| file_name_bytes(path)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn errors_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let message = || ImageSequence::open(folder.path()).unwrap_err().to_string();
        assert!(message().contains("no images"), "{}", message());
        fs::write(folder.path().join("1.webp"), "").unwrap();
        assert!(
            message().contains("1.webp is left out: it is in an unsupported format; convert it"),
            "{}",
            message()
        );
        write_image(&folder.path().join("1.png"), 24, 1);
        write_image(&folder.path().join("2.png"), 20, 1);
        assert!(
            message().contains("2.png: this image has 20x16 pixels, and 1.png has 24x16; make"),
            "{}",
            message()
        );
        fs::write(folder.path().join("2.png"), "not an image").unwrap();
        assert!(message().contains("2.png: this is not an image"), "{}", message());
        fs::write(folder.path().join("2.png"), "").unwrap();
        assert!(message().contains("2.png: the file is empty"), "{}", message());
        fs::remove_file(folder.path().join("2.png")).unwrap();
        write_image(&folder.path().join("3.jpg"), 24, 1);
        let frames = ImageSequence::open(folder.path()).unwrap();
        assert_eq!((frames.width, frames.height, frames.formats.as_str()), (24, 16, "jpeg and png"));
    }

    #[test]
    fn sizes_are_compared_after_exif_rotation() {
        let folder = tempfile::tempdir().unwrap();
        let with_exif = |name: &str, width, height, number| {
            let mut file = Vec::new();
            let mut encoder = image::codecs::png::PngEncoder::new(&mut file);
            image::ImageEncoder::set_exif_metadata(&mut encoder, crate::images::header::exif(number, true))
                .unwrap();
            let pixels = vec![7; width as usize * height as usize];
            image::ImageEncoder::write_image(encoder, &pixels, width, height, image::ExtendedColorType::L8)
                .unwrap();
            fs::write(folder.path().join(name), file).unwrap();
        };
        with_exif("1.png", 24, 16, 1);
        with_exif("2.png", 16, 24, 6);
        with_exif("3.png", 24, 16, 3);
        let frames = ImageSequence::open(folder.path()).unwrap();
        assert_eq!((frames.width, frames.height), (24, 16));
        with_exif("4.png", 24, 16, 8);
        let message = ImageSequence::open(folder.path()).unwrap_err().to_string();
        let expected = "4.png: this image has 16x24 (after EXIF rotation) pixels, and 1.png has 24x16";
        assert!(message.contains(expected), "{message}");
    }

    #[test]
    fn a_single_image_is_a_sequence_and_an_animation_is_a_video() {
        let stills = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/opencv/stills");
        let still = stills.join("exif-6.jpg");
        assert!(
            is_image_source(&stills)
                && is_image_source(&still)
                && !is_image_source(&stills.join("animated.png"))
        );
        let frames = ImageSequence::open(&still).unwrap();
        assert_eq!((frames.width, frames.height, frames.images.files), (7, 11, vec![still.clone()]));
        let folder = tempfile::tempdir().unwrap();
        let (other, missing) = (folder.path().join("a.mjpeg"), folder.path().join("a.jpg"));
        fs::copy(&still, &other).unwrap();
        assert!(!is_image_source(&other) && !is_image_source(&missing));
        fs::write(&missing, "not an image").unwrap();
        assert!(!is_image_source(&missing));
    }

    #[test]
    fn the_digest_of_a_folder_depends_on_images_names_and_rate() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("1.png"), "one").unwrap();
        fs::write(folder.path().join("2.png"), "two").unwrap();
        let images = || ImageFiles::list(folder.path()).unwrap();
        // sha256sum of the two files, and of a text of these three lines
        let text = "fps 12.5\n7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed  1.png\n\
                    3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3  2.png\n";
        assert_eq!(images().sha256(12.5).unwrap(), sha256_of_bytes(text.as_bytes()));
        assert_eq!(images().bytes().unwrap(), 6);
        let (sha256, state) = (images().sha256(25.0).unwrap(), images().state_hash().unwrap());
        assert_ne!(sha256, images().sha256(12.5).unwrap());
        fs::rename(folder.path().join("2.png"), folder.path().join("3.png")).unwrap();
        assert_ne!((sha256, state), (images().sha256(25.0).unwrap(), images().state_hash().unwrap()));
    }
}
