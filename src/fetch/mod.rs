//! Files that others publish, by the manifests in `models/sources/`: fetched, held against their SHA-256, unpacked.
//!
//! A link that is dead is the usual case, so what an error says is which file it is, what else it is called, and what
//! to do with a copy. A download that broke off is gone on with. Must not know what the files are for.

mod manifest;
mod registry;

pub use manifest::{File, Manifest, Member, Origin};

use crate::archive::{self, ArchiveError};
use crate::provenance::sha256_of_file;
use crate::sources::{DownloadError, Patience, download};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// What fetching is told of.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// It was there already, whole.
    There {
        file: &'a File,
    },
    Began {
        file: &'a File,
    },
    Grew {
        file: &'a File,
        bytes: u64,
    },
    /// Its SHA-256, and whether the manifest has the same or knows none.
    Came {
        file: &'a File,
        sha256: &'a str,
        is_known: bool,
    },
    Unpacked {
        file: &'a File,
        files: usize,
    },
}

/// Why a file could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("{}: {what}", path.display())]
    Manifest { path: PathBuf, what: String },
    #[error("cannot read or write {}: {source}", path.display())]
    Disk { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("{file} cannot be fetched:{tried}\n{help}")]
    Unreachable { file: String, tried: String, help: String },
    #[error(
        "{file} has the SHA-256 {found}, and {wanted} is wanted; it was thrown away: it is another version, or was \
         changed on its way"
    )]
    WrongSha256 { file: String, found: String, wanted: String },
    #[error("{file} has {found} bytes, and {wanted} are wanted; it was thrown away")]
    WrongLength { file: String, found: u64, wanted: u64 },
    #[error("there is no `{member}` in {file}")]
    NoMember { file: String, member: String },
    #[error("stopped; what came so far is kept and gone on with")]
    Stopped,
}

impl FetchError {
    fn disk(path: &Path) -> impl FnOnce(io::Error) -> FetchError + '_ {
        |source| FetchError::Disk { path: path.to_path_buf(), source }
    }
}

/// Fetches every file of a manifest into `folder`. One that cannot be had does not keep the others from coming.
///
/// # Errors
/// All that went wrong, a file each; or that it was stopped.
pub fn fetch(
    manifest: &Manifest,
    folder: &Path,
    patience: Patience,
    tell: &mut dyn FnMut(Event),
    stop: &AtomicBool,
) -> Result<(), Vec<FetchError>> {
    let mut errors = Vec::new();
    for file in &manifest.files {
        match one(manifest, file, folder, patience, tell, stop) {
            Ok(()) => {}
            Err(FetchError::Stopped) => return Err(vec![FetchError::Stopped]),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn one(
    manifest: &Manifest,
    file: &File,
    folder: &Path,
    patience: Patience,
    tell: &mut dyn FnMut(Event),
    stop: &AtomicBool,
) -> Result<(), FetchError> {
    if is_there(file, folder)? {
        tell(Event::There { file });
        return Ok(());
    }
    tell(Event::Began { file });
    let place = folder.join(file.place());
    fs::create_dir_all(place.parent().unwrap_or(folder)).map_err(FetchError::disk(folder))?;
    let mut part = place.clone().into_os_string();
    part.push(".part");
    let part = PathBuf::from(part);
    let patience = Patience { most_bytes: file.bytes.or(patience.most_bytes), ..patience };
    match &file.from {
        Origin::Web(addresses) => {
            let mut grew = |bytes| tell(Event::Grew { file, bytes });
            from_web(manifest, file, addresses, &part, patience, &mut grew, stop)?;
        }
        Origin::Person(site) => {
            let tried = format!("\n  whoever wants it has to register at {site}");
            return Err(unreachable(manifest, file, tried));
        }
        package => {
            let mut beside = part.clone().into_os_string();
            beside.push(".package");
            from_registry(manifest, file, package, Path::new(&beside), &part, stop)?;
        }
    }
    let sha256 = checked(file, &part)?;
    tell(Event::Came { file, sha256: &sha256, is_known: file.sha256.is_some() });
    if !file.is_unpacked() {
        return fs::rename(&part, &place).map_err(FetchError::disk(&place));
    }
    let files = unpacked(file, &part, folder).inspect_err(|error| {
        // an archive that is none, or lies, is no better the next time
        if matches!(error, FetchError::Archive(archive) if !matches!(archive, ArchiveError::File { .. })) {
            let _ = fs::remove_file(&part);
        }
    })?;
    tell(Event::Unpacked { file, files });
    fs::remove_file(&part).map_err(FetchError::disk(&part))
}

/// Whether nothing is left to do. What is there and has another SHA-256 is fetched again.
fn is_there(file: &File, folder: &Path) -> Result<bool, FetchError> {
    let is_right = |path: PathBuf, wanted: &Option<String>| match wanted {
        _ if !path.is_file() => Ok(false),
        None => Ok(true),
        Some(wanted) => sha256_of_file(&path).map(|found| found == *wanted).map_err(FetchError::disk(&path)),
    };
    if !file.members.is_empty() {
        for member in &file.members {
            if !is_right(folder.join(&member.place), &member.sha256)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    match &file.unpack_to {
        // folders are unpacked whole or not at all
        Some(to) => Ok(folder.join(to).is_dir()),
        None => is_right(folder.join(file.place()), &file.sha256),
    }
}

fn from_web(
    manifest: &Manifest,
    file: &File,
    addresses: &[String],
    part: &Path,
    patience: Patience,
    grew: &mut dyn FnMut(u64),
    stop: &AtomicBool,
) -> Result<(), FetchError> {
    let mut tried = String::new();
    for address in addresses {
        match download(address, part, patience, grew, Some(stop)) {
            Ok(()) => return Ok(()),
            Err(DownloadError::Stopped) => return Err(FetchError::Stopped),
            Err(DownloadError::TooLong(most)) => {
                let _ = fs::remove_file(part);
                tried.push_str(&format!(
                    "\n  {address}: more than the {most} bytes come that the manifest says"
                ));
            }
            Err(DownloadError::NoProgram(program)) => {
                return Err(unreachable(
                    manifest,
                    file,
                    format!("\n  `{program}` is not on the PATH; install it"),
                ));
            }
            Err(error) => tried.push_str(&format!("\n  {address}: {error}")),
        }
    }
    Err(unreachable(manifest, file, tried))
}

fn from_registry(
    manifest: &Manifest,
    file: &File,
    package: &Origin,
    beside: &Path,
    part: &Path,
    stop: &AtomicBool,
) -> Result<(), FetchError> {
    // what one that was killed has left
    let _ = fs::remove_dir_all(beside);
    fs::create_dir_all(beside).map_err(FetchError::disk(beside))?;
    let came = registry::package(package, beside, stop);
    let moved = match came {
        Some(Ok(archive)) => fs::rename(&archive, part).map_err(FetchError::disk(part)),
        _ if stop.load(Ordering::Relaxed) => Err(FetchError::Stopped),
        Some(Err(said)) => Err(unreachable(manifest, file, format!("\n  {said}"))),
        None => Err(unreachable(manifest, file, "\n  it is in no package".into())),
    };
    let _ = fs::remove_dir_all(beside);
    moved
}

/// What to say of a file that cannot be had.
fn unreachable(manifest: &Manifest, file: &File, tried: String) -> FetchError {
    let mut help = String::new();
    if !file.also_called.is_empty() {
        help.push_str(&format!("  It is also called, or holds: {}.\n", file.also_called.join(", ")));
    }
    let by_hand = file.by_hand.as_ref().or(manifest.by_hand.as_ref());
    match by_hand {
        Some(by_hand) => help.push_str(&format!("  If you have a copy: {by_hand}.")),
        None => help.push_str(&format!(
            "  If you have a copy, put it at `{}` of the folder.",
            file.place().display()
        )),
    }
    FetchError::Unreachable { file: file.name.clone(), tried, help }
}

/// Holds what came against the manifest; what is wrong is thrown away. Gives its SHA-256.
fn checked(file: &File, part: &Path) -> Result<String, FetchError> {
    let length = fs::metadata(part).map_err(FetchError::disk(part))?.len();
    let thrown_away = |error| {
        // gone on with, it would be wrong again
        let _ = fs::remove_file(part);
        Err(error)
    };
    if let Some(wanted) = file.bytes.filter(|wanted| *wanted != length) {
        return thrown_away(FetchError::WrongLength { file: file.name.clone(), found: length, wanted });
    }
    let found = sha256_of_file(part).map_err(FetchError::disk(part))?;
    match file.sha256.clone().filter(|wanted| *wanted != found) {
        Some(wanted) => thrown_away(FetchError::WrongSha256 { file: file.name.clone(), found, wanted }),
        None => Ok(found),
    }
}

/// Unpacks an archive as the manifest says; gives how many files came of it.
fn unpacked(file: &File, part: &Path, folder: &Path) -> Result<usize, FetchError> {
    let limits = archive::Limits::default();
    if let Some(to) = &file.unpack_to {
        return Ok(archive::unpack(part, &folder.join(to), limits, &|_| true)?.len());
    }
    let mut beside = part.to_path_buf().into_os_string();
    beside.push(".unpacked");
    let beside = PathBuf::from(beside);
    let _ = fs::remove_dir_all(&beside);
    let is_wanted = |name: &str| file.members.iter().any(|member| member.inside == name);
    archive::unpack(part, &beside, limits, &is_wanted)?;
    let placed = file.members.iter().try_for_each(|member| {
        let (from, to) = (beside.join(&member.inside), folder.join(&member.place));
        if !from.is_file() {
            return Err(FetchError::NoMember { file: file.name.clone(), member: member.inside.clone() });
        }
        let found = sha256_of_file(&from).map_err(FetchError::disk(&from))?;
        if let Some(wanted) = member.sha256.clone().filter(|wanted| *wanted != found) {
            return Err(FetchError::WrongSha256 { file: member.inside.clone(), found, wanted });
        }
        fs::create_dir_all(to.parent().unwrap_or(folder)).map_err(FetchError::disk(&to))?;
        fs::rename(&from, &to).map_err(FetchError::disk(&to))
    });
    let _ = fs::remove_dir_all(&beside);
    placed.map(|()| file.members.len())
}
