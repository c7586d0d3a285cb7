//! Unpacks the members of an archive that a manifest selects into the manifest's folder, each completely or not at all.

use super::error::FetchError;
use super::manifest::{File, Member};
use crate::archive;
use crate::children;
use crate::provenance::sha256_of_file;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

/// The first bytes of a Debian package.
const DEB_MAGIC: &[u8] = b"!<arch>\n";

/// Unpacks `archive` into `folder` as its manifest entry `file` says, via `work`, an empty folder on the same disk. Returns the
/// number of files.
///
/// # Errors
/// If the archive is damaged or unsafe, a member is missing, or has another SHA-256.
pub fn unpack(file: &File, archive: &Path, work: &Path, folder: &Path) -> Result<usize, FetchError> {
    let limits = archive::Limits::default();
    if let Some(to) = &file.unpack_to {
        return Ok(archive::unpack(archive, &folder.join(to), limits, &|_| true)?.len());
    }
    let unpacked = work.join("unpacked");
    let is_selected = |name: &str| file.members.iter().any(|member| member.contains(name));
    if is_deb(archive)? {
        unpack_deb(file, archive, &unpacked)?;
    } else {
        archive::unpack(archive, &unpacked, limits, &is_selected)?;
    }
    let mut files = 0;
    for (number, member) in file.members.iter().enumerate() {
        let from = unpacked.join(member.inside.trim_end_matches('/'));
        if !(if member.is_folder() { from.is_dir() } else { from.is_file() }) {
            return Err(FetchError::MissingMember { file: file.name.clone(), member: member.inside.clone() });
        }
        if !member.is_folder() {
            verify_member(member, &from)?;
        }
        files += if member.is_folder() { count(&from) } else { 1 };
        move_into_place(&from, &folder.join(&member.destination), &work.join(format!("old-{number}")))?;
    }
    Ok(files)
}

/// The number of files below a folder.
fn count(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let count = |entry: fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => count(&entry.path()),
        _ => 1,
    };
    entries.map(count).sum()
}

/// Verifies a member's SHA-256.
///
/// # Errors
/// If it differs, or the file cannot be read.
fn verify_member(member: &Member, path: &Path) -> Result<(), FetchError> {
    let found = sha256_of_file(path).map_err(FetchError::io(path))?;
    match member.sha256.clone().filter(|expected| *expected != found) {
        Some(expected) => Err(FetchError::WrongSha256 { file: member.inside.clone(), found, expected }),
        None => Ok(()),
    }
}

/// Renames `from` to `to`; an existing folder is moved to `old` first.
pub fn move_into_place(from: &Path, to: &Path, old: &Path) -> Result<(), FetchError> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(FetchError::io(parent))?;
    }
    if to.is_dir() {
        fs::rename(to, old).map_err(FetchError::io(to))?;
    }
    fs::rename(from, to).map_err(FetchError::io(to))
}

/// Whether a file is a Debian package.
fn is_deb(archive: &Path) -> Result<bool, FetchError> {
    let mut start = Vec::new();
    let file = fs::File::open(archive).map_err(FetchError::io(archive))?;
    file.take(DEB_MAGIC.len() as u64).read_to_end(&mut start).map_err(FetchError::io(archive))?;
    Ok(start == DEB_MAGIC)
}

/// Unpacks the members of a Debian package with `dpkg-deb` and `tar`, since it may be compressed by xz or zstd, which nothing
/// else here needs.
fn unpack_deb(file: &File, archive: &Path, into: &Path) -> Result<(), FetchError> {
    let failed = |reason: &str| FetchError::Deb { path: archive.to_path_buf(), reason: reason.to_string() };
    if let Some(program) = ["dpkg-deb", "tar"].iter().find(|program| !children::is_on_path(program)) {
        return Err(failed(&format!("`{program}`, which unpacks it, is not on the PATH; install it")));
    }
    fs::create_dir_all(into).map_err(FetchError::io(into))?;
    let io_error = |error| FetchError::Io { path: archive.to_path_buf(), source: error };
    let mut dpkg = Command::new("dpkg-deb");
    dpkg.arg("--fsys-tarfile").arg(archive);
    let mut reader =
        children::spawn(&dpkg, [Stdio::null(), Stdio::piped(), Stdio::null()], None).map_err(io_error)?;
    let Some(data) = reader.stdout.take() else { return Err(failed("`dpkg-deb` has no output")) };
    let mut tar = Command::new("tar");
    tar.args(["-x", "-f", "-", "-C"]).arg(into).args(["--no-same-owner", "--"]);
    tar.args(file.members.iter().map(|member| format!("./{}", member.inside.trim_end_matches('/'))));
    let spawned = children::spawn(&tar, [Stdio::from(data), Stdio::null(), Stdio::null()], None);
    let tar_exit = spawned.and_then(|mut writer| writer.wait()).map_err(io_error);
    if tar_exit.is_err() {
        let _ = reader.kill();
    }
    let dpkg_exit = reader.wait().map_err(io_error)?;
    match (tar_exit?.success(), dpkg_exit.success()) {
        (true, true) => Ok(()),
        (_, false) => Err(failed("`dpkg-deb` cannot unpack it: it is damaged; fetch it again")),
        (false, true) => Err(failed("it does not have the expected files: it is another version")),
    }
}
