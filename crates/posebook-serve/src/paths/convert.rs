//! Reads a path in one of the forms that clients write: Unix, Windows drive, UNC, WSL share, `file:` address. In: text. Out: a
//! [`GivenPath`], or why it is not a path that names one file.

use percent_encoding::percent_decode_str;

/// Maximum length of a path, bytes.
pub(super) const MAX_BYTES: usize = 4096;

/// A full path in the form of its writer's system, without repeated separators and `.` components; it never has `..`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GivenPath {
    pub(super) root: Root,
    /// Components after the root. Those of [`Root::Network`] begin with host and share.
    pub(super) parts: Vec<String>,
}

/// What the components of a path start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    /// `/`
    Unix,
    /// `C:\`; the letter is a capital.
    Drive(char),
    /// `\\`
    Network,
}

impl GivenPath {
    /// Reads a path.
    ///
    /// # Errors
    /// If it is not a full path, or Windows would not open a file of that name. The text says why, and what to write.
    pub(super) fn parse(given: &str) -> Result<GivenPath, String> {
        check_text(given)?;
        if given.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("file:")) {
            let decoded = decode_file_address(&given[5..])?;
            check_text(&decoded)?;
            return parse_path(&decoded);
        }
        // Windows' "Copy as path" adds quotes
        let unquoted = given.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        parse_path(unquoted.filter(|path| is_windows(path)).unwrap_or(given))
    }

    /// Whether it was written in the form of Windows.
    pub(super) fn is_windows(&self) -> bool {
        self.root != Root::Unix
    }

    /// The same path with the drive as Windows writes it, if it has the form of Git Bash (`/c/...`) or Cygwin
    /// (`/cygdrive/c/...`).
    pub(super) fn with_drive(&self) -> Option<GivenPath> {
        let Root::Unix = self.root else { return None };
        let skipped = usize::from(self.parts.first().is_some_and(|first| first == "cygdrive"));
        let mut letters = self.parts.get(skipped)?.chars();
        let letter =
            letters.next().filter(|letter| letter.is_ascii_alphabetic() && letters.next().is_none())?;
        let parts = self.parts[skipped + 1..].to_vec();
        Some(GivenPath { root: Root::Drive(letter.to_ascii_uppercase()), parts })
    }

    /// The components after those of `prefix`, if it begins with them. Windows' are compared without case.
    pub(super) fn below(&self, prefix: &GivenPath) -> Option<&[String]> {
        let is_same = |a: &String, b: &String| match self.is_windows() {
            true => a == b || a.to_lowercase() == b.to_lowercase(),
            false => a == b,
        };
        let (start, rest) = self.parts.split_at_checked(prefix.parts.len())?;
        (self.root == prefix.root && start.iter().zip(&prefix.parts).all(|(a, b)| is_same(a, b)))
            .then_some(rest)
    }
}

fn check_text(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("it is empty; write a full path".into());
    }
    if text.len() > MAX_BYTES {
        return Err(format!("it has {} bytes; at most {MAX_BYTES} are allowed", text.len()));
    }
    match text.chars().find(|letter| letter.is_control()) {
        Some('\0') => Err("it has a NUL character".into()),
        Some(control) => Err(format!("it has the control character U+{:04X}", u32::from(control))),
        None => Ok(()),
    }
}

/// The path of a `file:` address, without the scheme.
fn decode_file_address(rest: &str) -> Result<String, String> {
    if let Some(mark) = rest.chars().find(|letter| matches!(letter, '?' | '#')) {
        let code = if mark == '?' { "%3F" } else { "%23" };
        return Err(format!("a file address has no `{mark}`; in a name it is written {code}"));
    }
    let decoded = percent_decode_str(rest).decode_utf8();
    let decoded = decoded.map_err(|_| "its percent-encoded bytes are not UTF-8".to_string())?;
    let path = match decoded.strip_prefix("//") {
        // `file:///path`, `file://localhost/path`, or `file://host/share/path`
        Some(rest) => match rest.split_once('/') {
            Some(("" | "localhost", path)) => format!("/{path}"),
            Some(_) => format!("//{rest}"),
            None => {
                return Err(
                    "a file address has a path: write file:///C:/clips/a.mp4 or file:///clips/a.mp4".into()
                );
            }
        },
        None => decoded.into_owned(),
    };
    Ok(match path.strip_prefix('/') {
        Some(drive) if has_drive(drive) => drive.to_string(),
        _ => path,
    })
}

fn is_separator(letter: char) -> bool {
    matches!(letter, '/' | '\\')
}

/// Whether a path begins with a drive, such as `C:`.
fn has_drive(path: &str) -> bool {
    let bytes = path.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphabetic) && bytes.get(1) == Some(&b':')
}

fn is_windows(path: &str) -> bool {
    has_drive(path) || path.starts_with(r"\\")
}

fn parse_path(path: &str) -> Result<GivenPath, String> {
    let mut letters = path.chars();
    let start = (letters.next(), letters.next(), letters.next());
    if let (Some(first), Some(second), third) = start {
        // three and more slashes are one, as everywhere on Unix
        let is_unix = first == '/' && second == '/' && third == Some('/');
        if is_separator(first) && is_separator(second) && !is_unix {
            return parse_network(&path[2..]);
        }
    }
    if has_drive(path) {
        let letter = path.chars().next().unwrap_or_default().to_ascii_uppercase();
        if !path[2..].starts_with(is_separator) {
            return Err(format!(
                r"it is relative to the current folder of drive {letter}; write the full path, such as {letter}:\clips\a.mp4"
            ));
        }
        return Ok(GivenPath { root: Root::Drive(letter), parts: windows_parts(&path[2..])? });
    }
    if path.starts_with('/') {
        let parts: Vec<String> = components(path, |letter| letter == '/').map(String::from).collect();
        return match parts.iter().any(|part| part == "..") {
            true => Err(NO_PARENT.into()),
            false => Ok(GivenPath { root: Root::Unix, parts }),
        };
    }
    if path.starts_with('\\') {
        return Err(r"it is relative to a drive; write the drive as well, such as C:\clips\a.mp4".into());
    }
    // names of devices and streams are named as such even where the path is relative
    windows_parts(path)?;
    Err("it is a relative path; write the full path".into())
}

const NO_PARENT: &str = "it has the component `..`; write the path without it";

fn components(path: &str, separator: impl Fn(char) -> bool) -> impl Iterator<Item = &str> {
    path.split(separator).filter(|part| !part.is_empty() && *part != ".")
}

/// A path after its leading `\\`.
fn parse_network(rest: &str) -> Result<GivenPath, String> {
    let first = rest.split(is_separator).next().unwrap_or_default();
    match first {
        "?" | "." => Err(format!(
            r"it begins with `\\{first}\`, which names devices and paths that Windows does not check; write it as C:\clips\a.mp4"
        )),
        "" => Err(r"after `\\` there is no host; write \\host\share\a.mp4".into()),
        _ => Ok(GivenPath { root: Root::Network, parts: windows_parts(rest)? }),
    }
}

/// The components of a path of Windows, each a name that a file of Windows can have.
fn windows_parts(path: &str) -> Result<Vec<String>, String> {
    components(path, is_separator).map(|part| check_windows_name(part).map(|()| part.to_string())).collect()
}

/// Whether a file of Windows can have this name.
pub(super) fn is_windows_name(name: &str) -> bool {
    !name.contains(is_separator) && check_windows_name(name).is_ok()
}

fn check_windows_name(name: &str) -> Result<(), String> {
    if name == ".." {
        return Err(NO_PARENT.into());
    }
    if name.contains(':') {
        return Err(match name.split(':').next() {
            Some("http" | "https") => "it is an address; give it as {\"url\": ...}".into(),
            _ => format!("`{name}` names an alternate stream (or has a colon), which no source has"),
        });
    }
    if is_device(name) {
        return Err(format!("`{name}` is a device of Windows, not a file"));
    }
    if let Some(letter) = name.chars().find(|letter| matches!(letter, '<' | '>' | '"' | '|' | '?' | '*')) {
        return Err(format!("`{name}` has the character `{letter}`, which no file name of Windows has"));
    }
    if name.ends_with(['.', ' ']) {
        return Err(format!(
            "`{name}` ends with a dot or a space, which Windows removes; write the name without it"
        ));
    }
    Ok(())
}

/// Whether Windows opens a device instead of a file of this name, with any extension.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end_matches(' ').to_ascii_uppercase();
    if matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" | "CLOCK$") {
        return true;
    }
    let number = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT"));
    // the superscripts count as digits, too
    let is_digit = |letter: char| letter.is_ascii_digit() || matches!(letter, '¹' | '²' | '³');
    number.is_some_and(|number| number.chars().count() == 1 && number.chars().all(is_digit))
}
