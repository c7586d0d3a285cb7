//! A list of images as a video: a folder in which exactly these images lie, in this order.
//!
//! In: the paths of images, and boxes if there are any. Out: a folder whose natural order is the list's, and a file of boxes
//! as MOTChallenge text. If the images are all those of one folder and their order is its natural order, that folder is used;
//! otherwise links to the images are made in the cache. PHALP's sources that need this: a .pkl with boxes, which names
//! frames, and a folder whose order by characters (`10.jpg` before `2.jpg`) is not the natural one.

use super::DatasetError;
use super::box_pickle::{PickledBoxes, PickledFrame};
use super::cache::StagingFolder;
use posebook_core::provenance::sha256_of_bytes;
use posebook_video::sources::ImageFiles;
use std::ffi::OsStr;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

/// Name of the file of boxes in the cache.
const BOXES: &str = "boxes.txt";
/// Name of the folder of links to the images if the source's own name cannot be one.
const FALLBACK_NAME: &str = "video";
/// Extensions of images that can be frames.
const EXTENSIONS: [&str; 3] = ["jpg", "jpeg", "png"];

/// A list of images that can be read as a folder.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageList {
    /// The folder; its name is the video's.
    pub folder: PathBuf,
    /// Boxes as MOTChallenge text, if the source has some.
    pub boxes: Option<PathBuf>,
    /// Whether every box has an identity.
    pub has_identities: bool,
    /// What in the source is not used or was assumed.
    pub notes: Vec<String>,
}

impl ImageList {
    /// The frames and boxes of PHALP's .pkl at `path`. Its names are looked up in `base_path`, or next to it.
    /// `detects_without_boxes` is whether people are detected in frames without boxes.
    ///
    /// # Errors
    /// If the file is invalid, an image is missing or of another format, or links cannot be made in `cache`.
    pub fn from_pickle(
        path: &Path,
        base_path: Option<&Path>,
        detects_without_boxes: bool,
        cache: &Path,
    ) -> Result<ImageList, DatasetError> {
        let read = PickledBoxes::read(path)?;
        let has_identities = read.have_identities();
        let PickledBoxes { frames, mut notes } = read;
        let folder = base_path.or(path.parent()).unwrap_or(Path::new("."));
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        if base_path.is_none() {
            notes.push(format!(
                "video.base_path is not given: the frames are looked up in {}",
                folder.display()
            ));
        }
        let images: Vec<PathBuf> = frames.iter().map(|frame| folder.join(&frame.name)).collect();
        check_images(path, &images, base_path.is_none())?;
        let without = frames.iter().filter(|frame| frame.boxes.is_empty()).count();
        if without > 0 && !detects_without_boxes {
            notes.push(format!(
                "{without} of {} frames have no boxes in {}: nobody is there in these frames; PHALP would detect people in them",
                frames.len(),
                path.display()
            ));
        }
        let text = to_mot(&frames);
        let (folder, boxes) = arrange(&first_part(path), &images, Some(&text), cache)?;
        Ok(ImageList { folder, boxes, has_identities, notes })
    }

    /// The `.jpg` files of a folder in PHALP's order, by characters.
    ///
    /// # Errors
    /// If the folder cannot be read, has no such files, or links cannot be made in `cache`.
    pub fn from_folder(folder: &Path, cache: &Path) -> Result<ImageList, DatasetError> {
        let all = ImageFiles::list(folder)?;
        let mut images = all.files.clone();
        images.retain(|path| path.extension() == Some(OsStr::new("jpg")));
        if images.is_empty() {
            let message = "PHALP reads `.jpg` files alone, and there are none; leave the preset out";
            return Err(DatasetError::invalid(folder, message));
        }
        images.sort();
        let mut notes = Vec::new();
        if images.len() < all.files.len() {
            let others = all.files.len() - images.len();
            notes.push(format!("{others} images are left out: PHALP reads files that end with .jpg alone"));
        }
        let name =
            folder.file_name().map_or(FALLBACK_NAME.into(), |name| name.to_string_lossy().into_owned());
        let (arranged, _) = arrange(&name, &images, None, cache)?;
        if arranged != folder && notes.is_empty() {
            notes.push(
                "the images are read in the order of their characters, as PHALP sorts them".to_string(),
            );
        }
        Ok(ImageList { folder: arranged, boxes: None, has_identities: false, notes })
    }
}

/// The name of a file up to its first dot, as PHALP names a video.
fn first_part(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let first = name.split('.').next().unwrap_or_default();
    if first.is_empty() { FALLBACK_NAME.to_string() } else { first.to_string() }
}

fn check_images(pickle: &Path, images: &[PathBuf], is_guessed: bool) -> Result<(), DatasetError> {
    for image in images {
        let extension = image.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        if !EXTENSIONS.contains(&extension.as_str()) {
            let message = format!("its frame `{}` is no .jpg or .png file", image.display());
            return Err(DatasetError::invalid(pickle, message));
        }
        if !image.is_file() {
            let hint =
                if is_guessed { "; give the folder of its frames as video.base_path=FOLDER" } else { "" };
            let message = format!("its frame {} does not exist{hint}", image.display());
            return Err(DatasetError::invalid(pickle, message));
        }
    }
    Ok(())
}

/// Boxes as MOTChallenge text, frames counted from 1, with identity -1 where there is none.
fn to_mot(frames: &[PickledFrame]) -> String {
    let mut text = String::new();
    for (index, frame) in frames.iter().enumerate() {
        for given in &frame.boxes {
            let (bbox, id) = (given.bbox, given.id.map_or(-1, i64::from));
            let (width, height) = (bbox.width(), bbox.height());
            // writing to a string does not fail
            let _ = writeln!(text, "{},{id},{},{},{width},{height},1", index + 1, bbox.x1, bbox.y1);
        }
    }
    text
}

/// The folder to read and the file of boxes. Both are stored in `cache` by the hash of what they are made from.
fn arrange(
    name: &str,
    images: &[PathBuf],
    boxes: Option<&str>,
    cache: &Path,
) -> Result<(PathBuf, Option<PathBuf>), DatasetError> {
    let io_error = |path: &Path| {
        let path = path.to_path_buf();
        move |source| DatasetError::io("link the images in", &path, source)
    };
    let folder = images[0].parent().unwrap_or(Path::new("."));
    let is_whole_folder = ImageFiles::list(folder)?.files == images;
    let absolute: Result<Vec<PathBuf>, _> =
        images.iter().map(|image| std::path::absolute(image).map_err(io_error(image))).collect();
    let absolute = absolute?;
    let key = serde_json::json!({ "images": absolute, "boxes": boxes, "name": name, "version": 1 });
    let key = format!("frames-{}", &sha256_of_bytes(key.to_string().as_bytes())[..32]);
    let stored = cache.join(&key);
    let is_usable = is_whole_folder && boxes.is_none();
    if !(stored.is_dir() || is_usable) {
        let staging = StagingFolder::create(cache, &key).map_err(io_error(cache))?;
        if let Some(text) = boxes {
            std::fs::write(staging.folder().join(BOXES), text).map_err(io_error(staging.folder()))?;
        }
        if !is_whole_folder {
            link_all(&absolute, &staging.folder().join(name)).map_err(io_error(staging.folder()))?;
        }
        staging.commit().map_err(io_error(cache))?;
    }
    let folder = if is_whole_folder { folder.to_path_buf() } else { stored.join(name) };
    Ok((folder, boxes.map(|_| stored.join(BOXES))))
}

/// Links to the images in a new folder: under their own names if the folder's natural order is then the list's, otherwise
/// with numbers in front.
fn link_all(images: &[PathBuf], folder: &Path) -> io::Result<()> {
    std::fs::create_dir(folder)?;
    let file_name = |image: &PathBuf| image.file_name().unwrap_or_default().to_os_string();
    for image in images {
        link(image, &folder.join(file_name(image)))?;
    }
    let has_order = ImageFiles::list(folder).is_ok_and(|list| {
        list.files.len() == images.len()
            && list.files.iter().zip(images).all(|(link, image)| link.file_name() == image.file_name())
    });
    if has_order {
        return Ok(());
    }
    let digits = images.len().to_string().len();
    for (index, image) in images.iter().enumerate() {
        let name = file_name(image);
        let mut numbered = std::ffi::OsString::from(format!("{:0digits$}_", index + 1));
        numbered.push(&name);
        std::fs::rename(folder.join(name), folder.join(numbered))?;
    }
    Ok(())
}

/// A symbolic link, or a copy on systems without them.
fn link(image: &Path, link: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(image, link)
    }
    #[cfg(not(unix))]
    {
        std::fs::copy(image, link).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_of(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        folder
    }

    /// The contents of the images that are read, which are their first names.
    fn contents(list: &ImageList) -> Vec<String> {
        let files = ImageFiles::list(&list.folder).unwrap().files;
        files.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
    }

    /// A pickle of protocol 0 with these frames, each with one box, or none if the name begins with `-`.
    fn write_pickle(path: &Path, names: &[&str]) {
        let frame = |name: &&str| {
            let boxes = if name.starts_with('-') { "(l" } else { "(l(lF1\naF2\naF30\naF40\naa" };
            format!("V{}\n(dVgt_bbox\n{boxes}ss", name.trim_start_matches('-'))
        };
        let frames: String = names.iter().map(frame).collect();
        std::fs::write(path, format!("(d{frames}.")).unwrap();
    }

    #[test]
    fn a_pickle_names_the_frames_and_their_boxes() {
        let cache = tempfile::tempdir().unwrap();
        let images = folder_of(&["1.jpg", "2.jpg", "10.jpg", "other.jpg"]);
        let pickle = images.path().join("my.clip.pkl");
        write_pickle(&pickle, &["2.jpg", "-1.jpg", "10.jpg"]);
        let list = ImageList::from_pickle(&pickle, Some(images.path()), false, cache.path()).unwrap();
        assert_eq!(contents(&list), ["1.jpg", "10.jpg", "2.jpg"], "by characters, without the others");
        assert_eq!(list.folder.file_name().unwrap(), "my");
        assert_eq!(
            std::fs::read_to_string(list.boxes.as_ref().unwrap()).unwrap(),
            "2,-1,1,2,30,40,1\n3,-1,1,2,30,40,1\n"
        );
        assert!(list.notes[0].starts_with("1 of 3 frames have no boxes"), "{:?}", list.notes);
        // the same list is stored once; the folder is found next to the file
        let again = ImageList::from_pickle(&pickle, None, false, cache.path()).unwrap();
        assert_eq!(again.folder, list.folder);
        assert!(again.notes[0].starts_with("video.base_path is not given"), "{:?}", again.notes);
        assert_eq!(std::fs::read_dir(cache.path()).unwrap().count(), 1);
        // all images of a folder in its order need no links
        write_pickle(&pickle, &["1.jpg", "2.jpg"]);
        let whole = folder_of(&["1.jpg", "2.jpg"]);
        let list = ImageList::from_pickle(&pickle, Some(whole.path()), false, cache.path()).unwrap();
        assert_eq!(list.folder, whole.path());
    }

    #[test]
    fn missing_frames_and_other_files_are_refused() {
        let cache = tempfile::tempdir().unwrap();
        let images = folder_of(&["1.jpg", "notes.txt"]);
        let pickle = images.path().join("a.pkl");
        for (names, hint) in
            [(["1.jpg", "3.jpg"], "video.base_path=FOLDER"), (["1.jpg", "notes.txt"], "no .jpg or .png")]
        {
            write_pickle(&pickle, &names);
            let message = ImageList::from_pickle(&pickle, None, false, cache.path()).unwrap_err().to_string();
            assert!(message.contains("a.pkl") && message.contains(hint), "{message}");
        }
        assert_eq!(std::fs::read_dir(cache.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_is_read_in_phalps_order() {
        let cache = tempfile::tempdir().unwrap();
        let images = folder_of(&["1.jpg", "2.jpg", "10.jpg", "3.png"]);
        let list = ImageList::from_folder(images.path(), cache.path()).unwrap();
        assert_eq!(contents(&list), ["1.jpg", "10.jpg", "2.jpg"]);
        assert!(list.notes[0].starts_with("1 images are left out"), "{:?}", list.notes);
        let ordered = folder_of(&["01.jpg", "02.jpg"]);
        let list = ImageList::from_folder(ordered.path(), cache.path()).unwrap();
        assert_eq!((list.folder.as_path(), list.notes.len()), (ordered.path(), 0));
        let none = folder_of(&["1.png"]);
        assert!(ImageList::from_folder(none.path(), cache.path()).is_err());
    }
}
