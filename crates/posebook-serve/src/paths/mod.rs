//! Converts paths as clients write them (Windows, WSL, UNC, Git Bash, containers) and opens them below allowed folders.
//!
//! In: a path, the allowed folders and the maps of the options. Out: an open regular file or an open folder of images. What a
//! caller reads is the open file, so that nothing changes between check and use.

mod beneath;
mod convert;
mod images;
mod name;

use crate::problem::Problem;
use axum::http::StatusCode;
use beneath::Failure;
use convert::{GivenPath, Root};
pub use name::{last_part, last_part_of_address};
use std::fmt::Write;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Allowed folders and prefix maps.
#[derive(Debug, Default)]
pub struct PathRules {
    allowed: Vec<Allowed>,
    maps: Vec<Map>,
    machine: Machine,
}

/// A folder below which clients may name paths.
#[derive(Debug)]
struct Allowed {
    /// As the option gives it, made absolute.
    given: PathBuf,
    /// Without links.
    canonical: PathBuf,
}

/// A prefix that is replaced.
#[derive(Debug)]
struct Map {
    from: GivenPath,
    from_text: String,
    to: PathBuf,
}

/// What the conversion depends on beside options.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// Whether this is the Windows Subsystem for Linux, where drives are `/mnt/c`, ...
    pub is_wsl: bool,
    /// Name of the distribution there.
    pub distribution: Option<String>,
}

impl Machine {
    /// This machine, by the kernel's release and the variable `WSL_DISTRO_NAME`.
    #[must_use]
    pub fn detect() -> Machine {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Machine::from_release(&release, std::env::var("WSL_DISTRO_NAME").ok())
    }

    /// The machine with this kernel release and distribution.
    #[must_use]
    pub fn from_release(release: &str, distribution: Option<String>) -> Machine {
        let is_wsl = release.to_ascii_lowercase().contains("microsoft");
        Machine { is_wsl, distribution: distribution.filter(|name| is_wsl && !name.is_empty()) }
    }
}

/// An opened source.
#[derive(Debug)]
pub struct OpenedPath {
    /// The path as the client wrote it.
    pub given: String,
    /// The path after conversion.
    pub resolved: PathBuf,
    /// The open regular file, or the open folder of images.
    pub file: File,
    /// Whether it is a folder of images. Its images are read by [`OpenedPath::image`] or [`OpenedPath::copy_images`], which
    /// follow no link to the outside.
    pub is_folder: bool,
}

/// Most characters of a path in a message.
const SHOWN: usize = 200;

impl PathRules {
    /// Rules with these allowed folders and maps (from, to; the longest matching `from` is used).
    ///
    /// # Errors
    /// If an allowed folder does not exist, or a map is invalid. The message names it.
    pub fn new(allow: &[PathBuf], maps: &[(String, String)]) -> Result<PathRules, String> {
        PathRules::on(Machine::detect(), allow, maps)
    }

    /// The rules as on another machine.
    ///
    /// # Errors
    /// As [`PathRules::new`].
    pub fn on(machine: Machine, allow: &[PathBuf], maps: &[(String, String)]) -> Result<PathRules, String> {
        let allowed = allow.iter().map(|folder| Allowed::new(folder)).collect::<Result<_, _>>()?;
        let mut rules = PathRules { allowed, maps: Vec::new(), machine };
        for (from, to) in maps {
            let map = Map::new(from, to)?;
            if let Some(other) = rules.maps.iter().find(|other| other.has_same_from(&map)) {
                return Err(format!(
                    "--map {from}={to}: `{}` is mapped to {} already",
                    other.from_text,
                    other.to.display()
                ));
            }
            rules.maps.push(map);
        }
        Ok(rules)
    }

    /// Converts a path, without looking at the file system except for allowed folders.
    ///
    /// # Errors
    /// `path-not-allowed` (403) if no folder is allowed or the path is not below one; `malformed` (422) if it is not a path.
    pub fn resolve(&self, given: &str) -> Result<PathBuf, Problem> {
        if self.allowed.is_empty() {
            return Err(not_allowed(
                given,
                "the server opens no paths; upload the file, or start the server with --allow FOLDER",
            ));
        }
        let path = GivenPath::parse(given).map_err(|reason| malformed(given, &reason))?;
        let resolved = self.convert(&path).map_err(|reason| not_allowed(given, &reason))?;
        if resolved.as_os_str().len() > convert::MAX_BYTES {
            return Err(malformed(given, "after conversion it is too long"));
        }
        match self.find_allowed(&resolved) {
            Some(_) => Ok(resolved),
            None => Err(not_allowed(given, &outside(&path, &resolved))),
        }
    }

    /// Converts a path and opens it below its allowed folder (`openat2` with `RESOLVE_BENEATH`).
    ///
    /// # Errors
    /// As [`PathRules::resolve`]; `no-such-file` (422) if there is no such file; `not-a-video` (422) if it is neither a
    /// regular file nor a folder of images.
    pub fn open(&self, given: &str) -> Result<OpenedPath, Problem> {
        let resolved = self.resolve(given)?;
        let opened = self.open_below(&resolved).map_err(|failure| failed(given, &failure))?;
        let is_folder = opened.is_folder;
        let opened = OpenedPath { given: given.to_string(), resolved, file: opened.file, is_folder };
        if is_folder {
            opened.check_images()?;
        }
        Ok(opened)
    }

    /// A path of the server as the client would write it: the maps backwards.
    #[must_use]
    pub fn to_client(&self, path: &str) -> String {
        let below = |map: &Map| {
            let rest = Path::new(path).strip_prefix(&map.to).ok()?;
            let mut names = rest.iter().map(|name| name.to_str());
            // a name that Windows does not have has no form there
            let is_possible =
                !map.from.is_windows() || names.all(|name| name.is_some_and(convert::is_windows_name));
            is_possible.then(|| rest.to_path_buf())
        };
        let matching = self.maps.iter().filter_map(|map| Some((map, below(map)?)));
        // of equal ones the first
        let best = matching.rev().max_by_key(|(map, _)| map.to.components().count());
        let Some((map, rest)) = best else { return path.to_string() };
        let separator = if map.from.is_windows() && !map.from_text.contains('/') { '\\' } else { '/' };
        let mut client = map.from_text.trim_end_matches(['/', '\\']).to_string();
        for part in rest.iter() {
            // writing to a string does not fail
            let _ = write!(client, "{separator}{}", part.to_string_lossy());
        }
        let is_root = rest.as_os_str().is_empty() && (client.is_empty() || client.ends_with(':'));
        if is_root {
            client.push(separator);
        }
        client
    }

    /// The path on this machine. The error says what is missing.
    fn convert(&self, path: &GivenPath) -> Result<PathBuf, String> {
        let with_drive = path.with_drive();
        let matches = |path: &GivenPath| {
            let found = self.maps.iter().filter_map(|map| Some((map, path.below(&map.from)?.to_vec())));
            found.max_by_key(|(map, _)| map.from.parts.len())
        };
        let literal = matches(path);
        let by_drive = with_drive.as_ref().and_then(matches);
        let length =
            |found: &Option<(&Map, Vec<String>)>| found.as_ref().map(|(map, _)| map.from.parts.len());
        let best = if length(&by_drive) > length(&literal) { by_drive } else { literal.or(by_drive) };
        if let Some((map, rest)) = best {
            return Ok(join(map.to.clone(), &rest));
        }
        match path.root {
            Root::Drive(letter) if self.machine.is_wsl => Ok(drive_folder(letter, &path.parts)),
            Root::Drive(letter) => Err(format!(
                "the server has no drive {letter}; the server's option --map {letter}:=FOLDER says where it is"
            )),
            Root::Network => self.convert_network(&path.parts),
            Root::Unix => {
                let literal = join("/".into(), &path.parts);
                match with_drive {
                    Some(GivenPath { root: Root::Drive(letter), parts })
                        if self.machine.is_wsl && self.find_allowed(&literal).is_none() =>
                    {
                        Ok(drive_folder(letter, &parts))
                    }
                    _ => Ok(literal),
                }
            }
        }
    }

    /// `\\wsl$\NAME\...` and `\\wsl.localhost\NAME\...` of this distribution.
    fn convert_network(&self, parts: &[String]) -> Result<PathBuf, String> {
        let host = parts.first().map(|host| host.to_lowercase()).unwrap_or_default();
        let share = parts.get(1).map_or("", String::as_str);
        if host != "wsl$" && host != "wsl.localhost" {
            return Err(format!(
                r"the server has no network folder \\{host}\{share}; its option --map '\\{host}\{share}=FOLDER' says where it is"
            ));
        }
        match &self.machine.distribution {
            Some(name) if name.to_lowercase() == share.to_lowercase() => Ok(join("/".into(), &parts[2..])),
            Some(name) => Err(format!("it is in the distribution `{share}`, the server is in `{name}`")),
            None => Err("the server does not run in the Windows Subsystem for Linux".into()),
        }
    }

    /// The allowed folder that a path is in, and the path below it; the longest if there are several.
    fn find_allowed<'a>(&'a self, path: &'a Path) -> Option<(&'a Allowed, &'a Path)> {
        let below = |allowed: &'a Allowed| {
            let rest = path.strip_prefix(&allowed.given).or_else(|_| path.strip_prefix(&allowed.canonical));
            rest.ok().map(|rest| (allowed, rest))
        };
        self.allowed.iter().filter_map(below).min_by_key(|(_, rest)| rest.components().count())
    }

    fn open_below(&self, resolved: &Path) -> Result<beneath::Opened, Failure> {
        let (allowed, rest) = self.find_allowed(resolved).ok_or(Failure::Outside)?;
        let open = |allowed: &Allowed, rest: &Path| {
            beneath::open(beneath::open_base(&allowed.canonical)?.as_fd(), rest, beneath::method())
        };
        match open(allowed, rest) {
            // an absolute link, perhaps to the inside; where it leads is only a proposal, opened as strictly as the first
            Err(Failure::Outside) => {
                let real = allowed.canonical.join(rest).canonicalize().map_err(|_| Failure::Outside)?;
                let (allowed, rest) = self.find_allowed(&real).ok_or(Failure::Outside)?;
                open(allowed, rest)
            }
            result => result,
        }
    }
}

impl Allowed {
    fn new(folder: &Path) -> Result<Allowed, String> {
        let name = folder.display();
        let canonical = folder
            .canonicalize()
            .map_err(|error| format!("--allow {name}: {error}; create the folder, or name another one"))?;
        if !canonical.is_dir() {
            return Err(format!("--allow {name}: it is not a folder; name the folder that contains it"));
        }
        let given = std::path::absolute(folder).map_err(|error| format!("--allow {name}: {error}"))?;
        Ok(Allowed { given, canonical })
    }
}

impl Map {
    fn new(from: &str, to: &str) -> Result<Map, String> {
        let invalid = |side: &str, reason: &str| format!("--map {from}={to}: `{side}`: {reason}");
        // `C:` is the drive's root here
        let is_bare_drive = from.len() == 2 && from.ends_with(':');
        let parsed = GivenPath::parse(&if is_bare_drive { format!("{from}\\") } else { from.to_string() });
        let parsed = parsed.map_err(|reason| invalid(from, &reason))?;
        let target = GivenPath::parse(to).map_err(|reason| invalid(to, &reason))?;
        if target.root != Root::Unix {
            return Err(invalid(to, "it is not a folder of the server, such as /srv/clips"));
        }
        Ok(Map { from: parsed, from_text: from.to_string(), to: join("/".into(), &target.parts) })
    }

    fn has_same_from(&self, other: &Map) -> bool {
        self.from.below(&other.from).is_some_and(<[String]>::is_empty)
    }
}

fn join(mut folder: PathBuf, parts: &[String]) -> PathBuf {
    folder.extend(parts);
    folder
}

/// A path on a drive of Windows as WSL mounts it.
fn drive_folder(letter: char, parts: &[String]) -> PathBuf {
    join(format!("/mnt/{}", letter.to_ascii_lowercase()).into(), parts)
}

/// The path as it is shown in a message.
fn shown(given: &str) -> String {
    let mut text: String = given.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if given.chars().nth(SHOWN).is_some() {
        text.push_str("...");
    }
    text.replace(r"\\", r"\").replace("\\\"", "\"").replace("\\'", "'")
}

fn malformed(given: &str, reason: &str) -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "malformed",
        format!("the path `{}`: {reason}", shown(given)),
    )
}

fn not_allowed(given: &str, reason: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "path-not-allowed", format!("the path `{}`: {reason}", shown(given)))
}

/// Says that a path is not below an allowed folder, and as what it was looked for.
fn outside(path: &GivenPath, resolved: &Path) -> String {
    let is_converted = path.is_windows() || join("/".into(), &path.parts) != resolved;
    let place =
        if is_converted { format!("{}, which ", shown(&resolved.to_string_lossy())) } else { String::new() };
    let link = if is_converted { "it is " } else { "it " };
    format!(
        "{link}{place}is not below a folder that the server allows; upload the file, or name one below such a folder"
    )
}

fn failed(given: &str, failure: &Failure) -> Problem {
    let unprocessable = |name, reason: String| {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, name, format!("the path `{}`: {reason}", shown(given)))
    };
    match failure {
        Failure::Outside => {
            not_allowed(given, "a link on the way leads out of the allowed folders, or in circles")
        }
        Failure::Missing => {
            unprocessable("no-such-file", "there is no such file in the allowed folder".into())
        }
        Failure::Kind(kind) => {
            unprocessable("not-a-video", format!("it is {kind}, not a video or a folder of images"))
        }
        Failure::Io(error) => unprocessable("no-such-file", format!("it cannot be opened: {error}")),
    }
}
