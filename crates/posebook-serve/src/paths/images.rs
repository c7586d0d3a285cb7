//! The images of an opened folder, each opened below it. In: an [`OpenedPath`] of a folder. Out: names, open images, copies.

use super::beneath::{self, Failure};
use super::{OpenedPath, shown};
use crate::problem::Problem;
use axum::http::StatusCode;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Extensions of images, without case.
const EXTENSIONS: [&str; 3] = ["jpg", "jpeg", "png"];
/// Maximum number of entries of a folder.
const MAX_ENTRIES: usize = 200_000;
/// Bytes copied between two looks at the stop flag.
const PORTION: u64 = 8 << 20;

impl OpenedPath {
    /// Names of the folder's images, sorted. Other files and folders are left out.
    ///
    /// # Errors
    /// `not-a-video` (422) if the folder cannot be read, has no image or too many entries.
    pub fn image_names(&self) -> Result<Vec<String>, Problem> {
        let entries = fs::read_dir(format!("/proc/self/fd/{}", self.file.as_raw_fd()));
        let mut names = Vec::new();
        for (number, entry) in entries.map_err(|error| self.refused(&error.to_string()))?.enumerate() {
            if number == MAX_ENTRIES {
                return Err(self.refused(&format!(
                    "it has more than {MAX_ENTRIES} entries; give a folder of one video"
                )));
            }
            let name = entry.map_err(|error| self.refused(&error.to_string()))?.file_name();
            let extension = Path::new(&name).extension().and_then(|extension| extension.to_str());
            if extension
                .is_none_or(|extension| !EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension)))
            {
                continue;
            }
            match name.into_string() {
                Ok(name) => names.push(name),
                Err(name) => {
                    return Err(self.refused(&format!(
                        "the name of `{}` is not UTF-8; rename it",
                        name.to_string_lossy()
                    )));
                }
            }
        }
        if names.is_empty() {
            return Err(self.refused(&format!(
                "it has no image ({}); give a video or a folder of images",
                EXTENSIONS.join(", ")
            )));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Opens an image of the folder.
    ///
    /// # Errors
    /// `path-not-allowed` (403) if it is a link out of the folder; `not-a-video` (422) if it is not a regular file or cannot
    /// be opened.
    pub fn image(&self, name: &str) -> Result<File, Problem> {
        match beneath::open(self.file.as_fd(), Path::new(name), beneath::method()) {
            Ok(opened) if !opened.is_folder => Ok(opened.file),
            Ok(_) => Err(self.refused(&format!("`{}` is a folder, not an image", shown(name)))),
            Err(Failure::Outside) => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "path-not-allowed",
                format!(
                    "the folder `{}`: `{}` is a link that leads out of it",
                    shown(&self.given),
                    shown(name)
                ),
            )),
            Err(Failure::Missing) => Err(self.refused(&format!("`{}` was removed meanwhile", shown(name)))),
            Err(Failure::Kind(kind)) => {
                Err(self.refused(&format!("`{}` is {kind}, not an image", shown(name))))
            }
            Err(Failure::Io(error)) => {
                Err(self.refused(&format!("`{}` cannot be opened: {error}", shown(name))))
            }
        }
    }

    /// Copies the images into the folder `to`, which is created, so that a job reads what was checked. At most `max_bytes`.
    /// The paths of the copies.
    ///
    /// # Errors
    /// As [`OpenedPath::image`]; `too-large` (413); `disk-full` (507); and if `stop` is set. What was copied stays.
    pub fn copy_images(&self, to: &Path, max_bytes: u64, stop: &AtomicBool) -> Result<Vec<PathBuf>, Problem> {
        let failed = |path: &Path, error: &io::Error| {
            let (status, name) = match error.kind() {
                io::ErrorKind::StorageFull => (StatusCode::INSUFFICIENT_STORAGE, "disk-full"),
                _ => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
            };
            Problem::new(status, name, format!("cannot copy an image to {}: {error}", path.display()))
        };
        fs::create_dir_all(to).map_err(|error| failed(to, &error))?;
        let mut left = max_bytes;
        let mut copies = Vec::new();
        for name in self.image_names()? {
            let image = self.image(&name)?;
            let path = to.join(&name);
            let mut copy = File::create(&path).map_err(|error| failed(&path, &error))?;
            loop {
                if stop.load(Ordering::Relaxed) {
                    return Err(self.refused("the copy of its images was stopped"));
                }
                let copied = io::copy(&mut (&image).take(PORTION), &mut copy)
                    .map_err(|error| failed(&path, &error))?;
                let Some(rest) = left.checked_sub(copied) else {
                    let reason =
                        format!("the images of `{}` have more than {max_bytes} bytes", shown(&self.given));
                    return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", reason));
                };
                left = rest;
                if copied == 0 {
                    break;
                }
            }
            copies.push(path);
        }
        Ok(copies)
    }

    /// Checks that the folder has images and that all of them are regular files below it.
    pub(super) fn check_images(&self) -> Result<(), Problem> {
        self.image_names()?.iter().try_for_each(|name| self.image(name).map(drop))
    }

    fn refused(&self, reason: &str) -> Problem {
        let detail = format!("the folder `{}`: {reason}", shown(&self.given));
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "not-a-video", detail)
    }
}
