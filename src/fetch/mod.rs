//! Files that others publish, by manifest: fetched once, held against their SHA-256, unpacked, kept.
//!
//! [`ensure`] is for programs: it returns at once where all files are there. Files lie in a folder that all clones
//! share ([`user_cache`]); two processes may fetch into it at the same time.
//!
//! A link that is dead is the usual case, so what an error says is which file it is, what else it is called, and what
//! to do with a copy. A download from the web that broke off is resumed. Must not know what the files are for.

mod cache;
mod event;
mod explain;
mod given;
mod lock;
mod manifest;
mod registry;
mod unpack;

pub use cache::{footage_folder, model_folder, user_cache};
pub use event::{Event, size_in_words};
pub use given::take;
pub use manifest::{File, Manifest, Member, Origin};

use crate::archive::ArchiveError;
use crate::provenance::sha256_of_file;
use crate::scratch;
use crate::sources::{DownloadError, Patience, download};
use cache::Verified;
use lock::Lock;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// The stem of folders in which files are fetched and unpacked.
const WORK: &str = ".fetch";
/// The file beside others that has their licence, where their archive has none.
const LICENCE: &str = "LICENSE.txt";

/// Why a file could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("{}: {what}", path.display())]
    Manifest { path: PathBuf, what: String },
    #[error("cannot read or write {}: {source}", path.display())]
    Disk { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("{}: {what}", path.display())]
    Deb { path: PathBuf, what: String },
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
    #[error("{}: {what}", path.display())]
    Given { path: PathBuf, what: String },
    #[error("the licence of `{name}` ({licence}) has to be agreed to: `{command} --accept-licence`")]
    Agreement { name: String, licence: String, command: String },
    #[error("there is no folder for fetched files: set POSEBOOK_CACHE to one, or HOME")]
    NoCacheFolder,
    #[error("stopped; what came so far is kept and gone on with")]
    Stopped,
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Several(Vec<FetchError>),
}

impl FetchError {
    fn disk(path: &Path) -> impl FnOnce(io::Error) -> FetchError + '_ {
        |source| FetchError::Disk { path: path.to_path_buf(), source }
    }
}

/// Whether every file of the manifest is in `folder`. A file is hashed when it is seen for the first time, and again
/// when its size or time of change is another; nothing is fetched.
///
/// # Errors
/// If a file is there and cannot be read.
pub fn is_complete(manifest: &Manifest, folder: &Path) -> Result<bool, FetchError> {
    let mut verified = Verified::load(folder);
    let mut all = has_licence(manifest, folder);
    for file in &manifest.files {
        all = all && is_there(file, folder, &mut verified)?;
    }
    verified.save(folder);
    Ok(all)
}

/// Makes sure that all files of the manifest are in `folder` and gives `folder`. Where something is missing,
/// [`Event::Needed`] comes first: it says what is fetched under the name `name`, how large it is, under which licence.
///
/// # Errors
/// If the licence has to be agreed to (which only the command does), or as [`fetch`].
pub fn ensure(
    manifest: &Manifest,
    name: &str,
    folder: &Path,
    tell: &mut dyn FnMut(Event),
    stop: &AtomicBool,
) -> Result<PathBuf, FetchError> {
    if is_complete(manifest, folder)? {
        return Ok(folder.to_path_buf());
    }
    if manifest.agreement {
        let (name, command) = (name.to_string(), manifest.command());
        return Err(FetchError::Agreement { name, licence: manifest.licence.clone(), command });
    }
    tell(Event::Needed { manifest, name, folder });
    match fetch(manifest, folder, Patience::default(), tell, stop) {
        Ok(()) => Ok(folder.to_path_buf()),
        Err(mut errors) if errors.len() == 1 => Err(errors.remove(0)),
        Err(errors) => Err(FetchError::Several(errors)),
    }
}

/// As [`ensure`], of the manifest `name` in the folder `sources`, into the folder where the user's cache keeps its
/// model files.
///
/// # Errors
/// As [`Manifest::load`], [`user_cache`] and [`ensure`].
pub fn ensure_model(
    sources: &Path,
    name: &str,
    tell: &mut dyn FnMut(Event),
    stop: &AtomicBool,
) -> Result<PathBuf, FetchError> {
    let manifest = Manifest::load(&sources.join(format!("{name}.toml")))?;
    ensure(&manifest, name, &model_folder(name)?, tell, stop)
}

/// Fetches every file of a manifest that is not in `folder` yet. One that cannot be had does not keep the others from
/// coming. Another process that fetches into the same folder is waited for.
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
    let (_lock, work) = begin(folder, tell, stop).map_err(|error| vec![error])?;
    let mut verified = Verified::load(folder);
    let mut errors = Vec::new();
    for file in &manifest.files {
        let fetching = Fetching { manifest, file, folder, work: &work.0, patience, stop };
        match fetching.run(&mut verified, tell) {
            Ok(()) => {}
            Err(FetchError::Stopped) => return Err(vec![FetchError::Stopped]),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() {
        errors.extend(write_licence(manifest, folder).err());
    }
    verified.save(folder);
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// A folder for work in progress, removed when it is dropped.
struct Work(PathBuf);

impl Drop for Work {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Creates `folder`, takes its lock, deletes temporary folders of processes that no longer run, and creates a temporary
/// folder for this fetch.
fn begin(folder: &Path, tell: &mut dyn FnMut(Event), stop: &AtomicBool) -> Result<(Lock, Work), FetchError> {
    fs::create_dir_all(folder).map_err(FetchError::disk(folder))?;
    let lock = Lock::take(folder, &mut || tell(Event::Waits { folder }), stop);
    let lock = lock.ok_or(FetchError::Stopped)?;
    scratch::sweep(folder, |stem| stem == WORK);
    let work = folder.join(scratch::name(WORK));
    Ok((lock, Work(work)))
}

/// Whether nothing is left to do for a file. What is there and has another SHA-256 is fetched again.
fn is_there(file: &File, folder: &Path, verified: &mut Verified) -> Result<bool, FetchError> {
    let mut is_right = |place: &Path, wanted: &Option<String>| {
        verified.is_right(folder, place, wanted.as_deref()).map_err(FetchError::disk(place))
    };
    if !file.members.is_empty() {
        for member in &file.members {
            // folders are put in their places whole or not at all
            let there = match member.is_folder() {
                true => folder.join(&member.place).is_dir(),
                false => is_right(&member.place, &member.sha256)?,
            };
            if !there {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    match &file.unpack_to {
        Some(to) => Ok(folder.join(to).is_dir()),
        None => is_right(&file.place(), &file.sha256),
    }
}

/// What stands in the licence's file beside the manifest's files.
fn licence(manifest: &Manifest) -> Option<String> {
    let text = manifest.licence_text.as_ref()?;
    let head = manifest.attribution.as_deref().unwrap_or(&manifest.description);
    Some(format!("{head}\nLicence: {}\n\n{text}", manifest.licence))
}

fn has_licence(manifest: &Manifest, folder: &Path) -> bool {
    licence(manifest).is_none_or(|_| folder.join(LICENCE).is_file())
}

fn write_licence(manifest: &Manifest, folder: &Path) -> Result<(), FetchError> {
    let Some(text) = licence(manifest) else { return Ok(()) };
    let path = folder.join(LICENCE);
    crate::files::write_whole(&path, text.as_bytes()).map_err(FetchError::disk(&path))
}

/// One file that is fetched.
struct Fetching<'a> {
    manifest: &'a Manifest,
    file: &'a File,
    folder: &'a Path,
    work: &'a Path,
    patience: Patience,
    stop: &'a AtomicBool,
}

impl Fetching<'_> {
    fn run(&self, verified: &mut Verified, tell: &mut dyn FnMut(Event)) -> Result<(), FetchError> {
        let Fetching { file, folder, work, .. } = *self;
        // another process may have fetched it while this one waited
        if is_there(file, folder, verified)? {
            tell(Event::There { file });
            return Ok(());
        }
        tell(Event::Began { file });
        let place = folder.join(file.place());
        fs::create_dir_all(place.parent().unwrap_or(folder)).map_err(FetchError::disk(folder))?;
        let _ = fs::remove_dir_all(work);
        fs::create_dir_all(work).map_err(FetchError::disk(work))?;
        let part = match &file.from {
            Origin::Web(addresses) => {
                let mut part = place.clone().into_os_string();
                part.push(".part");
                self.download_file(addresses, Path::new(&part), &mut |bytes| {
                    tell(Event::Grew { file, bytes })
                })?;
                PathBuf::from(part)
            }
            Origin::Person(site) => {
                return Err(self.unreachable(format!("\n  registration is required at {site}")));
            }
            Origin::Npm(_) | Origin::Pypi(_) | Origin::Debian(_) => {
                self.download_package(&mut |bytes| tell(Event::Grew { file, bytes }))?
            }
        };
        let sha256 = checked(file, &part)?;
        tell(Event::Came { file, sha256: &sha256, is_known: file.sha256.is_some() });
        if !file.is_unpacked() {
            return unpack::place(&part, &place, &work.join("old"));
        }
        let files = unpack::unpack(file, &part, work, folder).inspect_err(|error| {
            // an archive that is damaged or unsafe is no better the next time
            if !matches!(error, FetchError::Disk { .. } | FetchError::Archive(ArchiveError::File { .. })) {
                let _ = fs::remove_file(&part);
            }
        })?;
        tell(Event::Unpacked { file, files });
        fs::remove_file(&part).map_err(FetchError::disk(&part))
    }

    fn download_file(
        &self,
        addresses: &[String],
        part: &Path,
        grew: &mut dyn FnMut(u64),
    ) -> Result<(), FetchError> {
        let most_bytes = self.file.bytes.or(self.patience.most_bytes);
        let patience = Patience { most_bytes, ..self.patience };
        let mut tried = String::new();
        for address in addresses {
            match download(address, part, patience, grew, Some(self.stop)) {
                Ok(()) => return Ok(()),
                Err(DownloadError::Stopped) => return Err(FetchError::Stopped),
                Err(DownloadError::TooLong(most)) => {
                    let _ = fs::remove_file(part);
                    tried.push_str(&format!(
                        "\n  {address}: more than the {most} bytes come that the manifest says"
                    ));
                }
                Err(DownloadError::NoProgram(program)) => {
                    return Err(self.unreachable(format!("\n  `{program}` is not on the PATH; install it")));
                }
                Err(error) => tried.push_str(&format!("\n  {address}: {error}")),
            }
        }
        Err(self.unreachable(tried))
    }

    fn download_package(&self, grew: &mut dyn FnMut(u64)) -> Result<PathBuf, FetchError> {
        let Fetching { file, work, stop, .. } = *self;
        // the program keeps a second copy for a while
        let mut grew = |bytes: u64| grew(file.bytes.map_or(bytes, |all| bytes.min(all)));
        let came = registry::package(&file.from, work, file.bytes, &mut grew, stop);
        match came {
            Some(Ok(archive)) => Ok(archive),
            _ if stop.load(Ordering::Relaxed) => Err(FetchError::Stopped),
            Some(Err(why)) => Err(self.unreachable(format!("\n  {why}"))),
            None => Err(self.unreachable("\n  it is in no package".into())),
        }
    }

    /// What to say of a file that cannot be had.
    fn unreachable(&self, tried: String) -> FetchError {
        let Fetching { manifest, file, folder, .. } = *self;
        let mut help = String::new();
        if !file.also_called.is_empty() {
            help.push_str(&format!("  It is also called, or holds: {}.\n", file.also_called.join(", ")));
        }
        let by_hand = file.by_hand.as_ref().or(manifest.by_hand.as_ref());
        match (registry::by_hand(&file.from), by_hand) {
            (Some(command), _) => {
                let size = file.bytes.map(|bytes| format!(" ({})", size_in_words(bytes))).unwrap_or_default();
                help.push_str(&format!(
                    "  On a machine with a network `{command}` gives the file{size}. Bring it here and run `{} --from \
                     FILE`: it is verified and unpacked to {}.",
                    manifest.command(),
                    folder.display()
                ));
            }
            (None, Some(by_hand)) => help.push_str(&format!("  If you have a copy: {by_hand}.")),
            (None, None) => help.push_str(&format!(
                "  If you have a copy, put it at `{}` of the folder.",
                file.place().display()
            )),
        }
        FetchError::Unreachable { file: file.name.clone(), tried, help }
    }
}

/// Holds what came against the manifest; what is wrong is removed. Gives its SHA-256.
fn checked(file: &File, part: &Path) -> Result<String, FetchError> {
    let length = fs::metadata(part).map_err(FetchError::disk(part))?.len();
    let thrown_away = |error| {
        // resumed, it would be wrong again
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
