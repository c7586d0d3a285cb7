//! Progress events of fetching, and a line of text for each.

use super::manifest::{File, Manifest};
use std::path::Path;

/// A progress event of fetching.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// Files of the manifest are missing in `folder` and will be fetched.
    Missing {
        /// The manifest.
        manifest: &'a Manifest,
        /// Name of the manifest to show.
        name: &'a str,
        /// Where the files will be.
        folder: &'a Path,
    },
    /// Another process fetches into the same folder; this one waits for its lock.
    WaitingForLock {
        /// The locked folder.
        folder: &'a Path,
    },
    /// The file is present and correct.
    AlreadyPresent {
        /// The file.
        file: &'a File,
    },
    /// The download of the file starts.
    Started {
        /// The file.
        file: &'a File,
    },
    /// Bytes of the file have been downloaded.
    Progress {
        /// The file.
        file: &'a File,
        /// Bytes so far.
        bytes: u64,
    },
    /// The file is complete.
    Downloaded {
        /// The file.
        file: &'a File,
        /// Its SHA-256, which is that of the manifest if the manifest gives one.
        sha256: &'a str,
        /// Whether the manifest gives a SHA-256.
        is_known: bool,
    },
    /// Files were unpacked from the archive.
    Unpacked {
        /// The archive.
        file: &'a File,
        /// Number of unpacked files.
        files: usize,
    },
}

impl Event<'_> {
    /// The event as a line of text; `None` for [`Event::Progress`], which occurs many times a second.
    pub fn message(&self) -> Option<String> {
        Some(match self {
            Event::Missing { manifest, name, folder } => {
                let size =
                    manifest.bytes().map(|bytes| format!(", {}", format_size(bytes))).unwrap_or_default();
                let what = manifest.description.trim_end_matches('.');
                format!(
                    "fetching {name} once ({what}){size}; licence: {}; stored in {}",
                    manifest.licence,
                    folder.display()
                )
            }
            Event::WaitingForLock { folder } => {
                format!("another process fetches into {}; waiting for it", folder.display())
            }
            Event::AlreadyPresent { file } => format!("{}: already present", file.name),
            Event::Started { file } => {
                let size = file.bytes.map(|bytes| format!(", {}", format_size(bytes))).unwrap_or_default();
                format!("{}: fetching{size}", file.name)
            }
            Event::Progress { .. } => return None,
            Event::Downloaded { file, sha256, is_known: true } => {
                format!("{}: downloaded, SHA-256 {sha256} as expected", file.name)
            }
            Event::Downloaded { file, sha256, is_known: false } => {
                let has_known_members = file.members.iter().any(|member| member.sha256.is_some());
                let advice = if has_known_members {
                    "its members are verified"
                } else {
                    "compare it with a trusted copy"
                };
                format!(
                    "{}: downloaded, SHA-256 {sha256}, which the manifest does not know: {advice}",
                    file.name
                )
            }
            Event::Unpacked { file, files } => format!("{}: {files} files unpacked", file.name),
        })
    }
}

/// A size with two or three significant digits: `41 MB`, `7.6 MB`, `12 kB`.
pub fn format_size(bytes: u64) -> String {
    let scaled = |unit: f64| bytes as f64 / unit;
    match bytes {
        0..=999 => format!("{bytes} bytes"),
        1000..=999_499 => format!("{:.0} kB", scaled(1e3)),
        999_500..=9_949_999 => format!("{:.1} MB", scaled(1e6)),
        9_950_000..=999_499_999 => format!("{:.0} MB", scaled(1e6)),
        _ => format!("{:.1} GB", scaled(1e9)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_two_or_three_digits() {
        let sizes = [999, 12_345, 7_600_000, 9_949_999, 40_985_403, 144_509_169, 1_234_567_890];
        let expected = ["999 bytes", "12 kB", "7.6 MB", "9.9 MB", "41 MB", "145 MB", "1.2 GB"];
        assert_eq!(sizes.map(format_size), expected);
    }
}
