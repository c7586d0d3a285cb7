//! Folders and files of uploads. In: an upload's id and name. Out: `uploads/ID/source.EXT`, where `EXT` is that of the client's
//! name if it is the extension of a known medium, and nothing else of that name.

use super::{KEEP_INCOMPLETE, expiry};
use crate::problem::Problem;
use crate::service::Service;
use crate::store::Upload;
use axum::http::StatusCode;
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Extensions that a stored file may have: media, and boxes.
const EXTENSIONS: [&str; 30] = [
    "mp4", "m4v", "mov", "mkv", "webm", "avi", "mpg", "mpeg", "ts", "mts", "m2ts", "gif", "flv", "wmv",
    "asf", "ogv", "ogg", "3gp", "mxf", "png", "jpg", "jpeg", "bmp", "webp", "tif", "tiff", "txt", "json",
    "csv", "npz",
];

/// The file of an upload.
fn source_file(service: &Service, upload: &Upload) -> PathBuf {
    let extension = upload.name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    let folder = service.upload_folder(&upload.id);
    match EXTENSIONS.iter().find(|known| extension.as_deref() == Some(*known)) {
        Some(extension) => folder.join(format!("source.{extension}")),
        None => folder.join("source"),
    }
}

/// Begins an upload: its folder, its empty file, its record.
///
/// # Errors
/// 507 if the disk is full; 500 if something else fails.
pub(super) fn begin(
    service: &Service,
    name: String,
    metadata: Option<String>,
    size: Option<u64>,
) -> Result<(Upload, File), Problem> {
    let id = Uuid::new_v4().simple().to_string();
    let expires = expiry(service, KEEP_INCOMPLETE);
    let upload =
        Upload { id, name, metadata, size, offset: 0, sha256: None, created: service.store.now(), expires };
    let made = create(service, &upload).and_then(|file| Ok((file, service.store.add_upload(&upload)?)));
    match made {
        Ok((file, ())) => Ok((upload, file)),
        Err(problem) => {
            // what is left belongs to no record and is swept
            let _ = fs::remove_dir_all(service.upload_folder(&upload.id));
            Err(problem)
        }
    }
}

fn create(service: &Service, upload: &Upload) -> Result<File, Problem> {
    let folder = service.upload_folder(&upload.id);
    let create = || -> io::Result<File> {
        fs::create_dir(&folder)?;
        let file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(source_file(service, upload))?;
        sync_folder(&folder)?;
        folder.parent().map_or(Ok(()), sync_folder)?;
        Ok(file)
    };
    create().map_err(|error| disk_problem(service, &error))
}

/// Opens the file of an upload to go on at its offset. Bytes behind the offset were not synced and are cut off.
///
/// # Errors
/// `None` if the file or a part of it is gone.
pub(super) fn resume(service: &Service, upload: &Upload) -> Result<Option<File>, Problem> {
    let open = || -> io::Result<Option<File>> {
        let options = nix::libc::O_NOFOLLOW;
        let mut file =
            OpenOptions::new().write(true).custom_flags(options).open(source_file(service, upload))?;
        if file.metadata()?.len() < upload.offset {
            return Ok(None);
        }
        file.set_len(upload.offset)?;
        file.seek(SeekFrom::Start(upload.offset))?;
        Ok(Some(file))
    };
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map_err(|error| disk_problem(service, &error)),
    }
}

/// SHA-256 of an upload's whole file.
pub(super) fn hash_file(service: &Service, upload: &Upload) -> io::Result<Sha256> {
    let mut file = File::open(source_file(service, upload))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hash);
        }
        hash.update(buffer.get(..read).unwrap_or_default());
    }
}

/// Removes an upload: first its record, so that nobody finds a record without a file.
///
/// # Errors
/// 409 `upload-in-use` if it is the source of a job that has not ended.
pub(super) fn remove(service: &Service, id: &str) -> Result<(), Problem> {
    if !service.store.delete_upload(id)? && service.store.upload_is_in_use(id)? {
        let detail = format!("upload {id} is the source of a job that has not ended; cancel the job first");
        return Err(Problem::new(StatusCode::CONFLICT, "upload-in-use", detail));
    }
    match fs::remove_dir_all(service.upload_folder(id)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Problem::internal(error)),
        _ => Ok(()),
    }
}

/// A failed write as a problem.
pub(super) fn disk_problem(service: &Service, error: &io::Error) -> Problem {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            let free = service.disk_space().ok().map(|space| space.free.saturating_sub(space.floor));
            Problem::disk_full(None, free)
        }
        _ => Problem::internal(error),
    }
}

/// Makes the names in a folder durable.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
