//! What a manifest wants out of an archive, into its folder: each file and folder whole or not at all.
//!
//! Must not know where the archive comes from.

use super::manifest::{File, Member};
use super::{FetchError, registry};
use crate::archive;
use crate::children;
use crate::provenance::sha256_of_file;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

/// What a Debian package begins with.
const DEB: &[u8] = b"!<arch>\n";

/// Unpacks `archive` as `file` wants it into `folder`, by way of `work`, an empty folder on the same disk; gives the
/// number of files.
///
/// # Errors
/// If the archive is damaged or unsafe, has no such member, or a member has another SHA-256.
pub(super) fn unpack(file: &File, archive: &Path, work: &Path, folder: &Path) -> Result<usize, FetchError> {
    let limits = archive::Limits::default();
    if let Some(to) = &file.unpack_to {
        return Ok(archive::unpack(archive, &folder.join(to), limits, &|_| true)?.len());
    }
    let unpacked = work.join("unpacked");
    let is_wanted = |name: &str| file.members.iter().any(|member| member.has(name));
    if is_deb(archive)? {
        of_deb(file, archive, &unpacked)?;
    } else {
        archive::unpack(archive, &unpacked, limits, &is_wanted)?;
    }
    let mut files = 0;
    for (number, member) in file.members.iter().enumerate() {
        let from = unpacked.join(member.inside.trim_end_matches('/'));
        if !(if member.is_folder() { from.is_dir() } else { from.is_file() }) {
            return Err(FetchError::NoMember { file: file.name.clone(), member: member.inside.clone() });
        }
        if !member.is_folder() {
            check(member, &from)?;
        }
        files += if member.is_folder() { count(&from) } else { 1 };
        place(&from, &folder.join(&member.place), &work.join(format!("old-{number}")))?;
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

/// Holds a member's file against its SHA-256.
///
/// # Errors
/// If it is another, or the file cannot be read.
pub(super) fn check(member: &Member, path: &Path) -> Result<(), FetchError> {
    let found = sha256_of_file(path).map_err(FetchError::disk(path))?;
    match member.sha256.clone().filter(|wanted| *wanted != found) {
        Some(wanted) => Err(FetchError::WrongSha256 { file: member.inside.clone(), found, wanted }),
        None => Ok(()),
    }
}

/// Renames `from` to `to`; a folder that stands there is moved to `old` first.
pub(super) fn place(from: &Path, to: &Path, old: &Path) -> Result<(), FetchError> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(FetchError::disk(parent))?;
    }
    if to.is_dir() {
        fs::rename(to, old).map_err(FetchError::disk(to))?;
    }
    fs::rename(from, to).map_err(FetchError::disk(to))
}

fn is_deb(archive: &Path) -> Result<bool, FetchError> {
    let mut start = Vec::new();
    let file = fs::File::open(archive).map_err(FetchError::disk(archive))?;
    file.take(DEB.len() as u64).read_to_end(&mut start).map_err(FetchError::disk(archive))?;
    Ok(start == DEB)
}

/// The members of a Debian package, by `dpkg-deb` and `tar`: its data are packed in ways that nothing else here
/// needs (xz, zstd).
fn of_deb(file: &File, archive: &Path, into: &Path) -> Result<(), FetchError> {
    let failed = |what: &str| FetchError::Deb { path: archive.to_path_buf(), what: what.to_string() };
    if let Some(program) = ["dpkg-deb", "tar"].iter().find(|program| !registry::is_on_path(program)) {
        return Err(failed(&format!("`{program}`, which reads it, is not on the PATH")));
    }
    fs::create_dir_all(into).map_err(FetchError::disk(into))?;
    let started = |error| FetchError::Disk { path: archive.to_path_buf(), source: error };
    let mut reads = Command::new("dpkg-deb");
    reads.arg("--fsys-tarfile").arg(archive);
    let mut reader =
        children::spawn(&reads, [Stdio::null(), Stdio::piped(), Stdio::null()], None).map_err(started)?;
    let Some(data) = reader.stdout.take() else { return Err(failed("`dpkg-deb` has no output")) };
    let mut writes = Command::new("tar");
    writes.args(["-x", "-f", "-", "-C"]).arg(into).args(["--no-same-owner", "--"]);
    writes.args(file.members.iter().map(|member| format!("./{}", member.inside.trim_end_matches('/'))));
    let spawned = children::spawn(&writes, [Stdio::from(data), Stdio::null(), Stdio::null()], None);
    let ended = spawned.and_then(|mut writer| writer.wait()).map_err(started);
    if ended.is_err() {
        let _ = reader.kill();
    }
    let read = reader.wait().map_err(started)?;
    match (ended?.success(), read.success()) {
        (true, true) => Ok(()),
        (_, false) => Err(failed("`dpkg-deb` cannot read it: it is no whole package; fetch it again")),
        (false, true) => Err(failed("it does not have the wanted files: it is another version")),
    }
}
